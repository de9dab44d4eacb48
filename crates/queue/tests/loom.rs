//! Models of the hand-made atomics, every interleaving of them:
//! `cargo xtask loom`.
//!
//! Loom takes SeqCst for AcqRel and does not explore every effect of relaxed accesses that the memory model allows; what is
//! promised is argued in the sources, and tried here.

#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use soundpost_queue::{Flag, snapshot::snapshot};

/// What a reader gets is one written value, whole.
#[test]
fn a_snapshot_is_never_torn() {
    loom::model(|| {
        let (mut writer, reader) = snapshot([0_u64, 0]);
        let reading = thread::spawn(move || {
            if let Some([a, b]) = reader.read() {
                assert_eq!(a, b, "half of one value, half of another");
            }
        });
        writer.write(&[1, 1]);
        writer.write(&[2, 2]);
        reading.join().unwrap();
    });
}

/// Nor is it torn where only the first words are written: they come with the rest that they belong to.
#[test]
fn a_snapshot_of_which_the_first_words_were_written_is_never_torn() {
    loom::model(|| {
        let (mut writer, reader) = snapshot([0_u64, 0, 0]);
        let reading = thread::spawn(move || {
            if let Some(read) = reader.read() {
                assert!([[0, 0, 0], [1, 1, 1], [2, 2, 1]].contains(&read), "{read:?} was never written");
            }
        });
        writer.write(&[1, 1, 1]);
        writer.write_first(&[2, 2]);
        reading.join().unwrap();
    });
}

/// What a reader sees never goes back.
#[test]
fn snapshots_do_not_go_back() {
    loom::model(|| {
        let (mut writer, reader) = snapshot([0_u64]);
        let reading = thread::spawn(move || {
            let (first, second) = (reader.read(), reader.read());
            if let (Some([first]), Some([second])) = (first, second) {
                assert!(first <= second, "{first}, then {second}");
            }
        });
        writer.write(&[1]);
        reading.join().unwrap();
    });
}

/// Once the writer is done, its last value is what is read.
#[test]
fn the_last_value_arrives() {
    loom::model(|| {
        let (mut writer, reader) = snapshot([0_u64, 0]);
        thread::spawn(move || writer.write(&[7, 7])).join().unwrap();
        assert_eq!(reader.read(), Some([7, 7]));
    });
}

/// What was counted before the flag was raised has been counted when the flag is seen.
#[test]
fn a_flag_publishes_what_came_before_it() {
    loom::model(|| {
        let (flag, counter) = (Flag::new(), Arc::new(AtomicU64::new(0)));
        let (raised, counted) = (flag.clone(), counter.clone());
        let other = thread::spawn(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            raised.raise();
        });
        if flag.is_raised() {
            assert_eq!(counter.load(Ordering::Relaxed), 1);
        }
        other.join().unwrap();
    });
}

#[test]
fn one_raising_is_taken_once() {
    loom::model(|| {
        let (flag, counter) = (Flag::new(), Arc::new(AtomicU64::new(0)));
        flag.raise();
        let takers: Vec<_> = (0..2)
            .map(|_| {
                let (flag, counter) = (flag.clone(), counter.clone());
                thread::spawn(move || {
                    if flag.take() {
                        counter.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        takers.into_iter().for_each(|taker| taker.join().unwrap());
        assert_eq!(counter.load(Ordering::Relaxed), 1);
    });
}
