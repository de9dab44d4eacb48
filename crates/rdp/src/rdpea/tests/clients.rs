//! The choice of a format, client by client, as data.

use super::*;

type Listed = (u16, u16, u32, u16);

const PCM: u16 = 1;
const MS_ADPCM: u16 = 2;
const ALAW: u16 = 6;
const MULAW: u16 = 7;
const AAC: u16 = 0xA106;

struct Profile {
    client: &'static str,
    family: ClientFamily,
    version: u16,
    list: &'static [Listed],
    preferred: Option<u32>,
    /// The number in the client's list; none where there is no common format.
    chosen: Option<u16>,
    wave2: bool,
}

const PROFILES: &[Profile] = &[
    Profile {
        client: "mstsc: does not resample 48 kHz, whatever is preferred here",
        family: ClientFamily::Mstsc,
        version: 8,
        list: &[(PCM, 2, 48_000, 16), (PCM, 2, 44_100, 16), (PCM, 2, 22_050, 16)],
        preferred: Some(48_000),
        chosen: Some(1),
        wave2: true,
    },
    Profile {
        client: "mstsc with 48 kHz alone",
        family: ClientFamily::Mstsc,
        version: 8,
        list: &[(PCM, 2, 22_050, 16), (PCM, 2, 48_000, 16)],
        preferred: Some(44_100),
        chosen: Some(1),
        wave2: true,
    },
    Profile {
        client: "FreeRDP 2: A-law first in its list, which it plays as noise",
        family: ClientFamily::FreeRdp,
        version: 8,
        list: &[(ALAW, 2, 48_000, 8), (MULAW, 2, 48_000, 8), (PCM, 2, 44_100, 16), (PCM, 2, 48_000, 16)],
        preferred: Some(44_100),
        chosen: Some(3),
        wave2: true,
    },
    Profile {
        client: "FreeRDP with A-law and mu-law alone: silence is better than noise",
        family: ClientFamily::FreeRdp,
        version: 8,
        list: &[(ALAW, 2, 48_000, 8), (MULAW, 2, 48_000, 8)],
        preferred: None,
        chosen: None,
        wave2: true,
    },
    Profile {
        client: "IronRDP: any rate is as good, so the preferred one",
        family: ClientFamily::IronRdp,
        version: 8,
        list: &[(PCM, 2, 48_000, 16), (PCM, 2, 44_100, 16)],
        preferred: Some(44_100),
        chosen: Some(1),
        wave2: true,
    },
    Profile {
        client: "unknown, nothing preferred: its own order",
        family: ClientFamily::Unknown,
        version: 8,
        list: &[(AAC, 2, 44_100, 16), (PCM, 2, 44_100, 16), (PCM, 2, 48_000, 16)],
        preferred: None,
        chosen: Some(1),
        wave2: true,
    },
    Profile {
        client: "Guacamole: version 6",
        family: ClientFamily::Guacamole,
        version: 6,
        list: &[(PCM, 2, 44_100, 16), (PCM, 2, 22_050, 16)],
        preferred: Some(48_000),
        chosen: Some(0),
        wave2: false,
    },
    Profile {
        client: "Guacamole saying version 8 still gets no Wave2",
        family: ClientFamily::Guacamole,
        version: 8,
        list: &[(PCM, 2, 44_100, 16)],
        preferred: None,
        chosen: Some(0),
        wave2: false,
    },
    Profile {
        client: "rdesktop on Windows XP's version: mono before a lower rate",
        family: ClientFamily::Rdesktop,
        version: 2,
        list: &[(PCM, 2, 22_050, 16), (PCM, 1, 44_100, 16), (PCM, 2, 22_050, 8)],
        preferred: None,
        chosen: Some(1),
        wave2: false,
    },
    Profile {
        client: "a client with little: 22.05 kHz before 8 bits and before 8 kHz",
        family: ClientFamily::Unknown,
        version: 5,
        list: &[(PCM, 1, 8_000, 16), (PCM, 2, 44_100, 8), (PCM, 1, 22_050, 16)],
        preferred: None,
        chosen: Some(2),
        wave2: false,
    },
    Profile {
        client: "8 bits alone",
        family: ClientFamily::Unknown,
        version: 5,
        list: &[(PCM, 1, 11_025, 8), (PCM, 2, 22_050, 8)],
        preferred: None,
        chosen: Some(1),
        wave2: false,
    },
    Profile {
        client: "Wyse ThinOS: ADPCM alone",
        family: ClientFamily::Unknown,
        version: 8,
        list: &[(MS_ADPCM, 2, 22_050, 4)],
        preferred: None,
        chosen: None,
        wave2: true,
    },
    Profile {
        client: "IronRDP web: an empty list",
        family: ClientFamily::IronRdp,
        version: 8,
        list: &[],
        preferred: None,
        chosen: None,
        wave2: true,
    },
    Profile {
        client: "PCM that was never offered (6 channels, 96 kHz)",
        family: ClientFamily::Unknown,
        version: 8,
        list: &[(PCM, 6, 48_000, 16), (PCM, 2, 96_000, 16)],
        preferred: None,
        chosen: None,
        wave2: true,
    },
    Profile {
        client: "a version from the future counts as ours",
        family: ClientFamily::Unknown,
        version: 11,
        list: &[(PCM, 2, 48_000, 16)],
        preferred: None,
        chosen: Some(0),
        wave2: true,
    },
];

#[test]
fn each_known_client_gets_the_format_that_it_plays_best() {
    for profile in PROFILES {
        // G.711 and ADPCM are offered too, as they will be: the choice has to be right then as well.
        let mut offered = Offer::pcm().formats()[..8].to_vec();
        offered.extend_from_slice(&Offer::pcm().formats()[8..]);
        for &(tag, channels, rate, bits) in &[(ALAW, 2, 48_000, 8), (MULAW, 2, 48_000, 8), (AAC, 2, 44_100, 16)] {
            let bytes = audio_format(tag, channels, rate, bits);
            offered.push(ironrdp_core::decode(&bytes).unwrap());
        }
        let config = RdpeaConfig {
            offer: Offer::new(offered).unwrap(),
            family: profile.family,
            preferred_rate: profile.preferred.map(|rate| SampleRate::new(rate).unwrap()),
            ..RdpeaConfig::default()
        };
        let mut rdpea = Rdpea::new(config, START);
        rdpea.handle_pdu(&client_formats(ALIVE, profile.version, profile.list), START);
        assert_eq!(rdpea.format().map(NegotiatedFormat::number), profile.chosen, "{}", profile.client);
        if profile.chosen.is_none() {
            let [Event::FormatRejected(rejected)] = &events(&mut rdpea)[..] else { panic!("{}", profile.client) };
            assert_eq!(rejected.client_formats.len(), profile.list.len());
            continue;
        }
        rdpea.handle_timeout(START + Duration::from_secs(60));
        let Some(Event::Ready(ready)) = events(&mut rdpea).pop() else { panic!("{}", profile.client) };
        assert_eq!(ready.wave2, profile.wave2, "{}", profile.client);
        assert!(ready.version <= Version::V8);
    }
}

#[test]
fn a_client_without_a_common_format_is_told_by_name() {
    let mut rdpea = Rdpea::new(RdpeaConfig::default(), START);
    rdpea.handle_pdu(&client_formats(ALIVE, 8, &[(MS_ADPCM, 2, 22_050, 4), (0x7777, 1, 8_000, 3)]), START);
    let [Event::FormatRejected(rejected)] = &events(&mut rdpea)[..] else { panic!() };
    assert_eq!(
        rejected.to_string(),
        "no audio format in common: the client lists MS-ADPCM 22050 Hz, 2 channels, 4 bits; \
         format 30583 <unknown wave format> at 8000 Hz, 1 channels, 3 bits"
    );
    assert_eq!((rdpea.can_send(), rdpea.next_timeout()), (false, None));
    assert_eq!(faults(&rdpea), [(RdpeaFault::ForeignFormat, 2)]);
}

#[test]
fn a_client_that_is_not_alive_gets_no_sound() {
    let mut rdpea = Rdpea::new(RdpeaConfig::default(), START);
    rdpea.handle_pdu(&client_formats(0, 8, &[(PCM, 2, 48_000, 16)]), START);
    let [Event::FormatRejected(rejected)] = &events(&mut rdpea)[..] else { panic!() };
    assert!(rejected.not_alive && rejected.to_string().contains("TSSNDCAPS_ALIVE"));
}

#[test]
fn pcm_with_a_block_size_that_cannot_be_is_not_used() {
    let mut pdu = client_formats(ALIVE, 8, &[(PCM, 2, 48_000, 16)]);
    pdu[36] = 1;
    let mut rdpea = Rdpea::new(RdpeaConfig::default(), START);
    rdpea.handle_pdu(&pdu, START);
    assert!(matches!(&events(&mut rdpea)[..], [Event::FormatRejected(_)]));
}

#[test]
fn a_list_without_end_is_cut() {
    let list = vec![(PCM, 2, 48_000, 16); 1000];
    let mut rdpea = Rdpea::new(RdpeaConfig::default(), START);
    rdpea.handle_pdu(&client_formats(ALIVE, 8, &list), START);
    assert_eq!(rdpea.formats().len(), MAX_CLIENT_FORMATS);
    assert_eq!(faults(&rdpea), [(RdpeaFault::FormatListCut, 1)]);
}
