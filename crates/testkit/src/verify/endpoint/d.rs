//! D: initialisation, and the events that drive an engine.

use std::sync::Arc;
use std::time::Duration;

use soundpost_core::Hns;
use soundpost_endpoint::{EndpointError, Requirement as Req, StreamFlags};

use super::PERIOD;
use crate::WakeFlag;
use crate::verify::rig::Rig;
use crate::verify::{Bench, Broken, Level, Outcome, Pace, Seen, held};

/// The latency of a fresh endpoint with this coefficient, in periods of 10 ms.
fn latency_of(bench: &Bench<'_>, coefficient: u32) -> Result<Hns, Broken> {
    let mut rig = bench.rig()?;
    let requirement = if coefficient == 0 { Req::D2 } else { Req::D1 };
    rig.must(requirement, "set_buffer", |control| control.set_buffer(PERIOD, coefficient))?;
    rig.latency()
}

/// Latencies may be rounded up to whole frames.
fn about(bench: &Bench<'_>, got: Hns, expected: Hns) -> Result<bool, Broken> {
    let frame = bench.rig()?.format.rate.hns_of(1).get().saturating_add(1);
    Ok(got.get().abs_diff(expected.get()) <= frame.unsigned_abs())
}

pub(super) fn latency(bench: &mut Bench<'_>) -> Outcome {
    let minimum = latency_of(bench, 0)?;
    let coefficients: &[u32] =
        if bench.level >= Level::Stress { &[1, 2, 3, 4, 5, 7, 10, 20, 50] } else { &[1, 2, 5, 20] };
    for coefficient in coefficients {
        let (got, expected) = (latency_of(bench, *coefficient)?, PERIOD.saturating_mul(*coefficient));
        if expected >= minimum && !about(bench, got, expected)? {
            let why = format!("{got} at a coefficient of {coefficient} and a period of {PERIOD}");
            return Err(Broken::new(Req::D1, why));
        }
    }
    held(format!("right at coefficients {coefficients:?}"))
}

pub(super) fn minimum(bench: &mut Bench<'_>) -> Outcome {
    let minimum = latency_of(bench, 0)?;
    if minimum <= Hns::ZERO {
        return Err(Broken::new(Req::D2, format!("a coefficient of 0 gives a latency of {minimum}")));
    }
    for coefficient in [1, 2, 3] {
        let got = latency_of(bench, coefficient)?;
        if got < minimum {
            let why = format!("{got} at a coefficient of {coefficient}, below the minimum of {minimum}");
            return Err(Broken::new(Req::D2, why));
        }
    }
    held(format!("the minimum is {minimum}"))
}

pub(super) fn again(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    rig.prepare(PERIOD, 2)?;
    rig.prepare(Hns::from_millis(20), 5)?;
    let (packet, expected) = (rig.packet()?, rig.format.rate.frames_covering(Hns::from_millis(20)));
    let latency = rig.latency()?;
    if packet != expected || latency < Hns::from_millis(100) {
        let why = format!("packets of {packet} frames and {latency} of latency are those of the first SetBuffer");
        return Err(Broken::new(Req::D1, why));
    }
    rig.start()?;
    let running = rig.ask("set_buffer", |control| control.set_buffer(PERIOD, 2))?;
    if running != Err(EndpointError::NotStopped) {
        return Err(Broken::new(Req::D1, format!("SetBuffer while running was answered with {running:?}")));
    }
    if rig.packet()? != packet || rig.latency()? != latency {
        return Err(Broken::new(Req::D1, "a refused SetBuffer changed the sizes"));
    }
    held("the second one counts; refused while running")
}

pub(super) fn rt_caps(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    for stage in ["before SetBuffer", "after SetBuffer"] {
        if rig.ask("rt_capable", |control| control.rt_capable())? {
            return Err(Broken::new(Req::D3, format!("real-time capable {stage}")));
        }
        rig.prepare(PERIOD, 2)?;
    }
    held("not real-time capable")
}

/// A driving endpoint that runs, and its event; nothing for one that cannot drive.
fn driving<'a>(bench: &Bench<'a>) -> Result<Option<(Rig<'a>, Arc<WakeFlag>)>, Broken> {
    let mut rig = bench.rig()?;
    if !rig.ask("event_driven_capable", |control| control.event_driven_capable())? {
        return Ok(None);
    }
    rig.must(Req::E4, "set_stream_flags", |control| control.set_stream_flags(StreamFlags::EVENT_CALLBACK))?;
    rig.must(Req::D1, "set_buffer", |control| control.set_buffer(PERIOD, 4))?;
    let early = rig.ask("start", |control| control.start())?;
    if early.is_ok() {
        return Err(Broken::new(Req::D4, "Start was taken with the event-callback flag and without an event"));
    }
    let event = Arc::new(WakeFlag::default());
    let theirs = Arc::<WakeFlag>::clone(&event);
    rig.must(Req::E5, "set_event", |control| control.set_event(theirs))?;
    rig.elapse(PERIOD.to_duration() * 3);
    if event.count() > 0 {
        return Err(Broken::new(Req::D4, "the event was signalled before Start"));
    }
    rig.start()?;
    if !rig.ask("event_driven_capable", |control| control.event_driven_capable())? {
        return Err(Broken::new(Req::D4, "capable of driving before SetBuffer, and not any more after it"));
    }
    Ok(Some((rig, event)))
}

fn not_driving() -> Outcome {
    Ok(Seen::NotOffered("it does not drive the engine: the engine paces itself".to_owned()))
}

pub(super) fn events(bench: &mut Bench<'_>) -> Outcome {
    let Some((mut rig, event)) = driving(bench)? else { return not_driving() };
    let packet = rig.packet()?;
    let passes = u64::from(bench.passes(400));
    for _ in 0..passes {
        rig.elapse(PERIOD.to_duration());
        rig.pass(packet, packet)?;
    }
    let count = event.count();
    // Its own clock may be off, by 10 % at most.
    if count.abs_diff(passes) > passes / 10 + 2 {
        return Err(Broken::new(Req::D4, format!("{count} events in {passes} periods")));
    }
    // It drives: it signals also while the engine does not come round.
    let before = event.count();
    rig.elapse(PERIOD.to_duration() * 10);
    let alone = event.count().saturating_sub(before);
    if alone < 5 {
        return Err(Broken::new(Req::D4, format!("{alone} events in 10 periods in which the engine made no pass")));
    }
    rig.stop()?;
    let stopped = event.count();
    rig.elapse(PERIOD.to_duration() * 5);
    if event.count() > stopped + 1 {
        return Err(Broken::new(Req::D4, "it goes on signalling after Stop"));
    }
    held(format!("{count} events in {passes} periods, none before Start or after Stop"))
}

pub(super) fn pulse_is_not_the_event(bench: &mut Bench<'_>) -> Outcome {
    let Some((mut rig, event)) = driving(bench)? else { return not_driving() };
    if rig.pace == Pace::Own {
        // Its device may signal between any two looks: over a short time, a pulse must not add to the events.
        let before = event.count();
        for _ in 0..1_000 {
            rig.complete()?;
            rig.pulse()?;
        }
        let more = event.count().saturating_sub(before);
        if more > 100 {
            return Err(Broken::new(Req::T12, format!("{more} events while 1,000 pulses were given")));
        }
        return held("pulses signal nothing");
    }
    let packet = rig.packet()?;
    for _ in 0..50 {
        rig.elapse(Duration::from_millis(3));
        let before = event.count();
        rig.pass(packet, packet)?;
        rig.pulse()?;
        if event.count() != before {
            return Err(Broken::new(Req::T12, "the end of a pass signals the event that drives the engine"));
        }
    }
    held("the event follows the device's clock alone")
}
