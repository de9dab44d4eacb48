//! What is under way to the client, and when the client will have played it.

use std::collections::VecDeque;
use std::time::Duration;

use soundpost_core::Instant;

use super::stats::Feedback;

/// The waves under way, by the client's answers.
pub(super) struct Window {
    feedback: Feedback,
    sent: VecDeque<Sent>,
    /// Sequence number of the oldest wave in `sent`.
    first: u64,
    /// How many of the waves in `sent` are settled: received by the client.
    settled: usize,
    /// When pings were sent, and how many waves before them.
    pings: VecDeque<(Instant, u64)>,
    /// The last ping, or the wave that the next one counts from.
    last_ping: Instant,
    /// How long the client usually takes to confirm.
    delay: Duration,
    round_trip: Option<Duration>,
    /// When the client will have played everything that it has received.
    dry_at: Instant,
    answered: bool,
    /// Since when it has been full without an answer.
    full_since: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Sent {
    block: u8,
    at: Instant,
    duration: Duration,
    confirmed: bool,
}

impl Window {
    /// As many waves as there are block numbers.
    const CAPACITY: usize = 256;
    /// More pings are not under way at once: the protocol core remembers so many.
    const MAX_PINGS: usize = 4;
    const PING_INTERVAL: Duration = Duration::from_millis(20);
    /// What a client is taken to need for a confirmation before it has given any.
    const FIRST_DELAY: Duration = Duration::from_millis(200);
    const SMALLEST: Duration = Duration::from_millis(80);
    const LARGEST: Duration = Duration::from_secs(1);
    const SLACK: Duration = Duration::from_millis(60);
    /// After so long without any answer ever, the client is taken to be one that gives none.
    const GIVE_UP: Duration = Duration::from_secs(5);

    /// `round_trip` is the first training's, where the client confirmed it.
    pub(super) fn new(round_trip: Option<Duration>) -> Self {
        Self {
            feedback: if round_trip.is_some() { Feedback::Training } else { Feedback::None },
            sent: VecDeque::new(),
            first: 0,
            settled: 0,
            pings: VecDeque::new(),
            last_ping: Instant::ORIGIN,
            delay: Self::FIRST_DELAY.max(round_trip.unwrap_or_default()),
            round_trip,
            dry_at: Instant::ORIGIN,
            answered: false,
            full_since: None,
        }
    }

    pub(super) fn feedback(&self) -> Feedback {
        self.feedback
    }

    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// The most that may be under way.
    pub(super) fn limit(&self) -> Duration {
        (self.delay * 2 + Self::SLACK).clamp(Self::SMALLEST, Self::LARGEST)
    }

    /// Sound that is under way: sent and, as far as can be told, not received.
    pub(super) fn under_way(&self) -> Duration {
        match self.feedback {
            Feedback::None => Duration::ZERO,
            _ => self.sent.iter().skip(self.settled).map(|wave| wave.duration).sum(),
        }
    }

    /// Whether the next wave has to wait.
    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        let full = self.under_way() >= self.limit();
        if !full {
            self.full_since = None;
            return false;
        }
        let since = *self.full_since.get_or_insert(now);
        if !self.answered && now.saturating_since(since) >= Self::GIVE_UP {
            self.feedback = Feedback::None;
            self.settled = self.sent.len();
            return false;
        }
        true
    }

    /// When [`Window::is_full`] may answer otherwise though nothing comes in.
    pub(super) fn gives_up_at(&self) -> Option<Instant> {
        self.full_since.filter(|_| !self.answered).map(|since| since + Self::GIVE_UP)
    }

    /// When the client will have played all of it, its device included; `None` while something is under way.
    pub(super) fn dry_at(&self, device_latency: Duration) -> Option<Instant> {
        let settled = self.feedback == Feedback::None || self.settled == self.sent.len();
        settled.then(|| self.dry_at + device_latency.min(Self::LARGEST))
    }

    pub(super) fn wave_sent(&mut self, now: Instant, block: u8, duration: Duration) {
        if self.sent.len() == Self::CAPACITY {
            self.sent.pop_front();
            self.first += 1;
            self.settled = self.settled.saturating_sub(1);
        }
        self.sent.push_back(Sent { block, at: now, duration, confirmed: false });
        if self.feedback == Feedback::None {
            self.settled = self.sent.len();
            self.received(now, duration);
        }
    }

    /// Whether a ping should follow now; `last` when no wave will follow soon. A client that confirms waves is asked
    /// only then: it may have given that up.
    pub(super) fn wants_ping(&self, now: Instant, last: bool) -> bool {
        let covered = self.pings.back().map_or(self.first + usize_to_u64(self.settled), |(_, waves)| *waves);
        let interval = if last { Duration::ZERO } else { Self::PING_INTERVAL.max(self.delay / 4) };
        (last || self.feedback != Feedback::Waves)
            && self.pings.len() < Self::MAX_PINGS
            && covered < self.total()
            && now.saturating_since(self.last_ping) >= interval
    }

    pub(super) fn ping_sent(&mut self, now: Instant) {
        self.last_ping = now;
        self.pings.push_back((now, self.total()));
    }

    /// A ping was answered after `round_trip`.
    pub(super) fn ping_answered(&mut self, now: Instant, round_trip: Duration) {
        let sent = now - round_trip;
        let mut waves = None;
        while let Some((_, before)) = self.pings.pop_front_if(|(at, _)| *at <= sent) {
            waves = Some(before);
        }
        let Some(waves) = waves else { return };
        self.answered = true;
        self.round_trip = Some(round_trip);
        let arrived = usize::try_from(waves.saturating_sub(self.first)).unwrap_or(usize::MAX);
        // A client that answers this before it has confirmed the waves before it is asked on, until it confirms again.
        if self.feedback != Feedback::Waves || arrived > self.settled {
            self.feedback = Feedback::Training;
            self.observe(round_trip);
        }
        self.settle(arrived, now);
    }

    /// A wave was confirmed, with the time that the client says it holds it.
    pub(super) fn confirmed(&mut self, now: Instant, block: u8, held: Duration) {
        // The latest wave with that number.
        let Some(index) = self.sent.iter().rposition(|wave| wave.block == block) else { return };
        let Some(wave) = self.sent.get_mut(index) else { return };
        let first_time = !std::mem::replace(&mut wave.confirmed, true);
        let elapsed = now.saturating_since(wave.at);
        self.answered = true;
        self.feedback = Feedback::Waves;
        if !first_time {
            return;
        }
        // A client that confirms when it has played says how long it held the wave; one that says more than the
        // answer took has confirmed at once.
        let network = elapsed.checked_sub(held);
        self.round_trip = Some(network.unwrap_or(elapsed));
        self.observe(elapsed);
        let received = if network.is_some() { now - held } else { now };
        self.settle(index + 1, received);
    }

    /// Takes note of how long an answer took. One burst of late answers (after a stall) does not widen the window
    /// much, lasting ones do.
    fn observe(&mut self, took: Duration) {
        let took = took.min(self.delay * 2 + Duration::from_millis(50));
        self.delay = (self.delay * 7 + took) / 8;
    }

    fn settle(&mut self, count: usize, received: Instant) {
        let count = count.min(self.sent.len());
        let arrived: Duration = self.sent.iter().take(count).skip(self.settled).map(|wave| wave.duration).sum();
        if count > self.settled {
            self.settled = count;
            self.full_since = None;
            self.received(received, arrived);
        }
    }

    fn received(&mut self, at: Instant, duration: Duration) {
        // An estimate that had run away would keep sound back for ever.
        self.dry_at = (self.dry_at.max(at) + duration).min(at + Self::LARGEST);
    }

    fn total(&self) -> u64 {
        self.first + usize_to_u64(self.sent.len())
    }
}

fn usize_to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
