//! One key with its value: one allocation where the value is small.
//!
//! Layout, aligned to 8 bytes:
//!
//! | offset | size | what |
//! | --- | --- | --- |
//! | 0 | 1 | form of the value: [`Form`] |
//! | 1 | 1 | flags: [`HAS_EXPIRY`], [`EDITED`] |
//! | 2 | 1 | snapshot epoch: the last snapshot that has, or need not have, this entry |
//! | 3 | 1 | unused |
//! | 4 | 4 | access clock, for eviction |
//! | 8 | 4 | length of the key, bytes |
//! | 12 | 4 | length of an embedded value, bytes |
//! | 16 | 8 | expiry time, Unix ms; only with `HAS_EXPIRY` |
//! | next | 8 | the integer, or the pointer to the object; not with an embedded value |
//! | next | | the key, then the embedded value |
//!
//! So a 16-byte key with a 64-byte value takes 96 bytes, one of the allocator's size classes.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use tessera_slot::Millis;

const HEADER: usize = 16;
const HAS_EXPIRY: u8 = 1;
/// The string was changed in place (APPEND, SETRANGE …): shown as encoding `raw`, as Redis does.
const EDITED: u8 = 2;
/// The largest allocation with an embedded value. Above, the value is an object of its own.
const MAX_EMBEDDED: usize = 1024;
/// Sizes are rounded up to this, so that a value of similar length can take the same place.
const ROUND: usize = 16;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Form {
    Integer = 0,
    Embedded = 1,
    Object = 2,
}

#[repr(C)]
struct Header {
    form: Form,
    flags: u8,
    epoch: u8,
    unused: u8,
    access: u32,
    key_len: u32,
    value_len: u32,
}

const _: () = assert!(size_of::<Header>() == HEADER);

/// A value with an allocation of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A long string, or one that has been edited.
    String(Vec<u8>),
}

/// A value, seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueRef<'a> {
    /// A string that is a 64-bit integer in canonical decimal form.
    Integer(i64),
    /// A string.
    Bytes(&'a [u8]),
}

/// A value to be stored; strings are copied.
#[derive(Debug)]
pub enum NewValue<'a> {
    /// A string; kept as an integer if it is the canonical decimal form of one.
    String(&'a [u8]),
    /// A string that is an integer.
    Integer(i64),
    /// A value that was taken from another entry.
    Owned(Value),
}

/// A value without its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A string that is an integer.
    Integer(i64),
    /// A short string, with whether it has been edited.
    Bytes(Box<[u8]>, bool),
    /// A value with an allocation of its own.
    Object(Box<Object>),
}

/// A key with its value, expiry and access clock.
pub struct Entry(NonNull<Header>);

// SAFETY: an entry owns all that it points to, and that is `Send` and `Sync`.
unsafe impl Send for Entry {}
// SAFETY: shared access only reads.
unsafe impl Sync for Entry {}

/// Where the parts of an entry stand.
#[derive(Clone, Copy)]
struct Shape {
    form: Form,
    has_expiry: bool,
    key_len: usize,
    value_len: usize,
}

impl Shape {
    fn word_offset(self) -> usize {
        HEADER + if self.has_expiry { 8 } else { 0 }
    }

    fn key_offset(self) -> usize {
        self.word_offset() + if self.form == Form::Embedded { 0 } else { 8 }
    }

    fn value_offset(self) -> usize {
        self.key_offset() + self.key_len
    }

    fn size(self) -> usize {
        (self.value_offset() + self.value_len).next_multiple_of(ROUND)
    }

    fn layout(self) -> Layout {
        Layout::from_size_align(self.size(), 8).expect("key and value are below 4 GiB each")
    }
}

/// The integer of which `text` is the canonical decimal form, if any.
#[inline]
pub fn canonical_integer(text: &[u8]) -> Option<i64> {
    let digits = match text {
        [b'0'] => return Some(0),
        [b'-', rest @ ..] | rest => rest,
    };
    if !matches!(digits, [b'1'..=b'9', ..]) || digits.len() > 19 {
        return None;
    }
    let mut value = 0u64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit); // at most 19 digits: below 10^19 < 2^64
    }
    if digits.len() == text.len() {
        i64::try_from(value).ok()
    } else if value <= i64::MIN.unsigned_abs() {
        Some((value as i64).wrapping_neg())
    } else {
        None
    }
}

impl Entry {
    /// A new entry.
    ///
    /// # Panics
    /// If key or value are 4 GiB or longer; the protocol's limit on arguments is below that.
    pub(crate) fn new(
        key: &[u8],
        value: NewValue<'_>,
        expiry: Option<Millis>,
        access: u32,
    ) -> Entry {
        match value {
            NewValue::Integer(number) => Entry::with_integer(key, number, expiry, access),
            NewValue::String(bytes) => match canonical_integer(bytes) {
                Some(number) => Entry::with_integer(key, number, expiry, access),
                None => Entry::with_bytes(key, bytes, false, expiry, access),
            },
            NewValue::Owned(Value::Integer(number)) => {
                Entry::with_integer(key, number, expiry, access)
            }
            NewValue::Owned(Value::Bytes(bytes, edited)) => {
                Entry::with_bytes(key, &bytes, edited, expiry, access)
            }
            NewValue::Owned(Value::Object(object)) => {
                Entry::with_object(key, object, expiry, access)
            }
        }
    }

    fn with_integer(key: &[u8], number: i64, expiry: Option<Millis>, access: u32) -> Entry {
        let mut entry = Entry::allocate(Form::Integer, key, 0, expiry, access);
        entry.set_word(number as u64);
        entry
    }

    fn with_bytes(
        key: &[u8],
        bytes: &[u8],
        edited: bool,
        expiry: Option<Millis>,
        access: u32,
    ) -> Entry {
        let shape = Shape {
            form: Form::Embedded,
            has_expiry: expiry.is_some(),
            key_len: key.len(),
            value_len: bytes.len(),
        };
        if shape.size() > MAX_EMBEDDED {
            return Entry::with_object(
                key,
                Box::new(Object::String(bytes.to_vec())),
                expiry,
                access,
            );
        }
        let mut entry = Entry::allocate(Form::Embedded, key, bytes.len(), expiry, access);
        // SAFETY: the value's place lies within the allocation, by `Shape`.
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                entry.at(shape.value_offset()),
                bytes.len(),
            );
        }
        if edited {
            entry.header_mut().flags |= EDITED;
        }
        entry
    }

    fn with_object(key: &[u8], object: Box<Object>, expiry: Option<Millis>, access: u32) -> Entry {
        let mut entry = Entry::allocate(Form::Object, key, 0, expiry, access);
        entry.set_word(Box::into_raw(object) as usize as u64);
        entry
    }

    fn allocate(
        form: Form,
        key: &[u8],
        value_len: usize,
        expiry: Option<Millis>,
        access: u32,
    ) -> Entry {
        let has_expiry = expiry.is_some();
        let shape = Shape { form, has_expiry, key_len: key.len(), value_len };
        let header = Header {
            form,
            flags: if has_expiry { HAS_EXPIRY } else { 0 },
            epoch: 0,
            unused: 0,
            access,
            key_len: u32::try_from(key.len()).expect("keys are shorter than 4 GiB"),
            value_len: u32::try_from(value_len).expect("embedded values are short"),
        };
        // SAFETY: the layout is not empty; the header, expiry and key lie within it by `Shape`.
        unsafe {
            let ptr = alloc(shape.layout());
            let Some(start) = NonNull::new(ptr.cast::<Header>()) else {
                handle_alloc_error(shape.layout())
            };
            start.write(header);
            if let Some(Millis(ms)) = expiry {
                ptr.add(HEADER).cast::<u64>().write(ms);
            }
            std::ptr::copy_nonoverlapping(key.as_ptr(), ptr.add(shape.key_offset()), key.len());
            Entry(start)
        }
    }

    /// Gives the pointer away; [`Entry::from_raw`] takes it back.
    pub(crate) fn into_raw(self) -> *mut u8 {
        let ptr = self.0.as_ptr().cast();
        std::mem::forget(self);
        ptr
    }

    /// # Safety
    /// `ptr` came from [`Entry::into_raw`] and is taken back once.
    pub(crate) unsafe fn from_raw(ptr: *mut u8) -> Entry {
        // SAFETY: `into_raw` gave a pointer that is not null.
        Entry(unsafe { NonNull::new_unchecked(ptr.cast()) })
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: the entry owns an initialised header.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    fn header_mut(&mut self) -> &mut Header {
        // SAFETY: the entry owns an initialised header, and is borrowed mutably.
        unsafe { self.0.as_mut() }
    }

    #[inline]
    fn shape(&self) -> Shape {
        let header = self.header();
        Shape {
            form: header.form,
            has_expiry: header.flags & HAS_EXPIRY != 0,
            key_len: header.key_len as usize,
            value_len: header.value_len as usize,
        }
    }

    #[inline]
    fn at(&self, offset: usize) -> *mut u8 {
        // SAFETY: callers pass offsets from `shape()`, which lie within the allocation.
        unsafe { self.0.as_ptr().cast::<u8>().add(offset) }
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        let shape = self.shape();
        // SAFETY: the key's bytes are initialised and live as long as the entry.
        unsafe { std::slice::from_raw_parts(self.at(shape.key_offset()), shape.key_len) }
    }

    fn word(&self) -> u64 {
        debug_assert!(self.shape().form != Form::Embedded);
        // SAFETY: forms other than embedded have an aligned word here, set at creation.
        unsafe { self.at(self.shape().word_offset()).cast::<u64>().read() }
    }

    fn set_word(&mut self, word: u64) {
        debug_assert!(self.shape().form != Form::Embedded);
        // SAFETY: forms other than embedded have an aligned word here.
        unsafe { self.at(self.shape().word_offset()).cast::<u64>().write(word) }
    }

    fn object(&self) -> &Object {
        // SAFETY: the word of this form is the pointer of a box which the entry owns.
        unsafe { &*(self.word() as usize as *const Object) }
    }

    fn object_mut(&mut self) -> &mut Object {
        // SAFETY: the word of this form is the pointer of a box which the entry owns.
        unsafe { &mut *(self.word() as usize as *mut Object) }
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> ValueRef<'_> {
        let shape = self.shape();
        match shape.form {
            Form::Integer => ValueRef::Integer(self.word() as i64),
            // SAFETY: an embedded value's bytes are initialised and live as long as the entry.
            Form::Embedded => ValueRef::Bytes(unsafe {
                std::slice::from_raw_parts(self.at(shape.value_offset()), shape.value_len)
            }),
            Form::Object => match self.object() {
                Object::String(bytes) => ValueRef::Bytes(bytes),
            },
        }
    }

    /// The expiry time, Unix ms.
    #[inline]
    pub fn expiry(&self) -> Option<Millis> {
        if self.header().flags & HAS_EXPIRY == 0 {
            return None;
        }
        // SAFETY: with this flag an aligned, initialised word follows the header.
        Some(Millis(unsafe { self.at(HEADER).cast::<u64>().read() }))
    }

    /// Whether the string has been changed in place, or is long: Redis' encoding `raw`.
    pub fn is_raw(&self) -> bool {
        self.header().flags & EDITED != 0 || self.header().form == Form::Object
    }

    /// Bytes of memory that the entry takes, as asked from the allocator.
    pub fn memory(&self) -> usize {
        let own = self.shape().size();
        match self.header().form {
            Form::Object => match self.object() {
                Object::String(bytes) => own + size_of::<Object>() + bytes.capacity(),
            },
            _ => own,
        }
    }

    /// The access clock, in the unit of the eviction policy.
    pub fn access(&self) -> u32 {
        self.header().access
    }

    /// Sets the access clock.
    #[inline]
    pub(crate) fn set_access(&mut self, access: u32) {
        self.header_mut().access = access;
    }

    pub(crate) fn epoch(&self) -> u8 {
        self.header().epoch
    }

    pub(crate) fn set_epoch(&mut self, epoch: u8) {
        self.header_mut().epoch = epoch;
    }

    /// Changes value and expiry where that is possible without another allocation: same form and
    /// rounded size.
    #[inline]
    pub(crate) fn try_replace(&mut self, value: &NewValue<'_>, expiry: Option<Millis>) -> bool {
        let old = self.shape();
        if old.has_expiry != expiry.is_some() {
            return false;
        }
        let bytes = match (old.form, value) {
            (Form::Integer, NewValue::Integer(number)) => {
                self.set_word(*number as u64);
                self.set_expiry_in_place(expiry);
                return true;
            }
            (Form::Integer, NewValue::String(bytes)) => {
                let Some(number) = canonical_integer(bytes) else { return false };
                self.set_word(number as u64);
                self.set_expiry_in_place(expiry);
                return true;
            }
            (Form::Embedded, NewValue::String(bytes)) => *bytes,
            _ => return false,
        };
        let new = Shape { value_len: bytes.len(), ..old };
        if new.size() != old.size() || canonical_integer(bytes).is_some() {
            return false;
        }
        self.header_mut().value_len = bytes.len() as u32;
        self.header_mut().flags &= !EDITED;
        // SAFETY: the new value fits the allocation, whose rounded size is the same.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.at(new.value_offset()), bytes.len());
        }
        self.set_expiry_in_place(expiry);
        true
    }

    /// Sets the expiry of an entry that keeps having, or not having, one.
    pub(crate) fn set_expiry_in_place(&mut self, expiry: Option<Millis>) {
        debug_assert_eq!(self.shape().has_expiry, expiry.is_some());
        if let Some(Millis(ms)) = expiry {
            // SAFETY: the shape has an aligned word for the expiry.
            unsafe { self.at(HEADER).cast::<u64>().write(ms) }
        }
    }

    /// Takes the value out; the key is freed.
    pub(crate) fn into_value(self) -> Value {
        let value = match self.header().form {
            Form::Integer => Value::Integer(self.word() as i64),
            Form::Embedded => match self.value() {
                ValueRef::Bytes(bytes) => {
                    Value::Bytes(bytes.into(), self.header().flags & EDITED != 0)
                }
                ValueRef::Integer(_) => unreachable!("embedded values are bytes"),
            },
            Form::Object => {
                let object = self.word() as usize as *mut Object;
                // SAFETY: the word is the pointer of a box; `free` below leaves the box alone.
                Value::Object(unsafe { Box::from_raw(object) })
            }
        };
        self.free();
        value
    }

    /// A copy of the value.
    pub fn clone_value(&self) -> Value {
        match (self.header().form, self.value()) {
            (Form::Object, _) => Value::Object(Box::new(self.object().clone())),
            (_, ValueRef::Integer(number)) => Value::Integer(number),
            (_, ValueRef::Bytes(bytes)) => {
                Value::Bytes(bytes.into(), self.header().flags & EDITED != 0)
            }
        }
    }

    /// The string as bytes which can be edited, if the entry has that form already.
    pub(crate) fn editable(&mut self) -> Option<&mut Vec<u8>> {
        if self.header().form != Form::Object {
            return None;
        }
        match self.object_mut() {
            Object::String(bytes) => Some(bytes),
        }
    }

    /// Frees the allocation, but not the object it may point to.
    fn free(self) {
        let layout = self.shape().layout();
        // SAFETY: allocated with the layout of the same shape; nobody uses it any more.
        unsafe { dealloc(self.0.as_ptr().cast(), layout) };
        std::mem::forget(self);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let shape = self.shape();
        if shape.form == Form::Object {
            // SAFETY: the word is the pointer of a box which the entry owns.
            drop(unsafe { Box::from_raw(self.word() as usize as *mut Object) });
        }
        // SAFETY: allocated with the layout of the same shape; nobody uses it any more.
        unsafe { dealloc(self.0.as_ptr().cast(), shape.layout()) };
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key())
            .field("value", &self.value())
            .field("expiry", &self.expiry())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_benchmark_key_takes_96_bytes() {
        let entry = Entry::new(&[b'k'; 16], NewValue::String(&[b'v'; 64]), None, 0);
        assert_eq!(entry.memory(), 96);
    }

    #[test]
    fn canonical_integers() {
        for number in [0, 1, -1, 10, i64::MAX, i64::MIN, i64::MIN + 1, 999, -1000] {
            assert_eq!(canonical_integer(number.to_string().as_bytes()), Some(number));
        }
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            "1 ",
            " 1",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "1a",
        ] {
            assert_eq!(canonical_integer(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn parts_come_back(
            key in proptest::collection::vec(any::<u8>(), 0..50),
            old in proptest::collection::vec(any::<u8>(), 0..1500),
            new in proptest::collection::vec(any::<u8>(), 0..1500),
            expiry in proptest::option::of(any::<u64>().prop_map(Millis)),
        ) {
            let mut entry = Entry::new(&key, NewValue::String(&old), expiry, 7);
            let as_text = |value: ValueRef<'_>| match value {
                ValueRef::Integer(number) => number.to_string().into_bytes(),
                ValueRef::Bytes(bytes) => bytes.to_vec(),
            };
            prop_assert_eq!(entry.key(), &key[..]);
            prop_assert_eq!(as_text(entry.value()), old);
            prop_assert_eq!((entry.expiry(), entry.access()), (expiry, 7));
            if entry.try_replace(&NewValue::String(&new), expiry) {
                prop_assert_eq!(as_text(entry.value()), new);
            }
            let shown = as_text(entry.value());
            let copy = Entry::new(&key, NewValue::Owned(entry.clone_value()), None, 0);
            prop_assert_eq!(as_text(copy.value()), shown);
            prop_assert_eq!(entry.into_value(), copy.into_value());
        }
    }
}
