//! The endpoint in front of the file.

use std::fs::File;
use std::sync::Arc;

use soundpost_core::{Clock, Format, FrameCount, Hns, Instant};
use soundpost_endpoint::stock::{
    ClockControl, ClockedControl, PacketBuffer, RateOffset, RenderClock, SoundStage, StockConfig, sound_stage,
};
use soundpost_endpoint::{BufferFlag, CurrentPadding, Endpoint, EndpointError, EndpointRt, OutputEndpointRt, Position};

use super::queue::SoundSender;
use crate::wav::WavWriter;

/// An endpoint that takes sound at the pace of `clock`.
pub(super) fn paced(format: Format, clock: Arc<dyn Clock>, sound: SoundSender) -> Endpoint {
    endpoint(format, clock, |clock, stage| Paced { buffer: PacketBuffer::new(format), clock, stage, sound })
}

/// An endpoint that takes sound as it comes.
pub(super) fn offline(format: Format, clock: Arc<dyn Clock>, wav: WavWriter<File>) -> Endpoint {
    // The device's own clock stands still: it plays what it is given when it is given it, and never runs dry.
    endpoint(format, Arc::new(Still), |positions, stage| Offline {
        buffer: PacketBuffer::new(format),
        positions,
        stage,
        clock,
        wav,
        failed: false,
    })
}

fn endpoint<T: OutputEndpointRt + 'static>(
    format: Format,
    clock: Arc<dyn Clock>,
    realtime: impl FnOnce(RenderClock, SoundStage) -> T,
) -> Endpoint {
    let clock = ClockControl::new(format.rate, RateOffset::NONE, clock);
    let (sound, stage) = sound_stage(format);
    let realtime = realtime(clock.render(), stage);
    // X1: the file ends with the last frame of the sound, and has the volume that the device's user has set.
    let control = ClockedControl::new(&StockConfig::new(format), clock).with_sound(sound).with_last_buffer();
    Endpoint::render(control, realtime)
}

struct Paced {
    buffer: PacketBuffer,
    clock: RenderClock,
    stage: SoundStage,
    sound: SoundSender,
}

impl EndpointRt for Paced {
    fn current_padding(&mut self) -> CurrentPadding {
        self.clock.padding()
    }

    fn processing_complete(&mut self) {
        self.sound.flush();
    }

    fn set_pin_inactive(&mut self) -> Result<(), EndpointError> {
        self.clock.idle();
        self.stage.idle();
        Ok(())
    }
}

impl OutputEndpointRt for Paced {
    fn acquire(&mut self, frames: FrameCount, _time: Option<&Position>) -> Option<&mut [u8]> {
        if frames > self.clock.packet() { None } else { self.buffer.get(frames) }
    }

    fn release(&mut self, frames: FrameCount, flag: BufferFlag) {
        match flag {
            BufferFlag::Invalid => return,
            BufferFlag::Silent => {
                self.stage.silence(frames);
                self.sound.silence(frames);
            }
            BufferFlag::Valid => match self.buffer.get(frames) {
                Some(sound) => {
                    self.stage.process(sound);
                    self.sound.sound(sound);
                }
                None => self.sound.silence(frames),
            },
        }
        self.clock.wrote(frames);
    }

    fn release_last(&mut self, frames: FrameCount, flag: BufferFlag) {
        self.release(frames, flag);
        self.clock.idle();
        self.stage.idle();
    }
}

/// Takes everything at once: what is written is played, so the padding is always 0.
struct Offline {
    buffer: PacketBuffer,
    positions: RenderClock,
    stage: SoundStage,
    clock: Arc<dyn Clock>,
    wav: WavWriter<File>,
    failed: bool,
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Instant {
        Instant::ORIGIN
    }
}

impl EndpointRt for Offline {
    fn current_padding(&mut self) -> CurrentPadding {
        let written = self.positions.written();
        let record = self.positions.padding().position;
        let position = Position { device: written, padding: 0, time: self.clock.now().as_hns(), ..record };
        CurrentPadding { time: Hns::ZERO, position }
    }

    fn processing_complete(&mut self) {
        self.failed |= self.wav.checkpoint().is_err();
    }

    fn set_pin_active(&mut self) -> Result<(), EndpointError> {
        if self.failed {
            return Err(EndpointError::Device { reason: "the file could not be written" });
        }
        Ok(())
    }
}

impl OutputEndpointRt for Offline {
    fn acquire(&mut self, frames: FrameCount, _time: Option<&Position>) -> Option<&mut [u8]> {
        // No buffer is a fault that the engine reports: a file that cannot be written does not go unnoticed.
        if self.failed || frames > self.positions.packet() { None } else { self.buffer.get(frames) }
    }

    fn release(&mut self, frames: FrameCount, flag: BufferFlag) {
        if flag == BufferFlag::Invalid {
            return;
        }
        let silence = self.buffer.format().sample.silence_byte();
        if let Some(sound) = self.buffer.get(frames) {
            if flag == BufferFlag::Silent {
                self.stage.silence(frames);
                sound.fill(silence);
            } else {
                self.stage.process(sound);
            }
            self.failed |= self.wav.append(sound).is_err();
        }
        self.positions.wrote(frames);
    }

    fn release_last(&mut self, frames: FrameCount, flag: BufferFlag) {
        self.release(frames, flag);
        self.stage.idle();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use soundpost_core::{ChannelLayout, SampleFormat, SampleRate};
    use soundpost_endpoint::{DeviceEndpoint as _, EndpointControl as _};

    use super::super::queue::queue;
    use super::*;
    use crate::event::EventFd;

    /// A clock that a test moves, in nanoseconds.
    #[derive(Default)]
    struct Moved(AtomicU64);

    impl Clock for Moved {
        fn now(&self) -> Instant {
            Instant::from_nanos(self.0.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn t13_a_recording_that_is_idled_does_not_starve() {
        let format = Format { sample: SampleFormat::S16, rate: SampleRate::HZ_48000, layout: ChannelLayout::STEREO };
        for (idled, underruns) in [(true, 0), (false, 1)] {
            let time = Arc::new(Moved::default());
            let clock = ClockControl::new(format.rate, RateOffset::NONE, time.clone());
            let (sound, _receiver) = queue(format, Arc::new(EventFd::new().unwrap()));
            let (_, stage) = sound_stage(format);
            let mut realtime = Paced { buffer: PacketBuffer::new(format), clock: clock.render(), stage, sound };
            let mut control = ClockedControl::new(&StockConfig::new(format), clock.clone());
            control.set_buffer(Hns::from_millis(10), 2).unwrap();
            control.start().unwrap();
            realtime.release(FrameCount::new(480), BufferFlag::Silent);
            if idled {
                realtime.set_pin_inactive().unwrap();
            }
            time.0.store(1_000_000_000, Ordering::Relaxed);
            realtime.set_pin_active().unwrap();
            realtime.release(FrameCount::new(480), BufferFlag::Silent);
            assert_eq!(clock.counts().underruns, underruns, "idled: {idled}");
        }
    }
}
