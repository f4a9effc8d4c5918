//! A listpack: a sequence of strings and integers in one allocation.
//!
//! Byte for byte the format of Redis (its `listpack.md`), so that RDB files take it as it is:
//!
//! | part | bytes | what |
//! | --- | --- | --- |
//! | total | 4 | bytes of the whole listpack, little-endian |
//! | count | 2 | number of elements, little-endian; 65535: they must be counted |
//! | elements | | each: encoding, data, back length |
//! | end | 1 | 255 |
//!
//! `element.rs` has the encoding of an element. The back length is the length of encoding and data,
//! 7 bits a byte, to be read from the right, so that the listpack can be walked both ways.
//!
//! In memory it is one word: the pointer. The allocation's size is the total length; the
//! allocator's rounding is the slack that lets most changes stay in place, until the listpack is
//! fitted.

mod element;

use crate::growth;
use crate::table::prefetch_start;
pub use element::{Digits, Element, canonical_integer};
use element::{Encoded, read, size_at};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::ptr::NonNull;

const HEADER: usize = 6;
const END: u8 = 255;
/// The count that says: count them.
const UNCOUNTED: u16 = u16::MAX;
/// Bytes that a listpack may have; callers that add ask [`Listpack::has_room`] first.
const MAX_BYTES: usize = 1 << 30;

/// Bytes that are no listpack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt;

/// The beginning of an element: an offset in bytes. It is good until the listpack is changed before
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(u32);

/// A sequence of strings and integers in one allocation. A string that is a canonical decimal
/// integer is kept, and comes back, as an integer.
pub struct Listpack(NonNull<u8>);

// SAFETY: a listpack owns its bytes.
unsafe impl Send for Listpack {}
// SAFETY: shared access only reads.
unsafe impl Sync for Listpack {}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, 8).expect("at most 1 GiB")
}

impl Default for Listpack {
    fn default() -> Listpack {
        Listpack::new()
    }
}

impl Listpack {
    /// An empty listpack.
    pub fn new() -> Listpack {
        let mut empty = [0; HEADER + 1];
        empty[0] = HEADER as u8 + 1;
        empty[HEADER] = END;
        Listpack::copy_of(&empty)
    }

    /// Prefetches its beginning, without reading it.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch_start(self.0.as_ptr());
    }

    fn copy_of(bytes: &[u8]) -> Listpack {
        let layout = layout(bytes.len());
        // SAFETY: the layout is not empty; the allocation has room for the bytes.
        unsafe {
            let Some(start) = NonNull::new(alloc(layout)) else { handle_alloc_error(layout) };
            growth::note(std::ptr::null(), start.as_ptr(), bytes.len());
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), start.as_ptr(), bytes.len());
            Listpack(start)
        }
    }

    /// Takes bytes from outside in.
    ///
    /// # Errors
    /// [`Corrupt`] if they are not a listpack through and through.
    pub fn from_bytes(bytes: &[u8]) -> Result<Listpack, Corrupt> {
        element::validate(bytes).map(|()| Listpack::copy_of(bytes)).ok_or(Corrupt)
    }

    /// Takes bytes that were a listpack's.
    pub(crate) fn from_trusted(bytes: &[u8]) -> Listpack {
        debug_assert!(element::validate(bytes).is_some());
        Listpack::copy_of(bytes)
    }

    /// The whole listpack, as RDB files have it.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: the first four bytes of the allocation are its length, and all of it is
        // initialised.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr(), self.byte_len()) }
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_bytes`; `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_ptr(), self.byte_len()) }
    }

    /// Bytes of the whole listpack.
    #[inline]
    pub fn byte_len(&self) -> usize {
        // SAFETY: the allocation has at least a header, and is aligned to 8 bytes.
        u32::from_le(unsafe { self.0.cast::<u32>().read() }) as usize
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.byte_len()
    }

    /// Gives the allocation away, for an owner who keeps it as a word.
    pub fn into_raw(self) -> NonNull<u8> {
        std::mem::ManuallyDrop::new(self).0
    }

    /// Takes the allocation back.
    ///
    /// # Safety
    /// The pointer came from [`Listpack::into_raw`]. If several are made of one pointer, only one
    /// of them may be dropped or changed, and none used after that.
    pub unsafe fn from_raw(pointer: NonNull<u8>) -> Listpack {
        Listpack(pointer)
    }

    /// Whether this many bytes of strings may be added.
    pub fn has_room(&self, bytes: usize) -> bool {
        Listpack::may_have(self.byte_len().saturating_add(bytes))
    }

    /// Whether a listpack may have this many bytes, and one more element without text.
    pub(crate) fn may_have(bytes: usize) -> bool {
        /// Encoding and back length of an element are shorter.
        const OVERHEAD: usize = 16;
        bytes.saturating_add(OVERHEAD) <= MAX_BYTES
    }

    #[inline]
    fn count(&self) -> u16 {
        // SAFETY: the count stands behind the length, aligned to two bytes.
        u16::from_le(unsafe { self.0.add(4).cast::<u16>().read() })
    }

    fn set_count(&mut self, count: usize) {
        let count = u16::try_from(count).unwrap_or(UNCOUNTED);
        self.bytes_mut()[4..HEADER].copy_from_slice(&count.to_le_bytes());
    }

    /// The number of elements. Beyond 65534 they have to be counted.
    #[inline]
    pub fn len(&self) -> usize {
        match self.count() {
            UNCOUNTED => self.iter().count(),
            count => usize::from(count),
        }
    }

    /// Whether there are no elements.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.byte_len() == HEADER + 1
    }

    #[inline]
    fn end(&self) -> usize {
        self.byte_len() - 1
    }

    /// The first element.
    #[inline]
    pub fn first(&self) -> Option<Position> {
        (!self.is_empty()).then_some(Position(HEADER as u32))
    }

    /// The last element.
    #[inline]
    pub fn last(&self) -> Option<Position> {
        self.before(self.end())
    }

    fn before(&self, at: usize) -> Option<Position> {
        if at <= HEADER {
            return None;
        }
        let size = element::size_before(&self.as_bytes()[..at]);
        Some(Position((at - size) as u32))
    }

    /// The element behind one.
    #[inline]
    pub fn next(&self, at: Position) -> Option<Position> {
        let next = at.0 as usize + size_at(self.as_bytes(), at.0 as usize);
        (next < self.end()).then_some(Position(next as u32))
    }

    /// The element before one.
    #[inline]
    pub fn prev(&self, at: Position) -> Option<Position> {
        self.before(at.0 as usize)
    }

    /// The element at a position.
    #[inline]
    pub fn get(&self, at: Position) -> Element<'_> {
        read(self.as_bytes(), at.0 as usize).0
    }

    /// The position of element number `index`; negative numbers count from the end (-1 is the
    /// last).
    pub(crate) fn seek(&self, index: i64) -> Option<Position> {
        let len = self.len() as i64;
        let index = if index < 0 { len + index } else { index };
        if !(0..len).contains(&index) {
            return None;
        }
        // From the nearer end.
        if index < len / 2 {
            let mut at = self.first();
            for _ in 0..index {
                at = self.next(at?);
            }
            at
        } else {
            let mut at = self.last();
            for _ in index + 1..len {
                at = self.prev(at?);
            }
            at
        }
    }

    /// The elements in order, from either end.
    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        Iter { bytes: self.as_bytes(), front: HEADER, back: self.end() }
    }

    /// The elements from a position on.
    #[inline]
    pub(crate) fn iter_from(&self, at: Position) -> Iter<'_> {
        Iter { bytes: self.as_bytes(), front: at.0 as usize, back: self.end() }
    }

    /// The elements up to a position, that one included.
    #[inline]
    pub(crate) fn iter_through(&self, at: Position) -> Iter<'_> {
        let back = at.0 as usize + size_at(self.as_bytes(), at.0 as usize);
        Iter { bytes: self.as_bytes(), front: HEADER, back }
    }

    /// The first element at `from` or behind it that equals `text`, where of the elements one is
    /// looked at and then `skip` are passed over: 0 for all, 1 for the fields among fields and
    /// values.
    pub fn find(&self, from: Option<Position>, text: &[u8], skip: usize) -> Option<Position> {
        let bytes = self.as_bytes();
        let (mut at, end) = (from?.0 as usize, self.end());
        let wanted = Encoded::of(text);
        while at < end {
            if wanted.is_at(bytes, at) {
                return Some(Position(at as u32));
            }
            for _ in 0..=skip {
                at += size_at(bytes, at);
                if at >= end {
                    return None;
                }
            }
        }
        None
    }

    /// Adds an element at the end.
    pub fn push(&mut self, text: &[u8]) {
        self.put(self.end(), 0, Some(Encoded::of(text)));
    }

    /// Adds an integer at the end.
    pub(crate) fn push_integer(&mut self, number: i64) {
        self.put(self.end(), 0, Some(Encoded::Integer(number)));
    }

    /// Adds an element as the first.
    pub(crate) fn push_front(&mut self, text: &[u8]) {
        self.put(HEADER, 0, Some(Encoded::of(text)));
    }

    /// Adds an element before another; gives the new one's position.
    pub(crate) fn insert_before(&mut self, at: Position, text: &[u8]) -> Position {
        self.put(at.0 as usize, 0, Some(Encoded::of(text)));
        at
    }

    /// Adds an element behind another; gives the new one's position.
    pub(crate) fn insert_after(&mut self, at: Position, text: &[u8]) -> Position {
        let at = at.0 as usize + size_at(self.as_bytes(), at.0 as usize);
        self.put(at, 0, Some(Encoded::of(text)));
        Position(at as u32)
    }

    /// Puts another element in the place of one.
    pub fn replace(&mut self, at: Position, text: &[u8]) {
        self.replace_encoded(at, Encoded::of(text));
    }

    /// Puts an integer in the place of an element.
    pub(crate) fn replace_integer(&mut self, at: Position, number: i64) {
        self.replace_encoded(at, Encoded::Integer(number));
    }

    fn replace_encoded(&mut self, at: Position, new: Encoded<'_>) {
        let at = at.0 as usize;
        let old = size_at(self.as_bytes(), at);
        self.put(at, old, Some(new));
    }

    /// Removes an element; gives the position of the one behind it.
    pub fn remove(&mut self, at: Position) -> Option<Position> {
        let size = size_at(self.as_bytes(), at.0 as usize);
        self.put(at.0 as usize, size, None);
        ((at.0 as usize) < self.end()).then_some(at)
    }

    /// Removes up to `count` elements from a position on; gives how many there were.
    pub fn remove_range(&mut self, at: Position, count: usize) -> usize {
        let (bytes, start, end) = (self.as_bytes(), at.0 as usize, self.end());
        let (mut stop, mut removed) = (start, 0);
        while removed < count && stop < end {
            stop += size_at(bytes, stop);
            removed += 1;
        }
        let left = self.len() - removed;
        self.splice(start, stop - start, 0);
        self.set_count(left);
        removed
    }

    /// Adds several elements at the end, with one change of the allocation. Strings that are
    /// canonical integers become integers. False: there is no room for this many bytes, and nothing
    /// was added.
    pub fn extend<'e>(&mut self, elements: impl Iterator<Item = Element<'e>> + Clone) -> bool {
        let (mut size, mut added) = (0usize, 0);
        for element in elements.clone() {
            size = size.saturating_add(Encoded::from(element).size());
            added += 1;
        }
        if !self.has_room(size) {
            return false;
        }
        let (count, mut at) = (self.count(), self.end());
        self.splice(at, 0, size);
        let bytes = self.bytes_mut();
        for element in elements {
            let encoded = Encoded::from(element);
            let end = at + encoded.size();
            encoded.write(&mut bytes[at..end]);
            at = end;
        }
        if count != UNCOUNTED {
            self.set_count(usize::from(count) + added);
        }
        true
    }

    /// Adds all elements of another listpack at the end.
    pub fn append(&mut self, other: &Listpack) {
        let count = self.len() + other.len();
        let (at, new) = (self.end(), &other.as_bytes()[HEADER..other.end()]);
        self.splice(at, 0, new.len());
        self.bytes_mut()[at..at + new.len()].copy_from_slice(new);
        self.set_count(count);
    }

    /// Takes the elements from a position on out, as another listpack.
    pub fn split_off(&mut self, at: Position) -> Listpack {
        let count = self.iter_from(at).count();
        let mut rest = Listpack::new();
        let moved = &self.as_bytes()[at.0 as usize..self.end()];
        rest.splice(HEADER, 0, moved.len());
        rest.bytes_mut()[HEADER..HEADER + moved.len()].copy_from_slice(moved);
        rest.set_count(count);
        self.remove_range(at, count);
        rest
    }

    /// Puts an element, or none, in the place of `old` bytes at `at`, which are one element or
    /// none.
    fn put(&mut self, at: usize, old: usize, new: Option<Encoded<'_>>) {
        let size = new.as_ref().map_or(0, Encoded::size);
        self.splice(at, old, size);
        if let Some(new) = &new {
            new.write(&mut self.bytes_mut()[at..at + size]);
        }
        let count = self.count();
        if count == UNCOUNTED {
            if new.is_none() {
                // It may be few enough again.
                let left = self.iter().count();
                self.set_count(left);
            }
            return;
        }
        let added = usize::from(new.is_some());
        self.set_count(usize::from(count) + added - usize::from(old > 0));
    }

    /// Makes room for `new` bytes in the place of `old` bytes at `at`.
    fn splice(&mut self, at: usize, old: usize, new: usize) {
        let before = self.byte_len();
        let after = before - old + new;
        assert!(after <= MAX_BYTES + 64, "who adds has asked for room");
        debug_assert!(at >= HEADER && at + old < before);
        if after > before {
            self.resize(before, after);
        }
        // SAFETY: both ranges lie within the allocation, which has the larger of both lengths.
        unsafe {
            let start = self.0.as_ptr();
            std::ptr::copy(start.add(at + old), start.add(at + new), before - at - old);
        }
        if after < before {
            self.resize(before, after);
        }
        // SAFETY: the header lies within the allocation; the caller writes the bytes that were not
        // initialised.
        unsafe { self.0.cast::<u32>().write((after as u32).to_le()) };
    }

    fn resize(&mut self, before: usize, after: usize) {
        // SAFETY: allocated with this layout; the new size is not 0.
        let start = unsafe { realloc(self.0.as_ptr(), layout(before), after) };
        if after > before {
            growth::note(self.0.as_ptr(), start, after);
        }
        self.0 = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout(after)));
    }

    /// Gives up room to grow, if it has much: an allocation that gets the size it has is fitted by
    /// the allocator.
    pub(crate) fn fit(&mut self) {
        let len = self.byte_len();
        if len > growth::FITTED_ABOVE {
            self.resize(len, len);
        }
    }
}

impl Drop for Listpack {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout; it is not used any more.
        unsafe { dealloc(self.0.as_ptr(), layout(self.byte_len())) };
    }
}

impl Clone for Listpack {
    fn clone(&self) -> Listpack {
        Listpack::copy_of(self.as_bytes())
    }
}

impl PartialEq for Listpack {
    fn eq(&self, other: &Listpack) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Listpack {}

impl std::fmt::Debug for Listpack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for &'a Listpack {
    type Item = Element<'a>;
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The elements of a listpack, from either end.
#[derive(Clone)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    front: usize,
    back: usize,
}

impl Iter<'_> {
    /// The beginning of the next element, if there is one.
    #[inline]
    pub fn place(&self) -> Option<Position> {
        (self.front < self.back).then_some(Position(self.front as u32))
    }

    /// Passes over elements.
    #[inline]
    pub(crate) fn skip_elements(&mut self, count: usize) {
        for _ in 0..count {
            if self.front >= self.back {
                return;
            }
            self.front += size_at(self.bytes, self.front);
        }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        if self.front >= self.back {
            return None;
        }
        let (element, size) = read(self.bytes, self.front);
        self.front += size;
        Some(element)
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        self.back -= element::size_before(&self.bytes[..self.back]);
        Some(read(self.bytes, self.back).0)
    }
}

#[cfg(test)]
mod tests;
