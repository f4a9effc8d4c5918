//! A growable sequence of buckets: one array at first, then a directory of segments.

use super::Item;
use super::SEGMENT;
use super::bucket::{Bucket, Word};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// With at most [`SEGMENT`] buckets `start` is the array, of `capacity(len)` buckets. With more it
/// is the directory, an array of `directory_capacity(len)` pointers to arrays of `SEGMENT` buckets.
/// With none it is what the table makes of it by [`Buckets::resize_words`], and the table's to
/// free.
///
/// Packed, so that a table with its counters takes three words: a slot with its table is a cache
/// line.
#[repr(C, packed(4))]
pub(super) struct Buckets<T> {
    start: NonNull<u8>,
    len: u32,
    items: PhantomData<T>,
}

// SAFETY: the buckets are owned, and so are the items in them.
unsafe impl<T: Send> Send for Buckets<T> {}
// SAFETY: shared access only reads.
unsafe impl<T: Sync> Sync for Buckets<T> {}

impl<T> Default for Buckets<T> {
    fn default() -> Buckets<T> {
        Buckets { start: nothing(), len: 0, items: PhantomData }
    }
}

/// Bytes of a bucket, whatever its items are.
const BUCKET: usize = 64;

/// How many buckets are allocated for `len`: the allocator's own size classes, four to a doubling.
fn capacity(len: usize) -> usize {
    if len <= 8 {
        return len;
    }
    let step = 1usize << (len - 1).ilog2() >> 2;
    len.next_multiple_of(step)
}

fn segments(len: usize) -> usize {
    len.div_ceil(SEGMENT)
}

fn directory_capacity(len: usize) -> usize {
    segments(len).next_power_of_two()
}

fn array_layout(buckets: usize) -> Layout {
    Layout::from_size_align(buckets * BUCKET, BUCKET).expect("at most a segment")
}

fn directory_layout(pointers: usize) -> Layout {
    Layout::array::<*mut u8>(pointers).expect("a few thousand pointers")
}

/// The address of no array: aligned for words.
fn nothing() -> NonNull<u8> {
    NonNull::<u64>::dangling().cast()
}

fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: no layout here is empty.
    NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

impl<T> Buckets<T> {
    const SIZE: () = assert!(size_of::<Bucket<T>>() == BUCKET);

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// The array while there is but one; else null.
    pub(super) fn array(&self) -> *const u8 {
        if self.len() <= SEGMENT { self.start.as_ptr() } else { std::ptr::null() }
    }

    pub(super) fn memory(&self) -> usize {
        match self.len() {
            len if len <= SEGMENT => capacity(len) * BUCKET,
            len => {
                segments(len) * SEGMENT * BUCKET + directory_capacity(len) * size_of::<*mut u8>()
            }
        }
    }

    /// The array of words that a table without buckets has here.
    #[inline]
    pub(super) fn words(&self) -> *mut Word<T> {
        self.start.as_ptr().cast()
    }

    /// Makes an array of another size of the words that a table without buckets has here.
    pub(super) fn resize_words(&mut self, old: Layout, new: Layout) {
        debug_assert!(self.len == 0);
        self.start = self.resized(old, new);
    }

    /// The address of a bucket, good for writing as long as no other code uses the table.
    #[inline]
    pub(super) fn pointer(&self, index: usize) -> *mut Bucket<T> {
        assert!(index < self.len(), "a bucket of the table");
        if self.len() <= SEGMENT {
            // SAFETY: the array has more than `index` buckets.
            return unsafe { self.start.as_ptr().cast::<Bucket<T>>().add(index) };
        }
        // SAFETY: the directory has a pointer for every segment below `len`, and each segment has
        // `SEGMENT` buckets.
        unsafe {
            let segment = *self.start.as_ptr().cast::<*mut Bucket<T>>().add(index / SEGMENT);
            segment.add(index % SEGMENT)
        }
    }

    #[inline]
    pub(super) fn at(&self, index: usize) -> &Bucket<T> {
        // SAFETY: buckets below `len` are initialised and live as long as `self`.
        unsafe { &*self.pointer(index) }
    }

    #[inline]
    pub(super) fn at_mut(&mut self, index: usize) -> &mut Bucket<T> {
        // SAFETY: as above; `self` is borrowed mutably.
        unsafe { &mut *self.pointer(index) }
    }

    /// Adds an empty bucket at the end.
    pub(super) fn push(&mut self)
    where
        T: Item,
    {
        let () = Self::SIZE;
        let (old, new) = (self.len(), self.len() + 1);
        if new <= SEGMENT {
            self.resize_array(capacity(old), capacity(new));
        } else {
            if old == SEGMENT {
                let directory = allocate(directory_layout(directory_capacity(new)));
                // SAFETY: the directory has room for two pointers.
                unsafe { directory.cast::<*mut Bucket<T>>().write(self.start.as_ptr().cast()) };
                self.start = directory;
            } else {
                self.resize_directory(directory_capacity(old), directory_capacity(new));
            }
            if segments(new) > segments(old) {
                let segment = allocate(array_layout(SEGMENT));
                // SAFETY: the directory has room for `segments(new)` pointers.
                unsafe {
                    self.start
                        .cast::<*mut Bucket<T>>()
                        .add(segments(old))
                        .write(segment.as_ptr().cast());
                }
            }
        }
        self.len = u32::try_from(new).expect("fewer than 2^32 buckets");
        // SAFETY: the place is allocated; what was there needs no drop.
        unsafe { self.pointer(old).write(Bucket::EMPTY) };
    }

    /// Removes the last bucket, which must be empty.
    pub(super) fn pop(&mut self) {
        let (old, new) = (self.len(), self.len() - 1);
        if old <= SEGMENT {
            self.resize_array(capacity(old), capacity(new));
        } else if segments(new) < segments(old) {
            // SAFETY: the last segment was allocated by `push`, and has no bucket any more.
            unsafe {
                let segment = self.start.cast::<*mut u8>().add(segments(new)).read();
                dealloc(segment, array_layout(SEGMENT));
            }
            if new == SEGMENT {
                // SAFETY: the first pointer of the directory is the array of the first segment.
                let first = unsafe { self.start.cast::<*mut u8>().read() };
                self.free_directory(old);
                self.start = NonNull::new(first).expect("a segment's address");
            } else {
                self.resize_directory(directory_capacity(old), directory_capacity(new));
            }
        }
        self.len = new as u32;
    }

    fn resize_array(&mut self, old: usize, new: usize) {
        if old != new {
            self.start = self.resized(array_layout(old), array_layout(new));
        }
    }

    fn resize_directory(&mut self, old: usize, new: usize) {
        if old != new {
            self.start = self.resized(directory_layout(old), directory_layout(new));
        }
    }

    fn resized(&self, old: Layout, new: Layout) -> NonNull<u8> {
        match (old.size(), new.size()) {
            (0, 0) => nothing(),
            (0, _) => allocate(new),
            (_, 0) => {
                // SAFETY: allocated with this layout.
                unsafe { dealloc(self.start.as_ptr(), old) };
                nothing()
            }
            _ => {
                // SAFETY: allocated with this layout; the new size is not 0.
                let ptr = unsafe { realloc(self.start.as_ptr(), old, new.size()) };
                NonNull::new(ptr).unwrap_or_else(|| handle_alloc_error(new))
            }
        }
    }

    fn free_directory(&self, len: usize) {
        // SAFETY: with more than a segment of buckets `start` is a directory of this capacity.
        unsafe { dealloc(self.start.as_ptr(), directory_layout(directory_capacity(len))) };
    }
}

impl<T> Drop for Buckets<T> {
    fn drop(&mut self) {
        let len = self.len();
        if len <= SEGMENT {
            self.resize_array(capacity(len), 0);
            return;
        }
        for index in 0..segments(len) {
            // SAFETY: each segment was allocated with this layout.
            unsafe {
                let segment = self.start.cast::<*mut u8>().add(index).read();
                dealloc(segment, array_layout(SEGMENT));
            }
        }
        self.free_directory(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_grows_by_a_quarter_at_most() {
        for len in 1..=SEGMENT {
            let capacity = capacity(len);
            assert!(capacity >= len && capacity <= SEGMENT && capacity * 4 <= len * 5 + 4, "{len}");
        }
    }

    #[test]
    fn grows_and_shrinks_across_segments() {
        let mut buckets = Buckets::<crate::table::tests::Pair>::default();
        for len in 0..5 * SEGMENT + 3 {
            assert_eq!(buckets.len(), len);
            buckets.push();
            assert!(!buckets.at(len).words()[0].is_item());
        }
        while buckets.len() > 0 {
            buckets.pop();
        }
        assert_eq!(buckets.memory(), 0);
    }
}
