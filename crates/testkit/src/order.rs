//! The engine's side of the contract, read from what a probe has recorded.

use std::fmt;

use soundpost_core::{FrameCount, Instant};
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

/// Holds the calls that a probe got since it was made against what the engine owes: R2, T3, T8, T9, T11, T12, data only
/// while the pin is active (T13), and the order of D4. `packet` is E2. Calls at different times belong to different
/// passes. An empty answer: nothing was found.
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
        open_since: None,
        pin: false,
        found: Vec::new(),
    };
    for entry in calls {
        check.call(entry);
    }
    if let Some(last) = calls.last() {
        check.pass_is_over(last);
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
    /// When the pass began that ProcessingComplete has not ended yet.
    open_since: Option<Instant>,
    pin: bool,
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
        if self.stage != Stage::Running {
            self.pin = false;
        }
        if matches!(entry.call, Call::Stop | Call::Start) {
            self.pass_is_over(entry);
        }
    }

    /// T11: a pass in which anything was asked or moved ends with ProcessingComplete.
    fn pass_is_over(&mut self, entry: &Entry) {
        if self.open_since.take().is_some() {
            self.find(Requirement::T11, entry, "the pass before it was over without ProcessingComplete".to_owned());
        }
    }

    /// T11 and T13: what has to hold around every call of a pass.
    fn within_pass(&mut self, entry: &Entry) {
        let moves = matches!(
            entry.call,
            Call::Padding(_) | Call::Acquire(_) | Call::Release { .. } | Call::ReleaseLast { .. } | Call::Used(_)
        );
        if self.open_since.is_some_and(|since| since != entry.time) || matches!(entry.call, Call::PinInactive) {
            self.pass_is_over(entry);
        }
        match entry.call {
            Call::PinActive => self.pin = true,
            Call::PinInactive => self.pin = false,
            Call::ProcessingComplete if self.open_since.take().is_none() => {
                self.find(Requirement::T11, entry, "ProcessingComplete without a pass".to_owned());
            }
            _ if moves => {
                self.open_since = Some(entry.time);
                if !self.pin {
                    self.find(Requirement::T13, entry, format!("{:?} while the pin is not active", entry.call));
                }
            }
            _ => {}
        }
    }

    fn realtime(&mut self, entry: &Entry) {
        if self.stage != Stage::Running {
            let stage = self.stage;
            self.find(Requirement::R2, entry, format!("{:?} while {stage:?}", entry.call));
        }
        self.within_pass(entry);
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
    use std::time::Duration;

    use soundpost_core::Hns;

    use super::*;

    /// Calls in order after a start; `None` lets time pass, as between two passes.
    fn found(flow: DataFlow, calls: &[Option<Call>]) -> Vec<Requirement> {
        let start = [
            Call::EventDrivenCapable,
            Call::SetStreamFlags(StreamFlags::NONE),
            Call::SetBuffer { period: Hns::from_millis(10), coefficient: 2 },
            Call::Start,
            Call::PinActive,
        ];
        let calls: Vec<_> = start.into_iter().map(Some).chain(calls.iter().copied()).collect();
        let mut time = Instant::ORIGIN;
        let mut entries = Vec::new();
        for (order, call) in (0..).zip(calls) {
            match call {
                Some(call) => entries.push(Entry { order, time, call }),
                None => time += Duration::from_millis(10),
            }
        }
        check_order(&entries, FrameCount::new(480), flow).iter().map(|finding| finding.requirement).collect()
    }

    const PADDING: Option<Call> = Some(Call::Padding(0));
    const ACQUIRE: Option<Call> = Some(Call::Acquire(FrameCount::new(480)));
    const RELEASE: Option<Call> = Some(Call::Release { frames: FrameCount::new(480), flag: BufferFlag::Valid });
    const USED: Option<Call> = Some(Call::Used(FrameCount::ZERO));
    const COMPLETE: Option<Call> = Some(Call::ProcessingComplete);
    const PULSE: Option<Call> = Some(Call::Pulse);

    #[test]
    fn nothing_is_found_in_sound_passes() {
        use DataFlow::{Capture, Render};
        let pass = [PADDING, ACQUIRE, RELEASE, COMPLETE, PULSE, None, PADDING, COMPLETE, PULSE];
        assert_eq!(found(Render, &pass), []);
        // A late pass is caught up at the same time.
        assert_eq!(found(Render, &[PADDING, COMPLETE, PULSE, PADDING, ACQUIRE, RELEASE, COMPLETE, PULSE]), []);
        // Capture asks again for what is behind a packet.
        assert_eq!(found(Capture, &[PADDING, ACQUIRE, USED, PADDING, ACQUIRE, USED, COMPLETE]), []);
        let idle =
            [PADDING, COMPLETE, PULSE, Some(Call::PinInactive), None, Some(Call::PinActive), PADDING, COMPLETE, PULSE];
        assert_eq!(found(Render, &idle), []);
    }

    #[test]
    fn each_breach_is_found_under_its_number() {
        use DataFlow::{Capture, Render};
        let rest = [COMPLETE, PULSE];
        let with = |calls: &[Option<Call>]| [calls, &rest[..]].concat();
        assert_eq!(found(Render, &with(&[ACQUIRE, ACQUIRE, RELEASE])), [Requirement::T9]);
        assert_eq!(found(Render, &with(&[RELEASE])), [Requirement::T9]);
        assert_eq!(found(Render, &[PADDING, COMPLETE, PULSE, ACQUIRE]), [Requirement::T11, Requirement::T9]);
        assert_eq!(found(Render, &with(&[Some(Call::Acquire(FrameCount::new(481))), RELEASE])), [Requirement::T3]);
        assert_eq!(found(Render, &with(&[Some(Call::Acquire(FrameCount::new(9))), RELEASE])), [Requirement::T8]);
        assert_eq!(found(Render, &[PADDING, COMPLETE, PADDING, COMPLETE, PULSE]), [Requirement::T12]);
        assert_eq!(found(Render, &[PULSE]), [Requirement::T12]);
        assert_eq!(found(Capture, &[PADDING, COMPLETE, PULSE]), [Requirement::T12]);
        assert_eq!(
            found(Render, &[PADDING, COMPLETE, PULSE, Some(Call::Stop), PADDING, COMPLETE, PULSE]).first(),
            Some(&Requirement::R2)
        );
        assert_eq!(found(Render, &[Some(Call::SetEvent)]), [Requirement::D4]);
    }

    #[test]
    fn t11_a_missing_doubled_or_early_processing_complete_is_found() {
        use DataFlow::{Capture, Render};
        let early = [ACQUIRE, COMPLETE, USED, COMPLETE];
        assert_eq!(found(Capture, &early), [Requirement::T11]);
        for flow in [Render, Capture] {
            assert_eq!(found(flow, &[PADDING, None, PADDING, COMPLETE]).first(), Some(&Requirement::T11));
            assert_eq!(found(flow, &[PADDING]), [Requirement::T11], "the last one");
            assert_eq!(found(flow, &[PADDING, Some(Call::Stop)]), [Requirement::T11]);
            assert_eq!(found(flow, &[PADDING, Some(Call::PinInactive)]), [Requirement::T11]);
        }
        assert_eq!(found(Capture, &[PADDING, COMPLETE, COMPLETE]), [Requirement::T11]);
    }

    #[test]
    fn t13_data_that_moves_while_the_pin_is_idle_is_found() {
        let idle = [Some(Call::PinInactive), PADDING, COMPLETE, PULSE];
        assert_eq!(found(DataFlow::Render, &idle), [Requirement::T13]);
        let idle = [Some(Call::PinInactive), ACQUIRE, USED, COMPLETE];
        assert_eq!(found(DataFlow::Capture, &idle), [Requirement::T13, Requirement::T13]);
    }
}
