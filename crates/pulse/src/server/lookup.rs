//! Finding what a request names.

use std::ffi::CStr;

use pulseaudio::protocol::PulseError;

use super::client::Outgoing;
use super::{Answer, Answered, Call, Server};
use crate::id::{PlaybackId, RecordId, SinkId, SourceId};
use crate::names;
use crate::request::{Kind, Which};

impl Server {
    /// The default sink: the chosen one where it is there, else the first.
    pub(super) fn default_sink(&self) -> Option<SinkId> {
        let chosen = self.default_sink.as_deref().and_then(|name| self.sink_named(name));
        chosen.or_else(|| self.sinks.first_key_value().map(|(&id, _)| id))
    }

    /// The default source: the chosen one where it is there, else the first that is no monitor, else the default sink's
    /// monitor.
    pub(super) fn default_source(&self) -> Option<SourceId> {
        let chosen = self.default_source.as_deref().and_then(|name| self.source_named(name));
        let own = || self.sources.iter().find(|(_, source)| source.monitor_of.is_none()).map(|(&id, _)| id);
        chosen.or_else(own).or_else(|| self.default_monitor())
    }

    fn default_monitor(&self) -> Option<SourceId> {
        self.sinks.get(&self.default_sink()?).map(|sink| sink.monitor)
    }

    fn sink_named(&self, name: &CStr) -> Option<SinkId> {
        self.sinks.iter().find(|(_, sink)| *sink.device.config.name == *name).map(|(&id, _)| id)
    }

    fn source_named(&self, name: &CStr) -> Option<SourceId> {
        self.sources.iter().find(|(_, source)| *source.device.config.name == *name).map(|(&id, _)| id)
    }

    /// The sink of a name, of a name that stands for the default, of no name (the default), or of an index as text.
    pub(super) fn sink_by_name(&self, name: Option<&CStr>) -> Option<SinkId> {
        match name {
            None => self.default_sink(),
            Some(name) if name == names::DEFAULT_SINK => self.default_sink(),
            Some(name) => {
                self.sink_named(name).or_else(|| Some(SinkId(number(name)?)).filter(|id| self.sinks.contains_key(id)))
            }
        }
    }

    /// The same for sources.
    pub(super) fn source_by_name(&self, name: Option<&CStr>) -> Option<SourceId> {
        match name {
            None => self.default_source(),
            Some(name) if name == names::DEFAULT_SOURCE => self.default_source(),
            Some(name) if name == names::DEFAULT_MONITOR => self.default_monitor(),
            Some(name) => self
                .source_named(name)
                .or_else(|| Some(SourceId(number(name)?)).filter(|id| self.sources.contains_key(id))),
        }
    }

    /// The sink of a request that may leave it open.
    pub(super) fn sink(&self, which: &Which) -> Result<SinkId, PulseError> {
        ensure(which.name.as_deref().is_none_or(names::is_valid_sink), PulseError::Invalid)?;
        ensure(which.index.is_none() || which.name.is_none(), PulseError::Invalid)?;
        let found = match which.index {
            Some(index) => Some(SinkId(index)).filter(|id| self.sinks.contains_key(id)),
            None => self.sink_by_name(which.name.as_deref()),
        };
        found.ok_or(PulseError::NoEntity)
    }

    /// The source of a request that may leave it open.
    pub(super) fn source(&self, which: &Which) -> Result<SourceId, PulseError> {
        ensure(which.name.as_deref().is_none_or(names::is_valid_source), PulseError::Invalid)?;
        ensure(which.index.is_none() || which.name.is_none(), PulseError::Invalid)?;
        let found = match which.index {
            Some(index) => Some(SourceId(index)).filter(|id| self.sources.contains_key(id)),
            None => self.source_by_name(which.name.as_deref()),
        };
        found.ok_or(PulseError::NoEntity)
    }

    /// The client's playback stream with this number.
    pub(super) fn own_playback(&self, call: &Call, channel: u32) -> Result<PlaybackId, PulseError> {
        match self.clients.get(&call.client).and_then(|client| client.outgoing.get(&channel)) {
            Some(Outgoing::Playback(id)) => Ok(*id),
            _ => Err(PulseError::NoEntity),
        }
    }

    /// The client's record stream with this number.
    pub(super) fn own_record(&self, call: &Call, channel: u32) -> Result<RecordId, PulseError> {
        let found = self.clients.get(&call.client).and_then(|client| client.recording.get(&channel));
        found.copied().ok_or(PulseError::NoEntity)
    }

    pub(super) fn lookup(&self, call: &Call, kind: Kind, name: Option<&CStr>) -> Answered {
        let valid = if kind == Kind::Sink { names::is_valid_sink } else { names::is_valid_source };
        ensure(name.is_some_and(valid), PulseError::Invalid)?;
        let found = match kind {
            Kind::Sink => self.sink_by_name(name).map(SinkId::get),
            _ => self.source_by_name(name).map(SourceId::get),
        };
        let mut reply = call.reply();
        reply.u32(found.ok_or(PulseError::NoEntity)?);
        Ok(Answer::Reply(reply))
    }
}

fn number(name: &CStr) -> Option<u32> {
    name.to_str().ok()?.parse().ok()
}

/// `error` unless `fine`.
pub(super) const fn ensure(fine: bool, error: PulseError) -> Result<(), PulseError> {
    if fine { Ok(()) } else { Err(error) }
}

/// That exactly one of the two ways to name something was used.
pub(super) const fn one_way(which: &Which) -> Result<(), PulseError> {
    ensure(which.index.is_some() != which.name.is_some(), PulseError::Invalid)
}
