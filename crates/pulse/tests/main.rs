//! The machine from outside: bytes of real clients, scripted clients of several versions, and the real clients themselves.

mod captures;
mod hostile;
mod real;
mod rig;
mod scripted;
mod sounds;
