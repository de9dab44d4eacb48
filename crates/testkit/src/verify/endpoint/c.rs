//! C: Start, Stop, Reset.

use soundpost_core::FrameCount;
use soundpost_endpoint::{BufferFlag, ControlHalf, DataFlow, EndpointError, Requirement as Req};

use super::PERIOD;
use crate::verify::rig::{Rig, pattern};
use crate::verify::{Bench, Broken, Outcome, Pace, held};

/// Fills a render endpoint with three packets; lets a capture endpoint record three.
fn queue(rig: &mut Rig<'_>) -> Result<u64, Broken> {
    let packet = rig.packet()?;
    match rig.flow() {
        DataFlow::Render => {
            for _ in 0..3 {
                let format = rig.format;
                rig.render(packet, packet, BufferFlag::Valid, |data| pattern(format, 1, data))?;
            }
            rig.complete()?;
        }
        DataFlow::Capture => rig.elapse(PERIOD.to_duration() * 3),
    }
    Ok(rig.padding()?.position.padding)
}

pub(super) fn reset(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    rig.run(PERIOD, 4)?;
    for round in 0..bench.passes(8) {
        let queued = queue(&mut rig)?;
        rig.stop()?;
        rig.reset()?;
        rig.start()?;
        let record = rig.padding()?.position;
        // Where time passes by itself, a little may have been recorded since.
        let most = if rig.pace == Pace::Own && rig.flow() == DataFlow::Capture { queued / 2 } else { 0 };
        if record.padding > most {
            let why = format!("round {round}: {} of {queued} frames are still there after Reset", record.padding);
            return Err(Broken::new(Req::C1, why));
        }
        if record.stream.get() != 0 {
            let why = format!("the stream position is {} after Reset and Start", record.stream.get());
            return Err(Broken::new(Req::C1, why));
        }
    }
    held("started, stopped and reset; nothing is left after Reset")
}

pub(super) fn resumed(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    rig.run(PERIOD, 4)?;
    let before = queue(&mut rig)?;
    rig.stop()?;
    let stopped = rig.padding()?.position;
    rig.elapse(PERIOD.to_duration() * 10);
    let later = rig.padding()?.position;
    if later.padding != stopped.padding && rig.pace != Pace::Data {
        let why = format!("{} frames queued at Stop, {} of them 100 ms later", stopped.padding, later.padding);
        return Err(Broken::new(Req::C3, why));
    }
    let slack = if rig.pace == Pace::Own { before } else { 0 };
    if stopped.padding.saturating_add(slack) < before {
        return Err(Broken::new(Req::C3, format!("{before} frames before Stop, {} after it", stopped.padding)));
    }
    rig.start()?;
    let resumed = rig.padding()?.position;
    let kept = match rig.flow() {
        DataFlow::Render => resumed.stream.get() == rig.exchanged,
        DataFlow::Capture => true,
    };
    if !kept || resumed.padding.saturating_add(slack) < stopped.padding {
        let why = format!("{} frames queued at Stop, {} after Start without Reset", stopped.padding, resumed.padding);
        return Err(Broken::new(Req::C3, why));
    }
    // And it plays on.
    rig.elapse(PERIOD.to_duration() * 8);
    let left = rig.padding()?.position.padding;
    if rig.flow() == DataFlow::Render && left >= resumed.padding && resumed.padding > 0 {
        return Err(Broken::new(Req::C3, format!("{left} of {} frames are never played after Start", resumed.padding)));
    }
    held(format!("{} frames waited through Stop and Start", stopped.padding))
}

/// A call that is out of order.
struct Wrong {
    name: &'static str,
    when: &'static str,
    call: fn(&mut dyn ControlHalf) -> Result<(), EndpointError>,
}

const START: fn(&mut dyn ControlHalf) -> Result<(), EndpointError> = |control| control.start();
const STOP: fn(&mut dyn ControlHalf) -> Result<(), EndpointError> = |control| control.stop();
const RESET: fn(&mut dyn ControlHalf) -> Result<(), EndpointError> = |control| control.reset();

pub(super) fn out_of_order(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    for (name, call) in [("start", START), ("stop", STOP), ("reset", RESET)] {
        refused(&mut rig, &Wrong { name, when: "before SetBuffer", call })?;
    }
    rig.prepare(PERIOD, 4)?;
    refused(&mut rig, &Wrong { name: "stop", when: "before Start", call: STOP })?;
    rig.start()?;
    rig.pin(true)?;
    works(&mut rig, "calls before Start")?;
    let before = rig.padding()?.position;
    refused(&mut rig, &Wrong { name: "start", when: "while running", call: START })?;
    refused(&mut rig, &Wrong { name: "reset", when: "while running", call: RESET })?;
    let after = rig.padding()?.position;
    let lost = after.stream < before.stream || (rig.pace == Pace::Given && after.padding != before.padding);
    if lost {
        let why = format!("a refused call moved the stream from {} to {}", before.stream.get(), after.stream.get());
        return Err(Broken::new(Req::C2, why));
    }
    works(&mut rig, "calls while running")?;
    rig.stop()?;
    refused(&mut rig, &Wrong { name: "stop", when: "after Stop", call: STOP })?;
    rig.reset()?;
    rig.reset()?;
    rig.start()?;
    works(&mut rig, "calls after Stop")?;
    held("refused, and the endpoint works on")
}

fn refused(rig: &mut Rig<'_>, wrong: &Wrong) -> Result<(), Broken> {
    let Wrong { name, when, call } = wrong;
    match rig.ask(name, |control| call(control))? {
        Err(_) => Ok(()),
        Ok(()) => Err(Broken::new(Req::C2, format!("{name} {when} was taken"))),
    }
}

/// The endpoint is not lost: sound moves.
pub(super) fn works(rig: &mut Rig<'_>, after: &str) -> Result<(), Broken> {
    let packet = rig.packet()?;
    let before = rig.padding()?.position;
    for _ in 0..8 {
        rig.elapse(PERIOD.to_duration());
        rig.pass(packet, packet)?;
    }
    let now = rig.padding()?.position;
    let moved = now.stream > before.stream || now.device > before.device;
    if !moved || packet == FrameCount::ZERO {
        return Err(Broken::new(Req::C2, format!("after {after} nothing moves any more: the endpoint is lost")));
    }
    Ok(())
}
