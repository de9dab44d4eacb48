//! What tests run their passes in.
//!
//! A test binary that runs passes says [`install!`] once, and runs each pass in [`no_alloc`]. Then in every build,
//! optimised ones included:
//!
//! - whoever allocates or frees through Rust's allocator in a pass aborts the process (`assert_no_alloc`);
//! - a pass that does not come back aborts the process ([`watch`]);
//! - where the binary was built with RealtimeSanitizer (`cargo xtask rtsan`), so does whoever calls the C library's
//!   allocator, its files, or a system call that waits.
//!
//! What each of them catches, and what it does not, is shown in docs/real-time.md. `cargo xtask edges` holds every test
//! that runs passes to this crate.

#![forbid(unsafe_code)]

mod awake;
mod watch;

pub use assert_no_alloc::AllocDisabler;
pub use awake::assert_awake;
pub use watch::{PASS_LIMIT, watch};

use assert_no_alloc::assert_no_alloc;
use rtsan_standalone::ScopedSanitizeRealtime;

/// Calls `pass` once, under every guard that this build has.
///
/// For `soundpost_testkit::Runner`, and for calls into the real-time half of an endpoint. Does nothing against
/// allocation where the binary has not said [`install!`].
pub fn no_alloc(pass: &mut dyn FnMut()) {
    watch(|| {
        let _realtime = ScopedSanitizeRealtime::default();
        assert_no_alloc(pass);
    });
}

/// The same for a call that answers.
pub fn no_alloc_with<T>(call: impl FnOnce() -> T) -> T {
    let (mut call, mut answer) = (Some(call), None);
    no_alloc(&mut || answer = call.take().map(|call| call()));
    #[expect(clippy::expect_used, reason = "a guard calls what it is given, once")]
    answer.expect("the call was made")
}

/// For passes in which an endpoint panics, and for those alone: unwinding allocates, so that nothing but the
/// [watch](watch()) is left.
pub fn may_panic(pass: &mut dyn FnMut()) {
    watch(pass);
}

/// Makes this test binary's allocator the one that [`no_alloc`] needs, and adds a test that sees it abort.
///
/// Once in a binary, in any of its modules.
#[macro_export]
macro_rules! install {
    () => {
        #[global_allocator]
        static ALLOCATOR: $crate::AllocDisabler = $crate::AllocDisabler;

        #[test]
        fn x2_an_allocation_in_a_pass_aborts_this_binary() {
            $crate::assert_awake(concat!(module_path!(), "::x2_an_allocation_in_a_pass_aborts_this_binary"));
        }
    };
}
