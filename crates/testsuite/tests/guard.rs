//! The guards that every test's passes run under, for [`soundpost_testkit::Runner`]: in release builds too.

pub(crate) use soundpost_guards::{may_panic, no_alloc};

soundpost_guards::install!();
