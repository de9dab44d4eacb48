//! The real-time side: one worker for each real-time thread.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use soundpost_core::{Clock, Instant};
use soundpost_endpoint::Event;
use soundpost_queue::commands::CommandReceiver;
use soundpost_rt::guard::{PanicGuard, Protection};
use soundpost_rt::scratch::Scratch;

use crate::command::{Command, List, OldList, Report, RtDevice, RtKind};
use crate::{EngineConfig, worker_commands};

/// When a worker wants to run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextWake {
    /// At this time, or when its wake event is signalled, whichever comes first. May lie in the past: at once.
    At(Instant),
    /// When its wake event is signalled.
    Idle,
}

/// The real-time side of a share of the engine's sessions. Belongs to one real-time thread.
///
/// The thread's loop is: wait until [`NextWake`] or the wake event, read the clock, call [`Worker::run_pass`].
pub struct Worker {
    receiver: Receiver,
    devices: List<RtDevice>,
    scratch: [Box<[f32]>; 4],
    guard: Arc<dyn PanicGuard>,
    costs: Option<Arc<dyn Clock>>,
    notify: Option<Arc<dyn Event>>,
}

type Receiver = CommandReceiver<Command, Report>;

impl Worker {
    pub(crate) fn new(receiver: Receiver, config: &EngineConfig) -> Self {
        let block = || vec![0.0; Scratch::SAMPLES].into_boxed_slice();
        Self {
            receiver,
            devices: Vec::new(),
            scratch: [block(), block(), block(), block()],
            guard: Arc::clone(&config.guard),
            costs: config.costs.clone(),
            notify: config.notify.clone(),
        }
    }

    /// Does everything that is due at `now`, and says when to come back. Never waits; reads no clock but the one
    /// that was configured to measure costs; allocates and frees nothing. `now` never goes back.
    pub fn run_pass(&mut self, now: Instant) -> NextWake {
        let Self { receiver, devices, scratch, guard, costs, notify } = self;
        let protection = Protection { guard: guard.as_ref(), costs: costs.as_deref() };
        let [source, between, block, mix] = scratch;
        let mut scratch = Scratch { source, between, block, mix };
        let mut posted = false;
        while let Some(command) = receiver.receive() {
            if let Some(report) = worker_commands::apply(command, devices, protection) {
                // Certain to find room after a receive.
                posted |= post(receiver, report).is_none();
            }
        }
        let mut next: Option<Instant> = None;
        // Everything about a device at once: with many sessions it has left the caches when the next one has run.
        for device in devices.iter_mut() {
            run_device(device, now, &mut scratch, protection);
            // Pairs with the fence in StreamWriter::write: either the look below sees what was written, or the writer
            // sees that everything before was taken, and wakes this thread.
            fence(Ordering::SeqCst);
            wake_if_wanted(device, now, protection);
            let due = match &device.kind {
                RtKind::Render { bus, .. } => bus.bus().next(),
                RtKind::Capture { bus, .. } => bus.bus().next(),
            };
            next = match (next, due) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            posted |= report_device(device, receiver);
        }
        if posted && let Some(notify) = notify {
            notify.signal();
        }
        next.map_or(NextWake::Idle, NextWake::At)
    }
}

/// Runs the pass that is due, if one is.
fn run_device(device: &mut RtDevice, now: Instant, scratch: &mut Scratch<'_>, protection: Protection<'_>) {
    wake_if_wanted(device, now, protection);
    let signalled = device.driver.as_ref().is_some_and(|(_, drive)| drive.take());
    match &mut device.kind {
        RtKind::Render { bus, streams, links } if bus.bus().is_active() => {
            let turn = if signalled { Some(bus.bus_mut().take_driven_turn(now)) } else { bus.bus_mut().take_turn(now) };
            let Some(turn) = turn else { return };
            bus.pass(now, turn, streams, links, scratch, protection);
            for slot in streams {
                if slot.stream.take_moved()
                    && let Some(notify) = &slot.notify
                {
                    notify.signal();
                }
            }
        }
        RtKind::Capture { bus, streams, link } if bus.bus().is_active() => {
            let turn = if signalled { Some(bus.bus_mut().take_driven_turn(now)) } else { bus.bus_mut().take_turn(now) };
            let Some(turn) = turn else { return };
            bus.pass(turn, streams, link.as_mut().map(|link| &mut link.connection), scratch, protection);
            for slot in streams {
                if slot.stream.take_moved()
                    && let Some(notify) = &slot.notify
                {
                    notify.signal();
                }
            }
        }
        _ => {}
    }
}

fn wake_if_wanted(device: &mut RtDevice, now: Instant, protection: Protection<'_>) {
    match &mut device.kind {
        RtKind::Render { bus, streams, links } => {
            if !bus.bus().is_active() && streams.iter().any(|slot| slot.stream.wants_passes()) {
                bus.activate(now, links, protection);
            }
        }
        RtKind::Capture { bus, streams, link } => {
            if !bus.bus().is_active() && streams.iter().any(|slot| slot.stream.wants_passes()) {
                bus.activate(now, link.as_mut().map(|link| &mut link.connection), protection);
            }
        }
    }
}

/// Tells the control side what has become of a device: faults, drained streams, activity. What there is no room for
/// is told after a later pass. Returns whether something was told.
fn report_device(device: &mut RtDevice, receiver: &mut Receiver) -> bool {
    let mut posted = false;
    let active = match &mut device.kind {
        RtKind::Render { bus, streams, links } => {
            while let Some(at) = links.iter().position(|link| link.connection.fault().is_some()) {
                let link = links.remove(at);
                release_driver(&mut device.driver, link.id);
                match post(receiver, Report::RenderLink(link)) {
                    Some(Report::RenderLink(link)) => {
                        links.push(link);
                        break;
                    }
                    _ => posted = true,
                }
            }
            let heard = bus.heard(links);
            for slot in streams {
                if slot.stream.is_drained(heard) && post(receiver, Report::Drained(slot.id)).is_none() {
                    slot.stream.settle_drained(heard);
                    posted = true;
                }
            }
            bus.bus().is_active()
        }
        RtKind::Capture { bus, link, .. } => {
            if let Some(faulty) = link.take_if(|link| link.connection.fault().is_some()) {
                release_driver(&mut device.driver, faulty.id);
                match post(receiver, Report::CaptureLink(faulty)) {
                    Some(Report::CaptureLink(faulty)) => *link = Some(faulty),
                    _ => posted = true,
                }
            }
            bus.bus().is_active()
        }
    };
    if active != device.was_active && post(receiver, Report::Active(device.id, active)).is_none() {
        device.was_active = active;
        posted = true;
    }
    posted
}

/// The connection is going: if its endpoint drove the device, the device goes on by its own time. Called while the
/// connection is still here: it holds the same event, so that nothing is freed. Once it has been posted the control
/// side may have dropped it, and the event with it, but for what is held here.
pub(crate) fn release_driver(
    driver: &mut Option<(crate::ConnectionId, Arc<crate::command::Drive>)>,
    gone: crate::ConnectionId,
) {
    if driver.as_ref().is_some_and(|(connection, _)| *connection == gone) {
        *driver = None;
    }
}

/// Sends a report; what there is no room for comes back.
fn post(receiver: &mut Receiver, report: Report) -> Option<Report> {
    receiver.retire(report).err()
}

/// A list that takes the place of a shorter one; the old one goes back to be freed.
pub(crate) fn exchange<T>(list: &mut Vec<T>, room: Option<Vec<T>>) -> Option<Vec<T>> {
    let mut longer = room?;
    longer.append(list);
    Some(std::mem::replace(list, longer))
}

pub(crate) fn old<T>(list: Option<Vec<T>>, kind: impl FnOnce(Vec<T>) -> OldList) -> Option<Report> {
    list.map(|list| Report::List { _list: kind(list) })
}
