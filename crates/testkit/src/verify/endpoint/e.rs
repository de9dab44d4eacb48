//! E: information.

use std::sync::Arc;

use soundpost_core::Hns;
use soundpost_endpoint::{BufferPlan, EndpointError, Requirement as Req, StreamFlags};

use super::PERIOD;
use crate::WakeFlag;
use crate::verify::{Bench, Broken, Level, Outcome, held};

/// Periods that devices run at, and odd ones.
const PERIODS: [Hns; 6] =
    [Hns::new(25_000), Hns::new(50_000), PERIOD, Hns::new(100_001), Hns::from_millis(20), Hns::from_millis(100)];

pub(super) fn format(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    let format = rig.format;
    for stage in ["SetBuffer", "Start", "Stop", "a second SetBuffer"] {
        match stage {
            "SetBuffer" => rig.prepare(PERIOD, 2)?,
            "Start" => rig.start()?,
            "Stop" => rig.stop()?,
            _ => rig.prepare(Hns::from_millis(5), 3)?,
        }
        let now = rig.ask("frame_format", |control| control.frame_format())?;
        if now != format {
            return Err(Broken::new(Req::E1, format!("{format} became {now} after {stage}")));
        }
    }
    held(format.to_string())
}

pub(super) fn packet_unknown(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    let early = rig.ask("frames_per_packet", |control| control.frames_per_packet())?;
    if early != Err(EndpointError::NotInitialized) {
        return Err(Broken::new(Req::E2, format!("before SetBuffer it answered {early:?}")));
    }
    // A SetBuffer that fails initialises nothing.
    let refused = rig.ask("set_buffer", |control| control.set_buffer(Hns::ZERO, 1))?;
    if refused.is_ok() {
        return Err(Broken::new(Req::D1, "a period of 0 was taken"));
    }
    let early = rig.ask("frames_per_packet", |control| control.frames_per_packet())?;
    if early != Err(EndpointError::NotInitialized) {
        return Err(Broken::new(Req::E2, format!("after a refused SetBuffer it answered {early:?}")));
    }
    held("unknown before SetBuffer")
}

pub(super) fn packet(bench: &mut Bench<'_>) -> Outcome {
    let mut periods = PERIODS.to_vec();
    if bench.level >= Level::Stress {
        let span = BufferPlan::LONGEST_PERIOD.get() - BufferPlan::SHORTEST_PERIOD.get();
        for _ in 0..200 {
            let extra = i64::try_from(bench.random.below(span.unsigned_abs())).unwrap_or(0);
            periods.push(Hns::new(BufferPlan::SHORTEST_PERIOD.get() + extra));
        }
    }
    let mut rig = bench.rig()?;
    let mut tried = 0;
    for period in periods {
        // An endpoint may have a narrower range of periods, and says so.
        let taken = rig.ask("set_buffer", |control| control.set_buffer(period, 1))?;
        if taken.is_err() && period != PERIOD {
            continue;
        }
        let (got, expected) = (rig.packet()?, rig.format.rate.frames_covering(period));
        if got != expected {
            return Err(Broken::new(
                Req::E2,
                format!("{got} frames at {period}, where ceil(period × rate) is {expected}"),
            ));
        }
        tried += 1;
    }
    rig.prepare(PERIOD, 2)?;
    let before = rig.packet()?;
    rig.start()?;
    let after = rig.packet()?;
    if after != before {
        return Err(Broken::new(Req::E2, format!("{before} frames before Start, {after} after it")));
    }
    held(format!("right at {tried} periods"))
}

pub(super) fn latency(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    let early = rig.ask("latency", |control| control.latency())?;
    if early != Err(EndpointError::NotInitialized) {
        return Err(Broken::new(Req::E3, format!("before SetBuffer it answered {early:?}")));
    }
    rig.prepare(PERIOD, 2)?;
    let before = rig.latency()?;
    if before < Hns::ZERO || before > BufferPlan::LONGEST_LATENCY {
        return Err(Broken::new(Req::E3, format!("a latency of {before}")));
    }
    rig.start()?;
    let packet = rig.packet()?;
    for _ in 0..bench.passes(16) {
        rig.elapse(PERIOD.to_duration());
        rig.pass(packet, packet)?;
        let now = rig.latency()?;
        if now != before {
            return Err(Broken::new(Req::E3, format!("{before} after SetBuffer, {now} while running")));
        }
    }
    held(format!("{before} at a coefficient of 2 and 10 ms"))
}

pub(super) fn flags(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    let capable = rig.ask("event_driven_capable", |control| control.event_driven_capable())?;
    rig.must(Req::E4, "set_stream_flags", |control| control.set_stream_flags(StreamFlags::NONE))?;
    let mut honoured = 0;
    for bit in 0..32 {
        // Unknown bits cannot be made into flags.
        let Ok(flags) = StreamFlags::from_bits(1_u32 << bit) else { continue };
        let event = flags == StreamFlags::EVENT_CALLBACK;
        match rig.ask("set_stream_flags", |control| control.set_stream_flags(flags))? {
            Ok(()) if event && !capable => {
                return Err(Broken::new(Req::E4, "took the event-callback flag, although it cannot drive an engine"));
            }
            Ok(()) => honoured += 1,
            Err(_) if event && capable => {
                return Err(Broken::new(Req::E4, "refused the event-callback flag, although it can drive an engine"));
            }
            Err(EndpointError::InvalidStreamFlag { bits }) if bits & flags.bits() != 0 => {}
            Err(other) => return Err(Broken::new(Req::E4, format!("flags {flags} were refused with: {other}"))),
        }
    }
    rig.prepare(PERIOD, 2)?;
    held(format!("{honoured} flags honoured, the others refused; unknown bits cannot be made (flags.rs)"))
}

pub(super) fn event(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    let capable = rig.ask("event_driven_capable", |control| control.event_driven_capable())?;
    let early = rig.ask("set_event", |control| control.set_event(Arc::new(WakeFlag::default())))?;
    if early != Err(EndpointError::NotInitialized) {
        return Err(Broken::new(Req::E5, format!("an event before SetBuffer was answered with {early:?}")));
    }
    rig.prepare(PERIOD, 2)?;
    let unexpected = rig.ask("set_event", |control| control.set_event(Arc::new(WakeFlag::default())))?;
    if unexpected != Err(EndpointError::EventNotExpected) {
        return Err(Broken::new(Req::E5, format!("an event without its flag was answered with {unexpected:?}")));
    }
    if capable {
        let mut rig = bench.rig()?;
        rig.must(Req::E4, "set_stream_flags", |control| control.set_stream_flags(StreamFlags::EVENT_CALLBACK))?;
        rig.must(Req::D1, "set_buffer", |control| control.set_buffer(PERIOD, 2))?;
        rig.must(Req::E5, "set_event", |control| control.set_event(Arc::new(WakeFlag::default())))?;
    }
    held("refused before SetBuffer and without the flag")
}
