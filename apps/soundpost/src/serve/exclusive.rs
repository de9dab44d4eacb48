//! Exclusive use of the daemon's endpoints (D5): a client on the control socket gets an endpoint for itself, and its
//! device gets it back afterwards.
//!
//! Each use has a thread of its own, which waits; the frames are moved by a real-time thread of the host's.

use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use soundpost_endpoint::Endpoint;
use soundpost_endpoint::exclusive::ExclusiveEnd;
use soundpost_engine::{AttachConfig, ConnectionId, EndpointId, EndpointState, EngineError, SessionId};
use soundpost_host::exclusive::{Exclusive, OpenRequest, Revoke, refuse};
use tokio::sync::OwnedSemaphorePermit;

use super::hub::{Hub, lock};

/// How long an endpoint's real-time half may take to come back from its device: some passes, or a stall of the machine.
const DETACHING: Duration = Duration::from_secs(1);
/// How long the ending daemon waits for its clients.
const ENDING: Duration = Duration::from_secs(1);
/// How long a client waits for the one before it: who plays one file after the other must not have to.
const HANDOVER: Duration = Duration::from_millis(300);
/// How often something that happens on another thread is looked for.
const LOOK: Duration = Duration::from_micros(500);

/// Which endpoints are in exclusive use, and how earlier uses ended.
#[derive(Debug, Default)]
pub(crate) struct Uses(Mutex<HashMap<EndpointId, Use>>);

/// One endpoint's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Use {
    /// The process that has it, or is about to.
    pub(crate) process: Option<u32>,
    /// Uses that ended otherwise than by the client's wish: it died, stood still, or wrote nonsense.
    pub(crate) broken: u64,
    revoke: Option<Revoke>,
    /// The endpoint was unregistered before there was anything to revoke.
    unwanted: bool,
}

impl Uses {
    /// What is known of an endpoint.
    pub(crate) fn of(&self, endpoint: EndpointId) -> Use {
        lock(&self.0).get(&endpoint).cloned().unwrap_or_default()
    }

    /// The endpoint is going away: whoever uses it has to let go.
    pub(crate) fn forget(&self, endpoint: EndpointId) {
        let mut uses = lock(&self.0);
        if let Some(one) = uses.get_mut(&endpoint) {
            match &one.revoke {
                Some(revoke) => revoke.revoke(),
                None => one.unwanted = true,
            }
            if one.process.is_none() {
                uses.remove(&endpoint);
            }
        }
    }

    /// Ends all uses, and waits for that, but not for ever.
    pub(crate) fn end_all(&self) {
        let begin = Instant::now();
        loop {
            let mut any = false;
            for one in lock(&self.0).values_mut().filter(|one| one.process.is_some()) {
                any = true;
                one.unwanted = true;
                if let Some(revoke) = &one.revoke {
                    revoke.revoke();
                }
            }
            if !any || begin.elapsed() > ENDING {
                return;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Takes an endpoint for a process; the one that has it already, where one does.
    fn take(&self, endpoint: EndpointId, process: u32) -> Result<(), u32> {
        let mut uses = lock(&self.0);
        let one = uses.entry(endpoint).or_default();
        match one.process {
            Some(other) => Err(other),
            None => {
                one.process = Some(process);
                Ok(())
            }
        }
    }

    /// From here on the use can be ended from outside.
    fn began(&self, endpoint: EndpointId, revoke: Revoke) {
        if let Some(one) = lock(&self.0).get_mut(&endpoint) {
            if one.unwanted {
                revoke.revoke();
            }
            one.revoke = Some(revoke);
        }
    }

    fn ended(&self, endpoint: EndpointId, broken: bool) {
        let mut uses = lock(&self.0);
        if let Some(one) = uses.get_mut(&endpoint) {
            (one.process, one.revoke) = (None, None);
            one.broken += u64::from(broken);
            if one.unwanted {
                uses.remove(&endpoint);
            }
        }
    }
}

/// The endpoint that a request means, and where it is attached.
struct Found {
    session: SessionId,
    session_name: String,
    endpoint: EndpointId,
    name: String,
    connection: Option<ConnectionId>,
}

/// Answers a request for exclusive use, from its first line to its end. Blocks; `place` is held until the client has its
/// answer.
pub(crate) fn serve(hub: &Arc<Hub>, socket: UnixStream, line: &str, place: OwnedSemaphorePermit) {
    let request = match OpenRequest::parse(line) {
        Ok(request) => request,
        Err(error) => return no(&socket, error.to_string(), None),
    };
    let mut found = match find(hub, &request) {
        Ok(found) => found,
        Err(why) => return no(&socket, why, None),
    };
    let begin = Instant::now();
    let mut taken = hub.uses().take(found.endpoint, request.process);
    while taken.is_err() && begin.elapsed() < HANDOVER {
        std::thread::sleep(LOOK);
        taken = hub.uses().take(found.endpoint, request.process);
    }
    if let Err(other) = taken {
        let why = format!("{} is in exclusive use by process {other} already: wait until it lets go", found.name);
        return no(&socket, why, Some("D5"));
    }
    // Only now: as long as somebody else had it, it was on none.
    found.connection = connection_of(hub, &found);
    // A panic of an endpoint's control half ends this thread's work, and costs that endpoint alone (X3).
    let using = AssertUnwindSafe(|| use_it(hub, socket, &request, &found, place));
    let end = catch_unwind(using).unwrap_or_else(|_| {
        tracing::error!(endpoint = found.name, "an endpoint failed in exclusive use, and is gone");
        None
    });
    let broken = end.is_some_and(|end| {
        matches!(
            end,
            ExclusiveEnd::Died | ExclusiveEnd::Stalled { .. } | ExclusiveEnd::Breach(_) | ExclusiveEnd::Fault(_)
        )
    });
    hub.uses().ended(found.endpoint, broken);
}

/// Takes the endpoint off its device, grants it, waits for the end and puts it back. `None`: it was refused.
fn use_it(
    hub: &Arc<Hub>,
    socket: UnixStream,
    request: &OpenRequest,
    found: &Found,
    place: OwnedSemaphorePermit,
) -> Option<ExclusiveEnd> {
    let (process, name) = (request.process, found.name.as_str());
    let endpoint = match lend(hub, found) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            no(&socket, format!("{name} cannot be had just now: {error}"), None);
            put_back(hub, found, None, None);
            return None;
        }
    };
    let exclusive = match Exclusive::grant(socket, endpoint, request, (name, &found.session_name)) {
        Ok(exclusive) => exclusive,
        Err(refused) => {
            let (socket, refused) = *refused;
            no(&socket, refused.error.to_string(), refused.error.requirement());
            put_back(hub, found, refused.endpoint, None);
            return None;
        }
    };
    drop(place);
    tracing::info!(endpoint = name, process, "in exclusive use");
    hub.uses().began(found.endpoint, exclusive.revoker());
    let ended = exclusive.serve();
    match ended.end.requirement() {
        Some(requirement) => {
            tracing::warn!(endpoint = name, process, %requirement, end = %ended.end, "exclusive use broken off");
        }
        None => tracing::info!(endpoint = name, process, end = %ended.end, "exclusive use over"),
    }
    put_back(hub, found, ended.endpoint, Some(ended.end));
    Some(ended.end)
}

/// The one endpoint that fits.
fn find(hub: &Hub, request: &OpenRequest) -> Result<Found, String> {
    let (mut found, mut names) = (Vec::new(), Vec::new());
    let mut faulty = None;
    for session in hub.snapshot().sessions {
        if request.session.as_ref().is_some_and(|name| *name != session.name) {
            continue;
        }
        for endpoint in session.endpoints.into_iter().filter(|endpoint| endpoint.flow == request.flow()) {
            names.push(endpoint.name.clone());
            if request.endpoint.as_ref().is_some_and(|name| *name != endpoint.name) {
                continue;
            }
            if let EndpointState::Faulty(fault) = endpoint.state {
                faulty = Some(format!("{} was detached for a fault: {fault}", endpoint.name));
                continue;
            }
            let (session, session_name, name) = (session.id, session.name.clone(), endpoint.name);
            found.push(Found { session, session_name, endpoint: endpoint.id, name, connection: None });
        }
    }
    let flow = request.flow();
    let there = if names.is_empty() { "there is none".to_owned() } else { format!("there are: {}", names.join(", ")) };
    match (found.pop(), found.is_empty(), &request.endpoint) {
        (Some(one), true, _) => Ok(one),
        (Some(_), false, None) => Err(format!("several {flow} endpoints, name one with --endpoint; {there}")),
        (Some(_), false, Some(name)) => Err(format!("several sessions have {name}: name one with --session")),
        (None, _, _) if faulty.is_some() => Err(faulty.unwrap_or_default()),
        (None, _, Some(name)) => Err(format!("no {flow} endpoint is named {name}; {there}")),
        (None, _, None) => Err(format!("no {flow} endpoint to use; {there}")),
    }
}

/// The connection that the endpoint is on just now.
fn connection_of(hub: &Hub, found: &Found) -> Option<ConnectionId> {
    let snapshot = hub.snapshot();
    let session = snapshot.sessions.into_iter().find(|session| session.id == found.session)?;
    match session.endpoints.into_iter().find(|endpoint| endpoint.id == found.endpoint)?.state {
        EndpointState::Attached(connection) => Some(connection),
        EndpointState::Registered | EndpointState::Faulty(_) | EndpointState::Lent => None,
    }
}

/// Detaches the endpoint alone (R4) and takes it out of the engine's hands.
fn lend(hub: &Hub, found: &Found) -> Result<Endpoint, EngineError> {
    if let Some(connection) = found.connection {
        hub.engine().detach(found.session, connection)?;
    }
    let begin = Instant::now();
    loop {
        let mut engine = hub.engine();
        match engine.lend(found.session, found.endpoint) {
            Err(EngineError::EndpointTaken(_)) if begin.elapsed() < DETACHING => {}
            answer => return answer,
        }
        drop(engine);
        std::thread::sleep(LOOK);
    }
}

/// Gives the endpoint back to the engine, and to its device.
fn put_back(hub: &Hub, found: &Found, endpoint: Option<Endpoint>, end: Option<ExclusiveEnd>) {
    let fault = match end {
        Some(ExclusiveEnd::Fault(fault)) => Some(fault),
        _ => None,
    };
    if let Some(endpoint) = endpoint {
        match hub.engine().give_back(found.session, found.endpoint, endpoint, fault) {
            Ok(()) if fault.is_some() => return,
            // It was unregistered meanwhile: nobody wants it.
            Err(EngineError::UnknownEndpoint(_) | EngineError::UnknownSession(_)) => return,
            Ok(()) => {}
            Err(error) => tracing::error!(%error, endpoint = found.name, "an endpoint could not be given back"),
        }
    }
    let Some(connection) = found.connection else { return };
    let attach = AttachConfig { coefficient: hub.lead(), event_driven: false };
    let begin = Instant::now();
    let mut attached = hub.engine().attach(found.session, connection, found.endpoint, attach);
    // A worker that is behind with its commands gets it a little later.
    while attached == Err(EngineError::Busy) && begin.elapsed() < DETACHING {
        std::thread::sleep(LOOK);
        attached = hub.engine().attach(found.session, connection, found.endpoint, attach);
    }
    if let Err(error) = attached {
        tracing::error!(%error, endpoint = found.name, "an endpoint could not be attached again");
    }
}

/// Refuses. A client that has gone meanwhile does not hear it.
fn no(socket: &UnixStream, why: String, requirement: Option<&str>) {
    tracing::debug!(why, "exclusive use refused");
    let _ = refuse(socket, why, requirement);
}
