//! Virtual channels: any client, any order of events.

use std::time::Duration;

use soundpost_core::Instant;
use soundpost_rdp::mux::{AudioChannelPolicy, ChunkSize, MAX_MESSAGE, Mux, MuxConfig, MuxOutput, StaticChannel};

use super::Script;

const RDPSND: u16 = 1004;
const DRDYNVC: u16 = 1005;

/// Bounded memory, whole chunks on known channels only, audio opened at most once and silent after it closed.
pub fn mux(data: &[u8]) {
    let mut script = Script(data);
    let mut mux = Mux::new(config(script.u8()));
    let mut now = Instant::from_nanos(1_000_000_000);
    let mut audio = Audio::default();
    mux.start(now);
    audio.drain(&mut mux);
    while !script.is_empty() {
        match script.u8() % 8 {
            0 => mux.handle_static(script.u16(), script.bytes(), now),
            1 => mux.handle_static(RDPSND, &chunk(script.u32(), script.u32(), script.bytes()), now),
            2 => mux.handle_static(DRDYNVC, &chunk(script.u32(), script.u32(), script.bytes()), now),
            3 => whole(&mut mux, RDPSND, script.bytes(), now),
            4 => whole(&mut mux, DRDYNVC, script.bytes(), now),
            5 => {
                now += Duration::from_millis(u64::from(script.u16()));
                mux.handle_timeout(now);
                assert!(mux.next_timeout().is_none_or(|at| at > now), "a timeout that was handled is still due");
            }
            6 => {
                let open = mux.audio_transport().is_some();
                assert_eq!(mux.send_audio(&vec![7; usize::from(script.u16())]).is_ok(), open);
            }
            _ => {
                // A long chunk, so that the caps come into reach: its first bytes are the script's. A length of 0 in
                // the header stands for the true one.
                let (channel, flags, length) = (script.u8(), u32::from(script.u8()), script.u32());
                let mut data = vec![0; usize::from(script.u16() % 20_000)];
                for (to, from) in data.iter_mut().zip(script.bytes()) {
                    *to = *from;
                }
                let length = if length == 0 { u32::try_from(data.len()).unwrap_or(0) } else { length };
                let channel = if channel.is_multiple_of(2) { RDPSND } else { DRDYNVC };
                mux.handle_static(channel, &chunk(length, flags, &data), now);
            }
        }
        audio.drain(&mut mux);
    }
    let sum: u64 = mux.counters().iter().map(|(_, count)| count).sum();
    assert_eq!(sum, mux.counters().total());
}

fn config(bits: u8) -> MuxConfig {
    let channel = |there: u8, id| (bits & there == 0).then_some(StaticChannel { id, show_protocol: bits & 0x10 != 0 });
    let policy = match bits >> 6 {
        0 | 1 => AudioChannelPolicy::Auto,
        2 => AudioChannelPolicy::Static,
        _ => AudioChannelPolicy::Dynamic,
    };
    let chunk_size = if bits & 0x20 == 0 { ChunkSize::DEFAULT } else { ChunkSize::MAX };
    MuxConfig { rdpsnd: channel(1, RDPSND), drdynvc: channel(2, DRDYNVC), policy, chunk_size, ..MuxConfig::default() }
}

fn chunk(length: u32, flags: u32, data: &[u8]) -> Vec<u8> {
    [&length.to_le_bytes()[..], &flags.to_le_bytes(), data].concat()
}

/// A message as an honest client sends it: one chunk, first and last.
fn whole(mux: &mut Mux, channel: u16, message: &[u8], now: Instant) {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    mux.handle_static(channel, &chunk(length, 3, message), now);
}

/// What the outputs have said so far.
#[derive(Default)]
struct Audio {
    opened: bool,
    ended: bool,
}

impl Audio {
    fn drain(&mut self, mux: &mut Mux) {
        let mut outputs = 0;
        while let Some(output) = mux.poll_output() {
            outputs += 1;
            match output {
                MuxOutput::Send { channel_id, bytes } => {
                    assert!([RDPSND, DRDYNVC].contains(&channel_id), "sent on the unknown channel {channel_id}");
                    assert!(bytes.len() >= 8 && bytes.len() <= 8 + ChunkSize::MAX.get(), "a chunk of {}", bytes.len());
                }
                MuxOutput::AudioOpen(transport) => {
                    assert!(!self.opened && !self.ended, "audio opened twice, or after its end");
                    assert_eq!(mux.audio_transport(), Some(transport));
                    self.opened = true;
                }
                MuxOutput::AudioData(message) => {
                    assert!(self.opened && !self.ended, "audio data while no channel is open");
                    assert!(message.len() <= MAX_MESSAGE, "a message of {} bytes", message.len());
                }
                MuxOutput::AudioClosed => {
                    assert!(self.opened && !self.ended, "a channel closed that was not open");
                    self.ended = true;
                }
                MuxOutput::AudioUnavailable(_) => {
                    assert!(!self.opened && !self.ended, "audio is unavailable after it was open");
                    self.ended = true;
                }
            }
        }
        // The most that one call makes: 64 KiB in chunks of 1,590 bytes.
        assert!(outputs <= 45, "one call made {outputs} outputs");
        assert!(mux.held_bytes() <= 3 * 2 * MAX_MESSAGE, "{} bytes held", mux.held_bytes());
    }
}
