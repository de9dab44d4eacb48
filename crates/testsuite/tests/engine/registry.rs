//! R1 to R5: what may be attached to what, and whose it is.

use soundpost_core::FramePosition;
use soundpost_endpoint::DataFlow;
use soundpost_endpoint::stock::{StockConfig, null_capture};
use soundpost_engine::{AttachConfig, DeviceConfig, EngineError, EngineEvent, StreamConfig};
use soundpost_testkit::{Call, render_probe};

use super::scene::{S16, Scene, find, ms, noise};

#[test]
fn r1_a_second_endpoint_on_a_connection_is_refused_and_the_first_stays() {
    let mut scene = Scene::new();
    let (connection, first, mut probe) = scene.listener(S16);
    let (endpoint, mut other) = render_probe(&StockConfig::new(S16), scene.runner.endpoint_clock());
    let second = scene.runner.engine.register(scene.session, "second", endpoint).unwrap();
    let refused = scene.runner.engine.attach(scene.session, connection, second, AttachConfig::default());
    assert_eq!(refused, Err(EngineError::ConnectionTaken { connection, endpoint: first }));
    assert!(other.take_calls().is_empty(), "R2: an endpoint that is not attached was called");
    let sound = noise(S16, 9_600, 1);
    let mut player = scene.player(S16, sound.clone());
    scene.play(&mut [&mut player], ms(400));
    let heard = probe.take_sound();
    assert!(find(&heard, &sound, 4).is_some());
}

#[test]
fn r1_an_endpoint_is_on_one_connection_at_a_time() {
    let mut scene = Scene::new();
    let (first, endpoint, mut probe) = scene.listener(S16);
    let second = scene.runner.engine.connect(scene.session, scene.device).unwrap();
    let engine = &mut scene.runner.engine;
    let refused = engine.attach(scene.session, second, endpoint, AttachConfig::default());
    assert_eq!(refused, Err(EngineError::EndpointTaken(endpoint)));
    engine.detach(scene.session, first).unwrap();
    scene.runner.run_for(ms(20));
    let back = EngineEvent::EndpointDetached { session: scene.session, endpoint };
    assert!(scene.runner.events.contains(&back));
    scene.runner.engine.attach(scene.session, second, endpoint, AttachConfig::default()).unwrap();
    let sound = noise(S16, 9_600, 1);
    let mut player = scene.player(S16, sound.clone());
    scene.play(&mut [&mut player], ms(400));
    assert!(find(&probe.take_sound(), &sound, 4).is_some(), "an endpoint plays again after it was moved");
    let calls = probe.take_calls();
    assert_eq!(soundpost_testkit::check_order(&calls, soundpost_core::FrameCount::new(480), DataFlow::Render), []);
    assert_eq!(calls.iter().filter(|entry| entry.call == Call::Start).count(), 2);
}

#[test]
fn r3_directions_have_to_fit() {
    let mut scene = Scene::new();
    let stock = null_capture(&StockConfig::new(S16), scene.runner.endpoint_clock());
    let endpoint = scene.runner.engine.register(scene.session, "microphone", stock.endpoint).unwrap();
    let connection = scene.runner.engine.connect(scene.session, scene.device).unwrap();
    let refused = scene.runner.engine.attach(scene.session, connection, endpoint, AttachConfig::default());
    assert_eq!(refused, Err(EngineError::WrongFlow { expected: DataFlow::Render, got: DataFlow::Capture }));
    let config = StreamConfig::new("recorder", S16);
    let refused = scene.runner.engine.open_capture(scene.session, scene.device, config).map(|_| ());
    assert!(matches!(refused, Err(EngineError::WrongFlow { .. })));
}

#[test]
fn sessions_cannot_reach_each_others_objects() {
    let mut scene = Scene::new();
    let (connection, endpoint, _probe) = scene.listener(S16);
    let player = scene.player(S16, noise(S16, 480, 1));
    let (device, stream) = (scene.device, player.id);
    let engine = &mut scene.runner.engine;
    let other = engine.open_session("mallory").unwrap();
    let config = StreamConfig::new("spy", S16);
    let unknown_device = Err(EngineError::UnknownDevice(device));
    let unknown_stream = Err(EngineError::UnknownStream(stream));
    let unknown_connection = Err(EngineError::UnknownConnection(connection));
    assert_eq!(engine.open_stream(other, device, config.clone()).map(|_| ()), unknown_device);
    assert_eq!(engine.open_capture(other, device, config).map(|_| ()), unknown_device);
    assert_eq!(engine.close_device(other, device), unknown_device);
    assert_eq!(engine.set_device_muted(other, device, true), unknown_device);
    assert_eq!(engine.set_device_volume(other, device, soundpost_core::Gain::ZERO), unknown_device);
    assert_eq!(engine.connect(other, device).map(|_| ()), unknown_device);
    assert_eq!(engine.close_stream(other, stream), unknown_stream);
    assert_eq!(engine.set_stream_muted(other, stream, true), unknown_stream);
    assert_eq!(engine.set_stream_volume(other, stream, soundpost_core::Gain::ZERO), unknown_stream);
    assert_eq!(engine.set_paused(other, stream, true), unknown_stream);
    assert_eq!(engine.drain(other, stream), unknown_stream);
    assert_eq!(engine.flush(other, stream, FramePosition::ZERO), unknown_stream);
    assert_eq!(engine.detach(other, connection), unknown_connection);
    assert_eq!(engine.disconnect(other, connection), unknown_connection);
    assert_eq!(engine.attach(other, connection, endpoint, AttachConfig::default()), unknown_connection);
    assert_eq!(engine.unregister(other, endpoint), Err(EngineError::UnknownEndpoint(endpoint)));
    let own = engine.open_device(other, DeviceConfig::new("own", DataFlow::Render)).unwrap();
    let own = engine.connect(other, own).unwrap();
    let stolen = engine.attach(other, own, endpoint, AttachConfig::default());
    assert_eq!(stolen, Err(EngineError::UnknownEndpoint(endpoint)));
}

#[test]
fn one_device_is_shown_as_the_snapshot_of_everything_shows_it() {
    let mut scene = Scene::new();
    let (_, _, _probe) = scene.listener(S16);
    let mut player = scene.player(S16, noise(S16, 48_000, 1));
    scene.play(&mut [&mut player], ms(300));
    let (session, device) = (scene.session, scene.device);
    let engine = &mut scene.runner.engine;
    let second = engine.open_device(session, DeviceConfig::new("second", DataFlow::Capture)).unwrap();
    let other = engine.open_session("other").unwrap();
    let shown = engine.snapshot_of(session, device).unwrap();
    assert!(shown.stats.passes > 20 && shown.connections.len() == 1 && shown.streams.len() == 1, "{shown:?}");
    let everything = engine.snapshot();
    assert_eq!(everything.sessions[0].devices, [shown, engine.snapshot_of(session, second).unwrap()]);
    assert_eq!(engine.snapshot_of(other, device), Err(EngineError::UnknownDevice(device)));
    engine.close_session(other).unwrap();
    assert_eq!(engine.snapshot_of(other, device), Err(EngineError::UnknownSession(other)));
}

#[test]
fn closing_a_session_gives_everything_back() {
    let mut scene = Scene::new();
    let (_, endpoint, mut probe) = scene.listener(S16);
    let mut player = scene.player(S16, noise(S16, 48_000, 1));
    scene.play(&mut [&mut player], ms(100));
    scene.runner.engine.close_session(scene.session).unwrap();
    scene.runner.run_for(ms(50));
    let writer = player.writer.as_mut().unwrap();
    assert!(writer.is_closed());
    assert_eq!(writer.write(&player.sound), soundpost_core::FrameCount::ZERO);
    assert_eq!(scene.runner.engine.snapshot().sessions.len(), 0);
    let calls = probe.take_calls();
    let last: Vec<_> = calls.iter().rev().take(3).map(|entry| entry.call).collect();
    assert_eq!(last, [Call::Reset, Call::Stop, Call::PinInactive]);
    let gone = scene.runner.engine.unregister(scene.session, endpoint);
    assert_eq!(gone, Err(EngineError::UnknownSession(scene.session)));
    assert_eq!(scene.runner.next_wake(), None);
}
