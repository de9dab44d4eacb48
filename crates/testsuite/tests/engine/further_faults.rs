//! X1 and X3: further interfaces that refuse, contradict the format, or panic.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use soundpost_core::{ChannelCount, Format, FrameCount, Gain, Hns};
use soundpost_endpoint::stock::{StockConfig, null_render};
use soundpost_endpoint::{
    AudioEndpoint, ControlHalf, DeviceEndpoint, Endpoint, EndpointControl, EndpointError, Event, Fault, LocalEffects,
    OffloadMeter, OffloadMute, OffloadVolume, Requirement, StreamFlags, VolumeCurve,
};
use soundpost_engine::{AttachConfig, EndpointId, EndpointState, EngineError, EngineEvent, Metering};

use super::scene::{S16, Scene, find, ms, noise};

/// What goes wrong, once it is armed.
#[derive(Clone, Copy, PartialEq)]
enum Flaw {
    Panics(&'static str),
    Refuses,
    NoNumbers,
    VolumeChannels,
    MeterChannels,
    NoMute,
}

/// A volume that was set: of the first channel, how, and within which time.
type Volume = (Gain, VolumeCurve, Hns);

/// Offers everything, and has one flaw.
struct Flawed {
    inner: Box<dyn ControlHalf>,
    flaw: Flaw,
    armed: Arc<AtomicBool>,
    volumes: Arc<Mutex<Vec<Volume>>>,
}

impl Flawed {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw && self.armed.load(Ordering::Relaxed)
    }

    fn answer(&self, call: &'static str) -> Result<(), EndpointError> {
        assert!(!self.has(Flaw::Panics(call)), "planted in {call}");
        if self.has(Flaw::Refuses) { Err(EndpointError::Device { reason: "planted" }) } else { Ok(()) }
    }
}

impl AudioEndpoint for Flawed {
    fn frame_format(&self) -> Format {
        self.inner.frame_format()
    }

    fn frames_per_packet(&self) -> Result<FrameCount, EndpointError> {
        self.inner.frames_per_packet()
    }

    fn latency(&self) -> Result<Hns, EndpointError> {
        self.inner.latency()
    }

    fn set_stream_flags(&mut self, flags: StreamFlags) -> Result<(), EndpointError> {
        self.inner.set_stream_flags(flags)
    }

    fn set_event(&mut self, event: Arc<dyn Event>) -> Result<(), EndpointError> {
        self.inner.set_event(event)
    }

    fn last_buffer_control(&self) -> bool {
        assert!(!self.has(Flaw::Panics("last_buffer_control")), "planted");
        false
    }

    fn offload_volume(&mut self) -> Option<&mut dyn OffloadVolume> {
        assert!(!self.has(Flaw::Panics("offload_volume")), "planted");
        Some(self)
    }

    fn offload_mute(&mut self) -> Option<&mut dyn OffloadMute> {
        if self.flaw == Flaw::NoMute { None } else { Some(self) }
    }

    fn offload_meter(&self) -> Option<&dyn OffloadMeter> {
        Some(self)
    }

    fn local_effects(&mut self) -> Option<&mut dyn LocalEffects> {
        Some(self)
    }
}

impl DeviceEndpoint for Flawed {
    fn set_buffer(&mut self, max_period: Hns, coefficient: u32) -> Result<(), EndpointError> {
        self.inner.set_buffer(max_period, coefficient)
    }

    fn event_driven_capable(&self) -> bool {
        self.inner.event_driven_capable()
    }
}

impl EndpointControl for Flawed {
    fn start(&mut self) -> Result<(), EndpointError> {
        self.inner.start()
    }

    fn stop(&mut self) -> Result<(), EndpointError> {
        let panicked = matches!(self.flaw, Flaw::Panics(_)) && self.armed.load(Ordering::Relaxed);
        assert!(!panicked, "called again after its panic");
        self.inner.stop()
    }

    fn reset(&mut self) -> Result<(), EndpointError> {
        self.inner.reset()
    }
}

impl OffloadVolume for Flawed {
    fn volume_channels(&self) -> ChannelCount {
        if self.has(Flaw::VolumeChannels) { ChannelCount::MONO } else { ChannelCount::STEREO }
    }

    fn set_channel_volumes(
        &mut self,
        volumes: &[Gain],
        curve: VolumeCurve,
        duration: Hns,
    ) -> Result<(), EndpointError> {
        assert_eq!(volumes.len(), 2);
        self.volumes.lock().unwrap().push((volumes[1], curve, duration));
        self.answer("set_channel_volumes")
    }

    fn channel_volumes(&self, volumes: &mut [Gain]) -> Result<(), EndpointError> {
        volumes.fill(Gain::UNITY);
        Ok(())
    }
}

impl OffloadMute for Flawed {
    fn set_muted(&mut self, _: bool) -> Result<(), EndpointError> {
        self.answer("set_muted")
    }

    fn is_muted(&self) -> bool {
        false
    }
}

impl OffloadMeter for Flawed {
    fn meter_channels(&self) -> ChannelCount {
        if self.has(Flaw::MeterChannels) { ChannelCount::MAX } else { ChannelCount::STEREO }
    }

    fn metering(&self, peaks: &mut [f32]) -> Result<(), EndpointError> {
        self.answer("metering")?;
        peaks.fill(if self.has(Flaw::NoNumbers) { f32::NAN } else { 0.5 });
        Ok(())
    }
}

impl LocalEffects for Flawed {
    fn set_local_effects(&mut self, _: bool) -> Result<(), EndpointError> {
        self.answer("set_local_effects")
    }

    fn local_effects(&self) -> bool {
        assert!(!self.has(Flaw::Panics("local_effects")), "planted");
        true
    }
}

fn flawed(scene: &Scene, flaw: Flaw) -> (Endpoint, Arc<AtomicBool>) {
    let Endpoint { control, realtime } = null_render(&StockConfig::new(S16), scene.runner.endpoint_clock()).endpoint;
    let armed = Arc::new(AtomicBool::new(false));
    let control = Flawed { inner: control, flaw, armed: Arc::clone(&armed), volumes: Arc::default() };
    (Endpoint { control: Box::new(control), realtime }, armed)
}

/// A scene whose device has the flawed endpoint, which applies its volume.
fn attached(flaw: Flaw) -> (Scene, EndpointId, Arc<AtomicBool>) {
    let mut scene = Scene::new();
    let (endpoint, armed) = flawed(&scene, flaw);
    let endpoint = scene.runner.engine.register(scene.session, "flawed", endpoint).unwrap();
    let connection = scene.runner.engine.connect(scene.session, scene.device).unwrap();
    scene.runner.engine.attach(scene.session, connection, endpoint, AttachConfig::default()).unwrap();
    scene.runner.run_for(ms(20));
    (scene, endpoint, armed)
}

fn state(scene: &Scene, endpoint: EndpointId) -> EndpointState {
    let snapshot = scene.runner.engine.snapshot();
    snapshot.sessions[0].endpoints.iter().find(|shown| shown.id == endpoint).unwrap().state
}

fn metering(scene: &Scene) -> Option<Metering> {
    let snapshot = scene.runner.engine.snapshot();
    snapshot.sessions[0].devices[0].connections[0].endpoint.as_ref().map(|endpoint| endpoint.metering)
}

/// The others lose nothing.
fn goes_on(mut scene: Scene) {
    let (_, _, mut probe) = scene.listener(S16);
    let sound = noise(S16, 4_800, 1);
    let mut player = scene.player(S16, sound.clone());
    scene.play(&mut [&mut player], ms(200));
    assert!(find(&probe.take_sound(), &sound, 4).is_some());
}

#[test]
fn x1_x3_a_further_interface_that_panics_at_registration_is_the_callers_error() {
    for call in ["last_buffer_control", "offload_volume"] {
        let mut scene = Scene::new();
        let (endpoint, armed) = flawed(&scene, Flaw::Panics(call));
        armed.store(true, Ordering::Relaxed);
        let refused = scene.runner.engine.register(scene.session, "flawed", endpoint);
        assert!(
            matches!(refused, Err(EngineError::EndpointPanicked { call: told, .. }) if told == call),
            "{refused:?}"
        );
        assert_eq!(scene.runner.engine.snapshot().sessions[0].endpoints, []);
        goes_on(scene);
    }
}

#[test]
fn x1_channels_that_are_not_the_formats_are_refused() {
    for flaw in [Flaw::VolumeChannels, Flaw::MeterChannels] {
        let mut scene = Scene::new();
        let (endpoint, armed) = flawed(&scene, flaw);
        armed.store(true, Ordering::Relaxed);
        let refused = scene.runner.engine.register(scene.session, "flawed", endpoint);
        assert!(matches!(refused, Err(EngineError::Breach { requirement: Requirement::X1, .. })), "{refused:?}");
        assert_eq!(scene.runner.engine.snapshot().sessions[0].endpoints, []);
    }
}

#[test]
fn x1_x3_a_further_interface_that_panics_while_sound_plays_costs_its_endpoint_alone() {
    for call in ["set_channel_volumes", "set_muted", "set_local_effects", "local_effects", "metering"] {
        let (mut scene, endpoint, armed) = attached(Flaw::Panics(call));
        let (session, device) = (scene.session, scene.device);
        armed.store(true, Ordering::Relaxed);
        let engine = &mut scene.runner.engine;
        let answer = match call {
            "set_channel_volumes" => engine.set_device_volume(session, device, Gain::new(0.5)),
            "set_muted" => engine.set_device_muted(session, device, true),
            "set_local_effects" => engine.set_local_effects(session, endpoint, true),
            "local_effects" => engine.local_effects(session, endpoint).map(|_| ()),
            _ => {
                assert!(matches!(metering(&scene), Some(Metering::Engine(_))), "a display is no place to fail");
                // Found out, and not called again.
                scene.runner.engine.local_effects(session, endpoint).map(|_| ())
            }
        };
        assert_eq!(answer, Err(EngineError::EndpointPanicked { endpoint, call }));
        // Once to find out, once for the real-time half to come back.
        scene.runner.run_for(ms(10));
        scene.runner.run_for(ms(10));
        let fault = Fault::Panicked { call };
        assert_eq!(state(&scene, endpoint), EndpointState::Faulty(fault));
        assert_eq!(metering(&scene), None, "{call}: still attached");
        let told = |event: &&EngineEvent| matches!(event, EngineEvent::EndpointFaulted { endpoint: id, fault: what, .. } if (*id, *what) == (endpoint, fault));
        assert_eq!(scene.runner.events.iter().filter(told).count(), 1, "{:?}", scene.runner.events);
        let shown = scene.runner.engine.snapshot_of(session, device).unwrap();
        assert_eq!((shown.volume, shown.muted), (Gain::UNITY, false), "{call}: refused, and yet changed");
        goes_on(scene);
    }
}

#[test]
fn x1_an_endpoint_that_refuses_changes_nothing_and_stays() {
    let (mut scene, endpoint, armed) = attached(Flaw::Refuses);
    let (session, device) = (scene.session, scene.device);
    assert!(matches!(metering(&scene), Some(Metering::Endpoint(peaks)) if peaks[..3] == [0.5, 0.5, 0.0]));
    armed.store(true, Ordering::Relaxed);
    let error = EndpointError::Device { reason: "planted" };
    let engine = &mut scene.runner.engine;
    let refused = |call| Err(EngineError::Endpoint { call, error });
    assert_eq!(engine.set_device_volume(session, device, Gain::new(0.5)), refused("set_channel_volumes"));
    assert_eq!(engine.set_device_muted(session, device, true), refused("set_muted"));
    assert_eq!(engine.set_local_effects(session, endpoint, true), refused("set_local_effects"));
    let shown = engine.snapshot_of(session, device).unwrap();
    assert_eq!((shown.volume, shown.muted), (Gain::UNITY, false));
    assert!(matches!(metering(&scene), Some(Metering::Engine(_))));
    assert!(matches!(state(&scene, endpoint), EndpointState::Attached(_)));
}

#[test]
fn x1_peaks_that_are_no_numbers_are_shown_as_nothing() {
    let (scene, _, armed) = attached(Flaw::NoNumbers);
    armed.store(true, Ordering::Relaxed);
    assert_eq!(metering(&scene), Some(Metering::Endpoint([0.0; 8])));
}

#[test]
fn x1_an_endpoint_without_a_mute_is_muted_by_its_volume() {
    let mut scene = Scene::new();
    let (session, device) = (scene.session, scene.device);
    scene.runner.engine.set_device_volume(session, device, Gain::new(0.5)).unwrap();
    scene.runner.engine.set_device_muted(session, device, true).unwrap();
    let Endpoint { control, realtime } = null_render(&StockConfig::new(S16), scene.runner.endpoint_clock()).endpoint;
    let volumes: Arc<Mutex<Vec<Volume>>> = Arc::default();
    let control = Flawed { inner: control, flaw: Flaw::NoMute, armed: Arc::default(), volumes: Arc::clone(&volumes) };
    let endpoint = Endpoint { control: Box::new(control), realtime };
    let endpoint = scene.runner.engine.register(session, "no mute", endpoint).unwrap();
    let connection = scene.runner.engine.connect(session, device).unwrap();
    scene.runner.engine.attach(session, connection, endpoint, AttachConfig::default()).unwrap();
    scene.runner.engine.set_device_muted(session, device, false).unwrap();
    scene.runner.engine.set_device_muted(session, device, true).unwrap();
    scene.runner.engine.set_device_volume(session, device, Gain::new(0.25)).unwrap();
    scene.runner.engine.set_device_muted(session, device, false).unwrap();
    scene.runner.engine.detach(session, connection).unwrap();
    scene.runner.run_for(ms(20));
    // At once before Start, along the curve from then on, within the engine's ramp.
    let (none, fade, ramp) = (VolumeCurve::None, VolumeCurve::WindowsFade, Hns::from_millis(10));
    let due = [
        (Gain::ZERO, none, Hns::ZERO),
        (Gain::new(0.5), fade, ramp),
        (Gain::ZERO, fade, ramp),
        (Gain::ZERO, fade, ramp),
        (Gain::new(0.25), fade, ramp),
        // Handed back as it came.
        (Gain::UNITY, none, Hns::ZERO),
    ];
    assert_eq!(*volumes.lock().unwrap(), due);
}
