//! Slowing down wrong passwords, per address and per user.
//!
//! Every attempt counts as wrong from the moment it is made; [`Throttle::succeeded`] takes that back. So a hundred
//! attempts at once are slowed down as a hundred in a row are. The wait depends on the counts alone, never on whether
//! the user exists or the password is right, and is to be spent before anything is answered.
//!
//! The wait for a user is short and bounded, whoever caused it: strangers who try passwords on somebody's name cannot
//! lock that somebody out. The wait for an address grows further, since only that address pays for it.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use soundpost_core::Instant;

/// How wrong passwords are slowed down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottleConfig {
    /// How many wrong passwords are free: people mistype, and several clients may log in at the same moment.
    pub free: u32,
    /// The wait after the first wrong password that is not free. Doubles with every further one.
    pub first_wait: Duration,
    /// The longest wait for the wrong passwords of an address.
    pub longest_for_address: Duration,
    /// The longest wait for the wrong passwords on a user.
    pub longest_for_user: Duration,
    /// How long it takes until one wrong password is forgotten.
    pub forget_one: Duration,
    /// How many addresses and how many users are remembered.
    pub most_entries: usize,
}

impl Default for ThrottleConfig {
    fn default() -> Self {
        Self {
            free: 3,
            first_wait: Duration::from_millis(100),
            longest_for_address: Duration::from_secs(2),
            longest_for_user: Duration::from_millis(500),
            forget_one: Duration::from_secs(20),
            most_entries: 4096,
        }
    }
}

/// An attempt that was admitted; for [`Throttle::succeeded`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    address: u128,
    user: u64,
    wait: Duration,
}

impl Attempt {
    /// How long to wait before answering.
    pub(super) fn wait(&self) -> Duration {
        self.wait
    }
}

/// The counts of wrong passwords. Memory: at most two tables of [`ThrottleConfig::most_entries`] small entries.
#[derive(Debug)]
pub(super) struct Throttle {
    config: ThrottleConfig,
    addresses: Table<u128>,
    users: Table<u64>,
    hasher: RandomState,
}

impl Throttle {
    /// Nothing has happened yet.
    pub(super) fn new(config: ThrottleConfig) -> Self {
        Self { config, addresses: Table::default(), users: Table::default(), hasher: RandomState::new() }
    }

    /// An attempt to log in as `user` from `address`, known or not, right or wrong.
    pub(super) fn attempt(&mut self, now: Instant, address: IpAddr, user: &str) -> Attempt {
        let (address, user) = (network(address), self.hasher.hash_one(user));
        let config = &self.config;
        let by_address = config.wait(self.addresses.count_up(config, now, address), config.longest_for_address);
        let by_user = config.wait(self.users.count_up(config, now, user), config.longest_for_user);
        Attempt { address, user, wait: by_address.max(by_user) }
    }

    /// The attempt's password was right: it no longer counts. Earlier wrong ones do.
    pub(super) fn succeeded(&mut self, attempt: &Attempt) {
        self.addresses.count_down(attempt.address);
        self.users.count_down(attempt.user);
    }
}

impl ThrottleConfig {
    /// The wait after `count` wrong passwords.
    fn wait(&self, count: u32, longest: Duration) -> Duration {
        match count.checked_sub(self.free.saturating_add(1)) {
            None => Duration::ZERO,
            Some(doublings) => {
                let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
                self.first_wait.saturating_mul(factor).min(longest)
            }
        }
    }
}

/// What counts as one address: an IPv4 address, or the 64 bits of an IPv6 address that one customer is given.
fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits() & (u128::MAX << 64),
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    count: u32,
    /// Where the forgetting of the next wrong password starts.
    since: Instant,
}

#[derive(Debug)]
struct Table<K>(std::collections::HashMap<K, Entry>);

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self(std::collections::HashMap::new())
    }
}

impl<K: Copy + Eq + std::hash::Hash> Table<K> {
    /// Counts one more for `key`, and answers how many there were before.
    fn count_up(&mut self, config: &ThrottleConfig, now: Instant, key: K) -> u32 {
        if let Some(entry) = self.0.get_mut(&key) {
            entry.forget(config, now);
            let before = entry.count;
            entry.count = before.saturating_add(1);
            if before == 0 {
                entry.since = now;
            }
            return before;
        }
        if self.0.len() >= config.most_entries {
            self.make_room(config, now);
        }
        self.0.insert(key, Entry { count: 1, since: now });
        0
    }

    fn count_down(&mut self, key: K) {
        if let Some(entry) = self.0.get_mut(&key) {
            entry.count = entry.count.saturating_sub(1);
            if entry.count == 0 {
                self.0.remove(&key);
            }
        }
    }

    /// Drops what is forgotten, or else the entry with the fewest wrong passwords, the oldest of those: a flood of
    /// names or addresses with one attempt each does not wash out the count of the one that is under attack.
    fn make_room(&mut self, config: &ThrottleConfig, now: Instant) {
        self.0.retain(|_, entry| {
            entry.forget(config, now);
            entry.count > 0
        });
        if self.0.len() >= config.most_entries {
            let least = self.0.iter().min_by_key(|(_, entry)| (entry.count, entry.since)).map(|(key, _)| *key);
            if let Some(key) = least {
                self.0.remove(&key);
            }
        }
    }
}

impl Entry {
    fn forget(&mut self, config: &ThrottleConfig, now: Instant) {
        let step = config.forget_one.as_nanos().max(1);
        let forgotten = now.saturating_since(self.since).as_nanos() / step;
        if forgotten >= u128::from(self.count) {
            self.count = 0;
            self.since = now;
        } else if let Ok(forgotten) = u32::try_from(forgotten) {
            self.count -= forgotten;
            self.since += config.forget_one.saturating_mul(forgotten);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const AWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn millis(attempt: Attempt) -> u128 {
        attempt.wait().as_millis()
    }

    fn at(seconds: u64) -> Instant {
        Instant::ORIGIN + Duration::from_secs(seconds)
    }

    #[test]
    fn waits_double_up_to_the_bound_of_the_address() {
        let mut throttle = Throttle::new(ThrottleConfig::default());
        let waits: Vec<_> =
            (0..40).map(|n| millis(throttle.attempt(at(0), HOME, if n % 2 == 0 { "a" } else { "b" }))).collect();
        assert_eq!(waits[..10], [0, 0, 0, 0, 100, 200, 400, 800, 1600, 2000]);
        assert!(waits[10..].iter().all(|wait| *wait == 2000));
    }

    #[test]
    fn a_user_under_attack_waits_a_short_bounded_time_from_elsewhere() {
        let mut throttle = Throttle::new(ThrottleConfig::default());
        for _ in 0..1000 {
            throttle.attempt(at(0), HOME, "ann");
        }
        assert_eq!(millis(throttle.attempt(at(0), AWAY, "ann")), 500);
        assert_eq!(millis(throttle.attempt(at(0), AWAY, "bob")), 0);
    }

    #[test]
    fn known_and_unknown_users_cannot_be_told_apart_by_the_wait() {
        let (mut known, mut unknown) =
            (Throttle::new(ThrottleConfig::default()), Throttle::new(ThrottleConfig::default()));
        for n in 0..50 {
            let wait = |throttle: &mut Throttle, user| throttle.attempt(at(n), HOME, user).wait();
            assert_eq!(wait(&mut known, "ann"), wait(&mut unknown, "nobody"));
        }
    }

    #[test]
    fn right_passwords_do_not_count_and_wrong_ones_are_forgotten_in_time() {
        let mut throttle = Throttle::new(ThrottleConfig::default());
        for _ in 0..10 {
            let attempt = throttle.attempt(at(0), HOME, "ann");
            assert_eq!(millis(attempt), 0);
            throttle.succeeded(&attempt);
        }
        for _ in 0..6 {
            throttle.attempt(at(0), HOME, "ann");
        }
        let attempt = throttle.attempt(at(20), HOME, "ann");
        assert_eq!(millis(attempt), 200, "one of six is forgotten");
        throttle.succeeded(&attempt);
        assert_eq!(millis(throttle.attempt(at(61), HOME, "ann")), 0);
    }

    #[test]
    fn memory_is_bounded_and_a_flood_does_not_wash_out_the_count_of_a_user() {
        let config = ThrottleConfig { most_entries: 16, ..ThrottleConfig::default() };
        let mut throttle = Throttle::new(config);
        for _ in 0..10 {
            throttle.attempt(at(0), HOME, "ann");
        }
        for n in 0..1000_u32 {
            throttle.attempt(at(1), IpAddr::V4(std::net::Ipv4Addr::from_bits(n)), &n.to_string());
        }
        assert!(throttle.users.0.len() <= 16 && throttle.addresses.0.len() <= 16);
        assert_eq!(millis(throttle.attempt(at(1), AWAY, "ann")), 500);
    }

    #[test]
    fn one_ipv6_customer_is_one_address() {
        let parse = |text: &str| network(text.parse().unwrap());
        assert_eq!(parse("2001:db8::1"), parse("2001:db8::ffff:1"));
        assert_ne!(parse("2001:db8::1"), parse("2001:db8:0:1::1"));
        assert_eq!(parse("::ffff:192.0.2.1"), parse("192.0.2.1"));
        assert_ne!(parse("192.0.2.2"), parse("192.0.2.1"));
    }
}
