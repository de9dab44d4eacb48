//! Sinks and sources.

use std::ffi::CString;

use pulseaudio::protocol::{ChannelVolume, Props};

use crate::buffer::LatencyRange;
use crate::id::{SinkId, SourceId};
use crate::spec::Spec;

/// A device as the host describes it.
#[derive(Clone, Debug)]
pub struct DeviceConfig {
    /// Its name: letters, digits, `.`, `-`, `_`.
    pub name: CString,
    /// What people read.
    pub description: CString,
    /// What it mixes in, or records in.
    pub spec: Spec,
    /// Which latencies streams may ask it for.
    pub range: LatencyRange,
    /// Properties, such as `device.icon_name`.
    pub props: Props,
    /// Its volume to begin with; none: full.
    pub volume: Option<ChannelVolume>,
    /// Whether it is muted to begin with.
    pub muted: bool,
}

/// What sinks and sources have in common.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) config: DeviceConfig,
    pub(crate) volume: ChannelVolume,
    pub(crate) muted: bool,
    pub(crate) suspended: bool,
    /// In microseconds: from the device's buffer to the ear, or from the mouth.
    pub(crate) latency: u64,
}

impl Device {
    pub(crate) fn new(config: DeviceConfig) -> Self {
        let channels = config.spec.channels();
        let volume =
            config.volume.as_ref().map_or_else(|| ChannelVolume::norm(channels), |v| crate::spec::fitted(v, channels));
        let (muted, latency) = (config.muted, config.range.min);
        Self { config, volume, muted, suspended: false, latency }
    }
}

#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) device: Device,
    pub(crate) monitor: SourceId,
}

#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) device: Device,
    pub(crate) monitor_of: Option<SinkId>,
}
