//! Which of the common formats is used: a pure function and the table of what is known about clients.

use std::cmp::Reverse;

use soundpost_core::{SampleFormat, SampleRate};

use super::formats::{FormatTag, NegotiatedFormat};

/// What kind of client is at the other end, as far as its quirks matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientFamily {
    /// Nothing known.
    #[default]
    Unknown,
    /// Microsoft's client for Windows.
    Mstsc,
    /// FreeRDP and what is built on it (Remmina, aRDP).
    FreeRdp,
    /// IronRDP's clients.
    IronRdp,
    /// Apache Guacamole.
    Guacamole,
    /// rdesktop.
    Rdesktop,
}

impl ClientFamily {
    /// A guess from osMajorType of the client's general capability set (MS-RDPBCGR 2.2.7.1.1): Windows stands for
    /// mstsc, UNIX for FreeRDP. A wrong guess costs a resampling, never the sound.
    #[must_use]
    pub const fn guess(os_major_type: u16) -> Self {
        match os_major_type {
            1 => Self::Mstsc,
            4 => Self::FreeRdp,
            _ => Self::Unknown,
        }
    }

    /// What is known about this family.
    #[must_use]
    pub fn quirks(self) -> &'static Quirks {
        QUIRKS.iter().find(|quirks| quirks.family == self).unwrap_or(&NO_QUIRKS)
    }
}

/// What is known about a family of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quirks {
    /// Whom this is about.
    pub family: ClientFamily,
    /// Which of the high rates to take first; empty where the client does equally well with all.
    pub rate_order: &'static [u32],
    /// Formats that the client accepts and then plays wrongly.
    pub avoid: &'static [FormatTag],
    /// Whether Wave2 PDUs may be sent where the version allows them.
    pub wave2: bool,
    /// Why.
    pub reason: &'static str,
}

const NO_QUIRKS: Quirks = Quirks {
    family: ClientFamily::Unknown,
    rate_order: &[],
    avoid: &[],
    wave2: true,
    reason: "nothing known: the preferred rate decides, then the order of the client's list",
};

/// What is known about clients. A line says how it is known.
pub const QUIRKS: &[Quirks] = &[
    NO_QUIRKS,
    Quirks {
        family: ClientFamily::Mstsc,
        rate_order: &[44_100, 48_000],
        avoid: &[],
        wave2: true,
        reason: "does not resample 48 kHz PCM to its device's rate (neutrinolabs/xrdp#965)",
    },
    Quirks {
        family: ClientFamily::FreeRdp,
        rate_order: &[48_000, 44_100],
        avoid: &[FormatTag::ALAW, FormatTag::MULAW],
        wave2: true,
        reason: "opens the device as u8 for A-law and mu-law: loud noise (seen with 2.11.7)",
    },
    Quirks {
        family: ClientFamily::IronRdp,
        rate_order: &[],
        avoid: &[],
        wave2: true,
        reason: "opens its device at the rate on the wire, whichever it is",
    },
    Quirks {
        family: ClientFamily::Guacamole,
        rate_order: &[],
        avoid: &[],
        wave2: false,
        reason: "version 6: has no Wave2 (guacamole-server PR#696)",
    },
    Quirks {
        family: ClientFamily::Rdesktop,
        rate_order: &[],
        avoid: &[],
        wave2: false,
        reason: "PCM over the static channel, from before Wave2",
    },
];

/// What a choice depends on.
#[derive(Clone, Copy, Debug)]
pub struct ChoiceInput<'a> {
    /// The formats that both sides have.
    pub formats: &'a [NegotiatedFormat],
    /// Who the client is.
    pub family: ClientFamily,
    /// The rate that costs least on this side (from the configuration, or what the session's device runs at). It
    /// decides between rates that are equally good for the client.
    pub preferred_rate: Option<SampleRate>,
}

/// The format to use; none where the list has nothing that the client would play rightly.
///
/// In order of weight: PCM before anything compressed; 16 bits before 8; 44.1 kHz and above before lower rates, and
/// among those the higher; stereo, then mono, then more channels; the family's order of rates; the preferred rate; the
/// order of the client's list.
#[must_use]
pub fn resolve<'a>(input: &ChoiceInput<'a>) -> Option<&'a NegotiatedFormat> {
    let quirks = input.family.quirks();
    input.formats.iter().filter(|format| !quirks.avoid.contains(&format.format().format)).min_by_key(|negotiated| {
        let rate = negotiated.format().n_samples_per_sec;
        let high = rate >= 44_100;
        (
            negotiated.pcm().is_none(),
            negotiated.pcm().is_some_and(|pcm| pcm.sample == SampleFormat::U8),
            Reverse(if high { u32::MAX } else { rate }),
            match negotiated.format().n_channels {
                2 => 0,
                1 => 1,
                _ => 2,
            },
            quirks.rate_order.iter().position(|known| *known == rate).unwrap_or(quirks.rate_order.len()),
            input.preferred_rate.map(SampleRate::get) != Some(rate),
            negotiated.number(),
        )
    })
}
