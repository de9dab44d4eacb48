//! Slowing down wrong passwords, per address and per user.
//!
//! A wrong password counts from the moment it has come, before anybody is told. The attempts of one address wait one
//! after the other, so a hundred at once take as long as a hundred in a row; what does not fit into the longest queue
//! is refused unchecked. The wait depends on what came earlier alone, never on whether the user exists or the
//! password is right, and is to be spent before anything is answered.
//!
//! The wait for a user is short and bounded, whoever caused it: strangers who try passwords on somebody's name cannot
//! lock that somebody out, and so these waits are not queued. The wait for an address grows further, since only that
//! address pays for it; who shares it with a guesser waits along, or is refused while the guesser's queue is full.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use soundpost_core::Instant;

use super::admission::customer;

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
    /// The longest time for which an attempt may wait behind others of its address. To be less than a login may take.
    pub longest_queue: Duration,
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
            longest_queue: Duration::from_secs(8),
            forget_one: Duration::from_secs(20),
            most_entries: 4096,
        }
    }
}

/// The counts of wrong passwords. Memory: at most two tables of [`ThrottleConfig::most_entries`] small entries.
#[derive(Clone, Debug)]
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

    /// An attempt to log in as `user` from `address`, known or not, `right` or wrong: how long to wait before
    /// answering. None where too many of this address wait already: then it is to be refused, whatever it was.
    pub(super) fn attempt(&mut self, now: Instant, address: IpAddr, user: &str, right: bool) -> Option<Duration> {
        let (address, user) = (customer(address), self.hasher.hash_one(user));
        let config = &self.config;
        if let Some(entry) = self.addresses.0.get(&address)
            && entry.next_free.saturating_since(now) > config.longest_queue
        {
            return None;
        }
        let wrong = u32::from(!right);
        let by_user = config.wait(self.users.count_up(config, now, user, wrong), config.longest_for_user);
        let own = config.wait(self.addresses.count_up(config, now, address, wrong), config.longest_for_address);
        let by_address = match self.addresses.0.get_mut(&address) {
            Some(entry) => {
                entry.next_free = entry.next_free.max(now) + own;
                entry.next_free.saturating_since(now)
            }
            // Right, and nothing is known of the address.
            None => own,
        };
        Some(by_address.max(by_user))
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

#[derive(Clone, Copy, Debug)]
struct Entry {
    count: u32,
    /// Where the forgetting of the next wrong password starts.
    since: Instant,
    /// When the last of those that wait has waited. Of addresses alone.
    next_free: Instant,
}

#[derive(Clone, Debug)]
struct Table<K>(std::collections::HashMap<K, Entry>);

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self(std::collections::HashMap::new())
    }
}

impl<K: Copy + Eq + std::hash::Hash> Table<K> {
    /// Counts `more` for `key`, and answers how many there were before.
    fn count_up(&mut self, config: &ThrottleConfig, now: Instant, key: K, more: u32) -> u32 {
        if let Some(entry) = self.0.get_mut(&key) {
            entry.forget(config, now);
            let before = entry.count;
            entry.count = before.saturating_add(more);
            if before == 0 {
                entry.since = now;
            }
            return before;
        }
        if more > 0 {
            if self.0.len() >= config.most_entries {
                self.make_room(config, now);
            }
            self.0.insert(key, Entry { count: more, since: now, next_free: now });
        }
        0
    }

    /// Drops what is forgotten, or else the entry with the fewest wrong passwords, the oldest of those: a flood of
    /// names or addresses with one attempt each does not wash out the count of the one that is under attack.
    fn make_room(&mut self, config: &ThrottleConfig, now: Instant) {
        self.0.retain(|_, entry| {
            entry.forget(config, now);
            entry.count > 0 || entry.next_free > now
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

    /// A wrong password; u128::MAX where it is refused.
    fn wrong(throttle: &mut Throttle, now: Instant, address: IpAddr, user: &str) -> u128 {
        throttle.attempt(now, address, user, false).map_or(u128::MAX, |wait| wait.as_millis())
    }

    fn right(throttle: &mut Throttle, now: Instant, address: IpAddr, user: &str) -> u128 {
        throttle.attempt(now, address, user, true).map_or(u128::MAX, |wait| wait.as_millis())
    }

    fn at(seconds: u64) -> Instant {
        Instant::ORIGIN + Duration::from_secs(seconds)
    }

    /// Wrong passwords in a row, each when the last was answered: how long each took.
    fn in_a_row(throttle: &mut Throttle, count: usize) -> Vec<u128> {
        let mut now = at(0);
        let next = |n| {
            let wait = throttle.attempt(now, HOME, if n % 2 == 0 { "a" } else { "b" }, false).unwrap();
            now += wait;
            wait.as_millis()
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn waits_double_up_to_the_bound_of_the_address() {
        let mut throttle = Throttle::new(ThrottleConfig { forget_one: Duration::from_secs(600), ..config() });
        let waits = in_a_row(&mut throttle, 40);
        assert_eq!(waits[..10], [0, 0, 0, 0, 100, 200, 400, 800, 1600, 2000]);
        assert!(waits[10..].iter().all(|wait| *wait == 2000));
    }

    #[test]
    fn guesses_at_once_wait_one_after_the_other() {
        let config = ThrottleConfig { longest_queue: Duration::from_secs(3600), ..config() };
        let mut throttle = Throttle::new(config);
        let waits: Vec<_> = (0..40).map(|_| wrong(&mut throttle, at(0), HOME, "ann")).collect();
        assert_eq!(waits[..10], [0, 0, 0, 0, 100, 300, 700, 1500, 3100, 5100]);
        assert_eq!(waits[39], 5100 + 30 * 2000);
    }

    #[test]
    fn what_does_not_fit_into_the_queue_is_refused_and_the_queue_is_soon_over() {
        let mut throttle = Throttle::new(config());
        let waits: Vec<_> = (0..1000).map(|_| wrong(&mut throttle, at(0), HOME, "ann")).collect();
        let admitted: Vec<_> = waits.iter().filter(|wait| **wait != u128::MAX).collect();
        assert!(admitted.len() <= 12 && admitted.iter().all(|wait| **wait <= 10_000), "{admitted:?}");
        assert_eq!(right(&mut throttle, at(0), HOME, "bob"), u128::MAX);
        assert!(right(&mut throttle, at(11), HOME, "bob") <= 2000);
    }

    #[test]
    fn clients_that_log_in_at_once_from_one_address_do_not_wait() {
        let mut throttle = Throttle::new(config());
        assert!((0..1000).all(|_| right(&mut throttle, at(0), HOME, "ann") == 0));
        assert!(throttle.users.0.is_empty() && throttle.addresses.0.is_empty());
    }

    #[test]
    fn one_ipv6_customer_waits_as_one() {
        let mut throttle = Throttle::new(config());
        let guess = |n: u128| IpAddr::V6(std::net::Ipv6Addr::from_bits((0x2001_0DB8 << 96) | n));
        let waits: Vec<_> = (0..8).map(|n| wrong(&mut throttle, at(0), guess(n), &n.to_string())).collect();
        assert_eq!(waits, [0, 0, 0, 0, 100, 300, 700, 1500]);
        assert_eq!(wrong(&mut throttle, at(0), guess(1 << 64), "z"), 0, "the next customer");
    }

    #[test]
    fn a_queue_lasts_until_it_is_over_though_its_wrong_passwords_are_forgotten() {
        let config = ThrottleConfig { forget_one: Duration::from_millis(1), ..config() };
        let mut throttle = Throttle::new(config);
        let waits: Vec<_> = (0..12).map(|_| wrong(&mut throttle, at(0), HOME, "ann")).collect();
        assert_eq!(waits[9..], [5100, 7100, 9100]);
        // One second on all of them are forgotten, and a queue of 8.1 s is left.
        throttle.addresses.make_room(&config, at(1));
        assert_eq!(right(&mut throttle, at(1), HOME, "bob"), u128::MAX);
        throttle.addresses.make_room(&config, at(10));
        assert!(throttle.addresses.0.is_empty());
    }

    #[test]
    fn wrong_passwords_are_forgotten_one_by_one() {
        let mut throttle = Throttle::new(config());
        for _ in 0..8 {
            wrong(&mut throttle, at(0), HOME, "ann");
        }
        // From elsewhere: the wait of the user alone.
        let waits: Vec<_> =
            [20, 30, 40, 50, 60, 80].into_iter().map(|second| right(&mut throttle, at(second), AWAY, "ann")).collect();
        assert_eq!(waits, [500, 500, 400, 400, 200, 100]);
    }

    #[test]
    fn a_user_under_attack_waits_a_short_bounded_time_from_elsewhere() {
        let mut throttle = Throttle::new(config());
        for n in 0..1000 {
            wrong(&mut throttle, at(0), IpAddr::V4(std::net::Ipv4Addr::from_bits(n)), "ann");
        }
        assert_eq!(right(&mut throttle, at(0), AWAY, "ann"), 500);
        assert_eq!(right(&mut throttle, at(0), AWAY, "bob"), 0);
    }

    #[test]
    fn right_and_wrong_known_and_unknown_cannot_be_told_apart_by_the_wait() {
        let (mut known, mut unknown) = (Throttle::new(config()), Throttle::new(config()));
        for n in 0..50 {
            let now = at(5 * n);
            let guess = known.clone().attempt(now, HOME, "ann", true);
            let wait = known.attempt(now, HOME, "ann", false);
            assert_eq!(guess, wait);
            assert_eq!(wait, unknown.attempt(now, HOME, "nobody", false));
        }
    }

    #[test]
    fn right_passwords_do_not_count_and_wrong_ones_are_forgotten_in_time() {
        let mut throttle = Throttle::new(config());
        for _ in 0..6 {
            wrong(&mut throttle, at(0), HOME, "ann");
        }
        assert_eq!(right(&mut throttle, at(20), HOME, "ann"), 200, "one of six is forgotten");
        assert_eq!(wrong(&mut throttle, at(61), HOME, "ann"), 0);
    }

    #[test]
    fn memory_is_bounded_and_a_flood_does_not_wash_out_the_count_of_a_user() {
        let config = ThrottleConfig { most_entries: 16, ..config() };
        let mut throttle = Throttle::new(config);
        for _ in 0..10 {
            wrong(&mut throttle, at(0), HOME, "ann");
        }
        for n in 0..1000_u32 {
            wrong(&mut throttle, at(1), IpAddr::V4(std::net::Ipv4Addr::from_bits(n)), &n.to_string());
        }
        assert!(throttle.users.0.len() <= 16 && throttle.addresses.0.len() <= 16);
        assert_eq!(right(&mut throttle, at(1), AWAY, "ann"), 500);
    }

    #[test]
    fn a_right_password_passes_where_the_table_of_addresses_is_full_and_takes_nobodys_place() {
        let mut throttle = Throttle::new(ThrottleConfig { most_entries: 16, ..config() });
        let attacker = |n: u32| IpAddr::V4(std::net::Ipv4Addr::from_bits(n));
        for n in 0..16 * 6 {
            wrong(&mut throttle, at(0), attacker(n % 16), &n.to_string());
        }
        assert_eq!(throttle.addresses.0.len(), 16);
        assert_eq!(right(&mut throttle, at(0), AWAY, "ann"), 0);
        assert_eq!(throttle.addresses.0.len(), 16);
        // Nobody who was slowed down got off by it, and the one who was right is not known.
        assert!((0..16).all(|n| throttle.clone().attempt(at(0), attacker(n), "x", true) > Some(Duration::ZERO)));
        assert!(!throttle.addresses.0.contains_key(&customer(AWAY)));
    }

    fn config() -> ThrottleConfig {
        ThrottleConfig::default()
    }
}
