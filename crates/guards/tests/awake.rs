//! The guard against allocation, in whichever profile this is built.

use soundpost_guards::{no_alloc, no_alloc_with};

soundpost_guards::install!();

#[test]
fn what_does_not_allocate_is_let_through_and_called_once() {
    let mut calls = 0;
    no_alloc(&mut || calls += 1);
    assert_eq!(no_alloc_with(|| calls + 1), 2);
}
