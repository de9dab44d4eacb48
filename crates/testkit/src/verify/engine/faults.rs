//! R4 and X3: endpoints that misbehave, and what it costs the others.

use std::sync::Arc;

use soundpost_core::Clock;
use soundpost_endpoint::Requirement as Req;
use soundpost_endpoint::stock::StockConfig;
use soundpost_engine::{AttachConfig, EngineEvent};

use super::EngineBench;
use super::scene::{FORMAT, Scene, ms, noise, sounding, taken};
use crate::verify::{Broken, Outcome, held};
use crate::{Breach, CaptureBreach, Runner, faulty_capture, faulty_render};

/// A cushion that no disturbance of these runs empties.
const DEEP: AttachConfig = AttachConfig { coefficient: 4, event_driven: false };

pub(super) fn one_goes(bench: &mut EngineBench<'_>) -> Outcome {
    let mut scene = Scene::render(bench)?;
    let (_, _, mut before) = scene.listener(&StockConfig::new(FORMAT), DEEP)?;
    let (_, going, _probe) = scene.listener(&StockConfig::new(FORMAT), DEEP)?;
    let (_, _, mut after) = scene.listener(&StockConfig::new(FORMAT), DEEP)?;
    let sound = noise(24_000);
    let mut writer = scene.player()?;
    let written = writer.write(&sound);
    scene.runner.run_for(ms(100));
    taken(Req::R4, "unregistering", scene.runner.engine.unregister(scene.session, going))?;
    let rest = sound.get(FORMAT.bytes_of(written)..).unwrap_or_default().to_vec();
    scene.play(writer, &rest, ms(900));
    for probe in [&mut before, &mut after] {
        if sounding(&probe.take_sound()) != sound {
            return Err(Broken::new(Req::R4, "another listener lost or repeated frames when one was unregistered"));
        }
    }
    held("two listeners hear every frame once while a third goes")
}

fn faults(runner: &Runner) -> Vec<Req> {
    let fault = |event: &EngineEvent| match event {
        EngineEvent::EndpointFaulted { fault, .. } => Some(fault.requirement()),
        _ => None,
    };
    runner.events.iter().filter_map(fault).collect()
}

fn render(bench: &EngineBench<'_>, breach: Breach, passes: u32) -> Result<(), Broken> {
    let mut scene = Scene::render(bench)?;
    let (_, _, mut before) = scene.listener(&StockConfig::new(FORMAT), DEEP)?;
    let endpoint = faulty_render(&StockConfig::new(FORMAT), &Arc::clone(&scene.runner.clock), breach, passes);
    scene.attach(endpoint, AttachConfig::default())?;
    let (_, _, mut after) = scene.listener(&StockConfig::new(FORMAT), DEEP)?;
    let sound = noise(24_000);
    let writer = scene.player()?;
    scene.play(writer, &sound, ms(1_200));
    judge(&scene.runner, &format!("{breach:?}"), breach.requirement())?;
    for probe in [&mut before, &mut after] {
        if sounding(&probe.take_sound()) != sound {
            return Err(Broken::new(Req::X3, format!("{breach:?} of one endpoint cost another one frames")));
        }
    }
    Ok(())
}

fn capture(bench: &EngineBench<'_>, breach: CaptureBreach, passes: u32) -> Result<(), Broken> {
    let mut scene = Scene::capture(bench)?;
    let clock: Arc<dyn Clock> = scene.runner.endpoint_clock();
    scene.attach(faulty_capture(&StockConfig::new(FORMAT), clock, breach, passes), AttachConfig::default())?;
    let mut reader = scene.recorder()?;
    let heard = scene.record(&mut reader, ms(1_000));
    judge(&scene.runner, &format!("{breach:?} of a source"), breach.requirement())?;
    let frames = heard.len() / FORMAT.frame_bytes();
    if frames < 46_000 {
        return Err(Broken::new(Req::X3, format!("{breach:?}: a recorder got {frames} frames in a second")));
    }
    Ok(())
}

fn judge(runner: &Runner, what: &str, expected: Req) -> Result<(), Broken> {
    let found = faults(runner);
    if found == [expected] {
        return Ok(());
    }
    let found: Vec<_> = found.iter().map(|requirement| requirement.number()).collect();
    Err(Broken::new(Req::X3, format!("{what}, which breaks {expected}, was reported as {found:?}")))
}

pub(super) fn named(bench: &mut EngineBench<'_>) -> Outcome {
    after(bench, 5)?;
    held(format!(
        "{} ways to misbehave on render, {} on capture: each named, detached, and nobody else lost a frame",
        Breach::ALL.len(),
        CaptureBreach::ALL.len()
    ))
}

pub(super) fn named_later(bench: &mut EngineBench<'_>) -> Outcome {
    let passes = 1 + u32::try_from(bench.random.below(40)).unwrap_or(0);
    after(bench, passes)?;
    held(format!("also after {passes} passes"))
}

fn after(bench: &EngineBench<'_>, passes: u32) -> Result<(), Broken> {
    for breach in Breach::ALL {
        // A pin is set before the first pass.
        let at_once = matches!(breach, Breach::PanicInPin | Breach::PinFails);
        render(bench, breach, if at_once { 0 } else { passes })?;
    }
    for breach in CaptureBreach::ALL {
        capture(bench, breach, passes)?;
    }
    Ok(())
}
