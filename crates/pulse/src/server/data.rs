//! Sound in and out: the host pulls what is to be played, and pushes what was recorded.

use std::time::Duration;

use pulseaudio::protocol::CommandTag;

use super::client::{KEPT, Outgoing};
use super::notify::{Facility, GATHER};
use super::{Server, Timer};
use crate::event::{Change, Event};
use crate::id::{PlaybackId, RecordId};
use crate::limits::OUTPUT_RECORD;
use crate::time::Now;
use crate::wire::{Packet, Short, memblock};

impl Server {
    /// Fills `out` with what `stream` plays next, in whole frames of its format; answers how many bytes.
    ///
    /// `heard_in` is the time in microseconds until the first of these bytes is heard, engine, wire and the listener's
    /// own buffer included. Where there is less than `out` has room for, the stream has run dry, or is not to play yet;
    /// the client is told, and the rest of `out` counts as silence. So the host asks for as much as it plays, no more,
    /// and after fewer bytes than that not before [`Event::Readable`]. A stream without prebuffering never runs dry: where
    /// its client has written nothing, it is silence that is pulled, and its client is told once.
    ///
    /// # Latency
    ///
    /// What a client reads as timing follows from `heard_in`. It takes for heard now the bytes that were pulled, less the
    /// latency that it is told; and for the latency of what it writes now, what is written, less what is heard. From a
    /// pull on, the latency that it is told is `heard_in` and the time that the pulled bytes last, less the time that has
    /// passed since; at the next pull, `heard_in` has its say again. Where the new `heard_in` differs from what is left of
    /// the old, the difference is not told at once, since players that keep pictures to the sound would see time jump:
    /// what the client takes for heard runs slower or faster, as if the difference were to go away within a quarter of a
    /// second, by half at most. So it never goes back and never stands still, and of 100 ms 5 are left after a second. A host whose `heard_in` is each time what the one before, less the time between, has led to, is told as it is.
    ///
    /// Where the stream runs dry or is corked, what is heard stands with the latency as it was last, and goes on from there;
    /// before the first pull a client is told what [`set_sink_latency`](Self::set_sink_latency) says.
    pub fn pull(&mut self, stream: PlaybackId, out: &mut [u8], heard_in: u64, now: Now) -> usize {
        self.now = now;
        let Some(playback) = self.playbacks.get_mut(&stream).filter(|playback| !playback.common.corked) else {
            return 0;
        };
        let before = playback.queue.stored();
        let written = usize::try_from(playback.queue.length()).unwrap_or(usize::MAX);
        let filled = playback.queue.pop(out);
        let after = playback.queue.stored();
        let owner = playback.common.owner;
        if filled > 0 {
            let started = playback.underrun_for != Some(0);
            let count = u64::try_from(filled).unwrap_or(0);
            playback.underrun_for = Some(0);
            playback.playing_for = playback.playing_for.saturating_add(count);
            playback.timing.read(now.at, heard_in, playback.common.spec.micros(count));
            // What it ran on over its end is nothing that anybody waits to hear.
            let sound = filled.min(written);
            if sound > 0 {
                playback.is_underrun = false;
                let lasts = playback.common.spec.micros(u64::try_from(sound).unwrap_or(0));
                playback.heard_until = now.at + Duration::from_micros(heard_in.saturating_add(lasts));
            }
            if started {
                self.tell_number(stream, CommandTag::Started);
            }
        }
        self.free_sound(owner.map(|owner| owner.client), before, after);
        if filled.min(written) < out.len() {
            self.ran_dry(stream, out.len() - filled, now);
        }
        self.settle(stream, now);
        self.deliver();
        filled
    }

    /// Sets how often clients are asked for more. None, at first: after each pull, where their least request is missing. A
    /// number of microseconds, the host's time between two pulls: about every second time, which halves what a client with
    /// a short buffer costs; what it sends at a time is twice as long, and its buffer is kept up to a tenth more than two
    /// periods long where it would be shorter. What a client reads as latency has that in it.
    pub const fn set_pace(&mut self, period: Option<u64>) {
        self.pace = period;
    }

    /// How many bytes [`pull`](Self::pull) would give now, in whole frames. A host that keeps some sound ahead asks for no
    /// more than this while it has enough itself: the stream runs dry only when the host does. 0 while the stream waits for
    /// its prebuffer or is corked; without prebuffering, as many as are asked for.
    #[must_use]
    pub fn available(&self, stream: PlaybackId) -> usize {
        let Some(playback) = self.playbacks.get(&stream).filter(|playback| !playback.common.corked) else { return 0 };
        if playback.queue.runs_on() {
            return usize::MAX;
        }
        if !playback.queue.is_readable() {
            return 0;
        }
        let frame = usize::try_from(playback.common.spec.frame()).unwrap_or(1);
        usize::try_from(playback.queue.length()).unwrap_or(0) / frame * frame
    }

    /// How many bytes the stream's client has sent that are not pulled yet, whether it plays or waits.
    #[must_use]
    pub fn stored(&self, stream: PlaybackId) -> usize {
        let queue = self.playbacks.get(&stream).map(|playback| &playback.queue);
        queue.map_or(0, |queue| usize::try_from(queue.length()).unwrap_or(0))
    }

    fn ran_dry(&mut self, stream: PlaybackId, silent: usize, now: Now) {
        let Some(playback) = self.playbacks.get_mut(&stream) else { return };
        if playback.queue.is_readable() {
            return;
        }
        if !playback.queue.runs_on() {
            // It begins again when so much is there as at first, or it would run dry again at once.
            playback.queue.force_prebuf();
            playback.told_readable = false;
            playback.playing_for = 0;
            playback.timing.stop(now.at);
            if let Some(silence) = &mut playback.underrun_for {
                *silence = silence.saturating_add(u64::try_from(silent).unwrap_or(0));
            }
        }
        let known = std::mem::replace(&mut playback.is_underrun, true);
        let (draining, index) = (playback.drain.is_some(), playback.queue.read_index());
        if draining || playback.common.owner.is_none() {
            self.plan_drained(stream, now);
        } else if !known && let Some(owner) = playback.common.owner {
            let Some(version) = self.clients.get(&owner.client).map(|client| client.version) else { return };
            let mut packet = Packet::event(CommandTag::Underflow, version);
            packet.u32(owner.channel);
            if version >= 23 {
                packet.i64(index);
            }
            self.send(owner.client, packet);
        }
    }

    /// A packet of one number, the stream's.
    fn tell_number(&mut self, stream: PlaybackId, command: CommandTag) {
        let Some(owner) = self.playbacks.get(&stream).and_then(|playback| playback.common.owner) else { return };
        self.send_bytes(owner.client, Short::one(command, owner.channel).bytes());
    }

    pub(super) fn free_sound(&mut self, client: Option<crate::id::ClientId>, before: usize, after: usize) {
        if let Some(client) = client.and_then(|id| self.clients.get_mut(&id)) {
            client.sound = (client.sound + after).saturating_sub(before);
        }
    }

    /// What follows after a stream's buffer has changed: more is asked for, the host hears that it can be pulled.
    pub(super) fn settle(&mut self, stream: PlaybackId, now: Now) {
        let Some(playback) = self.playbacks.get_mut(&stream) else { return };
        let readable = !playback.common.corked && (playback.queue.runs_on() || playback.queue.is_readable());
        if readable && !std::mem::replace(&mut playback.told_readable, true) {
            self.events.push_back(Event::Readable(stream));
        }
        // One that runs on while its client sleeps would ask for ever; it asks at the next pull after that has read.
        let owner = playback.common.owner;
        let reads = || owner.and_then(|o| self.clients.get(&o.client)).is_none_or(|c| c.output.len() <= GATHER);
        let asks = !playback.queue.runs_on() || reads();
        let spec = &playback.common.spec;
        playback.queue.set_pace(self.pace, |micros| spec.bytes_covering(micros));
        let missing = if asks { playback.queue.pop_missing() } else { 0 };
        if missing > 0
            && let Some(owner) = owner
        {
            self.send_bytes(owner.client, Short::two(CommandTag::Request, owner.channel, missing).bytes());
        }
        let waits = self.playbacks.get(&stream).is_some_and(|p| p.drain.is_some() && !p.queue.is_readable());
        if waits {
            self.plan_drained(stream, now);
        }
    }

    /// The stream is over when what was pulled of it has been heard.
    pub(super) fn plan_drained(&mut self, stream: PlaybackId, now: Now) {
        let Some(playback) = self.playbacks.get_mut(&stream) else { return };
        let at = playback.heard_until;
        if let Some(earlier) = playback.end_timer.take() {
            self.timers.remove(&(earlier, Timer::Drained(stream)));
        }
        if at > now.at {
            playback.end_timer = Some(at);
            self.timers.insert((at, Timer::Drained(stream)));
        } else {
            self.drained(stream, now);
        }
    }

    /// Everything that was pulled has been heard: whoever waits for that is told, and a sample's stream ends.
    pub(super) fn drained(&mut self, stream: PlaybackId, now: Now) {
        let Some(playback) = self.playbacks.get_mut(&stream) else { return };
        // More may have come, or been pulled, since this was planned.
        if playback.queue.is_readable() || playback.heard_until > now.at {
            return;
        }
        let Some(owner) = playback.common.owner else {
            self.remove_playback(stream);
            return;
        };
        if let Some(sequence) = playback.drain.take() {
            let version = self.clients.get(&owner.client).map_or(0, |client| client.version);
            self.send(owner.client, Packet::reply(sequence, version));
        }
    }

    /// What `stream` has recorded, in whole frames of its format. `age` is the time in microseconds since its last frame
    /// was spoken.
    ///
    /// Of a stream with [`peak_detect`](crate::NewStream::peak_detect), a frame is the highest value of the stretch of sound
    /// that it stands for, instead of sound at the stream's rate: [`Peaks`](crate::Peaks) makes them.
    ///
    /// What the client does not fetch in time waits up to the stream's longest buffer; what is pushed beyond is
    /// dropped. Answers how many bytes were taken.
    pub fn push(&mut self, stream: RecordId, bytes: &[u8], age: u64, now: Now) -> usize {
        let Some(record) = self.records.get(&stream).filter(|record| !record.common.corked) else { return 0 };
        let owner = record.common.owner.map(|owner| owner.client);
        let held = owner.and_then(|id| self.clients.get(&id)).map_or(0, |client| client.sound);
        let left = self.sound_left(held, bytes.len());
        let Some(record) = self.records.get_mut(&stream) else { return 0 };
        record.pushed = Some((now.at, age));
        let frame = usize::try_from(record.common.spec.frame()).unwrap_or(1);
        let longest = usize::try_from(record.attr.max_length).unwrap_or(0);
        let room = longest.saturating_sub(record.waiting.len()).min(left).min(bytes.len()) / frame * frame;
        record.waiting.extend(bytes.get(..room).unwrap_or_default());
        self.free_sound(owner, 0, room);
        self.send_recorded(stream);
        self.deliver();
        room
    }

    /// Sends what waits, as long as the client's output is short.
    pub(super) fn send_recorded(&mut self, stream: RecordId) {
        loop {
            let Some(record) = self.records.get_mut(&stream) else { return };
            let Some(owner) = record.common.owner else { return };
            let Some(client) = self.clients.get_mut(&owner.client).filter(|client| !client.closing) else { return };
            let fragment = usize::try_from(record.attr.fragment).unwrap_or(usize::MAX);
            // A client that chose its latency gets whole fragments; others get what there is, as in PulseAudio.
            let least = if record.common.mode.adjust || record.common.mode.early { fragment } else { 1 };
            let count = record.waiting.len().min(fragment);
            if count < least.max(1) {
                return;
            }
            if client.output.len() >= OUTPUT_RECORD {
                client.held_up.insert(stream);
                return;
            }
            record.sent = record.sent.saturating_add(i64::try_from(count).unwrap_or(0));
            let mut waiting = std::mem::take(&mut record.waiting);
            let head = memblock(owner.channel, u32::try_from(count).unwrap_or(0));
            self.send_filled(owner.client, head.len() + count, |output| {
                output.extend_from_slice(&head);
                let (one, two) = waiting.as_slices();
                let (first, second) = (count.min(one.len()), count.saturating_sub(one.len()));
                output.extend_from_slice(one.get(..first).unwrap_or_default());
                output.extend_from_slice(two.get(..second).unwrap_or_default());
            });
            waiting.drain(..count);
            self.free_sound(Some(owner.client), count, 0);
            if waiting.is_empty() {
                waiting.shrink_to(KEPT);
            }
            if let Some(record) = self.records.get_mut(&stream) {
                record.waiting = waiting;
            }
        }
    }

    /// A playback stream ends.
    pub(super) fn remove_playback(&mut self, stream: PlaybackId) {
        let Some(playback) = self.playbacks.remove(&stream) else { return };
        if let Some(at) = playback.end_timer {
            self.timers.remove(&(at, Timer::Drained(stream)));
        }
        if let Some(owner) = playback.common.owner {
            if let Some(sequence) = playback.drain {
                self.send_error(owner.client, sequence, pulseaudio::protocol::PulseError::NoEntity);
            }
            self.free_sound(Some(owner.client), playback.queue.stored(), 0);
            if let Some(client) = self.clients.get_mut(&owner.client)
                && matches!(client.outgoing.get(&owner.channel), Some(Outgoing::Playback(_)))
            {
                client.outgoing.remove(&owner.channel);
            }
        }
        let direct: Vec<RecordId> =
            self.records.iter().filter(|(_, record)| record.direct_on == Some(stream)).map(|(&id, _)| id).collect();
        for record in direct {
            self.kill_record(record);
        }
        self.notices.removed(Facility::SinkInput, stream.0);
        self.events.push_back(Event::Playback(stream, Change::Gone));
    }

    /// A record stream ends.
    pub(super) fn remove_record(&mut self, stream: RecordId) {
        let Some(record) = self.records.remove(&stream) else { return };
        if let Some(owner) = record.common.owner
            && let Some(client) = self.clients.get_mut(&owner.client)
        {
            client.sound = client.sound.saturating_sub(record.waiting.len());
            client.recording.remove(&owner.channel);
            client.held_up.remove(&stream);
        }
        self.notices.removed(Facility::SourceOutput, stream.0);
        self.events.push_back(Event::Record(stream, Change::Gone));
    }
}
