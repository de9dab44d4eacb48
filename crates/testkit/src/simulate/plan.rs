//! What is going to happen, in order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use soundpost_core::Instant;

/// Something that happens at a time. Numbers are places in the lists of [`super::stage::Stage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    /// A stream starts.
    Open(usize),
    /// Its application has no more to say.
    Finish(usize),
    /// An endpoint is attached.
    Arrive(usize),
    /// And detached.
    Leave(usize),
    /// The machine is busy.
    Stall(Duration),
    /// The applications of a group come round.
    ComeRound(usize),
    /// Latency and padding are noted, for so many times by then.
    Sample(u32),
}

/// What is going to happen. At the same time: in the order in which it was planned.
#[derive(Debug, Default)]
pub(super) struct Plan {
    queue: BinaryHeap<Reverse<(Instant, u64, Action)>>,
    planned: u64,
}

impl Plan {
    pub(super) fn add(&mut self, at: Instant, action: Action) {
        self.planned += 1;
        self.queue.push(Reverse((at, self.planned, action)));
    }

    /// When the next thing happens.
    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((at, ..))| *at)
    }

    /// The next thing that happens by `now`.
    pub(super) fn take(&mut self, now: Instant) -> Option<Action> {
        self.next().filter(|at| *at <= now)?;
        self.queue.pop().map(|Reverse((_, _, action))| action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_happen_in_the_order_of_time_and_then_of_planning() {
        let at = |nanos| Instant::from_nanos(nanos);
        let mut plan = Plan::default();
        for (time, action) in
            [(20, Action::Sample(1)), (10, Action::Leave(1)), (10, Action::Arrive(1)), (30, Action::Open(1))]
        {
            plan.add(at(time), action);
        }
        assert_eq!(plan.next(), Some(at(10)));
        assert_eq!(plan.take(at(9)), None);
        let taken: Vec<_> = std::iter::from_fn(|| plan.take(at(20))).collect();
        assert_eq!(taken, [Action::Leave(1), Action::Arrive(1), Action::Sample(1)]);
        assert_eq!(plan.next(), Some(at(30)));
    }
}
