//! The growth of compact values.
//!
//! A listpack or intset that grows is moved, from time to time, to a block with room to grow on.
//! Its owner learns so here, and may have it fitted ([`Collection::fit`](crate::Collection::fit))
//! once it has come to rest. A thread's note says only that something has grown since it was last
//! asked, which is right after each change of a value.

use std::cell::Cell;

thread_local! {
    static GREW: Cell<bool> = const { Cell::new(false) };
}

/// Bytes above which values are worth to be fitted: the sizes of smaller blocks are close to one
/// another.
pub const FITTED_ABOVE: usize = 256;
/// Bytes up to which there are fitted blocks.
pub const FITTED_UP_TO: usize = 8192;

/// An allocation has got `bytes`, more than before, and was perhaps moved.
#[inline]
pub(crate) fn note(before: *const u8, after: *const u8, bytes: usize) {
    if bytes > FITTED_ABOVE && bytes <= FITTED_UP_TO && before != after {
        GREW.set(true);
    }
}

/// Whether a value has grown and got room on this thread since this was last asked.
#[inline]
pub fn take_grown() -> bool {
    GREW.get() && GREW.replace(false)
}
