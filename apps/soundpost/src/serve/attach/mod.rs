//! `serve --attach`: Soundpost as a client of a running PulseAudio or PipeWire.
//!
//! The server is asked for a virtual sink, and what is played into it (its monitor) becomes a stream of the first session.
//! It is asked for a virtual source as well, and what the session captures is played into that while somebody records
//! from it. Both are the server's own modules, under names of ours: a
//! Soundpost that was killed finds them again, one that ends has them unloaded.
//!
//! A thread of its own does all that. When the server goes, it waits for the next one.

mod link;
mod modules;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use soundpost_core::{ChannelLayout, Format, FrameCount};
use soundpost_endpoint::Event as _;
use soundpost_engine::StreamConfig;
use soundpost_host::event::EventFd;
use soundpost_host::pulse_client::{ClientError, Place};

use self::link::{Feed, Link};
use super::hub::{Hub, HubSession};

/// How long it waits before it looks for a server again: at first, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A connection that lasted so long makes the waiting begin anew.
const GOOD: Duration = Duration::from_secs(10);

/// How much of the applications' sound is kept before it is heard. The server sends blocks of 20 ms.
const CUSHION: Duration = Duration::from_millis(30);
/// How much the queue between the server and the session holds.
const QUEUE: Duration = Duration::from_millis(500);

/// Why it cannot be attached.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttachError {
    #[error(
        "there is nothing to attach to: {0}; start PulseAudio or PipeWire, name another place with --attach=ADDRESS, or \
         leave --attach out"
    )]
    NoServer(String),
    #[error("cannot attach: {0}")]
    Client(#[from] ClientError),
    #[error("cannot attach: the server has loaded a virtual device, but has none of the name {0}: is it taken?")]
    NoDevice(&'static str),
    #[error("cannot attach: {0}")]
    Engine(#[from] soundpost_engine::EngineError),
    #[error("cannot attach: the system gives no more threads or events ({0}); close something or raise its limits")]
    System(#[from] std::io::Error),
}

/// The running attachment. Dropping it has the server's modules unloaded.
pub(super) struct Attachment {
    stop: Arc<AtomicBool>,
    wake: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Attachment {
    /// Attaches to the server at the first of these places where one answers. Waits until it is there.
    ///
    /// # Errors
    /// [`AttachError`].
    pub(super) fn start(hub: &Arc<Hub>, session: &HubSession, places: Vec<Place>) -> Result<Self, AttachError> {
        let wake = Arc::new(EventFd::new()?);
        let format = Format { rate: hub.device(session).map_or(Format::DEFAULT, |device| device.format).rate, ..SOUND };
        let prebuffer = format.rate.frames_in_duration(CUSHION);
        let config = StreamConfig {
            capacity: QUEUE,
            prebuffer: FrameCount::new(u32::try_from(prebuffer).unwrap_or(0)),
            ..StreamConfig::new("applications", format)
        };
        let (stream, writer) = hub.open_stream(session, config)?;
        let mut feed = Feed::new(writer);
        let link = match Link::open(&places, hub.clone(), session.clone(), &wake, &feed) {
            Ok(link) => link,
            Err(error) => {
                // It is new and empty; nobody misses it if this fails.
                let _ = hub.engine().close_stream(session.id, stream);
                return Err(error);
            }
        };
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (hub, session, wake, stop) = (hub.clone(), session.clone(), wake.clone(), stop.clone());
            let run = move || stay_attached(&places, link, &hub, &session, &wake, &stop, &mut feed);
            Builder::new().name("soundpost-attach".into()).spawn(run)?
        };
        Ok(Self { stop, wake, thread: Some(thread) })
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.wake.signal();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of --attach panicked");
        }
    }
}

/// What is recorded from the virtual sink: the mix's own type of sample, so that nothing is rounded.
const SOUND: Format = Format { layout: ChannelLayout::STEREO, ..Format::DEFAULT };

fn stay_attached(
    places: &[Place],
    mut link: Link,
    hub: &Arc<Hub>,
    session: &HubSession,
    wake: &Arc<EventFd>,
    stop: &AtomicBool,
    feed: &mut Feed,
) {
    let mut wait = FIRST_WAIT;
    loop {
        let begin = Instant::now();
        match link.run(stop, feed) {
            Ok(()) => return link.close(),
            Err(error) => tracing::warn!(%error, "the sound server is gone: looking for it again"),
        }
        // Its streams go with it; the modules stay for the next link.
        drop(link);
        if begin.elapsed() >= GOOD {
            wait = FIRST_WAIT;
        }
        link = loop {
            wake.wait(Some(wait));
            if stop.load(Ordering::Acquire) {
                return;
            }
            wait = (wait * 2).min(LONGEST_WAIT);
            match Link::open(places, hub.clone(), session.clone(), wake, feed) {
                Ok(link) => break link,
                Err(error) => tracing::debug!(%error, "not attached yet"),
            }
        };
    }
}
