//! The thread: sockets, time, and the passes' event.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use soundpost_core::{Clock as _, Instant};
use soundpost_pulse::{ClientId, CloseReason, Event, Now, Peer, Server, ServerConfig, WallTime};

use super::clients::{Connection, FIRST_CLIENT, Flow};
use super::streams::Streams;
use super::wake::Wake;
use super::{PulseConfig, PulseSession, PulseSocket, PulseTcp, text};
use crate::clock::MonotonicClock;
use crate::sys::peer;

/// What epoll calls the passes' event and the listening sockets.
const WAKE: u64 = 0;
const UNIX: u64 = 1;
const TCP: u64 = 2;
/// Events taken from epoll at once.
const EVENTS: usize = 64;
/// New connections taken in a round.
const ACCEPTS: usize = 16;
/// Bytes read at once.
const ROOM: usize = 64 * 1024;
/// How long the packets of many streams are gathered where somebody waits for an answer, or for sound that is wanted now.
const GATHER: Duration = Duration::from_millis(1);
/// How long nobody is let in where the system gives no more files.
const FULL: Duration = Duration::from_millis(500);

/// Everything that the thread owns.
pub(super) struct Service<S> {
    server: Server,
    streams: Streams<S>,
    epoll: OwnedFd,
    wake: Arc<Wake>,
    stop: Arc<AtomicBool>,
    socket: PulseSocket,
    tcp: Option<PulseTcp>,
    /// By the index that epoll knows them by.
    connections: BTreeMap<u32, (ClientId, Connection)>,
    /// Nobody is let in before.
    full_until: Option<Instant>,
    room: Vec<u8>,
    /// Clients to whom something is to be sent; kept to save its memory.
    sending: Vec<ClientId>,
    own_user: u32,
    /// There were more events than were taken: there is no time to gather.
    pressed: bool,
    /// In the last round clients sent nothing but sound.
    only_sound: bool,
    /// How long packets of sound are gathered: half of what lies between two passes.
    half_period: Duration,
}

/// Whoever wants to come in.
enum Visitor {
    Unix(OwnedFd),
    Tcp(OwnedFd),
}

impl<S: PulseSession> Service<S> {
    pub(super) fn new(
        config: PulseConfig,
        session: S,
        socket: PulseSocket,
        tcp: Option<PulseTcp>,
        (wake, stop): (Arc<Wake>, Arc<AtomicBool>),
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let readable = epoll::EventFlags::IN;
        epoll::add(&epoll, wake.as_fd(), epoll::EventData::new_u64(WAKE), readable)?;
        epoll::add(&epoll, socket.listener.as_fd(), epoll::EventData::new_u64(UNIX), readable)?;
        if let Some(tcp) = &tcp {
            epoll::add(&epoll, tcp.listener.as_fd(), epoll::EventData::new_u64(TCP), readable)?;
        }
        let mut server = Server::new(ServerConfig {
            name: c"PulseAudio (on Soundpost)".to_owned(),
            // Clients compare it with PulseAudio's: the behaviour that is spoken here is that of 16.
            version: c"16.1.0".to_owned(),
            user: text(&config.user),
            host: text(&rustix::system::uname().nodename().to_string_lossy()),
            spec: super::streams::mix_spec(config.rate)?,
            instance: getrandom::u32().map_err(io::Error::other)?,
            cookie: config.cookie,
        });
        let half_period = config.period.to_duration() / 2;
        let streams = Streams::new(config, session, &mut server, wake.clone(), MonotonicClock.now())?;
        Ok(Self {
            server,
            streams,
            epoll,
            wake,
            stop,
            socket,
            tcp,
            connections: BTreeMap::new(),
            full_until: None,
            room: vec![0; ROOM],
            sending: Vec::new(),
            own_user: rustix::process::geteuid().as_raw(),
            pressed: false,
            only_sound: false,
            half_period,
        })
    }

    /// The thread's life.
    pub(super) fn run(mut self) {
        // What a pass takes must be there again before the next one: before ordinary work, where the system grants it.
        if let Err(error) = rustix::process::setpriority_process(None, -11) {
            tracing::debug!(%error, "the sound server for applications runs at the usual priority");
        }
        let mut events = Vec::with_capacity(EVENTS);
        while !self.stop.load(Ordering::Acquire) {
            let timeout = self.timeout();
            events.clear();
            self.gather();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "the sound server for applications cannot wait any more, and ends");
                    return;
                }
            }
            self.round(&events);
        }
    }

    /// Where many play, each of them would wake the thread for itself in every period: their packets are let come together.
    /// A pass is not kept waiting by it. What clients send is wanted at the next pass; so there is half a period's time,
    /// but where the engine could take more already, or where a client has asked for something and may go on doing so.
    fn gather(&mut self) {
        if self.pressed || !self.streams.is_crowd() {
            return;
        }
        let calm = self.only_sound && !self.streams.is_hungry();
        self.wake.wait(if calm { self.half_period.max(GATHER) } else { GATHER });
    }

    /// How long there is nothing to do but what events say; none: for ever.
    fn timeout(&self) -> Option<Timespec> {
        let until =
            self.server.next_timeout().into_iter().chain(self.streams.next_timeout()).chain(self.full_until).min()?;
        let wait = until.saturating_since(MonotonicClock.now());
        Some(Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        })
    }

    fn round(&mut self, events: &[epoll::Event]) {
        let now = now();
        let requests = self.server.requests();
        self.pressed = events.len() == EVENTS;
        if self.full_until.is_some_and(|until| until <= now.at) {
            self.full_until = None;
            self.listen(true);
        }
        // What a pass has taken is given back before anything else: the next one comes at its time.
        let passed = events.iter().any(|event| event.data.u64() == WAKE);
        if passed {
            self.wake.take();
            self.streams.after_pass(&mut self.server, now);
            self.settle(now);
        }
        for event in events {
            match event.data.u64() {
                WAKE => {}
                UNIX | TCP => self.let_in(event.data.u64(), now),
                client => self.hear(client - FIRST_CLIENT, event.flags, now),
            }
        }
        self.server.handle_timeout(now);
        self.settle(now);
        self.streams.after_input(&mut self.server, now);
        self.streams.handle_timeout(&mut self.server, now);
        self.settle(now);
        self.send(now);
        self.only_sound = self.server.requests() == requests;
        self.streams.round_took(now.at, MonotonicClock.now().saturating_since(now.at));
    }

    /// Acts on what the server says until it says no more.
    fn settle(&mut self, now: Now) {
        while let Some(event) = self.server.poll_event() {
            match event {
                Event::Admitted(client) => tracing::debug!(client = client.get(), "a sound client has logged in"),
                Event::Close(client, reason) => self.close(client, &reason),
                other => self.streams.act(&mut self.server, other, now),
            }
        }
    }

    fn close(&mut self, client: ClientId, reason: &CloseReason) {
        tracing::info!(client = client.get(), %reason, "a sound client's connection is closed");
        if let Some((_, connection)) = self.connections.get_mut(&client.get()) {
            connection.closing = true;
            // What it was told last may still be sent, at once or not at all.
            let _ = connection.send(&mut self.server, client, now());
        }
        self.drop_client(client);
    }

    fn drop_client(&mut self, client: ClientId) {
        // Closing the socket takes it out of epoll.
        self.connections.remove(&client.get());
        self.server.disconnect(client);
    }

    /// Something has come from a client, or it takes more.
    fn hear(&mut self, token: u64, flags: epoll::EventFlags, now: Now) {
        let found = u32::try_from(token).ok().and_then(|index| self.connections.get_mut(&index));
        let Some(&mut (client, ref mut connection)) = found else { return };
        let mut flow = Flow::Goes;
        if flags.contains(epoll::EventFlags::OUT) {
            flow = connection.send(&mut self.server, client, now);
        }
        let gone = epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        if flow == Flow::Goes && flags.intersects(epoll::EventFlags::IN | gone) {
            flow = connection.receive(&mut self.server, client, now, &mut self.room);
            // A client that is gone is not waited for, although its last words are not taken: nobody takes an answer.
            if flow == Flow::Goes && flags.intersects(gone) && !flags.contains(epoll::EventFlags::IN) {
                flow = Flow::Over;
            }
        }
        match flow {
            Flow::Over => self.drop_client(client),
            // What there is to be sent is sent at the end of the round, and most of the time nothing is left then.
            Flow::Goes if !self.server.output(client).is_empty() => {}
            Flow::Goes => self.arm(client),
        }
    }

    fn arm(&mut self, client: ClientId) {
        if let Some((_, connection)) = self.connections.get_mut(&client.get())
            && let Err(error) = connection.arm(&self.epoll, &self.server, client)
        {
            tracing::warn!(%error, "a sound client cannot be waited for, and is let go");
            self.drop_client(client);
        }
    }

    /// Sends what there is for all clients.
    fn send(&mut self, now: Now) {
        let mut sending = std::mem::take(&mut self.sending);
        sending.clear();
        sending.extend(self.server.clients_with_output());
        for client in &sending {
            let Some((_, connection)) = self.connections.get_mut(&client.get()) else { continue };
            match connection.send(&mut self.server, *client, now) {
                Flow::Over => self.drop_client(*client),
                Flow::Goes => self.arm(*client),
            }
        }
        self.sending = sending;
        // What sending has led to.
        self.settle(now);
    }

    fn listen(&mut self, listens: bool) {
        let wanted = if listens { epoll::EventFlags::IN } else { epoll::EventFlags::empty() };
        let unix = epoll::modify(&self.epoll, self.socket.listener.as_fd(), epoll::EventData::new_u64(UNIX), wanted);
        let tcp = self.tcp.as_ref().map_or(Ok(()), |tcp| {
            epoll::modify(&self.epoll, tcp.listener.as_fd(), epoll::EventData::new_u64(TCP), wanted)
        });
        if let Err(error) = unix.and(tcp) {
            tracing::warn!(%error, "listening for sound clients");
        }
    }

    fn let_in(&mut self, token: u64, now: Now) {
        for _ in 0..ACCEPTS {
            let accepted = match (token, &self.tcp) {
                (UNIX, _) => accept_unix(&self.socket.listener).map(Visitor::Unix),
                (_, Some(tcp)) => accept_tcp(&tcp.listener).map(Visitor::Tcp),
                _ => return,
            };
            match accepted {
                Ok(visitor) => self.admit(visitor, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) => {
                }
                Err(error) => {
                    tracing::warn!(%error, "no further sound client is let in for now: end some, or raise the limit on files");
                    self.listen(false);
                    self.full_until = Some(now.at + FULL);
                    return;
                }
            }
        }
    }

    fn admit(&mut self, visitor: Visitor, now: Now) {
        let (socket, peer) = match visitor {
            Visitor::Unix(socket) => {
                let user = peer(socket.as_fd()).map(|(_, user)| user);
                let trusted = user.as_ref().is_ok_and(|user| *user == self.own_user);
                (socket, Peer { trusted, description: c"UNIX socket client".to_owned() })
            }
            Visitor::Tcp(socket) => (socket, Peer { trusted: false, description: c"TCP/IP client".to_owned() }),
        };
        let client = match self.server.connect(peer, now) {
            Ok(client) => client,
            Err(error) => {
                tracing::warn!("a sound client is turned away: {error}");
                return;
            }
        };
        match Connection::new(&self.epoll, socket, client) {
            Ok(connection) => {
                self.connections.insert(client.get(), (client, connection));
            }
            Err(error) => {
                tracing::warn!(%error, "a sound client cannot be waited for, and is let go");
                self.server.disconnect(client);
            }
        }
    }
}

fn accept_unix(listener: &UnixListener) -> io::Result<OwnedFd> {
    let (socket, _) = listener.accept()?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn accept_tcp(listener: &TcpListener) -> io::Result<OwnedFd> {
    let (socket, _) = listener.accept()?;
    socket.set_nonblocking(true)?;
    // Requests are small, and sound is wanted when it is asked for.
    socket.set_nodelay(true)?;
    Ok(socket.into())
}

/// Both clocks.
fn now() -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // The protocol's seconds have 32 bits, which end in 2106.
    let wall = WallTime { seconds: u32::try_from(wall.as_secs()).unwrap_or(u32::MAX), micros: wall.subsec_micros() };
    Now { at: MonotonicClock.now(), wall }
}
