//! Holds the examples against the contract, as `soundpost verify` does with what ships.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Arc;

use soundpost_core::{Clock, Format};
use soundpost_endpoint::DataFlow;
use soundpost_examples::level::level;
use soundpost_examples::sine::sine;
use soundpost_testkit::verify::{Made, Subject};
use soundpost_verify::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

struct Sine;

impl Subject for Sine {
    fn name(&self) -> String {
        "sine".to_owned()
    }

    fn flow(&self) -> DataFlow {
        DataFlow::Capture
    }

    fn make(&self, clock: Arc<dyn Clock>) -> Result<Made, String> {
        Ok(Made::new(sine(Format::DEFAULT, clock)))
    }
}

struct Level;

impl Subject for Level {
    fn name(&self) -> String {
        "level".to_owned()
    }

    fn flow(&self) -> DataFlow {
        DataFlow::Render
    }

    fn make(&self, clock: Arc<dyn Clock>) -> Result<Made, String> {
        Ok(Made::new(level(clock).0))
    }
}

fn main() -> ExitCode {
    soundpost_verify::main(&[Box::new(Sine), Box::new(Level)])
}
