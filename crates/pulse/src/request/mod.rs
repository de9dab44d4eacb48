//! What a client asks for, read from a control packet. Where a field came or changed with a version of the protocol, the
//! version stands beside it.

mod create;
mod restore;

use std::ffi::CString;

use pulseaudio::protocol::{CommandTag, Props};

pub(crate) use self::create::{CreatePlayback, CreateRecord, CreateUpload, Flags};
pub(crate) use self::restore::{EVENT, Entry, MODULE, Restore, VERSION};
use crate::buffer::{BufferAttr, LatencyMode, RecordAttr};
use crate::time::WallTime;
use crate::wire::{RawVolume, Reader, WireError};

/// What there is to have information of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sink,
    Source,
    SinkInput,
    SourceOutput,
    Client,
    Module,
    Card,
    Sample,
}

/// Which of a client's own streams, by the number on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Playback(u32),
    Record(u32),
    Upload(u32),
}

/// One of many, by index or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Which {
    pub(crate) index: Option<u32>,
    pub(crate) name: Option<CString>,
}

/// How a property list is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpdateMode {
    /// In place of the old one.
    Set,
    /// Only what is not there yet.
    Merge,
    /// All of it.
    Replace,
}

/// What is done to a playback stream's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BufferCommand {
    Flush,
    Trigger,
    Prebuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    CreatePlayback(Box<CreatePlayback>),
    CreateRecord(Box<CreateRecord>),
    CreateUpload(Box<CreateUpload>),
    Delete(Stream),
    FinishUpload(u32),
    Drain(u32),
    Buffer(BufferCommand, u32),
    FlushRecord(u32),
    Cork(Stream, bool),
    Latency(Stream, WallTime),
    SetPlaybackAttr {
        channel: u32,
        attr: BufferAttr,
        mode: LatencyMode,
    },
    SetRecordAttr {
        channel: u32,
        attr: RecordAttr,
        mode: LatencyMode,
    },
    SetRate(Stream, u32),
    SetName(Stream, Option<CString>),
    /// Of one of the client's streams, or of the client.
    UpdateProps(Option<Stream>, u32, Props),
    RemoveProps(Option<Stream>, Vec<CString>),
    SetClientName(Props),
    Lookup(Kind, Option<CString>),
    Stat,
    ServerInfo,
    Info(Kind, Which),
    InfoList(Kind),
    Subscribe(u32),
    SetVolume(Kind, Which, RawVolume),
    SetMute(Kind, Which, bool),
    SetDefault(Kind, Option<CString>),
    SetPort(Kind, Which, Option<CString>),
    Suspend(Kind, Which, bool),
    Kill(Kind, Option<u32>),
    Move(Kind, Option<u32>, Which),
    PlaySample {
        sink: Which,
        volume: u32,
        name: Option<CString>,
        props: Props,
    },
    RemoveSample(Option<CString>),
    LoadModule {
        name: Option<CString>,
        argument: Option<CString>,
    },
    UnloadModule,
    Extension(Which),
    Restore(Restore),
    CardProfile(Which, Option<CString>),
    PortLatencyOffset(Which, Option<CString>),
    ObjectMessage {
        path: Option<CString>,
        message: Option<CString>,
        parameters: Option<CString>,
    },
    Exit,
}

/// Why a packet is not a request. Either way the connection ends, but for what is merely too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("command {0} is none that a client may send")]
    Command(u32),
    /// A client that keeps to what was agreed on at login has no use for these.
    #[error("it hands over shared memory (command {0}), which was declined at login: sound comes through the socket")]
    SharedMemory(u32),
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl Request {
    /// Reads what follows a packet's command and number; `version` is the one that was agreed on.
    pub(crate) fn read(command: u32, version: u16, r: &mut Reader<'_>) -> Result<Self, Refused> {
        const SHARED: [CommandTag; 2] = [CommandTag::RegisterMemfdShmid, CommandTag::EnableSrbchannel];
        if SHARED.iter().any(|&tag| crate::wire::command_number(tag) == command) {
            return Err(Refused::SharedMemory(command));
        }
        let tag = client_command(command).ok_or(Refused::Command(command))?;
        let request = Self::body(tag, version, r)?.ok_or(Refused::Command(command))?;
        if !matches!(request, Self::Extension(_)) {
            r.end()?;
        }
        Ok(request)
    }

    fn body(tag: CommandTag, version: u16, r: &mut Reader<'_>) -> Result<Option<Self>, WireError> {
        use CommandTag as T;
        Ok(Some(match tag {
            T::CreatePlaybackStream => Self::CreatePlayback(Box::new(CreatePlayback::read(version, r)?)),
            T::CreateRecordStream => Self::CreateRecord(Box::new(CreateRecord::read(version, r)?)),
            T::CreateUploadStream => Self::CreateUpload(Box::new(CreateUpload::read(r)?)),
            T::DeletePlaybackStream => Self::Delete(Stream::Playback(r.u32()?)),
            T::DeleteRecordStream => Self::Delete(Stream::Record(r.u32()?)),
            T::DeleteUploadStream => Self::Delete(Stream::Upload(r.u32()?)),
            T::FinishUploadStream => Self::FinishUpload(r.u32()?),
            T::DrainPlaybackStream => Self::Drain(r.u32()?),
            T::FlushPlaybackStream => Self::Buffer(BufferCommand::Flush, r.u32()?),
            T::TriggerPlaybackStream => Self::Buffer(BufferCommand::Trigger, r.u32()?),
            T::PrebufPlaybackStream => Self::Buffer(BufferCommand::Prebuf, r.u32()?),
            T::FlushRecordStream => Self::FlushRecord(r.u32()?),
            T::CorkPlaybackStream => Self::Cork(Stream::Playback(r.u32()?), r.bool()?),
            T::CorkRecordStream => Self::Cork(Stream::Record(r.u32()?), r.bool()?),
            T::GetPlaybackLatency => Self::Latency(Stream::Playback(r.u32()?), r.time_of_day()?),
            T::GetRecordLatency => Self::Latency(Stream::Record(r.u32()?), r.time_of_day()?),
            T::SetPlaybackStreamBufferAttr => Self::SetPlaybackAttr {
                channel: r.u32()?,
                attr: create::buffer_attr(r)?,
                mode: create::latency_mode(version, r)?,
            },
            T::SetRecordStreamBufferAttr => Self::SetRecordAttr {
                channel: r.u32()?,
                attr: RecordAttr { max_length: r.u32()?, fragment: r.u32()? },
                mode: create::latency_mode(version, r)?,
            },
            T::UpdatePlaybackStreamSampleRate => Self::SetRate(Stream::Playback(r.u32()?), r.u32()?),
            T::UpdateRecordStreamSampleRate => Self::SetRate(Stream::Record(r.u32()?), r.u32()?),
            T::SetPlaybackStreamName => Self::SetName(Stream::Playback(r.u32()?), r.owned_string()?),
            T::SetRecordStreamName => Self::SetName(Stream::Record(r.u32()?), r.owned_string()?),
            T::UpdatePlaybackStreamProplist => {
                Self::UpdateProps(Some(Stream::Playback(r.u32()?)), r.u32()?, r.props()?)
            }
            T::UpdateRecordStreamProplist => Self::UpdateProps(Some(Stream::Record(r.u32()?)), r.u32()?, r.props()?),
            T::UpdateClientProplist => Self::UpdateProps(None, r.u32()?, r.props()?),
            T::RemovePlaybackStreamProplist => Self::RemoveProps(Some(Stream::Playback(r.u32()?)), keys(r)?),
            T::RemoveRecordStreamProplist => Self::RemoveProps(Some(Stream::Record(r.u32()?)), keys(r)?),
            T::RemoveClientProplist => Self::RemoveProps(None, keys(r)?),
            T::SetClientName => Self::SetClientName(r.props()?),
            T::Exit => Self::Exit,
            _ => return Self::about_server(tag, r),
        }))
    }

    /// What is not about the client's own streams.
    fn about_server(tag: CommandTag, r: &mut Reader<'_>) -> Result<Option<Self>, WireError> {
        use CommandTag as T;
        let indexed = |r: &mut Reader<'_>| Ok::<_, WireError>(Which { index: r.index()?, name: None });
        Ok(Some(match tag {
            T::LookupSink => Self::Lookup(Kind::Sink, r.owned_string()?),
            T::LookupSource => Self::Lookup(Kind::Source, r.owned_string()?),
            T::Stat => Self::Stat,
            T::GetServerInfo => Self::ServerInfo,
            T::GetSinkInfo => Self::Info(Kind::Sink, which(r)?),
            T::GetSourceInfo => Self::Info(Kind::Source, which(r)?),
            T::GetCardInfo => Self::Info(Kind::Card, which(r)?),
            T::GetSampleInfo => Self::Info(Kind::Sample, which(r)?),
            T::GetModuleInfo => Self::Info(Kind::Module, indexed(r)?),
            T::GetClientInfo => Self::Info(Kind::Client, indexed(r)?),
            T::GetSinkInputInfo => Self::Info(Kind::SinkInput, indexed(r)?),
            T::GetSourceOutputInfo => Self::Info(Kind::SourceOutput, indexed(r)?),
            T::GetSinkInfoList => Self::InfoList(Kind::Sink),
            T::GetSourceInfoList => Self::InfoList(Kind::Source),
            T::GetCardInfoList => Self::InfoList(Kind::Card),
            T::GetSampleInfoList => Self::InfoList(Kind::Sample),
            T::GetModuleInfoList => Self::InfoList(Kind::Module),
            T::GetClientInfoList => Self::InfoList(Kind::Client),
            T::GetSinkInputInfoList => Self::InfoList(Kind::SinkInput),
            T::GetSourceOutputInfoList => Self::InfoList(Kind::SourceOutput),
            T::Subscribe => Self::Subscribe(r.u32()?),
            T::SetSinkVolume => Self::SetVolume(Kind::Sink, which(r)?, r.volume()?),
            T::SetSourceVolume => Self::SetVolume(Kind::Source, which(r)?, r.volume()?),
            T::SetSinkInputVolume => Self::SetVolume(Kind::SinkInput, indexed(r)?, r.volume()?),
            T::SetSourceOutputVolume => Self::SetVolume(Kind::SourceOutput, indexed(r)?, r.volume()?),
            T::SetSinkMute => Self::SetMute(Kind::Sink, which(r)?, r.bool()?),
            T::SetSourceMute => Self::SetMute(Kind::Source, which(r)?, r.bool()?),
            T::SetSinkInputMute => Self::SetMute(Kind::SinkInput, indexed(r)?, r.bool()?),
            T::SetSourceOutputMute => Self::SetMute(Kind::SourceOutput, indexed(r)?, r.bool()?),
            T::SetDefaultSink => Self::SetDefault(Kind::Sink, r.owned_string()?),
            T::SetDefaultSource => Self::SetDefault(Kind::Source, r.owned_string()?),
            T::SetSinkPort => Self::SetPort(Kind::Sink, which(r)?, r.owned_string()?),
            T::SetSourcePort => Self::SetPort(Kind::Source, which(r)?, r.owned_string()?),
            T::SuspendSink => Self::Suspend(Kind::Sink, which(r)?, r.bool()?),
            T::SuspendSource => Self::Suspend(Kind::Source, which(r)?, r.bool()?),
            T::KillClient => Self::Kill(Kind::Client, r.index()?),
            T::KillSinkInput => Self::Kill(Kind::SinkInput, r.index()?),
            T::KillSourceOutput => Self::Kill(Kind::SourceOutput, r.index()?),
            T::MoveSinkInput => Self::Move(Kind::SinkInput, r.index()?, which(r)?),
            T::MoveSourceOutput => Self::Move(Kind::SourceOutput, r.index()?, which(r)?),
            T::PlaySample => {
                Self::PlaySample { sink: which(r)?, volume: r.u32()?, name: r.owned_string()?, props: r.props()? }
            }
            T::RemoveSample => Self::RemoveSample(r.owned_string()?),
            T::LoadModule => Self::LoadModule { name: r.owned_string()?, argument: r.owned_string()? },
            T::UnloadModule => {
                r.u32()?;
                Self::UnloadModule
            }
            T::Extension => {
                let module = which(r)?;
                if module.index.is_none() && module.name.as_deref() == Some(MODULE) {
                    Self::Restore(Restore::read(r)?)
                } else {
                    // What follows belongs to a module, and there is none.
                    Self::Extension(module)
                }
            }
            T::SetCardProfile => Self::CardProfile(which(r)?, r.owned_string()?),
            T::SetPortLatencyOffset => {
                let (card, port) = (which(r)?, r.owned_string()?);
                r.i64()?;
                Self::PortLatencyOffset(card, port)
            }
            T::SendObjectMessage => Self::ObjectMessage {
                path: r.owned_string()?,
                message: r.owned_string()?,
                parameters: r.owned_string()?,
            },
            _ => return Ok(None),
        }))
    }
}

/// The command with this number, where it has one.
fn client_command(number: u32) -> Option<CommandTag> {
    use CommandTag as T;
    const ALL: &[T] = &[
        T::CreatePlaybackStream,
        T::DeletePlaybackStream,
        T::CreateRecordStream,
        T::DeleteRecordStream,
        T::Exit,
        T::SetClientName,
        T::LookupSink,
        T::LookupSource,
        T::DrainPlaybackStream,
        T::Stat,
        T::GetPlaybackLatency,
        T::CreateUploadStream,
        T::DeleteUploadStream,
        T::FinishUploadStream,
        T::PlaySample,
        T::RemoveSample,
        T::GetServerInfo,
        T::GetSinkInfo,
        T::GetSinkInfoList,
        T::GetSourceInfo,
        T::GetSourceInfoList,
        T::GetModuleInfo,
        T::GetModuleInfoList,
        T::GetClientInfo,
        T::GetClientInfoList,
        T::GetSinkInputInfo,
        T::GetSinkInputInfoList,
        T::GetSourceOutputInfo,
        T::GetSourceOutputInfoList,
        T::GetSampleInfo,
        T::GetSampleInfoList,
        T::Subscribe,
        T::SetSinkVolume,
        T::SetSinkInputVolume,
        T::SetSourceVolume,
        T::SetSinkMute,
        T::SetSourceMute,
        T::CorkPlaybackStream,
        T::FlushPlaybackStream,
        T::TriggerPlaybackStream,
        T::SetDefaultSink,
        T::SetDefaultSource,
        T::SetPlaybackStreamName,
        T::SetRecordStreamName,
        T::KillClient,
        T::KillSinkInput,
        T::KillSourceOutput,
        T::LoadModule,
        T::UnloadModule,
        T::GetRecordLatency,
        T::CorkRecordStream,
        T::FlushRecordStream,
        T::PrebufPlaybackStream,
        T::MoveSinkInput,
        T::MoveSourceOutput,
        T::SetSinkInputMute,
        T::SuspendSink,
        T::SuspendSource,
        T::SetPlaybackStreamBufferAttr,
        T::SetRecordStreamBufferAttr,
        T::UpdatePlaybackStreamSampleRate,
        T::UpdateRecordStreamSampleRate,
        T::UpdateRecordStreamProplist,
        T::UpdatePlaybackStreamProplist,
        T::UpdateClientProplist,
        T::RemoveRecordStreamProplist,
        T::RemovePlaybackStreamProplist,
        T::RemoveClientProplist,
        T::Extension,
        T::GetCardInfo,
        T::GetCardInfoList,
        T::SetCardProfile,
        T::SetSinkPort,
        T::SetSourcePort,
        T::SetSourceOutputVolume,
        T::SetSourceOutputMute,
        T::SetPortLatencyOffset,
        T::SendObjectMessage,
    ];
    ALL.iter().copied().find(|&tag| crate::wire::command_number(tag) == number)
}

fn which(r: &mut Reader<'_>) -> Result<Which, WireError> {
    Ok(Which { index: r.index()?, name: r.owned_string()? })
}

/// Names up to the null string.
fn keys(r: &mut Reader<'_>) -> Result<Vec<CString>, WireError> {
    let mut keys = Vec::new();
    while let Some(key) = r.owned_string()? {
        if keys.len() >= crate::limits::MAX_PROPS {
            return Err(WireError::TooLarge);
        }
        keys.push(key);
    }
    Ok(keys)
}

impl UpdateMode {
    pub(crate) const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Set),
            1 => Some(Self::Merge),
            2 => Some(Self::Replace),
            _ => None,
        }
    }
}
