//! The server's side: grants an exclusive use, watches over it, and takes the endpoint back.

use std::io::{self, Read as _};
use std::num::NonZeroU32;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use soundpost_core::{Clock as _, Hns, Instant};
use soundpost_endpoint::exclusive::record::{CLIENT_STATE, OVER, REASON, SERVER_STATE};
use soundpost_endpoint::exclusive::{
    ClientBreach, ClientState, ClientWatch, ExclusiveEnd, ExclusivePlan, ExclusiveRecord, ExclusiveRequest,
};
use soundpost_endpoint::{CapturePort, ControlHalf, DataFlow, Endpoint, Event as _, Fault, RenderPort, RtHalf};

use super::error::GrantError;
use super::memory::{SharedRing, sealed};
use super::message::{Granted, OpenRequest, Reply, send};
use super::pass::{Client, Counts, Held, Pass, Phase, Port, Progress, unblock};
use crate::clock::MonotonicClock;
use crate::event::EventFd;
use crate::sys;
use crate::thread::{RtThreads, Work};

/// How often the supervisor looks whether the pass comes back, where nothing else wakes it.
const LOOK: Duration = Duration::from_millis(250);
/// How long one pass may be in an endpoint's methods.
const LONGEST_MOVE: Duration = Duration::from_secs(2);
/// How long one pass may be in signalling the client's event, which takes a microsecond.
const LONGEST_SIGNAL: Duration = Duration::from_millis(500);
/// How long the thread may take to end.
const PATIENCE: Duration = Duration::from_millis(250);
/// After a client has rung, its next ring is heard so much later: ringing all the time costs it more than us.
const RING_PAUSE: Duration = Duration::from_millis(1);

/// Who is at the other end of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its process; 0 where it has no number in this process's namespace.
    pub process: u32,
    /// Its user.
    pub user: u32,
}

impl Peer {
    /// As the kernel noted it when the other end connected.
    ///
    /// # Errors
    /// The system's.
    pub fn of(socket: &UnixStream) -> io::Result<Self> {
        sys::peer(socket.as_fd()).map(|(process, user)| Self { process, user })
    }

    /// D5: the memory is for the process that was named, which is the one that asks, and of this process's user.
    fn check(self, asked: u32) -> Result<NonZeroU32, GrantError> {
        let own = rustix::process::geteuid().as_raw();
        if self.user != own {
            return Err(GrantError::WrongUser { own, peer: self.user });
        }
        match NonZeroU32::new(asked) {
            Some(process) if asked == self.process => Ok(process),
            _ => Err(GrantError::WrongProcess { asked, peer: self.process }),
        }
    }
}

/// Tells a client that it gets nothing, and why.
///
/// # Errors
/// The socket's.
pub fn refuse(socket: &UnixStream, message: String, requirement: Option<&str>) -> io::Result<()> {
    send(socket, &Reply::Refused { message, requirement: requirement.map(str::to_owned) }, &[])
}

/// An exclusive use that did not come about; the client has not been told yet.
pub struct Refused {
    /// The endpoint, as it was. `None` where a thread keeps it, which does not come back.
    pub endpoint: Option<Endpoint>,
    /// Why.
    pub error: GrantError,
}

/// How an exclusive use ended.
pub struct Ended {
    /// The endpoint, as new: it may be attached, or granted to the next client. `None` where one of its real-time methods
    /// does not come back; it is lost then, with its thread.
    pub endpoint: Option<Endpoint>,
    /// Why.
    pub end: ExclusiveEnd,
}

/// Ends an exclusive use from outside. Any thread.
#[derive(Clone, Debug)]
pub struct Revoke {
    asked: Arc<AtomicBool>,
    over: Arc<EventFd>,
}

impl Revoke {
    /// The endpoint is wanted back. Harmless when repeated, or when the use is over.
    pub fn revoke(&self) {
        self.asked.store(true, Ordering::Release);
        self.over.signal();
    }
}

/// A running exclusive use of one endpoint by one client. Not for a real-time thread.
pub struct Exclusive {
    socket: UnixStream,
    process: Option<OwnedFd>,
    control: Box<dyn ControlHalf>,
    plan: ExclusivePlan,
    ring: Arc<SharedRing>,
    event: Arc<EventFd>,
    running: Running,
    asked: Arc<AtomicBool>,
}

impl Exclusive {
    /// Gives an endpoint to the client at the other end of `socket`: asks the endpoint (D5), starts it, and sends the
    /// client the memory and the event. The endpoint must not be in use; what SetBuffer made earlier is let go.
    /// `name` and `session` are told to the client.
    ///
    /// # Errors
    /// [`Refused`], with the endpoint as it was.
    pub fn grant(
        socket: UnixStream,
        endpoint: Endpoint,
        request: &OpenRequest,
        (name, session): (&str, &str),
    ) -> Result<Self, Box<(UnixStream, Refused)>> {
        let flow = endpoint.flow();
        let Endpoint { mut control, realtime } = endpoint;
        let parts = match prepare(&socket, control.as_mut(), flow, request) {
            Ok(parts) => parts,
            Err(error) => {
                let endpoint = Some(Endpoint { control, realtime });
                return Err(Box::new((socket, Refused { endpoint, error })));
            }
        };
        let Parts { plan, memory, ring, event, over, process } = parts;
        let granted = Granted { endpoint: name.into(), session: session.into(), size: ring.record().size() };
        let running = match control.start() {
            Ok(()) => Running::start(realtime, &plan, (&ring, &event, over)),
            Err(error) => Err((error.into(), Some(realtime))),
        };
        let running = match running {
            Ok(running) => running,
            Err((error, realtime)) => {
                let _ = control.release_buffer();
                let endpoint = realtime.map(|realtime| Endpoint { control, realtime });
                return Err(Box::new((socket, Refused { endpoint, error })));
            }
        };
        let asked = Arc::new(AtomicBool::new(false));
        let exclusive = Self { socket, process, control, plan, ring, event, running, asked };
        let descriptors = [memory.as_fd(), exclusive.event.as_fd()];
        let sent = send(&exclusive.socket, &Reply::Granted(granted), &descriptors);
        let sent = sent.and_then(|()| exclusive.socket.set_nonblocking(true));
        match sent {
            Ok(()) => Ok(exclusive),
            Err(error) => {
                let (socket, ended) = exclusive.finish(Some(ExclusiveEnd::Died));
                Err(Box::new((socket, Refused { endpoint: ended.endpoint, error: GrantError::System(error) })))
            }
        }
    }

    /// What the endpoint has granted.
    #[must_use]
    pub fn plan(&self) -> &ExclusivePlan {
        &self.plan
    }

    /// To end it from another thread.
    #[must_use]
    pub fn revoker(&self) -> Revoke {
        Revoke { asked: self.asked.clone(), over: self.running.over.clone() }
    }

    /// Waits until it is over, whichever way, and takes the endpoint back. Blocks.
    #[must_use]
    pub fn serve(mut self) -> Ended {
        let end = self.wait();
        self.finish(end).1
    }

    /// Until something ends it; `None` where the pass knows what.
    fn wait(&mut self) -> Option<ExclusiveEnd> {
        let mut stuck = Stuck::new(MonotonicClock.now());
        loop {
            let (rung, gone, over) = self.poll();
            if self.asked.load(Ordering::Acquire) {
                return Some(ExclusiveEnd::Revoked);
            }
            // What the pass has found out goes first: a client that hangs up after nonsense wrote nonsense.
            if over && self.running.over.take() {
                return None;
            }
            if gone || (rung && !self.hear()) {
                // What it said last is what counts: a client that lets go says so before it hangs up.
                let closed = self.ring.load(CLIENT_STATE) == ClientState::Closed.word();
                return Some(if closed { ExclusiveEnd::Closed } else { ExclusiveEnd::Died });
            }
            if let Some(end) = stuck.look(&self.running.progress, MonotonicClock.now()) {
                return Some(end);
            }
        }
    }

    /// Waits for the client to ring, hang up or die, and for the pass to end; for a moment.
    fn poll(&self) -> (bool, bool, bool) {
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK.subsec_nanos()) };
        let (socket, over) = (self.socket.as_fd(), self.running.over.as_fd());
        let process = self.process.as_ref().map_or(over, |process| process.as_fd());
        let mut fds = [
            PollFd::from_borrowed_fd(socket, PollFlags::IN),
            PollFd::from_borrowed_fd(over, PollFlags::IN),
            PollFd::from_borrowed_fd(process, PollFlags::IN),
        ];
        // Where polling fails (a signal, no memory) nothing is known to have happened; the loop looks again.
        if poll(&mut fds, Some(&timeout)).is_err() {
            return (false, false, false);
        }
        let [socket, over, process] = fds.map(|fd| !fd.revents().is_empty());
        (socket, self.process.is_some() && process, over)
    }

    /// Hears what the client has rung; false when it has hung up. The bytes themselves mean nothing.
    fn hear(&mut self) -> bool {
        let mut bytes = [0; 256];
        match self.socket.read(&mut bytes) {
            Ok(0) => false,
            Ok(_) => {
                self.running.wake.signal();
                std::thread::sleep(RING_PAUSE);
                true
            }
            Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        }
    }

    /// Ends the thread, tells the client, and puts the endpoint together again.
    fn finish(self, end: Option<ExclusiveEnd>) -> (UnixStream, Ended) {
        let Self { socket, mut control, ring, event, running, .. } = self;
        let (half, found) = running.stop(&event);
        // A pass that has ended by itself knows best.
        let end = found.or(end).unwrap_or(ExclusiveEnd::Died);
        ring.store(REASON, end.code());
        ring.store(SERVER_STATE, OVER);
        unblock(&event);
        event.signal();
        // What the control half answers no longer matters: where it does not come back as new, SetBuffer will say so.
        let _ = control.release_buffer();
        let endpoint = half.map(|realtime| Endpoint { control, realtime });
        (socket, Ended { endpoint, end })
    }
}

/// What a grant needs before the endpoint's real-time half is touched.
struct Parts {
    plan: ExclusivePlan,
    memory: OwnedFd,
    ring: Arc<SharedRing>,
    event: Arc<EventFd>,
    over: Arc<EventFd>,
    process: Option<OwnedFd>,
}

fn prepare(
    socket: &UnixStream,
    control: &mut dyn ControlHalf,
    flow: DataFlow,
    request: &OpenRequest,
) -> Result<Parts, GrantError> {
    let system = GrantError::System;
    let process = Peer::of(socket).map_err(system)?.check(request.process)?;
    let asked = ExclusiveRequest {
        process,
        period: Hns::new(request.period),
        buffer: Hns::new(request.buffer),
        coefficient: request.coefficient,
    };
    let (event, over) = (Arc::new(EventFd::new().map_err(system)?), Arc::new(EventFd::new().map_err(system)?));
    // Where the kernel has no pidfds, hanging up tells as well, but for a client that has left its socket to a child.
    let pid = i32::try_from(process.get()).ok().and_then(Pid::from_raw);
    let watched = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    control.release_buffer()?;
    let plan = control.exclusive_mode(&asked)?;
    let memory = || {
        let record = ExclusiveRecord::new(flow, &plan);
        let memory = sealed(record.size())?;
        let ring = SharedRing::create(memory.as_fd(), record)?;
        Ok((memory, ring))
    };
    match memory() {
        Ok((memory, ring)) => Ok(Parts { plan, memory, ring: Arc::new(ring), event, over, process: watched }),
        Err(error) => {
            let _ = control.release_buffer();
            Err(system(error))
        }
    }
}

/// The real-time thread of one use.
struct Running {
    threads: RtThreads,
    wake: Arc<EventFd>,
    over: Arc<EventFd>,
    progress: Arc<Progress>,
    home: Receiver<Box<Pass>>,
}

/// Why there is no thread, and the real-time half.
type NotStarted = (GrantError, Option<RtHalf>);

impl Running {
    fn start(
        half: RtHalf,
        plan: &ExclusivePlan,
        (ring, event, over): (&Arc<SharedRing>, &Arc<EventFd>, Arc<EventFd>),
    ) -> Result<Self, NotStarted> {
        let wake = match EventFd::new() {
            Ok(wake) => Arc::new(wake),
            Err(error) => return Err((GrantError::System(error), Some(half))),
        };
        let sizes = plan.sizes;
        let port = match half {
            RtHalf::Render(half) => Port::Render(RenderPort::new(half, sizes.format, sizes.packet, sizes.buffer)),
            RtHalf::Capture(half) => Port::Capture(CapturePort::new(half, sizes.format, sizes.packet, sizes.buffer)),
        };
        let record = *ring.record();
        let progress = Arc::new(Progress::default());
        let pass = Pass {
            port,
            client: Client {
                ring: ring.clone(),
                watch: ClientWatch::new(record.flow, record.ring, record.stall),
                counts: Counts::default(),
            },
            event: event.clone(),
            over: over.clone(),
            progress: progress.clone(),
            state: ClientState::Stopped,
            end: None,
        };
        let (to_home, home) = sync_channel(1);
        let mut held = Held::new(pass, to_home);
        let work: Work = Box::new(move |now: Instant| held.run(now));
        match RtThreads::start(std::iter::once((work, wake.clone()))) {
            Ok(threads) => Ok(Self { threads, wake, over, progress, home }),
            Err(error) => {
                // The work was dropped with what was started, and the pass came home.
                let half = home.recv_timeout(PATIENCE).ok().map(|pass| pass.port.into_half());
                Err((GrantError::System(io::Error::other(error)), half))
            }
        }
    }

    /// Ends the thread. The real-time half, where it came back, and how the pass has ended, where it did by itself.
    fn stop(self, event: &EventFd) -> (Option<RtHalf>, Option<ExclusiveEnd>) {
        if self.progress.read().1 == Phase::Signalling {
            unblock(event);
        }
        let panicked = match self.threads.stop(PATIENCE) {
            Ok(()) => None,
            Err(crate::thread::StopError::Panicked { .. }) => {
                Some(ExclusiveEnd::Fault(Fault::Panicked { call: "a pass in exclusive mode" }))
            }
            Err(error) => {
                tracing::error!(%error, "a client's exclusive use");
                None
            }
        };
        match self.home.try_recv() {
            Ok(pass) => {
                let end = panicked.or(pass.end);
                (Some(pass.port.into_half()), end)
            }
            Err(_) => (None, panicked),
        }
    }
}

/// Notices a pass that does not come back.
struct Stuck {
    passes: u64,
    since: Instant,
}

impl Stuck {
    fn new(now: Instant) -> Self {
        Self { passes: 0, since: now }
    }

    fn look(&mut self, progress: &Progress, now: Instant) -> Option<ExclusiveEnd> {
        let (passes, phase) = progress.read();
        if phase == Phase::Waiting || passes != self.passes {
            (self.passes, self.since) = (passes, now);
            return None;
        }
        let taken = now.saturating_since(self.since);
        match phase {
            Phase::Signalling if taken > LONGEST_SIGNAL => Some(ExclusiveEnd::Breach(ClientBreach::Event)),
            Phase::Moving if taken > LONGEST_MOVE => Some(ExclusiveEnd::Fault(Fault::Overran { overruns: 1 })),
            _ => None,
        }
    }
}
