//! The server's side of CredSSP (MS-CSSP 3.1.5) without I/O: a TSRequest in, what to do about it out.
//!
//! NTLM's messages come as they are, or in SPNEGO's tokens. In both cases nothing that was made with the account's
//! password leaves before the client has shown that it has the password.

use sha2::{Digest as _, Sha256};
use soundpost_rdp::spnego::{NTLM, NegState, NegTokenInit, NegTokenResp, SpnegoError};
use sspi::credssp::{NStatusCode, TsRequest};
use sspi::ntlm::NtlmConfig;
use sspi::{
    AuthIdentity, BufferType, DataRepresentation, Ntlm, SecurityBuffer, ServerRequestFlags, Sspi as _, SspiEx as _,
    SspiImpl as _,
};
use subtle::ConstantTimeEq as _;

use super::seal::{Altered, Sealing};
use crate::rdp::accounts::{Accounts, Login, account_name};

/// The highest version that is spoken here, and the lowest that there is (MS-CSSP 2.2.1).
const VERSIONS: std::ops::RangeInclusive<u32> = 2..=6;

/// Why a login by CredSSP fails. For the log alone: the client hears the same whatever it was.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("CredSSP of version {0}")]
    Version(u32),
    #[error("CredSSP's version changed from {0} to {1}")]
    VersionChanged(u32, u32),
    #[error("a TSRequest without {0}")]
    Missing(&'static str),
    #[error("{0}")]
    Spnego(#[from] SpnegoError),
    #[error("the client offers no NTLM")]
    NoNtlm,
    #[error("the list of mechanisms is not signed")]
    NoMic,
    #[error("{0}")]
    Ntlm(#[from] sspi::Error),
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    #[error("{0}")]
    Altered(#[from] Altered),
    #[error("the public key is not this server's")]
    OtherKey,
    #[error("unknown user")]
    UnknownUser,
    #[error("a TSRequest after the end")]
    Over,
}

/// What follows from a TSRequest.
#[derive(Debug)]
pub(super) enum Step {
    /// Send this. The client has shown nothing yet.
    Reply(TsRequest),
    /// An attempt with a password, so far a right one: send this once the attempt has waited its time.
    Attempt(TsRequest),
    /// The client is who it says.
    Finished(Login),
}

/// CredSSP with one client. Any thread.
pub(super) struct Server<'a> {
    accounts: &'a Accounts,
    public_key: &'a [u8],
    ntlm: Ntlm,
    /// The client's, once it has said so.
    version: Option<u32>,
    /// The user's name without its domain, once it has come.
    user: Option<String>,
    proved: bool,
    state: State,
}

enum State {
    /// Waits for the first token.
    Start,
    /// NTLM is chosen and has not begun.
    Chosen(Form),
    /// Waits for the answer to NTLM's challenge.
    Challenged(Form),
    /// NTLM is done; waits for what binds it to this TLS session.
    Binding(Checked),
    /// Waits for the credentials.
    Bound(Checked),
    Over,
}

/// How NTLM's messages come.
enum Form {
    Raw,
    Spnego {
        /// What mechListMIC signs.
        mech_types: Vec<u8>,
        /// The client would have preferred another mechanism, so somebody may have tampered with its list.
        mic_required: bool,
    },
}

struct Checked {
    sealing: Sealing,
    login: Option<Login>,
}

impl<'a> Server<'a> {
    /// Waits for the client's first TSRequest. `public_key` is the contents of the certificate's SubjectPublicKey.
    pub(super) fn new(accounts: &'a Accounts, public_key: &'a [u8]) -> Self {
        let ntlm = Ntlm::with_config(NtlmConfig::new(String::from("SOUNDPOST")));
        Self { accounts, public_key, ntlm, version: None, user: None, proved: false, state: State::Start }
    }

    /// The user's name without its domain, once it has come.
    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Whether the client has shown that it knows the password.
    pub(super) fn proved(&self) -> bool {
        self.proved
    }

    /// One answer for everything that can be wrong: STATUS_LOGON_FAILURE, as Windows gives it. Versions 2 and 5 have no
    /// field for it (MS-CSSP 2.2.1). None before the client has said its version.
    pub(super) fn refusal(&self) -> Option<TsRequest> {
        let error_code = matches!(self.version?, 3 | 4 | 6..).then_some(NStatusCode::LOGON_FAILURE);
        Some(TsRequest { error_code, ..self.reply() })
    }

    /// Takes the client's next TSRequest. After an error every further one is one too.
    pub(super) fn process(&mut self, request: TsRequest) -> Result<Step, Fault> {
        match self.version {
            None if request.version < *VERSIONS.start() => return Err(Fault::Version(request.version)),
            None => self.version = Some(request.version),
            Some(before) if before != request.version => return Err(Fault::VersionChanged(before, request.version)),
            Some(_) => {}
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Start => self.start(request),
            State::Chosen(form) => {
                let token = nego_token(&request)?;
                let message = NegTokenResp::parse(token)?.response_token;
                self.challenge(form, message.ok_or(Fault::Missing("a token of NTLM"))?, None)
            }
            State::Challenged(form) => self.authenticate(&form, &request),
            State::Binding(mut checked) => {
                let reply = self.bind(&mut checked, &request)?;
                self.state = State::Bound(checked);
                Ok(Step::Reply(reply))
            }
            State::Bound(mut checked) => {
                // The credentials that the client delegates are not looked at: who this is was proved by NTLM.
                let sealed = request.auth_info.ok_or(Fault::Missing("credentials"))?;
                checked.sealing.unseal(&sealed)?;
                checked.login.map(Step::Finished).ok_or(Fault::UnknownUser)
            }
            State::Over => Err(Fault::Over),
        }
    }

    fn start(&mut self, request: TsRequest) -> Result<Step, Fault> {
        let token = nego_token(&request)?;
        if token.starts_with(b"NTLMSSP\0") {
            return self.challenge(Form::Raw, token, None);
        }
        let init = NegTokenInit::parse(token)?;
        if !init.offers_ntlm() {
            return Err(Fault::NoNtlm);
        }
        let form = Form::Spnego { mech_types: init.mech_types().to_vec(), mic_required: !init.prefers_ntlm() };
        let state = if init.prefers_ntlm() { NegState::AcceptIncomplete } else { NegState::RequestMic };
        match init.mech_token().filter(|_| init.prefers_ntlm()) {
            Some(message) => self.challenge(form, message, Some(state)),
            // The optimistic token is another mechanism's, or there is none.
            None => {
                self.state = State::Chosen(form);
                let answer = NegTokenResp { state: Some(state), supported_mech: Some(NTLM), ..NegTokenResp::default() };
                Ok(Step::Reply(TsRequest { nego_tokens: Some(answer.to_der()), ..self.reply() }))
            }
        }
    }

    /// Answers NTLM's first message. `first` in SPNEGO's first answer, which names the mechanism.
    fn challenge(&mut self, form: Form, message: &[u8], first: Option<NegState>) -> Result<Step, Fault> {
        let challenge = self.accept(message)?;
        let token = match &form {
            Form::Raw => challenge,
            Form::Spnego { .. } => NegTokenResp {
                state: Some(first.unwrap_or(NegState::AcceptIncomplete)),
                supported_mech: first.map(|_| NTLM),
                response_token: Some(&challenge),
                mech_list_mic: None,
            }
            .to_der(),
        };
        self.state = State::Challenged(form);
        Ok(Step::Reply(TsRequest { nego_tokens: Some(token), ..self.reply() }))
    }

    /// Takes NTLM's last message, and the binding if it comes along.
    fn authenticate(&mut self, form: &Form, request: &TsRequest) -> Result<Step, Fault> {
        let token = nego_token(request)?;
        let (message, mic) = match form {
            Form::Raw => (token, None),
            Form::Spnego { .. } => {
                let token = NegTokenResp::parse(token)?;
                (token.response_token.ok_or(Fault::Missing("a token of NTLM"))?, token.mech_list_mic)
            }
        };
        self.accept(message)?;
        let login = self.look_up()?;
        // An attempt that carries no signature of its own passes here whatever the password, and for an unknown user
        // too. Everything below, and `bind` at the latest, needs the session key, which comes from the password.
        self.ntlm.complete_auth_token(&mut [])?;
        let keys = self.ntlm.query_context_session_key()?;
        let mut checked = Checked { sealing: Sealing::server(keys.session_key.as_ref()), login };

        let answer = match (form, mic) {
            (Form::Raw, _) => None,
            (Form::Spnego { mech_types, .. }, Some(mic)) => {
                checked.sealing.check_mic(mech_types, mic)?;
                Some(accepted(Some(&checked.sealing.mic(mech_types))))
            }
            (Form::Spnego { mic_required: false, .. }, None) => Some(accepted(None)),
            (Form::Spnego { mic_required: true, .. }, None) => return Err(Fault::NoMic),
        };
        let reply = if request.pub_key_auth.is_some() || answer.is_none() {
            let reply = self.bind(&mut checked, request)?;
            self.state = State::Bound(checked);
            TsRequest { nego_tokens: answer, ..reply }
        } else {
            self.state = State::Binding(checked);
            TsRequest { nego_tokens: answer, ..self.reply() }
        };
        Ok(Step::Attempt(reply))
    }

    /// Gives NTLM the password of whoever the client says it is, or one that nobody has.
    fn look_up(&mut self) -> Result<Option<Login>, Fault> {
        let stand_in = random_password()?;
        let username = self.ntlm.query_context_names()?.username;
        let account = self.accounts.find(username.inner());
        self.user = Some(account_name(username.inner()).to_owned());
        let password = account.map_or(stand_in, |account| account.password.expose().to_owned());
        self.ntlm.custom_set_auth_identity(AuthIdentity { username, password: password.into() })?;
        Ok(account.map(Login::from))
    }

    /// Checks that the client speaks to the key of this very TLS session, and answers with the same proof.
    fn bind(&mut self, checked: &mut Checked, request: &TsRequest) -> Result<TsRequest, Fault> {
        let sealed = request.pub_key_auth.as_deref().ok_or(Fault::Missing("a public key"))?;
        let (theirs, ours) = if request.version >= 5 {
            let nonce = request.client_nonce.ok_or(Fault::Missing("a nonce"))?;
            let hash = |direction: &str| {
                let magic = format!("CredSSP {direction} Binding Hash\0");
                Sha256::new().chain_update(magic).chain_update(nonce).chain_update(self.public_key).finalize().to_vec()
            };
            (hash("Client-To-Server"), hash("Server-To-Client"))
        } else {
            (self.public_key.to_vec(), incremented(self.public_key))
        };
        let unsealed = checked.sealing.unseal(sealed)?;
        if !bool::from(unsealed.ct_eq(&theirs)) {
            return Err(Fault::OtherKey);
        }
        if checked.login.is_none() {
            return Err(Fault::UnknownUser);
        }
        self.proved = true;
        Ok(TsRequest { pub_key_auth: Some(checked.sealing.seal(&ours)), ..self.reply() })
    }

    /// Has NTLM take a message, and answers its own.
    fn accept(&mut self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut input = [SecurityBuffer::new(message.to_vec(), BufferType::Token)];
        let mut output = [SecurityBuffer::new(Vec::new(), BufferType::Token)];
        let mut credentials = None;
        let builder = self
            .ntlm
            .accept_security_context()
            .with_credentials_handle(&mut credentials)
            .with_context_requirements(ServerRequestFlags::empty())
            .with_target_data_representation(DataRepresentation::Native)
            .with_input(&mut input)
            .with_output(&mut output);
        self.ntlm.accept_security_context_impl(builder)?.resolve_to_result()?;
        let [output] = output;
        Ok(output.buffer)
    }

    /// An empty reply, of the lower of both sides' versions.
    fn reply(&self) -> TsRequest {
        let version = self.version.unwrap_or(*VERSIONS.end()).min(*VERSIONS.end());
        TsRequest { version, ..TsRequest::default() }
    }
}

fn nego_token(request: &TsRequest) -> Result<&[u8], Fault> {
    request.nego_tokens.as_deref().ok_or(Fault::Missing("a token"))
}

/// SPNEGO's last token.
fn accepted(mic: Option<&[u8]>) -> Vec<u8> {
    NegTokenResp { state: Some(NegState::AcceptCompleted), mech_list_mic: mic, ..NegTokenResp::default() }.to_der()
}

/// A little-endian number plus 1, as versions before 5 have it (MS-CSSP 3.1.5).
fn incremented(number: &[u8]) -> Vec<u8> {
    let mut number = number.to_vec();
    for byte in &mut number {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
    number
}

/// A password that nobody has: 128 random bits.
fn random_password() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
