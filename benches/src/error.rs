//! What can go wrong while a case is made.

use soundpost_engine::EngineError;
use thiserror::Error;

/// A case that could not be made. None of these depends on anything but the code: it is a fault of ours.
#[derive(Debug, Error)]
pub enum BenchError {
    /// The engine refused.
    #[error("the engine of a benchmark refused: {0}")]
    Engine(#[from] EngineError),
    /// An endpoint refused.
    #[error("the endpoint of a benchmark refused: {0}")]
    Endpoint(#[from] soundpost_endpoint::EndpointError),
    /// A resampler refused.
    #[error("the resampler of a benchmark refused: {0}")]
    Resampler(String),
    /// A rate that the engine does not carry.
    #[error("{0}")]
    Rate(#[from] soundpost_core::UnsupportedRate),
    /// A scenario that was refused.
    #[error(transparent)]
    Simulation(#[from] soundpost_testkit::simulate::SimulationError),
    /// What is measured did not happen: the number would say nothing.
    #[error("a benchmark did not do what it is to measure: {0}")]
    Idle(&'static str),
}
