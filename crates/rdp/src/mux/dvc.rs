//! The dynamic virtual channel manager, server side (MS-RDPEDYC), without compression and without soft-sync.
//!
//! Version 2 is asked for: a client that keeps to it sends no compressed data (that is version 3's), and reads the four
//! priority charges, which are not used here.
//!
//! The state of a channel is touched only after a PDU has been read whole, so that no half-read length can swallow what
//! follows it.

use std::collections::VecDeque;
use std::fmt;

use ironrdp_core::{NotEnoughBytesError, ReadCursor};

use super::faults::{MuxCounters, MuxFault};

const CMD_CREATE: u8 = 0x01;
const CMD_DATA_FIRST: u8 = 0x02;
const CMD_DATA: u8 = 0x03;
const CMD_CLOSE: u8 = 0x04;
const CMD_CAPABILITY: u8 = 0x05;
const CMD_DATA_FIRST_COMPRESSED: u8 = 0x06;
const CMD_DATA_COMPRESSED: u8 = 0x07;

/// The version that is asked for.
const VERSION: u16 = 2;

/// The most data bytes in one PDU (MS-RDPEDYC 2.2.3.2: 1,590 for a message that needs no DATA_FIRST). With the longest
/// header (9 bytes) a PDU still fits into one chunk of 1,600.
const MAX_DATA: usize = 1590;

/// The id of a dynamic channel. Never used twice in a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DvcId(u32);

#[derive(Debug, PartialEq, Eq)]
pub(super) enum DvcOutput {
    /// One PDU for the static channel `drdynvc`.
    Send(Vec<u8>),
    /// The client has answered with its version; channels can be created.
    Ready,
    Opened(DvcId),
    Refused {
        id: DvcId,
        status: u32,
    },
    Data {
        id: DvcId,
        message: Vec<u8>,
    },
    /// The client closed the channel.
    Closed(DvcId),
}

/// The dynamic channels of one connection: a table of channels by id, whatever they are for.
pub(super) struct DvcServer {
    phase: Phase,
    channels: Vec<Channel>,
    next_id: u32,
    outputs: VecDeque<DvcOutput>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    AwaitingVersion,
    Ready,
}

#[derive(Debug)]
struct Channel {
    id: DvcId,
    name: &'static str,
    limit: usize,
    state: ChannelState,
}

#[derive(Debug)]
enum ChannelState {
    Creating,
    /// Closed from this side before the client has answered: a late consent is answered with a close.
    Abandoned,
    Open,
    /// As `Open`, with `message` come of `length` bytes.
    Collecting {
        message: Vec<u8>,
        length: usize,
    },
}

impl DvcServer {
    pub(super) fn new() -> Self {
        Self { phase: Phase::Idle, channels: Vec::new(), next_id: 1, outputs: VecDeque::new() }
    }

    /// Asks the client for its version.
    pub(super) fn start(&mut self) {
        let mut pdu = vec![CMD_CAPABILITY << 4, 0];
        pdu.extend_from_slice(&VERSION.to_le_bytes());
        pdu.extend_from_slice(&[0; 8]);
        self.outputs.push_back(DvcOutput::Send(pdu));
        self.phase = Phase::AwaitingVersion;
    }

    /// Asks the client to open the channel `name`, on which messages of up to `limit` bytes may come.
    pub(super) fn create(&mut self, name: &'static str, limit: usize) -> DvcId {
        let id = DvcId(self.next_id);
        self.next_id = self.next_id.saturating_add(1);
        let mut pdu = pdu_for(CMD_CREATE, 0, id);
        pdu.extend_from_slice(name.as_bytes());
        pdu.push(0);
        self.outputs.push_back(DvcOutput::Send(pdu));
        self.channels.push(Channel { id, name, limit, state: ChannelState::Creating });
        id
    }

    /// Closes a channel from this side, or gives up waiting for it. `Closed` does not follow.
    pub(super) fn close(&mut self, id: DvcId) {
        let Some(index) = self.index_of(id) else { return };
        let Some(channel) = self.channels.get_mut(index) else { return };
        if matches!(channel.state, ChannelState::Creating | ChannelState::Abandoned) {
            channel.state = ChannelState::Abandoned;
        } else {
            self.channels.remove(index);
            self.outputs.push_back(DvcOutput::Send(pdu_for(CMD_CLOSE, 0, id)));
        }
    }

    /// Sends one message on a channel, in as many PDUs as it needs.
    pub(super) fn send(&mut self, id: DvcId, message: &[u8]) {
        if message.len() <= MAX_DATA {
            let mut pdu = pdu_for(CMD_DATA, 0, id);
            pdu.extend_from_slice(message);
            self.outputs.push_back(DvcOutput::Send(pdu));
            return;
        }
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        for (index, data) in message.chunks(MAX_DATA).enumerate() {
            let mut pdu;
            if index == 0 {
                pdu = pdu_for(CMD_DATA_FIRST, width_code(length), id);
                push_variable(&mut pdu, length);
            } else {
                pdu = pdu_for(CMD_DATA, 0, id);
            }
            pdu.extend_from_slice(data);
            self.outputs.push_back(DvcOutput::Send(pdu));
        }
    }

    /// Takes one message of the static channel `drdynvc`.
    pub(super) fn handle(&mut self, pdu: &[u8], counters: &mut MuxCounters) {
        if self.phase == Phase::Idle {
            counters.count(MuxFault::DvcUnexpected);
            return;
        }
        if let Err(fault) = self.try_handle(pdu, counters) {
            counters.count(fault);
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<DvcOutput> {
        self.outputs.pop_front()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.channels
            .iter()
            .map(|channel| match &channel.state {
                ChannelState::Collecting { message, .. } => message.capacity(),
                _ => 0,
            })
            .sum()
    }

    fn try_handle(&mut self, pdu: &[u8], counters: &mut MuxCounters) -> Result<(), MuxFault> {
        let mut rest = ReadCursor::new(pdu);
        let header = rest.try_read_u8().map_err(cut_short)?;
        let (command, second, id_code) = (header >> 4, (header >> 2) & 3, header & 3);
        if command == CMD_CAPABILITY {
            return self.handle_version(rest);
        }
        if !matches!(command, CMD_CREATE..=CMD_DATA_COMPRESSED) {
            return Err(MuxFault::DvcUnexpected);
        }
        let id = take_variable(&mut rest, id_code)?;
        let index = self.index_of(DvcId(id)).ok_or(if (1..self.next_id).contains(&id) {
            MuxFault::DvcChannelNotOpen
        } else {
            MuxFault::DvcUnknownChannel
        })?;
        match command {
            CMD_CREATE => self.handle_create(index, rest),
            CMD_CLOSE => self.handle_close(index, counters),
            CMD_DATA_FIRST => self.handle_data_first(index, second, rest, counters),
            CMD_DATA => self.handle_data(index, rest.remaining()),
            CMD_DATA_FIRST_COMPRESSED | CMD_DATA_COMPRESSED => {
                // What was collected cannot be completed any more.
                self.drop_collected(index, counters);
                Err(MuxFault::DvcCompressed)
            }
            // Soft-sync requests are never sent, so no answer to one can come; the rest is not known.
            _ => Err(MuxFault::DvcUnexpected),
        }
    }

    fn handle_version(&mut self, mut rest: ReadCursor<'_>) -> Result<(), MuxFault> {
        let _padding = rest.try_read_u8().map_err(cut_short)?;
        let version = rest.try_read_u16().map_err(cut_short)?;
        if self.phase != Phase::AwaitingVersion {
            return Err(MuxFault::DvcUnexpected);
        }
        if !(1..=VERSION).contains(&version) {
            return Err(MuxFault::DvcVersion);
        }
        self.phase = Phase::Ready;
        self.outputs.push_back(DvcOutput::Ready);
        Ok(())
    }

    fn handle_create(&mut self, index: usize, mut rest: ReadCursor<'_>) -> Result<(), MuxFault> {
        let status = rest.try_read_u32().map_err(cut_short)?;
        // An HRESULT: the sign bit says failure.
        let refused = status & 0x8000_0000 != 0;
        let channel = self.channels.get_mut(index).ok_or(MuxFault::DvcUnknownChannel)?;
        let id = channel.id;
        match channel.state {
            ChannelState::Creating if refused => {
                self.channels.remove(index);
                self.outputs.push_back(DvcOutput::Refused { id, status });
            }
            ChannelState::Creating => {
                channel.state = ChannelState::Open;
                self.outputs.push_back(DvcOutput::Opened(id));
            }
            ChannelState::Abandoned => {
                self.channels.remove(index);
                if !refused {
                    self.outputs.push_back(DvcOutput::Send(pdu_for(CMD_CLOSE, 0, id)));
                }
            }
            ChannelState::Open | ChannelState::Collecting { .. } => return Err(MuxFault::DvcDuplicateCreate),
        }
        Ok(())
    }

    fn handle_close(&mut self, index: usize, counters: &mut MuxCounters) -> Result<(), MuxFault> {
        self.drop_collected(index, counters);
        let channel = self.channels.remove(index);
        if !matches!(channel.state, ChannelState::Abandoned) {
            self.outputs.push_back(DvcOutput::Closed(channel.id));
        }
        Ok(())
    }

    fn handle_data_first(
        &mut self,
        index: usize,
        length_code: u8,
        mut rest: ReadCursor<'_>,
        counters: &mut MuxCounters,
    ) -> Result<(), MuxFault> {
        // A new message ends an incomplete one, whether or not the new one is sound.
        self.drop_collected(index, counters);
        let length = take_variable(&mut rest, length_code)?;
        let data = rest.remaining();
        let channel = self.open_channel(index)?;
        let length = usize::try_from(length).ok().filter(|length| *length <= channel.limit);
        // A claim beyond the limit is never honest. It is forgotten at once: what follows is judged by itself.
        let length = length.ok_or(MuxFault::DvcTooLong)?;
        if data.len() > length {
            return Err(MuxFault::DvcOverrun);
        }
        let id = channel.id;
        if data.len() == length {
            self.outputs.push_back(DvcOutput::Data { id, message: data.to_vec() });
        } else {
            channel.state = ChannelState::Collecting { message: data.to_vec(), length };
        }
        Ok(())
    }

    fn handle_data(&mut self, index: usize, data: &[u8]) -> Result<(), MuxFault> {
        let channel = self.open_channel(index)?;
        let id = channel.id;
        let message = match std::mem::replace(&mut channel.state, ChannelState::Open) {
            ChannelState::Collecting { mut message, length } => {
                if data.len() > length - message.len() {
                    return Err(MuxFault::DvcOverrun);
                }
                message.extend_from_slice(data);
                if message.len() < length {
                    channel.state = ChannelState::Collecting { message, length };
                    return Ok(());
                }
                message
            }
            _ if data.len() > channel.limit => return Err(MuxFault::DvcTooLong),
            _ => data.to_vec(),
        };
        self.outputs.push_back(DvcOutput::Data { id, message });
        Ok(())
    }

    fn open_channel(&mut self, index: usize) -> Result<&mut Channel, MuxFault> {
        self.channels
            .get_mut(index)
            .filter(|channel| matches!(channel.state, ChannelState::Open | ChannelState::Collecting { .. }))
            .ok_or(MuxFault::DvcChannelNotOpen)
    }

    fn drop_collected(&mut self, index: usize, counters: &mut MuxCounters) {
        if let Some(channel) = self.channels.get_mut(index)
            && matches!(channel.state, ChannelState::Collecting { .. })
        {
            channel.state = ChannelState::Open;
            counters.count(MuxFault::DvcIncomplete);
        }
    }

    fn index_of(&self, id: DvcId) -> Option<usize> {
        self.channels.iter().position(|channel| channel.id == id)
    }
}

impl fmt::Debug for DvcServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.channels.iter().map(|channel| (channel.id.0, channel.name));
        f.debug_struct("DvcServer")
            .field("phase", &self.phase)
            .field("channels", &names.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Header (command, `second` in the bits of Sp or Len) and channel id.
fn pdu_for(command: u8, second: u8, id: DvcId) -> Vec<u8> {
    let mut pdu = Vec::with_capacity(16);
    pdu.push((command << 4) | (second << 2) | width_code(id.0));
    push_variable(&mut pdu, id.0);
    pdu
}

/// How many bytes a value takes in a PDU, as its header says it: 0 for one, 1 for two, 2 for four.
fn width_code(value: u32) -> u8 {
    match value {
        0..=0xFF => 0,
        0x100..=0xFFFF => 1,
        _ => 2,
    }
}

fn push_variable(pdu: &mut Vec<u8>, value: u32) {
    let [b0, b1, b2, b3] = value.to_le_bytes();
    match width_code(value) {
        0 => pdu.push(b0),
        1 => pdu.extend_from_slice(&[b0, b1]),
        _ => pdu.extend_from_slice(&[b0, b1, b2, b3]),
    }
}

fn take_variable(bytes: &mut ReadCursor<'_>, code: u8) -> Result<u32, MuxFault> {
    match code {
        0 => bytes.try_read_u8().map(u32::from),
        1 => bytes.try_read_u16().map(u32::from),
        2 => bytes.try_read_u32(),
        _ => return Err(MuxFault::DvcMalformed),
    }
    .map_err(cut_short)
}

fn cut_short(_: NotEnoughBytesError) -> MuxFault {
    MuxFault::DvcMalformed
}
