//! Bytes are written down from MS-RDPEA 2.2, not taken from our own writers.

mod clients;
mod golden;
mod random;
mod session;

use super::*;

const START: Instant = Instant::from_nanos(5_000_000_000);

const ALIVE: u32 = 1;
const ALIVE_VOLUME: u32 = 3;

/// AUDIO_FORMAT without extra data.
fn audio_format(tag: u16, channels: u16, rate: u32, bits: u16) -> Vec<u8> {
    let block = channels * bits / 8;
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&tag.to_le_bytes());
    bytes.extend_from_slice(&channels.to_le_bytes());
    bytes.extend_from_slice(&rate.to_le_bytes());
    bytes.extend_from_slice(&(rate * u32::from(block)).to_le_bytes());
    bytes.extend_from_slice(&block.to_le_bytes());
    bytes.extend_from_slice(&bits.to_le_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes
}

/// Client Audio Formats and Version PDU: full volume, no pitch, no UDP port.
fn client_formats(flags: u32, version: u16, formats: &[(u16, u16, u32, u16)]) -> Vec<u8> {
    let list: Vec<u8> = formats.iter().flat_map(|&(tag, ch, rate, bits)| audio_format(tag, ch, rate, bits)).collect();
    let mut pdu = vec![7, 0];
    pdu.extend_from_slice(&(20 + list.len() as u16).to_le_bytes());
    pdu.extend_from_slice(&flags.to_le_bytes());
    pdu.extend_from_slice(&[0xFF, 0xFF, 0xFF, 0xFF]);
    pdu.extend_from_slice(&[0, 0, 1, 0, 0, 0]);
    pdu.extend_from_slice(&(formats.len() as u16).to_le_bytes());
    pdu.push(0);
    pdu.extend_from_slice(&version.to_le_bytes());
    pdu.push(0);
    pdu.extend_from_slice(&list);
    pdu
}

const QUALITY_HIGH: [u8; 8] = [0x0C, 0, 4, 0, 2, 0, 0, 0];

fn wave_confirm(timestamp: u16, block: u8) -> [u8; 8] {
    let [t0, t1] = timestamp.to_le_bytes();
    [5, 0, 4, 0, t0, t1, block, 0]
}

fn training_confirm(timestamp: u16, pack_size: u16) -> [u8; 8] {
    let ([t0, t1], [p0, p1]) = (timestamp.to_le_bytes(), pack_size.to_le_bytes());
    [6, 0, 4, 0, t0, t1, p0, p1]
}

fn drain(rdpea: &mut Rdpea) -> Vec<RdpeaOutput> {
    std::iter::from_fn(|| rdpea.poll_output()).collect()
}

fn sent(rdpea: &mut Rdpea) -> Vec<Vec<u8>> {
    drain(rdpea)
        .into_iter()
        .filter_map(|output| match output {
            RdpeaOutput::Send(bytes) => Some(bytes),
            RdpeaOutput::Event(_) => None,
        })
        .collect()
}

fn events(rdpea: &mut Rdpea) -> Vec<Event> {
    drain(rdpea)
        .into_iter()
        .filter_map(|output| match output {
            RdpeaOutput::Event(event) => Some(event),
            RdpeaOutput::Send(_) => None,
        })
        .collect()
}

/// Plays the client up to `Ready`: its list at once, the training confirmed after 7 ms.
fn ready(config: RdpeaConfig, version: u16, formats: &[(u16, u16, u32, u16)]) -> Rdpea {
    let mut rdpea = Rdpea::new(config, START);
    rdpea.handle_pdu(&client_formats(ALIVE_VOLUME, version, formats), START);
    if version >= 6 {
        rdpea.handle_pdu(&QUALITY_HIGH, START);
    }
    rdpea.handle_pdu(&training_confirm(timestamp(START), 1024), START + Duration::from_millis(7));
    assert!(rdpea.can_send());
    rdpea
}

fn ready_48k(version: u16) -> Rdpea {
    ready(RdpeaConfig::default(), version, &[(1, 2, 48_000, 16)])
}

fn faults(rdpea: &Rdpea) -> Vec<(RdpeaFault, u64)> {
    rdpea.counters().iter().filter(|(_, count)| *count != 0).collect()
}
