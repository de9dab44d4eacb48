//! How many connections may wait for their login.
//!
//! A connection that has not logged in costs a socket and a task. There may be so many of them in total and so many
//! from one address; one more makes another one go, never itself. Who goes is chosen so that a crowd crowds out itself:
//! of the network with the most connections, of the stage that most of them are in, the oldest. Somebody who comes from
//! elsewhere is not in that network; somebody from the same network is either in another stage or newer than the rest.
//! Neither idle connections nor half-open handshakes, from one address or from many, keep a client out.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// The most connections before login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionConfig {
    /// From everywhere.
    pub total: usize,
    /// From one IPv4 address, or from one IPv6 network of 64 bits, which is what one customer is given.
    pub per_address: usize,
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self { total: 512, per_address: 128 }
    }
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
        let same = |other: &Waiting| customer(other.address) == customer(address);
        if waiting.iter().filter(|other| same(other)).count() >= self.config.per_address.max(1) {
            drop_one(&mut waiting, same);
        }
        if waiting.len() >= self.config.total.max(1) {
            let biggest = most(waiting.iter().map(|other| neighbourhood(other.address)));
            drop_one(&mut waiting, |other| biggest.contains(&neighbourhood(other.address)));
        }
        waiting.push(Waiting { id, address, stage: Stage::Idle, evict: Arc::clone(&evict) });
        Place { admission: Arc::clone(self), id, evict }
    }
}

/// Of those that `of` names: the oldest in the stage that most of them are in.
fn drop_one(waiting: &mut Vec<Waiting>, of: impl Fn(&Waiting) -> bool) {
    let stage = most(waiting.iter().filter(|other| of(other)).map(|other| other.stage));
    let oldest = waiting.iter().enumerate().filter(|(_, other)| of(other) && stage.contains(&other.stage));
    if let Some((index, _)) = oldest.min_by_key(|(_, other)| other.id) {
        waiting.swap_remove(index).evict.notify_one();
    }
}

/// The values that occur most often: several where they occur equally often.
fn most<K: Eq + Hash>(values: impl Iterator<Item = K>) -> HashSet<K> {
    let mut counts = HashMap::new();
    for value in values {
        *counts.entry(value).or_insert(0_usize) += 1;
    }
    let highest = counts.values().max().copied();
    counts.into_iter().filter(|(_, count)| Some(*count) == highest).map(|(value, _)| value).collect()
}

/// What counts as one address: an IPv4 address, or the 64 bits of an IPv6 address that one customer is given.
pub(super) fn customer(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits() & (u128::MAX << 64),
    }
}

/// What counts as one network: 256 IPv4 addresses that lie together, or one IPv6 customer.
fn neighbourhood(address: IpAddr) -> u128 {
    let mask = if address.to_canonical().is_ipv4() { u128::MAX << 8 } else { u128::MAX };
    customer(address) & mask
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
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const AWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 2));

    fn ids(admission: &Admission) -> Vec<u64> {
        let mut ids: Vec<u64> = admission.waiting.lock().unwrap().iter().map(|waiting| waiting.id).collect();
        ids.sort_unstable();
        ids
    }

    #[tokio::test]
    async fn the_oldest_of_the_crowd_goes() {
        let admission = Admission::new(AdmissionConfig { total: 100, per_address: 4 });
        let away = admission.enter(0, AWAY);
        let busy = admission.enter(1, HOME);
        busy.reached(Stage::Negotiating);
        let oldest = admission.enter(2, HOME);
        let _third = admission.enter(3, HOME);
        let _fourth = admission.enter(4, HOME);
        let _fifth = admission.enter(5, HOME);
        assert_eq!(ids(&admission), [0, 1, 3, 4, 5]);
        is_told_to_go(&oldest).await;
        drop((away, busy, oldest));
        assert_eq!(ids(&admission).len(), 3);
    }

    #[tokio::test]
    async fn the_total_is_bounded_and_the_newest_always_gets_in() {
        let admission = Admission::new(AdmissionConfig { total: 8, per_address: 100 });
        let mut places = Vec::new();
        for id in 0..50 {
            places.push(admission.enter(id, HOME));
            assert!(ids(&admission).contains(&id) && ids(&admission).len() <= 8);
        }
        is_told_to_go(&places[0]).await;
        places.clear();
        assert!(ids(&admission).is_empty());
    }

    /// Connections from `count` addresses that `address` makes, each of which comes as far as `stage`; half of them
    /// before a client from [`AWAY`] comes, half while it goes through its stages. Answers whether that one is left.
    fn survives(count: u64, stage: Stage, address: impl Fn(u32) -> IpAddr) -> bool {
        let admission = Admission::new(AdmissionConfig::default());
        let mut places = Vec::new();
        let mut flood = |ids: std::ops::Range<u64>| {
            for id in ids {
                let place = admission.enter(id, address(u32::try_from(id).unwrap()));
                place.reached(stage);
                places.push(place);
            }
        };
        flood(0..count);
        let client = admission.enter(1_000_000, AWAY);
        flood(count..count + 100);
        client.reached(Stage::Negotiating);
        flood(count + 100..count + 200);
        client.reached(Stage::Encrypted);
        flood(count + 200..count + 300);
        ids(&admission).contains(&1_000_000)
    }

    /// In its time, so that a test of what is never told ends.
    async fn is_told_to_go(place: &Place) {
        tokio::time::timeout(std::time::Duration::from_secs(20), place.evicted()).await.unwrap();
    }

    #[test]
    fn a_crowd_of_neighbours_pays_for_itself_and_nobody_elsewhere_does() {
        let admission = Admission::new(AdmissionConfig::default());
        let client = admission.enter(0, AWAY);
        // Two networks of 256 addresses, of each of which there is no more than of the client's; all in its stage.
        let address = |n: u64| IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + u32::try_from(n % 512).unwrap()));
        let places: Vec<_> = (1..=5000).map(|id| admission.enter(id, address(id))).collect();
        assert!(ids(&admission).contains(&0), "the oldest of all, and alone in its network");
        drop((client, places));
    }

    #[test]
    fn a_flood_that_stops_at_any_stage_does_not_keep_a_client_out() {
        let v4 = |bits: u32| IpAddr::V4(Ipv4Addr::from_bits(bits));
        for stage in [Stage::Idle, Stage::Negotiating, Stage::Encrypted] {
            for count in [200, 600, 5000] {
                assert!(survives(count, stage, |_| HOME), "one address, {stage:?}");
                assert!(survives(count, stage, |n| v4(0x0A00_0000 + n)), "addresses that lie together, {stage:?}");
                assert!(survives(count, stage, |n| v4(0x0A00_0000 + (n << 8))), "addresses all over, {stage:?}");
                assert!(survives(count, stage, |_| AWAY), "the client's own address, {stage:?}");
                let v6 = |n: u32| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0DB8 << 96) | u128::from(n)));
                assert!(survives(count, stage, v6), "one IPv6 network, {stage:?}");
            }
        }
    }

    #[test]
    fn one_ipv6_customer_is_one_address() {
        let parse = |text: &str| customer(text.parse().unwrap());
        assert_eq!(parse("2001:db8::1"), parse("2001:db8::ffff:1"));
        assert_ne!(parse("2001:db8::1"), parse("2001:db8:0:1::1"));
        assert_eq!(parse("::ffff:192.0.2.1"), parse("192.0.2.1"));
        assert_ne!(parse("192.0.2.2"), parse("192.0.2.1"));
        let admission = Admission::new(AdmissionConfig { total: 100, per_address: 4 });
        let places: Vec<_> = (0..50_u64)
            .map(|id| admission.enter(id, IpAddr::V6(Ipv6Addr::from_bits((0x2001_0DB8 << 96) | u128::from(id)))))
            .collect();
        assert_eq!(ids(&admission), [46, 47, 48, 49]);
        drop(places);
    }
}
