use std::io;
use std::sync::Mutex;

use soundpost_core::{ChannelLayout, FrameCount, Gain, Hns, Instant, SampleFormat, SampleRate};
use soundpost_endpoint::{BufferFlag, OutputEndpointRt, RtHalf, VolumeCurve};
use soundpost_guards::no_alloc_with;

use super::queue::{SoundSender, queue};
use super::writer::Drain;
use super::*;
use crate::clock::MonotonicClock;
use crate::wav::WavSink;

soundpost_guards::install!();

const FORMAT: Format = Format { sample: SampleFormat::S16, rate: SampleRate::HZ_48000, layout: ChannelLayout::STEREO };
const HEADER: usize = 0x50;

/// A file in memory, on a disk that can be full.
#[derive(Clone, Debug, Default)]
struct Memory(Arc<Mutex<(Vec<u8>, bool)>>);

impl Memory {
    fn sound(&self) -> Vec<u8> {
        self.0.lock().unwrap().0[HEADER..].to_vec()
    }

    /// The length of the sound as the header has it.
    fn counted(&self) -> usize {
        let file = self.0.lock().unwrap();
        u32::from_le_bytes(file.0[HEADER - 4..HEADER].try_into().unwrap()) as usize
    }

    fn set_full(&self, full: bool) {
        self.0.lock().unwrap().1 = full;
    }
}

impl WavSink for Memory {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (file, full) = &mut *self.0.lock().unwrap();
        let (at, end) = (offset as usize, offset as usize + bytes.len());
        if *full && end > file.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.resize(file.len().max(end), 0);
        file[at..end].copy_from_slice(bytes);
        Ok(())
    }
}

fn drain() -> (SoundSender, Drain<Memory>, Memory) {
    let memory = Memory::default();
    let (sender, receiver) = queue(FORMAT, Arc::new(EventFd::new().unwrap()));
    let wav = WavWriter::new(memory.clone(), WavFormat::try_from(FORMAT).unwrap()).unwrap();
    (sender, Drain::new(Path::new("a.wav"), wav, FORMAT, receiver), memory)
}

/// `frames` frames, each of its own kind.
fn sound(first: u32, frames: u32) -> Vec<u8> {
    (first..first + frames).flat_map(u32::to_le_bytes).collect()
}

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

#[test]
fn sound_and_silence_arrive_in_order() {
    let (mut sender, mut drain, memory) = drain();
    sender.silence(FrameCount::new(3));
    sender.sound(&sound(1, 480));
    sender.silence(FrameCount::new(2));
    sender.silence(FrameCount::new(1));
    sender.sound(&sound(1000, 480));
    assert!(drain.round(at(1_000), false));
    let want = [vec![0; 12], sound(1, 480), vec![0; 12], sound(1000, 480)].concat();
    assert!(memory.sound() == want);
    assert!(!drain.round(at(1_001), false), "nothing twice");
    assert!(memory.sound() == want);
}

#[test]
fn the_header_follows_within_a_fifth_of_a_second() {
    let (mut sender, mut drain, memory) = drain();
    sender.sound(&sound(0, 480));
    drain.round(at(1_000), false);
    assert_eq!(memory.counted(), 1920);
    sender.sound(&sound(480, 480));
    drain.round(at(1_100), false);
    assert_eq!((memory.counted(), memory.sound().len()), (1920, 3840), "not with every round");
    sender.sound(&sound(960, 480));
    drain.round(at(1_200), false);
    assert_eq!(memory.counted(), 5760);
    sender.sound(&sound(1440, 480));
    drain.round(at(1_210), false);
    drain.round(at(1_250), false);
    assert_eq!(memory.counted(), 7680, "at once when nothing more comes");
}

#[test]
fn a_disk_that_stalls_costs_sound_but_no_time() {
    let (mut sender, mut drain, memory) = drain();
    // 3 s into a queue of 2 s.
    for pass in 0..300 {
        sender.sound(&sound(pass * 480, 480));
        sender.flush();
    }
    drain.round(at(1_000), false);
    sender.sound(&sound(300 * 480, 480));
    drain.round(at(2_000), true);
    let want = [sound(0, 200 * 480), vec![0; 100 * 480 * 4], sound(300 * 480, 480)].concat();
    assert!(memory.sound() == want, "{}", memory.sound().len() / 1920);
    let mut status = RecordStatus::default();
    drain.report(&mut status);
    assert_eq!((status.frames, status.cut_frames), (301 * 480, 100 * 480));
}

#[test]
fn silence_that_found_no_room_is_written_at_the_end() {
    let (mut sender, mut drain, memory) = drain();
    for _ in 0..5_000 {
        sender.silence(FrameCount::new(10));
    }
    drain.round(at(1_000), true);
    assert_eq!(memory.sound().len(), 5_000 * 10 * 4);
}

#[test]
fn a_full_disk_is_named_and_tried_again() {
    let (mut sender, mut drain, memory) = drain();
    sender.sound(&sound(0, 480));
    drain.round(at(1_000), false);
    memory.set_full(true);
    sender.sound(&sound(480, 480));
    assert!(drain.round(at(1_300), false));
    assert!(drain.trouble.as_ref().unwrap().contains("no space left"), "{:?}", drain.trouble);
    assert_eq!(memory.counted(), 1920, "the file is still valid");
    memory.set_full(false);
    drain.round(at(1_400), false);
    assert!(drain.trouble.is_some(), "not tried again at once");
    drain.round(at(2_300), false);
    assert_eq!(drain.trouble, None);
    assert!(memory.sound() == sound(0, 960) && memory.counted() == 3840);
}

fn realtime(endpoint: &mut Endpoint) -> &mut dyn OutputEndpointRt {
    match &mut endpoint.realtime {
        RtHalf::Render(realtime) => realtime.as_mut(),
        RtHalf::Capture(_) => panic!("a render endpoint"),
    }
}

fn play(endpoint: &mut Endpoint, packets: &[(&[u8], BufferFlag)]) {
    for (bytes, flag) in packets {
        let frames = FORMAT.frames_in(bytes.len());
        let realtime = realtime(endpoint);
        no_alloc_with(|| {
            realtime.acquire(frames, None).unwrap().copy_from_slice(bytes);
            realtime.release(frames, *flag);
            realtime.processing_complete();
        });
    }
}

fn ready(endpoint: &mut Endpoint) {
    endpoint.control.set_buffer(soundpost_core::Hns::from_millis(10), 2).unwrap();
    endpoint.control.start().unwrap();
}

#[test]
fn t8_a_recording_holds_exactly_what_was_released() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wav");
    let (mut endpoint, recording) = record(&path, FORMAT, Arc::new(MonotonicClock)).unwrap();
    ready(&mut endpoint);
    let (one, two) = (sound(7, 480), sound(900, 441));
    play(&mut endpoint, &[(&one, BufferFlag::Valid), (&two, BufferFlag::Silent), (&two, BufferFlag::Valid)]);
    let unused = realtime(&mut endpoint);
    no_alloc_with(|| {
        unused.acquire(FrameCount::new(480), None).unwrap();
        unused.release(FrameCount::ZERO, BufferFlag::Invalid);
    });
    drop(endpoint);
    let status = recording.finish(Duration::from_secs(30));
    assert_eq!(status, RecordStatus { frames: 480 + 441 + 441, closed: true, ..RecordStatus::default() });
    let want = [one, vec![0; 441 * 4], two].concat();
    assert!(std::fs::read(&path).unwrap()[HEADER..] == want);
}

#[test]
fn t1_an_offline_recording_is_never_full_and_writes_in_the_pass() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wav");
    let mut endpoint = offline(&path, FORMAT, Arc::new(MonotonicClock)).unwrap();
    ready(&mut endpoint);
    let packet = sound(7, 480);
    let silent = vec![0; packet.len()];
    play(&mut endpoint, &[(&packet, BufferFlag::Valid), (&packet, BufferFlag::Silent), (&packet, BufferFlag::Valid)]);
    let record = realtime(&mut endpoint).current_padding().position;
    assert_eq!((record.stream.get(), record.device.get(), record.padding), (1440, 1440, 0));
    assert_eq!(record.flag, soundpost_endpoint::PositionFlag::Continuous);
    assert!(std::fs::read(&path).unwrap()[HEADER..] == [packet.clone(), silent, packet].concat());
    endpoint.control.stop().unwrap();
    endpoint.control.start().unwrap();
    let record = realtime(&mut endpoint).current_padding().position;
    assert_eq!(record.flag, soundpost_endpoint::PositionFlag::Discontinuous, "T2: after Stop and Start without Reset");
}

#[test]
fn e2_a_packet_that_is_too_long_gets_no_buffer() {
    let dir = tempfile::tempdir().unwrap();
    let mut endpoint = offline(&dir.path().join("a.wav"), FORMAT, Arc::new(MonotonicClock)).unwrap();
    ready(&mut endpoint);
    assert!(realtime(&mut endpoint).acquire(FrameCount::new(481), None).is_none());
}

#[test]
fn x1_a_recording_ends_with_its_last_packet() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wav");
    let (mut endpoint, recording) = record(&path, FORMAT, Arc::new(MonotonicClock)).unwrap();
    assert!(endpoint.control.last_buffer_control());
    ready(&mut endpoint);
    let (one, two) = (sound(7, 480), sound(900, 123));
    play(&mut endpoint, &[(&one, BufferFlag::Valid)]);
    let last = realtime(&mut endpoint);
    no_alloc_with(|| {
        last.acquire(FrameCount::new(123), None).unwrap().copy_from_slice(&two);
        last.release_last(FrameCount::new(123), BufferFlag::Valid);
        last.processing_complete();
    });
    drop(endpoint);
    let status = recording.finish(Duration::from_secs(30));
    assert_eq!((status.frames, status.closed), (603, true));
    assert!(std::fs::read(&path).unwrap()[HEADER..] == [one, two].concat());
}

#[test]
fn x1_a_recording_has_a_volume_a_mute_and_a_meter() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wav");
    let (mut endpoint, recording) = record(&path, FORMAT, Arc::new(MonotonicClock)).unwrap();
    ready(&mut endpoint);
    let control = &mut endpoint.control;
    let (half, none) = ([Gain::new(0.5); 2], VolumeCurve::None);
    control.offload_volume().unwrap().set_channel_volumes(&half, none, Hns::ZERO).unwrap();
    let steady = 8_000_i16.to_le_bytes().repeat(2 * 480);
    for _ in 0..10 {
        play(&mut endpoint, &[(&steady, BufferFlag::Valid)]);
    }
    let mut peaks = [0.0; 2];
    endpoint.control.offload_meter().unwrap().metering(&mut peaks).unwrap();
    assert_eq!(peaks, [4_000.0 / 32_768.0; 2]);
    endpoint.control.offload_mute().unwrap().set_muted(true).unwrap();
    for _ in 0..2 {
        play(&mut endpoint, &[(&steady, BufferFlag::Valid)]);
    }
    drop(endpoint);
    assert!(recording.finish(Duration::from_secs(30)).closed);
    let file = std::fs::read(&path).unwrap();
    let packet = |number: usize| &file[HEADER + number * 1_920..][..1_920];
    assert!(packet(9) == 4_000_i16.to_le_bytes().repeat(2 * 480));
    assert!(packet(11).iter().all(|byte| *byte == 0), "muted within a packet");
}
