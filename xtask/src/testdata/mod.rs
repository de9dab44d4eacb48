//! `cargo xtask testdata`: makes the sound files of `testdata/`, so that it is known where each came from.
//!
//! Sound is computed here and encoded by Debian's `flac` and `ffmpeg`; `testdata/README.md` lists the commands. The
//! files are kept in the repository: tests and users need neither this nor an encoder.

mod music;
mod noise;
mod wav;

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::packages;
use crate::process;
use wav::{Samples, Sound};

/// The file that the README plays.
const WELCOME_RATE: u32 = 48_000;

/// Length of a file for tests of decoders.
const TEST_SECONDS: u32 = 2;

/// Makes all of them.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    packages::ensure(packages::ENCODERS)?;
    let (kept, scratch) = (root.join("testdata"), root.join("target/xtask/testdata"));
    for folder in [&kept, &scratch] {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let welcome = scratch.join("welcome.wav");
    music::welcome(WELCOME_RATE).write(&welcome)?;
    flac(&welcome, &kept.join("welcome.flac"))?;

    let stereo = kept.join("noise-s16.wav");
    let left_and_right = noise::interleaved(&[1, 2], TEST_SECONDS * 48_000);
    Sound { rate: 48_000, channels: 2, samples: Samples::S16(noise::as_s16(&left_and_right)) }.write(&stereo)?;
    let mono = noise::interleaved(&[3], TEST_SECONDS * 44_100);
    Sound { rate: 44_100, channels: 1, samples: Samples::S24(noise::as_s24(&mono)) }
        .write(&kept.join("noise-s24.wav"))?;
    let mono = noise::interleaved(&[4], TEST_SECONDS * 48_000);
    Sound { rate: 48_000, channels: 1, samples: Samples::F32(noise::as_f32(&mono)) }
        .write(&kept.join("noise-f32.wav"))?;
    flac(&stereo, &kept.join("noise.flac"))?;
    ffmpeg(&stereo, &["-c:a", "libvorbis", "-q:a", "5"], &kept.join("noise.ogg"))?;
    ffmpeg(&stereo, &["-c:a", "libmp3lame", "-b:a", "160k"], &kept.join("noise.mp3"))?;
    ffmpeg(&stereo, &["-c:a", "aac", "-b:a", "160k", "-movflags", "+faststart"], &kept.join("noise.m4a"))
}

fn flac(from: &Path, to: &Path) -> Result<(), String> {
    let options = ["--best", "--force", "--no-padding", "--silent", "-o"];
    process::run(Command::new("flac").args(options).arg(to).arg(from))
}

/// Without anything in the file that depends on the day or the version of ffmpeg's name.
fn ffmpeg(from: &Path, codec: &[&str], to: &Path) -> Result<(), String> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-loglevel", "error", "-y", "-i"]).arg(from).args(["-map_metadata", "-1"]);
    process::run(command.args(codec).args(["-fflags", "+bitexact", "-flags:a", "+bitexact"]).arg(to))
}
