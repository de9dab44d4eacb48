//! The legal order of control calls, once for all endpoints.

use crate::EndpointError;

/// The states of a control half (C2), and which call is legal in which. An endpoint holds one of these, asks it at the
/// top of each control method, and so answers every call out of order in the same, documented way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifecycle {
    /// `set_buffer` has not succeeded yet.
    #[default]
    Fresh,
    /// Initialised and never started, or reset since.
    Ready,
    /// Between `start` and `stop`.
    Running,
    /// Stopped, with whatever is queued still there.
    Stopped,
}

impl Lifecycle {
    /// For methods that need `set_buffer` to have succeeded.
    ///
    /// # Errors
    /// [`EndpointError::NotInitialized`].
    pub fn initialized(self) -> Result<(), EndpointError> {
        match self {
            Self::Fresh => Err(EndpointError::NotInitialized),
            _ => Ok(()),
        }
    }

    /// For the top of `set_buffer` (D1).
    ///
    /// # Errors
    /// [`EndpointError::NotStopped`] while running.
    pub fn set_buffer(&mut self) -> Result<(), EndpointError> {
        self.not_running()?;
        *self = Self::Ready;
        Ok(())
    }

    /// For the top of `start`; answers whether queued data plays on (C3).
    ///
    /// # Errors
    /// [`EndpointError::NotInitialized`], [`EndpointError::NotStopped`].
    pub fn start(&mut self) -> Result<Start, EndpointError> {
        self.initialized()?;
        self.not_running()?;
        let start = if *self == Self::Stopped { Start::Resumed } else { Start::Fresh };
        *self = Self::Running;
        Ok(start)
    }

    /// For the top of `stop`.
    ///
    /// # Errors
    /// [`EndpointError::NotStarted`].
    pub fn stop(&mut self) -> Result<(), EndpointError> {
        match self {
            Self::Running => {
                *self = Self::Stopped;
                Ok(())
            }
            _ => Err(EndpointError::NotStarted),
        }
    }

    /// For the top of `reset`.
    ///
    /// # Errors
    /// [`EndpointError::NotInitialized`], [`EndpointError::NotStopped`].
    pub fn reset(&mut self) -> Result<(), EndpointError> {
        self.initialized()?;
        self.not_running()?;
        *self = Self::Ready;
        Ok(())
    }

    fn not_running(self) -> Result<(), EndpointError> {
        match self {
            Self::Running => Err(EndpointError::NotStopped),
            _ => Ok(()),
        }
    }
}

/// How a stream starts, which decides the flag of its first position record (T2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// A fresh or reset stream: the first record is continuous.
    Fresh,
    /// After a stop without reset: the first record is discontinuous.
    Resumed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c2_calls_out_of_order_are_refused_and_change_nothing() {
        let mut state = Lifecycle::default();
        assert_eq!(state.start(), Err(EndpointError::NotInitialized));
        assert_eq!(state.stop(), Err(EndpointError::NotStarted));
        assert_eq!(state.reset(), Err(EndpointError::NotInitialized));
        assert_eq!(state, Lifecycle::Fresh);
        state.set_buffer().unwrap();
        assert_eq!(state.start(), Ok(Start::Fresh));
        assert_eq!(state.start(), Err(EndpointError::NotStopped));
        assert_eq!(state.reset(), Err(EndpointError::NotStopped));
        assert_eq!(state.set_buffer(), Err(EndpointError::NotStopped));
        assert_eq!(state, Lifecycle::Running);
        state.stop().unwrap();
        assert_eq!(state.stop(), Err(EndpointError::NotStarted));
        assert_eq!(state.start(), Ok(Start::Resumed));
        state.stop().unwrap();
        state.reset().unwrap();
        assert_eq!(state.start(), Ok(Start::Fresh));
    }
}
