//! The queue from the endpoint's real-time half to the pump.

use soundpost_core::{Format, FrameCount, FramePosition, Hns, Instant};
use soundpost_queue::frames::{self, FrameReader, FrameWriter};

/// What the engine released in one go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Packet {
    /// The first frame's place in the stream.
    pub(super) position: FramePosition,
    /// How many frames.
    pub(super) frames: FrameCount,
    /// When the first frame is due, by the endpoint's clock.
    pub(super) due: Instant,
    /// Silence has no bytes in the queue.
    pub(super) silent: bool,
    /// How often the endpoint had been reset by then.
    pub(super) resets: u64,
}

/// How much time of sound the queue holds; more than a network task is ever away while all is well.
const CAPACITY: Hns = Hns::from_millis(500);
/// Packets that the queue holds: [`CAPACITY`] in packets of a millisecond, shorter than the engine's shortest period.
const PACKETS: FrameCount = FrameCount::new(500);

/// A queue for packets of this format. Takes all its memory here.
pub(super) fn packet_queue(format: Format) -> (PacketSender, PacketReceiver) {
    let (bytes, reader) = frames::queue(format.rate.frames_covering(CAPACITY), format.frame_bytes());
    let (packets, receiver) = frames::queue(PACKETS, 1);
    (PacketSender { packets, bytes }, PacketReceiver { packets: receiver, bytes: reader })
}

/// The real-time side. Never waits or allocates.
pub(super) struct PacketSender {
    packets: FrameWriter<Packet>,
    bytes: FrameWriter<u8>,
}

impl PacketSender {
    /// Queues a packet with its bytes; answers whether there was room for all of it. `sound` is not looked at for a
    /// silent packet.
    pub(super) fn push(&mut self, packet: Packet, sound: &[u8]) -> bool {
        if self.packets.room().is_zero() || (!packet.silent && self.bytes.room() < packet.frames) {
            return false;
        }
        // The bytes first: a reader that sees the packet sees them too.
        if !packet.silent {
            self.bytes.write(sound);
        }
        !self.packets.write(&[packet]).is_zero()
    }
}

/// The pump's side.
pub(super) struct PacketReceiver {
    packets: FrameReader<Packet>,
    bytes: FrameReader<u8>,
}

impl PacketReceiver {
    /// The next packet; its sound must be taken by [`PacketReceiver::read`] or [`PacketReceiver::skip`].
    pub(super) fn pop(&mut self) -> Option<Packet> {
        let mut packet = [Packet::default()];
        let there = !self.packets.read(&mut packet).is_zero();
        let [packet] = packet;
        there.then_some(packet)
    }

    /// Fills `out` with the popped packet's sound.
    pub(super) fn read(&mut self, out: &mut [u8]) {
        self.bytes.read(out);
    }

    /// Throws the popped packet's sound away.
    pub(super) fn skip(&mut self, packet: &Packet) {
        if !packet.silent {
            self.bytes.discard(packet.frames);
        }
    }
}
