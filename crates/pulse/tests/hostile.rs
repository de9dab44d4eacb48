//! Clients that do not mean well.

use std::time::Duration;

use proptest::prelude::*;
use pulseaudio::protocol::{self, Command, PulseError};
use soundpost_pulse::limits::{MAX_CLIENT_SOUND, MAX_STRANGERS, OUTPUT_PAUSE};
use soundpost_pulse::{ClientId, CloseReason, Event, Peer};

use crate::rig::{Rig, playback, short};

fn packet(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("a length");
    [&length.to_be_bytes()[..], &[0xff; 4], &[0; 12], body].concat()
}

fn is_closed(rig: &mut Rig, id: ClientId) -> bool {
    rig.drain_events();
    rig.events.iter().any(|event| matches!(event, Event::Close(closed, _) if *closed == id))
}

#[test]
fn strangers_who_do_not_log_in_take_nobodys_place() {
    let mut rig = Rig::new();
    let peer = |trusted| Peer { trusted, description: c"TCP/IP client".to_owned() };
    let let_in = (0..2_000).filter(|_| rig.server.connect(peer(false), rig.now).is_ok()).count();
    assert_eq!(let_in, MAX_STRANGERS);
    rig.client(35);
    // After a minute they are gone, and others may try.
    rig.now.at += Duration::from_secs(61);
    rig.server.handle_timeout(rig.now);
    rig.drain_events();
    let closed: Vec<ClientId> =
        rig.events.iter().filter_map(|event| if let Event::Close(id, _) = event { Some(*id) } else { None }).collect();
    assert_eq!(closed.len(), MAX_STRANGERS);
    closed.into_iter().for_each(|id| rig.server.disconnect(id));
    assert!(rig.server.connect(peer(false), rig.now).is_ok());
}

#[test]
fn nonsense_ends_its_connection_and_no_other() {
    let number = |value: u32| [&b"L"[..], &value.to_be_bytes()].concat();
    let command = |command: u32, rest: &[u8]| packet(&[number(command), number(1), rest.to_vec()].concat());
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("an empty packet", packet(b"")),
        ("no command", packet(b"x")),
        ("an unknown command", command(5000, b"")),
        ("an obsolete command", command(53, b"")),
        ("what a server says", command(61, &number(3))),
        ("shared memory that was declined", command(103, &number(3))),
        ("the channel of shared memory", command(101, b"")),
        ("a value that ends early", command(4, b"L\0\0")),
        ("a value of another kind", command(4, b"1")),
        ("something behind the last value", command(20, b"1")),
        ("a string without end", command(10, b"tabc")),
        ("4 GiB", command(9, b"Ptkey\0L\xff\xff\xff\xffx\xff\xff\xff\xff")),
        ("33 channels", command(36, b"L\0\0\0\0Nv\x21")),
        ("a block in shared memory", [&[0, 0, 0, 4][..], &[0; 12], &[0x80, 0, 0, 0], &[0; 4]].concat()),
        ("a block above 16 MiB", [&[1, 0, 0, 1][..], &[0; 16]].concat()),
    ];
    for (what, bytes) in cases {
        let mut rig = Rig::new();
        let (mut bystander, attacker) = (rig.client(35), rig.client(35));
        rig.server.handle_input(attacker.id, &bytes, rig.now);
        assert!(is_closed(&mut rig, attacker.id), "{what}");
        assert!(!rig.server.wants_input(attacker.id));
        rig.server.disconnect(attacker.id);
        let stream = bystander.play(&mut rig, short());
        assert_eq!(stream.requested_bytes, 14_112);
    }
}

#[test]
fn who_hands_over_memory_nevertheless_is_told_why_it_ends() {
    // REGISTER_MEMFD_SHMID with a number, as libpulse sends it with a descriptor beside it; then a block in that memory.
    let registers = packet(b"L\0\0\0\x67L\xff\xff\xff\xffL\0\0\0\x05");
    let refers = [&[0, 0, 0, 16][..], &[0; 12], &[0xa0, 0, 0, 0], &[0; 16]].concat();
    for bytes in [registers, refers] {
        let mut rig = Rig::new();
        let client = rig.client(35);
        assert_eq!(
            rig.server.handle_input(client.id, &bytes, rig.now),
            bytes.len().min(if bytes[4] == 0 { 20 } else { 35 })
        );
        rig.drain_events();
        let reason = rig.events.iter().find_map(|event| match event {
            Event::Close(_, CloseReason::Protocol(reason)) => Some(reason.clone()),
            _ => None,
        });
        let reason = reason.expect("it is over");
        assert!(reason.contains("shared memory") && reason.contains("declined"), "{reason}");
        rig.server.disconnect(client.id);
        assert_eq!(rig.server.clients_with_output().count(), 0);
    }
}

#[test]
fn only_clients_with_output_are_named_and_a_deaf_listener_hears_of_each_thing_once() {
    let mut rig = Rig::new();
    let mut listener = rig.client(35);
    listener.order(&mut rig, &Command::Subscribe(protocol::SubscriptionMask::SINK_INPUT)).expect("subscribed");
    let mut player = rig.client(35);
    let stream = player.play(&mut rig, short());
    listener.receive(&mut rig);
    listener.events.clear();
    assert_eq!(rig.server.clients_with_output().count(), 0);
    let index = stream.stream_index;
    for raw in 0..10_000 {
        let mut volume = protocol::ChannelVolume::empty();
        volume.push(protocol::Volume::from_u32_clamped(raw));
        player
            .order(&mut rig, &Command::SetSinkInputVolume(protocol::SetStreamVolumeParams { index, volume }))
            .expect("set");
        let passing = player.play(&mut rig, short());
        player.order(&mut rig, &Command::DeletePlaybackStream(passing.channel)).expect("deleted");
    }
    assert_eq!(rig.server.clients_with_output().collect::<Vec<_>>(), [listener.id]);
    let waits = rig.server.output(listener.id).len();
    assert!(waits < 8 * 1024, "{waits} bytes wait");
    rig.drain_events();
    listener.receive(&mut rig);
    let last = listener.events.pop_back();
    let told = matches!(&last, Some(Command::SubscribeEvent(event)) if event.index == Some(index));
    assert!(told, "the last it hears of is the stream that is there: {last:?}");
    assert_eq!(rig.server.clients_with_output().count(), 0);
}

#[test]
fn values_out_of_range_are_answered_and_the_connection_goes_on() {
    let mut rig = Rig::new();
    let mut client = rig.client(35);
    let mut no_rate = playback(short());
    no_rate.sample_spec.sample_rate = 0;
    let mut no_sink = playback(short());
    no_sink.sink_name = Some(c"nowhere".to_owned());
    let mut both = playback(short());
    (both.sink_name, both.sink_index) = (Some(c"soundpost".to_owned()), Some(0));
    for (params, error) in
        [(no_rate, PulseError::Invalid), (no_sink, PulseError::NoEntity), (both, PulseError::Invalid)]
    {
        assert_eq!(client.send(&mut rig, &Command::CreatePlaybackStream(params)), Some(Err(error)));
    }
    // A block for a stream that is not there, and one of half a frame.
    let channel = client.play(&mut rig, short()).channel;
    client.write(&mut rig, 999, &[1; 100]);
    client.write(&mut rig, channel, &[1; 3]);
    let info: pulseaudio::protocol::StatInfo = client.ask(&mut rig, &Command::Stat).expect("numbers");
    assert_eq!(info.memblock_total_size, 0);
}

#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    let mut rig = Rig::new();
    let deaf = rig.client(35);
    let ask = packet(b"L\0\0\0\x16L\0\0\0\x07");
    let mut taken = 0;
    while rig.server.handle_input(deaf.id, &ask, rig.now) == ask.len() {
        taken += 1;
        assert!(taken < 10_000);
    }
    assert!(rig.server.output(deaf.id).len() < OUTPUT_PAUSE + 10_000);
    let waiting = rig.server.output(deaf.id).len();
    rig.server.sent(deaf.id, waiting);
    assert_eq!(rig.server.handle_input(deaf.id, &ask, rig.now), ask.len());
}

#[test]
fn the_sound_of_one_client_is_bounded() {
    let mut rig = Rig::new();
    let mut client = rig.client(35);
    let attr = pulseaudio::protocol::stream::BufferAttr::default();
    let block = vec![1; 1 << 20];
    for _ in 0..20 {
        let channel = client.play(&mut rig, attr).channel;
        for _ in 0..4 {
            client.write(&mut rig, channel, &block);
        }
    }
    let info: pulseaudio::protocol::StatInfo = client.ask(&mut rig, &Command::Stat).expect("numbers");
    assert_eq!(usize::try_from(info.memblock_total_size), Ok(MAX_CLIENT_SOUND));
    assert!(client.events.iter().any(|event| matches!(event, Command::Overflow(_))));
}

#[test]
fn ten_thousand_streams_leave_nothing_behind() {
    let mut rig = Rig::new();
    let mut client = rig.client(35);
    for _ in 0..10_000 {
        let channel = client.play(&mut rig, short()).channel;
        client.write(&mut rig, channel, &[1; 400]);
        client.order(&mut rig, &Command::DeletePlaybackStream(channel)).expect("deleted");
        client.events.clear();
        rig.events.clear();
    }
    let info: pulseaudio::protocol::StatInfo = client.ask(&mut rig, &Command::Stat).expect("numbers");
    assert_eq!((info.memblock_total, info.memblock_total_size), (0, 0));
    assert_eq!(rig.server.next_timeout(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any tagged values behind any command: an answer, or the end of the connection; the clock runs on either way.
    #[test]
    fn any_command_with_any_values_is_survived(
        commands in prop::collection::vec((3u32..106, prop::collection::vec((0usize..14, any::<u32>()), 0..24)), 1..40),
    ) {
        let mut rig = Rig::new();
        let mut client = rig.client(35);
        client.play(&mut rig, short());
        for (command, values) in commands {
            let mut body = [&b"L"[..], &command.to_be_bytes(), b"L", &[0, 0, 0, 1]].concat();
            for (kind, value) in values {
                let small = value % 4;
                match kind {
                    0 | 1 => body.extend([&b"L"[..], &small.to_be_bytes()].concat()),
                    2 => body.extend([&b"L"[..], &value.to_be_bytes()].concat()),
                    3 => body.extend(b"L\xff\xff\xff\xff"),
                    4 => body.push(b'1'),
                    5 => body.push(b'0'),
                    6 => body.push(b'N'),
                    7 => body.extend(b"tsoundpost\0"),
                    8 => body.extend(b"a\x03\x02\0\0\xac\x44"),
                    9 => body.extend(b"m\x02\x01\x02"),
                    10 => body.extend(b"v\x02\0\x01\0\0\0\x01\0\0"),
                    11 => body.extend(b"Ptmedia.name\0L\0\0\0\x02x\0\0\0\x02a\0N"),
                    12 => body.extend([&b"T"[..], &value.to_be_bytes(), &value.to_be_bytes()].concat()),
                    _ => body.extend(b"B\0"),
                }
            }
            rig.server.handle_input(client.id, &packet(&body), rig.now);
            rig.server.sent(client.id, usize::MAX);
            rig.pass(Duration::from_millis(10));
        }
        rig.server.disconnect(client.id);
        prop_assert_eq!(rig.server.next_timeout(), None);
    }
}
