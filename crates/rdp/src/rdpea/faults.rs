//! What can be wrong with what an audio client sends.

use crate::counters::fault_counters;

fault_counters! {
    /// Why a PDU, or a part of one, was ignored (MS-RDPEA 3.1.5: malformed and out-of-sequence PDUs are ignored).
    kind RdpeaFault;
    /// How often each [`RdpeaFault`] came.
    table RdpeaCounters;

    /// A PDU that is shorter than its fields.
    Truncated = "truncated",
    /// A PDU type that a client does not send.
    UnknownType = "unknown_type",
    /// A value outside of what the field allows.
    InvalidField = "invalid_field",
    /// A PDU that may not come at this point.
    OutOfSequence = "out_of_sequence",
    /// A list of formats longer than [`MAX_CLIENT_FORMATS`](crate::rdpea::MAX_CLIENT_FORMATS); the rest was not read.
    FormatListCut = "format_list_cut",
    /// A format in the client's list that was never offered (or PCM whose block size contradicts its channels and bits).
    ForeignFormat = "foreign_format",
    /// A Training Confirm that answers no training of ours.
    UnexpectedTraining = "unexpected_training",
    /// A confirmation of a block that was never sent, or sent too long ago.
    UnknownBlock = "unknown_block",
    /// A third or further confirmation of the same block.
    RepeatedConfirm = "repeated_confirm",
    /// A confirmation whose time stamp lies before the wave's; the time held was taken as 0.
    OddTimestamp = "odd_timestamp",
}
