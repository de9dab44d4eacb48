//! Bounded lock-free queues and snapshots between control and real-time side.

#![forbid(unsafe_code)]

mod commands;
mod frames;

pub use commands::{CommandReceiver, CommandSender, command_queue};
pub use frames::{FrameReader, FrameWriter, frame_queue};
