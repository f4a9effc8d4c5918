//! One key with its value: one allocation where the value is small.
//!
//! [`shape`] has the layout.

mod shape;

use crate::growth;
use crate::hash::KeyHash;
use crate::rest::Rest;
use shape::{EDITED, Form, HAS_EXPIRY, Header, MAX_EMBEDDED, NOTED, POINTER, Shape, WIDE};
use std::alloc::{alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use tessera_collections::growth::take_grown;
use tessera_collections::hasher::HashCode;
use tessera_collections::table::{Item, Ref, RefMut, prefetch, prefetch_start};
use tessera_collections::{AGING, AnyCollection, Collection, Kind, canonical_integer};
use tessera_slot::Millis;

/// A string, seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StringRef<'a> {
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
    /// A value that was taken from another entry, or made.
    Owned(Value),
}

impl<T: Collection> From<T> for NewValue<'_> {
    fn from(collection: T) -> Self {
        NewValue::Owned(Value::Collection(collection.into()))
    }
}

/// A value without its key.
#[derive(Debug, Clone)]
pub enum Value {
    /// A string that is an integer.
    Integer(i64),
    /// A short string, with whether it has been edited.
    Bytes(Box<[u8]>, bool),
    /// A long string, or one that has been edited.
    #[allow(clippy::box_collection)] // one word, as entries keep it
    Boxed(Box<Vec<u8>>),
    /// A value of another type.
    Collection(AnyCollection),
}

/// A key with its value, expiry and access clock.
pub struct Entry(NonNull<Header>);

// SAFETY: an entry owns all that it points to, and that is `Send` and `Sync`.
unsafe impl Send for Entry {}
// SAFETY: shared access only reads.
unsafe impl Sync for Entry {}

// SAFETY: allocations are aligned to 8 bytes and, in user space, below 2^48; the pointer is all
// that an entry is.
unsafe impl Item for Entry {
    fn into_raw(self) -> NonNull<u8> {
        ManuallyDrop::new(self).0.cast()
    }

    unsafe fn from_raw(pointer: NonNull<u8>) -> Entry {
        Entry(pointer.cast())
    }

    #[inline]
    fn key(&self) -> &[u8] {
        Entry::key(self)
    }

    #[inline]
    fn is_marked(&self) -> bool {
        self.header().flags & HAS_EXPIRY != 0
    }

    #[inline]
    fn is_aging(&self) -> bool {
        self.header().form.within() == AGING
    }
}

/// A collection in an entry, borrowed.
pub struct CollectionRef<'a, T>(ManuallyDrop<T>, PhantomData<&'a T>);

impl<T> Deref for CollectionRef<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'a, T: Collection> CollectionRef<'a, T> {
    /// The collection of an entry; `None`: its value is of another type.
    #[inline]
    pub fn of(entry: Ref<'a, Entry>) -> Option<CollectionRef<'a, T>> {
        // SAFETY: `Ref` keeps the entry from being changed or freed during 'a, and the result only
        // reads.
        unsafe { entry.alias() }.map(CollectionRef::new)
    }
}

impl<T> CollectionRef<'_, T> {
    /// The borrower sees to the lifetime.
    pub(crate) fn new(collection: ManuallyDrop<T>) -> Self {
        CollectionRef(collection, PhantomData)
    }
}

/// A collection in an entry, to be changed. When the change is done, it may have grown: that is
/// noted ([`crate::rest`]).
pub struct CollectionMut<'a, T: Collection> {
    collection: ManuallyDrop<T>,
    entry: RefMut<'a, Entry>,
    rest: &'a Rest,
    hash: KeyHash,
    db: usize,
}

impl<T: Collection> Deref for CollectionMut<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.collection
    }
}

impl<T: Collection> DerefMut for CollectionMut<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.collection
    }
}

impl<'a, T: Collection> CollectionMut<'a, T> {
    /// The collection of an entry; `None`: its value is of another type.
    #[inline]
    pub(crate) fn of(
        entry: RefMut<'a, Entry>,
        rest: &'a Rest,
        hash: KeyHash,
        db: usize,
    ) -> Option<CollectionMut<'a, T>> {
        // SAFETY: the borrow that `collection` gives is this one's second owner; the drop below
        // makes it the only one.
        let collection = unsafe { entry.alias::<T>()? };
        Some(CollectionMut { collection, entry, rest, hash, db })
    }
}

impl<T: Collection> Drop for CollectionMut<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if take_grown() && !self.entry.is_noted() {
            let is_noted = self.rest.note(self.hash, self.db, self.collection.extent());
            self.entry.set_noted(is_noted);
        }
        // SAFETY: the collection goes back into its entry; `self.collection` is not used again.
        let (form, pointer) = unsafe { ManuallyDrop::take(&mut self.collection) }.into_parts();
        self.entry.header_mut().form = Form::of(T::KIND, form);
        self.entry.set_pointer(pointer);
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
            NewValue::Owned(Value::Boxed(bytes)) => Entry::with_boxed(key, bytes, expiry, access),
            NewValue::Owned(Value::Collection(collection)) => {
                let kind = collection.kind();
                let (form, pointer) = collection.into_parts();
                Entry::with_pointer(key, Form::of(kind, form), pointer, expiry, access)
            }
        }
    }

    fn with_integer(key: &[u8], number: i64, expiry: Option<Millis>, access: u32) -> Entry {
        let shape = Shape {
            form: Form::INTEGER,
            has_expiry: expiry.is_some(),
            key_len: key.len(),
            value_len: 0,
        };
        let mut entry = Entry::allocate(shape, key, expiry, access);
        entry.set_integer(number);
        entry
    }

    #[allow(clippy::box_collection)] // one word
    fn with_boxed(key: &[u8], bytes: Box<Vec<u8>>, expiry: Option<Millis>, access: u32) -> Entry {
        let pointer = NonNull::from(Box::leak(bytes)).cast();
        Entry::with_pointer(key, Form::BOXED, pointer, expiry, access)
    }

    fn with_bytes(
        key: &[u8],
        bytes: &[u8],
        edited: bool,
        expiry: Option<Millis>,
        access: u32,
    ) -> Entry {
        let shape = Shape {
            form: Form::EMBEDDED,
            has_expiry: expiry.is_some(),
            key_len: key.len(),
            value_len: bytes.len(),
        };
        if shape.size() > MAX_EMBEDDED {
            return Entry::with_boxed(key, Box::new(bytes.to_vec()), expiry, access);
        }
        let mut entry = Entry::allocate(shape, key, expiry, access);
        entry.set_value_len(bytes.len());
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

    fn with_pointer(
        key: &[u8],
        form: Form,
        pointer: NonNull<u8>,
        expiry: Option<Millis>,
        access: u32,
    ) -> Entry {
        let shape = Shape { form, has_expiry: expiry.is_some(), key_len: key.len(), value_len: 0 };
        let mut entry = Entry::allocate(shape, key, expiry, access);
        entry.set_pointer(pointer);
        entry
    }

    /// An entry whose value is still to be written.
    fn allocate(shape: Shape, key: &[u8], expiry: Option<Millis>, access: u32) -> Entry {
        let header = Header {
            form: shape.form,
            flags: if expiry.is_some() { HAS_EXPIRY } else { 0 }
                | if shape.is_wide() { WIDE } else { 0 },
            epoch: 0,
            key_len: u8::try_from(key.len()).unwrap_or(0),
            access,
        };
        // SAFETY: the layout has room for a header at least; the expiry and key lie within it by
        // `Shape`.
        unsafe {
            let ptr = alloc(shape.layout());
            let Some(start) = NonNull::new(ptr.cast::<Header>()) else {
                handle_alloc_error(shape.layout())
            };
            start.write(header);
            if shape.is_wide() {
                let len = u32::try_from(key.len()).expect("keys are shorter than 4 GiB");
                ptr.add(Shape::WIDE_LEN_AT).cast::<u32>().write_unaligned(len);
            }
            if let Some(Millis(ms)) = expiry {
                ptr.add(shape.expiry_offset()).cast::<u64>().write_unaligned(ms);
            }
            std::ptr::copy_nonoverlapping(key.as_ptr(), ptr.add(shape.key_offset()), key.len());
            Entry(start)
        }
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
    fn is_wide(&self) -> bool {
        self.header().flags & WIDE != 0
    }

    #[inline]
    fn shape(&self) -> Shape {
        let header = self.header();
        let key_len = if self.is_wide() {
            // SAFETY: with this flag an initialised length stands there.
            unsafe { self.at(Shape::WIDE_LEN_AT).cast::<u32>().read_unaligned() as usize }
        } else {
            usize::from(header.key_len)
        };
        Shape {
            form: header.form,
            has_expiry: header.flags & HAS_EXPIRY != 0,
            key_len,
            value_len: if header.form == Form::EMBEDDED { self.value_len() } else { 0 },
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

    /// The position of the value's length, the integer or the pointer.
    #[inline]
    fn word_at(&self) -> *mut u8 {
        self.at(Shape::word_offset(self.is_wide()))
    }

    #[inline]
    fn value_len(&self) -> usize {
        debug_assert!(self.header().form == Form::EMBEDDED);
        // SAFETY: this form has the length here, set at creation.
        usize::from(unsafe { self.word_at().cast::<u16>().read_unaligned() })
    }

    #[inline]
    fn set_value_len(&mut self, len: usize) {
        debug_assert!(self.header().form == Form::EMBEDDED && len <= MAX_EMBEDDED);
        // SAFETY: this form has the length here.
        unsafe { self.word_at().cast::<u16>().write_unaligned(len as u16) }
    }

    #[inline]
    fn integer(&self) -> i64 {
        debug_assert!(self.header().form == Form::INTEGER);
        // SAFETY: this form has an integer here, set at creation.
        unsafe { self.word_at().cast::<i64>().read_unaligned() }
    }

    #[inline]
    fn set_integer(&mut self, number: i64) {
        debug_assert!(self.header().form == Form::INTEGER);
        // SAFETY: this form has an integer here.
        unsafe { self.word_at().cast::<i64>().write_unaligned(number) }
    }

    /// The pointer to the value; not for embedded values and integers.
    #[inline]
    fn pointer(&self) -> NonNull<u8> {
        debug_assert!(![Form::EMBEDDED, Form::INTEGER].contains(&self.header().form));
        // SAFETY: the other forms have the six bytes of an address here, set at creation.
        let (low, high) = unsafe {
            let at = self.word_at();
            (at.cast::<u32>().read_unaligned(), at.add(4).cast::<u16>().read_unaligned())
        };
        let address = usize::from(high) << 32 | low as usize;
        NonNull::new(address as *mut u8).expect("these forms own a pointer")
    }

    #[inline]
    fn set_pointer(&mut self, pointer: NonNull<u8>) {
        debug_assert!(![Form::EMBEDDED, Form::INTEGER].contains(&self.header().form));
        let address = pointer.as_ptr() as usize as u64;
        assert!(address >> (8 * POINTER) == 0, "a 48-bit address");
        // SAFETY: the other forms have the six bytes of an address here.
        unsafe {
            let at = self.word_at();
            at.cast::<u32>().write_unaligned(address as u32);
            at.add(4).cast::<u16>().write_unaligned((address >> 32) as u16);
        }
    }

    /// The type of the value.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.header().form.kind()
    }

    /// The value, if it is a string.
    #[inline]
    pub fn string(&self) -> Option<StringRef<'_>> {
        let shape = self.shape();
        Some(match shape.form {
            // SAFETY: an embedded value's bytes are initialised and live as long as the entry.
            Form::EMBEDDED => StringRef::Bytes(unsafe {
                std::slice::from_raw_parts(self.at(shape.value_offset()), shape.value_len)
            }),
            Form::INTEGER => StringRef::Integer(self.integer()),
            // SAFETY: the pointer of this form is that of a box which the entry owns.
            Form::BOXED => StringRef::Bytes(unsafe { self.pointer().cast::<Vec<u8>>().as_ref() }),
            _ => return None,
        })
    }

    /// The value, if it is a collection of this type.
    #[inline]
    pub fn collection<T: Collection>(&self) -> Option<CollectionRef<'_, T>> {
        // SAFETY: shared access for as long as the entry is borrowed.
        unsafe { self.alias() }.map(|collection| CollectionRef(collection, PhantomData))
    }

    /// The value, if it is a collection.
    pub fn any_collection(&self) -> Option<CollectionRef<'_, AnyCollection>> {
        let (form, kind) = (self.header().form, self.kind());
        if kind == Kind::String {
            return None;
        }
        // SAFETY: as in `alias`; access is shared for as long as the entry is borrowed.
        let any = unsafe { AnyCollection::from_parts(kind, form.within(), self.pointer()) };
        Some(CollectionRef(ManuallyDrop::new(any), PhantomData))
    }

    /// Whether it is noted that the value has grown ([`crate::rest`]).
    pub(crate) fn is_noted(&self) -> bool {
        self.header().flags & NOTED != 0
    }

    pub(crate) fn set_noted(&mut self, is_noted: bool) {
        let flags = &mut self.header_mut().flags;
        *flags = if is_noted { *flags | NOTED } else { *flags & !NOTED };
    }

    /// As [`Collection::fit`]; a string that is edited in place gives up the room that it had to
    /// grow.
    pub(crate) fn fit(&mut self) {
        match self.editable() {
            Some(bytes) => growth::fit(bytes),
            None => drop(self.edit_collection(AnyCollection::fit)),
        }
    }

    /// As [`Collection::extent`], of what may have room to grow.
    pub(crate) fn extent(&mut self) -> Option<usize> {
        match self.editable() {
            Some(bytes) => Some(bytes.len()),
            None => self.any_collection().map(|any| any.extent()),
        }
    }

    /// Changes the value, if it is a collection, in a way that leaves its elements as they are.
    pub(crate) fn edit_collection<R>(
        &mut self,
        edit: impl FnOnce(&mut AnyCollection) -> R,
    ) -> Option<R> {
        let form = self.header().form;
        if form.kind() == Kind::String {
            return None;
        }
        // SAFETY: the collection is taken out of the entry, and goes back with the same form.
        let (result, (_, pointer)) = unsafe {
            let mut any = AnyCollection::from_parts(form.kind(), form.within(), self.pointer());
            (edit(&mut any), any.into_parts())
        };
        self.set_pointer(pointer);
        Some(result)
    }

    /// The address of the value's allocation, if it has one of its own: it stays with the value
    /// from entry to entry.
    pub(crate) fn value_address(&self) -> Option<usize> {
        match self.header().form {
            Form::INTEGER | Form::EMBEDDED => None,
            _ => Some(self.pointer().as_ptr() as usize),
        }
    }

    /// As [`Collection::prefetch`], of the value.
    #[inline]
    pub(crate) fn prefetch_value(&self, step: u8, member: HashCode) -> bool {
        match self.header().form {
            Form::INTEGER | Form::EMBEDDED => false,
            Form::BOXED if step == 0 => {
                prefetch(self.pointer().as_ptr());
                true
            }
            Form::BOXED => {
                // SAFETY: the pointer of this form is that of a box which the entry owns.
                let bytes = unsafe { self.pointer().cast::<Vec<u8>>().as_ref() };
                prefetch_start(bytes.as_ptr());
                false
            }
            _ => self.any_collection().is_some_and(|any| any.prefetch(step, member)),
        }
    }

    /// A second owner of the value, if it is of this type.
    ///
    /// # Safety
    /// It must not be dropped. If it is changed the entry must not be used until its parts have
    /// gone back into it.
    #[inline]
    pub(crate) unsafe fn alias<T: Collection>(&self) -> Option<ManuallyDrop<T>> {
        let form = self.header().form;
        if form.kind() != T::KIND {
            return None;
        }
        // SAFETY: form and pointer came from `into_parts` of a collection of this type.
        Some(ManuallyDrop::new(unsafe { T::from_parts(form.within(), self.pointer()) }))
    }

    /// The expiry time, Unix ms.
    #[inline]
    pub fn expiry(&self) -> Option<Millis> {
        if self.header().flags & HAS_EXPIRY == 0 {
            return None;
        }
        let at = self.at(self.shape().expiry_offset());
        // SAFETY: with this flag an initialised word stands there.
        Some(Millis(unsafe { at.cast::<u64>().read_unaligned() }))
    }

    /// Whether the string has been changed in place, or is long: Redis' encoding `raw`.
    pub fn is_raw(&self) -> bool {
        self.header().flags & EDITED != 0 || self.header().form == Form::BOXED
    }

    /// Bytes of memory that the entry takes, as asked from the allocator. `samples`: as for
    /// [`Collection::memory`].
    pub fn memory(&self, samples: usize) -> usize {
        let own = self.shape().size();
        match self.header().form {
            Form::INTEGER | Form::EMBEDDED => own,
            Form::BOXED => {
                // SAFETY: the pointer of this form is that of a box which the entry owns.
                let bytes = unsafe { self.pointer().cast::<Vec<u8>>().as_ref() };
                own + size_of::<Vec<u8>>() + bytes.capacity()
            }
            _ => own + self.any_collection().map_or(0, |any| any.memory(samples)),
        }
    }

    /// About how many allocations are freed with the entry, or as many as take the system as long:
    /// it unmaps a long string page by page.
    #[inline]
    pub fn free_effort(&self) -> usize {
        match self.header().form {
            Form::INTEGER | Form::EMBEDDED => 1,
            Form::BOXED => {
                // SAFETY: the pointer of this form is that of a box which the entry owns.
                let bytes = unsafe { self.pointer().cast::<Vec<u8>>().as_ref() };
                1 + bytes.capacity() / growth::PER_ALLOCATION
            }
            _ => self.any_collection().map_or(1, |any| any.free_effort()),
        }
    }

    /// The access clock; what it means the keyspace knows ([`crate::Keyspace::lfu`]).
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
            (Form::INTEGER, NewValue::Integer(number)) => {
                self.set_integer(*number);
                self.set_expiry_in_place(expiry);
                return true;
            }
            (Form::INTEGER, NewValue::String(bytes)) => {
                let Some(number) = canonical_integer(bytes) else { return false };
                self.set_integer(number);
                self.set_expiry_in_place(expiry);
                return true;
            }
            (Form::EMBEDDED, NewValue::String(bytes)) => *bytes,
            _ => return false,
        };
        let new = Shape { value_len: bytes.len(), ..old };
        if new.size() != old.size() || canonical_integer(bytes).is_some() {
            return false;
        }
        self.set_value_len(bytes.len());
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
            let at = self.at(self.shape().expiry_offset());
            // SAFETY: the shape has a word for the expiry there.
            unsafe { at.cast::<u64>().write_unaligned(ms) }
        }
    }

    /// Takes the value out; the key is freed.
    pub(crate) fn into_value(self) -> Value {
        let form = self.header().form;
        let value = match form {
            Form::INTEGER => Value::Integer(self.integer()),
            Form::EMBEDDED => {
                let Some(StringRef::Bytes(bytes)) = self.string() else {
                    unreachable!("embedded values are bytes")
                };
                Value::Bytes(bytes.into(), self.header().flags & EDITED != 0)
            }
            // SAFETY: the pointer is that of a box; `free` below leaves the box alone.
            Form::BOXED => Value::Boxed(unsafe { Box::from_raw(self.pointer().cast().as_ptr()) }),
            // SAFETY: the pointer is the collection's; `free` below leaves it alone.
            _ => Value::Collection(unsafe {
                AnyCollection::from_parts(form.kind(), form.within(), self.pointer())
            }),
        };
        self.free();
        value
    }

    /// A copy of the value.
    pub fn clone_value(&self) -> Value {
        let form = self.header().form;
        match self.string() {
            Some(StringRef::Integer(number)) => Value::Integer(number),
            Some(StringRef::Bytes(bytes)) if form == Form::BOXED => {
                Value::Boxed(Box::new(bytes.to_vec()))
            }
            Some(StringRef::Bytes(bytes)) => {
                Value::Bytes(bytes.into(), self.header().flags & EDITED != 0)
            }
            None => {
                let any = self.any_collection().expect("what is no string is a collection");
                Value::Collection((*any).clone())
            }
        }
    }

    /// The string as bytes which can be edited, if the entry has that form already.
    pub(crate) fn editable(&mut self) -> Option<&mut Vec<u8>> {
        if self.header().form != Form::BOXED {
            return None;
        }
        // SAFETY: the pointer of this form is that of a box which the entry owns.
        Some(unsafe { self.pointer().cast::<Vec<u8>>().as_mut() })
    }

    /// Frees the allocation, but not the value it may point to.
    fn free(self) {
        let layout = self.shape().layout();
        // SAFETY: allocated with the layout of the same shape; it is not used any more.
        unsafe { dealloc(self.0.as_ptr().cast(), layout) };
        std::mem::forget(self);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let shape = self.shape();
        match shape.form {
            Form::INTEGER | Form::EMBEDDED => {}
            Form::BOXED => {
                let boxed = self.pointer().cast::<Vec<u8>>().as_ptr();
                // SAFETY: the pointer is that of a box which the entry owns.
                drop(unsafe { Box::from_raw(boxed) });
            }
            // SAFETY: the pointer is that of a collection which the entry owns.
            form => drop(unsafe {
                AnyCollection::from_parts(form.kind(), form.within(), self.pointer())
            }),
        }
        // SAFETY: allocated with the layout of the same shape; it is not used any more.
        unsafe { dealloc(self.0.as_ptr().cast(), shape.layout()) };
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key())
            .field("string", &self.string())
            .field("collection", &self.any_collection().as_deref())
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
        assert_eq!(entry.memory(0), 96);
    }

    proptest! {
        #[test]
        fn parts_come_back(
            // Around the length from which on a key is wide, too.
            key in prop_oneof![0..50usize, 250..260usize]
                .prop_flat_map(|len| proptest::collection::vec(any::<u8>(), len)),
            old in proptest::collection::vec(any::<u8>(), 0..1500),
            new in proptest::collection::vec(any::<u8>(), 0..1500),
            expiry in proptest::option::of(any::<u64>().prop_map(Millis)),
        ) {
            let mut entry = Entry::new(&key, NewValue::String(&old), expiry, 7);
            let as_text = |value: Option<StringRef<'_>>| match value.expect("a string") {
                StringRef::Integer(number) => number.to_string().into_bytes(),
                StringRef::Bytes(bytes) => bytes.to_vec(),
            };
            prop_assert_eq!(entry.key(), &key[..]);
            prop_assert_eq!(as_text(entry.string()), old);
            prop_assert_eq!((entry.expiry(), entry.access()), (expiry, 7));
            if entry.try_replace(&NewValue::String(&new), expiry) {
                prop_assert_eq!(as_text(entry.string()), new);
            }
            let shown = as_text(entry.string());
            let copy = Entry::new(&key, NewValue::Owned(entry.clone_value()), None, 0);
            prop_assert_eq!(as_text(copy.string()), shown);
            prop_assert_eq!(format!("{:?}", entry.into_value()), format!("{:?}", copy.into_value()));
        }
    }
}
