//! T7, T8, T12 and T13: render packets, pulses and pins.

use soundpost_core::{FrameCount, Hns};
use soundpost_endpoint::{BufferFlag, DataFlow, Requirement as Req};

use super::{PERIOD, frames};
use crate::verify::rig::pattern;
use crate::verify::{Bench, Broken, Outcome, Pace, held};

/// In no pattern, which has odd bytes alone, and in no format's silence.
const NEVER: u8 = 0x54;

pub(super) fn buffers(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    rig.run(PERIOD, 4)?;
    let packet = rig.packet()?;
    let rounds = bench.passes(40);
    for _ in 0..rounds {
        let some = frames(1 + bench.random.below(u64::from(packet.get())));
        // A longer one before a shorter one: an endpoint that keeps the count gives the longer one again.
        for asked in [packet, FrameCount::new(1), some, packet] {
            rig.render(asked, FrameCount::ZERO, BufferFlag::Invalid, |data| data.fill(0x55))?;
        }
        rig.pass(packet, packet)?;
        rig.elapse(PERIOD.to_duration());
    }
    held(format!("{rounds} rounds of 1, some and all frames, writable and aligned"))
}

pub(super) fn used(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    rig.run(PERIOD, 8)?;
    let packet = rig.packet()?;
    let half = FrameCount::new(packet.get() / 2);
    let cases = [
        (half, BufferFlag::Valid),
        (FrameCount::ZERO, BufferFlag::Valid),
        (FrameCount::ZERO, BufferFlag::Invalid),
        (half, BufferFlag::Silent),
        (FrameCount::ZERO, BufferFlag::Silent),
        (FrameCount::new(1), BufferFlag::Valid),
    ];
    let rounds = bench.passes(20);
    for _ in 0..rounds {
        for (used, flag) in cases {
            let before = rig.padding()?.position.stream.get();
            let format = rig.format;
            rig.render(packet, used, flag, |data| pattern(format, 7, data))?;
            let after = rig.padding()?.position.stream.get();
            let moved = after.saturating_sub(before);
            if moved != u64::from(used.get()) {
                let why = format!("{moved} frames counted when {used} of {packet} were released as {flag:?}");
                return Err(Broken::new(Req::T8, why));
            }
        }
        rig.complete()?;
        rig.elapse(PERIOD.to_duration() * 2);
    }
    held(format!("the used frames alone count, over {rounds} rounds"))
}

pub(super) fn played(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    rig.run(PERIOD, 4)?;
    let (packet, format) = (rig.packet()?, rig.format);
    let width = format.frame_bytes();
    let silence = vec![format.sample.silence_byte(); width];
    let (mut written, mut silent) = (Vec::new(), 0);
    let mut number = 1_u64;
    for pass in 0..bench.passes(40) {
        let room = u64::from(rig.buffer()?.get()).saturating_sub(rig.padding()?.position.padding);
        let room = frames(room).min(packet);
        let used = if pass % 4 == 1 { FrameCount::new(room.get() / 3) } else { room };
        if pass % 5 == 3 {
            // The buffer of a silent packet holds what must never be heard.
            rig.render(room, used, BufferFlag::Silent, |data| data.fill(NEVER))?;
            silent += used.as_usize();
        } else {
            rig.render(room, used, BufferFlag::Valid, |data| {
                pattern(format, number, data);
                written.extend_from_slice(data.get(..format.bytes_of(used)).unwrap_or_default());
            })?;
            number += u64::from(used.get());
        }
        rig.complete()?;
        rig.elapse(PERIOD.to_duration());
    }
    // What is queued has to come out.
    rig.elapse(PERIOD.to_duration() * 8);
    let Some(heard) = rig.heard()? else { return held("what is played cannot be observed") };
    let sound: Vec<u8> = heard.chunks(width).filter(|frame| *frame != silence).flatten().copied().collect();
    if heard.contains(&NEVER) {
        return Err(Broken::new(Req::T8, "a silent buffer was played as it was"));
    }
    if sound != written {
        let at = sound.iter().zip(&written).take_while(|(a, b)| a == b).count() / width.max(1);
        let why = format!(
            "{} frames were played of {} that were written; they differ from frame {at} on",
            sound.len() / width.max(1),
            written.len() / width.max(1)
        );
        return Err(Broken::new(Req::T8, why));
    }
    let heard_silent = heard.chunks(width).filter(|frame| *frame == silence).count();
    if heard_silent < silent {
        return Err(Broken::new(
            Req::T8,
            format!("{heard_silent} frames of silence were played where {silent} were released"),
        ));
    }
    held(format!("{} frames were played as written, silence as silence", written.len() / width.max(1)))
}

pub(super) fn pulse(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    rig.run(PERIOD, 4)?;
    let packet = rig.packet()?;
    for _ in 0..bench.passes(16) {
        rig.elapse(PERIOD.to_duration());
        rig.pass(packet, packet)?;
        let before = rig.padding()?.position.stream;
        for _ in 0..4 {
            rig.pulse()?;
        }
        let after = rig.padding()?.position.stream;
        if before != after {
            return Err(Broken::new(
                Req::T12,
                format!("pulses moved the stream from {} to {}", before.get(), after.get()),
            ));
        }
    }
    held(match rig.flow() {
        DataFlow::Render => "harmless, also many times over",
        DataFlow::Capture => "callable, although the engine never does on capture",
    })
}

pub(super) fn pins(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    rig.prepare(Hns::from_millis(10), 4)?;
    rig.start()?;
    let packet = rig.packet()?;
    for active in [true, true, false, false, true, false, true, true] {
        rig.pin(active)?;
    }
    let before = rig.padding()?.position.stream.get();
    for _ in 0..bench.passes(16) {
        rig.elapse(PERIOD.to_duration());
        rig.pass(packet, packet)?;
    }
    let after = rig.padding()?.position.stream.get();
    if after <= before && rig.exchanged > 0 && rig.pace != Pace::Own {
        return Err(Broken::new(Req::T13, "nothing moves after the pins were set"));
    }
    held("repeated in both directions, and sound moves after it")
}
