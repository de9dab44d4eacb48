//! Virtual channels, the client's side, by hand (MS-RDPBCGR 2.2.6, MS-RDPEDYC 2.2).

/// The name of the only dynamic channel that is taken.
const AUDIO: &[u8] = b"AUDIO_PLAYBACK_DVC\0";
/// CHANNEL_FLAG_FIRST and CHANNEL_FLAG_LAST.
const FIRST: u32 = 1;
const LAST: u32 = 2;
/// The most data in one chunk.
const CHUNK: usize = 1600;

/// The chunks of one static channel, put together.
#[derive(Debug, Default)]
pub(super) struct Chunks(Vec<u8>);

impl Chunks {
    pub(super) fn push(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let (header, data) = payload.split_at_checked(8)?;
        let flags = u32::from_le_bytes(header.get(4..8)?.try_into().ok()?);
        if flags & FIRST != 0 {
            self.0.clear();
        }
        self.0.extend_from_slice(data);
        (flags & LAST != 0).then(|| std::mem::take(&mut self.0))
    }
}

/// A message as the payloads of MCS Send Data Requests.
pub(super) fn chunked(message: &[u8]) -> Vec<Vec<u8>> {
    let total = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let count = message.chunks(CHUNK).count();
    message
        .chunks(CHUNK)
        .enumerate()
        .map(|(index, chunk)| {
            let flags = if index == 0 { FIRST } else { 0 } | if index + 1 == count { LAST } else { 0 };
            [&total.to_le_bytes()[..], &flags.to_le_bytes(), chunk].concat()
        })
        .collect()
}

/// The client's dynamic channel manager.
#[derive(Debug, Default)]
pub(super) struct Drdynvc {
    refuses: bool,
    channel: Option<u32>,
    /// A message that is not complete, and its length.
    partial: Option<(usize, Vec<u8>)>,
}

/// What came of a message on `drdynvc`.
#[derive(Debug)]
pub(super) enum FromDrdynvc {
    Answer(Vec<u8>),
    Audio(Vec<u8>),
    Closed,
    Nothing,
}

impl Drdynvc {
    pub(super) fn new(refuses: bool) -> Self {
        Self { refuses, ..Self::default() }
    }

    pub(super) fn is_open(&self) -> bool {
        self.channel.is_some()
    }

    pub(super) fn handle(&mut self, message: &[u8]) -> FromDrdynvc {
        self.try_handle(message).unwrap_or(FromDrdynvc::Nothing)
    }

    fn try_handle(&mut self, message: &[u8]) -> Option<FromDrdynvc> {
        let (&header, rest) = message.split_first()?;
        let (command, sp) = (header >> 4, (header >> 2) & 3);
        if command == 5 {
            let version = rest.get(1..3)?;
            return Some(FromDrdynvc::Answer([&[0x50, 0][..], version].concat()));
        }
        let (id, rest) = number(rest, header & 3)?;
        Some(match command {
            1 => {
                let taken = rest == AUDIO && !self.refuses;
                if taken {
                    self.channel = Some(id);
                }
                // STATUS_NOT_SUPPORTED, as for a name that nobody listens to.
                let status: u32 = if taken { 0 } else { 0xc000_00bb };
                FromDrdynvc::Answer([&[0x12][..], &id.to_le_bytes(), &status.to_le_bytes()].concat())
            }
            2 if Some(id) == self.channel => {
                let (total, data) = number(rest, sp)?;
                self.partial = Some((usize::try_from(total).ok()?, Vec::new()));
                self.extend(data)
            }
            3 if Some(id) == self.channel => match self.partial {
                Some(_) => self.extend(rest),
                None => FromDrdynvc::Audio(rest.to_vec()),
            },
            4 if Some(id) == self.channel => {
                self.channel = None;
                FromDrdynvc::Closed
            }
            _ => FromDrdynvc::Nothing,
        })
    }

    fn extend(&mut self, data: &[u8]) -> FromDrdynvc {
        let Some((total, mut held)) = self.partial.take() else { return FromDrdynvc::Nothing };
        held.extend_from_slice(data);
        if held.len() >= total {
            return FromDrdynvc::Audio(held);
        }
        self.partial = Some((total, held));
        FromDrdynvc::Nothing
    }

    /// A message on the audio channel as messages on `drdynvc`.
    pub(super) fn wrap(&self, message: &[u8]) -> Vec<Vec<u8>> {
        let Some(id) = self.channel else { return Vec::new() };
        // With 4-byte ids and lengths a header takes at most 9 bytes.
        let room = CHUNK - 9;
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        if message.len() <= room {
            return vec![[&[0x32][..], &id.to_le_bytes(), message].concat()];
        }
        message
            .chunks(room)
            .enumerate()
            .map(|(index, part)| match index {
                0 => [&[0x2a][..], &id.to_le_bytes(), &length.to_le_bytes(), part].concat(),
                _ => [&[0x32][..], &id.to_le_bytes(), part].concat(),
            })
            .collect()
    }
}

/// A number of 1, 2 or 4 bytes, as the two bits say, and what follows it.
fn number(bytes: &[u8], size: u8) -> Option<(u32, &[u8])> {
    let (field, rest) = bytes.split_at_checked(match size {
        0 => 1,
        1 => 2,
        _ => 4,
    })?;
    let value = field.iter().rev().fold(0, |value: u32, byte| (value << 8) | u32::from(*byte));
    Some((value, rest))
}
