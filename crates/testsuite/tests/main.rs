//! One binary for all integration tests, so that the libraries are linked once.

mod fuzz_regression;
mod engine;
mod guard;
mod rdp_transport;
