//! The server: everything that clients share, and a machine for each of them.

mod client;
mod create;
mod data;
mod devices;
mod host;
mod info;
mod input;
mod lookup;
mod manage;
mod notify;
mod output;
mod restore;
mod samples;
mod streams;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::CString;

use pulseaudio::protocol::{Props, PulseError};
use soundpost_core::Instant;

pub use self::devices::DeviceError;

use self::client::Client;
use self::notify::Notices;
use self::samples::Sample;
use crate::device::{Sink, Source};
use crate::event::{CloseReason, Event, Remembered};
use crate::id::{ClientId, Indices, PlaybackId, RecordId, SinkId, SourceId};
use crate::limits::{MAX_CLIENTS, MAX_OF_PROCESS, MAX_STRANGERS};
use crate::props;
use crate::spec::Spec;
use crate::stream::{Playback, Record};
use crate::time::{Now, WallTime};
use crate::wire::Packet;

/// Bytes of a cookie.
pub const COOKIE: usize = 256;
/// The versions of the protocol that are spoken.
pub const VERSIONS: std::ops::RangeInclusive<u16> = 13..=35;

/// What the server says of itself, and whom it lets in.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// What clients show as the server's name.
    pub name: CString,
    /// The version they show. Some read it: it should look like PulseAudio's.
    pub version: CString,
    /// The user's name.
    pub user: CString,
    /// The machine's name.
    pub host: CString,
    /// The format it mixes in, which clients read as the default.
    pub spec: Spec,
    /// A number that tells one start of the server from the next.
    pub instance: u32,
    /// What a client must send that does not come as a trusted peer; none: such clients stay outside.
    pub cookie: Option<[u8; COOKIE]>,
}

/// Who is at the other end of a connection, as the host knows from its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Whether the kernel says that it runs as a user who may be here: then it needs no cookie.
    pub trusted: bool,
    /// Its process, where the kernel says: none has more than half of all connections.
    pub process: Option<u32>,
    /// What other clients are shown about it, such as `UNIX socket client`.
    pub description: CString,
}

/// No further connection is taken: there are 1024, or the same process has 512.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there are {MAX_CLIENTS} clients already, or {MAX_OF_PROCESS} of the same process: end some, or find out which \
     program opens so many"
)]
pub struct TooManyClients;

/// What happens later on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The client must have shown by now that it may be here.
    Admission(ClientId),
    /// The last of a stream is heard.
    Drained(PlaybackId),
}

/// The PulseAudio server without its sockets and without its sound. See the [crate's documentation](crate).
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    clients: BTreeMap<ClientId, Client>,
    sinks: BTreeMap<SinkId, Sink>,
    sources: BTreeMap<SourceId, Source>,
    playbacks: BTreeMap<PlaybackId, Playback>,
    records: BTreeMap<RecordId, Record>,
    samples: BTreeMap<u32, Sample>,
    default_sink: Option<CString>,
    default_source: Option<CString>,
    remembered: BTreeMap<CString, Remembered>,
    events: VecDeque<Event>,
    notices: Notices,
    /// Who has subscribed to anything.
    listeners: BTreeSet<ClientId>,
    /// Whose output is not empty.
    with_output: BTreeSet<ClientId>,
    timers: BTreeSet<(Instant, Timer)>,
    /// Packets that clients have sent, sound not counted.
    requests: u64,
    /// The host's period in microseconds, where clients are asked every second time.
    pace: Option<u64>,
    /// When the last call was that said so.
    now: Now,
    client_indices: Indices,
    sink_indices: Indices,
    source_indices: Indices,
    playback_indices: Indices,
    record_indices: Indices,
    sample_indices: Indices,
}

/// A request that is being answered.
#[derive(Clone, Copy, Debug)]
struct Call {
    client: ClientId,
    sequence: u32,
    version: u16,
    now: Now,
}

impl Call {
    fn reply(&self) -> Packet {
        Packet::reply(self.sequence, self.version)
    }
}

/// How a request is answered.
#[derive(Debug)]
enum Answer {
    /// Done.
    Ack,
    /// Done, and this is it.
    Reply(Packet),
    /// Later, or never.
    Later,
}

type Answered = Result<Answer, PulseError>;

impl Server {
    /// A server without devices: nobody can play or record before there are some.
    #[must_use]
    pub fn new(config: ServerConfig) -> Self {
        Self {
            config,
            clients: BTreeMap::new(),
            sinks: BTreeMap::new(),
            sources: BTreeMap::new(),
            playbacks: BTreeMap::new(),
            records: BTreeMap::new(),
            samples: BTreeMap::new(),
            default_sink: None,
            default_source: None,
            remembered: BTreeMap::new(),
            events: VecDeque::new(),
            notices: Notices::default(),
            listeners: BTreeSet::new(),
            with_output: BTreeSet::new(),
            timers: BTreeSet::new(),
            requests: 0,
            pace: None,
            now: Now { at: Instant::ORIGIN, wall: WallTime::default() },
            client_indices: Indices::default(),
            sink_indices: Indices::default(),
            source_indices: Indices::default(),
            playback_indices: Indices::default(),
            record_indices: Indices::default(),
            sample_indices: Indices::default(),
        }
    }

    /// A connection has been made.
    ///
    /// # Errors
    ///
    /// [`TooManyClients`]; the host closes the connection.
    pub fn connect(&mut self, peer: Peer, now: Now) -> Result<ClientId, TooManyClients> {
        self.now = now;
        let siblings = || self.clients.values().filter(|client| client.process == peer.process).count();
        if self.clients.len() >= MAX_CLIENTS || peer.process.is_some() && siblings() >= MAX_OF_PROCESS {
            return Err(TooManyClients);
        }
        if !peer.trusted {
            self.make_room_for_stranger();
        }
        let id = ClientId(self.client_indices.next(|index| self.clients.contains_key(&ClientId(index))));
        let mut list = Props::new();
        props::set(&mut list, c"native-protocol.peer", &peer.description);
        let deadline = now.at + client::ADMISSION;
        self.timers.insert((deadline, Timer::Admission(id)));
        self.clients.insert(id, Client::new(&peer, list, deadline));
        Ok(id)
    }

    /// Whoever has no cookie may hold some places for a while, and not keep those out who have one: of many, the oldest
    /// goes. One with a cookie shows it at once.
    fn make_room_for_stranger(&mut self) {
        let strangers = || self.clients.iter().filter(|(_, c)| !c.trusted && !c.admitted && !c.closing);
        if strangers().count() < MAX_STRANGERS {
            return;
        }
        if let Some((&oldest, _)) = strangers().min_by_key(|(id, client)| (client.admission_deadline, id.0)) {
            self.close(oldest, CloseReason::Pushed);
        }
    }

    /// A connection is gone: up to `most` of its streams end. Whether it has others left; where it has none, or is not known,
    /// [`Server::disconnect`] takes no time. For hosts that have not the time to end hundreds of streams at once.
    pub fn end_streams_of(&mut self, id: ClientId, most: usize) -> bool {
        let Some(client) = self.clients.get(&id) else { return false };
        let (playbacks, records) = (client.playbacks(), client.records());
        let left = playbacks.len() + records.len() > most;
        let rest = most.saturating_sub(playbacks.len());
        playbacks.into_iter().take(most).for_each(|stream| self.remove_playback(stream));
        records.into_iter().take(rest).for_each(|stream| self.remove_record(stream));
        left
    }

    /// A connection is gone: its streams end. Harmless where it is gone already.
    pub fn disconnect(&mut self, id: ClientId) {
        let Some(client) = self.clients.get(&id) else { return };
        let admitted = client.admitted;
        let (playbacks, records) = (client.playbacks(), client.records());
        let deadline = client.admission_deadline;
        for stream in playbacks {
            self.remove_playback(stream);
        }
        for stream in records {
            self.remove_record(stream);
        }
        self.timers.remove(&(deadline, Timer::Admission(id)));
        self.clients.remove(&id);
        self.listeners.remove(&id);
        self.with_output.remove(&id);
        if admitted {
            self.notices.removed(notify::Facility::Client, id.0);
        }
        self.deliver();
    }

    /// Ends a connection in the host's name: [`Event::Close`] follows.
    pub fn kill(&mut self, id: ClientId) {
        self.close(id, CloseReason::Killed);
        self.deliver();
    }

    /// What the host should know, in order; none when it knows everything.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called; none: not at all.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Does what is due by `now`.
    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        while let Some(&(at, timer)) = self.timers.first()
            && at <= now.at
        {
            self.timers.remove(&(at, timer));
            match timer {
                Timer::Admission(client) => {
                    if self.clients.get(&client).is_some_and(|client| !client.admitted) {
                        self.close(client, CloseReason::NotAdmitted);
                    }
                }
                Timer::Drained(stream) => self.drained(stream, now),
            }
        }
        self.deliver();
    }
}

#[cfg(test)]
mod tests {
    use pulseaudio::protocol::{CommandTag, SampleFormat};

    use super::*;
    use crate::limits::OUTPUT_MAX;
    use crate::spec::default_map;

    #[test]
    fn a_client_for_which_too_much_waits_is_given_up() {
        let spec = Spec::new(SampleFormat::S16Le, 48_000, default_map(2)).expect("a spec");
        let text = c"x".to_owned();
        let (name, version, user, host) = (text.clone(), text.clone(), text.clone(), text);
        let mut server = Server::new(ServerConfig { name, version, user, host, spec, instance: 0, cookie: None });
        let now = Now { at: Instant::ORIGIN, wall: WallTime::default() };
        let peer = Peer { trusted: true, process: None, description: c"deaf".to_owned() };
        let id = server.connect(peer, now).expect("room");
        let full = vec![0; OUTPUT_MAX - 40];
        server.send_bytes(id, &full);
        server.send(id, Packet::event(CommandTag::Started, 35));
        assert_eq!((server.output(id).len(), server.poll_event()), (OUTPUT_MAX - 10, None));
        server.send(id, Packet::event(CommandTag::Started, 35));
        assert_eq!(server.poll_event(), Some(Event::Close(id, CloseReason::Deaf)));
        assert!(server.output(id).is_empty() && !server.wants_input(id));
    }
}
