//! Values that have come to rest give up the room that they had to grow.
//!
//! A compact collection that grows is moved to a block with room to grow on (`alloc`,
//! `tessera_collections::growth`), up to a quarter of its size. The code that changes an entry
//! notes it here when that has happened, and so does the code that edits a string that grows
//! (`growth`). [`Keyspace::fit_rested`], which a thread of the server calls every tenth of a second
//! or so, looks at the noted values. A value that has not changed since the last look is fitted to
//! its size. One that has is looked at again, each time after twice the time, so that a value which
//! changes all the time costs nothing.
//!
//! An entry knows that it is noted, and is noted once. A note is slot, database and hash. An entry
//! that happens to look the same by these is fitted in place of the one that was meant, which does
//! no harm.

use crate::hash::KeyHash;
use crate::keyspace::Keyspace;
use crate::slot::SlotGuard;
use parking_lot::Mutex;
use tessera_collections::hasher::HashCode;
use tessera_slot::Slot;

/// Notes that are kept, at most: 6 MB. Values that grow beyond that keep their room.
const MOST: usize = 1 << 18;
/// Values that are looked at before another thread may have the world alone.
const AT_ONCE: usize = 64;
/// The longest wait of a value that changes all the time: 2 to this power, calls.
const PATIENCE: u8 = 6;

/// A value that has room to grow.
struct Note {
    slot: Slot,
    db: u16,
    /// How often it had changed when it was looked at.
    changes: u8,
    /// Calls until it is looked at.
    wait: u8,
    /// Its extent when it was looked at last, or the lower half of it.
    extent: u32,
    code: HashCode,
}

/// Values that have room to grow. The mutex is a leaf: nothing is locked under it.
#[derive(Default)]
pub(crate) struct Rest(Mutex<Notes>);

#[derive(Default)]
struct Notes {
    list: Vec<Note>,
    /// How many are not in the list, for they are just looked at. They have a place in it: an entry
    /// whose note was lost would never be noted again.
    looked_at: usize,
}

impl Rest {
    /// Notes a value that has grown; whether there was room for the note.
    #[cold]
    pub(crate) fn note(&self, hash: KeyHash, db: usize, extent: usize) -> bool {
        let db = u16::try_from(db).unwrap_or(u16::MAX);
        let mut notes = self.0.lock();
        let has_room = notes.list.len() + notes.looked_at < MOST;
        if has_room {
            let (code, slot) = (hash.code, hash.slot);
            notes.list.push(Note { slot, db, changes: 0, wait: 0, extent: extent as u32, code });
        }
        has_room
    }

    /// All notes, to be looked at.
    fn take(&self) -> Vec<Note> {
        let mut notes = self.0.lock();
        notes.looked_at += notes.list.len();
        std::mem::take(&mut notes.list)
    }

    /// Puts back the notes that are left of those taken, beside the ones made meanwhile.
    fn put_back(&self, mut left: Vec<Note>, taken: usize) {
        let mut notes = self.0.lock();
        notes.looked_at -= taken;
        left.append(&mut notes.list);
        left.shrink_to(left.len() * 2);
        notes.list = left;
    }

    /// Two databases are exchanged.
    pub(crate) fn swap(&self, a: usize, b: usize) {
        for note in &mut self.0.lock().list {
            note.db = match usize::from(note.db) {
                db if db == a => b as u16,
                db if db == b => a as u16,
                _ => note.db,
            };
        }
    }
}

impl Keyspace {
    /// Looks at values that have grown, and fits those that have come to rest, as long as
    /// `has_time` says so. To be called every so often, with no slot locked. `thread` chooses the
    /// shard of the world lock. Whether there is something to be looked at again.
    pub fn fit_rested(&self, thread: usize, has_time: impl Fn() -> bool) -> bool {
        let mut notes = self.rest().take();
        let taken = notes.len();
        if taken == 0 {
            return false;
        }
        let (mut looked_at, mut is_late) = (0, false);
        let mut world = Some(self.enter(thread));
        notes.retain_mut(|note| {
            if note.wait > 0 || is_late {
                note.wait = note.wait.saturating_sub(1);
                return true;
            }
            looked_at += 1;
            if looked_at % AT_ONCE == 0 {
                // A thread that wants the world alone gets it now.
                drop(world.take());
                is_late = !has_time();
            }
            let world = world.get_or_insert_with(|| self.enter(thread));
            let hash = KeyHash { slot: note.slot, code: note.code };
            let Some(mut guard) = world.try_lock(note.slot) else { return true };
            let Some(extent) = guard.fit_rested(note.db.into(), hash, note.extent) else {
                return false;
            };
            note.extent = extent;
            // 0, 1, 3, 7 … calls are let pass.
            note.wait = (1 << note.changes) - 1;
            note.changes = (note.changes + 1).min(PATIENCE);
            true
        });
        drop(world);
        let is_left = !notes.is_empty();
        self.rest().put_back(notes, taken);
        is_left
    }
}

impl SlotGuard<'_> {
    /// Fits a value if its extent is still the same; else gives the extent that it has now.
    fn fit_rested(&mut self, db: usize, hash: KeyHash, extent: u32) -> Option<u32> {
        self.data.table(db)?;
        let databases = self.keyspace.databases();
        let mut entry = self.data.table_mut(db, databases).probable_mut(hash.code)?;
        let now = entry.extent()? as u32;
        if now != extent {
            return Some(now);
        }
        // The snapshot need not know: what is in the value stays as it is.
        entry.fit();
        entry.set_noted(false);
        None
    }
}
