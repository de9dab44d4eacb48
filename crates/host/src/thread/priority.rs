//! Asking for a real-time priority.

use std::fmt;

use rustix::process::{Pid, setpriority_process};

use super::{rtkit, run_time};
use crate::sys::{Policy, set_scheduler};

/// Above everything that is not real-time, and well below what the kernel and JACK use.
pub(super) const PRIORITY: u8 = 10;
/// What the desktop's sound servers use where real-time is refused.
const NICE: i32 = -11;

/// What the system has granted to the real-time threads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Grant {
    /// SCHED_RR, by CAP_SYS_NICE or RLIMIT_RTPRIO.
    Direct,
    /// SCHED_RR, by RealtimeKit.
    Rtkit,
    /// No real-time priority, but a raised one.
    Nice {
        /// What RealtimeKit said.
        rtkit: String,
    },
    /// The priority that every thread has.
    Refused {
        /// What RealtimeKit said.
        rtkit: String,
    },
}

impl Grant {
    /// Says it once, with what to do where it is not the best.
    pub(super) fn log(&self) {
        match self {
            Self::Direct | Self::Rtkit => tracing::info!("{self}"),
            Self::Nice { .. } | Self::Refused { .. } => tracing::warn!("{self}"),
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let advice = "sound may be late on a busy machine. Install rtkit, or give this user real-time priority: \
                      LimitRTPRIO=20 in the systemd unit, or \"rtprio 20\" in /etc/security/limits.d";
        match self {
            Self::Direct => write!(f, "sound threads run with real-time priority {PRIORITY}"),
            Self::Rtkit => write!(f, "sound threads run with real-time priority {PRIORITY}, granted by RealtimeKit"),
            Self::Nice { rtkit } => {
                write!(f, "sound threads run at nice {NICE}, without real-time priority ({rtkit}): {advice}")
            }
            Self::Refused { rtkit } => write!(f, "sound threads run without real-time priority ({rtkit}): {advice}"),
        }
    }
}

/// Raises these threads of this process: directly where that is allowed, by RealtimeKit where it is there, else to a
/// better nice value.
pub(super) fn raise(threads: &[Pid]) -> Grant {
    let direct = |thread: &Pid| set_scheduler(*thread, Policy::RoundRobin(PRIORITY)).is_ok();
    // Without the limit there is no real-time priority; RealtimeKit's way fails at the same place then.
    if let Ok(watcher) = run_time::limit(None)
        && threads.iter().all(direct)
    {
        // So that it has its turn also where a pass holds the only processor.
        direct(&watcher);
        return Grant::Direct;
    }
    match rtkit::raise(threads) {
        Ok(()) => Grant::Rtkit,
        Err(error) => {
            let rtkit = error.to_string();
            let nice = threads.iter().all(|thread| setpriority_process(Some(*thread), NICE).is_ok());
            if nice { Grant::Nice { rtkit } } else { Grant::Refused { rtkit } }
        }
    }
}
