//! Endpoints over a wire: pacing, latency, format choice; no I/O.
