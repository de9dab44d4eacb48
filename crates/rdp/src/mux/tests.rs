//! Bytes are written down from MS-RDPBCGR and MS-RDPEDYC, not taken from our own writers.

use ironrdp_core::decode;
use ironrdp_dvc::pdu::{DrdynvcDataPdu, DrdynvcServerPdu};
use proptest::prelude::*;

use super::*;

const RDPSND: u16 = 1004;
const DRDYNVC: u16 = 1005;
const START: Instant = Instant::from_nanos(1_000_000_000);

const FIRST: u32 = 1;
const LAST: u32 = 2;
const ONLY: u32 = 3;

fn config(policy: AudioChannelPolicy, rdpsnd: bool, drdynvc: bool) -> MuxConfig {
    let channel = |there: bool, id| there.then_some(StaticChannel { id, show_protocol: false });
    MuxConfig { rdpsnd: channel(rdpsnd, RDPSND), drdynvc: channel(drdynvc, DRDYNVC), policy, ..MuxConfig::default() }
}

fn started(policy: AudioChannelPolicy, rdpsnd: bool, drdynvc: bool) -> Mux {
    let mut mux = Mux::new(config(policy, rdpsnd, drdynvc));
    mux.start(START);
    mux
}

fn drain(mux: &mut Mux) -> Vec<MuxOutput> {
    std::iter::from_fn(|| mux.poll_output()).collect()
}

/// One chunk: total length, flags, data.
fn chunk(length: u32, flags: u32, data: &[u8]) -> Vec<u8> {
    [&length.to_le_bytes()[..], &flags.to_le_bytes(), data].concat()
}

fn dvc_in(mux: &mut Mux, pdu: &[u8]) {
    mux.handle_static(DRDYNVC, &chunk(pdu.len() as u32, ONLY, pdu), START);
}

fn dvc_out(pdu: &[u8]) -> MuxOutput {
    MuxOutput::Send { channel_id: DRDYNVC, bytes: chunk(pdu.len() as u32, ONLY, pdu) }
}

/// A mux whose audio travels by the dynamic channel, which has the id 1.
fn dynamic() -> Mux {
    let mut mux = started(AudioChannelPolicy::Auto, true, true);
    dvc_in(&mut mux, &[0x50, 0, 2, 0]);
    dvc_in(&mut mux, &[0x10, 1, 0, 0, 0, 0]);
    assert_eq!(drain(&mut mux).last(), Some(&MuxOutput::AudioOpen(AudioTransport::Dynamic)));
    mux
}

fn static_audio() -> Mux {
    let mut mux = started(AudioChannelPolicy::Static, true, true);
    assert_eq!(drain(&mut mux), [MuxOutput::AudioOpen(AudioTransport::Static)]);
    mux
}

fn faults(mux: &Mux) -> Vec<(MuxFault, u64)> {
    mux.counters().iter().filter(|(_, count)| *count != 0).collect()
}

#[test]
fn the_dynamic_channel_is_set_up_as_rdpedyc_says() {
    let mut mux = started(AudioChannelPolicy::Auto, true, true);
    assert_eq!(drain(&mut mux), [dvc_out(&[0x50, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0])]);
    dvc_in(&mut mux, &[0x50, 0, 2, 0]);
    let mut create = vec![0x10, 1];
    create.extend_from_slice(b"AUDIO_PLAYBACK_DVC\0");
    assert_eq!(drain(&mut mux), [dvc_out(&create)]);
    dvc_in(&mut mux, &[0x10, 1, 0, 0, 0, 0]);
    assert_eq!(drain(&mut mux), [MuxOutput::AudioOpen(AudioTransport::Dynamic)]);
    assert_eq!(mux.next_timeout(), None);

    mux.send_audio(&[7, 8, 9]).unwrap();
    assert_eq!(drain(&mut mux), [dvc_out(&[0x30, 1, 7, 8, 9])]);
    dvc_in(&mut mux, &[0x30, 1, 4, 5, 6]);
    assert_eq!(drain(&mut mux), [MuxOutput::AudioData(vec![4, 5, 6])]);

    assert_eq!(mux.counters().total(), 0);
}

#[test]
fn a_long_message_is_cut_into_data_first_and_data() {
    let mut mux = dynamic();
    let message: Vec<u8> = (0..4000_u32).map(|n| n as u8).collect();
    mux.send_audio(&message).unwrap();
    let mut got = Vec::new();
    for (index, output) in drain(&mut mux).into_iter().enumerate() {
        let MuxOutput::Send { bytes, .. } = output else { panic!("{output:?}") };
        assert!(bytes.len() <= 8 + 1600);
        if index == 0 {
            assert_eq!(bytes[8..12], [0x24, 1, 0xA0, 0x0F]);
        }
        // IronRDP's reader stands for the client.
        match decode::<DrdynvcServerPdu>(&bytes[8..]).unwrap() {
            DrdynvcServerPdu::Data(DrdynvcDataPdu::DataFirst(pdu)) => {
                assert_eq!((index, pdu.length()), (0, 4000));
                got.extend_from_slice(pdu.data());
            }
            DrdynvcServerPdu::Data(DrdynvcDataPdu::Data(pdu)) => got.extend_from_slice(pdu.data()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(got, message);
}

#[test]
fn a_long_message_on_the_static_channel_is_cut_into_chunks() {
    for show_protocol in [false, true] {
        let mut config = config(AudioChannelPolicy::Static, true, false);
        config.rdpsnd = Some(StaticChannel { id: RDPSND, show_protocol });
        let mut mux = Mux::new(config);
        mux.start(START);
        mux.send_audio(&[5; 3201]).unwrap();
        let shown = if show_protocol { 0x10 } else { 0 };
        let sent = |bytes| MuxOutput::Send { channel_id: RDPSND, bytes };
        assert_eq!(
            drain(&mut mux)[1..],
            [
                sent(chunk(3201, FIRST | shown, &[5; 1600])),
                sent(chunk(3201, shown, &[5; 1600])),
                sent(chunk(3201, LAST | shown, &[5; 1])),
            ]
        );
    }
}

#[test]
fn a_chunk_size_outside_of_the_protocol_is_refused() {
    assert_eq!(ChunkSize::try_from(1600), Ok(ChunkSize::DEFAULT));
    assert_eq!(ChunkSize::try_from(16_256), Ok(ChunkSize::MAX));
    for size in [0, 1599, 16_257, u32::MAX] {
        assert_eq!(ChunkSize::try_from(size), Err(InvalidChunkSize(size)));
    }
}

#[test]
fn auto_falls_back_to_the_static_channel() {
    // No drdynvc at all.
    let mut mux = started(AudioChannelPolicy::Auto, true, false);
    assert_eq!(drain(&mut mux), [MuxOutput::AudioOpen(AudioTransport::Static)]);

    // The create is refused.
    let mut mux = started(AudioChannelPolicy::Auto, true, true);
    dvc_in(&mut mux, &[0x50, 0, 1, 0]);
    dvc_in(&mut mux, &[0x10, 1, 0x01, 0x00, 0x00, 0xC0]);
    assert_eq!(drain(&mut mux).last(), Some(&MuxOutput::AudioOpen(AudioTransport::Static)));

    // No answer to the capabilities, none to the create.
    for answers in [&[][..], &[0x50, 0, 2, 0]] {
        let mut mux = started(AudioChannelPolicy::Auto, true, true);
        if !answers.is_empty() {
            dvc_in(&mut mux, answers);
        }
        drain(&mut mux);
        let deadline = mux.next_timeout().unwrap();
        assert_eq!(deadline, START + Duration::from_secs(5));
        mux.handle_timeout(deadline - Duration::from_nanos(1));
        assert_eq!(drain(&mut mux), []);
        mux.handle_timeout(deadline);
        assert_eq!(drain(&mut mux), [MuxOutput::AudioOpen(AudioTransport::Static)]);
        assert_eq!(mux.next_timeout(), None);
    }
}

#[test]
fn a_late_consent_is_closed_so_that_audio_never_has_two_channels() {
    let mut mux = started(AudioChannelPolicy::Auto, true, true);
    dvc_in(&mut mux, &[0x50, 0, 2, 0]);
    mux.handle_timeout(START + Duration::from_secs(9));
    assert_eq!(mux.audio_transport(), Some(AudioTransport::Static));
    drain(&mut mux);
    dvc_in(&mut mux, &[0x10, 1, 0, 0, 0, 0]);
    assert_eq!(drain(&mut mux), [dvc_out(&[0x40, 1])]);
    assert_eq!(mux.audio_transport(), Some(AudioTransport::Static));
    // And what comes on it is not audio.
    dvc_in(&mut mux, &[0x30, 1, 4, 5, 6]);
    assert_eq!(drain(&mut mux), []);
    assert_eq!(faults(&mux), [(MuxFault::DvcChannelNotOpen, 1)]);
}

#[test]
fn a_late_version_after_the_fall_back_creates_nothing() {
    let mut mux = started(AudioChannelPolicy::Auto, true, true);
    mux.handle_timeout(START + Duration::from_secs(9));
    drain(&mut mux);
    dvc_in(&mut mux, &[0x50, 0, 2, 0]);
    assert_eq!(drain(&mut mux), []);
    assert_eq!(mux.audio_transport(), Some(AudioTransport::Static));
}

#[test]
fn a_policy_that_cannot_be_met_says_so() {
    let unavailable = |mut mux: Mux| match drain(&mut mux).pop() {
        Some(MuxOutput::AudioUnavailable(why)) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(unavailable(started(AudioChannelPolicy::Static, false, true)), AudioUnavailable::NoChannel);
    assert_eq!(unavailable(started(AudioChannelPolicy::Dynamic, true, false)), AudioUnavailable::NoChannel);
    assert_eq!(unavailable(started(AudioChannelPolicy::Auto, false, false)), AudioUnavailable::NoChannel);
    let mut mux = started(AudioChannelPolicy::Dynamic, true, true);
    mux.handle_timeout(START + Duration::from_secs(5));
    assert_eq!(unavailable(mux), AudioUnavailable::NoAnswer);
    let mut mux = started(AudioChannelPolicy::Dynamic, true, true);
    dvc_in(&mut mux, &[0x50, 0, 2, 0]);
    dvc_in(&mut mux, &[0x10, 1, 0x25, 0x02, 0x00, 0xC0]);
    assert_eq!(unavailable(mux), AudioUnavailable::Refused(0xC000_0225));
}

#[test]
fn the_client_closing_the_channel_ends_audio_once() {
    let mut mux = dynamic();
    dvc_in(&mut mux, &[0x40, 1]);
    assert_eq!(drain(&mut mux), [MuxOutput::AudioClosed]);
    dvc_in(&mut mux, &[0x40, 1]);
    assert_eq!(drain(&mut mux), []);
    assert_eq!(faults(&mux), [(MuxFault::DvcChannelNotOpen, 1)]);
}

#[test]
fn static_messages_are_put_together_from_chunks() {
    let mut mux = static_audio();
    mux.handle_static(RDPSND, &chunk(5, FIRST, &[1, 2]), START);
    mux.handle_static(RDPSND, &chunk(5, 0, &[3]), START);
    mux.handle_static(RDPSND, &chunk(5, LAST, &[4, 5]), START);
    mux.handle_static(RDPSND, &chunk(2, ONLY | 0x10, &[6, 7]), START);
    assert_eq!(drain(&mut mux), [MuxOutput::AudioData(vec![1, 2, 3, 4, 5]), MuxOutput::AudioData(vec![6, 7])]);
    assert_eq!((mux.counters().total(), mux.held_bytes()), (0, 0));
}

/// Hostile chunks, each followed by an honest message, which must arrive.
#[test]
fn trap4_hostile_static_chunks_are_dropped_and_the_channel_goes_on() {
    let cases: &[(&[Vec<u8>], MuxFault)] = &[
        (&[vec![1, 2, 3]], MuxFault::ShortChannelHeader),
        (&[chunk(u32::MAX, FIRST, &[1; 1600]), chunk(u32::MAX, 0, &[1; 1600])], MuxFault::MessageTooLong),
        (&[chunk(MAX_MESSAGE as u32 + 1, FIRST, &[1; 4])], MuxFault::MessageTooLong),
        (&[chunk(4, ONLY | 0x0020_0000, &[1; 4])], MuxFault::CompressedChunk),
        (&[chunk(4, ONLY | 0x0080_0000, &[1; 4])], MuxFault::CompressedChunk),
        (&[chunk(9, FIRST | 0x0020_0000, &[1; 4]), chunk(9, LAST, &[1; 5])], MuxFault::CompressedChunk),
        (&[chunk(4, 0, &[1; 4])], MuxFault::ChunkWithoutFirst),
        (&[chunk(4, LAST, &[1; 4])], MuxFault::ChunkWithoutFirst),
        (&[chunk(9, FIRST, &[1; 4])], MuxFault::MessageIncomplete),
        (&[chunk(9, ONLY, &[1; 4])], MuxFault::MessageIncomplete),
        (&[chunk(4, ONLY, &[1; 5])], MuxFault::MessageOverrun),
        (&[chunk(4, FIRST, &[1; 3]), chunk(4, 0, &[1; 3]), chunk(4, LAST, &[1; 3])], MuxFault::MessageOverrun),
    ];
    for (chunks, fault) in cases {
        let mut mux = static_audio();
        for chunk in *chunks {
            mux.handle_static(RDPSND, chunk, START);
        }
        mux.handle_static(RDPSND, &chunk(2, ONLY, &[6, 7]), START);
        assert_eq!(drain(&mut mux), [MuxOutput::AudioData(vec![6, 7])], "{fault:?}");
        assert_eq!(faults(&mux), [(*fault, 1)]);
    }
}

/// Hostile PDUs on an open dynamic channel, each followed by an honest message, which must arrive.
#[test]
fn trap4_hostile_dynamic_channel_pdus_are_dropped_and_the_channel_goes_on() {
    let cases: &[(&[&[u8]], MuxFault)] = &[
        (&[&[]], MuxFault::DvcMalformed),
        (&[&[0x33, 1, 2, 3]], MuxFault::DvcMalformed),
        (&[&[0x32, 1, 0]], MuxFault::DvcMalformed),
        (&[&[0x50]], MuxFault::DvcMalformed),
        (&[&[0x50, 0, 2, 0]], MuxFault::DvcUnexpected),
        (&[&[0x90, 0, 0, 0]], MuxFault::DvcUnexpected),
        (&[&[0xF0, 1, 2, 3]], MuxFault::DvcUnexpected),
        (&[&[0x00]], MuxFault::DvcUnexpected),
        // 4 GiB, and 64 KiB + 1.
        (&[&[0x28, 1, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3]], MuxFault::DvcTooLong),
        (&[&[0x28, 1, 1, 0, 1, 0, 1, 2, 3]], MuxFault::DvcTooLong),
        // Cut short within the length; a length of no size.
        (&[&[0x28, 1, 0xFF, 0xFF]], MuxFault::DvcMalformed),
        (&[&[0x2C, 1, 0xFF, 0xFF]], MuxFault::DvcMalformed),
        (&[&[0x20, 1, 2, 1, 2, 3]], MuxFault::DvcOverrun),
        (&[&[0x20, 1, 5, 1, 2], &[0x30, 1, 3, 4, 5, 6]], MuxFault::DvcOverrun),
        (&[&[0x20, 1, 5, 1, 2], &[0x20, 1, 1, 9]], MuxFault::DvcIncomplete),
        (&[&[0x30, 2, 1, 2, 3]], MuxFault::DvcUnknownChannel),
        (&[&[0x32, 0xFF, 0xFF, 0xFF, 0xFF, 1]], MuxFault::DvcUnknownChannel),
        (&[&[0x40, 2]], MuxFault::DvcUnknownChannel),
        (&[&[0x10, 1, 0, 0, 0, 0]], MuxFault::DvcDuplicateCreate),
        (&[&[0x10, 1, 0, 0]], MuxFault::DvcMalformed),
        (&[&[0x60, 1, 9, 1, 2, 3]], MuxFault::DvcCompressed),
        (&[&[0x70, 1, 1, 2, 3]], MuxFault::DvcCompressed),
    ];
    for (pdus, fault) in cases {
        let mut mux = dynamic();
        for pdu in *pdus {
            dvc_in(&mut mux, pdu);
        }
        drain(&mut mux);
        dvc_in(&mut mux, &[0x30, 1, 6, 7]);
        assert_eq!(drain(&mut mux), [MuxOutput::AudioData(vec![6, 7])], "{fault:?} {pdus:?}");
        assert_eq!(faults(&mux), [(*fault, 1)], "{pdus:?}");
    }
}

#[test]
fn trap4_a_hostile_client_cannot_make_it_hold_more_than_its_caps() {
    let mut mux = dynamic();
    for _ in 0..200_000 {
        mux.handle_static(DRDYNVC, &chunk(65_536, 0, &[0; 64]), START);
        mux.handle_static(RDPSND, &chunk(65_536, FIRST, &[0; 64]), START);
        dvc_in(&mut mux, &[0x28, 1, 0, 0, 1, 0, 1, 2, 3]);
        drain(&mut mux);
    }
    mux.handle_static(DRDYNVC, &chunk(65_536, FIRST, &[0; 60_000]), START);
    assert!(mux.held_bytes() <= 3 * 2 * MAX_MESSAGE, "{}", mux.held_bytes());
}

#[test]
fn messages_in_pieces_arrive_whole_on_the_dynamic_channel() {
    let mut mux = dynamic();
    dvc_in(&mut mux, &[0x20, 1, 5, 1, 2]);
    dvc_in(&mut mux, &[0x30, 1, 3]);
    assert_eq!(drain(&mut mux), []);
    dvc_in(&mut mux, &[0x30, 1, 4, 5]);
    // A DATA_FIRST that holds all of it; longer fields than needed.
    dvc_in(&mut mux, &[0x29, 1, 0, 2, 0, 0, 0, 8, 9]);
    assert_eq!(drain(&mut mux), [MuxOutput::AudioData(vec![1, 2, 3, 4, 5]), MuxOutput::AudioData(vec![8, 9])]);
}

#[test]
fn audio_on_the_channel_that_is_not_in_use_is_dropped() {
    let mut mux = dynamic();
    mux.handle_static(RDPSND, &chunk(2, ONLY, &[6, 7]), START);
    mux.handle_static(999, &chunk(2, ONLY, &[6, 7]), START);
    assert_eq!(drain(&mut mux), []);
    assert_eq!(faults(&mux), [(MuxFault::UnknownStaticChannel, 1), (MuxFault::AudioNotOpen, 1)]);
}

#[test]
fn nothing_happens_before_the_start() {
    let mut mux = Mux::new(config(AudioChannelPolicy::Auto, true, true));
    dvc_in(&mut mux, &[0x50, 0, 2, 0]);
    mux.handle_timeout(START + Duration::from_secs(60));
    assert_eq!((drain(&mut mux), mux.next_timeout()), (vec![], None));
}

proptest! {
    /// Whatever a client sends whenever: no panic, bounded memory, at most one AudioOpen, and nothing is lost silently:
    /// every message either arrives or is counted.
    #[test]
    fn any_client_is_survived(
        policy in prop_oneof![
            Just(AudioChannelPolicy::Auto), Just(AudioChannelPolicy::Static), Just(AudioChannelPolicy::Dynamic)
        ],
        steps in proptest::collection::vec((0..4_u8, 0..4_u32, any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..60),
    ) {
        let mut mux = started(policy, true, true);
        let (mut opened, mut now) = (0, START);
        for (what, flags, head, bytes) in steps {
            match what {
                0 => mux.handle_static(RDPSND, &chunk(bytes.len() as u32, flags, &bytes), now),
                1 => {
                    // A well-formed frame round a PDU with a likely header: command, a channel id that exists.
                    let pdu = [&[head & 0x7F, 1][..], &bytes].concat();
                    mux.handle_static(DRDYNVC, &chunk(pdu.len() as u32, ONLY, &pdu), now);
                }
                2 => mux.handle_static(DRDYNVC, &bytes, now),
                _ => {
                    now += Duration::from_millis(u64::from(head) * 20);
                    mux.handle_timeout(now);
                }
            }
            let outputs = drain(&mut mux);
            prop_assert!(outputs.len() <= 3);
            opened += outputs.iter().filter(|output| matches!(output, MuxOutput::AudioOpen(_))).count();
            prop_assert!(mux.held_bytes() <= 3 * 2 * MAX_MESSAGE);
            prop_assert!(mux.next_timeout().is_none_or(|at| at <= now + Duration::from_secs(5)));
        }
        prop_assert!(opened <= 1);
        let sum: u64 = mux.counters().iter().map(|(_, count)| count).sum();
        prop_assert_eq!(sum, mux.counters().total());
    }
}
