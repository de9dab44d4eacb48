//! What a command does on the worker.

use soundpost_rt::guard::Protection;

use crate::command::{
    Command, List, NewConnection, NewStream, OldList, OldStream, Report, RtDevice, RtKind, StreamChange, VolumeChange,
};
use crate::worker::{exchange, old, release_driver};
use crate::{ConnectionId, DeviceId, StreamId};

/// Carries a command out; returns what it gives back.
pub(crate) fn apply(command: Command, devices: &mut List<RtDevice>, protection: Protection<'_>) -> Option<Report> {
    match command {
        Command::AddDevice { device, room } => {
            let list = exchange(devices, room);
            devices.push(device);
            old(list, |list| OldList::Devices { _list: list })
        }
        Command::RemoveDevice(id) => {
            let at = devices.iter().position(|device| device.id == id)?;
            let mut device = devices.remove(at);
            quiet(&mut device, protection);
            Some(Report::Device(device))
        }
        Command::AddStream { device, stream } => add_stream(find(devices, device), stream),
        Command::RemoveStream { device, stream } => remove_stream(find(devices, device), stream),
        Command::AddConnection { device, connection } => add_connection(find(devices, device), connection, protection),
        Command::RemoveConnection { device, connection } => {
            remove_connection(find(devices, device), connection, protection)
        }
        Command::ChangeStream { device, stream, change } => {
            change_stream(find(devices, device), stream, change);
            None
        }
        Command::ChangeDevice { device, change } => {
            match find(devices, device).map(|device| &mut device.kind) {
                Some(RtKind::Render { bus, .. }) => set(bus.bus_mut().volume(), change),
                Some(RtKind::Capture { bus, .. }) => set(bus.bus_mut().volume(), change),
                None => {}
            }
            None
        }
    }
}

fn find(devices: &mut [Box<RtDevice>], id: DeviceId) -> Option<&mut RtDevice> {
    devices.iter_mut().find(|device| device.id == id).map(Box::as_mut)
}

/// Idles what a device's endpoints hold before they go.
fn quiet(device: &mut RtDevice, protection: Protection<'_>) {
    match &mut device.kind {
        RtKind::Render { bus, links, .. } if bus.bus().is_active() => {
            for link in links {
                link.connection.set_active(false, protection);
            }
        }
        RtKind::Capture { bus, link: Some(link), .. } if bus.bus().is_active() => {
            link.connection.set_active(false, protection);
        }
        _ => {}
    }
}

fn add_stream(device: Option<&mut RtDevice>, stream: NewStream) -> Option<Report> {
    match (device.map(|device| &mut device.kind), stream) {
        (Some(RtKind::Render { streams, .. }), NewStream::Render(slot, room)) => {
            let list = exchange(streams, room);
            streams.push(slot);
            old(list, |list| OldList::RenderStreams { _list: list })
        }
        (Some(RtKind::Capture { streams, .. }), NewStream::Capture(slot, room)) => {
            let list = exchange(streams, room);
            streams.push(slot);
            old(list, |list| OldList::CaptureStreams { _list: list })
        }
        // Not reached: the control side sends a stream only to a device that exists and has its direction.
        (_, stream) => Some(Report::RefusedStream { _stream: stream }),
    }
}

fn remove_stream(device: Option<&mut RtDevice>, id: StreamId) -> Option<Report> {
    let stream = match &mut device?.kind {
        RtKind::Render { streams, .. } => {
            let at = streams.iter().position(|slot| slot.id == id)?;
            OldStream::Render { _slot: streams.remove(at) }
        }
        RtKind::Capture { streams, .. } => {
            let at = streams.iter().position(|slot| slot.id == id)?;
            OldStream::Capture { _slot: streams.remove(at) }
        }
    };
    Some(Report::Stream { _stream: stream })
}

fn add_connection(
    device: Option<&mut RtDevice>,
    connection: NewConnection,
    protection: Protection<'_>,
) -> Option<Report> {
    let Some(device) = device else { return Some(Report::RefusedConnection(connection)) };
    let driver = match &connection {
        NewConnection::Render(link, _) => link.drive.as_ref().map(|drive| (link.id, drive.clone())),
        NewConnection::Capture(link) => link.drive.as_ref().map(|drive| (link.id, drive.clone())),
    };
    let reports = match (&mut device.kind, connection) {
        (RtKind::Render { bus, links, .. }, NewConnection::Render(mut link, room)) => {
            if bus.bus().is_active() {
                link.connection.set_active(true, protection);
            }
            let list = exchange(links, room);
            links.push(link);
            old(list, |list| OldList::RenderLinks { _list: list })
        }
        (RtKind::Capture { bus, link: place @ None, .. }, NewConnection::Capture(mut link)) => {
            if bus.bus().is_active() {
                link.connection.set_active(true, protection);
            }
            *place = Some(link);
            None
        }
        (_, connection) => return Some(Report::RefusedConnection(connection)),
    };
    if driver.is_some() {
        device.driver = driver;
    }
    reports
}

fn remove_connection(device: Option<&mut RtDevice>, id: ConnectionId, protection: Protection<'_>) -> Option<Report> {
    let device = device?;
    match &mut device.kind {
        RtKind::Render { bus, links, .. } => {
            let at = links.iter().position(|link| link.id == id)?;
            let mut link = links.remove(at);
            release_driver(&mut device.driver, id);
            if bus.bus().is_active() {
                link.connection.set_active(false, protection);
            }
            Some(Report::RenderLink(link))
        }
        RtKind::Capture { bus, link, .. } => {
            let mut link = link.take_if(|link| link.id == id)?;
            release_driver(&mut device.driver, id);
            if bus.bus().is_active() {
                link.connection.set_active(false, protection);
            }
            Some(Report::CaptureLink(link))
        }
    }
}

fn change_stream(device: Option<&mut RtDevice>, id: StreamId, change: StreamChange) {
    match device.map(|device| &mut device.kind) {
        Some(RtKind::Render { streams, .. }) => {
            let Some(slot) = streams.iter_mut().find(|slot| slot.id == id) else { return };
            match change {
                StreamChange::Volume(change) => set(slot.stream.volume(), change),
                StreamChange::Paused(paused) => slot.stream.set_paused(paused),
                StreamChange::Drain => slot.stream.drain(),
                StreamChange::Flush(until) => slot.stream.flush(until),
            }
        }
        Some(RtKind::Capture { streams, .. }) => {
            let Some(slot) = streams.iter_mut().find(|slot| slot.id == id) else { return };
            match change {
                StreamChange::Volume(change) => set(slot.stream.volume(), change),
                StreamChange::Paused(paused) => slot.stream.set_paused(paused),
                // A recording has nothing to drain, and what is queued is the reader's.
                StreamChange::Drain | StreamChange::Flush(_) => {}
            }
        }
        None => {}
    }
}

fn set(fader: &mut soundpost_dsp::ramp::Fader, change: VolumeChange) {
    match change {
        VolumeChange::Gain(gain) => fader.set_gain(gain),
        VolumeChange::Muted(muted) => fader.set_muted(muted),
    }
}
