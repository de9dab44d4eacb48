//! Many sessions at once: what one costs must not depend on how many there are.

use soundpost_testkit::simulate::{Scenario, SessionGroup, Simulation};

use crate::BenchError;
use crate::cases::Case;

/// So many sessions with two playing streams and a listener each, on the virtual clock. Each run is [`Sessions::SECONDS`].
pub struct Sessions(Simulation);

const SCENARIO: &str = "name = 'sessions'\nseconds = 1\n[[session]]\nname = 'office'\n[[session.stream]]\ncount = 2\n\
    [[session.endpoint]]\nclock_spread_ppm = 100\n";

impl Sessions {
    /// How long a run is.
    pub const SECONDS: f64 = 0.2;

    /// Opens them, and lets them begin.
    ///
    /// # Errors
    /// [`BenchError::Simulation`] for more sessions than a scenario may have.
    pub fn new(count: u32) -> Result<Self, BenchError> {
        let mut scenario = Scenario::parse(SCENARIO).map_err(|error| BenchError::Simulation(error.into()))?;
        scenario.sessions.iter_mut().for_each(|group: &mut SessionGroup| group.count = count);
        let mut simulation = Simulation::new(&scenario, |pass| pass())?;
        simulation.run_on(Self::SECONDS)?;
        Ok(Self(simulation))
    }
}

impl Case for Sessions {
    fn run(&mut self) {
        // Refused is only what was planned, and nothing is: the sessions are there.
        let _ = self.0.run_on(Self::SECONDS);
    }
}
