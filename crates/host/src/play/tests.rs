use std::path::PathBuf;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// A stream's queue as a test has it: a little room at a time, given by the test.
#[derive(Clone, Default)]
struct Queue(Arc<Mutex<QueueState>>);

#[derive(Default)]
struct QueueState {
    bytes: Vec<u8>,
    room: usize,
    closed: bool,
    finished: bool,
}

impl Sink for Queue {
    fn write(&mut self, bytes: &[u8]) -> FrameCount {
        let mut queue = self.0.lock().unwrap();
        let frames = (bytes.len() / 4).min(queue.room);
        queue.room -= frames;
        queue.bytes.extend(&bytes[..frames * 4]);
        FrameCount::from_usize(frames)
    }

    fn is_closed(&self) -> bool {
        self.0.lock().unwrap().closed
    }
}

struct Finishing(Queue);

impl Sink for Finishing {
    fn write(&mut self, bytes: &[u8]) -> FrameCount {
        self.0.write(bytes)
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl Drop for Finishing {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().finished = true;
    }
}

struct Bench {
    queue: Queue,
    space: Arc<EventFd>,
    changed: Arc<EventFd>,
    player: Player,
}

impl Bench {
    fn new(path: PathBuf, repeat: Repeat) -> Self {
        let (queue, space) = (Queue::default(), Arc::new(EventFd::new().unwrap()));
        let changed = Arc::new(EventFd::new().unwrap());
        let file = AudioFile::open(path).unwrap();
        let sink = Finishing(queue.clone());
        let player = Player::with_sink(file, sink, space.clone(), repeat, changed.clone()).unwrap();
        Self { queue, space, changed, player }
    }

    fn give(&self, frames: usize) {
        self.queue.0.lock().unwrap().room += frames;
        self.space.signal();
    }

    fn until(&self, done: impl Fn(&PlayProgress) -> bool) -> PlayProgress {
        loop {
            let progress = self.player.progress();
            if done(&progress) {
                return progress;
            }
            std::thread::yield_now();
        }
    }
}

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name)
}

fn whole(name: &str) -> Vec<u8> {
    let mut file = AudioFile::open(testdata(name)).unwrap();
    let mut bytes = Vec::new();
    while let Some(block) = file.next_block().unwrap() {
        bytes.extend(block);
    }
    bytes
}

#[test]
fn a_file_is_fed_as_the_engine_takes_it_and_the_stream_finished() {
    let bench = Bench::new(testdata("noise-s16.wav"), Repeat::Once);
    bench.give(1_000);
    assert_eq!(bench.player.progress().state, PlayState::Waiting, "not before it is started");
    bench.player.start();
    let progress = bench.until(|progress| progress.frames == 1_000);
    assert_eq!(progress.state, PlayState::Playing);
    assert_eq!(progress.length, Some(96_000));
    bench.give(7);
    bench.until(|progress| progress.frames == 1_007);
    bench.give(usize::MAX / 2);
    assert!(bench.changed.wait(Some(PATIENCE)));
    assert_eq!(bench.player.progress().state, PlayState::Ended);
    let queue = bench.queue.0.lock().unwrap();
    assert!(queue.finished && queue.bytes == whole("noise-s16.wav"));
}

#[test]
fn a_loop_goes_on_without_a_gap() {
    let once = whole("noise.flac");
    let bench = Bench::new(testdata("noise.flac"), Repeat::Forever);
    bench.player.start();
    bench.give(once.len() / 4 * 2 + 100);
    bench.until(|progress| progress.frames as usize == once.len() / 4 * 2 + 100);
    let want = [&once[..], &once[..], &once[..400]].concat();
    assert!(bench.queue.0.lock().unwrap().bytes == want);
    let progress = bench.player.stop(PATIENCE);
    assert_eq!((progress.turns, progress.state), (2, PlayState::Stopped));
    assert!(bench.queue.0.lock().unwrap().finished);
}

#[test]
fn a_stream_that_the_engine_closes_ends_the_player() {
    let bench = Bench::new(testdata("noise-s16.wav"), Repeat::Forever);
    bench.player.start();
    bench.give(10);
    bench.until(|progress| progress.frames == 10);
    bench.queue.0.lock().unwrap().closed = true;
    bench.space.signal();
    assert!(bench.changed.wait(Some(PATIENCE)));
    assert_eq!(bench.player.progress().state, PlayState::Stopped);
}

#[test]
fn damage_is_played_up_to_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("half.wav");
    let bytes = std::fs::read(testdata("noise-s16.wav")).unwrap();
    std::fs::write(&path, &bytes[..44 + 4 * 5_000]).unwrap();
    let bench = Bench::new(path, Repeat::Once);
    bench.player.start();
    bench.give(usize::MAX / 2);
    assert!(bench.changed.wait(Some(PATIENCE)));
    let progress = bench.player.progress();
    let PlayState::Failed(why) = &progress.state else { panic!("{progress:?}") };
    assert!(why.contains("half.wav is damaged"), "{why}");
    assert_eq!(progress.frames, 5_000);
    assert!(bench.queue.0.lock().unwrap().finished);
}

#[test]
fn a_player_that_was_never_started_stops() {
    let bench = Bench::new(testdata("noise-s16.wav"), Repeat::Once);
    assert_eq!(bench.player.stop(PATIENCE).state, PlayState::Stopped);
}

#[test]
fn the_stream_has_the_files_format_and_never_waits_for_more_than_the_file_has() {
    let space = Arc::new(EventFd::new().unwrap());
    let file = AudioFile::open(testdata("noise-s24.wav")).unwrap();
    let config = stream_config(&file, &space);
    assert_eq!(config.format, file.format());
    assert_eq!(config.prebuffer.get(), 4_410);
    assert_eq!(config.name, "noise-s24.wav");
}

#[test]
fn silence_that_stands_in_for_damaged_sound_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.m4a");
    let mut bytes = std::fs::read(testdata("noise.m4a")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 2_000].fill(0xFF);
    std::fs::write(&path, &bytes).unwrap();
    let mut file = AudioFile::open(&path).unwrap();
    while file.next_block().unwrap().is_some() {}
    assert!(file.mended_frames() > 0, "the file is to have broken packets");
    let bench = Bench::new(path, Repeat::Once);
    bench.give(usize::MAX / 2);
    bench.player.start();
    assert!(bench.changed.wait(Some(PATIENCE)));
    let progress = bench.player.progress();
    assert_eq!((progress.state, progress.mended), (PlayState::Ended, file.mended_frames()));
}
