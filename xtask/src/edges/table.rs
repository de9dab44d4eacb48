//! The layout as data: which crate may know which. A crate that is not here may not exist; a row without a crate is stale.

/// What one crate may depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Crates of this workspace.
    pub(crate) internal: &'static [&'static str],
    /// Crates from elsewhere.
    pub(crate) external: External,
}

/// Which crates from elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) enum External {
    /// These alone.
    Only(&'static [&'static str]),
    /// Any that deny.toml lets pass: the crate does I/O, or is never shipped.
    Any,
}

use External::{Any, Only};

const CORE: &str = "soundpost-core";
const ENDPOINT: &str = "soundpost-endpoint";
const DSP: &str = "soundpost-dsp";
const QUEUE: &str = "soundpost-queue";
const RT: &str = "soundpost-rt";
const ENGINE: &str = "soundpost-engine";
const CODEC: &str = "soundpost-codec";
const RDP: &str = "soundpost-rdp";
const PULSE: &str = "soundpost-pulse";
const LINK: &str = "soundpost-link";
const HOST: &str = "soundpost-host";
const TESTKIT: &str = "soundpost-testkit";
const BENCHES: &str = "soundpost-benches";
const VERIFY: &str = "soundpost-verify";
const GUARDS: &str = "soundpost-guards";

/// The table, from the lowest crate upward. Normal and build dependencies count; those of tests alone do not.
///
/// `queue` and `endpoint` have loom for `cfg(loom)` alone, the build that models their atomics. `rdp` may use IronRDP's data types and
/// state machines, and none of its crates that do I/O (`-async`, `-tokio`, `-tls`).
pub(crate) const TABLE: &[Row] = &[
    Row { name: CORE, internal: &[], external: Only(&[]) },
    Row { name: ENDPOINT, internal: &[CORE], external: Only(&["loom", "thiserror"]) },
    Row { name: DSP, internal: &[CORE], external: Only(&["pulp", "rubato", "thiserror"]) },
    Row { name: QUEUE, internal: &[CORE], external: Only(&["loom", "rtrb"]) },
    Row { name: RT, internal: &[CORE, DSP, ENDPOINT, QUEUE], external: Only(&[]) },
    Row { name: ENGINE, internal: &[CORE, DSP, ENDPOINT, QUEUE, RT], external: Only(&["thiserror"]) },
    Row { name: CODEC, internal: &[CORE], external: Only(&["thiserror"]) },
    Row {
        name: RDP,
        internal: &[CORE],
        external: Only(&[
            "der",
            "ironrdp-core",
            "ironrdp-dvc",
            "ironrdp-pdu",
            "ironrdp-rdpsnd",
            "ironrdp-svc",
            "thiserror",
        ]),
    },
    Row { name: PULSE, internal: &[CORE], external: Only(&["pulseaudio", "subtle", "thiserror"]) },
    Row { name: LINK, internal: &[CORE, CODEC, ENDPOINT, QUEUE, RDP], external: Only(&["thiserror"]) },
    Row { name: HOST, internal: &[CORE, CODEC, DSP, ENDPOINT, ENGINE, LINK, PULSE, QUEUE, RDP, RT], external: Any },
    Row {
        name: TESTKIT,
        internal: &[CORE, CODEC, DSP, ENDPOINT, ENGINE, LINK, QUEUE, RDP, RT],
        external: Only(&["serde", "strsim", "thiserror", "toml", "twox-hash"]),
    },
    Row { name: BENCHES, internal: &[CORE, DSP, ENDPOINT, ENGINE, TESTKIT], external: Only(&["rubato", "thiserror"]) },
    Row { name: VERIFY, internal: &[CORE, ENDPOINT, HOST, TESTKIT], external: Any },
    Row { name: GUARDS, internal: &[], external: Only(&["assert_no_alloc", "rtsan-standalone"]) },
    Row {
        name: "soundpost-testsuite",
        internal: &[CORE, CODEC, DSP, ENDPOINT, ENGINE, GUARDS, HOST, LINK, PULSE, QUEUE, RDP, RT, TESTKIT],
        external: Any,
    },
    Row {
        name: "soundpost",
        internal: &[CORE, CODEC, DSP, ENDPOINT, ENGINE, HOST, LINK, PULSE, QUEUE, RDP, TESTKIT, BENCHES, VERIFY],
        external: Any,
    },
    Row { name: "soundpost-examples", internal: &[CORE, ENDPOINT, ENGINE, TESTKIT, VERIFY], external: Only(&[]) },
    Row { name: "xtask", internal: &[], external: Any },
];
