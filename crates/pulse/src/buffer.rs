//! How long a stream's buffers are: what a client asked for, and what it gets.
//!
//! Pure functions, after what PulseAudio 16 does (its protocol-native module): clients were written against its numbers.
//! Lengths are bytes; [`DEFAULT`] stands for "as the server likes".

use crate::limits::MAX_QUEUE;
use crate::spec::Spec;

/// The length that a client sends when it leaves the choice to the server.
pub const DEFAULT: u32 = u32::MAX;
/// A playback stream's target length and a record stream's fragment, by default: 2 s.
const DEFAULT_LENGTH_MICROS: u64 = 2_000_000;
/// The least request by default: 20 ms.
const DEFAULT_REQUEST_MICROS: u64 = 20_000;

/// A playback stream's lengths in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferAttr {
    /// What the buffer never goes beyond.
    pub max_length: u32,
    /// How much the server tries to have in it.
    pub target_length: u32,
    /// How much must be there before it plays, at first and after it ran empty. 0: it plays at once and never stops.
    pub prebuf: u32,
    /// The least that the server asks for at a time.
    pub min_request: u32,
}

/// A record stream's lengths in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordAttr {
    /// What waits at the server at most for a client that does not read.
    pub max_length: u32,
    /// The most that is sent at a time.
    pub fragment: u32,
}

/// What a client wants its lengths to be taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LatencyMode {
    /// The target length is the whole latency, the device's included.
    pub adjust: bool,
    /// Requests are to come as often as the least request says.
    pub early: bool,
}

/// The latencies that a device can be asked for, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencyRange {
    /// The shortest.
    pub min: u64,
    /// The longest.
    pub max: u64,
    /// What it takes of a stream at once at most, where that is less than its latency. None: all of its latency, as where it
    /// has run dry.
    pub takes: Option<u64>,
}

impl LatencyRange {
    fn nearest(self, micros: u64) -> u64 {
        micros.clamp(self.min, self.max.max(self.min))
    }
}

/// What a playback stream gets, and the latency in microseconds that its device is to have for it.
#[must_use]
pub fn playback(asked: BufferAttr, mode: LatencyMode, spec: &Spec, device: LatencyRange) -> (BufferAttr, u64) {
    let frame = spec.frame();
    let max_length = if asked.max_length == 0 { frame } else { asked.max_length.min(MAX_QUEUE) };
    let mut target = match asked.target_length {
        DEFAULT => narrow(spec.bytes_covering(DEFAULT_LENGTH_MICROS)),
        0 => frame,
        length => length,
    }
    .min(max_length);
    let mut min_request = match asked.min_request {
        DEFAULT => narrow(spec.bytes_covering(DEFAULT_REQUEST_MICROS)).min(target / 4 / frame * frame),
        length => length,
    };
    if min_request == 0 {
        min_request = frame;
    }
    target = target.max(min_request.saturating_add(frame));

    let (asked_target, request_micros) = (spec.micros(target.into()), spec.micros(min_request.into()));
    let mut target_micros = asked_target;
    let spare = target_micros.saturating_sub(request_micros.saturating_mul(2));
    let wanted = match mode {
        LatencyMode { early: true, .. } => request_micros,
        // Half of it at the device, half in the stream's buffer, and between them room for two requests.
        LatencyMode { adjust: true, .. } => spare / 2,
        LatencyMode { .. } => spare,
    };
    let latency = device.nearest(wanted);
    if mode.adjust && !mode.early && target_micros >= latency {
        target_micros -= latency;
    }
    let two = request_micros.saturating_mul(2);
    // A device that has run dry takes its whole latency at once, and two requests' worth must be under way. One that is
    // filled bit by bit asks meanwhile.
    target_micros = target_micros.max(device.takes.map_or(latency.saturating_add(two), |takes| takes.max(two)));
    if spec.bytes_covering(target_micros) != spec.bytes_covering(asked_target) {
        target = narrow(spec.bytes_covering(target_micros));
    }
    if target <= min_request {
        target = min_request.saturating_mul(2).saturating_add(frame);
    }
    let most = target.saturating_add(frame).saturating_sub(min_request);
    let prebuf = asked.prebuf.min(most);
    (BufferAttr { max_length, target_length: target, prebuf, min_request }, latency)
}

/// What a record stream gets, and the latency in microseconds that its device is to have for it: 0 where the client left
/// it to the device.
#[must_use]
pub fn record(asked: RecordAttr, mode: LatencyMode, spec: &Spec, device: LatencyRange) -> (RecordAttr, u64) {
    let frame = spec.frame();
    let whole = |length: u32| (length / frame * frame).max(frame);
    let max_length = if asked.max_length == 0 { frame } else { asked.max_length.min(MAX_QUEUE) };
    let mut fragment = match asked.fragment {
        DEFAULT => narrow(spec.bytes_in(DEFAULT_LENGTH_MICROS)),
        0 => frame,
        length => length,
    };
    let micros = spec.micros(fragment.into());
    let latency = if mode.adjust || mode.early { device.nearest(micros) } else { 0 };
    if mode.adjust && !mode.early && spec.bytes_in(micros) != spec.bytes_in(latency) {
        fragment = narrow(spec.bytes_in(latency));
    }
    let max_length = max_length.div_ceil(frame).saturating_mul(frame);
    (RecordAttr { max_length, fragment: whole(fragment).min(max_length) }, latency)
}

fn narrow(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(MAX_QUEUE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pulseaudio::protocol::SampleFormat;

    use super::*;
    use crate::spec::default_map;

    const DEVICE: LatencyRange = LatencyRange { min: 10_000, max: 200_000, takes: None };
    const ANY: BufferAttr =
        BufferAttr { max_length: DEFAULT, target_length: DEFAULT, prebuf: DEFAULT, min_request: DEFAULT };

    fn cd() -> Spec {
        Spec::new(SampleFormat::S16Le, 44_100, default_map(2)).expect("a spec")
    }

    #[test]
    fn a_client_that_asks_for_nothing_gets_two_seconds() {
        let (attr, latency) = playback(ANY, LatencyMode::default(), &cd(), DEVICE);
        // PulseAudio 16.1 with a null sink answers pacat without options the same: 4194304, 352800, 349276, 3528.
        assert_eq!(
            attr,
            BufferAttr { max_length: 4_194_304, target_length: 352_800, prebuf: 349_276, min_request: 3528 }
        );
        assert_eq!(latency, 200_000);
    }

    #[test]
    fn the_whole_latency_is_split_between_device_and_stream() {
        // 40 ms in all.
        let asked = BufferAttr { target_length: 7056, ..ANY };
        let (attr, latency) = playback(asked, LatencyMode { adjust: true, early: false }, &cd(), DEVICE);
        // A request is a quarter, 10 ms; half of the other 20 ms is the device's, and 40 − 10 = 30 ms are the stream's.
        assert_eq!((attr.min_request, latency), (1764, 10_000));
        assert_eq!((attr.target_length, attr.prebuf), (5292, 3532));
    }

    #[test]
    fn early_requests_make_the_device_as_fast_as_a_request() {
        let asked = BufferAttr { target_length: 35_280, min_request: 3528, ..ANY };
        let (attr, latency) = playback(asked, LatencyMode { adjust: false, early: true }, &cd(), DEVICE);
        assert_eq!((attr.min_request, attr.target_length, latency), (3528, 35_280, 20_000));
    }

    #[test]
    fn a_device_that_is_slower_than_asked_for_makes_the_buffer_longer() {
        let asked = BufferAttr { target_length: 400, min_request: 100, ..ANY };
        let (attr, latency) = playback(asked, LatencyMode::default(), &cd(), DEVICE);
        // 10 ms + 2 × 566 µs are 490.9 frames.
        assert_eq!((attr.target_length, latency), (1964, 10_000));
    }

    #[test]
    fn a_device_that_is_filled_bit_by_bit_leaves_less_for_the_buffer() {
        let device = LatencyRange { min: 12_000, max: 12_000, takes: Some(10_000) };
        // 20 ms in all: 12 are the device's, and of the 8 that are left a pass could not live.
        let asked = BufferAttr { target_length: 3528, ..ANY };
        let (attr, latency) = playback(asked, LatencyMode { adjust: true, early: false }, &cd(), device);
        assert_eq!((attr.min_request, attr.target_length, latency), (880, 1764, 12_000));
        // What a client sends every 10 ms begins to play with the first piece.
        assert_eq!(attr.prebuf, 1764 - 880 + 4);
        let asked = BufferAttr { target_length: 4, ..ANY };
        let (attr, _) = playback(asked, LatencyMode::default(), &cd(), device);
        assert_eq!(attr.target_length, 1764);
    }

    #[test]
    fn a_fragment_follows_the_device() {
        let asked = RecordAttr { max_length: DEFAULT, fragment: 882 };
        let (attr, latency) = record(asked, LatencyMode { adjust: true, early: false }, &cd(), DEVICE);
        assert_eq!((attr.fragment, latency), (1764, 10_000));
        let (attr, latency) = record(asked, LatencyMode::default(), &cd(), DEVICE);
        assert_eq!((attr.fragment, latency), (880, 0));
        let (attr, _) = record(RecordAttr { max_length: 0, fragment: 0 }, LatencyMode::default(), &cd(), DEVICE);
        assert_eq!(attr, RecordAttr { max_length: 4, fragment: 4 });
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_there_is_a_buffer_that_works(
            max_length: u32, target_length: u32, prebuf: u32, min_request: u32, adjust: bool, early: bool,
            channels in 1u8..=32, rate in 1u32..=768_000, format in 0u8..13,
        ) {
            let format = crate::spec::sample_format(format).expect("a format");
            let spec = Spec::new(format, rate, default_map(channels)).expect("a spec");
            let asked = BufferAttr { max_length, target_length, prebuf, min_request };
            let (attr, latency) = playback(asked, LatencyMode { adjust, early }, &spec, DEVICE);
            prop_assert!((DEVICE.min..=DEVICE.max).contains(&latency));
            let mut queue = crate::queue::Queue::new(0, &attr, spec.frame(), 0);
            let got = queue.attr();
            prop_assert!(got.max_length <= MAX_QUEUE + spec.frame() && got.target_length <= got.max_length);
            prop_assert!(got.min_request > 0 && got.min_request <= got.target_length && got.prebuf <= got.target_length);
            // A client that sends what it is asked for is heard, and asked again.
            let first = queue.pop_missing();
            prop_assert_eq!(first, got.target_length);
            queue.push(&vec![1; usize::try_from(first).expect("a length")]).expect("what is asked for fits");
            prop_assert!(queue.is_readable());
            let mut out = vec![0; usize::try_from(first).expect("a length")];
            queue.pop(&mut out);
            prop_assert!(queue.pop_missing() > 0);
        }
    }
}
