//! The virtual devices: modules of the server's, found again by the names of what they make.

use std::time::{Duration, Instant};

use soundpost_core::Format;
use soundpost_host::pulse_client::{Client, ClientError, Device};

use super::AttachError;

/// The virtual sink that applications play into.
pub(super) const SINK: &str = "soundpost";
/// The virtual source that applications record from, and the sink behind it.
pub(super) const SOURCE: &str = "soundpost-microphone";
pub(super) const SOURCE_FEED: &str = "soundpost-microphone-feed";

/// How long a device may take to appear, and how often it is looked for.
const APPEARING: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(20);

/// Modules that are to be unloaded at the end, in the order in which they were loaded.
#[derive(Debug, Default)]
pub(super) struct Loaded(Vec<u32>);

impl Loaded {
    /// Sees to the virtual sink.
    pub(super) fn sink(&mut self, client: &mut Client, format: Format) -> Result<(), AttachError> {
        self.ensure(client, "module-null-sink", &sink_arguments(SINK, "Soundpost", format))?;
        appears(SINK, || client.sink(Some(SINK)))
    }

    /// Sees to the virtual source and the sink behind it.
    pub(super) fn source(&mut self, client: &mut Client, format: Format) -> Result<(), AttachError> {
        self.ensure(client, "module-null-sink", &sink_arguments(SOURCE_FEED, "Soundpost-microphone-feed", format))?;
        let arguments = format!(
            "source_name={SOURCE} master={SOURCE_FEED}.monitor source_properties=device.description=Soundpost-microphone \
             {} remix=no",
            of_format(format)
        );
        self.ensure(client, "module-remap-source", &arguments)?;
        appears(SOURCE, || client.source(Some(SOURCE)))
    }

    /// Takes over the module that makes this device, as a Soundpost before may have left it, or loads it. The first
    /// argument is the device's name.
    fn ensure(&mut self, client: &mut Client, module: &str, arguments: &str) -> Result<(), AttachError> {
        let made = arguments.split_whitespace().next().unwrap_or_default();
        let mut found = client.modules()?.into_iter().filter(|there| there.name == module && there.has(made));
        let index = match found.next() {
            Some(there) if there.arguments == arguments => there.index,
            Some(there) => {
                // Of another format or version.
                client.unload_module(there.index)?;
                client.load_module(module, arguments)?
            }
            None => client.load_module(module, arguments)?,
        };
        self.0.push(index);
        Ok(())
    }

    /// Unloads all of them, last first. One that somebody else has unloaded is no error.
    pub(super) fn unload(self, client: &mut Client) {
        for index in self.0.into_iter().rev() {
            if let Err(error) = client.unload_module(index) {
                tracing::debug!(%error, index, "a module of the server's stays loaded");
            }
        }
    }
}

/// Waits until a device is there: PipeWire answers that a module is loaded before what it makes is.
fn appears(
    name: &'static str,
    mut look: impl FnMut() -> Result<Option<Device>, ClientError>,
) -> Result<(), AttachError> {
    let begin = Instant::now();
    while look()?.is_none() {
        if begin.elapsed() >= APPEARING {
            return Err(AttachError::NoDevice(name));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Without rewinds: PulseAudio's monitor would miss the beginning of every sound by as much as the sink had rendered
/// ahead. (PipeWire has no rewinds and passes over the argument.)
fn sink_arguments(name: &str, description: &str, format: Format) -> String {
    format!("sink_name={name} sink_properties=device.description={description} {} norewinds=1", of_format(format))
}

fn of_format(format: Format) -> String {
    format!("format=float32le rate={} channels={}", format.rate.get(), format.layout.channels().get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_may_take_some_time_to_appear_but_not_for_ever() {
        let device =
            || Device { index: 0, name: SINK.into(), description: String::new(), format: None, running: false };
        let mut looks = 0;
        let late = appears(SINK, || {
            looks += 1;
            Ok((looks == 3).then(device))
        });
        assert!(late.is_ok() && looks == 3);
        assert!(matches!(appears(SINK, || Ok(None)), Err(AttachError::NoDevice(SINK))));
    }

    #[test]
    fn the_first_argument_names_the_device() {
        let text = sink_arguments(SINK, "Soundpost", Format::DEFAULT);
        assert_eq!(
            text,
            "sink_name=soundpost sink_properties=device.description=Soundpost format=float32le rate=48000 channels=2 \
             norewinds=1"
        );
    }
}
