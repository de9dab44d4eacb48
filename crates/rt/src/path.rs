//! From one rate and layout to another.

use soundpost_core::{ChannelLayout, FrameCount, SampleRate};
use soundpost_dsp::remap::Remap;
use soundpost_dsp::resample::{Resampler, ResamplerConfig, ResamplerError};

/// Rate and layout of a place that sound passes; samples are 32-bit floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Frames per second.
    pub rate: SampleRate,
    /// Channels.
    pub layout: ChannelLayout,
}

impl Place {
    /// Channels as a length of memory.
    #[must_use]
    pub fn width(self) -> usize {
        self.layout.channels().as_usize()
    }
}

/// The way of sound between two places: channels mapped, rate converted, whichever is needed. Rates are converted on
/// the side with fewer channels.
#[derive(Debug)]
pub struct Path {
    from: Place,
    to: Place,
    remap: Remap,
    resampler: Option<Resampler>,
}

impl Path {
    /// The way between two places for blocks of at most `largest` frames at `from`. Allocates; control side.
    ///
    /// # Errors
    /// The resampler's [`ResamplerError`], for an empty largest block.
    pub fn new(from: Place, to: Place, largest: FrameCount) -> Result<Self, ResamplerError> {
        let resampler = if from.rate == to.rate {
            None
        } else {
            let channels = from.layout.channels().min(to.layout.channels());
            let config = ResamplerConfig { from: from.rate, to: to.rate, channels, max_block: largest, max_trim: 0 };
            Some(Resampler::new(config)?)
        };
        Ok(Self { from, to, remap: Remap::new(from.layout, to.layout), resampler })
    }

    /// Where sound comes from.
    #[must_use]
    pub fn from(&self) -> Place {
        self.from
    }

    /// Where sound goes.
    #[must_use]
    pub fn to(&self) -> Place {
        self.to
    }

    /// Whether frames pass as they are.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.resampler.is_none() && self.remap.is_identity()
    }

    /// Frames at `from` that make `output` frames at `to`; fewer when some are inside already.
    pub fn needed_input(&mut self, output: FrameCount) -> FrameCount {
        match &mut self.resampler {
            Some(resampler) => resampler.needed_input(output),
            None => output,
        }
    }

    /// The most frames at `to` that `input` frames at `from` make in one call.
    #[must_use]
    pub fn largest_output(from: SampleRate, to: SampleRate, input: FrameCount) -> FrameCount {
        let frames = (u64::from(input.get()) * u64::from(to.get())).div_ceil(u64::from(from.get()));
        FrameCount::new(u32::try_from(frames).unwrap_or(u32::MAX)).saturating_add(FrameCount::new(4))
    }

    /// How long sound stays inside, in frames at `to`.
    #[must_use]
    pub fn delay(&self) -> FrameCount {
        self.resampler.as_ref().map_or(FrameCount::ZERO, Resampler::delay)
    }

    /// Carries `input` into `output`; returns the frames written. Takes no more input than [`Path::needed_input`] of
    /// the output's room: the caller offers no more, or gives room enough. `between` has room for the larger block.
    pub fn carry(&mut self, input: &[f32], between: &mut [f32], output: &mut [f32]) -> FrameCount {
        let Self { from, to, remap, resampler } = self;
        let Some(resampler) = resampler else { return remap.process(input, output) };
        if remap.is_identity() {
            resampler.process(input, output).produced
        } else if to.width() < from.width() {
            let mapped = remap.process(input, between).as_usize() * to.width();
            resampler.process(between.get(..mapped).unwrap_or_default(), output).produced
        } else {
            let room = output.len() / to.width() * from.width();
            let room = room.min(between.len());
            let resampled = resampler.process(input, between.get_mut(..room).unwrap_or_default());
            let samples = resampled.produced.as_usize() * from.width();
            remap.process(between.get(..samples).unwrap_or_default(), output)
        }
    }

    /// Forgets what is inside: what follows has nothing to do with it.
    pub fn reset(&mut self) {
        if let Some(resampler) = &mut self.resampler {
            resampler.reset();
        }
    }

    /// Brings out what is still inside when nothing follows; returns the frames written, 0 when there is nothing left.
    pub fn flush(&mut self, between: &mut [f32], output: &mut [f32]) -> FrameCount {
        let Self { from, to, remap, resampler } = self;
        let Some(resampler) = resampler else { return FrameCount::ZERO };
        if remap.is_identity() || to.width() < from.width() {
            return resampler.flush(output);
        }
        let room = (output.len() / to.width() * from.width()).min(between.len());
        let samples = resampler.flush(between.get_mut(..room).unwrap_or_default()).as_usize() * from.width();
        remap.process(between.get(..samples).unwrap_or_default(), output)
    }
}
