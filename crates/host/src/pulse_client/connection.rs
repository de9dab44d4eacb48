//! One connection to a server.

use std::collections::VecDeque;
use std::ffi::CString;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use pulseaudio::protocol::{AuthParams, Command, CommandTag, Prop, Props, encode_command_message};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, UCred, sendmsg};

use super::error::{ClientError, Refusal};
use super::frames::{Frame, Frames, descriptor};
use super::place::{Place, cookie};
use super::reader::{Reader, Wrong};
use crate::event::EventFd;

/// The newest version that is spoken, and the oldest that is accepted: below it lists have another form.
const VERSION: u16 = 35;
const OLDEST: u16 = 15;
/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Read from the socket at once.
const CHUNK: usize = 64 * 1024;
/// What a server may say while the answer to a request is waited for.
const MOST_NOTICES: usize = 4_096;
/// Longest block of sound that is sent: a multiple of every frame of 1 to 8 samples of 1 to 4 bytes.
const BLOCK: usize = 10_080 * 100;

/// A request that was sent and is answered later, with [`Notice::Answer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u32);

/// What a server says unasked, or later.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A playback stream has room for so many bytes more.
    Wants {
        /// The stream.
        channel: u32,
        /// Bytes.
        bytes: u32,
    },
    /// Sound of a record stream.
    Sound {
        /// The stream.
        channel: u32,
        /// Whole frames, as servers send them.
        bytes: Vec<u8>,
    },
    /// The server has ended a stream: its device is gone, or somebody has told it to.
    Gone {
        /// The stream.
        channel: u32,
    },
    /// A playback stream has run dry.
    Dry {
        /// The stream.
        channel: u32,
    },
    /// Something has changed of what [`Client::subscribe_sources`] asked for.
    Changed,
    /// The answer to [`Client::begin`].
    Answer {
        /// Which request.
        ticket: Ticket,
        /// What the answer holds, or the server's error.
        answer: Result<Vec<u8>, Refusal>,
    },
}

enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// A client's connection to a sound server. Belongs to one thread. Dropping it ends its streams at once.
pub struct Client {
    place: Place,
    socket: Socket,
    version: u16,
    sequence: u32,
    frames: Frames,
    /// Bytes that the socket had no room for.
    unsent: Vec<u8>,
    notices: VecDeque<Notice>,
    chunk: Box<[u8]>,
}

impl Client {
    /// Connects to the first of these places where a server answers, under a name for people.
    ///
    /// # Errors
    /// [`ClientError::NoServer`], [`ClientError::Denied`], and whatever else goes wrong with the first that answers.
    pub fn connect(places: &[Place], name: &str) -> Result<Self, ClientError> {
        for place in places {
            let socket = match Socket::connect(place) {
                Ok(socket) => socket,
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    return Err(ClientError::Denied(place.clone()));
                }
                Err(_) => continue,
            };
            let mut client = Self {
                place: place.clone(),
                socket,
                version: VERSION,
                sequence: 0,
                frames: Frames::default(),
                unsent: Vec::new(),
                notices: VecDeque::new(),
                chunk: vec![0; CHUNK].into_boxed_slice(),
            };
            client.greet(name)?;
            return Ok(client);
        }
        Err(ClientError::NoServer(places.to_vec()))
    }

    /// Where the server is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Logs in. With a Unix socket the kernel vouches for the user; over TCP the cookie does.
    fn greet(&mut self, name: &str) -> Result<(), ClientError> {
        let auth = AuthParams { version: VERSION, supports_shm: false, supports_memfd: false, cookie: cookie() };
        let (ticket, packet) = self.packet(&Command::Auth(auth))?;
        self.socket.send_with_credentials(&packet).map_err(|error| self.io(error))?;
        let answer = self.wait_for(ticket, "let this user in").map_err(|error| match error {
            ClientError::Refused { .. } | ClientError::Closed(_) => ClientError::Denied(self.place.clone()),
            error => error,
        })?;
        let version = Reader::new(&answer).u32().map_err(|wrong| self.nonsense(wrong))?;
        // The upper half speaks of shared memory.
        self.version = u16::try_from(version & 0xffff).unwrap_or(0).min(VERSION);
        if self.version < OLDEST {
            return Err(self.nonsense("a version from before 2009"));
        }
        let mut props = Props::new();
        props.set(Prop::ApplicationName, text(name));
        props.set(Prop::ApplicationProcessId, text(&std::process::id().to_string()));
        props.set(Prop::ApplicationProcessBinary, c"soundpost");
        self.ask("take the name", &Command::SetClientName(props)).map(|_| ())
    }

    fn packet(&mut self, command: &Command) -> Result<(Ticket, Vec<u8>), ClientError> {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1) & 0x7fff_ffff;
        let mut bytes = Vec::new();
        encode_command_message(&mut bytes, sequence, command, self.version)
            .map_err(|_| self.nonsense("a request that cannot be written"))?;
        Ok((Ticket(sequence), bytes))
    }

    /// Sends a request; the answer comes as [`Notice::Answer`].
    ///
    /// # Errors
    /// [`ClientError::Io`], [`ClientError::Closed`].
    pub fn begin(&mut self, command: &Command) -> Result<Ticket, ClientError> {
        let (ticket, packet) = self.packet(command)?;
        self.unsent.extend_from_slice(&packet);
        self.send()?;
        Ok(ticket)
    }

    /// Sends a request and waits for its answer, five seconds at most. What else comes meanwhile is kept for
    /// [`Client::next`]. `what` completes "the sound server refuses to ...".
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn ask(&mut self, what: &'static str, command: &Command) -> Result<Vec<u8>, ClientError> {
        let ticket = self.begin(command)?;
        self.wait_for(ticket, what)
    }

    fn wait_for(&mut self, wanted: Ticket, what: &'static str) -> Result<Vec<u8>, ClientError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answered = |notice: &Notice| matches!(notice, Notice::Answer { ticket, .. } if *ticket == wanted);
            if let Some(at) = self.notices.iter().position(answered)
                && let Some(Notice::Answer { answer, .. }) = self.notices.remove(at)
            {
                return answer.map_err(|reason| ClientError::Refused { what, reason });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ClientError::Silent(self.place.clone()));
            }
            self.transfer(left, None)?;
        }
    }

    /// Bytes that wait for the socket to take them.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.unsent.len()
    }

    /// Sends sound to a playback stream: no more than the server has asked for. What the socket does not take is kept;
    /// [`Client::unsent`] says how much that is.
    ///
    /// # Errors
    /// [`ClientError::Io`], [`ClientError::Closed`].
    pub fn write(&mut self, channel: u32, sound: &[u8]) -> Result<(), ClientError> {
        for block in sound.chunks(BLOCK) {
            let length = u32::try_from(block.len()).unwrap_or(u32::MAX);
            self.unsent.extend_from_slice(&descriptor(channel, length));
            self.unsent.extend_from_slice(block);
        }
        self.send()
    }

    /// The next thing that the server says; none after `timeout`, or when `wake` was signalled before.
    ///
    /// # Errors
    /// [`ClientError::Io`], [`ClientError::Closed`], [`ClientError::Nonsense`].
    pub fn next(&mut self, timeout: Duration, wake: Option<&EventFd>) -> Result<Option<Notice>, ClientError> {
        if self.notices.is_empty() {
            self.transfer(timeout, wake)?;
        }
        Ok(self.notices.pop_front())
    }

    /// Waits until something can be read or written, or `wake` is signalled; reads and writes what can be.
    fn transfer(&mut self, timeout: Duration, wake: Option<&EventFd>) -> Result<(), ClientError> {
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let interest = if self.unsent.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        let mut fds = vec![PollFd::from_borrowed_fd(self.socket.as_fd(), interest)];
        fds.extend(wake.map(|wake| PollFd::new(wake, PollFlags::IN)));
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) => {}
            // A signal: the caller looks whether it was asked to end.
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(self.io(error.into())),
        }
        drop(fds);
        if let Some(wake) = wake {
            wake.take();
        }
        self.send()?;
        self.receive()
    }

    fn send(&mut self) -> Result<(), ClientError> {
        let mut sent = 0;
        let result = loop {
            let rest = self.unsent.get(sent..).unwrap_or_default();
            if rest.is_empty() {
                break Ok(());
            }
            match self.socket.write(rest) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(self.io(error)),
            }
        };
        self.unsent.drain(..sent.min(self.unsent.len()));
        result
    }

    fn receive(&mut self) -> Result<(), ClientError> {
        loop {
            let count = match self.socket.read(&mut self.chunk) {
                Ok(0) => return Err(ClientError::Closed(self.place.clone())),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.io(error)),
            };
            self.frames.push(self.chunk.get(..count).unwrap_or_default());
            while let Some(frame) = self.frames.next().map_err(|wrong| self.nonsense(wrong))? {
                let notice = match frame {
                    Frame::Sound { channel, bytes } => Some(Notice::Sound { channel, bytes }),
                    Frame::Packet(packet) => parse(&packet).map_err(|wrong| self.nonsense(wrong))?,
                };
                if self.notices.len() >= MOST_NOTICES {
                    return Err(self.nonsense("more than can be taken in"));
                }
                self.notices.extend(notice);
            }
            // Who sends without end is not read without end.
            if count < CHUNK {
                return Ok(());
            }
        }
    }

    fn io(&self, error: io::Error) -> ClientError {
        match error.kind() {
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => ClientError::Closed(self.place.clone()),
            _ => ClientError::Io(self.place.clone(), error),
        }
    }

    pub(super) fn nonsense(&self, wrong: Wrong) -> ClientError {
        ClientError::Nonsense(self.place.clone(), wrong)
    }
}

/// What a control packet says; none where it is of no use here.
pub(super) fn parse(packet: &[u8]) -> Result<Option<Notice>, Wrong> {
    let mut reader = Reader::new(packet);
    let (command, sequence) = (reader.u32()?, reader.u32()?);
    let is = |tag: CommandTag| command == number(tag);
    if is(CommandTag::Reply) {
        let answer = Ok(reader.rest().to_vec());
        return Ok(Some(Notice::Answer { ticket: Ticket(sequence), answer }));
    }
    if is(CommandTag::Error) {
        let answer = Err(Refusal(reader.u32()?));
        return Ok(Some(Notice::Answer { ticket: Ticket(sequence), answer }));
    }
    if is(CommandTag::Request) {
        return Ok(Some(Notice::Wants { channel: reader.u32()?, bytes: reader.u32()? }));
    }
    if is(CommandTag::PlaybackStreamKilled) || is(CommandTag::RecordStreamKilled) {
        return Ok(Some(Notice::Gone { channel: reader.u32()? }));
    }
    if is(CommandTag::SubscribeEvent) {
        return Ok(Some(Notice::Changed));
    }
    if is(CommandTag::Underflow) {
        return Ok(Some(Notice::Dry { channel: reader.u32()? }));
    }
    Ok(None)
}

fn number(tag: CommandTag) -> u32 {
    #[expect(clippy::as_conversions, reason = "the number of a field-less variant")]
    {
        u32::from(tag as u8)
    }
}

/// A text as the protocol has it. What follows a zero byte is left out.
pub(super) fn text(text: &str) -> CString {
    CString::new(text.split('\0').next().unwrap_or_default()).unwrap_or_default()
}

impl Socket {
    fn connect(place: &Place) -> io::Result<Self> {
        match place {
            Place::Unix(path) => {
                let socket = UnixStream::connect(path)?;
                socket.set_nonblocking(true)?;
                Ok(Self::Unix(socket))
            }
            Place::Tcp(host, port) => {
                let mut last = io::Error::from(ErrorKind::NotFound);
                for address in (host.as_str(), *port).to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, PATIENCE) {
                        Ok(socket) => {
                            socket.set_nodelay(true)?;
                            socket.set_nonblocking(true)?;
                            return Ok(Self::Tcp(socket));
                        }
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    /// Sends the first packet, which is far shorter than any socket's buffer, with this process' identity where the
    /// kernel carries such.
    fn send_with_credentials(&mut self, packet: &[u8]) -> io::Result<()> {
        let Self::Unix(socket) = self else { return self.write_all(packet) };
        let who =
            UCred { pid: rustix::process::getpid(), uid: rustix::process::geteuid(), gid: rustix::process::getegid() };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmCredentials(who));
        let sent = sendmsg(&*socket, &[IoSlice::new(packet)], &mut control, SendFlags::NOSIGNAL)?;
        self.write_all(packet.get(sent..).unwrap_or_default())
    }
}

impl Read for Socket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => socket.read(bytes),
            Self::Tcp(socket) => socket.read(bytes),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => socket.write(bytes),
            Self::Tcp(socket) => socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(socket) => socket.as_fd(),
            Self::Tcp(socket) => socket.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_become_notices() {
        let packet = |command: CommandTag, rest: &[u8]| {
            [b"L", &number(command).to_be_bytes()[..], b"L\0\0\0\x09", rest].concat()
        };
        let answer = |answer| Notice::Answer { ticket: Ticket(9), answer };
        assert_eq!(parse(&packet(CommandTag::Reply, b"rest")), Ok(Some(answer(Ok(b"rest".to_vec())))));
        assert_eq!(parse(&packet(CommandTag::Error, b"L\0\0\0\x05")), Ok(Some(answer(Err(Refusal::NO_ENTITY)))));
        let wants = Notice::Wants { channel: 1, bytes: 0x200 };
        assert_eq!(parse(&packet(CommandTag::Request, b"L\0\0\0\x01L\0\0\x02\0")), Ok(Some(wants)));
        for killed in [CommandTag::PlaybackStreamKilled, CommandTag::RecordStreamKilled] {
            assert_eq!(parse(&packet(killed, b"L\0\0\0\x04")), Ok(Some(Notice::Gone { channel: 4 })));
        }
        assert_eq!(parse(&packet(CommandTag::SubscribeEvent, b"")), Ok(Some(Notice::Changed)));
        assert_eq!(parse(&packet(CommandTag::Started, b"L\0\0\0\x04")), Ok(None));
        assert!(parse(b"L\0\0\0\x02").is_err());
        assert!(parse(&packet(CommandTag::Request, b"L\0\0\0\x01")).is_err());
    }
}
