//! A server with one sink and one source, and scripted clients that speak through the crate `pulseaudio`: an encoder and a
//! decoder that are not the server's own.

use std::collections::VecDeque;
use std::ffi::CString;
use std::time::Duration;

use pulseaudio::protocol::{
    self, AuthParams, ChannelMap, Command, Prop, Props, PulseError, SampleFormat, SampleSpec, TagStructRead,
    TagStructReader,
    stream::{BufferAttr, StreamFlags},
};
use soundpost_core::Instant;
use soundpost_pulse::buffer::LatencyRange;
use soundpost_pulse::{
    ClientId, DeviceConfig, Event, Now, Peer, Server, ServerConfig, SinkId, Spec, WallTime, default_map,
};

pub(crate) const COOKIE: [u8; 256] = [0x5a; 256];

pub(crate) fn spec(rate: u32) -> Spec {
    Spec::new(SampleFormat::Float32Le, rate, default_map(2)).expect("a spec")
}

pub(crate) fn device(name: &str) -> DeviceConfig {
    DeviceConfig {
        name: CString::new(name).expect("no zero"),
        description: CString::new(format!("{name} described")).expect("no zero"),
        spec: spec(48_000),
        range: LatencyRange { min: 10_000, max: 200_000, takes: None },
        props: Props::new(),
        volume: None,
        muted: false,
    }
}

pub(crate) struct Rig {
    pub(crate) server: Server,
    pub(crate) sink: SinkId,
    pub(crate) now: Now,
    pub(crate) events: Vec<Event>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let mut server = Server::new(ServerConfig {
            name: c"PulseAudio (on Soundpost)".to_owned(),
            version: c"16.1.0".to_owned(),
            user: c"anna".to_owned(),
            host: c"here".to_owned(),
            spec: spec(48_000),
            instance: 0x1234,
            cookie: Some(COOKIE),
        });
        let (sink, _) = server.add_sink(device("soundpost")).expect("a sink");
        server.add_source(device("soundpost_microphone")).expect("a source");
        let wall = WallTime { seconds: 1_700_000_000, micros: 0 };
        Self { server, sink, now: Now { at: Instant::from_nanos(1_000_000_000), wall }, events: Vec::new() }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now.at += time;
        self.server.handle_timeout(self.now);
        self.drain_events();
    }

    pub(crate) fn drain_events(&mut self) {
        while let Some(event) = self.server.poll_event() {
            self.events.push(event);
        }
    }

    pub(crate) fn connect(&mut self, trusted: bool) -> ClientId {
        self.server
            .connect(Peer { trusted, process: None, description: c"UNIX socket client".to_owned() }, self.now)
            .expect("room")
    }

    /// A client that has logged in and said its name.
    pub(crate) fn client(&mut self, version: u16) -> Client {
        let mut client =
            Client { id: self.connect(true), version, sequence: 0, events: VecDeque::new(), sound: Vec::new() };
        let auth = AuthParams { version, supports_shm: true, supports_memfd: true, cookie: vec![0; 256] };
        let reply: protocol::AuthReply = client.ask(self, &Command::Auth(auth)).expect("admitted");
        assert_eq!(reply, protocol::AuthReply { version: 35, use_memfd: false, use_shm: false });
        let mut props = Props::new();
        props.set(Prop::ApplicationName, c"scripted");
        let reply: protocol::SetClientNameReply = client.ask(self, &Command::SetClientName(props)).expect("a name");
        assert_eq!(reply.client_id, client.id.get());
        self.drain_events();
        client
    }
}

pub(crate) struct Client {
    pub(crate) id: ClientId,
    pub(crate) version: u16,
    sequence: u32,
    /// What the server said unasked.
    pub(crate) events: VecDeque<Command>,
    /// Recorded sound: channel and bytes.
    pub(crate) sound: Vec<(u32, Vec<u8>)>,
}

impl Client {
    /// Sends a command; the answer's payload.
    pub(crate) fn send(&mut self, rig: &mut Rig, command: &Command) -> Option<Result<Vec<u8>, PulseError>> {
        self.sequence += 1;
        let mut bytes = Vec::new();
        protocol::write_command_message(&mut bytes, self.sequence, command, self.version).expect("a message");
        assert_eq!(rig.server.handle_input(self.id, &bytes, rig.now), bytes.len());
        self.receive(rig)
    }

    /// Sends a command with a body that the crate does not write; the answer's payload.
    pub(crate) fn send_raw(&mut self, rig: &mut Rig, command: u32, body: &[u8]) -> Option<Result<Vec<u8>, PulseError>> {
        self.sequence += 1;
        let numbers = [command, self.sequence].map(|number| [&b"L"[..], &number.to_be_bytes()].concat());
        let body = [&numbers.concat(), body].concat();
        let length = u32::try_from(body.len()).expect("a length");
        let frame = [&length.to_be_bytes()[..], &[0xff; 4], &[0; 12], &body].concat();
        rig.server.handle_input(self.id, &frame, rig.now);
        self.receive(rig)
    }

    /// Sends a command that is answered with something.
    pub(crate) fn ask<T: TagStructRead>(&mut self, rig: &mut Rig, command: &Command) -> Result<T, PulseError> {
        let payload = self.send(rig, command).expect("an answer")?;
        let mut rest = payload.as_slice();
        let reply = TagStructReader::new(&mut rest, self.version).read().expect("a reply of the right form");
        assert!(rest.is_empty(), "{} bytes behind the reply to {command:?} in version {}", rest.len(), self.version);
        Ok(reply)
    }

    /// Sends a command that is answered with nothing but that it was done.
    pub(crate) fn order(&mut self, rig: &mut Rig, command: &Command) -> Result<(), PulseError> {
        let payload = self.send(rig, command).expect("an answer")?;
        assert!(payload.is_empty());
        Ok(())
    }

    pub(crate) fn write(&mut self, rig: &mut Rig, channel: u32, bytes: &[u8]) {
        let mut block = Vec::new();
        protocol::write_memblock(&mut block, channel, bytes, 0).expect("a block");
        assert_eq!(rig.server.handle_input(self.id, &block, rig.now), block.len());
        assert!(self.receive(rig).is_none());
    }

    /// Takes what the server sent: the answer to the last command, where it is among it.
    pub(crate) fn receive(&mut self, rig: &mut Rig) -> Option<Result<Vec<u8>, PulseError>> {
        rig.drain_events();
        let mut answer = None;
        loop {
            let bytes = rig.server.output(self.id).to_vec();
            if bytes.is_empty() {
                return answer;
            }
            rig.server.sent(self.id, bytes.len());
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let head = protocol::read_descriptor(&mut rest).expect("a descriptor");
                let (body, after) = rest.split_at(usize::try_from(head.length).expect("a length"));
                rest = after;
                if head.channel != u32::MAX {
                    self.sound.push((head.channel, body.to_vec()));
                    continue;
                }
                let mut body = body;
                let (sequence, command) = Command::read_tag_prefixed(&mut body, self.version).expect("a packet");
                match command {
                    Command::Reply if sequence == self.sequence => answer = Some(Ok(body.to_vec())),
                    Command::Error(error) if sequence == self.sequence => answer = Some(Err(error)),
                    other => {
                        assert_eq!(sequence, u32::MAX, "an answer nobody waits for: {other:?}");
                        self.events.push_back(other);
                    }
                }
            }
        }
    }

    /// A 44.1 kHz stereo stream of 16 bits with these lengths.
    pub(crate) fn play(&mut self, rig: &mut Rig, attr: BufferAttr) -> protocol::CreatePlaybackStreamReply {
        self.ask(rig, &Command::CreatePlaybackStream(playback(attr))).expect("a stream")
    }

    pub(crate) fn next_event(&mut self) -> Option<Command> {
        self.events.pop_front()
    }
}

pub(crate) fn cd() -> SampleSpec {
    SampleSpec { format: SampleFormat::S16Le, channels: 2, sample_rate: 44_100 }
}

pub(crate) fn playback(buffer_attr: BufferAttr) -> protocol::PlaybackStreamParams {
    let mut props = Props::new();
    props.set(Prop::MediaName, c"a tune");
    props.set(Prop::ApplicationName, c"scripted");
    protocol::PlaybackStreamParams {
        sample_spec: cd(),
        channel_map: ChannelMap::stereo(),
        cvolume: Some(protocol::ChannelVolume::norm(2)),
        buffer_attr,
        props,
        flags: StreamFlags { start_muted: Some(false), ..StreamFlags::default() },
        ..protocol::PlaybackStreamParams::default()
    }
}

/// 80 ms in the buffer, requests of 20 ms; it plays once all of it is there but for a request.
pub(crate) fn short() -> BufferAttr {
    BufferAttr { target_length: 14_112, minimum_request_length: 3528, ..BufferAttr::default() }
}
