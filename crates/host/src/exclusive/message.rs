//! The exchange on the socket: one line each way, and two descriptors beside the second.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use soundpost_core::Hns;
use soundpost_endpoint::DataFlow;
use thiserror::Error;

/// What a request begins with, before the JSON of an [`OpenRequest`].
pub const REQUEST: &str = "exclusive 1 ";
/// The longest line that is read.
const LONGEST: usize = 4_096;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenRequest {
    /// The endpoint's name; where it is left out, the only one there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Whose session it belongs to; where it is left out, any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// `true`: to record from it; `false`: to play into it.
    pub capture: bool,
    /// The process that is to have it: the one that asks.
    pub process: u32,
    /// The device's period in units of 100 ns (D5).
    pub period: i64,
    /// The shared buffer's length in units of 100 ns.
    pub buffer: i64,
    /// The latency of the endpoint behind the buffer, in periods.
    pub coefficient: u32,
}

impl OpenRequest {
    /// A request for this process: a period of 10 ms, a buffer of 8 periods, a latency of 2.
    #[must_use]
    pub fn new(flow: DataFlow) -> Self {
        Self {
            endpoint: None,
            session: None,
            capture: flow == DataFlow::Capture,
            process: std::process::id(),
            period: Hns::from_millis(10).get(),
            buffer: Hns::from_millis(80).get(),
            coefficient: 2,
        }
    }

    /// Reads a whole request line.
    ///
    /// # Errors
    /// [`RequestError`], for the client to read.
    pub fn parse(line: &str) -> Result<Self, RequestError> {
        let json = line.trim_end_matches(['\r', '\n']).strip_prefix(REQUEST).ok_or(RequestError::Other)?;
        serde_json::from_str(json).map_err(|error| RequestError::Json(error.to_string()))
    }

    /// The request line.
    pub(super) fn line(&self) -> io::Result<String> {
        let json = serde_json::to_string(self).map_err(io::Error::other)?;
        Ok(format!("{REQUEST}{json}\n"))
    }

    /// The direction.
    #[must_use]
    pub fn flow(&self) -> DataFlow {
        if self.capture { DataFlow::Capture } else { DataFlow::Render }
    }
}

/// Why a line is no request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// It begins otherwise.
    #[error("not a request for exclusive use: ask \"exclusive 1 {{...}}\"")]
    Other,
    /// Its JSON is none, or has other keys.
    #[error("a request for exclusive use that cannot be read: {0}")]
    Json(String),
}

/// What a client got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// The endpoint's name.
    pub endpoint: String,
    /// Whose session it belongs to.
    pub session: String,
    /// Bytes of shared memory (D5's size).
    pub size: usize,
}

/// The server's line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Reply {
    /// With two descriptors: the memfd and the eventfd.
    Granted(Granted),
    /// With none.
    Refused {
        message: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        requirement: Option<String>,
    },
}

/// Sends a reply in one message.
pub(super) fn send(socket: &UnixStream, reply: &Reply, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply).map_err(io::Error::other)?;
    line.push(b'\n');
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    let sent = sendmsg(socket, &[IoSlice::new(&line)], &mut ancillary, SendFlags::NOSIGNAL)?;
    if sent == line.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Receives a reply and the descriptors beside it.
pub(super) fn receive(socket: &UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let (mut line, mut descriptors) = (Vec::new(), Vec::new());
    let mut block = [0; LONGEST];
    while !line.ends_with(b"\n") {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let got = recvmsg(socket, &mut [IoSliceMut::new(&mut block)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(handed) = message {
                descriptors.extend(handed);
            }
        }
        if got.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.extend_from_slice(block.get(..got.bytes).unwrap_or_default());
        if line.len() > LONGEST || descriptors.len() > 2 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer that is too long"));
        }
    }
    Ok((line, descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let request = OpenRequest { endpoint: Some("a \"b\"\n".into()), ..OpenRequest::new(DataFlow::Capture) };
        let line = request.line().unwrap();
        assert_eq!(line.lines().count(), 1);
        assert_eq!(OpenRequest::parse(&line), Ok(request));
    }

    #[test]
    fn a_request_that_is_none_is_told_so() {
        assert_eq!(OpenRequest::parse("status 1\n"), Err(RequestError::Other));
        for json in ["", "{}", "[]", "{\"capture\":false,\"process\":-1}", "{\"capture\":1e99}"] {
            assert!(matches!(OpenRequest::parse(&format!("{REQUEST}{json}")), Err(RequestError::Json(_))), "{json}");
        }
    }
}
