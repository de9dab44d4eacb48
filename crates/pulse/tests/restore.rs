//! PulseAudio's stream-restore extension, byte for byte as libpulse writes and reads it, and default devices.

use pulseaudio::protocol::{
    self, ChannelMap, ChannelVolume, Command, MoveStreamParams, Prop, PulseError, TagStructReader, TagStructWriter,
    Volume,
};
use soundpost_pulse::{Change, CloseReason, Event, Remembered};

use crate::rig::{Client, Rig, device, playback, short};

/// EXTENSION.
const EXTENSION: u32 = 87;
const KEY: &std::ffi::CStr = c"sink-input-by-application-name:scripted";

/// A command to the extension: its number, then what `write` writes.
fn extension(
    rig: &mut Rig,
    client: &mut Client,
    number: u32,
    write: impl FnOnce(&mut TagStructWriter<'_>) -> Result<(), protocol::ProtocolError>,
) -> Option<Result<Vec<u8>, PulseError>> {
    let mut body = Vec::new();
    let mut writer = TagStructWriter::new(&mut body, 35);
    writer.write_index(None).expect("memory");
    writer.write_string(Some(c"module-stream-restore")).expect("memory");
    writer.write_u32(number).expect("memory");
    write(&mut writer).expect("memory");
    client.send_raw(rig, EXTENSION, &body)
}

fn write_entry(
    writer: &mut TagStructWriter<'_>,
    name: &std::ffi::CStr,
    volume: ChannelVolume,
    device: Option<&std::ffi::CStr>,
    muted: bool,
) -> Result<(), protocol::ProtocolError> {
    let channels = volume.channels().len();
    writer.write_string(Some(name))?;
    writer.write(ChannelMap::new(
        [protocol::ChannelPosition::FrontLeft, protocol::ChannelPosition::FrontRight].into_iter().take(channels),
    ))?;
    writer.write(volume)?;
    writer.write_string(device)?;
    writer.write_bool(muted)
}

/// Name, channels, volume of the first, device and mute.
type Entry = (String, u8, Option<u32>, Option<String>, bool);

fn read_all(rig: &mut Rig, client: &mut Client) -> Vec<Entry> {
    let payload = extension(rig, client, 1, |_| Ok(())).expect("an answer").expect("a list");
    let mut rest = payload.as_slice();
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let mut reader = TagStructReader::new(&mut rest, 35);
        let name = reader.read_string_non_null().expect("a name").into_string().expect("text");
        let map: ChannelMap = reader.read().expect("a map");
        let volume: ChannelVolume = reader.read().expect("a volume");
        let device = reader.read_string().expect("a device").map(|name| name.into_string().expect("text"));
        let muted = reader.read_bool().expect("muted or not");
        assert_eq!(usize::from(map.num_channels()), volume.channels().len());
        entries.push((name, map.num_channels(), volume.channels().first().map(Volume::as_u32), device, muted));
    }
    entries
}

fn volume(raw: u32) -> ChannelVolume {
    let mut volume = ChannelVolume::empty();
    volume.push(Volume::from_u32_clamped(raw));
    volume.push(Volume::from_u32_clamped(raw));
    volume
}

fn hears_of_it(client: &mut Client, rig: &mut Rig) -> usize {
    client.receive(rig);
    let heard = client.events.iter().filter(|event| matches!(event, Command::Extension(_))).count();
    client.events.clear();
    heard
}

#[test]
fn mixers_read_what_is_remembered_and_hear_of_it() {
    let mut rig = Rig::new();
    let (mut mixer, mut player) = (rig.client(35), rig.client(26));
    let version = extension(&mut rig, &mut mixer, 0, |_| Ok(()));
    assert_eq!(version, Some(Ok(b"L\0\0\0\x01".to_vec())));
    assert_eq!(extension(&mut rig, &mut mixer, 4, |writer| writer.write_bool(true)), Some(Ok(Vec::new())));
    assert_eq!(read_all(&mut rig, &mut mixer), []);
    let stream = player.play(&mut rig, short());
    assert_eq!(hears_of_it(&mut mixer, &mut rig), 0);
    let index = stream.stream_index;
    let set = protocol::SetStreamVolumeParams { index, volume: volume(0x8000) };
    player.order(&mut rig, &Command::SetSinkInputVolume(set)).expect("set");
    assert_eq!(hears_of_it(&mut mixer, &mut rig), 1);
    player.order(&mut rig, &Command::SetSinkInputVolume(set)).expect("set");
    assert_eq!(hears_of_it(&mut mixer, &mut rig), 0, "nothing has changed");
    let name = KEY.to_str().expect("text").to_owned();
    assert_eq!(read_all(&mut rig, &mut mixer), [(name, 2, Some(0x8000), None, false)]);
    // Mixers find a stream's entry by this property.
    let info: protocol::SinkInputInfo = mixer.ask(&mut rig, &Command::GetSinkInputInfo(index)).expect("info");
    assert_eq!(info.props.get_bytes(c"module-stream-restore.id"), Some(KEY.to_bytes_with_nul()));
    assert_eq!(extension(&mut rig, &mut mixer, 4, |writer| writer.write_bool(false)), Some(Ok(Vec::new())));
    extension(&mut rig, &mut mixer, 3, |writer| writer.write_string(Some(KEY))).expect("an answer").expect("forgotten");
    assert_eq!(read_all(&mut rig, &mut mixer), []);
    assert_eq!(hears_of_it(&mut mixer, &mut rig), 0);
    assert!(rig.events.contains(&Event::Remember(KEY.to_owned(), Remembered::default())));
}

#[test]
fn mixers_write_what_is_remembered_and_streams_follow_where_asked() {
    let mut rig = Rig::new();
    rig.server.add_sink(device("other")).expect("a sink");
    let (mut mixer, mut player) = (rig.client(35), rig.client(35));
    let open = protocol::PlaybackStreamParams { cvolume: None, ..playback(short()) };
    let stream: protocol::CreatePlaybackStreamReply =
        player.ask(&mut rig, &Command::CreatePlaybackStream(open.clone())).expect("a stream");
    let mut write = |rig: &mut Rig, mode: u32, apply: bool, raw: u32, device: Option<&std::ffi::CStr>, muted: bool| {
        let done = extension(rig, &mut mixer, 2, |writer| {
            writer.write_u32(mode)?;
            writer.write_bool(apply)?;
            write_entry(writer, KEY, volume(raw), device, muted)
        });
        assert_eq!(done, Some(Ok(Vec::new())));
    };
    let info = |rig: &mut Rig, player: &mut Client, index: u32| -> (u32, bool, u32) {
        let info: protocol::SinkInputInfo = player.ask(rig, &Command::GetSinkInputInfo(index)).expect("info");
        (info.cvolume.channels().first().map_or(0, Volume::as_u32), info.muted, info.sink_index)
    };
    // Merged and not applied: it is there for the next stream alone.
    write(&mut rig, 1, false, 0x4000, None, true);
    assert_eq!(info(&mut rig, &mut player, stream.stream_index), (0x1_0000, false, 0));
    let unset = protocol::PlaybackStreamParams {
        flags: protocol::stream::StreamFlags { start_muted: None, ..open.flags },
        ..open
    };
    let next: protocol::CreatePlaybackStreamReply =
        player.ask(&mut rig, &Command::CreatePlaybackStream(unset)).expect("a stream");
    assert_eq!(info(&mut rig, &mut player, next.stream_index), (0x4000, true, 0));
    // To merge does not replace.
    write(&mut rig, 1, true, 0x2000, None, false);
    assert_eq!(info(&mut rig, &mut player, stream.stream_index), (0x1_0000, false, 0));
    // To replace does, and to apply moves.
    write(&mut rig, 2, true, 0x2000, Some(c"other"), false);
    for index in [stream.stream_index, next.stream_index] {
        assert_eq!(info(&mut rig, &mut player, index), (0x2000, false, 1));
    }
    // Without a device they are where the default is.
    write(&mut rig, 0, true, 0x3000, None, false);
    assert_eq!(info(&mut rig, &mut player, stream.stream_index), (0x3000, false, 0));
    assert!(rig.events.iter().any(|event| matches!(event, Event::Playback(_, Change::Moved(sink)) if sink.get() == 1)));
}

#[test]
fn what_is_no_entry_ends_the_connection_as_in_pulseaudio() {
    for (what, mode, name, muted) in
        [("a mode", 3, KEY, true), ("no name", 2, c"", true), ("a value of another kind", 2, KEY, false)]
    {
        let mut rig = Rig::new();
        let mut client = rig.client(35);
        let answer = extension(&mut rig, &mut client, 2, |writer| {
            writer.write_u32(mode)?;
            writer.write_bool(true)?;
            writer.write_string(Some(name))?;
            writer.write(ChannelMap::stereo())?;
            writer.write(volume(0))?;
            writer.write_null_string()?;
            if muted { writer.write_bool(true) } else { writer.write_u32(1) }
        });
        assert_eq!(answer, None, "{what}");
        let closed = rig.events.iter().any(|event| matches!(event, Event::Close(_, CloseReason::Protocol(_))));
        assert!(closed, "{what}");
    }
}

#[test]
fn streams_follow_the_default_device_unless_somebody_put_them_elsewhere() {
    let mut rig = Rig::new();
    rig.server.add_sink(device("second")).expect("a sink");
    rig.server.add_sink(device("third")).expect("a sink");
    let mut client = rig.client(35);
    // As libpulse numbers them; streams of one number go together.
    let mut numbers = 1..;
    let mut create = |name: &std::ffi::CStr, no_move: bool| {
        let mut params = playback(short());
        params.sync_id = numbers.next().unwrap();
        params.props.set(Prop::ApplicationName, name);
        params.flags.no_move = no_move;
        Command::CreatePlaybackStream(params)
    };
    let mut streams = Vec::new();
    for (name, no_move) in [(c"free", false), (c"stays", true), (c"placed", false)] {
        let reply: protocol::CreatePlaybackStreamReply =
            client.ask(&mut rig, &create(name, no_move)).expect("a stream");
        streams.push(reply.stream_index);
    }
    let placed = Some(streams[2]);
    let go = |name: &std::ffi::CStr| {
        Command::MoveSinkInput(MoveStreamParams {
            index: placed,
            device_index: None,
            device_name: Some(name.to_owned()),
        })
    };
    client.order(&mut rig, &go(c"third")).expect("moved");
    let sinks = |rig: &mut Rig, client: &mut Client| -> Vec<u32> {
        let infos: protocol::SinkInputInfoList = client.ask(rig, &Command::GetSinkInputInfoList).expect("a list");
        client.events.clear();
        infos.iter().map(|info| info.sink_index).collect()
    };
    assert_eq!(sinks(&mut rig, &mut client), [0, 0, 2]);
    client.order(&mut rig, &Command::SetDefaultSink(c"third".to_owned())).expect("set");
    assert_eq!(sinks(&mut rig, &mut client), [2, 0, 2]);
    client.order(&mut rig, &Command::SetDefaultSink(c"second".to_owned())).expect("set");
    assert_eq!(sinks(&mut rig, &mut client), [1, 0, 2], "it was put there before that was the default");
    // Whoever is moved to the default follows it from then on, and that is what is remembered.
    client.order(&mut rig, &go(c"@DEFAULT_SINK@")).expect("moved");
    let forgotten = rig.events.iter().rev().any(|event| {
        matches!(event, Event::Remember(key, kept)
            if key.as_c_str() == c"sink-input-by-application-name:placed" && kept.device.is_none())
    });
    assert!(forgotten);
    rig.server.set_defaults(Some(c"third".to_owned()), None);
    assert_eq!(sinks(&mut rig, &mut client), [2, 0, 2]);
    rig.server.set_defaults(Some(c"later".to_owned()), None);
    assert_eq!(sinks(&mut rig, &mut client), [0, 0, 0]);
    rig.server.add_sink(device("later")).expect("a sink");
    assert_eq!(sinks(&mut rig, &mut client), [3, 0, 3]);
}
