//! NTLM's session security with extended session security and key exchange: signing and sealing of messages with what
//! both sides know once the password has been proved (MS-NLMP 3.4.4.2, 3.4.5).
//!
//! `sspi` has all this as well, but keeps its signature of SPNEGO's list of mechanisms to itself, and that one moves
//! the sequence numbers on that everything later depends on.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use rc4::{Rc4, StreamCipher as _};
use subtle::ConstantTimeEq as _;

/// The length of a signature (MS-NLMP 2.2.2.9): version, checksum, sequence number.
pub(super) const SIGNATURE: usize = 16;

/// Bytes that are not what the other side sealed or signed: a wrong password, or altered on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message whose signature is wrong")]
pub(super) struct Altered;

/// Both directions of a session, from the side that `send` sends from.
#[derive(Debug)]
pub(super) struct Sealing {
    send: Direction,
    receive: Direction,
}

impl Sealing {
    /// The server's side, from NTLM's exported session key.
    pub(super) fn server(session_key: &[u8]) -> Self {
        Self { send: Direction::new(session_key, SERVER), receive: Direction::new(session_key, CLIENT) }
    }

    /// The client's side.
    #[cfg(test)]
    pub(super) fn client(session_key: &[u8]) -> Self {
        Self { send: Direction::new(session_key, CLIENT), receive: Direction::new(session_key, SERVER) }
    }

    /// `plain` sealed: the signature, then as many bytes as there were.
    pub(super) fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut sealed = plain.to_vec();
        self.send.cipher.apply_keystream(&mut sealed);
        [&self.send.sign(plain)[..], &sealed].concat()
    }

    /// What the other side sealed.
    pub(super) fn unseal(&mut self, sealed: &[u8]) -> Result<Vec<u8>, Altered> {
        let (signature, sealed) = sealed.split_at_checked(SIGNATURE).ok_or(Altered)?;
        let mut plain = sealed.to_vec();
        self.receive.cipher.apply_keystream(&mut plain);
        let expected = self.receive.sign(&plain);
        if bool::from(expected[..].ct_eq(signature)) { Ok(plain) } else { Err(Altered) }
    }

    /// A signature of something that both sides have: SPNEGO's mechListMIC. Ahead of anything sealed.
    pub(super) fn mic(&mut self, data: &[u8]) -> [u8; SIGNATURE] {
        let mic = self.send.sign(data);
        self.send.rewind();
        mic
    }

    /// Checks the other side's mechListMIC. Ahead of anything sealed.
    pub(super) fn check_mic(&mut self, data: &[u8], mic: &[u8]) -> Result<(), Altered> {
        let expected = self.receive.sign(data);
        self.receive.rewind();
        if bool::from(expected[..].ct_eq(mic)) { Ok(()) } else { Err(Altered) }
    }
}

/// What one side sends.
struct Direction {
    signing_key: [u8; 16],
    sealing_key: [u8; 16],
    cipher: Rc4,
    sequence: u32,
}

impl Direction {
    fn new(session_key: &[u8], side: &str) -> Self {
        // MS-NLMP 3.4.5.2 and 3.4.5.3, with 128 bits. The magic constants end with their zero byte.
        let key = |purpose: &str| -> [u8; 16] {
            let magic = format!("session key to {side} {purpose} key magic constant\0");
            Md5::new().chain_update(session_key).chain_update(magic).finalize().into()
        };
        let sealing_key = key("sealing");
        Self { signing_key: key("signing"), sealing_key, cipher: rc4(&sealing_key), sequence: 0 }
    }

    /// The signature of the next message, which is in `plain` (MS-NLMP 3.4.4.2). The cipher moves on by the checksum.
    fn sign(&mut self, plain: &[u8]) -> [u8; SIGNATURE] {
        let sequence = self.sequence.to_le_bytes();
        self.sequence = self.sequence.wrapping_add(1);
        #[expect(clippy::expect_used, reason = "an HMAC takes a key of any length")]
        let mut hmac = Hmac::<Md5>::new_from_slice(&self.signing_key).expect("any length");
        hmac.update(&sequence);
        hmac.update(plain);
        let digest: [u8; 16] = hmac.finalize().into_bytes().into();
        let mut checksum = [0; 8];
        checksum.copy_from_slice(&digest[..8]);
        self.cipher.apply_keystream(&mut checksum);

        let mut signature = [0; SIGNATURE];
        signature[0] = 1;
        signature[4..12].copy_from_slice(&checksum);
        signature[12..].copy_from_slice(&sequence);
        signature
    }

    /// The first message after a mechListMIC finds the cipher as the mechListMIC found it, while the sequence numbers go
    /// on (MS-SPNG 3.3.5.1).
    fn rewind(&mut self) {
        self.cipher = rc4(&self.sealing_key);
    }
}

impl fmt::Debug for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direction").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

fn rc4(key: &[u8; 16]) -> Rc4 {
    #[expect(clippy::expect_used, reason = "RC4 takes a key of 1 to 256 bytes")]
    Rc4::new_from_slice(key).expect("16 bytes")
}

const CLIENT: &str = "client-to-server";
const SERVER: &str = "server-to-client";

#[cfg(test)]
mod tests {
    use super::*;

    /// MS-NLMP 4.2.4.4: what a client seals under the session key of 4.2.4.2, with 128 bits and key exchange.
    #[test]
    fn the_specifications_example_is_unsealed() {
        let plain: Vec<u8> = "Plaintext".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let sealed = [
            0x01, 0x00, 0x00, 0x00, 0x7f, 0xb3, 0x8e, 0xc5, 0xc5, 0x5d, 0x49, 0x76, 0x00, 0x00, 0x00, 0x00, 0x54, 0xe5,
            0x01, 0x65, 0xbf, 0x19, 0x36, 0xdc, 0x99, 0x60, 0x20, 0xc1, 0x81, 0x1b, 0x0f, 0x06, 0xfb, 0x5f,
        ];
        assert_eq!(Sealing::server(&[0x55; 16]).unseal(&sealed), Ok(plain.clone()));
        assert_eq!(Sealing::client(&[0x55; 16]).seal(&plain), sealed);
        for at in 0..sealed.len() {
            let mut altered = sealed;
            altered[at] ^= 0x10;
            assert_eq!(Sealing::server(&[0x55; 16]).unseal(&altered), Err(Altered), "byte {at}");
        }
    }

    #[test]
    fn a_mic_moves_the_sequence_numbers_on_and_the_cipher_not() {
        let (mut client, mut server) = (Sealing::client(&[7; 16]), Sealing::server(&[7; 16]));
        let mic = client.mic(b"list");
        assert_eq!(mic[12..], [0; 4]);
        assert_eq!(server.check_mic(b"list", &mic), Ok(()));
        let plain = [0; 5];
        let (after, without) = (client.seal(&plain), Sealing::client(&[7; 16]).seal(&plain));
        assert_eq!(after[12..16], [1, 0, 0, 0]);
        assert_eq!(after[16..], without[16..], "the same bytes of the cipher");
        assert_eq!(server.unseal(&after).unwrap(), plain);
        assert_eq!(server.check_mic(b"list", &[]), Err(Altered));
    }

    #[test]
    fn a_message_that_comes_twice_or_is_too_short_is_refused() {
        let (mut client, mut server) = (Sealing::client(&[7; 16]), Sealing::server(&[7; 16]));
        let sealed = client.seal(b"once");
        assert_eq!(server.unseal(&sealed).unwrap(), b"once");
        assert_eq!(server.unseal(&sealed), Err(Altered));
        assert_eq!(server.unseal(&sealed[..15]), Err(Altered));
    }
}
