//! Catching panics.

use std::panic::{AssertUnwindSafe, catch_unwind};

use soundpost_rt::guard::{PanicGuard, Panicked};

/// Catches an endpoint's panic by unwinding.
///
/// It lives here and not in `host` because it is plain `std` without I/O, and because the engine's own tests and the
/// test kit need it. A panic allocates and runs the process's panic hook on the real-time thread; that is the price
/// of the fault, once, before the endpoint is detached.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnwindGuard;

impl PanicGuard for UnwindGuard {
    fn run(&self, call: &mut dyn FnMut()) -> Result<(), Panicked> {
        // Unwind safety: what a panicking call leaves behind is the endpoint's alone, and the endpoint is not called
        // again after the fault.
        catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
            // The payload may be anything, also something whose drop panics.
            std::mem::forget(payload);
            Panicked
        })
    }
}
