//! The machine from outside: bytes of real clients, scripted clients of several versions, and the real clients themselves.

#![expect(clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "tests")]

mod captures;
mod hostile;
mod limits;
mod real;
mod restore;
mod rig;
mod scripted;
mod sounds;
