//! Large values in snapshots: they are shown part by part, and change meanwhile.
//!
//! A value is large from [`LARGE`] bytes on, if it is not one block that commands read and write as
//! a whole anyhow. When a snapshot comes to it, or a command that is about to change it, a capture
//! begins, which takes no time: collections keep their old parts themselves
//! ([`tessera_collections::capture`]), for strings this is done here, by blocks. From then on the
//! value is on the list of large values, found by the address of its allocation, until the walk has
//! shown all of it.
//!
//! The walk finds the value by the key that it has now. So a command that moves it says so
//! ([`LargeValues::moved`]), and one that is about to free it gives it to the list instead
//! ([`LargeValues::keep`]).
//!
//! Deliberately not here: when the walk goes on with a large value (the parent), and how parts are
//! written.

use crate::discard::SAMPLES;
use crate::entry::{Entry, StringRef};
use crate::hash::KeyHash;
use parking_lot::RwLock;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use tessera_collections::Kind;
use tessera_collections::hasher::KeyHasher;
use tessera_collections::table::{Item, Table};
use tessera_slot::{Millis, Slot};

/// Bytes from which a value is large: what a slot may be locked for to be shown at once.
const LARGE: usize = 128 << 10;
/// Bytes of a string that are put aside together.
const BLOCK: usize = 64 << 10;

/// A large value without its parts, as it was when the snapshot started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LargeHead {
    /// The number of its database at the start.
    pub db: usize,
    /// Its key.
    pub key: Box<[u8]>,
    /// When it expires, Unix ms.
    pub expiry: Option<Millis>,
    /// Its access clock.
    pub access: u32,
    /// Its type.
    pub kind: Kind,
    /// Whether some of its elements expire by themselves.
    pub is_aging: bool,
    /// Bytes, if it is a string.
    pub len: usize,
}

/// The address of a value: its key's hash, its database's number at the start of the snapshot, its
/// key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) hash: KeyHash,
    pub(super) home: usize,
    pub(super) key: Arc<[u8]>,
}

impl LargeHead {
    /// Whether the value is a string.
    pub fn is_string(&self) -> bool {
        self.kind == Kind::String
    }
}

enum Place {
    Slot(Address),
    /// It has left the keyspace.
    Kept(Entry),
    /// The walk has taken what was kept.
    Taken,
}

/// A large value that the walk has still to show, or to finish.
struct Large {
    head: Arc<LargeHead>,
    place: Place,
    /// The capture of a string.
    text: TextCapture,
    /// About how many bytes it has, once it has left the keyspace.
    kept_bytes: u64,
}

impl Large {
    /// The slot in which it is, if it is in one.
    fn slot(&self) -> Option<Slot> {
        match &self.place {
            Place::Slot(address) => Some(address.hash.slot),
            Place::Kept(_) | Place::Taken => None,
        }
    }
}

/// A string's blocks as they were.
#[derive(Default)]
pub(super) struct TextCapture {
    /// Bytes at the start.
    len: usize,
    /// How many of them have been shown.
    shown: usize,
    /// By their numbers: those that have been changed since, and are still to be shown.
    aside: BTreeMap<usize, Box<[u8]>>,
}

/// The large values of a snapshot.
#[derive(Default)]
pub(crate) struct LargeValues {
    /// How many there are. The caller that asks for a value holds the lock of its slot, under which
    /// it was counted.
    count: AtomicUsize,
    /// About how many bytes have left the keyspace, and are kept.
    kept_bytes: AtomicU64,
    /// A leaf: nothing is locked under it, and nothing is copied or freed.
    values: RwLock<Values>,
}

/// Large values by the addresses of their allocations.
#[derive(Default)]
struct Values {
    by_address: BTreeMap<usize, Large>,
    /// The addresses of those that are in slots.
    by_slot: BTreeSet<(Slot, usize)>,
}

impl Values {
    /// Puts a value into another place; gives the one that it had. `None`: there is no such value.
    fn put(&mut self, value: usize, place: Place) -> Option<Place> {
        let large = self.by_address.get_mut(&value)?;
        if let Place::Slot(new) = &place {
            self.by_slot.insert((new.hash.slot, value));
        }
        let old = std::mem::replace(&mut large.place, place);
        if let Place::Slot(old) = &old
            && large.slot() != Some(old.hash.slot)
        {
            self.by_slot.remove(&(old.hash.slot, value));
        }
        Some(old)
    }

    fn remove(&mut self, value: usize) -> Option<Large> {
        let removed = self.by_address.remove(&value)?;
        if let Some(slot) = removed.slot() {
            self.by_slot.remove(&(slot, value));
        }
        Some(removed)
    }
}

/// Whether a snapshot shows the value part by part.
pub(super) fn is_large(entry: &Entry) -> bool {
    match (entry.string(), entry.any_collection()) {
        (Some(StringRef::Bytes(bytes)), _) => bytes.len() >= LARGE,
        (None, Some(any)) => any.is_capturable() && any.memory(SAMPLES) >= LARGE,
        _ => false,
    }
}

impl LargeValues {
    /// Whether there are none: then nothing else need be asked.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Relaxed) == 0
    }

    /// Begins the capture of a large value.
    pub(super) fn begin(&self, home: usize, hash: KeyHash, entry: &mut Entry) {
        let len = match entry.string() {
            Some(StringRef::Bytes(bytes)) => bytes.len(),
            _ => 0,
        };
        let head = LargeHead {
            db: home,
            key: entry.key().into(),
            expiry: entry.expiry(),
            access: entry.access(),
            kind: entry.kind(),
            is_aging: entry.is_aging(),
            len,
        };
        entry.edit_collection(|any| any.begin_capture());
        let large = Large {
            head: Arc::new(head),
            place: Place::Taken,
            text: TextCapture { len, ..TextCapture::default() },
            kept_bytes: 0,
        };
        let address = entry.value_address().expect("a large value has an allocation of its own");
        let mut values = self.values.write();
        let old = values.by_address.insert(address, large);
        assert!(old.is_none(), "what is captured lives, so its address is its own");
        values.put(address, Place::Slot(Address { hash, home, key: entry.key().into() }));
        self.count.fetch_add(1, Relaxed);
    }

    /// About how many bytes have left the keyspace, and are kept until they have been shown.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.kept_bytes.load(Relaxed)
    }

    /// Takes an entry that leaves the keyspace, if its value is captured, and gives about how many
    /// bytes are kept with it; else gives it back.
    #[inline]
    pub(crate) fn keep(&self, entry: Entry) -> Result<u64, Entry> {
        if self.is_empty() { Err(entry) } else { self.keep_captured(entry) }
    }

    #[cold]
    fn keep_captured(&self, entry: Entry) -> Result<u64, Entry> {
        let Some(address) = entry.value_address().filter(|&value| self.has(value)) else {
            return Err(entry);
        };
        let bytes = entry.memory(SAMPLES) as u64;
        let mut values = self.values.write();
        values.put(address, Place::Kept(entry));
        self.count_kept(&mut values, address, bytes);
        Ok(bytes)
    }

    fn has(&self, value: usize) -> bool {
        self.values.read().by_address.contains_key(&value)
    }

    fn count_kept(&self, values: &mut Values, value: usize, bytes: u64) {
        if let Some(large) = values.by_address.get_mut(&value) {
            large.kept_bytes = bytes;
            self.kept_bytes.fetch_add(bytes, Relaxed);
        }
    }

    /// A value has come to this entry; it may be one that is captured.
    #[cold]
    pub(crate) fn moved(&self, home: usize, hash: KeyHash, entry: &Entry) {
        let Some(address) = entry.value_address().filter(|&value| self.has(value)) else { return };
        let place = Place::Slot(Address { hash, home, key: entry.key().into() });
        self.values.write().put(address, place);
    }

    /// These bytes of a string, whose slot is locked, are about to change.
    #[cold]
    pub(crate) fn before_edit(&self, entry: &Entry, ranges: impl Iterator<Item = Range<usize>>) {
        let Some(address) = entry.value_address().filter(|&value| self.has(value)) else { return };
        let Some(StringRef::Bytes(bytes)) = entry.string() else { return };
        let mut text = self.take_text(address);
        ranges.for_each(|range| text.put_aside(bytes, range));
        self.put_text(address, text);
    }

    /// Takes the captured values out of a table of this slot that is flushed.
    pub(crate) fn rescue(&self, slot: Slot, table: &mut Table<Entry>, hasher: &KeyHasher) {
        if self.is_empty() {
            return;
        }
        let mut values = self.values.write();
        let of_slot = values.by_slot.range((slot, 0)..=(slot, usize::MAX));
        let of_slot: Vec<usize> = of_slot.map(|&(_, value)| value).collect();
        for value in of_slot {
            let Place::Slot(Address { hash, key, .. }) = &values.by_address[&value].place else {
                continue;
            };
            let found = table.find(key, hash.code);
            // SAFETY: the place was just found, with this hash. A table does not shrink while it is
            // walked.
            let taken = found.and_then(|place| unsafe {
                let is_it = table.item(place).value_address() == Some(value);
                is_it.then(|| table.remove(place, hash.code, false, hasher))
            });
            if let Some(entry) = taken {
                let bytes = entry.memory(SAMPLES) as u64;
                values.put(value, Place::Kept(entry));
                self.count_kept(&mut values, value, bytes);
            }
        }
    }

    /// Some value, if there is one: its address and head.
    pub(super) fn first(&self) -> Option<(usize, Arc<LargeHead>)> {
        if self.is_empty() {
            return None;
        }
        let values = self.values.read();
        values
            .by_address
            .first_key_value()
            .map(|(&address, large)| (address, Arc::clone(&large.head)))
    }

    /// The present address of a value.
    pub(super) fn address_of(&self, value: usize) -> Option<Address> {
        match &self.values.read().by_address.get(&value)?.place {
            Place::Slot(address) => Some(address.clone()),
            Place::Kept(_) | Place::Taken => None,
        }
    }

    /// Takes a value that has left the keyspace.
    pub(super) fn take_kept(&self, value: usize) -> Option<Entry> {
        let mut values = self.values.write();
        if values.by_address.get(&value)?.slot().is_some() {
            return None;
        }
        match values.put(value, Place::Taken)? {
            Place::Kept(entry) => Some(entry),
            Place::Slot(_) | Place::Taken => None,
        }
    }

    /// Takes the capture of a string while a block is shown: its slot is locked, or it has left the
    /// keyspace.
    pub(super) fn take_text(&self, value: usize) -> TextCapture {
        let mut values = self.values.write();
        values
            .by_address
            .get_mut(&value)
            .map(|large| std::mem::take(&mut large.text))
            .unwrap_or_default()
    }

    pub(super) fn put_text(&self, value: usize, text: TextCapture) {
        if let Some(large) = self.values.write().by_address.get_mut(&value) {
            large.text = text;
        }
    }

    /// A value has been shown.
    pub(super) fn remove(&self, value: usize) {
        if let Some(large) = self.values.write().remove(value) {
            self.count.fetch_sub(1, Relaxed);
            self.kept_bytes.fetch_sub(large.kept_bytes, Relaxed);
        }
    }

    /// Gives the list up. No other thread is in the world. The values that are left may take long
    /// to free.
    pub(super) fn drain(&self) -> LeftValues {
        self.count.store(0, Relaxed);
        self.kept_bytes.store(0, Relaxed);
        LeftValues(std::mem::take(&mut *self.values.write()).by_address)
    }
}

/// Large values that have not been shown when a snapshot was given up.
pub(super) struct LeftValues(BTreeMap<usize, Large>);

impl LeftValues {
    /// The values that are in slots, with their addresses.
    pub(super) fn in_slots(&self) -> impl Iterator<Item = (usize, &Address)> {
        self.0.iter().filter_map(|(&value, large)| match &large.place {
            Place::Slot(address) => Some((value, address)),
            Place::Kept(_) | Place::Taken => None,
        })
    }
}

impl TextCapture {
    fn put_aside(&mut self, bytes: &[u8], range: Range<usize>) {
        let range = range.start.max(self.shown)..range.end.min(self.len);
        if range.is_empty() {
            return;
        }
        for block in range.start / BLOCK..=(range.end - 1) / BLOCK {
            let at = self.bytes_of(block);
            self.aside.entry(block).or_insert_with(|| bytes[at].into());
        }
    }

    fn bytes_of(&self, block: usize) -> Range<usize> {
        block * BLOCK..((block + 1) * BLOCK).min(self.len)
    }

    /// Shows the next block. False: it was the last.
    pub(super) fn step(&mut self, bytes: &[u8], see: impl FnOnce(&[u8])) -> bool {
        let block = self.shown / BLOCK;
        let at = self.bytes_of(block);
        self.shown = at.end;
        match self.aside.remove(&block) {
            Some(old) => see(&old),
            None => see(&bytes[at]),
        }
        self.shown < self.len
    }
}
