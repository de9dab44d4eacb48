//! The order of things: negotiation, waves, confirmations.

use super::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn confirmed(rdpea: &mut Rdpea) -> Vec<Confirmation> {
    events(rdpea)
        .into_iter()
        .map(|event| match event {
            Event::Confirmed(confirmation) => confirmation,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_client_of_version_8_becomes_ready() {
    let mut rdpea = Rdpea::new(RdpeaConfig::default(), START);
    assert_eq!(rdpea.next_timeout(), Some(START + ms(10_000)));
    assert_eq!(rdpea.wave(START, &[0; 4], 0), Err(SendError::NotReady));
    drain(&mut rdpea);

    rdpea.handle_pdu(&client_formats(ALIVE_VOLUME, 8, &[(1, 2, 44_100, 16), (1, 2, 48_000, 16)]), START);
    let training = sent(&mut rdpea);
    // 5,000 ms is 0x1388; 1,024 bytes in all.
    assert_eq!((training.len(), &training[0][..8]), (1, &[6, 0, 0xFC, 3, 0x88, 0x13, 0, 4][..]));
    rdpea.handle_pdu(&QUALITY_HIGH, START);
    assert_eq!(events(&mut rdpea), []);
    rdpea.handle_pdu(&training_confirm(5000, 1024), START + ms(23));

    let [Event::Ready(ready)] = &events(&mut rdpea)[..] else { panic!() };
    assert_eq!((ready.format.number(), ready.version, ready.wave2), (0, Version::V8, true));
    assert_eq!((ready.quality, ready.round_trip), (QualityMode::High, Some(ms(23))));
    assert_eq!(ready.volume, Some(Volume { left: 0xFFFF, right: 0xFFFF }));
    assert_eq!((rdpea.next_timeout(), rdpea.counters().total()), (None, 0));
}

#[test]
fn a_client_before_version_6_needs_no_quality_mode() {
    let mut rdpea = ready_48k(5);
    assert!(matches!(&events(&mut rdpea)[..], [Event::Ready(ready)] if ready.quality == QualityMode::Dynamic));
    rdpea.handle_pdu(&QUALITY_HIGH, START);
    assert_eq!(faults(&rdpea), [(RdpeaFault::OutOfSequence, 1)]);
}

#[test]
fn a_client_that_never_lists_its_formats_times_out_after_10_s() {
    let mut rdpea = Rdpea::new(RdpeaConfig::default(), START);
    rdpea.handle_timeout(START + ms(9_999));
    assert_eq!(events(&mut rdpea), []);
    rdpea.handle_timeout(START + ms(10_000));
    assert_eq!(events(&mut rdpea), [Event::NegotiationTimedOut]);
    rdpea.handle_pdu(&client_formats(ALIVE, 8, &[(1, 2, 48_000, 16)]), START);
    assert_eq!((faults(&rdpea), rdpea.next_timeout()), (vec![(RdpeaFault::OutOfSequence, 1)], None));
}

#[test]
fn without_a_quality_mode_it_is_dynamic_after_10_s() {
    let mut rdpea = Rdpea::new(RdpeaConfig::default(), START);
    rdpea.handle_pdu(&client_formats(ALIVE, 8, &[(1, 2, 48_000, 16)]), START);
    rdpea.handle_pdu(&training_confirm(5000, 1024), START + ms(1));
    rdpea.handle_timeout(START + ms(9_999));
    assert_eq!(events(&mut rdpea), []);
    rdpea.handle_timeout(START + ms(10_000));
    assert!(matches!(&events(&mut rdpea)[..], [Event::Ready(ready)] if ready.quality == QualityMode::Dynamic));
}

#[test]
fn without_a_training_confirm_sound_begins_after_3_s() {
    let mut rdpea = Rdpea::new(RdpeaConfig::default(), START);
    rdpea.handle_pdu(&client_formats(ALIVE, 8, &[(1, 2, 48_000, 16)]), START);
    rdpea.handle_pdu(&QUALITY_HIGH, START);
    // Not what was sent: another time stamp, another size.
    rdpea.handle_pdu(&training_confirm(4999, 1024), START + ms(1));
    rdpea.handle_pdu(&training_confirm(5000, 0), START + ms(1));
    assert_eq!(events(&mut rdpea), []);
    rdpea.handle_timeout(START + ms(3_000));
    assert!(matches!(&events(&mut rdpea)[..], [Event::Ready(ready)] if ready.round_trip.is_none()));
    assert_eq!(faults(&rdpea), [(RdpeaFault::UnexpectedTraining, 2)]);
    // It comes late after all.
    rdpea.handle_pdu(&training_confirm(5000, 1024), START + ms(3_500));
    assert_eq!(events(&mut rdpea), [Event::RoundTrip(ms(3_500))]);
}

#[test]
fn pings_are_told_apart_and_bounded() {
    let mut rdpea = ready_48k(8);
    drain(&mut rdpea);
    let later = START + ms(100);
    for _ in 0..6 {
        rdpea.ping(later).unwrap();
    }
    let pings = sent(&mut rdpea);
    assert_eq!(pings[0], [6, 0, 4, 0, 0xEC, 0x13, 0, 0]);
    assert_eq!(pings[3], [6, 0, 4, 0, 0xEF, 0x13, 0, 0]);
    for ping in &pings {
        let timestamp = u16::from_le_bytes([ping[4], ping[5]]);
        rdpea.handle_pdu(&training_confirm(timestamp, 0), later + ms(9));
    }
    assert_eq!(events(&mut rdpea), vec![Event::RoundTrip(ms(9)); 4]);
    assert_eq!(rdpea.round_trip(), Some(ms(9)));
}

#[test]
fn waves_of_version_8_are_wave2() {
    let mut rdpea = ready_48k(8);
    drain(&mut rdpea);
    assert_eq!(rdpea.wave(START + ms(10), &[9; 8], 77), Ok(1));
    assert_eq!(sent(&mut rdpea), [[13, 0, 20, 0, 0x92, 0x13, 0, 0, 1, 0, 0, 0, 77, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9]]);
}

#[test]
fn waves_before_version_8_and_by_setting_are_two_messages() {
    let by_setting = RdpeaConfig { waves: WaveKind::Wave, ..RdpeaConfig::default() };
    for mut rdpea in [ready_48k(6), ready(by_setting, 8, &[(1, 2, 48_000, 16)])] {
        drain(&mut rdpea);
        assert_eq!(rdpea.wave(START + ms(10), &[1, 2, 3, 4, 5, 6, 7, 8], 77), Ok(1));
        let expected: [&[u8]; 2] =
            [&[2, 0, 16, 0, 0x92, 0x13, 0, 0, 1, 0, 0, 0, 1, 2, 3, 4], &[0, 0, 0, 0, 5, 6, 7, 8]];
        assert_eq!(sent(&mut rdpea), expected);
    }
}

#[test]
fn waves_that_cannot_be_are_refused_and_send_nothing() {
    let mut rdpea = ready_48k(8);
    drain(&mut rdpea);
    assert_eq!(rdpea.wave(START, &[], 0), Err(SendError::NotWholeBlocks { bytes: 0, block: 4 }));
    assert_eq!(rdpea.wave(START, &[0; 6], 0), Err(SendError::NotWholeBlocks { bytes: 6, block: 4 }));
    assert_eq!(rdpea.max_wave_bytes(), 65_520);
    let error = rdpea.wave(START, &vec![0; 65_524], 0).unwrap_err();
    assert_eq!(error, SendError::Size { bytes: 65_524, min: 1, max: 65_520 });
    assert_eq!(drain(&mut rdpea), []);
    assert_eq!(rdpea.wave(START, &vec![0; 65_520], 0), Ok(1));
}

#[test]
fn block_numbers_wrap_from_255_to_0() {
    let mut rdpea = ready_48k(8);
    let blocks: Vec<u8> = (0..300).map(|_| rdpea.wave(START, &[0; 4], 0).unwrap()).collect();
    assert_eq!(blocks[253..258], [254, 255, 0, 1, 2]);
}

#[test]
fn a_client_that_confirms_nothing_is_normal() {
    let mut rdpea = ready_48k(8);
    for _ in 0..1000 {
        rdpea.wave(START, &[0; 1920], 0).unwrap();
        drain(&mut rdpea);
    }
    assert_eq!((rdpea.unconfirmed(), rdpea.device_latency()), (None, None));
    // Its first confirm shows what is outstanding: no more than there are block numbers.
    rdpea.handle_pdu(&wave_confirm(5000, 1000_u16 as u8), START);
    assert_eq!(rdpea.unconfirmed(), Some(Duration::ZERO));
}

#[test]
fn what_is_unconfirmed_is_right_after_block_numbers_have_wrapped() {
    let mut rdpea = ready_48k(8);
    for _ in 0..300 {
        rdpea.wave(START, &[0; 1920], 0).unwrap();
    }
    rdpea.handle_pdu(&wave_confirm(5000, 300_u16 as u8), START);
    for _ in 0..10 {
        rdpea.wave(START, &[0; 1920], 0).unwrap();
    }
    assert_eq!(rdpea.unconfirmed(), Some(ms(100)));
}

#[test]
fn one_confirm_per_wave_is_normal() {
    let mut rdpea = ready_48k(8);
    drain(&mut rdpea);
    for n in 0..4 {
        rdpea.wave(START + ms(10 * n), &[0; 1920], 0).unwrap();
    }
    drain(&mut rdpea);
    // Held for 15 ms before it was confirmed, 20 ms after it was sent: the network took 5.
    rdpea.handle_pdu(&wave_confirm(5015, 1), START + ms(20));
    let [first] = confirmed(&mut rdpea)[..] else { panic!() };
    assert_eq!((first.block, first.ordinal, first.elapsed, first.held), (1, 1, ms(20), ms(15)));
    assert_eq!((first.round_trip(), first.unconfirmed), (Some(ms(5)), ms(30)));
    assert_eq!((rdpea.device_latency(), rdpea.unconfirmed()), (Some(ms(15)), Some(ms(30))));
    // A confirm settles the waves before it.
    rdpea.handle_pdu(&wave_confirm(5030, 3), START + ms(40));
    assert_eq!(rdpea.unconfirmed(), Some(ms(10)));
    rdpea.handle_pdu(&wave_confirm(5010, 2), START + ms(40));
    assert_eq!(rdpea.unconfirmed(), Some(ms(10)));
}

#[test]
fn two_confirms_per_wave_are_round_trip_and_device_latency() {
    let mut rdpea = ready_48k(8);
    drain(&mut rdpea);
    for (n, block) in [(0, 1), (10, 2)] {
        rdpea.wave(START + ms(n), &[0; 1920], 0).unwrap();
        drain(&mut rdpea);
        let stamp = 5000 + n as u16;
        rdpea.handle_pdu(&wave_confirm(stamp, block), START + ms(n + 3));
        // Once the client is known to confirm twice, the first confirm says nothing of its device.
        assert_eq!(rdpea.device_latency(), Some(ms(if block == 1 { 0 } else { 45 })));
        rdpea.handle_pdu(&wave_confirm(stamp + 45, block), START + ms(n + 3));
        let [first, second] = confirmed(&mut rdpea)[..] else { panic!() };
        assert_eq!((first.round_trip(), first.held), (Some(ms(3)), ms(0)));
        assert_eq!((second.ordinal, second.round_trip(), second.held), (2, None, ms(45)));
        assert_eq!(rdpea.device_latency(), Some(ms(45)));
    }
    rdpea.handle_pdu(&wave_confirm(5010, 2), START + ms(14));
    assert_eq!(confirmed(&mut rdpea), []);
    assert_eq!(rdpea.device_latency(), Some(ms(45)));
    assert_eq!(faults(&rdpea), [(RdpeaFault::RepeatedConfirm, 1)]);
}

#[test]
fn a_client_that_answers_at_once_and_names_its_latency_has_a_round_trip_too() {
    let mut rdpea = ready_48k(8);
    rdpea.wave(START, &[0; 1920], 0).unwrap();
    drain(&mut rdpea);
    rdpea.handle_pdu(&wave_confirm(5080, 1), START + ms(2));
    let [only] = confirmed(&mut rdpea)[..] else { panic!() };
    assert_eq!((only.round_trip(), only.device_latency()), (Some(ms(2)), ms(80)));
}

#[test]
fn time_stamps_wrap_and_a_client_may_count_modulo_65535() {
    // 65,530 ms and 2 ms before the wrap.
    let mut rdpea = ready_48k(8);
    let at = Instant::from_nanos(65_530_000_000);
    rdpea.wave(at, &[0; 1920], 0).unwrap();
    drain(&mut rdpea);
    // 20 ms later: 65,550 is 14 modulo 65,536 and 15 modulo 65,535.
    rdpea.handle_pdu(&wave_confirm(14, 1), at + ms(21));
    rdpea.handle_pdu(&wave_confirm(15, 1), at + ms(21));
    let held: Vec<Duration> = confirmed(&mut rdpea).iter().map(|confirmation| confirmation.held).collect();
    assert_eq!(held, [ms(20), ms(21)]);
    assert_eq!(rdpea.counters().total(), 0);
}

#[test]
fn confirms_of_nothing_are_counted_and_change_nothing() {
    let mut rdpea = ready_48k(8);
    rdpea.wave(START, &[0; 1920], 0).unwrap();
    drain(&mut rdpea);
    rdpea.handle_pdu(&wave_confirm(5000, 0), START);
    rdpea.handle_pdu(&wave_confirm(5000, 2), START);
    assert_eq!((confirmed(&mut rdpea), rdpea.unconfirmed()), (vec![], None));
    // A time stamp from before the wave: the confirmation stands, the time held does not.
    rdpea.handle_pdu(&wave_confirm(4990, 1), START + ms(1));
    assert_eq!(confirmed(&mut rdpea)[0].held, ms(0));
    assert_eq!(faults(&rdpea), [(RdpeaFault::UnknownBlock, 2), (RdpeaFault::OddTimestamp, 1)]);
}

#[test]
fn volume_goes_to_clients_that_have_one() {
    let mut rdpea = ready_48k(8);
    drain(&mut rdpea);
    let volume = Volume { left: 0x8000, right: 0xFFFF };
    rdpea.set_volume(volume).unwrap();
    assert_eq!(sent(&mut rdpea), [[3, 0, 4, 0, 0, 0x80, 0xFF, 0xFF]]);

    let mut rdpea = Rdpea::new(RdpeaConfig::default(), START);
    assert_eq!(rdpea.set_volume(volume), Err(SendError::NotReady));
    rdpea.handle_pdu(&client_formats(ALIVE, 5, &[(1, 2, 48_000, 16)]), START);
    rdpea.handle_timeout(START + ms(3_000));
    assert_eq!(rdpea.set_volume(volume), Err(SendError::NoVolume));
}

#[test]
fn the_format_can_change_mid_stream_to_one_of_the_clients_list() {
    let mut rdpea = ready(RdpeaConfig::default(), 8, &[(2, 2, 22_050, 4), (1, 2, 48_000, 16), (1, 1, 44_100, 16)]);
    rdpea.wave(START, &[0; 4], 0).unwrap();
    rdpea.close().unwrap();
    rdpea.change_format(|formats| formats.iter().find(|format| format.format().n_channels == 1)).unwrap();
    rdpea.wave(START, &[0; 2], 0).unwrap();
    let pdus = sent(&mut rdpea);
    let [.., before, close, after] = &pdus[..] else { panic!() };
    // wFormatNo counts in the client's list, in which the format that was not offered has a place.
    assert_eq!((&before[6..8], &close[..], &after[6..8]), (&[1, 0][..], &[1, 0, 0, 0][..], &[2, 0][..]));
    assert_eq!(rdpea.format().unwrap().pcm().unwrap().frame_bytes(), 2);
    rdpea.change_format(|_| None).unwrap();
    assert_eq!(rdpea.format().unwrap().number(), 2);
}

#[test]
fn a_quality_mode_may_change_at_any_time() {
    let mut rdpea = ready_48k(8);
    drain(&mut rdpea);
    rdpea.handle_pdu(&QUALITY_HIGH, START);
    assert_eq!(events(&mut rdpea), []);
    rdpea.handle_pdu(&[0x0C, 0, 4, 0, 1, 0, 0, 0], START);
    assert_eq!(events(&mut rdpea), [Event::QualityMode(QualityMode::Medium)]);
}

#[test]
fn pdus_out_of_sequence_are_ignored_and_counted() {
    let mut rdpea = Rdpea::new(RdpeaConfig::default(), START);
    drain(&mut rdpea);
    for pdu in [QUALITY_HIGH, wave_confirm(5000, 1), training_confirm(5000, 1024)] {
        rdpea.handle_pdu(&pdu, START);
    }
    assert_eq!(drain(&mut rdpea), []);
    assert_eq!(faults(&rdpea), [(RdpeaFault::OutOfSequence, 2), (RdpeaFault::UnexpectedTraining, 1)]);

    let mut rdpea = ready_48k(8);
    let formats = client_formats(ALIVE, 8, &[(1, 2, 44_100, 16)]);
    rdpea.handle_pdu(&formats, START);
    assert_eq!(rdpea.format().unwrap().format().n_samples_per_sec, 48_000);
    assert_eq!(faults(&rdpea), [(RdpeaFault::OutOfSequence, 1)]);
}
