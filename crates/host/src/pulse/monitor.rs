//! A monitor: what a device plays, to be recorded.
//!
//! ```text
//! speakers ──► tap (a render endpoint) ──► lock-free queue ──► pickup (a capture endpoint) ──► a capture device
//! ```
//!
//! Both endpoints run on the engine's own time, in passes of the same length, and the capture device is one like any other:
//! its streams get their rate and format from the engine. While nobody records, neither is attached.

use std::sync::Arc;

use rtrb::{Consumer, Producer, RingBuffer};
use soundpost_core::{Clock, Format, FrameCount, FramePosition, Hns, Instant, SampleRate};
use soundpost_endpoint::stock::{ClockControl, ClockedControl, PacketBuffer, RateOffset, RenderClock, StockConfig};
use soundpost_endpoint::{
    BufferFlag, Captured, CurrentPadding, Endpoint, EndpointError, EndpointRt, InputEndpointRt, OutputEndpointRt,
    Position, PositionFlag,
};

/// How much the queue holds: more than passes come late by without being counted as missed.
const QUEUE: Hns = Hns::from_millis(200);

/// The two ends, in the device's format. To be attached with a coefficient of 1 (the tap) and 2 (the pickup).
pub(super) fn monitor(format: Format, period: Hns, clock: Arc<dyn Clock>) -> (Endpoint, Endpoint) {
    let (producer, consumer) = RingBuffer::new(format.bytes_of(format.rate.frames_covering(QUEUE)));
    (tap(format, clock.clone(), producer), pickup(format, period, clock, consumer))
}

fn tap(format: Format, clock: Arc<dyn Clock>, queue: Producer<u8>) -> Endpoint {
    // Its own clock stands still: it takes what it is given when it is given it, and never runs dry.
    let still = ClockControl::new(format.rate, RateOffset::NONE, Arc::new(Still));
    let realtime = Tap { buffer: PacketBuffer::new(format), positions: still.render(), clock, queue };
    Endpoint::render(ClockedControl::new(&StockConfig::new(format), still), realtime)
}

/// A capture endpoint that gives what comes through `queue`, in passes of `period`.
pub(super) fn pickup(format: Format, period: Hns, clock: Arc<dyn Clock>, queue: Consumer<u8>) -> Endpoint {
    let control = ClockControl::new(format.rate, RateOffset::NONE, clock.clone());
    let packet = format.rate.frames_covering(period);
    let buffer = PacketBuffer::new(format);
    let realtime = Pickup { buffer, clock, queue, packet, filled: 0, taken: FramePosition::ZERO };
    Endpoint::capture(ClockedControl::new(&StockConfig::new(format), control), realtime)
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Instant {
        Instant::ORIGIN
    }
}

/// Real-time half of the device's side.
struct Tap {
    buffer: PacketBuffer,
    positions: RenderClock,
    clock: Arc<dyn Clock>,
    queue: Producer<u8>,
}

impl EndpointRt for Tap {
    fn current_padding(&mut self) -> CurrentPadding {
        let written = self.positions.written();
        let record = self.positions.padding().position;
        let position = Position { device: written, padding: 0, time: self.clock.now().as_hns(), ..record };
        CurrentPadding { time: Hns::ZERO, position }
    }

    fn processing_complete(&mut self) {}
}

impl OutputEndpointRt for Tap {
    fn acquire(&mut self, frames: FrameCount, _time: Option<&Position>) -> Option<&mut [u8]> {
        if frames > self.positions.packet() { None } else { self.buffer.get(frames) }
    }

    fn release(&mut self, frames: FrameCount, flag: BufferFlag) {
        if flag == BufferFlag::Invalid {
            return;
        }
        let silence = self.buffer.format().sample.silence_byte();
        if let Some(sound) = self.buffer.get(frames) {
            if flag == BufferFlag::Silent {
                sound.fill(silence);
            }
            // Where nobody takes it, it is not kept: whole packets go, so that frames stay whole.
            let _ = self.queue.push_entire_slice(sound);
        }
        self.positions.wrote(frames);
    }
}

/// Real-time half of the recording side. Its device is the queue: what is in it is what has been recorded, so that nothing is
/// lost or put in between two clocks.
struct Pickup {
    buffer: PacketBuffer,
    clock: Arc<dyn Clock>,
    queue: Consumer<u8>,
    packet: FrameCount,
    /// Bytes in the buffer that came out of the queue and are not used: they come again (T6).
    filled: usize,
    /// Frames used so far.
    taken: FramePosition,
}

impl Pickup {
    /// The record, and how many frames are ready in the next packet.
    fn position(&self) -> (Position, FrameCount) {
        let format = self.buffer.format();
        let there = format.frames_in(self.filled + self.queue.slots());
        let ready = there.min(self.packet);
        let position = Position {
            device: self.taken + there,
            stream: self.taken,
            padding: u64::from(ready.get()),
            time: self.clock.now().as_hns(),
            frames_per_second: frames_per_second(format.rate),
            flag: PositionFlag::Continuous,
        };
        (position, ready)
    }
}

impl EndpointRt for Pickup {
    fn current_padding(&mut self) -> CurrentPadding {
        let (position, ready) = self.position();
        CurrentPadding { time: self.buffer.format().rate.hns_of(u64::from(ready.get())), position }
    }

    fn processing_complete(&mut self) {}

    fn set_pin_active(&mut self) -> Result<(), EndpointError> {
        // What was played while nobody recorded would be late for ever.
        let left = self.queue.slots();
        if let Ok(chunk) = self.queue.read_chunk(left) {
            chunk.commit_all();
        }
        self.filled = 0;
        Ok(())
    }
}

impl InputEndpointRt for Pickup {
    fn acquire(&mut self, frames: FrameCount, position: Option<&mut Position>) -> Option<Captured<'_>> {
        if frames > self.packet {
            return None;
        }
        if let Some(position) = position {
            *position = self.position().0;
        }
        let format = self.buffer.format();
        let data = self.buffer.get(frames)?;
        let already = self.filled.min(data.len());
        let missing = data.get_mut(already..).unwrap_or_default();
        let there = format.bytes_of(format.frames_in(self.queue.slots().min(missing.len())));
        let (sound, gap) = missing.split_at_mut_checked(there)?;
        if self.queue.pop_entire_slice(sound).is_ok() {
            self.filled = self.filled.max(already + there);
        }
        gap.fill(format.sample.silence_byte());
        let flag = if self.filled == 0 { BufferFlag::Silent } else { BufferFlag::Valid };
        Some(Captured { data, flag })
    }

    fn release(&mut self, used: FrameCount) {
        let format = self.buffer.format();
        let used_bytes = format.bytes_of(used).min(self.filled);
        if let Some(held) = self.buffer.get(format.frames_in(self.filled)) {
            held.copy_within(used_bytes.., 0);
        }
        self.filled -= used_bytes;
        self.taken += used;
    }
}

#[expect(clippy::as_conversions, reason = "rates up to 192,000 are exact in an f32")]
fn frames_per_second(rate: SampleRate) -> f32 {
    rate.get() as f32
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use soundpost_core::Gain;
    use soundpost_endpoint::DataFlow;
    use soundpost_engine::{AttachConfig, DeviceConfig, Engine, EngineConfig, StreamConfig};

    use super::*;
    use crate::event::EventFd;

    #[derive(Default)]
    struct Moved(AtomicU64);

    impl Clock for Moved {
        fn now(&self) -> Instant {
            Instant::from_nanos(self.0.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn t6_what_was_not_used_comes_again_in_front_of_the_rest() {
        use soundpost_core::{ChannelLayout, SampleFormat, SampleRate};
        let format = Format { sample: SampleFormat::U8, rate: SampleRate::HZ_48000, layout: ChannelLayout::MONO };
        let (mut producer, queue) = RingBuffer::new(100);
        let (buffer, packet) = (PacketBuffer::new(format), FrameCount::new(480));
        let clock: Arc<dyn Clock> = Arc::new(Still);
        let mut pickup = Pickup { buffer, clock, queue, packet, filled: 0, taken: FramePosition::ZERO };
        producer.push_entire_slice(&[1, 2, 3, 4, 5, 6, 7]).unwrap();
        let mut take = |frames, used| {
            let seen = pickup.acquire(FrameCount::new(frames), None).map(|got| got.data.to_vec());
            pickup.release(FrameCount::new(used));
            seen.unwrap_or_default()
        };
        assert_eq!(take(4, 1), [1, 2, 3, 4]);
        assert_eq!(take(2, 0), [2, 3]);
        assert_eq!(take(4, 4), [2, 3, 4, 5]);
        assert_eq!(take(4, 4), [6, 7, 0x80, 0x80]);
        assert_eq!(take(2, 2), [0x80, 0x80]);
    }

    #[test]
    fn what_a_device_plays_is_recorded_bit_for_bit_after_its_volume() {
        let wake = Arc::new(EventFd::new().unwrap());
        let (mut engine, mut workers) = Engine::new(EngineConfig::new(vec![wake]));
        let session = engine.open_session("anna").unwrap();
        let speakers = engine.open_device(session, DeviceConfig::new("speakers", DataFlow::Render)).unwrap();
        let recorded = engine.open_device(session, DeviceConfig::new("monitor", DataFlow::Capture)).unwrap();
        let time = Arc::new(Moved(AtomicU64::new(1_000_000_000)));
        let format = DeviceConfig::new("", DataFlow::Render).format();
        let (tap, pickup) = monitor(format, Hns::from_millis(10), time.clone());
        for (device, endpoint, coefficient) in [(speakers, tap, 1), (recorded, pickup, 2)] {
            let endpoint = engine.register(session, "monitor", endpoint).unwrap();
            let connection = engine.connect(session, device).unwrap();
            let config = AttachConfig { coefficient, event_driven: false };
            engine.attach(session, connection, endpoint, config).unwrap();
        }
        engine.set_device_volume(session, speakers, Gain::new(0.5)).unwrap();
        let (_, mut writer) = engine.open_stream(session, speakers, StreamConfig::new("a", format)).unwrap();
        let (_, mut reader) = engine.open_capture(session, recorded, StreamConfig::new("b", format)).unwrap();
        let sent: Vec<f32> = (0..48_000_u16).map(|k| f32::from(k.wrapping_mul(40_503) | 1) / 65_536.0).collect();
        let mut bytes = sent.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into_iter();
        let mut heard = Vec::new();
        let mut room = vec![0; 480 * 8];
        for _ in 0..60 {
            let block: Vec<u8> = bytes.by_ref().take(480 * 8).collect();
            writer.write(&block);
            workers[0].run_pass(time.now());
            engine.maintain();
            let read = reader.read(&mut room).as_usize() * 8;
            heard.extend(room[..read].chunks(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
            time.0.fetch_add(Duration::from_millis(10).as_nanos() as u64, Ordering::Relaxed);
        }
        // The ramp to half of the volume is over after 10 ms: from there on every sample is found, in order.
        let half: Vec<f32> = sent.iter().map(|value| value * 0.5).collect();
        let from = 2_000;
        let start = heard.windows(500).position(|seen| seen == &half[from..from + 500]).expect("heard");
        let length = (heard.len() - start).min(half.len() - from);
        assert!(length > 40_000, "{length}");
        let wrong = (0..length).find(|k| heard[start + k] != half[from + k]);
        assert_eq!(wrong, None, "of {length} samples from {start}");
        assert!(start - from <= 2 * 4 * 480, "{} samples late", start - from);
    }
}
