//! SPNEGO: a token is read whole or not at all, points nowhere but into its own bytes, and says the same when it is
//! written again.

use soundpost_rdp::spnego::{NegTokenInit, NegTokenResp};

/// Parse as both tokens; write, parse.
pub fn spnego(data: &[u8]) {
    let shorter = data.split_last().map_or(data, |(_, rest)| rest);
    if let Ok(init) = NegTokenInit::parse(data) {
        assert!(is_part(data, init.mech_types()) && init.mech_types().starts_with(&[0x30]));
        assert!(init.mech_token().is_none_or(|token| is_part(data, token)));
        assert!(init.offers_ntlm() || !init.prefers_ntlm());
        assert!(NegTokenInit::parse(shorter).is_err(), "a part of a token was read as a whole one");
        assert!(NegTokenResp::parse(data).is_err(), "both tokens at once");
    }
    if let Ok(resp) = NegTokenResp::parse(data) {
        let written = resp.to_der();
        assert_eq!(NegTokenResp::parse(&written), Ok(resp), "written differently than read");
        assert!(written.len() <= data.len(), "DER is the shortest there is");
        assert!(NegTokenResp::parse(shorter).is_err(), "a part of a token was read as a whole one");
    }
}

fn is_part(whole: &[u8], part: &[u8]) -> bool {
    let (whole, part) = (whole.as_ptr_range(), part.as_ptr_range());
    whole.start <= part.start && part.end <= whole.end
}
