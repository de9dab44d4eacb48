//! What is measured.

use soundpost_core::SampleFormat;

use crate::BenchError;
use crate::contract::{self, Calls};
use crate::kernels::{Decode, Encode, Library, PlainAdd};
use crate::rig::{PassRig, RigConfig};

/// Something that is measured again and again.
pub trait Case {
    /// Gets ready for one run; not measured.
    fn prepare(&mut self) {}

    /// One run.
    fn run(&mut self);
}

/// A case that can be made.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    name: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Pass { streams: usize, rate: u32, sample: SampleFormat },
    Idle,
    PlainAdd(usize),
    Library(usize),
    Decode(SampleFormat),
    Encode(SampleFormat),
    Render(Calls),
    Capture(Calls),
}

impl Recipe {
    /// What it is called; in `benches/counts.toml` too.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Makes it, and warms it up.
    ///
    /// # Errors
    /// [`BenchError`] where something is not as the case needs it.
    pub fn make(&self) -> Result<Box<dyn Case>, BenchError> {
        let pass = |streams, rate, sample| {
            PassRig::new(RigConfig { streams, rate, sample, listener: Some(SampleFormat::F32) })
        };
        Ok(match self.kind {
            Kind::Pass { streams, rate, sample } => Box::new(pass(streams, rate, sample)?),
            Kind::Idle => Box::new(PassRig::silent()?),
            Kind::PlainAdd(streams) => Box::new(PlainAdd::new(streams)?),
            Kind::Library(streams) => Box::new(Library::new(streams)?),
            Kind::Decode(format) => Box::new(Decode::new(format)?),
            Kind::Encode(format) => Box::new(Encode::new(format)?),
            Kind::Render(calls) => Box::new(contract::Render::new(calls)?),
            Kind::Capture(calls) => Box::new(contract::Capture::new(calls)?),
        })
    }

    /// The case of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        ALL.iter().copied().find(|recipe| recipe.name == name)
    }
}

const fn recipe(name: &'static str, kind: Kind) -> Recipe {
    Recipe { name, kind }
}

const fn pass(name: &'static str, streams: usize, rate: u32, sample: SampleFormat) -> Recipe {
    recipe(name, Kind::Pass { streams, rate, sample })
}

use SampleFormat::{F32, S16, S24, S24In32, S32, U8};

/// All cases. Passes are of 10 ms at 48 kHz, stereo, with meters, the limiter idle, and one listener (f32).
pub const ALL: &[Recipe] = &[
    pass("pass-1", 1, 48_000, F32),
    pass("pass-16", 16, 48_000, F32),
    pass("pass-64", 64, 48_000, F32),
    pass("pass-256", 256, 48_000, F32),
    pass("pass-1-resampled", 1, 44_100, F32),
    pass("pass-16-resampled", 16, 44_100, F32),
    pass("pass-64-resampled", 64, 44_100, F32),
    pass("pass-256-resampled", 256, 44_100, F32),
    recipe("pass-silent", Kind::Idle),
    recipe("plain-add-64", Kind::PlainAdd(64)),
    recipe("library-resampler-16", Kind::Library(16)),
    recipe("decode-u8", Kind::Decode(U8)),
    recipe("decode-s16", Kind::Decode(S16)),
    recipe("decode-s24", Kind::Decode(S24)),
    recipe("decode-s24in32", Kind::Decode(S24In32)),
    recipe("decode-s32", Kind::Decode(S32)),
    recipe("decode-f32", Kind::Decode(F32)),
    recipe("encode-u8", Kind::Encode(U8)),
    recipe("encode-s16", Kind::Encode(S16)),
    recipe("encode-s24", Kind::Encode(S24)),
    recipe("encode-s24in32", Kind::Encode(S24In32)),
    recipe("encode-s32", Kind::Encode(S32)),
    recipe("encode-f32", Kind::Encode(F32)),
    recipe("render-padding", Kind::Render(Calls::Padding)),
    recipe("render-packet", Kind::Render(Calls::Packet)),
    recipe("render-complete", Kind::Render(Calls::Complete)),
    recipe("render-all", Kind::Render(Calls::All)),
    recipe("capture-padding", Kind::Capture(Calls::Padding)),
    recipe("capture-packet", Kind::Capture(Calls::Packet)),
    recipe("capture-complete", Kind::Capture(Calls::Complete)),
    recipe("capture-all", Kind::Capture(Calls::All)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_can_be_made_and_run_and_has_a_name_of_its_own() {
        for (index, recipe) in ALL.iter().enumerate() {
            assert!(ALL[..index].iter().all(|other| other.name != recipe.name), "{}", recipe.name);
            if recipe.name.starts_with("pass-256") {
                // Like the others, and slow in a debug build.
                continue;
            }
            let mut case = recipe.make().unwrap();
            case.prepare();
            case.run();
            assert_eq!(Recipe::find(recipe.name).unwrap().name(), recipe.name);
        }
    }
}
