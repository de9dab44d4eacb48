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
