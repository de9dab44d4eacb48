//! The conversions between numbers that `From` does not have, each with its rounding stated once.

/// The nearest `f32`; exact up to 24 bits.
#[expect(clippy::as_conversions, reason = "i32 to f32 rounds to nearest and never fails")]
pub(crate) const fn f32_of_i32(value: i32) -> f32 {
    value as f32
}

/// The nearest `f32` of a length of memory; exact below 2²⁴.
#[expect(clippy::as_conversions, reason = "usize to f32 rounds to nearest and never fails")]
pub(crate) const fn f32_of_usize(value: usize) -> f32 {
    value as f32
}

/// The nearest `f64` of a length of memory; exact below 2⁵³.
#[expect(clippy::as_conversions, reason = "usize to f64 rounds to nearest and never fails")]
pub(crate) const fn f64_of_usize(value: usize) -> f64 {
    value as f64
}

/// The nearest `f64`; exact below 2⁵³.
#[expect(clippy::as_conversions, reason = "u64 to f64 rounds to nearest and never fails")]
pub(crate) const fn f64_of_u64(value: u64) -> f64 {
    value as f64
}

/// The nearest `f32`.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "f64 to f32 rounds to nearest; too large becomes infinite"
)]
pub(crate) const fn f32_of_f64(value: f64) -> f32 {
    value as f32
}

/// The integer part, held within the range of `usize`; not-a-number gives 0.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float-to-integer cast saturates by definition"
)]
pub(crate) const fn usize_of_f64(value: f64) -> usize {
    value as usize
}

/// The integer part, held within the range of `u64`; not-a-number gives 0.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float-to-integer cast saturates by definition"
)]
pub(crate) const fn u64_of_f64(value: f64) -> u64 {
    value as u64
}
