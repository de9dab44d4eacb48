//! The engine's side of the contract, read from what a probe has recorded.

use std::fmt;

use soundpost_core::FrameCount;
use soundpost_endpoint::{BufferFlag, DataFlow, Requirement, StreamFlags};

use crate::{Call, Entry};

/// A requirement that was seen broken.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Which.
    pub requirement: Requirement,
    /// At which call.
    pub order: u64,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broken at call {}: {}", self.requirement, self.order, self.what)
    }
}

/// Holds the calls that a probe got since it was made against what the engine owes: R2, T3, T8, T9, T11, T12 and the
/// order of D4. `packet` is E2. An empty answer: nothing was found.
#[must_use]
pub fn check_order(calls: &[Entry], packet: FrameCount, flow: DataFlow) -> Vec<Finding> {
    let mut check = Check {
        packet,
        flow,
        stage: Stage::Fresh,
        driven: false,
        event: false,
        acquired: None,
        ending: Ending::Open,
        found: Vec::new(),
    };
    for entry in calls {
        check.call(entry);
    }
    if check.acquired.is_some() {
        let order = calls.last().map_or(0, |entry| entry.order);
        check.found.push(Finding {
            requirement: Requirement::T9,
            order,
            what: "the last acquire was never released".to_owned(),
        });
    }
    check.found
}

/// How far the control half has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Stage {
    Fresh,
    Asked,
    Flagged,
    Initialised,
    Running,
    Stopped,
}

/// Where in a pass the real-time half is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The pass may go on.
    Open,
    /// ProcessingComplete has come; on render a pulse has to follow.
    Complete,
}

struct Check {
    packet: FrameCount,
    flow: DataFlow,
    stage: Stage,
    driven: bool,
    event: bool,
    acquired: Option<FrameCount>,
    ending: Ending,
    found: Vec<Finding>,
}

impl Check {
    fn call(&mut self, entry: &Entry) {
        match entry.call {
            Call::EventDrivenCapable
            | Call::SetStreamFlags(_)
            | Call::SetBuffer { .. }
            | Call::SetEvent
            | Call::Start
            | Call::Stop
            | Call::Reset => self.control(entry),
            _ => self.realtime(entry),
        }
    }

    fn control(&mut self, entry: &Entry) {
        let in_order = match entry.call {
            Call::EventDrivenCapable => self.stage <= Stage::Asked || self.stage == Stage::Stopped,
            Call::SetStreamFlags(_) => self.stage == Stage::Asked,
            Call::SetBuffer { .. } => self.stage == Stage::Flagged,
            Call::SetEvent => self.stage == Stage::Initialised && self.driven,
            Call::Start => self.stage == Stage::Initialised && self.driven == self.event,
            _ => true,
        };
        if !in_order {
            let stage = self.stage;
            self.find(Requirement::D4, entry, format!("{:?} while {stage:?}", entry.call));
        }
        self.stage = match entry.call {
            Call::EventDrivenCapable => Stage::Asked,
            Call::SetStreamFlags(flags) => {
                self.driven = flags.contains(StreamFlags::EVENT_CALLBACK);
                self.event = false;
                Stage::Flagged
            }
            Call::SetBuffer { .. } => Stage::Initialised,
            Call::SetEvent => {
                self.event = true;
                self.stage
            }
            Call::Start => Stage::Running,
            _ => Stage::Stopped,
        };
        if self.stage == Stage::Running {
            self.ending = Ending::Open;
        }
    }

    fn realtime(&mut self, entry: &Entry) {
        if self.stage != Stage::Running {
            let stage = self.stage;
            self.find(Requirement::R2, entry, format!("{:?} while {stage:?}", entry.call));
        }
        let owed_pulse = self.ending == Ending::Complete && self.flow == DataFlow::Render;
        if owed_pulse && entry.call != Call::Pulse {
            self.find(Requirement::T12, entry, format!("{:?} instead of a pulse after ProcessingComplete", entry.call));
        }
        match entry.call {
            Call::Acquire(frames) => {
                if frames > self.packet {
                    let packet = self.packet;
                    self.find(Requirement::T3, entry, format!("{frames} asked where a packet has {packet}"));
                }
                if let Some(frames) = self.acquired.replace(frames) {
                    self.find(Requirement::T9, entry, format!("a second acquire; one of {frames} is not released"));
                }
            }
            Call::Release { frames, flag } | Call::ReleaseLast { frames, flag } => {
                if flag == BufferFlag::Invalid && !frames.is_zero() {
                    self.find(Requirement::T8, entry, format!("{frames} released as invalid"));
                }
                self.released(frames, entry);
            }
            Call::Used(frames) => self.released(frames, entry),
            Call::ProcessingComplete if self.acquired.is_some() => {
                self.find(Requirement::T11, entry, "ProcessingComplete before the release".to_owned());
            }
            Call::Pulse if !owed_pulse => {
                self.find(
                    Requirement::T12,
                    entry,
                    "a pulse that does not follow ProcessingComplete on render".to_owned(),
                );
            }
            _ => {}
        }
        self.ending = if entry.call == Call::ProcessingComplete { Ending::Complete } else { Ending::Open };
    }

    fn released(&mut self, frames: FrameCount, entry: &Entry) {
        match self.acquired.take() {
            None => self.find(Requirement::T9, entry, "a release without an acquire".to_owned()),
            Some(asked) if frames > asked => {
                self.find(Requirement::T8, entry, format!("{frames} released of {asked}"));
            }
            Some(_) => {}
        }
    }

    fn find(&mut self, requirement: Requirement, entry: &Entry, what: String) {
        self.found.push(Finding { requirement, order: entry.order, what });
    }
}

#[cfg(test)]
mod tests {
    use soundpost_core::{Hns, Instant};

    use super::*;

    fn found(flow: DataFlow, calls: &[Call]) -> Vec<Requirement> {
        let start = [
            Call::EventDrivenCapable,
            Call::SetStreamFlags(StreamFlags::NONE),
            Call::SetBuffer { period: Hns::from_millis(10), coefficient: 2 },
            Call::Start,
        ];
        let calls = start.iter().chain(calls);
        let entries: Vec<_> =
            (0..).zip(calls).map(|(order, call)| Entry { order, time: Instant::ORIGIN, call: *call }).collect();
        check_order(&entries, FrameCount::new(480), flow).iter().map(|finding| finding.requirement).collect()
    }

    const ACQUIRE: Call = Call::Acquire(FrameCount::new(480));
    const RELEASE: Call = Call::Release { frames: FrameCount::new(480), flag: BufferFlag::Valid };

    #[test]
    fn each_breach_is_found_under_its_number() {
        use DataFlow::{Capture, Render};
        let sound = [Call::Padding(0), ACQUIRE, RELEASE, Call::ProcessingComplete, Call::Pulse, Call::Padding(0)];
        assert_eq!(found(Render, &sound), []);
        assert_eq!(found(Render, &[ACQUIRE, ACQUIRE, RELEASE]), [Requirement::T9]);
        assert_eq!(found(Render, &[RELEASE]), [Requirement::T9]);
        assert_eq!(found(Render, &[ACQUIRE]), [Requirement::T9]);
        assert_eq!(found(Render, &[Call::Acquire(FrameCount::new(481)), RELEASE]), [Requirement::T3]);
        assert_eq!(found(Render, &[Call::Acquire(FrameCount::new(9)), RELEASE]), [Requirement::T8]);
        assert_eq!(found(Render, &[Call::ProcessingComplete, Call::Padding(0)]), [Requirement::T12]);
        assert_eq!(found(Render, &[Call::Pulse]), [Requirement::T12]);
        assert_eq!(found(Capture, &[Call::ProcessingComplete, Call::Pulse]), [Requirement::T12]);
        assert_eq!(
            found(Capture, &[ACQUIRE, Call::ProcessingComplete, Call::Used(FrameCount::ZERO)]),
            [Requirement::T11]
        );
        assert_eq!(found(Render, &[Call::Stop, Call::Padding(0)]), [Requirement::R2]);
        assert_eq!(found(Render, &[Call::SetEvent]), [Requirement::D4]);
    }
}
