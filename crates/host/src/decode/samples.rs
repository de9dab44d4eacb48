//! From symphonia's samples to the engine's bytes.

use soundpost_core::{ChannelLayout, Format, SampleFormat, SampleRate};
use symphonia::core::audio::sample::i24;
use symphonia::core::audio::{Channels, GenericAudioBufferRef};

/// The engine's format for what a decoder puts out; `bits` of a sample carry sound, where that is known. An error is
/// a sentence's middle: "... cannot be played: {error}".
pub(super) fn format_of(sound: &GenericAudioBufferRef<'_>, bits: Option<u32>) -> Result<Format, String> {
    let spec = sound.spec();
    let rate = SampleRate::new(spec.rate()).map_err(|error| error.to_string())?;
    Ok(Format { sample: sample_format(sound, bits), rate, layout: layout(spec.channels())? })
}

/// Appends all frames, interleaved and little-endian. Integers only lose bits that carry no sound.
pub(super) fn append(sound: &GenericAudioBufferRef<'_>, format: SampleFormat, out: &mut Vec<u8>) {
    match format {
        SampleFormat::U8 => {
            let mut samples: Vec<u8> = Vec::new();
            sound.copy_to_vec_interleaved(&mut samples);
            out.append(&mut samples);
        }
        SampleFormat::S16 => {
            let mut samples: Vec<i16> = Vec::new();
            sound.copy_to_vec_interleaved(&mut samples);
            out.extend(samples.into_iter().flat_map(i16::to_le_bytes));
        }
        SampleFormat::S24 => {
            let mut samples: Vec<i24> = Vec::new();
            sound.copy_to_vec_interleaved(&mut samples);
            for sample in samples {
                let [low, middle, high, _] = sample.inner().to_le_bytes();
                out.extend([low, middle, high]);
            }
        }
        SampleFormat::S32 => {
            let mut samples: Vec<i32> = Vec::new();
            sound.copy_to_vec_interleaved(&mut samples);
            out.extend(samples.into_iter().flat_map(i32::to_le_bytes));
        }
        // `sample_format` never answers the padded form.
        SampleFormat::F32 | SampleFormat::S24In32 => {
            let mut samples: Vec<f32> = Vec::new();
            sound.copy_to_vec_interleaved(&mut samples);
            out.extend(samples.into_iter().flat_map(f32::to_le_bytes));
        }
    }
}

/// FLAC's decoder, for one, puts everything into the high-order bits of 32: then the bits that carry sound decide.
fn sample_format(sound: &GenericAudioBufferRef<'_>, bits: Option<u32>) -> SampleFormat {
    match sound {
        GenericAudioBufferRef::F32(_) | GenericAudioBufferRef::F64(_) => SampleFormat::F32,
        GenericAudioBufferRef::U8(_) => SampleFormat::U8,
        GenericAudioBufferRef::S8(_) | GenericAudioBufferRef::U16(_) | GenericAudioBufferRef::S16(_) => {
            SampleFormat::S16
        }
        GenericAudioBufferRef::U24(_) | GenericAudioBufferRef::S24(_) => match bits {
            Some(1..=16) => SampleFormat::S16,
            _ => SampleFormat::S24,
        },
        GenericAudioBufferRef::U32(_) | GenericAudioBufferRef::S32(_) => match bits {
            Some(1..=16) => SampleFormat::S16,
            Some(17..=24) => SampleFormat::S24,
            _ => SampleFormat::S32,
        },
    }
}

fn layout(channels: &Channels) -> Result<ChannelLayout, String> {
    let count = u16::try_from(channels.count()).unwrap_or(u16::MAX);
    if count == 1 {
        // A WAV file says nothing of its one channel, and symphonia takes that for the left one.
        return Ok(ChannelLayout::MONO);
    }
    let mask = match channels {
        Channels::Positioned(positions) => u32::try_from(positions.bits()).unwrap_or(u32::MAX),
        _ => 0,
    };
    // Loudspeakers that the engine does not know (above the listener, say) are taken for the usual ones.
    ChannelLayout::new(count, mask)
        .or_else(|_| ChannelLayout::new(count, 0))
        .map_err(|_| format!("it has {count} channels, and 1 to 8 are carried"))
}
