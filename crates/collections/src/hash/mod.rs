//! The hash: fields with values, some of which may expire.
//!
//! Few short fields are a listpack of names and values by turns. More, or longer ones, or fields
//! that expire, are a table of fields with their values (`field.rs`, `fields.rs`). A table never
//! becomes a listpack again, as in Redis.
//!
//! A field whose time has come stays until it is removed ([`Hash::retire`], [`Hash::sweep`]). The
//! caller that removes it must tell replicas. Until then it counts in [`Hash::len`], and nothing
//! else shows it: every question names the time `as_of` which it is asked (Unix ms; 0: all fields
//! are there).

mod field;
mod fields;
mod random;

use crate::capture::{Part, Remains};
use crate::collection::{AGING, Collection, Kind};
use crate::hasher::HashCode;
use crate::listpack::{Corrupt, Digits, Element, Listpack, Position, canonical_integer};
pub use fields::Fields;
use std::collections::BTreeSet;
use std::ptr::NonNull;

/// Up to where a hash is a listpack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashLimits {
    /// Fields: `hash-max-listpack-entries`.
    pub entries: usize,
    /// Bytes of a name or a value: `hash-max-listpack-value`.
    pub value: usize,
}

/// Bytes of a name and its value in a listpack beside their texts, at most.
const PAIR_OVERHEAD: usize = 32;

/// When a field that is set expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// The field never expires, whatever its expiry was.
    Never,
    /// When it would have expired anyway.
    Keep,
    /// Then, Unix ms.
    At(u64),
}

impl Expiry {
    /// The expiry, where the present one is `kept`.
    fn or_kept(self, kept: Option<u64>) -> Option<u64> {
        match self {
            Expiry::Never => None,
            Expiry::Keep => kept,
            Expiry::At(at) => Some(at),
        }
    }
}

/// A field, seen. Texts of a table are [`Element::Bytes`] even where they are integers.
#[derive(Debug, Clone, Copy)]
pub struct FieldRef<'a> {
    /// Its name.
    pub name: Element<'a>,
    /// Its value.
    pub value: Element<'a>,
    /// When it expires, Unix ms.
    pub expiry: Option<u64>,
}

impl FieldRef<'_> {
    /// The address of a field of a table: no other field has the same.
    fn address(&self) -> *const u8 {
        match self.name {
            Element::Bytes(name) => name.as_ptr(),
            Element::Integer(_) => std::ptr::null(),
        }
    }
}

/// The outcome for a field's expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// There is no such field.
    Missing,
    /// The condition did not hold, or there was nothing to remove.
    No,
    /// It is changed.
    Yes,
}

/// A hash.
#[derive(Clone)]
pub enum Hash {
    /// Few short fields: names and values by turns.
    Packed(Listpack),
    /// Many, or long ones, or such that expire.
    Table(Box<Fields>),
}

/// The numbers of the forms in an entry.
const PACKED: u8 = 0;
const TABLE: u8 = 1;

impl Default for Hash {
    fn default() -> Hash {
        Hash::new()
    }
}

impl Hash {
    /// A hash without fields.
    pub fn new() -> Hash {
        Hash::Packed(Listpack::new())
    }

    /// Takes names and values by turns in.
    ///
    /// # Errors
    /// [`Corrupt`] if a value is missing, or a name is there twice.
    pub fn from_listpack(listpack: Listpack, limits: HashLimits) -> Result<Hash, Corrupt> {
        let len = listpack.len();
        // Numbers are looked for as numbers.
        let is_ours = listpack.iter().all(|element| match element {
            Element::Integer(_) => true,
            Element::Bytes(text) => canonical_integer(text).is_none(),
        });
        if !len.is_multiple_of(2) || has_doubles(&listpack, is_ours) {
            return Err(Corrupt);
        }
        let is_small = len / 2 <= limits.entries;
        let mut hash = Hash::Packed(listpack);
        if !is_small || !is_ours {
            hash.unpack();
        }
        Ok(hash)
    }

    /// The listpack, if the hash is one: names and values by turns, as RDB files have it.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match self {
            Hash::Packed(listpack) => Some(listpack),
            Hash::Table(_) => None,
        }
    }

    /// Whether some fields expire.
    #[inline]
    pub fn is_aging(&self) -> bool {
        matches!(self, Hash::Table(fields) if fields.is_aging())
    }

    /// Whether some field may have expired.
    #[inline]
    pub fn may_be_due(&self, as_of: u64) -> bool {
        matches!(self, Hash::Table(fields) if fields.may_be_due(as_of))
    }

    /// How many fields have not expired.
    #[inline]
    pub fn live_len(&self, as_of: u64) -> usize {
        match self {
            Hash::Packed(listpack) => listpack.len() / 2,
            Hash::Table(fields) => fields.live_len(as_of),
        }
    }

    /// A field's value.
    #[inline]
    pub fn get(&self, name: &[u8], as_of: u64) -> Option<Element<'_>> {
        match self {
            Hash::Packed(listpack) => find(listpack, name).map(|(_, value)| listpack.get(value)),
            Hash::Table(fields) => fields.get(name, as_of).map(|field| field.value),
        }
    }

    /// When a field expires, Unix ms (`Some(None)`: never); `None`: there is no such field.
    pub fn expiry(&self, name: &[u8], as_of: u64) -> Option<Option<u64>> {
        match self {
            Hash::Packed(listpack) => find(listpack, name).map(|_| None),
            Hash::Table(fields) => fields.get(name, as_of).map(|field| field.expiry),
        }
    }

    /// Makes ready for this many fields with these names and values: a hash that will not be a
    /// listpack need not become one first.
    pub fn expect<'a>(
        &mut self,
        fields: usize,
        mut texts: impl Iterator<Item = &'a [u8]>,
        limits: HashLimits,
    ) {
        let Hash::Packed(listpack) = self else { return };
        let mut bytes = 0usize;
        let is_short = fields <= limits.entries
            && texts.all(|text| {
                bytes = bytes.saturating_add(text.len());
                text.len() <= limits.value
            });
        if !is_short || !listpack.has_room(bytes) {
            self.unpack();
        }
    }

    /// Adds a field, or changes it. Whether it was not there.
    pub fn set(
        &mut self,
        name: &[u8],
        value: &[u8],
        expiry: Expiry,
        as_of: u64,
        limits: HashLimits,
    ) -> bool {
        if let Hash::Packed(listpack) = self {
            let is_short = name.len().max(value.len()) <= limits.value;
            let has_room = || listpack.has_room(name.len() + value.len() + PAIR_OVERHEAD);
            if !is_short || matches!(expiry, Expiry::At(_)) || !has_room() {
                self.unpack();
            }
        }
        match self {
            Hash::Table(fields) => fields.set(name, value, expiry, as_of),
            Hash::Packed(listpack) => {
                if let Some((_, at)) = find(listpack, name) {
                    listpack.replace(at, value);
                    return false;
                }
                let pair = [name, value].map(Element::Bytes);
                let is_added = listpack.extend(pair.into_iter());
                assert!(is_added, "there is room: just looked at");
                if listpack.len() / 2 > limits.entries {
                    self.unpack();
                }
                true
            }
        }
    }

    /// Removes a field. Whether there was one.
    pub fn remove(&mut self, name: &[u8], as_of: u64) -> bool {
        match self {
            Hash::Packed(listpack) => {
                let found = find(listpack, name);
                found.is_some_and(|(name, _)| listpack.remove_range(name, 2) > 0)
            }
            Hash::Table(fields) => {
                fields.remove_if(name, |field| !fields::is_expired(field, as_of))
            }
        }
    }

    /// Removes a field if it has expired. Whether it has.
    pub fn retire(&mut self, name: &[u8], as_of: u64) -> bool {
        match self {
            Hash::Packed(_) => false,
            Hash::Table(fields) => fields.remove_if(name, |field| fields::is_expired(field, as_of)),
        }
    }

    /// Removes expired fields, and shows their names: a step through some `buckets` of the table.
    /// Whether there may be more.
    pub fn sweep(&mut self, as_of: u64, buckets: usize, see: impl FnMut(&[u8])) -> bool {
        match self {
            Hash::Packed(_) => false,
            Hash::Table(fields) => fields.sweep(as_of, buckets, see),
        }
    }

    /// Sets when a field expires (Unix ms), if `allows` holds for the present expiry.
    pub fn set_expiry(
        &mut self,
        name: &[u8],
        at: u64,
        as_of: u64,
        allows: impl FnOnce(Option<u64>) -> bool,
    ) -> Changed {
        let Some(present) = self.expiry(name, as_of) else { return Changed::Missing };
        if !allows(present) {
            return Changed::No;
        }
        self.unpack().set_expiry(name, Some(at));
        Changed::Yes
    }

    /// Makes a field live for ever.
    pub fn persist(&mut self, name: &[u8], as_of: u64) -> Changed {
        match (self.expiry(name, as_of), self) {
            (None, _) => Changed::Missing,
            (Some(Some(_)), Hash::Table(fields)) => {
                fields.set_expiry(name, None);
                Changed::Yes
            }
            _ => Changed::No,
        }
    }

    /// Shows every field.
    pub fn for_each(&self, as_of: u64, mut see: impl FnMut(FieldRef<'_>)) {
        match self {
            Hash::Packed(listpack) => pairs(listpack).for_each(see),
            Hash::Table(fields) => fields.table().for_each(|field| {
                if !fields::is_expired(field, as_of) {
                    see(FieldRef::of(field));
                }
            }),
        }
    }

    /// Shows some fields: all of a listpack, of a table those at the cursor. Gives the next cursor,
    /// 0 at the end. Every field that is there throughout is shown at least once.
    pub fn scan(&self, cursor: u64, as_of: u64, mut see: impl FnMut(FieldRef<'_>)) -> u64 {
        match self {
            Hash::Packed(listpack) => {
                pairs(listpack).for_each(see);
                0
            }
            Hash::Table(fields) => fields.table().scan(cursor, |field| {
                if !fields::is_expired(field, as_of) {
                    see(FieldRef::of(field));
                }
            }),
        }
    }

    /// Makes a table of it.
    fn unpack(&mut self) -> &mut Fields {
        if let Hash::Packed(listpack) = self {
            let mut fields = Box::<Fields>::default();
            let mut digits = [Digits::default(), Digits::default()];
            for FieldRef { name, value, .. } in pairs(listpack) {
                let [first, second] = &mut digits;
                fields.push(name.text(first), value.text(second), None);
            }
            *self = Hash::Table(fields);
        }
        match self {
            Hash::Table(fields) => fields,
            Hash::Packed(_) => unreachable!("just made a table"),
        }
    }
}

/// A hash that is made of fields one by one, as a reader of files does; no name may come twice.
impl Hash {
    /// Adds a field that is not there yet.
    ///
    /// # Errors
    /// [`Corrupt`] if it is.
    pub fn add(
        &mut self,
        name: &[u8],
        value: &[u8],
        expiry: Option<u64>,
        limits: HashLimits,
    ) -> Result<(), Corrupt> {
        let expiry = expiry.map_or(Expiry::Never, Expiry::At);
        if self.expiry(name, 0).is_some() {
            return Err(Corrupt);
        }
        self.set(name, value, expiry, 0, limits);
        Ok(())
    }
}

/// The places of a name and its value.
#[inline]
fn find(listpack: &Listpack, name: &[u8]) -> Option<(Position, Position)> {
    let at = listpack.find(listpack.first(), name, 1)?;
    Some((at, listpack.next(at).expect("a name has a value behind it")))
}

/// Whether a name is there twice. `is_ours`: no number is kept as a string.
fn has_doubles(listpack: &Listpack, is_ours: bool) -> bool {
    /// Elements up to which comparing each with each is faster than sorting.
    const FEW: usize = 64;
    if is_ours && listpack.len() <= FEW {
        let mut at = listpack.first();
        while let Some(name) = at {
            let after = listpack.next(name).and_then(|value| listpack.next(value));
            let text = listpack.get(name);
            if listpack.find(after, text.text(&mut Digits::default()), 1).is_some() {
                return true;
            }
            at = after;
        }
        return false;
    }
    let mut names = BTreeSet::new();
    !pairs(listpack).all(|field| names.insert(field.name.to_vec()))
}

fn pairs(listpack: &Listpack) -> impl Iterator<Item = FieldRef<'_>> {
    let mut elements = listpack.iter();
    std::iter::from_fn(move || {
        let (name, value) = (elements.next()?, elements.next()?);
        Some(FieldRef { name, value, expiry: None })
    })
}

// SAFETY: both directions agree on the numbers of the forms.
unsafe impl Collection for Hash {
    const KIND: Kind = Kind::Hash;

    fn into_parts(self) -> (u8, NonNull<u8>) {
        match self {
            Hash::Packed(listpack) => (PACKED, listpack.into_raw()),
            Hash::Table(fields) => {
                let form = if fields.is_aging() { AGING } else { TABLE };
                (form, NonNull::from(Box::leak(fields)).cast())
            }
        }
    }

    unsafe fn from_parts(form: u8, pointer: NonNull<u8>) -> Hash {
        // SAFETY: by the caller's promise the pointer is what this form has.
        unsafe {
            match form {
                PACKED => Hash::Packed(Listpack::from_raw(pointer)),
                _ => Hash::Table(Box::from_raw(pointer.as_ptr().cast())),
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Hash::Packed(listpack) => listpack.len() / 2,
            Hash::Table(fields) => fields.table().len(),
        }
    }

    fn memory(&self, samples: usize) -> usize {
        match self {
            Hash::Packed(listpack) => listpack.memory(),
            Hash::Table(fields) => fields.memory(samples),
        }
    }

    fn free_effort(&self) -> usize {
        match self {
            Hash::Packed(_) => 1,
            Hash::Table(fields) => fields.table().len(),
        }
    }

    fn extent(&self) -> usize {
        match self {
            Hash::Packed(listpack) => listpack.byte_len(),
            Hash::Table(fields) => fields.table().len(),
        }
    }

    fn fit(&mut self) {
        if let Hash::Packed(listpack) = self {
            listpack.fit();
        }
    }

    fn is_capturable(&self) -> bool {
        matches!(self, Hash::Table(_))
    }

    fn begin_capture(&mut self) {
        let Hash::Table(fields) = self else { panic!("a hash that can be captured") };
        fields.begin_capture();
    }

    fn capture_step(&mut self, budget: usize, see: &mut dyn FnMut(Part<'_>)) -> bool {
        let Hash::Table(fields) = self else { panic!("a hash that is captured") };
        fields.capture_step(budget, see)
    }

    fn end_capture(&mut self) -> Remains {
        match self {
            Hash::Table(fields) => fields.end_capture(),
            Hash::Packed(_) => Remains::none(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            Hash::Packed(_) => "listpack",
            Hash::Table(_) => "hashtable",
        }
    }

    #[inline]
    fn prefetch(&self, step: u8, member: HashCode) -> bool {
        match self {
            Hash::Packed(listpack) => listpack.prefetch(),
            Hash::Table(fields) => return fields.prefetch(step, member),
        }
        false
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut map = f.debug_map();
        self.for_each(0, |field| {
            map.entry(&field.name, &(field.value, field.expiry));
        });
        map.finish()
    }
}

#[cfg(test)]
mod tests;
