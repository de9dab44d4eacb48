//! MS-RDPEA, the client's side, by hand.

use std::time::Instant;

use super::Record;

/// A format of PCM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PcmFormat {
    /// Frames per second.
    pub rate: u32,
    /// Channels.
    pub channels: u16,
    /// Bits per sample.
    pub bits: u16,
}

/// One wave that came.
#[derive(Clone, Debug)]
pub struct Wave {
    /// When its last byte had been read.
    pub arrived: Instant,
    /// Its place in the client's list of formats.
    pub format: u16,
    /// Its block number.
    pub block: u8,
    /// Its wTimeStamp.
    pub timestamp: u16,
    /// Its dwAudioTimeStamp, which Wave2 has.
    pub audio_timestamp: Option<u32>,
    /// Where its sound begins in [`Record::pcm`].
    pub offset: usize,
    /// The bytes of its sound.
    pub length: usize,
}

/// The client's half of the conversation.
#[derive(Debug)]
pub(super) struct AudioClient {
    formats: Vec<PcmFormat>,
    version: u16,
    confirms: u8,
    /// A WaveInfo PDU whose Wave PDU is still to come.
    info: Option<(u16, u16, u8, [u8; 4])>,
}

impl AudioClient {
    pub(super) fn new(formats: Vec<PcmFormat>, version: u16, confirms: u8) -> Self {
        Self { formats, version, confirms, info: None }
    }

    /// Writes down a message, and answers it.
    pub(super) fn handle(&mut self, message: &[u8], record: &mut Record) -> Vec<Vec<u8>> {
        self.try_handle(message, record).unwrap_or_default()
    }

    fn try_handle(&mut self, message: &[u8], record: &mut Record) -> Option<Vec<Vec<u8>>> {
        if let Some((timestamp, format, block, first)) = self.info.take() {
            let wave = Wave {
                arrived: Instant::now(),
                format,
                block,
                timestamp,
                audio_timestamp: None,
                offset: record.pcm.len(),
                length: message.len(),
            };
            record.pcm.extend_from_slice(&first);
            record.pcm.extend_from_slice(message.get(4..)?);
            return Some(self.confirm(wave, record));
        }
        let (header, body) = message.split_at_checked(4)?;
        match *header.first()? {
            1 => {
                record.closed = true;
                Some(Vec::new())
            }
            2 => {
                self.info = Some((short(body, 0)?, short(body, 2)?, *body.get(4)?, body.get(8..12)?.try_into().ok()?));
                Some(Vec::new())
            }
            3 => {
                record.volume = Some(long(body, 0)?);
                Some(Vec::new())
            }
            6 => {
                record.trainings += 1;
                Some(vec![pdu(6, body.get(..4)?)])
            }
            7 => self.formats(body, record),
            0x0d => {
                let sound = body.get(12..)?;
                let wave = Wave {
                    arrived: Instant::now(),
                    timestamp: short(body, 0)?,
                    format: short(body, 2)?,
                    block: *body.get(4)?,
                    audio_timestamp: Some(long(body, 8)?),
                    offset: record.pcm.len(),
                    length: sound.len(),
                };
                record.pcm.extend_from_slice(sound);
                Some(self.confirm(wave, record))
            }
            _ => Some(Vec::new()),
        }
    }

    /// Server Audio Formats and Version, answered with the client's own list (MS-RDPEA 2.2.2.2).
    fn formats(&self, body: &[u8], record: &mut Record) -> Option<Vec<Vec<u8>>> {
        record.server_version = Some(short(body, 17)?);
        record.offered.clear();
        let mut rest = body.get(20..)?;
        for _ in 0..short(body, 14)? {
            let format = PcmFormat { channels: short(rest, 2)?, rate: long(rest, 4)?, bits: short(rest, 14)? };
            record.offered.push((short(rest, 0)?, format));
            rest = rest.get(18 + usize::from(short(rest, 16)?)..)?;
        }
        // TSSNDCAPS_ALIVE and TSSNDCAPS_VOLUME; full volume; no pitch; no UDP port; block 0.
        let count = u16::try_from(self.formats.len()).ok()?;
        let mut answer = [&3_u32.to_le_bytes()[..], &[0xff; 4], &[0; 4], &[0; 2], &count.to_le_bytes(), &[0]].concat();
        answer.extend(self.version.to_le_bytes());
        answer.push(0);
        for format in &self.formats {
            let block = format.channels * format.bits / 8;
            answer.extend(1_u16.to_le_bytes());
            answer.extend(format.channels.to_le_bytes());
            answer.extend(format.rate.to_le_bytes());
            answer.extend((format.rate * u32::from(block)).to_le_bytes());
            answer.extend(block.to_le_bytes());
            answer.extend(format.bits.to_le_bytes());
            answer.extend(0_u16.to_le_bytes());
        }
        let mut answers = vec![pdu(7, &answer)];
        if self.version >= 6 {
            // HIGH_QUALITY.
            answers.push(pdu(0x0c, &[2, 0, 0, 0]));
        }
        Some(answers)
    }

    fn confirm(&self, wave: Wave, record: &mut Record) -> Vec<Vec<u8>> {
        let answer = |held: u16| {
            let [low, high] = wave.timestamp.wrapping_add(held).to_le_bytes();
            pdu(5, &[low, high, wave.block, 0])
        };
        // The first at once, the second with what the device adds, as FreeRDP does it.
        let answers = [answer(0), answer(40)].into_iter().take(usize::from(self.confirms)).collect();
        record.waves.push(wave);
        answers
    }
}

fn pdu(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    [&[kind, 0][..], &length.to_le_bytes(), body].concat()
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
