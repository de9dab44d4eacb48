//! The memory that acquire hands out.

use soundpost_core::{Format, FrameCount};

use crate::BufferPlan;

/// Room for one packet of the longest period that the engine runs at, aligned to a sample (T5, T7).
///
/// Made whole at the start, so that no SetBuffer has to hand memory over to the real-time half.
#[derive(Debug)]
pub struct PacketBuffer {
    format: Format,
    memory: Box<[u8]>,
    /// Where the aligned part begins; the heap memory of a box does not move.
    start: usize,
}

impl PacketBuffer {
    const ALIGNMENT: usize = 16;

    /// Room for packets of this format. Allocates: control side only.
    #[must_use]
    pub fn new(format: Format) -> Self {
        let bytes = format.bytes_of(format.rate.frames_covering(BufferPlan::LONGEST_PERIOD));
        let memory = vec![format.sample.silence_byte(); bytes + Self::ALIGNMENT].into_boxed_slice();
        let start = memory.as_ptr().align_offset(Self::ALIGNMENT).min(Self::ALIGNMENT);
        Self { format, memory, start }
    }

    /// The bytes of `frames` frames; `None` where that is more than [`BufferPlan::LONGEST_PERIOD`]. Any thread.
    pub fn get(&mut self, frames: FrameCount) -> Option<&mut [u8]> {
        self.memory.get_mut(self.start..)?.get_mut(..self.format.bytes_of(frames))
    }

    /// The format that the room is for.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }
}
