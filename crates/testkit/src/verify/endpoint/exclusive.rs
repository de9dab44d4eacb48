//! D5: exclusive mode, as far as the endpoint's own half of it goes. What its host does with the shared memory is not
//! the endpoint's.

use std::num::NonZeroU32;

use soundpost_core::Hns;
use soundpost_endpoint::exclusive::ExclusiveRequest;
use soundpost_endpoint::{EndpointError, Requirement as Req};

use super::PERIOD;
use crate::verify::rig::Rig;
use crate::verify::{Bench, Broken, Outcome, Seen, held};

const REQUEST: ExclusiveRequest =
    ExclusiveRequest { process: NonZeroU32::MIN, period: PERIOD, buffer: Hns::from_millis(100), coefficient: 2 };

fn broken<T>(what: impl Into<String>) -> Result<T, Broken> {
    Err(Broken::new(Req::D5, what))
}

pub(super) fn exclusive(bench: &mut Bench<'_>) -> Outcome {
    let mut rig = bench.rig()?;
    let plan = match rig.ask("exclusive_mode", |control| control.exclusive_mode(&REQUEST))? {
        Ok(plan) => plan,
        Err(EndpointError::ExclusiveNotAllowed) => {
            return Ok(Seen::NotOffered("no exclusive mode, and it says so".to_owned()));
        }
        Err(other) => return broken(format!("a sensible request was refused: {other}")),
    };
    let packet = rig.format.rate.frames_covering(PERIOD);
    if plan.process != REQUEST.process || plan.sizes.period != PERIOD || plan.sizes.packet != packet {
        return broken(format!("asked for {PERIOD}, and got packets of {} frames", plan.sizes.packet));
    }
    let (ring, asked) = (plan.ring, rig.format.rate.frames_in(REQUEST.buffer));
    if u64::from(ring.get()) < asked {
        return broken(format!("a shared buffer of {ring} frames, where {asked} were asked for"));
    }
    in_use(&mut rig, "a second request")?;
    let answer = rig.ask("set_buffer", |control| control.set_buffer(PERIOD, 2))?;
    if answer != Err(EndpointError::InUse) {
        return Err(Broken::new(Req::D1, format!("SetBuffer in exclusive use was answered with {answer:?}")));
    }
    rig.must(Req::D5, "release_buffer", |control| control.release_buffer())?;
    rig.prepare(PERIOD, 2)?;
    in_use(&mut rig, "a request after SetBuffer")?;
    for (period, buffer) in [(Hns::ZERO, REQUEST.buffer), (Hns::new(i64::MAX), REQUEST.buffer), (PERIOD, PERIOD)] {
        let request = ExclusiveRequest { period, buffer, ..REQUEST };
        let mut rig = bench.rig()?;
        if rig.ask("exclusive_mode", |control| control.exclusive_mode(&request))?.is_ok() {
            return broken(format!("a period of {period} with a buffer of {buffer} was taken"));
        }
        rig.prepare(PERIOD, 2)?;
    }
    held("one process at a time, instead of SetBuffer, within the range of periods and buffers")
}

fn in_use(rig: &mut Rig<'_>, what: &str) -> Result<(), Broken> {
    let answer = rig.ask("exclusive_mode", |control| control.exclusive_mode(&REQUEST))?;
    match answer {
        Err(EndpointError::InUse) => Ok(()),
        Err(other) => broken(format!("{what} was refused with: {other}")),
        Ok(_) => broken(format!("{what} was taken")),
    }
}
