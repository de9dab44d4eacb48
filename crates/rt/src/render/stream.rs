//! A stream that an application plays.

use soundpost_core::{FrameCount, FramePosition, Gain, Hns};
use soundpost_dsp::meter::BlockLevel;
use soundpost_dsp::mix;
use soundpost_dsp::ramp::Fader;
use soundpost_queue::frames::{FrameReader, Front};

use super::drain::Drains;
use super::group::Blocks;
use crate::levels::LevelWindow;
use crate::path::Path;
use crate::stats::{self, StreamStats};

/// The real-time side of a render stream: takes frames from its queue, adds them to the mix.
#[derive(Debug)]
pub struct RenderStream {
    input: FrameReader<f32>,
    path: Path,
    volume: Fader,
    /// Opens and closes with a ramp when the stream is resumed and paused.
    gate: Fader,
    paused: bool,
    /// How much has to be queued before playing starts.
    prebuffer: FrameCount,
    /// Not playing yet, or run dry: until enough is queued.
    waiting: bool,
    /// The path still holds sound.
    ringing: bool,
    /// Asked to say when everything written until then has been heard.
    drains: Drains,
    /// The writer is gone: where on the bus the last frame of all ended.
    ends_at: Option<u64>,
    /// The end was reported and nothing can follow.
    over: bool,
    moved: bool,
    /// It has run dry, which its writer may want to know.
    has_run_dry: bool,
    /// What the last packet was to this stream.
    course: Course,
    levels: LevelWindow,
    stats: StreamStats,
    publisher: stats::StreamWriter,
}

/// What a packet is to a stream, or to all streams of a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// Nothing comes from it: paused, not begun, run dry before, or over for longer.
    Absent,
    /// It goes on, or has run dry and is expected to go on.
    GoesOn,
    /// Its writer is gone, or has asked for it to be heard, and the packet's first so many frames are its last ones.
    Ends(FrameCount),
}

/// What a stream has for a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    queued: FrameCount,
    /// The writer is gone.
    ended: bool,
    /// What is queued plays, however little it is.
    ending: bool,
}

/// How a packet of a stream comes about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// Not at all.
    Nothing,
    /// The queue has all of its frames, and they go into the mix as they are, at this gain: several streams' at once.
    Whole(Offer, f32),
    /// What the queue has goes into the mix as it is: fewer frames than a packet, or while the volume changes.
    Queue(Offer),
    /// Through the path, or a pause's ramp.
    Carried(Offer),
}

impl Course {
    /// What the packet is to both: the end of all sound is the later one, unless something goes on.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::GoesOn, _) | (_, Self::GoesOn) => Self::GoesOn,
            (Self::Ends(a), Self::Ends(b)) => Self::Ends(a.max(b)),
            (Self::Absent, any) | (any, Self::Absent) => any,
        }
    }
}

/// What a stream is made of; allocated by the control side.
#[derive(Debug)]
pub struct RenderStreamParts {
    /// What the application has written, at the path's beginning.
    pub input: FrameReader<f32>,
    /// From the stream's rate and layout to the bus's.
    pub path: Path,
    /// Volume and mute, at the bus's rate.
    pub volume: Fader,
    /// Length of the ramp of a pause, at the bus's rate.
    pub ramp: FrameCount,
    /// Whether it starts paused.
    pub paused: bool,
    /// How much has to be queued before playing starts.
    pub prebuffer: FrameCount,
    /// Where statistics go.
    pub publisher: stats::StreamWriter,
}

impl RenderStream {
    /// A stream that has played nothing yet.
    #[must_use]
    pub fn new(parts: RenderStreamParts) -> Self {
        let RenderStreamParts { input, path, volume, ramp, paused, prebuffer, publisher } = parts;
        let mut gate = Fader::new(Gain::UNITY, ramp);
        gate.set_muted(paused);
        gate.settle();
        let levels = LevelWindow::new(path.to().rate);
        Self {
            input,
            path,
            volume,
            gate,
            paused,
            prebuffer,
            waiting: true,
            ringing: false,
            drains: Drains::default(),
            ends_at: None,
            over: false,
            moved: false,
            has_run_dry: false,
            course: Course::Absent,
            levels,
            stats: StreamStats::default(),
            publisher,
        }
    }

    /// Volume and mute.
    pub fn volume(&mut self) -> &mut Fader {
        &mut self.volume
    }

    /// Pauses (the next frames fade out, then nothing is taken from the queue) or goes on (fading in).
    pub fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
        self.gate.set_muted(paused);
        if self.stats.frames == 0 || (self.waiting && !self.ringing) {
            // Nothing is being heard that could fade: the next frames begin as they are, or wait.
            self.gate.settle();
        }
    }

    /// Asks for [`RenderStream::is_drained`] to say when everything written so far has been heard, whatever is
    /// written after it. Asked again before that, the later ones share one answer, which comes after the first.
    pub fn drain(&mut self) {
        if self.over {
            self.drains.ask_for_the_past();
        } else {
            self.drains.ask(self.stats.frames.saturating_add(u64::from(self.input.queued().get())));
        }
    }

    /// Throws away what is queued of the first `until` frames that were ever written. What was mixed already is heard, and
    /// what was written since stays.
    pub fn flush(&mut self, until: FramePosition) {
        let old = until.get().saturating_sub(self.stats.frames);
        let old = FrameCount::new(u32::try_from(old).unwrap_or(u32::MAX)).min(self.input.queued());
        self.input.discard(old);
        self.stats.frames = self.stats.frames.saturating_add(u64::from(old.get()));
        self.waiting = true;
    }

    /// Whether an idle bus has a reason to start.
    #[must_use]
    pub fn wants_passes(&self) -> bool {
        if self.over || self.is_closed() {
            return false;
        }
        let ended = self.input.is_peer_gone();
        let queued = self.input.queued();
        let ending = ended || self.drains.is_pending();
        ending || (!queued.is_zero() && queued >= self.prebuffer)
    }

    /// Whether frames moved since this was last asked, or the stream has run dry: its writer has a reason to look.
    pub fn take_moved(&mut self) -> bool {
        core::mem::take(&mut self.moved) | core::mem::take(&mut self.has_run_dry)
    }

    /// Whether the stream, asked to drain or finished by its writer, has been heard so far now that the bus has been
    /// heard up to frame `heard`. Stays so until [`RenderStream::settle_drained`].
    #[must_use]
    pub fn is_drained(&self, heard: u64) -> bool {
        self.is_ended(heard) || self.drains.is_heard(heard)
    }

    /// What [`RenderStream::is_drained`] said of `heard` was reported.
    pub fn settle_drained(&mut self, heard: u64) {
        self.over |= self.is_ended(heard);
        self.drains.settle(heard);
    }

    /// Whether the last frame of a stream whose writer is gone has been heard, and that was not reported yet.
    fn is_ended(&self, heard: u64) -> bool {
        !self.over && self.ends_at.is_some_and(|end| end <= heard)
    }

    /// Whether the bus has to go on for this stream.
    pub(crate) fn is_busy(&self) -> bool {
        // A paused stream keeps what its path holds; it rings on when the stream does.
        self.moved || (self.ringing && !self.is_closed()) || self.wants_passes()
    }

    /// What the packet that was mixed last was to this stream.
    pub(crate) fn course(&self) -> Course {
        self.course
    }

    /// What the stream has for the next packet: looked at once, before anything is taken.
    #[inline(always)]
    pub(crate) fn begin(&mut self, frames: FrameCount) -> Start {
        // The writer pushes before it closes: what is queued after this is all there will be.
        let ended = self.input.is_peer_gone();
        let ending = ended || self.drains.is_open();
        let queued = self.input.queued();
        let held = self.waiting && !ending && (queued < self.prebuffer || queued.is_zero());
        self.course = Course::Absent;
        if self.is_closed() || (held && !self.ringing) {
            if self.paused {
                // The queue ran dry before the fade was over.
                self.gate.settle();
            }
            self.volume.advance(frames);
            self.levels.add_silence(frames);
            return Start::Nothing;
        }
        let queued = if held { FrameCount::ZERO } else { queued };
        let offer = Offer { queued, ended, ending };
        let as_it_is = self.path.is_identity() && self.gate.steady() == Some(1.0);
        match self.volume.steady() {
            Some(gain) if as_it_is && queued >= frames && gain != 0.0 => Start::Whole(offer, gain),
            _ if as_it_is => Start::Queue(offer),
            _ => Start::Carried(offer),
        }
    }

    /// Adds what [`RenderStream::begin`] has found to the mix. Returns whether there may be
    /// sound in it.
    pub(crate) fn mix_into(&mut self, mix: &mut [f32], start: Start, blocks: &mut Blocks<'_>) -> bool {
        let Blocks { frames, end, source, between, block } = blocks;
        let (frames, end) = (*frames, *end);
        let (offer, (level, dry)) = match start {
            Start::Nothing => return false,
            Start::Whole(offer, _) | Start::Queue(offer) => (offer, self.mix_from_queue(mix, frames, offer)),
            Start::Carried(offer) => {
                let (produced, dry) = self.pull(frames, offer, source, between, block);
                let samples = produced.as_usize() * self.path.to().width();
                // Without a path to go, frames are mixed from where they were copied to.
                let sound = if self.path.is_identity() { source } else { block };
                (offer, (self.add(mix, sound.get_mut(..samples).unwrap_or_default()), dry))
            }
        };
        self.mixed(&level, frames, end, offer, dry)
    }

    /// The packet's frames where they lie in the queue: for [`Start::Whole`], to be mixed together with others'.
    pub(crate) fn front(&mut self, frames: FrameCount) -> Front<'_, f32> {
        self.input.front(frames)
    }

    /// All of a packet's frames were added to the mix from [`RenderStream::front`], and taken out of the queue.
    /// Returns whether there may be sound in them.
    pub(crate) fn mixed_whole(&mut self, level: &BlockLevel, frames: FrameCount, end: u64, offer: Offer) -> bool {
        let dry = self.note_taken(frames, frames, offer.ending);
        self.mixed(level, frames, end, offer, dry)
    }

    /// Notes what was added to the mix.
    fn mixed(&mut self, level: &BlockLevel, frames: FrameCount, end: u64, offer: Offer, dry: bool) -> bool {
        let Offer { ended, ending, .. } = offer;
        self.course = match (dry && !self.ringing, ended && self.ends_at.is_some()) {
            (true, false) if ending => Course::Ends(level.frames()),
            (true, true) => Course::Absent,
            _ => Course::GoesOn,
        };
        if self.drains.is_pending() {
            // What is inside of the path comes out so much later, unless it all came out just now.
            let inside = if self.ringing || !dry { u64::from(self.path.delay().get()) } else { 0 };
            self.drains.taken(self.stats.frames, end.saturating_add(inside));
        }
        if dry && !self.ringing {
            self.drains.all_out(end);
            if ended {
                self.ends_at.get_or_insert(end);
            }
        }
        let rest = frames.saturating_sub(level.frames());
        self.volume.advance(rest);
        self.levels.add(level);
        self.levels.add_silence(rest);
        !level.is_silent()
    }

    /// Adds frames to the mix from where they lie in the queue: what most streams do most of the time is done without
    /// a copy. Returns their level, and whether the queue ran dry.
    fn mix_from_queue(&mut self, mix: &mut [f32], frames: FrameCount, offer: Offer) -> (BlockLevel, bool) {
        let channels = self.path.to().layout.channels();
        let volume = &mut self.volume;
        let (taken, level) = self.input.take_with(frames.min(offer.queued), |first, second| {
            let mut level = mix::add_metered(mix, first, channels, volume);
            if let Some(mix) = mix.get_mut(first.len()..).filter(|_| !second.is_empty()) {
                level.join(&mix::add_metered(mix, second, channels, volume));
            }
            level
        });
        (level, self.note_taken(taken, frames, offer.ending))
    }

    /// Counts what was taken from the queue; returns whether it ran dry.
    fn note_taken(&mut self, taken: FrameCount, needed: FrameCount, ending: bool) -> bool {
        if !taken.is_zero() {
            self.stats.frames = self.stats.frames.saturating_add(u64::from(taken.get()));
            self.moved = true;
            self.waiting = false;
        }
        let dry = taken < needed;
        if dry && !self.waiting {
            self.waiting = true;
            if !ending {
                self.stats.underruns = self.stats.underruns.saturating_add(1);
                self.has_run_dry = true;
            }
        }
        dry
    }

    /// Takes frames from the queue and carries them to the bus's rate and layout. Returns how many there are, and
    /// whether the queue ran dry.
    fn pull(
        &mut self,
        frames: FrameCount,
        offer: Offer,
        source: &mut [f32],
        between: &mut [f32],
        block: &mut [f32],
    ) -> (FrameCount, bool) {
        let needed = self.path.needed_input(frames);
        let width = self.path.from().width();
        let asked = needed.min(offer.queued).as_usize() * width;
        let taken = self.input.read(source.get_mut(..asked).unwrap_or_default());
        let dry = self.note_taken(taken, needed, offer.ending);
        if self.path.is_identity() {
            return (taken, dry);
        }
        let input = source.get(..taken.as_usize() * width).unwrap_or_default();
        let room = frames.as_usize() * self.path.to().width();
        let block = block.get_mut(..room).unwrap_or_default();
        let mut produced = self.path.carry(input, between, block);
        if !taken.is_zero() {
            self.ringing = true;
        }
        if dry && self.ringing {
            let after = produced.as_usize() * self.path.to().width();
            produced = produced.saturating_add(self.path.flush(between, block.get_mut(after..).unwrap_or_default()));
            self.ringing = produced >= frames;
        }
        (produced, dry)
    }

    fn add(&mut self, mix: &mut [f32], sound: &mut [f32]) -> BlockLevel {
        let channels = self.path.to().layout.channels();
        if self.gate.steady() != Some(1.0) {
            self.gate.apply(sound, channels);
        }
        mix::add_metered(mix, sound, channels, &mut self.volume)
    }

    /// Nothing comes out: paused, and the fade is over.
    fn is_closed(&self) -> bool {
        self.paused && self.gate.is_silent()
    }

    /// Makes the statistics readable. `onward` is the latency from the mix to the endpoint.
    pub(crate) fn publish(&mut self, onward: Hns) {
        let queued = self.input.queued();
        let rates = (self.path.from().rate, self.path.to().rate);
        self.stats.queued = queued;
        let delay = self.path.delay();
        // A division for each stream and pass that most streams do not need.
        let inside = if delay.is_zero() { Hns::ZERO } else { rates.1.hns_of(u64::from(delay.get())) };
        self.stats.latency = rates.0.hns_of(u64::from(queued.get())).saturating_add(inside).saturating_add(onward);
        // Levels change ten times a second, the rest in every pass.
        match self.levels.take_changed() {
            Some(levels) => {
                self.stats.levels = levels;
                self.publisher.write(&self.stats);
            }
            None => self.publisher.write_first(&self.stats.counters()),
        }
    }

    /// The bus goes idle.
    pub(crate) fn idle(&mut self) {
        self.levels.clear();
        self.publish(Hns::ZERO);
    }
}
