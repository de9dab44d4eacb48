//! The clients' connections: bytes in, bytes out, and never a wait.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use soundpost_pulse::{ClientId, Now, Server};

/// The most that is read from one client in a round.
const READ: usize = 256 * 1024;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    /// What epoll calls it.
    token: u64,
    /// What epoll waits for.
    waits_for: epoll::EventFlags,
    /// What was read, and is not taken by the server yet.
    rest: Vec<u8>,
    /// The server has ended it: it goes when its output is sent.
    pub(super) closing: bool,
}

/// How a connection stands after bytes were moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Goes,
    Over,
}

impl Connection {
    /// Makes `epoll` wait for what this client sends.
    pub(super) fn new(epoll: &OwnedFd, socket: OwnedFd, token: u64) -> io::Result<Self> {
        let waits_for = epoll::EventFlags::IN;
        epoll::add(epoll, &socket, epoll::EventData::new_u64(token), waits_for)?;
        Ok(Self { socket, token, waits_for, rest: Vec::new(), closing: false })
    }

    /// Reads what is there, up to a bound, and hands it to the server. `room` is memory for it.
    pub(super) fn receive(&mut self, server: &mut Server, id: ClientId, now: Now, room: &mut [u8]) -> Flow {
        if !self.hand_over_rest(server, id, now) {
            return Flow::Goes;
        }
        let mut read = 0;
        while read < READ && server.wants_input(id) {
            match rustix::net::recv(&self.socket, &mut *room, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Flow::Over,
                Ok((count, _)) => {
                    read += count;
                    let bytes = room.get(..count).unwrap_or_default();
                    let taken = server.handle_input(id, bytes, now);
                    if taken < count {
                        self.rest.extend_from_slice(bytes.get(taken..).unwrap_or_default());
                        break;
                    }
                    if count < room.len() {
                        break;
                    }
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => return Flow::Over,
            }
        }
        Flow::Goes
    }

    /// Whether nothing is left that was read earlier.
    fn hand_over_rest(&mut self, server: &mut Server, id: ClientId, now: Now) -> bool {
        if !self.rest.is_empty() && server.wants_input(id) {
            let taken = server.handle_input(id, &self.rest, now);
            self.rest.drain(..taken.min(self.rest.len()));
        }
        self.rest.is_empty()
    }

    /// Whether it has asked for more than is done for one client in a round: it is the next round's turn again.
    pub(super) fn has_more(&self, server: &Server, id: ClientId) -> bool {
        !self.rest.is_empty() && server.wants_input(id)
    }

    /// Sends what the server has for the client, as far as the client takes it.
    pub(super) fn send(&mut self, server: &mut Server, id: ClientId, now: Now) -> Flow {
        // Once in a call: a client that asks for long lists and reads them as fast as they come has its share then.
        let mut handed_over = false;
        loop {
            let output = server.output(id);
            if output.is_empty() {
                break;
            }
            match rustix::net::send(&self.socket, output, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(count) => {
                    server.sent(id, count);
                    if !self.rest.is_empty() && !std::mem::replace(&mut handed_over, true) {
                        self.hand_over_rest(server, id, now);
                    }
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => return Flow::Over,
            }
        }
        if self.closing && server.output(id).is_empty() { Flow::Over } else { Flow::Goes }
    }

    /// Lets epoll wait for what can be done next.
    pub(super) fn arm(&mut self, epoll: &OwnedFd, server: &Server, id: ClientId) -> io::Result<()> {
        let mut wanted = epoll::EventFlags::empty();
        wanted.set(epoll::EventFlags::IN, server.wants_input(id) && self.rest.is_empty());
        wanted.set(epoll::EventFlags::OUT, !server.output(id).is_empty());
        if wanted != self.waits_for {
            epoll::modify(epoll, &self.socket, epoll::EventData::new_u64(self.token), wanted)?;
            self.waits_for = wanted;
        }
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Clients' numbers begin here, within a session's; below are its own events.
pub(super) const FIRST_CLIENT: u64 = 16;
