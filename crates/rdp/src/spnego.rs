//! SPNEGO's tokens, the acceptor's side: what a client's Negotiate package puts NTLM into (RFC 4178 section 4.2,
//! [MS-SPNG]).
//!
//! The first token of a client is a [`NegTokenInit`] in the frame of GSS-API (RFC 2743 section 3.1), every other one of
//! either side a [`NegTokenResp`]. Nothing is copied out of a token and nothing is allocated while one is read.
//!
//! [MS-SPNG]: https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-spng/f377a379-c24f-4a0f-a3eb-0d835389e28a

use der::{Decode as _, Header, Reader as _, SliceReader, Tag, TagNumber};

/// NTLM as a mechanism, 1.3.6.1.4.1.311.2.2.10: the contents of its OBJECT IDENTIFIER (MS-SPNG 1.9).
pub const NTLM: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a];

/// SPNEGO itself, 1.3.6.1.5.5.2.
const SPNEGO: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x02];

/// A token that is not SPNEGO's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpnegoError {
    /// The bytes do not have the structure.
    #[error("not a token of SPNEGO: {0}")]
    Der(#[from] der::Error),
    /// A GSS-API token of another mechanism.
    #[error("a token of another mechanism than SPNEGO")]
    OtherMechanism,
    /// The same field twice.
    #[error("field [{0}] of a SPNEGO token is there twice")]
    Twice(u32),
    /// No list of mechanisms to choose from.
    #[error("a NegTokenInit without mechTypes")]
    NoMechanisms,
    /// A negState that RFC 4178 does not know.
    #[error("the negState {0:02x?} does not exist")]
    State(Vec<u8>),
}

/// A client's first token (RFC 4178 4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NegTokenInit<'a> {
    mech_types: &'a [u8],
    prefers_ntlm: bool,
    offers_ntlm: bool,
    mech_token: Option<&'a [u8]>,
}

impl<'a> NegTokenInit<'a> {
    /// Reads `token`, all of it.
    ///
    /// # Errors
    /// [`SpnegoError`] for anything that is no NegTokenInit in the frame of GSS-API. Fields that RFC 4178 does not have
    /// are passed over.
    pub fn parse(token: &'a [u8]) -> Result<Self, SpnegoError> {
        let application = Tag::Application { constructed: true, number: TagNumber(0) };
        let mut frame = SliceReader::new(value(token, application)?)?;
        if value(frame.tlv_bytes()?, Tag::ObjectIdentifier)? != SPNEGO {
            return Err(SpnegoError::OtherMechanism);
        }
        let choice = value(frame.tlv_bytes()?, context(0))?;
        frame.finish()?;
        let [mech_types, _, mech_token, _] = fields(choice)?;
        let mech_types = mech_types.ok_or(SpnegoError::NoMechanisms)?;

        let mut list = SliceReader::new(value(mech_types, Tag::Sequence)?)?;
        let prefers_ntlm = !list.is_finished() && value(list.tlv_bytes()?, Tag::ObjectIdentifier)? == NTLM;
        let mut offers_ntlm = prefers_ntlm;
        while !list.is_finished() {
            offers_ntlm |= value(list.tlv_bytes()?, Tag::ObjectIdentifier)? == NTLM;
        }
        let mech_token = mech_token.map(|token| value(token, Tag::OctetString)).transpose()?;
        Ok(Self { mech_types, prefers_ntlm, offers_ntlm, mech_token })
    }

    /// The list of mechanisms as it came, with its tag and length: what mechListMIC signs (RFC 4178 section 5).
    #[must_use]
    pub const fn mech_types(&self) -> &'a [u8] {
        self.mech_types
    }

    /// Whether NTLM is the first in the list. Only then is [`mech_token`](Self::mech_token) NTLM's.
    #[must_use]
    pub const fn prefers_ntlm(&self) -> bool {
        self.prefers_ntlm
    }

    /// Whether NTLM is in the list.
    #[must_use]
    pub const fn offers_ntlm(&self) -> bool {
        self.offers_ntlm
    }

    /// The optimistic token of the first mechanism in the list.
    #[must_use]
    pub const fn mech_token(&self) -> Option<&'a [u8]> {
        self.mech_token
    }
}

/// How far the negotiation is (RFC 4178 4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NegState {
    /// Done.
    AcceptCompleted,
    /// Another token is to come.
    AcceptIncomplete,
    /// No.
    Reject,
    /// Another token is to come, and the list of mechanisms has to be signed. In the acceptor's first token alone.
    RequestMic,
}

impl NegState {
    const fn number(self) -> u8 {
        match self {
            Self::AcceptCompleted => 0,
            Self::AcceptIncomplete => 1,
            Self::Reject => 2,
            Self::RequestMic => 3,
        }
    }

    fn parse(contents: &[u8]) -> Result<Self, SpnegoError> {
        match contents {
            [0] => Ok(Self::AcceptCompleted),
            [1] => Ok(Self::AcceptIncomplete),
            [2] => Ok(Self::Reject),
            [3] => Ok(Self::RequestMic),
            other => Err(SpnegoError::State(other.iter().copied().take(4).collect())),
        }
    }
}

/// Every token but the first (RFC 4178 4.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NegTokenResp<'a> {
    /// Required in the acceptor's first token.
    pub state: Option<NegState>,
    /// The mechanism that the acceptor has chosen, the contents of its OBJECT IDENTIFIER; in the acceptor's first token
    /// alone.
    pub supported_mech: Option<&'a [u8]>,
    /// The mechanism's own token.
    pub response_token: Option<&'a [u8]>,
    /// The mechanism's signature of [`NegTokenInit::mech_types`].
    pub mech_list_mic: Option<&'a [u8]>,
}

impl<'a> NegTokenResp<'a> {
    /// Reads `token`, all of it.
    ///
    /// # Errors
    /// [`SpnegoError`] for anything that is no NegTokenResp. Fields that RFC 4178 does not have are passed over.
    pub fn parse(token: &'a [u8]) -> Result<Self, SpnegoError> {
        let [state, supported_mech, response_token, mech_list_mic] = fields(value(token, context(1))?)?;
        let state = state.map(|field| NegState::parse(value(field, Tag::Enumerated)?)).transpose()?;
        let contents = |field: Option<&'a [u8]>, tag| field.map(|field| value(field, tag)).transpose();
        Ok(Self {
            state,
            supported_mech: contents(supported_mech, Tag::ObjectIdentifier)?,
            response_token: contents(response_token, Tag::OctetString)?,
            mech_list_mic: contents(mech_list_mic, Tag::OctetString)?,
        })
    }

    /// The token in DER.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        let state = self.state.map(|state| [state.number()]);
        let fields = [
            (0xa0, 0x0a, state.as_ref().map(<[u8; 1]>::as_slice)),
            (0xa1, 0x06, self.supported_mech),
            (0xa2, 0x04, self.response_token),
            (0xa3, 0x04, self.mech_list_mic),
        ];
        let mut all = Vec::new();
        for (field, tag, contents) in fields {
            if let Some(contents) = contents {
                all.extend(tlv(field, &tlv(tag, contents)));
            }
        }
        tlv(0xa1, &tlv(0x30, &all))
    }
}

/// The contents of the one element that `bytes` are, which has to have this tag.
fn value(bytes: &[u8], tag: Tag) -> der::Result<&[u8]> {
    let mut reader = SliceReader::new(bytes)?;
    let header = Header::decode(&mut reader)?;
    header.tag().assert_eq(tag)?;
    let contents = reader.read_slice(header.length())?;
    reader.finish()?;
    Ok(contents)
}

const fn context(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

/// The elements in the explicitly tagged fields [0] to [3] of a SEQUENCE.
fn fields(sequence: &[u8]) -> Result<[Option<&[u8]>; 4], SpnegoError> {
    let mut reader = SliceReader::new(value(sequence, Tag::Sequence)?)?;
    let mut fields = [None; 4];
    while !reader.is_finished() {
        let field = reader.tlv_bytes()?;
        let number = match Header::decode(&mut SliceReader::new(field)?)?.tag() {
            Tag::ContextSpecific { constructed: true, number } => number,
            other => return Err(der::ErrorKind::TagUnexpected { expected: None, actual: other }.to_error().into()),
        };
        let place = usize::try_from(number.value()).ok().and_then(|number| fields.get_mut(number));
        if let Some(place) = place
            && place.replace(value(field, context(number.value()))?).is_some()
        {
            return Err(SpnegoError::Twice(number.value()));
        }
    }
    Ok(fields)
}

/// An element with a definite length (X.690 8.1.3).
fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len().to_be_bytes();
    let leading = length.iter().take_while(|byte| **byte == 0).count();
    let digits = length.get(leading..).unwrap_or_default();
    let mut element = vec![tag];
    match digits {
        [] => element.push(0),
        [short @ 0..=0x7f] => element.push(*short),
        long => {
            element.push(0x80 | u8::try_from(long.len()).unwrap_or(0x7f));
            element.extend_from_slice(long);
        }
    }
    element.extend_from_slice(contents);
    element
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What Windows XP sends where it has no Kerberos: NTLM alone, and its first message along with it.
    const WINDOWS: &[u8] = b"\x60\x48\x06\x06\x2b\x06\x01\x05\x05\x02\xa0\x3e\x30\x3c\xa0\x0e\x30\x0c\x06\x0a\x2b\x06\
        \x01\x04\x01\x82\x37\x02\x02\x0a\xa2\x2a\x04\x28NTLMSSP\0\x01\0\0\0\x97\x82\x08\xe2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
        \x05\x01\x28\x0a\0\0\0\x0f";

    #[test]
    fn the_token_of_a_windows_client_is_read() {
        let init = NegTokenInit::parse(WINDOWS).unwrap();
        assert_eq!(init.mech_types(), b"\x30\x0c\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a");
        assert!(init.prefers_ntlm() && init.offers_ntlm());
        assert!(init.mech_token().unwrap().starts_with(b"NTLMSSP\0\x01"));
        assert_eq!(init.mech_token().unwrap().len(), 40);
    }

    #[test]
    fn a_token_that_is_not_whole_or_has_more_behind_it_is_refused() {
        for end in 0..WINDOWS.len() {
            assert!(NegTokenInit::parse(&WINDOWS[..end]).is_err(), "{end} bytes");
        }
        assert!(NegTokenInit::parse(&[WINDOWS, b"\0"].concat()).is_err());
        // Behind the NegTokenInit, and still inside of the frame.
        let mut longer = [WINDOWS, b"\x05\0"].concat();
        longer[1] += 2;
        assert!(matches!(NegTokenInit::parse(&longer), Err(SpnegoError::Der(_))));
        let mut other = WINDOWS.to_vec();
        other[9] = 3;
        assert_eq!(NegTokenInit::parse(&other), Err(SpnegoError::OtherMechanism));
    }

    #[test]
    fn answers_are_written_as_rfc_4178_has_them() {
        let chosen = NegTokenResp { state: Some(NegState::RequestMic), supported_mech: Some(NTLM), ..resp() };
        let expected = b"\xa1\x15\x30\x13\xa0\x03\x0a\x01\x03\xa1\x0c\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a";
        assert_eq!(chosen.to_der(), expected);
        assert_eq!(NegTokenResp::parse(expected), Ok(chosen));
        let long = [7; 300];
        let token = NegTokenResp { response_token: Some(&long), ..resp() }.to_der();
        assert!(token.starts_with(b"\xa1\x82\x01\x38\x30\x82\x01\x34\xa2\x82\x01\x30\x04\x82\x01\x2c\x07"));
        let middle = [7; 128];
        let token = NegTokenResp { mech_list_mic: Some(&middle), ..resp() }.to_der();
        assert!(token.starts_with(b"\xa1\x81\x89\x30\x81\x86\xa3\x81\x83\x04\x81\x80\x07"));
        assert_eq!(resp().to_der(), b"\xa1\x02\x30\x00");
    }

    #[test]
    fn fields_are_checked_one_by_one() {
        assert_eq!(
            NegTokenResp::parse(b"\xa1\x0c\x30\x0a\xa0\x03\x0a\x01\x01\xa0\x03\x0a\x01\x01"),
            Err(SpnegoError::Twice(0))
        );
        assert_eq!(NegTokenResp::parse(b"\xa1\x07\x30\x05\xa0\x03\x0a\x01\x04"), Err(SpnegoError::State(vec![4])));
        // An INTEGER where an OCTET STRING belongs.
        assert!(matches!(NegTokenResp::parse(b"\xa1\x07\x30\x05\xa2\x03\x02\x01\x01"), Err(SpnegoError::Der(_))));
        // [7] is nobody's.
        assert_eq!(NegTokenResp::parse(b"\xa1\x06\x30\x04\xa7\x02\x05\x00"), Ok(resp()));
        let no_list = b"\x60\x0c\x06\x06\x2b\x06\x01\x05\x05\x02\xa0\x02\x30\x00";
        assert_eq!(NegTokenInit::parse(no_list), Err(SpnegoError::NoMechanisms));
    }

    fn resp() -> NegTokenResp<'static> {
        NegTokenResp::default()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_any_bytes_are_survived(
            state in proptest::option::of(prop::sample::select(vec![
                NegState::AcceptCompleted, NegState::AcceptIncomplete, NegState::Reject, NegState::RequestMic,
            ])),
            token in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..400)),
            mic in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
            at in any::<prop::sample::Index>(),
            value in any::<u8>(),
        ) {
            let resp = NegTokenResp {
                state, supported_mech: Some(NTLM), response_token: token.as_deref(), mech_list_mic: mic.as_deref(),
            };
            let mut bytes = resp.to_der();
            prop_assert_eq!(NegTokenResp::parse(&bytes), Ok(resp));
            let at = at.index(bytes.len());
            bytes[at] = value;
            let _ = NegTokenResp::parse(&bytes);
            let mut init = WINDOWS.to_vec();
            let at = at % init.len();
            init[at] = value;
            let _ = NegTokenInit::parse(&init);
        }
    }
}
