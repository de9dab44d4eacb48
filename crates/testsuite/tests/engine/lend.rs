//! D5: an endpoint that is lent is out of the engine's hands, and comes back whole.

use soundpost_endpoint::Fault;
use soundpost_engine::{AttachConfig, EndpointState, EngineError};

use super::scene::{S16, Scene, find, ms, noise};

#[test]
fn d5_a_lent_endpoint_is_nobodys_and_plays_again_when_it_is_back() {
    let mut scene = Scene::new();
    let (connection, endpoint, mut probe) = scene.listener(S16);
    let (_, _, mut watched) = scene.listener(S16);
    let sound = noise(S16, 48_000, 1);
    let mut player = scene.player(S16, sound.clone());
    scene.play(&mut [&mut player], ms(200));
    let session = scene.session;
    assert_eq!(
        scene.runner.engine.lend(session, endpoint).err(),
        Some(EngineError::EndpointTaken(endpoint)),
        "attached"
    );
    scene.runner.engine.detach(session, connection).unwrap();
    assert_eq!(
        scene.runner.engine.lend(session, endpoint).err(),
        Some(EngineError::EndpointTaken(endpoint)),
        "on its way"
    );
    scene.play(&mut [&mut player], ms(50));
    let lent = scene.runner.engine.lend(session, endpoint).unwrap();
    let state = |scene: &Scene| {
        let snapshot = scene.runner.engine.snapshot();
        snapshot.sessions[0].endpoints.iter().find(|one| one.id == endpoint).map(|one| one.state)
    };
    assert_eq!(state(&scene), Some(EndpointState::Lent));
    let attach = AttachConfig::default();
    let refused = scene.runner.engine.attach(session, connection, endpoint, attach);
    assert_eq!(refused, Err(EngineError::EndpointTaken(endpoint)));
    assert_eq!(scene.runner.engine.lend(session, endpoint).err(), Some(EngineError::EndpointTaken(endpoint)), "twice");
    scene.play(&mut [&mut player], ms(200));
    probe.take_sound();
    scene.runner.engine.give_back(session, endpoint, lent, None).unwrap();
    scene.runner.engine.attach(session, connection, endpoint, attach).unwrap();
    scene.play(&mut [&mut player], ms(900));
    assert!(find(&watched.take_sound(), &sound, 4).is_some(), "R4: the other connection lost a frame");
    let rest = probe.take_sound();
    assert!(find(&rest, &sound[sound.len() - 48_000..], 4).is_some(), "it plays the rest");
}

#[test]
fn d5_a_lent_endpoint_may_be_unregistered_and_a_faulty_one_stays_away() {
    let mut scene = Scene::new();
    let (connection, endpoint, _probe) = scene.listener(S16);
    let (other_connection, other, _other_probe) = scene.listener(S16);
    let session = scene.session;
    for connection in [connection, other_connection] {
        scene.runner.engine.detach(session, connection).unwrap();
    }
    scene.runner.run_for(ms(20));
    let (lent, faulty) =
        (scene.runner.engine.lend(session, endpoint).unwrap(), scene.runner.engine.lend(session, other).unwrap());
    scene.runner.engine.unregister(session, endpoint).unwrap();
    let unknown = scene.runner.engine.give_back(session, endpoint, lent, None);
    assert_eq!(unknown, Err(EngineError::UnknownEndpoint(endpoint)));
    let fault = Fault::InvalidData;
    scene.runner.engine.give_back(session, other, faulty, Some(fault)).unwrap();
    let refused = scene.runner.engine.attach(session, other_connection, other, AttachConfig::default());
    assert_eq!(refused, Err(EngineError::EndpointFaulty { endpoint: other, fault }));
    assert!(matches!(scene.runner.engine.lend(session, other), Err(EngineError::EndpointFaulty { .. })));
}
