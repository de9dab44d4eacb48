//! The server against `sspi`'s clients, and against one that goes the way of Windows' Negotiate: Kerberos first.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use soundpost_core::{Clock, Instant};
use soundpost_rdp::spnego::{NTLM, NegState, NegTokenResp, SpnegoError};
use sspi::credssp::{ClientMode, ClientState, CredSspClient, CredSspMode, NStatusCode};
use sspi::ntlm::NtlmConfig;
use sspi::{
    AuthIdentity, AuthIdentityBuffers, BufferType, ClientRequestFlags, Credentials, DataRepresentation,
    NegotiateConfig, Ntlm, SecurityBuffer, Sspi as _, SspiImpl as _, Username,
};

use super::seal::{Altered, Sealing};
use super::server::Fault;
use super::*;
use crate::rdp::accounts::{Account, Accounts, Password};
use crate::rdp::certificate::ServerCertificate;
use crate::rdp::login::Security;
use crate::rdp::throttle::{Throttle, ThrottleConfig};

/// Its last byte but one overflows when 1 is added to it.
const KEY: &[u8] = &[0xff, 0xff, 7, 9, 1, 2, 3];

fn accounts() -> Accounts {
    let account = |user: &str, password: &str| Account {
        user: user.into(),
        password: Password::new(password),
        session: format!("{user}'s"),
    };
    Accounts::new([account("ann", "right"), account("bob", "other")]).unwrap()
}

fn identity(user: &str, password: &str) -> AuthIdentity {
    AuthIdentity { username: Username::parse(user).unwrap(), password: String::from(password).into() }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Raw,
    Negotiate,
    KerberosFirst,
}

const FORMS: [Form; 3] = [Form::Raw, Form::Negotiate, Form::KerberosFirst];

/// Whatever takes a reply and answers the next request; None after the last.
trait Client {
    fn next(&mut self, reply: TsRequest) -> Result<(TsRequest, bool), String>;
}

impl Client for CredSspClient {
    fn next(&mut self, reply: TsRequest) -> Result<(TsRequest, bool), String> {
        match self.process(reply).resolve_to_result().map_err(|error| error.to_string())? {
            ClientState::ReplyNeeded(request) => Ok((request, false)),
            ClientState::FinalMessage(request) => Ok((request, true)),
        }
    }
}

fn client(form: Form, version: u32, user: &str, password: &str) -> Box<dyn Client> {
    let ntlm = NtlmConfig::new(String::from("CLIENT"));
    let mode = match form {
        Form::Raw => ClientMode::Ntlm(ntlm),
        Form::Negotiate => ClientMode::Negotiate(NegotiateConfig::new(
            Box::new(ntlm),
            Some(String::from("!kerberos,!pku2u,ntlm")),
            String::from("CLIENT"),
        )),
        Form::KerberosFirst => return Box::new(Windows::new(version, user, password)),
    };
    let credentials = Credentials::AuthIdentity(identity(user, password));
    let (key, credential_mode) = (KEY.to_vec(), CredSspMode::WithCredentials);
    Box::new(
        CredSspClient::new_with_version(key, credentials, credential_mode, version, mode, "TERMSRV/server".into())
            .unwrap(),
    )
}

/// A client whose Negotiate prefers Kerberos, and takes NTLM because it has to (RFC 4178 section 5).
struct Windows {
    version: u32,
    ntlm: Ntlm,
    credentials: Option<AuthIdentityBuffers>,
    sealing: Option<Sealing>,
    steps: usize,
    list: Vec<u8>,
    /// What it does to its tokens before it sends them: the step, and the token.
    tamper: fn(usize, Vec<u8>) -> Vec<u8>,
    signs: bool,
}

impl Windows {
    fn new(version: u32, user: &str, password: &str) -> Self {
        Self {
            version,
            ntlm: Ntlm::with_config(NtlmConfig::new(String::from("CLIENT"))),
            credentials: Some(identity(user, password).into()),
            sealing: None,
            steps: 0,
            list: [&[0x30, 34][..], MS_KRB5, KRB5, NTLMSSP].concat(),
            tamper: |_, token| token,
            signs: true,
        }
    }

    fn ntlm(&mut self, message: &[u8]) -> Vec<u8> {
        let mut input = [SecurityBuffer::new(message.to_vec(), BufferType::Token)];
        let mut output = [SecurityBuffer::new(Vec::new(), BufferType::Token)];
        let mut builder = self
            .ntlm
            .initialize_security_context()
            .with_credentials_handle(&mut self.credentials)
            .with_context_requirements(ClientRequestFlags::INTEGRITY | ClientRequestFlags::CONFIDENTIALITY)
            .with_target_data_representation(DataRepresentation::Native)
            .with_input(&mut input)
            .with_output(&mut output);
        self.ntlm.initialize_security_context_impl(&mut builder).unwrap().resolve_to_result().unwrap();
        let [output] = output;
        output.buffer
    }
}

const NONCE: [u8; 32] = [0x4e; 32];

/// OBJECT IDENTIFIERs: 1.2.840.48018.1.2.2, 1.2.840.113554.1.2.2, 1.3.6.1.4.1.311.2.2.10.
const MS_KRB5: &[u8] = b"\x06\x09\x2a\x86\x48\x82\xf7\x12\x01\x02\x02";
const KRB5: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
const NTLMSSP: &[u8] = b"\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a";

/// A NegTokenInit with a token of a mechanism that is not NTLM.
fn init(list: &[u8]) -> Vec<u8> {
    let element = |tag: u8, contents: &[u8]| [&[tag, u8::try_from(contents.len()).unwrap()], contents].concat();
    let fields = [element(0xa0, list), element(0xa2, b"\x04\x05ticky")].concat();
    let token = element(0xa0, &element(0x30, &fields));
    element(0x60, &[b"\x06\x06\x2b\x06\x01\x05\x05\x02", &token[..]].concat())
}

impl Client for Windows {
    fn next(&mut self, reply: TsRequest) -> Result<(TsRequest, bool), String> {
        if let Some(code) = reply.error_code {
            return Err(format!("{code:?}"));
        }
        let request = TsRequest { version: self.version, ..TsRequest::default() };
        let step = self.steps;
        self.steps += 1;
        let read = reply.nego_tokens.clone().unwrap_or_default();
        match step {
            0 => Ok((TsRequest { nego_tokens: Some((self.tamper)(step, init(&self.list))), ..request }, false)),
            1 => {
                assert_eq!(
                    read,
                    b"\xa1\x15\x30\x13\xa0\x03\x0a\x01\x03\xa1\x0c\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a",
                    "request-mic, NTLM, and nothing else"
                );
                let message = self.ntlm(&[]);
                let resp = NegTokenResp { response_token: Some(&message), ..NegTokenResp::default() };
                Ok((TsRequest { nego_tokens: Some((self.tamper)(step, resp.to_der())), ..request }, false))
            }
            2 => {
                let read = NegTokenResp::parse(&read).unwrap();
                assert_eq!((read.state, read.supported_mech), (Some(NegState::AcceptIncomplete), None));
                let message = self.ntlm(read.response_token.unwrap());
                let mut sealing = Sealing::client(self.ntlm.query_context_session_key().unwrap().session_key.as_ref());
                let mic = self.signs.then(|| sealing.mic(&self.list));
                self.sealing = Some(sealing);
                let mech_list_mic = mic.as_ref().map(<[u8; 16]>::as_slice);
                let resp = NegTokenResp { response_token: Some(&message), mech_list_mic, ..NegTokenResp::default() };
                Ok((TsRequest { nego_tokens: Some((self.tamper)(step, resp.to_der())), ..request }, false))
            }
            3 => {
                let read = NegTokenResp::parse(&read).unwrap();
                assert_eq!((read.state, read.response_token), (Some(NegState::AcceptCompleted), None));
                let sealing = self.sealing.as_mut().unwrap();
                match (self.signs, read.mech_list_mic) {
                    (true, Some(mic)) => sealing.check_mic(&self.list, mic).unwrap(),
                    (false, None) => {}
                    other => panic!("signed? {other:?}"),
                }
                let plain = if self.version < 5 { KEY.to_vec() } else { binding("Client-To-Server") };
                let client_nonce = (self.version >= 5).then_some(NONCE);
                Ok((TsRequest { pub_key_auth: Some(sealing.seal(&plain)), client_nonce, ..request }, false))
            }
            _ => {
                let expected = if self.version < 5 { vec![0, 0, 8, 9, 1, 2, 3] } else { binding("Server-To-Client") };
                let sealing = self.sealing.as_mut().unwrap();
                assert_eq!(sealing.unseal(&reply.pub_key_auth.unwrap()).unwrap(), expected);
                Ok((TsRequest { auth_info: Some(sealing.seal(b"secrets")), ..request }, true))
            }
        }
    }
}

fn binding(direction: &str) -> Vec<u8> {
    use sha2::Digest as _;
    let bytes = [format!("CredSSP {direction} Binding Hash\0").as_bytes(), &NONCE, KEY].concat();
    sha2::Sha256::digest(bytes).to_vec()
}

/// What the server did, and how it ended.
fn run(server: &mut Server<'_>, client: &mut dyn Client) -> (Vec<&'static str>, Result<Login, Fault>) {
    let mut reply = TsRequest::default();
    let mut seen = Vec::new();
    loop {
        let (request, last) = client.next(reply).expect("a client that goes on");
        // Over the wire and back.
        match server.process(TsRequest::from_buffer(&encode(&request).unwrap()).unwrap()) {
            Ok(Step::Reply(answer)) => {
                seen.push("reply");
                reply = TsRequest::from_buffer(&encode(&answer).unwrap()).unwrap();
            }
            Ok(Step::Attempt(answer)) => {
                seen.push("attempt");
                reply = TsRequest::from_buffer(&encode(&answer).unwrap()).unwrap();
            }
            Ok(Step::Finished(login)) => {
                assert!(last && server.proved());
                return (seen, Ok(login));
            }
            Err(fault) => return (seen, Err(fault)),
        }
        assert!(!last, "asked for more than there is");
    }
}

#[test]
fn the_right_password_is_taken_in_every_form_and_version() {
    let accounts = accounts();
    for form in FORMS {
        for version in 2..=6 {
            for user in ["ann", "X\\ann", "ann@example.org"] {
                let mut server = Server::new(&accounts, KEY);
                let (seen, result) = run(&mut server, &mut *client(form, version, user, "right"));
                let login = result.unwrap_or_else(|fault| panic!("{form:?} {version} {user}: {fault} after {seen:?}"));
                assert_eq!(login, Login { user: "ann".into(), session: "ann's".into() });
                assert_eq!(seen.iter().filter(|step| **step == "attempt").count(), 1, "{form:?}");
                assert_eq!(server.user(), Some("ann"));
            }
        }
    }
    // A version that is yet to come is spoken as the highest that there is.
    let mut server = Server::new(&accounts, KEY);
    assert!(run(&mut server, &mut Windows::new(7, "bob", "other")).1.is_ok());
}

#[test]
fn a_wrong_password_and_an_unknown_user_fail_alike_with_nothing_told() {
    let accounts = accounts();
    for form in FORMS {
        for version in 2..=6 {
            let tries = [("ann", "wrong"), ("X\\ann", "other"), ("ann", "x"), ("zoe", "right"), ("Ann", "right")];
            for (user, password) in tries {
                let mut server = Server::new(&accounts, KEY);
                let (seen, result) = run(&mut server, &mut *client(form, version, user, password));
                assert!(matches!(result, Err(Fault::Ntlm(_))), "{form:?} {version} {user}: {result:?}");
                let replies: &[&str] = if form == Form::KerberosFirst { &["reply"; 2] } else { &["reply"] };
                assert_eq!(seen, replies, "{form:?} {user}");
                assert!(!server.proved());
                let name = user.trim_start_matches("X\\");
                assert_eq!(server.user(), Some(name), "the throttle needs the name");
                let refusal = server.refusal().unwrap();
                let code = [None, None, Some(()), Some(()), None, Some(())][usize::try_from(version - 1).unwrap()];
                assert_eq!(refusal.error_code, code.map(|()| NStatusCode::LOGON_FAILURE));
                assert!(refusal.nego_tokens.is_none() && refusal.pub_key_auth.is_none());
                let wire = TsRequest::from_buffer(&encode(&refusal).unwrap()).unwrap();
                assert_eq!((wire.version, wire.error_code), (version, refusal.error_code));
            }
        }
    }
}

/// Takes the flag from NTLM's last message that says it is signed (MsvAvFlags, MS-NLMP 2.2.2.1). `sspi` then lets it pass.
fn unsigned(step: usize, mut token: Vec<u8>) -> Vec<u8> {
    if step == 2 {
        let at = token.windows(8).position(|pair| pair == b"\x06\0\x04\0\x02\0\0\0").unwrap();
        token[at + 4] = 0;
    }
    token
}

#[test]
fn an_attempt_that_is_signed_nowhere_learns_nothing_before_the_binding_and_fails_there() {
    let accounts = accounts();
    for user in ["ann", "zoe"] {
        let mut server = Server::new(&accounts, KEY);
        let mut client = Windows { tamper: unsigned, signs: false, ..Windows::new(6, user, "wrong") };
        client.list = [&[0x30, 12][..], NTLMSSP].concat();
        // NTLM is the first in the list: its own token is in the first message, and no signature is asked for.
        let message = client.ntlm(&[]);
        let mut list = [&[0x30, 12][..], NTLMSSP].concat();
        list.splice(0..0, [0xa0, 14]);
        let length = u8::try_from(message.len()).unwrap();
        list.extend([0xa2, length + 2, 0x04, length]);
        list.extend(&message);
        let size = u8::try_from(list.len()).unwrap();
        let token = [b"\x06\x06\x2b\x06\x01\x05\x05\x02\xa0", &[size + 2, 0x30, size][..], &list].concat();
        let token = [&[0x60, u8::try_from(token.len()).unwrap()][..], &token].concat();
        let request = |nego_tokens| TsRequest { nego_tokens: Some(nego_tokens), ..TsRequest::default() };
        let Ok(Step::Reply(challenge)) = server.process(request(token)) else { panic!() };
        let token = challenge.nego_tokens.unwrap();
        let resp = NegTokenResp::parse(&token).unwrap();
        assert_eq!((resp.state, resp.supported_mech), (Some(NegState::AcceptIncomplete), Some(NTLM)));
        let again = NegTokenResp { supported_mech: None, ..resp }.to_der();
        client.steps = 2;
        let (authenticate, _) = client.next(request(again)).unwrap();
        let Ok(Step::Attempt(accepted)) = server.process(authenticate) else { panic!("{user}") };
        assert_eq!(accepted.nego_tokens.as_deref(), Some(&b"\xa1\x07\x30\x05\xa0\x03\x0a\x01\x00"[..]));
        assert!(accepted.pub_key_auth.is_none() && !server.proved());
        let (binding, _) = client.next(accepted).unwrap();
        assert!(matches!(server.process(binding), Err(Fault::Altered(Altered))), "{user}");
        assert!(!server.proved());
    }
}

#[test]
fn a_list_of_mechanisms_that_somebody_changed_is_noticed() {
    let accounts = accounts();
    let run = |client: &mut Windows| run(&mut Server::new(&accounts, KEY), client).1.unwrap_err();
    // Kerberos taken from the list on its way: NTLM is not the first, but the signature is of another list.
    let cut = |step: usize, token: Vec<u8>| match step {
        0 => init(&[&[0x30, 23][..], KRB5, NTLMSSP].concat()),
        _ => token,
    };
    assert!(matches!(run(&mut Windows { tamper: cut, ..Windows::new(6, "ann", "right") }), Fault::Altered(_)));
    assert!(matches!(run(&mut Windows { signs: false, ..Windows::new(6, "ann", "right") }), Fault::NoMic));
    let mut kerberos_only = Windows::new(6, "ann", "right");
    kerberos_only.list = [&[0x30, 11][..], KRB5].concat();
    assert!(matches!(run(&mut kerberos_only), Fault::NoNtlm));
}

#[test]
fn a_client_that_speaks_to_another_key_is_refused() {
    let accounts = accounts();
    for version in 2..=6 {
        let mut server = Server::new(&accounts, b"another key");
        let (_, result) = run(&mut server, &mut *client(Form::Negotiate, version, "ann", "right"));
        assert!(matches!(result, Err(Fault::OtherKey)), "{result:?}");
        assert!(!server.proved());
    }
}

#[test]
fn what_comes_out_of_order_is_refused_and_ends_it() {
    let accounts = accounts();
    let empty = |version| TsRequest { version, ..TsRequest::default() };
    let mut server = Server::new(&accounts, KEY);
    assert!(matches!(server.process(empty(1)), Err(Fault::Version(1))));
    assert!(server.refusal().is_none());
    assert!(matches!(server.process(empty(6)), Err(Fault::Missing("a token"))));
    assert!(matches!(server.process(empty(6)), Err(Fault::Over)));

    let mut server = Server::new(&accounts, KEY);
    let (first, _) = Windows::new(6, "ann", "right").next(TsRequest::default()).unwrap();
    server.process(first.clone()).unwrap();
    assert!(matches!(server.process(empty(5)), Err(Fault::VersionChanged(6, 5))));

    let mut server = Server::new(&accounts, KEY);
    server.process(first.clone()).unwrap();
    // A second NegTokenInit is no NegTokenResp.
    assert!(matches!(server.process(first), Err(Fault::Spnego(SpnegoError::Der(_)))));
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Instant {
        Instant::ORIGIN
    }
}

/// Over a stream, with the throttle: who was told what, and what a right password then has to wait.
async fn attempt(context: &LoginContext, client: &mut dyn Client) -> (Vec<TsRequest>, Result<Login, LoginError>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let mut framed = Framed::new(ours);
    let address = IpAddr::from([192, 0, 2, 1]);
    let mut told = Vec::new();
    let talk = async {
        let mut reply = TsRequest::default();
        while let Ok((request, _)) = client.next(reply) {
            theirs.write_all(&encode(&request).unwrap()).await.unwrap();
            let mut bytes = vec![0; 1 << 16];
            let count = theirs.read(&mut bytes).await.unwrap();
            let Ok(answer) = TsRequest::from_buffer(&bytes[..count]) else { break };
            told.push(answer.clone());
            reply = answer;
            if reply.error_code.is_some() {
                break;
            }
        }
    };
    let ((), result) = tokio::join!(talk, async {
        let result = accept(&mut framed, context, address, false).await;
        drop(framed);
        result
    });
    (told, result)
}

#[tokio::test]
async fn a_wrong_password_counts_once_for_its_user_in_every_form() {
    let state = tempfile::tempdir().unwrap();
    for form in FORMS {
        for user in ["ann", "zoe"] {
            let context = LoginContext {
                security: Security::Nla,
                certificate: ServerCertificate::load_or_create(state.path()).unwrap(),
                accounts: Arc::new(accounts()),
                throttle: Mutex::new(Throttle::new(ThrottleConfig::default())),
                clock: Arc::new(Still),
            };
            let elsewhere = |user: &str| {
                let mut throttle = context.throttle.lock().unwrap().clone();
                throttle.attempt(Instant::ORIGIN, IpAddr::from([192, 0, 2, 9]), user, true).unwrap().as_millis()
            };
            for count in 0..4 {
                assert_eq!(elsewhere(user), 0, "{form:?} {user} {count}");
                let (told, result) = attempt(&context, &mut *client(form, 6, &format!("X\\{user}"), "wrong")).await;
                assert!(matches!(result, Err(LoginError::Denied { user: who }) if who == user));
                assert_eq!(told.last().unwrap().error_code, Some(NStatusCode::LOGON_FAILURE));
            }
            assert_eq!((elsewhere(user), elsewhere("bob")), (100, 0), "{form:?}");
        }
    }
}

/// A client whose last message, the sealed credentials, is spoilt on the way.
struct Spoilt(Box<dyn Client>);

impl Client for Spoilt {
    fn next(&mut self, reply: TsRequest) -> Result<(TsRequest, bool), String> {
        let (mut request, last) = self.0.next(reply)?;
        if let Some(byte) = request.auth_info.as_mut().and_then(|sealed| sealed.last_mut()) {
            *byte ^= 1;
        }
        Ok((request, last))
    }
}

#[tokio::test]
async fn a_failure_after_a_proved_password_is_no_guess() {
    let state = tempfile::tempdir().unwrap();
    for form in FORMS {
        let mut certificate = ServerCertificate::load_or_create(state.path()).unwrap();
        // The key that the clients here bind to, or it would end before the password is proved.
        certificate.public_key = KEY.into();
        let context = LoginContext {
            security: Security::Nla,
            certificate,
            accounts: Arc::new(accounts()),
            throttle: Mutex::new(Throttle::new(ThrottleConfig::default())),
            clock: Arc::new(Still),
        };
        for _ in 0..6 {
            let (told, result) = attempt(&context, &mut Spoilt(client(form, 6, "X\\ann", "right"))).await;
            assert!(matches!(result, Err(LoginError::Denied { user }) if user == "ann"), "{form:?}");
            let proved = told.iter().any(|told| told.pub_key_auth.is_some());
            assert!(proved, "{form:?}: it came to the end before it was spoilt");
        }
        let mut throttle = context.throttle.lock().unwrap();
        for address in [1, 9] {
            let address = IpAddr::from([192, 0, 2, address]);
            assert_eq!(throttle.attempt(Instant::ORIGIN, address, "ann", true), Some(Duration::ZERO), "{form:?}");
        }
    }
}

/// The requests of a whole login, in the order in which they come.
fn requests(form: Form, server: &mut Server<'_>, count: usize) -> TsRequest {
    let mut client = client(form, 6, "ann", "right");
    let mut reply = TsRequest::default();
    for _ in 0..count {
        let (request, last) = client.next(reply).unwrap();
        if last {
            return request;
        }
        reply = match server.process(request).unwrap() {
            Step::Reply(reply) | Step::Attempt(reply) => reply,
            Step::Finished(_) => panic!("finished early"),
        };
    }
    client.next(reply).unwrap().0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Whatever comes, at whichever step: an answer or an error, and the end only for what the client really sealed.
    #[test]
    fn hostile_bytes_end_in_an_error(
        form in prop::sample::select(FORMS.to_vec()),
        steps in 0_usize..5,
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        whole in prop::option::of(vec(any::<u8>(), 0..300)),
    ) {
        let accounts = accounts();
        let mut server = Server::new(&accounts, KEY);
        let honest = requests(form, &mut server, steps);
        let mut request = honest.clone();
        if let Some(token) = &mut request.nego_tokens {
            for (at, value) in &changes {
                if !token.is_empty() {
                    let at = at.index(token.len());
                    token[at] = *value;
                }
            }
            if let Some(cut) = cut {
                token.truncate(cut.index(token.len() + 1));
            }
            if let Some(whole) = &whole {
                token.clone_from(whole);
            }
        }
        let mut bytes = encode(&request).unwrap();
        if whole.is_none() && request.nego_tokens.is_none() {
            for (at, value) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
        }
        if let Ok(request) = TsRequest::from_buffer(&bytes) {
            let authentic = honest.auth_info.is_some() && request.auth_info == honest.auth_info;
            let finished = matches!(server.process(request), Ok(Step::Finished(_)));
            prop_assert!(!finished || authentic);
        }
    }

    /// The frame of a TSRequest as well.
    #[test]
    fn hostile_frames_are_read_or_refused(bytes in vec(any::<u8>(), 0..200), sequence in any::<bool>()) {
        let mut bytes = bytes;
        if sequence && bytes.len() > 2 {
            bytes[0] = 0x30;
            bytes[1] = u8::try_from((bytes.len() - 2).min(127)).unwrap();
        }
        let size = TsRequestHint.find_size(&bytes);
        if let Ok(Some((_, size))) = size {
            prop_assert!(size <= 1 << 16);
        }
        let accounts = accounts();
        if let Ok(request) = TsRequest::from_buffer(&bytes) {
            let _ = Server::new(&accounts, KEY).process(request);
        }
    }
}
