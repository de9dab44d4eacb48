//! What can be wrong with what comes on a virtual channel.

use crate::counters::fault_counters;

fault_counters! {
    /// Why a message, or a part of one, was dropped.
    kind MuxFault;
    /// How often each [`MuxFault`] came.
    table MuxCounters;

    /// Data for a static channel that is neither `rdpsnd` nor `drdynvc`.
    UnknownStaticChannel = "unknown_static_channel",
    /// Less than a CHANNEL_PDU_HEADER.
    ShortChannelHeader = "short_channel_header",
    /// A chunk with CHANNEL_PACKET_COMPRESSED or CHANNEL_PACKET_FLUSHED: compression was never agreed on.
    CompressedChunk = "compressed_chunk",
    /// A static channel message that claims to be longer than [`MAX_MESSAGE`](crate::mux::MAX_MESSAGE).
    MessageTooLong = "message_too_long",
    /// A chunk that is not its message's first, without a message to belong to.
    ChunkWithoutFirst = "chunk_without_first",
    /// A message that ended, or was replaced by another, before its claimed length had come.
    MessageIncomplete = "message_incomplete",
    /// More bytes than the message's claimed length.
    MessageOverrun = "message_overrun",
    /// An audio message on `rdpsnd` while audio does not travel by it.
    AudioNotOpen = "audio_not_open",
    /// A dynamic channel PDU that is cut short, or whose header says nothing known.
    DvcMalformed = "dvc_malformed",
    /// A dynamic channel PDU that may not come at this point, or from a client at all.
    DvcUnexpected = "dvc_unexpected",
    /// A capability response with a version that was not asked for.
    DvcVersion = "dvc_version",
    /// A PDU for a dynamic channel that never existed.
    DvcUnknownChannel = "dvc_unknown_channel",
    /// A PDU for a dynamic channel that is not open yet, or no longer.
    DvcChannelNotOpen = "dvc_channel_not_open",
    /// A second answer to a create request.
    DvcDuplicateCreate = "dvc_duplicate_create",
    /// A compressed data PDU: compression was never agreed on.
    DvcCompressed = "dvc_compressed",
    /// A message on a dynamic channel that claims to be longer than the channel allows.
    DvcTooLong = "dvc_too_long",
    /// A message on a dynamic channel that was replaced by another before it was complete.
    DvcIncomplete = "dvc_incomplete",
    /// More bytes than a dynamic channel message's claimed length.
    DvcOverrun = "dvc_overrun",
}
