//! Scenarios as TOML: what they may hold, and what is said when they do not.

use thiserror::Error;

use super::scenario::{EndpointGroup, Flow, Scenario, SessionGroup, StreamGroup};
use crate::known_keys::{TomlError, read_toml};

/// A scenario that cannot be played. One line, which says what to do.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ScenarioError {
    /// No TOML, a value of the wrong kind, or a key that means nothing.
    #[error(transparent)]
    Toml(#[from] TomlError),
    /// A value that cannot be.
    #[error("{key} cannot be {value}: {remedy}")]
    Value {
        /// Its key.
        key: &'static str,
        /// What was written.
        value: String,
        /// What to write.
        remedy: &'static str,
    },
}

const KEYS: &[&str] = &[
    "name",
    "seconds",
    "seed",
    "workers",
    "sample_ms",
    "session",
    "session.name",
    "session.count",
    "session.period_ms",
    "session.rate",
    "session.stream",
    "session.stream.flow",
    "session.stream.count",
    "session.stream.rate",
    "session.stream.format",
    "session.stream.channels",
    "session.stream.signal",
    "session.stream.hertz",
    "session.stream.level",
    "session.stream.volume",
    "session.stream.starts",
    "session.stream.ends",
    "session.stream.spread",
    "session.stream.queue_ms",
    "session.stream.write_ms",
    "session.endpoint",
    "session.endpoint.flow",
    "session.endpoint.count",
    "session.endpoint.rate",
    "session.endpoint.format",
    "session.endpoint.channels",
    "session.endpoint.clock_ppm",
    "session.endpoint.clock_spread_ppm",
    "session.endpoint.periods",
    "session.endpoint.event_driven",
    "session.endpoint.arrives",
    "session.endpoint.leaves",
    "session.endpoint.spread",
    "session.endpoint.fault",
    "session.endpoint.fault_at",
    "stall",
    "stall.at",
    "stall.seconds",
];

/// The longest scenario: a week.
const LONGEST: f64 = 604_800.0;
/// The most sessions.
const SESSIONS: u64 = 20_000;
/// The most streams and endpoints of all sessions together.
const OBJECTS: u64 = 200_000;
/// The most memory for the queues of all streams, in bytes.
const QUEUES: u64 = 8 << 30;
/// The most points of a line.
const POINTS: u128 = 100_000;

impl Scenario {
    /// Reads a scenario and checks it.
    ///
    /// # Errors
    /// [`ScenarioError`]: the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = read_toml(text, KEYS)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Whether it can be played: sizes, times, rates, formats.
    ///
    /// # Errors
    /// [`ScenarioError::Value`].
    pub fn check(&self) -> Result<(), ScenarioError> {
        within("seconds", self.seconds, 0.1, LONGEST, "use 0.1 to 604800 (a week)")?;
        within("workers", self.workers.into(), 1.0, 64.0, "use 1 to 64")?;
        if self.duration().as_nanos() > POINTS.saturating_mul(self.sample_every().as_nanos()) {
            return Err(refuse(
                "sample_ms",
                self.sample_every().as_millis(),
                "use so much that there are 100000 at most",
            ));
        }
        if self.sessions.is_empty() || self.session_count() == 0 {
            return Err(refuse("session", "missing", "write a [[session]] with a name"));
        }
        if self.session_count() > SESSIONS {
            return Err(refuse(
                "session.count",
                self.session_count(),
                "use 20000 sessions at most, all groups together",
            ));
        }
        let (mut objects, mut queues) = (0_u64, 0_u64);
        for group in &self.sessions {
            group.check()?;
            for stream in &group.streams {
                let each = stream.format()?.frame_bytes().max(4 * usize::from(stream.channels));
                let each = u64::try_from(each).unwrap_or(u64::MAX).saturating_mul(stream.rate.into());
                let each = each.saturating_mul(stream.queue_ms.into()) / 1_000;
                let count = u64::from(stream.count).saturating_mul(group.count.into());
                objects = objects.saturating_add(count);
                queues = queues.saturating_add(each.saturating_mul(count));
            }
            let endpoints = group.endpoints.iter().map(|endpoint| u64::from(endpoint.count)).sum::<u64>();
            objects = objects.saturating_add(endpoints.saturating_mul(group.count.into()));
        }
        if objects > OBJECTS {
            return Err(refuse("count", objects, "use 200000 streams and endpoints at most, all sessions together"));
        }
        if queues > QUEUES {
            let wanted = format!("so much that all queues take {} GiB", queues >> 30);
            return Err(refuse("session.stream.queue_ms", wanted, "8 GiB is the most"));
        }
        for stall in &self.stalls {
            within("stall.at", stall.at, 0.0, LONGEST, "use seconds since the start")?;
            within("stall.seconds", stall.seconds, 0.0, 60.0, "use 0 to 60")?;
        }
        Ok(())
    }
}

impl SessionGroup {
    fn check(&self) -> Result<(), ScenarioError> {
        within("session.period_ms", self.period_ms, 2.5, 20.0, "use 2.5 to 20 (milliseconds)")?;
        self.sample_rate()?;
        for stream in &self.streams {
            stream.check(self)?;
        }
        for endpoint in &self.endpoints {
            endpoint.check()?;
        }
        let microphones = self.endpoints.iter().filter(|endpoint| endpoint.flow == Flow::Capture);
        if microphones.map(|endpoint| u64::from(endpoint.count)).sum::<u64>() > 1 {
            return Err(refuse(
                "session.endpoint.count",
                "more than one microphone",
                "a session records from one at most",
            ));
        }
        Ok(())
    }
}

impl StreamGroup {
    fn check(&self, session: &SessionGroup) -> Result<(), ScenarioError> {
        self.format()?;
        within("session.stream.count", self.count.into(), 0.0, 4_096.0, "use 0 to 4096 for each session")?;
        within("session.stream.level", self.level.into(), 0.0, 1.0, "use 0 to 1")?;
        within("session.stream.volume", self.volume.into(), 0.0, 1.0, "use 0 to 1")?;
        within("session.stream.hertz", self.hertz.into(), 1.0, f64::from(self.rate) / 2.0, "use up to half the rate")?;
        within("session.stream.write_ms", self.write_ms.into(), 1.0, 1_000.0, "use 1 to 1000 (milliseconds)")?;
        let shortest = 2.0 * session.period_ms;
        within(
            "session.stream.queue_ms",
            self.queue_ms.into(),
            shortest,
            10_000.0,
            "use two periods at least, 10000 at most",
        )?;
        times("session.stream.starts", self.starts, "session.stream.ends", self.ends, self.spread)
    }
}

impl EndpointGroup {
    fn check(&self) -> Result<(), ScenarioError> {
        self.format()?;
        within("session.endpoint.count", self.count.into(), 0.0, 64.0, "use 0 to 64 for each session")?;
        within("session.endpoint.clock_ppm", self.clock_ppm, -100_000.0, 100_000.0, "use -100000 to 100000")?;
        within("session.endpoint.clock_spread_ppm", self.clock_spread_ppm, 0.0, 100_000.0, "use 0 to 100000")?;
        within("session.endpoint.periods", self.periods.into(), 0.0, 50.0, "use 0 to 50")?;
        within("session.endpoint.fault_at", self.fault_at, 0.0, LONGEST, "use seconds since the start")?;
        if let Some(fault) = self.fault {
            let possible = match self.flow {
                Flow::Render => fault.render().is_some(),
                Flow::Capture => fault.capture().is_some(),
            };
            if !possible {
                return Err(refuse("session.endpoint.fault", format!("{fault:?} here"), "use one of that direction"));
            }
        }
        times("session.endpoint.arrives", self.arrives, "session.endpoint.leaves", self.leaves, self.spread)
    }
}

fn times(start: &'static str, from: f64, end: &'static str, to: Option<f64>, spread: f64) -> Result<(), ScenarioError> {
    within(start, from, 0.0, LONGEST, "use seconds since the start")?;
    within("spread", spread, 0.0, LONGEST, "use seconds")?;
    match to {
        Some(to) => within(end, to, from, LONGEST, "use seconds since the start, not before it begins"),
        None => Ok(()),
    }
}

/// Not-a-number is within nothing.
fn within(key: &'static str, value: f64, least: f64, most: f64, remedy: &'static str) -> Result<(), ScenarioError> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(refuse(key, value, remedy)) }
}

pub(super) fn refuse(key: &'static str, value: impl ToString, remedy: &'static str) -> ScenarioError {
    ScenarioError::Value { key, value: value.to_string(), remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        Scenario::parse(text).unwrap_err().to_string()
    }

    const SHORT: &str = "name = 'x'\nseconds = 1\n[[session]]\nname = 'a'\n";

    #[test]
    fn unknown_keys_name_the_nearest_known_one() {
        assert_eq!(told("secnds = 1"), "unknown key `secnds`: did you mean `seconds`?");
        assert_eq!(
            told(&format!("{SHORT}[[session.endpoint]]\nclock_pm = 1")),
            "unknown key `session.endpoint.clock_pm`: did you mean `session.endpoint.clock_ppm`?"
        );
        assert_eq!(told("clock_ppm = 1"), "unknown key `clock_ppm`: did you mean `session.endpoint.clock_ppm`?");
        assert_eq!(told("qqqqqqqqqqqq = 1"), "unknown key `qqqqqqqqqqqq`");
    }

    #[test]
    fn what_cannot_be_is_one_line_with_a_remedy() {
        let (stream, endpoint) = (format!("{SHORT}[[session.stream]]\n"), format!("{SHORT}[[session.endpoint]]\n"));
        for (text, part) in [
            ("name = 'x'\nseconds = 1".to_owned(), "[[session]]"),
            ("name = 'x'\nseconds = 'long'".to_owned(), "line 2"),
            ("name = 'x'\nseconds = 1e9\n[[session]]\nname = 'a'".to_owned(), "604800"),
            ("name = 'x'\nseconds = nan\n[[session]]\nname = 'a'".to_owned(), "604800"),
            (format!("sample_ms = 0\n{SHORT}"), "sample_ms"),
            (format!("{SHORT}count = 4000000000"), "20000"),
            (format!("{SHORT}count = 20000\n[[session.stream]]\ncount = 4096"), "200000"),
            (
                format!("{SHORT}count = 20000\n[[session.stream]]\nchannels = 8\nrate = 192000\nqueue_ms = 10000"),
                "8 GiB",
            ),
            (format!("{SHORT}period_ms = 1"), "2.5 to 20"),
            (format!("{stream}channels = 9"), "1 to 8"),
            (format!("{stream}rate = 1"), "8000"),
            (format!("{stream}queue_ms = 10"), "two periods"),
            (format!("{stream}starts = 2\nends = 1"), "not before"),
            (format!("{stream}level = -1"), "0 to 1"),
            (format!("{endpoint}fault = 'invalid-flag'"), "direction"),
            (format!("{endpoint}fault = 'sulks'"), "sulks"),
            (format!("{endpoint}flow = 'capture'\ncount = 2"), "one at most"),
            (format!("{SHORT}[[stall]]\nat = 0\nseconds = 1e6"), "0 to 60"),
        ] {
            let told = told(&text);
            assert!(told.contains(part), "{told}");
            assert_eq!(told.lines().count(), 1, "{told}");
        }
    }

    #[test]
    fn every_key_of_the_list_is_read() {
        let all = "name = 'x'\nseconds = 1\nseed = 1\nworkers = 2\nsample_ms = 100\n[[session]]\nname = 'a'\ncount = 2\n\
            period_ms = 5\nrate = 44100\n[[session.stream]]\nflow = 'capture'\ncount = 2\nrate = 8000\nformat = 's24in32'\n\
            channels = 1\nsignal = 'tone'\nhertz = 1000\nlevel = 0.5\nvolume = 0.5\nstarts = 0.1\nends = 0.5\nspread = 0.1\n\
            queue_ms = 100\nwrite_ms = 20\n[[session.endpoint]]\nflow = 'capture'\ncount = 1\nrate = 96000\nformat = 'f32'\n\
            channels = 6\nclock_ppm = 50\nclock_spread_ppm = 10\nperiods = 3\nevent_driven = true\narrives = 0.1\n\
            leaves = 0.9\nspread = 0.1\nfault = 'no-buffer'\nfault_at = 0.5\n[[stall]]\nat = 0.2\nseconds = 0.01\n";
        let table: toml::Table = all.parse().unwrap();
        let names = format!("{table:?}");
        for key in KEYS {
            let last = key.rsplit('.').next().unwrap();
            assert!(names.contains(&format!("\"{last}\"")), "{key} is not in the example");
        }
        let scenario = Scenario::parse(all).unwrap();
        let (stream, endpoint) = (&scenario.sessions[0].streams[0], &scenario.sessions[0].endpoints[0]);
        assert_ne!(*stream, StreamGroup::default());
        assert_eq!((stream.queue_ms, stream.write_ms, endpoint.periods), (100, 20, 3));
        assert_eq!(endpoint.fault, Some(super::super::Fault::NoBuffer));
    }
}
