//! The engine through its public interface, on the virtual clock.

mod capture;
mod faults;
mod mixing;
mod random;
mod registry;
mod render;
mod scene;
mod timing;
