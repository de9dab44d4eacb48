//! R1, R2, R3, R5: what may be attached to what, and whose it is.

use soundpost_core::FrameCount;
use soundpost_endpoint::stock::{StockConfig, null_capture};
use soundpost_endpoint::{DataFlow, Requirement as Req};
use soundpost_engine::{AttachConfig, EngineError};

use super::EngineBench;
use super::scene::{FORMAT, Scene, ms, noise, sounding, taken};
use crate::verify::{Broken, Outcome, held};
use crate::{check_order, render_probe};

pub(super) fn one_endpoint(bench: &mut EngineBench<'_>) -> Outcome {
    let mut scene = Scene::render(bench)?;
    let (connection, first, mut probe) = scene.listener(&StockConfig::new(FORMAT), AttachConfig::default())?;
    let (second, mut other) = render_probe(&StockConfig::new(FORMAT), scene.runner.endpoint_clock());
    let engine = &mut scene.runner.engine;
    let second = taken(Req::R2, "a second endpoint", engine.register(scene.session, "second", second))?;
    let answer = engine.attach(scene.session, connection, second, AttachConfig::default());
    if answer != (Err(EngineError::ConnectionTaken { connection, endpoint: first })) {
        return Err(Broken::new(Req::R1, format!("a second endpoint on a connection was answered with {answer:?}")));
    }
    let sound = noise(9_600);
    let writer = scene.player()?;
    scene.play(writer, &sound, ms(500));
    if sounding(&probe.take_sound()) != sound || !other.take_calls().is_empty() {
        return Err(Broken::new(Req::R1, "the refused endpoint disturbed the first one"));
    }
    held("a second one is refused, the first plays on")
}

pub(super) fn attached_only(bench: &mut EngineBench<'_>) -> Outcome {
    let mut scene = Scene::render(bench)?;
    let (endpoint, mut probe) = render_probe(&StockConfig::new(FORMAT), scene.runner.endpoint_clock());
    let engine = &mut scene.runner.engine;
    let endpoint = taken(Req::R2, "an endpoint", engine.register(scene.session, "endpoint", endpoint))?;
    let connection = taken(Req::R1, "a connection", engine.connect(scene.session, scene.device))?;
    scene.runner.run_for(ms(100));
    if let Some(entry) = probe.take_calls().first() {
        return Err(Broken::new(Req::R2, format!("{:?} before the endpoint was attached", entry.call)));
    }
    let engine = &mut scene.runner.engine;
    taken(Req::R2, "attaching", engine.attach(scene.session, connection, endpoint, AttachConfig::default()))?;
    let writer = scene.player()?;
    scene.play(writer, &noise(9_600), ms(300));
    taken(Req::R2, "detaching", scene.runner.engine.detach(scene.session, connection))?;
    scene.runner.run_for(ms(100));
    let calls = probe.take_calls();
    if let Some(found) = check_order(&calls, FrameCount::new(480), DataFlow::Render)
        .into_iter()
        .find(|finding| finding.requirement == Req::R2)
    {
        return Err(Broken::new(Req::R2, found.what));
    }
    scene.runner.run_for(ms(200));
    if let Some(entry) = probe.take_calls().first() {
        return Err(Broken::new(Req::R2, format!("{:?} after the endpoint was detached", entry.call)));
    }
    held(format!("{} calls, all while it was attached and started", calls.len()))
}

pub(super) fn directions(bench: &mut EngineBench<'_>) -> Outcome {
    let mut scene = Scene::render(bench)?;
    let source = null_capture(&StockConfig::new(FORMAT), scene.runner.endpoint_clock()).endpoint;
    let engine = &mut scene.runner.engine;
    let source = taken(Req::R2, "an endpoint", engine.register(scene.session, "source", source))?;
    let connection = taken(Req::R1, "a connection", engine.connect(scene.session, scene.device))?;
    let answer = engine.attach(scene.session, connection, source, AttachConfig::default());
    if answer.is_ok() {
        return Err(Broken::new(Req::R3, "a capture endpoint was attached to a render device"));
    }
    held("the wrong direction is refused; an endpoint that lacks an interface cannot be made (endpoint/src/lib.rs)")
}

pub(super) fn sessions(bench: &mut EngineBench<'_>) -> Outcome {
    let mut scene = Scene::render(bench)?;
    let (connection, endpoint, _probe) = scene.listener(&StockConfig::new(FORMAT), AttachConfig::default())?;
    let engine = &mut scene.runner.engine;
    let other = taken(Req::R5, "a session", engine.open_session("other"))?;
    let reached = engine.unregister(other, endpoint).is_ok()
        || engine.detach(other, connection).is_ok()
        || engine.connect(other, scene.device).is_ok();
    if reached {
        return Err(Broken::new(Req::R5, "another session reached an endpoint, a connection or a device"));
    }
    held("a stream has no way to an endpoint (engine/src/writer.rs, reader.rs); another session has none either")
}
