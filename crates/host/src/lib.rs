//! The only crate that does I/O: threads, sockets, files, the real clock.
