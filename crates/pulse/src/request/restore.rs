//! What clients ask of PulseAudio's stream-restore extension: volume and device of each application, as they are kept.

use std::ffi::{CStr, CString};

use super::UpdateMode;
use crate::limits::MAX_REMEMBERED;
use crate::wire::{RawVolume, Reader, WireError};

/// The module that has this extension in PulseAudio.
pub(crate) const MODULE: &CStr = c"module-stream-restore";
/// The extension's version.
pub(crate) const VERSION: u32 = 1;
/// The number that says that something has changed.
pub(crate) const EVENT: u32 = 5;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Restore {
    /// Whether it is there.
    Test,
    Read,
    Write {
        mode: UpdateMode,
        /// Whether streams that are there now follow.
        apply: bool,
        entries: Vec<Entry>,
    },
    Delete(Vec<CString>),
    /// Whether to be told of changes.
    Subscribe(bool),
}

/// What is kept of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: CString,
    /// Empty where none is kept.
    pub(crate) volume: RawVolume,
    pub(crate) device: Option<CString>,
    pub(crate) muted: bool,
}

impl Restore {
    /// Reads what follows the module's name, to the packet's end.
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(match r.u32()? {
            0 => Self::Test,
            1 => Self::Read,
            2 => {
                let mode = UpdateMode::from_number(r.u32()?).ok_or(WireError::Value("an unknown way to update"))?;
                let apply = r.bool()?;
                let mut entries = Vec::new();
                while !r.is_empty() {
                    if entries.len() >= MAX_REMEMBERED {
                        return Err(WireError::TooLarge);
                    }
                    entries.push(Entry::read(r)?);
                }
                Self::Write { mode, apply, entries }
            }
            3 => {
                let mut names = Vec::new();
                while !r.is_empty() {
                    if names.len() >= MAX_REMEMBERED {
                        return Err(WireError::TooLarge);
                    }
                    names.push(r.owned_string()?.ok_or(WireError::Value("something without a name to forget"))?);
                }
                Self::Delete(names)
            }
            4 => Self::Subscribe(r.bool()?),
            _ => return Err(WireError::Value("an unknown command to the stream-restore extension")),
        })
    }
}

impl Entry {
    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        let name = r.owned_string()?.filter(|name| !name.is_empty());
        let name = name.ok_or(WireError::Value("something without a name to remember"))?;
        let channels = r.channel_map()?.len();
        let volume = r.volume()?;
        let device = r.owned_string()?.filter(|device| !device.is_empty());
        let muted = r.bool()?;
        if !volume.is_empty() && (volume.len() != channels || crate::spec::volume(&volume).is_none()) {
            return Err(WireError::Value("a volume that does not fit its channels"));
        }
        if device.as_deref().is_some_and(|device| !crate::names::is_valid(device)) {
            return Err(WireError::Value("a device name that none can have"));
        }
        Ok(Self { name, volume, device, muted })
    }
}
