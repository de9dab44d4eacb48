//! The watch over a client: whatever it writes, what comes out is a number of frames that are in the ring.

use soundpost_core::FrameCount;
use thiserror::Error;

use crate::DataFlow;

/// What a client is doing, as it says in the record ([`super::record::CLIENT_STATE`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientState {
    /// 0: nothing moves. What is in the ring stays there. May last for ever.
    #[default]
    Stopped,
    /// 1: frames move; the client keeps up.
    Started,
    /// 2: no more frames will come; what is in the ring is played (render alone).
    Finishing,
    /// 3: the client lets go, and hangs up next.
    Closed,
}

impl ClientState {
    /// The state of this number; `None` for any other number.
    #[must_use]
    pub const fn from_word(word: u64) -> Option<Self> {
        match word {
            0 => Some(Self::Stopped),
            1 => Some(Self::Started),
            2 => Some(Self::Finishing),
            3 => Some(Self::Closed),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn word(self) -> u64 {
        match self {
            Self::Stopped => 0,
            Self::Started => 1,
            Self::Finishing => 2,
            Self::Closed => 3,
        }
    }
}

/// What the client has written, as it was read from the shared memory: any numbers at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientWords {
    /// Word [`super::record::CLIENT_STATE`].
    pub state: u64,
    /// Word [`super::record::CLIENT_POSITION`].
    pub position: u64,
}

/// Nonsense in the client's part of the record (D5). The endpoint is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClientBreach {
    /// A state that does not exist.
    #[error("wrote the state {got}, which does not exist")]
    State {
        /// What it wrote.
        got: u64,
    },
    /// A position before the one that it wrote earlier.
    #[error("moved its position back from {from} to {to}")]
    Backwards {
        /// Its earlier position.
        from: u64,
        /// The new one.
        to: u64,
    },
    /// A position that the ring cannot hold, seen from the server's.
    #[error("claims position {claimed}, where the server is at {server} and the ring holds {ring} frames")]
    OutsideRing {
        /// The client's position.
        claimed: u64,
        /// The server's.
        server: u64,
        /// The ring's length.
        ring: u32,
    },
    /// The event that it was handed, which it has made to block whoever signals it.
    #[error("made its event block")]
    Event,
}

/// What a look at valid words gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// What the client is doing.
    pub state: ClientState,
    /// Render: frames in the ring, to be taken. Capture: room in the ring, to be filled.
    pub frames: FrameCount,
}

/// The server's own account of a ring: it believes nothing that it has not checked. No allocation, no panic, any
/// thread.
#[derive(Clone, Debug)]
pub struct ClientWatch {
    flow: DataFlow,
    ring: FrameCount,
    stall: u32,
    server: u64,
    client: u64,
    state: ClientState,
    /// The client's position at the end of the last pass.
    noted: u64,
    still: u32,
}

impl ClientWatch {
    /// A watch over an empty ring of `ring` frames; `stall` is how many passes a client may stand still.
    #[must_use]
    pub const fn new(flow: DataFlow, ring: FrameCount, stall: u32) -> Self {
        Self { flow, ring, stall, server: 0, client: 0, state: ClientState::Stopped, noted: 0, still: 0 }
    }

    /// Takes note of what the client has written.
    ///
    /// # Errors
    /// [`ClientBreach`]; the watch is as it was.
    pub fn look(&mut self, words: ClientWords) -> Result<Look, ClientBreach> {
        let state = ClientState::from_word(words.state).ok_or(ClientBreach::State { got: words.state })?;
        if words.position < self.client {
            return Err(ClientBreach::Backwards { from: self.client, to: words.position });
        }
        if self.queued_at(words.position).is_none() {
            let (claimed, server, ring) = (words.position, self.server, self.ring.get());
            return Err(ClientBreach::OutsideRing { claimed, server, ring });
        }
        (self.client, self.state) = (words.position, state);
        Ok(Look { state, frames: self.to_move() })
    }

    /// The server has moved `frames` frames: at most as many as the last look gave. Answers its new position.
    pub fn moved(&mut self, frames: FrameCount) -> u64 {
        self.server += u64::from(frames.min(self.to_move()).get());
        self.server
    }

    /// The server's position: where in the stream it takes or puts the next frame.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.server
    }

    /// The end of a pass. `drained`: the device has nothing left to play. Answers the number of periods when the
    /// client has stood still for too long; while it is stopped, or could not move, it may.
    pub fn end_pass(&mut self, drained: bool) -> Option<u32> {
        let queued = self.queued_at(self.client).unwrap_or(FrameCount::ZERO);
        let could_move = match (self.state, self.flow) {
            (ClientState::Stopped, _) => false,
            (ClientState::Started, DataFlow::Render) => queued < self.ring,
            (ClientState::Started, DataFlow::Capture) => !queued.is_zero(),
            // All that such a client has left to do is to hang up.
            (ClientState::Finishing, DataFlow::Render) => queued.is_zero() && drained,
            (ClientState::Finishing, DataFlow::Capture) | (ClientState::Closed, _) => true,
        };
        if !could_move || self.client != self.noted {
            self.still = 0;
        } else {
            self.still = self.still.saturating_add(1);
        }
        self.noted = self.client;
        (self.still > self.stall).then_some(self.still)
    }

    fn to_move(&self) -> FrameCount {
        let queued = self.queued_at(self.client).unwrap_or(FrameCount::ZERO);
        match self.flow {
            DataFlow::Render => queued,
            DataFlow::Capture => self.ring.saturating_sub(queued),
        }
    }

    /// Frames in the ring if the client is at this position; `None` where that cannot be.
    fn queued_at(&self, client: u64) -> Option<FrameCount> {
        let queued = match self.flow {
            DataFlow::Render => client.checked_sub(self.server)?,
            DataFlow::Capture => self.server.checked_sub(client)?,
        };
        u32::try_from(queued).ok().map(FrameCount::new).filter(|queued| *queued <= self.ring)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RING: FrameCount = FrameCount::new(100);

    fn words(state: u64, position: u64) -> ClientWords {
        ClientWords { state, position }
    }

    #[test]
    fn d5_a_render_client_may_be_ahead_by_the_ring_and_no_frame_more() {
        let mut watch = ClientWatch::new(DataFlow::Render, RING, 10);
        assert_eq!(watch.look(words(1, 100)).unwrap().frames.get(), 100);
        assert_eq!(watch.moved(FrameCount::new(40)), 40);
        assert_eq!(watch.look(words(1, 140)).unwrap().frames.get(), 100);
        let outside = ClientBreach::OutsideRing { claimed: 141, server: 40, ring: 100 };
        assert_eq!(watch.look(words(1, 141)), Err(outside));
        assert_eq!(watch.look(words(1, 139)), Err(ClientBreach::Backwards { from: 140, to: 139 }));
        assert_eq!(watch.look(words(4, 140)), Err(ClientBreach::State { got: 4 }));
        assert!(watch.look(words(1, u64::MAX)).is_err());
        assert_eq!(watch.moved(FrameCount::new(200)), 140, "never more than there is");
    }

    #[test]
    fn d5_a_capture_client_never_passes_the_server() {
        let mut watch = ClientWatch::new(DataFlow::Capture, RING, 10);
        assert_eq!(watch.look(words(1, 0)).unwrap().frames.get(), 100);
        watch.moved(FrameCount::new(60));
        assert_eq!(watch.look(words(1, 60)).unwrap().frames.get(), 100);
        assert_eq!(watch.look(words(1, 61)), Err(ClientBreach::OutsideRing { claimed: 61, server: 60, ring: 100 }));
        watch.moved(FrameCount::new(100));
        assert_eq!(watch.look(words(1, 60)).unwrap().frames.get(), 0, "full");
    }

    #[test]
    fn d5_a_started_client_that_stands_still_has_stalled_and_a_stopped_one_has_not() {
        let mut watch = ClientWatch::new(DataFlow::Render, RING, 3);
        watch.look(words(0, 0)).unwrap();
        assert!((0..1_000).all(|_| watch.end_pass(true).is_none()), "stopped");
        watch.look(words(1, 100)).unwrap();
        assert!((0..1_000).all(|_| watch.end_pass(true).is_none()), "its ring is full: the server is to move");
        watch.moved(FrameCount::new(1));
        assert_eq!((0..4).map(|_| watch.end_pass(true)).collect::<Vec<_>>(), [None, None, None, Some(4)]);
        watch.look(words(1, 101)).unwrap();
        assert_eq!(watch.end_pass(true), None, "it moved");
        watch.look(words(2, 101)).unwrap();
        assert!((0..1_000).all(|_| watch.end_pass(true).is_none()), "what it wrote is being played");
        watch.moved(FrameCount::new(100));
        assert!((0..1_000).all(|_| watch.end_pass(false).is_none()), "the device still plays");
        assert!((0..5).any(|_| watch.end_pass(true).is_some()), "it has to hang up");
    }
}
