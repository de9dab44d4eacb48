//! What an endpoint answers when it cannot, and what the engine reports when an endpoint breaks the contract.

use soundpost_core::Hns;
use thiserror::Error;

use crate::Requirement;

/// Why an endpoint refuses a call. `Copy` and without allocation, so that a real-time half can answer with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// `set_buffer` has not succeeded yet (AEERR_NOT_INITIALIZED).
    #[error("the endpoint is not initialised: call set_buffer first")]
    NotInitialized,
    /// Only a stopped endpoint can do this (AUDCLNT_E_NOT_STOPPED).
    #[error("the endpoint is running: stop it first")]
    NotStopped,
    /// Only a running endpoint can do this.
    #[error("the endpoint is not running: start it first")]
    NotStarted,
    /// The endpoint is in exclusive use, or was initialised and cannot be used exclusively (AUDCLNT_E_DEVICE_IN_USE).
    #[error("the endpoint is in use in another mode: release it first")]
    InUse,
    /// A stream flag that is not known or that the endpoint cannot honour (AUDCLNT_E_INVALID_STREAM_FLAG).
    #[error("stream flags {bits:#010x} are not supported: leave them out")]
    InvalidStreamFlag {
        /// The offending bits.
        bits: u32,
    },
    /// An event without the event-callback flag (AUDCLNT_E_EVENTHANDLE_NOT_EXPECTED).
    #[error("an event was not expected: set the event-callback stream flag before set_buffer")]
    EventNotExpected,
    /// Started with the event-callback flag but without an event (AUDCLNT_E_EVENTHANDLE_NOT_SET).
    #[error("the event is missing: hand it over with set_event before start")]
    EventNotSet,
    /// A period that the device cannot run at (AUDCLNT_E_INVALID_DEVICE_PERIOD).
    #[error("a period of {asked} is outside of the device's range: use {shortest} to {longest}")]
    PeriodOutOfRange {
        /// The period that was asked for.
        asked: Hns,
        /// The device's shortest.
        shortest: Hns,
        /// The device's longest.
        longest: Hns,
    },
    /// A shared buffer that cannot be had in exclusive mode (AUDCLNT_E_BUFFER_SIZE_ERROR).
    #[error("a buffer of {asked} cannot be had: use {shortest} (two periods) to {longest}")]
    BufferOutOfRange {
        /// The length that was asked for.
        asked: Hns,
        /// The shortest at this period.
        shortest: Hns,
        /// The longest.
        longest: Hns,
    },
    /// The endpoint does not offer exclusive mode (AUDCLNT_E_EXCLUSIVE_MODE_NOT_ALLOWED).
    #[error("the endpoint does not offer exclusive mode: use it through its device")]
    ExclusiveNotAllowed,
    /// A list with one entry per channel is too short or too long (E_INVALIDARG, X1).
    #[error("{asked} channels were given where the endpoint has {channels}: give one value for each")]
    WrongChannels {
        /// Entries in the list.
        asked: usize,
        /// Channels of the endpoint.
        channels: u16,
    },
    /// A volume cannot change in this way (E_INVALIDARG, X1).
    #[error("a volume cannot change within {duration}: use a positive time with a curve, or 0 without one")]
    VolumeChange {
        /// The duration that was asked for.
        duration: Hns,
    },
    /// The device itself failed or is gone (AUDCLNT_E_DEVICE_INVALIDATED).
    #[error("the device failed: {reason}")]
    Device {
        /// What happened, in a few words.
        reason: &'static str,
    },
}

/// A breach of the contract by an attached endpoint, seen by the engine (X3). The engine detaches that endpoint, and
/// only that one (R4), and names the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// Acquire gave no buffer.
    #[error("acquire gave no buffer for {asked} frames")]
    NoBuffer {
        /// Which requirement that breaks: T5 or T7.
        requirement: Requirement,
        /// Frames that were asked for.
        asked: u32,
    },
    /// Acquire gave a buffer of another length than asked.
    #[error("acquire gave {got} bytes where {expected} were asked for")]
    WrongLength {
        /// Which requirement that breaks: T5 or T7.
        requirement: Requirement,
        /// Bytes that the frames asked for take.
        expected: usize,
        /// Bytes that came.
        got: usize,
    },
    /// Acquire gave a buffer that is not aligned to a sample.
    #[error("acquire gave a buffer that is not aligned to a sample of {alignment} bytes")]
    Misaligned {
        /// Which requirement that breaks: T5 or T7.
        requirement: Requirement,
        /// The alignment that a sample needs.
        alignment: usize,
    },
    /// A capture buffer flagged neither valid nor silent (T5).
    #[error("acquire flagged its data invalid")]
    InvalidData,
    /// The padding is more than the endpoint can hold (T1).
    #[error("a padding of {padding} frames in a buffer of {buffer}")]
    ImpossiblePadding {
        /// The padding that the endpoint reported.
        padding: u64,
        /// The length of its buffer in frames.
        buffer: u64,
    },
    /// The padding as time and as frames do not agree within a frame (T1).
    #[error("padding of {frames} frames, but {time} as time: they differ by more than a frame")]
    PaddingDisagrees {
        /// The record's frames.
        frames: u64,
        /// The time reported.
        time: Hns,
    },
    /// A method panicked.
    #[error("panic in {call}")]
    Panicked {
        /// The method.
        call: &'static str,
    },
    /// A method that has to succeed answered an error.
    #[error("{call} failed: {error}")]
    Failed {
        /// The method.
        call: &'static str,
        /// Its answer.
        error: EndpointError,
    },
    /// The endpoint's calls took too long, too often.
    #[error("{overruns} passes in a row exceeded the time allowed to the endpoint")]
    Overran {
        /// Passes in a row.
        overruns: u32,
    },
}

impl Fault {
    /// The requirement that was broken.
    #[must_use]
    pub const fn requirement(&self) -> Requirement {
        match self {
            Self::NoBuffer { requirement, .. }
            | Self::WrongLength { requirement, .. }
            | Self::Misaligned { requirement, .. } => *requirement,
            Self::InvalidData => Requirement::T5,
            Self::ImpossiblePadding { .. } | Self::PaddingDisagrees { .. } => Requirement::T1,
            Self::Panicked { .. } | Self::Overran { .. } => Requirement::X2,
            Self::Failed { .. } => Requirement::T13,
        }
    }
}
