//! How much memory the code under test asks for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, which notes for each thread what is allocated and the most that ever
/// was. A [`Meter`] reads zero in a program that does not make it its `#[global_allocator]`.
pub struct PeakAlloc;

fn note(bytes: isize) {
    // While a thread ends its thread-locals may be gone; nothing is measured then.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

// SAFETY: every call is passed on to the system's allocator unchanged; noting does not allocate.
unsafe impl GlobalAlloc for PeakAlloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        note(-(layout.size() as isize));
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(new_size as isize - layout.size() as isize);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

/// Measures the memory that this thread takes from now on.
pub struct Meter {
    before: isize,
}

impl Meter {
    /// Begins to measure. One at a time: another one on the same thread starts this one's anew.
    pub fn start() -> Meter {
        let before = LIVE.get();
        PEAK.set(before);
        Meter { before }
    }

    /// The most that was allocated at a time since the start, beyond what was before, in bytes.
    pub fn peak(&self) -> usize {
        usize::try_from(PEAK.get() - self.before).unwrap_or(0)
    }
}
