//! The real-time half: what the real-time thread calls.
//!
//! Every method here is called on the real-time thread, once the endpoint is attached and started: it does not
//! allocate, lock, block, touch paged-out memory or call a blocking system call, and it does not panic (T, X2).

use soundpost_core::FrameCount;

use crate::{BufferFlag, CurrentPadding, EndpointError, Position};

/// What both directions share (IAudioEndpointRT). Real-time thread only.
pub trait EndpointRt: Send {
    /// How much is queued, and where the stream is (T1, T2, GetCurrentPadding). Render: frames queued to play.
    /// Capture: frames ready in the next packet.
    fn current_padding(&mut self) -> CurrentPadding;

    /// A pass is over: data can move to or from the device now (T11, ProcessingComplete). Called once a pass, after
    /// its releases.
    fn processing_complete(&mut self);

    /// Prepares the underlying streaming resource (T13, SetPinActive). Harmless when repeated.
    ///
    /// # Errors
    /// Whatever keeps the resource from running; the engine treats it as a fault.
    fn set_pin_active(&mut self) -> Result<(), EndpointError> {
        Ok(())
    }

    /// Idles the underlying streaming resource (T13, SetPinInactive). Harmless when repeated.
    ///
    /// # Errors
    /// Whatever keeps the resource from idling; the engine treats it as a fault.
    fn set_pin_inactive(&mut self) -> Result<(), EndpointError> {
        Ok(())
    }
}

/// A sink (IAudioOutputEndpointRT). Real-time thread only, and only through a [`crate::RenderPort`].
pub trait OutputEndpointRt: EndpointRt {
    /// Gives a buffer for `frames` frames (at most E2), whose bytes are not valid before `release` (T7,
    /// GetOutputDataPointer). It is exactly so long, and aligned to a sample. `time` tells when the first frame is
    /// meant to sound, where the engine knows it. `None` is a fault.
    ///
    /// The count is not kept: how many frames come is said by `release` alone.
    fn acquire(&mut self, frames: FrameCount, time: Option<&Position>) -> Option<&mut [u8]>;

    /// Takes the first `frames` frames of the acquired buffer (T8, ReleaseOutputDataPointer): maybe fewer than asked,
    /// maybe none. [`BufferFlag::Silent`]: play silence, the bytes may be anything. [`BufferFlag::Invalid`] comes with
    /// no frames only.
    fn release(&mut self, frames: FrameCount, flag: BufferFlag);

    /// Takes the last frames of the sound (X1, ReleaseOutputDataPointerForLastBuffer): as [`OutputEndpointRt::release`],
    /// in its place, for an endpoint whose control half answers [`crate::AudioEndpoint::last_buffer_control`]. The count
    /// is exact: the sound ends with its last frame, which may be the last of an earlier release when it is 0. The
    /// endpoint plays what it has and then rests: running dry is no underrun, and nothing comes until sound begins
    /// anew.
    fn release_last(&mut self, frames: FrameCount, flag: BufferFlag) {
        self.release(frames, flag);
    }

    /// Reserved (T12, PulseEndpoint): the engine calls it after `processing_complete`. An endpoint that drives the
    /// engine must not signal its event here.
    fn pulse(&mut self) {}
}

/// What a capture endpoint answers to an acquire.
#[derive(Clone, Copy, Debug)]
pub struct Captured<'a> {
    /// All frames asked for, also when they are silent: exactly so many bytes, aligned to a sample.
    pub data: &'a [u8],
    /// [`BufferFlag::Valid`] or [`BufferFlag::Silent`]; silent data is never read (T10).
    pub flag: BufferFlag,
}

/// A source (IAudioInputEndpointRT). Real-time thread only, and only through a [`crate::CapturePort`].
pub trait InputEndpointRt: EndpointRt {
    /// Gives the next `frames` frames (T5, GetInputDataPointer); what the endpoint does not have, it fills with
    /// silence. No frames is legal. Where `position` is given, the time stamp of this data is written to it. The count
    /// is not kept between calls. `None` is a fault.
    fn acquire(&mut self, frames: FrameCount, position: Option<&mut Position>) -> Option<Captured<'_>>;

    /// Moves on by the frames really used (T6, ReleaseInputDataPointer): after 0 the same frames come again, unless
    /// the source overran.
    fn release(&mut self, used: FrameCount);

    /// Reserved (T12, PulseEndpoint): the engine never calls it on capture; it must be callable.
    fn pulse(&mut self) {}
}
