//! All slots, and the world lock above them.

use crate::access::{AccessClock, Lfu};
use crate::discard::Discards;
use crate::entry::Entry;
use crate::hash::{KeyHash, MemberHash};
use crate::held::{Held, Outside};
use crate::patience::{Busy, Counted, Counts, LONG_WORLD_WAIT, Patience, WORLD_WAIT, WantedStates};
use crate::rest::Rest;
use crate::sample::NoneExpires;
use crate::slot::{ManySlots, SlotCell, SlotGuard, SlotHint};
use crate::snapshot::Snapshots;
use crossbeam_utils::CachePadded;
use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tessera_collections::hasher::KeyHasher;
use tessera_collections::table::{Table, prefetch};
use tessera_slot::{Millis, SLOT_COUNT, Slot, SlotState};

/// The rule that chooses a key's slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placement {
    /// CRC16 of the hash tag, as a cluster demands.
    Cluster,
    /// The keyed hash: cheaper, and invisible from outside.
    Local,
}

/// How a keyspace is made.
#[derive(Clone, Copy, Debug)]
pub struct KeyspaceOptions {
    /// The number of databases, at least 1.
    pub databases: usize,
    /// The rule that chooses a key's slot.
    pub placement: Placement,
    /// The secret seed of the hash function.
    pub seed: u64,
    /// Shards of the world lock: one for each thread that runs commands.
    pub threads: usize,
}

/// A shard of the world lock.
#[derive(Default)]
struct Shard {
    lock: RwLock<()>,
    /// Its thread runs a command, and others meanwhile ([`Keyspace::interrupt`]). Only that thread
    /// stores and reads it.
    is_interrupted: AtomicBool,
}

/// All keys of a node.
pub struct Keyspace {
    cells: Box<[SlotCell]>,
    hints: Box<[SlotHint]>,
    world: Box<[CachePadded<Shard>]>,
    /// Held while a thread gathers all shards, so that no two take them from each other.
    turnstile: Mutex<()>,
    /// All shards are being gathered: a thread that would begin a batch waits at the turnstile, so
    /// that all batches under way come to their end at the same time.
    is_closed: AtomicBool,
    wanted_states: WantedStates,
    counts: Counts,
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
            turnstile: Mutex::default(),
            is_closed: AtomicBool::new(false),
            wanted_states: WantedStates::default(),
            counts: Counts::default(),
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

    /// The place of a key.
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

    /// All stages for the keys of one command, before their slots are locked: the memory that they
    /// need is asked for at once, and not one key after another. Of very many keys it is the first
    /// ones', which fit into the second-level cache.
    pub fn prefetch_keys(&self, hashes: &[KeyHash]) {
        const MOST: usize = 1024;
        if hashes.len() < 2 {
            return;
        }
        let hashes = &hashes[..hashes.len().min(MOST)];
        hashes.iter().for_each(|&hash| self.prefetch_slot(hash));
        hashes.iter().for_each(|&hash| self.prefetch_bucket(hash));
        hashes.iter().for_each(|&hash| self.prefetch_entry(hash));
    }

    /// Further stages, from step 0 on: what leads to this member of the value in database 0. False:
    /// that was the last.
    #[inline]
    pub fn prefetch_value(&self, hash: KeyHash, step: u8, member: MemberHash) -> bool {
        self.cell(hash.slot).prefetch_value(hash, step, member.0)
    }

    /// Enters the world for a batch of commands; `thread` chooses the shard of the lock.
    #[inline]
    pub fn enter(&self, thread: usize) -> World<'_> {
        let shard = &self.world[thread % self.world.len()];
        let lock = match shard.is_interrupted.load(Relaxed) {
            false => {
                if self.is_closed.load(Relaxed) {
                    drop(self.turnstile.lock());
                }
                shard.lock.read()
            }
            // Who waits for the world alone waits for this thread, which must not wait for it.
            true => shard.lock.read_recursive(),
        };
        World { keyspace: self, hold: Hold::Shard(lock), _held: Held::new() }
    }

    /// This thread, which is in the world with a long command, runs others until the guard is
    /// dropped: it may enter the world again. It must take slots with [`World::lock_within`] only,
    /// since some are locked by that command.
    pub fn interrupt(&self, thread: usize) -> Interrupted<'_> {
        let shard = &self.world[thread % self.world.len()];
        let was = shard.is_interrupted.swap(true, Relaxed);
        Interrupted { shard, was, _outside: Outside::new() }
    }

    /// Enters the world alone. Waits until all batches under way are through, however long that
    /// takes; others go on meanwhile.
    pub fn enter_exclusive(&self) -> WorldExclusive<'_> {
        let mut slowest = 0;
        loop {
            // Nothing else is held while this one is waited for: only its own thread stands still.
            let first = self.world[slowest].lock.write();
            let turnstile = self.turnstile.lock();
            match self.gather(slowest, Some(first), LONG_WORLD_WAIT) {
                Ok(shards) => return self.alone(shards),
                Err(busy) => slowest = busy,
            }
            drop(turnstile);
        }
    }

    /// As [`Keyspace::enter_exclusive`], for a thread that does not wait for long.
    ///
    /// # Errors
    /// If a batch under way does not come to its end.
    pub fn enter_exclusive_within(&self, patience: &Patience) -> Result<WorldExclusive<'_>, Busy> {
        if patience.is_unlimited() {
            return Ok(self.enter_exclusive());
        }
        let wait = if patience.is_left() { WORLD_WAIT } else { Duration::ZERO };
        let shards = self
            .turnstile
            .try_lock_for(wait)
            .and_then(|_turnstile| self.gather(0, None, wait).ok());
        match shards {
            Some(shards) => Ok(self.alone(shards)),
            None => {
                patience.has_waited_in_vain();
                Err(Busy::World)
            }
        }
    }

    /// Takes, behind the turnstile, all shards of the world lock, of which `held` is the one with
    /// the number `at`. If one is not to be had soon, all are given back, and its number is the
    /// error.
    fn gather<'k>(
        &'k self,
        at: usize,
        mut held: Option<RwLockWriteGuard<'k, ()>>,
        wait: Duration,
    ) -> Result<Vec<RwLockWriteGuard<'k, ()>>, usize> {
        self.is_closed.store(true, Relaxed);
        let shards = self.world.iter().enumerate();
        let gathered = shards
            .map(|(index, shard)| match held.take_if(|_| index == at) {
                Some(shard) => Ok(shard),
                None => shard.lock.try_write_for(wait).ok_or(index),
            })
            .collect();
        self.is_closed.store(false, Relaxed);
        gathered
    }

    fn alone<'k>(&'k self, shards: Vec<RwLockWriteGuard<'k, ()>>) -> WorldExclusive<'k> {
        WorldExclusive(World { keyspace: self, hold: Hold::Alone(shards), _held: Held::new() })
    }

    /// Changes what this node may do with a slot's keys: at once, or, if somebody has the slot
    /// locked, before anybody else has it. False: it was not at once.
    pub fn set_state_soon(&self, slot: Slot, state: SlotState) -> bool {
        if let Some(mut guard) = SlotGuard::try_new(self, slot) {
            guard.set_state(state);
            return true;
        }
        self.wanted_states.want(slot, state);
        // It may have been let go meanwhile by somebody who did not see this.
        SlotGuard::try_new(self, slot).is_some()
    }

    /// Gives slots that are free by now the states that are wanted of them. True: of none anything
    /// is wanted any more.
    pub fn settle_states(&self) -> bool {
        let slots = self.wanted_states.slots();
        slots.into_iter().for_each(|slot| drop(SlotGuard::try_new(self, slot)));
        !self.wanted_states.any()
    }

    /// Whether nobody has this slot locked just now.
    pub fn is_free(&self, slot: Slot) -> bool {
        self.cell(slot).try_lock().is_some()
    }

    #[inline]
    pub(crate) fn wanted_states(&self) -> &WantedStates {
        &self.wanted_states
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

    /// The access clock of an entry that comes from elsewhere (RESTORE, a load): of the seconds
    /// since it was last used, and the counter of its uses, the policy takes what it can use.
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

    /// The values that are freed in the background.
    #[inline]
    pub fn discards(&self) -> &Discards {
        &self.discards
    }

    /// An entry has left the keyspace: it is freed, now or later. If a snapshot still needs it, it
    /// gives about how many bytes are kept.
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

    /// Whether a key got an expiry since the last call: what was found to have none may have some
    /// now.
    pub fn take_expiry_news(&self) -> bool {
        self.none_expires.take_news()
    }

    /// Whether a database other than 0 may have keys.
    pub(crate) fn has_other_databases(&self) -> bool {
        self.has_others.load(Relaxed)
    }

    /// A database other than 0 gets keys.
    #[inline]
    pub(crate) fn mark_other_databases(&self) {
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

    /// The number of keys of database 0 in a slot just now; if somebody has it locked, what was
    /// last counted, and at least 1. To be called by whoever holds no slot's lock, in the world or
    /// out of it.
    pub fn peek_len(&self, slot: Slot) -> usize {
        match self.cell(slot).try_lock_for(crate::patience::WAIT) {
            Some(data) => data.first.len(),
            None => self.counts.last(slot).keys.max(1),
        }
    }

    /// Whether database 0 had no keys in this slot when a thread last looked.
    pub(crate) fn seems_empty(&self, slot: Slot) -> bool {
        self.hint(slot).seems_empty()
    }
}

/// A thread runs other commands in the middle of a long one.
pub struct Interrupted<'k> {
    shard: &'k Shard,
    was: bool,
    _outside: Outside,
}

impl Drop for Interrupted<'_> {
    fn drop(&mut self) {
        self.shard.is_interrupted.store(self.was, Relaxed);
    }
}

/// Commands are running: nobody else can have the world alone. Slots are locked through it, one
/// guard at a time, which keeps the lock order.
pub struct World<'k> {
    keyspace: &'k Keyspace,
    hold: Hold<'k>,
    _held: Held,
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

    /// Locks one slot, however long that takes: for threads that serve no clients.
    #[inline]
    pub fn lock<'w>(&'w mut self, slot: Slot) -> SlotGuard<'w> {
        SlotGuard::new(self.keyspace, slot)
    }

    /// Locks one slot if it is free.
    #[inline]
    pub fn try_lock<'w>(&'w mut self, slot: Slot) -> Option<SlotGuard<'w>> {
        SlotGuard::try_new(self.keyspace, slot)
    }

    /// Locks one slot.
    ///
    /// # Errors
    /// If somebody has it locked for longer than the thread waits.
    #[inline]
    pub fn lock_within<'w>(
        &'w mut self,
        slot: Slot,
        patience: &Patience,
    ) -> Result<SlotGuard<'w>, Busy> {
        SlotGuard::within(self.keyspace, slot, patience)
    }

    /// Locks several slots, in ascending order, each once.
    ///
    /// # Errors
    /// If somebody has one of them locked for longer than the thread waits; then none is.
    pub fn lock_many_within<'w>(
        &'w mut self,
        slots: &mut Vec<Slot>,
        patience: &Patience,
    ) -> Result<ManySlots<'w>, Busy> {
        slots.sort_unstable();
        slots.dedup();
        let mut guards = Vec::with_capacity(slots.len());
        for &slot in slots.iter() {
            guards.push(SlotGuard::within(self.keyspace, slot, patience)?);
        }
        Ok(ManySlots(guards))
    }

    /// Locks all slots, one after another, and calls `see` with each; passes over those that
    /// somebody has locked for longer than the thread waits.
    pub fn for_each_free_slot(
        &mut self,
        patience: &Patience,
        mut see: impl FnMut(&mut SlotGuard<'_>),
    ) {
        for slot in Slot::all() {
            if let Ok(mut guard) = self.lock_within(slot, patience) {
                see(&mut guard);
            }
        }
    }

    /// Counts the keys of some databases. Each slot is counted at its own moment; one that somebody
    /// has locked for long counts as it was counted last, which is only known of database 0.
    pub fn count(&mut self, dbs: Range<usize>, patience: &Patience) -> Vec<Counted> {
        let mut all = vec![Counted::default(); dbs.len()];
        for slot in Slot::all() {
            let counts = &self.keyspace.counts;
            let Ok(guard) = SlotGuard::within(self.keyspace, slot, patience) else {
                if dbs.start == 0 {
                    all[0].add(counts.last(slot));
                }
                continue;
            };
            for (db, sum) in dbs.clone().zip(&mut all) {
                let here = guard.counted(db);
                sum.add(here);
                if db == 0 {
                    counts.note(slot, here);
                }
            }
        }
        all
    }
}

/// The world, entered by this thread alone.
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

    /// Lets other threads in again, except those that want the world alone: the caller's next steps
    /// come before theirs. `thread` chooses the shard of the lock, as for [`Keyspace::enter`].
    pub fn share(self, thread: usize) -> World<'k> {
        let keyspace = self.0.keyspace;
        let hold = match self.0.hold {
            Hold::Alone(mut shards) => {
                let own = shards.swap_remove(thread % shards.len());
                Hold::Shard(RwLockWriteGuard::downgrade(own))
            }
            hold @ Hold::Shard(_) => hold,
        };
        World { keyspace, hold, _held: Held::new() }
    }

    /// Locks one slot; no other thread contends for it.
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
                guard.on_flush(index);
                let table = guard.data.table_mut(index, *databases);
                let mut table = std::mem::take(table);
                snapshots.large().rescue(slot, &mut table, hasher);
                flushed.0.extend(snapshots.keep_flushed(walked, slot, index, table));
            }
        }
        guard.publish_layout();
    }

    /// Exchanges two databases. At `now` (Unix ms) it is judged which keys are still there for
    /// those who watch them.
    pub fn swap(&mut self, a: usize, b: usize, now: Millis) {
        if a == b {
            return;
        }
        self.0.keyspace.mark_other_databases();
        for slot in Slot::all() {
            let databases = self.0.keyspace.databases;
            let mut guard = self.lock(slot);
            guard.on_swap(a, b, now);
            let first = std::mem::take(guard.data.table_mut(a, databases));
            let second = std::mem::replace(guard.data.table_mut(b, databases), first);
            *guard.data.table_mut(a, databases) = second;
            guard.publish_layout();
        }
        self.0.keyspace.snapshots.on_swap(a, b, self.0.keyspace.databases);
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
                // No other thread is in the world, so the order in which slots are locked does not
                // matter.
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
