//! An engine, a wire and a scripted client around an `RdpAudio`, on virtual time in steps of 0.5 ms.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use soundpost_core::{Clock, Format, FrameCount, Hns, Instant, PacketSchedule};
use soundpost_endpoint::{BufferFlag, ControlHalf, Event, Filled, RenderPort, RtHalf};
use soundpost_guards::{no_alloc, no_alloc_with};
use soundpost_link::rdp::{RdpAudio, RdpAudioConfig, RdpAudioEvent};

soundpost_guards::install!();

pub(crate) const STEP: Duration = Duration::from_micros(500);

#[derive(Default)]
pub(crate) struct VirtualClock(AtomicU64);

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

impl VirtualClock {
    pub(crate) fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }
}

#[derive(Default)]
pub(crate) struct Bell(AtomicBool);

impl Event for Bell {
    fn signal(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How the client answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    pub(crate) rate: u32,
    pub(crate) confirms: u8,
    pub(crate) answers_training: bool,
    /// What the client says that its device adds.
    pub(crate) device: Duration,
    /// One way.
    pub(crate) delay: Duration,
    /// Whether the client can change its volume.
    pub(crate) volume: bool,
    /// Bytes that the kernels on the way hold.
    pub(crate) pipe: usize,
    /// How much sound the client gathers before it plays, at the start and whenever it has run dry, as PulseAudio does.
    /// Such a client says what it really holds, instead of `device`, and with its only confirmation where it gives one.
    pub(crate) prebuffer: Option<Duration>,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            rate: 48_000,
            confirms: 2,
            answers_training: true,
            device: Duration::from_millis(40),
            delay: Duration::from_millis(2),
            volume: true,
            pipe: 64 * 1024,
            prebuffer: None,
        }
    }
}

/// A wave as the client got it.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) arrival: Instant,
    /// When the client plays its first frame: at once if it had run dry, else behind what it has.
    pub(crate) played: Instant,
    pub(crate) stamp: u16,
    pub(crate) block: u8,
    /// The counter of each frame; 0 is silence.
    pub(crate) frames: Vec<u32>,
}

pub(crate) struct World {
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) audio: RdpAudio,
    pub(crate) events: Vec<RdpAudioEvent>,
    pub(crate) engine: Option<Engine>,
    pub(crate) manners: Manners,
    pub(crate) stopped: bool,
    pub(crate) to_client: VecDeque<(Instant, Vec<u8>)>,
    from_client: VecDeque<(Instant, Vec<u8>)>,
    pub(crate) heard: Vec<Heard>,
    pub(crate) trainings: usize,
    pub(crate) closed: bool,
    /// Left and right.
    pub(crate) volume: Option<[u16; 2]>,
    dry_at: Instant,
    /// Waves that wait for the client's prebuffer, how long they are together, and how many there are.
    gathered: (Duration, usize),
    bell: Arc<Bell>,
    pub(crate) most_queued: Duration,
}

pub(crate) struct Engine {
    pub(crate) control: Box<dyn ControlHalf>,
    pub(crate) port: RenderPort,
    pub(crate) format: Format,
    period: Duration,
    next_pass: Instant,
    schedule: PacketSchedule,
    /// The last counter that was rendered.
    pub(crate) counter: u32,
    pub(crate) silent: bool,
    /// When each counter was rendered: (first counter, time).
    pub(crate) rendered: Vec<(u32, Instant)>,
}

impl World {
    pub(crate) fn new(config: RdpAudioConfig, manners: Manners) -> Self {
        let clock: Arc<VirtualClock> = Arc::default();
        clock.pass(Duration::from_nanos(1_234_567_891));
        let audio = RdpAudio::open(config, clock.now());
        Self {
            clock,
            audio,
            events: Vec::new(),
            engine: None,
            manners,
            stopped: false,
            to_client: VecDeque::new(),
            from_client: VecDeque::new(),
            heard: Vec::new(),
            trainings: 0,
            closed: false,
            volume: None,
            dry_at: Instant::ORIGIN,
            gathered: (Duration::ZERO, 0),
            bell: Arc::default(),
            most_queued: Duration::ZERO,
        }
    }

    /// A world whose client is ready, with the endpoint started at this period.
    pub(crate) fn playing(config: RdpAudioConfig, manners: Manners, period: Hns, coefficient: u32) -> Self {
        let mut world = Self::new(config, manners);
        world.run(Duration::from_millis(200));
        assert!(matches!(world.events[0], RdpAudioEvent::Ready(_)), "{:?}", world.events);
        world.attach(period, coefficient);
        world
    }

    pub(crate) fn attach(&mut self, period: Hns, coefficient: u32) {
        let endpoint = self.audio.make_endpoint(self.clock.clone(), self.bell.clone()).unwrap();
        let RtHalf::Render(realtime) = endpoint.realtime else { panic!("not a render endpoint") };
        let mut control = endpoint.control;
        control.set_buffer(period, coefficient).unwrap();
        let format = control.frame_format();
        let packet = control.frames_per_packet().unwrap();
        let buffer = format.rate.frames_covering(control.latency().unwrap());
        control.start().unwrap();
        self.engine = Some(Engine {
            control,
            port: RenderPort::new(realtime, format, packet, buffer),
            format,
            period: period.to_duration(),
            next_pass: self.clock.now(),
            schedule: PacketSchedule::new(period, format.rate),
            counter: 0,
            silent: false,
            rendered: Vec::new(),
        });
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.clock.now() + time;
        while self.clock.now() < end {
            self.step();
        }
    }

    pub(crate) fn step(&mut self) {
        self.clock.pass(STEP);
        let now = self.clock.now();
        if let Some(engine) = &mut self.engine {
            engine.run(now);
        }
        while let Some((_, payload)) = self.from_client.pop_front_if(|(at, _)| *at <= now) {
            self.audio.handle_payload(now, &payload);
        }
        let rung = self.bell.0.swap(false, Ordering::Relaxed);
        if rung || self.audio.next_timeout().is_some_and(|at| at <= now) {
            self.audio.handle_timeout(now);
        }
        while self.to_client.iter().map(|(_, payload)| payload.len()).sum::<usize>() < self.manners.pipe {
            let Some(payload) = self.audio.poll(now) else { break };
            self.to_client.push_back((now + self.manners.delay, payload));
        }
        self.events.extend(std::iter::from_fn(|| self.audio.poll_event()));
        if let Some(at) = self.audio.next_timeout() {
            assert!(at > now, "a timer in the past is a busy loop");
        }
        self.most_queued = self.most_queued.max(self.audio.stats().queued);
        while !self.stopped
            && let Some((_, payload)) = self.to_client.pop_front_if(|(at, _)| *at <= now)
        {
            self.receive(now, &payload);
        }
    }

    pub(crate) fn answer(&mut self, payload: Vec<u8>) {
        self.from_client.push_back((self.clock.now() + self.manners.delay, payload));
    }

    fn receive(&mut self, now: Instant, pdu: &[u8]) {
        let stamp = || u16::from_le_bytes([pdu[4], pdu[5]]);
        match pdu[0] {
            0x07 => {
                self.answer(client_formats(self.manners));
                self.answer(vec![0x0C, 0, 4, 0, 2, 0, 0, 0]);
            }
            0x06 => {
                self.trainings += 1;
                if self.manners.answers_training {
                    self.answer(vec![6, 0, 4, 0, pdu[4], pdu[5], pdu[6], pdu[7]]);
                }
            }
            0x0D => {
                let (stamp, block) = (stamp(), pdu[8]);
                let frames: Vec<u32> =
                    pdu[16..].chunks(4).map(|frame| u32::from_le_bytes(frame.try_into().unwrap())).collect();
                let lasts = self.duration(frames.len());
                let played = self.dry_at.max(now);
                self.heard.push(Heard { arrival: now, played, stamp, block, frames });
                let holds = match self.manners.prebuffer {
                    Some(prebuffer) if self.dry_at <= now => self.gather(now, lasts, prebuffer),
                    _ => {
                        self.dry_at = played + lasts;
                        self.dry_at.saturating_since(now)
                    }
                };
                let device = if self.manners.prebuffer.is_some() { holds } else { self.manners.device };
                if self.manners.confirms > 0 {
                    let says = self.manners.confirms == 1 && self.manners.prebuffer.is_some();
                    let held = if says { device.as_millis() as u16 } else { 0 };
                    self.answer(confirm(stamp.wrapping_add(held), block));
                }
                if self.manners.confirms > 1 {
                    self.answer(confirm(stamp.wrapping_add(device.as_millis() as u16), block));
                }
            }
            0x03 => self.volume = Some([stamp(), u16::from_le_bytes([pdu[6], pdu[7]])]),
            0x01 => self.closed = true,
            other => panic!("PDU {other:#x}"),
        }
    }

    fn duration(&self, frames: usize) -> Duration {
        Duration::from_nanos(frames as u64 * 1_000_000_000 / u64::from(self.manners.rate))
    }

    /// The client has run dry and gathers; answers what it holds.
    fn gather(&mut self, now: Instant, lasts: Duration, prebuffer: Duration) -> Duration {
        self.gathered = (self.gathered.0 + lasts, self.gathered.1 + 1);
        let (holds, waves) = self.gathered;
        if holds >= prebuffer {
            let first = self.heard.len() - waves;
            let mut at = now;
            for index in first..self.heard.len() {
                let lasts = self.duration(self.heard[index].frames.len());
                self.heard[index].played = at;
                at += lasts;
            }
            self.dry_at = at;
            self.gathered = (Duration::ZERO, 0);
        }
        holds
    }

    /// All frames that are sound, as the client got them.
    pub(crate) fn sound(&self) -> impl Iterator<Item = u32> {
        self.heard.iter().flat_map(|wave| wave.frames.iter().copied()).filter(|frame| *frame != 0)
    }

    /// From rendering to playing of the first frame, for the waves from `since` on that begin with sound.
    pub(crate) fn latencies(&self, since: Instant) -> Vec<Duration> {
        let rendered = &self.engine.as_ref().unwrap().rendered;
        self.heard
            .iter()
            .filter(|wave| wave.arrival >= since && wave.frames[0] != 0)
            .map(|wave| {
                let at = rendered.partition_point(|(first, _)| *first <= wave.frames[0]);
                let (first, time) = rendered[at - 1];
                // Within a packet, later frames are due later.
                let within = Duration::from_nanos(
                    u64::from(wave.frames[0] - first) * 1_000_000_000 / u64::from(self.manners.rate),
                );
                wave.played.saturating_since(time + within)
            })
            .collect()
    }
}

impl Engine {
    /// The passes whose time has come; a pass fills the endpoint's buffer.
    pub(crate) fn run(&mut self, now: Instant) {
        while self.next_pass <= now {
            self.next_pass += self.period;
            self.pass(now);
        }
    }

    pub(crate) fn hold(&mut self, time: Duration) {
        self.next_pass += time;
    }

    pub(crate) fn pass(&mut self, now: Instant) {
        let (padding, _) = no_alloc_with(|| self.port.padding()).unwrap();
        let mut free = self.port.buffer().saturating_sub(padding);
        loop {
            let frames = self.schedule.next_packet().min(free);
            if frames.is_zero() {
                break;
            }
            free = free.saturating_sub(frames);
            let (silent, counter) = (self.silent, self.counter);
            if !silent {
                self.counter += frames.get();
                self.rendered.push((counter + 1, now));
            }
            let fill = |out: &mut [u8]| {
                if silent {
                    return Filled { frames, flag: BufferFlag::Silent };
                }
                for (value, frame) in (counter + 1..).zip(out.chunks_exact_mut(4)) {
                    frame.copy_from_slice(&value.to_le_bytes());
                }
                Filled { frames, flag: BufferFlag::Valid }
            };
            let released = no_alloc_with(|| self.port.packet(frames, None, fill));
            assert_eq!(released, Ok(frames));
        }
        no_alloc(&mut || self.port.complete());
    }

    pub(crate) fn packet(&self) -> FrameCount {
        self.port.largest_packet()
    }
}

fn confirm(stamp: u16, block: u8) -> Vec<u8> {
    let [low, high] = stamp.to_le_bytes();
    vec![5, 0, 4, 0, low, high, block, 0]
}

fn client_formats(Manners { rate, volume, .. }: Manners) -> Vec<u8> {
    let mut body = vec![if volume { 3 } else { 1 }, 0, 0, 0];
    body.extend([0; 10]);
    body.extend([1, 0, 0, 8, 0, 0]);
    body.extend([1, 0, 2, 0]);
    body.extend(rate.to_le_bytes());
    body.extend((rate * 4).to_le_bytes());
    body.extend([4, 0, 16, 0, 0, 0]);
    let [low, high] = (body.len() as u16).to_le_bytes();
    [vec![7, 0, low, high], body].concat()
}
