//! Calls into an endpoint, held against its panics and its use of time.

use soundpost_core::{Clock, Instant};
use soundpost_endpoint::Fault;

/// Catches a panic. `rt` itself cannot (it has no `std`), so whoever owns the real-time thread hands in what can.
///
/// Real-time thread, and the control side for control halves. An implementation adds nothing to the call but the catching.
pub trait PanicGuard: Send + Sync {
    /// Calls `call` once.
    ///
    /// # Errors
    /// [`Panicked`] when the call panicked. Whatever the call had changed stays changed.
    fn run(&self, call: &mut dyn FnMut()) -> Result<(), Panicked>;
}

/// A call panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

/// What a pass is handed to protect itself from endpoints (X3).
#[derive(Clone, Copy)]
pub struct Protection<'a> {
    /// Catches panics.
    pub guard: &'a dyn PanicGuard,
    /// Measures what calls cost; without one, costs are 0 and no endpoint overruns its time.
    pub costs: Option<&'a dyn Clock>,
}

impl Protection<'_> {
    /// The time by the clock that measures costs.
    #[must_use]
    pub fn now(&self) -> Option<Instant> {
        self.costs.map(Clock::now)
    }

    /// One call into an endpoint.
    ///
    /// # Errors
    /// The call's own [`Fault`], or [`Fault::Panicked`] with the name of the call.
    pub fn call<T>(&self, name: &'static str, mut call: impl FnMut() -> Result<T, Fault>) -> Result<T, Fault> {
        let mut answer = Err(Fault::Panicked { call: name });
        // A panic leaves the answer as it is: the fault.
        let caught = self.guard.run(&mut || answer = call());
        match caught {
            Ok(()) => answer,
            Err(Panicked) => Err(Fault::Panicked { call: name }),
        }
    }
}

impl core::fmt::Debug for Protection<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Protection").field("costs", &self.costs.is_some()).finish_non_exhaustive()
    }
}
