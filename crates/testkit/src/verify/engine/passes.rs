//! What the engine does in its passes, read from what probes have recorded.

use soundpost_core::{ChannelLayout, Format, FrameCount, Gain, Hns, SampleFormat, SampleRate};
use soundpost_endpoint::stock::{RateOffset, StockConfig};
use soundpost_endpoint::{BufferFlag, DataFlow, Requirement as Req};
use soundpost_engine::{AttachConfig, DeviceConfig, Metering};

use super::EngineBench;
use super::scene::{FORMAT, Scene, ms, noise, sounding, taken};
use crate::verify::{Broken, Level, Outcome, held};
use crate::{Call, Entry, Offers, check_order};

/// A disturbed run: applications that write unevenly, passes that come late, a stall, idleness.
fn disturbed(
    bench: &mut EngineBench<'_>,
    flow: DataFlow,
    format: Format,
    period: Hns,
) -> Result<(Vec<Entry>, FrameCount), Broken> {
    let device = DeviceConfig { period, ..DeviceConfig::new("device", flow) };
    let mut scene = Scene::new(bench, device)?;
    let mut config = StockConfig::new(format);
    let ppb = i32::try_from(bench.random.below(200_000)).unwrap_or(0) - 100_000;
    config.offset = RateOffset::from_ppb(ppb);
    let seconds = if bench.options.level >= Level::Stress { 60 } else { 4 };
    let mut calls = Vec::new();
    let random = &mut bench.random;
    match flow {
        DataFlow::Render => {
            let coefficient = 1 + u32::try_from(random.below(6)).unwrap_or(0);
            let (_, _, mut probe) = scene.listener(&config, AttachConfig { coefficient, event_driven: false })?;
            let mut writer = scene.player()?;
            let sound = noise(2_400);
            for _ in 0..seconds * 20 {
                let frames = usize::try_from(random.below(2_400)).unwrap_or(0);
                writer.write(sound.get(..FORMAT.bytes_of(FrameCount::from_usize(frames))).unwrap_or_default());
                match random.below(40) {
                    0 => scene.runner.stall(ms(30 + random.below(200))),
                    1 => scene.runner.run_for(ms(1_500)),
                    _ => scene.runner.run_for(ms(50)),
                }
                calls.extend(probe.take_calls());
                probe.take_sound();
            }
        }
        DataFlow::Capture => {
            let bytes = format.frame_bytes() * 4_800;
            let mut probe = scene.microphone(&config, vec![0x11; bytes])?;
            let mut reader = scene.recorder()?;
            for _ in 0..seconds * 10 {
                if random.below(40) == 0 {
                    scene.runner.stall(ms(30 + random.below(200)));
                }
                scene.record(&mut reader, ms(100));
                calls.extend(probe.take_calls());
            }
        }
    }
    Ok((calls, format.rate.frames_covering(period)))
}

/// Disturbed runs in several formats and periods; what is found of one requirement.
pub(super) fn order(bench: &mut EngineBench<'_>, requirement: Req) -> Outcome {
    let cd = SampleRate::HZ_44100;
    let mut count = 0;
    for (sample, rate, period) in [
        (SampleFormat::S16, SampleRate::HZ_48000, 100_000),
        (SampleFormat::F32, cd, 25_000),
        (SampleFormat::S24, cd, 50_000),
        (SampleFormat::S32, SampleRate::MAX, 200_000),
    ] {
        let format = Format { sample, rate, layout: ChannelLayout::STEREO };
        for flow in [DataFlow::Render, DataFlow::Capture] {
            let (calls, packet) = disturbed(bench, flow, format, Hns::new(period))?;
            count += calls.len();
            let found = check_order(&calls, packet, flow);
            if let Some(found) = found.into_iter().find(|finding| finding.requirement == requirement) {
                return Err(Broken::new(
                    requirement,
                    format!("{flow} at {format}: call {}: {}", found.order, found.what),
                ));
            }
        }
    }
    held(format!("in {count} calls over disturbed runs"))
}

/// A run that the endpoint's event drives.
struct Driven {
    calls: Vec<Entry>,
    heard: Vec<u8>,
    /// What was played.
    sound: Vec<u8>,
}

fn driven_run(bench: &mut EngineBench<'_>) -> Result<Driven, Broken> {
    let mut scene = Scene::render(bench)?;
    let mut config = StockConfig::new(FORMAT);
    config.event_driven = true;
    config.offset = RateOffset::from_ppm(500);
    let (_, _, mut probe) = scene.listener(&config, AttachConfig { coefficient: 2, event_driven: true })?;
    let sound = noise(48_000 * 3);
    let writer = scene.player()?;
    scene.play(writer, &sound, ms(3_500));
    Ok(Driven { calls: probe.take_calls(), heard: probe.take_sound(), sound })
}

pub(super) fn event(bench: &mut EngineBench<'_>) -> Outcome {
    let Driven { calls, .. } = driven_run(bench)?;
    let at = |wanted: fn(&Call) -> bool| calls.iter().position(|entry| wanted(&entry.call));
    let (set, initialised) = (at(|call| *call == Call::SetEvent), at(|call| matches!(call, Call::SetBuffer { .. })));
    match (initialised, set) {
        (Some(initialised), Some(set)) if initialised < set => held("handed over after SetBuffer, with its flag"),
        _ => Err(Broken::new(Req::E5, "a driving endpoint got no event, or before SetBuffer")),
    }
}

pub(super) fn driven(bench: &mut EngineBench<'_>) -> Outcome {
    let Driven { calls, heard, sound } = driven_run(bench)?;
    let found = check_order(&calls, FrameCount::new(480), DataFlow::Render);
    if let Some(found) = found.into_iter().find(|finding| finding.requirement == Req::D4) {
        return Err(Broken::new(Req::D4, found.what));
    }
    // 500 ppm fast: paced by its own time, the engine would let it run dry.
    if sounding(&heard) != sound {
        return Err(Broken::new(
            Req::D4,
            "the passes do not follow the endpoint's event: frames were lost or repeated",
        ));
    }
    held("capability, flags, SetBuffer, event, Start; passes at the pace of an endpoint that is 500 ppm fast")
}

pub(super) fn captured(bench: &mut EngineBench<'_>) -> Outcome {
    let mut scene = Scene::capture(bench)?;
    let sound = noise(480_000);
    let _probe = scene.microphone(&StockConfig::new(FORMAT), sound.clone())?;
    let mut reader = scene.recorder()?;
    let heard = sounding(&scene.record(&mut reader, ms(2_000)));
    let width = FORMAT.frame_bytes();
    let first = heard.get(..width * 8).unwrap_or_default();
    let start = sound.chunks(width).enumerate().map(|(at, _)| at * width);
    let start = start.into_iter().find(|at| sound.get(*at..).is_some_and(|rest| rest.starts_with(first)));
    let right = start.is_some_and(|at| sound.get(at..).is_some_and(|rest| rest.starts_with(&heard)));
    if heard.len() < width * 48_000 || !right {
        return Err(Broken::new(Req::T6, "captured frames were lost, repeated or changed"));
    }
    held(format!("{} frames arrive once and in order", heard.len() / width))
}

pub(super) fn silence(bench: &mut EngineBench<'_>) -> Outcome {
    order(bench, Req::T8)?;
    let mut scene = Scene::render(bench)?;
    let (_, _, mut probe) = scene.listener(&StockConfig::new(FORMAT), AttachConfig::default())?;
    let writer = scene.player()?;
    scene.play(writer, &noise(480), ms(800));
    let flags = probe.take_calls().into_iter().filter_map(|entry| match entry.call {
        Call::Release { frames, flag } if !frames.is_zero() => Some(flag),
        _ => None,
    });
    let flags: Vec<_> = flags.collect();
    let silent = flags.iter().filter(|flag| **flag == BufferFlag::Silent).count();
    if silent == 0 || silent == flags.len() {
        return Err(Broken::new(Req::T8, format!("{silent} of {} releases were silent", flags.len())));
    }
    held(format!("{silent} of {} releases after 10 ms of sound were silent; never more than asked", flags.len()))
}

pub(super) fn silent_data(bench: &mut EngineBench<'_>) -> Outcome {
    let mut scene = Scene::capture(bench)?;
    // The probe puts nonsense into buffers that it flags silent.
    let probe_sound = vec![0; FORMAT.frame_bytes() * 4_800];
    let _probe = scene.microphone(&StockConfig::new(FORMAT), probe_sound)?;
    let mut reader = scene.recorder()?;
    let heard = scene.record(&mut reader, ms(1_000));
    if heard.is_empty() || heard.iter().any(|byte| *byte != 0) {
        return Err(Broken::new(Req::T10, "what lies in silent buffers was heard"));
    }
    held(format!("{} frames of silence from buffers full of nonsense", heard.len() / FORMAT.frame_bytes()))
}

pub(super) fn further(bench: &mut EngineBench<'_>) -> Outcome {
    let broken = |what: &str| Err(Broken::new(Req::X1, what));
    let mut scene = Scene::render(bench)?;
    let (session, device) = (scene.session, scene.device);
    let volume = scene.runner.engine.set_device_volume(session, device, Gain::new(0.5));
    taken(Req::X1, "a volume", volume)?;
    let offers = Offers { last_buffer: true, sound: true };
    let (_, _, mut probe) = scene.listener_with(&StockConfig::new(FORMAT), AttachConfig::default(), offers)?;
    let writer = scene.player()?;
    // No whole number of packets, at a level whose half is one of its format.
    scene.play(writer, &1_000_i16.to_le_bytes().repeat(2 * 24_123), ms(1_500));
    let snapshot = taken(Req::X1, "a question", scene.runner.engine.snapshot_of(session, device))?;
    let Some(attached) = snapshot.connections.into_iter().find_map(|connection| connection.endpoint) else {
        return broken("an endpoint that offers all of them was detached");
    };
    if !attached.applies_volume || !matches!(attached.metering, Metering::Endpoint(_)) {
        return broken("the volume or the meter of an only endpoint is not used");
    }
    if sounding(&probe.take_sound()) != 500_i16.to_le_bytes().repeat(2 * 24_123) {
        return broken("the volume was not applied once to every frame");
    }
    let calls = probe.take_calls();
    let is_last = |entry: &&Entry| matches!(entry.call, Call::ReleaseLast { .. });
    if calls.iter().filter(is_last).count() != 1 {
        return broken("the end of the sound was not told once");
    }
    if calls.iter().skip_while(|entry| !is_last(entry)).any(|entry| matches!(entry.call, Call::Acquire(_))) {
        return broken("packets came after the last one");
    }
    held("volume, meter and last-buffer control of an only endpoint: applied once, and nothing after the last packet")
}

pub(super) fn allocations(bench: &mut EngineBench<'_>) -> Outcome {
    let Some(before) = bench.tools.gated() else { return held("allocations in passes are not counted here") };
    for flow in [DataFlow::Render, DataFlow::Capture] {
        let format = Format { sample: SampleFormat::S24, rate: SampleRate::HZ_44100, layout: ChannelLayout::STEREO };
        disturbed(bench, flow, format, Hns::from_millis(10))?;
    }
    let more = bench.tools.gated().unwrap_or(before).saturating_sub(before);
    if more > 0 {
        return Err(Broken::new(Req::X2, format!("{more} allocations or frees in passes")));
    }
    held("no allocation in disturbed runs in both directions, rates converted")
}
