//! From a socket to a session.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use ironrdp_connector::sspi::generator::NetworkRequest;
use ironrdp_connector::{
    ClientConnector, Config, ConnectionOutcome, ConnectionResult, ConnectorError, ConnectorErrorExt as _,
    ConnectorResult, Credentials, DesktopSize, Sequence as _, ServerName,
};
use ironrdp_core::WriteBuf;
use ironrdp_pdu::gcc::{ChannelName, ConnectionType, KeyboardType};
use ironrdp_pdu::rdp::capability_sets::{MajorPlatformType, RailSupportLevel};
use ironrdp_pdu::rdp::client_info::{PerformanceFlags, TimezoneInfo};
use ironrdp_pdu::rdp::session_info::ServerAutoReconnect;
use ironrdp_svc::{SvcClientProcessor, SvcMessage, SvcProcessor};
use ironrdp_tls::CertificateValidation;
use ironrdp_tokio::{Framed, LocalTokioFramed, NetworkClient};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};

use super::{ClientChannels, ClientError, ClientSecurity, Options};

pub(super) type TlsStream = ironrdp_tls::TlsStream<Glued>;

pub(super) struct Connected {
    pub(super) stream: TlsStream,
    pub(super) buffered: Vec<u8>,
    pub(super) local: SocketAddr,
    pub(super) user_channel: u16,
    pub(super) io_channel: u16,
    pub(super) rdpsnd: Option<u16>,
    pub(super) drdynvc: Option<u16>,
}

impl From<ConnectorError> for ClientError {
    fn from(error: ConnectorError) -> Self {
        Self::Refused(error.report().to_string())
    }
}

pub(super) async fn connect(options: &Options) -> Result<Connected, ClientError> {
    let tcp = open(options).await?;
    let local = tcp.local_addr()?;
    let mut connector = connector(options, local);

    let mut output = WriteBuf::new();
    connector.step_no_input(&mut output)?;
    let request = output.filled().to_vec();
    let mut stream = Glued { tcp, prefix: Vec::new(), confirm: None };
    if options.glued_hello {
        // The answer to it is taken out of the stream before TLS sees it.
        stream.prefix = request;
        stream.confirm = Some(Vec::new());
    } else {
        stream.tcp.write_all(&request).await?;
        let confirm = read_tpkt(&mut stream.tcp).await?;
        output.clear();
        connector.step(&confirm, None, &mut output)?;
    }

    let validation = CertificateValidation::DangerouslyAcceptInvalidCertificate;
    let (tls, certificate) = ironrdp_tls::upgrade_with_certificate_validation(stream, "localhost", validation).await?;
    if let Some(confirm) = &tls.get_ref().0.confirm {
        output.clear();
        connector.step(confirm, None, &mut output)?;
    }
    if !connector.should_perform_security_upgrade() {
        return Err(ClientError::Refused("the server does not go on with TLS".into()));
    }
    let public_key = ironrdp_tls::extract_tls_server_public_key(&certificate)
        .ok_or_else(|| ClientError::Refused("a certificate without a key".into()))?
        .to_vec();
    let upgraded = ironrdp_tokio::mark_as_upgraded(ironrdp_tokio::skip_connect_begin(&mut connector), &mut connector);
    let mut framed: LocalTokioFramed<TlsStream> = Framed::new(tls);
    let outcome = ironrdp_tokio::connect_finalize(
        upgraded,
        connector,
        &mut framed,
        &mut NoNetwork,
        ServerName::new("localhost"),
        public_key,
        None,
    )
    .await?;
    let ConnectionOutcome::Connected(result) = outcome else {
        return Err(ClientError::Refused("redirected".into()));
    };
    Ok(finish(framed, local, &result))
}

fn finish(framed: LocalTokioFramed<TlsStream>, local: SocketAddr, result: &ConnectionResult) -> Connected {
    let channel = |name: &[u8; 8]| result.static_channels.get_channel_id_by_channel_name(&ChannelName::new(*name));
    let (rdpsnd, drdynvc) = (channel(RDPSND), channel(DRDYNVC));
    let (stream, buffered) = framed.into_inner();
    Connected {
        stream,
        buffered: buffered.to_vec(),
        local,
        user_channel: result.user_channel_id,
        io_channel: result.io_channel_id,
        rdpsnd,
        drdynvc,
    }
}

async fn open(options: &Options) -> io::Result<TcpStream> {
    let socket = if options.server.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(from) = options.from {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    if let Some(size) = options.receive_buffer {
        socket.set_recv_buffer_size(u32::try_from(size).unwrap_or(u32::MAX))?;
    }
    let tcp = socket.connect(options.server).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

async fn read_tpkt(tcp: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    tcp.read_exact(&mut bytes).await?;
    let length = tpkt_length(&bytes).unwrap_or(4).max(4);
    bytes.resize(length, 0);
    tcp.read_exact(bytes.get_mut(4..).unwrap_or_default()).await?;
    Ok(bytes)
}

fn tpkt_length(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [_, _, high, low, ..] => Some(usize::from(u16::from_be_bytes([*high, *low]))),
        _ => None,
    }
}

fn connector(options: &Options, local: SocketAddr) -> ClientConnector {
    let mut connector = ClientConnector::new(config(options), local);
    if options.invented_cookie {
        connector = connector.with_auto_reconnect_cookie(ServerAutoReconnect { logon_id: 1, random_bits: [0x5a; 16] });
    }
    let (with_static, with_dynamic) = match options.channels {
        ClientChannels::Static => (true, false),
        ClientChannels::Dynamic => (false, true),
        ClientChannels::Both | ClientChannels::RefusesDynamic => (true, true),
        ClientChannels::None => (false, false),
    };
    if with_static {
        connector.attach_static_channel(Rdpsnd);
    }
    if with_dynamic {
        connector.attach_static_channel(Drdynvc);
    }
    connector
}

fn config(options: &Options) -> Config {
    Config {
        desktop_size: DesktopSize { width: options.desktop.0, height: options.desktop.1 },
        monitor_layout: None,
        desktop_scale_factor: 0,
        desktop_physical_size: None,
        desktop_orientation: None,
        device_scale_factor: None,
        monitor_extended_layout: None,
        relative_mouse_input: false,
        enable_tls: matches!(options.security, ClientSecurity::Tls | ClientSecurity::Both),
        enable_credssp: matches!(options.security, ClientSecurity::Nla | ClientSecurity::Both),
        enable_standard_rdp_security: false,
        credentials: Credentials::UsernamePassword {
            username: options.user.clone(),
            password: options.password.clone(),
        },
        domain: None,
        client_build: 0,
        client_name: "scripted".into(),
        keyboard_type: KeyboardType::IBM_ENHANCED,
        keyboard_subtype: 0,
        keyboard_functional_keys_count: 12,
        keyboard_layout: 0,
        connection_type: ConnectionType::Lan,
        ime_file_name: String::new(),
        bitmap: None,
        dig_product_id: String::new(),
        client_dir: String::new(),
        alternate_shell: String::new(),
        work_dir: String::new(),
        remote_application_mode: false,
        rail_support_level: RailSupportLevel::empty(),
        platform: MajorPlatformType::UNIX,
        hardware_id: None,
        request_data: None,
        autologon: true,
        enable_audio_playback: true,
        enable_audio_capture: false,
        performance_flags: PerformanceFlags::default(),
        license_cache: None,
        timezone_info: TimezoneInfo::default(),
        compression_type: None,
        enable_server_pointer: false,
        pointer_software_rendering: false,
        multitransport_flags: None,
        support_dyn_vc_gfx_protocol: false,
    }
}

/// Nothing here ever asks a Kerberos server.
struct NoNetwork;

impl NetworkClient for NoNetwork {
    async fn send(&mut self, _request: &NetworkRequest) -> ConnectorResult<Vec<u8>> {
        Err(ConnectorError::general("the scripted client has no Kerberos"))
    }
}

const RDPSND: &[u8; 8] = b"rdpsnd\0\0";
const DRDYNVC: &[u8; 8] = b"drdynvc\0";

/// Has the connector join `rdpsnd`.
#[derive(Debug)]
struct Rdpsnd;

/// Has the connector join `drdynvc`.
#[derive(Debug)]
struct Drdynvc;

ironrdp_core::impl_as_any!(Rdpsnd);
ironrdp_core::impl_as_any!(Drdynvc);
impl SvcClientProcessor for Rdpsnd {}
impl SvcClientProcessor for Drdynvc {}

impl SvcProcessor for Rdpsnd {
    fn channel_name(&self) -> ChannelName {
        ChannelName::from_static(RDPSND)
    }

    fn process(&mut self, _payload: &[u8]) -> ironrdp_pdu::PduResult<Vec<SvcMessage>> {
        Ok(Vec::new())
    }
}

impl SvcProcessor for Drdynvc {
    fn channel_name(&self) -> ChannelName {
        ChannelName::from_static(DRDYNVC)
    }

    fn process(&mut self, _payload: &[u8]) -> ironrdp_pdu::PduResult<Vec<SvcMessage>> {
        Ok(Vec::new())
    }
}

/// A socket that sends something ahead of its first bytes, in one segment with them, and takes the answer to that out
/// of what comes back.
#[derive(Debug)]
pub(super) struct Glued {
    tcp: TcpStream,
    prefix: Vec<u8>,
    /// None where nothing is taken out.
    confirm: Option<Vec<u8>>,
}

impl AsyncWrite for Glued {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.tcp).poll_write(cx, bytes);
        }
        let whole = [self.prefix.as_slice(), bytes].concat();
        match Pin::new(&mut self.tcp).poll_write(cx, &whole) {
            Poll::Ready(Ok(count)) if count == whole.len() => {
                self.prefix.clear();
                Poll::Ready(Ok(bytes.len()))
            }
            // So little always fits into an empty send buffer.
            Poll::Ready(Ok(_)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            other => other,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

impl AsyncRead for Glued {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while let Some(confirm) = &mut this.confirm {
            let missing = tpkt_length(confirm).unwrap_or(4).saturating_sub(confirm.len());
            if missing == 0 && confirm.len() >= 4 {
                break;
            }
            let mut bytes = vec![0; missing.max(1)];
            let mut part = ReadBuf::new(&mut bytes);
            match Pin::new(&mut this.tcp).poll_read(cx, &mut part) {
                Poll::Ready(Ok(())) if part.filled().is_empty() => {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                Poll::Ready(Ok(())) => confirm.extend_from_slice(part.filled()),
                other => return other,
            }
        }
        Pin::new(&mut this.tcp).poll_read(cx, buffer)
    }
}
