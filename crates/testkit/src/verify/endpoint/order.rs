//! Long random runs, drawn from the seed.

use std::time::Duration;

use soundpost_core::{FrameCount, Hns};
use soundpost_endpoint::{BufferFlag, DataFlow, Lifecycle, PositionFlag, Requirement as Req};

use super::{PERIOD, c, frames};
use crate::verify::rig::pattern;
use crate::verify::{Bench, Broken, Outcome, Pace, held};

pub(super) fn random_control(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    // What an endpoint may answer is known from the order of the calls alone.
    let mut model = Lifecycle::default();
    let calls = bench.passes(2_000);
    for number in 0..calls {
        let (name, got, expected) = match bench.random.below(5) {
            0 => {
                let period = Hns::from_millis(5 + u32::from(bench.random.below(2) == 0) * 5);
                let got = rig.ask("set_buffer", |control| control.set_buffer(period, 3))?.is_ok();
                ("set_buffer", got, model.set_buffer().is_ok())
            }
            1 => ("start", rig.ask("start", |control| control.start())?.is_ok(), model.start().is_ok()),
            2 => ("stop", rig.ask("stop", |control| control.stop())?.is_ok(), model.stop().is_ok()),
            3 => ("reset", rig.ask("reset", |control| control.reset())?.is_ok(), model.reset().is_ok()),
            _ => {
                let got = rig.ask("latency", |control| control.latency())?.is_ok();
                ("latency", got, model.initialized().is_ok())
            }
        };
        if got != expected {
            let word = if got { "taken" } else { "refused" };
            return Err(Broken::new(Req::C2, format!("random call {number}, {name}, was {word}")));
        }
        if bench.random.below(4) == 0 {
            rig.elapse(Duration::from_millis(1));
        }
    }
    if model == Lifecycle::Running {
        rig.stop()?;
    }
    rig.prepare(PERIOD, 3)?;
    rig.start()?;
    c::works(&mut rig, "random calls")?;
    held(format!("{calls} random calls"))
}

pub(super) fn random_passes(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    rig.run(PERIOD, 6)?;
    let (packet, format) = (rig.packet()?, rig.format);
    let passes = bench.passes(4_000);
    for number in 0..passes {
        let record = rig.padding()?.position;
        let (stream, expected) = (record.stream.get(), rig.exchanged);
        if rig.flow() == DataFlow::Render && stream != expected {
            return Err(Broken::new(Req::T2, format!("pass {number}: at {stream} after {expected} frames")));
        }
        if record.flag == PositionFlag::Invalid {
            return Err(Broken::new(Req::T2, format!("pass {number}: an invalid record")));
        }
        let room = match rig.flow() {
            DataFlow::Render => u64::from(rig.buffer()?.get()).saturating_sub(record.padding),
            DataFlow::Capture => record.padding,
        };
        let asked = frames(bench.random.below(u64::from(packet.get()) + 1)).min(frames(room));
        let used = match bench.random.below(3) {
            0 => FrameCount::ZERO,
            1 => frames(bench.random.below(u64::from(asked.get()) + 1)),
            _ => asked,
        };
        match rig.flow() {
            DataFlow::Render => {
                let flag = if bench.random.below(4) == 0 { BufferFlag::Silent } else { BufferFlag::Valid };
                rig.render(asked.max(FrameCount::new(1)), used, flag, |data| pattern(format, expected, data))?;
            }
            DataFlow::Capture => {
                rig.capture(asked, used, bench.random.below(2) == 0)?;
            }
        }
        rig.complete()?;
        if bench.random.below(100) == 0 {
            rig.stop()?;
            if bench.random.below(2) == 0 {
                rig.reset()?;
            }
            rig.elapse(Duration::from_millis(7));
            rig.start()?;
        }
        let late = bench.random.below(20) == 0 && rig.pace != Pace::Own;
        rig.elapse(if late { Duration::from_millis(170) } else { Duration::from_millis(bench.random.below(20)) });
    }
    held(format!("{passes} random passes"))
}
