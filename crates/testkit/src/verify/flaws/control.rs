//! A control half with a flaw.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use soundpost_core::{ChannelCount, Format, FrameCount, Gain, Hns, SampleFormat};
use soundpost_endpoint::exclusive::{ExclusivePlan, ExclusiveRequest};
use soundpost_endpoint::stock::ClockedControl;
use soundpost_endpoint::{
    AudioEndpoint, DeviceEndpoint, EndpointControl, EndpointError, Event, LocalEffects, OffloadMeter, OffloadMute,
    OffloadVolume, StreamFlags, VolumeCurve,
};

use super::{FORMAT, Flaw, Shared};
use crate::WakeFlag;

pub(super) struct FlawedControl {
    inner: ClockedControl,
    flaw: Flaw,
    shared: Arc<Shared>,
    buffers: u32,
    running: bool,
    asked: Hns,
    sound: FlawedSound,
}

/// Further interfaces that are sound but for the flaw.
struct FlawedSound {
    flaw: Flaw,
    channels: ChannelCount,
    /// Of every channel.
    volume: Gain,
    muted: bool,
}

impl OffloadVolume for FlawedSound {
    fn volume_channels(&self) -> ChannelCount {
        self.channels
    }

    fn set_channel_volumes(
        &mut self,
        volumes: &[Gain],
        _curve: VolumeCurve,
        duration: Hns,
    ) -> Result<(), EndpointError> {
        let one_each = volumes.len() == self.channels.as_usize();
        if duration < Hns::ZERO || !one_each && self.flaw != Flaw::VolumeOfAnyLength {
            return Err(EndpointError::Device { reason: "no such volume" });
        }
        if let (true, [volume, ..]) = (one_each && self.flaw != Flaw::VolumeForgotten, volumes) {
            self.volume = *volume;
        }
        Ok(())
    }

    fn channel_volumes(&self, volumes: &mut [Gain]) -> Result<(), EndpointError> {
        volumes.fill(self.volume);
        Ok(())
    }
}

impl OffloadMute for FlawedSound {
    fn set_muted(&mut self, muted: bool) -> Result<(), EndpointError> {
        self.muted |= muted;
        Ok(())
    }

    fn is_muted(&self) -> bool {
        self.muted
    }
}

impl OffloadMeter for FlawedSound {
    fn meter_channels(&self) -> ChannelCount {
        self.channels
    }

    fn metering(&self, peaks: &mut [f32]) -> Result<(), EndpointError> {
        if peaks.len() != self.channels.as_usize() {
            return Err(EndpointError::Device { reason: "no such meter" });
        }
        peaks.fill(f32::NAN);
        Ok(())
    }
}

impl LocalEffects for FlawedSound {
    fn set_local_effects(&mut self, _on: bool) -> Result<(), EndpointError> {
        Ok(())
    }

    fn local_effects(&self) -> bool {
        true
    }
}

impl FlawedControl {
    pub(super) fn new(inner: ClockedControl, flaw: Flaw, shared: Arc<Shared>) -> Self {
        let sound = FlawedSound { flaw, channels: FORMAT.layout.channels(), volume: Gain::UNITY, muted: false };
        Self { inner, flaw, shared, buffers: 0, running: false, asked: Hns::ZERO, sound }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }
}

impl AudioEndpoint for FlawedControl {
    fn frame_format(&self) -> Format {
        let format = self.inner.frame_format();
        let changed = self.has(Flaw::FormatChanges) && self.buffers > 0;
        if changed { Format { sample: SampleFormat::S32, ..format } } else { format }
    }

    fn frames_per_packet(&self) -> Result<FrameCount, EndpointError> {
        let packet = self.inner.frames_per_packet();
        if self.has(Flaw::PacketTooEarly) {
            return Ok(packet.unwrap_or(FrameCount::new(480)));
        }
        if let (true, Some(plan)) = (self.has(Flaw::PacketRoundedDown), self.inner.plan()) {
            let frames = plan.format.rate.frames_in(plan.period);
            return Ok(FrameCount::new(u32::try_from(frames).unwrap_or(0)));
        }
        packet
    }

    fn latency(&self) -> Result<Hns, EndpointError> {
        if self.has(Flaw::WaitsForControl) {
            let _held = self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner);
            std::thread::sleep(Duration::from_millis(2));
        }
        let latency = self.inner.latency();
        match self.flaw {
            Flaw::LatencyTooEarly => Ok(latency.unwrap_or(Hns::from_millis(20))),
            Flaw::LatencyDrifts if self.running => latency.map(|latency| latency.saturating_add(Hns::from_millis(1))),
            Flaw::LatencyInFrames => {
                let frames = latency.map(|latency| self.inner.frame_format().rate.frames_in(latency));
                frames.map(|frames| Hns::new(i64::try_from(frames).unwrap_or(0)))
            }
            Flaw::BelowMinimum => latency.map(|latency| if self.asked > Hns::ZERO { self.asked } else { latency }),
            _ => latency,
        }
    }

    fn set_stream_flags(&mut self, flags: StreamFlags) -> Result<(), EndpointError> {
        if self.has(Flaw::TakesEveryFlag) && flags != StreamFlags::NONE {
            return Ok(());
        }
        if self.has(Flaw::RefusesNoFlags) && flags == StreamFlags::NONE {
            return Err(EndpointError::InvalidStreamFlag { bits: 0 });
        }
        self.inner.set_stream_flags(flags)
    }

    fn set_event(&mut self, event: Arc<dyn Event>) -> Result<(), EndpointError> {
        let answer = self.inner.set_event(Arc::clone(&event));
        if answer.is_ok() {
            *self.shared.event.lock().unwrap_or_else(PoisonError::into_inner) = Some(event);
        }
        match answer {
            Err(EndpointError::NotInitialized) if self.has(Flaw::EarlyEvent) => Ok(()),
            Err(EndpointError::EventNotExpected) if self.has(Flaw::UnexpectedEvent) => Ok(()),
            answer => answer,
        }
    }

    fn offload_volume(&mut self) -> Option<&mut dyn OffloadVolume> {
        let offered = [Flaw::VolumeForgotten, Flaw::VolumeOfAnyLength].contains(&self.flaw);
        if offered { Some(&mut self.sound) } else { None }
    }

    fn offload_mute(&mut self) -> Option<&mut dyn OffloadMute> {
        if self.has(Flaw::MuteStuck) { Some(&mut self.sound) } else { None }
    }

    fn offload_meter(&self) -> Option<&dyn OffloadMeter> {
        if self.has(Flaw::MeterOfNonsense) { Some(&self.sound) } else { None }
    }

    fn local_effects(&mut self) -> Option<&mut dyn LocalEffects> {
        if self.has(Flaw::EffectsStuck) { Some(&mut self.sound) } else { None }
    }

    fn last_buffer_control(&self) -> bool {
        self.has(Flaw::LastForgotten)
    }
}

impl DeviceEndpoint for FlawedControl {
    fn set_buffer(&mut self, max_period: Hns, coefficient: u32) -> Result<(), EndpointError> {
        if self.has(Flaw::ZeroCoefficientRefused) && coefficient == 0 {
            return Err(EndpointError::Device { reason: "no latency" });
        }
        if self.has(Flaw::SecondSetBufferIgnored) && self.buffers > 0 && !self.running {
            return Ok(());
        }
        if self.has(Flaw::SetBufferWhileRunning) && self.running {
            return Ok(());
        }
        let coefficient = if self.has(Flaw::CoefficientIgnored) { 1 } else { coefficient };
        self.inner.set_buffer(max_period, coefficient)?;
        self.asked = max_period.saturating_mul(coefficient);
        self.buffers += 1;
        if self.has(Flaw::StartsWithoutEvent) {
            // Refused without the flag; with it, Start finds an event.
            let _ = self.inner.set_event(Arc::new(WakeFlag::default()));
        }
        Ok(())
    }

    fn rt_capable(&self) -> bool {
        self.has(Flaw::RtCapable)
    }

    fn event_driven_capable(&self) -> bool {
        self.inner.event_driven_capable()
    }

    fn exclusive_mode(&mut self, request: &ExclusiveRequest) -> Result<ExclusivePlan, EndpointError> {
        let answer = self.inner.exclusive_mode(request);
        let sane = ExclusiveRequest { buffer: request.period.saturating_mul(4), ..*request };
        match (self.flaw, answer) {
            (Flaw::ExclusiveBeside, Err(EndpointError::InUse)) => ExclusivePlan::new(FORMAT, request, Hns::ZERO),
            (Flaw::ExclusiveWithoutLimits, Err(EndpointError::BufferOutOfRange { .. })) => {
                self.inner.exclusive_mode(&sane)
            }
            (_, answer) => answer,
        }
    }

    fn release_buffer(&mut self) -> Result<(), EndpointError> {
        self.buffers = 0;
        self.running = false;
        self.inner.release_buffer()
    }
}

/// The panic of an endpoint that breaks the contract on purpose.
#[expect(clippy::panic, reason = "an endpoint that panics is what is tested")]
fn misbehave() -> ! {
    panic!("a flawed endpoint panics on purpose")
}

impl EndpointControl for FlawedControl {
    fn start(&mut self) -> Result<(), EndpointError> {
        let answer = self.inner.start();
        match (self.flaw, &answer) {
            (Flaw::StartTwice, Err(EndpointError::NotStopped)) => {
                self.inner.stop()?;
                self.inner.reset()?;
                return self.inner.start();
            }
            (Flaw::PanicInStart, Err(EndpointError::NotStopped)) => misbehave(),
            (Flaw::LostAfterRefusal, Err(_)) => self.shared.lost.store(true, Ordering::Relaxed),
            _ => {}
        }
        self.running |= answer.is_ok();
        self.shared.running.store(self.running, Ordering::Relaxed);
        answer
    }

    fn stop(&mut self) -> Result<(), EndpointError> {
        if self.has(Flaw::StopHangs) && !self.running && self.buffers > 0 {
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
        let answer = self.inner.stop();
        if answer.is_ok() {
            self.running = false;
            if self.has(Flaw::StopForgets) {
                self.inner.reset()?;
            }
        }
        answer
    }

    fn reset(&mut self) -> Result<(), EndpointError> {
        if self.has(Flaw::ResetWhileRunning) && self.running {
            self.inner.stop()?;
            self.inner.reset()?;
            return self.inner.start();
        }
        if self.has(Flaw::ResetKeeps) && self.buffers > 0 && !self.running {
            return Ok(());
        }
        self.inner.reset()
    }
}
