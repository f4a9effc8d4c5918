//! One slot: its mutex, its state and its tables.

use crate::entry::Entry;
use crate::hash::KeyHash;
use crate::keyspace::Keyspace;
use crate::lookup::Lookup;
use crate::marks::Marks;
use crate::patience::{Busy, Counted, Patience, WAIT};
use parking_lot::{Mutex, MutexGuard};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::time::Duration;
use tessera_collections::hasher::{HashCode, KeyHasher};
use tessera_collections::table::{Ref, Table, prefetch};
use tessera_slot::{Slot, SlotState};

/// The number of buckets that a walk wants to have at hand when it comes to a slot.
pub(crate) const FIRST_BUCKETS: usize = 16;

/// A slot: exactly one cache line.
#[derive(Default)]
#[repr(align(64))]
pub(crate) struct SlotCell(Mutex<SlotData>);

const _: () = assert!(size_of::<SlotCell>() == 64);

/// The address of database 0's buckets of a slot, to be read without the slot's lock: good for
/// prefetching and for passing over empty slots, for nothing else. The hints of all slots together
/// fit the second-level cache.
#[derive(Default)]
pub(crate) struct SlotHint {
    buckets: AtomicPtr<u8>,
    count: AtomicU32,
}

/// The state behind the slot's mutex.
#[derive(Default)]
pub(crate) struct SlotData {
    pub(crate) first: Table<Entry>,
    /// The parts that most slots do not have.
    rare: Option<Box<Rare>>,
    /// Whether a client watches or waits for a key of this slot: `rare` has the marks.
    marked: bool,
    pub(crate) state: SlotState,
    /// The last snapshot that has written this slot as a whole.
    pub(crate) walked: u8,
}

/// The parts that most slots do not have, apart from the slot so that it fits its cache line.
#[derive(Default)]
struct Rare {
    /// The tables of databases 1 and up; none until one of them is written to.
    others: Vec<Table<Entry>>,
    /// The keys that clients watch or wait for.
    marks: Marks,
}

impl SlotHint {
    /// Prefetches the bucket of database 0 where `hash` belongs.
    #[inline]
    pub(crate) fn prefetch_bucket(&self, hash: KeyHash) {
        let count = self.count.load(Ordering::Relaxed) as usize;
        let start = self.buckets.load(Ordering::Relaxed);
        if count > 0 && !start.is_null() {
            let index = Table::<Entry>::bucket_index(count, hash.code);
            prefetch(start.wrapping_add(index * 64));
        }
    }

    /// Prefetches the first buckets of database 0.
    pub(crate) fn prefetch_buckets(&self) {
        let start = self.buckets.load(Ordering::Relaxed);
        if !start.is_null() {
            let count = self.bucket_count().min(FIRST_BUCKETS);
            (0..count).for_each(|bucket| prefetch(start.wrapping_add(bucket * 64)));
        }
    }

    pub(crate) fn seems_empty(&self) -> bool {
        self.bucket_count() == 0
    }

    /// How many buckets database 0 had when a thread last looked.
    pub(crate) fn bucket_count(&self) -> usize {
        self.count.load(Ordering::Relaxed) as usize
    }

    #[inline]
    fn publish_layout(&self, table: &Table<Entry>) {
        let (array, count) = (table.array().cast_mut(), table.bucket_count() as u32);
        if self.buckets.load(Ordering::Relaxed) != array
            || self.count.load(Ordering::Relaxed) != count
        {
            self.buckets.store(array, Ordering::Relaxed);
            self.count.store(count, Ordering::Relaxed);
        }
    }
}

impl SlotCell {
    /// Prefetches the entry of database 0 with this hash, if the slot is free just now.
    #[inline]
    pub(crate) fn prefetch_entry(&self, hash: KeyHash) {
        if let Some(data) = self.0.try_lock() {
            data.first.prefetch_item(hash.code);
        }
    }

    /// Prefetches the entries of database 0, or the first of many, if the slot is free just now.
    pub(crate) fn prefetch_first(&self) {
        if let Some(data) = self.0.try_lock() {
            data.first.prefetch_first(FIRST_BUCKETS);
        }
    }

    /// Prefetches what a command on a member of this key's value is going to read, a step further
    /// with each call: see [`Collection::prefetch`]. The first reads the entry, which
    /// [`SlotCell::prefetch_entry`] has asked for. False: there is nothing more to ask for, or the
    /// slot is not free just now.
    ///
    /// [`Collection::prefetch`]: tessera_collections::Collection::prefetch
    #[inline]
    pub(crate) fn prefetch_value(&self, hash: KeyHash, step: u8, member: HashCode) -> bool {
        let Some(data) = self.0.try_lock() else { return false };
        data.first.probable(hash.code).is_some_and(|entry| entry.prefetch_value(step, member))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, SlotData> {
        self.0.lock()
    }

    #[inline]
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, SlotData>> {
        self.0.try_lock()
    }

    pub(crate) fn try_lock_for(&self, wait: Duration) -> Option<MutexGuard<'_, SlotData>> {
        self.0.try_lock_for(wait)
    }
}

impl SlotData {
    #[inline]
    pub(crate) fn table(&self, db: usize) -> Option<&Table<Entry>> {
        if db == 0 { Some(&self.first) } else { self.rare.as_ref()?.others.get(db - 1) }
    }

    #[inline]
    pub(crate) fn table_mut(&mut self, db: usize, databases: usize) -> &mut Table<Entry> {
        if db == 0 {
            return &mut self.first;
        }
        let others = &mut self.rare.get_or_insert_default().others;
        if others.is_empty() {
            others.resize_with(databases - 1, Table::default);
        }
        &mut others[db - 1]
    }

    /// Gives the tables of databases 1 and up back, if none has buckets.
    #[inline]
    pub(crate) fn drop_empty_tables(&mut self) {
        let Some(rare) = &mut self.rare else { return };
        if rare.others.iter().all(|table| table.bucket_count() == 0) {
            rare.others = Vec::new();
            if !self.marked {
                self.rare = None;
            }
        }
    }

    /// The marks on keys, if there are any.
    pub(crate) fn marks(&self) -> Option<&Marks> {
        if self.marked { Some(&self.rare.as_ref()?.marks) } else { None }
    }

    /// As [`SlotData::marks`], to change them.
    pub(crate) fn marks_mut(&mut self) -> Option<&mut Marks> {
        if self.marked { Some(&mut self.rare.as_mut()?.marks) } else { None }
    }

    /// The marks, to which one is about to be added.
    pub(crate) fn marks_or_new(&mut self) -> &mut Marks {
        self.marked = true;
        &mut self.rare.get_or_insert_default().marks
    }

    /// There are no marks any more.
    pub(crate) fn drop_marks(&mut self) {
        self.marked = false;
        if let Some(rare) = &mut self.rare {
            rare.marks = Marks::default();
            if rare.others.is_empty() {
                self.rare = None;
            }
        }
    }

    /// Whether there are marks.
    #[inline]
    pub(crate) fn is_marked(&self) -> bool {
        self.marked
    }

    /// How many databases have a table here.
    pub(crate) fn table_count(&self) -> usize {
        1 + self.rare.as_ref().map_or(0, |rare| rare.others.len())
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = (usize, &Table<Entry>)> {
        std::iter::once(&self.first)
            .chain(self.rare.iter().flat_map(|rare| rare.others.iter()))
            .enumerate()
    }
}

/// A locked slot.
pub struct SlotGuard<'k> {
    pub(crate) keyspace: &'k Keyspace,
    pub(crate) slot: Slot,
    pub(crate) data: MutexGuard<'k, SlotData>,
}

impl<'k> SlotGuard<'k> {
    #[inline]
    pub(crate) fn new(keyspace: &'k Keyspace, slot: Slot) -> SlotGuard<'k> {
        SlotGuard::of(keyspace, slot, keyspace.cell(slot).lock())
    }

    /// Locks a slot if it is free.
    #[inline]
    pub(crate) fn try_new(keyspace: &'k Keyspace, slot: Slot) -> Option<SlotGuard<'k>> {
        Some(SlotGuard::of(keyspace, slot, keyspace.cell(slot).try_lock()?))
    }

    /// Locks a slot within the patience of the thread.
    #[inline]
    pub(crate) fn within(
        keyspace: &'k Keyspace,
        slot: Slot,
        patience: &Patience,
    ) -> Result<SlotGuard<'k>, Busy> {
        match keyspace.cell(slot).try_lock() {
            Some(data) => Ok(SlotGuard::of(keyspace, slot, data)),
            None => SlotGuard::await_free(keyspace, slot, patience),
        }
    }

    #[cold]
    fn await_free(
        keyspace: &'k Keyspace,
        slot: Slot,
        patience: &Patience,
    ) -> Result<SlotGuard<'k>, Busy> {
        if patience.is_unlimited() {
            return Ok(SlotGuard::new(keyspace, slot));
        }
        if !patience.is_left() {
            return Err(Busy::Slot(slot));
        }
        match keyspace.cell(slot).try_lock_for(WAIT) {
            Some(data) => Ok(SlotGuard::of(keyspace, slot, data)),
            None => {
                patience.has_waited_in_vain();
                Err(Busy::Slot(slot))
            }
        }
    }

    /// Whoever has a slot locked gives it the state that is wanted of it.
    #[inline]
    fn of(keyspace: &'k Keyspace, slot: Slot, data: MutexGuard<'k, SlotData>) -> SlotGuard<'k> {
        let mut guard = SlotGuard { keyspace, slot, data };
        if keyspace.wanted_states().any() {
            guard.take_wanted_state();
        }
        guard
    }

    #[cold]
    fn take_wanted_state(&mut self) {
        if let Some(state) = self.keyspace.wanted_states().take(self.slot) {
            self.data.state = state;
        }
    }

    /// The slot's number.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// This node's rights on the slot's keys.
    #[inline]
    pub fn state(&self) -> SlotState {
        self.data.state
    }

    /// Changes what this node may do with the slot's keys.
    pub fn set_state(&mut self, state: SlotState) {
        self.data.state = state;
    }

    /// The number of keys in one database.
    pub fn len(&self, db: usize) -> usize {
        self.data.table(db).map_or(0, Table::len)
    }

    /// Whether one database has no keys here.
    pub fn is_empty(&self, db: usize) -> bool {
        self.len(db) == 0
    }

    /// The number of keys with an expiry in one database.
    pub fn expiring(&self, db: usize) -> usize {
        self.data.table(db).map_or(0, Table::marked)
    }

    /// The number of keys in one database of whose elements some expire by themselves.
    pub fn aging(&self, db: usize) -> usize {
        self.data.table(db).map_or(0, Table::aging)
    }

    /// How many keys one database has.
    pub(crate) fn counted(&self, db: usize) -> Counted {
        self.data.table(db).map_or_else(Counted::default, |table| Counted {
            keys: table.len(),
            expiring: table.marked(),
            aging: table.aging(),
        })
    }

    /// Bytes of the buckets of one database.
    pub fn table_memory_of(&self, db: usize) -> usize {
        self.data.table(db).map_or(0, Table::memory)
    }

    /// Bytes of the buckets of all databases.
    pub fn table_memory(&self) -> usize {
        self.data.tables().map(|(_, table)| table.memory()).sum()
    }

    /// Looks a key up, for reading or writing.
    #[inline]
    pub fn lookup<'g, 'key>(
        &'g mut self,
        db: usize,
        key: &'key [u8],
        hash: KeyHash,
    ) -> Lookup<'g, 'k, 'key> {
        debug_assert_eq!(hash.slot, self.slot, "the key belongs to the locked slot");
        let place = self.data.table(db).and_then(|table| table.find(key, hash.code));
        Lookup::new(self, db, key, hash, place)
    }

    /// The entry of a key, whatever its expiry, to be read beside others: unlike
    /// [`SlotGuard::lookup`] it leaves the slot to other readers.
    #[inline]
    pub fn entry(&self, db: usize, key: &[u8], hash: KeyHash) -> Option<Ref<'_, Entry>> {
        debug_assert_eq!(hash.slot, self.slot, "the key belongs to the locked slot");
        self.data.table(db)?.get(key, hash.code)
    }

    #[inline]
    pub(crate) fn hasher(&self) -> &'k KeyHasher {
        self.keyspace.hasher()
    }

    /// To be called after buckets of database 0 may have been added or given back.
    #[inline]
    pub(crate) fn publish_layout(&self) {
        self.keyspace.hint(self.slot).publish_layout(&self.data.first);
    }

    /// Calls `see` with the keys of a database, at most `limit` of them.
    pub fn keys(&self, db: usize, limit: usize, mut see: impl FnMut(&[u8])) {
        let Some(table) = self.data.table(db) else { return };
        let mut left = limit;
        for bucket in 0..table.bucket_count() {
            table.for_bucket(bucket, |entry| {
                if left > 0 {
                    left -= 1;
                    see(entry.key());
                }
            });
            if left == 0 {
                return;
            }
        }
    }

    /// Calls `see` with the keys that have an expiry in some buckets of a database: at most
    /// `buckets`, from the cursor on. Gives the next cursor, 0 after the last bucket.
    pub fn expiring_keys(
        &self,
        db: usize,
        cursor: usize,
        buckets: usize,
        mut see: impl FnMut(&crate::Entry),
    ) -> usize {
        let Some(table) = self.data.table(db) else { return 0 };
        let end = (cursor + buckets).min(table.bucket_count());
        for bucket in cursor..end {
            table.for_marked(bucket, &mut see);
        }
        if end >= table.bucket_count() { 0 } else { end }
    }

    /// As [`SlotGuard::expiring_keys`], with the keys of whose elements some expire by themselves.
    pub fn aging_keys(
        &self,
        db: usize,
        cursor: usize,
        buckets: usize,
        mut see: impl FnMut(&crate::Entry),
    ) -> usize {
        let Some(table) = self.data.table(db) else { return 0 };
        let end = (cursor + buckets).min(table.bucket_count());
        for bucket in cursor..end {
            table.for_aging(bucket, &mut see);
        }
        if end >= table.bucket_count() { 0 } else { end }
    }

    /// Shows every entry of one database.
    pub fn for_each(&self, db: usize, see: impl FnMut(&crate::Entry)) {
        if let Some(table) = self.data.table(db) {
            table.for_each(see);
        }
    }

    /// The key of some entry of the database, chosen by `random` among the entries of one
    /// bucket, if that bucket has any.
    pub fn random_entry(&self, db: usize, random: u64, mut see: impl FnMut(&crate::Entry)) -> bool {
        self.data.table(db).is_some_and(|table| table.pick(random, |entry| see(entry)))
    }
}

/// Several locked slots, in ascending order.
pub struct ManySlots<'k>(pub(crate) Vec<SlotGuard<'k>>);

impl<'k> ManySlots<'k> {
    /// All of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut SlotGuard<'k>> {
        self.0.iter_mut()
    }

    /// Whether this slot is among them.
    pub fn has(&self, slot: Slot) -> bool {
        self.0.binary_search_by_key(&slot, |guard| guard.slot).is_ok()
    }

    /// The guard of one of the slots.
    ///
    /// # Panics
    /// If the slot is not among them.
    #[inline]
    pub fn get(&mut self, slot: Slot) -> &mut SlotGuard<'k> {
        let at = self.0.binary_search_by_key(&slot, |guard| guard.slot);
        &mut self.0[at.expect("the slot was locked with the others")]
    }

    /// The guard of one of the slots, to be shared among readers.
    ///
    /// # Panics
    /// If the slot is not among them.
    #[inline]
    pub fn peek(&self, slot: Slot) -> &SlotGuard<'k> {
        let at = self.0.binary_search_by_key(&slot, |guard| guard.slot);
        &self.0[at.expect("the slot was locked with the others")]
    }
}
