//! A field with its value in a table: one allocation, unless the value is long.
//!
//! | offset | size | what |
//! | --- | --- | --- |
//! | 0 | 1 | flags: [`EXPIRES`], [`WIDE`], [`APART`] |
//! | 1 | 1 or 4 | length of the name, bytes; four with `WIDE` |
//! | next | 1 or 4 | length of the value, bytes; four with `WIDE` |
//! | next | 8 | when the field expires, Unix ms; only with `EXPIRES` |
//! | next | | the name |
//! | next | | the value; with `APART` the pointer to it |
//!
//! So a name of 10 and a value of 8 bytes take 24. Numbers are not aligned.

use crate::table::Item;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

const EXPIRES: u8 = 1;
const WIDE: u8 = 2;
const APART: u8 = 4;
/// Values from this length on have an allocation of their own: a new expiry need not copy them.
const LONG: usize = 512;
/// Sizes are rounded up to this, so that a value of similar length can take the same place.
const ROUND: usize = 8;

/// A field with its value. One word.
pub(super) struct Field(NonNull<u8>);

// SAFETY: a field owns all that it points to, plain bytes.
unsafe impl Send for Field {}
// SAFETY: shared access only reads.
unsafe impl Sync for Field {}

// SAFETY: allocations are aligned to 8 bytes and, in user space, below 2^48; the pointer is all
// that a field is. Name and expiry change through `&mut` only.
unsafe impl Item for Field {
    fn into_raw(self) -> NonNull<u8> {
        ManuallyDrop::new(self).0
    }

    unsafe fn from_raw(pointer: NonNull<u8>) -> Field {
        Field(pointer)
    }

    #[inline]
    fn key(&self) -> &[u8] {
        self.name()
    }

    #[inline]
    fn is_marked(&self) -> bool {
        self.flags() & EXPIRES != 0
    }
}

/// The layout of a field.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    flags: u8,
    name_len: usize,
    value_len: usize,
}

impl Shape {
    fn of(name_len: usize, value_len: usize, expires: bool) -> Shape {
        let is_wide = name_len > usize::from(u8::MAX) || value_len > usize::from(u8::MAX);
        let flags = if expires { EXPIRES } else { 0 }
            | if is_wide { WIDE } else { 0 }
            | if value_len >= LONG { APART } else { 0 };
        Shape { flags, name_len, value_len }
    }

    #[inline]
    fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    #[inline]
    fn expiry_offset(self) -> usize {
        if self.has(WIDE) { 9 } else { 3 }
    }

    #[inline]
    fn name_offset(self) -> usize {
        self.expiry_offset() + if self.has(EXPIRES) { 8 } else { 0 }
    }

    #[inline]
    fn value_offset(self) -> usize {
        self.name_offset() + self.name_len
    }

    fn size(self) -> usize {
        let value = if self.has(APART) { size_of::<*mut u8>() } else { self.value_len };
        (self.value_offset() + value).next_multiple_of(ROUND)
    }

    fn layout(self) -> Layout {
        Layout::from_size_align(self.size(), 8).expect("name and value are below 4 GiB each")
    }

    fn value_layout(self) -> Layout {
        Layout::from_size_align(self.value_len, 1).expect("a value is below 4 GiB")
    }
}

/// A copy of bytes in an allocation of their own; there is at least one.
fn copy_apart(bytes: &[u8]) -> NonNull<u8> {
    let layout = Layout::from_size_align(bytes.len(), 1).expect("a value is below 4 GiB");
    // SAFETY: only long values come here, so the layout is not empty; the allocation has room for
    // them.
    unsafe {
        let Some(start) = NonNull::new(alloc(layout)) else { handle_alloc_error(layout) };
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), start.as_ptr(), bytes.len());
        start
    }
}

impl Field {
    /// A field that expires at `expiry` (Unix ms), if at all.
    ///
    /// # Panics
    /// If name or value are 4 GiB or longer; the protocol's limit on arguments is below that.
    pub(super) fn new(name: &[u8], value: &[u8], expiry: Option<u64>) -> Field {
        let shape = Shape::of(name.len(), value.len(), expiry.is_some());
        let field = Field::allocate(shape, name, expiry);
        // SAFETY: the value, or the pointer to it, has its place within the allocation, by `Shape`.
        unsafe {
            let place = field.at(shape.value_offset());
            if shape.has(APART) {
                place.cast::<*mut u8>().write_unaligned(copy_apart(value).as_ptr());
            } else {
                std::ptr::copy_nonoverlapping(value.as_ptr(), place, value.len());
            }
        }
        field
    }

    /// A field whose value is still to be written.
    fn allocate(shape: Shape, name: &[u8], expiry: Option<u64>) -> Field {
        let layout = shape.layout();
        // SAFETY: the layout is not empty; all offsets lie within it by `Shape`.
        unsafe {
            let Some(start) = NonNull::new(alloc(layout)) else { handle_alloc_error(layout) };
            let mut field = Field(start);
            field.at(0).write(shape.flags);
            field.write_lens(shape);
            if let Some(ms) = expiry {
                field.at(shape.expiry_offset()).cast::<u64>().write_unaligned(ms);
            }
            let place = field.at(shape.name_offset());
            std::ptr::copy_nonoverlapping(name.as_ptr(), place, name.len());
            field
        }
    }

    fn write_lens(&mut self, shape: Shape) {
        let (name, value) = (shape.name_len, shape.value_len);
        // SAFETY: the header of either width lies within the allocation.
        unsafe {
            if shape.has(WIDE) {
                let name = u32::try_from(name).expect("names are shorter than 4 GiB");
                let value = u32::try_from(value).expect("values are shorter than 4 GiB");
                self.at(1).cast::<u32>().write_unaligned(name);
                self.at(5).cast::<u32>().write_unaligned(value);
            } else {
                self.at(1).write(name as u8);
                self.at(2).write(value as u8);
            }
        }
    }

    #[inline]
    fn at(&self, offset: usize) -> *mut u8 {
        // SAFETY: callers pass offsets from `shape()`, which lie within the allocation.
        unsafe { self.0.as_ptr().add(offset) }
    }

    #[inline]
    fn flags(&self) -> u8 {
        // SAFETY: the first byte is initialised.
        unsafe { self.at(0).read() }
    }

    #[inline]
    fn shape(&self) -> Shape {
        let flags = self.flags();
        // SAFETY: the header has this width by its flag, and is initialised.
        let (name_len, value_len) = unsafe {
            if flags & WIDE == 0 {
                (usize::from(self.at(1).read()), usize::from(self.at(2).read()))
            } else {
                let wide = |at: usize| self.at(at).cast::<u32>().read_unaligned() as usize;
                (wide(1), wide(5))
            }
        };
        Shape { flags, name_len, value_len }
    }

    /// The name.
    #[inline]
    pub(super) fn name(&self) -> &[u8] {
        let shape = self.shape();
        // SAFETY: the name's bytes are initialised and live as long as the field.
        unsafe { std::slice::from_raw_parts(self.at(shape.name_offset()), shape.name_len) }
    }

    /// The value.
    #[inline]
    pub(super) fn value(&self) -> &[u8] {
        let shape = self.shape();
        let place = self.at(shape.value_offset());
        // SAFETY: the value's bytes are initialised and live as long as the field, here or where
        // the pointer says.
        unsafe {
            let start = if shape.has(APART) { self.apart(shape) } else { place };
            std::slice::from_raw_parts(start, shape.value_len)
        }
    }

    /// The address of a value that has an allocation of its own.
    fn apart(&self, shape: Shape) -> *mut u8 {
        debug_assert!(shape.has(APART));
        // SAFETY: with this flag an initialised pointer stands there.
        unsafe { self.at(shape.value_offset()).cast::<*mut u8>().read_unaligned() }
    }

    /// When it expires, Unix ms.
    #[inline]
    pub(super) fn expiry(&self) -> Option<u64> {
        if self.flags() & EXPIRES == 0 {
            return None;
        }
        // SAFETY: with this flag an initialised number stands there.
        Some(unsafe { self.at(self.shape().expiry_offset()).cast::<u64>().read_unaligned() })
    }

    /// Gives it another value and expiry: in place, if the sizes allow it.
    pub(super) fn set(&mut self, value: &[u8], expiry: Option<u64>) {
        let old = self.shape();
        let new = Shape::of(old.name_len, value.len(), expiry.is_some());
        if new.flags != old.flags || new.has(APART) || new.size() != old.size() {
            *self = Field::new(self.name(), value, expiry);
            return;
        }
        self.write_lens(new);
        // SAFETY: flags and size are the same, so the value's place is, and it has room.
        unsafe {
            let place = self.at(new.value_offset());
            std::ptr::copy_nonoverlapping(value.as_ptr(), place, value.len());
        }
        self.write_expiry(expiry);
    }

    /// Gives it another expiry, or none.
    pub(super) fn set_expiry(&mut self, expiry: Option<u64>) {
        let old = self.shape();
        if old.has(EXPIRES) == expiry.is_some() {
            self.write_expiry(expiry);
        } else if old.has(APART) {
            let new = Shape::of(old.name_len, old.value_len, expiry.is_some());
            let moved = Field::allocate(new, self.name(), expiry);
            // SAFETY: the pointer has its place in the new allocation; the old one is freed without
            // what it points to.
            unsafe {
                let place = moved.at(new.value_offset());
                place.cast::<*mut u8>().write_unaligned(self.apart(old));
                let old_field = ManuallyDrop::new(std::mem::replace(self, moved));
                dealloc(old_field.0.as_ptr(), old.layout());
            }
        } else {
            *self = Field::new(self.name(), self.value(), expiry);
        }
    }

    /// Writes the expiry of a field that keeps having, or not having, one.
    fn write_expiry(&mut self, expiry: Option<u64>) {
        if let Some(ms) = expiry {
            let place = self.at(self.shape().expiry_offset());
            // SAFETY: the field has a number for the expiry there.
            unsafe { place.cast::<u64>().write_unaligned(ms) }
        }
    }

    /// Bytes of memory, as asked from the allocator.
    pub(super) fn memory(&self) -> usize {
        let shape = self.shape();
        shape.size() + if shape.has(APART) { shape.value_len } else { 0 }
    }
}

impl Clone for Field {
    fn clone(&self) -> Field {
        Field::new(self.name(), self.value(), self.expiry())
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        let shape = self.shape();
        // SAFETY: both were allocated with these layouts; they are not used any more.
        unsafe {
            if shape.has(APART) {
                dealloc(self.apart(shape), shape.value_layout());
            }
            dealloc(self.0.as_ptr(), shape.layout());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_small_field_takes_little() {
        assert_eq!(Field::new(&[b'n'; 10], &[b'v'; 8], None).memory(), 24);
        assert_eq!(Field::new(&[b'n'; 10], &[b'v'; 8], Some(1)).memory(), 32);
    }

    fn len() -> impl Strategy<Value = usize> {
        prop_oneof![0usize..40, 250usize..260, 505usize..520, 1000usize..2000]
    }

    proptest! {
        #[test]
        fn parts_come_back(
            name in len(),
            steps in proptest::collection::vec((len(), any::<Option<u64>>(), any::<bool>()), 1..8),
        ) {
            let name = vec![b'n'; name];
            let mut field = Field::new(&name, b"first", None);
            let mut value = b"first".to_vec();
            for (step, (len, expiry, only_expiry)) in steps.into_iter().enumerate() {
                if only_expiry {
                    field.set_expiry(expiry);
                } else {
                    value = vec![b'a' + step as u8; len];
                    field.set(&value, expiry);
                }
                prop_assert_eq!(field.name(), &name[..]);
                prop_assert_eq!(field.value(), &value[..]);
                prop_assert_eq!(field.expiry(), expiry);
                prop_assert_eq!(field.is_marked(), expiry.is_some());
            }
        }
    }
}
