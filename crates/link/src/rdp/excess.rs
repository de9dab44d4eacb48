//! How much more a client holds than it did when its sound began.
//!
//! A client that was not fed for longer than its buffer lasts has run dry. What was held up comes all the same, and waits
//! in its buffer from then on: the stall has become latency, and nothing at the client's end takes it away. Clients tell
//! how long they hold a wave, though, when they confirm it; so what a stall has added is seen here, and as much sound is
//! left out, once.

use std::time::Duration;

use soundpost_core::Instant;

/// What a client says that it holds, against what it usually does.
#[derive(Debug, Default)]
pub(super) struct Excess {
    /// What was said in this window, one value for each wave.
    said: Vec<Duration>,
    /// When this window began; later than now while the client is settling.
    began: Instant,
    /// What the client holds of its own accord: the windows' medians, followed down, not up.
    usual: Option<Duration>,
    /// By how much the last window was above it, where that was too much.
    last: Option<Duration>,
    /// The median that must be undercut for what was left out to have helped, until the next window tells.
    hoped: Option<Duration>,
}

impl Excess {
    /// How long a median is taken over. Two windows in a row must agree.
    const WINDOW: Duration = Duration::from_millis(500);
    /// A device that has just begun, or that has just been left to itself, does not know its latency at once.
    const SETTLE: Duration = Duration::from_millis(500);
    /// Fewer values say nothing.
    const FEWEST: usize = 5;
    /// More than come within a window from any client that confirms what it gets once.
    const MOST: usize = 512;
    /// What is less stays as it is: a wave's length, within which clients' own figures go up and down. xfreerdp's, which
    /// are PulseAudio's estimate, were seen to wander by 6 ms while the latency stood still.
    const TOO_MUCH: Duration = Duration::from_millis(10);
    /// So much above the usual is left: else errors in what clients say would bring it down a little each time.
    const MARGIN: Duration = Duration::from_millis(2);
    /// The share of a window in what is usual.
    const SHARE: u32 = 8;
    /// The most that is left out at once.
    const MOST_AT_ONCE: Duration = Duration::from_secs(1);

    /// Sound begins from dry at `now`.
    pub(super) fn begin(&mut self, now: Instant) {
        self.said.clear();
        self.began = now + Self::SETTLE;
        self.last = None;
        self.hoped = None;
    }

    /// The client says that it holds a wave for so long. Answers how much sound is to be left out.
    pub(super) fn held(&mut self, now: Instant, held: Duration) -> Option<Duration> {
        if now < self.began {
            return None;
        }
        if self.said.len() < Self::MOST {
            self.said.push(held);
        }
        if now.saturating_since(self.began) < Self::WINDOW {
            return None;
        }
        self.began = now;
        let median = self.take_median()?;
        self.judge(now, median)
    }

    fn take_median(&mut self) -> Option<Duration> {
        let mut said = std::mem::take(&mut self.said);
        said.sort_unstable();
        let median = (said.len() >= Self::FEWEST).then(|| said.get(said.len() / 2).copied()).flatten();
        said.clear();
        self.said = said;
        median
    }

    fn judge(&mut self, now: Instant, median: Duration) -> Option<Duration> {
        // Where it has not helped, it was not sound of ours that the client holds: another device, or a longer buffer of its
        // own choice. That is how it is from now on.
        if self.hoped.take().is_some_and(|hoped| median > hoped) {
            self.usual = Some(median);
        }
        let usual = self.usual.map_or(median, |usual| usual - usual.saturating_sub(median) / Self::SHARE);
        self.usual = Some(usual);
        let above = median.saturating_sub(usual);
        if above < Self::TOO_MUCH {
            self.last = None;
            return None;
        }
        let last = self.last.replace(above)?;
        let out = last.min(above).saturating_sub(Self::MARGIN).min(Self::MOST_AT_ONCE);
        self.last = None;
        self.hoped = Some(median.saturating_sub(out / 2));
        // What is on its way, and what is left out itself, must be over before it is judged.
        self.began = now + out + Self::SETTLE;
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    struct Client {
        excess: Excess,
        now: Instant,
    }

    impl Client {
        fn new() -> Self {
            let mut client = Self { excess: Excess::default(), now: Instant::from_nanos(1_000_000_000) };
            client.excess.begin(client.now);
            client
        }

        fn wave(&mut self, wave: u32, held: Duration) -> Option<Duration> {
            self.now += MS * 10;
            let told = match wave % 10 {
                0 => Duration::ZERO,
                1 => held + MS * 70,
                _ => held + MS * (wave % 4),
            };
            self.excess.held(self.now, told)
        }

        /// Says for 3 s that it holds so much, with other values between; what is to be left out of all that.
        fn says(&mut self, held: Duration) -> Vec<Duration> {
            (0..300).filter_map(|wave| self.wave(wave, held)).collect()
        }

        /// The same, until something is to be left out.
        fn says_until(&mut self, held: Duration) -> Option<Duration> {
            (0..300).find_map(|wave| self.wave(wave, held))
        }
    }

    #[test]
    fn what_a_stall_has_added_is_left_out_once() {
        let mut client = Client::new();
        assert!(client.says(MS * 30).is_empty() && client.says(MS * 38).is_empty() && client.says(MS * 30).is_empty());
        let out = client.says_until(MS * 90);
        assert!(out.is_some_and(|out| (MS * 56..=MS * 60).contains(&out)), "{out:?}");
        // It holds less then, and is left alone; the next stall is another.
        assert!(client.says(MS * 32).is_empty());
        let out = client.says_until(MS * 45);
        assert!(out.is_some_and(|out| (MS * 9..=MS * 15).contains(&out)), "{out:?}");
    }

    #[test]
    fn a_client_that_holds_more_whatever_is_left_out_is_left_alone() {
        let mut client = Client::new();
        assert!(client.says(MS * 30).is_empty());
        let out = client.says(MS * 200);
        assert!(out.len() == 1 && out.iter().all(|out| (MS * 166..=MS * 170).contains(out)), "{out:?}");
        assert!(client.says(MS * 200).is_empty());
        // What comes on top is again a stall's.
        let out = client.says(MS * 250).first().copied();
        assert!(out.is_some_and(|out| (MS * 46..=MS * 50).contains(&out)), "{out:?}");
    }

    #[test]
    fn nonsense_is_bounded() {
        let mut client = Client::new();
        assert!(client.says(Duration::ZERO).is_empty());
        assert_eq!(client.says(Duration::from_secs(60)).first(), Some(&Excess::MOST_AT_ONCE));
        for _ in 0..10_000 {
            client.excess.held(client.now, Duration::MAX / 2);
        }
        assert!(client.excess.said.len() <= Excess::MOST);
    }
}
