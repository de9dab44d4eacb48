//! Control packets and blocks of sound, written with the crate `pulseaudio`.

use std::ffi::CStr;

#[cfg(test)]
use pulseaudio::protocol::ChannelPosition;
use pulseaudio::protocol::{CommandTag, ProtocolError, TagStructWrite, TagStructWriter};

use crate::limits::MAX_REPLY;
use crate::time::WallTime;

/// What a packet that answers nothing has for a number.
const UNASKED: u32 = u32::MAX;

/// A control packet that is being written, with room for its descriptor in front.
#[derive(Debug)]
pub(crate) struct Packet {
    bytes: Vec<u8>,
    version: u16,
    failed: bool,
}

impl Packet {
    /// The answer to the client's packet `sequence`.
    pub(crate) fn reply(sequence: u32, version: u16) -> Self {
        Self::new(CommandTag::Reply, sequence, version)
    }

    /// What the server says unasked.
    pub(crate) fn event(command: CommandTag, version: u16) -> Self {
        Self::new(command, UNASKED, version)
    }

    /// The error `code` for the client's packet `sequence`.
    pub(crate) fn error(sequence: u32, code: u32) -> Self {
        let mut packet = Self::new(CommandTag::Error, sequence, 0);
        packet.u32(code);
        packet
    }

    fn new(command: CommandTag, sequence: u32, version: u16) -> Self {
        let mut packet = Self { bytes: vec![0; 20], version, failed: false };
        packet.u32(command_number(command));
        packet.u32(sequence);
        packet
    }

    pub(crate) const fn version(&self) -> u16 {
        self.version
    }

    fn with(&mut self, version: u16, write: impl FnOnce(&mut TagStructWriter<'_>) -> Result<(), ProtocolError>) {
        // Writing into memory cannot fail, but the signature says that it might: then nothing is sent.
        self.failed |= write(&mut TagStructWriter::new(&mut self.bytes, version)).is_err();
    }

    /// Anything that the crate can write, as `version` has it.
    pub(crate) fn put(&mut self, value: impl TagStructWrite) {
        self.with(self.version, |writer| writer.write(value));
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.with(0, |writer| writer.write_u32(value));
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.with(0, |writer| writer.write_u64(value));
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.with(0, |writer| writer.write_i64(value));
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.with(0, |writer| writer.write_bool(value));
    }

    pub(crate) fn micros(&mut self, value: u64) {
        self.with(0, |writer| writer.write_usec(value));
    }

    pub(crate) fn time_of_day(&mut self, value: WallTime) {
        self.with(0, |writer| writer.write_timeval_raw(value.seconds, value.micros));
    }

    pub(crate) fn string(&mut self, value: Option<&CStr>) {
        self.with(0, |writer| writer.write_string(value));
    }

    /// The frame; none where it got longer than a client takes.
    pub(crate) fn finish(mut self) -> Option<Vec<u8>> {
        let length = self.bytes.len().checked_sub(20).filter(|&length| !self.failed && length <= MAX_REPLY)?;
        let head = descriptor(u32::try_from(length).ok()?, u32::MAX);
        for (to, from) in self.bytes.iter_mut().zip(head) {
            *to = from;
        }
        Some(self.bytes)
    }
}

/// A packet of one or two numbers that nobody asked for, without memory of its own: what streams send all the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Short {
    bytes: [u8; 40],
    length: usize,
}

impl Short {
    pub(crate) fn one(command: CommandTag, value: u32) -> Self {
        Self::of(command, &[value])
    }

    pub(crate) fn two(command: CommandTag, first: u32, second: u32) -> Self {
        Self::of(command, &[first, second])
    }

    fn of(command: CommandTag, values: &[u32]) -> Self {
        let body = 10 + 5 * values.len();
        let head = descriptor(u32::try_from(body).unwrap_or(0), u32::MAX);
        let numbers = [command_number(command), UNASKED].into_iter().chain(values.iter().copied());
        let mut bytes = [0; 40];
        if let Some((place, tagged)) = bytes.split_first_chunk_mut() {
            *place = head;
            for (place, number) in tagged.as_chunks_mut().0.iter_mut().zip(numbers) {
                let [a, b, c, d] = number.to_be_bytes();
                *place = [b'L', a, b, c, d];
            }
        }
        Self { bytes, length: 20 + body }
    }

    /// The frame.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// The number of a command.
pub(crate) fn command_number(command: CommandTag) -> u32 {
    #[expect(clippy::as_conversions, reason = "the number of a field-less variant")]
    {
        u32::from(command as u8)
    }
}

/// The number of a channel's place.
#[cfg(test)]
pub(crate) fn number_of(place: ChannelPosition) -> u8 {
    #[expect(clippy::as_conversions, reason = "the number of a field-less variant")]
    {
        place as u8
    }
}

fn descriptor(length: u32, channel: u32) -> [u8; 20] {
    let mut head = [0; 20];
    for (to, from) in head.iter_mut().zip(length.to_be_bytes().into_iter().chain(channel.to_be_bytes())) {
        *to = from;
    }
    head
}

/// The descriptor of a block of `length` bytes of sound for the client's stream `channel`.
pub(crate) fn memblock(channel: u32, length: u32) -> [u8; 20] {
    descriptor(length, channel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_framed() {
        let error = Packet::error(7, 5).finish().expect("a frame");
        assert_eq!(error, b"\0\0\0\x0f\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0L\0\0\0\0L\0\0\0\x07L\0\0\0\x05");
        let reply = Packet::reply(1, 35).finish().expect("a frame");
        assert_eq!(reply, b"\0\0\0\x0a\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0L\0\0\0\x02L\0\0\0\x01");
    }

    #[test]
    fn short_packets_are_what_long_ones_would_be() {
        let mut long = Packet::event(CommandTag::Request, 35);
        long.u32(7);
        assert_eq!(Short::one(CommandTag::Request, 7).bytes(), long.finish().expect("a frame"));
        let mut long = Packet::event(CommandTag::Request, 35);
        long.u32(7);
        long.u32(0x0102_0304);
        assert_eq!(Short::two(CommandTag::Request, 7, 0x0102_0304).bytes(), long.finish().expect("a frame"));
    }

    #[test]
    fn what_a_client_would_not_take_is_not_sent() {
        let mut packet = Packet::reply(1, 35);
        for _ in 0..MAX_REPLY / 5 {
            packet.u32(0);
        }
        assert_eq!(packet.finish(), None);
    }
}
