//! The client's life after its login.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ironrdp_core::{decode, encode_vec};
use ironrdp_pdu::Action;
use ironrdp_pdu::mcs::{DisconnectProviderUltimatum, DisconnectReason, McsMessage, SendDataRequest};
use ironrdp_pdu::rdp::client_info::CompressionType;
use ironrdp_pdu::rdp::headers::{
    CompressionFlags, ShareControlHeader, ShareControlPdu, ShareDataHeader, ShareDataPdu, StreamPriority,
};
use ironrdp_pdu::x224::X224;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::audio::AudioClient;
use super::channels::{Chunks, Drdynvc, FromDrdynvc, chunked};
use super::connect::{Connected, connect};
use super::{ClientChannels, ClientError, Command, Options, Record};

/// From the connection to its end.
pub(super) async fn life(
    options: Options,
    record: Arc<Mutex<Record>>,
    mut orders: mpsc::UnboundedReceiver<Command>,
    ready: oneshot::Sender<Result<SocketAddr, ClientError>>,
) {
    let connected = match timeout(options.time_limit, connect(&options)).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => return drop(ready.send(Err(error))),
        Err(_) => return drop(ready.send(Err(ClientError::TimedOut))),
    };
    if ready.send(Ok(connected.local)).is_err() {
        return;
    }
    let (stream, mut buffer, mut session) = Session::new(connected, &options, Arc::clone(&record));
    let (mut reading, mut writing) = tokio::io::split(stream);
    let mut read = true;
    let mut bytes = vec![0; 64 * 1024];
    let end = loop {
        let (over, answers) = session.take_in(&mut buffer);
        if !answers.is_empty()
            && let Err(error) = write(&mut writing, &answers, &options, &record).await
        {
            break error.to_string();
        }
        if let Some(why) = over {
            break why;
        }
        tokio::select! {
            count = reading.read(&mut bytes), if read => match count {
                Ok(0) => break String::from("closed by the server"),
                Ok(count) => buffer.extend_from_slice(bytes.get(..count).unwrap_or_default()),
                Err(error) => break error.to_string(),
            },
            order = orders.recv() => {
                let to_send = match order {
                    Some(Command::Read(on)) => {
                        read = on;
                        continue;
                    }
                    Some(Command::Raw(bytes)) => bytes,
                    Some(Command::Channel { dynamic, payload }) => session.on_channel(dynamic, &payload),
                    Some(Command::Audio(message)) => session.audio_message(&message),
                    Some(Command::Shutdown(times)) => session.shutdown_request().repeat(times),
                    Some(Command::Disconnect) => {
                        let why = DisconnectProviderUltimatum::from_reason(DisconnectReason::UserRequested);
                        let goodbye = encode_vec(&X224(why)).unwrap_or_default();
                        let _ = write(&mut writing, &goodbye, &options, &record).await;
                        break String::from("disconnected");
                    }
                    None => break String::from("dropped"),
                };
                if let Err(error) = write(&mut writing, &to_send, &options, &record).await {
                    break error.to_string();
                }
            }
        }
    };
    record.lock().unwrap_or_else(PoisonError::into_inner).ended = Some(end);
}

async fn write(
    stream: &mut (impl tokio::io::AsyncWrite + Unpin),
    bytes: &[u8],
    options: &Options,
    record: &Mutex<Record>,
) -> io::Result<()> {
    let written = async {
        // In pieces, so that the record says how far it has come.
        for piece in bytes.chunks(4096) {
            stream.write_all(piece).await?;
            stream.flush().await?;
            let length = u64::try_from(piece.len()).unwrap_or(0);
            record.lock().unwrap_or_else(PoisonError::into_inner).sent += length;
        }
        Ok(())
    };
    timeout(options.time_limit, written).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

struct Session {
    user_channel: u16,
    io_channel: u16,
    rdpsnd: Option<(u16, Chunks)>,
    drdynvc: Option<(u16, Chunks, Drdynvc)>,
    audio: AudioClient,
    record: Arc<Mutex<Record>>,
}

impl Session {
    fn new(
        connected: Connected,
        options: &Options,
        record: Arc<Mutex<Record>>,
    ) -> (super::connect::TlsStream, Vec<u8>, Self) {
        let refuses = options.channels == ClientChannels::RefusesDynamic;
        let session = Self {
            user_channel: connected.user_channel,
            io_channel: connected.io_channel,
            rdpsnd: connected.rdpsnd.map(|id| (id, Chunks::default())),
            drdynvc: connected.drdynvc.map(|id| (id, Chunks::default(), Drdynvc::new(refuses))),
            audio: AudioClient::new(options.formats.clone(), options.audio_version, options.confirms),
            record,
        };
        (connected.stream, connected.buffered, session)
    }

    /// Handles all whole PDUs in `buffer`. Answers why the connection is over, where it is, and what is to be sent.
    fn take_in(&mut self, buffer: &mut Vec<u8>) -> (Option<String>, Vec<u8>) {
        let mut answers = Vec::new();
        loop {
            let info = match ironrdp_pdu::find_size(buffer) {
                Ok(Some(info)) if info.length > 0 && info.length <= buffer.len() => info,
                Ok(_) => return (None, answers),
                Err(error) => return (Some(format!("broken framing: {error}")), answers),
            };
            let frame: Vec<u8> = buffer.drain(..info.length).collect();
            match info.action {
                Action::FastPath => {
                    let length = u64::try_from(frame.len()).unwrap_or(0);
                    self.record.lock().unwrap_or_else(PoisonError::into_inner).desktop_bytes += length;
                }
                Action::X224 => {
                    if let Some(end) = self.frame(&frame, &mut answers) {
                        return (Some(end), answers);
                    }
                }
            }
        }
    }

    fn frame(&mut self, frame: &[u8], answers: &mut Vec<u8>) -> Option<String> {
        let X224(message) = match decode::<X224<McsMessage<'_>>>(frame) {
            Ok(message) => message,
            Err(error) => return Some(format!("not MCS: {error}")),
        };
        match message {
            McsMessage::SendDataIndication(data) if data.channel_id == self.io_channel => {
                self.share(&data.user_data);
                None
            }
            McsMessage::SendDataIndication(data) => {
                self.channel(data.channel_id, &data.user_data, answers);
                None
            }
            McsMessage::DisconnectProviderUltimatum(_) => {
                self.record.lock().unwrap_or_else(PoisonError::into_inner).goodbye = true;
                Some(String::from("the server said goodbye"))
            }
            _ => None,
        }
    }

    fn share(&mut self, data: &[u8]) {
        let Ok(header) = decode::<ShareControlHeader>(data) else { return };
        let ShareControlPdu::Data(data) = header.share_control_pdu else { return };
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        match data.share_data_pdu {
            ShareDataPdu::ShutdownDenied => record.shutdown_denied += 1,
            ShareDataPdu::ServerSetErrorInfo(info) => record.error_info = Some(info.0.description()),
            _ => {}
        }
    }

    fn channel(&mut self, id: u16, payload: &[u8], answers: &mut Vec<u8>) {
        let record = Arc::clone(&self.record);
        let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut self.rdpsnd, &mut self.drdynvc) {
            (Some((rdpsnd, chunks)), _) if *rdpsnd == id => {
                let Some(message) = chunks.push(payload) else { return };
                record.dynamic = Some(false);
                for answer in self.audio.handle(&message, &mut record) {
                    self.send(id, &answer, answers);
                }
            }
            (_, Some((drdynvc, chunks, manager))) if *drdynvc == id => {
                let Some(message) = chunks.push(payload) else { return };
                let to_send = match manager.handle(&message) {
                    FromDrdynvc::Answer(answer) => vec![answer],
                    FromDrdynvc::Audio(message) => {
                        record.dynamic = Some(true);
                        let replies = self.audio.handle(&message, &mut record);
                        replies.iter().flat_map(|reply| manager.wrap(reply)).collect()
                    }
                    FromDrdynvc::Closed => {
                        record.closed = true;
                        Vec::new()
                    }
                    FromDrdynvc::Nothing => Vec::new(),
                };
                for message in to_send {
                    self.send(id, &message, answers);
                }
            }
            _ => {}
        }
    }

    fn send(&self, id: u16, message: &[u8], to: &mut Vec<u8>) {
        for chunk in chunked(message) {
            to.extend(self.request(id, &chunk));
        }
    }

    fn request(&self, channel_id: u16, user_data: &[u8]) -> Vec<u8> {
        let request =
            SendDataRequest { initiator_id: self.user_channel, channel_id, user_data: Cow::Borrowed(user_data) };
        encode_vec(&X224(request)).unwrap_or_default()
    }

    fn on_channel(&self, dynamic: bool, payload: &[u8]) -> Vec<u8> {
        let id = match (dynamic, &self.rdpsnd, &self.drdynvc) {
            (false, Some((id, _)), _) | (true, _, Some((id, _, _))) => *id,
            _ => return Vec::new(),
        };
        self.request(id, payload)
    }

    fn audio_message(&self, message: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        match (&self.rdpsnd, &self.drdynvc) {
            (_, Some((id, _, manager))) if manager.is_open() => {
                for part in manager.wrap(message) {
                    self.send(*id, &part, &mut bytes);
                }
            }
            (Some((id, _)), _) => self.send(*id, message, &mut bytes),
            _ => {}
        }
        bytes
    }

    fn shutdown_request(&self) -> Vec<u8> {
        let header = ShareControlHeader {
            share_id: 0,
            pdu_source: self.user_channel,
            share_control_pdu: ShareControlPdu::Data(ShareDataHeader {
                share_data_pdu: ShareDataPdu::ShutdownRequest,
                stream_priority: StreamPriority::Medium,
                compression_flags: CompressionFlags::empty(),
                compression_type: CompressionType::K8,
            }),
        };
        encode_vec(&header).map(|bytes| self.request(self.io_channel, &bytes)).unwrap_or_default()
    }
}
