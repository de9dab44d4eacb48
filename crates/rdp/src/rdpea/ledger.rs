//! Which waves are under way, and what their confirmations say.
//!
//! A client confirms a wave never, once or twice; all three are normal. It is said to confirm when the wave "is emitted
//! to completion", with the wave's time stamp plus the time it held the wave (MS-RDPEA 3.2.5.2.1.6). FreeRDP confirms
//! twice and at once: an echo, then its device's latency added to the time stamp. IronRDP confirms once, with both.

use std::collections::VecDeque;
use std::time::Duration;

use soundpost_core::Instant;

use super::faults::RdpeaFault;

/// The most waves that are remembered: as many as there are block numbers.
pub(super) const CAPACITY: usize = 256;

/// A confirmation of one wave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// The wave's block number.
    pub block: u8,
    /// 1 for the wave's first confirmation, 2 for its second.
    pub ordinal: u8,
    /// When the wave was sent.
    pub sent: Instant,
    /// Time from the sending to this confirmation's arrival.
    pub elapsed: Duration,
    /// By how much the client put the time stamp forward: how long it says that it holds the wave, or will. Whole
    /// milliseconds; 1 ms too much now and then from clients that count modulo 65535.
    pub held: Duration,
    /// Sound sent after this wave and not confirmed.
    pub unconfirmed: Duration,
}

impl Confirmation {
    /// What the network took, there and back: the time elapsed, less the time held where the client waited before it
    /// confirmed. A client that says it holds the wave longer than the answer took answered at once. Only a first
    /// confirmation says this.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        (self.ordinal == 1).then(|| self.elapsed.checked_sub(self.held).unwrap_or(self.elapsed))
    }

    /// What the client adds between a wave's arrival and its sound: its own buffer and its device.
    #[must_use]
    pub fn device_latency(&self) -> Duration {
        self.held
    }
}

/// The waves under way, oldest first. Block numbers follow one another, so a wave's place is known from its number.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    waves: VecDeque<Wave>,
    last_block: u8,
    /// How many waves at the front are settled: confirmed, or sent before one that was.
    settled: usize,
    confirms_seen: bool,
}

#[derive(Clone, Copy, Debug)]
struct Wave {
    timestamp: u16,
    sent: Instant,
    duration: Duration,
    confirms: u8,
}

impl Ledger {
    /// The number of the next wave: one more than the last, 0 after 255 (MS-RDPEA 3.3.5.2.1.1).
    pub(super) fn next_block(&self) -> u8 {
        self.last_block.wrapping_add(1)
    }

    /// A wave was sent; it has the number [`next_block`](Self::next_block).
    pub(super) fn push(&mut self, timestamp: u16, sent: Instant, duration: Duration) {
        if self.waves.len() == CAPACITY {
            self.waves.pop_front();
            self.settled = self.settled.saturating_sub(1);
        }
        self.last_block = self.next_block();
        self.waves.push_back(Wave { timestamp, sent, duration, confirms: 0 });
    }

    /// A confirmation came. Blocks are played in order: one that is confirmed settles those before it.
    ///
    /// The fault of an odd time stamp is told beside the confirmation, which stands.
    pub(super) fn confirm(
        &mut self,
        block: u8,
        timestamp: u16,
        now: Instant,
    ) -> Result<(Confirmation, Option<RdpeaFault>), RdpeaFault> {
        let age = usize::from(self.last_block.wrapping_sub(block));
        let index = self.waves.len().checked_sub(age + 1).ok_or(RdpeaFault::UnknownBlock)?;
        let wave = self.waves.get_mut(index).ok_or(RdpeaFault::UnknownBlock)?;
        if wave.confirms >= 2 {
            return Err(RdpeaFault::RepeatedConfirm);
        }
        wave.confirms += 1;
        let wave = *wave;
        self.confirms_seen = true;
        self.settled = self.settled.max(index + 1);

        // More than half of the range forward is a step back.
        let forward = timestamp.wrapping_sub(wave.timestamp);
        let odd = forward > u16::MAX / 2;
        let held = if odd { Duration::ZERO } else { Duration::from_millis(u64::from(forward)) };
        let confirmation = Confirmation {
            block,
            ordinal: wave.confirms,
            sent: wave.sent,
            elapsed: now.saturating_since(wave.sent),
            held,
            unconfirmed: self.outstanding(),
        };
        Ok((confirmation, odd.then_some(RdpeaFault::OddTimestamp)))
    }

    /// Sound that is sent and not confirmed; none for a client that has never confirmed anything.
    pub(super) fn unconfirmed(&self) -> Option<Duration> {
        self.confirms_seen.then(|| self.outstanding())
    }

    fn outstanding(&self) -> Duration {
        self.waves.iter().skip(self.settled).map(|wave| wave.duration).sum()
    }
}
