//! How many connections may wait for their login.
//!
//! A connection that has not logged in costs a socket and a task. There may be so many of them in total and so many
//! from one address; one more makes the one go that has come least far, the oldest of those. So whoever opens many
//! connections and leaves them idle crowds out itself: the newest connection is never the one that is refused.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// The most connections before login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionConfig {
    /// From everywhere.
    pub total: usize,
    /// From one address.
    pub per_address: usize,
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self { total: 512, per_address: 128 }
    }
}

/// How far a connection has come. The order is the order in which they go: the first goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// It has sent nothing that makes sense.
    Idle,
    /// It has asked for RDP.
    Negotiating,
    /// It speaks TLS.
    Encrypted,
}

/// The connections before login. Any thread.
#[derive(Debug)]
pub(super) struct Admission {
    config: AdmissionConfig,
    waiting: Mutex<Vec<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    /// Ascending with time.
    id: u64,
    address: IpAddr,
    stage: Stage,
    evict: Arc<Notify>,
}

impl Admission {
    pub(super) fn new(config: AdmissionConfig) -> Arc<Self> {
        Arc::new(Self { config, waiting: Mutex::new(Vec::new()) })
    }

    /// A place for connection `id` from `address`; ids ascend. Another connection may have to go for it.
    pub(super) fn enter(self: &Arc<Self>, id: u64, address: IpAddr) -> Place {
        let evict = Arc::new(Notify::new());
        let address = address.to_canonical();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.iter().filter(|other| other.address == address).count() >= self.config.per_address.max(1) {
            drop_least(&mut waiting, |other| other.address == address);
        }
        if waiting.len() >= self.config.total.max(1) {
            drop_least(&mut waiting, |_| true);
        }
        waiting.push(Waiting { id, address, stage: Stage::Idle, evict: Arc::clone(&evict) });
        Place { admission: Arc::clone(self), id, evict }
    }

    #[cfg(test)]
    fn ids(&self) -> Vec<u64> {
        self.waiting.lock().unwrap().iter().map(|waiting| waiting.id).collect()
    }
}

fn drop_least(waiting: &mut Vec<Waiting>, of: impl Fn(&Waiting) -> bool) {
    let least =
        waiting.iter().enumerate().filter(|(_, other)| of(other)).min_by_key(|(_, other)| (other.stage, other.id));
    if let Some((index, _)) = least {
        waiting.swap_remove(index).evict.notify_one();
    }
}

/// A connection's place among those that wait for their login. Given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    id: u64,
    evict: Arc<Notify>,
}

impl Place {
    /// Ends when the connection has to go.
    pub(super) async fn evicted(&self) {
        self.evict.notified().await;
    }

    /// The connection has come as far as `stage`.
    pub(super) fn reached(&self, stage: Stage) {
        let mut waiting = self.admission.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = waiting.iter_mut().find(|waiting| waiting.id == self.id) {
            own.stage = stage;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.admission.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|waiting| waiting.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const AWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[tokio::test]
    async fn the_oldest_idle_connection_of_the_address_goes() {
        let admission = Admission::new(AdmissionConfig { total: 100, per_address: 3 });
        let away = admission.enter(0, AWAY);
        let busy = admission.enter(1, HOME);
        busy.reached(Stage::Negotiating);
        let oldest = admission.enter(2, HOME);
        let _third = admission.enter(3, HOME);
        let _fourth = admission.enter(4, HOME);
        let mut ids = admission.ids();
        ids.sort_unstable();
        assert_eq!(ids, [0, 1, 3, 4]);
        oldest.evicted().await;
        drop((away, busy, oldest));
        assert_eq!(admission.ids().len(), 2);
    }

    #[tokio::test]
    async fn the_total_is_bounded_and_the_newest_always_gets_in() {
        let admission = Admission::new(AdmissionConfig { total: 8, per_address: 100 });
        let mut places = Vec::new();
        for id in 0..50 {
            places.push(admission.enter(id, HOME));
            assert!(admission.ids().contains(&id) && admission.ids().len() <= 8);
        }
        places[0].evicted().await;
        places.clear();
        assert!(admission.ids().is_empty());
    }
}
