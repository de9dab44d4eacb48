//! Where a check works: it gets fresh endpoints here, and what they do wrong on the way is kept here.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use soundpost_core::{Clock, Instant};
use soundpost_endpoint::{DataFlow, Requirement, RtHalf};

use super::rig::{Rig, Time, Watch};
use super::{Broken, Level, Pace, Subject, Tools};
use crate::{Random, VirtualClock};

/// Breaches that are found beside what a check looks for.
pub(super) type Side = Rc<RefCell<Vec<Broken>>>;

/// What a check is run with.
pub struct Bench<'a> {
    pub(super) subject: &'a dyn Subject,
    pub(super) tools: &'a dyn Tools,
    pub(super) level: Level,
    pub(super) random: Random,
    side: Side,
}

impl<'a> Bench<'a> {
    pub(super) fn new(subject: &'a dyn Subject, tools: &'a dyn Tools, level: Level, random: Random) -> Self {
        Self { subject, tools, level, random, side: Side::default() }
    }

    pub(super) fn into_side(self) -> Vec<Broken> {
        self.side.take()
    }

    pub(super) fn flow(&self) -> DataFlow {
        self.subject.flow()
    }

    /// How many passes a check makes: as many as it likes on a virtual clock, an eighth of it in real time.
    pub(super) fn passes(&self, wanted: u32) -> u32 {
        if self.subject.pace() == Pace::Own { wanted.div_ceil(8) } else { wanted }
    }

    /// A fresh endpoint, of which nothing was called yet.
    pub(super) fn rig(&self) -> Result<Rig<'a>, Broken> {
        let time = match self.subject.pace() {
            Pace::Given | Pace::Data => Time::Virtual(Arc::new(VirtualClock::new(Instant::from_nanos(1_000_000_000)))),
            Pace::Own => Time::Real,
        };
        let clock: Arc<dyn Clock> = match &time {
            Time::Virtual(clock) => Arc::<VirtualClock>::clone(clock),
            Time::Real => Arc::new(VirtualClock::new(Instant::ORIGIN)),
        };
        let made = self
            .subject
            .make(clock)
            .map_err(|why| Broken::new(Requirement::D1, format!("no endpoint could be made: {why}")))?;
        let flow = match made.endpoint.realtime {
            RtHalf::Render(_) => DataFlow::Render,
            RtHalf::Capture(_) => DataFlow::Capture,
        };
        if flow != self.flow() {
            return Err(Broken::new(
                Requirement::R3,
                format!("said to be a {} endpoint, made a {flow} one", self.flow()),
            ));
        }
        let watch = Watch::new(self.tools, time, Rc::clone(&self.side), self.subject.off_line().is_none());
        Ok(Rig::new(made, watch, self.subject.pace()))
    }
}
