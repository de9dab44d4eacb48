//! The processing pass.
