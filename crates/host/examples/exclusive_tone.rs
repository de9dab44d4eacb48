//! A client of exclusive mode: plays three seconds of 440 Hz into an endpoint of a running `soundpost serve`.
//!
//! ```sh
//! soundpost serve --rdp off --render out.wav &
//! cargo run -p soundpost-host --example exclusive_tone -- ~/.local/state/soundpost/control.sock out.wav
//! ```
//!
//! The second argument names the endpoint (`soundpost endpoints` lists them) and may be left out where there is one.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example says what it does")]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use soundpost_core::FrameCount;
use soundpost_dsp::convert::encode;
use soundpost_endpoint::DataFlow;
use soundpost_host::exclusive::{ExclusiveClient, OpenRequest};

const SECONDS: u32 = 3;
const HERTZ: f64 = 440.0;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(socket) = arguments.next() else {
        eprintln!("usage: exclusive_tone CONTROL_SOCKET [ENDPOINT]");
        return ExitCode::from(2);
    };
    match play(PathBuf::from(socket), arguments.next()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("exclusive_tone: {error}");
            ExitCode::FAILURE
        }
    }
}

fn play(socket: PathBuf, endpoint: Option<String>) -> Result<(), Box<dyn Error>> {
    // 10 ms periods, a buffer of 8 of them; the endpoint says in which format it wants its frames.
    let mut client = ExclusiveClient::open(&socket, &OpenRequest { endpoint, ..OpenRequest::new(DataFlow::Render) })?;
    let record = *client.record();
    println!("{}: {}, a buffer of {}", client.granted().endpoint, record.format, record.ring);

    let end = u64::from(record.format.rate.get()) * u64::from(SECONDS);
    let mut block = vec![0; record.format.bytes_of(record.packet)];
    while client.position() < end {
        let left = FrameCount::new(u32::try_from(end - client.position())?).min(record.packet);
        let sound = block.get_mut(..record.format.bytes_of(left)).ok_or("a block of a packet")?;
        tone(client.position(), &record.format, sound);
        // The ring takes what it has room for; what it did not take is worked out again.
        if client.write(sound)?.is_zero() {
            client.start();
            client.wait(Duration::from_millis(100))?;
        }
    }
    // What is in the ring is played to its end, then the endpoint goes back to its device.
    client.start();
    client.finish();
    while !client.is_played() {
        client.wait(Duration::from_millis(100))?;
    }
    println!("played {} frames; the endpoint ran dry {} times", client.played().frames, client.glitches().0);
    Ok(())
}

/// A quiet sine on all channels, from the frame `first` on.
fn tone(first: u64, format: &soundpost_core::Format, sound: &mut [u8]) {
    let channels = format.layout.channels().as_usize();
    let rate = format.rate.get();
    let sample = |frame: u64| {
        // Within a second, so that the phase is exact however long it plays.
        let frame = f64::from(u32::try_from(frame % u64::from(rate)).unwrap_or(0));
        let level = (std::f64::consts::TAU * HERTZ * frame / f64::from(rate)).sin() * 0.1;
        #[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "rounds to 24 bits")]
        {
            level as f32
        }
    };
    let frames = first..first + u64::from(format.frames_in(sound.len()).get());
    let samples: Vec<f32> = frames.flat_map(|frame| std::iter::repeat_n(sample(frame), channels)).collect();
    encode(format.sample, &samples, sound);
}
