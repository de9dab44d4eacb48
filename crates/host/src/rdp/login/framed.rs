//! PDUs out of a byte stream, while the connection is being set up.

use std::io;

use ironrdp_pdu::PduHint;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::LoginError;

/// The most bytes a client may send before it is logged in. The longest honest login takes about 6 KiB.
const MAX_BYTES: usize = 256 * 1024;

/// A stream and what has been read from it but not yet been asked for.
#[derive(Debug)]
pub(super) struct Framed<S> {
    stream: S,
    buffer: Vec<u8>,
    received: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Framed<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), received: 0 }
    }

    /// The next PDU that `hint` is after. PDUs that it says are not are dropped.
    pub(super) async fn read(&mut self, hint: &dyn PduHint) -> Result<Vec<u8>, LoginError> {
        loop {
            let found = hint.find_size(&self.buffer).map_err(|error| LoginError::Malformed(error.to_string()))?;
            match found {
                Some((_, 0)) => return Err(LoginError::Malformed("a PDU of no length".into())),
                Some((wanted, length)) if length <= self.buffer.len() => {
                    let pdu = self.buffer.drain(..length).collect();
                    if wanted {
                        return Ok(pdu);
                    }
                }
                _ => self.fill().await?,
            }
        }
    }

    async fn fill(&mut self) -> Result<(), LoginError> {
        let mut bytes = [0; 4096];
        let count = self.stream.read(&mut bytes).await?;
        if count == 0 {
            return Err(LoginError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        self.received += count;
        if self.received > MAX_BYTES {
            return Err(LoginError::Malformed(format!("more than {MAX_BYTES} bytes before the login")));
        }
        self.buffer.extend_from_slice(bytes.get(..count).unwrap_or_default());
        Ok(())
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), LoginError> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// Ends the connection so that the client still reads what was written last: a socket that is closed with unread
    /// bytes in it resets the connection, and the client may then drop the answer.
    pub(super) async fn close(&mut self) {
        if self.stream.shutdown().await.is_ok() {
            let mut rest = [0; 4096];
            while self.stream.read(&mut rest).await.is_ok_and(|count| count > 0) {}
        }
    }

    /// The stream, and what was read from it already.
    pub(super) fn into_parts(self) -> (S, Vec<u8>) {
        (self.stream, self.buffer)
    }
}
