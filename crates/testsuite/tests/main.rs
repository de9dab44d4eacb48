//! One binary for all integration tests, so that the libraries are linked once.

mod engine;
mod fuzz_regression;
mod guard;
mod rdp_transport;
