//! X1: the header's further interfaces, where the endpoint offers them.

use soundpost_core::{FrameCount, Gain, Hns};
use soundpost_endpoint::{BufferFlag, DataFlow, EndpointError, Requirement as Req, VolumeCurve};

use super::PERIOD;
use crate::verify::rig::{Rig, pattern};
use crate::verify::{Bench, Broken, Outcome, Seen, held};

/// What a call on one of the interfaces came to; nothing where the interface is not offered.
type Answer<T> = Option<Result<T, EndpointError>>;

/// A check of one interface: whether it is offered.
type Part = fn(&mut Rig<'_>) -> Result<bool, Broken>;

fn broken<T>(what: impl Into<String>) -> Result<T, Broken> {
    Err(Broken::new(Req::X1, what))
}

pub(super) fn further(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    let mut offered = Vec::new();
    let parts: [(&str, Part); 5] =
        [("volume", volume), ("mute", mute), ("meter", meter), ("effects", effects), ("last buffer", last_buffer)];
    for (name, check) in parts {
        if check(&mut rig)? {
            offered.push(name);
        }
    }
    if offered.is_empty() {
        return Ok(Seen::NotOffered("none of the header's further interfaces".to_owned()));
    }
    held(offered.join(", "))
}

fn channels(rig: &Rig<'_>) -> usize {
    rig.format.layout.channels().as_usize()
}

fn volume(rig: &mut Rig<'_>) -> Result<bool, Broken> {
    let count = channels(rig);
    let Some(said) = rig
        .ask("volume_channels", |control| control.offload_volume().map(|volume| volume.volume_channels().as_usize()))?
    else {
        return Ok(false);
    };
    if said != count {
        return broken(format!("a volume for {said} channels of {count}"));
    }
    let mut set = |volumes: &[Gain], duration: Hns| -> Result<Answer<()>, Broken> {
        rig.ask("set_channel_volumes", |control| {
            control.offload_volume().map(|volume| volume.set_channel_volumes(volumes, VolumeCurve::None, duration))
        })
    };
    let half = vec![Gain::new(0.5); count];
    if !matches!(set(&half, Hns::ZERO)?, Some(Ok(()))) {
        return broken("a volume of one half was refused");
    }
    let more = vec![Gain::new(0.25); count + 1];
    if matches!(set(&more, Hns::ZERO)?, Some(Ok(()))) || matches!(set(&half, Hns::new(-1))?, Some(Ok(()))) {
        return broken("volumes for too many channels, or a negative duration, were taken");
    }
    let mut got = vec![Gain::ZERO; count];
    let read =
        rig.ask("channel_volumes", |control| control.offload_volume().map(|volume| volume.channel_volumes(&mut got)))?;
    if !matches!(read, Some(Ok(()))) || got != half {
        return broken(format!("volumes of {half:?} were set, and {got:?} are answered"));
    }
    Ok(true)
}

fn mute(rig: &mut Rig<'_>) -> Result<bool, Broken> {
    for muted in [true, true, false] {
        let Some(set) = rig.ask("set_muted", |control| control.offload_mute().map(|mute| mute.set_muted(muted)))?
        else {
            return Ok(false);
        };
        let is = rig.ask("is_muted", |control| control.offload_mute().map(|mute| mute.is_muted()))?;
        if set.is_err() || is != Some(muted) {
            return broken(format!("muted was set to {muted}, and is {is:?}"));
        }
    }
    Ok(true)
}

fn meter(rig: &mut Rig<'_>) -> Result<bool, Broken> {
    let count = channels(rig);
    let mut peaks = vec![0.0; count];
    let mut more = vec![0.0; count + 1];
    let Some((said, read, wrong)) = rig.ask("metering", |control| {
        let meter = control.offload_meter()?;
        Some((meter.meter_channels().as_usize(), meter.metering(&mut peaks), meter.metering(&mut more)))
    })?
    else {
        return Ok(false);
    };
    let sensible = peaks.iter().all(|peak| peak.is_finite() && *peak >= 0.0);
    if said != count || read.is_err() || wrong.is_ok() || !sensible {
        return broken(format!("a meter of {said} channels of {count}, with peaks of {peaks:?}"));
    }
    Ok(true)
}

fn effects(rig: &mut Rig<'_>) -> Result<bool, Broken> {
    for on in [false, true] {
        let set = rig
            .ask("set_local_effects", |control| control.local_effects().map(|effects| effects.set_local_effects(on)))?;
        let Some(set) = set else { return Ok(false) };
        let is = rig.ask("local_effects", |control| control.local_effects().map(|effects| effects.local_effects()))?;
        if set.is_err() || is != Some(on) {
            return broken(format!("effects were switched to {on}, and are {is:?}"));
        }
    }
    Ok(true)
}

/// The last frames of a sound count as those of any release, and sound may begin anew after them.
fn last_buffer(rig: &mut Rig<'_>) -> Result<bool, Broken> {
    if rig.flow() != DataFlow::Render || !rig.ask("last_buffer_control", |control| control.last_buffer_control())? {
        return Ok(false);
    }
    rig.run(PERIOD, 4)?;
    let (packet, format) = (rig.packet()?, rig.format);
    let used = FrameCount::new(packet.get() / 3);
    for _ in 0..4 {
        rig.render(packet, packet, BufferFlag::Valid, |data| pattern(format, 1, data))?;
        rig.render_last(packet, used, BufferFlag::Valid, |data| pattern(format, 2, data))?;
        rig.complete()?;
        let stream = rig.padding()?.position.stream.get();
        if stream != rig.exchanged {
            return broken(format!("at {stream} after a sound that ended at {} frames", rig.exchanged));
        }
        // It rests, and nothing is missed meanwhile.
        rig.elapse(PERIOD.to_duration() * 20);
        rig.padding()?;
    }
    rig.stop()?;
    Ok(true)
}
