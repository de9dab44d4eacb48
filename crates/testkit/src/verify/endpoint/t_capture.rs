//! T5 and T6: capture packets.

use soundpost_core::FrameCount;
use soundpost_endpoint::{BufferFlag, PositionFlag, Requirement as Req};

use super::{PERIOD, frames};
use crate::verify::rig::Rig;
use crate::verify::{Bench, Broken, Outcome, Pace, held};

pub(super) fn buffers(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    rig.run(PERIOD, 4)?;
    let packet = rig.packet()?;
    let rounds = bench.passes(40);
    for round in 0..rounds {
        rig.elapse(PERIOD.to_duration());
        let some = frames(bench.random.below(u64::from(packet.get())));
        for asked in [FrameCount::ZERO, FrameCount::new(1), some, packet] {
            // Lengths, alignment and flags are looked at in every acquire.
            rig.capture(asked, FrameCount::ZERO, false)?;
            let taken = rig.capture(asked, FrameCount::ZERO, true)?;
            if taken.position.flag == PositionFlag::Invalid {
                return Err(Broken::new(Req::T5, format!("no time stamp was written for {asked} frames")));
            }
            let (stamp, exchanged) = (taken.position.stream.get(), rig.exchanged);
            if taken.position.flag == PositionFlag::Continuous && stamp != exchanged {
                let why = format!("packet {round} is stamped {stamp} after {exchanged} frames were used");
                return Err(Broken::new(Req::T5, why));
            }
        }
        let ready = ready_now(&mut rig, packet)?;
        rig.capture(ready, ready, true)?;
        rig.complete()?;
    }
    held(format!("{rounds} rounds of 0, 1, some and all frames"))
}

pub(super) fn ahead(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    rig.run(PERIOD, 4)?;
    let (packet, silence) = (rig.packet()?, rig.format.sample.silence_byte());
    for round in 0..bench.passes(8) {
        // What was recorded before is left over in the buffer, for what is missing to be put over it.
        rig.elapse(PERIOD.to_duration());
        let ready = ready_now(&mut rig, packet)?;
        rig.capture(packet, ready, true)?;
        if rig.pace == Pace::Own {
            continue;
        }
        let ready = ready_now(&mut rig, packet)?;
        let taken = rig.capture(packet, FrameCount::ZERO, true)?;
        let missing = taken.data.get(rig.format.bytes_of(ready)..).unwrap_or_default();
        if taken.flag == BufferFlag::Valid && missing.iter().any(|byte| *byte != silence) {
            let why = format!("round {round}: {ready} of {packet} frames were there, and the rest was not silence");
            return Err(Broken::new(Req::T5, why));
        }
        rig.complete()?;
    }
    held("frames that are not there yet are silence")
}

/// How much of a packet is there.
fn ready_now(rig: &mut Rig<'_>, packet: FrameCount) -> Result<FrameCount, Broken> {
    Ok(frames(rig.padding()?.position.padding).min(packet))
}

/// Runs until a whole packet is ready, for a second at most; answers how much is.
fn until_ready(rig: &mut Rig<'_>, packet: FrameCount) -> Result<FrameCount, Broken> {
    for _ in 0..100 {
        rig.elapse(PERIOD.to_duration());
        if rig.padding()?.position.padding >= u64::from(packet.get()) {
            break;
        }
        rig.complete()?;
    }
    ready_now(rig, packet)
}

pub(super) fn again(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    rig.run(PERIOD, 8)?;
    let packet = rig.packet()?;
    let mut compared = 0;
    for _ in 0..bench.passes(40) {
        let ready = until_ready(&mut rig, packet)?;
        let first = rig.capture(ready, FrameCount::ZERO, true)?;
        let second = rig.capture(ready, FrameCount::ZERO, true)?;
        let overrun = second.position.flag == PositionFlag::Discontinuous;
        if !overrun && first.position.stream != second.position.stream {
            return Err(Broken::new(Req::T6, "the stream position moved although nothing was used"));
        }
        if !overrun && first.sound(rig.format) != second.sound(rig.format) {
            return Err(Broken::new(Req::T6, "other frames came after 0 used"));
        }
        compared += usize::from(!overrun);
        rig.capture(ready, ready, true)?;
        rig.complete()?;
    }
    held(format!("{compared} packets came again as they were"))
}

pub(super) fn part(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    rig.run(PERIOD, 8)?;
    let packet = rig.packet()?;
    let mut compared = 0;
    for _ in 0..bench.passes(40) {
        let ready = until_ready(&mut rig, packet)?;
        let used = frames(bench.random.below(u64::from(ready.get()) + 1));
        let before = rig.capture(ready, used, true)?;
        let left = ready.saturating_sub(used);
        let after = rig.capture(left, FrameCount::ZERO, true)?;
        if after.position.flag == PositionFlag::Discontinuous || before.position.flag == PositionFlag::Discontinuous {
            continue;
        }
        let moved = after.position.stream.get().checked_sub(before.position.stream.get());
        if moved != Some(u64::from(used.get())) {
            let moved = moved.map_or_else(|| "backwards".to_owned(), |frames| format!("by {frames} frames"));
            return Err(Broken::new(
                Req::T6,
                format!("the read position moved {moved} when {used} of {ready} were used"),
            ));
        }
        let rest = before.sound(rig.format).get(rig.format.bytes_of(used)..).unwrap_or_default().to_vec();
        if after.sound(rig.format) != rest {
            return Err(Broken::new(
                Req::T6,
                format!("after {used} of {ready} frames the next ones were not the rest"),
            ));
        }
        compared += 1;
        rig.capture(left, left, true)?;
        rig.complete()?;
    }
    held(format!("{compared} packets used in part"))
}
