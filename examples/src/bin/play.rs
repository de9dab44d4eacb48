//! Sine → a session's microphone → an application → the session's speakers → level printer. Prints the level every
//! 100 ms, as many times as the argument says (10).

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "an example that prints")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use soundpost_core::{Clock, Format, SampleFormat};
use soundpost_endpoint::DataFlow;
use soundpost_engine::{AttachConfig, DeviceConfig, StreamConfig};
use soundpost_examples::level::level;
use soundpost_examples::sine::sine;
use soundpost_testkit::Runner;

fn main() -> Result<(), Box<dyn Error>> {
    let lines = std::env::args().nth(1).map_or(Ok(10), |lines| lines.parse::<u32>())?;
    let format = Format { sample: SampleFormat::S16, ..Format::DEFAULT };
    // An engine on a virtual clock, which runs as fast as it can. In a daemon, `soundpost_host::thread` runs it.
    let mut runner = Runner::new(1, |pass| pass());
    let clock: Arc<dyn Clock> = runner.endpoint_clock();
    let (printer, shown) = level(Arc::clone(&clock));
    let session = runner.engine.open_session("example")?;
    let mut devices = Vec::new();
    for (flow, endpoint) in [(DataFlow::Capture, sine(format, clock)), (DataFlow::Render, printer)] {
        let device = runner.engine.open_device(session, DeviceConfig::new(flow.to_string(), flow))?;
        let connection = runner.engine.connect(session, device)?;
        let endpoint = runner.engine.register(session, flow.to_string(), endpoint)?;
        runner.engine.attach(session, connection, endpoint, AttachConfig::default())?;
        devices.push(device);
    }
    let [microphone, speakers] = devices.as_slice() else { return Err("two devices were opened".into()) };
    let (_, mut recorder) = runner.engine.open_capture(session, *microphone, StreamConfig::new("in", format))?;
    let (_, mut player) = runner.engine.open_stream(session, *speakers, StreamConfig::new("out", format))?;
    let mut sound = vec![0; format.frame_bytes() * 4_800];
    for line in 1..=lines {
        runner.run_steps(Duration::from_millis(100), Duration::from_millis(10), |_| {
            let frames = recorder.read(&mut sound);
            player.write(sound.get(..format.bytes_of(frames)).unwrap_or_default());
        });
        let peak = shown.load(Ordering::Relaxed);
        println!("{:>4} ms  {peak:>5}  {}", line * 100, "#".repeat(usize::try_from(peak / 512)?));
    }
    Ok(())
}
