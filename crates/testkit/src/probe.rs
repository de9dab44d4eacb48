//! Endpoints that record what is done to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use soundpost_core::{Clock, Format, FrameCount, Hns, Instant};
use soundpost_endpoint::stock::{
    CaptureClock, ClockControl, ClockedControl, Device, PacketBuffer, RenderClock, SoundStage, StockConfig, sound_stage,
};
use soundpost_endpoint::{
    AudioEndpoint, BufferFlag, Captured, CurrentPadding, DeviceEndpoint, Endpoint, EndpointControl, EndpointError,
    EndpointRt, Event, InputEndpointRt, LocalEffects, OffloadMeter, OffloadMute, OffloadVolume, OutputEndpointRt,
    Position, StreamFlags,
};
use soundpost_queue::frames::{FrameReader, FrameWriter, queue};

/// A call that an endpoint got.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the methods of the contract's traits, with their arguments")]
pub enum Call {
    EventDrivenCapable,
    SetStreamFlags(StreamFlags),
    SetBuffer {
        period: Hns,
        coefficient: u32,
    },
    SetEvent,
    Start,
    Stop,
    Reset,
    /// GetCurrentPadding, and the frames that were answered.
    Padding(u64),
    Acquire(FrameCount),
    /// Of a render endpoint.
    Release {
        frames: FrameCount,
        flag: BufferFlag,
    },
    /// Of a render endpoint with last-buffer control (X1).
    ReleaseLast {
        frames: FrameCount,
        flag: BufferFlag,
    },
    /// Of a capture endpoint.
    Used(FrameCount),
    ProcessingComplete,
    Pulse,
    PinActive,
    PinInactive,
}

/// A call, and when it came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// Number of the call among all that the endpoint got, on both halves.
    pub order: u64,
    /// The time on the endpoint's clock.
    pub time: Instant,
    /// The call.
    pub call: Call,
}

/// What a probe endpoint has recorded, and its clock.
pub struct Probe {
    control: Arc<Mutex<Vec<Entry>>>,
    realtime: FrameReader<Entry>,
    sound: FrameReader<u8>,
    format: Format,
    /// The endpoint's clock, to be steered and read.
    pub clock: ClockControl,
    device: Option<Device>,
}

impl Probe {
    /// What signals the event of an event-driven endpoint (D4); there is one.
    pub fn take_device(&mut self) -> Option<Device> {
        self.device.take()
    }

    /// The calls since the last time, in order. Up to 65,536 calls are kept between two times.
    pub fn take_calls(&mut self) -> Vec<Entry> {
        let mut calls = std::mem::take(&mut *self.control.lock().unwrap_or_else(PoisonError::into_inner));
        let queued = self.realtime.queued();
        self.realtime.take_with(queued, |first, second| {
            calls.extend_from_slice(first);
            calls.extend_from_slice(second);
        });
        calls.sort_by_key(|entry| entry.order);
        calls
    }

    /// The bytes that a render endpoint was given since the last time; silence as the format's silence. Up to ten
    /// seconds are kept between two times.
    pub fn take_sound(&mut self) -> Vec<u8> {
        let mut sound = vec![0; self.format.bytes_of(self.sound.queued())];
        self.sound.read(&mut sound);
        sound
    }

    /// The endpoint's format.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }
}

/// Which of the header's further interfaces a probe offers (X1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// Last-buffer control.
    pub last_buffer: bool,
    /// Volume, mute, meter and local effects. The sound that is recorded is what comes out behind them.
    pub sound: bool,
}

/// A render endpoint that plays at the pace of its own clock and records every call and every byte.
#[must_use]
pub fn render_probe(config: &StockConfig, clock: Arc<dyn Clock>) -> (Endpoint, Probe) {
    render_probe_with(config, clock, Offers::default())
}

/// The same with some of the further interfaces (X1).
#[must_use]
pub fn render_probe_with(config: &StockConfig, clock: Arc<dyn Clock>, offers: Offers) -> (Endpoint, Probe) {
    let mut parts = Parts::new(config, clock);
    if offers.last_buffer {
        parts.control.inner = parts.control.inner.with_last_buffer();
    }
    let (control, stage) = sound_stage(config.format);
    if offers.sound {
        parts.control.inner = parts.control.inner.with_sound(control);
    }
    let silence = vec![config.format.sample.silence_byte(); parts.packet_bytes].into_boxed_slice();
    let realtime = RtProbe {
        log: parts.log,
        clock: parts.clock.render(),
        buffer: PacketBuffer::new(config.format),
        direction: Played { silence, sound: parts.sound, stage: offers.sound.then_some(stage) },
    };
    (Endpoint::render(parts.control, realtime), parts.probe)
}

/// A capture endpoint that gives `sound` (bytes of its format, whole frames) over and over, at the pace of its own clock, and
/// records every call. Packets that are silent are flagged so and hold nonsense (T10).
#[must_use]
pub fn capture_probe(config: &StockConfig, clock: Arc<dyn Clock>, sound: Vec<u8>) -> (Endpoint, Probe) {
    let parts = Parts::new(config, clock);
    let realtime = RtProbe {
        log: parts.log,
        clock: parts.clock.capture(),
        buffer: PacketBuffer::new(config.format),
        direction: Given { sound: sound.into_boxed_slice() },
    };
    (Endpoint::capture(parts.control, realtime), parts.probe)
}

struct Parts {
    clock: ClockControl,
    control: ProbeControl,
    log: Log,
    sound: FrameWriter<u8>,
    packet_bytes: usize,
    probe: Probe,
}

impl Parts {
    fn new(config: &StockConfig, clock: Arc<dyn Clock>) -> Self {
        let device_clock = ClockControl::new(config.format.rate, config.offset, Arc::clone(&clock));
        let inner = ClockedControl::new(config, device_clock.clone());
        let device = inner.device();
        let entries = Arc::new(Mutex::new(Vec::new()));
        let order = Arc::new(AtomicU64::new(0));
        let (calls, realtime) = queue(FrameCount::new(65_536), 1);
        let seconds = FrameCount::new(config.format.rate.get().saturating_mul(10));
        let (sound, heard) = queue(seconds, config.format.frame_bytes());
        let longest = soundpost_endpoint::BufferPlan::LONGEST_PERIOD;
        Self {
            control: ProbeControl {
                inner,
                clock: Arc::clone(&clock),
                order: Arc::clone(&order),
                entries: Arc::clone(&entries),
            },
            log: Log { clock, order, calls },
            sound,
            packet_bytes: config.format.bytes_of(config.format.rate.frames_covering(longest)),
            probe: Probe {
                control: entries,
                realtime,
                sound: heard,
                format: config.format,
                clock: device_clock.clone(),
                device: Some(device),
            },
            clock: device_clock,
        }
    }
}

struct ProbeControl {
    inner: ClockedControl,
    clock: Arc<dyn Clock>,
    order: Arc<AtomicU64>,
    entries: Arc<Mutex<Vec<Entry>>>,
}

impl ProbeControl {
    fn note(&self, call: Call) {
        let order = self.order.fetch_add(1, Ordering::AcqRel);
        let entry = Entry { order, time: self.clock.now(), call };
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }
}

impl AudioEndpoint for ProbeControl {
    fn frame_format(&self) -> Format {
        self.inner.frame_format()
    }

    fn frames_per_packet(&self) -> Result<FrameCount, EndpointError> {
        self.inner.frames_per_packet()
    }

    fn latency(&self) -> Result<Hns, EndpointError> {
        self.inner.latency()
    }

    fn set_stream_flags(&mut self, flags: StreamFlags) -> Result<(), EndpointError> {
        self.note(Call::SetStreamFlags(flags));
        self.inner.set_stream_flags(flags)
    }

    fn set_event(&mut self, event: Arc<dyn Event>) -> Result<(), EndpointError> {
        self.note(Call::SetEvent);
        self.inner.set_event(event)
    }

    fn last_buffer_control(&self) -> bool {
        self.inner.last_buffer_control()
    }

    fn offload_volume(&mut self) -> Option<&mut dyn OffloadVolume> {
        self.inner.offload_volume()
    }

    fn offload_mute(&mut self) -> Option<&mut dyn OffloadMute> {
        self.inner.offload_mute()
    }

    fn offload_meter(&self) -> Option<&dyn OffloadMeter> {
        self.inner.offload_meter()
    }

    fn local_effects(&mut self) -> Option<&mut dyn LocalEffects> {
        self.inner.local_effects()
    }
}

impl DeviceEndpoint for ProbeControl {
    fn set_buffer(&mut self, period: Hns, coefficient: u32) -> Result<(), EndpointError> {
        self.note(Call::SetBuffer { period, coefficient });
        self.inner.set_buffer(period, coefficient)
    }

    fn event_driven_capable(&self) -> bool {
        self.note(Call::EventDrivenCapable);
        self.inner.event_driven_capable()
    }
}

impl EndpointControl for ProbeControl {
    fn start(&mut self) -> Result<(), EndpointError> {
        self.note(Call::Start);
        self.inner.start()
    }

    fn stop(&mut self) -> Result<(), EndpointError> {
        self.note(Call::Stop);
        self.inner.stop()
    }

    fn reset(&mut self) -> Result<(), EndpointError> {
        self.note(Call::Reset);
        self.inner.reset()
    }
}

/// Where a real-time half notes its calls: a queue, so that noting neither allocates nor waits.
struct Log {
    clock: Arc<dyn Clock>,
    order: Arc<AtomicU64>,
    calls: FrameWriter<Entry>,
}

impl Log {
    fn note(&mut self, call: Call) {
        let order = self.order.fetch_add(1, Ordering::AcqRel);
        self.calls.write(&[Entry { order, time: self.clock.now(), call }]);
    }
}

/// The real-time half of a probe: the device's positions, and what its direction needs.
struct RtProbe<C, D> {
    log: Log,
    clock: C,
    buffer: PacketBuffer,
    direction: D,
}

/// What a sink needs.
struct Played {
    silence: Box<[u8]>,
    sound: FrameWriter<u8>,
    stage: Option<SoundStage>,
}

/// What a source needs.
struct Given {
    sound: Box<[u8]>,
}

/// What both directions' clocks answer to GetCurrentPadding.
trait Positions: Send {
    fn padding(&mut self) -> CurrentPadding;
}

impl Positions for RenderClock {
    fn padding(&mut self) -> CurrentPadding {
        Self::padding(self)
    }
}

impl Positions for CaptureClock {
    fn padding(&mut self) -> CurrentPadding {
        Self::padding(self)
    }
}

impl<C: Positions, D: Send> EndpointRt for RtProbe<C, D> {
    fn current_padding(&mut self) -> CurrentPadding {
        let padding = self.clock.padding();
        self.log.note(Call::Padding(padding.position.padding));
        padding
    }

    fn processing_complete(&mut self) {
        self.log.note(Call::ProcessingComplete);
    }

    fn set_pin_active(&mut self) -> Result<(), EndpointError> {
        self.log.note(Call::PinActive);
        Ok(())
    }

    fn set_pin_inactive(&mut self) -> Result<(), EndpointError> {
        self.log.note(Call::PinInactive);
        Ok(())
    }
}

impl OutputEndpointRt for RtProbe<RenderClock, Played> {
    fn acquire(&mut self, frames: FrameCount, _time: Option<&Position>) -> Option<&mut [u8]> {
        self.log.note(Call::Acquire(frames));
        let data = self.buffer.get(frames)?;
        // Not what was there before, and not silence: what the engine does not write is heard.
        data.fill(0x55);
        Some(data)
    }

    fn release(&mut self, frames: FrameCount, flag: BufferFlag) {
        self.log.note(Call::Release { frames, flag });
        self.play(frames, flag);
    }

    fn release_last(&mut self, frames: FrameCount, flag: BufferFlag) {
        self.log.note(Call::ReleaseLast { frames, flag });
        self.play(frames, flag);
        self.clock.idle();
    }

    fn pulse(&mut self) {
        self.log.note(Call::Pulse);
    }
}

impl RtProbe<RenderClock, Played> {
    fn play(&mut self, frames: FrameCount, flag: BufferFlag) {
        let bytes = self.buffer.format().bytes_of(frames);
        match flag {
            BufferFlag::Invalid => return,
            BufferFlag::Silent => {
                if let Some(stage) = &mut self.direction.stage {
                    stage.silence(frames);
                }
                self.direction.sound.write(self.direction.silence.get(..bytes).unwrap_or_default());
            }
            BufferFlag::Valid => {
                if let Some(data) = self.buffer.get(frames) {
                    if let Some(stage) = &mut self.direction.stage {
                        stage.process(data);
                    }
                    self.direction.sound.write(data);
                }
            }
        }
        self.clock.wrote(frames);
    }
}

impl InputEndpointRt for RtProbe<CaptureClock, Given> {
    fn acquire(&mut self, frames: FrameCount, position: Option<&mut Position>) -> Option<Captured<'_>> {
        self.log.note(Call::Acquire(frames));
        let (first, there, record) = self.clock.acquire(frames)?;
        if let Some(position) = position {
            *position = record;
        }
        let format = self.buffer.format();
        let data = self.buffer.get(frames)?;
        data.fill(format.sample.silence_byte());
        let width = format.frame_bytes();
        let mut silent = true;
        for (index, frame) in (first..).zip(data.chunks_exact_mut(width)).take(there.as_usize()) {
            let length = self.direction.sound.len() / width;
            let at = usize::try_from(index).unwrap_or(0).checked_rem(length).unwrap_or(0) * width;
            if let Some(source) = self.direction.sound.get(at..at + width) {
                frame.copy_from_slice(source);
                silent &= source.iter().all(|byte| *byte == format.sample.silence_byte());
            }
        }
        if silent {
            data.fill(0xAA);
        }
        Some(Captured { data, flag: if silent { BufferFlag::Silent } else { BufferFlag::Valid } })
    }

    fn release(&mut self, used: FrameCount) {
        self.log.note(Call::Used(used));
        self.clock.release(used);
    }

    fn pulse(&mut self) {
        self.log.note(Call::Pulse);
    }
}
