//! Server and client in one process, over a pair of sockets: what a client does, and what one without manners can do.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use soundpost_core::{ChannelLayout, Format, FrameCount, Hns, SampleFormat, SampleRate};
use soundpost_endpoint::exclusive::record::{CLIENT_POSITION, CLIENT_STATE};
use soundpost_endpoint::exclusive::{ClientBreach, ExclusiveEnd};
use soundpost_endpoint::stock::{Signal, StockConfig, TestSignal, capture, null_capture, null_render, test_signal};
use soundpost_endpoint::{DataFlow, Endpoint, Fault, Requirement};

use super::memory::SharedRing;
use super::*;
use crate::clock::MonotonicClock;
use crate::record::offline;

mod processes;

const FORMAT: Format = Format { sample: SampleFormat::S16, rate: SampleRate::HZ_48000, layout: ChannelLayout::STEREO };
const TICK: Duration = Duration::from_millis(100);

/// Real time is used here: one use at a time, so that they do not starve each other.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn null() -> Endpoint {
    null_render(&StockConfig::new(FORMAT), Arc::new(MonotonicClock)).endpoint
}

/// A server that grants one endpoint and answers how that ended; `Revoked` stands for a refusal.
fn server(endpoint: Endpoint) -> (UnixStream, JoinHandle<Ended>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let thread = std::thread::spawn(move || {
        let mut line = String::new();
        BufReader::new(ours.try_clone().unwrap()).read_line(&mut line).unwrap();
        let request = OpenRequest::parse(&line).unwrap();
        match Exclusive::grant(ours, endpoint, &request, ("endpoint", "session")) {
            Ok(exclusive) => exclusive.serve(),
            Err(refused) => {
                let (socket, refused) = *refused;
                refuse(&socket, refused.error.to_string(), refused.error.requirement()).unwrap();
                Ended { endpoint: refused.endpoint, end: ExclusiveEnd::Revoked }
            }
        }
    });
    (theirs, thread)
}

fn ask(socket: UnixStream, request: &OpenRequest) -> Result<ExclusiveClient, OpenError> {
    ExclusiveClient::ask(socket, request, |source| OpenError::Socket { path: Path::new("pair").into(), source })
}

fn open(endpoint: Endpoint, flow: DataFlow) -> (ExclusiveClient, JoinHandle<Ended>) {
    let (socket, server) = server(endpoint);
    (ask(socket, &OpenRequest::new(flow)).unwrap(), server)
}

/// The endpoint is as new: the next client gets it.
fn is_usable(ended: Ended) {
    let (client, server) = open(ended.endpoint.expect("the endpoint comes back"), DataFlow::Render);
    drop(client);
    assert_eq!(server.join().unwrap().end, ExclusiveEnd::Closed);
}

/// A client that reaches the shared memory itself.
struct Wild {
    socket: UnixStream,
    ring: SharedRing,
    event: OwnedFd,
}

fn wild(endpoint: Endpoint, request: &OpenRequest) -> (Wild, JoinHandle<Ended>) {
    let (mut socket, server) = server(endpoint);
    socket.write_all(request.line().unwrap().as_bytes()).unwrap();
    let (_, descriptors) = message::receive(&socket).unwrap();
    let [memory, event] = <[OwnedFd; 2]>::try_from(descriptors).unwrap();
    let ring = SharedRing::open(memory.as_fd()).unwrap();
    (Wild { socket, ring, event }, server)
}

impl Wild {
    fn say(&mut self, state: u64, position: u64) {
        self.ring.store(CLIENT_POSITION, position);
        self.ring.store(CLIENT_STATE, state);
        // Where the server has hung up there is nobody to tell.
        let _ = self.socket.write_all(b"!");
    }
}

/// Frames that are all different.
fn sound(frames: u32) -> Vec<u8> {
    (0..frames).flat_map(|frame| (frame.wrapping_mul(2_654_435_761) | 1).to_le_bytes()).collect()
}

/// Plays all of `sound` and waits until the device has played it; false where the endpoint was taken back before.
fn play(client: &mut ExclusiveClient, sound: &[u8], block: usize) -> Result<(), ClientError> {
    let mut rest = sound;
    while !rest.is_empty() {
        let taken = client.write(rest.get(..block.min(rest.len())).unwrap())?;
        rest = &rest[FORMAT.bytes_of(taken)..];
        if taken.is_zero() {
            client.start();
            client.wait(TICK)?;
        }
    }
    client.start();
    client.finish();
    while !client.is_played() {
        client.wait(TICK)?;
    }
    Ok(())
}

#[test]
fn d5_what_a_client_plays_into_a_file_is_in_the_file_bit_by_bit() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wav");
    let endpoint = offline(&path, FORMAT, Arc::new(MonotonicClock)).unwrap();
    let (mut client, server) = open(endpoint, DataFlow::Render);
    assert_eq!((client.record().format, client.record().ring.get()), (FORMAT, 8 * 480));
    // Not a whole number of packets, written in blocks that fit nothing.
    let sound = sound(20_011);
    play(&mut client, &sound, 4 * 1_237).unwrap();
    drop(client);
    let ended = server.join().unwrap();
    assert_eq!((ended.end, ended.end.requirement()), (ExclusiveEnd::Closed, None));
    let file = std::fs::read(&path).unwrap();
    assert!(file.ends_with(&sound) && file.len() == sound.len() + 0x50, "{} bytes", file.len());
    is_usable(ended);
}

#[test]
fn d4_a_client_is_signalled_at_the_pace_of_the_device() {
    let _alone = alone();
    let (mut client, server) = open(null(), DataFlow::Render);
    let began = Instant::now();
    play(&mut client, &sound(24_000), usize::MAX).unwrap();
    // Half a second of sound cannot have been played in less; how much longer it takes is the machine's affair.
    assert!(began.elapsed() >= Duration::from_millis(490), "{:?}", began.elapsed());
    let played = client.played();
    assert!(played.frames == 24_000 && played.time > Hns::ZERO);
    drop(client);
    assert_eq!(server.join().unwrap().end, ExclusiveEnd::Closed);
}

#[test]
fn d5_a_recording_client_gets_every_frame_once() {
    let _alone = alone();
    let signal = test_signal(&StockConfig::new(FORMAT), Arc::new(MonotonicClock), TestSignal::Counter);
    let (mut client, server) = open(signal.endpoint, DataFlow::Capture);
    std::thread::sleep(Duration::from_millis(30));
    client.start();
    let (mut heard, mut room) = (Vec::new(), vec![0; FORMAT.bytes_of(FrameCount::new(333))]);
    while heard.len() < FORMAT.bytes_of(FrameCount::new(24_000)) {
        let frames = client.read(&mut room).unwrap();
        heard.extend_from_slice(&room[..FORMAT.bytes_of(frames)]);
        if frames.is_zero() {
            client.wait(TICK).unwrap();
        }
    }
    let (_, lost) = client.glitches();
    let numbers: Vec<u32> = heard.chunks_exact(4).map(|f| u32::from_le_bytes(f.try_into().unwrap())).collect();
    assert!(numbers[0] > 0, "what was recorded before Start is not given");
    let breaks = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert!(breaks == 0 || lost > 0, "{breaks} breaks, and no frame counted as lost");
    drop(client);
    assert_eq!(server.join().unwrap().end, ExclusiveEnd::Closed);
}

#[test]
fn d5_silence_that_is_recorded_is_silence_in_the_ring() {
    let _alone = alone();
    let (mut client, _server) =
        open(null_capture(&StockConfig::new(FORMAT), Arc::new(MonotonicClock)).endpoint, DataFlow::Capture);
    client.start();
    let mut room = vec![0x55; 1_024];
    while client.read(&mut room).unwrap().is_zero() {
        client.wait(TICK).unwrap();
    }
    assert_eq!(room[..4], [0; 4]);
}

#[test]
fn d5_a_wrong_process_is_refused_with_both_numbers() {
    let (socket, server) = server(null());
    let other = std::process::id() + 1;
    let refused = ask(socket, &OpenRequest { process: other, ..OpenRequest::new(DataFlow::Render) });
    let Err(OpenError::Refused { message, requirement }) = refused else { panic!("{refused:?}") };
    assert_eq!(requirement.as_deref(), Some("D5"));
    assert!(message.contains(&other.to_string()) && message.contains(&std::process::id().to_string()), "{message}");
    is_usable(server.join().unwrap());
}

#[test]
fn d5_periods_and_buffers_out_of_range_are_refused_with_the_values() {
    for (period, buffer, named) in
        [(10_000, 800_000, "1.0000 ms"), (100_000, 100_000, "10.0000 ms"), (-1, 1, "-0.0001 ms")]
    {
        let (socket, server) = server(null());
        let refused = ask(socket, &OpenRequest { period, buffer, ..OpenRequest::new(DataFlow::Render) });
        let Err(OpenError::Refused { message, .. }) = refused else { panic!("{refused:?}") };
        assert!(message.contains(named), "{message}");
        is_usable(server.join().unwrap());
    }
}

#[test]
fn d5_nonsense_in_the_record_gives_the_endpoint_back_and_is_named() {
    let _alone = alone();
    let numbers = prop_oneof![
        Just(0),
        Just(1),
        Just(2),
        Just(4),
        Just(479),
        Just(3_839),
        Just(3_840),
        Just(3_841),
        Just(1 << 32),
        Just(u64::MAX),
        Just(1 << 63),
        any::<u64>()
    ];
    let steps = proptest::collection::vec((prop_oneof![Just(1_u64), Just(0), Just(2), any::<u64>()], numbers), 1..6);
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&steps, |steps| {
            let (mut client, server) = wild(null(), &OpenRequest::new(DataFlow::Render));
            for (state, position) in &steps {
                client.say(*state, *position);
                std::thread::sleep(Duration::from_millis(2));
            }
            drop(client);
            let ended = server.join().unwrap();
            match ended.end {
                ExclusiveEnd::Breach(_) => prop_assert_eq!(ended.end.requirement(), Some(Requirement::D5)),
                // Nothing but the client's hanging up may hide nonsense: it was written just before.
                ExclusiveEnd::Died | ExclusiveEnd::Closed => {}
                other => prop_assert!(false, "{other} after {steps:?}"),
            }
            is_usable(ended);
            Ok(())
        })
        .unwrap();
}

#[test]
fn d5_every_kind_of_nonsense_is_told_apart() {
    let _alone = alone();
    let outside = ClientBreach::OutsideRing { claimed: 9_000, server: 0, ring: 3_840 };
    for (says, want) in [((1, 9_000), outside), ((77, 0), ClientBreach::State { got: 77 })] {
        let (mut client, server) = wild(null(), &OpenRequest::new(DataFlow::Render));
        client.say(says.0, says.1);
        // The server hangs up: the client need not.
        let ended = server.join().unwrap();
        assert_eq!(ended.end, ExclusiveEnd::Breach(want));
        is_usable(ended);
    }
    let (mut client, server) = wild(null(), &OpenRequest::new(DataFlow::Render));
    client.say(1, 3_840);
    while client.ring.load(soundpost_endpoint::exclusive::record::SERVER_POSITION) == 0 {
        std::thread::yield_now();
    }
    client.say(1, 3_839);
    let ended = server.join().unwrap();
    assert_eq!(ended.end, ExclusiveEnd::Breach(ClientBreach::Backwards { from: 3_840, to: 3_839 }));
}

#[test]
fn d5_a_server_goes_by_its_own_copy_of_the_record() {
    let _alone = alone();
    let (mut client, server) = wild(null(), &OpenRequest::new(DataFlow::Render));
    for word in 0..64 {
        client.ring.store(word, u64::MAX);
    }
    client.say(1, 3_840);
    while client.ring.load(soundpost_endpoint::exclusive::record::SERVER_POSITION) != 3_840 {
        std::thread::yield_now();
    }
    drop(client);
    is_usable(server.join().unwrap());
}

#[test]
fn d5_a_client_that_stands_still_loses_the_endpoint() {
    let _alone = alone();
    let request = OpenRequest { period: 25_000, buffer: 200_000, ..OpenRequest::new(DataFlow::Render) };
    let (socket, server) = server(null());
    let mut client = ask(socket, &request).unwrap();
    let stall = client.record().stall;
    client.start();
    let over = loop {
        if let Err(over) = client.wait(TICK) {
            break over;
        }
    };
    let ended = server.join().unwrap();
    assert_eq!(ended.end, ExclusiveEnd::Stalled { periods: stall + 1 });
    assert!(over.to_string().contains("stood still"), "{over}");
    assert!(client.write(&[0; 4]).is_err());
    is_usable(ended);
}

#[test]
fn d5_a_client_whose_event_blocks_loses_the_endpoint() {
    let _alone = alone();
    let (mut client, server) = wild(null(), &OpenRequest::new(DataFlow::Render));
    rustix::io::write(&client.event, &(u64::MAX - 1).to_ne_bytes()).unwrap();
    rustix::fs::fcntl_setfl(&client.event, rustix::fs::OFlags::empty()).unwrap();
    client.say(1, 480);
    let ended = server.join().unwrap();
    assert_eq!(ended.end, ExclusiveEnd::Breach(ClientBreach::Event));
    is_usable(ended);
}

#[test]
fn d5_an_endpoint_that_is_wanted_back_comes_back() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let Ok(exclusive) = Exclusive::grant(ours, null(), &OpenRequest::new(DataFlow::Render), ("e", "s")) else {
        panic!()
    };
    let revoke = exclusive.revoker();
    let server = std::thread::spawn(move || exclusive.serve());
    revoke.revoke();
    assert_eq!(server.join().unwrap().end, ExclusiveEnd::Revoked);
    drop(theirs);
}

#[test]
fn x3_an_endpoint_that_panics_is_named() {
    struct Panics;
    impl Signal for Panics {
        fn sample(&self, _frame: u64, _channel: u8, _format: Format) -> i32 {
            panic!("as the test wants")
        }
    }
    let _alone = alone();
    let stock = capture(&StockConfig::new(FORMAT), Arc::new(MonotonicClock), Panics);
    let (mut client, server) = open(stock.endpoint, DataFlow::Capture);
    client.start();
    let ended = server.join().unwrap();
    assert_eq!(ended.end, ExclusiveEnd::Fault(Fault::Panicked { call: "a pass in exclusive mode" }));
    assert!(ended.endpoint.is_some());
}
