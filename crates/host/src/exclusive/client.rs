//! The client's side: opens an endpoint for this process alone, and plays into it or records from it.

use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use soundpost_core::{FrameCount, Hns};
use soundpost_endpoint::DataFlow;
use soundpost_endpoint::exclusive::record::{
    CLIENT_POSITION, CLIENT_STATE, LOST, OVER, REASON, SERVER_POSITION, SERVER_STATE, UNDERRUNS,
};
use soundpost_endpoint::exclusive::{ClientState, ExclusiveRecord};

use super::error::{ClientError, OpenError};
use super::memory::SharedRing;
use super::message::{Granted, OpenRequest, Reply, receive};
use crate::event::EventFd;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the device is on the client's stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Played {
    /// Frames of this client's that the device has played, or has recorded for it.
    pub frames: u64,
    /// When that was: CLOCK_MONOTONIC.
    pub time: Hns,
}

/// An endpoint in exclusive use by this process. One thread.
///
/// To play: [`ExclusiveClient::write`] until the ring is full, [`ExclusiveClient::start`], then again and again
/// [`ExclusiveClient::wait`] and write; at the end [`ExclusiveClient::finish`], and wait until
/// [`ExclusiveClient::is_played`]. To record: start, then wait and [`ExclusiveClient::read`].
///
/// Dropping it lets the endpoint go. A client that has started has to keep up: if it stands still for
/// [`ExclusiveRecord::stall`] periods, the endpoint is taken back.
#[derive(Debug)]
pub struct ExclusiveClient {
    socket: UnixStream,
    ring: SharedRing,
    event: EventFd,
    granted: Granted,
    state: ClientState,
    position: u64,
}

impl ExclusiveClient {
    /// Asks the server at this socket for an endpoint. Waits for its answer, 5 s at most.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(socket: &Path, request: &OpenRequest) -> Result<Self, OpenError> {
        let io = |source: io::Error| OpenError::Socket { path: socket.into(), source };
        let stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => OpenError::NotRunning(socket.into()),
            io::ErrorKind::PermissionDenied => OpenError::Denied(socket.into()),
            _ => io(error),
        })?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(io)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(io)?;
        Self::ask(stream, request, io)
    }

    /// Asks over a socket that is connected already.
    pub(super) fn ask(
        mut socket: UnixStream,
        request: &OpenRequest,
        io: impl Fn(io::Error) -> OpenError,
    ) -> Result<Self, OpenError> {
        let line = request.line().map_err(&io)?;
        socket.write_all(line.as_bytes()).map_err(&io)?;
        let (line, descriptors) = receive(&socket).map_err(&io)?;
        let reply: Reply = serde_json::from_slice(&line).map_err(|error| OpenError::Reply(error.to_string()))?;
        let granted = match reply {
            Reply::Granted(granted) => granted,
            Reply::Refused { message, requirement } => return Err(OpenError::Refused { message, requirement }),
        };
        let Ok([memory, event]) = <[OwnedFd; 2]>::try_from(descriptors) else {
            return Err(OpenError::Reply("without the two descriptors".into()));
        };
        let ring = SharedRing::open(memory.as_fd())?;
        socket.set_nonblocking(true).map_err(&io)?;
        let event = EventFd::from_fd(event);
        Ok(Self { socket, ring, event, granted, state: ClientState::Stopped, position: 0 })
    }

    /// What was granted: format, sizes, latency.
    #[must_use]
    pub fn record(&self) -> &ExclusiveRecord {
        self.ring.record()
    }

    /// Which endpoint it is.
    #[must_use]
    pub fn granted(&self) -> &Granted {
        &self.granted
    }

    /// Lets frames move, and the device's clock signal.
    pub fn start(&mut self) {
        self.set(ClientState::Started);
    }

    /// Holds frames where they are, for as long as the client likes. What has reached the device is played on.
    pub fn stop(&mut self) {
        self.set(ClientState::Stopped);
    }

    /// Says that no more frames will be written: what is in the ring is played, and running dry is no underrun.
    pub fn finish(&mut self) {
        self.set(ClientState::Finishing);
    }

    /// Puts whole frames into the ring, as many as there is room for; answers how many. 0 when it is full: then
    /// [`ExclusiveClient::wait`].
    ///
    /// # Errors
    /// [`ClientError`] when it is over.
    pub fn write(&mut self, sound: &[u8]) -> Result<FrameCount, ClientError> {
        let record = *self.record();
        let room =
            if record.flow == DataFlow::Render { record.ring.saturating_sub(self.queued()?) } else { FrameCount::ZERO };
        let frames = record.format.frames_in(sound.len()).min(room);
        self.ring.copy_in(self.position, sound.get(..record.format.bytes_of(frames)).unwrap_or_default());
        self.advance(frames);
        Ok(frames)
    }

    /// Takes whole frames out of the ring, as many as there are and `out` has room for; answers how many.
    ///
    /// # Errors
    /// [`ClientError`] when it is over.
    pub fn read(&mut self, out: &mut [u8]) -> Result<FrameCount, ClientError> {
        let record = *self.record();
        let there = if record.flow == DataFlow::Capture { self.queued()? } else { FrameCount::ZERO };
        let frames = record.format.frames_in(out.len()).min(there);
        self.ring.copy_out(self.position, out.get_mut(..record.format.bytes_of(frames)).unwrap_or_default());
        self.advance(frames);
        Ok(frames)
    }

    /// Waits for the device's next period, for at most `timeout`; answers whether it came.
    ///
    /// # Errors
    /// [`ClientError`] when it is over.
    pub fn wait(&self, timeout: Duration) -> Result<bool, ClientError> {
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let mut fds = [PollFd::new(&self.event, PollFlags::IN), PollFd::new(&self.socket, PollFlags::IN)];
        // A signal handler may cut the wait short: to the caller that is a wait without a period.
        let _ = poll(&mut fds, Some(&timeout));
        let [_, socket] = fds.map(|fd| !fd.revents().is_empty());
        let signalled = self.event.take();
        self.open_still()?;
        // The server sends nothing but its reply: readable means that it has hung up, without a word if it was killed.
        if socket { Err(ClientError::Gone) } else { Ok(signalled) }
    }

    /// Where the device is on this client's stream; zero before its first period.
    #[must_use]
    pub fn played(&self) -> Played {
        let (frames, time) = self.ring.device().unwrap_or_default();
        Played { frames, time: Hns::new(i64::try_from(time).unwrap_or(i64::MAX)) }
    }

    /// Frames written or read by this client.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whether the device has played everything that was written.
    #[must_use]
    pub fn is_played(&self) -> bool {
        self.ring.load(SERVER_POSITION) == self.position && self.played().frames >= self.position
    }

    /// How often the device ran dry while this client had started (render), and how many frames found no room in the
    /// ring (capture).
    #[must_use]
    pub fn glitches(&self) -> (u64, u64) {
        (self.ring.load(UNDERRUNS), self.ring.load(LOST))
    }

    /// Frames in the ring.
    fn queued(&self) -> Result<FrameCount, ClientError> {
        self.open_still()?;
        let server = self.ring.load(SERVER_POSITION);
        let queued = match self.record().flow {
            DataFlow::Render => self.position.checked_sub(server),
            DataFlow::Capture => server.checked_sub(self.position),
        };
        let queued = queued.and_then(|queued| u32::try_from(queued).ok()).map(FrameCount::new);
        queued
            .filter(|queued| *queued <= self.record().ring)
            .ok_or(ClientError::Nonsense { server, client: self.position })
    }

    fn advance(&mut self, frames: FrameCount) {
        self.position += u64::from(frames.get());
        self.ring.store(CLIENT_POSITION, self.position);
    }

    fn open_still(&self) -> Result<(), ClientError> {
        match self.ring.load(SERVER_STATE) {
            OVER => Err(ClientError::over(self.ring.load(REASON))),
            _ => Ok(()),
        }
    }

    /// Says a new state, and rings, since a server whose client is stopped does not look.
    fn set(&mut self, state: ClientState) {
        if self.state == state {
            return;
        }
        self.state = state;
        self.ring.store(CLIENT_STATE, state.word());
        // Where the socket takes nothing, the server has enough rings to hear; where it is gone, the next call says so.
        let _ = rustix::net::send(&self.socket, b"\n", rustix::net::SendFlags::NOSIGNAL);
    }
}

impl Drop for ExclusiveClient {
    fn drop(&mut self) {
        self.set(ClientState::Closed);
    }
}
