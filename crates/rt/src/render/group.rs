//! Several streams at once: the mix is loaded and stored once for all of them.

use soundpost_core::{ChannelCount, FrameCount};
use soundpost_dsp::mix::{self, GROUP};

use super::stream::{Course, Offer, RenderStream, Start};

/// One packet, and room to work in.
pub(crate) struct Blocks<'a> {
    pub(super) frames: FrameCount,
    /// Where on the bus the packet ends.
    pub(super) end: u64,
    pub(super) source: &'a mut [f32],
    pub(super) between: &'a mut [f32],
    pub(super) block: &'a mut [f32],
}

/// What a packet of all streams came to.
pub(super) struct Mixed {
    /// There may be sound in it.
    pub(super) sounds: bool,
    /// A stream has a reason to go on.
    pub(super) busy: bool,
    pub(super) course: Course,
}

impl Mixed {
    fn note(&mut self, stream: &RenderStream, sounds: bool) {
        self.sounds |= sounds;
        self.busy |= stream.is_busy();
        self.course = self.course.and(stream.course());
    }
}

/// A stream whose packet lies in its queue and is mixed together with the next ones'.
struct Held<'a> {
    stream: &'a mut RenderStream,
    offer: Offer,
    gain: f32,
}

/// Adds the next packet of every stream to the mix, in the streams' order: sums of floats depend on it, and a stream's
/// way through the pass must not change what is heard.
pub(super) fn mix<S: AsMut<RenderStream>>(
    mix: &mut [f32],
    streams: &mut [S],
    channels: ChannelCount,
    blocks: &mut Blocks<'_>,
) -> Mixed {
    let mut mixed = Mixed { sounds: false, busy: false, course: Course::Absent };
    let mut held: [Option<Held<'_>>; GROUP] = [const { None }; GROUP];
    let mut count = 0;
    for stream in streams {
        let stream = stream.as_mut();
        match stream.begin(blocks.frames) {
            // Nothing is added: those before it and after it may be added together.
            Start::Nothing => mixed.note(stream, false),
            Start::Whole(offer, gain) => {
                if let Some(place) = held.get_mut(count) {
                    *place = Some(Held { stream, offer, gain });
                    count += 1;
                }
                if count == GROUP {
                    count = 0;
                    together(mix, &mut held, channels, blocks, &mut mixed);
                }
            }
            start @ (Start::Queue(_) | Start::Carried(_)) => {
                count = 0;
                one_by_one(mix, &mut held, blocks, &mut mixed);
                alone(mix, stream, start, blocks, &mut mixed);
            }
        }
    }
    one_by_one(mix, &mut held, blocks, &mut mixed);
    mixed
}

/// Adds a whole group's packets at once.
fn together(
    mix: &mut [f32],
    held: &mut [Option<Held<'_>>; GROUP],
    channels: ChannelCount,
    blocks: &mut Blocks<'_>,
    mixed: &mut Mixed,
) {
    let frames = blocks.frames;
    if let [Some(a), Some(b), Some(c), Some(d)] = held {
        let gains = [a.gain, b.gain, c.gain, d.gain];
        let fronts = (a.stream.front(frames), b.stream.front(frames), c.stream.front(frames), d.stream.front(frames));
        let parts = [fronts.0.parts(), fronts.1.parts(), fronts.2.parts(), fronts.3.parts()];
        // Where a queue's end and beginning meet within a packet, there are two parts, and each stream goes alone.
        if parts.iter().all(|(first, second)| first.len() == mix.len() && second.is_empty()) {
            let levels = mix::add_group(mix, parts.map(|(first, _)| first), channels, gains);
            fronts.0.take();
            fronts.1.take();
            fronts.2.take();
            fronts.3.take();
            for (held, level) in held.iter_mut().zip(&levels) {
                if let Some(Held { stream, offer, .. }) = held.take() {
                    let sounds = stream.mixed_whole(level, frames, blocks.end, offer);
                    mixed.note(stream, sounds);
                }
            }
            return;
        }
    }
    one_by_one(mix, held, blocks, mixed);
}

/// Adds the packets of a group that is not to be, in its order.
fn one_by_one(mix: &mut [f32], held: &mut [Option<Held<'_>>; GROUP], blocks: &mut Blocks<'_>, mixed: &mut Mixed) {
    for Held { stream, offer, gain } in held.iter_mut().filter_map(Option::take) {
        alone(mix, stream, Start::Whole(offer, gain), blocks, mixed);
    }
}

fn alone(mix: &mut [f32], stream: &mut RenderStream, start: Start, blocks: &mut Blocks<'_>, mixed: &mut Mixed) {
    let sounds = stream.mix_into(mix, start, blocks);
    mixed.note(stream, sounds);
}
