//! NLA: the login by CredSSP (MS-CSSP) with NTLM, inside TLS and before anything of RDP.
//!
//! The servers of `ironrdp-acceptor` and `sspi` want to know their users before the client's name has come, or to take
//! NTLM without SPNEGO alone. This one looks the user up when the name arrives, takes NTLM in either form, and does
//! the same work for a name that nobody has: an unknown user is given a password that was just drawn, so that the
//! computation, the reply and the time are those of a wrong password.
//!
//! No Kerberos, and so nothing here ever connects to anything.

mod seal;
mod server;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use ironrdp_core::{DecodeResult, other_err};
use ironrdp_pdu::PduHint;
use sspi::credssp::{EarlyUserAuthResult, TsRequest};
use tokio::io::{AsyncRead, AsyncWrite};

use self::server::{Server, Step};
use super::framed::Framed;
use super::{LoginContext, LoginError};
use crate::rdp::accounts::Login;

/// Runs CredSSP to its end. `early_result` says whether the client waits for an Early User Authorization Result PDU
/// (MS-RDPBCGR 2.2.10.2), as it does where PROTOCOL_HYBRID_EX was chosen.
pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    framed: &mut Framed<S>,
    context: &LoginContext,
    address: IpAddr,
    early_result: bool,
) -> Result<Login, LoginError> {
    let mut server = Server::new(&context.accounts, &context.certificate.public_key);
    loop {
        let pdu = framed.read(&TsRequestHint).await?;
        let step = server.process(TsRequest::from_buffer(&pdu)?);
        let user = server.user().unwrap_or_default();
        match step {
            Ok(Step::Reply(reply)) => framed.write(&encode(&reply)?).await?,
            // What the client has shown so far is right, and it is told no earlier than of something wrong.
            Ok(Step::Attempt(reply)) => {
                if !context.slow_down(address, user, true).await {
                    return refuse(framed, &server).await;
                }
                framed.write(&encode(&reply)?).await?;
            }
            Ok(Step::Finished(login)) => {
                if early_result {
                    let mut success = Vec::new();
                    EarlyUserAuthResult::Success.to_buffer(&mut success)?;
                    framed.write(&success).await?;
                }
                return Ok(login);
            }
            Err(fault) => {
                tracing::debug!(%fault, "CredSSP failed");
                // Whoever has proved the password already does not learn anything about it any more.
                if !server.proved() {
                    context.slow_down(address, user, false).await;
                }
                return refuse(framed, &server).await;
            }
        }
    }
}

async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
    framed: &mut Framed<S>,
    server: &Server<'_>,
) -> Result<Login, LoginError> {
    if let Some(refusal) = server.refusal() {
        framed.write(&encode(&refusal)?).await?;
    }
    Err(LoginError::Denied { user: server.user().unwrap_or_default().to_owned() })
}

fn encode(request: &TsRequest) -> Result<Vec<u8>, LoginError> {
    let mut bytes = Vec::new();
    request.encode_ts_request(&mut bytes)?;
    Ok(bytes)
}

#[derive(Clone, Copy, Debug)]
struct TsRequestHint;

impl PduHint for TsRequestHint {
    fn find_size(&self, bytes: &[u8]) -> DecodeResult<Option<(bool, usize)>> {
        // A DER SEQUENCE tag and at most three bytes of length (X.690 8.1.3): no honest TSRequest is longer than 64 KiB.
        match TsRequest::read_length(bytes) {
            Ok(length) => Ok(Some((true, length))),
            Err(_) if bytes.len() < 4 && bytes.first().is_none_or(|tag| *tag == 0x30) => Ok(None),
            Err(error) => Err(other_err!("TSRequest", source: error)),
        }
    }
}
