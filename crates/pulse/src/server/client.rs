//! One connection.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pulseaudio::protocol::Props;
use soundpost_core::Instant;

use super::Peer;
use super::notify::Notices;
use crate::id::{Indices, PlaybackId, RecordId};
use crate::limits::OUTPUT_MAX;
use crate::stream::Upload;
use crate::wire::Frames;

/// How long a client may take to show that it may be here.
pub(super) const ADMISSION: Duration = Duration::from_secs(60);

/// Bytes of memory that an empty buffer keeps.
pub(super) const KEPT: usize = 8 * 1024;

/// A stream that the client sends to.
#[derive(Debug)]
pub(super) enum Outgoing {
    Playback(PlaybackId),
    Upload(Upload),
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) frames: Frames,
    /// Agreed on with AUTH.
    pub(super) version: u16,
    pub(super) trusted: bool,
    pub(super) process: Option<u32>,
    pub(super) admitted: bool,
    pub(super) admission_deadline: Instant,
    pub(super) props: Props,
    /// What it sends to. Playback and upload streams share their numbers.
    pub(super) outgoing: BTreeMap<u32, Outgoing>,
    pub(super) outgoing_channels: Indices,
    pub(super) recording: BTreeMap<u32, RecordId>,
    pub(super) recording_channels: Indices,
    /// What it wants to hear of.
    pub(super) mask: u32,
    /// Whether it wants to hear of what is remembered of applications.
    pub(super) hears_restore: bool,
    pub(super) output: Output,
    /// What it has not been told of what it wants to hear, as it does not read.
    pub(super) notices: Notices,
    /// Record streams of which something waits until its output is shorter.
    pub(super) held_up: BTreeSet<RecordId>,
    /// Bytes of sound in its streams and uploads.
    pub(super) sound: usize,
    /// Whether the block that is coming in goes nowhere.
    pub(super) ignore_block: bool,
    /// Whether the block that is coming in did not fit, which the client knows.
    pub(super) overflown: bool,
    pub(super) closing: bool,
}

impl Client {
    pub(super) fn new(peer: &Peer, props: Props, admission_deadline: Instant) -> Self {
        Self {
            frames: Frames::new(),
            version: 0,
            trusted: peer.trusted,
            process: peer.process,
            admitted: false,
            admission_deadline,
            props,
            outgoing: BTreeMap::new(),
            outgoing_channels: Indices::default(),
            recording: BTreeMap::new(),
            recording_channels: Indices::default(),
            mask: 0,
            hears_restore: false,
            output: Output::default(),
            notices: Notices::default(),
            held_up: BTreeSet::new(),
            sound: 0,
            ignore_block: false,
            overflown: false,
            closing: false,
        }
    }

    pub(super) fn playbacks(&self) -> Vec<PlaybackId> {
        let playback = |outgoing: &Outgoing| match outgoing {
            Outgoing::Playback(id) => Some(*id),
            Outgoing::Upload(_) => None,
        };
        self.outgoing.values().filter_map(playback).collect()
    }

    pub(super) fn records(&self) -> Vec<RecordId> {
        self.recording.values().copied().collect()
    }
}

/// More waits for the client than is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMuch;

/// What is to be sent.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    start: usize,
}

impl Output {
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(super) fn push(&mut self, count: usize, fill: impl FnOnce(&mut Vec<u8>)) -> Result<(), TooMuch> {
        if self.len() + count > OUTPUT_MAX {
            return Err(TooMuch);
        }
        self.bytes.reserve(count);
        fill(&mut self.bytes);
        Ok(())
    }

    pub(super) fn sent(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.bytes.len());
        if self.start == self.bytes.len() {
            self.clear();
        } else if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }

    /// Forgets everything; a long buffer's memory goes back.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.start = 0;
    }
}
