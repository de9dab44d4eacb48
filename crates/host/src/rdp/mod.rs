//! wip
mod accounts;
mod admission;
mod certificate;
mod throttle;
