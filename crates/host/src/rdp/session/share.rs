//! The PDUs of a session outside its virtual channels: what the client says, and what it is told.

use std::borrow::Cow;

use ironrdp_core::{EncodeResult, decode, encode_vec};
use ironrdp_pdu::mcs::{DisconnectProviderUltimatum, DisconnectReason, McsMessage, SendDataIndication};
use ironrdp_pdu::rdp::client_info::CompressionType;
use ironrdp_pdu::rdp::headers::{
    CompressionFlags, ShareControlHeader, ShareControlPdu, ShareDataHeader, ShareDataPdu, StreamPriority,
};
use ironrdp_pdu::rdp::server_error_info::{ErrorInfo, ProtocolIndependentCode, ServerSetErrorInfoPdu};
use ironrdp_pdu::x224::X224;

/// What a client's PDU asks of the session.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClientMessage<'a> {
    /// Data on a static virtual channel.
    Channel { id: u16, payload: Cow<'a, [u8]> },
    /// The user closed the window.
    Shutdown,
    /// The client wants, or does not want, to see updates of its desktop.
    Display(bool),
    /// The client wants its desktop drawn again.
    Refresh,
    /// The client is gone.
    Disconnect,
    /// Input, or something else that means nothing to this server.
    Nothing,
}

/// The MCS addresses of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    pub(super) user_channel: u16,
    pub(super) io_channel: u16,
}

impl Addresses {
    /// What `frame`, a TPKT, says; none where it cannot be understood.
    pub(super) fn read<'a>(&self, frame: &'a [u8]) -> Option<ClientMessage<'a>> {
        let X224(message) = decode::<X224<McsMessage<'a>>>(frame).ok()?;
        match message {
            McsMessage::SendDataRequest(data) if data.channel_id == self.io_channel => {
                let share = decode::<ShareControlHeader>(&data.user_data).ok()?;
                Some(match share.share_control_pdu {
                    ShareControlPdu::Data(data) => match data.share_data_pdu {
                        ShareDataPdu::ShutdownRequest => ClientMessage::Shutdown,
                        // Without a rectangle it says that nothing is to be seen.
                        ShareDataPdu::SuppressOutput(pdu) => ClientMessage::Display(pdu.desktop_rect.is_some()),
                        ShareDataPdu::RefreshRectangle(_) => ClientMessage::Refresh,
                        _ => ClientMessage::Nothing,
                    },
                    _ => ClientMessage::Nothing,
                })
            }
            McsMessage::SendDataRequest(data) => {
                Some(ClientMessage::Channel { id: data.channel_id, payload: data.user_data })
            }
            McsMessage::DisconnectProviderUltimatum(_) => Some(ClientMessage::Disconnect),
            _ => Some(ClientMessage::Nothing),
        }
    }

    /// `payload` on a channel.
    pub(super) fn indication(&self, channel_id: u16, payload: &[u8]) -> EncodeResult<Vec<u8>> {
        encode_vec(&X224(SendDataIndication {
            initiator_id: self.user_channel,
            channel_id,
            user_data: Cow::Borrowed(payload),
        }))
    }

    /// The answer to [`ClientMessage::Shutdown`] while a user is logged in (MS-RDPBCGR 1.3.1.4.1): the client asks its
    /// user, or goes at once. Left without an answer, clients hang.
    pub(super) fn shutdown_denied(&self) -> EncodeResult<Vec<u8>> {
        self.share_data(ShareDataPdu::ShutdownDenied)
    }

    /// The server ends the connection, and says that nothing went wrong (MS-RDPBCGR 1.3.1.4.2).
    pub(super) fn goodbye(&self) -> EncodeResult<Vec<u8>> {
        let why = ErrorInfo::ProtocolIndependentCode(ProtocolIndependentCode::RpcInitiatedDisconnect);
        let mut bytes = self.share_data(ShareDataPdu::ServerSetErrorInfo(ServerSetErrorInfoPdu(why)))?;
        bytes.extend(encode_vec(&X224(DisconnectProviderUltimatum::from_reason(DisconnectReason::ProviderInitiated)))?);
        Ok(bytes)
    }

    fn share_data(&self, pdu: ShareDataPdu) -> EncodeResult<Vec<u8>> {
        let header = ShareControlHeader {
            share_id: 0,
            pdu_source: self.io_channel,
            share_control_pdu: ShareControlPdu::Data(ShareDataHeader {
                share_data_pdu: pdu,
                stream_priority: StreamPriority::Undefined,
                compression_flags: CompressionFlags::empty(),
                compression_type: CompressionType::K8,
            }),
        };
        self.indication(self.io_channel, &encode_vec(&header)?)
    }
}
