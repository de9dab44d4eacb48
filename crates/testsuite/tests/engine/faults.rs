//! X3 and R4: an endpoint that breaks the contract is named and detached, and nobody else notices.

use soundpost_endpoint::stock::StockConfig;
use soundpost_endpoint::{DataFlow, Requirement};
use soundpost_engine::{AttachConfig, DeviceConfig, EndpointState, EngineError, EngineEvent, StreamConfig};
use soundpost_testkit::{Breach, CaptureBreach, Runner, faulty_capture, faulty_render};

use super::scene::{S16, Scene, find, ms, noise};
use crate::guard::{may_panic, no_alloc};

fn faults(runner: &Runner) -> Vec<Requirement> {
    let fault = |event: &EngineEvent| match event {
        EngineEvent::EndpointFaulted { fault, .. } => Some(fault.requirement()),
        _ => None,
    };
    runner.events.iter().filter_map(fault).collect()
}

#[test]
fn x3_r4_a_faulty_listener_is_named_and_the_others_lose_nothing() {
    for breach in Breach::ALL {
        for passes in [0, 7] {
            if passes > 0 && matches!(breach, Breach::PanicInPin | Breach::PinFails) {
                continue;
            }
            let panics = format!("{breach:?}").starts_with("Panic");
            let device = DeviceConfig::new("speakers", DataFlow::Render);
            let mut scene = Scene::with(if panics { may_panic } else { no_alloc }, device);
            let sound = noise(S16, 24_000, 1);
            let attach = AttachConfig { coefficient: 4, event_driven: false };
            let (_, _, mut before) = scene.listener_with(&StockConfig::new(S16), attach);
            let endpoint = faulty_render(&StockConfig::new(S16), &scene.runner.clock.clone(), breach, passes);
            let faulty = scene.runner.engine.register(scene.session, "faulty", endpoint).unwrap();
            let connection = scene.runner.engine.connect(scene.session, scene.device).unwrap();
            scene.runner.engine.attach(scene.session, connection, faulty, AttachConfig::default()).unwrap();
            let (_, _, mut after) = scene.listener_with(&StockConfig::new(S16), attach);
            let mut player = scene.player(S16, sound.clone());
            scene.play(&mut [&mut player], ms(1_200));

            assert_eq!(faults(&scene.runner), [breach.requirement()], "{breach:?} after {passes} passes");
            for probe in [&mut before, &mut after] {
                let heard = probe.take_sound();
                if breach == Breach::Slow {
                    // While it was slow, everybody was late; still nothing is lost.
                    let sounding: Vec<u8> =
                        heard.chunks(4).filter(|frame| **frame != [0; 4]).flatten().copied().collect();
                    assert!(sounding == sound, "{breach:?} cost another listener frames");
                } else {
                    let start = find(&heard, &sound[..64], 4).unwrap();
                    assert!(heard[start..].starts_with(&sound), "{breach:?} cost another listener frames");
                }
            }
            let snapshot = scene.runner.engine.snapshot();
            let session = &snapshot.sessions[0];
            assert!(session.devices[0].connections[1].endpoint.is_none());
            assert!(matches!(session.endpoints[1].state, EndpointState::Faulty(_)));
            let again = scene.runner.engine.attach(scene.session, connection, faulty, AttachConfig::default());
            assert!(matches!(again, Err(EngineError::EndpointFaulty { .. })));
            // The connection takes another endpoint.
            scene.runner.engine.unregister(scene.session, faulty).unwrap();
            let (endpoint, _probe) =
                soundpost_testkit::render_probe(&StockConfig::new(S16), scene.runner.endpoint_clock());
            let sound = scene.runner.engine.register(scene.session, "sound", endpoint).unwrap();
            scene.runner.engine.attach(scene.session, connection, sound, AttachConfig::default()).unwrap();
        }
    }
}

#[test]
fn x3_a_faulty_microphone_is_named_and_recording_goes_on_with_silence() {
    for breach in CaptureBreach::ALL {
        let panics = format!("{breach:?}").starts_with("Panic");
        let mut scene =
            Scene::with(if panics { may_panic } else { no_alloc }, DeviceConfig::new("microphone", DataFlow::Capture));
        let clock = scene.runner.endpoint_clock();
        let endpoint = faulty_capture(&StockConfig::new(S16), clock, breach, 5);
        let faulty = scene.runner.engine.register(scene.session, "faulty", endpoint).unwrap();
        let connection = scene.runner.engine.connect(scene.session, scene.device).unwrap();
        scene.runner.engine.attach(scene.session, connection, faulty, AttachConfig::default()).unwrap();
        let config = StreamConfig::new("recorder", S16);
        let (_, mut reader) = scene.runner.engine.open_capture(scene.session, scene.device, config).unwrap();
        let mut frames = 0;
        let mut bytes = vec![0; 4 * 4_800];
        scene.runner.run_steps(ms(1_000), ms(20), |_| frames += reader.read(&mut bytes).get());
        assert_eq!(faults(&scene.runner), [breach.requirement()], "{breach:?}");
        assert!(frames.abs_diff(48_000) <= 1_440, "{breach:?}: {frames} frames in a second");
    }
}
