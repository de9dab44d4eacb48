//! The RDP server: a listening socket, and one task for each connection.

use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use soundpost_core::Clock;
use soundpost_rdp::mux::AudioChannelPolicy;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::accounts::Accounts;
use super::admission::{Admission, AdmissionConfig, Place};
use super::app::{Peer, Sessions};
use super::certificate::ServerCertificate;
use super::login::{self, Connected, LoginContext, LoginError, Security};
use super::session::{self, SessionContext};
use super::throttle::{Throttle, ThrottleConfig};

/// The settings of a [`Server`].
pub struct ServerConfig {
    /// How clients prove who they are.
    pub security: Security,
    /// What the server shows for itself.
    pub certificate: ServerCertificate,
    /// Who may log in.
    pub accounts: Accounts,
    /// By which channel audio may travel.
    pub audio_channel: AudioChannelPolicy,
    /// How long a client may take from its first byte to the end of the connection sequence.
    pub login_time: Duration,
    /// How many connections may wait for their login.
    pub admission: AdmissionConfig,
    /// How wrong passwords are slowed down.
    pub throttle: ThrottleConfig,
    /// While the kernel holds this many bytes that it has not sent yet, no more are given to it (TCP_NOTSENT_LOWAT).
    /// Too little costs processor time, too much is sound that nothing can take back: 16 KiB are 85 ms at 48 kHz,
    /// 16 bit, stereo, and the kernel asks for more at half of that.
    pub unsent_limit: u32,
    /// How long clients are given to take the server's goodbye.
    pub goodbye: Duration,
    /// The clock, CLOCK_MONOTONIC outside of tests.
    pub clock: Arc<dyn Clock>,
}

impl ServerConfig {
    /// The defaults, with what has none.
    #[must_use]
    pub fn new(certificate: ServerCertificate, accounts: Accounts) -> Self {
        Self {
            security: Security::NlaOrTls,
            certificate,
            accounts,
            audio_channel: AudioChannelPolicy::Auto,
            login_time: Duration::from_secs(15),
            admission: AdmissionConfig::default(),
            throttle: ThrottleConfig::default(),
            unsent_limit: 16 * 1024,
            goodbye: Duration::from_secs(2),
            clock: Arc::new(crate::clock::MonotonicClock),
        }
    }
}

/// The server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else has the port.
    #[error("{0} is in use: end the program that listens there, or choose another port")]
    InUse(SocketAddr),
    /// The system does not allow it.
    #[error("this user may not listen on {0}: choose a port from 1024 on, or grant CAP_NET_BIND_SERVICE")]
    NotPermitted(SocketAddr),
    /// No interface has the address.
    #[error("{0} is not an address of this machine: give one that it has, or 0.0.0.0 or [::] for all")]
    NoSuchAddress(SocketAddr),
    /// Something else.
    #[error("cannot listen on {address}: {source}")]
    Other {
        /// Where.
        address: SocketAddr,
        /// The system's word for it.
        source: io::Error,
    },
}

/// A socket that listens. Made before anything else is started, so that a port in use ends the start early.
#[derive(Debug)]
pub struct Listener {
    socket: std::net::TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Listens on `address`; port 0 takes any that is free.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let listen = || -> io::Result<Self> {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
            // A restart need not wait for the connections of the last run to be forgotten.
            socket.set_reuse_address(true)?;
            socket.set_nonblocking(true)?;
            socket.bind(&address.into())?;
            socket.listen(1024)?;
            let socket = std::net::TcpListener::from(socket);
            let address = socket.local_addr()?;
            Ok(Self { socket, address })
        };
        listen().map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse(address),
            io::ErrorKind::PermissionDenied => BindError::NotPermitted(address),
            io::ErrorKind::AddrNotAvailable => BindError::NoSuchAddress(address),
            _ => BindError::Other { address, source },
        })
    }

    /// Where it listens, with the port that was chosen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A running server. Dropped, it ends its connections without a word; [`stop`](Self::stop) tells them.
#[derive(Debug)]
pub struct Server {
    stop: watch::Sender<bool>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Starts to serve. To be called within a tokio runtime, on which everything then runs.
    ///
    /// # Errors
    /// The system's, where the socket cannot be watched.
    pub fn start(listener: Listener, config: ServerConfig, sessions: Arc<dyn Sessions>) -> io::Result<Self> {
        let socket = TcpListener::from_std(listener.socket)?;
        let (stop, stopped) = watch::channel(false);
        let shared = Arc::new(Shared {
            admission: Admission::new(config.admission),
            login_time: config.login_time,
            unsent_limit: config.unsent_limit,
            login: LoginContext {
                security: config.security,
                certificate: config.certificate,
                accounts: Arc::new(config.accounts),
                throttle: Mutex::new(Throttle::new(config.throttle)),
                clock: Arc::clone(&config.clock),
            },
            session: SessionContext { policy: config.audio_channel, clock: config.clock, goodbye: config.goodbye },
            sessions,
        });
        tracing::info!(address = %listener.address, "RDP server listens");
        let accepting = tokio::spawn(accept(socket, shared, stopped));
        Ok(Self { stop, accepting })
    }

    /// Takes no more connections, tells the clients, and ends when the last one is closed:
    /// [`ServerConfig::goodbye`] later at most.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        // A panic of the accepting task has been logged where it happened; there is nothing left to stop then.
        let _ = self.accepting.await;
    }
}

struct Shared {
    admission: Arc<Admission>,
    login_time: Duration,
    unsent_limit: u32,
    login: LoginContext,
    session: SessionContext,
    sessions: Arc<dyn Sessions>,
}

async fn accept(socket: TcpListener, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut next = 1_u64;
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((tcp, peer)) => {
                let place = shared.admission.enter(next, peer.ip());
                let span = tracing::info_span!("rdp", connection = next, %peer);
                let connection = connect(tcp, peer, next, place, Arc::clone(&shared), stop.clone());
                connections.spawn(isolated(connection).instrument(span));
                next += 1;
            }
            Err(error) => {
                // A connection that was gone already, or no descriptors left. In the latter case trying again at once
                // would only keep a processor busy.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(socket);
    while connections.join_next().await.is_some() {}
}

/// A panic in a connection ends that connection.
async fn isolated(connection: impl Future<Output = ()>) {
    let mut connection = std::pin::pin!(connection);
    std::future::poll_fn(|context| {
        std::panic::catch_unwind(AssertUnwindSafe(|| connection.as_mut().poll(context))).unwrap_or_else(|_| {
            tracing::error!("a connection panicked and was ended; the others are not affected");
            std::task::Poll::Ready(())
        })
    })
    .await;
}

async fn connect(
    tcp: TcpStream,
    peer: SocketAddr,
    id: u64,
    place: Place,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    if let Err(error) = prepare(&tcp, shared.unsent_limit) {
        tracing::warn!(%error, "cannot set up the socket");
        return;
    }
    let login = login::log_in(tcp, peer.ip(), &shared.login, &place);
    let outcome = tokio::select! {
        outcome = tokio::time::timeout(shared.login_time, login) => outcome,
        () = place.evicted() => {
            tracing::debug!("closed before login: too many connections, and this one was the oldest idle one");
            return;
        }
        _ = stop.wait_for(|stop| *stop) => return,
    };
    drop(place);
    match outcome {
        Ok(Ok(connected)) => {
            let peer = Peer { connection: id, address: peer, client_name: connected.client_name.clone() };
            serve(connected, &peer, &shared, stop).await;
        }
        Ok(Err(LoginError::Denied { user })) => tracing::warn!(user, "login denied"),
        Ok(Err(error)) => tracing::debug!(%error, "closed before login"),
        Err(_) => tracing::debug!("closed before login: it took too long"),
    }
}

async fn serve(connected: Connected, peer: &Peer, shared: &Shared, stop: watch::Receiver<bool>) {
    let login = connected.login.clone();
    tracing::info!(
        user = login.user,
        session = login.session,
        client = peer.client_name,
        nla = connected.nla,
        desktop = ?connected.desktop,
        rdpsnd = connected.rdpsnd.is_some(),
        drdynvc = connected.drdynvc.is_some(),
        "logged in"
    );
    match shared.sessions.open(&login, peer) {
        Ok(app) => {
            let end = session::serve(connected, app, &shared.session, stop).await;
            tracing::info!(user = login.user, session = login.session, %end, "session over");
        }
        Err(refused) => {
            tracing::warn!(user = login.user, session = login.session, %refused, "session refused");
            session::turn_away(connected, &shared.session).await;
        }
    }
}

fn prepare(tcp: &TcpStream, unsent_limit: u32) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    socket.set_tcp_notsent_lowat(unsent_limit)?;
    // Finds machines that are gone. One that is there but does not read answers, and may take all the time it wants.
    socket.set_tcp_keepalive(
        &TcpKeepalive::new().with_time(Duration::from_secs(120)).with_interval(Duration::from_secs(30)).with_retries(4),
    )
}
