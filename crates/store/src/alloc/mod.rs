//! The process' allocator, which counts what is in use.
//!
//! It is mimalloc, but for blocks of up to 8 KiB that are not expected to grow: those are
//! [`fitted`] to their size. These are the blocks of values at rest, which are *fitted*, that is
//! reallocated with the size they have; and all blocks that are allocated with more than 1 KiB,
//! where the sizes of mimalloc are hundreds of bytes apart. A block that is reallocated to grow
//! goes to mimalloc, whose sizes leave it room to grow in place. Blocks of 8 MiB and more are
//! [`mapped`] one by one, and grow without being copied.

mod fitted;
mod mapped;

use crossbeam_utils::CachePadded;
use mimalloc::MiMalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use mapped::is_mapped;

/// Counters; threads beyond this number share.
const COUNTERS: usize = 64;

static USED: [CachePadded<AtomicI64>; COUNTERS] =
    [const { CachePadded::new(AtomicI64::new(0)) }; COUNTERS];
static NEXT_THREAD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static COUNTER: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// mimalloc with fitted blocks, each thread counting the usable bytes that it has taken and given
/// back. A program that wants [`used_memory`] to mean something makes it its `#[global_allocator]`.
///
/// To reallocate a block with the size that it has settles it: if it has much more room than it
/// needs, it is moved to where it fits.
pub struct CountingAlloc;

/// Bytes that must be gained for a block to be moved when it is fitted.
const FITTED_GAIN: usize = 16;
/// Blocks that are allocated with more bytes are fitted from the beginning. For smaller ones
/// mimalloc is faster, and its sizes are closer.
const FITTED_FROM_THE_BEGINNING: usize = 1024;

/// Has the allocator ask for huge pages, which save misses of the address translation: a fifth more
/// GETs a second (`tessera-bench load -P 64 -t get`, 1 M keys of 64 bytes). It must be called
/// before the first allocation; see [`use_huge_pages_from_the_start`].
extern "C" fn use_huge_pages() {
    // SAFETY: sets an option of the allocator; allowed at any time, from any thread.
    unsafe {
        libmimalloc_sys::mi_option_set_enabled(libmimalloc_sys::mi_option_large_os_pages, true);
    }
}

/// Makes [`CountingAlloc`] use huge pages from its first allocation on. A program puts it beside
/// its `#[global_allocator]`. The kernel's setting must be `madvise` or `always`; with `never`
/// nothing changes.
#[macro_export]
macro_rules! use_huge_pages_from_the_start {
    () => {
        /// Run by the loader, before anything has been allocated.
        // SAFETY: the section holds pointers to functions without arguments, which is what this is.
        #[used]
        #[unsafe(link_section = ".init_array")]
        static USE_HUGE_PAGES: extern "C" fn() = $crate::HUGE_PAGES;
    };
}

/// The function that [`use_huge_pages_from_the_start`] has the loader run.
#[doc(hidden)]
pub const HUGE_PAGES: extern "C" fn() = use_huge_pages;

/// Bytes in use by the process' allocations, rounded up as the allocator rounds them. The
/// threads' counters are read one after another: exact when nothing is being allocated.
pub fn used_memory() -> usize {
    // This takes a hundred nanoseconds or so: it reads only counters that a thread has taken, and
    // the one that late threads share.
    let taken = NEXT_THREAD.load(Ordering::Relaxed).min(COUNTERS - 1);
    let counters = USED[..taken].iter().chain([&USED[COUNTERS - 1]]);
    let sum: i64 = counters.map(|counter| counter.load(Ordering::Relaxed)).sum();
    usize::try_from(sum).unwrap_or(0)
}

/// Bytes that this thread has taken, less those that it has given back: a thread's own share in
/// [`used_memory`], which may be below zero. Good for differences.
#[inline]
pub fn taken_by_thread() -> i64 {
    let index = COUNTER.try_with(Cell::get).unwrap_or(COUNTERS - 1).min(COUNTERS - 1);
    USED[index].load(Ordering::Relaxed)
}

/// Gives memory back to the system that was freed a while ago and has not been taken since. The
/// allocator does that by itself only when something is allocated or freed, which may be never
/// after a burst.
pub fn give_back_freed() {
    fitted::purge();
    // SAFETY: allowed at any time, from any thread; it touches the calling thread's own heap and
    // what no heap owns.
    unsafe { libmimalloc_sys::mi_collect(false) };
}

/// The allocator's own report, for people.
pub fn allocator_report() -> String {
    // SAFETY: the allocator calls it, with a text of its own and the argument that is given to it
    // below.
    unsafe extern "C" fn append(line: *const c_char, text: *mut c_void) {
        // SAFETY: `line` is a text of the allocator's, which ends with a zero; `text` is the one
        // that is passed below, and no other code uses it.
        let (line, text) = unsafe { (CStr::from_ptr(line), &mut *text.cast::<String>()) };
        text.push_str(&line.to_string_lossy());
    }
    let mut text = format!("mimalloc, with {} bytes in use\n", used_memory());
    // SAFETY: the function takes this argument, and both live as long as the call.
    unsafe { libmimalloc_sys::mi_stats_print_out(Some(append), (&raw mut text).cast()) };
    text
}

/// The number of this thread's counter.
#[inline]
fn thread_number() -> usize {
    // While a thread ends its thread-locals may be gone; then any counter will do.
    COUNTER
        .try_with(|cell| {
            if cell.get() == usize::MAX {
                cell.set(NEXT_THREAD.fetch_add(1, Ordering::Relaxed));
            }
            cell.get()
        })
        .unwrap_or(COUNTERS - 1)
}

#[inline]
fn count(bytes: i64) {
    let index = thread_number();
    if index < COUNTERS - 1 {
        // Only this thread writes this counter.
        let counter = &USED[index];
        counter.store(counter.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
    } else {
        USED[COUNTERS - 1].fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Whether an allocation of this layout may be a fitted block.
#[inline]
fn may_be_fitted(layout: Layout) -> bool {
    fitted::fits(layout.size()) && layout.align() <= fitted::ALIGNMENT
}

/// Whether this allocation is a fitted block.
#[inline]
fn is_fitted(ptr: *const u8, layout: Layout) -> bool {
    debug_assert!(fitted::fits(layout.size()) || !fitted::owns(ptr), "{layout:?} is its own");
    fitted::fits(layout.size()) && fitted::owns(ptr)
}

/// A fitted block, counted; null if there is none.
#[inline]
fn take_fitted(layout: Layout) -> *mut u8 {
    let Some(block) = fitted::take(layout.size(), thread_number()) else { return null_mut() };
    count(fitted::fitted(layout.size()) as i64);
    block.as_ptr()
}

/// A mapped block, counted; null if there is none. Its bytes are zeros.
#[cold]
fn take_mapped(layout: Layout) -> *mut u8 {
    let ptr = mapped::take(layout.size());
    if !ptr.is_null() {
        count(mapped::mapped(layout.size()) as i64);
    }
    ptr
}

// SAFETY: a block comes from mimalloc, is a fitted one, which its address tells, or a mapped one,
// which its layout tells, and goes back where it came from; each has at least the size and the
// alignment of its layout. The counters do not allocate.
unsafe impl GlobalAlloc for CountingAlloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > FITTED_FROM_THE_BEGINNING && may_be_fitted(layout) {
            let block = take_fitted(layout);
            if !block.is_null() {
                return block;
            }
        }
        if is_mapped(layout) {
            return take_mapped(layout);
        }
        // SAFETY: the caller's promises are mimalloc's.
        let ptr = unsafe { MiMalloc.alloc(layout) };
        count_taken(ptr);
        ptr
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.size() > FITTED_FROM_THE_BEGINNING && may_be_fitted(layout) {
            let block = take_fitted(layout);
            if !block.is_null() {
                // SAFETY: the block has these bytes.
                unsafe { block.write_bytes(0, layout.size()) };
                return block;
            }
        }
        if is_mapped(layout) {
            return take_mapped(layout);
        }
        // SAFETY: the caller's promises are mimalloc's.
        let ptr = unsafe { MiMalloc.alloc_zeroed(layout) };
        count_taken(ptr);
        ptr
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if is_fitted(ptr, layout) {
            // SAFETY: it is a fitted block, which the caller does not use any more.
            unsafe {
                count(-(fitted::size_of_block(ptr) as i64));
                fitted::give(ptr);
            }
            return;
        }
        if is_mapped(layout) {
            count(-(mapped::mapped(layout.size()) as i64));
            // SAFETY: it is a mapped block, which the caller does not use any more.
            return unsafe { mapped::give(ptr, layout.size()) };
        }
        // SAFETY: `ptr` came from this allocator.
        let size = unsafe { MiMalloc.usable_size(ptr) };
        count(-(size as i64));
        // SAFETY: the caller's promises are mimalloc's.
        unsafe { MiMalloc.dealloc(ptr, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if is_fitted(ptr, layout) {
            // SAFETY: it is a fitted block.
            return unsafe { resize_fitted(ptr, layout, new_size) };
        }
        if layout.size().max(new_size) >= mapped::FROM {
            // SAFETY: the caller's promises.
            return unsafe { resize_large(ptr, layout, new_size) };
        }
        // SAFETY: `ptr` came from this allocator.
        let before = unsafe { MiMalloc.usable_size(ptr) };
        if new_size == layout.size()
            && may_be_fitted(layout)
            && fitted::fitted(new_size) + FITTED_GAIN <= before
        {
            // SAFETY: the caller's promises; a block of the same size.
            let fitted_block = unsafe { moved(ptr, layout, layout, take_fitted) };
            return if fitted_block.is_null() { ptr } else { fitted_block };
        }
        // SAFETY: the caller's promises are mimalloc's.
        let new = unsafe { MiMalloc.realloc(ptr, layout, new_size) };
        if !new.is_null() {
            // SAFETY: `new` was just allocated.
            let after = unsafe { MiMalloc.usable_size(new) };
            count(after as i64 - before as i64);
        }
        new
    }
}

/// A fitted block gets another size. It stays where it is as long as it wastes little; if it grows,
/// or gets much smaller, it goes to mimalloc, for more will follow.
///
/// # Safety
/// As for [`GlobalAlloc::realloc`].
#[cold]
unsafe fn resize_fitted(ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
    // SAFETY: it is a fitted block.
    let size = unsafe { fitted::size_of_block(ptr) };
    // A block that is too small would not be known as a fitted one by its layout.
    if new_size <= size && new_size > size - size / 8 && fitted::fits(new_size) {
        return ptr;
    }
    let Ok(new) = Layout::from_size_align(new_size, layout.align()) else { return null_mut() };
    let from_mimalloc = |layout| {
        // SAFETY: the caller's promises are mimalloc's.
        let ptr = unsafe { MiMalloc.alloc(layout) };
        count_taken(ptr);
        ptr
    };
    // SAFETY: the caller's promises.
    unsafe { moved(ptr, layout, new, from_mimalloc) }
}

/// A block that is mapped, or is to be, gets another size.
///
/// # Safety
/// As for [`GlobalAlloc::realloc`].
#[cold]
unsafe fn resize_large(ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
    let Ok(new) = Layout::from_size_align(new_size, layout.align()) else { return null_mut() };
    if !is_mapped(layout) || !is_mapped(new) {
        // SAFETY: the caller's promises; no layout here is empty.
        return unsafe { moved(ptr, layout, new, |layout| CountingAlloc.alloc(layout)) };
    }
    // SAFETY: it is a mapped block.
    let resized = unsafe { mapped::resize(ptr, layout.size(), new_size) };
    if !resized.is_null() {
        count(mapped::mapped(new_size) as i64 - mapped::mapped(layout.size()) as i64);
    }
    resized
}

/// Moves an allocation into another; null, and nothing has changed, if there is none.
///
/// # Safety
/// As for [`GlobalAlloc::realloc`]; `take` allocates.
unsafe fn moved(
    ptr: *mut u8,
    old: Layout,
    new: Layout,
    take: impl FnOnce(Layout) -> *mut u8,
) -> *mut u8 {
    let target = take(new);
    if !target.is_null() {
        // SAFETY: both have this many bytes, and one is new; the old one is not used any more.
        unsafe {
            std::ptr::copy_nonoverlapping(ptr, target, old.size().min(new.size()));
            CountingAlloc.dealloc(ptr, old);
        }
    }
    target
}

#[inline]
fn count_taken(ptr: *mut u8) {
    if !ptr.is_null() {
        // SAFETY: `ptr` was just allocated by mimalloc.
        count(unsafe { MiMalloc.usable_size(ptr) } as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_counted_and_given_back() {
        let layout = Layout::from_size_align(1000, 8).unwrap();
        let before = used_memory();
        // SAFETY: allocated, grown and freed with matching layouts.
        unsafe {
            let ptr = CountingAlloc.alloc(layout);
            assert!(used_memory() >= before + 1000);
            let ptr = CountingAlloc.realloc(ptr, layout, 5000);
            assert!(used_memory() >= before + 5000);
            CountingAlloc.dealloc(ptr, Layout::from_size_align(5000, 8).unwrap());
        }
        assert_eq!(used_memory(), before);
    }

    #[test]
    fn large_blocks_grow_and_shrink_and_keep_their_bytes() {
        const MIB: usize = 1 << 20;
        let layout = |size| Layout::from_size_align(size, 1).unwrap();
        let before = taken_by_thread();
        // SAFETY: allocated, resized and freed with matching layouts; only bytes that it has are
        // read and written.
        unsafe {
            let mut size = MIB;
            let mut ptr = CountingAlloc.alloc(layout(size));
            ptr.write_bytes(7, size);
            // Across the size from which on blocks are mapped, and back.
            for next in [7 * MIB, 8 * MIB, 8 * MIB + 1, 40 * MIB, 9 * MIB, 3 * MIB] {
                ptr = CountingAlloc.realloc(ptr, layout(size), next);
                assert_eq!((*ptr, *ptr.add(MIB - 1)), (7, 7), "{next}");
                ptr.add(next - 1).write(1);
                let taken = taken_by_thread() - before;
                assert!(taken >= next as i64, "{taken} for {next}");
                if next >= mapped::FROM {
                    assert!(taken < (next + 4096) as i64, "{taken} for {next}");
                }
                size = next;
            }
            CountingAlloc.dealloc(ptr, layout(size));
            let zeros = CountingAlloc.alloc_zeroed(layout(9 * MIB));
            assert_eq!((*zeros, *zeros.add(9 * MIB - 1)), (0, 0));
            CountingAlloc.dealloc(zeros, layout(9 * MIB));
        }
        assert_eq!(taken_by_thread(), before);
    }

    #[test]
    fn each_word_up_to_eight_is_a_size_of_its_own() {
        for size in (8..=64).step_by(8) {
            // SAFETY: computes a number.
            let good = unsafe { libmimalloc_sys::mi_good_size(size) };
            assert_eq!(good, size, "built without the options of .cargo/config.toml?");
        }
    }

    #[test]
    fn allocations_are_aligned_as_asked() {
        // Past the counters, which are another test's.
        for align in [1, 2, 4, 8, 16, 32, 64, 128] {
            // Several of each size: the first of a page might be aligned by chance.
            let layouts = (1..200).map(|size| Layout::from_size_align(size, align).unwrap());
            let taken: Vec<(*mut u8, Layout)> = layouts
                .flat_map(|layout| [layout; 3])
                // SAFETY: the layout is not empty.
                .map(|layout| (unsafe { MiMalloc.alloc(layout) }, layout))
                .collect();
            for (ptr, layout) in taken {
                assert_eq!(ptr.addr() % align, 0, "{layout:?}");
                // SAFETY: grown and freed once, with the layouts it has.
                unsafe {
                    let grown = MiMalloc.realloc(ptr, layout, layout.size() + 100);
                    assert_eq!(grown.addr() % align, 0, "{layout:?}, grown");
                    let layout = Layout::from_size_align(layout.size() + 100, align).unwrap();
                    MiMalloc.dealloc(grown, layout);
                }
            }
        }
    }
}
