//! An endpoint's halves, held so that their panics stay their own.

use std::sync::Arc;

use soundpost_rt::guard::{PanicGuard, Panicked};

/// Something of an endpoint's that is only called, and only dropped, under a guard (X3). Control side.
pub(crate) struct Guarded<T> {
    /// None only while being dropped or unwrapped.
    value: Option<T>,
    guard: Arc<dyn PanicGuard>,
}

impl<T> Guarded<T> {
    pub(crate) fn new(value: T, guard: &Arc<dyn PanicGuard>) -> Self {
        Self { value: Some(value), guard: Arc::clone(guard) }
    }

    /// Makes one call.
    pub(crate) fn call<R>(&mut self, call: impl FnOnce(&mut T) -> R) -> Result<R, Panicked> {
        let Self { value, guard } = self;
        let (mut call, mut answer) = (Some(call), None);
        guard.run(&mut || answer = value.as_mut().and_then(|value| call.take().map(|call| call(value))))?;
        answer.ok_or(Panicked)
    }

    /// Makes one call that only looks.
    pub(crate) fn look<R>(&self, call: impl FnOnce(&T) -> R) -> Result<R, Panicked> {
        let (mut call, mut answer) = (Some(call), None);
        let value = self.value.as_ref();
        self.guard.run(&mut || answer = value.and_then(|value| call.take().map(|call| call(value))))?;
        answer.ok_or(Panicked)
    }

    /// Drops what is held, and says whether that panicked.
    pub(crate) fn end(mut self) -> Result<(), Panicked> {
        self.drop_value()
    }

    /// What is held, for a place that has a guard of its own.
    pub(crate) fn into_inner(mut self) -> Option<T> {
        self.value.take()
    }

    fn drop_value(&mut self) -> Result<(), Panicked> {
        let Self { value, guard } = self;
        match value.take() {
            Some(value) => {
                let mut value = Some(value);
                guard.run(&mut || drop(value.take()))
            }
            None => Ok(()),
        }
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        // Where it matters to somebody, it was ended before.
        let _ = self.drop_value();
    }
}
