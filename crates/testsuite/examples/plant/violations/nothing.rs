//! Nothing forbidden: the control of the experiment. No guard may stop it.

/// Does what a pass may do.
pub(crate) fn commit() {
    core::hint::black_box([0.5_f32; 8].iter().sum::<f32>());
}
