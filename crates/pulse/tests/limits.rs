//! Clients that take all they can get, and hold it: what there is for one of them, and for all of them together.

use std::collections::VecDeque;

use pulseaudio::protocol::{self, Command, Props, PulseError, stream::BufferAttr};
use soundpost_pulse::limits::{
    MAX_ALL_STREAMS, MAX_CLIENT_SOUND, MAX_OF_PROCESS, MAX_OUTPUT, MAX_REQUESTS, MAX_SOUND, MAX_STRANGERS, MAX_STREAMS,
    OUTPUT_RECORD, SURE_SOUND, SURE_STREAMS,
};
use soundpost_pulse::{ClientId, CloseReason, Event, NewStream, Peer, RecordId, SourceId};

use crate::rig::{Client, Rig, cd, playback, short};

fn record(buffer_attr: BufferAttr) -> Command {
    Command::CreateRecordStream(protocol::RecordStreamParams {
        sample_spec: cd(),
        channel_map: protocol::ChannelMap::stereo(),
        buffer_attr,
        ..protocol::RecordStreamParams::default()
    })
}

fn recorded(rig: &mut Rig) -> NewStream<RecordId, SourceId> {
    rig.drain_events();
    let found = rig.events.iter().rev().find_map(|event| match event {
        Event::NewRecord(stream) => Some((**stream).clone()),
        _ => None,
    });
    found.expect("a record stream")
}

fn held(rig: &mut Rig, client: &mut Client) -> usize {
    let info: protocol::StatInfo = client.ask(rig, &Command::Stat).expect("numbers");
    usize::try_from(info.memblock_total_size).expect("a size")
}

fn peer(trusted: bool, process: Option<u32>) -> Peer {
    Peer { trusted, process, description: c"UNIX socket client".to_owned() }
}

#[test]
fn what_a_client_records_and_does_not_read_is_bounded_for_all_its_streams_together() {
    let mut rig = Rig::new();
    let (mut watcher, mut deaf) = (rig.client(35), rig.client(35));
    let block = vec![0; 1 << 20];
    let mut streams = Vec::new();
    for _ in 0..20 {
        deaf.send(&mut rig, &record(BufferAttr::default())).expect("an answer").expect("a stream");
        streams.push(recorded(&mut rig).id);
    }
    let mut taken = 0;
    for stream in &streams {
        for _ in 0..4 {
            taken += rig.server.push(*stream, &block, 0, rig.now);
        }
    }
    let held_now = held(&mut rig, &mut watcher);
    assert!(held_now <= MAX_CLIENT_SOUND, "{held_now}");
    assert!(taken <= MAX_CLIENT_SOUND + OUTPUT_RECORD * 20 + (1 << 22), "{taken}");
    rig.server.disconnect(deaf.id);
    assert_eq!(held(&mut rig, &mut watcher), 0);
}

#[test]
fn recorded_sound_that_is_read_frees_its_room() {
    let mut rig = Rig::new();
    let mut client = rig.client(35);
    client.send(&mut rig, &record(BufferAttr::default())).expect("an answer").expect("a stream");
    let stream = recorded(&mut rig).id;
    let block = vec![0; 1 << 20];
    for round in 0..200 {
        assert_eq!(rig.server.push(stream, &block, 0, rig.now), block.len(), "{round}");
        client.receive(&mut rig);
        client.sound.clear();
    }
}

#[test]
fn recorded_sound_that_is_thrown_away_frees_its_room() {
    let mut rig = Rig::new();
    let mut client = rig.client(35);
    let Command::CreateRecordStream(mut params) = record(BufferAttr::default()) else { panic!("a record stream") };
    // Fragments of 200 ms, 35,280 bytes: less than that waits.
    params.flags.adjust_latency = true;
    client.send(&mut rig, &Command::CreateRecordStream(params)).expect("an answer").expect("a stream");
    let stream = recorded(&mut rig).id;
    for round in 0..5_000 {
        assert_eq!(rig.server.push(stream, &[0; 30_000], 0, rig.now), 30_000, "{round}");
        client.order(&mut rig, &Command::FlushRecordStream(0)).expect("flushed");
        assert!(client.sound.is_empty());
        rig.events.clear();
    }
}

#[test]
fn all_clients_sound_is_bounded_and_each_is_sure_of_a_little() {
    let mut rig = Rig::new();
    let mut greedy: Vec<Client> = (0..MAX_SOUND / MAX_CLIENT_SOUND + 1).map(|_| rig.client(35)).collect();
    let block = vec![1; 1 << 20];
    for client in &mut greedy {
        for _ in 0..17 {
            let channel = client.play(&mut rig, BufferAttr::default()).channel;
            for _ in 0..4 {
                client.write(&mut rig, channel, &block);
            }
        }
    }
    let mut honest = rig.client(35);
    let before = held(&mut rig, &mut honest);
    assert!(before <= MAX_SOUND + SURE_SOUND, "{before}");
    let channel = honest.play(&mut rig, BufferAttr::default()).channel;
    honest.events.clear();
    honest.write(&mut rig, channel, &block[..SURE_SOUND - 8]);
    assert!(!honest.events.iter().any(|event| matches!(event, Command::Overflow(_))), "it has its own room");
    assert_eq!(held(&mut rig, &mut honest), before + SURE_SOUND - 8);
}

#[test]
fn one_client_cannot_take_all_streams_and_all_of_them_leave_each_other_some() {
    let mut rig = Rig::new();
    let mut refused = 0;
    for _ in 0..MAX_ALL_STREAMS / MAX_STREAMS + 1 {
        let mut greedy = rig.client(35);
        for _ in 0..MAX_STREAMS + 1 {
            match greedy.send(&mut rig, &Command::CreatePlaybackStream(playback(short()))).expect("an answer") {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error, PulseError::TooLarge);
                    refused += 1;
                    break;
                }
            }
        }
        for _ in 0..MAX_STREAMS + 1 {
            match greedy.send(&mut rig, &record(BufferAttr::default())).expect("an answer") {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error, PulseError::TooLarge);
                    break;
                }
            }
        }
        rig.events.clear();
    }
    assert_eq!(refused, MAX_ALL_STREAMS / MAX_STREAMS + 1);
    let mut honest = rig.client(35);
    for _ in 0..SURE_STREAMS {
        honest.play(&mut rig, short());
        honest.send(&mut rig, &record(BufferAttr::default())).expect("an answer").expect("a stream");
    }
    let one_more = honest.send(&mut rig, &Command::CreatePlaybackStream(playback(short()))).expect("an answer");
    assert_eq!(one_more, Err(PulseError::TooLarge));
}

#[test]
fn who_has_not_shown_who_it_is_cannot_keep_others_out() {
    let mut rig = Rig::new();
    let mut there = VecDeque::new();
    for _ in 0..5_000 {
        there.push_back(rig.server.connect(peer(false, None), rig.now).expect("room for another"));
        rig.drain_events();
        for event in std::mem::take(&mut rig.events) {
            let Event::Close(id, CloseReason::Pushed) = event else { panic!("{event:?}") };
            assert_eq!(Some(id), there.pop_front(), "the oldest makes room");
            assert!(!rig.server.wants_input(id));
            rig.server.disconnect(id);
        }
    }
    assert_eq!(there.len(), MAX_STRANGERS);
    assert!(there.iter().all(|id| rig.server.wants_input(*id)));
    // One with the cookie comes in, and stays whoever comes after it.
    let known = rig.connect(false);
    let auth = protocol::AuthParams {
        version: 35,
        supports_shm: false,
        supports_memfd: false,
        cookie: crate::rig::COOKIE.to_vec(),
    };
    let mut bytes = Vec::new();
    protocol::write_command_message(&mut bytes, 0, &Command::Auth(auth), 35).expect("a message");
    rig.server.handle_input(known, &bytes, rig.now);
    for _ in 0..100 {
        rig.server.connect(peer(false, None), rig.now).expect("room for another");
    }
    assert!(rig.server.wants_input(known));
    rig.events.clear();
    rig.client(35);
}

#[test]
fn one_process_leaves_connections_for_others() {
    let mut rig = Rig::new();
    let mine = peer(true, Some(7));
    let held: Vec<ClientId> =
        (0..MAX_OF_PROCESS).map(|_| rig.server.connect(mine.clone(), rig.now).expect("room")).collect();
    assert!(rig.server.connect(mine.clone(), rig.now).is_err());
    rig.server.connect(peer(true, Some(8)), rig.now).expect("another's");
    // One whose process is not known is bounded by the whole alone.
    rig.server.connect(peer(true, None), rig.now).expect("another's");
    rig.server.disconnect(held[0]);
    rig.server.connect(mine, rig.now).expect("one has gone");
}

#[test]
fn requests_are_taken_in_portions_and_none_is_lost() {
    let mut rig = Rig::new();
    let client = rig.client(35);
    let mut bytes = Vec::new();
    for sequence in 0..1_000 {
        let command = Command::LookupSink(c"soundpost".to_owned());
        protocol::write_command_message(&mut bytes, sequence, &command, 35).expect("a message");
    }
    let one = bytes.len() / 1_000;
    let mut rest = bytes.as_slice();
    let mut calls = 0;
    while !rest.is_empty() {
        let taken = rig.server.handle_input(client.id, rest, rig.now);
        assert!(taken <= one * MAX_REQUESTS, "{taken}");
        rest = &rest[taken..];
        calls += 1;
    }
    assert_eq!(calls, 1_000_usize.div_ceil(MAX_REQUESTS));
    // 20 bytes before each, then "L" and a number three times: REPLY, the sequence, the sink.
    assert_eq!(rig.server.output(client.id).len(), 1_000 * 35);
}

#[test]
fn long_answers_that_nobody_reads_are_bounded_for_all_clients_together() {
    let mut rig = Rig::new();
    // Eight clients with a megabyte of properties each make a list of some megabytes.
    for _ in 0..7 {
        let mut rich = rig.client(35);
        for _ in 0..7 {
            let mut params = playback(short());
            let mut list = Props::new();
            for key in [c"x", c"y"] {
                list.set_bytes(key, vec![b'x'; 60 * 1024]);
            }
            params.props = list;
            rich.send(&mut rig, &Command::CreatePlaybackStream(params)).expect("an answer").expect("a stream");
        }
    }
    rig.events.clear();
    let mut bytes = Vec::new();
    protocol::write_command_message(&mut bytes, 1, &Command::GetSinkInputInfoList, 35).expect("a message");
    let slow: Vec<Client> = (0..60).map(|_| rig.client(35)).collect();
    let mut refused = 0;
    for client in &slow {
        rig.server.handle_input(client.id, &bytes, rig.now);
        let mut answer = &rig.server.output(client.id)[20..];
        let command = Command::read_tag_prefixed(&mut answer, 35).expect("an answer").1;
        refused += usize::from(matches!(command, Command::Error(PulseError::TooLarge)));
    }
    let waits: usize = slow.iter().map(|client| rig.server.output(client.id).len()).sum();
    assert!(waits <= MAX_OUTPUT + 60 * 1024, "{waits}");
    assert!(refused > 0 && refused < 60, "{refused}");
    // Short answers go on.
    let mut honest = rig.client(35);
    let _: protocol::StatInfo = honest.ask(&mut rig, &Command::Stat).expect("numbers");
}

#[test]
fn properties_of_samples_count_as_the_samples_do() {
    let mut rig = Rig::new();
    let mut client = rig.client(35);
    let mut list = Props::new();
    for key in [c"x", c"y"] {
        list.set_bytes(key, vec![b'x'; 60 * 1024]);
    }
    let mut kept = 0;
    for number in 0..1_000 {
        let name = std::ffi::CString::new(format!("sample-{number}")).expect("a name");
        let upload = protocol::UploadStreamParams {
            media_name: Some(name),
            sample_spec: cd(),
            channel_map: protocol::ChannelMap::stereo(),
            length: 4,
            props: list.clone(),
        };
        let reply: protocol::CreateUploadStreamReply =
            client.ask(&mut rig, &Command::CreateUploadStream(upload)).expect("an upload");
        client.write(&mut rig, reply.channel, &[1; 4]);
        match client.order(&mut rig, &Command::FinishUploadStream(reply.channel)) {
            Ok(()) => kept += 1,
            Err(error) => assert_eq!(error, PulseError::TooLarge),
        }
    }
    assert!((500..=546).contains(&kept), "{kept} of 120 KiB in 64 MiB");
}
