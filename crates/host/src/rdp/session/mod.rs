//! A logged-in client: its channels, its sound, its desktop.
//!
//! One task per client, and everything in it is bounded: what has been read is at most one PDU, what is to be sent is
//! one batch, and a client that does not read what it is sent is no longer read from either. So a client can stall its
//! own task for as long as it likes, and nothing else.

mod pipe;
mod share;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ironrdp_core::EncodeError;
use soundpost_core::{Clock, Instant};
use soundpost_rdp::mux::{AudioChannelPolicy, Mux, MuxConfig, MuxOutput};
use tokio::io::Interest;
use tokio::sync::watch;
use tokio::time::timeout;

use self::pipe::{BrokenFraming, Gate, Incoming, Outgoing};
use self::share::{Addresses, ClientMessage};
use super::app::SessionApp;
use super::login::Connected;
use super::panel::PanelView;
use crate::event::EventFd;
use crate::sys::watch as watch_fd;

/// How often the panel asks for news while there is some.
const PANEL_PERIOD: Duration = Duration::from_millis(250);
/// How often it asks while nothing has changed and nothing happens: the figures on it may still change.
const PANEL_REST: Duration = Duration::from_secs(2);
/// While so much is waiting to be sent, the client is not read from.
const MAX_PENDING: usize = 128 * 1024;

/// What the sessions of a server have in common.
#[derive(Clone)]
pub(super) struct SessionContext {
    pub(super) policy: AudioChannelPolicy,
    pub(super) clock: Arc<dyn Clock>,
    /// How long a client is given to take the server's goodbye.
    pub(super) goodbye: Duration,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionEnd {
    #[error("the client disconnected")]
    Client,
    #[error("the server ended the session")]
    Server,
    #[error("the connection was lost: {0}")]
    Lost(#[from] io::Error),
    #[error("{0}")]
    Framing(#[from] BrokenFraming),
    #[error("a PDU could not be made: {0}")]
    Encode(#[from] EncodeError),
}

/// Serves a client until one side has had enough. `stop` becomes true when the server ends.
pub(super) async fn serve(
    connected: Connected,
    app: Box<dyn SessionApp>,
    context: &SessionContext,
    stop: watch::Receiver<bool>,
) -> SessionEnd {
    let gate = match Gate::new(connected.stream.get_ref().0) {
        Ok(gate) => gate,
        Err(error) => return error.into(),
    };
    let addresses = Addresses { user_channel: connected.user_channel, io_channel: connected.io_channel };
    let mux = Mux::new(MuxConfig {
        rdpsnd: connected.rdpsnd,
        drdynvc: connected.drdynvc,
        policy: context.policy,
        ..MuxConfig::default()
    });
    let (reading, writing) = tokio::io::split(connected.stream);
    let wakeup = app.wakeup();
    let mut session = Session {
        incoming: Incoming::new(reading, connected.buffered),
        outgoing: Outgoing::new(writing),
        gate,
        state: State {
            addresses,
            mux,
            app,
            clock: Arc::clone(&context.clock),
            pending: Vec::new(),
            panel: connected.desktop.map(PanelView::new),
            panel_wanted: true,
            redraw_wanted: false,
            panel_due: context.clock.now(),
            panel_next: context.clock.now(),
            not_understood: 0,
        },
    };
    let end = session.run(connected.early, &wakeup, stop).await.unwrap_or_else(|end| end);
    if matches!(end, SessionEnd::Server) {
        say_goodbye(addresses, &mut session.incoming, &mut session.outgoing, context.goodbye).await;
    }
    let (mux, not_understood) = (session.state.mux.counters(), session.state.not_understood);
    tracing::debug!(?mux, not_understood, "what was ignored");
    end
}

/// A session that cannot be opened: the client is told, and that is all.
pub(super) async fn turn_away(connected: Connected, context: &SessionContext) {
    let addresses = Addresses { user_channel: connected.user_channel, io_channel: connected.io_channel };
    let (reading, writing) = tokio::io::split(connected.stream);
    let (mut incoming, mut outgoing) = (Incoming::new(reading, Vec::new()), Outgoing::new(writing));
    say_goodbye(addresses, &mut incoming, &mut outgoing, context.goodbye).await;
}

/// Tells the client that the server ends the connection, and gives it that long to take it and to close its side.
async fn say_goodbye(addresses: Addresses, incoming: &mut Incoming, outgoing: &mut Outgoing, within: Duration) {
    let Ok(goodbye) = addresses.goodbye() else { return };
    outgoing.push(&goodbye);
    let taken = async {
        if outgoing.shutdown().await.is_ok() {
            incoming.drain().await;
        }
    };
    if timeout(within, taken).await.is_err() {
        tracing::debug!("the client did not take the goodbye");
    }
}

struct Session {
    incoming: Incoming,
    outgoing: Outgoing,
    gate: Gate,
    state: State,
}

impl Session {
    async fn run(
        &mut self,
        early: Vec<Vec<u8>>,
        wakeup: &EventFd,
        mut stop: watch::Receiver<bool>,
    ) -> Result<SessionEnd, SessionEnd> {
        let awake = watch_fd(duplicate(wakeup)?, Interest::READABLE)?;
        let state = &mut self.state;
        state.mux.start(state.clock.now());
        state.settle_mux()?;
        for pdu in early {
            if state.handle(&pdu)? {
                return Ok(SessionEnd::Client);
            }
        }
        loop {
            while state.pending.len() < MAX_PENDING
                && let Some(pdu) = self.incoming.next_pdu()?
            {
                if state.handle(&pdu)? {
                    return Ok(SessionEnd::Client);
                }
            }
            let now = state.clock.now();
            state.handle_timeouts(now)?;
            let mut gate_closed = false;
            if self.outgoing.is_idle() {
                gate_closed = !self.gate.is_open();
                state.next_output(now, !gate_closed)?;
                self.outgoing.push(&std::mem::take(&mut state.pending));
            }
            let sleep = state.next_timeout(now).saturating_since(now);
            tokio::select! {
                stopped = stop.wait_for(|stop| *stop) => {
                    // An error says that the server itself is gone.
                    drop(stopped);
                    return Ok(SessionEnd::Server);
                }
                driven = self.outgoing.drive(), if !self.outgoing.is_idle() => driven?,
                opened = self.gate.opened(), if gate_closed && self.outgoing.is_idle() => opened?,
                ready = awake.readable() => {
                    let mut ready = ready?;
                    wakeup.take();
                    ready.clear_ready();
                    state.woken(state.clock.now());
                }
                filled = self.incoming.fill(), if state.pending.len() < MAX_PENDING => match filled {
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(SessionEnd::Client),
                    filled => filled?,
                },
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }
}

fn duplicate(event: &EventFd) -> io::Result<std::os::fd::OwnedFd> {
    std::os::fd::AsFd::as_fd(event).try_clone_to_owned()
}

/// A session without its socket.
struct State {
    addresses: Addresses,
    mux: Mux,
    app: Box<dyn SessionApp>,
    clock: Arc<dyn Clock>,
    /// Bytes to be sent next, in their order.
    pending: Vec<u8>,
    panel: Option<PanelView>,
    /// Whether the client shows its desktop at all.
    panel_wanted: bool,
    /// Whether the client asked for all of it anew.
    redraw_wanted: bool,
    /// When the panel asks for news.
    panel_due: Instant,
    /// When it may do so at the earliest, if something happens.
    panel_next: Instant,
    not_understood: u64,
}

impl State {
    /// Acts on one PDU of the client. Answers whether it was the last. What cannot be understood is counted and
    /// ignored: it does not end the session.
    fn handle(&mut self, pdu: &[u8]) -> Result<bool, EncodeError> {
        match self.addresses.read(pdu) {
            Some(ClientMessage::Channel { id, payload }) => {
                self.mux.handle_static(id, &payload, self.clock.now());
                self.settle_mux()?;
                self.hasten_panel();
            }
            Some(ClientMessage::Shutdown) => self.pending.extend(self.addresses.shutdown_denied()?),
            Some(ClientMessage::Display(wanted)) => {
                self.panel_wanted = wanted;
                self.redraw_wanted = true;
                self.hasten_panel();
            }
            Some(ClientMessage::Refresh) => {
                self.redraw_wanted = true;
                self.hasten_panel();
            }
            Some(ClientMessage::Disconnect) => return Ok(true),
            Some(ClientMessage::Nothing) => {}
            None => self.not_understood += 1,
        }
        Ok(false)
    }

    fn handle_timeouts(&mut self, now: Instant) -> Result<(), EncodeError> {
        if self.mux.next_timeout().is_some_and(|due| due <= now) {
            self.mux.handle_timeout(now);
            self.settle_mux()?;
        }
        if self.app.next_timeout().is_some_and(|due| due <= now) {
            self.app.handle_timeout(now);
        }
        if let Some(panel) = self.panel.as_mut().filter(|_| self.panel_wanted && self.panel_due <= now) {
            // At the panel's own pace, however often a client asks: drawing takes time from everybody's sound.
            if std::mem::take(&mut self.redraw_wanted) {
                panel.redraw();
            }
            let news = panel.show(self.app.panel(now));
            self.panel_next = now + PANEL_PERIOD;
            self.panel_due = now + if news { PANEL_PERIOD } else { PANEL_REST };
        }
        Ok(())
    }

    /// The application's event was signalled: it has something to send, perhaps to show.
    fn woken(&mut self, now: Instant) {
        self.app.handle_timeout(now);
        self.hasten_panel();
    }

    fn hasten_panel(&mut self) {
        self.panel_due = self.panel_due.min(self.panel_next);
    }

    fn next_timeout(&self, now: Instant) -> Instant {
        let panel = (self.panel.is_some() && self.panel_wanted).then_some(self.panel_due);
        let due = [self.mux.next_timeout(), self.app.next_timeout(), panel].into_iter().flatten().min();
        // Never at once: an application that is always late would keep the task from anything else.
        due.unwrap_or(now + Duration::from_secs(3600)).max(now + Duration::from_millis(1))
    }

    /// Fills `pending` where it is empty: with sound before pictures, and with either only if the kernel wants more.
    fn next_output(&mut self, now: Instant, gate_open: bool) -> Result<(), EncodeError> {
        if !gate_open || !self.pending.is_empty() {
            return Ok(());
        }
        if self.mux.audio_transport().is_some()
            && let Some(message) = self.app.next_audio(now)
        {
            // Cannot fail: there is a channel. Were it gone, the message would be for nobody.
            if self.mux.send_audio(&message).is_ok() {
                self.settle_mux()?;
            }
            return Ok(());
        }
        if let Some(panel) = self.panel.as_mut().filter(|_| self.panel_wanted) {
            self.pending.extend(panel.next_update()?.unwrap_or_default());
        }
        Ok(())
    }

    fn settle_mux(&mut self) -> Result<(), EncodeError> {
        while let Some(output) = self.mux.poll_output() {
            let now = self.clock.now();
            match output {
                MuxOutput::Send { channel_id, bytes } => {
                    self.pending.extend(self.addresses.indication(channel_id, &bytes)?);
                }
                MuxOutput::AudioOpen(transport) => {
                    tracing::info!(?transport, "audio channel open");
                    self.app.audio_opened(transport, now);
                }
                MuxOutput::AudioData(message) => self.app.audio_received(message, now),
                MuxOutput::AudioClosed => {
                    tracing::info!("audio channel closed");
                    self.app.audio_closed(now);
                }
                MuxOutput::AudioUnavailable(why) => {
                    tracing::warn!(%why, "no audio channel");
                    self.app.audio_unavailable(why, now);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use soundpost_rdp::mux::{AudioTransport, AudioUnavailable};

    use super::super::login::{Depth, Desktop};
    use super::super::panel::PanelState;
    use super::*;

    struct Origin;

    impl Clock for Origin {
        fn now(&self) -> Instant {
            Instant::ORIGIN
        }
    }

    /// Shows nothing new, but for a detail that changes where `lively`, and counts how often it is asked.
    struct App {
        asked: Arc<std::sync::atomic::AtomicU64>,
        lively: bool,
    }

    impl SessionApp for App {
        fn wakeup(&self) -> Arc<EventFd> {
            Arc::new(EventFd::new().unwrap())
        }
        fn audio_opened(&mut self, _transport: AudioTransport, _now: Instant) {}
        fn audio_received(&mut self, _message: Vec<u8>, _now: Instant) {}
        fn audio_closed(&mut self, _now: Instant) {}
        fn audio_unavailable(&mut self, _why: AudioUnavailable, _now: Instant) {}
        fn next_audio(&mut self, _now: Instant) -> Option<Vec<u8>> {
            None
        }
        fn next_timeout(&self) -> Option<Instant> {
            None
        }
        fn handle_timeout(&mut self, _now: Instant) {}
        fn panel(&mut self, now: Instant) -> PanelState {
            self.asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let detail = if self.lively { now.as_nanos().to_string() } else { String::new() };
            PanelState { detail, ..PanelState::default() }
        }
    }

    /// How often a panel asks for news in a minute, with a signal of the application every 10 ms where it is `noisy`.
    fn asked_in_a_minute(lively: bool, noisy: bool) -> u64 {
        let asked = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let mut state = State {
            addresses: Addresses { user_channel: 1002, io_channel: 1003 },
            mux: Mux::new(MuxConfig::default()),
            app: Box::new(App { asked: asked.clone(), lively }),
            clock: Arc::new(Origin),
            pending: Vec::new(),
            panel: Some(PanelView::new(Desktop { width: 64, height: 64, depth: Depth::Bits32 })),
            panel_wanted: true,
            redraw_wanted: false,
            panel_due: Instant::ORIGIN,
            panel_next: Instant::ORIGIN,
            not_understood: 0,
        };
        let mut now = Instant::ORIGIN;
        while now < Instant::ORIGIN + Duration::from_secs(60) {
            state.handle_timeouts(now).unwrap();
            let due = state.next_timeout(now);
            now = if noisy { due.min(now + Duration::from_millis(10)) } else { due };
            if noisy {
                state.woken(now);
            }
        }
        asked.load(std::sync::atomic::Ordering::Relaxed)
    }

    #[test]
    fn a_panel_asks_four_times_a_second_while_something_happens_and_rests_otherwise() {
        assert_eq!(asked_in_a_minute(true, false), 240);
        assert_eq!(asked_in_a_minute(false, true), 240);
        assert!(asked_in_a_minute(false, false) <= 32);
    }
}
