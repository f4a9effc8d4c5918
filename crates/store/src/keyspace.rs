//! All slots, and the world lock above them.

use crate::access::{AccessClock, Lfu};
use crate::discard::Discards;
use crate::entry::Entry;
use crate::hash::{KeyHash, MemberHash};
use crate::rest::Rest;
use crate::sample::NoneExpires;
use crate::slot::{ManySlots, SlotCell, SlotGuard, SlotHint};
use crate::snapshot::Snapshots;
use crossbeam_utils::CachePadded;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tessera_collections::hasher::KeyHasher;
use tessera_collections::table::{Table, prefetch};
use tessera_slot::{Millis, SLOT_COUNT, Slot, SlotState};

/// What chooses a key's slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placement {
    /// CRC16 of the hash tag, as a cluster demands.
    Cluster,
    /// The keyed hash: cheaper, and nobody outside can tell.
    Local,
}

/// How a keyspace is made.
#[derive(Clone, Copy, Debug)]
pub struct KeyspaceOptions {
    /// The number of databases, at least 1.
    pub databases: usize,
    /// What chooses a key's slot.
    pub placement: Placement,
    /// The secret seed of the hash function.
    pub seed: u64,
    /// Shards of the world lock: one for each thread that runs commands.
    pub threads: usize,
}

/// All keys of a node.
pub struct Keyspace {
    cells: Box<[SlotCell]>,
    hints: Box<[SlotHint]>,
    world: Box<[CachePadded<RwLock<()>>]>,
    hasher: KeyHasher,
    placement: Placement,
    databases: usize,
    snapshots: Snapshots,
    access: AccessClock,
    discards: Discards,
    rest: Rest,
    none_expires: NoneExpires,
    /// Whether a database other than 0 was ever written to.
    has_others: AtomicBool,
}

impl Keyspace {
    /// An empty keyspace, all of whose slots are served.
    pub fn new(options: KeyspaceOptions) -> Keyspace {
        Keyspace {
            cells: (0..SLOT_COUNT).map(|_| SlotCell::default()).collect(),
            hints: (0..SLOT_COUNT).map(|_| SlotHint::default()).collect(),
            world: (0..options.threads.max(1)).map(|_| CachePadded::default()).collect(),
            hasher: KeyHasher::new(options.seed),
            placement: options.placement,
            databases: options.databases.max(1),
            snapshots: Snapshots::default(),
            access: AccessClock::default(),
            discards: Discards::default(),
            rest: Rest::default(),
            none_expires: NoneExpires::default(),
            has_others: AtomicBool::new(false),
        }
    }

    /// The number of databases.
    pub fn databases(&self) -> usize {
        self.databases
    }

    /// Where a key belongs.
    #[inline]
    pub fn locate(&self, key: &[u8]) -> KeyHash {
        let code = self.hasher.hash(key);
        let slot = match self.placement {
            Placement::Cluster => Slot::of_key(key),
            Placement::Local => Slot::from_low_bits((code.0 >> 32) as u16),
        };
        KeyHash { slot, code }
    }

    /// Stage one of prefetching: the slot itself, and where its buckets are.
    #[inline]
    pub fn prefetch_slot(&self, hash: KeyHash) {
        prefetch(std::ptr::from_ref(self.hint(hash.slot)).cast());
        prefetch(std::ptr::from_ref(self.cell(hash.slot)).cast());
    }

    /// Stage two: the bucket of database 0.
    #[inline]
    pub fn prefetch_bucket(&self, hash: KeyHash) {
        self.hint(hash.slot).prefetch_bucket(hash);
    }

    /// Stage three: the entry in database 0.
    #[inline]
    pub fn prefetch_entry(&self, hash: KeyHash) {
        self.cell(hash.slot).prefetch_entry(hash);
    }

    /// Further stages, from step 0 on: what leads to this member of the value in database 0. False: that was the last.
    #[inline]
    pub fn prefetch_value(&self, hash: KeyHash, step: u8, member: MemberHash) -> bool {
        self.cell(hash.slot).prefetch_value(hash, step, member.0)
    }

    /// Enters the world for a batch of commands; `thread` chooses the shard of the lock.
    #[inline]
    pub fn enter(&self, thread: usize) -> World<'_> {
        let shard = &self.world[thread % self.world.len()];
        World { keyspace: self, hold: Hold::Shard(shard.read()) }
    }

    /// Enters the world alone. Waits until all batches under way are through.
    pub fn enter_exclusive(&self) -> WorldExclusive<'_> {
        let shards = self.world.iter().map(|shard| shard.write()).collect();
        WorldExclusive(World { keyspace: self, hold: Hold::Alone(shards) })
    }

    /// Chooses what the access clocks of entries mean: how often they are used, or (`None`) when.
    pub fn set_lfu(&self, lfu: Option<Lfu>) {
        self.access.set(lfu);
    }

    /// How uses are counted; `None`: access clocks are times of last use, Unix seconds.
    #[inline]
    pub fn lfu(&self) -> Option<Lfu> {
        self.access.lfu()
    }

    /// The access clock of an entry that is made now.
    #[inline]
    pub fn fresh_access(&self, now: Millis) -> u32 {
        self.access.fresh(now)
    }

    /// The access clock of an entry that comes from elsewhere (RESTORE, a load): of the seconds since it was last used, and the
    /// counter of its uses, the policy takes what it can use.
    pub fn access_of(&self, idle_seconds: Option<u64>, counter: Option<u8>, now: Millis) -> u32 {
        match (self.access.lfu(), idle_seconds, counter) {
            (Some(_), _, Some(counter)) => Lfu::clock(counter, now),
            (None, Some(idle), _) => (now.0 / 1000).saturating_sub(idle) as u32,
            _ => self.access.fresh(now),
        }
    }

    /// The access clock of an entry that is used, when a new one's would be `fresh`.
    #[inline]
    pub(crate) fn used_access(&self, clock: u32, fresh: u32) -> u32 {
        self.access.used(clock, fresh)
    }

    /// What is freed in the background.
    #[inline]
    pub fn discards(&self) -> &Discards {
        &self.discards
    }

    /// An entry has left the keyspace: it is freed, now or later. If a snapshot still needs it, it gives about how many bytes are kept.
    #[inline]
    pub(crate) fn let_go(&self, entry: Entry) -> u64 {
        match self.snapshots.large().keep(entry) {
            Ok(bytes) => bytes,
            Err(entry) => {
                self.discards.entry(entry);
                0
            }
        }
    }

    /// About how many bytes of large values are deleted, and kept until a snapshot has shown them.
    pub fn kept_for_snapshot(&self) -> u64 {
        self.snapshots.large().kept_bytes()
    }

    #[inline]
    pub(crate) fn rest(&self) -> &Rest {
        &self.rest
    }

    #[inline]
    pub(crate) fn none_expires(&self) -> &NoneExpires {
        &self.none_expires
    }

    /// Whether a key got an expiry since the last call: what was found to have none may have some now.
    pub fn take_expiry_news(&self) -> bool {
        self.none_expires.take_news()
    }

    /// Whether a database other than 0 may have keys.
    pub(crate) fn has_other_databases(&self) -> bool {
        self.has_others.load(Relaxed)
    }

    /// A database other than 0 gets keys.
    #[inline]
    pub(crate) fn note_other_databases(&self) {
        if !self.has_others.load(Relaxed) {
            self.has_others.store(true, Relaxed);
        }
    }

    #[inline]
    pub(crate) fn cell(&self, slot: Slot) -> &SlotCell {
        &self.cells[slot.index()]
    }

    #[inline]
    pub(crate) fn hint(&self, slot: Slot) -> &SlotHint {
        &self.hints[slot.index()]
    }

    #[inline]
    pub(crate) fn hasher(&self) -> &KeyHasher {
        &self.hasher
    }

    #[inline]
    pub(crate) fn snapshots(&self) -> &Snapshots {
        &self.snapshots
    }

    /// The number of keys of database 0 in a slot just now. Takes the slot's lock alone, so it may be called by
    /// whoever holds no other slot's, in the world or out of it.
    pub fn peek_len(&self, slot: Slot) -> usize {
        self.cell(slot).lock().first.len()
    }

    /// Whether database 0 had no keys in this slot when somebody last looked.
    pub(crate) fn seems_empty(&self, slot: Slot) -> bool {
        self.hint(slot).seems_empty()
    }
}

/// Commands are running: nobody else can have the world alone. Slots are locked through it, one
/// guard at a time, which keeps the lock order.
pub struct World<'k> {
    keyspace: &'k Keyspace,
    hold: Hold<'k>,
}

/// How much of the world lock is held.
enum Hold<'k> {
    /// The thread's own shard, with others.
    Shard(#[allow(dead_code)] RwLockReadGuard<'k, ()>),
    /// All of it.
    Alone(Vec<RwLockWriteGuard<'k, ()>>),
}

impl<'k> World<'k> {
    /// The keyspace.
    pub fn keyspace(&self) -> &'k Keyspace {
        self.keyspace
    }

    /// Locks one slot.
    #[inline]
    pub fn lock<'w>(&'w mut self, slot: Slot) -> SlotGuard<'w> {
        SlotGuard::new(self.keyspace, slot)
    }

    /// Locks several slots, in ascending order, each once.
    pub fn lock_many<'w>(&'w mut self, slots: &mut Vec<Slot>) -> ManySlots<'w> {
        slots.sort_unstable();
        slots.dedup();
        ManySlots(slots.iter().map(|&slot| SlotGuard::new(self.keyspace, slot)).collect())
    }

    /// Locks all slots, one after another, and calls `see` with each.
    pub fn for_each_slot(&mut self, mut see: impl FnMut(&mut SlotGuard<'_>)) {
        Slot::all().for_each(|slot| see(&mut self.lock(slot)));
    }

    /// The number of keys of a database, and how many have an expiry. Each slot is counted at its own moment.
    pub fn count(&mut self, db: usize) -> (u64, u64) {
        let (mut keys, mut expiring) = (0, 0);
        self.for_each_slot(|guard| {
            keys += guard.len(db) as u64;
            expiring += guard.expiring(db) as u64;
        });
        (keys, expiring)
    }
}

/// Nobody else is in the world.
pub struct WorldExclusive<'k>(World<'k>);

/// Tables that were flushed. Dropping it frees them, which may take long.
#[derive(Default)]
pub struct Flushed(Vec<Table<Entry>>);

impl Flushed {
    /// The number of keys that were flushed.
    pub fn keys(&self) -> usize {
        self.0.iter().map(Table::len).sum()
    }

    pub(crate) fn into_tables(self) -> impl Iterator<Item = Table<Entry>> {
        self.0.into_iter()
    }
}

impl<'k> WorldExclusive<'k> {
    /// The keyspace.
    pub fn keyspace(&self) -> &'k Keyspace {
        self.0.keyspace
    }

    /// The world, for those who do not need it alone.
    pub fn as_world(&mut self) -> &mut World<'k> {
        &mut self.0
    }

    /// Lets others in again, but nobody who wants the world alone: what is done next is done before them.
    /// `thread` chooses the shard of the lock, as for [`Keyspace::enter`].
    pub fn share(self, thread: usize) -> World<'k> {
        let keyspace = self.0.keyspace;
        let hold = match self.0.hold {
            Hold::Alone(mut shards) => {
                let own = shards.swap_remove(thread % shards.len());
                Hold::Shard(RwLockWriteGuard::downgrade(own))
            }
            hold @ Hold::Shard(_) => hold,
        };
        World { keyspace, hold }
    }

    /// Locks one slot; nobody contends for it.
    pub fn lock<'w>(&'w mut self, slot: Slot) -> SlotGuard<'w> {
        SlotGuard::new(self.0.keyspace, slot)
    }

    /// Empties one database, or all. A running snapshot keeps the entries that it still needs.
    pub fn flush(&mut self, db: Option<usize>) -> Flushed {
        let mut flushed = Flushed::default();
        Slot::all().for_each(|slot| self.flush_slot(slot, db, &mut flushed));
        flushed
    }

    /// Empties one slot in one database, or in all.
    pub fn flush_slot(&mut self, slot: Slot, db: Option<usize>, flushed: &mut Flushed) {
        let Keyspace { snapshots, databases, hasher, .. } = self.0.keyspace;
        let mut guard = self.lock(slot);
        let walked = guard.data.walked;
        for index in 0..guard.data.table_count() {
            if db.is_none_or(|db| db == index) && guard.len(index) > 0 {
                guard.note_flush(index);
                let table = guard.data.table_mut(index, *databases);
                let mut table = std::mem::take(table);
                snapshots.large().rescue(slot, &mut table, hasher);
                flushed.0.extend(snapshots.keep_flushed(walked, slot, index, table));
            }
        }
        guard.note_layout();
    }

    /// Exchanges two databases. At `now` (Unix ms) it is judged which keys are still there for those who watch them.
    pub fn swap(&mut self, a: usize, b: usize, now: Millis) {
        if a == b {
            return;
        }
        self.0.keyspace.note_other_databases();
        for slot in Slot::all() {
            let databases = self.0.keyspace.databases;
            let mut guard = self.lock(slot);
            guard.note_swap(a, b, now);
            let first = std::mem::take(guard.data.table_mut(a, databases));
            let second = std::mem::replace(guard.data.table_mut(b, databases), first);
            *guard.data.table_mut(a, databases) = second;
            guard.note_layout();
        }
        self.0.keyspace.snapshots.note_swap(a, b, self.0.keyspace.databases);
        self.0.keyspace.rest.swap(a, b);
    }

    /// Whether some key has elements that expire by themselves.
    pub fn has_aging(&mut self) -> bool {
        Slot::all().any(|slot| self.lock(slot).data.tables().any(|(_, table)| table.aging() > 0))
    }

    /// Changes what this node may do with the keys of some slots.
    pub fn set_states(&mut self, slots: impl Iterator<Item = Slot>, state: SlotState) {
        slots.for_each(|slot| self.lock(slot).set_state(state));
    }

    /// Marks every entry, and every slot, as written by the snapshot with this epoch.
    pub(crate) fn mark_all(&self, epoch: u8) {
        for slot in Slot::all() {
            let mut data = self.0.keyspace.cell(slot).lock();
            data.walked = epoch;
            for db in 0..data.table_count() {
                let table = data.table_mut(db, self.0.keyspace.databases);
                for bucket in 0..table.bucket_count() {
                    table.for_bucket_mut(bucket, |entry| entry.set_epoch(epoch));
                }
            }
        }
    }
}

/// The world alone, whose slots are locked as they are asked for: as good as all of them.
pub struct AllSlots<'w, 'k> {
    /// In ascending order. Before the world, so that they are let go first.
    open: Vec<SlotGuard<'w>>,
    world: WorldExclusive<'k>,
}

impl<'w, 'k: 'w> AllSlots<'w, 'k> {
    /// No slot is locked yet.
    pub fn new(world: WorldExclusive<'k>) -> AllSlots<'w, 'k> {
        AllSlots { open: Vec::new(), world }
    }

    /// The guard of a slot. It stays locked until the world is asked for.
    pub fn get(&mut self, slot: Slot) -> &mut SlotGuard<'w> {
        let at = match self.open.binary_search_by_key(&slot, |guard| guard.slot) {
            Ok(at) => at,
            Err(at) => {
                // Nobody else is in the world, so the order in which slots are locked does not matter.
                self.open.insert(at, SlotGuard::new(self.world.0.keyspace, slot));
                at
            }
        };
        &mut self.open[at]
    }

    /// The guard of a slot that was asked for before, to be shared among readers.
    ///
    /// # Panics
    /// If it was not.
    pub fn peek(&self, slot: Slot) -> &SlotGuard<'w> {
        let at = self.open.binary_search_by_key(&slot, |guard| guard.slot);
        &self.open[at.expect("the slot was asked for before")]
    }

    /// The world itself; no slot is locked.
    pub fn world(&mut self) -> &mut WorldExclusive<'k> {
        self.open.clear();
        &mut self.world
    }

    /// Gives the world back.
    pub fn into_world(self) -> WorldExclusive<'k> {
        self.world
    }
}

#[cfg(test)]
mod tests;
