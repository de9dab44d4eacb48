//! The values of a control packet, each behind a tag.

use std::ffi::CStr;

/// The first four bytes as a number; 0 for those that are not there.
pub(super) fn be_u32(bytes: &[u8]) -> u32 {
    let mut raw = [0; 4];
    for (to, from) in raw.iter_mut().zip(bytes) {
        *to = *from;
    }
    u32::from_be_bytes(raw)
}

/// What a packet lacks or has wrong.
pub(super) type Wrong = &'static str;
/// A value, or what is wrong with it.
pub(super) type Read<T> = Result<T, Wrong>;

const SHORT: Wrong = "a packet that ends within a value";
const TAG: Wrong = "another value than belongs there";

/// A sample specification as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) format: u8,
    pub(super) channels: u8,
    pub(super) rate: u32,
}

/// Reads a packet from its front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(packet: &'a [u8]) -> Self {
        Self(packet)
    }

    /// What was not read.
    pub(super) const fn rest(self) -> &'a [u8] {
        self.0
    }

    fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let (now, rest) = self.0.split_at_checked(count).ok_or(SHORT)?;
        self.0 = rest;
        Ok(now)
    }

    fn byte(&mut self) -> Read<u8> {
        self.take(1)?.first().copied().ok_or(SHORT)
    }

    fn word(&mut self) -> Read<u32> {
        Ok(be_u32(self.take(4)?))
    }

    fn long(&mut self) -> Read<u64> {
        Ok(u64::from(self.word()?) << 32 | u64::from(self.word()?))
    }

    fn tag(&mut self, expected: u8) -> Read<()> {
        if self.byte()? == expected { Ok(()) } else { Err(TAG) }
    }

    pub(super) fn u32(&mut self) -> Read<u32> {
        self.tag(b'L')?;
        self.word()
    }

    pub(super) fn i64(&mut self) -> Read<i64> {
        self.tag(b'r')?;
        Ok(self.long()?.cast_signed())
    }

    /// A duration in microseconds.
    pub(super) fn micros(&mut self) -> Read<u64> {
        self.tag(b'U')?;
        self.long()
    }

    pub(super) fn time_of_day(&mut self) -> Read<()> {
        self.tag(b'T')?;
        self.take(8).map(|_| ())
    }

    pub(super) fn bool(&mut self) -> Read<bool> {
        match self.byte()? {
            b'1' => Ok(true),
            b'0' => Ok(false),
            _ => Err(TAG),
        }
    }

    pub(super) fn string(&mut self) -> Read<Option<&'a CStr>> {
        match self.byte()? {
            b't' => {
                let string = CStr::from_bytes_until_nul(self.0).map_err(|_| SHORT)?;
                self.take(string.to_bytes_with_nul().len())?;
                Ok(Some(string))
            }
            b'N' => Ok(None),
            _ => Err(TAG),
        }
    }

    /// A string as text; empty for the null string.
    pub(super) fn text(&mut self) -> Read<String> {
        Ok(self.string()?.map(|text| text.to_string_lossy().into_owned()).unwrap_or_default())
    }

    pub(super) fn spec(&mut self) -> Read<Spec> {
        self.tag(b'a')?;
        Ok(Spec { format: self.byte()?, channels: self.byte()?, rate: self.word()? })
    }

    /// The places of channels.
    pub(super) fn map(&mut self) -> Read<&'a [u8]> {
        self.tag(b'm')?;
        let channels = usize::from(self.byte()?);
        self.take(channels)
    }

    /// Reads over a volume for each channel.
    pub(super) fn skip_volumes(&mut self) -> Read<()> {
        self.tag(b'v')?;
        let channels = usize::from(self.byte()?);
        self.take(channels * 4).map(|_| ())
    }

    /// Reads over one volume.
    pub(super) fn skip_volume(&mut self) -> Read<()> {
        self.tag(b'V')?;
        self.word().map(|_| ())
    }

    /// Reads over a property list.
    pub(super) fn skip_props(&mut self) -> Read<()> {
        self.tag(b'P')?;
        while self.string()?.is_some() {
            self.u32()?;
            self.tag(b'x')?;
            let length = usize::try_from(self.word()?).unwrap_or(usize::MAX);
            self.take(length)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_the_protocol_writes_them() {
        let bytes = b"L\0\0\x01\x02r\xff\xff\xff\xff\xff\xff\xff\xfe10tab\0NU\0\0\0\x01\0\0\0\x02\
            a\x03\x02\0\0\xbb\x80m\x02\x01\x02Ptk\0L\0\0\0\x01x\0\0\0\x01vNT\0\0\0\0\0\0\0\0";
        let mut reader = Reader::new(bytes);
        assert_eq!(reader.u32(), Ok(0x102));
        assert_eq!(reader.i64(), Ok(-2));
        assert_eq!((reader.bool(), reader.bool()), (Ok(true), Ok(false)));
        assert_eq!(reader.string(), Ok(Some(c"ab")));
        assert_eq!(reader.text(), Ok(String::new()));
        assert_eq!(reader.micros(), Ok(0x1_0000_0002));
        assert_eq!(reader.spec(), Ok(Spec { format: 3, channels: 2, rate: 48_000 }));
        assert_eq!(reader.map(), Ok(&[1, 2][..]));
        assert_eq!(reader.skip_props(), Ok(()));
        assert_eq!(reader.time_of_day(), Ok(()));
        assert!(reader.rest().is_empty());
    }

    #[test]
    fn what_is_cut_off_or_lies_is_refused() {
        assert_eq!(Reader::new(b"L\0").u32(), Err(SHORT));
        assert_eq!(Reader::new(b"B\0").u32(), Err(TAG));
        assert_eq!(Reader::new(b"tab").string(), Err(SHORT));
        assert_eq!(Reader::new(b"m\xff\x01").map(), Err(SHORT));
        assert_eq!(Reader::new(b"Ptk\0L\xff\xff\xff\xffx\xff\xff\xff\xffv").skip_props(), Err(SHORT));
    }
}
