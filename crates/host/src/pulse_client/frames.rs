//! Frames: what comes over the connection, cut into packets and blocks of sound.

use super::reader::be_u32;

/// Bytes before each frame.
pub(super) const DESCRIPTOR: usize = 20;
/// The channel of a control packet.
const CONTROL: u32 = u32::MAX;
/// Longest control packet that is read: lists of many hundred modules fit.
const MAX_PACKET: usize = 4 << 20;
/// Longest block of sound: PulseAudio's own limit for a frame.
const MAX_BLOCK: usize = 16 << 20;

/// One frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A control packet.
    Packet(Vec<u8>),
    /// Sound of the record stream `channel`.
    Sound { channel: u32, bytes: Vec<u8> },
}

/// Bytes that came and are no whole frame yet. Holds as much as has come, not what was announced.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    at: usize,
}

impl Frames {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.at > 0 && self.at * 2 >= self.bytes.len() {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, &'static str> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some((head, rest)) = rest.split_at_checked(DESCRIPTOR) else { return Ok(None) };
        let word = |index: usize| be_u32(head.get(index * 4..).unwrap_or_default());
        let (length, channel, flags) = (word(0), word(1), word(4));
        if flags & 0xff00_0000 != 0 {
            return Err("a frame in shared memory, which was declined");
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > if channel == CONTROL { MAX_PACKET } else { MAX_BLOCK } {
            return Err("a frame of many megabytes");
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let body = body.to_vec();
        self.at += DESCRIPTOR + length;
        Ok(Some(if channel == CONTROL { Frame::Packet(body) } else { Frame::Sound { channel, bytes: body } }))
    }
}

/// The descriptor of a block of sound for the stream `channel`, which is appended where the last one ended.
pub(super) fn descriptor(channel: u32, length: u32) -> [u8; DESCRIPTOR] {
    let mut head = [0; DESCRIPTOR];
    for (to, from) in head.iter_mut().zip(length.to_be_bytes().into_iter().chain(channel.to_be_bytes())) {
        *to = from;
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(channel: u32, flags: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = descriptor(channel, u32::try_from(body.len()).unwrap()).to_vec();
        bytes[16..].copy_from_slice(&flags.to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn frames_come_whole_whatever_the_cuts() {
        let bytes = [frame(CONTROL, 0, b"abc"), frame(3, 0, b"sound"), frame(CONTROL, 0, b"")].concat();
        for cut in 1..bytes.len() {
            let (mut frames, mut got) = (Frames::default(), Vec::new());
            for part in bytes.chunks(cut) {
                frames.push(part);
                while let Some(frame) = frames.next().unwrap() {
                    got.push(frame);
                }
            }
            let sound = Frame::Sound { channel: 3, bytes: b"sound".to_vec() };
            assert_eq!(got, [Frame::Packet(b"abc".to_vec()), sound, Frame::Packet(Vec::new())], "cut every {cut}");
        }
    }

    #[test]
    fn lengths_and_flags_out_of_range_end_it() {
        let after = |bytes: &[u8]| {
            let mut frames = Frames::default();
            frames.push(bytes);
            frames.next()
        };
        assert!(after(&frame(0, 0x8000_0000, b"x")).is_err());
        assert!(after(&descriptor(CONTROL, u32::MAX)).is_err());
        assert!(after(&descriptor(0, 0x0100_0001)).is_err());
        assert_eq!(after(&descriptor(0, 0x0100_0000)), Ok(None));
    }
}
