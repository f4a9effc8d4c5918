//! Snapshots without fork.
//!
//! A snapshot starts with the world locked for a moment: the epoch is raised. From then on every
//! entry whose own epoch is another is still to be written. The walk goes slot by slot and marks
//! the entries that it writes. A writer that is about to change an entry which is not marked hands
//! it to the sink first, and marks it. A new entry is born marked. While a slot is still to be
//! walked its tables do not shrink, so that nothing moves to buckets which the walk has passed.
//! Tables that are flushed meanwhile go to the walk whole. If databases are exchanged meanwhile,
//! the walk and the writers speak of each table by the number that it had at the start.
//!
//! A large value is not handed over as a whole, which could take seconds: it is captured, and shown
//! part by part (`large.rs`).
//!
//! Epochs are eight bits. A walk that ends has marked every entry, so only walks which were given
//! up leave old marks behind; before these could be taken for new ones a silent walk marks
//! everything.

mod large;

use crate::entry::{Entry, StringRef};
use crate::hash::KeyHash;
use crate::keyspace::{Keyspace, World, WorldExclusive};
use crate::slot::SlotGuard;
use large::{Address, LargeValues, LeftValues, is_large};
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tessera_collections::AnyCollection;
use tessera_collections::capture::{Part, Remains};
use tessera_collections::table::Table;
use tessera_slot::Slot;

pub use large::LargeHead;

/// Set in `Snapshots::state` while a snapshot is under way; the low eight bits are the epoch.
const ACTIVE: u32 = 1 << 8;
/// Walks that may be given up in a row before a silent walk is needed.
const MAX_GIVEN_UP: u32 = 200;
/// Buckets that one step of the walk looks at under one lock.
const BUCKETS_PER_STEP: usize = 16;

/// Bytes of a large value that one step of the walk shows under one lock.
const BYTES_PER_STEP: usize = 64 << 10;

/// The parts that the walk shows.
#[derive(Debug, Clone, Copy)]
pub enum Shown<'a> {
    /// An entry as it stood when the snapshot started, with the number of its database then.
    Entry(usize, &'a Entry),
    /// A large value. Its parts follow, and nothing else is shown before their end.
    Large(&'a LargeHead),
    /// The next bytes of a large string.
    Text(&'a [u8]),
    /// The next part of another large value.
    Part(Part<'a>),
    /// The large value is complete.
    End,
}

/// Receives entries that are about to change. Called with a slot locked: it must not block.
pub trait SnapshotSink: Send + Sync {
    /// The entry as it stood when the snapshot started.
    fn preserve(&self, db: usize, entry: &Entry);
}

/// Another snapshot is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotBusy;

/// The keyspace's part of snapshots.
#[derive(Default)]
pub(crate) struct Snapshots {
    /// Epoch and [`ACTIVE`]; changed only with the world locked.
    state: AtomicU32,
    /// Walks given up since the last one that ended; guarded by the world lock.
    given_up: AtomicU32,
    /// Set while a snapshot is under way; changed only with the world locked.
    present: RwLock<Option<Present>>,
    /// Tables that were flushed while the snapshot still needed them, by their database's number at
    /// its start.
    flushed: Mutex<Vec<FlushedTable>>,
    large: LargeValues,
}

/// A table that was flushed while the snapshot still needed it.
struct FlushedTable {
    slot: Slot,
    /// Its database's number at the start.
    home: usize,
    table: Table<Entry>,
}

/// The snapshot under way, as writers need to know it.
struct Present {
    sink: Arc<dyn SnapshotSink>,
    /// By database: its number at the start of the snapshot. Empty as long as none were exchanged.
    homes: Vec<usize>,
}

impl Present {
    /// The number at the start of what is database `db` now.
    fn home_of(&self, db: usize) -> usize {
        self.homes.get(db).copied().unwrap_or(db)
    }

    /// The present number of the database that was `home` at the start.
    fn now_of(&self, home: usize) -> usize {
        self.homes.iter().position(|&at| at == home).unwrap_or(home)
    }
}

impl Snapshots {
    /// The epoch of the snapshot which still has to write the entries of a slot walked last at
    /// `walked`.
    #[inline]
    pub(crate) fn pending(&self, walked: u8) -> Option<u8> {
        let state = self.state.load(Ordering::Relaxed);
        (state & ACTIVE != 0 && state as u8 != walked).then_some(state as u8)
    }

    /// The epoch with which entries are born.
    #[inline]
    pub(crate) fn epoch(&self) -> u8 {
        self.state.load(Ordering::Relaxed) as u8
    }

    /// The large values that are still to be shown.
    #[inline]
    pub(crate) fn large(&self) -> &LargeValues {
        &self.large
    }

    #[cold]
    pub(crate) fn preserve(&self, db: usize, hash: KeyHash, entry: &mut Entry) {
        if let Some(present) = &*self.present.read() {
            let home = present.home_of(db);
            if is_large(entry) {
                self.large.begin(home, hash, entry);
            } else {
                present.sink.preserve(home, entry);
            }
        }
    }

    /// A value has come to this entry, perhaps from another one.
    #[inline]
    pub(crate) fn on_value_placed(&self, db: usize, hash: KeyHash, entry: &Entry) {
        if !self.large.is_empty() {
            self.large.moved(self.home_of(db), hash, entry);
        }
    }

    fn home_of(&self, db: usize) -> usize {
        self.present.read().as_ref().map_or(db, |present| present.home_of(db))
    }

    /// Two databases have been exchanged, with the world locked.
    pub(crate) fn on_swap(&self, a: usize, b: usize, databases: usize) {
        if let Some(present) = &mut *self.present.write() {
            if present.homes.is_empty() {
                present.homes = (0..databases).collect();
            }
            present.homes.swap(a, b);
        }
    }

    /// Takes a flushed table if the snapshot still needs its entries; else gives it back.
    pub(crate) fn keep_flushed(
        &self,
        walked: u8,
        slot: Slot,
        db: usize,
        table: Table<Entry>,
    ) -> Option<Table<Entry>> {
        if !table.is_empty() && self.pending(walked).is_some() {
            self.flushed.lock().push(FlushedTable { slot, home: self.home_of(db), table });
            return None;
        }
        Some(table)
    }
}

/// A snapshot under way: the walk over all entries. Dropping it before the end gives it up.
pub struct Snapshot {
    keyspace: Arc<Keyspace>,
    epoch: u8,
    /// The slot under way; none when all have been walked.
    slot: Option<Slot>,
    /// The database under way, by its number at the start.
    db: usize,
    bucket: usize,
    /// The flushed table under way.
    flushed: Option<FlushedTable>,
    /// Flushed tables that have been shown. They are freed at the end, when no lock is held.
    spent: Vec<Table<Entry>>,
    /// The large value under way.
    large: Option<Showing>,
    ended: bool,
}

/// A large value that is being shown.
struct Showing {
    /// The address of its allocation.
    value: usize,
    /// Its entry, once that has left the keyspace.
    kept: Option<Entry>,
}

impl Snapshot {
    /// Starts a snapshot of the keyspace as it stands under this lock. `sink` receives, from other
    /// threads, the entries that change before the walk reaches them.
    ///
    /// # Errors
    /// [`SnapshotBusy`] while another one is under way.
    pub fn start(
        keyspace: &Arc<Keyspace>,
        world: &WorldExclusive<'_>,
        sink: Arc<dyn SnapshotSink>,
    ) -> Result<Snapshot, SnapshotBusy> {
        let snapshots = keyspace.snapshots();
        let state = snapshots.state.load(Ordering::Relaxed);
        if state & ACTIVE != 0 {
            return Err(SnapshotBusy);
        }
        if snapshots.given_up.load(Ordering::Relaxed) >= MAX_GIVEN_UP {
            world.mark_all(state as u8);
            snapshots.given_up.store(0, Ordering::Relaxed);
        }
        let epoch = (state as u8).wrapping_add(1);
        *snapshots.present.write() = Some(Present { sink, homes: Vec::new() });
        snapshots.state.store(u32::from(epoch) | ACTIVE, Ordering::Relaxed);
        Ok(Snapshot {
            keyspace: Arc::clone(keyspace),
            epoch,
            slot: Some(Slot::MIN),
            db: 0,
            bucket: 0,
            flushed: None,
            spent: Vec::new(),
            large: None,
            ended: false,
        })
    }

    /// Shows the next parts of a large value, or the entries of some more buckets; false at the end
    /// of the walk, or if it cannot be completed ([`Snapshot::is_complete`]). Never holds a slot's
    /// lock for more than a few buckets, or [`BYTES_PER_STEP`] of a large value.
    pub fn step(&mut self, world: &mut World<'_>, mut see: impl FnMut(Shown<'_>)) -> bool {
        if let Some(more) = self.step_large(world, &mut see) {
            return more;
        }
        let Some(slot) = self.slot else { return self.step_flushed(&mut see) };
        let databases = self.keyspace.databases();
        let mut guard = world.lock(slot);
        let mut budget = BUCKETS_PER_STEP;
        while self.db < databases {
            let now = self.now_of(self.db);
            let Some(count) = guard.data.table(now).map(Table::bucket_count) else {
                (self.db, self.bucket) = (self.db + 1, 0);
                continue;
            };
            // After a flush the table may end before the walk's place: all in it is new.
            let end = (self.bucket + budget).min(count).max(self.bucket);
            let (db, table) = (self.db, guard.data.table_mut(now, databases));
            for bucket in self.bucket..end {
                self.show(db, table, bucket, &mut see);
            }
            budget -= end - self.bucket;
            self.bucket = end;
            if end < count {
                return true;
            }
            (self.db, self.bucket) = (self.db + 1, 0);
        }
        guard.data.walked = self.epoch;
        (self.db, self.bucket) = (0, 0);
        self.slot = Slot::new(slot.number() + 1);
        true
    }

    /// Begins with a large value, or shows the next parts of the one under way. `None`: there is
    /// none; false: it is lost.
    fn step_large(
        &mut self,
        world: &mut World<'_>,
        see: &mut impl FnMut(Shown<'_>),
    ) -> Option<bool> {
        let keyspace = Arc::clone(&self.keyspace);
        let large = &keyspace.snapshots().large;
        let Some(showing) = &mut self.large else {
            let (value, head) = large.first()?;
            see(Shown::Large(&head));
            self.large = Some(Showing { value, kept: None });
            return Some(true);
        };
        let value = showing.value;
        if showing.kept.is_none() {
            showing.kept = large.take_kept(value);
        }
        let remains = if let Some(entry) = &mut showing.kept {
            show_parts(large, value, entry, see)
        } else {
            let Some(mut found) = lock_large(large, value, world) else {
                // It has been kept since; or else it is nowhere, which cannot be mended.
                showing.kept = large.take_kept(value);
                return Some(showing.kept.is_some());
            };
            let databases = keyspace.databases();
            let table = found.guard.data.table_mut(self.now_of(found.address.home), databases);
            let entry = table.get_mut(&found.address.key, found.address.hash.code);
            match entry.filter(|entry| entry.value_address() == Some(value)) {
                Some(mut entry) => show_parts(large, value, &mut entry, see),
                None => return Some(false),
            }
        };
        // Little remains of a capture of which all was shown.
        if let Some(remains) = remains {
            see(Shown::End);
            drop(remains);
            if let Some(entry) = self.large.take().and_then(|showing| showing.kept) {
                keyspace.discards().entry(entry);
            }
        }
        Some(true)
    }

    /// Shows some buckets of a table that was flushed.
    fn step_flushed(&mut self, see: &mut impl FnMut(Shown<'_>)) -> bool {
        if self.flushed.is_none() {
            self.flushed = self.keyspace.snapshots().flushed.lock().pop();
            self.bucket = 0;
        }
        let Some(FlushedTable { slot, home, mut table }) = self.flushed.take() else {
            self.ended = true;
            return false;
        };
        let end = (self.bucket + BUCKETS_PER_STEP).min(table.bucket_count());
        for bucket in self.bucket..end {
            self.show(home, &mut table, bucket, see);
        }
        // Large values are found by their keys in the keyspace, or kept.
        self.keyspace.snapshots().large.rescue(slot, &mut table, self.keyspace.hasher());
        self.bucket = end;
        if end < table.bucket_count() {
            self.flushed = Some(FlushedTable { slot, home, table });
        } else {
            self.spent.push(table);
        }
        true
    }

    /// The present number of the database that was this one at the start. It stays so while the
    /// world is entered.
    fn now_of(&self, home: usize) -> usize {
        let present = self.keyspace.snapshots().present.read();
        present.as_ref().map_or(home, |present| present.now_of(home))
    }

    fn show(
        &self,
        db: usize,
        table: &mut Table<Entry>,
        bucket: usize,
        see: &mut impl FnMut(Shown<'_>),
    ) {
        table.for_bucket_mut(bucket, |entry| {
            if entry.epoch() == self.epoch {
                return;
            }
            if is_large(entry) {
                let hash = self.keyspace.locate(entry.key());
                self.keyspace.snapshots().large.begin(db, hash, entry);
            } else {
                see(Shown::Entry(db, entry));
            }
            entry.set_epoch(self.epoch);
        });
    }

    /// Whether all has been shown.
    pub fn is_complete(&self) -> bool {
        self.ended
    }

    /// Whether the parts of a large value are being shown, and nothing else may come between them.
    pub fn is_within_large(&self) -> bool {
        self.large.is_some()
    }

    /// The share of slots that have been walked, from 0 to 1.
    pub fn progress(&self) -> f64 {
        self.slot.map_or(1.0, |slot| slot.index() as f64 / tessera_slot::SLOT_COUNT as f64)
    }
}

/// A large value in its slot.
struct Locked<'w> {
    guard: SlotGuard<'w>,
    address: Address,
}

/// Locks the slot in which a large value is. `None`: it is in none.
fn lock_large<'w>(
    large: &LargeValues,
    value: usize,
    world: &'w mut World<'_>,
) -> Option<Locked<'w>> {
    loop {
        let address = large.address_of(value)?;
        let guard = SlotGuard::new(world.keyspace(), address.hash.slot());
        // It may have been moved before the slot was locked.
        if large.address_of(value)? == address {
            return Some(Locked { guard, address });
        }
    }
}

/// Shows the next parts of a large value; at their end, what is left of its capture.
fn show_parts(
    large: &LargeValues,
    value: usize,
    entry: &mut Entry,
    see: &mut impl FnMut(Shown<'_>),
) -> Option<Remains> {
    let more = match entry.string() {
        Some(StringRef::Bytes(bytes)) => {
            let mut text = large.take_text(value);
            let more = text.step(bytes, |bytes| see(Shown::Text(bytes)));
            large.put_text(value, text);
            Some(more)
        }
        _ => entry.edit_collection(|any| {
            any.capture_step(BYTES_PER_STEP, &mut |part| see(Shown::Part(part)))
        }),
    };
    if more == Some(true) {
        return None;
    }
    large.remove(value);
    let remains = entry.edit_collection(AnyCollection::end_capture);
    Some(remains.unwrap_or_else(Remains::none))
}

impl Snapshot {
    /// Ends the captures that are left when the snapshot is given up, with the world locked. The
    /// result may take long to free.
    fn give_up_large(&self, present: &Present) -> (LeftValues, Vec<Remains>) {
        let end = |(value, address): (usize, &Address)| {
            let mut data = self.keyspace.cell(address.hash.slot()).lock();
            let now = present.now_of(address.home);
            let table = data.table_mut(now, self.keyspace.databases());
            let mut entry = table.get_mut(&address.key, address.hash.code)?;
            let is_it = entry.value_address() == Some(value);
            is_it.then(|| entry.edit_collection(AnyCollection::end_capture))?
        };
        let left = self.keyspace.snapshots().large.drain();
        let remains = left.in_slots().filter_map(end).collect();
        (left, remains)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let world = self.keyspace.enter_exclusive();
        let snapshots = self.keyspace.snapshots();
        snapshots.state.fetch_and(!ACTIVE, Ordering::Relaxed);
        let present = snapshots.present.write().take();
        let given_up = if self.ended { 0 } else { snapshots.given_up.load(Ordering::Relaxed) + 1 };
        snapshots.given_up.store(given_up, Ordering::Relaxed);
        let flushed = std::mem::take(&mut *snapshots.flushed.lock());
        let large = present.map(|present| self.give_up_large(&present));
        drop(world);
        drop((flushed, large));
    }
}
