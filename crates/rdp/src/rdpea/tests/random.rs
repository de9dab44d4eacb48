//! Any client, as sequences of operations.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Formats { flags: u32, version: u16, formats: Vec<(u16, u16, u32, u16)> },
    Quality(u8),
    Training { timestamp: u16, pack_size: u16 },
    Confirm { back: u8, timestamp: u16 },
    Garbage(Vec<u8>),
    Wait(u16),
    Wave(u16),
    Ping,
    Close,
    Volume,
    Change(usize),
}

fn steps() -> impl Strategy<Value = Step> {
    let format = (
        prop_oneof![4 => Just(1_u16), 1 => any::<u16>()],
        0..4_u16,
        prop_oneof![Just(48_000_u32), Just(44_100), Just(22_050), any::<u16>().prop_map(u32::from)],
        prop_oneof![Just(16_u16), Just(8)],
    );
    prop_oneof![
        (0..4_u32, 0..10_u16, proptest::collection::vec(format, 0..5))
            .prop_map(|(flags, version, formats)| Step::Formats { flags, version, formats }),
        any::<u8>().prop_map(Step::Quality),
        (prop_oneof![Just(5000_u16), any::<u16>()], prop_oneof![Just(1024_u16), Just(0)])
            .prop_map(|(timestamp, pack_size)| Step::Training { timestamp, pack_size }),
        (any::<u8>(), any::<u16>()).prop_map(|(back, timestamp)| Step::Confirm { back, timestamp }),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(Step::Garbage),
        any::<u16>().prop_map(Step::Wait),
        (0..8_u16).prop_map(Step::Wave),
        Just(Step::Ping),
        Just(Step::Close),
        Just(Step::Volume),
        (0..6_usize).prop_map(Step::Change),
    ]
}

proptest! {
    /// No panic, no output without end, `Ready` at most once, and every PDU has an effect that shows or is counted.
    #[test]
    fn any_client_is_survived(sequence in proptest::collection::vec(steps(), 0..120)) {
        let mut rdpea = Rdpea::new(RdpeaConfig::default(), START);
        drain(&mut rdpea);
        let (mut now, mut last_block, mut ready) = (START, 0_u8, 0);
        for step in sequence {
            let before = rdpea.counters().total();
            let must_show = matches!(step, Step::Garbage(_) | Step::Confirm { .. } | Step::Training { .. });
            match step {
                Step::Formats { flags, version, formats } => {
                    rdpea.handle_pdu(&client_formats(flags, version, &formats), now);
                }
                Step::Quality(mode) => rdpea.handle_pdu(&[0x0C, 0, 4, 0, mode, 0, 0, 0], now),
                Step::Training { timestamp, pack_size } => {
                    let preparing = rdpea.format().is_some() && !rdpea.can_send();
                    rdpea.handle_pdu(&training_confirm(timestamp, pack_size), now);
                    if preparing {
                        drain(&mut rdpea).into_iter().for_each(|output| ready += usize::from(matches!(output, RdpeaOutput::Event(Event::Ready(_)))));
                        continue;
                    }
                }
                Step::Confirm { back, timestamp } => {
                    rdpea.handle_pdu(&wave_confirm(timestamp, last_block.wrapping_sub(back)), now);
                }
                Step::Garbage(mut bytes) => {
                    // A type that no client sends.
                    if let Some(kind) = bytes.first_mut() {
                        *kind |= 0x10;
                    }
                    rdpea.handle_pdu(&bytes, now);
                }
                Step::Wait(millis) => {
                    now += Duration::from_millis(u64::from(millis));
                    rdpea.handle_timeout(now);
                    prop_assert!(rdpea.next_timeout().is_none_or(|at| at > now));
                }
                Step::Wave(blocks) => {
                    let block = rdpea.format().map_or(1, |format| usize::from(format.format().n_block_align));
                    if let Ok(number) = rdpea.wave(now, &vec![0; usize::from(blocks) * block], 0) {
                        prop_assert_eq!(number, last_block.wrapping_add(1));
                        last_block = number;
                    }
                }
                Step::Ping => prop_assert_eq!(rdpea.ping(now).is_ok(), rdpea.can_send()),
                Step::Close => prop_assert_eq!(rdpea.close().is_ok(), rdpea.can_send()),
                Step::Volume => {
                    let _ = rdpea.set_volume(Volume { left: 1, right: 2 });
                }
                Step::Change(index) => {
                    prop_assert_eq!(rdpea.change_format(|formats| formats.get(index)).is_ok(), rdpea.can_send());
                }
            }
            let outputs = drain(&mut rdpea);
            prop_assert!(outputs.len() <= 2);
            if must_show {
                prop_assert!(!outputs.is_empty() || rdpea.counters().total() > before);
            }
            ready += outputs.iter().filter(|output| matches!(output, RdpeaOutput::Event(Event::Ready(_)))).count();
            prop_assert!(rdpea.unconfirmed().is_none_or(|time| time < Duration::from_secs(3)));
        }
        prop_assert!(ready <= 1);
        let sum: u64 = rdpea.counters().iter().map(|(_, count)| count).sum();
        prop_assert_eq!(sum, rdpea.counters().total());
    }
}
