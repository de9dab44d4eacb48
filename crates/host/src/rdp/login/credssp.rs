//! NLA: the login by CredSSP (MS-CSSP) with NTLM, inside TLS and before anything of RDP.
//!
//! `ironrdp-acceptor` has a CredSSP sequence of its own, for one user whose name is known beforehand. This one looks
//! the user up when the name arrives, and does the same work for a name that nobody has: an unknown user is given a
//! password that was just drawn, so that the computation, the reply and the time are those of a wrong password.
//!
//! No Kerberos, and so nothing here ever connects to anything.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ironrdp_core::{DecodeResult, other_err};
use ironrdp_pdu::PduHint;
use sspi::credssp::{
    CredSspServer, CredentialsProxy, EarlyUserAuthResult, NStatusCode, ServerMode, ServerState, TsRequest,
};
use sspi::generator::GeneratorState;
use sspi::ntlm::NtlmConfig;
use sspi::{AuthIdentity, Username};
use tokio::io::{AsyncRead, AsyncWrite};

use super::framed::Framed;
use super::{LoginContext, LoginError};
use crate::rdp::accounts::{Accounts, Login, account_name};

/// Runs CredSSP to its end. `early_result` says whether the client waits for an Early User Authorization Result PDU
/// (MS-RDPBCGR 2.2.10.2), as it does where PROTOCOL_HYBRID_EX was chosen.
pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    framed: &mut Framed<S>,
    context: &LoginContext,
    address: IpAddr,
    early_result: bool,
) -> Result<Login, LoginError> {
    let lookup = Arc::new(Mutex::new(Lookup::default()));
    let proxy = Proxy { accounts: Arc::clone(&context.accounts), lookup: Arc::clone(&lookup) };
    let mode = ServerMode::Ntlm(NtlmConfig::new(String::from("SOUNDPOST")));
    let mut server = CredSspServer::new(context.certificate.public_key.to_vec(), proxy, mode)
        .map_err(|error| LoginError::Malformed(error.to_string()))?;
    let mut admitted = None;

    loop {
        let pdu = framed.read(&TsRequestHint).await?;
        let request = TsRequest::from_buffer(&pdu)?;
        let version = request.version;
        let result = match server.process(request).start() {
            GeneratorState::Completed(result) => result,
            GeneratorState::Suspended(_) => return Err(LoginError::Malformed("Kerberos is not spoken here".into())),
        };
        let found = lookup.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if admitted.is_none() && (found.name.is_some() || result.is_err()) {
            // Whether the password was right is settled, but nobody is told before the wait is over.
            let right = result.is_ok() && found.login.is_some();
            admitted = Some(context.slow_down(address, found.name.as_deref().unwrap_or_default(), right).await);
        }
        match result {
            Ok(_) if admitted == Some(false) => {
                framed.write(&encode(&failure(version))?).await?;
                return Err(LoginError::Denied { user: found.name.unwrap_or_default() });
            }
            Ok(ServerState::ReplyNeeded(reply)) => framed.write(&encode(&reply)?).await?,
            // The credentials that the client delegates here are not looked at: who this is was proved by NTLM.
            Ok(ServerState::Finished(_)) => {
                let (Some(login), Some(true)) = (found.login, admitted) else {
                    return Err(LoginError::Denied { user: found.name.unwrap_or_default() });
                };
                if early_result {
                    let mut success = Vec::new();
                    EarlyUserAuthResult::Success.to_buffer(&mut success)?;
                    framed.write(&success).await?;
                }
                return Ok(login);
            }
            Err(error) => {
                tracing::debug!(error = %error.error, "CredSSP failed");
                let version = error.ts_request.map_or(2, |request| request.version);
                framed.write(&encode(&failure(version))?).await?;
                return Err(LoginError::Denied { user: found.name.unwrap_or_default() });
            }
        }
    }
}

/// One answer for everything that can be wrong: STATUS_LOGON_FAILURE, as Windows gives it.
fn failure(version: u32) -> TsRequest {
    TsRequest { version, error_code: Some(NStatusCode::LOGON_FAILURE), ..TsRequest::default() }
}

fn encode(request: &TsRequest) -> Result<Vec<u8>, LoginError> {
    let mut bytes = Vec::new();
    request.encode_ts_request(&mut bytes)?;
    Ok(bytes)
}

/// What NTLM's user name led to.
#[derive(Clone, Debug, Default)]
struct Lookup {
    /// The name without its domain, once there was one.
    name: Option<String>,
    /// Where it leads, if the name is in the table. Worth nothing before CredSSP is finished.
    login: Option<Login>,
}

#[derive(Debug)]
struct Proxy {
    accounts: Arc<Accounts>,
    lookup: Arc<Mutex<Lookup>>,
}

impl CredentialsProxy for Proxy {
    type AuthenticationData = AuthIdentity;

    fn auth_data_by_user(&mut self, username: &Username) -> io::Result<AuthIdentity> {
        let stand_in = random_password()?;
        let name = username.inner();
        let account = self.accounts.find(name);
        *self.lookup.lock().unwrap_or_else(PoisonError::into_inner) =
            Lookup { name: Some(account_name(name).to_owned()), login: account.map(Login::from) };
        let password = account.map_or(stand_in, |account| account.password.expose().to_owned());
        Ok(AuthIdentity { username: username.clone(), password: password.into() })
    }

    fn auth_data(&mut self) -> io::Result<Vec<AuthIdentity>> {
        // Asked for by Negotiate and Kerberos, neither of which is spoken here.
        Ok(Vec::new())
    }
}

/// A password that nobody has: 128 random bits.
fn random_password() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
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
