//! The engine's side of a real-time half: scopes that cannot be left unpaired, and a look at every answer.

use soundpost_core::{Format, FrameCount};

use crate::{
    BufferFlag, CurrentPadding, EndpointError, EndpointRt, Fault, InputEndpointRt, OutputEndpointRt, Position,
    PositionFlag, Requirement,
};

/// What the engine put into an acquired render buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
    /// Frames really generated: the first so many of the buffer.
    pub frames: FrameCount,
    /// Whether they are sound or silence.
    pub flag: BufferFlag,
}

impl Filled {
    /// Nothing was generated.
    pub const NOTHING: Self = Self { frames: FrameCount::ZERO, flag: BufferFlag::Invalid };
}

/// What a port knows of the endpoint behind it: read once after SetBuffer and kept (E2).
#[derive(Clone, Copy, Debug)]
struct Limits {
    format: Format,
    packet: FrameCount,
    buffer: FrameCount,
}

impl Limits {
    fn check_data(&self, frames: FrameCount, data: &[u8], requirement: Requirement) -> Result<(), Fault> {
        let expected = self.format.bytes_of(frames);
        if data.len() != expected {
            return Err(Fault::WrongLength { requirement, expected, got: data.len() });
        }
        let sample = self.format.sample.bytes();
        let alignment = if sample.is_power_of_two() { sample } else { 1 };
        if !data.as_ptr().addr().is_multiple_of(alignment) {
            return Err(Fault::Misaligned { requirement, alignment });
        }
        Ok(())
    }

    /// T1: the record's frames count, unless it is invalid; then the time, rounded.
    fn padding_frames(&self, padding: &CurrentPadding) -> Result<u64, Fault> {
        let rate = self.format.rate;
        if padding.position.flag == PositionFlag::Invalid {
            return Ok(rate.frames_nearest(padding.time));
        }
        let (frames, as_time) = (padding.position.padding, rate.frames_nearest(padding.time));
        if frames.abs_diff(as_time) > 1 {
            return Err(Fault::PaddingDisagrees { frames, time: padding.time });
        }
        Ok(frames)
    }
}

/// The engine's hold on an endpoint's real-time half. Real-time thread only. [`RenderPort`] and [`CapturePort`] have the
/// methods that differ.
pub struct Port<E: ?Sized> {
    endpoint: Box<E>,
    limits: Limits,
}

/// The hold on a render endpoint.
pub type RenderPort = Port<dyn OutputEndpointRt>;

/// The hold on a capture endpoint.
pub type CapturePort = Port<dyn InputEndpointRt>;

impl<E: EndpointRt + ?Sized> Port<E> {
    /// Takes hold of a real-time half. `packet` (E2) and `buffer` (E3 in frames) are what the control half answered
    /// after SetBuffer. Called on the control side.
    #[must_use]
    pub fn new(endpoint: Box<E>, format: Format, packet: FrameCount, buffer: FrameCount) -> Self {
        Self { endpoint, limits: Limits { format, packet, buffer } }
    }

    /// The endpoint's format.
    #[must_use]
    pub fn format(&self) -> Format {
        self.limits.format
    }

    /// The most frames of one packet (E2).
    #[must_use]
    pub fn largest_packet(&self) -> FrameCount {
        self.limits.packet
    }

    /// The length of the endpoint's buffer.
    #[must_use]
    pub fn buffer(&self) -> FrameCount {
        self.limits.buffer
    }

    /// Prepares or idles the streaming resource (T13).
    ///
    /// # Errors
    /// [`Fault::Failed`] with the endpoint's answer.
    pub fn set_pin(&mut self, active: bool) -> Result<(), Fault> {
        let (call, answer): (_, Result<(), EndpointError>) = match active {
            true => ("set_pin_active", self.endpoint.set_pin_active()),
            false => ("set_pin_inactive", self.endpoint.set_pin_inactive()),
        };
        answer.map_err(|error| Fault::Failed { call, error })
    }

    /// Gives the real-time half back, to be dropped or moved on the control side.
    #[must_use]
    pub fn into_inner(self) -> Box<E> {
        self.endpoint
    }
}

impl RenderPort {
    /// How many frames are queued, and the position record (T1, T2).
    ///
    /// # Errors
    /// A [`Fault`] where time and frames disagree, or where more is queued than the buffer holds together with one
    /// packet (a packet may be in flight to the device).
    pub fn padding(&mut self) -> Result<(FrameCount, Position), Fault> {
        let padding = self.endpoint.current_padding();
        let frames = self.limits.padding_frames(&padding)?;
        let most = u64::from(self.limits.buffer.saturating_add(self.limits.packet).get());
        match u32::try_from(frames) {
            Ok(count) if frames <= most => Ok((FrameCount::new(count), padding.position)),
            _ => Err(Fault::ImpossiblePadding { padding: frames, buffer: u64::from(self.limits.buffer.get()) }),
        }
    }

    /// One acquire and its release (T7 to T9). `fill` is handed the buffer for `frames` frames, held to the packet
    /// size (T3), and says what it put there; more than asked counts as asked. Answers the frames released.
    ///
    /// If `fill` panics, the buffer is released with no frames while the panic passes through.
    ///
    /// # Errors
    /// A [`Fault`] where the endpoint gives no buffer, or one of a wrong length or alignment; it is released with no
    /// frames then.
    pub fn packet(
        &mut self,
        frames: FrameCount,
        time: Option<&Position>,
        fill: impl FnOnce(&mut [u8]) -> Filled,
    ) -> Result<FrameCount, Fault> {
        self.exchange(frames, time, false, fill)
    }

    /// The same for the last frames of the sound, of an endpoint with last-buffer control (X1). They may be none:
    /// what was released last was the end then.
    ///
    /// # Errors
    /// As [`RenderPort::packet`]. A packet that is released with no frames for its fault is not the last one.
    pub fn last_packet(
        &mut self,
        frames: FrameCount,
        time: Option<&Position>,
        fill: impl FnOnce(&mut [u8]) -> Filled,
    ) -> Result<FrameCount, Fault> {
        self.exchange(frames, time, true, fill)
    }

    fn exchange(
        &mut self,
        frames: FrameCount,
        time: Option<&Position>,
        last: bool,
        fill: impl FnOnce(&mut [u8]) -> Filled,
    ) -> Result<FrameCount, Fault> {
        let frames = frames.min(self.limits.packet);
        let endpoint = &mut *self.endpoint;
        let mut scope = RenderScope { endpoint, acquired: false, last: false, filled: Filled::NOTHING };
        let answer = scope.endpoint.acquire(frames, time);
        scope.acquired = true;
        let Some(data) = answer else {
            return Err(Fault::NoBuffer { requirement: Requirement::T7, asked: frames.get() });
        };
        self.limits.check_data(frames, data, Requirement::T7)?;
        let filled = fill(data);
        scope.filled = match filled.flag {
            BufferFlag::Invalid => Filled::NOTHING,
            flag => Filled { frames: filled.frames.min(frames), flag },
        };
        scope.last = last;
        Ok(scope.filled.frames)
    }

    /// The end of a pass (T11, T12): ProcessingComplete, then PulseEndpoint.
    pub fn complete(&mut self) {
        self.endpoint.processing_complete();
        self.endpoint.pulse();
    }
}

/// Between acquire and release. Whichever way it is left, the release happens, once.
///
/// Where acquire itself panicked nothing was acquired, and nothing is released: a second panic during the first would
/// end the process.
struct RenderScope<'a> {
    endpoint: &'a mut dyn OutputEndpointRt,
    acquired: bool,
    /// Nothing comes after it.
    last: bool,
    filled: Filled,
}

impl Drop for RenderScope<'_> {
    fn drop(&mut self) {
        let Filled { frames, flag } = self.filled;
        match (self.acquired, self.last) {
            (false, _) => {}
            (true, false) => self.endpoint.release(frames, flag),
            (true, true) => self.endpoint.release_last(frames, flag),
        }
    }
}

impl CapturePort {
    /// How many frames are ready, and the position record (T1, T2).
    ///
    /// # Errors
    /// A [`Fault`] where time and frames disagree.
    pub fn padding(&mut self) -> Result<(FrameCount, Position), Fault> {
        let padding = self.endpoint.current_padding();
        let frames = self.limits.padding_frames(&padding)?;
        Ok((FrameCount::new(u32::try_from(frames).unwrap_or(u32::MAX)), padding.position))
    }

    /// One acquire and its release (T5, T6, T9). `take` is handed the bytes of `frames` frames (held to the packet
    /// size, T3), or `None` where they are silent (T10: silent bytes are not read), and the position record of the
    /// data; it says how many frames it used.
    ///
    /// If `take` panics, nothing counts as used while the panic passes through.
    ///
    /// # Errors
    /// A [`Fault`] where the endpoint gives no buffer, or one of a wrong length, alignment or flag.
    pub fn packet(
        &mut self,
        frames: FrameCount,
        take: impl FnOnce(Option<&[u8]>, &Position) -> FrameCount,
    ) -> Result<FrameCount, Fault> {
        let frames = frames.min(self.limits.packet);
        let mut position = Position::default();
        let mut scope = CaptureScope { endpoint: &mut *self.endpoint, acquired: false, used: FrameCount::ZERO };
        let answer = scope.endpoint.acquire(frames, Some(&mut position));
        scope.acquired = true;
        let Some(captured) = answer else {
            return Err(Fault::NoBuffer { requirement: Requirement::T5, asked: frames.get() });
        };
        self.limits.check_data(frames, captured.data, Requirement::T5)?;
        let data = match captured.flag {
            BufferFlag::Valid => Some(captured.data),
            BufferFlag::Silent => None,
            BufferFlag::Invalid => return Err(Fault::InvalidData),
        };
        let used = take(data, &position).min(frames);
        scope.used = used;
        Ok(used)
    }

    /// The end of a pass (T11; T12: capture is never pulsed).
    pub fn complete(&mut self) {
        self.endpoint.processing_complete();
    }
}

/// Between acquire and release, as [`RenderScope`].
struct CaptureScope<'a> {
    endpoint: &'a mut dyn InputEndpointRt,
    acquired: bool,
    used: FrameCount,
}

impl Drop for CaptureScope<'_> {
    fn drop(&mut self) {
        if self.acquired {
            self.endpoint.release(self.used);
        }
    }
}
