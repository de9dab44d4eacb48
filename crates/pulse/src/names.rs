//! Names of devices and samples.

use std::ffi::CStr;

use crate::limits::MAX_NAME;

/// The name that stands for whatever is the default sink.
pub(crate) const DEFAULT_SINK: &CStr = c"@DEFAULT_SINK@";
/// The name that stands for whatever is the default source.
pub(crate) const DEFAULT_SOURCE: &CStr = c"@DEFAULT_SOURCE@";
/// The name that stands for the default sink's monitor.
pub(crate) const DEFAULT_MONITOR: &CStr = c"@DEFAULT_MONITOR@";
/// The name that stands for no choice at all.
pub(crate) const NONE: &CStr = c"@NONE@";

/// Letters, digits, `.`, `-` and `_`, 1 to 128 of them.
pub(crate) fn is_valid(name: &CStr) -> bool {
    let bytes = name.to_bytes();
    (1..=MAX_NAME).contains(&bytes.len()) && bytes.iter().all(|c| c.is_ascii_alphanumeric() || b".-_".contains(c))
}

/// The same, or a name that stands for a sink.
pub(crate) fn is_valid_sink(name: &CStr) -> bool {
    is_valid(name) || name == DEFAULT_SINK
}

/// The same, or a name that stands for a source.
pub(crate) fn is_valid_source(name: &CStr) -> bool {
    is_valid(name) || name == DEFAULT_SOURCE || name == DEFAULT_MONITOR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        assert!(is_valid(c"soundpost.monitor") && is_valid_sink(DEFAULT_SINK) && is_valid_source(DEFAULT_MONITOR));
        assert!(!is_valid(c"") && !is_valid(c"a b") && !is_valid(c"\xc3\xa4") && !is_valid_sink(DEFAULT_SOURCE));
        assert!(!is_valid(&std::ffi::CString::new(vec![b'a'; 129]).expect("no zero")));
    }
}
