//! What applications had last, kept over restarts: volume, mute and device of each, and the default devices.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use soundpost_core::Instant;
use soundpost_pulse::{ChannelVolume, Remembered, Server, Volume};

/// How long changes are gathered before they are written.
const GATHER: Duration = Duration::from_secs(1);
/// Most applications that are kept: those that changed least recently go first.
const MOST: usize = 1_000;
/// A longer file is none of ours.
const LONGEST_FILE: u64 = 4 * 1024 * 1024;

/// The file, as it is written: JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct File {
    default_sink: Option<String>,
    default_source: Option<String>,
    /// Least recently changed first.
    applications: Vec<Entry>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Entry {
    key: String,
    /// For each channel, 65536 is full.
    #[serde(skip_serializing_if = "Option::is_none")]
    volume: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    muted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
}

/// The choices and their file.
#[derive(Debug)]
pub(super) struct Memory {
    path: Option<PathBuf>,
    default_sink: Option<CString>,
    default_source: Option<CString>,
    applications: BTreeMap<CString, (u64, Remembered)>,
    changes: u64,
    write_at: Option<Instant>,
    writing: Option<JoinHandle<()>>,
}

impl Memory {
    /// What is in the file, handed to the server. A file that cannot be read is reported and replaced by the next change.
    pub(super) fn load(path: Option<PathBuf>, server: &mut Server) -> Self {
        let mut memory = Self {
            path,
            default_sink: None,
            default_source: None,
            applications: BTreeMap::new(),
            changes: 0,
            write_at: None,
            writing: None,
        };
        let Some(path) = &memory.path else { return memory };
        let file = match read(path) {
            Ok(file) => file,
            Err(error) => {
                let path = path.display();
                tracing::warn!(%path, %error, "what applications had is forgotten: the file cannot be read");
                return memory;
            }
        };
        (memory.default_sink, memory.default_source) = (c_text(file.default_sink), c_text(file.default_source));
        server.set_defaults(memory.default_sink.clone(), memory.default_source.clone());
        for entry in file.applications.into_iter().rev().take(MOST).collect::<Vec<_>>().into_iter().rev() {
            let value = Remembered {
                volume: entry.volume.as_deref().and_then(volume),
                muted: entry.muted,
                device: c_text(entry.device),
            };
            if let Some(key) = c_text(Some(entry.key)) {
                server.restore(key.clone(), value.clone());
                memory.changes += 1;
                memory.applications.insert(key, (memory.changes, value));
            }
        }
        memory
    }

    /// An application's choice.
    pub(super) fn remember(&mut self, key: CString, value: Remembered, now: Instant) {
        self.write_at.get_or_insert(now + GATHER);
        if value == Remembered::default() {
            self.applications.remove(&key);
            return;
        }
        self.changes += 1;
        self.applications.insert(key, (self.changes, value));
        if self.applications.len() > MOST
            && let Some(oldest) = self.applications.iter().min_by_key(|(_, (at, _))| *at).map(|(key, _)| key.clone())
        {
            self.applications.remove(&oldest);
        }
    }

    /// The default devices, as a client has chosen them.
    pub(super) fn defaults(&mut self, sink: Option<CString>, source: Option<CString>, now: Instant) {
        (self.default_sink, self.default_source) = (sink, source);
        self.write_at.get_or_insert(now + GATHER);
    }

    /// When [`Memory::handle_timeout`] wants to be called.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.write_at.filter(|_| self.path.is_some())
    }

    /// Writes what has changed, on a thread of its own: the disk may take its time, sound may not.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let Some(path) = self.path.clone().filter(|_| self.write_at.is_some_and(|at| at <= now)) else { return };
        if self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            self.write_at = Some(now + GATHER);
            return;
        }
        self.write_at = None;
        let file = self.file();
        let thread = std::thread::Builder::new().name("soundpost-memory".into());
        match thread.spawn(move || save(&path, &file)) {
            Ok(writing) => self.writing = Some(writing),
            Err(error) => {
                tracing::warn!(%error, "what applications had is kept a little later");
                self.write_at = Some(now + GATHER);
            }
        }
    }

    fn file(&self) -> File {
        let text = |name: &CStr| name.to_str().ok().map(str::to_owned);
        let mut applications: Vec<(&CString, &(u64, Remembered))> = self.applications.iter().collect();
        applications.sort_by_key(|(_, (at, _))| *at);
        let entry = |(key, (_, value)): (&CString, &(u64, Remembered))| {
            Some(Entry {
                key: text(key)?,
                volume: value.volume.map(|volume| volume.channels().iter().map(Volume::as_u32).collect()),
                muted: value.muted,
                device: value.device.as_deref().and_then(text),
            })
        };
        File {
            default_sink: self.default_sink.as_deref().and_then(text),
            default_source: self.default_source.as_deref().and_then(text),
            applications: applications.into_iter().filter_map(entry).collect(),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.writing.take().is_some_and(|writing| writing.join().is_err()) {
            tracing::error!("writing what applications had panicked");
        }
        if self.write_at.is_some()
            && let Some(path) = &self.path
        {
            save(path, &self.file());
        }
    }
}

fn read(path: &Path) -> io::Result<File> {
    let found = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(File::default()),
        other => other?,
    };
    if found.len() > LONGEST_FILE {
        return Err(io::Error::other("it is too long"));
    }
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

fn save(path: &Path, file: &File) {
    if let Err(error) = write(path, file) {
        tracing::warn!(path = %path.display(), %error, "what applications had cannot be kept");
    }
}

/// Whole or not at all: a daemon that is killed meanwhile leaves the old file.
fn write(path: &Path, file: &File) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(file)?;
    text.push(b'\n');
    let part = path.with_extension("new");
    let mut out = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    out.write_all(&text)?;
    out.sync_data()?;
    std::fs::rename(&part, path)
}

fn c_text(text: Option<String>) -> Option<CString> {
    text.and_then(|text| CString::new(text).ok()).filter(|text| !text.is_empty())
}

/// None for what is no volume of 1 to 32 channels.
fn volume(raw: &[u32]) -> Option<ChannelVolume> {
    if raw.is_empty() || raw.len() > usize::from(soundpost_pulse::MAX_CHANNELS) {
        return None;
    }
    let mut volume = ChannelVolume::empty();
    raw.iter().for_each(|one| volume.push(Volume::from_u32_clamped(*one)));
    Some(volume)
}

#[cfg(test)]
mod tests {
    use soundpost_core::SampleRate;
    use soundpost_pulse::ServerConfig;

    use super::*;

    fn server() -> Server {
        let text = c"x".to_owned();
        Server::new(ServerConfig {
            name: text.clone(),
            version: text.clone(),
            user: text.clone(),
            host: text,
            spec: super::super::streams::mix_spec(SampleRate::HZ_48000).unwrap(),
            instance: 0,
            cookie: None,
        })
    }

    fn had(level: u32) -> Remembered {
        Remembered { volume: volume(&[level, 0x1_0000]), muted: Some(true), device: Some(c"soundpost".to_owned()) }
    }

    #[test]
    fn choices_outlive_the_daemon_the_latest_ones_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("applications.json");
        let now = Instant::ORIGIN;
        let mut memory = Memory::load(Some(path.clone()), &mut server());
        assert_eq!(memory.next_timeout(), None);
        for k in 0..1_002_u32 {
            memory.remember(CString::new(format!("app {k}")).unwrap(), had(k), now);
        }
        memory.remember(c"app 2".to_owned(), had(7), now);
        memory.remember(c"gone".to_owned(), had(1), now);
        memory.remember(c"gone".to_owned(), Remembered::default(), now);
        memory.defaults(Some(c"soundpost".to_owned()), None, now);
        let at = memory.next_timeout().unwrap();
        assert_eq!(at, now + GATHER);
        memory.handle_timeout(at);
        assert_eq!(memory.next_timeout(), None);
        drop(memory);
        let again = Memory::load(Some(path), &mut server());
        assert_eq!(again.default_sink.as_deref(), Some(c"soundpost"));
        assert_eq!(again.applications.len(), MOST - 1);
        assert_eq!(again.applications[c"app 2"].1, had(7));
        assert!(!again.applications.contains_key(c"app 3") && again.applications.contains_key(c"app 4"));
    }

    #[test]
    fn a_change_just_before_the_end_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("applications.json");
        let mut memory = Memory::load(Some(path.clone()), &mut server());
        memory.remember(c"player".to_owned(), had(3), Instant::ORIGIN);
        drop(memory);
        assert_eq!(Memory::load(Some(path), &mut server()).applications[c"player"].1, had(3));
    }

    #[test]
    fn a_file_that_is_damaged_is_forgotten_not_fatal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("applications.json");
        for text in ["", "{", "[]", r#"{"applications":[{"key":"a\u0000b","volume":[]},{"key":"","volume":[1,2]}]}"#] {
            std::fs::write(&path, text).unwrap();
            assert!(Memory::load(Some(path.clone()), &mut server()).applications.is_empty(), "{text}");
        }
    }
}
