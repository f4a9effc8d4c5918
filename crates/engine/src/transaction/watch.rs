//! WATCH: which keys EXEC depends on, and whether they have changed.

use crate::blocking::ReadyKey;
use crate::chores::Chore;
use crate::db::{Db, Key};
use crate::{Engine, Session};
use tessera_slot::{Millis, Slot};
use tessera_store::{Lookup, SlotGuard, Version, World};

/// A key that a client watches.
#[derive(Debug)]
pub(crate) struct Watched {
    key: ReadyKey,
    /// The version when the client began.
    version: Version,
    before: Before,
}

/// The state of a key when a client began to watch it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Before {
    /// No entry. If one is there later without a change, it is one whose time had come before it
    /// got there (SWAPDB).
    Nothing,
    /// A value.
    Value,
    /// An entry whose time had come: its removal is no change.
    Due,
}

fn is_due(guard: &mut SlotGuard<'_>, key: &ReadyKey, now: Millis) -> Option<bool> {
    match guard.lookup(key.db, &key.bytes, key.hash) {
        Lookup::Found(found) => Some(found.expiry().is_some_and(|at| at <= now)),
        Lookup::Vacant(_) => None,
    }
}

impl Watched {
    /// The slot of the key.
    pub(crate) fn slot(&self) -> Slot {
        self.key.hash.slot()
    }

    /// Whether somebody has changed the key, or its time has come.
    fn has_changed(&self, guard: &mut SlotGuard<'_>, now: Millis) -> bool {
        let version = guard.version(self.key.db, &self.key.bytes);
        let due = is_due(guard, &self.key, now);
        if version == Some(self.version) {
            return due == Some(true) && self.before == Before::Value;
        }
        let only_removed = version == Some(self.version.next()) && due.is_none();
        !(self.before == Before::Due && only_removed)
    }
}

impl Db<'_, '_> {
    /// The client watches a key of the command from now on.
    pub(crate) fn watch(&mut self, session: &mut Session, key: Key<'_>) {
        let key = ReadyKey::of(self.index, key);
        if session.watched.iter().any(|watched| watched.key == key) {
            return;
        }
        let now = self.now;
        let guard = self.locks.guard(key.hash.slot());
        let before = match is_due(guard, &key, now) {
            None => Before::Nothing,
            Some(false) => Before::Value,
            Some(true) => Before::Due,
        };
        let version = guard.watch(key.db, &key.bytes);
        session.info.note_watched(key.bytes.len());
        session.watched.push(Watched { key, version, before });
    }

    /// Whether a key that the client watches has changed. Their slots are locked.
    pub(crate) fn has_watched_change(&mut self, session: &Session) -> bool {
        let now = self.now;
        session
            .watched
            .iter()
            .any(|watched| watched.has_changed(self.locks.guard(watched.slot()), now))
    }

    /// The client watches nothing any more. The slots are locked.
    pub(crate) fn unwatch_all(&mut self, session: &mut Session) {
        for Watched { key, .. } in std::mem::take(&mut session.watched) {
            self.locks.guard(key.hash.slot()).unwatch(key.db, &key.bytes);
        }
        session.info.note_unwatched();
    }
}

impl Engine {
    /// The client watches nothing any more.
    pub(crate) fn unwatch_all(&self, world: &mut World<'_>, session: &mut Session) {
        for Watched { key, .. } in std::mem::take(&mut session.watched) {
            self.unwatch(world, key);
        }
        session.info.note_unwatched();
    }

    /// Somebody does not watch a key any more.
    pub(crate) fn unwatch(&self, world: &mut World<'_>, key: ReadyKey) {
        match world.try_lock(key.hash.slot()) {
            Some(mut guard) => guard.unwatch(key.db, &key.bytes),
            None => self.leave_chore(Chore::Unwatch(key)),
        }
    }
}
