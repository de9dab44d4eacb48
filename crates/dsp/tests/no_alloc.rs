//! Nothing that touches samples allocates: every such function runs under a guard that aborts the process if it does.
//! A binary of its own, because the guard is the global allocator. It guards release builds too.

#![allow(clippy::as_conversions, reason = "test arithmetic")]

use assert_no_alloc::{AllocDisabler, assert_no_alloc};
use soundpost_core::{ChannelCount, ChannelLayout, FrameCount, Gain, SampleFormat, SampleRate};
use soundpost_dsp::generate::{Colour, Noise, Sine};
use soundpost_dsp::limit::Limiter;
use soundpost_dsp::meter::{Meter, measure};
use soundpost_dsp::ramp::Fader;
use soundpost_dsp::remap::Remap;
use soundpost_dsp::resample::{Resampler, ResamplerConfig};
use soundpost_dsp::{convert, mix};

#[global_allocator]
static GUARD: AllocDisabler = AllocDisabler;

#[test]
fn conversions_do_not_allocate() {
    let mut bytes = vec![0_u8; 4 * 961];
    let mut samples = vec![0.5_f32; 961];
    assert_no_alloc(|| {
        for format in SampleFormat::ALL {
            convert::encode(format, &samples, &mut bytes);
            convert::decode(format, &bytes, &mut samples);
        }
    });
}

#[test]
fn mixing_does_not_allocate() {
    for n in 1..=8 {
        let channels = ChannelCount::new(n).unwrap();
        let layout = ChannelLayout::default_for(channels);
        let source = vec![0.9_f32; 480 * usize::from(n)];
        let mut block = vec![0.9_f32; 480 * usize::from(n)];
        let mut other = vec![0.0_f32; 480 * 8];
        let mut fader = Fader::new(Gain::UNITY, FrameCount::new(100));
        let mut limiter = Limiter::new(channels);
        let mut meter = Meter::default();
        assert_no_alloc(|| {
            mix::add(&mut block, &source);
            for muted in [false, true, false] {
                fader.set_muted(muted);
                meter.add(&mix::add_metered(&mut block, &source, channels, &mut fader));
                fader.apply(&mut block, channels);
            }
            mix::add(&mut block, &source);
            meter.add(&limiter.process(&mut block));
            assert!(!limiter.is_idle());
            meter.add(&measure(&block, channels));
            assert!(meter.take().frames > 0);
            for to in 1..=8 {
                let to = ChannelLayout::default_for(ChannelCount::new(to).unwrap());
                Remap::new(layout, to).process(&block, &mut other);
            }
        });
    }
}

#[test]
fn resampling_does_not_allocate() {
    for (from, to, max_trim) in [(44_100, 48_000, 0), (48_000, 44_100, 500), (48_000, 48_000, 500), (8_000, 192_000, 0)]
    {
        let mut resampler = Resampler::new(ResamplerConfig {
            from: SampleRate::new(from).unwrap(),
            to: SampleRate::new(to).unwrap(),
            channels: ChannelCount::STEREO,
            max_block: FrameCount::new(480),
            max_trim,
        })
        .unwrap();
        let input = vec![0.5_f32; 2 * 2_000];
        let mut output = vec![0.0_f32; 2 * 300];
        assert_no_alloc(|| {
            let mut taken = 0;
            for pass in 0..200_u16 {
                resampler.set_trim(f64::from(pass));
                let needed = resampler.needed_input(FrameCount::new(300)).as_usize().min(2_000);
                taken += resampler.process(&input[..2 * needed], &mut output).consumed.as_usize();
                if pass == 150 {
                    while !resampler.flush(&mut output).is_zero() {}
                    resampler.reset();
                }
            }
            assert!(taken > 0);
        });
    }
}

#[test]
fn generators_do_not_allocate() {
    let mut block = vec![0.0_f32; 960];
    assert_no_alloc(|| {
        Sine::new(1_000.0, 0.5, SampleRate::HZ_48000).fill(&mut block, ChannelCount::STEREO);
        Noise::new(Colour::White, 1, 0.5).fill(&mut block, ChannelCount::STEREO);
        Noise::new(Colour::Pink, 1, 0.5).fill(&mut block, ChannelCount::STEREO);
    });
}
