//! The result of a lookup, and what can be done with it. All changes of entries go through here, so
//! that a running snapshot always gets to see the old one first.

use crate::alloc::taken_by_thread;
use crate::discard::bytes_later;
use crate::entry::{CollectionMut, CollectionRef, Entry, NewValue, StringRef, Value};
use crate::growth;
use crate::hash::KeyHash;
use crate::marks::Change;
use crate::slot::SlotGuard;
use std::ops::Range;
use tessera_collections::growth::take_grown;
use tessera_collections::table::{Place, Ref, RefMut, Table};
use tessera_collections::{Collection, Kind};
use tessera_slot::Millis;

/// A key's place in its table.
pub enum Lookup<'g, 'k, 'key> {
    /// There is an entry.
    Found(Found<'g, 'k>),
    /// There is none.
    Vacant(Vacant<'g, 'k, 'key>),
}

/// An entry in a locked slot.
pub struct Found<'g, 'k> {
    guard: &'g mut SlotGuard<'k>,
    db: usize,
    hash: KeyHash,
    place: Place<Entry>,
}

/// The place of a key that is not there.
pub struct Vacant<'g, 'k, 'key> {
    guard: &'g mut SlotGuard<'k>,
    db: usize,
    key: &'key [u8],
    hash: KeyHash,
}

impl<'g, 'k, 'key> Lookup<'g, 'k, 'key> {
    #[inline]
    pub(crate) fn new(
        guard: &'g mut SlotGuard<'k>,
        db: usize,
        key: &'key [u8],
        hash: KeyHash,
        place: Option<Place<Entry>>,
    ) -> Self {
        match place {
            Some(place) => Lookup::Found(Found { guard, db, hash, place }),
            None => Lookup::Vacant(Vacant { guard, db, key, hash }),
        }
    }
}

impl<'g, 'k> Found<'g, 'k> {
    /// Removes the entry and frees it; the place of its key is left, which `key` repeats.
    pub fn vacate<'key>(mut self, key: &'key [u8]) -> Vacant<'g, 'k, 'key> {
        self.preserve();
        let entry = self.take();
        self.guard.keyspace.let_go(entry);
        Vacant { guard: self.guard, db: self.db, key, hash: self.hash }
    }
}

impl Found<'_, '_> {
    fn table(&mut self) -> &mut Table<Entry> {
        let databases = self.guard.keyspace.databases();
        self.guard.data.table_mut(self.db, databases)
    }

    /// The entry.
    #[inline]
    pub fn entry(&self) -> Ref<'_, Entry> {
        let table = self.guard.data.table(self.db).expect("it has this entry");
        // SAFETY: the place was found in this table, and what changes the table takes `self`.
        unsafe { table.item(self.place) }
    }

    #[inline]
    fn entry_mut(&mut self) -> RefMut<'_, Entry> {
        let place = self.place;
        // SAFETY: as in `entry`.
        unsafe { self.table().item_mut(place) }
    }

    /// The type of the value.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.entry().kind()
    }

    /// The value, if it is a string.
    #[inline]
    pub fn string(&self) -> Option<StringRef<'_>> {
        let entry = self.entry();
        // SAFETY: the entry lives, and is not changed, as long as `self` is borrowed.
        unsafe {
            std::mem::transmute::<Option<StringRef<'_>>, Option<StringRef<'_>>>(entry.string())
        }
    }

    /// The value, if it is a collection of this type.
    #[inline]
    pub fn collection<T: Collection>(&self) -> Option<CollectionRef<'_, T>> {
        // SAFETY: the entry lives, and is not changed, as long as `self` is borrowed.
        unsafe { self.entry().alias() }.map(CollectionRef::new)
    }

    /// The value, to be changed, if it is a collection of this type. A running snapshot gets the
    /// old one first, so take it only in order to change it.
    #[inline]
    pub fn edit<T: Collection>(&mut self) -> Option<CollectionMut<'_, T>> {
        if self.kind() != T::KIND {
            return None;
        }
        self.preserve();
        let (rest, hash, db) = (self.guard.keyspace.rest(), self.hash, self.db);
        CollectionMut::of(self.entry_mut(), rest, hash, db)
    }

    /// The expiry time, Unix ms.
    #[inline]
    pub fn expiry(&self) -> Option<Millis> {
        self.entry().expiry()
    }

    /// The key is used: its access clock goes on. `fresh` is the clock of an entry that is made now
    /// ([`crate::Keyspace::fresh_access`]). No change that a snapshot cares about.
    #[inline]
    pub fn touch(&mut self, fresh: u32) {
        let keyspace = self.guard.keyspace;
        let mut entry = self.entry_mut();
        let used = keyspace.used_access(entry.access(), fresh);
        // A store that changes nothing would still make the cache line dirty.
        if entry.access() != used {
            entry.set_access(used);
        }
    }

    /// Sets the access clock as it is.
    pub fn set_access(&mut self, access: u32) {
        self.entry_mut().set_access(access);
    }

    /// Tells those who watch the key, or wait for it, of a change.
    #[cold]
    fn note(&mut self, change: Change) {
        let key = self.entry().key().to_vec();
        self.guard.on_change(self.db, &key, change);
    }

    /// Tells them that there is another value, or none.
    #[inline]
    fn on_new_value(&mut self) {
        if self.guard.data.is_marked() {
            self.note(Change::New);
        }
    }

    /// Lets a running snapshot have the entry as it is, before it changes, and those who watch the
    /// key know that it may.
    #[inline]
    fn preserve(&mut self) {
        if self.guard.data.is_marked() {
            self.note(Change::Edit);
        }
        let Some(epoch) = self.guard.keyspace.snapshots().pending(self.guard.data.walked) else {
            return;
        };
        let (db, hash, keyspace) = (self.db, self.hash, self.guard.keyspace);
        let mut entry = self.entry_mut();
        if entry.epoch() != epoch {
            keyspace.snapshots().preserve(db, hash, &mut entry);
            entry.set_epoch(epoch);
        }
    }

    /// Replaces value and expiry. This counts as a use of the key, as [`Found::touch`] has it.
    #[inline]
    pub fn replace(&mut self, value: NewValue<'_>, expiry: Option<Millis>, fresh: u32) {
        self.preserve();
        self.on_new_value();
        self.on_expiry(expiry);
        let (db, hash, keyspace) = (self.db, self.hash, self.guard.keyspace);
        let mut entry = self.entry_mut();
        let access = keyspace.used_access(entry.access(), fresh);
        if entry.try_replace(&value, expiry) {
            entry.set_access(access);
            return;
        }
        let mut new = Entry::new(entry.key(), value, expiry, access);
        new.set_epoch(entry.epoch());
        fit_if_grown(&mut new);
        let old = std::mem::replace(&mut *entry, new);
        keyspace.snapshots().on_value_placed(db, hash, &entry);
        drop(entry);
        keyspace.let_go(old);
    }

    /// A key may get an expiry.
    #[inline]
    fn on_expiry(&self, expiry: Option<Millis>) {
        if expiry.is_some() {
            self.guard.keyspace.none_expires().refute();
        }
    }

    /// Sets or removes the expiry.
    pub fn set_expiry(&mut self, expiry: Option<Millis>) {
        self.preserve();
        self.on_new_value();
        self.on_expiry(expiry);
        let mut entry = self.entry_mut();
        if entry.expiry().is_some() == expiry.is_some() {
            entry.set_expiry_in_place(expiry);
            return;
        }
        drop(entry);
        self.rebuild(expiry, |value| value);
    }

    /// Edits the string in place: of its present bytes none but those in `ranges`, and it may grow.
    /// Its encoding is `raw` from then on.
    ///
    /// # Panics
    /// If the value is no string; the caller has looked at it.
    pub fn edit_string<R>(
        &mut self,
        ranges: impl IntoIterator<Item = Range<usize>>,
        edit: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> R {
        self.preserve();
        let large = self.guard.keyspace.snapshots().large();
        if !large.is_empty() {
            large.before_edit(&self.entry(), ranges.into_iter());
        }
        if self.entry_mut().editable().is_none() {
            let expiry = self.expiry();
            self.rebuild(expiry, |value| match value {
                Value::Integer(number) => Value::Boxed(Box::new(number.to_string().into_bytes())),
                Value::Bytes(bytes, _) => Value::Boxed(Box::new(bytes.into_vec())),
                boxed => boxed,
            });
        }
        let mut entry = self.entry_mut();
        let bytes = entry.editable().expect("just made so; the caller knows it is a string");
        let (before, result) = (bytes.capacity(), edit(bytes));
        let (room, len) = (bytes.capacity(), bytes.len());
        if room != before && growth::is_roomy(room, len) && !entry.is_noted() {
            drop(entry);
            let is_noted = self.guard.keyspace.rest().note(self.hash, self.db, len);
            self.entry_mut().set_noted(is_noted);
        }
        result
    }

    /// Puts a new entry in place of this one, with the value that `change` makes of the old one.
    fn rebuild(&mut self, expiry: Option<Millis>, change: impl FnOnce(Value) -> Value) {
        let mut entry = self.entry_mut();
        // A stand-in keeps the place while the old entry is taken apart.
        let stand_in = Entry::new(b"", NewValue::Integer(0), None, 0);
        let old = std::mem::replace(&mut *entry, stand_in);
        let (key, access, epoch) = (old.key().to_vec(), old.access(), old.epoch());
        let mut new = Entry::new(&key, NewValue::Owned(change(old.into_value())), expiry, access);
        new.set_epoch(epoch);
        *entry = new;
    }

    /// Removes the entry and gives its value and expiry.
    pub fn remove(mut self) -> (Value, Option<Millis>) {
        self.preserve();
        let entry = self.take();
        let expiry = entry.expiry();
        (entry.into_value(), expiry)
    }

    /// Removes the entry and frees it.
    pub fn delete(self) {
        self.remove_to_free();
    }

    /// Removes the entry and frees it; gives about how many bytes of it a snapshot keeps for the
    /// time being.
    fn remove_to_free(mut self) -> u64 {
        self.preserve();
        let entry = self.take();
        self.guard.keyspace.let_go(entry)
    }

    /// Removes the entry and frees it. About how many bytes that has given back, or will where it
    /// is freed in the background, or when a snapshot has shown it; what its table gives back is
    /// counted only if that happens at once.
    pub fn evict(self) -> usize {
        let later = bytes_later(&self.entry());
        let before = taken_by_thread();
        let kept = self.remove_to_free() as usize;
        let now = usize::try_from(before - taken_by_thread()).unwrap_or(0);
        now + later.unwrap_or(0).max(kept)
    }

    /// Takes the entry out; `self` must not be used for it any more.
    fn take(&mut self) -> Entry {
        self.on_new_value();
        let walking = self.guard.keyspace.snapshots().pending(self.guard.data.walked).is_some();
        let (place, hash, hasher) = (self.place, self.hash, self.guard.hasher());
        // SAFETY: as in `entry`; `self` is not used for it any more.
        let entry = unsafe { self.table().remove(place, hash.code, !walking, hasher) };
        let table = self.table();
        if table.is_empty() && !walking {
            // There are many slots: what their last keys leave behind would add up to a megabyte.
            *table = Table::default();
            self.guard.data.drop_empty_tables();
        }
        self.guard.publish_layout();
        entry
    }
}

/// A value that was made element by element, and is whole now, needs no room to grow.
#[inline]
fn fit_if_grown(entry: &mut Entry) {
    if take_grown() {
        entry.fit();
    }
}

impl<'g, 'k> Vacant<'g, 'k, '_> {
    /// Adds an entry.
    #[inline]
    pub fn insert(self, value: NewValue<'_>, expiry: Option<Millis>, access: u32) {
        self.fill(value, expiry, access);
    }

    /// Adds an entry, to go on with it.
    #[inline]
    pub fn fill(self, value: NewValue<'_>, expiry: Option<Millis>, access: u32) -> Found<'g, 'k> {
        let Vacant { guard, db, key, hash } = self;
        let keyspace = guard.keyspace;
        if expiry.is_some() {
            keyspace.none_expires().refute();
        }
        if db > 0 {
            keyspace.mark_other_databases();
        }
        let mut entry = Entry::new(key, value, expiry, access);
        entry.set_epoch(keyspace.snapshots().epoch());
        fit_if_grown(&mut entry);
        keyspace.snapshots().on_value_placed(db, hash, &entry);
        let table = guard.data.table_mut(db, keyspace.databases());
        let place = table.insert(hash.code, entry, keyspace.hasher());
        guard.publish_layout();
        if guard.data.is_marked() {
            guard.on_change(db, key, Change::New);
        }
        Found { guard, db, hash, place }
    }
}
