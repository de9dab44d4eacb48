//! The AudioEndpoint contract in safe Rust: control half, real-time half, positions, errors.
