//! A playback stream's way into the engine.

use std::time::Duration;

use soundpost_core::{ChannelLayout, Format, FrameCount, FramePosition, Gain, Hns, Instant};
use soundpost_dsp::meter::Levels;
use soundpost_engine::{StreamId, StreamWriter};
use soundpost_pulse::{ChannelVolume, Mixing, Now, PlaybackId, Server, SinkId, Spec};

use super::balance;
use super::heard::Heard;
use super::samples::Adapter;
use super::take::Direct;

/// A stream that a client plays, and its engine stream.
pub(super) struct Feed {
    pub(super) sink: SinkId,
    pub(super) spec: Spec,
    pub(super) mixing: Mixing,
    pub(super) volume: ChannelVolume,
    pub(super) muted: bool,
    pub(super) corked: bool,
    pub(super) name: String,
    pub(super) stream: StreamId,
    writer: StreamWriter,
    adapter: Adapter,
    /// The server has something to pull, as far as is known.
    pub(super) readable: bool,
    /// At the last look the server had all that was missing.
    full: bool,
    heard: Heard,
    /// Frames written, since the stream was opened.
    written: u64,
    /// What was written into the engine's stream before is thrown away, as soon as its worker comes to it.
    flushed: FramePosition,
    underruns: u64,
    /// It is playing; otherwise what comes next is a beginning.
    playing: bool,
    /// Its client keeps so much in the server that it cannot want a short way: it is kept as far ahead as may be.
    patient: bool,
    /// Recordings of this stream alone.
    pub(super) directs: Vec<Direct>,
}

/// Who has sent more than this does not play in a hurry: 50 ms more to the ear are a quarter at most, and the thread may
/// be held up for as long without anybody hearing it.
const PLENTY: Duration = Duration::from_millis(200);

/// What is found when a stream is topped up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// The engine ran dry although the server had more: the thread came too late.
    pub(super) late: bool,
    /// How long a frame takes from the mix to the ear, where a pass has told it.
    pub(super) onward: Option<Duration>,
    /// The engine would have taken more than the client has sent so far.
    pub(super) hungry: bool,
    /// The engine has been given something.
    pub(super) given: bool,
}

/// When a stream is topped up, and how far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timing {
    pub(super) lead: Duration,
    /// How far a stream is kept ahead whose client has sent plenty.
    pub(super) longest: Duration,
    /// What comes after the engine's endpoints.
    pub(super) behind: Hns,
    /// The time from the mix to the ear, for a stream of which nothing was mixed yet.
    pub(super) guess: Duration,
    /// In what time the next one is.
    pub(super) next_pass: Duration,
    pub(super) period: Duration,
    /// The sink stands still.
    pub(super) suspended: bool,
}

impl Feed {
    /// A stream with this spec, whose engine stream (of the adapter's format) has been opened.
    pub(super) fn new(parts: FeedParts, stream: StreamId, writer: StreamWriter, adapter: Adapter) -> Self {
        let FeedParts { sink, spec, mixing, volume, muted, corked, name } = parts;
        Self {
            sink,
            spec,
            mixing,
            volume,
            muted,
            corked,
            name,
            stream,
            writer,
            adapter,
            readable: false,
            full: false,
            heard: Heard::default(),
            written: 0,
            flushed: FramePosition::ZERO,
            underruns: 0,
            playing: false,
            patient: false,
            directs: Vec::new(),
        }
    }

    /// The format of its engine stream.
    pub(super) fn format(&self) -> Format {
        self.adapter.format()
    }

    /// How loud its channels are, behind its volume.
    pub(super) fn levels(&self) -> Levels {
        self.writer.stats().levels
    }

    /// Gives the engine what is missing up to the lead, as far as the server has it. `passed`: a pass has just been.
    pub(super) fn top_up(
        &mut self,
        id: PlaybackId,
        server: &mut Server,
        now: Now,
        timing: Timing,
        room: &mut Vec<u8>,
    ) -> Look {
        let Timing { lead, behind, guess, .. } = timing;
        let mut look = Look::default();
        if self.corked || timing.suspended || !self.readable {
            return look;
        }
        let rate = self.adapter.format().rate;
        let mut queued = self.queued();
        let stats = self.writer.stats();
        let queued_then = rate.hns_of(u64::from(stats.queued.get()));
        if stats.frames > 0 && stats.latency > queued_then {
            look.onward = Some(Hns::new(stats.latency.get() - queued_then.get()).to_duration());
        }
        let dry = stats.underruns > self.underruns;
        if dry {
            self.underruns = stats.underruns;
            look.late = self.full;
            self.heard.begin();
            self.playing = false;
        }
        let frames = |time| FrameCount::new(u32::try_from(rate.frames_in_duration(time)).unwrap_or(0));
        let there = self.adapter.frames_of(server.available(id));
        // Apart enough for what is given to the engine at once not to turn it back.
        let stored = self.adapter.frames_of(server.stored(id));
        self.patient = stored >= if self.patient { frames(timing.longest) } else { frames(PLENTY) };
        let target = frames(if self.patient { lead.max(timing.longest) } else { lead });
        if !self.playing && !there.is_zero() {
            self.playing = true;
            if !self.patient {
                queued = self.wait_for_more(timing);
            }
        }
        let mut missing = target.saturating_sub(queued).min(self.writer.space());
        self.full = there >= missing;
        // A stream is dry, and its client told, when a pass has found nothing more of it, and the server has nothing either:
        // until then its client may still send.
        if !(dry && queued.is_zero() && there.is_zero()) {
            missing = missing.min(there);
        }
        look.hungry = !self.full;
        let wanted = self.adapter.bytes_for(missing);
        if wanted == 0 {
            return look;
        }
        room.resize(wanted, 0);
        let queued_time = rate.hns_of(u64::from(queued.get())).to_duration();
        let in_engine = Hns::from(queued_time + look.onward.unwrap_or(guess));
        let measured = in_engine.saturating_add(behind).to_duration();
        let played = rate.hns_of(self.written).to_duration();
        let heard_in = self.heard.measure(now.at, measured, played);
        let micros = u64::try_from(heard_in.as_micros()).unwrap_or(u64::MAX);
        let pulled = server.pull(id, room, micros, now);
        if pulled < wanted {
            // It has run dry: the server says when there is more.
            self.readable = false;
            look.hungry = false;
            // What comes next does not follow on this.
            self.begin();
        }
        let sound = self.adapter.for_engine(room.get(..pulled).unwrap_or_default());
        for direct in &mut self.directs {
            direct.write(sound);
        }
        let written = self.writer.write(sound);
        self.written = self.written.saturating_add(u64::from(written.get()));
        look.given = !written.is_zero();
        look
    }

    /// What the engine has of it that will be heard.
    fn queued(&self) -> FrameCount {
        let since = self.writer.written().get().saturating_sub(self.flushed.get());
        self.writer.queued().min(FrameCount::new(u32::try_from(since).unwrap_or(u32::MAX)))
    }

    /// What the engine has is not to be heard; answers up to where.
    pub(super) fn flush(&mut self) -> FramePosition {
        self.begin();
        self.flushed = self.writer.written();
        self.flushed
    }

    /// A stream begins: the passes of the next period and a half get silence. A client that sends a period's worth in each
    /// period may then be late by that much, and most of those that sleep between two pieces are some day. Answers what the
    /// engine has of it.
    fn wait_for_more(&mut self, Timing { period, next_pass, .. }: Timing) -> FrameCount {
        let queued = self.queued();
        if !queued.is_zero() {
            return queued;
        }
        let passes = if next_pass < period / 2 { 2 } else { 1 };
        let frames = self.adapter.format().rate.frames_in_duration(period * passes);
        let frames = FrameCount::new(u32::try_from(frames).unwrap_or(0)).min(self.writer.space());
        let written = self.writer.write(self.adapter.silence(frames));
        self.written = self.written.saturating_add(u64::from(written.get()));
        queued.saturating_add(written)
    }

    /// A new engine stream takes the place of the old one, which plays what it has: silence of that length comes first,
    /// so that they meet. Answers the old stream.
    pub(super) fn replace(&mut self, stream: StreamId, writer: StreamWriter, adapter: Adapter) -> StreamId {
        let left = self.adapter.format().rate.hns_of(u64::from(self.writer.queued().get())).to_duration();
        let old = std::mem::replace(&mut self.stream, stream);
        std::mem::replace(&mut self.writer, writer).finish();
        self.adapter = adapter;
        let silence = self.adapter.format().rate.frames_in_duration(left);
        let silence = FrameCount::new(u32::try_from(silence).unwrap_or(0)).min(self.writer.space());
        if !silence.is_zero() {
            let written = self.writer.write(self.adapter.silence(silence));
            self.written = u64::from(written.get());
        } else {
            self.written = 0;
        }
        self.underruns = 0;
        self.flushed = FramePosition::ZERO;
        self.full = false;
        self.heard.begin();
        old
    }

    /// The gain that the engine's stream is to have; what differs between channels is done to the samples.
    pub(super) fn level(&mut self) -> Gain {
        let (gain, shares) = balance::split(&self.volume);
        self.adapter.set_shares(&shares);
        gain
    }

    /// The stream goes on after a stop or a flush: times are measured anew.
    pub(super) fn begin(&mut self) {
        self.heard.begin();
        self.full = false;
        self.playing = false;
    }

    /// Whether nothing was ever written.
    pub(super) fn is_unused(&self) -> bool {
        self.written == 0
    }

    /// The engine stream ends when it has played what it has; how long that takes at most.
    pub(super) fn finish(self) -> (StreamId, Duration) {
        let left = self.adapter.format().rate.hns_of(u64::from(self.writer.queued().get())).to_duration();
        self.writer.finish();
        (self.stream, left)
    }
}

/// What a feed is made of.
#[derive(Clone, Debug)]
pub(super) struct FeedParts {
    pub(super) sink: SinkId,
    pub(super) spec: Spec,
    pub(super) mixing: Mixing,
    pub(super) volume: ChannelVolume,
    pub(super) muted: bool,
    pub(super) corked: bool,
    pub(super) name: String,
}

/// How far the thread keeps the engine's queues filled.
///
/// A pass takes a period from each queue, and wakes the thread; the thread has until the next pass to fill them again. So
/// one period and what a resampler may need beyond would do, if the thread always came in time. Where it came too late
/// the lead grows, by half a period each time, and in a minute without that it shrinks by a millisecond.
#[derive(Debug)]
pub(super) struct Lead {
    period: Duration,
    lead: Duration,
    calm_since: Instant,
}

impl Lead {
    const MARGIN: Duration = Duration::from_millis(5);
    const CALM: Duration = Duration::from_secs(60);
    const STEP_DOWN: Duration = Duration::from_millis(1);
    const PERIODS: u32 = 5;

    pub(super) fn new(period: Duration, now: Instant) -> Self {
        Self { period, lead: period + Self::MARGIN, calm_since: now }
    }

    pub(super) fn get(&self) -> Duration {
        self.lead
    }

    /// The longest that it becomes.
    pub(super) fn longest(&self) -> Duration {
        self.period * Self::PERIODS
    }

    /// A round of the thread took `took`: what is kept ahead must last for two of them, so that a pass that comes in the
    /// middle of one still finds a period. Answers whether the lead has changed.
    pub(super) fn needs(&mut self, took: Duration, now: Instant) -> bool {
        let needed = (self.period + Self::MARGIN + took * 2).min(self.longest());
        if took < self.period / 8 || needed <= self.lead {
            return false;
        }
        self.lead = needed;
        self.calm_since = now;
        true
    }

    /// A round of topping up is over; `late`: for a stream it came too late. Answers whether the lead has changed.
    pub(super) fn learn(&mut self, late: bool, now: Instant) -> bool {
        let before = self.lead;
        if late {
            self.lead = (self.lead + self.period / 2).min(self.longest());
            self.calm_since = now;
        } else if now.saturating_since(self.calm_since) >= Self::CALM {
            self.lead = self.lead.saturating_sub(Self::STEP_DOWN).max(self.period + Self::MARGIN);
            self.calm_since = now;
        }
        self.lead != before
    }
}

/// The layout of a device that is played to or recorded from.
pub(super) const DEVICE: ChannelLayout = ChannelLayout::STEREO;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lead_grows_where_the_thread_is_late_and_shrinks_in_calm() {
        let second = Duration::from_secs(1);
        let mut now = Instant::ORIGIN + second;
        let mut lead = Lead::new(Duration::from_millis(10), now);
        assert_eq!(lead.get(), Duration::from_millis(15));
        assert!(lead.learn(true, now));
        assert_eq!(lead.get(), Duration::from_millis(20));
        for _ in 0..20 {
            lead.learn(true, now);
        }
        assert_eq!(lead.get(), lead.longest());
        now += second * 59;
        assert!(!lead.learn(false, now));
        now += second;
        assert!(lead.learn(false, now));
        assert_eq!(lead.get(), Duration::from_millis(49));
        for _ in 0..100 {
            now += second * 60;
            lead.learn(false, now);
        }
        assert_eq!(lead.get(), Duration::from_millis(15));
        let ms = Duration::from_millis;
        assert!(!lead.needs(ms(1), now) && lead.needs(ms(3), now) && !lead.needs(ms(2), now));
        assert_eq!(lead.get(), ms(21));
    }
}
