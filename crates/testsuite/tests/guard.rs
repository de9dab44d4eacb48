//! The guard that every test's passes run under: whoever allocates or frees in one aborts the test.

use assert_no_alloc::{AllocDisabler, assert_no_alloc};

#[global_allocator]
static ALLOCATOR: AllocDisabler = AllocDisabler;

/// For [`soundpost_testkit::Runner`]: allocating or freeing in a pass aborts the process, in release builds too.
pub(crate) fn no_alloc(pass: &mut dyn FnMut()) {
    assert_no_alloc(pass);
}

/// For tests whose endpoints panic: unwinding allocates.
pub(crate) fn may_panic(pass: &mut dyn FnMut()) {
    pass();
}
