//! WAVEFORMATEX: what is parsed says the same when it is written again, and IronRDP reads it alike.

use ironrdp_core::{decode, encode_vec};
use ironrdp_rdpsnd::pdu::AudioFormat;
use soundpost_codec::{MAX_EXTRA, WaveFormat};

/// Parse, write, parse; the same bytes and the same format, and no format that contradicts itself.
pub fn wave_format(data: &[u8]) {
    let Ok((format, taken)) = WaveFormat::parse(data) else { return };
    let mut written = Vec::new();
    format.emit(&mut written);
    assert_eq!(data.get(..taken), Some(&written[..]), "written differently than read");
    assert_eq!(WaveFormat::parse(&written).as_ref(), Ok(&(format.clone(), taken)));
    assert!(format.extra().len() <= MAX_EXTRA);
    assert!(format.channels() > 0 && format.rate() > 0 && format.block_align() > 0);

    let other = decode::<AudioFormat>(&written);
    let Ok(other) = other else { panic!("IronRDP does not read {written:?}: {other:?}") };
    assert_eq!(encode_vec(&other).ok(), Some(written));

    if let Some(engine) = format.to_format() {
        assert_eq!(engine.frame_bytes(), usize::from(format.block_align()));
        let Some(back) = WaveFormat::pcm(engine) else { panic!("{engine} came from PCM and is none") };
        assert_eq!(back.to_format(), Some(engine));
    }
}
