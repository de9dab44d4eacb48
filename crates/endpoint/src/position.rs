//! Where a stream is.

use soundpost_core::{FramePosition, Hns};

/// How a position record relates to the one before (T2, AE_POSITION_FLAGS). The numbers are the reference's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(i32)]
pub enum PositionFlag {
    /// The record must not be used (POSITION_INVALID).
    #[default]
    Invalid = 0,
    /// Valid, but not correlated with the record before: after a glitch or a change of state (POSITION_DISCONTINUOUS).
    Discontinuous = 1,
    /// This and the previous packet sit on one timeline (POSITION_CONTINUOUS).
    Continuous = 2,
    /// The frames are valid, the time is not (POSITION_QPC_ERROR).
    TimestampError = 4,
}

/// A position record (T2, AE_CURRENT_POSITION).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Position {
    /// Frames that the device has played or recorded (u64DevicePosition).
    pub device: FramePosition,
    /// Frames exchanged with the engine since Start or Reset (u64StreamPosition). Render: written. Capture: the index
    /// of the next packet's first frame.
    pub stream: FramePosition,
    /// Frames from the current position to the stream's fill point (u64PaddingFrames). Render: `stream − device`.
    pub padding: u64,
    /// When `device` was read: CLOCK_MONOTONIC, or the performance counter, in 100 ns (hnsQPCPosition).
    pub time: Hns,
    /// The device's calculated rate in frames per second (f32FramesPerSecond).
    pub frames_per_second: f32,
    /// Whether and how the record may be used.
    pub flag: PositionFlag,
}

/// The answer to "how much is queued" (T1, GetCurrentPadding).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CurrentPadding {
    /// The padding as time. Agrees with the record's frames within one frame.
    pub time: Hns,
    /// The position record.
    pub position: Position,
}
