//! T1 and T2: padding and position records.

use soundpost_core::{FrameCount, Hns};
use soundpost_endpoint::{BufferFlag, DataFlow, Position, PositionFlag, Requirement as Req};

use super::PERIOD;
use crate::verify::rig::{Rig, pattern};
use crate::verify::{Bench, Broken, Outcome, Pace, held};

pub(super) fn padding(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    rig.run(PERIOD, 3)?;
    let (packet, buffer) = (rig.packet()?, rig.buffer()?);
    let flow = rig.flow();
    let most = match flow {
        // A packet may be in flight to the device.
        DataFlow::Render => u64::from(buffer.get()) + u64::from(packet.get()),
        DataFlow::Capture => u64::from(packet.get()),
    };
    let passes = bench.passes(100);
    for pass in 0..passes {
        // Time and frames are held against each other in every answer.
        let frames = rig.pass(packet, packet)?.padding;
        if frames > most {
            return Err(Broken::new(
                Req::T1,
                format!("{frames} frames of padding in pass {pass}, where {most} are possible"),
            ));
        }
        rig.elapse(PERIOD.to_duration());
    }
    held(format!("time and frames agree within a frame over {passes} passes"))
}

pub(super) fn padding_counts(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    rig.run(PERIOD, 4)?;
    let packet = rig.packet()?;
    let mut before = rig.padding()?.position.padding;
    if before != 0 {
        return Err(Broken::new(Req::T1, format!("{before} frames of padding before any was written")));
    }
    for _ in 0..3 {
        let format = rig.format;
        rig.render(packet, packet, BufferFlag::Valid, |data| pattern(format, 1, data))?;
        let after = rig.padding()?.position.padding;
        let written = before + u64::from(packet.get());
        let right = match rig.pace {
            Pace::Given => after == written,
            Pace::Own => after <= written,
            Pace::Data => after == 0,
        };
        if !right {
            return Err(Broken::new(
                Req::T1,
                format!("{after} frames of padding, {before} before {packet} were written"),
            ));
        }
        before = after;
    }
    rig.complete()?;
    // A device that runs plays what it has within a little more than that takes.
    rig.elapse(PERIOD.to_duration() * 8);
    let left = rig.padding()?.position.padding;
    if left >= before && before > 0 {
        return Err(Broken::new(Req::T1, format!("{left} of {before} frames still queued after twice their time")));
    }
    held("it grows by what is written and shrinks as it is played")
}

/// What holds for every record that follows `last`.
fn follows(rig: &Rig<'_>, last: Option<&Position>, record: &Position) -> Result<(), Broken> {
    let broken = |what: String| Err(Broken::new(Req::T2, what));
    if record.flag == PositionFlag::Invalid {
        return broken("a running stream's record is flagged invalid".to_owned());
    }
    let hertz = f64::from(record.frames_per_second) / f64::from(rig.format.rate.get());
    if !(0.5..2.0).contains(&hertz) {
        return broken(format!("a calculated rate of {} frames per second", record.frames_per_second));
    }
    let (device, stream, padding) = (record.device.get(), record.stream.get(), record.padding);
    if rig.flow() == DataFlow::Render && stream.checked_sub(device) != Some(padding) {
        return broken(format!("stream position {stream} − device position {device} is not the padding, {padding}"));
    }
    if record.flag != PositionFlag::TimestampError {
        let (time, now) = (record.time.get(), rig.watch.now().as_hns().get());
        let off = time.abs_diff(now);
        // On a real clock the thread may have been held up between the two looks.
        let most = if rig.pace == Pace::Own { 5_000_000 } else { 10 };
        if off > most {
            return broken(format!("read at {}, said to be read at {}", Hns::new(now), record.time));
        }
    }
    let Some(last) = last else { return Ok(()) };
    if record.device < last.device || record.time < last.time {
        return broken(format!("went back: device position {} to {}", last.device.get(), record.device.get()));
    }
    Ok(())
}

pub(super) fn records(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    rig.run(PERIOD, 4)?;
    let packet = rig.packet()?;
    let passes = bench.passes(400);
    let mut last: Option<Position> = None;
    for pass in 0..passes {
        let exchanged = rig.exchanged;
        let record = rig.pass(packet, packet)?;
        if pass == 0 && record.flag == PositionFlag::Discontinuous {
            return Err(Broken::new(Req::T2, "the first record of a stream is flagged discontinuous"));
        }
        follows(&rig, last.as_ref(), &record)?;
        let continuous = record.flag == PositionFlag::Continuous;
        if continuous && record.stream.get() != exchanged {
            let stream = record.stream.get();
            let why = format!("stream position {stream} after {exchanged} frames were exchanged");
            // A position that runs ahead of what was used counts what was asked.
            return Err(Broken::new(Req::T2, why));
        }
        last = Some(record);
        rig.elapse(PERIOD.to_duration());
    }
    held(format!("{passes} records in order"))
}

pub(super) fn restarts(bench: &mut Bench<'_>) -> Outcome {
    let broken = |what: &str, record: &Position| {
        Err(Broken::new(
            Req::T2,
            format!("the first record after {what} is {:?} at {}", record.flag, record.stream.get()),
        ))
    };
    let mut rig = bench.rig()?;
    rig.run(PERIOD, 4)?;
    let packet = rig.packet()?;
    let first = rig.pass(packet, packet)?;
    if first.flag != PositionFlag::Continuous || first.stream.get() != 0 {
        return broken("Start", &first);
    }
    for _ in 0..bench.passes(8) {
        rig.elapse(PERIOD.to_duration());
        rig.pass(packet, packet)?;
    }
    rig.stop()?;
    rig.elapse(PERIOD.to_duration());
    rig.start()?;
    let resumed = rig.padding()?.position;
    if resumed.flag != PositionFlag::Discontinuous {
        return broken("Stop and Start without Reset", &resumed);
    }
    if rig.flow() == DataFlow::Render && resumed.stream.get() != rig.exchanged {
        return broken("Stop and Start without Reset", &resumed);
    }
    rig.stop()?;
    rig.reset()?;
    rig.start()?;
    let reset = rig.padding()?.position;
    if reset.flag != PositionFlag::Continuous || reset.stream.get() != 0 {
        return broken("Reset and Start", &reset);
    }
    rig.elapse(PERIOD.to_duration());
    rig.pass(FrameCount::ZERO, FrameCount::ZERO)?;
    held("continuous from 0 after Start and after Reset, discontinuous after Stop and Start")
}
