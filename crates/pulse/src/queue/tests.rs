use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn attr(max_length: u32, target_length: u32, prebuf: u32, min_request: u32) -> BufferAttr {
    BufferAttr { max_length, target_length, prebuf, min_request }
}

fn popped(queue: &mut Queue, count: usize) -> Vec<u8> {
    let mut out = vec![0xee; count];
    let filled = queue.pop(&mut out);
    out.truncate(filled);
    out
}

#[test]
fn it_plays_once_prebuf_bytes_are_there_and_again_after_it_ran_empty() {
    let mut queue = Queue::new(0, &attr(100, 40, 8, 4), 2, 0);
    assert_eq!(queue.pop_missing(), 40);
    queue.push(&[1; 6]).expect("room");
    assert!(!queue.is_readable());
    assert_eq!(popped(&mut queue, 6), [0u8; 0]);
    queue.push(&[2; 2]).expect("room");
    assert_eq!(popped(&mut queue, 6), [1; 6]);
    assert_eq!(popped(&mut queue, 6), [2; 2]);
    assert_eq!(popped(&mut queue, 6), [0u8; 0]);
    queue.push(&[3; 6]).expect("room");
    assert!(!queue.is_readable(), "it was asked while it was empty, so it prebuffers");
    queue.stop_prebuf();
    assert_eq!(popped(&mut queue, 100), [3; 6]);
}

#[test]
fn it_asks_for_what_was_played_in_pieces_of_at_least_min_request() {
    let mut queue = Queue::new(0, &attr(100, 40, 2, 8), 2, 0);
    assert_eq!(queue.pop_missing(), 40);
    assert_eq!(queue.pop_missing(), 0);
    queue.push(&[1; 40]).expect("room");
    popped(&mut queue, 6);
    assert_eq!(queue.pop_missing(), 0);
    popped(&mut queue, 2);
    assert_eq!(queue.pop_missing(), 8);
    assert_eq!(queue.attr(), attr(100, 40, 2, 8));
}

#[test]
fn what_is_jumped_over_is_silence_and_what_is_written_over_is_replaced() {
    let mut queue = Queue::new(0, &attr(100, 40, 2, 2), 2, 0x80);
    queue.push(&[1; 4]).expect("room");
    queue.seek(4, SeekMode::Relative, true).expect("in range");
    queue.push(&[2; 4]).expect("room");
    queue.seek(2, SeekMode::Absolute, false).expect("in range");
    queue.push(&[3; 4]).expect("room");
    queue.seek(0, SeekMode::RelativeEnd, false).expect("in range");
    assert_eq!(queue.write_index(), 12);
    assert_eq!(popped(&mut queue, 100), [1, 1, 3, 3, 3, 3, 0x80, 0x80, 2, 2, 2, 2]);
    queue.seek(-4, SeekMode::RelativeOnRead, false).expect("in range");
    queue.push(&[4; 6]).expect("room");
    assert_eq!(popped(&mut queue, 100), [4, 4], "what is late is not played");
    assert_eq!(queue.stored(), 0);
}

#[test]
fn more_than_the_longest_does_not_fit_and_skipping_it_keeps_count() {
    let mut queue = Queue::new(0, &attr(8, 8, 0, 2), 2, 0);
    queue.push(&[1; 8]).expect("room");
    assert_eq!(queue.push(&[1; 2]), Err(Overflow));
    queue.skip(2);
    assert_eq!((queue.write_index(), queue.stored()), (10, 8));
    assert_eq!(queue.seek(i64::MAX, SeekMode::Relative, true), Err(Overflow));
    assert_eq!(queue.seek(i64::MIN, SeekMode::Absolute, true), Err(Overflow));
}

#[test]
fn many_small_pieces_are_refused() {
    let mut queue = Queue::new(0, &attr(4_000_000, 4_000_000, 0, 2), 1, 0);
    let mut refused = false;
    for at in 0..4000 {
        queue.seek(at * 2, SeekMode::Absolute, false).expect("in range");
        refused |= queue.push(&[1]).is_err();
    }
    assert!(refused);
    assert!(queue.pieces.len() <= MAX_PIECES);
}

#[test]
fn flushing_goes_back_to_what_is_played_next() {
    let mut queue = Queue::new(0, &attr(100, 40, 8, 4), 2, 0);
    queue.push(&[1; 20]).expect("room");
    popped(&mut queue, 10);
    queue.flush();
    assert_eq!((queue.read_index(), queue.write_index(), queue.stored()), (10, 10, 0));
    assert!(!queue.is_readable());
    queue.push(&[2; 8]).expect("room");
    assert_eq!(popped(&mut queue, 100), [2; 8]);
}

#[test]
fn without_prebuffering_it_runs_on_over_its_end() {
    let mut queue = Queue::new(0, &attr(100, 40, 0, 4), 2, 0x80);
    assert_eq!(queue.pop_missing(), 40);
    assert!(queue.runs_on() && !queue.is_readable());
    assert_eq!(popped(&mut queue, 10), [0x80; 10]);
    assert_eq!((queue.read_index(), queue.write_index(), queue.length()), (10, 0, 0));
    assert_eq!(queue.pop_missing(), 10, "what it ran over is asked for too: the client is to catch up");
    queue.push(&[1; 12]).expect("room");
    assert_eq!(popped(&mut queue, 4), [1, 1, 0x80, 0x80], "the first 10 came too late");
    // Back to before what is there: that is played nevertheless.
    queue.seek(20, SeekMode::Absolute, false).expect("in range");
    queue.push(&[2; 4]).expect("room");
    queue.seek(14, SeekMode::Absolute, false).expect("in range");
    assert_eq!(popped(&mut queue, 12), [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2, 2, 2, 2, 0x80, 0x80]);
}

#[test]
fn a_sample_is_read_once_and_not_copied() {
    let bytes = Arc::new((0..10u8).collect::<Vec<u8>>());
    let mut queue = Queue::of_sample(&bytes, 2, 0);
    assert_eq!((queue.length(), queue.stored(), Arc::strong_count(&bytes)), (10, 10, 2));
    assert!(queue.is_readable() && !queue.runs_on());
    assert_eq!(queue.pop_missing(), 0);
    assert_eq!(popped(&mut queue, 4), [0, 1, 2, 3]);
    assert_eq!(popped(&mut queue, 100), [4, 5, 6, 7, 8, 9]);
    assert_eq!(popped(&mut queue, 100), [0; 0]);
    assert_eq!((queue.stored(), Arc::strong_count(&bytes)), (0, 1));
}

#[test]
fn a_running_stream_takes_no_memory_and_an_empty_one_has_none() {
    let mut queue = Queue::new(0, &attr(100_000, 40_000, 4, 4), 4, 0);
    queue.push(&[1; 8000]).expect("room");
    let place = |queue: &Queue| queue.pieces.as_slices().0.as_ptr();
    let before = place(&queue);
    let mut out = [0; 960];
    for _ in 0..10_000 {
        queue.push(&[2; 960]).expect("room");
        assert_eq!(queue.pop(&mut out), 960);
        assert_eq!((queue.pieces.len(), place(&queue)), (1, before));
    }
    assert_eq!(popped(&mut queue, 8000), [2; 8000]);
    assert_eq!(queue.pieces.capacity(), 0);
}

#[test]
fn with_a_pace_it_asks_every_second_time_and_for_no_more_once_that_is_over() {
    // 15 ms in a format of 100 bytes a millisecond, pulled 10 ms at a time; the client sends what it is asked for at once.
    let mut queue = Queue::new(0, &attr(100_000, 1500, 100, 500), 2, 0);
    let ask_and_send = |queue: &mut Queue| {
        let asked = queue.pop_missing();
        queue.push(&vec![1; usize::try_from(asked).expect("a length")]).expect("room");
        asked
    };
    assert_eq!(ask_and_send(&mut queue), 1500);
    assert_eq!(popped(&mut queue, 1000).len(), 1000);
    assert_eq!(ask_and_send(&mut queue), 1000, "without a pace, after each pull");
    queue.set_pace(Some(10_000), |micros| micros / 10);
    assert_eq!(ask_and_send(&mut queue), 0, "there is enough for the next pull");
    assert_eq!(popped(&mut queue, 1000).len(), 1000);
    assert_eq!(ask_and_send(&mut queue), 1600, "once, for what two pulls and a tenth need");
    for _ in 0..10 {
        assert_eq!(popped(&mut queue, 1000).len(), 1000);
        queue.set_pace(Some(10_000), |_| 7);
        assert_eq!(ask_and_send(&mut queue), 0);
        assert_eq!(popped(&mut queue, 1000).len(), 1000);
        assert_eq!(ask_and_send(&mut queue), 2000);
    }
    // A client that has not answered in time is asked as soon as the next pull would find too little.
    assert_eq!(popped(&mut queue, 1060).len(), 1060);
    assert_eq!(ask_and_send(&mut queue), 1060);
    queue.set_pace(None, |_| 0);
    assert_eq!(popped(&mut queue, 1000).len(), 1000);
    assert_eq!(ask_and_send(&mut queue), 0, "600 of these were more than the client had asked for");
    assert_eq!(popped(&mut queue, 1000).len(), 1000);
    assert_eq!(ask_and_send(&mut queue), 1400);
    assert_eq!(queue.length(), 1500);
    // A buffer that may not be longer is not made longer.
    let mut queue = Queue::new(0, &attr(1500, 1500, 100, 500), 2, 0);
    assert_eq!(queue.pop_missing(), 1500);
    queue.set_pace(Some(10_000), |micros| micros / 10);
    assert_eq!(queue.pop_missing(), 0);
}

/// The same with a plain map from index to byte.
#[derive(Default)]
struct Model {
    bytes: BTreeMap<i64, u8>,
    read: i64,
    write: i64,
}

proptest! {
    #[test]
    fn it_is_a_map_from_index_to_byte(
        runs_on: bool,
        steps in prop::collection::vec((0u8..6, -40i64..80, 1usize..40), 1..80),
    ) {
        let mut queue = Queue::new(0, &attr(10_000, 400, u32::from(!runs_on), 1), 1, 0x55);
        let mut model = Model::default();
        let mut value = 0u8;
        for (step, offset, count) in steps {
            match step {
                0 | 1 => {
                    value = value.wrapping_add(1);
                    queue.push(&vec![value; count]).expect("room");
                    for _ in 0..count {
                        if model.write >= model.read {
                            model.bytes.insert(model.write, value);
                        }
                        model.write += 1;
                    }
                }
                2 => {
                    queue.seek(offset, SeekMode::Relative, true).expect("in range");
                    model.write += offset;
                }
                3 => {
                    queue.seek(offset, SeekMode::RelativeOnRead, false).expect("in range");
                    model.write = model.read + offset;
                }
                _ => {
                    let mut out = vec![0; count];
                    let filled = queue.pop(&mut out);
                    let there = usize::try_from((model.write - model.read).max(0)).expect("a length");
                    prop_assert_eq!(filled, if runs_on { count } else { count.min(there) });
                    for byte in out.iter().take(filled) {
                        let held = model.bytes.remove(&model.read).unwrap_or(0x55);
                        prop_assert_eq!(*byte, held);
                        model.read += 1;
                    }
                }
            }
            prop_assert_eq!((queue.read_index(), queue.write_index()), (model.read, model.write));
            prop_assert_eq!(queue.stored(), model.bytes.range(model.read..).count());
            prop_assert_eq!(queue.stored(), queue.pieces.iter().map(Piece::len).sum::<usize>());
        }
    }
}
