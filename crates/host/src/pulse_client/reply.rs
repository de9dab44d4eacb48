//! What a server's answers say, as far as it is of use here.

use soundpost_core::{ChannelLayout, Format, SampleFormat, SampleRate};

use super::reader::{Read, Reader, Spec};

/// A sink or a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The server's number for it.
    pub index: u32,
    /// Its name, by which it is asked for.
    pub name: String,
    /// What a person calls it.
    pub description: String,
    /// Its format, where it is one that Soundpost carries. Channels are said in the order of their places in
    /// [`ChannelLayout`], which need not be the device's own.
    pub format: Option<Format>,
    /// Whether somebody plays into it or records from it just now.
    pub running: bool,
}

/// A module that the server has loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// The server's number for it.
    pub index: u32,
    /// Its name, such as `module-null-sink`.
    pub name: String,
    /// The arguments that it was loaded with.
    pub arguments: String,
}

/// Where a playback stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Bytes that have left the stream's buffer.
    pub read: u64,
    /// How long such a byte takes until it is heard, in microseconds.
    pub sink_micros: u64,
    /// Whether it is playing.
    pub playing: bool,
}

/// The state of a device that is in use.
const RUNNING: u32 = 0;

impl Device {
    /// As version 15 and later have it.
    pub(super) fn read(packet: &[u8]) -> Read<Self> {
        let mut reader = Reader::new(packet);
        let (index, name, description) = (reader.u32()?, reader.text()?, reader.text()?);
        let (spec, map) = (reader.spec()?, reader.map()?);
        // Module, volume, mute; monitor; latency, driver, flags; properties, latency that is asked for, base volume.
        reader.u32()?;
        reader.skip_volumes()?;
        reader.bool()?;
        reader.u32()?;
        reader.string()?;
        reader.micros()?;
        reader.string()?;
        reader.u32()?;
        reader.skip_props()?;
        reader.micros()?;
        reader.skip_volume()?;
        Ok(Self { index, name, description, format: format(spec, map), running: reader.u32()? == RUNNING })
    }
}

impl Module {
    /// The entries of a list, as version 15 and later have it.
    pub(super) fn read_list(packet: &[u8]) -> Read<Vec<Self>> {
        let mut reader = Reader::new(packet);
        let mut modules = Vec::new();
        while !reader.rest().is_empty() {
            modules.push(Self { index: reader.u32()?, name: reader.text()?, arguments: reader.text()? });
            reader.u32()?;
            reader.skip_props()?;
        }
        Ok(modules)
    }

    /// Whether one of the arguments is `argument`, word for word.
    #[must_use]
    pub fn has(&self, argument: &str) -> bool {
        self.arguments.split_whitespace().any(|word| word == argument)
    }
}

impl Timing {
    pub(super) fn read(packet: &[u8]) -> Read<Self> {
        let mut reader = Reader::new(packet);
        let (sink_micros, _source, playing) = (reader.micros()?, reader.micros()?, reader.bool()?);
        reader.time_of_day()?;
        reader.time_of_day()?;
        let (_write, read) = (reader.i64()?, reader.i64()?);
        Ok(Self { read: u64::try_from(read).unwrap_or(0), sink_micros, playing })
    }
}

/// The number that the protocol has for a type of sample.
pub(super) const fn number_of(sample: SampleFormat) -> u8 {
    match sample {
        SampleFormat::U8 => 0,
        SampleFormat::S16 => 3,
        SampleFormat::F32 => 5,
        SampleFormat::S32 => 7,
        SampleFormat::S24 => 9,
        SampleFormat::S24In32 => 11,
    }
}

/// The bit in a channel mask for each of the protocol's places, from 1 on.
const BITS: [u32; 11] = [0x1, 0x2, 0x4, 0x100, 0x10, 0x20, 0x8, 0x40, 0x80, 0x200, 0x400];

/// The protocol's number for the place of each channel of a layout.
pub(super) fn places_of(layout: ChannelLayout) -> Vec<u8> {
    if layout == ChannelLayout::MONO {
        return vec![0];
    }
    let place = |bit: u32| (1..).zip(BITS).find(|(_, known)| *known == bit).map_or(0, |(number, _)| number);
    layout.speakers().map(|speaker| place(speaker.bit())).collect()
}

fn format(spec: Spec, map: &[u8]) -> Option<Format> {
    let sample = SampleFormat::ALL.into_iter().find(|&sample| number_of(sample) == spec.format)?;
    let bit = |place: u8| usize::from(place).checked_sub(1).and_then(|at| BITS.get(at)).copied();
    let mask = map.iter().try_fold(0, |mask, &place| bit(place).map(|bit| mask | bit)).unwrap_or(0);
    let channels = u16::from(spec.channels);
    let layout = ChannelLayout::new(channels, mask).or_else(|_| ChannelLayout::new(channels, 0)).ok()?;
    Some(Format { sample, rate: SampleRate::new(spec.rate).ok()?, layout })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_apart_from_those_that_are_not_carried() {
        let spec = |format, channels, rate| Spec { format, channels, rate };
        let stereo = Format { sample: SampleFormat::S16, ..Format::DEFAULT };
        assert_eq!(format(spec(3, 2, 48_000), &[1, 2]), Some(stereo));
        assert_eq!(format(spec(4, 2, 48_000), &[1, 2]), None, "big-endian");
        assert_eq!(format(spec(3, 12, 48_000), &[12; 12]), None, "channels");
        assert_eq!(format(spec(3, 2, 1), &[1, 2]), None, "rate");
        let mono = format(spec(3, 1, 48_000), &[0]).unwrap();
        assert_eq!(mono.layout, ChannelLayout::MONO);
    }

    #[test]
    fn places_are_those_of_the_protocol() {
        // PA_CHANNEL_POSITION_*: front left 1, right 2, centre 3, rear left 5, right 6, LFE 7.
        let surround = ChannelLayout::new(6, 0x3f).unwrap();
        assert_eq!(places_of(surround), [1, 2, 3, 7, 5, 6]);
        assert_eq!(places_of(ChannelLayout::MONO), [0]);
        // ALSA's order, as PulseAudio's devices have it: the mask is the same.
        let spec = Spec { format: 5, channels: 6, rate: 48_000 };
        assert_eq!(format(spec, &[1, 2, 5, 6, 3, 7]).unwrap().layout, surround);
    }

    #[test]
    fn a_device_is_read_as_pulseaudio_16_describes_it() {
        let packet = |state: u8| {
            let mut packet = b"L\0\0\0\x01tout.monitor\0tMonitor\0a\x03\x02\0\0\xbb\x80m\x02\x01\x02L\0\0\0\x06\
                v\x02\0\x01\0\0\0\x01\0\0\x30L\0\0\0\0tout\0U\0\0\0\0\0\0\0\0tmodule\0L\0\0\0\xe6PN\
                U\0\0\0\0\0\0\0\0V\0\x01\0\0L\0\0\0"
                .to_vec();
            packet.push(state);
            packet
        };
        let device = Device::read(&packet(0)).unwrap();
        assert_eq!((device.index, device.name.as_str(), device.running), (1, "out.monitor", true));
        assert_eq!(device.format, Some(Format { sample: SampleFormat::S16, ..Format::DEFAULT }));
        assert!(!Device::read(&packet(1)).unwrap().running && !Device::read(&packet(2)).unwrap().running);
        assert!(Device::read(&packet(0)[..90]).is_err());
    }

    #[test]
    fn modules_are_read_with_their_arguments() {
        let packet = b"L\0\0\0\x07tmodule-null-sink\0tsink_name=a rate=1\0L\xff\xff\xff\xffPN\
            L\0\0\0\x08tm\0NL\0\0\0\0Ptk\0L\0\0\0\x01x\0\0\0\x01vN";
        let modules = Module::read_list(packet).unwrap();
        assert_eq!(modules.len(), 2);
        assert_eq!((modules[0].index, modules[0].name.as_str()), (7, "module-null-sink"));
        assert!(modules[0].has("sink_name=a") && !modules[0].has("sink_name"));
        assert_eq!(modules[1].arguments, "");
        assert!(Module::read_list(&packet[..packet.len() - 1]).is_err());
    }
}
