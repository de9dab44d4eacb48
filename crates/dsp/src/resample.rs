//! One rate to another.
//!
//! A windowed-sinc filter is evaluated at each output frame's place among the input frames. Two ways, chosen at
//! construction:
//!
//! - **Fixed**: the ratio of the two rates is a fraction in lowest terms, `to / from = L / M`; the filter is tabulated
//!   at the `L` places that occur and nowhere else, so each output costs one scalar product per channel and nothing
//!   is interpolated. All streams of a ratio share one table. Ours.
//! - **Trimmable** ([`Resampler::set_trim`]), and where `L` is too large for a table: any ratio near the nominal one,
//!   through the library rubato; its filter is tabulated at 128 places and interpolated between four of them with a
//!   cubic. Several times the cost.
//!
//! What it does to sound, how that was measured, and why the other kinds were not chosen is in `RESAMPLING.md` beside
//! this crate's sources.

use core::fmt;

use soundpost_core::{ChannelCount, FrameCount, SampleRate};

use crate::num::usize_of_f64;
use crate::polyphase::{Filter, Polyphase, Source};
use crate::trimmable::Trimmable;

/// The filter wherever a listener could hear what lies beyond the lower rate's half: pass-band to 0.907 of it,
/// stop-band from it on.
const STEEP: Filter = Filter { taps: 160, cutoff: 0.9535, beta: 11.0 };
/// Upwards from 44.1 kHz or more. What lies just below the lower rate's half leaves an image just above it, both over 20
/// kHz: the filter may be as wide on that side too, and is little more than half as long.
const WIDE: Filter = Filter { taps: 96, cutoff: 1.0, beta: 13.0 };
/// From this rate on, an image above half the rate cannot be heard.
const WIDE_FROM: SampleRate = SampleRate::HZ_44100;
/// The most places that the filter is tabulated at for a fixed ratio: 11.025 or 44.1 to 48 or 192 kHz need 640.
const LARGEST_TABLE: usize = 640;

/// What a resampler is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResamplerConfig {
    /// The rate of what goes in.
    pub from: SampleRate,
    /// The rate of what comes out.
    pub to: SampleRate,
    /// Channels, interleaved on both sides.
    pub channels: ChannelCount,
    /// The most input frames that are worked on at once: about the input of a pass. More may be handed over; they
    /// are worked through in parts.
    pub max_block: FrameCount,
    /// How far [`Resampler::set_trim`] may go, in parts per million, up to [`ResamplerConfig::LARGEST_TRIM`]; 0 for a
    /// fixed ratio.
    pub max_trim: u32,
}

impl ResamplerConfig {
    /// The largest trim: 5 %, nearly a semitone.
    pub const LARGEST_TRIM: u32 = 50_000;
}

/// Why there is no resampler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResamplerError {
    /// The block size is 0.
    EmptyBlock,
    /// The trim range is larger than [`ResamplerConfig::LARGEST_TRIM`].
    TrimTooLarge(u32),
    /// The library refused; its reason.
    Library(String),
}

/// Converts one stream from one rate to another. Real-time safe after construction: no allocation, no lock; time is
/// bounded by the frames handed over.
pub struct Resampler {
    config: ResamplerConfig,
    kind: Kind,
}

enum Kind {
    /// Both rates are the same and stay so: frames are copied.
    Copy,
    Fixed(Polyphase),
    Trimmable(Box<Trimmable>),
}

/// What one call has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resampled {
    /// Input frames that were taken. The others are to be offered again.
    pub consumed: FrameCount,
    /// Output frames that were written, from the start.
    pub produced: FrameCount,
}

impl Resampler {
    /// Builds the filter's table (a few milliseconds), if no stream of that ratio has it yet, and all memory that will ever be used.
    ///
    /// # Errors
    /// [`ResamplerError`] for an empty block or too large a trim.
    pub fn new(config: ResamplerConfig) -> Result<Self, ResamplerError> {
        if config.max_block.is_zero() {
            return Err(ResamplerError::EmptyBlock);
        }
        if config.max_trim > ResamplerConfig::LARGEST_TRIM {
            return Err(ResamplerError::TrimTooLarge(config.max_trim));
        }
        Ok(Self { config, kind: Kind::new(&config)? })
    }

    /// What it was made for.
    #[must_use]
    pub fn config(&self) -> &ResamplerConfig {
        &self.config
    }

    /// How long sound stays inside, in output frames (rounded to the nearest): what goes in with frame `n` comes out
    /// `delay` frames after frame `n · to / from`. 48 or 80 frames at the lower rate: 1.1 ms from 44.1 to 48 kHz.
    ///
    /// The first frames that come out are thus silence. A trim does not change it.
    #[must_use]
    pub fn delay(&self) -> FrameCount {
        let frames = match &self.kind {
            Kind::Copy => return FrameCount::ZERO,
            Kind::Fixed(kind) => kind.delay(),
            Kind::Trimmable(kind) => kind.delay(),
        };
        FrameCount::from_usize(usize_of_f64(frames + 0.5))
    }

    /// Input frames that [`Resampler::process`] needs to be offered to write `output` frames; none if they are there
    /// already. Exact as long as that is within `max_block` and offered in one call; otherwise up to two frames too many,
    /// and offered in parts the last frame may want one more.
    pub fn needed_input(&mut self, output: FrameCount) -> FrameCount {
        FrameCount::from_usize(match &mut self.kind {
            Kind::Copy => return output,
            Kind::Fixed(kind) => kind.needed_input(output.as_usize()),
            Kind::Trimmable(kind) => kind.needed_input(output.as_usize()),
        })
    }

    /// Takes interleaved frames from `input` and writes interleaved frames to `output` until either is used up.
    ///
    /// Blocks may be of any size. Unless `output` is full, all of `input` has been taken.
    pub fn process(&mut self, input: &[f32], output: &mut [f32]) -> Resampled {
        let channels = self.config.channels.as_usize();
        let given = input.len() / channels;
        let (consumed, produced) = match &mut self.kind {
            Kind::Copy => {
                let samples = given.min(output.len() / channels) * channels;
                output[..samples].copy_from_slice(&input[..samples]);
                (samples / channels, samples / channels)
            }
            Kind::Fixed(kind) => kind.run(Source::Frames(input), given, output),
            Kind::Trimmable(kind) => kind.run(Source::Frames(input), given, output),
        };
        Resampled { consumed: FrameCount::from_usize(consumed), produced: FrameCount::from_usize(produced) }
    }

    /// Writes what is still inside after the last input, as much as `output` has room for; returns the frames
    /// written, 0 when there is nothing left. All that went in has then come out, without the filter's ringing
    /// after it. More input may follow; it continues as if the tail had been silence.
    pub fn flush(&mut self, output: &mut [f32]) -> FrameCount {
        FrameCount::from_usize(match &mut self.kind {
            Kind::Copy => 0,
            Kind::Fixed(kind) => kind.flush(output),
            Kind::Trimmable(kind) => kind.flush(output),
        })
    }

    /// Changes the ratio to `to / from · (1 + ppm / 10⁶)`, held within the configured range: a positive trim makes
    /// more output of the same input (it plays slower). The change is spread over the next block. Without a range
    /// nothing happens; not-a-number counts as 0.
    pub fn set_trim(&mut self, ppm: f64) {
        let range = f64::from(self.config.max_trim);
        let ppm = if ppm.is_nan() { 0.0 } else { ppm.clamp(-range, range) };
        if let Kind::Trimmable(kind) = &mut self.kind
            && self.config.max_trim > 0
        {
            kind.set_relative_ratio(1.0 + ppm * 1e-6);
        }
    }

    /// Forgets all sound inside and the trim, as if newly made.
    pub fn reset(&mut self) {
        match &mut self.kind {
            Kind::Copy => {}
            Kind::Fixed(kind) => kind.reset(),
            Kind::Trimmable(kind) => kind.reset(),
        }
    }
}

impl fmt::Debug for Resampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resampler").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Kind {
    fn new(config: &ResamplerConfig) -> Result<Self, ResamplerError> {
        let (from, to) = (FrameCount::new(config.from.get()).as_usize(), FrameCount::new(config.to.get()).as_usize());
        let divisor = greatest_common_divisor(from, to);
        if config.max_trim > 0 || to / divisor > LARGEST_TABLE {
            return Ok(Self::Trimmable(Box::new(Trimmable::new(config)?)));
        }
        if from == to {
            return Ok(Self::Copy);
        }
        let filter = if config.from >= WIDE_FROM && to > from { WIDE } else { STEEP };
        let (channels, max_block) = (config.channels.as_usize(), config.max_block.as_usize());
        Ok(Self::Fixed(Polyphase::new(to / divisor, from / divisor, filter, channels, max_block)))
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    let (mut a, mut b) = (a, b);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl fmt::Display for ResamplerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyBlock => f.write_str("a resampler cannot work in blocks of 0 frames: use the input of a pass"),
            Self::TrimTooLarge(ppm) => {
                write!(f, "a trim of {ppm} ppm is too large: use at most {} ppm", ResamplerConfig::LARGEST_TRIM)
            }
            Self::Library(reason) => write!(f, "the resampling library refused: {reason}"),
        }
    }
}

impl core::error::Error for ResamplerError {}
