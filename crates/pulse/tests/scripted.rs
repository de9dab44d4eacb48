//! Scripted clients of several versions: logging in, devices, and each other's streams.

use std::time::Duration;

use pulseaudio::protocol::{
    self, AuthParams, ChannelVolume, Command, GetSinkInfo, GetSourceInfo, MoveStreamParams, Prop, Props, PulseError,
    SubscriptionEventFacility as Facility, SubscriptionEventType as Kind, SubscriptionMask, Volume, stream::BufferAttr,
};
use soundpost_pulse::{Change, CloseReason, Event};

use crate::rig::{COOKIE, Client, Rig, device, playback, short};

const VERSIONS: [u16; 7] = [13, 20, 21, 22, 26, 32, 35];

#[test]
fn clients_of_every_version_log_in_play_record_and_look_round() {
    for version in VERSIONS {
        let mut rig = Rig::new();
        let mut client = rig.client(version);
        let stream = client.play(&mut rig, short());
        assert_eq!((stream.requested_bytes, stream.buffer_attr.target_length), (14_112, 14_112), "version {version}");
        let record = protocol::RecordStreamParams {
            sample_spec: crate::rig::cd(),
            channel_map: protocol::ChannelMap::stereo(),
            ..Default::default()
        };
        // The crate reads the format of this reply from version 21 on, where there is none yet.
        if version != 21 {
            let recorded: protocol::CreateRecordStreamReply =
                client.ask(&mut rig, &Command::CreateRecordStream(record)).expect("a stream");
            assert_eq!(recorded.sink_name.as_deref(), Some(c"soundpost_microphone"));
            let outputs: protocol::SourceOutputInfoList =
                client.ask(&mut rig, &Command::GetSourceOutputInfoList).expect("a list");
            assert_eq!(outputs.len(), 1);
        }
        let sinks: protocol::SinkInfoList = client.ask(&mut rig, &Command::GetSinkInfoList).expect("a list");
        assert_eq!(sinks.iter().map(|sink| sink.name.as_c_str()).collect::<Vec<_>>(), [c"soundpost"]);
        let sources: protocol::SourceInfoList = client.ask(&mut rig, &Command::GetSourceInfoList).expect("a list");
        let names: Vec<_> = sources.iter().map(|source| source.name.as_c_str()).collect();
        assert_eq!(names, [c"soundpost.monitor", c"soundpost_microphone"]);
        let inputs: protocol::SinkInputInfoList = client.ask(&mut rig, &Command::GetSinkInputInfoList).expect("a list");
        let input = inputs.first().expect("a stream");
        assert_eq!((input.name.as_c_str(), input.client_index), (c"a tune", Some(client.id.get())));
        let clients: protocol::ClientInfoList = client.ask(&mut rig, &Command::GetClientInfoList).expect("a list");
        assert_eq!(clients.first().map(|info| info.name.as_c_str()), Some(c"scripted"));
        if version >= 15 {
            let info: protocol::ServerInfo = client.ask(&mut rig, &Command::GetServerInfo).expect("info");
            assert_eq!(info.default_sink_name.as_deref(), Some(c"soundpost"));
            assert_eq!(info.default_source_name.as_deref(), Some(c"soundpost_microphone"));
        }
        client.order(&mut rig, &Command::DeletePlaybackStream(stream.channel)).expect("deleted");
        assert!(rig.events.iter().any(|event| matches!(event, Event::Playback(_, Change::Gone))));
    }
}

#[test]
fn versions_before_13_are_refused() {
    let mut rig = Rig::new();
    let id = rig.connect(true);
    for (version, error) in [(12, PulseError::Version), (0, PulseError::Version)] {
        let mut bytes = Vec::new();
        let auth = AuthParams { version, supports_shm: false, supports_memfd: false, cookie: vec![0; 256] };
        protocol::write_command_message(&mut bytes, 9, &Command::Auth(auth), 35).expect("a message");
        rig.server.handle_input(id, &bytes, rig.now);
        let mut expected = Vec::new();
        protocol::write_error(&mut expected, 9, &error).expect("an error");
        assert_eq!(rig.server.output(id), expected);
        rig.server.sent(id, expected.len());
    }
}

#[test]
fn a_stranger_needs_the_cookie_and_does_nothing_without_it() {
    let mut rig = Rig::new();
    let mut wrong = COOKIE;
    wrong[255] ^= 1;
    for (cookie, admitted) in [(wrong, false), (COOKIE, true)] {
        let id = rig.connect(false);
        let mut bytes = Vec::new();
        let auth = AuthParams { version: 35, supports_shm: false, supports_memfd: false, cookie: cookie.to_vec() };
        protocol::write_command_message(&mut bytes, 1, &Command::Auth(auth), 35).expect("a message");
        protocol::write_command_message(&mut bytes, 2, &Command::GetSinkInfoList, 35).expect("a message");
        rig.server.handle_input(id, &bytes, rig.now);
        let mut denied = Vec::new();
        protocol::write_error(&mut denied, 1, &PulseError::AccessDenied).expect("an error");
        protocol::write_error(&mut denied, 2, &PulseError::AccessDenied).expect("an error");
        assert_eq!(rig.server.output(id) == denied, !admitted);
    }
}

#[test]
fn who_does_not_log_in_within_a_minute_is_out() {
    let mut rig = Rig::new();
    let stranger = rig.connect(false);
    let friend = rig.client(35);
    assert!(rig.server.next_timeout().is_some());
    rig.pass(Duration::from_secs(59));
    assert!(rig.server.wants_input(stranger));
    rig.pass(Duration::from_secs(1));
    assert!(rig.events.contains(&Event::Close(stranger, CloseReason::NotAdmitted)));
    assert!(!rig.server.wants_input(stranger) && rig.server.wants_input(friend.id));
    assert_eq!(rig.server.next_timeout(), None);
}

#[test]
fn subscribers_hear_of_what_they_asked_for_once() {
    let mut rig = Rig::new();
    let (mut listener, mut player) = (rig.client(35), rig.client(26));
    listener.order(&mut rig, &Command::Subscribe(SubscriptionMask::SINK_INPUT)).expect("subscribed");
    let stream = player.play(&mut rig, short());
    listener.receive(&mut rig);
    let told = |client: &mut crate::rig::Client| match client.next_event() {
        Some(Command::SubscribeEvent(event)) => Some((event.event_facility, event.event_type, event.index)),
        None => None,
        Some(other) => panic!("{other:?}"),
    };
    let index = Some(stream.stream_index);
    assert_eq!(told(&mut listener), Some((Facility::SinkInput, Kind::New, index)));
    assert_eq!(told(&mut listener), None);
    let volume = ChannelVolume::muted(2);
    let set = Command::SetSinkInputVolume(protocol::SetStreamVolumeParams { index: stream.stream_index, volume });
    listener.order(&mut rig, &set).expect("set");
    assert_eq!(told(&mut listener), Some((Facility::SinkInput, Kind::Changed, index)));
    rig.server.disconnect(player.id);
    listener.receive(&mut rig);
    assert_eq!(told(&mut listener), Some((Facility::SinkInput, Kind::Removed, index)));
    assert_eq!(told(&mut listener), None, "nothing of the client, which it did not ask for");
}

#[test]
fn an_applications_volume_and_device_are_remembered() {
    let mut rig = Rig::new();
    rig.server.add_sink(device("other")).expect("a sink");
    let mut client = rig.client(35);
    let open = protocol::PlaybackStreamParams { cvolume: None, ..playback(short()) };
    let first: protocol::CreatePlaybackStreamReply =
        client.ask(&mut rig, &Command::CreatePlaybackStream(open.clone())).expect("a stream");
    let mut half = ChannelVolume::empty();
    half.push(Volume::from_u32_clamped(0x8000));
    half.push(Volume::from_u32_clamped(0x8000));
    let index = first.stream_index;
    client
        .order(&mut rig, &Command::SetSinkInputVolume(protocol::SetStreamVolumeParams { index, volume: half }))
        .expect("set");
    let there = MoveStreamParams { index: Some(index), device_index: None, device_name: Some(c"other".to_owned()) };
    client.order(&mut rig, &Command::MoveSinkInput(there)).expect("moved");
    assert!(
        matches!(client.next_event(), Some(Command::PlaybackStreamMoved(moved)) if *moved.device_name == *c"other")
    );
    let kept = rig.events.iter().rev().find_map(|event| match event {
        Event::Remember(key, value) => Some((key.clone(), value.clone())),
        _ => None,
    });
    let (key, value) = kept.expect("something to remember");
    assert_eq!((key.as_c_str(), value.device.as_deref()), (c"sink-input-by-application-name:scripted", Some(c"other")));

    let mut next = Rig::new();
    next.server.add_sink(device("other")).expect("a sink");
    next.server.restore(key, value);
    let mut client = next.client(35);
    let again: protocol::CreatePlaybackStreamReply =
        client.ask(&mut next, &Command::CreatePlaybackStream(open)).expect("a stream");
    assert_eq!(again.sink_name.as_deref(), Some(c"other"));
    let info: protocol::SinkInputInfo =
        client.ask(&mut next, &Command::GetSinkInputInfo(again.stream_index)).expect("info");
    assert_eq!(info.cvolume, half);
}

#[test]
fn devices_come_and_go_under_running_streams() {
    let mut rig = Rig::new();
    let (second, _) = rig.server.add_sink(device("second")).expect("a sink");
    let mut client = rig.client(32);
    let on_second = protocol::PlaybackStreamParams { sink_name: Some(c"second".to_owned()), ..playback(short()) };
    let stream: protocol::CreatePlaybackStreamReply =
        client.ask(&mut rig, &Command::CreatePlaybackStream(on_second)).expect("a stream");
    assert_eq!(stream.sink_index, second.get());
    rig.server.remove_sink(second, rig.now);
    client.receive(&mut rig);
    assert!(
        matches!(client.next_event(), Some(Command::PlaybackStreamMoved(moved)) if *moved.device_name == *c"soundpost")
    );
    let missing = GetSinkInfo { index: None, name: Some(c"second".to_owned()) };
    assert_eq!(client.ask::<protocol::SinkInfo>(&mut rig, &Command::GetSinkInfo(missing)), Err(PulseError::NoEntity));
    let left: protocol::SinkInfoList = client.ask(&mut rig, &Command::GetSinkInfoList).expect("a list");
    let last = left.first().expect("a sink").index;
    let monitor = GetSourceInfo { index: None, name: Some(c"@DEFAULT_MONITOR@".to_owned()) };
    let monitor: protocol::SourceInfo = client.ask(&mut rig, &Command::GetSourceInfo(monitor)).expect("a monitor");
    assert_eq!(monitor.monitor_of_sink_index, Some(last));
    let ids: Vec<_> = rig
        .events
        .iter()
        .filter_map(|event| match event {
            Event::NewPlayback(new) => Some(new.device),
            Event::Playback(_, Change::Moved(to)) => Some(*to),
            _ => None,
        })
        .collect();
    rig.server.remove_sink(*ids.last().expect("a move"), rig.now);
    client.receive(&mut rig);
    assert!(matches!(client.next_event(), Some(Command::PlaybackStreamKilled(channel)) if channel == stream.channel));
    assert_eq!(
        client.send(&mut rig, &Command::CreatePlaybackStream(playback(BufferAttr::default()))),
        Some(Err(PulseError::NoEntity))
    );
}

#[test]
fn a_stream_goes_back_to_the_device_that_its_user_chose_and_follows_the_default_meanwhile() {
    let mut rig = Rig::new();
    let (other, _) = rig.server.add_sink(device("other")).expect("a sink");
    let mut client = rig.client(35);
    let stream = client.play(&mut rig, short());
    let to = |name: &std::ffi::CStr| MoveStreamParams {
        index: Some(stream.stream_index),
        device_index: None,
        device_name: Some(name.to_owned()),
    };
    client.order(&mut rig, &Command::MoveSinkInput(to(c"other"))).expect("moved");
    let moved = |rig: &mut Rig, client: &mut Client| {
        client.receive(rig);
        std::iter::from_fn(|| client.next_event()).find_map(|event| match event {
            Command::PlaybackStreamMoved(moved) => Some(moved.device_name.to_string_lossy().into_owned()),
            _ => None,
        })
    };
    assert_eq!(moved(&mut rig, &mut client).as_deref(), Some("other"));
    rig.server.remove_sink(other, rig.now);
    assert_eq!(moved(&mut rig, &mut client).as_deref(), Some("soundpost"));
    rig.server.add_sink(device("third")).expect("a sink");
    rig.server.set_defaults(Some(c"third".to_owned()), None);
    assert_eq!(moved(&mut rig, &mut client).as_deref(), Some("third"));
    rig.server.add_sink(device("other")).expect("a sink");
    assert_eq!(moved(&mut rig, &mut client).as_deref(), Some("other"));
    // There by the user's choice, it stays where the default goes away.
    rig.server.set_defaults(Some(c"soundpost".to_owned()), None);
    assert_eq!(moved(&mut rig, &mut client), None);
}

#[test]
fn what_there_is_none_of_is_answered_as_pulseaudio_does() {
    let mut rig = Rig::new();
    let mut client = rig.client(35);
    let name = |name: &std::ffi::CStr| Some(name.to_owned());
    let extension = Command::Extension(protocol::ExtensionParams { index: None, name: name(c"module-device-restore") });
    let profile =
        protocol::SetCardProfileParams { card_index: Some(0), card_name: None, profile_name: c"off".to_owned() };
    let port = protocol::SetPortParams { index: None, name: name(c"soundpost"), port_name: c"speaker".to_owned() };
    let module = protocol::LoadModuleParams { name: c"module-null-sink".to_owned(), arguments: None };
    for (command, error) in [
        (extension, PulseError::NoExtension),
        (Command::GetCardInfo(protocol::GetCardInfo { index: Some(0), name: None }), PulseError::NoEntity),
        (Command::SetCardProfile(profile), PulseError::NoEntity),
        (Command::SetSinkPort(port), PulseError::NotImplemented),
        (Command::LoadModule(module), PulseError::ModInitFailed),
        (Command::UnloadModule(3), PulseError::NoEntity),
        (Command::GetModuleInfo(0), PulseError::NoEntity),
        (Command::Exit, PulseError::AccessDenied),
        (Command::LookupSink(c"a b".to_owned()), PulseError::Invalid),
        (Command::LookupSink(c"nobody".to_owned()), PulseError::NoEntity),
        (Command::KillSinkInput(77), PulseError::NoEntity),
        (Command::DeletePlaybackStream(77), PulseError::NoEntity),
        (Command::RemoveSample(c"bell".to_owned()), PulseError::NoEntity),
    ] {
        assert_eq!(client.send(&mut rig, &command), Some(Err(error)), "{command:?}");
    }
    for list in [Command::GetCardInfoList, Command::GetModuleInfoList, Command::GetSampleInfoList] {
        assert_eq!(client.send(&mut rig, &list), Some(Ok(Vec::new())));
    }
}

#[test]
fn properties_are_updated_and_a_client_has_only_so_much_room_for_them() {
    let mut rig = Rig::new();
    let mut client = rig.client(35);
    let stream = client.play(&mut rig, short());
    let name = protocol::SetStreamNameParams { index: stream.channel, name: c"another tune".to_owned() };
    client.order(&mut rig, &Command::SetPlaybackStreamName(name)).expect("named");
    let info: protocol::SinkInputInfo =
        client.ask(&mut rig, &Command::GetSinkInputInfo(stream.stream_index)).expect("info");
    assert_eq!(info.name.as_c_str(), c"another tune");
    let mut props = Props::new();
    props.set_bytes(c"big.one", vec![7; 60_000]);
    props.set_bytes(c"big.two", vec![7; 60_000]);
    let mut refused = None;
    for _ in 0..12 {
        let mut params = playback(short());
        params.props = props.clone();
        refused = client.send(&mut rig, &Command::CreatePlaybackStream(params)).and_then(Result::err);
    }
    assert_eq!(refused, Some(PulseError::TooLarge));
    props.set(Prop::MediaName, c"x");
    props.set_bytes(c"big.three", vec![7; 60_000]);
    assert_eq!(client.send(&mut rig, &Command::SetClientName(props)), Some(Err(PulseError::TooLarge)));
}

#[test]
fn a_client_can_be_ended_by_another() {
    let mut rig = Rig::new();
    let (mut killer, victim) = (rig.client(35), rig.client(35));
    killer.order(&mut rig, &Command::KillClient(victim.id.get())).expect("ended");
    rig.drain_events();
    assert!(rig.events.contains(&Event::Close(victim.id, CloseReason::Killed)));
    assert!(!rig.server.wants_input(victim.id));
}
