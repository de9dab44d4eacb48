//! From bytes to requests, and back to answers.

use pulseaudio::protocol::{AuthReply, CommandTag, PulseError};
use subtle::ConstantTimeEq;

use super::client::Outgoing;
use super::notify::Facility;
use super::{Answer, Answered, COOKIE, Call, Server, Timer, VERSIONS};
use crate::event::{CloseReason, Event};
use crate::id::{ClientId, PlaybackId};
use crate::limits::{MAX_CLIENT_SOUND, MAX_OUTPUT, MAX_REQUESTS, MAX_SOUND, SHORT_ANSWER, SURE_SOUND};
use crate::props;
use crate::request::{Refused, Request};
use crate::time::Now;
use crate::wire::{Descriptor, Packet, Piece, Reader, SeekMode, Short, WireError, command_number};

/// The bits of the version's word that are the version; the others speak of shared memory.
const VERSION_BITS: u32 = 0xffff;

/// What has come.
enum Kind {
    Request,
    Sound,
}

/// What makes a connection impossible to go on with.
struct Breach(String);

impl<E: std::error::Error> From<E> for Breach {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl Server {
    /// Takes bytes that came from a client; answers how many of them were taken.
    ///
    /// Fewer than all are taken where much waits to be sent to the client ([`wants_input`](Self::wants_input) is no
    /// then): the host hands over the rest once it has sent some. And where they are very many requests: then the host
    /// hands over the rest after it has looked after everybody else. Whatever the bytes are, they end in answers, events, and
    /// at worst in [`Event::Close`].
    pub fn handle_input(&mut self, id: ClientId, bytes: &[u8], now: Now) -> usize {
        self.now = now;
        let mut rest = bytes;
        let mut requests = 0;
        while requests < MAX_REQUESTS && self.wants_input(id) {
            match self.piece(id, &mut rest, now) {
                Ok(Some(Kind::Request)) => requests += 1,
                Ok(Some(Kind::Sound)) => {}
                Ok(None) => break,
                Err(Breach(why)) => self.close(id, CloseReason::Protocol(why)),
            }
        }
        self.deliver();
        bytes.len() - rest.len()
    }

    /// How many packets clients have sent so far, blocks of sound not counted: whether this has changed says whether somebody
    /// may be waiting for an answer.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.requests
    }

    /// Handles the next piece, and says what it was; none, where the bytes are used up.
    fn piece(&mut self, id: ClientId, rest: &mut &[u8], now: Now) -> Result<Option<Kind>, Breach> {
        let Some(client) = self.clients.get_mut(&id) else { return Ok(None) };
        match client.frames.next(rest)? {
            None => Ok(None),
            Some(Piece::Packet(packet)) => {
                self.requests = self.requests.wrapping_add(1);
                self.packet(id, &packet, now)?;
                Ok(Some(Kind::Request))
            }
            Some(Piece::Sound { descriptor, bytes, first, .. }) => {
                if client.admitted {
                    self.sound(id, descriptor, bytes, first, now);
                }
                Ok(Some(Kind::Sound))
            }
        }
    }

    fn packet(&mut self, id: ClientId, packet: &[u8], now: Now) -> Result<(), Breach> {
        let mut reader = Reader::new(packet);
        let (command, sequence) = (reader.u32()?, reader.u32()?);
        let Some(client) = self.clients.get(&id) else { return Ok(()) };
        let call = Call { client: id, sequence, version: client.version, now };
        let answered = if command == command_number(CommandTag::Auth) {
            self.authenticate(&call, &mut reader)?
        } else {
            // Until a version is agreed on, nothing else has a form. PulseAudio reads on; nobody relies on that.
            if !client.admitted {
                Err(PulseError::AccessDenied)
            } else {
                match Request::read(command, call.version, &mut reader) {
                    Ok(request) => self.answer(&call, request),
                    Err(Refused::Wire(WireError::TooLarge)) => Err(PulseError::TooLarge),
                    Err(breach) => return Err(breach.into()),
                }
            }
        };
        match answered {
            Ok(Answer::Ack) => self.send(id, call.reply()),
            Ok(Answer::Reply(packet)) => match packet.finish() {
                Some(bytes) if self.has_room_for_answer(bytes.len()) => self.send_bytes(id, &bytes),
                _ => self.send_error(id, sequence, PulseError::TooLarge),
            },
            Ok(Answer::Later) => {}
            Err(error) => self.send_error(id, sequence, error),
        }
        Ok(())
    }

    /// A long answer may go to somebody who does not read: no more of those are kept than are good for all.
    fn has_room_for_answer(&self, length: usize) -> bool {
        let waits = || self.with_output.iter().filter_map(|id| self.clients.get(id)).map(|c| c.output.len());
        length <= SHORT_ANSWER || waits().sum::<usize>() + length <= MAX_OUTPUT
    }

    /// How many of `wanted` bytes of sound a client that holds `held` may hold further, at least; looks at the other clients
    /// only where it must.
    pub(super) fn sound_left(&self, held: usize, wanted: usize) -> usize {
        let sure = SURE_SOUND.saturating_sub(held);
        if wanted <= sure {
            return wanted;
        }
        let all = self.clients.values().map(|client| client.sound).sum::<usize>();
        MAX_CLIENT_SOUND.saturating_sub(held).min(MAX_SOUND.saturating_sub(all)).max(sure)
    }

    pub(super) fn send_error(&mut self, id: ClientId, sequence: u32, error: PulseError) {
        #[expect(clippy::as_conversions, reason = "the number of a field-less variant")]
        self.send(id, Packet::error(sequence, error as u32));
    }

    /// AUTH: the version, and who it is. Shared memory in any form is declined by leaving its bits out of the reply, so
    /// that clients send their sound through the socket: to map a client's memory is to trust it not to shrink it under
    /// the reader, which only a sealed memfd promises, and what it would save, a copy of a few kilobytes, is not what a
    /// stream costs. A client that hands over memory nevertheless breaks the protocol, and its connection ends.
    fn authenticate(&mut self, call: &Call, reader: &mut Reader<'_>) -> Result<Answered, Breach> {
        let word = reader.u32()?;
        let cookie = reader.arbitrary()?;
        reader.end()?;
        if cookie.len() != COOKIE {
            return Err(Breach(format!("a cookie of {} bytes", cookie.len())));
        }
        let version = word & VERSION_BITS;
        let version = u16::try_from(version).unwrap_or(0).min(*VERSIONS.end());
        if version < *VERSIONS.start() {
            return Ok(Err(PulseError::Version));
        }
        let known = self.config.cookie.as_ref().is_some_and(|ours| ours[..].ct_eq(cookie).into());
        let Some(client) = self.clients.get_mut(&call.client) else { return Ok(Ok(Answer::Later)) };
        if !client.admitted && !client.trusted && !known {
            return Ok(Err(PulseError::AccessDenied));
        }
        client.version = version;
        let text = std::ffi::CString::new(version.to_string()).unwrap_or_default();
        props::set(&mut client.props, c"native-protocol.version", &text);
        if !client.admitted {
            client.admitted = true;
            client.frames.trust();
            self.timers.remove(&(client.admission_deadline, Timer::Admission(call.client)));
            self.notices.added(Facility::Client, call.client.0);
            self.events.push_back(Event::Admitted(call.client));
        }
        let mut reply = Packet::reply(call.sequence, version);
        reply.put(AuthReply { version: *VERSIONS.end(), use_memfd: false, use_shm: false });
        Ok(Ok(Answer::Reply(reply)))
    }

    fn answer(&mut self, call: &Call, request: Request) -> Answered {
        match request {
            Request::CreatePlayback(request) => self.create_playback(call, &request),
            Request::CreateRecord(request) => self.create_record(call, &request),
            Request::CreateUpload(request) => self.create_upload(call, &request),
            Request::FinishUpload(channel) => self.finish_upload(call, channel),
            Request::PlaySample { sink, volume, name, props } => {
                self.play_sample(call, &sink, volume, name.as_deref(), props)
            }
            Request::RemoveSample(name) => self.remove_sample(name.as_deref()),
            Request::Delete(stream) => self.delete(call, stream),
            Request::Drain(channel) => self.drain(call, channel),
            Request::Buffer(command, channel) => self.buffer_command(call, command, channel),
            Request::FlushRecord(channel) => self.flush_record(call, channel),
            Request::Cork(stream, cork) => self.cork(call, stream, cork),
            Request::Latency(stream, local) => self.latency(call, stream, local),
            Request::SetPlaybackAttr { channel, attr, mode } => self.set_playback_attr(call, channel, attr, mode),
            Request::SetRecordAttr { channel, attr, mode } => self.set_record_attr(call, channel, attr, mode),
            Request::SetRate(stream, rate) => self.set_rate(call, stream, rate),
            Request::SetName(stream, name) => self.set_name(call, stream, name.as_deref()),
            Request::UpdateProps(stream, mode, list) => self.update_props(call, stream, mode, &list),
            Request::RemoveProps(stream, keys) => self.remove_props(call, stream, &keys),
            Request::SetClientName(list) => self.set_client_name(call, &list),
            Request::Lookup(kind, name) => self.lookup(call, kind, name.as_deref()),
            Request::Stat => Ok(self.stat(call)),
            Request::ServerInfo => Ok(self.server_info(call)),
            Request::Info(kind, which) => self.info(call, kind, &which),
            Request::InfoList(kind) => Ok(self.info_list(call, kind)),
            Request::Subscribe(mask) => self.subscribe(call, mask),
            Request::SetVolume(kind, which, volume) => self.set_volume(kind, &which, &volume),
            Request::SetMute(kind, which, mute) => self.set_mute(kind, &which, mute),
            Request::SetDefault(kind, name) => self.set_default(kind, name.as_deref(), call.now),
            Request::SetPort(kind, which, port) => self.set_port(kind, &which, port.as_deref()),
            Request::Suspend(kind, which, suspend) => self.suspend(kind, &which, suspend),
            Request::Kill(kind, index) => self.kill_one(kind, index),
            Request::Move(kind, index, device) => self.move_stream(kind, index, &device, call.now),
            Request::LoadModule { name, argument } => Err(Self::load_module(name.as_deref(), argument.as_deref())),
            Request::UnloadModule => Err(PulseError::NoEntity),
            Request::Extension(module) => Err(Self::extension(&module)),
            Request::Restore(command) => self.stream_restore(call, command),
            Request::CardProfile(card, profile) => Err(Self::no_card(&card, profile.as_deref())),
            Request::PortLatencyOffset(card, port) => Err(Self::no_card(&card, port.as_deref())),
            Request::ObjectMessage { path, message, parameters } => {
                Self::object_message(call, path.as_deref(), message.as_deref(), parameters.as_deref())
            }
            // The server does not end because a client wants it to.
            Request::Exit => Err(PulseError::AccessDenied),
        }
    }

    /// Bytes of a block for one of the client's streams. A block for a stream that is no more is dropped: the client had
    /// sent it before it knew.
    fn sound(&mut self, id: ClientId, descriptor: Descriptor, bytes: &[u8], first: bool, now: Now) {
        let Some(held) = self.clients.get(&id).map(|client| client.sound) else { return };
        let left = self.sound_left(held, bytes.len());
        let Some(client) = self.clients.get_mut(&id) else { return };
        if first {
            (client.ignore_block, client.overflown) = (false, false);
        }
        match client.outgoing.get_mut(&descriptor.channel) {
            None => {}
            Some(Outgoing::Upload(upload)) => {
                let room = upload.missing().min(left).min(bytes.len());
                upload.bytes.extend_from_slice(bytes.get(..room).unwrap_or_default());
                client.sound += room;
            }
            Some(&mut Outgoing::Playback(stream)) => self.write((id, left), stream, descriptor, bytes, first, now),
        }
    }

    fn write(
        &mut self,
        (id, left): (ClientId, usize),
        stream: PlaybackId,
        block: Descriptor,
        bytes: &[u8],
        first: bool,
        now: Now,
    ) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Some(playback) = self.playbacks.get_mut(&stream) else { return };
        if first {
            let frame = playback.common.spec.frame();
            let aligned = block.length.is_multiple_of(frame) && block.offset.rem_euclid(i64::from(frame)) == 0;
            // As in PulseAudio, parts of frames are dropped and nothing is said.
            client.ignore_block = !aligned;
        }
        if client.ignore_block {
            return;
        }
        let mut overflow = false;
        if first && (block.seek != SeekMode::Relative || block.offset != 0) {
            overflow |= playback.queue.seek(block.offset, block.seek, block.seek == SeekMode::Relative).is_err();
        }
        let before = playback.queue.stored();
        let fits = bytes.len() <= left;
        if !fits || playback.queue.push(bytes).is_err() {
            playback.queue.skip(bytes.len());
            overflow = true;
        }
        client.sound = (client.sound + playback.queue.stored()).saturating_sub(before);
        if overflow && !std::mem::replace(&mut client.overflown, true) {
            self.send_bytes(id, Short::one(CommandTag::Overflow, block.channel).bytes());
        }
        self.settle(stream, now);
    }
}
