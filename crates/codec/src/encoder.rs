//! What every encoder offers.

use soundpost_core::{Format, FrameCount};

use crate::WaveFormat;

/// Turns frames in a device's format into the bytes of a wire format. One encoder serves one stream: it may keep state
/// from call to call.
///
/// `encode` and `reset` may be called from the real-time thread: no allocation, no lock, no clock, no panic. Making an
/// encoder may allocate.
pub trait WireEncoder: Send {
    /// The format that goes in.
    fn device(&self) -> Format;

    /// The format that comes out.
    fn wire(&self) -> &WaveFormat;

    /// The frames that the encoder takes at a time; `encode` takes multiples of it and leaves the rest.
    fn frame_size(&self) -> FrameCount;

    /// Frames by which the sound that a decoder gives lies behind what went in.
    fn delay(&self) -> FrameCount;

    /// The most wire bytes that `frames` frames become.
    fn max_wire_bytes(&self, frames: FrameCount) -> usize;

    /// Encodes as much of `device` (whole frames of [`device`](Self::device)) as is a multiple of the frame size and
    /// fits into `wire`.
    ///
    /// # Errors
    /// [`EncodeError`] where `device` is not whole frames. Nothing is written then.
    fn encode(&mut self, device: &[u8], wire: &mut [u8]) -> Result<Encoded, EncodeError>;

    /// Forgets what was encoded so far: the next frame begins a new stream.
    fn reset(&mut self);
}

/// What one call of [`WireEncoder::encode`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Frames taken from the front of the input.
    pub frames: FrameCount,
    /// Bytes written to the front of the output.
    pub bytes: usize,
}

/// Input that cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The input ends within a frame.
    #[error("{bytes} bytes are not whole frames of {frame_bytes} bytes")]
    PartialFrame {
        /// Bytes of input.
        bytes: usize,
        /// Bytes of one frame.
        frame_bytes: usize,
    },
}

/// A pair of formats that an encoder cannot go between.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedEncoding {
    /// The wire format is not one of this encoder's.
    #[error("{0} is not PCM of 8 or 16 bits")]
    Wire(WaveFormat),
    /// Encoders change the type of a sample, not rate or channels: those are the engine's to convert.
    #[error("{device} cannot be encoded as {wire}: rate and channels must be the same")]
    Shape {
        /// The format that was to go in.
        device: Format,
        /// The format that was to come out.
        wire: WaveFormat,
    },
}
