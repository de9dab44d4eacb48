//! Requests for a new stream.

use std::ffi::CString;

use pulseaudio::protocol::Props;

use super::Which;
use crate::buffer::{BufferAttr, LatencyMode, RecordAttr};
use crate::wire::{RawFormat, RawSpec, RawVolume, Reader, WireError};

/// What a stream's flags say, both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) no_remap: bool,
    pub(crate) no_remix: bool,
    pub(crate) fix_format: bool,
    pub(crate) fix_rate: bool,
    pub(crate) fix_channels: bool,
    pub(crate) no_move: bool,
    pub(crate) variable_rate: bool,
    pub(crate) fail_on_suspend: bool,
    pub(crate) passthrough: bool,
}

impl Flags {
    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            no_remap: r.bool()?,
            no_remix: r.bool()?,
            fix_format: r.bool()?,
            fix_rate: r.bool()?,
            fix_channels: r.bool()?,
            no_move: r.bool()?,
            variable_rate: r.bool()?,
            ..Self::default()
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CreatePlayback {
    pub(crate) spec: RawSpec,
    pub(crate) map: Vec<u8>,
    pub(crate) sink: Which,
    pub(crate) attr: BufferAttr,
    pub(crate) mode: LatencyMode,
    pub(crate) corked: bool,
    pub(crate) sync: u32,
    pub(crate) volume: RawVolume,
    pub(crate) volume_set: bool,
    pub(crate) muted: Option<bool>,
    pub(crate) flags: Flags,
    pub(crate) props: Props,
    pub(crate) formats: Vec<RawFormat>,
}

impl CreatePlayback {
    pub(super) fn read(version: u16, r: &mut Reader<'_>) -> Result<Self, WireError> {
        let (spec, map) = (r.sample_spec()?, r.channel_map()?.to_vec());
        let sink = Which { index: r.index()?, name: r.owned_string()? };
        let max_length = r.u32()?;
        let corked = r.bool()?;
        let attr = BufferAttr { max_length, target_length: r.u32()?, prebuf: r.u32()?, min_request: r.u32()? };
        let (sync, volume) = (r.u32()?, r.volume()?);
        let mut flags = Flags::read(r)?;
        let muted = r.bool()?;
        let mut mode = LatencyMode { adjust: r.bool()?, early: false };
        let props = r.props()?;
        // Before 14 the volume is always meant.
        let mut volume_set = true;
        if version >= 14 {
            volume_set = r.bool()?;
            mode.early = r.bool()?;
        }
        let mut muted_set = false;
        if version >= 15 {
            muted_set = r.bool()?;
            let _dont_inhibit_auto_suspend = r.bool()?;
            flags.fail_on_suspend = r.bool()?;
        }
        if version >= 17 {
            let _relative_volume = r.bool()?;
        }
        if version >= 18 {
            flags.passthrough = r.bool()?;
        }
        let formats = if version >= 21 { formats(r)? } else { Vec::new() };
        let muted = (muted_set || muted).then_some(muted);
        Ok(Self { spec, map, sink, attr, mode, corked, sync, volume, volume_set, muted, flags, props, formats })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CreateRecord {
    pub(crate) spec: RawSpec,
    pub(crate) map: Vec<u8>,
    pub(crate) source: Which,
    pub(crate) attr: RecordAttr,
    pub(crate) mode: LatencyMode,
    pub(crate) corked: bool,
    pub(crate) peak_detect: bool,
    /// Of a monitor: this playback stream alone.
    pub(crate) direct_on_input: Option<u32>,
    pub(crate) volume: Option<RawVolume>,
    pub(crate) muted: Option<bool>,
    pub(crate) flags: Flags,
    pub(crate) props: Props,
    pub(crate) formats: Vec<RawFormat>,
}

impl CreateRecord {
    pub(super) fn read(version: u16, r: &mut Reader<'_>) -> Result<Self, WireError> {
        let (spec, map) = (r.sample_spec()?, r.channel_map()?.to_vec());
        let source = Which { index: r.index()?, name: r.owned_string()? };
        let max_length = r.u32()?;
        let corked = r.bool()?;
        let attr = RecordAttr { max_length, fragment: r.u32()? };
        let mut flags = Flags::read(r)?;
        let peak_detect = r.bool()?;
        let mut mode = LatencyMode { adjust: r.bool()?, early: false };
        let props = r.props()?;
        let direct_on_input = r.index()?;
        if version >= 14 {
            mode.early = r.bool()?;
        }
        if version >= 15 {
            let _dont_inhibit_auto_suspend = r.bool()?;
            flags.fail_on_suspend = r.bool()?;
        }
        let (mut all_formats, mut volume, mut muted) = (Vec::new(), None, None);
        if version >= 22 {
            all_formats = formats(r)?;
            let (its_volume, its_mute) = (r.volume()?, r.bool()?);
            let (volume_set, muted_set) = (r.bool()?, r.bool()?);
            volume = volume_set.then_some(its_volume);
            muted = (muted_set || its_mute).then_some(its_mute);
            let _relative_volume = r.bool()?;
            flags.passthrough = r.bool()?;
        }
        Ok(Self {
            spec,
            map,
            source,
            attr,
            mode,
            corked,
            peak_detect,
            direct_on_input,
            volume,
            muted,
            flags,
            props,
            formats: all_formats,
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CreateUpload {
    pub(crate) name: Option<CString>,
    pub(crate) spec: RawSpec,
    pub(crate) map: Vec<u8>,
    pub(crate) length: u32,
    pub(crate) props: Props,
}

impl CreateUpload {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            name: r.owned_string()?,
            spec: r.sample_spec()?,
            map: r.channel_map()?.to_vec(),
            length: r.u32()?,
            props: r.props()?,
        })
    }
}

fn formats(r: &mut Reader<'_>) -> Result<Vec<RawFormat>, WireError> {
    (0..r.u8()?).map(|_| r.format()).collect()
}

pub(super) fn buffer_attr(r: &mut Reader<'_>) -> Result<BufferAttr, WireError> {
    Ok(BufferAttr { max_length: r.u32()?, target_length: r.u32()?, prebuf: r.u32()?, min_request: r.u32()? })
}

pub(super) fn latency_mode(version: u16, r: &mut Reader<'_>) -> Result<LatencyMode, WireError> {
    Ok(LatencyMode { adjust: r.bool()?, early: if version >= 14 { r.bool()? } else { false } })
}
