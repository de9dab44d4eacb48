//! Memory from the C library, as an endpoint written in C takes it.

mod c {
    unsafe extern "C" {
        // SAFETY: takes nothing, answers nothing, and frees what it has taken: it can be called at any time.
        pub(super) safe fn planted_malloc();
    }
}

/// Calls malloc and free of the C library.
pub fn commit() {
    c::planted_malloc();
}
