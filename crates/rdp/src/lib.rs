//! RDP audio, server side: state machines without I/O.
