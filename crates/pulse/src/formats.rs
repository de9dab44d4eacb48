//! The formats of the extended API (since version 21): a list of what a client could send, of which one is chosen.
//!
//! A format is an encoding and properties in JSON: a value, a list of values, or a range. PCM is the only encoding here.

use std::ffi::{CStr, CString};

use pulseaudio::protocol::{ChannelMap, FormatEncoding, FormatInfo, Props, SampleFormat};

use crate::props;
use crate::spec::{MAX_CHANNELS, Spec, default_map, position, sample_format};
use crate::wire::RawFormat;

/// The number of PCM among the encodings.
const PCM: u8 = 1;
/// The highest number that any version gave to an encoding.
const LAST_ENCODING: u8 = 8;

const SAMPLE_FORMAT: &CStr = c"format.sample_format";
const RATE: &CStr = c"format.rate";
const CHANNELS: &CStr = c"format.channels";
const CHANNEL_MAP: &CStr = c"format.channel_map";

/// The names of channels' places, by number; 12 to 43 are numbered.
const PLACES: [&str; 51] = [
    "mono",
    "front-left",
    "front-right",
    "front-center",
    "rear-center",
    "rear-left",
    "rear-right",
    "lfe",
    "front-left-of-center",
    "front-right-of-center",
    "side-left",
    "side-right",
    "aux0",
    "aux1",
    "aux2",
    "aux3",
    "aux4",
    "aux5",
    "aux6",
    "aux7",
    "aux8",
    "aux9",
    "aux10",
    "aux11",
    "aux12",
    "aux13",
    "aux14",
    "aux15",
    "aux16",
    "aux17",
    "aux18",
    "aux19",
    "aux20",
    "aux21",
    "aux22",
    "aux23",
    "aux24",
    "aux25",
    "aux26",
    "aux27",
    "aux28",
    "aux29",
    "aux30",
    "aux31",
    "top-center",
    "top-front-left",
    "top-front-right",
    "top-front-center",
    "top-rear-left",
    "top-rear-right",
    "top-rear-center",
];

/// The names of sample formats, by number.
const FORMATS: [&str; 13] = [
    "u8",
    "aLaw",
    "uLaw",
    "s16le",
    "s16be",
    "float32le",
    "float32be",
    "s32le",
    "s32be",
    "s24le",
    "s24be",
    "s24-32le",
    "s24-32be",
];

/// Whether the encoding is one that any version knows.
pub(crate) const fn is_known(format: &RawFormat) -> bool {
    format.encoding <= LAST_ENCODING
}

/// The first of `formats` that can be taken; what it leaves open is as the device has it. None: none is PCM that makes
/// sense.
pub(crate) fn choose(formats: &[RawFormat], device: &Spec) -> Option<Spec> {
    formats.iter().filter(|format| format.encoding == PCM).find_map(|format| spec_of(&format.props, device))
}

fn spec_of(format: &Props, device: &Spec) -> Option<Spec> {
    let sample = match text(format, SAMPLE_FORMAT) {
        None => device.format(),
        Some(text) => strings(text).find_map(sample_named)?,
    };
    let rate = match text(format, RATE) {
        None => device.rate(),
        Some(text) => number(text, device.rate())?,
    };
    let channels = match text(format, CHANNELS) {
        None => None,
        Some(text) => Some(u8::try_from(number(text, device.channels().into())?).ok()?),
    };
    let map = match (text(format, CHANNEL_MAP), channels) {
        (Some(text), _) => strings(text).find_map(map_named)?,
        (None, Some(channels)) if channels != device.channels() => {
            if !(1..=MAX_CHANNELS).contains(&channels) {
                return None;
            }
            default_map(channels)
        }
        (None, _) => device.map(),
    };
    if channels.is_some_and(|channels| channels != map.num_channels()) {
        return None;
    }
    Spec::new(sample, rate, map)
}

fn text<'a>(format: &'a Props, key: &CStr) -> Option<&'a str> {
    props::text(format, key)?.to_str().ok()
}

/// A number; of a list the first; of a range the nearest to `wanted`.
fn number(text: &str, wanted: u32) -> Option<u32> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).map(str::parse::<u32>);
    let first = numbers.next()?.ok()?;
    if !text.trim_start().starts_with('{') {
        return Some(first);
    }
    let second = numbers.next()?.ok()?;
    // The order of a range's two ends is not fixed.
    Some(wanted.clamp(first.min(second), first.max(second)))
}

/// Every quoted string of a JSON value without escapes, which no name has.
fn strings(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2)
}

fn sample_named(name: &str) -> Option<SampleFormat> {
    let number = FORMATS.iter().position(|known| known.eq_ignore_ascii_case(name))?;
    sample_format(u8::try_from(number).ok()?)
}

fn map_named(names: &str) -> Option<ChannelMap> {
    let mut map = ChannelMap::empty();
    for (count, name) in names.split(',').enumerate() {
        if count >= usize::from(MAX_CHANNELS) {
            return None;
        }
        let number = PLACES.iter().position(|place| *place == name)?;
        map.push(position(u8::try_from(number).ok()?)?);
    }
    Some(map)
}

/// What a device takes, without saying how: PCM.
pub(crate) fn any_pcm() -> FormatInfo {
    FormatInfo::new(FormatEncoding::Pcm)
}

/// `spec` as a format.
pub(crate) fn of_spec(spec: &Spec) -> FormatInfo {
    let mut format = any_pcm();
    let name = |number: usize, names: &[&'static str]| names.get(number).copied().unwrap_or("mono");
    let sample = (0..13).find(|&number| sample_format(number) == Some(spec.format())).unwrap_or(3);
    let map: Vec<&str> = spec
        .map()
        .into_iter()
        .map(|place| {
            (0..51).find(|&number| position(number) == Some(place)).map_or("mono", |n| name(n.into(), &PLACES))
        })
        .collect();
    for (key, value) in [
        (SAMPLE_FORMAT, format!("\"{}\"", name(sample.into(), &FORMATS))),
        (RATE, spec.rate().to_string()),
        (CHANNELS, spec.channels().to_string()),
        (CHANNEL_MAP, format!("\"{}\"", map.join(","))),
    ] {
        props::set(&mut format.props, key, &CString::new(value).unwrap_or_default());
    }
    format
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> Spec {
        Spec::new(SampleFormat::Float32Le, 48_000, default_map(2)).expect("a spec")
    }

    fn raw(encoding: u8, entries: &[(&CStr, &CStr)]) -> RawFormat {
        let mut list = Props::new();
        for (key, value) in entries {
            props::set(&mut list, key, value);
        }
        RawFormat { encoding, props: list }
    }

    #[test]
    fn the_first_pcm_format_that_makes_sense_is_chosen() {
        let ac3 = raw(2, &[(RATE, c"48000")]);
        let unknown = raw(PCM, &[(SAMPLE_FORMAT, c"\"s17le\"")]);
        let cd =
            raw(PCM, &[(SAMPLE_FORMAT, c"\"s16le\""), (RATE, c"44100"), (CHANNELS, c"1"), (CHANNEL_MAP, c"\"mono\"")]);
        let chosen = choose(&[ac3.clone(), unknown, cd], &device()).expect("PCM");
        assert_eq!((chosen.format(), chosen.rate(), chosen.channels()), (SampleFormat::S16Le, 44_100, 1));
        assert_eq!(choose(&[ac3], &device()), None);
        assert_eq!(choose(&[raw(PCM, &[])], &device()), Some(device()));
    }

    #[test]
    fn lists_and_ranges_are_narrowed_down() {
        let chosen = |entries: &[(&CStr, &CStr)]| choose(&[raw(PCM, entries)], &device());
        assert_eq!(chosen(&[(RATE, c"[ 32000, 44100 ]")]).map(|spec| spec.rate()), Some(32_000));
        assert_eq!(chosen(&[(RATE, c"{ \"min\": 8000, \"max\": 44100 }")]).map(|spec| spec.rate()), Some(44_100));
        let first = chosen(&[(SAMPLE_FORMAT, c"[ \"s16le\", \"u8\" ]")]).map(|spec| spec.format());
        assert_eq!(first, Some(SampleFormat::S16Le));
        assert_eq!(chosen(&[(RATE, c"x")]), None);
        assert_eq!(chosen(&[(RATE, c"99999999999")]), None);
        assert_eq!(chosen(&[(CHANNELS, c"0")]), None);
        assert_eq!(chosen(&[(CHANNELS, c"33")]), None);
        assert_eq!(chosen(&[(CHANNELS, c"2"), (CHANNEL_MAP, c"\"mono\"")]), None);
    }

    #[test]
    fn a_format_tells_the_whole_spec() {
        let format = of_spec(&device());
        assert_eq!(props::text(&format.props, CHANNEL_MAP), Some(c"\"front-left,front-right\""));
        assert_eq!(props::text(&format.props, SAMPLE_FORMAT), Some(c"\"float32le\""));
        assert_eq!(
            spec_of(&format.props, &Spec::new(SampleFormat::U8, 8000, default_map(1)).expect("a spec")),
            Some(device())
        );
    }
}
