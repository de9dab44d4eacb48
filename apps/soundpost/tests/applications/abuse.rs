//! Clients that mean harm, or are badly made, beside one that only wants to be heard.
//!
//! `SOUNDPOST_TEST_STREAMS` sets how many streams they open and close (2,000 where it is not set).

use std::collections::VecDeque;
use std::io::{IoSlice, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use pulseaudio::protocol::{self, CreatePlaybackStreamReply};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::scripted::{Scripted, stream};
use super::*;
use crate::counter;

/// Streams that each misbehaving client opens.
const EACH: usize = 20;
/// Streams after which memory is looked at for the first time.
const FIRST: usize = 1_000;
/// What may be resident beyond that.
const GROWTH_KIB: u64 = 8 * 1024;

fn streams() -> usize {
    std::env::var("SOUNDPOST_TEST_STREAMS").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000)
}

/// A player of a sound in which every frame has a number, as long as the test needs one.
struct Watched {
    player: Child,
    length: u32,
}

impl Watched {
    fn start(session: &Session) -> Self {
        let length = 48_000 * 180;
        counter::write(&session.daemon.path("watched.wav"), length);
        let player = session.command("paplay").arg("watched.wav").spawn().unwrap();
        let watched = Self { player, length };
        session.until("the watched stream", || session.streams() == 1);
        watched
    }

    /// Ends it: every frame up to the last one that was heard was heard, once and in order.
    fn judge(mut self, session: Session, more_than: u32) {
        // Harm that was done just now would be heard in a moment.
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(self.player.try_wait().unwrap(), None, "the watched player has gone");
        self.player.kill().unwrap();
        self.player.wait().unwrap();
        let samples = session.heard();
        let heard = counter::judge(samples.chunks_exact(2).map(|frame| (frame[0], frame[1])), self.length);
        eprintln!("the watched stream: {heard:?}");
        assert!(heard.is_whole() && heard.first == Some(0) && heard.frames > more_than, "{heard:?}");
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.player.kill();
        let _ = self.player.wait();
    }
}

impl Session {
    fn socket(&self) -> PathBuf {
        self.daemon.path("state/pulse/native")
    }

    pub(super) fn streams(&self) -> usize {
        self.pactl(&["list", "short", "sink-inputs"]).lines().count()
    }

    pub(super) fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.daemon.id())).unwrap().count()
    }

    pub(super) fn until(&self, what: &str, ready: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !ready() {
            assert!(Instant::now() < deadline, "{what} does not come");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Numbers of chance, the same in every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// A control packet of any body.
fn packet(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    [&length.to_be_bytes()[..], &[0xff; 4], &[0; 12], body].concat()
}

fn number(value: u32) -> Vec<u8> {
    [&b"L"[..], &value.to_be_bytes()].concat()
}

/// Sends what the socket takes at once; a client that has been closed already may not take it.
fn shove(client: &mut Scripted, bytes: &[u8]) {
    client.socket.set_nonblocking(true).unwrap();
    let mut rest = bytes;
    while let Ok(count @ 1..) = client.socket.write(rest) {
        rest = &rest[count..];
    }
}

/// Hands over memory as libpulse does, and takes it away again.
fn shared_memory(client: &mut Scripted, refers_only: bool) {
    let memory: OwnedFd = rustix::fs::memfd_create("shm", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&memory, 65_536).unwrap();
    let registers = packet(&[number(103), number(u32::MAX), number(5)].concat());
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let borrowed = [memory.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&borrowed)));
    // A block of sound in that memory, which is gone by then.
    let block = [&16_u32.to_be_bytes()[..], &[0; 12], &0xa000_0000_u32.to_be_bytes(), &[0; 16]].concat();
    let bytes = if refers_only { &block } else { &registers };
    let _ = rustix::net::sendmsg(&client.socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL);
    rustix::fs::ftruncate(&memory, 0).unwrap();
    shove(client, &block);
}

/// One client that opens streams and then goes wrong in the way that its turn has. What comes back wants to be held.
fn misbehave(path: &Path, turn: usize, chance: &mut Chance) -> Scripted {
    let mut client = Scripted::connect(path, 35);
    let channels: Vec<u32> = (0..EACH).map(|_| client.play(48_000)).collect();
    let block = |length: usize| {
        let mut block = Vec::new();
        protocol::write_memblock(&mut block, channels[0], &vec![0; length], 0).unwrap();
        block
    };
    match turn % 9 {
        // Killed in the middle of a block, of a packet, of a descriptor.
        0 => shove(&mut client, &block(4_000)[..1_000]),
        1 => shove(&mut client, &packet(&[0; 64])[..(chance.next() % 60) as usize + 1]),
        // Never reads: neither what it has subscribed to, nor lists, nor what it records.
        2 => {
            client.record();
            let asks = [number(35), number(1), number(0x2ff)].concat();
            shove(&mut client, &packet(&asks));
            let list = packet(&[number(30), number(2)].concat());
            shove(&mut client, &list.repeat(2_000));
        }
        // Nonsense tags behind commands that there are, nonsense lengths, nonsense indices.
        3 => {
            for command in 3..105 {
                shove(&mut client, &packet(&[number(command), number(9), chance.bytes(24)].concat()));
            }
        }
        4 => shove(&mut client, &chance.bytes(400)),
        5 => {
            // Bits that no index here has: nothing of anybody else's is meant.
            for command in [4, 6, 12, 17, 21, 23, 27, 29, 31, 33, 42, 48, 49, 50, 52, 58, 59] {
                let index = chance.next() | 0x4000_0000;
                shove(&mut client, &packet(&[number(command), number(9), number(index)].concat()));
            }
            let mut strange = Vec::new();
            protocol::write_memblock(&mut strange, chance.next() | 0x4000_0000, &[0; 400], 0).unwrap();
            shove(&mut client, &strange);
        }
        6 => shared_memory(&mut client, false),
        7 => shared_memory(&mut client, true),
        // Behaves: sends, deletes, and goes.
        _ => {
            client.feed();
            for channel in channels {
                client.ask_nothing(&protocol::Command::DeletePlaybackStream(channel));
            }
        }
    }
    client
}

#[test]
fn misbehaving_clients_leave_nothing_behind_and_a_watched_stream_loses_nothing() {
    if !installed(&["paplay", "pactl"]) {
        return;
    }
    let session = Session::start(&[]);
    let path = session.socket();
    let watched = Watched::start(&session);
    let files = session.files();
    let mut chance = Chance(1);
    let mut held = VecDeque::new();
    let mut early = None;
    let begin = Instant::now();
    for turn in 0..streams() / EACH {
        held.push_back(misbehave(&path, turn, &mut chance));
        // Some of them stay for a while.
        if held.len() > 12 {
            held.pop_front();
        }
        if turn * EACH == FIRST {
            early = Some(session.daemon.memory_kib("VmRSS"));
        }
    }
    let early = early.expect("more than the first thousand");
    let late = session.daemon.memory_kib("VmRSS");
    drop(held);
    session.until("the end of their streams", || session.streams() == 1);
    session.until("the end of their files", || session.files() <= files);
    let (after, peak) = (session.daemon.memory_kib("VmRSS"), session.daemon.memory_kib("VmHWM"));
    eprintln!(
        "{} streams in {:?}: resident {early} KiB after {FIRST}, {late} KiB after all, {after} KiB when they were gone, \
         {peak} KiB at its peak; {files} files before, {} after",
        streams(),
        begin.elapsed(),
        session.files()
    );
    assert!(late.max(after) <= early + GROWTH_KIB, "{early} KiB grew to {late} and {after} KiB");
    watched.judge(session, 40_000);
}

#[test]
fn who_holds_all_that_there_is_leaves_others_theirs() {
    if !installed(&["paplay", "pactl"]) {
        return;
    }
    let session = Session::start(&[]);
    let path = session.socket();
    let watched = Watched::start(&session);
    let (files, before) = (session.files(), session.daemon.memory_kib("VmRSS"));
    // Connections, from this one process, more than are given: the kernel takes some that the server then closes.
    let sockets: Vec<UnixStream> = (0..900).map_while(|_| UnixStream::connect(&path).ok()).collect();
    assert!(session.pactl(&["info"]).contains("Soundpost"), "another process still comes in");
    let mut greedy: Vec<Scripted> = Vec::new();
    drop(sockets);
    session.until("the end of their files", || session.files() <= files);
    // Streams, until no more are given, politely; and recordings that nobody reads.
    let mut opened = 0;
    for _ in 0..4 {
        let mut client = Scripted::connect(&path, 35);
        while client.try_ask::<CreatePlaybackStreamReply>(&stream(48_000)).is_ok() {
            opened += 1;
            assert!(opened < 10_000, "there is no end to it");
        }
        for _ in 0..8 {
            client.record();
        }
        greedy.push(client);
    }
    assert!(session.pactl(&["info"]).contains("Soundpost"));
    // Silence: the watched stream's samples stay what they are.
    write_wav(&session.daemon.path("more.wav"), &vec![0; 28_800], 48_000);
    session.run("paplay", &["more.wav"]);
    // Samples as long as they may be, more than there is room for, by one that has not all its streams.
    let mut refused = 0;
    let last = greedy.last_mut().expect("four of them");
    for k in 0..6 {
        refused += usize::from(!last.upload(k, 16 << 20));
    }
    let peak = session.daemon.memory_kib("VmHWM");
    eprintln!("{opened} streams: {before} KiB before, {peak} KiB at the peak; {refused} samples refused");
    assert!(refused > 0);
    drop(greedy);
    session.until("the end of their streams", || session.streams() == 1);
    session.until("the end of their files", || session.files() <= files);
    watched.judge(session, 48_000);
}

#[test]
fn one_that_asks_without_end_does_not_hold_up_the_sound_of_another() {
    if !installed(&["paplay", "pactl"]) {
        return;
    }
    let session = Session::start(&[]);
    let path = session.socket();
    let watched = Watched::start(&session);
    let mut owner = Scripted::connect(&path, 35);
    for _ in 0..400 {
        owner.play(48_000);
    }
    let begin = session.daemon.ticks();
    // One reads as fast as it can, one slowly, one makes streams and takes them away.
    let end = Instant::now() + Duration::from_secs(4);
    let list = packet(&[number(30), number(2)].concat()).repeat(500);
    let ask = |slow: bool| {
        let (path, list) = (path.clone(), list.clone());
        std::thread::spawn(move || {
            let mut client = Scripted::connect(&path, 35);
            client.socket.set_nonblocking(true).unwrap();
            let mut room = vec![0; if slow { 1_000 } else { 1 << 20 }];
            let (mut read, mut sent) = (0, 0);
            while Instant::now() < end {
                sent = (sent + client.socket.write(&list[sent..]).unwrap_or(0)) % list.len();
                read += client.socket.read(&mut room).unwrap_or(0);
                if slow {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
            read
        })
    };
    let (fast, slow) = (ask(false), ask(true));
    let mut made = 0;
    let mut maker = Scripted::connect(&path, 35);
    while Instant::now() < end {
        let channel = maker.play(44_100);
        maker.ask_nothing(&protocol::Command::DeletePlaybackStream(channel));
        maker.owed.clear();
        made += 1;
    }
    let (fast, slow) = (fast.join().unwrap(), slow.join().unwrap());
    eprintln!(
        "{fast} and {slow} bytes of lists, {made} streams, {} ms of processor",
        (session.daemon.ticks() - begin) * 10
    );
    assert!(fast > 1 << 20, "{fast}");
    drop((owner, maker));
    session.until("the end of their streams", || session.streams() == 1);
    watched.judge(session, 48_000 * 3);
}

#[test]
fn strangers_from_the_network_cannot_keep_out_who_has_the_cookie() {
    if !installed(&["pactl"]) {
        return;
    }
    // A port that is free: the daemon tells the one that it takes on its output alone.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let session = Session::start(&["--pulse-tcp", &address, "--pulse-cookie", "cookie"]);
    let files = session.files();
    let mut wrong = Vec::new();
    let auth = protocol::AuthParams { version: 35, supports_shm: false, supports_memfd: false, cookie: vec![1; 256] };
    protocol::write_command_message(&mut wrong, 0, &protocol::Command::Auth(auth), 35).unwrap();
    // Some say nothing at all, some the wrong thing again and again; all stay.
    let strangers: Vec<_> = (0..700)
        .map(|k| {
            let mut socket = std::net::TcpStream::connect(&address).unwrap();
            if k % 2 == 0 {
                let _ = socket.write_all(&wrong.repeat(5));
            }
            socket
        })
        .collect();
    let output = session
        .command("pactl")
        .arg("info")
        .env("PULSE_SERVER", format!("tcp:{address}"))
        .env("PULSE_COOKIE", session.daemon.path("cookie"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(session.pactl(&["info"]).contains("Soundpost"), "and by the socket");
    assert!(session.files() < files + 80, "{} files", session.files());
    let lines = session.daemon.log().lines().filter(|line| line.contains("INFO") || line.contains("WARN")).count();
    assert!(lines < 60, "strangers fill the log: {lines} lines");
    drop(strangers);
    session.until("the end of their files", || session.files() <= files);
}
