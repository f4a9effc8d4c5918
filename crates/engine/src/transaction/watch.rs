//! WATCH: which keys EXEC depends on, and whether they have changed.

use crate::blocking::ReadyKey;
use crate::db::{Db, Key};
use crate::{Engine, Session};
use std::sync::atomic::Ordering::Relaxed;
use tessera_slot::{Millis, Slot};
use tessera_store::{Lookup, SlotGuard, Version, World};

/// A key that a client watches.
#[derive(Debug)]
pub(crate) struct Watched {
    key: ReadyKey,
    /// What it was when the client began.
    version: Version,
    /// Its time had come already: its removal is no change.
    was_due: bool,
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
            return due == Some(true) && !self.was_due;
        }
        let only_removed = version == Some(self.version.next()) && due.is_none();
        !(self.was_due && only_removed)
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
        let was_due = is_due(guard, &key, now) == Some(true);
        let version = guard.watch(key.db, &key.bytes);
        session.watched.push(Watched { key, version, was_due });
        session.note_watched();
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
        session.note_watched();
    }
}

impl Session {
    fn note_watched(&self) {
        self.info.watching.store(self.watched.len(), Relaxed);
    }
}

impl Engine {
    /// The client watches nothing any more.
    pub(crate) fn unwatch_all(&self, world: &mut World<'_>, session: &mut Session) {
        for Watched { key, .. } in std::mem::take(&mut session.watched) {
            world.lock(key.hash.slot()).unwatch(key.db, &key.bytes);
        }
        session.note_watched();
    }
}
