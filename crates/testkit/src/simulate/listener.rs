//! A listener: plays at the pace of its own clock, and boils everything that it is given down to one number.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use soundpost_core::FrameCount;
use soundpost_endpoint::stock::{ClockControl, ClockedControl, Device, PacketBuffer, RenderClock, StockConfig};
use soundpost_endpoint::{BufferFlag, CurrentPadding, Endpoint, EndpointError, EndpointRt, OutputEndpointRt, Position};
use twox_hash::XxHash64;

/// What a listener was given, in one number: the bytes, the silences, and where one packet ended and the next began.
#[derive(Debug, Default)]
pub(super) struct Heard {
    digest: AtomicU64,
    gaps: AtomicU64,
}

impl Heard {
    pub(super) fn digest(&self) -> u64 {
        self.digest.load(Ordering::Relaxed)
    }

    /// Frames of silence between sounds: for which its device was dry, or which it was given as silence.
    pub(super) fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }
}

/// A listener, what it hears, and what signals its event.
pub(super) fn listener(config: &StockConfig, clock: ClockControl) -> (Endpoint, Arc<Heard>, Device) {
    let control = ClockedControl::new(config, clock.clone());
    let device = control.device();
    let heard = Arc::<Heard>::default();
    let realtime = Listener {
        clock: clock.render(),
        counters: clock,
        dry: 0,
        resting: true,
        silence: None,
        buffer: PacketBuffer::new(config.format),
        heard: Arc::clone(&heard),
    };
    (Endpoint::render(control, realtime), heard, device)
}

struct Listener {
    clock: RenderClock,
    /// For its counters alone.
    counters: ClockControl,
    /// Frames that the device had been dry for when it was last asked.
    dry: u64,
    /// Not asked since the sound began: that it was dry before is no gap.
    resting: bool,
    /// Silence since the last sound, if there was one: a gap as soon as another follows.
    silence: Option<u64>,
    buffer: PacketBuffer,
    heard: Arc<Heard>,
}

/// Chains a digest: what came before is the seed of what comes next.
pub(super) fn chained(digest: u64, bytes: &[u8]) -> u64 {
    XxHash64::oneshot(digest, bytes)
}

impl EndpointRt for Listener {
    fn current_padding(&mut self) -> CurrentPadding {
        let padding = self.clock.padding();
        let dry = self.counters.counts().underrun_frames;
        if !std::mem::take(&mut self.resting)
            && let Some(silence) = &mut self.silence
        {
            *silence += dry.saturating_sub(self.dry);
        }
        self.dry = dry;
        padding
    }

    fn processing_complete(&mut self) {}

    fn set_pin_active(&mut self) -> Result<(), EndpointError> {
        (self.resting, self.silence) = (true, None);
        Ok(())
    }
}

impl OutputEndpointRt for Listener {
    fn acquire(&mut self, frames: FrameCount, _time: Option<&Position>) -> Option<&mut [u8]> {
        self.buffer.get(frames)
    }

    fn release(&mut self, frames: FrameCount, flag: BufferFlag) {
        let before = self.heard.digest();
        let after = match flag {
            BufferFlag::Invalid => return,
            BufferFlag::Silent => {
                self.silence = self.silence.map(|silence| silence + u64::from(frames.get()));
                chained(before, &frames.get().to_le_bytes())
            }
            BufferFlag::Valid if frames.is_zero() => before,
            BufferFlag::Valid => {
                let gap = self.silence.replace(0).unwrap_or(0);
                self.heard.gaps.fetch_add(gap, Ordering::Relaxed);
                self.buffer.get(frames).map_or(before, |bytes| chained(before, bytes))
            }
        };
        self.heard.digest.store(after, Ordering::Relaxed);
        self.clock.wrote(frames);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_values_come_out() {
        assert_eq!(chained(0, b""), 0xEF46_DB37_51D8_E999);
        assert_eq!(chained(0, b"abc"), 0x44BC_2CF5_AD77_0999);
    }
}
