//! X2: what real-time code must not do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use soundpost_core::FrameCount;
use soundpost_endpoint::{BufferFlag, Requirement as Req, RtHalf};

use super::PERIOD;
use crate::verify::rig::{FORGIVEN_WAITS, pattern};
use crate::verify::{Bench, Broken, Outcome, Seen, held};

/// How many passes in a row may take longer than half a period: as the engine's own limit.
const TOLERATED: u32 = 8;

pub(super) fn passes(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    rig.run(PERIOD, 4)?;
    let (packet, format) = (rig.packet()?, rig.format);
    let (mut slow, mut longest) = (0, Duration::ZERO);
    let passes = bench.passes(200);
    for pass in 0..passes {
        rig.watch.cost.set(Duration::ZERO);
        // Not from the first pass on: the first time, code has to be read from the disk.
        rig.watch.closely.set(pass >= 8);
        match pass % 8 {
            // Also what comes seldom: silence, nothing, pins.
            5 => {
                rig.padding()?;
                rig.render(packet, FrameCount::ZERO, BufferFlag::Invalid, |data| pattern(format, 1, data))?;
                rig.render(packet, packet, BufferFlag::Silent, |_| {})?;
                rig.capture(packet, FrameCount::ZERO, true)?;
                rig.complete()?;
            }
            6 => {
                rig.pin(true)?;
                rig.pass(packet, packet)?;
            }
            _ => {
                rig.pass(packet, packet)?;
            }
        }
        let cost = rig.watch.cost.get();
        longest = longest.max(cost);
        slow = if cost > PERIOD.to_duration() / 2 { slow + 1 } else { 0 };
        if slow > TOLERATED {
            let why = format!("{slow} passes in a row took longer than half a period, {} ms", cost.as_millis());
            return Err(Broken::new(Req::X2, why));
        }
        rig.elapse(PERIOD.to_duration());
    }
    rig.watch.closely.set(true);
    rig.pin(false)?;
    let usage = rig.watch.usage();
    let mut seen = format!("{passes} passes without a panic");
    seen += if usage.allocations.is_some() { ", allocation" } else { " (allocations not counted)" };
    seen += if usage.waits.is_some() { " or wait" } else { " (waits not counted)" };
    if let Some(why) = bench.subject.off_line() {
        return Ok(Seen::NotOffered(format!("no real time: {why}")));
    }
    held(seen)
}

/// The real-time half must not wait for what the control half holds: calls into both at the same time.
pub(super) fn contention(bench: &mut Bench<'_>) -> Outcome {
    if let Some(why) = bench.subject.off_line() {
        return Ok(Seen::NotOffered(format!("no real time: {why}")));
    }
    if bench.tools.usage(true).waits.is_none() {
        return held("contention with the control half not measured");
    }
    let mut rig = bench.rig()?;
    rig.run(PERIOD, 4)?;
    rig.padding()?;
    let rounds = bench.passes(400);
    let (control, realtime, watch) = rig.halves();
    let (done, tools) = (AtomicBool::new(false), bench.tools);
    let waited = std::thread::scope(|scope| {
        scope.spawn(|| {
            // A panic here is found by the checks of the control half.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                while !done.load(Ordering::Relaxed) {
                    let _ = (control.latency(), control.frames_per_packet(), control.frame_format());
                    let _ = (control.start(), control.event_driven_capable());
                    std::thread::yield_now();
                }
            }));
        });
        let mut waited = 0;
        for _ in 0..rounds {
            tools.begin("current_padding", true);
            let before = tools.usage(true).waits.unwrap_or(0);
            let _ = match realtime {
                RtHalf::Render(half) => half.current_padding(),
                RtHalf::Capture(half) => half.current_padding(),
            };
            waited += u32::from(tools.usage(true).waits.unwrap_or(0) > before);
            tools.end();
        }
        done.store(true, Ordering::Relaxed);
        waited
    });
    if waited > FORGIVEN_WAITS {
        watch.note(Req::X2, format!("current_padding waits for the control half: in {waited} of {rounds} calls"));
    }
    held(format!("{rounds} calls beside a busy control half"))
}
