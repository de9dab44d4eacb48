//! Channels from one layout to another.
//!
//! Coefficients, from ITU-R BS.775 where it speaks:
//! - A channel whose loudspeaker the target has goes there unchanged.
//! - Mono goes to front left and right at unity; to a layout without them, to its centre or else its first channel.
//! - A centre goes to left and right at −3 dB each; a surround to the front of its side at −3 dB.
//! - Side and back stand in for one another: at unity where the source has only one of them, at −3 dB where it has
//!   both. A back centre is shared by the surrounds at −3 dB, or by the fronts at −6 dB.
//! - A low-frequency channel is dropped where the target has none: it repeats what the other channels carry, at a
//!   level that only a subwoofer is set for.
//! - Anything to mono: half the sum of what stereo would get. Stereo to mono is thus the average.
//! - Up-mixing puts channels where they belong and leaves the other loudspeakers silent.
//!
//! Nothing is turned down to make room for the sum: speech in a centre would lose 8 dB against stereo material for the
//! sake of peaks that hardly ever coincide. A loudspeaker gets at most 3.2 times full scale (+10 dB, all channels of a
//! 7.1 layout at full scale and in phase); the [limiter](crate::limit) after the mix takes 36 dB.

use core::f32::consts::FRAC_1_SQRT_2;

use soundpost_core::{ChannelLayout, FrameCount, Speaker};

/// The most channels on either side.
const MAX: usize = 8;

/// A mapping of interleaved frames from one layout to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Remap {
    from: ChannelLayout,
    to: ChannelLayout,
    /// By source channel, then target channel.
    matrix: [[f32; MAX]; MAX],
    identity: bool,
}

impl Remap {
    /// The mapping between two layouts, by the rules in the [module's documentation](self).
    #[must_use]
    pub fn new(from: ChannelLayout, to: ChannelLayout) -> Self {
        let matrix = coefficients(from, to);
        Self { from, to, matrix, identity: from == to }
    }

    /// Whether nothing changes, so that the caller can use the source as it is.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.identity
    }

    /// How much of a source channel a target channel gets; 0 for a channel that does not exist.
    #[must_use]
    pub fn coefficient(&self, source: usize, target: usize) -> f32 {
        self.matrix.get(source).and_then(|row| row.get(target)).copied().unwrap_or(0.0)
    }

    /// Maps as many whole frames as `input` holds and `output` has room for; returns their number.
    pub fn process(&self, input: &[f32], output: &mut [f32]) -> FrameCount {
        if self.identity {
            let channels = self.from.channels().as_usize();
            let samples = input.len().min(output.len());
            let samples = samples - samples % channels;
            output[..samples].copy_from_slice(&input[..samples]);
            return FrameCount::from_usize(samples / channels);
        }
        // A function per pair of counts, so that the inner loops have a fixed length and are unrolled.
        match self.from.channels().get() {
            1 => self.widen::<1>(input, output),
            2 => self.widen::<2>(input, output),
            3 => self.widen::<3>(input, output),
            4 => self.widen::<4>(input, output),
            5 => self.widen::<5>(input, output),
            6 => self.widen::<6>(input, output),
            7 => self.widen::<7>(input, output),
            _ => self.widen::<8>(input, output),
        }
    }

    fn widen<const IN: usize>(&self, input: &[f32], output: &mut [f32]) -> FrameCount {
        match self.to.channels().get() {
            1 => self.map::<IN, 1>(input, output),
            2 => self.map::<IN, 2>(input, output),
            3 => self.map::<IN, 3>(input, output),
            4 => self.map::<IN, 4>(input, output),
            5 => self.map::<IN, 5>(input, output),
            6 => self.map::<IN, 6>(input, output),
            7 => self.map::<IN, 7>(input, output),
            _ => self.map::<IN, 8>(input, output),
        }
    }

    fn map<const IN: usize, const OUT: usize>(&self, input: &[f32], output: &mut [f32]) -> FrameCount {
        let mut matrix = [[0.0; OUT]; IN];
        for (row, source) in matrix.iter_mut().zip(&self.matrix) {
            row.copy_from_slice(&source[..OUT]);
        }
        let (frames, _) = input.as_chunks::<IN>();
        let (targets, _) = output.as_chunks_mut::<OUT>();
        for (target, frame) in targets.iter_mut().zip(frames) {
            let mut sum = [0.0; OUT];
            for source in 0..IN {
                for channel in 0..OUT {
                    sum[channel] += matrix[source][channel] * frame[source];
                }
            }
            *target = sum;
        }
        FrameCount::from_usize(frames.len().min(targets.len()))
    }
}

fn coefficients(from: ChannelLayout, to: ChannelLayout) -> [[f32; MAX]; MAX] {
    let mut matrix = [[0.0; MAX]; MAX];
    if from == to {
        for (channel, row) in matrix.iter_mut().enumerate() {
            row[channel] = 1.0;
        }
        return matrix;
    }
    let mono_target = to.channels() == ChannelLayout::MONO.channels();
    if from.channels() == ChannelLayout::MONO.channels() {
        match (to.index_of(Speaker::FrontLeft), to.index_of(Speaker::FrontRight)) {
            (Some(left), Some(right)) => {
                matrix[0][left] = 1.0;
                matrix[0][right] = 1.0;
            }
            _ => matrix[0][to.index_of(Speaker::FrontCenter).unwrap_or(0)] = 1.0,
        }
        return matrix;
    }
    // What stereo would get, then the mean of it.
    let places = if mono_target { ChannelLayout::STEREO } else { to };
    for (speaker, row) in from.speakers().zip(&mut matrix) {
        for (place, coefficient) in route(speaker, from, places) {
            if let Some(index) = places.index_of(place) {
                row[index] = coefficient;
            }
        }
        if mono_target {
            *row = [0.5 * (row[0] + row[1]), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        }
    }
    matrix
}

/// Where a source's channel goes: the first of its possible ways that the target has all loudspeakers for.
fn route(speaker: Speaker, from: ChannelLayout, to: ChannelLayout) -> [(Speaker, f32); 2] {
    use Speaker::{
        BackCenter, BackLeft, BackRight, FrontCenter, FrontLeft, FrontLeftOfCenter, FrontRight, FrontRightOfCenter,
        LowFrequency, SideLeft, SideRight,
    };
    const HALF_POWER: f32 = FRAC_1_SQRT_2;
    let one = |place, coefficient| [(place, coefficient), (place, coefficient)];
    // A stand-in that has a channel of its own to play gets the other one at half its power.
    let stand_in = |place| one(place, if from.index_of(place).is_some() { HALF_POWER } else { 1.0 });
    let pair = |left, right, coefficient| [(left, coefficient), (right, coefficient)];
    let (front_left, front_right) = (one(FrontLeft, HALF_POWER), one(FrontRight, HALF_POWER));
    let centre = one(FrontCenter, 0.5);

    let ways: [[(Speaker, f32); 2]; 4] = match speaker {
        FrontLeft => [one(FrontLeftOfCenter, 1.0), stand_in(SideLeft), stand_in(BackLeft), centre],
        FrontRight => [one(FrontRightOfCenter, 1.0), stand_in(SideRight), stand_in(BackRight), centre],
        FrontCenter => [
            pair(FrontLeft, FrontRight, HALF_POWER),
            pair(FrontLeftOfCenter, FrontRightOfCenter, HALF_POWER),
            pair(SideLeft, SideRight, HALF_POWER),
            pair(BackLeft, BackRight, HALF_POWER),
        ],
        LowFrequency => [one(LowFrequency, 1.0); 4],
        BackLeft => [stand_in(SideLeft), one(BackCenter, HALF_POWER), front_left, centre],
        BackRight => [stand_in(SideRight), one(BackCenter, HALF_POWER), front_right, centre],
        SideLeft => [stand_in(BackLeft), one(BackCenter, HALF_POWER), front_left, centre],
        SideRight => [stand_in(BackRight), one(BackCenter, HALF_POWER), front_right, centre],
        FrontLeftOfCenter => [stand_in(FrontLeft), one(FrontCenter, HALF_POWER), stand_in(SideLeft), centre],
        FrontRightOfCenter => [stand_in(FrontRight), one(FrontCenter, HALF_POWER), stand_in(SideRight), centre],
        BackCenter => [
            pair(BackLeft, BackRight, HALF_POWER),
            pair(SideLeft, SideRight, HALF_POWER),
            pair(FrontLeft, FrontRight, 0.5),
            centre,
        ],
    };
    let direct = one(speaker, 1.0);
    let exists = |way: &[(Speaker, f32); 2]| way.iter().all(|(place, _)| to.index_of(*place).is_some());
    core::iter::once(direct).chain(ways).find(exists).unwrap_or(direct)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use soundpost_core::ChannelCount;

    use super::*;

    fn layout(channels: u16) -> ChannelLayout {
        ChannelLayout::default_for(ChannelCount::new(channels).unwrap())
    }

    fn row(from: ChannelLayout, to: ChannelLayout, source: usize) -> Vec<f32> {
        let remap = Remap::new(from, to);
        (0..to.channels().as_usize()).map(|target| remap.coefficient(source, target)).collect()
    }

    const A: f32 = FRAC_1_SQRT_2;

    #[test]
    fn mono_stereo_and_surround_have_the_coefficients_of_bs_775() {
        assert_eq!(row(ChannelLayout::MONO, ChannelLayout::STEREO, 0), [1.0, 1.0]);
        assert_eq!(row(ChannelLayout::STEREO, ChannelLayout::MONO, 0), [0.5]);
        let five_one = layout(6);
        let expected = [[1.0, 0.0], [0.0, 1.0], [A, A], [0.0, 0.0], [A, 0.0], [0.0, A]];
        for (source, expected) in expected.iter().enumerate() {
            assert_eq!(row(five_one, ChannelLayout::STEREO, source), expected, "5.1 channel {source}");
        }
        assert_eq!(row(ChannelLayout::MONO, five_one, 0), [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(row(ChannelLayout::STEREO, five_one, 1), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(row(five_one, ChannelLayout::MONO, 2), [A]);
    }

    #[test]
    fn sides_and_backs_stand_in_for_one_another() {
        let (back, side) = (layout(6), ChannelLayout::new(6, 0x60F).unwrap());
        assert_eq!(row(back, side, 4), [0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        assert_eq!(row(layout(8), back, 6), [0.0, 0.0, 0.0, 0.0, A, 0.0]);
        assert_eq!(row(layout(7), back, 4), [0.0, 0.0, 0.0, 0.0, A, A]);
    }

    /// Every pair of layouts that there is: no channel but the low-frequency one is lost, none gains power (mono to
    /// two loudspeakers apart), and no loudspeaker gets more than the limiter is made for.
    #[test]
    fn no_channel_is_lost_or_grows() {
        let layouts: Vec<ChannelLayout> =
            (1..0x800_u32).filter_map(|mask| ChannelLayout::new(mask.count_ones() as u16, mask).ok()).collect();
        let targets: Vec<_> = layouts.iter().filter(|l| l.index_of(Speaker::FrontLeft).is_some()).copied().collect();
        let targets: Vec<_> = targets.iter().filter(|l| l.index_of(Speaker::FrontRight).is_some()).collect();
        for from in &layouts {
            for to in targets.iter().copied().chain([&ChannelLayout::MONO]) {
                let remap = Remap::new(*from, *to);
                for (source, speaker) in from.speakers().enumerate() {
                    let power: f32 = (0..8).map(|target| remap.coefficient(source, target).powi(2)).sum();
                    if speaker == Speaker::LowFrequency && from.channels().get() > 1 {
                        continue;
                    }
                    assert!(power > 0.1, "{from} to {to}: {speaker:?} is lost");
                    assert!(power < 1.001 || from.channels().get() == 1, "{from} to {to}: {speaker:?} has {power}");
                }
                for target in 0..8 {
                    let sum: f32 = (0..8).map(|source| remap.coefficient(source, target)).sum();
                    assert!(sum <= 5.0, "{from} to {to}: channel {target} gets {sum}");
                }
            }
        }
    }

    #[test]
    fn the_usual_layouts_stay_below_the_stated_sum() {
        for from in 1..=8 {
            for to in 1..=8 {
                let remap = Remap::new(layout(from), layout(to));
                for target in 0..8 {
                    let sum: f32 = (0..8).map(|source| remap.coefficient(source, target)).sum();
                    assert!(sum <= 3.2, "{from} to {to}: {sum}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn process_applies_the_matrix(from in 1_u16..=8, to in 1_u16..=8, seed: [i8; 64], room in 0_usize..80) {
            let (from, to) = (layout(from), layout(to));
            let remap = Remap::new(from, to);
            let (inputs, outputs) = (from.channels().as_usize(), to.channels().as_usize());
            let input: Vec<f32> = seed.iter().map(|v| f32::from(*v) / 128.0).collect();
            let mut output = vec![9.0; room];
            let frames = remap.process(&input, &mut output).as_usize();
            prop_assert_eq!(frames, (input.len() / inputs).min(room / outputs));
            prop_assert_eq!(remap.is_identity(), from == to);
            for frame in 0..frames {
                for target in 0..outputs {
                    let expected: f32 =
                        (0..inputs).map(|source| remap.coefficient(source, target) * input[frame * inputs + source]).sum();
                    prop_assert!((output[frame * outputs + target] - expected).abs() < 1e-5);
                }
            }
            prop_assert!(output[frames * outputs..].iter().all(|untouched| *untouched == 9.0));
        }
    }
}
