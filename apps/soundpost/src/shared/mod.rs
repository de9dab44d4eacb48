//! `soundpost play` and `soundpost record` beside other applications: as clients of a sound server that speaks
//! PulseAudio's protocol.

mod bar;
mod play;
mod record;

use std::path::Path;
use std::time::Duration;

use soundpost_host::pulse_client::{Client, Place};

use crate::cli::ServerArgs;
use crate::exclusive::Failure;

pub(crate) use self::play::play;
pub(crate) use self::record::record;

/// How long a command waits at once before it looks whether it was asked to end.
const TICK: Duration = Duration::from_millis(40);

/// What is said when the server has taken the stream away.
const TAKEN: &str = "the sound server has ended the stream: its device is gone, or somebody has stopped it there";

fn connect(args: &ServerArgs) -> Result<Client, Failure> {
    let places = Place::find(args.server.as_deref())?;
    Ok(Client::connect(&places, "soundpost")?)
}

fn volume(args: &ServerArgs) -> Option<f32> {
    args.volume.map(|percent| f32::from(percent) / 100.0)
}

/// What a person calls a stream of this file.
fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
