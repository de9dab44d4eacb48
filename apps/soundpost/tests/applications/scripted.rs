//! A client written for the test, through the crate `pulseaudio`: an encoder and a decoder that are not the server's own. It
//! opens many streams in one process, and does what no sane client does.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use pulseaudio::protocol::stream::{BufferAttr, StreamFlags};
use pulseaudio::protocol::{
    self, AuthParams, ChannelMap, ChannelVolume, Command as Packet, CreatePlaybackStreamReply, Prop, Props,
    SampleFormat, SampleSpec, TagStructRead, TagStructReader,
};

use super::*;

/// A connection that has logged in.
struct Scripted {
    socket: UnixStream,
    version: u16,
    sequence: u32,
    /// Bytes of each stream that were asked for and not sent, by channel.
    owed: std::collections::BTreeMap<u32, usize>,
    received: Vec<u8>,
    underflows: u32,
}

impl Scripted {
    fn connect(path: &Path, version: u16) -> Self {
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

    fn ask<T: TagStructRead>(&mut self, packet: &Packet) -> T {
        self.sequence += 1;
        let mut bytes = Vec::new();
        protocol::write_command_message(&mut bytes, self.sequence, packet, self.version).unwrap();
        self.socket.write_all(&bytes).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline);
            if let Some(body) = self.take() {
                return TagStructReader::new(&mut body.as_slice(), self.version).read().unwrap();
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
            let mut body = body.as_slice();
            let (sequence, command) = Packet::read_tag_prefixed(&mut body, self.version).unwrap();
            match command {
                Packet::Reply if sequence == self.sequence => return Some(body.to_vec()),
                Packet::Error(error) => panic!("{error:?}"),
                Packet::Request(request) => *self.owed.entry(request.channel).or_default() += request.length as usize,
                Packet::Underflow(_) => self.underflows += 1,
                _ => {}
            }
        }
    }

    /// A stream of stereo, 16 bits, 100 ms or a little less.
    fn play(&mut self, sample_rate: u32) -> u32 {
        let sample_spec = SampleSpec { format: SampleFormat::S16Le, channels: 2, sample_rate };
        let mut props = Props::new();
        props.set(Prop::MediaName, c"one of many");
        let params = protocol::PlaybackStreamParams {
            sample_spec,
            channel_map: ChannelMap::stereo(),
            cvolume: Some(ChannelVolume::norm(2)),
            buffer_attr: BufferAttr { target_length: 17_640, minimum_request_length: 3_528, ..BufferAttr::default() },
            props,
            flags: StreamFlags { start_muted: Some(false), ..StreamFlags::default() },
            ..protocol::PlaybackStreamParams::default()
        };
        let reply: CreatePlaybackStreamReply = self.ask(&Packet::CreatePlaybackStream(params));
        *self.owed.entry(reply.channel).or_default() += reply.requested_bytes as usize;
        reply.channel
    }

    /// Sends silence to all streams, as much as was asked for.
    fn feed(&mut self) {
        for (channel, owed) in std::mem::take(&mut self.owed) {
            let mut block = Vec::new();
            protocol::write_memblock(&mut block, channel, &vec![0; owed], 0).unwrap();
            self.socket.write_all(&block).unwrap();
        }
    }
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
            // At the device's rate: to convert the rate of 400 streams takes more than one processor has.
            client.play(48_000);
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
