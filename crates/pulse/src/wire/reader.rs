//! The values of a control packet, each behind a tag.

use std::ffi::{CStr, CString};

use pulseaudio::protocol::Props;

use crate::limits::{MAX_PROPS, MAX_PROPS_BYTES};
use crate::time::WallTime;

/// Longest value of a property in bytes: PulseAudio's own limit.
const MAX_VALUE: usize = 64 * 1024;
const MAX_CHANNELS: usize = 32;

/// What is wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the packet ends within a value")]
    Truncated,
    #[error("tag {got:#04x} where {expected} belongs")]
    Tag { expected: &'static str, got: u8 },
    #[error("{0} bytes after the last value")]
    Trailing(usize),
    #[error("{0}")]
    Value(&'static str),
    /// Nothing is wrong with it but its size.
    #[error("a property list beyond the limit")]
    TooLarge,
}

/// A sample specification as it came: any numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawSpec {
    pub(crate) format: u8,
    pub(crate) channels: u8,
    pub(crate) rate: u32,
}

/// The places of channels as they came.
pub(crate) type RawMap<'a> = &'a [u8];

/// A volume for each channel as it came.
pub(crate) type RawVolume = Vec<u32>;

/// A format of the extended API as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawFormat {
    pub(crate) encoding: u8,
    pub(crate) props: Props,
}

/// The first four bytes as a number; 0 for those that are not there.
pub(super) fn be_u32(bytes: &[u8]) -> u32 {
    let mut raw = [0; 4];
    for (to, from) in raw.iter_mut().zip(bytes) {
        *to = *from;
    }
    u32::from_be_bytes(raw)
}

/// Reads a packet from its front.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(packet: &'a [u8]) -> Self {
        Self(packet)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (now, rest) = self.0.split_at_checked(count).ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(now)
    }

    fn byte(&mut self) -> Result<u8, WireError> {
        self.take(1)?.first().copied().ok_or(WireError::Truncated)
    }

    fn word(&mut self) -> Result<u32, WireError> {
        Ok(be_u32(self.take(4)?))
    }

    fn long(&mut self) -> Result<u64, WireError> {
        Ok(u64::from(self.word()?) << 32 | u64::from(self.word()?))
    }

    fn tag(&mut self, expected: u8, name: &'static str) -> Result<(), WireError> {
        let got = self.byte()?;
        if got == expected { Ok(()) } else { Err(WireError::Tag { expected: name, got }) }
    }

    /// Whether everything was read.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn u32(&mut self) -> Result<u32, WireError> {
        self.tag(b'L', "a number")?;
        self.word()
    }

    /// A number that is an index; none for the number that stands for "none".
    pub(crate) fn index(&mut self) -> Result<Option<u32>, WireError> {
        let index = self.u32()?;
        Ok((index != u32::MAX).then_some(index))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, WireError> {
        self.tag(b'B', "a byte")?;
        self.byte()
    }

    pub(crate) fn i64(&mut self) -> Result<i64, WireError> {
        self.tag(b'r', "a signed number")?;
        Ok(self.long()?.cast_signed())
    }

    pub(crate) fn bool(&mut self) -> Result<bool, WireError> {
        match self.byte()? {
            b'1' => Ok(true),
            b'0' => Ok(false),
            got => Err(WireError::Tag { expected: "yes or no", got }),
        }
    }

    /// A string without its end; none for the null string.
    pub(crate) fn string(&mut self) -> Result<Option<&'a CStr>, WireError> {
        match self.byte()? {
            b't' => {
                let string = CStr::from_bytes_until_nul(self.0).map_err(|_| WireError::Truncated)?;
                self.take(string.to_bytes_with_nul().len())?;
                Ok(Some(string))
            }
            b'N' => Ok(None),
            got => Err(WireError::Tag { expected: "a string", got }),
        }
    }

    pub(crate) fn owned_string(&mut self) -> Result<Option<CString>, WireError> {
        Ok(self.string()?.map(CStr::to_owned))
    }

    pub(crate) fn time_of_day(&mut self) -> Result<WallTime, WireError> {
        self.tag(b'T', "a time of day")?;
        Ok(WallTime { seconds: self.word()?, micros: self.word()? })
    }

    /// Bytes with their length before them.
    pub(crate) fn arbitrary(&mut self) -> Result<&'a [u8], WireError> {
        self.tag(b'x', "bytes")?;
        let length = usize::try_from(self.word()?).unwrap_or(usize::MAX);
        self.take(length)
    }

    pub(crate) fn sample_spec(&mut self) -> Result<RawSpec, WireError> {
        self.tag(b'a', "a sample specification")?;
        Ok(RawSpec { format: self.byte()?, channels: self.byte()?, rate: self.word()? })
    }

    pub(crate) fn channel_map(&mut self) -> Result<RawMap<'a>, WireError> {
        self.tag(b'm', "a channel map")?;
        let channels = self.channels()?;
        self.take(channels)
    }

    pub(crate) fn volume(&mut self) -> Result<RawVolume, WireError> {
        self.tag(b'v', "a volume")?;
        let channels = self.channels()?;
        Ok(self.take(channels * 4)?.chunks_exact(4).map(be_u32).collect())
    }

    fn channels(&mut self) -> Result<usize, WireError> {
        let channels = usize::from(self.byte()?);
        if channels > MAX_CHANNELS { Err(WireError::Value("more than 32 channels")) } else { Ok(channels) }
    }

    /// A property list. What is not printable ASCII is no key, as in PulseAudio.
    pub(crate) fn props(&mut self) -> Result<Props, WireError> {
        self.tag(b'P', "a property list")?;
        let mut props = Props::new();
        let (mut entries, mut bytes) = (0, 0);
        while let Some(key) = self.string()? {
            if key.is_empty() || !key.to_bytes().iter().all(|&c| (32..127).contains(&c)) {
                return Err(WireError::Value("a property without a proper name"));
            }
            let length = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
            let value = self.arbitrary()?;
            if length > MAX_VALUE || value.len() != length {
                return Err(WireError::Value("a property of another length than announced, or above 64 KiB"));
            }
            entries += 1;
            bytes += key.to_bytes().len() + length;
            if entries > MAX_PROPS || bytes > MAX_PROPS_BYTES {
                return Err(WireError::TooLarge);
            }
            props.set_bytes(key, value);
        }
        Ok(props)
    }

    pub(crate) fn format(&mut self) -> Result<RawFormat, WireError> {
        self.tag(b'f', "a format")?;
        Ok(RawFormat { encoding: self.u8()?, props: self.props()? })
    }

    /// That nothing is left.
    pub(crate) const fn end(&self) -> Result<(), WireError> {
        if self.0.is_empty() { Ok(()) } else { Err(WireError::Trailing(self.0.len())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_the_protocol_writes_them() {
        let bytes =
            b"L\0\0\x01\x02B\x07r\xff\xff\xff\xff\xff\xff\xff\xfe10tab\0Nx\0\0\0\x02xyT\0\0\0\x01\xff\xff\xff\xff";
        let mut reader = Reader::new(bytes);
        assert_eq!(reader.u32(), Ok(0x102));
        assert_eq!(reader.u8(), Ok(7));
        assert_eq!(reader.i64(), Ok(-2));
        assert_eq!((reader.bool(), reader.bool()), (Ok(true), Ok(false)));
        assert_eq!(reader.string(), Ok(Some(c"ab")));
        assert_eq!(reader.string(), Ok(None));
        assert_eq!(reader.arbitrary(), Ok(&b"xy"[..]));
        assert_eq!(reader.time_of_day(), Ok(WallTime { seconds: 1, micros: u32::MAX }));
        assert_eq!(reader.end(), Ok(()));
    }

    #[test]
    fn a_length_beyond_the_packet_takes_no_memory() {
        assert_eq!(Reader::new(b"x\xff\xff\xff\xffab").arbitrary(), Err(WireError::Truncated));
        assert_eq!(Reader::new(b"tab").string(), Err(WireError::Truncated));
        assert_eq!(Reader::new(b"v\xff").volume(), Err(WireError::Value("more than 32 channels")));
        assert_eq!(Reader::new(b"v\x02\0\0\0\x01").volume(), Err(WireError::Truncated));
        assert_eq!(Reader::new(b"L\0").u32(), Err(WireError::Truncated));
        assert_eq!(Reader::new(b"B\0").u32(), Err(WireError::Tag { expected: "a number", got: b'B' }));
    }

    #[test]
    fn a_property_list_is_bounded() {
        let mut packet = b"P".to_vec();
        for number in 0..=MAX_PROPS {
            packet.extend_from_slice(format!("tkey{number}\0L\0\0\0\x01x\0\0\0\x01v").as_bytes());
        }
        packet.push(b'N');
        assert_eq!(Reader::new(&packet).props(), Err(WireError::TooLarge));
        let short = Reader::new(b"Pta.b\0L\0\0\0\x02x\0\0\0\x02v\0N").props().expect("a list");
        assert_eq!(short.get_bytes(c"a.b"), Some(&b"v\0"[..]));
        assert!(Reader::new(b"Pta\xc3\0L\0\0\0\x01x\0\0\0\x01vN").props().is_err());
        assert!(Reader::new(b"Pta\0L\0\0\0\x02x\0\0\0\x01vN").props().is_err());
    }
}
