//! X3 on the control side: a control half that panics is named and left alone, and the engine goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use soundpost_core::{Format, FrameCount, Hns};
use soundpost_endpoint::stock::{StockConfig, null_render};
use soundpost_endpoint::{
    AudioEndpoint, ControlHalf, DataFlow, DeviceEndpoint, Endpoint, EndpointControl, EndpointError, Event, Fault,
    StreamFlags,
};
use soundpost_engine::{AttachConfig, ConnectionId, EndpointId, EndpointState, EngineError, EngineEvent};

use super::scene::{S16, Scene, find, ms, noise};

/// Panics in one method, once it is armed.
struct Panics {
    inner: Box<dyn ControlHalf>,
    call: &'static str,
    armed: Arc<AtomicBool>,
}

impl Panics {
    fn in_call(&self, call: &str) {
        assert!(!(call == self.call && self.armed.load(Ordering::Relaxed)), "planted in {call}");
    }
}

impl AudioEndpoint for Panics {
    fn frame_format(&self) -> Format {
        self.in_call("frame_format");
        self.inner.frame_format()
    }

    fn frames_per_packet(&self) -> Result<FrameCount, EndpointError> {
        self.in_call("frames_per_packet");
        self.inner.frames_per_packet()
    }

    fn latency(&self) -> Result<Hns, EndpointError> {
        self.in_call("latency");
        self.inner.latency()
    }

    fn set_stream_flags(&mut self, flags: StreamFlags) -> Result<(), EndpointError> {
        self.in_call("set_stream_flags");
        self.inner.set_stream_flags(flags)
    }

    fn set_event(&mut self, event: Arc<dyn Event>) -> Result<(), EndpointError> {
        self.in_call("set_event");
        self.inner.set_event(event)
    }
}

impl DeviceEndpoint for Panics {
    fn set_buffer(&mut self, max_period: Hns, coefficient: u32) -> Result<(), EndpointError> {
        self.in_call("set_buffer");
        self.inner.set_buffer(max_period, coefficient)
    }

    fn event_driven_capable(&self) -> bool {
        self.in_call("event_driven_capable");
        self.inner.event_driven_capable()
    }
}

impl EndpointControl for Panics {
    fn start(&mut self) -> Result<(), EndpointError> {
        self.in_call("start");
        self.inner.start()
    }

    fn stop(&mut self) -> Result<(), EndpointError> {
        self.in_call("stop");
        self.inner.stop()
    }

    fn reset(&mut self) -> Result<(), EndpointError> {
        self.in_call("reset");
        self.inner.reset()
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        self.in_call("drop");
    }
}

/// An endpoint that panics in `call` once the answered switch is on.
fn endpoint(scene: &Scene, call: &'static str) -> (Endpoint, Arc<AtomicBool>) {
    let mut config = StockConfig::new(S16);
    config.event_driven = true;
    let Endpoint { control, realtime } = null_render(&config, scene.runner.endpoint_clock()).endpoint;
    let armed = Arc::new(AtomicBool::new(false));
    let control = Panics { inner: control, call, armed: Arc::clone(&armed) };
    (Endpoint { control: Box::new(control), realtime }, armed)
}

/// A scene with a registered endpoint and a connection for it.
fn registered(call: &'static str) -> (Scene, EndpointId, ConnectionId, Arc<AtomicBool>) {
    let mut scene = Scene::new();
    let (endpoint, armed) = endpoint(&scene, call);
    let endpoint = scene.runner.engine.register(scene.session, "panics", endpoint).unwrap();
    let connection = scene.runner.engine.connect(scene.session, scene.device).unwrap();
    (scene, endpoint, connection, armed)
}

/// The engine goes on: the connection takes another endpoint, which hears everything.
fn goes_on(mut scene: Scene, connection: ConnectionId) {
    let (endpoint, mut probe) = soundpost_testkit::render_probe(&StockConfig::new(S16), scene.runner.endpoint_clock());
    let endpoint = scene.runner.engine.register(scene.session, "sound", endpoint).unwrap();
    scene.runner.engine.attach(scene.session, connection, endpoint, AttachConfig::default()).unwrap();
    let sound = noise(S16, 4_800, 1);
    let mut player = scene.player(S16, sound.clone());
    scene.play(&mut [&mut player], ms(200));
    assert!(find(&probe.take_sound(), &sound, 4).is_some());
}

fn state(scene: &Scene, endpoint: EndpointId) -> Option<EndpointState> {
    let snapshot = scene.runner.engine.snapshot();
    snapshot.sessions[0].endpoints.iter().find(|shown| shown.id == endpoint).map(|shown| shown.state)
}

#[test]
fn x3_a_panic_at_registration_is_the_callers_error() {
    let mut scene = Scene::new();
    let (endpoint, armed) = endpoint(&scene, "frame_format");
    armed.store(true, Ordering::Relaxed);
    let refused = scene.runner.engine.register(scene.session, "panics", endpoint);
    assert!(matches!(refused, Err(EngineError::EndpointPanicked { call: "frame_format", .. })), "{refused:?}");
    assert_eq!(scene.runner.engine.snapshot().sessions[0].endpoints, []);
    let connection = scene.runner.engine.connect(scene.session, scene.device).unwrap();
    goes_on(scene, connection);
}

#[test]
fn x3_a_panic_at_attaching_makes_the_endpoint_faulty() {
    let calls = [
        "event_driven_capable",
        "set_stream_flags",
        "set_buffer",
        "set_event",
        "frame_format",
        "frames_per_packet",
        "latency",
        "start",
    ];
    for call in calls {
        let (mut scene, endpoint, connection, armed) = registered(call);
        armed.store(true, Ordering::Relaxed);
        let attach = AttachConfig { coefficient: 2, event_driven: true };
        let refused = scene.runner.engine.attach(scene.session, connection, endpoint, attach);
        assert_eq!(refused, Err(EngineError::EndpointPanicked { endpoint, call }));
        assert_eq!(state(&scene, endpoint), Some(EndpointState::Faulty(Fault::Panicked { call })));
        let again = scene.runner.engine.attach(scene.session, connection, endpoint, attach);
        assert!(matches!(again, Err(EngineError::EndpointFaulty { .. })), "{call}: {again:?}");
        scene.runner.engine.unregister(scene.session, endpoint).unwrap();
        goes_on(scene, connection);
    }
}

#[test]
fn x3_a_panic_at_detaching_makes_the_endpoint_faulty() {
    for call in ["stop", "reset"] {
        let (mut scene, endpoint, connection, armed) = registered(call);
        scene.runner.engine.attach(scene.session, connection, endpoint, AttachConfig::default()).unwrap();
        scene.runner.run_for(ms(10));
        armed.store(true, Ordering::Relaxed);
        scene.runner.engine.detach(scene.session, connection).unwrap();
        scene.runner.run_for(ms(10));
        let fault = Fault::Panicked { call };
        assert_eq!(state(&scene, endpoint), Some(EndpointState::Faulty(fault)));
        let told = |event: &EngineEvent| matches!(event, EngineEvent::EndpointFaulted { endpoint: id, fault: what, .. } if (*id, *what) == (endpoint, fault));
        assert!(scene.runner.events.iter().any(told), "{:?}", scene.runner.events);
        goes_on(scene, connection);
    }
}

#[test]
fn x3_a_panic_at_unregistering_is_the_callers_error_and_the_endpoint_is_gone() {
    let (mut scene, endpoint, connection, armed) = registered("drop");
    armed.store(true, Ordering::Relaxed);
    let told = scene.runner.engine.unregister(scene.session, endpoint);
    assert_eq!(told, Err(EngineError::EndpointPanicked { endpoint, call: "drop" }));
    let again = scene.runner.engine.unregister(scene.session, endpoint);
    assert_eq!(again, Err(EngineError::UnknownEndpoint(endpoint)));
    goes_on(scene, connection);
}

#[test]
fn x3_a_panic_at_the_end_of_an_attached_endpoint_disturbs_nobody() {
    let (mut scene, endpoint, connection, armed) = registered("drop");
    scene.runner.engine.attach(scene.session, connection, endpoint, AttachConfig::default()).unwrap();
    scene.runner.run_for(ms(10));
    armed.store(true, Ordering::Relaxed);
    scene.runner.engine.unregister(scene.session, endpoint).unwrap();
    scene.runner.run_for(ms(10));
    assert_eq!(state(&scene, endpoint), None);
    goes_on(scene, connection);
}

#[test]
fn x3_a_panic_at_the_end_of_a_session_or_of_the_engine_passes_nobody() {
    let (mut scene, _, _, armed) = registered("drop");
    armed.store(true, Ordering::Relaxed);
    scene.runner.engine.close_session(scene.session).unwrap();
    assert_eq!(scene.runner.engine.snapshot().sessions.len(), 0);
    let (scene, _, _, armed) = registered("drop");
    armed.store(true, Ordering::Relaxed);
    drop(scene);
    let mut scene = Scene::new();
    let connection = scene.runner.engine.connect(scene.session, scene.device).unwrap();
    assert_eq!(DataFlow::Render, scene.runner.engine.snapshot().sessions[0].devices[0].flow);
    goes_on(scene, connection);
}
