//! Plain code to compare with, and single steps of the signal path.

use std::hint::black_box;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Async, FixedAsync, Resampler as _, SincInterpolationParameters, SincInterpolationType, WindowFunction};
use soundpost_core::{FrameCount, SampleFormat};
use soundpost_dsp::convert;

use crate::BenchError;
use crate::cases::Case;
use crate::rig::{FRAMES, sound, stereo};

/// Adds up blocks by the plainest loop there is. Before each run the blocks are written anew from bytes, as a stream's
/// queue is: they are as warm as that.
pub(crate) struct PlainAdd {
    bytes: Vec<u8>,
    sources: Vec<Vec<f32>>,
    mix: Vec<f32>,
}

impl PlainAdd {
    pub(crate) fn new(streams: usize) -> Result<Self, BenchError> {
        let frames = FrameCount::new(FRAMES);
        let samples = frames.as_usize() * 2;
        let bytes = sound(stereo(SampleFormat::F32, 48_000)?, frames);
        Ok(Self { bytes, sources: vec![vec![0.0; samples]; streams], mix: vec![0.0; samples] })
    }
}

impl Case for PlainAdd {
    fn prepare(&mut self) {
        for source in &mut self.sources {
            convert::decode(SampleFormat::F32, black_box(&self.bytes), source);
        }
    }

    fn run(&mut self) {
        self.mix.fill(0.0);
        for source in &self.sources {
            plain_add(black_box(&mut self.mix), black_box(source));
        }
    }
}

/// What the compiler vectorises without help, for the processor that everything else is built for.
fn plain_add(mix: &mut [f32], source: &[f32]) {
    for (mix, sample) in mix.iter_mut().zip(source) {
        *mix += *sample;
    }
}

/// The resampling library called alone, 44.1 to 48 kHz, with a filter as long as the engine's streams have and in chunks
/// of 10 ms, once for each stream.
pub(crate) struct Library {
    bytes: Vec<u8>,
    streams: Vec<(Async<f32>, Vec<f32>)>,
    output: Vec<f32>,
}

/// 10 ms at 44.1 kHz.
const CHUNK: usize = 441;
const ROOM: usize = 600;

impl Library {
    pub(crate) fn new(streams: usize) -> Result<Self, BenchError> {
        // crates/dsp/src/resample.rs has as many taps for two rates that stand as 160 to 147, and as many places.
        let parameters = SincInterpolationParameters::new(96, WindowFunction::BlackmanHarris)
            .f_cutoff(0.946)
            .oversampling_factor(160)
            .interpolation(SincInterpolationType::Nearest);
        let bytes = sound(stereo(SampleFormat::F32, 44_100)?, FrameCount::from_usize(CHUNK));
        let stream = || {
            Async::new_sinc(48_000.0 / 44_100.0, 1.0, &parameters, CHUNK, 2, FixedAsync::Input)
                .map(|library| (library, vec![0.0; 2 * CHUNK]))
                .map_err(|error| BenchError::Resampler(error.to_string()))
        };
        let streams = (0..streams).map(|_| stream()).collect::<Result<_, _>>()?;
        Ok(Self { bytes, streams, output: vec![0.0; 2 * ROOM] })
    }
}

impl Case for Library {
    fn prepare(&mut self) {
        for (_, input) in &mut self.streams {
            convert::decode(SampleFormat::F32, black_box(&self.bytes), input);
        }
    }

    fn run(&mut self) {
        for (library, input) in &mut self.streams {
            let from = InterleavedSlice::new(black_box(&input[..]), 2, CHUNK);
            let to = InterleavedSlice::new_mut(&mut self.output[..], 2, ROOM);
            if let (Ok(from), Ok(mut to)) = (from, to) {
                let _ = black_box(library.process_into_buffer(&from, &mut to, None));
            }
        }
    }
}

/// Bytes of a format to samples.
pub(crate) struct Decode(pub(crate) SampleFormat, Vec<u8>, Vec<f32>);

/// Samples to bytes of a format.
pub(crate) struct Encode(pub(crate) SampleFormat, Vec<u8>, Vec<f32>);

impl Decode {
    pub(crate) fn new(format: SampleFormat) -> Result<Self, BenchError> {
        let (bytes, samples) = block(format)?;
        Ok(Self(format, bytes, samples))
    }
}

impl Encode {
    pub(crate) fn new(format: SampleFormat) -> Result<Self, BenchError> {
        let (bytes, mut samples) = block(format)?;
        convert::decode(format, &bytes, &mut samples);
        Ok(Self(format, bytes, samples))
    }
}

fn block(format: SampleFormat) -> Result<(Vec<u8>, Vec<f32>), BenchError> {
    let frames = FrameCount::new(FRAMES);
    Ok((sound(stereo(format, 48_000)?, frames), vec![0.0; frames.as_usize() * 2]))
}

impl Case for Decode {
    fn run(&mut self) {
        black_box(convert::decode(self.0, black_box(&self.1), black_box(&mut self.2)));
    }
}

impl Case for Encode {
    fn run(&mut self) {
        black_box(convert::encode(self.0, black_box(&self.2), black_box(&mut self.1)));
    }
}
