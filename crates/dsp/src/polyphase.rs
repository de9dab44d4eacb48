//! A fixed ratio of rates: one filter, tabulated at the places that occur, shared by all streams of that ratio.
//!
//! `L / M` is the ratio of the rates in lowest terms. Output frame `k` lies at input frame `k · M / L`; its place between
//! two input frames is one of `L`, and for each of them the table has a row of taps. Everything is counted in whole
//! numbers: no place is ever rounded, and any two ways to cut the input into blocks give the same bits.
//!
//! The scalar product has eight partial sums in a fixed order and no fused multiply-add, so that it has the same bits
//! on every processor, whichever vector instructions it is compiled for; [`pulp`] chooses those at run time.
//!
//! A table is freed with the last stream that has it, which is the control side's doing: the real-time thread hands back what
//! it no longer uses.

use std::sync::{Arc, Weak};

use pulp::{Arch, Simd, WithSimd};

use crate::num::{f32_of_f64, f64_of_usize, usize_of_f64};

/// Partial sums of a scalar product. Part of what the output's bits are: the same on every processor.
const LANES: usize = 8;

/// Output frames whose partial sums are kept until all of them are there: the compiler leaves a sum that it adds up at
/// once in narrower registers.
const GROUP: usize = 16;

/// A windowed sinc: how long, how steep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Filter {
    /// Taps, in frames of the lower rate: a multiple of [`LANES`].
    pub(crate) taps: usize,
    /// Where it has fallen by 6 dB, as a part of the lower rate's half.
    pub(crate) cutoff: f64,
    /// The Kaiser window's parameter: how far down the stop-band lies.
    pub(crate) beta: f64,
}

/// The rows of a filter for one ratio.
#[derive(Debug)]
pub(crate) struct Table {
    /// What it was made of.
    key: Key,
    /// Taps of a row, in input frames: a multiple of [`LANES`].
    taps: usize,
    /// `L` rows, the oldest input frame's tap first.
    rows: Vec<[f32; LANES]>,
}

/// What tells one table from another.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Key {
    places: usize,
    step: usize,
    filter: Filter,
}

/// Tables in use: a stream whose ratio another has already takes that one's.
///
/// A lock in a crate of the signal path: only constructors take it, which allocate and are the control side's.
#[expect(clippy::disallowed_types, reason = "taken by constructors alone, never in a pass")]
static TABLES: std::sync::Mutex<Vec<Weak<Table>>> = std::sync::Mutex::new(Vec::new());

impl Table {
    /// The table for `places / step` (in lowest terms), made anew if nobody has it.
    fn shared(places: usize, step: usize, filter: Filter) -> Arc<Self> {
        let key = Key { places, step, filter };
        // Whoever panicked while they held it left whole entries behind: they are pushed and removed one by one.
        let mut tables = TABLES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tables.retain(|table| table.strong_count() > 0);
        if let Some(table) = tables.iter().filter_map(Weak::upgrade).find(|table| table.key == key) {
            return table;
        }
        let table = Arc::new(Self::new(key));
        tables.push(Arc::downgrade(&table));
        table
    }

    fn new(key: Key) -> Self {
        let Key { places, step, filter } = key;
        // Towards a lower rate, the filter reaches as far in time as its taps at that rate do.
        let stretch = f64_of_usize(places.max(step)) / f64_of_usize(places);
        let taps = usize_of_f64(f64_of_usize(filter.taps / LANES) * stretch) * LANES;
        let half = f64_of_usize(taps) / 2.0;
        let cutoff = filter.cutoff / stretch;
        let mut rows = Vec::with_capacity(places * taps / LANES);
        let mut row = vec![0.0_f64; taps];
        for place in 0..places {
            let fraction = f64_of_usize(place) / f64_of_usize(places);
            for (tap, value) in row.iter_mut().enumerate() {
                // The tap's distance from the filter's middle, in input frames; the last tap is the newest frame's.
                let distance = fraction + f64_of_usize(taps - 1 - tap) - half;
                *value = sinc(cutoff * distance) * kaiser(distance / half, filter.beta);
            }
            // Every row has the same sum, or a constant would come out as a tone.
            let sum: f64 = row.iter().sum();
            rows.extend(row.as_chunks().0.iter().map(|chunk: &[f64; LANES]| chunk.map(|tap| f32_of_f64(tap / sum))));
        }
        Self { key, taps, rows }
    }
}

/// Converts interleaved frames by a fixed ratio. Real-time safe after construction.
pub(crate) struct Polyphase {
    table: Arc<Table>,
    arch: Arch,
    channels: usize,
    max_block: usize,
    /// Input frames, one run per channel of `capacity` each: the newest are at `filled`.
    history: Vec<f32>,
    capacity: usize,
    filled: usize,
    /// The newest input frame that the next output frame needs, as an index of the history.
    newest: usize,
    /// The next output frame's place, below `L`.
    place: usize,
    /// Silent input frames that a flush has yet to push in.
    tail: usize,
}

/// Where input comes from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Frames(&'a [f32]),
    Silence,
}

impl Polyphase {
    /// For `places / step` in lowest terms; blocks of `max_block` input frames at once.
    pub(crate) fn new(places: usize, step: usize, filter: Filter, channels: usize, max_block: usize) -> Self {
        let table = Table::shared(places, step, filter);
        let before = table.taps - 1;
        let capacity = before + max_block;
        Self {
            arch: Arch::new(),
            channels,
            max_block,
            history: vec![0.0; capacity * channels],
            capacity,
            filled: before,
            newest: before,
            place: 0,
            tail: 0,
            table,
        }
    }

    /// How long sound stays inside, in output frames: half the filter.
    pub(crate) fn delay(&self) -> f64 {
        let Key { places, step, .. } = self.table.key;
        f64_of_usize(self.table.taps / 2) * f64_of_usize(places) / f64_of_usize(step)
    }

    /// The input frames that `output` frames need, beyond those taken already. Exact.
    pub(crate) fn needed_input(&self, output: usize) -> usize {
        let Some(before_last) = output.checked_sub(1) else { return 0 };
        let Key { places, step, .. } = self.table.key;
        let last = self.newest + (self.place + before_last * step) / places;
        (last + 1).saturating_sub(self.filled)
    }

    /// Takes up to `given` frames from the source until `output` is full; returns frames taken and frames written.
    pub(crate) fn run(&mut self, source: Source<'_>, given: usize, output: &mut [f32]) -> (usize, usize) {
        if matches!(source, Source::Frames(_)) && given > 0 {
            self.tail = self.table.taps / 2;
        }
        let room = output.len() / self.channels;
        let (mut consumed, mut produced) = (0, 0);
        loop {
            produced += self.make(&mut output[produced * self.channels..room * self.channels]);
            if produced >= room || consumed >= given {
                return (consumed, produced);
            }
            let block = self.needed_input(room - produced).min(given - consumed).min(self.max_block);
            self.take(source, consumed, block);
            consumed += block;
        }
    }

    /// Writes what is still inside; returns the frames written.
    pub(crate) fn flush(&mut self, output: &mut [f32]) -> usize {
        let (consumed, produced) = self.run(Source::Silence, self.tail, output);
        self.tail = self.tail.saturating_sub(consumed);
        produced
    }

    /// Forgets all sound inside.
    pub(crate) fn reset(&mut self) {
        self.history.fill(0.0);
        self.filled = self.table.taps - 1;
        self.newest = self.filled;
        self.place = 0;
        self.tail = 0;
    }

    /// Appends `block` frames to the history, of which what no output needs any more makes room.
    fn take(&mut self, source: Source<'_>, offset: usize, block: usize) {
        let unused = (self.newest + 1 - self.table.taps).min(self.filled);
        for (channel, run) in self.history.chunks_exact_mut(self.capacity).enumerate() {
            run.copy_within(unused..self.filled, 0);
            let start = self.filled - unused;
            let new = &mut run[start..start + block];
            match source {
                Source::Silence => new.fill(0.0),
                Source::Frames(input) => {
                    let frames = input[offset * self.channels..].chunks_exact(self.channels);
                    for (sample, frame) in new.iter_mut().zip(frames) {
                        *sample = frame[channel];
                    }
                }
            }
        }
        self.newest -= unused;
        self.filled = self.filled - unused + block;
    }

    /// Writes the output frames that the history suffices for, as many as there is room for; returns how many.
    fn make(&mut self, output: &mut [f32]) -> usize {
        let Self { table, arch, channels, history, capacity, filled, newest, place, .. } = self;
        let mut walk = Walk { table, filled: *filled, newest: *newest, place: *place };
        let runs = Runs { history, capacity: *capacity };
        let frames = match *channels {
            1 => arch.dispatch(Mono { walk: &mut walk, run: runs.of(0), output: output.as_chunks_mut().0 }),
            2 => {
                let (left, right) = (runs.of(0), runs.of(1));
                arch.dispatch(Stereo { walk: &mut walk, left, right, output: output.as_chunks_mut().0 })
            }
            channels => arch.dispatch(Many { walk: &mut walk, runs, channels, output }),
        };
        (*newest, *place) = (walk.newest, walk.place);
        frames
    }
}

/// The channels' input frames.
struct Runs<'a> {
    history: &'a [f32],
    capacity: usize,
}

impl<'a> Runs<'a> {
    #[inline(always)]
    fn of(&self, channel: usize) -> &'a [f32] {
        &self.history[channel * self.capacity..(channel + 1) * self.capacity]
    }
}

/// From one output frame to the next.
struct Walk<'a> {
    table: &'a Table,
    filled: usize,
    newest: usize,
    place: usize,
}

impl<'a> Walk<'a> {
    /// The next output frame's oldest input frame and its row; none if the input does not suffice.
    #[inline(always)]
    fn next(&mut self) -> Option<(usize, &'a [[f32; LANES]])> {
        if self.newest >= self.filled {
            return None;
        }
        let Table { key: Key { places, step, .. }, taps, rows } = self.table;
        let width = taps / LANES;
        let next = (self.newest + 1 - taps, &rows[self.place * width..(self.place + 1) * width]);
        self.place += step;
        // Downwards, several input frames pass for each that comes out.
        while self.place >= *places {
            self.place -= places;
            self.newest += 1;
        }
        Some(next)
    }
}

// The bodies are compiled for each set of vector instructions by being inlined into pulp's: no closure is called in them,
// since one that is not inlined would be compiled for the oldest processor.

struct Mono<'a, 'b> {
    walk: &'a mut Walk<'b>,
    run: &'a [f32],
    output: &'a mut [[f32; 1]],
}

impl WithSimd for Mono<'_, '_> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        let mut written = 0;
        let mut sums = [[0.0; LANES]; GROUP];
        for frames in self.output.chunks_mut(GROUP) {
            let mut ready = 0;
            for sums in sums.iter_mut().take(frames.len()) {
                let Some((first, row)) = self.walk.next() else { break };
                *sums = dot(row, &self.run[first..]);
                ready += 1;
            }
            for (frame, sums) in frames.iter_mut().zip(&sums).take(ready) {
                *frame = [total(*sums)];
            }
            written += ready;
            if ready < frames.len() {
                break;
            }
        }
        written
    }
}

struct Stereo<'a, 'b> {
    walk: &'a mut Walk<'b>,
    left: &'a [f32],
    right: &'a [f32],
    output: &'a mut [[f32; 2]],
}

impl WithSimd for Stereo<'_, '_> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        let mut written = 0;
        let mut sums = [[[0.0; LANES]; 2]; GROUP];
        for frames in self.output.chunks_mut(GROUP) {
            let mut ready = 0;
            for sums in sums.iter_mut().take(frames.len()) {
                let Some((first, row)) = self.walk.next() else { break };
                *sums = dot_both(row, &self.left[first..], &self.right[first..]);
                ready += 1;
            }
            for (frame, [left, right]) in frames.iter_mut().zip(&sums).take(ready) {
                *frame = [total(*left), total(*right)];
            }
            written += ready;
            if ready < frames.len() {
                break;
            }
        }
        written
    }
}

struct Many<'a, 'b> {
    walk: &'a mut Walk<'b>,
    runs: Runs<'a>,
    channels: usize,
    output: &'a mut [f32],
}

impl WithSimd for Many<'_, '_> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        let mut written = 0;
        let mut sums = [[0.0; LANES]; GROUP];
        for frame in self.output.chunks_exact_mut(self.channels) {
            let Some((first, row)) = self.walk.next() else { break };
            for (channel, sums) in sums.iter_mut().enumerate().take(self.channels) {
                *sums = dot(row, &self.runs.of(channel)[first..]);
            }
            for (sample, sums) in frame.iter_mut().zip(&sums) {
                *sample = total(*sums);
            }
            written += 1;
        }
        written
    }
}

/// The partial sums of the scalar product of a row and as much input.
#[inline(always)]
fn dot(row: &[[f32; LANES]], input: &[f32]) -> [f32; LANES] {
    let mut sums = [0.0; LANES];
    for (taps, samples) in row.iter().zip(input.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            sums[lane] += taps[lane] * samples[lane];
        }
    }
    sums
}

/// Two channels' with one walk over the taps.
#[inline(always)]
fn dot_both(row: &[[f32; LANES]], left: &[f32], right: &[f32]) -> [[f32; LANES]; 2] {
    let mut sums = [[0.0; LANES]; 2];
    for ((taps, left), right) in row.iter().zip(left.as_chunks::<LANES>().0).zip(right.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            sums[0][lane] += taps[lane] * left[lane];
        }
        for lane in 0..LANES {
            sums[1][lane] += taps[lane] * right[lane];
        }
    }
    sums
}

/// The sum of the partial sums, by halves.
#[inline(always)]
fn total([a, b, c, d, e, f, g, h]: [f32; LANES]) -> f32 {
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

fn sinc(x: f64) -> f64 {
    let x = x * core::f64::consts::PI;
    if x.abs() < 1e-9 { 1.0 } else { x.sin() / x }
}

/// The Kaiser window at `x` of its half, 0 beyond it.
fn kaiser(x: f64, beta: f64) -> f64 {
    let rest = 1.0 - x * x;
    if rest < 0.0 { 0.0 } else { bessel(beta * rest.sqrt()) / bessel(beta) }
}

/// The modified Bessel function of the first kind and order 0, by its power series.
fn bessel(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let (mut sum, mut term, mut k) = (1.0, 1.0, 1.0);
    while term > sum * 1e-17 {
        term *= quarter / (k * k);
        sum += term;
        k += 1.0;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Filter = Filter { taps: 16, cutoff: 0.9, beta: 8.0 };

    #[test]
    fn streams_of_one_ratio_share_a_table() {
        let first = Polyphase::new(7, 3, SMALL, 2, 64);
        let second = Polyphase::new(7, 3, SMALL, 1, 480);
        assert!(Arc::ptr_eq(&first.table, &second.table));
        assert!(!Arc::ptr_eq(&first.table, &Polyphase::new(7, 4, SMALL, 2, 64).table));
        // The last one takes it along.
        let weak = Arc::downgrade(&first.table);
        drop((first, second));
        assert_eq!(weak.strong_count(), 0);
    }

    #[test]
    fn the_plainest_instructions_give_the_same_bits() {
        // Compares nothing with itself where the processor has no more than those: CI's has AVX2.
        let input: Vec<f32> = (0_u16..2_640).map(|i| (f32::from(i) * 0.37).sin() * 0.7).collect();
        for channels in [1, 2, 3] {
            let filter = Filter { taps: 96, cutoff: 1.0, beta: 13.0 };
            let of = |arch: Arch| {
                let mut polyphase = Polyphase { arch, ..Polyphase::new(160, 147, filter, channels, 64) };
                let mut output = vec![0.0; input.len()];
                let (_, frames) = polyphase.run(Source::Frames(&input), input.len() / channels, &mut output);
                output.truncate(frames * channels);
                output.iter().map(|sample| sample.to_bits()).collect::<Vec<u32>>()
            };
            let (best, plain) = (of(Arch::new()), of(Arch::Scalar));
            assert!(plain.len() > 800 && plain.iter().any(|bits| f32::from_bits(*bits).abs() > 0.5));
            assert_eq!(best, plain, "{channels} channels");
        }
    }

    #[test]
    fn the_bessel_function_is_right() {
        // Abramowitz and Stegun, table 9.8 (there times e^-x).
        for (x, expected) in [(0.0, 1.0), (1.0, 1.266_065_877_8), (5.0, 27.239_871_823_6), (10.0, 2_815.716_628_466)] {
            assert!((bessel(x) / expected - 1.0).abs() < 1e-10, "{x}: {}", bessel(x));
        }
    }
}
