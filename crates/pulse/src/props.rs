//! Property lists: looking up, updating, counting.

use std::ffi::CStr;

use pulseaudio::protocol::Props;

use crate::request::UpdateMode;

/// The value of `key` up to its terminating zero.
pub(crate) fn text<'a>(props: &'a Props, key: &CStr) -> Option<&'a CStr> {
    CStr::from_bytes_until_nul(props.get_bytes(key)?).ok()
}

/// Sets `key` to `value`.
pub(crate) fn set(props: &mut Props, key: &CStr, value: &CStr) {
    props.set_bytes(key, value.to_bytes_with_nul());
}

/// `old` after an update with `new`.
pub(crate) fn updated(old: &Props, mode: UpdateMode, new: &Props) -> Props {
    let (first, second) = match mode {
        UpdateMode::Set => return new.clone(),
        UpdateMode::Merge => (new, old),
        UpdateMode::Replace => (old, new),
    };
    let mut props = first.clone();
    for (key, value) in second.iter() {
        props.set_bytes(key, value);
    }
    props
}

/// `old` without `keys`; none where none of them was there.
pub(crate) fn without<K: AsRef<CStr>>(old: &Props, keys: &[K]) -> Option<Props> {
    let gone = |key: &CStr| keys.iter().any(|other| other.as_ref() == key);
    let mut props = Props::new();
    let mut any = false;
    for (key, value) in old.iter() {
        if gone(key) {
            any = true;
        } else {
            props.set_bytes(key, value);
        }
    }
    any.then_some(props)
}

/// Entries, and bytes of keys and values.
pub(crate) fn size(props: &Props) -> (usize, usize) {
    props.iter().fold((0, 0), |(count, bytes), (key, value)| (count + 1, bytes + key.to_bytes().len() + value.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn props(entries: &[(&CStr, &CStr)]) -> Props {
        let mut props = Props::new();
        for (key, value) in entries {
            set(&mut props, key, value);
        }
        props
    }

    #[test]
    fn each_mode_updates_in_its_own_way() {
        let old = props(&[(c"a", c"1"), (c"b", c"2")]);
        let new = props(&[(c"b", c"3"), (c"c", c"4")]);
        assert_eq!(updated(&old, UpdateMode::Set, &new), new);
        assert_eq!(updated(&old, UpdateMode::Merge, &new), props(&[(c"a", c"1"), (c"b", c"2"), (c"c", c"4")]));
        assert_eq!(updated(&old, UpdateMode::Replace, &new), props(&[(c"a", c"1"), (c"b", c"3"), (c"c", c"4")]));
    }

    #[test]
    fn removing_what_is_not_there_changes_nothing() {
        let old = props(&[(c"a", c"1"), (c"b", c"2")]);
        assert_eq!(without(&old, &[c"z"]), None);
        assert_eq!(without(&old, &[c"a", c"z"]), Some(props(&[(c"b", c"2")])));
        assert_eq!(size(&old), (2, 6));
        assert_eq!(text(&old, c"b"), Some(c"2"));
    }
}
