//! Frames: a descriptor of 20 bytes, then a control packet or a block of sound.

use super::reader::be_u32;
use crate::limits::{MAX_BLOCK, MAX_PACKET, MAX_PACKET_BEFORE_AUTH};

/// Bytes of a descriptor.
const DESCRIPTOR: usize = 20;
/// The channel of a control packet.
const CONTROL: u32 = u32::MAX;
/// The bits that say something of shared memory. None are agreed on here, so any of them is a breach.
const SHARED_MEMORY: u32 = 0xff00_0000;
const SEEK: u32 = 0xff;

/// Where a block of sound goes, counted in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SeekMode {
    /// From where the last block ended.
    Relative,
    /// From the stream's beginning.
    Absolute,
    /// From what is played next.
    RelativeOnRead,
    /// From the end of what was ever written.
    RelativeEnd,
}

/// What stands before a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) length: u32,
    pub(crate) channel: u32,
    pub(crate) offset: i64,
    pub(crate) seek: SeekMode,
}

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame speaks of shared memory, which was declined (flags {0:#x})")]
    SharedMemory(u32),
    #[error("a frame of {0} bytes")]
    Length(u32),
    #[error("seek mode {0}")]
    Seek(u32),
}

impl Descriptor {
    fn parse(bytes: &[u8; DESCRIPTOR], longest_packet: usize) -> Result<Self, FrameError> {
        let word = |index: usize| be_u32(bytes.get(index * 4..).unwrap_or_default());
        let (length, channel, flags) = (word(0), word(1), word(4));
        if flags & SHARED_MEMORY != 0 {
            return Err(FrameError::SharedMemory(flags));
        }
        let longest = if channel == CONTROL { u32::try_from(longest_packet).unwrap_or(MAX_BLOCK) } else { MAX_BLOCK };
        if length == 0 || length > longest {
            return Err(FrameError::Length(length));
        }
        let seek = match flags & SEEK {
            _ if channel == CONTROL => SeekMode::Relative,
            0 => SeekMode::Relative,
            1 => SeekMode::Absolute,
            2 => SeekMode::RelativeOnRead,
            3 => SeekMode::RelativeEnd,
            other => return Err(FrameError::Seek(other)),
        };
        let offset = (u64::from(word(2)) << 32 | u64::from(word(3))).cast_signed();
        Ok(Self { length, channel, offset, seek })
    }
}

/// What comes out of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A whole control packet.
    Packet(Vec<u8>),
    /// Some bytes of a block, in order. `first` and `last` say where in the block.
    Sound { descriptor: Descriptor, bytes: &'a [u8], first: bool, last: bool },
}

#[derive(Debug)]
enum State {
    Descriptor,
    Packet { length: usize },
    Sound { descriptor: Descriptor, left: u32 },
}

/// Cuts bytes into frames. Memory is taken for what has come, not for what was announced.
#[derive(Debug)]
pub(crate) struct Frames {
    state: State,
    /// What has come of a descriptor or a packet.
    held: Vec<u8>,
    longest_packet: usize,
}

impl Frames {
    pub(crate) const fn new() -> Self {
        Self { state: State::Descriptor, held: Vec::new(), longest_packet: MAX_PACKET_BEFORE_AUTH }
    }

    /// Longer packets are fine from here on.
    pub(crate) fn trust(&mut self) {
        self.longest_packet = MAX_PACKET;
    }

    /// Takes bytes from the front of `bytes` until a piece is whole; none when they are used up.
    pub(crate) fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Piece<'a>>, FrameError> {
        loop {
            match self.state {
                State::Descriptor => {
                    if !self.gather(bytes, DESCRIPTOR) {
                        return Ok(None);
                    }
                    let mut raw = [0; DESCRIPTOR];
                    for (to, from) in raw.iter_mut().zip(&self.held) {
                        *to = *from;
                    }
                    self.held.clear();
                    let descriptor = Descriptor::parse(&raw, self.longest_packet)?;
                    self.state = if descriptor.channel == CONTROL {
                        State::Packet { length: usize::try_from(descriptor.length).unwrap_or(usize::MAX) }
                    } else {
                        State::Sound { descriptor, left: descriptor.length }
                    };
                }
                State::Packet { length } => {
                    if !self.gather(bytes, length) {
                        return Ok(None);
                    }
                    self.state = State::Descriptor;
                    return Ok(Some(Piece::Packet(std::mem::take(&mut self.held))));
                }
                State::Sound { descriptor, left } => {
                    if bytes.is_empty() {
                        return Ok(None);
                    }
                    let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let (now, rest) = bytes.split_at(wanted);
                    *bytes = rest;
                    let after = left.saturating_sub(u32::try_from(wanted).unwrap_or(u32::MAX));
                    self.state = if after == 0 { State::Descriptor } else { State::Sound { descriptor, left: after } };
                    let first = left == descriptor.length;
                    return Ok(Some(Piece::Sound { descriptor, bytes: now, first, last: after == 0 }));
                }
            }
        }
    }

    /// Whether `length` bytes are held now.
    fn gather(&mut self, bytes: &mut &[u8], length: usize) -> bool {
        let wanted = length.saturating_sub(self.held.len()).min(bytes.len());
        let (now, rest) = bytes.split_at(wanted);
        self.held.extend_from_slice(now);
        *bytes = rest;
        self.held.len() == length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: u32, channel: u32, offset: i64, flags: u32, body: &[u8]) -> Vec<u8> {
        let head = [
            length,
            channel,
            u32::try_from(offset >> 32 & 0xffff_ffff).expect("a word"),
            u32::try_from(offset & 0xffff_ffff).expect("a word"),
            flags,
        ];
        head.iter().flat_map(|word| word.to_be_bytes()).chain(body.iter().copied()).collect()
    }

    #[test]
    fn a_packet_comes_whole_whatever_the_cuts() {
        let bytes = [frame(3, CONTROL, 0, 0, b"abc"), frame(1, CONTROL, 0, 0, b"d")].concat();
        for cut in 1..bytes.len() {
            let mut frames = Frames::new();
            let mut packets = Vec::new();
            for mut part in bytes.chunks(cut) {
                while let Some(Piece::Packet(packet)) = frames.next(&mut part).expect("frames") {
                    packets.push(packet);
                }
            }
            assert_eq!(packets, [b"abc".to_vec(), b"d".to_vec()], "cut every {cut} bytes");
        }
    }

    #[test]
    fn sound_comes_as_it_comes() {
        let bytes = frame(4, 7, -8, 3, &[1, 2, 3, 4]);
        let mut frames = Frames::new();
        let (mut one, mut two) = bytes.split_at(22);
        let descriptor = Descriptor { length: 4, channel: 7, offset: -8, seek: SeekMode::RelativeEnd };
        assert_eq!(
            frames.next(&mut one),
            Ok(Some(Piece::Sound { descriptor, bytes: &[1, 2], first: true, last: false }))
        );
        assert_eq!(frames.next(&mut one), Ok(None));
        assert_eq!(
            frames.next(&mut two),
            Ok(Some(Piece::Sound { descriptor, bytes: &[3, 4], first: false, last: true }))
        );
    }

    #[test]
    fn lengths_flags_and_modes_out_of_range_end_it() {
        let after = |bytes: Vec<u8>, trusted: bool| {
            let mut frames = Frames::new();
            if trusted {
                frames.trust();
            }
            frames.next(&mut &bytes[..]).map(|_| ())
        };
        assert_eq!(after(frame(0, CONTROL, 0, 0, b""), true), Err(FrameError::Length(0)));
        assert_eq!(after(frame(4097, CONTROL, 0, 0, b""), false), Err(FrameError::Length(4097)));
        assert_eq!(after(frame(4097, CONTROL, 0, 0, b""), true), Ok(()));
        assert_eq!(after(frame(0x10_0001, CONTROL, 0, 0, b""), true), Err(FrameError::Length(0x10_0001)));
        assert_eq!(after(frame(0x0100_0001, 0, 0, 0, b""), true), Err(FrameError::Length(0x0100_0001)));
        assert_eq!(after(frame(4, 0, 0, 4, b""), true), Err(FrameError::Seek(4)));
        for flags in [0x8000_0000, 0x4000_0000, 0xc000_0000, 0x2000_0000] {
            assert_eq!(after(frame(4, 0, 0, flags, b""), true), Err(FrameError::SharedMemory(flags)));
        }
    }
}
