//! One session on the thread: its sockets and its time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::CStr;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::event::epoll;
use soundpost_core::{Clock as _, Instant};
use soundpost_endpoint::DataFlow;
use soundpost_pulse::{ClientId, CloseReason, Event, Now, Peer, Server, ServerConfig, WallTime};

use super::clients::{Connection, FIRST_CLIENT, Flow};
use super::devices::PulseDevice;
use super::streams::Streams;
use super::thread::WAKE;
use super::wake::Wake;
use super::{PulsePlace, PulseSession, PulseSocket, PulseStartError, PulseTcp, text};
use crate::clock::MonotonicClock;
use crate::sys::peer;

/// What epoll calls the listening sockets, above [`Service::base`].
const UNIX: u64 = 1;
const TCP: u64 = 2;
/// New connections taken in a round.
const ACCEPTS: usize = 16;
/// Bytes read at once.
const ROOM: usize = 64 * 1024;
/// Streams that a client leaves behind, taken away at once: a hundred take milliseconds.
const AT_ONCE: usize = 16;
/// How long nobody is let in where the system gives no more files.
const FULL: Duration = Duration::from_millis(500);

/// Everything that the thread owns for a session.
pub(super) struct Service<S> {
    server: Server,
    streams: Streams<S>,
    epoll: Arc<OwnedFd>,
    /// What epoll calls this session: its sockets' numbers begin here, those of the next one [`Self::STEP`] later.
    base: u64,
    socket: PulseSocket,
    tcp: Option<PulseTcp>,
    /// By the index that epoll knows them by.
    connections: BTreeMap<u32, (ClientId, Connection)>,
    /// Nobody is let in before.
    full_until: Option<Instant>,
    room: Vec<u8>,
    /// Clients to whom something is to be sent; kept to save its memory.
    sending: Vec<ClientId>,
    /// Clients that have asked for more than is done for one of them in a round.
    unfinished: BTreeSet<ClientId>,
    /// Whose turn it is among them.
    next_unfinished: Option<ClientId>,
    /// In the last round there was no time for all clients.
    cut_short: bool,
    /// Clients that are gone, whose streams are taken away as there is time.
    leaving: VecDeque<ClientId>,
    /// Who has logged in.
    admitted: BTreeSet<ClientId>,
    /// The log knows that somebody is turned away.
    turned_away: bool,
    owner: u32,
    /// In the last round clients sent nothing but sound.
    only_sound: bool,
    /// Half of what lies between two passes.
    half_period: Duration,
}

/// Whoever wants to come in.
enum Visitor {
    Unix(OwnedFd),
    Tcp(OwnedFd),
}

impl<S: PulseSession> Service<S> {
    pub(super) const STEP: u64 = 1 << 40;

    /// To be the session number `index` of those whose sockets `epoll` waits for.
    pub(super) fn new(
        PulsePlace { config, session, socket, tcp }: PulsePlace<S>,
        index: u64,
        epoll: Arc<OwnedFd>,
        wake: Arc<Wake>,
    ) -> Result<Self, PulseStartError> {
        let base = Self::STEP * index;
        let readable = epoll::EventFlags::IN;
        epoll::add(&epoll, socket.listener.as_fd(), epoll::EventData::new_u64(base + UNIX), readable)?;
        if let Some(tcp) = &tcp {
            epoll::add(&epoll, tcp.listener.as_fd(), epoll::EventData::new_u64(base + TCP), readable)?;
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
        let (owner, half_period) = (config.owner, config.period.to_duration() / 2);
        let streams = Streams::new(config, session, &mut server, wake, MonotonicClock.now())?;
        Ok(Self {
            server,
            streams,
            epoll,
            base,
            socket,
            tcp,
            connections: BTreeMap::new(),
            full_until: None,
            room: vec![0; ROOM],
            sending: Vec::new(),
            unfinished: BTreeSet::new(),
            next_unfinished: None,
            cut_short: false,
            leaving: VecDeque::new(),
            admitted: BTreeSet::new(),
            turned_away: false,
            owner,
            only_sound: true,
            half_period,
        })
    }

    /// Whether so many streams are played that what each of them costs is worth a wait.
    pub(super) fn is_crowd(&self) -> bool {
        self.streams.is_crowd()
    }

    /// Whether clients are left over that have sent something.
    pub(super) fn is_pressed(&self) -> bool {
        self.cut_short
    }

    /// Whether the thread may leave every second pass alone, as far as this session goes.
    pub(super) fn strides(&self) -> bool {
        self.streams.is_idle() || self.streams.is_throng()
    }

    /// How long the thread may wait for packets of sound to come together: what clients send is wanted at the next pass, so
    /// there is half a period's time; none where the engine could take more already, or where a client has asked for
    /// something and may go on doing so.
    pub(super) fn calm(&self) -> Option<Duration> {
        (self.only_sound && !self.streams.is_hungry()).then_some(self.half_period)
    }

    /// A device that is there from now on.
    pub(super) fn plug(&mut self, device: PulseDevice) -> Result<(), PulseStartError> {
        self.streams.plug(&mut self.server, device)?;
        self.tidy(now());
        Ok(())
    }

    /// A device is gone, and nothing here uses it any more.
    pub(super) fn unplug(&mut self, flow: DataFlow, name: &CStr) {
        let now = now();
        self.streams.unplug(&mut self.server, flow, name, now);
        self.settle(now);
        self.streams.forget(flow, name);
        self.tidy(now);
    }

    /// What has happened outside of a round is told.
    fn tidy(&mut self, now: Now) {
        self.settle(now);
        self.send(now);
    }

    /// When there is something to do that no event says.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        if !self.unfinished.is_empty() || !self.leaving.is_empty() {
            return Some(Instant::ORIGIN);
        }
        self.server.next_timeout().into_iter().chain(self.streams.next_timeout()).chain(self.full_until).min()
    }

    /// What has happened: a pass, and what epoll has seen of this session and of others.
    pub(super) fn round(&mut self, events: &[epoll::Event]) {
        let now = now();
        let own = |event: &&epoll::Event| event.data.u64() / Self::STEP == self.base / Self::STEP;
        let due = self.next_timeout().is_some_and(|at| at <= now.at);
        let passed = self.streams.has_passed() && !self.streams.is_idle();
        if !passed && !due && !events.iter().any(|event| own(&event) && event.data.u64() != WAKE) {
            (self.only_sound, self.cut_short) = (true, false);
            return;
        }
        let requests = self.server.requests();
        if self.full_until.is_some_and(|until| until <= now.at) {
            self.full_until = None;
            self.listen(true);
        }
        // What a pass has taken is given back before anything else: the next one comes at its time. In a throng what
        // clients have sent since the last look comes first, and may be what is given back.
        let throng = self.streams.is_throng();
        if passed && !throng {
            self.after_pass(now);
        }
        // What clients want takes as long as it takes; the next pass does not wait for it.
        let until = MonotonicClock.now() + self.half_period / 2;
        self.cut_short = false;
        let base = self.base;
        for event in events.iter().filter(|event| event.data.u64() / Self::STEP == base / Self::STEP) {
            match event.data.u64() - base {
                WAKE => continue,
                token @ (UNIX | TCP) => self.let_in(token, now),
                client => self.hear(client - FIRST_CLIENT, event.flags, now),
            }
            self.settle(now);
            // Epoll tells of the others again.
            self.cut_short = MonotonicClock.now() >= until;
            if self.cut_short {
                break;
            }
        }
        self.go_on_with_unfinished(until, now);
        self.take_leave(until, now);
        if passed && throng {
            self.after_pass(now);
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

    /// Clients that had asked for more than is done at once, as far as there is time; one in each round at least.
    fn go_on_with_unfinished(&mut self, until: Instant, now: Now) {
        let mut later = std::mem::take(&mut self.unfinished);
        let first = self.next_unfinished.take().map(|client| later.split_off(&client)).unwrap_or_default();
        let mut served = false;
        let mut waiting = first.into_iter().chain(later);
        while let Some(client) = waiting.next() {
            if std::mem::replace(&mut served, true) && MonotonicClock.now() >= until {
                self.next_unfinished = Some(client);
                self.unfinished.insert(client);
                self.unfinished.extend(waiting);
                return;
            }
            self.hear(u64::from(client.get()), epoll::EventFlags::IN, now);
            self.settle(now);
        }
    }

    fn after_pass(&mut self, now: Now) {
        self.streams.after_pass(&mut self.server, now);
        self.settle(now);
    }

    /// Acts on what the server says until it says no more.
    fn settle(&mut self, now: Now) {
        while let Some(event) = self.server.poll_event() {
            match event {
                Event::Admitted(client) => {
                    tracing::debug!(client = client.get(), "a sound client has logged in");
                    self.admitted.insert(client);
                }
                Event::Close(client, reason) => self.close(client, &reason),
                other => self.streams.act(&mut self.server, other, now),
            }
        }
    }

    fn close(&mut self, client: ClientId, reason: &CloseReason) {
        // Whoever has not logged in can do this as often as it likes.
        if self.admitted.remove(&client) {
            tracing::info!(client = client.get(), %reason, "a sound client's connection is closed");
        } else {
            tracing::debug!(client = client.get(), %reason, "a connection is closed that had not logged in");
        }
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
        self.unfinished.remove(&client);
        self.admitted.remove(&client);
        self.leaving.push_back(client);
    }

    /// Takes away what clients had that are gone, some streams of one in each round at least.
    fn take_leave(&mut self, until: Instant, now: Now) {
        while let Some(&client) = self.leaving.front() {
            if !self.server.end_streams_of(client, AT_ONCE) {
                self.server.disconnect(client);
                self.leaving.pop_front();
            }
            self.settle(now);
            if MonotonicClock.now() >= until {
                return;
            }
        }
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
        let Some((_, connection)) = self.connections.get_mut(&client.get()) else { return };
        if connection.has_more(&self.server, client) {
            self.unfinished.insert(client);
        }
        if let Err(error) = connection.arm(&self.epoll, &self.server, client) {
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
        let unix = epoll::modify(
            &self.epoll,
            self.socket.listener.as_fd(),
            epoll::EventData::new_u64(self.base + UNIX),
            wanted,
        );
        let tcp = self.tcp.as_ref().map_or(Ok(()), |tcp| {
            epoll::modify(&self.epoll, tcp.listener.as_fd(), epoll::EventData::new_u64(self.base + TCP), wanted)
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
                let (process, user) = peer(socket.as_fd()).ok().unzip();
                let trusted = user.is_some_and(|user| user == self.owner || user == 0);
                // 0 is a process of another PID namespace, of which there may be many.
                let process = process.filter(|process| *process != 0);
                (socket, Peer { trusted, process, description: c"UNIX socket client".to_owned() })
            }
            Visitor::Tcp(socket) => {
                (socket, Peer { trusted: false, process: None, description: c"TCP/IP client".to_owned() })
            }
        };
        let client = match self.server.connect(peer, now) {
            Ok(client) => {
                self.turned_away = false;
                client
            }
            Err(error) => {
                // Whoever opens so many may go on with it for ever.
                if !std::mem::replace(&mut self.turned_away, true) {
                    tracing::warn!("a sound client is turned away: {error}");
                }
                return;
            }
        };
        match Connection::new(&self.epoll, socket, self.base + FIRST_CLIENT + u64::from(client.get())) {
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
