//! Two threads at full speed on each queue: nothing lost, repeated, torn or out of order; and no operation allocates,
//! in release builds either. A binary of its own, because the guard against allocation is the global allocator.

#![cfg(not(loom))]
#![allow(clippy::as_conversions, clippy::cast_possible_truncation, reason = "test arithmetic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use assert_no_alloc::{AllocDisabler, assert_no_alloc};
use soundpost_core::FrameCount;
use soundpost_queue::Flag;
use soundpost_queue::commands::{SendError, channel};
use soundpost_queue::frames::queue;
use soundpost_queue::snapshot::snapshot;

#[global_allocator]
static GUARD: AllocDisabler = AllocDisabler;

#[test]
fn frames_arrive_whole_and_in_order() {
    const FRAMES: u32 = 300_000;
    let (mut writer, mut reader) = queue::<u32>(FrameCount::new(64), 2);
    let writing = thread::spawn(move || {
        let mut block = [0; 2 * 50];
        assert_no_alloc(|| {
            let mut next = 0;
            while next < FRAMES {
                let size = (next % 50 + 1).min(FRAMES - next) as usize;
                for (frame, number) in block.chunks_exact_mut(2).zip(next..) {
                    frame.fill(number);
                }
                next += writer.write(&block[..2 * size]).get();
            }
        });
        writer
    });
    let mut block = [0; 2 * 37];
    assert_no_alloc(|| {
        let mut expected = 0;
        let mut check = |frames: &[u32]| {
            for frame in frames.chunks_exact(2) {
                assert!(frame[0] == expected && frame[1] == expected);
                expected += 1;
            }
            expected
        };
        let mut seen = 0;
        while seen < FRAMES {
            let count = reader.read(&mut block).as_usize();
            check(&block[..2 * count]);
            seen = reader
                .take_with(FrameCount::new(20), |first, second| {
                    check(first);
                    check(second)
                })
                .1;
        }
    });
    drop(writing.join().unwrap());
    assert!(reader.is_peer_gone());
}

#[test]
fn commands_go_out_and_come_back() {
    const COMMANDS: u32 = 100_000;
    let (mut sender, mut receiver) = channel::<Box<u32>, Box<u32>>(8);
    let done = Flag::new();
    let stop = done.clone();
    let real_time = thread::spawn(move || {
        assert_no_alloc(|| {
            while !stop.is_raised() {
                while let Some(command) = receiver.receive() {
                    assert!(receiver.retire(command).is_ok());
                }
            }
        });
        receiver
    });
    let (mut sent, mut back) = (0, 0);
    while back < COMMANDS {
        if sent < COMMANDS {
            match sender.send(Box::new(sent)) {
                Ok(()) => sent += 1,
                Err(SendError::Full(_)) => {}
                Err(SendError::PeerGone(_)) => panic!("nobody left"),
            }
        }
        while let Some(value) = sender.collect() {
            assert_eq!(*value, back);
            back += 1;
        }
    }
    done.raise();
    drop(real_time.join().unwrap());
}

#[test]
fn snapshots_are_whole_while_the_writer_never_rests() {
    let (mut writer, reader) = snapshot([0_u64; 32]);
    let (stop, reads) = (Flag::new(), Arc::new(AtomicU64::new(0)));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (reader, stop, reads) = (reader.clone(), stop.clone(), reads.clone());
            thread::spawn(move || {
                assert_no_alloc(|| {
                    let mut last = 0;
                    while !stop.is_raised() {
                        if let Some(words) = reader.read() {
                            assert!(words.iter().all(|word| *word == words[0]) && words[0] >= last);
                            last = words[0];
                            reads.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            })
        })
        .collect();
    let mut number = 0;
    assert_no_alloc(|| {
        while reads.load(Ordering::Relaxed) < 20_000 {
            number += 1;
            writer.write(&[number; 32]);
        }
    });
    stop.raise();
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    assert_eq!(reader.read(), Some([number; 32]));
}
