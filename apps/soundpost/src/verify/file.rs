//! The file as an endpoint: `serve --render` in real time, and the one for runs off line.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use soundpost_core::{Clock, Format, SampleFormat};
use soundpost_endpoint::DataFlow;
use soundpost_host::clock::MonotonicClock;
use soundpost_host::record::{Recording, offline, record};
use soundpost_testkit::verify::{Backstage, Made, Pace, Subject};
use tempfile::TempDir;

const FORMAT: Format = Format { sample: SampleFormat::S16, ..Format::DEFAULT };

/// A file in a folder of its own, that goes with it.
struct Kept {
    folder: TempDir,
    recording: Option<Recording>,
}

impl Kept {
    fn new() -> Result<Self, String> {
        let folder = TempDir::new().map_err(|error| format!("no folder for the file: {error}"))?;
        Ok(Self { folder, recording: None })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("verify.wav")
    }
}

impl Backstage for Kept {
    fn heard(&mut self) -> Option<Vec<u8>> {
        if let Some(recording) = self.recording.take()
            && !recording.finish(Duration::from_secs(10)).closed
        {
            return None;
        }
        let file = std::fs::read(self.path()).ok()?;
        // The sound begins behind the header of the chunk `data`.
        let data = file.windows(4).position(|name| name == b"data")?;
        Some(file.get(data + 8..)?.to_vec())
    }
}

/// `serve --render`: a thread writes the file, by the real clock.
struct Recorded;

impl Subject for Recorded {
    fn name(&self) -> String {
        "file".to_owned()
    }

    fn flow(&self) -> DataFlow {
        DataFlow::Render
    }

    fn pace(&self) -> Pace {
        Pace::Own
    }

    fn make(&self, _clock: Arc<dyn Clock>) -> Result<Made, String> {
        let mut kept = Kept::new()?;
        let (endpoint, recording) =
            record(&kept.path(), FORMAT, Arc::new(MonotonicClock)).map_err(|error| error.to_string())?;
        kept.recording = Some(recording);
        Ok(Made { endpoint, backstage: Box::new(kept) })
    }
}

/// A file at the pace of its data.
struct Offline;

impl Subject for Offline {
    fn name(&self) -> String {
        "file-offline".to_owned()
    }

    fn flow(&self) -> DataFlow {
        DataFlow::Render
    }

    fn pace(&self) -> Pace {
        Pace::Data
    }

    fn off_line(&self) -> Option<&'static str> {
        Some("it writes to the disk in the pass, and is for virtual clocks alone (host/src/record)")
    }

    fn make(&self, clock: Arc<dyn Clock>) -> Result<Made, String> {
        let kept = Kept::new()?;
        let endpoint = offline(&kept.path(), FORMAT, clock).map_err(|error| error.to_string())?;
        Ok(Made { endpoint, backstage: Box::new(kept) })
    }
}

pub(super) fn subjects() -> Vec<Box<dyn Subject>> {
    vec![Box::new(Offline), Box::new(Recorded)]
}
