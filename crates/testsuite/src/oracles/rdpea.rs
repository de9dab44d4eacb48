//! Audio output: any client, any order of events; IronRDP's client side reads what is sent.

use std::time::Duration;

use ironrdp_core::decode;
use ironrdp_rdpsnd::pdu::ServerAudioOutputPdu;
use soundpost_core::{Instant, SampleRate};
use soundpost_rdp::rdpea::{
    ClientFamily, Event, MAX_CLIENT_FORMATS, Rdpea, RdpeaConfig, RdpeaOutput, SendError, Volume, WaveKind,
};

use super::Script;

/// `Ready` at most once and before any wave, every PDU readable, every format number inside of the client's list, no more
/// than 256 waves remembered.
pub fn rdpea(data: &[u8]) {
    let mut script = Script(data);
    let mut now = Instant::from_nanos(3_000_000_000);
    let mut client = Client::default();
    let mut rdpea = Rdpea::new(config(script.u8()), now);
    client.drain(&mut rdpea);
    while !script.is_empty() {
        match script.u8() % 11 {
            0 => rdpea.handle_pdu(script.bytes(), now),
            1 => rdpea.handle_pdu(&formats(&mut script), now),
            2 => rdpea.handle_pdu(&[0x0C, 0, 4, 0, script.u8() % 4, 0, 0, 0], now),
            3 => {
                // The confirmation of a training that was sent, so that `Ready` comes into reach.
                let [t0, t1, p0, p1] = client.training;
                rdpea.handle_pdu(&[6, 0, 4, 0, t0, t1, p0, p1], now);
            }
            4 => {
                let ([t0, t1], block) = (script.array(), client.block.wrapping_sub(script.u8()));
                rdpea.handle_pdu(&[5, 0, 4, 0, t0, t1, block, 0], now);
            }
            5 => {
                now += Duration::from_millis(u64::from(script.u16()));
                rdpea.handle_timeout(now);
                assert!(rdpea.next_timeout().is_none_or(|at| at > now), "a timeout that was handled is still due");
            }
            6 => {
                let block = rdpea.format().map_or(1, |format| usize::from(format.format().n_block_align));
                let audio = vec![9; usize::from(script.u16()) / block.max(1) * block.max(1)];
                match rdpea.wave(now, &audio, script.u32()) {
                    Ok(number) => client.expect_block(number),
                    Err(SendError::NotReady) => assert!(!rdpea.can_send()),
                    Err(_) => assert!(audio.len() < 4 || audio.len() > rdpea.max_wave_bytes()),
                }
            }
            7 => assert_eq!(rdpea.ping(now).is_ok(), rdpea.can_send()),
            8 => assert_eq!(rdpea.close().is_ok(), rdpea.can_send()),
            9 => drop(rdpea.set_volume(Volume { left: script.u16(), right: script.u16() })),
            _ => {
                let index = usize::from(script.u8());
                assert_eq!(rdpea.change_format(|formats| formats.get(index)).is_ok(), rdpea.can_send());
            }
        }
        client.drain(&mut rdpea);
        // 256 waves of 64 KiB at 8,000 bytes a second.
        assert!(rdpea.unconfirmed().is_none_or(|time| time <= Duration::from_secs(256 * 9)), "waves without end");
    }
    let sum: u64 = rdpea.counters().iter().map(|(_, count)| count).sum();
    assert_eq!(sum, rdpea.counters().total());
}

fn config(bits: u8) -> RdpeaConfig {
    let family = match bits & 7 {
        0 => ClientFamily::Mstsc,
        1 => ClientFamily::FreeRdp,
        2 => ClientFamily::Guacamole,
        _ => ClientFamily::Unknown,
    };
    let waves = if bits & 8 == 0 { WaveKind::Newest } else { WaveKind::Wave };
    let preferred_rate = (bits & 16 != 0).then_some(SampleRate::HZ_44100);
    RdpeaConfig { family, waves, preferred_rate, ..RdpeaConfig::default() }
}

/// A list of formats with a sound frame: flags, version and formats are the script's.
fn formats(script: &mut Script<'_>) -> Vec<u8> {
    let mut pdu = vec![7, 0, 0, 0, script.u8(), 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 1, 0, 0, 0];
    let count = script.u8() % 6;
    pdu.extend_from_slice(&[count, 0, 0, script.u8() % 10, 0, 0]);
    for _ in 0..count {
        let channels = u16::from(script.u8() % 4);
        let bits = if script.u8().is_multiple_of(4) { 8 } else { 16 };
        let rate = match script.u8() % 4 {
            0 => u32::from(script.u16()),
            1 => 22_050,
            2 => 44_100,
            _ => 48_000_u32,
        };
        let tag = if script.u8().is_multiple_of(4) { script.u16() } else { 1 };
        let block = channels * bits / 8;
        pdu.extend_from_slice(&tag.to_le_bytes());
        pdu.extend_from_slice(&channels.to_le_bytes());
        pdu.extend_from_slice(&rate.to_le_bytes());
        pdu.extend_from_slice(&script.u32().to_le_bytes());
        pdu.extend_from_slice(&block.to_le_bytes());
        pdu.extend_from_slice(&bits.to_le_bytes());
        pdu.extend_from_slice(&[0, 0]);
    }
    pdu
}

/// The other end: reads what comes as a client does.
#[derive(Default)]
struct Client {
    ready: bool,
    /// The time stamp and size of the last training, as they stood in the PDU.
    training: [u8; 4],
    block: u8,
    /// A WaveInfo has come; so many bytes of the Wave must follow.
    wave_follows: Option<usize>,
}

impl Client {
    fn expect_block(&mut self, number: u8) {
        assert_eq!(number, self.block.wrapping_add(1), "block numbers follow one another");
        self.block = number;
    }

    fn drain(&mut self, rdpea: &mut Rdpea) {
        let mut outputs = 0;
        while let Some(output) = rdpea.poll_output() {
            outputs += 1;
            match output {
                RdpeaOutput::Send(bytes) => self.read(&bytes),
                RdpeaOutput::Event(Event::Ready(_)) => {
                    assert!(!self.ready, "ready twice");
                    self.ready = true;
                }
                RdpeaOutput::Event(Event::Confirmed(confirmation)) => {
                    assert!(self.ready && (1..=2).contains(&confirmation.ordinal));
                }
                RdpeaOutput::Event(_) => {}
            }
        }
        assert!(outputs <= 3, "one call made {outputs} outputs");
        assert_eq!(self.wave_follows, None, "a WaveInfo without its Wave");
    }

    fn read(&mut self, bytes: &[u8]) {
        if let Some(length) = self.wave_follows.take() {
            assert!(bytes.len() == length && bytes.starts_with(&[0; 4]), "the Wave is not what the WaveInfo said");
            return;
        }
        let pdu = decode::<ServerAudioOutputPdu<'_>>(bytes);
        let Ok(pdu) = pdu else { panic!("a client cannot read {bytes:?}: {pdu:?}") };
        let number = match pdu {
            ServerAudioOutputPdu::Wave(wave) => {
                self.wave_follows = Some(usize::from(wave.audio_length));
                wave.format_no
            }
            ServerAudioOutputPdu::Wave2(wave) => wave.format_no,
            ServerAudioOutputPdu::Training(_) => {
                if let [_, _, _, _, fields @ ..] = bytes
                    && let Some(training) = fields.first_chunk()
                {
                    self.training = *training;
                }
                return;
            }
            ServerAudioOutputPdu::AudioFormat(_) | ServerAudioOutputPdu::Close | ServerAudioOutputPdu::Volume(_) => {
                return;
            }
            other => panic!("a server of ours does not send {other:?}"),
        };
        assert!(self.ready, "a wave before ready");
        assert!(usize::from(number) < MAX_CLIENT_FORMATS, "format number {number} is outside of any list");
    }
}
