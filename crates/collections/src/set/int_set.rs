//! An intset: different integers in ascending order, in one allocation.
//!
//! Byte for byte the format of Redis (its `intset.h`), so that RDB files take it as it is:
//!
//! | part | bytes | what |
//! | --- | --- | --- |
//! | width | 4 | bytes of each integer, little-endian: 2, 4 or 8 |
//! | count | 4 | number of integers, little-endian |
//! | integers | width each | little-endian, in ascending order |
//!
//! All integers have the width that the widest one has needed; it never becomes less. In memory it
//! is one word: the pointer. The allocation's size follows from the header; the allocator's
//! rounding is the slack that lets most changes stay in place, until the intset is fitted.

use crate::Corrupt;
use crate::growth;
use crate::table::prefetch_start;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::ptr::NonNull;

const HEADER: usize = 8;
const COUNT: usize = 4;

/// Different integers in ascending order, in one allocation.
pub struct IntSet(NonNull<u8>);

// SAFETY: an intset owns its bytes.
unsafe impl Send for IntSet {}
// SAFETY: shared access only reads.
unsafe impl Sync for IntSet {}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, 8).expect("at most 32 GiB")
}

/// The bytes that an integer needs.
#[inline]
fn width_of(number: i64) -> usize {
    if i16::try_from(number).is_ok() {
        2
    } else if i32::try_from(number).is_ok() {
        4
    } else {
        8
    }
}

/// An integer, of as many bytes as there are: 2, 4 or 8.
#[inline]
fn read(bytes: &[u8]) -> i64 {
    match *bytes {
        [a, b] => i64::from(i16::from_le_bytes([a, b])),
        [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
        _ => i64::from_le_bytes(bytes.try_into().expect("eight bytes")),
    }
}

#[inline]
fn write(number: i64, bytes: &mut [u8]) {
    let width = bytes.len();
    bytes.copy_from_slice(&number.to_le_bytes()[..width]);
}

/// The position of the number among ascending ones of this width, or the one that it would have.
#[inline]
fn search<const WIDTH: usize>(
    body: &[u8],
    number: i64,
    read: impl Fn([u8; WIDTH]) -> i64,
) -> Result<usize, usize> {
    let (numbers, _) = body.as_chunks::<WIDTH>();
    match numbers.last() {
        // Integers are often added in ascending order.
        Some(&last) if number <= read(last) => {
            numbers.binary_search_by_key(&number, |&bytes| read(bytes))
        }
        _ => Err(numbers.len()),
    }
}

impl Default for IntSet {
    fn default() -> IntSet {
        IntSet::new()
    }
}

impl IntSet {
    /// An empty intset.
    pub fn new() -> IntSet {
        IntSet::copy_of(&[2, 0, 0, 0, 0, 0, 0, 0])
    }

    fn copy_of(bytes: &[u8]) -> IntSet {
        let layout = layout(bytes.len());
        // SAFETY: the layout is not empty; the allocation has room for the bytes.
        unsafe {
            let Some(start) = NonNull::new(alloc(layout)) else { handle_alloc_error(layout) };
            growth::note(std::ptr::null(), start.as_ptr(), bytes.len());
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), start.as_ptr(), bytes.len());
            IntSet(start)
        }
    }

    /// Takes bytes from outside in.
    ///
    /// # Errors
    /// [`Corrupt`] if they are not an intset through and through, or an empty one.
    pub fn from_bytes(bytes: &[u8]) -> Result<IntSet, Corrupt> {
        let (header, body) = bytes.split_at_checked(HEADER).ok_or(Corrupt)?;
        let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("a word"));
        let (width, count) = (u64::from(word(0)), u64::from(word(COUNT)));
        let fits = matches!(width, 2 | 4 | 8) && width * count == body.len() as u64 && count > 0;
        let ascends =
            fits && body.chunks_exact(width as usize).map(read).is_sorted_by(|a, b| a < b);
        if ascends { Ok(IntSet::copy_of(bytes)) } else { Err(Corrupt) }
    }

    #[inline]
    fn word(&self, at: usize) -> usize {
        debug_assert!(at < HEADER && at.is_multiple_of(4));
        // SAFETY: the allocation has a header, and is aligned to 8 bytes.
        u32::from_le(unsafe { self.0.add(at).cast::<u32>().read() }) as usize
    }

    fn set_word(&mut self, at: usize, word: usize) {
        debug_assert!(at < HEADER && at.is_multiple_of(4));
        let word = u32::try_from(word).expect("fewer than 2^32 integers").to_le();
        // SAFETY: as in `word`.
        unsafe { self.0.add(at).cast::<u32>().write(word) }
    }

    #[inline]
    fn width(&self) -> usize {
        self.word(0)
    }

    /// The number of integers.
    #[inline]
    pub fn len(&self) -> usize {
        self.word(COUNT)
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the whole intset.
    #[inline]
    pub fn byte_len(&self) -> usize {
        HEADER + self.width() * self.len()
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.byte_len()
    }

    /// Prefetches its beginning, without reading it.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch_start(self.0.as_ptr());
    }

    /// The whole intset, as RDB files have it.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: the allocation has this length, by its header, and all of it is initialised.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr(), self.byte_len()) }
    }

    #[inline]
    fn body(&self) -> &[u8] {
        &self.as_bytes()[HEADER..]
    }

    fn body_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_bytes`; `self` is borrowed mutably.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.0.as_ptr(), self.byte_len()) };
        &mut bytes[HEADER..]
    }

    /// Gives the allocation away, for an owner who keeps it as a word.
    pub fn into_raw(self) -> NonNull<u8> {
        std::mem::ManuallyDrop::new(self).0
    }

    /// Takes the allocation back.
    ///
    /// # Safety
    /// The pointer came from [`IntSet::into_raw`]. If several are made of one pointer, only one of
    /// them may be dropped or changed, and none used after that.
    pub unsafe fn from_raw(pointer: NonNull<u8>) -> IntSet {
        IntSet(pointer)
    }

    /// Gives the allocation room for this many integers of this width, and says so in the header.
    /// New bytes are 0.
    fn resize(&mut self, width: usize, count: usize) {
        let (before, after) = (self.byte_len(), HEADER + width * count);
        if before != after {
            // SAFETY: allocated with this layout; the new size is not 0. The new bytes lie within
            // the allocation.
            unsafe {
                let start = realloc(self.0.as_ptr(), layout(before), after);
                if after > before {
                    growth::note(self.0.as_ptr(), start, after);
                }
                self.0 = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout(after)));
                self.0.add(before.min(after)).write_bytes(0, after.saturating_sub(before));
            }
        }
        self.set_word(0, width);
        self.set_word(COUNT, count);
    }

    /// Gives up room to grow, if it has much: an allocation that gets the size it has is fitted by
    /// the allocator.
    pub(crate) fn fit(&mut self) {
        let len = self.byte_len();
        if len > growth::FITTED_ABOVE {
            // SAFETY: allocated with this layout.
            let start = unsafe { realloc(self.0.as_ptr(), layout(len), len) };
            self.0 = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout(len)));
        }
    }

    #[inline]
    fn position(&self, number: i64) -> Result<usize, usize> {
        let body = self.body();
        match self.width() {
            2 => search(body, number, |bytes| i64::from(i16::from_le_bytes(bytes))),
            4 => search(body, number, |bytes| i64::from(i32::from_le_bytes(bytes))),
            _ => search(body, number, i64::from_le_bytes),
        }
    }

    /// Whether the number is among them.
    #[inline]
    pub fn contains(&self, number: i64) -> bool {
        self.position(number).is_ok()
    }

    /// Integer number `index` in ascending order.
    ///
    /// # Panics
    /// If there are not that many.
    #[inline]
    pub fn get(&self, index: usize) -> i64 {
        let width = self.width();
        read(&self.body()[index * width..(index + 1) * width])
    }

    /// The integers in ascending order.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.body().chunks_exact(self.width()))
    }

    /// Adds a number; whether it is new.
    pub fn insert(&mut self, number: i64) -> bool {
        if width_of(number) > self.width() {
            self.widen_for(number);
            return true;
        }
        let Err(at) = self.position(number) else { return false };
        let (width, len) = (self.width(), self.len());
        self.resize(width, len + 1);
        let body = self.body_mut();
        body.copy_within(at * width..len * width, (at + 1) * width);
        write(number, &mut body[at * width..(at + 1) * width]);
        true
    }

    /// Adds a number that needs more bytes than the others have: it is less or greater than all of
    /// them.
    fn widen_for(&mut self, number: i64) {
        let (old, new, len) = (self.width(), width_of(number), self.len());
        self.resize(new, len + 1);
        let shift = usize::from(number < 0);
        let body = self.body_mut();
        // From the last one on, since each goes to a place behind its old one.
        for index in (0..len).rev() {
            let moved = read(&body[index * old..(index + 1) * old]);
            write(moved, &mut body[(index + shift) * new..(index + shift + 1) * new]);
        }
        let at = if number < 0 { 0 } else { len };
        write(number, &mut body[at * new..(at + 1) * new]);
    }

    /// Removes a number; whether it was there.
    pub fn remove(&mut self, number: i64) -> bool {
        let Ok(at) = self.position(number) else { return false };
        let (width, len) = (self.width(), self.len());
        self.body_mut().copy_within((at + 1) * width.., at * width);
        self.resize(width, len - 1);
        true
    }

    /// Keeps the integers for whose index `keeps` holds, which is asked in ascending order.
    pub fn retain(&mut self, mut keeps: impl FnMut(usize) -> bool) {
        let (width, len, mut kept) = (self.width(), self.len(), 0);
        let body = self.body_mut();
        for index in 0..len {
            if keeps(index) {
                body.copy_within(index * width..(index + 1) * width, kept * width);
                kept += 1;
            }
        }
        self.resize(width, kept);
    }
}

impl FromIterator<i64> for IntSet {
    fn from_iter<I: IntoIterator<Item = i64>>(numbers: I) -> IntSet {
        let mut set = IntSet::new();
        for number in numbers {
            set.insert(number);
        }
        set
    }
}

impl Drop for IntSet {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout; it is not used any more.
        unsafe { dealloc(self.0.as_ptr(), layout(self.byte_len())) };
    }
}

impl Clone for IntSet {
    fn clone(&self) -> IntSet {
        IntSet::copy_of(self.as_bytes())
    }
}

impl PartialEq for IntSet {
    fn eq(&self, other: &IntSet) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for IntSet {}

impl std::fmt::Debug for IntSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The integers of an intset in ascending order.
#[derive(Clone, Debug)]
pub struct Iter<'a>(std::slice::ChunksExact<'a, u8>);

impl Iterator for Iter<'_> {
    type Item = i64;

    #[inline]
    fn next(&mut self) -> Option<i64> {
        self.0.next().map(read)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<i64> {
        self.0.next_back().map(read)
    }
}
