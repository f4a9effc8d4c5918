//! Active expiry: keys, and fields of hashes (`fields.rs`), whose time has come are removed though
//! nobody asks for them.
//!
//! The caller owns the place where the walk stands, and decides how long it goes on. Each step
//! locks one slot for a few buckets, so that no command waits for long.

use crate::{Engine, Mode};
use std::sync::atomic::Ordering::Relaxed;
use tessera_slot::{Millis, SLOT_COUNT, Slot};
use tessera_store::{Lookup, SlotGuard, World};

/// Buckets that one step looks at.
const BUCKETS: usize = 16;
/// Slots without anything to expire that are passed before the caller is asked whether to go on.
const SLOTS_UNASKED: u16 = 256;

/// The position of the walk through all databases of all slots.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExpireCursor {
    pub(crate) slot: u16,
    pub(crate) db: usize,
    pub(crate) bucket: usize,
    /// The slot's keys are through: the fields of its hashes come next.
    fields: bool,
}

impl ExpireCursor {
    /// Goes on to the next slot. `true`: that was the last one.
    fn next_slot(&mut self) -> bool {
        let slot = (self.slot + 1) % SLOT_COUNT as u16;
        *self = ExpireCursor { slot, ..ExpireCursor::default() };
        slot == 0
    }
}

/// The outcome of a call of [`Engine::expire_cycle`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Expired {
    /// Keys, and fields of hashes, removed.
    pub removed: u64,
    /// Whether the walk came to its end; else the time was up.
    pub complete: bool,
    /// Whether there was anything that expires, now or later.
    pub any: bool,
}

impl Engine {
    /// Walks on from `cursor`, removing the keys whose time has come, until all slots were seen or
    /// `time_left` says no; it is asked after each step of a few buckets. A replica removes only
    /// what clients have written to it: of all else its primary tells it what to. While clients are
    /// paused nothing is removed.
    ///
    /// `thread` is the number of the calling thread, whose counters are used; it must not be inside
    /// the world.
    pub fn expire_cycle(
        &self,
        thread: usize,
        now: Millis,
        cursor: &mut ExpireCursor,
        mut time_left: impl FnMut() -> bool,
    ) -> Expired {
        let (mut removed, mut any) = (0, false);
        loop {
            // Entered anew for each slot, since whoever wants the world alone must not wait for a
            // whole round.
            let mut world = self.keyspace.enter(thread);
            let mode = self.mode();
            let is_paused = mode.any(Mode::WRITES_PAUSED) || self.pause_end(now).is_some();
            if !self.active_expiry.load(Relaxed) || is_paused {
                return Expired { removed, complete: true, any: true };
            }
            if mode.any(Mode::REPLICA) {
                drop(world);
                removed += self.expire_replica_keys(thread, now);
                return Expired { removed, complete: true, any: true };
            }
            self.replica_keys.clear();
            while let Some(count) = self.step(&mut world, thread, now, cursor) {
                removed += count;
                any = true;
                if !time_left() {
                    return Expired { removed, complete: false, any };
                }
            }
            if cursor.next_slot() {
                return Expired { removed, complete: true, any };
            }
            if cursor.slot.is_multiple_of(SLOTS_UNASKED) && !time_left() {
                return Expired { removed, complete: false, any };
            }
        }
    }

    /// One step in the cursor's slot, whose keys come first, and then the fields of its hashes.
    fn step(
        &self,
        world: &mut World<'_>,
        thread: usize,
        now: Millis,
        cursor: &mut ExpireCursor,
    ) -> Option<u64> {
        if !cursor.fields {
            if let Some(count) = self.expire_step(world, thread, now, cursor) {
                return Some(count);
            }
            *cursor = ExpireCursor { slot: cursor.slot, fields: true, ..ExpireCursor::default() };
        }
        self.sweep_step(world, thread, now, cursor)
    }

    /// One step in the cursor's slot: a few buckets of one database. Gives the number of keys
    /// removed, `None` if the slot has nothing left to look at.
    fn expire_step(
        &self,
        world: &mut World<'_>,
        thread: usize,
        now: Millis,
        cursor: &mut ExpireCursor,
    ) -> Option<u64> {
        // The next round comes to a slot that somebody has locked.
        let mut guard = world.try_lock(Slot::from_low_bits(cursor.slot))?;
        let mut databases = cursor.db..self.keyspace.databases();
        let db = databases.find(|&db| guard.expiring(db) > 0)?;
        let from = if db == cursor.db { cursor.bucket } else { 0 };
        let mut due: Vec<Vec<u8>> = Vec::new();
        let next = guard.expiring_keys(db, from, BUCKETS, |entry| {
            if entry.expiry().is_some_and(|at| at <= now) {
                due.push(entry.key().to_vec());
            }
        });
        due.retain(|key| self.remove_expired(&mut guard, thread, db, key));
        let mut news = Vec::new();
        guard.settle(true, |db, key| news.push((db, key.to_vec())));
        drop(guard);
        self.serve_news(world, thread, now, news);
        (cursor.db, cursor.bucket) = if next == 0 { (db + 1, 0) } else { (db, next) };
        Some(due.len() as u64)
    }

    fn remove_expired(
        &self,
        guard: &mut SlotGuard<'_>,
        thread: usize,
        db: usize,
        key: &[u8],
    ) -> bool {
        let hash = self.keyspace.locate(key);
        let config = self.config();
        match guard.lookup(db, key, hash) {
            Lookup::Found(found) => {
                self.told(self.stats.thread(thread), &config).expired(None, db, key);
                found.delete();
                true
            }
            Lookup::Vacant(_) => false,
        }
    }
}
