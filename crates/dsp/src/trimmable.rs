//! A ratio near a nominal one, through the library rubato: trimmed by parts per million, or too odd for a table.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Adjustable, Async, FixedAsync, Indexing, Resampler as _, Resizable, SincInterpolationParameters,
    SincInterpolationType, WindowFunction,
};
use soundpost_core::FrameCount;

use crate::num::{f64_of_usize, usize_of_f64};
use crate::polyphase::Source;
use crate::resample::{ResamplerConfig, ResamplerError};

/// Taps of the filter, in frames of the lower rate. 160 are the fewest with a pass-band flat to 0.9 of its half.
const TAPS: usize = 160;
/// Where the filter has fallen by 6 dB, as a part of the lower rate's half: low enough that the stop-band (−100 dB)
/// begins at that half.
const CUTOFF: f32 = 0.946;
/// Places that the filter is tabulated at to be interpolated between.
const PLACES: usize = 128;

/// The library's resampler with a fixed number of input frames per call, set anew before each call; and the output
/// frames that there was no room for, at most as many as one input frame makes.
pub(crate) struct Trimmable {
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

impl Trimmable {
    pub(crate) fn new(config: &ResamplerConfig) -> Result<Self, ResamplerError> {
        let (from, to) = (FrameCount::new(config.from.get()).as_usize(), FrameCount::new(config.to.get()).as_usize());
        let ratio = f64_of_usize(to) / f64_of_usize(from);
        // The library counts taps in input frames; below the output's rate they reach as far in time as they must.
        let taps = (TAPS * from.max(to) / to).max(TAPS).next_multiple_of(8);
        let parameters = SincInterpolationParameters::new(taps, WindowFunction::BlackmanHarris)
            .f_cutoff(CUTOFF)
            .oversampling_factor(PLACES)
            .interpolation(SincInterpolationType::Cubic);
        // The reciprocal bound is the tighter one, and equality must pass despite rounding.
        let range = 1.0 / (1.0 - f64::from(config.max_trim) * 1e-6) + 1e-9;
        let (channels, max_block) = (config.channels.as_usize(), config.max_block.as_usize());
        let inner = Async::new_sinc(ratio, range, &parameters, max_block, channels, FixedAsync::Input)
            .map_err(|error| ResamplerError::Library(error.to_string()))?;
        let scratch = vec![0.0; inner.output_frames_max().saturating_mul(channels)];
        // The first output lies half the taps before the first input, plus one output period, plus one place.
        let delay = (f64_of_usize(taps / 2) - 1.0 / f64_of_usize(PLACES)) * ratio - 1.0;
        // The library withholds what the last two input frames make.
        let lead = taps / 2 + 2;
        Ok(Self { inner, channels, max_block, scratch, pending: 0..0, lead, tail: 0, delay })
    }

    /// Takes up to `given` frames from the source until `output` is full; returns frames taken and frames written.
    pub(crate) fn run(&mut self, source: Source<'_>, given: usize, output: &mut [f32]) -> (usize, usize) {
        if matches!(source, Source::Frames(_)) && given > 0 {
            self.tail = self.lead;
        }
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
        (consumed, produced)
    }

    /// Writes what is still inside; returns the frames written.
    pub(crate) fn flush(&mut self, output: &mut [f32]) -> usize {
        let (consumed, produced) = self.run(Source::Silence, self.tail, output);
        self.tail = self.tail.saturating_sub(consumed);
        produced
    }

    /// How long sound stays inside, in output frames.
    pub(crate) fn delay(&self) -> f64 {
        self.delay
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

    pub(crate) fn needed_input(&mut self, output: usize) -> usize {
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

    pub(crate) fn set_relative_ratio(&mut self, ratio: f64) {
        // Refused only outside of the range that the caller has held it in.
        let _ = self.inner.set_resample_ratio_relative(ratio, true);
    }

    pub(crate) fn reset(&mut self) {
        self.inner.reset();
        self.pending = 0..0;
        self.tail = 0;
    }
}
