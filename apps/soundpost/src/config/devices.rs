//! Further devices of sessions: `[[devices]]` in the configuration file.

use std::path::PathBuf;

use serde::Deserialize;
use soundpost_endpoint::DataFlow;

use super::{ConfigError, User};

/// A device that a session has beside its speakers and its microphone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceSettings {
    /// Whose: a place in the list of users.
    pub(crate) session: usize,
    pub(crate) flow: DataFlow,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) endpoints: Vec<DeviceEndpoint>,
    /// Whether it is the default until somebody chooses another.
    pub(crate) is_default: bool,
}

/// Where a device's sound goes, or comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum DeviceEndpoint {
    /// The session's listeners, through its speakers.
    Listeners,
    /// A WAV file that is written.
    File(PathBuf),
    /// A quiet tone of 440 Hz.
    Tone,
    /// A counter of frames.
    TestSignal,
}

impl TryFrom<String> for DeviceEndpoint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "listeners" => Ok(Self::Listeners),
            "tone" => Ok(Self::Tone),
            "test-signal" => Ok(Self::TestSignal),
            other => match other.strip_prefix("file:").filter(|path| !path.is_empty()) {
                Some(path) => Ok(Self::File(path.into())),
                None => Err(format!(
                    "{text:?} is no endpoint: a sink takes \"listeners\" and \"file:PATH.wav\", a source \"tone\" or \
                     \"test-signal\""
                )),
            },
        }
    }
}

impl DeviceEndpoint {
    const fn flow(&self) -> DataFlow {
        match self {
            Self::Listeners | Self::File(_) => DataFlow::Render,
            Self::Tone | Self::TestSignal => DataFlow::Capture,
        }
    }
}

/// A device as the file has it.
#[derive(Debug, Deserialize)]
pub(super) struct FileDevice {
    kind: Kind,
    name: String,
    description: Option<String>,
    /// Left out: the first user.
    user: Option<String>,
    #[serde(default)]
    endpoints: Vec<DeviceEndpoint>,
    #[serde(default)]
    default: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Sink,
    Source,
}

/// Most devices of one file.
const MOST: usize = 64;
/// Longest name: with `.monitor` behind it, it is one that the protocol takes.
const LONGEST_NAME: usize = 100;

/// Checks what the file says.
pub(super) fn devices(file: Vec<FileDevice>, users: &[User]) -> Result<Vec<DeviceSettings>, ConfigError> {
    if file.len() > MOST {
        return Err(refused("devices", file.len().to_string(), "64 are the most"));
    }
    let mut devices: Vec<DeviceSettings> = Vec::new();
    for device in file {
        let session = match &device.user {
            None => 0,
            Some(name) => users
                .iter()
                .position(|user| user.name == *name)
                .ok_or_else(|| refused("devices.user", name.clone(), "name a user as `user` or `users.name` has it"))?,
        };
        let flow = match device.kind {
            Kind::Sink => DataFlow::Render,
            Kind::Source => DataFlow::Capture,
        };
        let description = device.description.filter(|text| !text.trim().is_empty());
        let device = DeviceSettings {
            session,
            flow,
            description: description.unwrap_or_else(|| device.name.clone()),
            name: device.name,
            endpoints: device.endpoints,
            is_default: device.default,
        };
        check(&device, &devices)?;
        devices.push(device);
    }
    Ok(devices)
}

fn check(device: &DeviceSettings, others: &[DeviceSettings]) -> Result<(), ConfigError> {
    let name = &device.name;
    let usable = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(usable) {
        let remedy = "use letters, digits, `.`, `-` and `_`, 100 at most; what people read is its description";
        return Err(refused("devices.name", name.clone(), remedy));
    }
    if ["soundpost", "soundpost.microphone"].contains(&name.as_str()) || name.ends_with(".monitor") {
        return Err(refused("devices.name", name.clone(), "that is a device's that every session has: choose another"));
    }
    let mut others = others.iter().filter(|other| other.session == device.session);
    if others.clone().any(|other| other.name == *name) {
        return Err(refused(
            "devices.name",
            format!("{name} twice"),
            "every device of a session needs a name of its own",
        ));
    }
    if device.is_default && others.any(|other| other.is_default && other.flow == device.flow) {
        return Err(refused(
            "devices.default",
            format!("{name} as well"),
            "one sink and one source may be the default",
        ));
    }
    if device.endpoints.iter().any(|endpoint| endpoint.flow() != device.flow) {
        let remedy = "a sink takes \"listeners\" and \"file:PATH.wav\", a source \"tone\" or \"test-signal\"";
        return Err(refused("devices.endpoints", format!("those of {name}"), remedy));
    }
    let most = if device.flow == DataFlow::Render { 8 } else { 1 };
    if device.endpoints.len() > most {
        return Err(refused("devices.endpoints", format!("so many for {name}"), "a sink takes 8, a source takes one"));
    }
    Ok(())
}

fn refused(name: &'static str, value: String, remedy: &'static str) -> ConfigError {
    ConfigError::Value { name, value, remedy }
}
