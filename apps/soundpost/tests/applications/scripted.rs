//! A client written for the test, through the crate `pulseaudio`: an encoder and a decoder that are not the server's own. It
//! opens many streams in one process, and does what no sane client does.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use pulseaudio::protocol::stream::{BufferAttr, StreamFlags};
use pulseaudio::protocol::{
    self, AuthParams, ChannelMap, ChannelVolume, Command as Packet, CreatePlaybackStreamReply, Prop, Props, PulseError,
    SampleFormat, SampleSpec, TagStructRead, TagStructReader,
};

use super::*;

/// A connection that has logged in.
pub(super) struct Scripted {
    pub(super) socket: UnixStream,
    version: u16,
    sequence: u32,
    /// Bytes of each stream that were asked for and not sent, by channel.
    pub(super) owed: std::collections::BTreeMap<u32, usize>,
    received: Vec<u8>,
    underflows: u32,
}

impl Scripted {
    pub(super) fn connect(path: &Path, version: u16) -> Self {
        let socket = UnixStream::connect(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let owed = std::collections::BTreeMap::new();
        let mut client = Self { socket, version, sequence: 0, owed, received: Vec::new(), underflows: 0 };
        let auth = AuthParams { version, supports_shm: false, supports_memfd: false, cookie: vec![0; 256] };
        let reply: protocol::AuthReply = client.ask(&Packet::Auth(auth));
        assert_eq!(reply.version, 35);
        let mut props = Props::new();
        props.set(Prop::ApplicationName, c"scripted");
        if version >= 13 {
            let _: protocol::SetClientNameReply = client.ask(&Packet::SetClientName(props));
        }
        client
    }

    pub(super) fn ask<T: TagStructRead>(&mut self, packet: &Packet) -> T {
        self.try_ask(packet).unwrap()
    }

    /// The same for what may be refused.
    pub(super) fn try_ask<T: TagStructRead>(&mut self, packet: &Packet) -> Result<T, PulseError> {
        let body = self.answer(packet)?;
        Ok(TagStructReader::new(&mut body.as_slice(), self.version).read().unwrap())
    }

    /// The same for what is answered with nothing but that it was done.
    pub(super) fn ask_nothing(&mut self, packet: &Packet) {
        assert_eq!(self.answer(packet), Ok(Vec::new()));
    }

    fn answer(&mut self, packet: &Packet) -> Result<Vec<u8>, PulseError> {
        self.sequence += 1;
        let mut bytes = Vec::new();
        protocol::write_command_message(&mut bytes, self.sequence, packet, self.version).unwrap();
        self.socket.write_all(&bytes).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline);
            if let Some(answer) = self.take_answer() {
                return answer;
            }
            self.read();
        }
    }

    /// Reads what is there, or waits for it where the socket does.
    fn read(&mut self) -> bool {
        let mut room = [0; 65_536];
        match self.socket.read(&mut room) {
            Ok(0) => panic!("the server has closed the connection"),
            Ok(count) => self.received.extend_from_slice(&room[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => panic!("{error}"),
        }
        true
    }

    /// Takes packets up to the answer that is waited for; requests are noted.
    fn take(&mut self) -> Option<Vec<u8>> {
        self.take_answer().map(Result::unwrap)
    }

    fn take_answer(&mut self) -> Option<Result<Vec<u8>, PulseError>> {
        loop {
            let mut rest = self.received.as_slice();
            if rest.len() < 20 {
                return None;
            }
            let head = protocol::read_descriptor(&mut rest).unwrap();
            let length = head.length as usize;
            if rest.len() < length {
                return None;
            }
            let body = rest[..length].to_vec();
            self.received.drain(..20 + length);
            if head.channel != u32::MAX {
                // Recorded sound.
                continue;
            }
            let mut body = body.as_slice();
            let (sequence, command) = Packet::read_tag_prefixed(&mut body, self.version).unwrap();
            match command {
                Packet::Reply if sequence == self.sequence => return Some(Ok(body.to_vec())),
                Packet::Error(error) => return Some(Err(error)),
                Packet::Request(request) => *self.owed.entry(request.channel).or_default() += request.length as usize,
                Packet::Underflow(_) => self.underflows += 1,
                _ => {}
            }
        }
    }

    /// A stream of stereo, 16 bits, 100 ms or a little less.
    pub(super) fn play(&mut self, sample_rate: u32) -> u32 {
        let reply: CreatePlaybackStreamReply = self.ask(&stream(sample_rate));
        *self.owed.entry(reply.channel).or_default() += reply.requested_bytes as usize;
        reply.channel
    }

    /// How long it takes from the writing of a stream of 100 ms to its being heard, once it has played for half a second.
    pub(super) fn latency_of_a_new_stream(&mut self) -> Duration {
        let channel = self.play(48_000);
        let end = Instant::now() + Duration::from_millis(500);
        while Instant::now() < end {
            self.feed();
            while self.owed.is_empty() {
                self.read();
                assert!(self.take().is_none());
            }
        }
        self.feed();
        let now = std::time::SystemTime::now();
        let timing: protocol::PlaybackLatency =
            self.ask(&Packet::GetPlaybackLatency(protocol::LatencyParams { channel, now }));
        let waits = u64::try_from(timing.write_offset - timing.read_offset).unwrap();
        self.ask_nothing(&Packet::DeletePlaybackStream(channel));
        self.owed.clear();
        Duration::from_micros(timing.sink_usec + waits * 1_000_000 / 192_000)
    }

    /// Records what the session hears.
    pub(super) fn record(&mut self) -> u32 {
        let params = protocol::RecordStreamParams {
            sample_spec: SampleSpec { format: SampleFormat::S16Le, channels: 2, sample_rate: 48_000 },
            channel_map: ChannelMap::stereo(),
            source_name: Some(c"soundpost.monitor".to_owned()),
            buffer_attr: BufferAttr::default(),
            ..protocol::RecordStreamParams::default()
        };
        let reply: protocol::CreateRecordStreamReply = self.ask(&Packet::CreateRecordStream(params));
        reply.channel
    }

    /// Uploads a silent sample; whether it was taken.
    pub(super) fn upload(&mut self, number: u32, length: u32) -> bool {
        let params = protocol::UploadStreamParams {
            media_name: Some(std::ffi::CString::new(format!("sample-{number}")).unwrap()),
            sample_spec: SampleSpec { format: SampleFormat::S16Le, channels: 2, sample_rate: 48_000 },
            channel_map: ChannelMap::stereo(),
            length,
            props: Props::new(),
        };
        let reply: protocol::CreateUploadStreamReply = self.ask(&Packet::CreateUploadStream(params));
        let mut block = Vec::new();
        for _ in 0..length / 65_536 {
            block.clear();
            protocol::write_memblock(&mut block, reply.channel, &[0; 65_536], 0).unwrap();
            self.socket.write_all(&block).unwrap();
        }
        self.answer(&Packet::FinishUploadStream(reply.channel)).is_ok()
    }

    /// Sends silence to all streams, as much as was asked for.
    pub(super) fn feed(&mut self) {
        for (channel, owed) in std::mem::take(&mut self.owed) {
            let mut block = Vec::new();
            protocol::write_memblock(&mut block, channel, &vec![0; owed], 0).unwrap();
            self.socket.write_all(&block).unwrap();
        }
    }
}

/// What asks for a stream of stereo, 16 bits, 100 ms or a little less.
pub(super) fn stream(sample_rate: u32) -> Packet {
    let sample_spec = SampleSpec { format: SampleFormat::S16Le, channels: 2, sample_rate };
    let mut props = Props::new();
    props.set(Prop::MediaName, c"one of many");
    Packet::CreatePlaybackStream(protocol::PlaybackStreamParams {
        sample_spec,
        channel_map: ChannelMap::stereo(),
        cvolume: Some(ChannelVolume::norm(2)),
        buffer_attr: BufferAttr { target_length: 17_640, minimum_request_length: 3_528, ..BufferAttr::default() },
        props,
        flags: StreamFlags { start_muted: Some(false), ..StreamFlags::default() },
        ..protocol::PlaybackStreamParams::default()
    })
}

#[test]
fn scripted_clients_of_old_and_new_versions_play_through_the_socket() {
    let session = Session::start(&[]);
    let path = session.daemon.path("state/pulse/native");
    for version in [13, 20, 26, 32, 35] {
        let mut client = Scripted::connect(&path, version);
        client.play(44_100);
        client.feed();
        // The server asks for more as it plays.
        while client.owed.is_empty() {
            client.read();
            assert!(client.take().is_none());
        }
    }
}

#[test]
fn four_hundred_streams_of_one_process_play_at_once_and_a_watched_one_loses_nothing() {
    if !installed(&["paplay"]) {
        return;
    }
    let session = Session::start(&[]);
    let path = session.daemon.path("state/pulse/native");
    let before = session.daemon.memory_kib("VmRSS");
    // 20 connections of 20 streams.
    let mut clients: Vec<Scripted> = (0..20).map(|_| Scripted::connect(&path, 35)).collect();
    for client in &mut clients {
        for _ in 0..20 {
            client.play(44_100);
        }
        client.socket.set_nonblocking(true).unwrap();
    }
    let played = noise(5, 96_000);
    write_wav(&session.daemon.path("watched.wav"), &played, 48_000);
    let mut watched = session.command("paplay").arg("watched.wav").spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut fed = 0;
    while watched.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline);
        for client in &mut clients {
            client.socket.set_nonblocking(true).unwrap();
            while client.read() {}
            assert!(client.take().is_none());
            fed += client.owed.values().sum::<usize>();
            client.socket.set_nonblocking(false).unwrap();
            client.feed();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let each = (session.daemon.memory_kib("VmRSS") - before) / 400;
    eprintln!("400 streams: {each} KiB each; {fed} bytes were sent");
    let streams = session.pactl(&["list", "short", "sink-inputs"]).lines().count();
    assert_eq!(streams, 400, "none was refused, none has died");
    assert!(fed > 400 * 48_000 * 4, "all of them have played for more than a second: {fed}");
    drop(clients);
    heard_exactly(&played, &session.heard(), "the watched one");
}

#[test]
fn what_makes_no_sense_costs_the_connection_that_sends_it_and_nobody_else() {
    if !installed(&["paplay"]) {
        return;
    }
    let session = Session::start(&[]);
    let path = session.daemon.path("state/pulse/native");
    let played = noise(6, 96_000);
    write_wav(&session.daemon.path("watched.wav"), &played, 48_000);
    let mut watched = session.command("paplay").arg("watched.wav").spawn().unwrap();
    let open = || std::fs::read_dir(format!("/proc/{}/fd", session.daemon.id())).unwrap().count();
    let mut kept = Vec::new();
    let mut state = 1_u32;
    for round in 0..200 {
        // Logged in or not, killed in the middle of a block, and then a length and tags of chance.
        let mut socket = if round % 2 == 0 {
            let mut client = Scripted::connect(&path, 35);
            client.play(44_100);
            let mut block = Vec::new();
            protocol::write_memblock(&mut block, 0, &[0; 4000], 0).unwrap();
            client.socket.write_all(&block[..1000]).unwrap();
            client.socket
        } else {
            UnixStream::connect(&path).unwrap()
        };
        let nonsense: Vec<u8> = (0..300)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        // A client that has been closed already may not take it.
        let _ = socket.write_all(&nonsense);
        if round % 10 == 0 {
            kept.push(socket);
        }
    }
    wait(&mut watched, "paplay");
    drop(kept);
    let deadline = Instant::now() + PATIENCE;
    while !session.pactl(&["list", "short", "sink-inputs"]).is_empty() {
        assert!(Instant::now() < deadline, "their streams are still there");
    }
    std::thread::sleep(Duration::from_millis(300));
    let after = open();
    assert!(after < 60, "{after} files are open");
    heard_exactly(&played, &session.heard(), "the watched one");
}

#[test]
fn a_session_in_which_nothing_plays_wakes_nobody() {
    let session = Session::start(&[]);
    let mut client = Scripted::connect(&session.daemon.path("state/pulse/native"), 35);
    client.play(44_100);
    std::thread::sleep(Duration::from_secs(2));
    let switches = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", session.daemon.id())).unwrap().map(Result::unwrap);
        let of_pulse = tasks
            .map(|task| task.path())
            .find(|task| std::fs::read_to_string(task.join("comm")).unwrap().trim() == "soundpost-pulse")
            .unwrap();
        let status = std::fs::read_to_string(of_pulse.join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    let before = switches();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(switches(), before, "a stream that has sent nothing yet costs nothing");
}
