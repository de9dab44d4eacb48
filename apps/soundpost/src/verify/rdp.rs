//! The RDP endpoint, with a client behind it that answers as it should and keeps what it hears.

use std::sync::Arc;
use std::time::Duration;

use soundpost_core::{Clock, Instant};
use soundpost_endpoint::{DataFlow, Event};
use soundpost_link::rdp::{RdpAudio, RdpAudioConfig};
use soundpost_testkit::WakeFlag;
use soundpost_testkit::verify::{Backstage, Made, Subject};

/// The listener at the far end of a wire without delay.
pub(super) struct Rdp;

impl Subject for Rdp {
    fn name(&self) -> String {
        "rdp".to_owned()
    }

    fn flow(&self) -> DataFlow {
        DataFlow::Render
    }

    fn make(&self, clock: Arc<dyn Clock>) -> Result<Made, String> {
        let mut client = Client::new(clock.now());
        client.attend(clock.now());
        let bell: Arc<dyn Event> = Arc::<WakeFlag>::clone(&client.bell);
        let endpoint = client.audio.make_endpoint(clock, bell).ok_or("the client and the server found no format")?;
        Ok(Made { endpoint, backstage: Box::new(client) })
    }
}

struct Client {
    audio: RdpAudio,
    bell: Arc<WakeFlag>,
    heard: Vec<u8>,
    now: Instant,
}

impl Client {
    fn new(now: Instant) -> Self {
        let audio = RdpAudio::open(RdpAudioConfig::default(), now);
        Self { audio, bell: Arc::default(), heard: Vec::new(), now }
    }

    /// What the client answers to a message (MS-RDPEA 2.2).
    fn receive(&mut self, pdu: &[u8]) {
        match *pdu {
            // Server Audio Formats: the client takes 48 kHz, stereo, 16 bits; then it states its quality mode.
            [0x07, ..] => {
                self.answer(&FORMATS);
                self.answer(&[0x0C, 0, 4, 0, 2, 0, 0, 0]);
            }
            // Training: confirmed as it came.
            [0x06, _, _, _, t0, t1, size0, size1, ..] => self.answer(&[6, 0, 4, 0, t0, t1, size0, size1]),
            // Wave2: time stamp, format, block, padding, audio time, sound. Confirmed at once.
            [0x0D, _, _, _, t0, t1, _, _, block, _, _, _, _, _, _, _, ref sound @ ..] => {
                self.heard.extend_from_slice(sound);
                self.answer(&[5, 0, 4, 0, t0, t1, block, 0]);
            }
            _ => {}
        }
    }

    fn answer(&mut self, pdu: &[u8]) {
        self.audio.handle_payload(self.now, pdu);
    }
}

impl Backstage for Client {
    fn next(&mut self) -> Option<Instant> {
        self.audio.next_timeout()
    }

    fn attend(&mut self, now: Instant) {
        self.now = now;
        self.audio.handle_timeout(now);
        while let Some(pdu) = self.audio.poll(now) {
            self.receive(&pdu);
        }
        while self.audio.poll_event().is_some() {}
    }

    fn heard(&mut self) -> Option<Vec<u8>> {
        self.audio.finish(self.now);
        for _ in 0..100 {
            self.attend(self.now + Duration::from_millis(10));
        }
        Some(std::mem::take(&mut self.heard))
    }
}

/// Client Audio Formats and Version: alive, one format, version 8.
const FORMATS: [u8; 42] = [
    7, 0, 38, 0, // type, padding, size of the body
    1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // flags, volume, pitch, port
    1, 0, 0, 8, 0, 0, // formats, last block, version, padding
    1, 0, 2, 0, 0x80, 0xBB, 0, 0, 0, 0xEE, 2, 0, 4, 0, 16, 0, 0, 0, // PCM, stereo, 48,000 Hz, 192,000 bytes/s
];
