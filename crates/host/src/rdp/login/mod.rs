//! From the first byte to a client that may be served: X.224, TLS, the login, MCS, capabilities.
//!
//! The protocol's steps are `ironrdp-acceptor`'s; what surrounds them is ours, for two reasons. The user is looked up
//! in a table of many, under NLA too. And credentials are checked whatever else the client sends: the acceptor's own
//! driver skips the check for a client that brings an auto-reconnect cookie. This server hands out no such cookies, so
//! one that turns up was invented, and counts for nothing.

mod capabilities;
mod credssp;
mod framed;

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ironrdp_acceptor::{Acceptor, AcceptorResult, AcceptorState};
use ironrdp_connector::{ConnectorError, Sequence, state_downcast};
use ironrdp_core::{WriteBuf, decode};
use ironrdp_pdu::gcc::{ChannelName, ChannelOptions};
use ironrdp_pdu::mcs::{ConnectInitial, SendDataRequest};
use ironrdp_pdu::nego::SecurityProtocol;
use ironrdp_pdu::rdp::ClientInfoPdu;
use ironrdp_pdu::rdp::client_info::Credentials;
use ironrdp_pdu::x224::{X224, X224Data};
use ironrdp_svc::{SvcMessage, SvcProcessor, SvcServerProcessor};
use soundpost_core::{Clock, Instant};
use soundpost_rdp::mux::StaticChannel;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub(super) use self::capabilities::{Depth, Desktop};
use self::framed::Framed;
use super::accounts::{Accounts, Login, account_name};
use super::admission::{Place, Stage};
use super::certificate::ServerCertificate;
use super::throttle::Throttle;

/// How a client proves who it is. At least one of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// CredSSP inside TLS: the password never reaches a server that does not know it already.
    Nla,
    /// TLS; the password comes in the Client Info PDU.
    Tls,
    /// NLA for clients that can, TLS for the others.
    NlaOrTls,
}

impl Security {
    fn protocols(self) -> SecurityProtocol {
        let nla = SecurityProtocol::HYBRID | SecurityProtocol::HYBRID_EX;
        match self {
            Self::Nla => nla,
            Self::Tls => SecurityProtocol::SSL,
            Self::NlaOrTls => nla | SecurityProtocol::SSL,
        }
    }
}

/// Why a connection ended before its login was complete.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoginError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("not RDP: {0}")]
    Malformed(String),
    #[error("{0}")]
    Sequence(#[source] ConnectorError, String),
    #[error("wrong user or password for {user:?}")]
    Denied { user: String },
    #[error("the client sent no credentials")]
    NoCredentials,
}

impl From<ConnectorError> for LoginError {
    fn from(error: ConnectorError) -> Self {
        let text = error.report().to_string();
        Self::Sequence(error, text)
    }
}

/// What every login needs. Any thread.
pub(super) struct LoginContext {
    pub(super) security: Security,
    pub(super) certificate: ServerCertificate,
    pub(super) accounts: Arc<Accounts>,
    pub(super) throttle: Mutex<Throttle>,
    pub(super) clock: Arc<dyn Clock>,
}

impl LoginContext {
    /// Waits as long as an attempt has to wait, and counts it where it is not `right`. Answers whether it may be
    /// answered by what it was; else it is to be refused.
    async fn slow_down(&self, address: IpAddr, user: &str, right: bool) -> bool {
        let now: Instant = self.clock.now();
        let wait = self.throttle.lock().unwrap_or_else(PoisonError::into_inner).attempt(now, address, user, right);
        match wait {
            Some(Duration::ZERO) => true,
            Some(wait) => {
                tracing::debug!(?wait, "slowed down");
                tokio::time::sleep(wait).await;
                true
            }
            None => {
                tracing::debug!("refused unchecked: too many attempts of this address are waiting");
                false
            }
        }
    }
}

/// A client that is logged in and ready for its channels.
pub(super) struct Connected {
    pub(super) stream: TlsStream<TcpStream>,
    /// Read from the stream already.
    pub(super) buffered: Vec<u8>,
    /// Whole PDUs that came while the connection sequence was still under way.
    pub(super) early: Vec<Vec<u8>>,
    pub(super) login: Login,
    /// The name that the client gives itself, made safe to show.
    pub(super) client_name: String,
    pub(super) nla: bool,
    /// The server's own MCS user, from which indications come.
    pub(super) user_channel: u16,
    pub(super) io_channel: u16,
    pub(super) rdpsnd: Option<StaticChannel>,
    pub(super) drdynvc: Option<StaticChannel>,
    /// None for a client that takes no bitmap this server can make.
    pub(super) desktop: Option<Desktop>,
}

/// Takes a connection through to a login, or to the reason why not. The caller bounds the time.
pub(super) async fn log_in(
    mut tcp: TcpStream,
    address: IpAddr,
    context: &LoginContext,
    place: &Place,
) -> Result<Connected, LoginError> {
    let mut acceptor =
        Acceptor::new(context.security.protocols(), capabilities::FALLBACK_DESKTOP, capabilities::server(), None);
    acceptor.set_honor_client_desktop_size(Some(capabilities::LARGEST_DESKTOP));
    for name in [RDPSND, DRDYNVC] {
        acceptor.attach_dynamic_static_channel(Marker(name));
    }

    negotiate(&mut tcp, &mut acceptor).await?;
    place.reached(Stage::Negotiating);

    // The X.224 request was read to its last byte and no further, so a client that sent its ClientHello right behind
    // it, in the same segment even, has it read from here on.
    let tls = TlsAcceptor::from(Arc::clone(&context.certificate.tls)).accept(tcp).await?;
    acceptor.mark_security_upgrade_as_done();
    place.reached(Stage::Encrypted);

    let mut framed = Framed::new(tls);
    let outcome = secured(&mut framed, &mut acceptor, address, context).await;
    if let Err(LoginError::Denied { .. } | LoginError::Sequence(..)) = outcome {
        framed.close().await;
    }
    let (result, seen) = outcome?;
    // Fails closed: whichever way the sequence came to its end, nobody is served who was not checked.
    let login = seen.login.ok_or(LoginError::NoCredentials)?;
    let (stream, buffered) = framed.into_parts();
    let channel = |name: ChannelName, show_protocol| {
        let id = result.static_channels.get_channel_id_by_channel_name(&name)?;
        Some(StaticChannel { id, show_protocol })
    };
    Ok(Connected {
        stream,
        buffered,
        login,
        client_name: seen.client_name,
        nla: seen.nla,
        user_channel: result.user_channel_id,
        io_channel: result.io_channel_id,
        rdpsnd: channel(RDPSND, seen.rdpsnd_shows_protocol),
        drdynvc: channel(DRDYNVC, seen.drdynvc_shows_protocol),
        desktop: Desktop::resolve(&result.capabilities),
        early: result.input_events,
    })
}

/// The X.224 connection request, and its answer.
async fn negotiate(tcp: &mut TcpStream, acceptor: &mut Acceptor) -> Result<(), LoginError> {
    let mut header = [0; 4];
    tcp.read_exact(&mut header).await?;
    let [version, _, high, low] = header;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if version != 3 || !(7..=MAX_CONNECTION_REQUEST).contains(&length) {
        return Err(LoginError::Malformed(format!("a connection that begins with {header:02x?}")));
    }
    let mut request = vec![0; length];
    let (start, rest) = request.split_at_mut(header.len());
    start.copy_from_slice(&header);
    tcp.read_exact(rest).await?;

    let mut output = WriteBuf::new();
    acceptor.step(&request, None, &mut output)?;
    while acceptor.reached_security_upgrade().is_none() {
        let step = acceptor.step_no_input(&mut output);
        // Where the client cannot do what is asked for, the step fails and there is an answer that says so.
        tokio::io::AsyncWriteExt::write_all(tcp, output.filled()).await?;
        output.clear();
        step?;
    }
    Ok(())
}

/// The longest X.224 connection request with its cookie or routing token (MS-RDPBCGR 2.2.1.1).
const MAX_CONNECTION_REQUEST: usize = 4096;

/// What was learnt on the way.
#[derive(Debug, Default)]
struct Seen {
    nla: bool,
    login: Option<Login>,
    client_name: String,
    rdpsnd_shows_protocol: bool,
    drdynvc_shows_protocol: bool,
}

/// Everything that happens inside TLS.
async fn secured(
    framed: &mut Framed<TlsStream<TcpStream>>,
    acceptor: &mut Acceptor,
    address: IpAddr,
    context: &LoginContext,
) -> Result<(AcceptorResult, Seen), LoginError> {
    let mut seen = Seen::default();
    if let Some(AcceptorState::Credssp { protocol, .. }) = state_downcast::<AcceptorState>(acceptor.state()) {
        let early_result = protocol.intersects(SecurityProtocol::HYBRID_EX);
        seen.nla = true;
        seen.login = Some(credssp::accept(framed, context, address, early_result).await?);
        acceptor.mark_credssp_as_done();
    }
    let mut output = WriteBuf::new();
    loop {
        if let Some(result) = acceptor.get_result() {
            return Ok((result, seen));
        }
        output.clear();
        let step = match acceptor.next_pdu_hint() {
            Some(hint) => {
                let pdu = framed.read(hint).await?;
                match state_downcast::<AcceptorState>(acceptor.state()) {
                    Some(AcceptorState::BasicSettingsWaitInitial { .. }) => seen.client_data(&pdu),
                    Some(AcceptorState::SecureSettingsExchange { .. }) if seen.login.is_none() => {
                        let credentials = client_info(&pdu)?;
                        match check(&credentials, address, context).await {
                            Some(login) => seen.login = Some(login),
                            None => {
                                acceptor.encode_access_denied(&mut output)?;
                                framed.write(output.filled()).await?;
                                let user = account_name(&credentials.username).to_owned();
                                return Err(LoginError::Denied { user });
                            }
                        }
                    }
                    _ => {}
                }
                acceptor.step(&pdu, None, &mut output)
            }
            None => acceptor.step_no_input(&mut output),
        };
        if !output.filled().is_empty() {
            framed.write(output.filled()).await?;
        }
        step?;
    }
}

/// Checks what a client without NLA says about itself, cookie or no cookie.
async fn check(credentials: &Credentials, address: IpAddr, context: &LoginContext) -> Option<Login> {
    let login = context.accounts.check(&credentials.username, &credentials.password);
    let admitted = context.slow_down(address, account_name(&credentials.username), login.is_some()).await;
    login.filter(|_| admitted)
}

fn client_info(pdu: &[u8]) -> Result<Credentials, LoginError> {
    let malformed = |error: ironrdp_core::DecodeError| LoginError::Malformed(error.to_string());
    let X224(data) = decode::<X224<SendDataRequest<'_>>>(pdu).map_err(malformed)?;
    let info = decode::<ClientInfoPdu>(&data.user_data).map_err(malformed)?;
    Ok(info.client_info.credentials)
}

impl Seen {
    /// Notes the client's name, and which channels want CHANNEL_FLAG_SHOW_PROTOCOL. A PDU that cannot be decoded is the acceptor's to refuse.
    fn client_data(&mut self, pdu: &[u8]) {
        let Ok(X224(data)) = decode::<X224<X224Data<'_>>>(pdu) else { return };
        let Ok(initial) = decode::<ConnectInitial>(&data.data) else { return };
        let blocks = initial.conference_create_request.into_gcc_blocks();
        self.client_name = printable(&blocks.core.client_name);
        let Some(network) = blocks.network else { return };
        for channel in network.channels {
            let shows = channel.options.contains(ChannelOptions::SHOW_PROTOCOL);
            if channel.name == RDPSND {
                self.rdpsnd_shows_protocol = shows;
            } else if channel.name == DRDYNVC {
                self.drdynvc_shows_protocol = shows;
            }
        }
    }
}

/// A name from outside, fit for a log and a terminal: at most 15 letters, digits and the like (MS-RDPBCGR 2.2.1.3.2).
fn printable(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric() || "-_. ".contains(*c)).take(15).collect::<String>().trim().to_owned()
}

const RDPSND: ChannelName = ChannelName::from_static(b"rdpsnd\0\0");
const DRDYNVC: ChannelName = ChannelName::from_static(b"drdynvc\0");

/// Has the acceptor join a channel under this name; the channel's data are [`Mux`](soundpost_rdp::mux::Mux)'s.
#[derive(Debug)]
struct Marker(ChannelName);

impl SvcProcessor for Marker {
    fn channel_name(&self) -> ChannelName {
        self.0.clone()
    }

    fn process(&mut self, _payload: &[u8]) -> ironrdp_pdu::PduResult<Vec<SvcMessage>> {
        Ok(Vec::new())
    }
}

impl SvcServerProcessor for Marker {}

ironrdp_core::impl_as_any!(Marker);

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn a_clients_name_is_made_safe_to_show() {
        assert_eq!(printable("LAPTOP-7"), "LAPTOP-7");
        assert_eq!(printable("\u{1b}[31mred\n\0"), "31mred");
        assert_eq!(printable(&"x".repeat(1000)), "x".repeat(15));
    }
}
