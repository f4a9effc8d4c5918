//! Large blocks, each mapped from the system for itself.
//!
//! A block as large as this is nearly always a buffer or a string that grows. The system moves it
//! by its page tables, where mimalloc would copy it. So such a block may grow by small steps, and
//! needs little room to spare. It is recognised by its size alone.

use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap_anonymous, mremap, munmap};
use std::alloc::Layout;
use std::ptr::null_mut;

/// Blocks of this many bytes and more are mapped.
pub(super) const FROM: usize = 8 << 20;
/// Blocks are multiples of this, the smallest page that there is.
const GRAIN: usize = 4 << 10;

/// Whether an allocation of this layout is mapped.
#[inline]
pub(super) fn is_mapped(layout: Layout) -> bool {
    layout.size() >= FROM && layout.align() <= GRAIN
}

/// Bytes of the block for a request of `size`.
#[inline]
pub(super) fn mapped(size: usize) -> usize {
    // A request is below 2^63, as every layout's size.
    size.next_multiple_of(GRAIN)
}

/// A new block, of zeros; null if the system has none.
pub(super) fn take(size: usize) -> *mut u8 {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: new addresses, wherever the system wants them.
    let start = unsafe { mmap_anonymous(null_mut(), mapped(size), protection, MapFlags::PRIVATE) };
    start.map_or(null_mut(), |start| start.cast())
}

/// Gives a block for `size` bytes back.
///
/// # Safety
/// It came from [`take`] or [`resize`] with this size, and is not used any more.
pub(super) unsafe fn give(ptr: *mut u8, size: usize) {
    // SAFETY: the caller's promise.
    let given = unsafe { munmap(ptr.cast(), mapped(size)) };
    debug_assert!(given.is_ok(), "{given:?}");
}

/// Gives a block another size, perhaps elsewhere; null, and nothing has changed, if that cannot be.
///
/// # Safety
/// As for [`give`], where it is moved.
pub(super) unsafe fn resize(ptr: *mut u8, old: usize, new: usize) -> *mut u8 {
    let (old, new) = (mapped(old), mapped(new));
    if old == new {
        return ptr;
    }
    // SAFETY: the caller's promise.
    let moved = unsafe { mremap(ptr.cast(), old, new, MremapFlags::MAYMOVE) };
    moved.map_or(null_mut(), |start| start.cast())
}
