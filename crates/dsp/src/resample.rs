//! One rate to another, through the library rubato.
//!
//! A windowed-sinc filter of 160 taps (at the lower of the two rates) is evaluated at each output frame's place among
//! the input frames. Two ways, chosen at construction:
//!
//! - **Fixed**: the ratio of the two rates is a fraction in lowest terms, `to / from = L / M`; the filter is tabulated
//!   at the `L` places that occur and nowhere else, so each output costs one scalar product per channel and nothing
//!   is interpolated. Where `L` is too large for a table, as below.
//! - **Trimmable** ([`Resampler::set_trim`]): any ratio near the nominal one; the filter is tabulated at 128 places
//!   and interpolated between four of them with a cubic. About twice the cost.
//!
//! What it does to sound, how that was measured, and why the other kinds of the library were not chosen is in
//! `RESAMPLING.md` beside this crate's sources.

use core::fmt;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Adjustable, Async, FixedAsync, Indexing, Resampler as _, Resizable, SincInterpolationParameters,
    SincInterpolationType, WindowFunction,
};
use soundpost_core::{ChannelCount, FrameCount, SampleRate};

use crate::num::{f64_of_usize, usize_of_f64};

/// Taps of the filter, in frames of the lower rate. 160 are the fewest with a pass-band flat to 0.9 of its half.
const TAPS: usize = 160;
/// Where the filter has fallen by 6 dB, as a part of the lower rate's half: low enough that the stop-band (−100 dB)
/// begins at that half.
const CUTOFF: f32 = 0.946;
/// The most places that the filter is tabulated at for a fixed ratio: 11.025 or 44.1 to 48 or 192 kHz need 640.
const LARGEST_TABLE: usize = 640;
/// Places that the filter is tabulated at to be interpolated between.
const CUBIC_TABLE: usize = 128;

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
    /// None where both rates are the same and stay so: frames are copied.
    engine: Option<Engine>,
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
    /// Builds the filter's table (a few milliseconds) and all memory that will ever be used.
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
        let engine = if config.from == config.to && config.max_trim == 0 { None } else { Some(Engine::new(&config)?) };
        Ok(Self { config, engine })
    }

    /// What it was made for.
    #[must_use]
    pub fn config(&self) -> &ResamplerConfig {
        &self.config
    }

    /// How long sound stays inside, in output frames (rounded to the nearest): what goes in with frame `n` comes out
    /// `delay` frames after frame `n · to / from`. 80 frames at the lower rate: 1.8 ms between 44.1 and 48 kHz.
    ///
    /// The first frames that come out are thus silence. A trim does not change it.
    #[must_use]
    pub fn delay(&self) -> FrameCount {
        self.engine.as_ref().map_or(FrameCount::ZERO, |engine| FrameCount::from_usize(usize_of_f64(engine.delay + 0.5)))
    }

    /// Input frames that [`Resampler::process`] needs to be offered to write `output` frames; none if they are there
    /// already. Exact as long as that is within `max_block` and offered in one call; otherwise up to two frames too many,
    /// and offered in parts the last frame may want one more.
    pub fn needed_input(&mut self, output: FrameCount) -> FrameCount {
        match &mut self.engine {
            None => output,
            Some(engine) => FrameCount::from_usize(engine.needed_input(output.as_usize())),
        }
    }

    /// Takes interleaved frames from `input` and writes interleaved frames to `output` until either is used up.
    ///
    /// Blocks may be of any size. Unless `output` is full, all of `input` has been taken.
    pub fn process(&mut self, input: &[f32], output: &mut [f32]) -> Resampled {
        let channels = self.config.channels.as_usize();
        match &mut self.engine {
            None => {
                let samples = input.len().min(output.len());
                let samples = samples - samples % channels;
                output[..samples].copy_from_slice(&input[..samples]);
                let frames = FrameCount::from_usize(samples / channels);
                Resampled { consumed: frames, produced: frames }
            }
            Some(engine) => {
                let given = input.len() / channels;
                if given > 0 {
                    engine.tail = engine.lead;
                }
                engine.run(Source::Frames(input), given, output)
            }
        }
    }

    /// Writes what is still inside after the last input, as much as `output` has room for; returns the frames
    /// written, 0 when there is nothing left. All that went in has then come out, without the filter's ringing
    /// after it. More input may follow; it continues as if the tail had been silence.
    pub fn flush(&mut self, output: &mut [f32]) -> FrameCount {
        let Some(engine) = &mut self.engine else { return FrameCount::ZERO };
        let done = engine.run(Source::Silence, engine.tail, output);
        engine.tail = engine.tail.saturating_sub(done.consumed.as_usize());
        done.produced
    }

    /// Changes the ratio to `to / from · (1 + ppm / 10⁶)`, held within the configured range: a positive trim makes
    /// more output of the same input (it plays slower). The change is spread over the next block. Without a range
    /// nothing happens; not-a-number counts as 0.
    pub fn set_trim(&mut self, ppm: f64) {
        let range = f64::from(self.config.max_trim);
        let ppm = if ppm.is_nan() { 0.0 } else { ppm.clamp(-range, range) };
        if let Some(engine) = &mut self.engine
            && self.config.max_trim > 0
        {
            engine.set_relative_ratio(1.0 + ppm * 1e-6);
        }
    }

    /// Forgets all sound inside and the trim, as if newly made.
    pub fn reset(&mut self) {
        if let Some(engine) = &mut self.engine {
            engine.reset();
        }
    }
}

impl fmt::Debug for Resampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resampler").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Where input comes from.
#[derive(Clone, Copy)]
enum Source<'a> {
    Frames(&'a [f32]),
    Silence,
}

/// The library's resampler with a fixed number of input frames per call, set anew before each call; and the output
/// frames that there was no room for, at most as many as one input frame makes.
struct Engine {
    inner: Async<f32>,
    channels: usize,
    max_block: usize,
    /// Output of the last call, interleaved, and which frames of it have not been handed on.
    scratch: Vec<f32>,
    pending: core::ops::Range<usize>,
    /// Silent input frames that push out all that went in.
    lead: usize,
    /// Silent input frames that a flush has yet to push in.
    tail: usize,
    delay: f64,
}

impl Engine {
    fn new(config: &ResamplerConfig) -> Result<Self, ResamplerError> {
        let (from, to) = (FrameCount::new(config.from.get()).as_usize(), FrameCount::new(config.to.get()).as_usize());
        let ratio = f64_of_usize(to) / f64_of_usize(from);
        // The library counts taps in input frames; below the output's rate they reach as far in time as they must.
        let taps = (TAPS * from.max(to) / to).max(TAPS).next_multiple_of(8);
        let places = to / greatest_common_divisor(from, to);
        let (places, interpolation) = if config.max_trim == 0 && places <= LARGEST_TABLE {
            (places, SincInterpolationType::Nearest)
        } else {
            (CUBIC_TABLE, SincInterpolationType::Cubic)
        };
        let parameters = SincInterpolationParameters::new(taps, WindowFunction::BlackmanHarris)
            .f_cutoff(CUTOFF)
            .oversampling_factor(places)
            .interpolation(interpolation);
        // The reciprocal bound is the tighter one, and equality must pass despite rounding.
        let range = 1.0 / (1.0 - f64::from(config.max_trim) * 1e-6) + 1e-9;
        let (channels, max_block) = (config.channels.as_usize(), config.max_block.as_usize());
        let inner = Async::new_sinc(ratio, range, &parameters, max_block, channels, FixedAsync::Input)
            .map_err(|error| ResamplerError::Library(error.to_string()))?;
        let scratch = vec![0.0; inner.output_frames_max().saturating_mul(channels)];
        // The first output lies half the taps before the first input, plus one output period, plus one place.
        let delay = (f64_of_usize(taps / 2) - 1.0 / f64_of_usize(places)) * ratio - 1.0;
        // The library withholds what the last two input frames make.
        let lead = taps / 2 + 2;
        Ok(Self { inner, channels, max_block, scratch, pending: 0..0, lead, tail: 0, delay })
    }

    /// Takes up to `given` frames from the source until `output` is full.
    fn run(&mut self, source: Source<'_>, given: usize, output: &mut [f32]) -> Resampled {
        let room = output.len() / self.channels;
        let (mut consumed, mut produced) = (0, 0);
        loop {
            produced += self.hand_on(&mut output[produced * self.channels..]);
            if produced >= room || consumed >= given {
                break;
            }
            let chunk = self.chunk_for(room - produced, (given - consumed).min(self.max_block));
            self.push(source, consumed, chunk);
            consumed += chunk;
        }
        Resampled { consumed: FrameCount::from_usize(consumed), produced: FrameCount::from_usize(produced) }
    }

    /// Moves pending frames out; returns how many.
    fn hand_on(&mut self, output: &mut [f32]) -> usize {
        let frames = self.pending.len().min(output.len() / self.channels);
        let start = self.pending.start * self.channels;
        let samples = frames * self.channels;
        output[..samples].copy_from_slice(&self.scratch[start..start + samples]);
        self.pending.start += frames;
        frames
    }

    /// Runs the library over `chunk` input frames, which are set as its chunk size already. Nothing is pending.
    fn push(&mut self, source: Source<'_>, offset: usize, chunk: usize) {
        let frames = self.scratch.len() / self.channels;
        let (input, indexing) = match source {
            Source::Frames(input) => (&input[offset * self.channels..], None),
            Source::Silence => (&[][..], Some(Indexing::new().partial_len(0))),
        };
        let available = input.len() / self.channels;
        debug_assert!(matches!(source, Source::Silence) || available >= chunk);
        let adapters = (
            InterleavedSlice::new(input, self.channels, available),
            InterleavedSlice::new_mut(&mut self.scratch[..], self.channels, frames),
        );
        // The sizes have been asked of the library itself, so neither refuses; if one did, the chunk would be lost.
        let produced = match adapters {
            (Ok(input), Ok(mut output)) => {
                self.inner.process_into_buffer(&input, &mut output, indexing.as_ref()).map_or(0, |(_, out)| out)
            }
            _ => 0,
        };
        self.pending = 0..produced;
    }

    /// The fewest input frames, up to `most`, that make at least `wanted` output frames; `most` if those make fewer.
    /// Leaves the library set to that number.
    fn chunk_for(&mut self, wanted: usize, most: usize) -> usize {
        if self.output_of(most) <= wanted {
            return most;
        }
        // From a guess that is off by the rounding of the library, to the exact number: two or three steps.
        let missing = wanted.saturating_sub(self.output_of(1));
        let mut chunk = usize_of_f64(f64_of_usize(missing) / self.inner.resample_ratio()).clamp(1, most);
        while chunk > 1 && self.output_of(chunk - 1) >= wanted {
            chunk -= 1;
        }
        while chunk < most && self.output_of(chunk) < wanted {
            chunk += 1;
        }
        self.output_of(chunk);
        chunk
    }

    /// The output frames that the library makes of the next `chunk` input frames (1 to `max_block`).
    fn output_of(&mut self, chunk: usize) -> usize {
        // Refused only for 0 and above max_block.
        let _ = self.inner.set_chunk_size(chunk);
        self.inner.output_frames_next()
    }

    fn needed_input(&mut self, output: usize) -> usize {
        let wanted = output.saturating_sub(self.pending.len());
        if wanted == 0 {
            return 0;
        }
        let most = self.output_of(self.max_block);
        if wanted <= most {
            return self.chunk_for(wanted, self.max_block);
        }
        self.max_block + usize_of_f64(f64_of_usize(wanted - most) / self.inner.resample_ratio()) + 2
    }

    fn set_relative_ratio(&mut self, ratio: f64) {
        // Refused only outside of the range that the caller has held it in.
        let _ = self.inner.set_resample_ratio_relative(ratio, true);
    }

    fn reset(&mut self) {
        self.inner.reset();
        self.pending = 0..0;
        self.tail = 0;
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
