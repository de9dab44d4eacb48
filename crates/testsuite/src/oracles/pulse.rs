//! The PulseAudio server side: any clients, any order of events; the crate `pulseaudio`'s client side reads every frame
//! that is sent.

use std::ffi::CString;
use std::time::Duration;

use pulseaudio::protocol::{self, Command};
use soundpost_core::Instant;
use soundpost_pulse::buffer::LatencyRange;
use soundpost_pulse::limits::{MAX_CLIENT_SOUND, OUTPUT_MAX};
use soundpost_pulse::{
    Change, ClientId, DeviceConfig, Event, Now, Peer, PlaybackId, Props, RecordId, SampleFormat, Server, ServerConfig,
    Spec, WallTime, default_map,
};

use super::Script;

/// Bytes alone, cut anywhere: memory stays bounded, every frame that is sent is whole, and nothing outlives its client.
pub fn pulse_bytes(data: &[u8]) {
    let mut script = Script(data);
    let mut world = World::new();
    let client = world.connect(script.u8().is_multiple_of(2));
    while !script.is_empty() {
        let bytes = script.bytes();
        world.server.handle_input(client, bytes, world.now);
        world.check();
    }
    world.end();
}

/// Operations of clients, of the host and of time: what has ended is not spoken of again, sound is bounded.
pub fn pulse(data: &[u8]) {
    let mut script = Script(data);
    let mut world = World::new();
    world.log_in(script.u8());
    world.log_in(35);
    while !script.is_empty() {
        step(&mut script, &mut world);
        world.check();
    }
    world.end();
}

fn step(script: &mut Script<'_>, world: &mut World) {
    let operation = script.u8();
    let client = world.clients.get(usize::from(operation >> 4) % world.clients.len().max(1)).copied();
    match (operation % 10, client) {
        (0, Some(client)) => drop(world.server.handle_input(client, script.bytes(), world.now)),
        (1..=3, Some(client)) => {
            let body = body(script);
            world.server.handle_input(client, &frame(u32::MAX, 0, 0, &body), world.now);
        }
        (4, Some(client)) => {
            let (channel, mode, offset) = (script.u8() % 4, script.u8() % 4, i64::from(script.u16()) - 0x8000);
            let sound = vec![7; usize::from(script.u16()) / 4 * 4];
            let block = frame(channel.into(), offset * 4, mode.into(), &sound);
            world.server.handle_input(client, &block, world.now);
        }
        (5, _) => {
            world.now.at += Duration::from_millis(script.u16().into());
            world.server.handle_timeout(world.now);
            assert!(
                world.server.next_timeout().is_none_or(|at| at > world.now.at),
                "a timeout that was handled is still due"
            );
        }
        (6, _) => {
            let mut out = vec![0; usize::from(script.u16())];
            let place = usize::from(script.u8()) % world.playing.len().max(1);
            if let Some(&stream) = world.playing.get(place) {
                let filled = world.server.pull(stream, &mut out, script.u16().into(), world.now);
                assert!(filled <= out.len());
            }
        }
        (7, _) => {
            let bytes = vec![1; usize::from(script.u16())];
            let place = usize::from(script.u8()) % world.recording.len().max(1);
            if let Some(&stream) = world.recording.get(place) {
                assert!(world.server.push(stream, &bytes, 10_000, world.now) <= bytes.len());
            }
        }
        (8, Some(client)) => {
            world.server.disconnect(client);
            world.clients.retain(|&other| other != client);
        }
        (8, None) => world.log_in(script.u8()),
        (9, _) => host(script, world),
        _ => {}
    }
}

fn host(script: &mut Script<'_>, world: &mut World) {
    match script.u8() % 7 {
        0 => {
            if let Ok((sink, _)) = world.server.add_sink(device(if script.u8().is_multiple_of(2) { "a" } else { "b" }))
            {
                world.sinks.push(sink);
            }
        }
        1 => {
            if let Some(sink) = world.sinks.pop() {
                world.server.remove_sink(sink, world.now);
            }
        }
        2 if world.clients.len() < 8 => world.log_in(script.u8()),
        4 => play(script, world),
        5 => {
            // A choice of devices that may not be there.
            let name = |choice: u8| [None, Some(c"a"), Some(c"b"), Some(c"c")].get(usize::from(choice % 4)).copied();
            let (sink, source) = (name(script.u8()).flatten(), name(script.u8()).flatten());
            world.server.set_defaults(sink.map(CString::from), source.map(CString::from));
        }
        3 => world.server.kill(world.clients.first().copied().unwrap_or(world.first)),
        _ => {
            if let Some(&sink) = world.sinks.first() {
                world.server.set_sink_level(sink, None, Some(script.u8().is_multiple_of(2)));
            }
        }
    }
}

/// A stream with any lengths, without prebuffering as well, and sound in it.
fn play(script: &mut Script<'_>, world: &mut World) {
    let Some(&client) = world.clients.first() else { return };
    let length = |script: &mut Script<'_>| match script.u8() {
        0 => 0,
        1..=63 => u32::MAX,
        more => u32::from(more) * 97,
    };
    let params = protocol::PlaybackStreamParams {
        sample_spec: protocol::SampleSpec { format: SampleFormat::S16Le, channels: 2, sample_rate: 44_100 },
        channel_map: default_map(2),
        buffer_attr: protocol::stream::BufferAttr {
            max_length: length(script),
            target_length: length(script),
            pre_buffering: length(script),
            minimum_request_length: length(script),
            fragment_size: 0,
        },
        sync_id: u32::from(script.u8() % 4),
        cvolume: Some(protocol::ChannelVolume::norm(2)),
        ..protocol::PlaybackStreamParams::default()
    };
    let mut bytes = Vec::new();
    let command = Command::CreatePlaybackStream(params);
    if protocol::write_command_message(&mut bytes, 9, &command, 35).is_err() {
        panic!("a request that cannot be written");
    }
    world.server.handle_input(client, &bytes, world.now);
    let sound = vec![3; usize::from(script.u8()) * 64];
    world.server.handle_input(client, &frame(u32::from(script.u8() % 4), 0, 0, &sound), world.now);
}

/// A packet of tagged values that a client could send.
fn body(script: &mut Script<'_>) -> Vec<u8> {
    let mut body = [&b"L\0\0\0"[..], &[script.u8() % 106], b"L\0\0\0\x07"].concat();
    if script.u8().is_multiple_of(4) {
        body.truncate(10);
        body.extend_from_slice(script.bytes());
        return body;
    }
    for _ in 0..script.u8() % 40 {
        match script.u8() % 19 {
            0 | 1 => body.extend([&b"L\0\0\0"[..], &[script.u8() % 4]].concat()),
            2 => body.extend([&b"L"[..], &script.u32().to_be_bytes()].concat()),
            3 | 4 => body.extend(b"L\xff\xff\xff\xff"),
            5 | 6 => body.push(b'1'),
            7 | 8 => body.push(b'0'),
            9 | 10 => body.push(b'N'),
            11 => body.extend(b"ta\0"),
            12 => body.extend([&b"a"[..], &[script.u8() % 14, script.u8() % 3, 0, 0, 0xac, 0x44]].concat()),
            13 => body.extend(b"m\x02\x01\x02"),
            14 => body.extend(b"v\x02\0\x01\0\0\0\x01\0\0"),
            15 => body.extend(b"Ptmedia.name\0L\0\0\0\x02x\0\0\0\x02a\0N"),
            16 => body.extend([&b"T"[..], &script.u32().to_be_bytes(), &script.u32().to_be_bytes()].concat()),
            17 => body.extend([&b"B"[..], &[script.u8() % 2]].concat()),
            _ => body.extend(b"tmodule-stream-restore\0"),
        }
    }
    body
}

fn frame(channel: u32, offset: i64, flags: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(0);
    [&length.to_be_bytes()[..], &channel.to_be_bytes(), &offset.to_be_bytes(), &flags.to_be_bytes(), body].concat()
}

fn device(name: &str) -> DeviceConfig {
    DeviceConfig {
        name: CString::new(name).unwrap_or_default(),
        description: c"a device".to_owned(),
        spec: spec(),
        range: LatencyRange { min: 10_000, max: 200_000, takes: None },
        props: Props::new(),
        volume: None,
        muted: false,
    }
}

fn spec() -> Spec {
    let Some(spec) = Spec::new(SampleFormat::Float32Le, 48_000, default_map(2)) else {
        panic!("a plain format is refused")
    };
    spec
}

struct World {
    server: Server,
    now: Now,
    first: ClientId,
    clients: Vec<ClientId>,
    playing: Vec<PlaybackId>,
    recording: Vec<RecordId>,
    sinks: Vec<soundpost_pulse::SinkId>,
}

impl World {
    fn new() -> Self {
        let mut server = Server::new(ServerConfig {
            name: c"fuzzed".to_owned(),
            version: c"16.1.0".to_owned(),
            user: c"anna".to_owned(),
            host: c"here".to_owned(),
            spec: spec(),
            instance: 1,
            cookie: Some([0; soundpost_pulse::COOKIE]),
        });
        let sinks = server.add_sink(device("a")).map(|(sink, _)| sink).into_iter().collect();
        let now = Now { at: Instant::from_nanos(5_000_000_000), wall: WallTime { seconds: 1_700_000_000, micros: 1 } };
        let peer = Peer { trusted: true, process: None, description: c"nobody".to_owned() };
        let Ok(first) = server.connect(peer, now) else { panic!("the first client is refused") };
        server.disconnect(first);
        Self { server, now, first, clients: Vec::new(), playing: Vec::new(), recording: Vec::new(), sinks }
    }

    fn connect(&mut self, trusted: bool) -> ClientId {
        let peer = Peer { trusted, process: None, description: c"a client".to_owned() };
        let Ok(client) = self.server.connect(peer, self.now) else { panic!("a client is refused") };
        self.clients.push(client);
        client
    }

    fn log_in(&mut self, version: u8) {
        let client = self.connect(true);
        let body = [&b"L\0\0\0\x08L\0\0\0\x01L\0\0\0"[..], &[13 + version % 23], b"x\0\0\x01\0", &[0; 256]].concat();
        self.server.handle_input(client, &frame(u32::MAX, 0, 0, &body), self.now);
    }

    /// Events, output and memory are as promised.
    fn check(&mut self) {
        while let Some(event) = self.server.poll_event() {
            match event {
                Event::NewPlayback(new) => self.playing.push(new.id),
                Event::NewRecord(new) => self.recording.push(new.id),
                Event::Playback(id, change) => {
                    assert!(self.playing.contains(&id), "{id:?} has changed after its end: {change:?}");
                    if change == Change::Gone {
                        self.playing.retain(|&other| other != id);
                    }
                }
                Event::Record(id, change) => {
                    assert!(self.recording.contains(&id), "{id:?} has changed after its end: {change:?}");
                    if change == Change::Gone {
                        self.recording.retain(|&other| other != id);
                    }
                }
                Event::Readable(id) => assert!(self.playing.contains(&id)),
                Event::Close(id, _) => {
                    assert!(self.clients.contains(&id), "a client that is gone is closed");
                    assert!(!self.server.wants_input(id));
                    self.server.disconnect(id);
                    self.clients.retain(|&other| other != id);
                }
                _ => {}
            }
        }
        let named: Vec<ClientId> = self.server.clients_with_output().collect();
        let have: Vec<ClientId> =
            self.clients.iter().copied().filter(|&client| !self.server.output(client).is_empty()).collect();
        assert!(named.len() == have.len() && have.iter().all(|id| named.contains(id)), "{named:?} is not {have:?}");
        for client in self.clients.clone() {
            let output = self.server.output(client).to_vec();
            assert!(output.len() <= OUTPUT_MAX);
            frames(&output);
            self.server.sent(client, output.len());
        }
    }

    /// All clients go: no stream and no timer stays, but for samples that play on.
    fn end(&mut self) {
        for client in std::mem::take(&mut self.clients) {
            self.server.disconnect(client);
        }
        self.check();
        assert!(self.recording.is_empty());
        for stream in self.playing.clone() {
            // What is left belongs to nobody: it plays to its end.
            let mut out = vec![0; MAX_CLIENT_SOUND.min(1 << 25)];
            self.server.pull(stream, &mut out, 0, self.now);
            self.now.at += Duration::from_secs(100_000_000);
            self.server.handle_timeout(self.now);
        }
        self.check();
        assert!(self.playing.is_empty(), "{:?}", self.playing);
        self.now.at += Duration::from_secs(100_000_000);
        self.server.handle_timeout(self.now);
        assert_eq!(self.server.next_timeout(), None);
    }
}

/// Whole frames, each of which a client can read.
fn frames(mut output: &[u8]) {
    while !output.is_empty() {
        let Ok(head) = protocol::read_descriptor(&mut output) else { panic!("a descriptor that cannot be read") };
        let length = usize::try_from(head.length).unwrap_or(usize::MAX);
        let Some((mut body, rest)) = output.split_at_checked(length) else { panic!("a frame that is cut off") };
        output = rest;
        if head.channel == u32::MAX {
            match Command::read_tag_prefixed(&mut body, 35) {
                // What follows a reply depends on what was asked; an old version's underflow is shorter.
                Ok(_) | Err(protocol::ProtocolError::Io(_)) => {}
                Err(error) => panic!("a packet that a client cannot read: {error}"),
            }
        }
    }
}
