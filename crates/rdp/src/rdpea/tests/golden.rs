//! Each PDU, both directions, byte by byte; and IronRDP's client side reads what we write.

use ironrdp_core::decode;
use ironrdp_rdpsnd::pdu::ServerAudioOutputPdu;

use super::*;
use crate::rdpea::pdu::{self, parse_client};

#[test]
fn server_formats_2_2_2_1() {
    let offer = Offer::new(vec![Offer::pcm().formats()[0].clone(), Offer::pcm().formats()[1].clone()]).unwrap();
    #[rustfmt::skip]
    let expected = [
        0x07, 0, 56, 0,                     // SNDC_FORMATS, BodySize
        0, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0, 0, // dwFlags, dwVolume, dwPitch
        0, 0,  2, 0,  0,  8, 0,  0,         // wDGramPort, wNumberOfFormats, cLastBlockConfirmed, wVersion, bPad
        1, 0, 2, 0, 0x80, 0xBB, 0, 0, 0x00, 0xEE, 2, 0, 4, 0, 16, 0, 0, 0, // 48,000 Hz, 192,000 bytes/s
        1, 0, 2, 0, 0x44, 0xAC, 0, 0, 0x10, 0xB1, 2, 0, 4, 0, 16, 0, 0, 0, // 44,100 Hz, 176,400 bytes/s
    ];
    let pdu = pdu::server_formats(&offer, Version::V8);
    assert_eq!(pdu, expected);
    let Ok(ServerAudioOutputPdu::AudioFormat(read)) = decode(&pdu) else { panic!() };
    assert_eq!(read.formats, offer.formats());
}

#[test]
fn the_default_offer_is_what_a_new_channel_sends_and_fits_every_client() {
    let mut rdpea = Rdpea::new(RdpeaConfig::default(), START);
    let Ok(ServerAudioOutputPdu::AudioFormat(read)) = decode(&sent(&mut rdpea)[0]) else { panic!() };
    assert_eq!(read.formats, Offer::pcm().formats());
    assert!(read.formats.len() <= MAX_OFFER);
}

#[test]
fn an_offer_that_cannot_be_written_is_refused() {
    let format = Offer::pcm().formats()[0].clone();
    assert_eq!(Offer::new(vec![]), Err(InvalidOffer::Count(0)));
    assert_eq!(Offer::new(vec![format.clone(); 17]), Err(InvalidOffer::Count(17)));
    let long = AudioFormat { data: Some(vec![0; 65_536]), ..format.clone() };
    assert_eq!(Offer::new(vec![format, long]), Err(InvalidOffer::ExtraData(1)));
}

#[test]
fn training_2_2_3_1() {
    assert_eq!(pdu::training(0x1234, 0), [6, 0, 4, 0, 0x34, 0x12, 0, 0]);
    assert_eq!(pdu::training(0x1234, 8), [6, 0, 4, 0, 0x34, 0x12, 0, 0]);
    assert_eq!(pdu::training(0x1234, 11), [6, 0, 7, 0, 0x34, 0x12, 11, 0, 0, 0, 0]);
    let pdu = pdu::training(0x1234, 1024);
    assert_eq!((pdu.len(), &pdu[..8]), (1024, &[6, 0, 0xFC, 3, 0x34, 0x12, 0, 4][..]));
    assert!(matches!(decode(&pdu), Ok(ServerAudioOutputPdu::Training(_))));
}

#[test]
fn wave_info_and_wave_2_2_3_3() {
    let head = WaveHead { timestamp: 0x0201, format_number: 0x0403, block: 5 };
    let (info, wave) = pdu::wave(head, &[10, 11, 12, 13, 14, 15]).unwrap();
    // BodySize is the audio and 8, though 12 bytes follow.
    assert_eq!(info, [2, 0, 14, 0, 1, 2, 3, 4, 5, 0, 0, 0, 10, 11, 12, 13]);
    assert_eq!(wave, [0, 0, 0, 0, 14, 15]);
    let Ok(ServerAudioOutputPdu::Wave(read)) = decode(&info) else { panic!() };
    assert_eq!((read.audio_length, read.data_prefix, read.format_no), (6, [10, 11, 12, 13], 0x0403));

    assert_eq!(pdu::wave(head, &[1, 2, 3]), None);
    assert_eq!(pdu::wave(head, &vec![0; 65_528]), None);
    let (info, wave) = pdu::wave(head, &vec![0; 65_527]).unwrap();
    assert_eq!((&info[2..4], wave.len()), (&[0xFF, 0xFF][..], 65_527));
}

#[test]
fn wave2_2_2_3_10() {
    let head = WaveHead { timestamp: 0x0201, format_number: 0x0403, block: 5 };
    let pdu = pdu::wave2(head, 0x0D0C_0B0A, &[20, 21, 22]).unwrap();
    assert_eq!(pdu, [13, 0, 15, 0, 1, 2, 3, 4, 5, 0, 0, 0, 0x0A, 0x0B, 0x0C, 0x0D, 20, 21, 22]);
    let Ok(ServerAudioOutputPdu::Wave2(read)) = decode(&pdu) else { panic!() };
    assert_eq!((read.audio_timestamp, read.block_no, &read.data[..]), (0x0D0C_0B0A, 5, &[20, 21, 22][..]));

    assert_eq!(pdu::wave2(head, 0, &vec![0; 65_524]), None);
    assert_eq!(pdu::wave2(head, 0, &vec![0; 65_523]).unwrap()[2..4], [0xFF, 0xFF]);
}

#[test]
fn volume_2_2_4_1_and_close_2_2_3_9() {
    let pdu = pdu::volume(Volume { left: 0x1122, right: 0x3344 });
    assert_eq!(pdu, [3, 0, 4, 0, 0x22, 0x11, 0x44, 0x33]);
    assert_eq!(pdu::close(), [1, 0, 0, 0]);
    assert!(matches!(decode(&pdu::close()), Ok(ServerAudioOutputPdu::Close)));
}

/// As in MS-RDPEA 4.1.2, with one format of IMA ADPCM and its 2 bytes of extra data beside PCM.
#[rustfmt::skip]
const CLIENT_FORMATS: [u8; 62] = [
    0x07, 0x2B, 58, 0,
    3, 0, 0, 0,                     // TSSNDCAPS_ALIVE | TSSNDCAPS_VOLUME
    0x11, 0x22, 0x33, 0x44,         // left 0x2211, right 0x4433
    0, 0, 1, 0,                     // pitch 1.0
    0x0D, 0x3D,                     // UDP port 3389, big-endian
    2, 0, 0xAA, 6, 0, 0xAA,         // two formats, version 6
    0x11, 0, 2, 0, 0x22, 0x56, 0, 0, 0xB9, 0x56, 0, 0, 0, 4, 4, 0, 2, 0, 0xF9, 0x03,
    1, 0, 2, 0, 0x22, 0x56, 0, 0, 0x88, 0x58, 1, 0, 4, 0, 16, 0, 0, 0,
];

#[test]
fn client_formats_2_2_2_2() {
    let Ok(ClientPdu::Formats(read)) = parse_client(&CLIENT_FORMATS) else { panic!() };
    assert_eq!((read.flags, read.version, read.cut), (3, Version(6), false));
    assert_eq!(read.volume, Volume { left: 0x2211, right: 0x4433 });
    let [ima, pcm] = &read.formats[..] else { panic!() };
    assert_eq!(
        (ima.format, ima.n_block_align, ima.data.as_deref()),
        (FormatTag::DVI_ADPCM, 1024, Some(&[0xF9, 3][..]))
    );
    assert_eq!(
        (pcm.format, pcm.n_channels, pcm.n_samples_per_sec, pcm.bits_per_sample),
        (FormatTag::PCM, 2, 22_050, 16)
    );
}

#[test]
fn every_truncation_of_the_client_formats_is_a_fault() {
    for length in 0..CLIENT_FORMATS.len() {
        assert_eq!(parse_client(&CLIENT_FORMATS[..length]), Err(RdpeaFault::Truncated), "{length}");
    }
}

#[test]
fn quality_mode_2_2_2_3() {
    let parse = |mode| parse_client(&[0x0C, 0, 4, 0, mode, 0, 0xAA, 0xAA]);
    assert_eq!(parse(0), Ok(ClientPdu::QualityMode(QualityMode::Dynamic)));
    assert_eq!(parse(1), Ok(ClientPdu::QualityMode(QualityMode::Medium)));
    assert_eq!(parse(2), Ok(ClientPdu::QualityMode(QualityMode::High)));
    assert_eq!(parse(3), Err(RdpeaFault::InvalidField));
    assert_eq!(parse_client(&[0x0C, 0, 4, 0, 2]), Err(RdpeaFault::Truncated));
}

#[test]
fn confirms_2_2_3_2_and_2_2_3_8() {
    let training = ClientPdu::TrainingConfirm { timestamp: 0x1234, pack_size: 0x0400 };
    assert_eq!(parse_client(&[6, 0, 4, 0, 0x34, 0x12, 0x00, 0x04]), Ok(training));
    assert_eq!(parse_client(&[6, 0, 4, 0, 0x34, 0x12, 0x00]), Err(RdpeaFault::Truncated));
    let wave = ClientPdu::WaveConfirm { timestamp: 0x1234, block: 9 };
    assert_eq!(parse_client(&[5, 0, 4, 0, 0x34, 0x12, 9, 0xAA]), Ok(wave));
    assert_eq!(parse_client(&[5, 0, 4, 0, 0x34, 0x12]), Err(RdpeaFault::Truncated));
}

#[test]
fn what_only_a_server_sends_is_no_client_pdu() {
    for kind in [0, 1, 2, 3, 4, 8, 9, 10, 11, 13, 14, 255] {
        assert_eq!(parse_client(&[kind, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Err(RdpeaFault::UnknownType));
    }
}
