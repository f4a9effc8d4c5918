//! Fields of hashes whose time has come.
//!
//! They are invisible: commands ask a hash for its fields as of [`Db::field_time`]. A primary
//! removes them before a command writes to them, and in steps of active expiry (`expire.rs`), and
//! tells its replicas with HDEL. A replica waits for that.

use crate::Engine;
use crate::db::Told;
use crate::db::{Db, ExpiredKeys, Key};
use crate::expire::ExpireCursor;
use crate::notify::EventClass;
use crate::unit::Unit;
use tessera_collections::{Collection, Hash};
use tessera_slot::{Millis, Slot};
use tessera_store::{Found, Lookup, SlotGuard, World};

/// Buckets of the keyspace that one step looks at.
const KEY_BUCKETS: usize = 16;
/// Hashes that one step looks into.
const HASHES: usize = 4;
/// Buckets of one hash that one step looks at.
const FIELD_BUCKETS: usize = 16;

/// The outcome for a hash that was searched for due fields.
struct Swept {
    /// The fields that were removed.
    fields: Vec<Vec<u8>>,
    /// Whether the key went with the last of them.
    deleted: bool,
    /// Whether there may be more.
    more: bool,
}

/// Removes due fields from some buckets of a hash, if it may have any.
fn sweep(mut found: Found<'_, '_>, now: u64) -> Option<Swept> {
    if !found.collection::<Hash>()?.may_be_due(now) {
        return None;
    }
    let mut fields = Vec::new();
    let more = found.edit::<Hash>()?.sweep(now, FIELD_BUCKETS, |name| fields.push(name.to_vec()));
    let deleted = delete_if_empty(found);
    Some(Swept { fields, deleted, more: more && !deleted })
}

fn delete_if_empty(found: Found<'_, '_>) -> bool {
    let is_empty = found.collection::<Hash>().is_some_and(|hash| hash.is_empty());
    if is_empty {
        found.delete();
    }
    is_empty
}

impl Told<'_> {
    /// Tells of fields whose time had come, and of the key that went with the last of them.
    #[cold]
    fn fields_expired<F: AsRef<[u8]>>(
        self,
        unit: Option<&mut Unit>,
        db: usize,
        key: &[u8],
        fields: &[F],
        deleted: bool,
    ) {
        self.stats.bump(|stats| &stats.expired_fields, fields.len() as u64);
        if self.log.is_active() {
            let mut command: Vec<&[u8]> = vec![b"HDEL", key];
            command.extend(fields.iter().map(AsRef::as_ref));
            match unit {
                Some(unit) => unit.push(db, command.iter().map(|arg| arg.to_vec()).collect()),
                None => drop(self.log.append_command(db as u32, &command)),
            }
        }
        self.notifier.happened(db, EventClass::Hash, "hexpired", key);
        if deleted {
            self.notifier.happened(db, EventClass::Generic, "del", key);
        }
    }
}

impl Engine {
    /// One step of active expiry of fields in the cursor's slot. Gives the number of fields
    /// removed, `None` if the slot has nothing left to look at.
    pub(crate) fn sweep_step(
        &self,
        world: &mut World<'_>,
        thread: usize,
        now: Millis,
        cursor: &mut ExpireCursor,
    ) -> Option<u64> {
        let mut guard = world.try_lock(Slot::from_low_bits(cursor.slot))?;
        let mut databases = cursor.db..self.keyspace.databases();
        let db = databases.find(|&db| guard.aging(db) > 0)?;
        let from = if db == cursor.db { cursor.bucket } else { 0 };
        let mut due: Vec<Vec<u8>> = Vec::new();
        let next = guard.aging_keys(db, from, KEY_BUCKETS, |entry| {
            if entry.collection::<Hash>().is_some_and(|hash| hash.may_be_due(now.0)) {
                due.push(entry.key().to_vec());
            }
        });
        // Fields that this step does not come to are left for the next one.
        let mut is_done = due.len() <= HASHES;
        let mut removed = 0;
        for key in due.iter().take(HASHES) {
            if let Some(swept) = self.sweep_hash(&mut guard, thread, now, db, key) {
                removed += swept.fields.len() as u64;
                is_done &= !swept.more;
            }
        }
        let mut news = Vec::new();
        guard.settle(true, |db, key| news.push((db, key.to_vec())));
        drop(guard);
        self.serve_news(world, thread, now, news);
        (cursor.db, cursor.bucket) = match (is_done, next) {
            (false, _) => (db, from),
            (true, 0) => (db + 1, 0),
            (true, next) => (db, next),
        };
        Some(removed)
    }

    fn sweep_hash(
        &self,
        guard: &mut SlotGuard<'_>,
        thread: usize,
        now: Millis,
        db: usize,
        key: &[u8],
    ) -> Option<Swept> {
        let Lookup::Found(found) = guard.lookup(db, key, self.keyspace.locate(key)) else {
            return None;
        };
        let swept = sweep(found, now.0)?;
        if !swept.fields.is_empty() {
            let told = self.told(self.stats.thread(thread), &self.config());
            told.fields_expired(None, db, key, &swept.fields, swept.deleted);
        }
        Some(swept)
    }
}

impl Db<'_, '_> {
    /// The time (Unix ms) as of which the fields of hashes are there for this command's client; 0:
    /// all of them are.
    #[inline]
    pub(crate) fn field_time(&self) -> u64 {
        if self.expired == ExpiredKeys::Show { 0 } else { self.now.0 }
    }

    /// Removes those of these fields whose time has come, and tells replicas, who could not know it
    /// when they run the command that follows. Costs nothing where no hash of the slot has fields
    /// that expire.
    #[inline]
    pub(crate) fn retire_fields<'a>(
        &mut self,
        key: Key<'_>,
        names: impl Iterator<Item = &'a [u8]>,
    ) {
        if self.expired == ExpiredKeys::Remove
            && self.locks.guard(key.hash.slot()).aging(self.index) > 0
        {
            self.retire(key, names);
        }
    }

    fn retire<'a>(&mut self, key: Key<'_>, names: impl Iterator<Item = &'a [u8]>) {
        let now = self.now.0;
        let Lookup::Found(mut found) = self.lookup(key) else { return };
        let is_due = |found: &Found<'_, '_>| {
            found.collection::<Hash>().is_some_and(|hash| hash.may_be_due(now))
        };
        if !is_due(&found) {
            return;
        }
        let due = |found: &Found<'_, '_>, name: &[u8]| {
            let hash = found.collection::<Hash>();
            hash.is_some_and(|hash| {
                hash.expiry(name, 0).is_some() && hash.expiry(name, now).is_none()
            })
        };
        let mut fields: Vec<&[u8]> = Vec::new();
        for name in names {
            if due(&found, name)
                && let Some(mut hash) = found.edit::<Hash>()
            {
                hash.retire(name, now);
                fields.push(name);
            }
        }
        if fields.is_empty() {
            return;
        }
        let deleted = delete_if_empty(found);
        let (told, db) = (self.told, self.index);
        told.fields_expired(self.unit.as_deref_mut(), db, key.bytes, &fields, deleted);
    }
}
