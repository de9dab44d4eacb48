//! What travels between the control side and a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use soundpost_core::{FramePosition, Gain};
use soundpost_endpoint::{Event, Fault, RtHalf};
use soundpost_rt::capture::{CaptureBus, CaptureConnection, CaptureStream};
use soundpost_rt::render::{RenderBus, RenderConnection, RenderStream};

use crate::{ConnectionId, DeviceId, EndpointId, StreamId};

/// What a worker keeps in lists stays in the box it came in: it goes back in it, to be freed by the control side.
pub(crate) type List<T> = Vec<Box<T>>;

/// To a worker. Whatever it carries was allocated by the control side and goes back there.
pub(crate) enum Command {
    AddDevice { device: Box<RtDevice>, room: Option<List<RtDevice>> },
    RemoveDevice(DeviceId),
    AddStream { device: DeviceId, stream: NewStream },
    RemoveStream { device: DeviceId, stream: StreamId },
    AddConnection { device: DeviceId, connection: NewConnection },
    RemoveConnection { device: DeviceId, connection: ConnectionId },
    ChangeStream { device: DeviceId, stream: StreamId, change: StreamChange },
    ChangeDevice { device: DeviceId, change: VolumeChange },
}

/// A stream, and a longer list where the worker's has no place for it.
pub(crate) enum NewStream {
    Render(Box<RenderSlot>, Option<List<RenderSlot>>),
    Capture(Box<CaptureSlot>, Option<List<CaptureSlot>>),
}

/// A connection with its endpoint, and a longer list where the worker's has no place for it.
pub(crate) enum NewConnection {
    Render(Box<RenderLink>, Option<List<RenderLink>>),
    Capture(Box<CaptureLink>),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum VolumeChange {
    Gain(Gain),
    Muted(bool),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum StreamChange {
    Volume(VolumeChange),
    Paused(bool),
    Drain,
    /// Of what was written before this position.
    Flush(FramePosition),
}

/// From a worker.
pub(crate) enum Report {
    /// Removed as asked.
    Device(Box<RtDevice>),
    Stream {
        _stream: OldStream,
    },
    /// Removed as asked, or for its fault.
    RenderLink(Box<RenderLink>),
    CaptureLink(Box<CaptureLink>),
    /// A list that has become too short.
    List {
        _list: OldList,
    },
    /// Not added: the device is gone already.
    RefusedStream {
        _stream: NewStream,
    },
    RefusedConnection(NewConnection),
    Drained(StreamId),
    Active(DeviceId, bool),
}

/// Only ever dropped.
pub(crate) enum OldStream {
    Render { _slot: Box<RenderSlot> },
    Capture { _slot: Box<CaptureSlot> },
}

/// Only ever dropped.
pub(crate) enum OldList {
    Devices { _list: List<RtDevice> },
    RenderStreams { _list: List<RenderSlot> },
    CaptureStreams { _list: List<CaptureSlot> },
    RenderLinks { _list: List<RenderLink> },
}

/// A device on its worker.
pub(crate) struct RtDevice {
    pub(crate) id: DeviceId,
    pub(crate) driver: Option<(ConnectionId, Arc<Drive>)>,
    pub(crate) was_active: bool,
    pub(crate) kind: RtKind,
}

pub(crate) enum RtKind {
    Render { bus: RenderBus, streams: List<RenderSlot>, links: List<RenderLink> },
    Capture { bus: CaptureBus, streams: List<CaptureSlot>, link: Option<Box<CaptureLink>> },
}

/// A render stream on its worker.
pub(crate) struct RenderSlot {
    pub(crate) id: StreamId,
    pub(crate) stream: RenderStream,
    pub(crate) notify: Option<Arc<dyn Event>>,
}

/// A capture stream on its worker.
pub(crate) struct CaptureSlot {
    pub(crate) id: StreamId,
    pub(crate) stream: CaptureStream,
    pub(crate) notify: Option<Arc<dyn Event>>,
}

/// A render connection on its worker.
pub(crate) struct RenderLink {
    pub(crate) id: ConnectionId,
    pub(crate) endpoint: EndpointId,
    pub(crate) drive: Option<Arc<Drive>>,
    pub(crate) connection: RenderConnection,
}

/// A capture connection on its worker.
pub(crate) struct CaptureLink {
    pub(crate) id: ConnectionId,
    pub(crate) endpoint: EndpointId,
    pub(crate) drive: Option<Arc<Drive>>,
    pub(crate) connection: CaptureConnection,
}

impl RenderLink {
    /// The endpoint's real-time half, and what it did wrong.
    pub(crate) fn into_half(self) -> (RtHalf, Option<Fault>) {
        let fault = self.connection.fault();
        (RtHalf::Render(self.connection.into_port().into_inner()), fault)
    }
}

impl CaptureLink {
    /// The endpoint's real-time half, and what it did wrong.
    pub(crate) fn into_half(self) -> (RtHalf, Option<Fault>) {
        let fault = self.connection.fault();
        (RtHalf::Capture(self.connection.into_port().into_inner()), fault)
    }
}

impl AsMut<RenderStream> for Box<RenderSlot> {
    fn as_mut(&mut self) -> &mut RenderStream {
        &mut self.stream
    }
}

impl AsMut<CaptureStream> for Box<CaptureSlot> {
    fn as_mut(&mut self) -> &mut CaptureStream {
        &mut self.stream
    }
}

impl AsMut<RenderConnection> for Box<RenderLink> {
    fn as_mut(&mut self) -> &mut RenderConnection {
        &mut self.connection
    }
}

/// The event that is handed to an endpoint that drives the engine (D4).
pub(crate) struct Drive {
    pending: AtomicBool,
    wake: Arc<dyn Event>,
}

impl Drive {
    pub(crate) fn new(wake: Arc<dyn Event>) -> Self {
        Self { pending: AtomicBool::new(false), wake }
    }

    /// Whether the endpoint has signalled since this was last asked. Signals fall together.
    pub(crate) fn take(&self) -> bool {
        // Acquire, with the release below: what the endpoint did before it signalled is seen by the pass.
        self.pending.swap(false, Ordering::Acquire)
    }
}

impl Event for Drive {
    fn signal(&self) {
        self.pending.store(true, Ordering::Release);
        self.wake.signal();
    }
}
