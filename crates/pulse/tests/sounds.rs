//! Sound through streams: prebuffering, requests, underruns, draining, timing, recording, samples.

use std::time::Duration;

use pulseaudio::protocol::{
    self, ChannelMap, Command, CorkStreamParams, LatencyParams, Prop, Props, PulseError,
    stream::{BufferAttr, StreamFlags},
};
use soundpost_pulse::buffer::LatencyRange;
use soundpost_pulse::{Change, Event, PlaybackId, RecordId};

use crate::rig::{Client, Rig, cd, device, playback, short};

fn last_playback(rig: &Rig) -> PlaybackId {
    rig.events
        .iter()
        .rev()
        .find_map(|event| match event {
            Event::NewPlayback(new) => Some(new.id),
            _ => None,
        })
        .expect("a stream")
}

fn last_record(rig: &Rig) -> RecordId {
    rig.events
        .iter()
        .rev()
        .find_map(|event| match event {
            Event::NewRecord(new) => Some(new.id),
            _ => None,
        })
        .expect("a stream")
}

/// 10 ms of a 44.1 kHz stream of 4 bytes a frame.
const TEN_MS: usize = 1764;

fn pull(rig: &mut Rig, stream: PlaybackId, bytes: usize) -> Vec<u8> {
    let mut out = vec![0xee; bytes];
    let filled = rig.server.pull(stream, &mut out, 30_000, rig.now);
    rig.drain_events();
    out.truncate(filled);
    out
}

fn latency(rig: &mut Rig, client: &mut Client, channel: u32) -> protocol::PlaybackLatency {
    let now = std::time::UNIX_EPOCH + Duration::from_secs(1_699_999_999);
    client.ask(rig, &Command::GetPlaybackLatency(LatencyParams { channel, now })).expect("timing")
}

#[test]
fn a_stream_plays_from_its_prebuffer_to_its_drain() {
    for version in [13, 35] {
        let mut rig = Rig::new();
        let mut client = rig.client(version);
        let reply = client.play(&mut rig, short());
        let (stream, channel) = (last_playback(&rig), reply.channel);
        assert_eq!(reply.buffer_attr.pre_buffering, 10_588);
        client.write(&mut rig, channel, &[1; 7056]);
        assert_eq!(pull(&mut rig, stream, TEN_MS), [0u8; 0], "less than prebuf is there");
        assert!(!rig.events.contains(&Event::Readable(stream)));
        client.write(&mut rig, channel, &[2; 7056]);
        assert!(rig.events.contains(&Event::Readable(stream)));
        assert_eq!(pull(&mut rig, stream, TEN_MS), [1; TEN_MS]);
        client.receive(&mut rig);
        assert_eq!(client.next_event(), Some(Command::Started(channel)));
        assert_eq!(client.next_event(), None, "10 ms are less than the least request");
        pull(&mut rig, stream, TEN_MS);
        client.receive(&mut rig);
        assert_eq!(client.next_event(), Some(Command::Request(protocol::Request { channel, length: 3528 })));
        assert_eq!(pull(&mut rig, stream, 20_000).len(), 10_584);
        client.receive(&mut rig);
        // The version that the client speaks decides whether the place is told.
        let offset = if version >= 23 { 14_112 } else { 0 };
        assert_eq!(client.next_event(), Some(Command::Underflow(protocol::Underflow { channel, offset })));
        assert_eq!(client.next_event(), Some(Command::Request(protocol::Request { channel, length: 10_584 })));
        pull(&mut rig, stream, TEN_MS);
        client.receive(&mut rig);
        assert_eq!(client.next_event(), None, "it knows already");

        client.write(&mut rig, channel, &[3; 400]);
        assert_eq!(pull(&mut rig, stream, TEN_MS), [0u8; 0], "it prebuffers again");
        assert_eq!(client.send(&mut rig, &Command::DrainPlaybackStream(channel)), None, "not before it is heard");
        assert_eq!(pull(&mut rig, stream, TEN_MS), [3; 400]);
        rig.pass(Duration::from_millis(31));
        assert_eq!(client.receive(&mut rig), None, "30 ms to the ear, and 2.2 ms of sound");
        rig.pass(Duration::from_millis(2));
        assert_eq!(client.receive(&mut rig), Some(Ok(Vec::new())));
    }
}

#[test]
fn timing_tells_the_way_to_the_ear() {
    let mut rig = Rig::new();
    let mut client = rig.client(35);
    let channel = client.play(&mut rig, short()).channel;
    let stream = last_playback(&rig);
    let before = latency(&mut rig, &mut client, channel);
    assert_eq!((before.playing, before.sink_usec, before.underrun_for), (false, 10_000, u64::MAX));
    client.write(&mut rig, channel, &[1; 14_112]);
    pull(&mut rig, stream, TEN_MS);
    let playing = latency(&mut rig, &mut client, channel);
    // The first byte is heard in 30 ms, so what is pulled next is heard 10 ms after that.
    assert_eq!((playing.playing, playing.sink_usec), (true, 40_000));
    assert_eq!((playing.write_offset, playing.read_offset, playing.playing_for), (14_112, 1764, 1764));
    assert_eq!(playing.remote_time, std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    assert_eq!(playing.local_time, std::time::UNIX_EPOCH + Duration::from_secs(1_699_999_999));
    rig.pass(Duration::from_millis(5));
    assert_eq!(latency(&mut rig, &mut client, channel).sink_usec, 35_000);
    pull(&mut rig, stream, 20_000);
    let dry = latency(&mut rig, &mut client, channel);
    assert_eq!((dry.playing, dry.playing_for, dry.underrun_for), (false, 0, 20_000 - 12_348));
}

#[test]
fn a_corked_stream_gives_nothing_and_waits_for_prebuf_afterwards() {
    let mut rig = Rig::new();
    let mut client = rig.client(35);
    let channel = client.play(&mut rig, short()).channel;
    let stream = last_playback(&rig);
    client.write(&mut rig, channel, &[1; 14_112]);
    pull(&mut rig, stream, 4 * TEN_MS);
    client.order(&mut rig, &Command::CorkPlaybackStream(CorkStreamParams { channel, cork: true })).expect("corked");
    assert!(rig.events.contains(&Event::Playback(stream, Change::Corked(true))));
    assert_eq!(pull(&mut rig, stream, TEN_MS).len(), 0);
    client.order(&mut rig, &Command::CorkPlaybackStream(CorkStreamParams { channel, cork: false })).expect("uncorked");
    assert_eq!(pull(&mut rig, stream, TEN_MS).len(), 0, "40 of 80 ms are left, less than prebuf");
    client.order(&mut rig, &Command::TriggerPlaybackStream(channel)).expect("triggered");
    assert_eq!(pull(&mut rig, stream, TEN_MS).len(), TEN_MS);
    client.order(&mut rig, &Command::FlushPlaybackStream(channel)).expect("flushed");
    assert!(rig.events.contains(&Event::Playback(stream, Change::Flushed)));
    assert_eq!(pull(&mut rig, stream, TEN_MS).len(), 0);
    let after = latency(&mut rig, &mut client, channel);
    assert_eq!(after.write_offset, after.read_offset);
}

#[test]
fn a_write_that_does_not_fit_is_told_and_seeking_back_replaces() {
    let mut rig = Rig::new();
    let mut client = rig.client(35);
    let attr = BufferAttr { max_length: 20_000, ..short() };
    let channel = client.play(&mut rig, attr).channel;
    let stream = last_playback(&rig);
    client.write(&mut rig, channel, &[1; 20_000]);
    client.write(&mut rig, channel, &[2; 400]);
    let overflows = client.events.iter().filter(|event| **event == Command::Overflow(channel)).count();
    assert_eq!(overflows, 1);
    // Absolute, to byte 400.
    let mut block = Vec::new();
    for word in [400u32, channel, 0, 400, 1] {
        block.extend_from_slice(&word.to_be_bytes());
    }
    block.extend_from_slice(&[3; 400]);
    rig.server.handle_input(client.id, &block, rig.now);
    client.order(&mut rig, &Command::TriggerPlaybackStream(channel)).expect("triggered");
    // The write index is the end of what is there, so it stops behind what was written last, as in PulseAudio.
    assert!(pull(&mut rig, stream, 1200) == [[1; 400], [3; 400]].concat());
    assert_eq!(client.receive(&mut rig), None);
    assert!(client.events.contains(&Command::Underflow(protocol::Underflow { channel, offset: 800 })));
    // Once the client has gone back to the end, the rest is heard: nothing of it was lost.
    let mut block = Vec::new();
    for word in [400u32, channel, 0, 0, 3] {
        block.extend_from_slice(&word.to_be_bytes());
    }
    block.extend_from_slice(&[4; 400]);
    rig.server.handle_input(client.id, &block, rig.now);
    client.order(&mut rig, &Command::TriggerPlaybackStream(channel)).expect("triggered");
    assert!(pull(&mut rig, stream, 30_000) == [&[1; 19_200][..], &[4; 400]].concat());
}

#[test]
fn without_prebuffering_a_stream_runs_on_and_its_client_catches_up() {
    let mut rig = Rig::new();
    let mut client = rig.client(35);
    let mut params = playback(BufferAttr { pre_buffering: 0, ..short() });
    params.flags.start_corked = true;
    let reply: protocol::CreatePlaybackStreamReply =
        client.ask(&mut rig, &Command::CreatePlaybackStream(params)).expect("a stream");
    let (channel, stream) = (reply.channel, last_playback(&rig));
    assert!(!rig.events.contains(&Event::Readable(stream)));
    client.order(&mut rig, &Command::CorkPlaybackStream(CorkStreamParams { channel, cork: false })).expect("uncorked");
    assert!(rig.events.contains(&Event::Readable(stream)), "it plays although there is nothing");
    assert!(pull(&mut rig, stream, TEN_MS) == [0; TEN_MS]);
    client.receive(&mut rig);
    client.events.clear();
    // 20 ms from the beginning: the first 10 ms are too late.
    client.write(&mut rig, channel, &[1; 2 * TEN_MS]);
    assert!(pull(&mut rig, stream, 2 * TEN_MS) == [[1; TEN_MS], [0; TEN_MS]].concat());
    assert!(pull(&mut rig, stream, TEN_MS) == [0; TEN_MS]);
    client.receive(&mut rig);
    let underflows = client.events.iter().filter(|event| matches!(event, Command::Underflow(_))).count();
    assert_eq!(underflows, 1);
    let timing = latency(&mut rig, &mut client, channel);
    assert_eq!((timing.read_offset, timing.write_offset), (7056, 3528));
    assert!(timing.playing);
    // The end is that of what was written: 10 ms that are heard in 30 ms.
    client.write(&mut rig, channel, &[2; 3 * TEN_MS]);
    assert!(client.send(&mut rig, &Command::DrainPlaybackStream(channel)).is_none());
    assert!(pull(&mut rig, stream, 2 * TEN_MS) == [[2; TEN_MS], [0; TEN_MS]].concat());
    rig.pass(Duration::from_millis(39));
    assert!(pull(&mut rig, stream, TEN_MS) == [0; TEN_MS]);
    assert_eq!(client.receive(&mut rig), None);
    rig.pass(Duration::from_millis(2));
    assert_eq!(client.receive(&mut rig), Some(Ok(Vec::new())));
}

#[test]
fn what_a_client_takes_for_heard_never_goes_back() {
    let mut rig = Rig::new();
    let mut client = rig.client(35);
    let channel = client.play(&mut rig, short()).channel;
    let stream = last_playback(&rig);
    client.write(&mut rig, channel, &[1; 14_112]);
    let mut heard = 0;
    let mut out = [0; TEN_MS];
    // The way to the ear gets longer and shorter by 200 ms, the stream runs dry, and it is stopped.
    for turn in 0..400u32 {
        let heard_in = if turn / 100 % 2 == 0 { 30_000 } else { 230_000 };
        if turn % 130 != 129 {
            client.write(&mut rig, channel, &[1; TEN_MS]);
        }
        let cork = |cork| Command::CorkPlaybackStream(CorkStreamParams { channel, cork });
        if turn % 90 == 89 {
            client.order(&mut rig, &cork(true)).expect("corked");
            client.order(&mut rig, &cork(false)).expect("uncorked");
            client.order(&mut rig, &Command::TriggerPlaybackStream(channel)).expect("triggered");
        }
        rig.server.pull(stream, &mut out, heard_in, rig.now);
        for _ in 0..2 {
            let timing = latency(&mut rig, &mut client, channel);
            let read = u64::try_from(timing.read_offset).expect("an index") * 10_000 / 1764;
            let takes = read.saturating_sub(timing.sink_usec);
            assert!(takes >= heard, "turn {turn}: {takes} after {heard}");
            heard = takes;
            rig.pass(Duration::from_millis(5));
        }
        client.events.clear();
    }
    assert!(heard > 3_000_000, "{heard} of 4 s were heard");
}

#[test]
fn a_stream_that_runs_on_does_not_fill_the_output_of_a_client_that_sleeps() {
    let mut rig = Rig::new();
    let mut client = rig.client(35);
    let channel = client.play(&mut rig, BufferAttr { pre_buffering: 0, ..short() }).channel;
    let stream = last_playback(&rig);
    for _ in 0..10_000 {
        pull(&mut rig, stream, 3528);
    }
    assert!(rig.server.output(client.id).len() < 5000, "{}", rig.server.output(client.id).len());
    client.receive(&mut rig);
    pull(&mut rig, stream, 3528);
    client.receive(&mut rig);
    let asked = client.events.iter().filter_map(|event| match event {
        Command::Request(request) if request.channel == channel => Some(request.length),
        _ => None,
    });
    assert_eq!(asked.sum::<u32>(), 10_001 * 3528, "nothing is forgotten of what it should send to catch up");
}

#[test]
fn a_pause_leaves_the_latency_as_it_was() {
    let mut rig = Rig::new();
    let mut client = rig.client(35);
    let channel = client.play(&mut rig, short()).channel;
    let stream = last_playback(&rig);
    for cork in [true, false] {
        client.write(&mut rig, channel, &[1; 14_112]);
        pull(&mut rig, stream, if cork { TEN_MS } else { 30_000 });
        let told = |rig: &mut Rig, client: &mut Client| {
            let timing = latency(rig, client, channel);
            (timing.sink_usec, timing.playing)
        };
        let before = told(&mut rig, &mut client);
        // Stopped by its client the first time, dry the second.
        if cork {
            let cork = CorkStreamParams { channel, cork };
            client.order(&mut rig, &Command::CorkPlaybackStream(cork)).expect("corked");
        }
        assert_eq!(told(&mut rig, &mut client), (before.0, false));
        rig.pass(Duration::from_millis(500));
        assert_eq!(told(&mut rig, &mut client), (before.0, false));
        if cork {
            let cork = CorkStreamParams { channel, cork: false };
            client.order(&mut rig, &Command::CorkPlaybackStream(cork)).expect("uncorked");
        }
    }
}

#[test]
fn streams_that_start_together_are_corked_together() {
    let mut rig = Rig::new();
    let mut client = rig.client(35);
    let mut params = playback(short());
    params.sync_id = 5;
    let first: protocol::CreatePlaybackStreamReply =
        client.ask(&mut rig, &Command::CreatePlaybackStream(params.clone())).expect("a stream");
    let one = last_playback(&rig);
    let _second: protocol::CreatePlaybackStreamReply =
        client.ask(&mut rig, &Command::CreatePlaybackStream(params)).expect("a stream");
    let two = last_playback(&rig);
    client
        .order(&mut rig, &Command::CorkPlaybackStream(CorkStreamParams { channel: first.channel, cork: true }))
        .expect("corked");
    for stream in [one, two] {
        assert!(rig.events.contains(&Event::Playback(stream, Change::Corked(true))));
    }
}

#[test]
fn streams_that_start_together_are_moved_together_or_not_at_all() {
    let mut rig = Rig::new();
    let (other, _) = rig.server.add_sink(device("other")).expect("a sink");
    let mut client = rig.client(35);
    let open = |rig: &mut Rig, client: &mut Client, sync_id, no_move| {
        let flags = StreamFlags { no_move, ..StreamFlags::default() };
        let params = protocol::PlaybackStreamParams { sync_id, flags, ..playback(short()) };
        let reply: protocol::CreatePlaybackStreamReply =
            client.ask(rig, &Command::CreatePlaybackStream(params)).expect("a stream");
        (reply.stream_index, last_playback(rig))
    };
    let (first, one) = open(&mut rig, &mut client, 5, false);
    let (_, two) = open(&mut rig, &mut client, 5, false);
    let (_, alone) = open(&mut rig, &mut client, 6, false);
    let there = protocol::MoveStreamParams { index: Some(first), device_index: Some(other.get()), device_name: None };
    let moved = |rig: &Rig, id| rig.events.contains(&Event::Playback(id, Change::Moved(other)));
    client.order(&mut rig, &Command::MoveSinkInput(there.clone())).expect("moved");
    assert_eq!([one, two, alone].map(|id| moved(&rig, id)), [true, true, false]);
    // One that must stay holds the others.
    let (fourth, _) = open(&mut rig, &mut client, 7, false);
    open(&mut rig, &mut client, 7, true);
    let there = protocol::MoveStreamParams { index: Some(fourth), ..there };
    assert_eq!(client.order(&mut rig, &Command::MoveSinkInput(there)), Err(PulseError::Invalid));
}

#[test]
fn a_rate_can_be_changed_where_that_was_asked_for() {
    let mut rig = Rig::new();
    let mut client = rig.client(35);
    let fixed = client.play(&mut rig, short()).channel;
    let mut params = playback(short());
    params.flags = StreamFlags { variable_rate: true, ..params.flags };
    let reply: protocol::CreatePlaybackStreamReply =
        client.ask(&mut rig, &Command::CreatePlaybackStream(params)).expect("a stream");
    let set = |index, sample_rate| {
        Command::UpdatePlaybackStreamSampleRate(protocol::UpdateSampleRateParams { index, sample_rate })
    };
    assert_eq!(client.order(&mut rig, &set(fixed, 44_000)), Err(PulseError::Invalid));
    assert_eq!(client.order(&mut rig, &set(reply.channel, 0)), Err(PulseError::Invalid));
    client.order(&mut rig, &set(reply.channel, 44_110)).expect("set");
    assert!(rig.events.contains(&Event::Playback(last_playback(&rig), Change::Rate(44_110))));
}

#[test]
fn recorded_sound_comes_in_fragments_and_waits_for_a_slow_client() {
    let mut rig = Rig::new();
    let mut client = rig.client(35);
    let params = protocol::RecordStreamParams {
        sample_spec: cd(),
        channel_map: ChannelMap::stereo(),
        buffer_attr: BufferAttr { fragment_size: 3528, max_length: 400_000, ..BufferAttr::default() },
        flags: StreamFlags { adjust_latency: true, ..StreamFlags::default() },
        ..protocol::RecordStreamParams::default()
    };
    let reply: protocol::CreateRecordStreamReply =
        client.ask(&mut rig, &Command::CreateRecordStream(params)).expect("a stream");
    assert_eq!((reply.buffer_attr.fragment_size, reply.stream_latency), (3528, 20_000));
    let stream = last_record(&rig);
    assert_eq!(rig.server.push(stream, &[1; 1764], 5000, rig.now), 1764);
    client.receive(&mut rig);
    assert!(client.sound.is_empty());
    rig.server.push(stream, &[2; 1764], 5000, rig.now);
    client.receive(&mut rig);
    assert_eq!(client.sound, [(reply.channel, [[1; 1764], [2; 1764]].concat())]);
    let now = std::time::UNIX_EPOCH;
    let timing: protocol::RecordLatency = client
        .ask(&mut rig, &Command::GetRecordLatency(LatencyParams { channel: reply.channel, now }))
        .expect("timing");
    assert_eq!((timing.source_usec, timing.write_offset, timing.read_offset), (5000, 3528, 3528));

    // A client that does not read: the output stays short, the rest waits, and what is beyond is dropped.
    let taken: usize = (0..300).map(|_| rig.server.push(stream, &[3; 3528], 5000, rig.now)).sum();
    assert!((400_000..600_000).contains(&taken), "{taken}");
    assert!(rig.server.output(client.id).len() < 80_000);
    client.sound.clear();
    client.receive(&mut rig);
    let got: usize = client.sound.iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(got / 3528, taken / 3528);
}

#[test]
fn a_sample_is_uploaded_played_and_removed() {
    let mut rig = Rig::new();
    let mut client = rig.client(35);
    let upload = protocol::UploadStreamParams {
        media_name: Some(c"bell".to_owned()),
        sample_spec: cd(),
        channel_map: ChannelMap::stereo(),
        length: 4000,
        props: Props::new(),
    };
    let reply: protocol::CreateUploadStreamReply =
        client.ask(&mut rig, &Command::CreateUploadStream(upload)).expect("an upload");
    client.write(&mut rig, reply.channel, &[9; 4000]);
    client.order(&mut rig, &Command::FinishUploadStream(reply.channel)).expect("a sample");
    let samples: protocol::SampleInfoList = client.ask(&mut rig, &Command::GetSampleInfoList).expect("a list");
    assert_eq!(
        samples.iter().map(|s| (s.name.as_c_str(), s.length, s.duration)).collect::<Vec<_>>(),
        [(c"bell", 4000, 22_675)]
    );
    let mut props = Props::new();
    props.set(Prop::EventId, c"bell-window-system");
    let play = protocol::PlaySampleParams {
        sink_index: None,
        sink_name: None,
        volume: 0x1_0000,
        name: c"bell".to_owned(),
        props,
    };
    let index: protocol::LookupReply = client.ask(&mut rig, &Command::PlaySample(play)).expect("it plays");
    let stream = last_playback(&rig);
    assert_eq!(stream.get(), index.0);
    assert!(rig.events.contains(&Event::Readable(stream)));
    client.order(&mut rig, &Command::RemoveSample(c"bell".to_owned())).expect("removed");
    assert_eq!(pull(&mut rig, stream, 3000), [9; 3000]);
    assert_eq!(pull(&mut rig, stream, 3000), [9; 1000]);
    assert!(!rig.events.contains(&Event::Playback(stream, Change::Gone)));
    rig.pass(Duration::from_millis(100));
    assert!(rig.events.contains(&Event::Playback(stream, Change::Gone)));
}

#[test]
fn a_device_that_gets_slower_makes_buffers_longer_and_newer_clients_hear_of_it() {
    for version in [14, 35] {
        let mut rig = Rig::new();
        let mut client = rig.client(version);
        let channel = client.play(&mut rig, short()).channel;
        let sink = rig
            .events
            .iter()
            .find_map(|event| match event {
                Event::NewPlayback(new) => Some(new.device),
                _ => None,
            })
            .expect("a stream");
        rig.server.set_sink_range(sink, LatencyRange { min: 100_000, max: 200_000, takes: None }, rig.now);
        client.receive(&mut rig);
        // 100 ms, and two requests of 20 ms.
        if version >= 15 {
            let told = client.next_event();
            let changed = matches!(&told, Some(Command::PlaybackBufferAttrChanged(changed))
                if (changed.stream_index, changed.buffer_attr.target_length, changed.sink_input_latency) == (channel, 24_696, 100_000));
            assert!(changed, "{told:?}");
        }
        assert_eq!(client.next_event(), Some(Command::Request(protocol::Request { channel, length: 24_696 - 14_112 })));
        rig.server.tell_playback(last_playback(&rig), c"request-cork", &Props::new());
        client.receive(&mut rig);
        let told = matches!(client.next_event(), Some(Command::PlaybackStreamEvent(event)) if *event.event_name == *c"request-cork");
        assert_eq!(told, version >= 15);
    }
}
