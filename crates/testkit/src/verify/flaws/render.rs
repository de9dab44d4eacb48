//! The real-time half of a sink with a flaw.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use soundpost_core::{FrameCount, FramePosition, Hns};
use soundpost_endpoint::stock::{PacketBuffer, RenderClock};
use soundpost_endpoint::{BufferFlag, CurrentPadding, EndpointRt, OutputEndpointRt, Position, PositionFlag};
use soundpost_queue::frames::FrameWriter;

use super::{FORMAT, Flaw, Shared};

pub(super) struct FlawedRender {
    clock: RenderClock,
    buffer: PacketBuffer,
    flaw: Flaw,
    shared: Arc<Shared>,
    sound: FrameWriter<u8>,
    silence: Box<[u8]>,
    asked: FrameCount,
    longest: FrameCount,
    looks: u64,
    begun: bool,
}

impl FlawedRender {
    pub(super) fn new(clock: RenderClock, flaw: Flaw, shared: Arc<Shared>, sound: FrameWriter<u8>) -> Self {
        let packet = FORMAT.rate.frames_covering(soundpost_endpoint::BufferPlan::LONGEST_PERIOD);
        Self {
            clock,
            buffer: PacketBuffer::new(FORMAT),
            flaw,
            shared,
            sound,
            silence: vec![FORMAT.sample.silence_byte(); FORMAT.bytes_of(packet)].into_boxed_slice(),
            asked: FrameCount::ZERO,
            longest: FrameCount::ZERO,
            looks: 0,
            begun: false,
        }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    /// What the device plays.
    fn play(&mut self, frames: FrameCount, flag: BufferFlag) {
        let as_it_was = self.has(Flaw::SilencePlayedAsIs);
        if flag == BufferFlag::Silent && !as_it_was {
            if !self.has(Flaw::SilenceDropped) {
                self.sound.write(self.silence.get(..FORMAT.bytes_of(frames)).unwrap_or_default());
            }
        } else if let Some(data) = self.buffer.get(frames) {
            self.sound.write(data);
        }
    }

    /// What must not be done here.
    fn misbehave(&mut self) {
        match self.flaw {
            Flaw::Allocates => drop(std::hint::black_box(Box::new(self.looks))),
            Flaw::Sleeps => std::thread::sleep(Duration::from_micros(100)),
            // For a while, late: nobody has to wait for it in every check.
            Flaw::BurnsTime if (100..130).contains(&self.looks) => {
                for step in 0..60_000_000_u64 {
                    std::hint::black_box(step);
                }
            }
            Flaw::NeverReturns => loop {
                std::hint::spin_loop();
            },
            _ => {}
        }
    }
}

impl EndpointRt for FlawedRender {
    fn current_padding(&mut self) -> CurrentPadding {
        if self.has(Flaw::WaitsForControl) {
            let _held = self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner);
        }
        let mut padding = self.clock.padding();
        self.looks = self.looks.wrapping_add(1);
        let first = !std::mem::replace(&mut self.begun, true);
        let position = &mut padding.position;
        match self.flaw {
            Flaw::PaddingStaysZero => {
                position.padding = 0;
                position.device = position.stream;
                padding.time = Hns::ZERO;
            }
            Flaw::DiscontinuousStart if first => position.flag = PositionFlag::Discontinuous,
            Flaw::ContinuousResume => position.flag = PositionFlag::Continuous,
            Flaw::TimeInNanoseconds => position.time = Hns::new(position.time.get().saturating_mul(100)),
            Flaw::PositionGoesBack if self.looks.is_multiple_of(16) => {
                let back = position.device.get().min(10);
                position.device = FramePosition::new(position.device.get() - back);
                position.stream = FramePosition::new(position.stream.get() - back);
            }
            Flaw::LostAfterRefusal if self.shared.lost.load(Ordering::Relaxed) => {
                (position.device, position.stream, position.padding) = Default::default();
                padding.time = Hns::ZERO;
            }
            _ => {}
        }
        padding
    }

    fn processing_complete(&mut self) {}
}

impl OutputEndpointRt for FlawedRender {
    fn acquire(&mut self, frames: FrameCount, _time: Option<&Position>) -> Option<&mut [u8]> {
        self.asked = frames;
        self.longest = self.longest.max(frames);
        let given = if self.has(Flaw::KeepsCount) { self.longest } else { frames };
        self.buffer.get(given)
    }

    fn release(&mut self, frames: FrameCount, flag: BufferFlag) {
        self.misbehave();
        let frames = match self.flaw {
            Flaw::CountsAsked => self.asked,
            Flaw::CountsInvalid if flag == BufferFlag::Invalid => self.asked,
            _ if flag == BufferFlag::Invalid => return,
            _ => frames,
        };
        self.play(frames, flag);
        self.clock.wrote(frames);
    }

    fn release_last(&mut self, frames: FrameCount, flag: BufferFlag) {
        if !self.has(Flaw::LastForgotten) {
            self.release(frames, flag);
        }
    }

    fn pulse(&mut self) {
        if self.has(Flaw::PulseMoves) {
            self.clock.wrote(FrameCount::new(1));
        }
        if self.has(Flaw::PulseSignals)
            && let Some(event) = &*self.shared.event.lock().unwrap_or_else(PoisonError::into_inner)
        {
            event.signal();
        }
    }
}
