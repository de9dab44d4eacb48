//! Bytes: frames, and the values in control packets.
//!
//! What comes from a client is read here, bounded and without a copy where none is needed. The crate `pulseaudio` writes
//! what goes to it (and its reading half checks that in tests): its reader takes memory by declared length, reaches a
//! panic for a time of day above its range, drops what follows the last value, and tells a value that PulseAudio
//! answers with "Invalid argument" no different from one that ends the connection.

mod frame;
mod reader;
mod writer;

pub(crate) use self::frame::{Descriptor, Frames, Piece, SeekMode};
pub(crate) use self::reader::{RawFormat, RawSpec, RawVolume, Reader, WireError};
#[cfg(test)]
pub(crate) use self::writer::number_of;
pub(crate) use self::writer::{Packet, Short, command_number, memblock};
