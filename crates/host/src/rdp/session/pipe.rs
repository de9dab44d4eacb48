//! The socket of a session: PDUs in, bytes out, and whether the kernel wants more.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::sys::watch;

/// Whether the kernel's send buffer is below its mark (TCP_NOTSENT_LOWAT).
///
/// poll(2) answers that exactly. A write that succeeds does not: the kernel fills up a segment that has not left yet
/// whatever the mark says, and one segment can be 64 KiB, a third of a second of sound.
#[derive(Debug)]
pub(super) struct Gate(AsyncFd<OwnedFd>);

impl Gate {
    pub(super) fn new(tcp: &TcpStream) -> io::Result<Self> {
        let fd = tcp.as_fd().try_clone_to_owned()?;
        Ok(Self(watch(fd, Interest::WRITABLE)?))
    }

    /// Whether the kernel holds so little that more may be written.
    pub(super) fn is_open(&self) -> bool {
        let mut fds = [PollFd::new(self.0.get_ref(), PollFlags::OUT)];
        // A connection that is broken counts as open: the next write says so.
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
    }

    /// Ends when [`is_open`](Self::is_open).
    pub(super) async fn opened(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.writable().await?;
            if self.is_open() {
                return Ok(());
            }
            // Stale. poll(2) has just asked the kernel to tell when it changes.
            ready.clear_ready();
        }
    }
}

/// Bytes on their way to the client: one batch at a time.
#[derive(Debug)]
pub(super) struct Outgoing {
    stream: WriteHalf<TlsStream<TcpStream>>,
    bytes: Vec<u8>,
    written: usize,
    flushed: bool,
}

impl Outgoing {
    pub(super) fn new(stream: WriteHalf<TlsStream<TcpStream>>) -> Self {
        Self { stream, bytes: Vec::new(), written: 0, flushed: true }
    }

    /// Whether everything given so far has reached the kernel.
    pub(super) fn is_idle(&self) -> bool {
        self.flushed
    }

    /// Adds to the batch. To be called only while idle, or to add to a batch just begun.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.flushed = self.flushed && bytes.is_empty();
    }

    /// Writes until [`is_idle`](Self::is_idle). May be dropped at any point and called again.
    pub(super) async fn drive(&mut self) -> io::Result<()> {
        while let Some(rest) = self.bytes.get(self.written..).filter(|rest| !rest.is_empty()) {
            let count = self.stream.write(rest).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.written += count;
        }
        self.stream.flush().await?;
        self.bytes.clear();
        self.written = 0;
        self.flushed = true;
        Ok(())
    }

    /// Ends the stream: close_notify, then FIN.
    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        self.drive().await?;
        self.stream.shutdown().await
    }
}

/// PDUs from the client.
#[derive(Debug)]
pub(super) struct Incoming {
    stream: ReadHalf<TlsStream<TcpStream>>,
    buffer: Vec<u8>,
}

/// The client's bytes no longer make PDUs: there is no telling where the next one would begin.
#[derive(Debug, thiserror::Error)]
#[error("the stream of PDUs is broken: {0}")]
pub(in crate::rdp) struct BrokenFraming(String);

impl Incoming {
    pub(super) fn new(stream: ReadHalf<TlsStream<TcpStream>>, buffered: Vec<u8>) -> Self {
        Self { stream, buffer: buffered }
    }

    /// The next whole PDU that has been read. Fast-path input is dropped here.
    pub(super) fn next_pdu(&mut self) -> Result<Option<Vec<u8>>, BrokenFraming> {
        loop {
            let found = ironrdp_pdu::find_size(&self.buffer).map_err(|error| BrokenFraming(error.to_string()))?;
            let Some(info) = found.filter(|info| info.length <= self.buffer.len()) else { return Ok(None) };
            if info.length == 0 {
                return Err(BrokenFraming("a PDU of no length".into()));
            }
            let pdu = self.buffer.drain(..info.length).collect();
            if matches!(info.action, ironrdp_pdu::Action::X224) {
                return Ok(Some(pdu));
            }
        }
    }

    /// Reads more. At most one PDU (64 KiB) and one read are ever held.
    pub(super) async fn fill(&mut self) -> io::Result<()> {
        let mut bytes = [0; 8192];
        let count = self.stream.read(&mut bytes).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.buffer.extend_from_slice(bytes.get(..count).unwrap_or_default());
        Ok(())
    }

    /// Reads until the client has closed its side, and forgets what it reads. A socket that is closed with unread bytes
    /// in it resets the connection, and with it what the client has not read yet.
    pub(super) async fn drain(&mut self) {
        while self.fill().await.is_ok() {
            self.buffer.clear();
        }
    }
}
