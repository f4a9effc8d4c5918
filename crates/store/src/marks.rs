//! Marks on keys that clients watch (WATCH) or wait for (blocking commands).
//!
//! A slot has such marks only while clients need them, so a change of a key in any other slot costs
//! one look at a word of the slot's own cache line. All changes of entries pass `lookup.rs`, which
//! notes them here:
//!
//! - an entry was made, replaced or removed: that is certain, and counts at once;
//! - an entry may be edited in place: whether it was is known only when the command is through
//!   ([`SlotGuard::settle`]).
//!
//! A watched key has a version, which grows with each change. A watching client remembers the
//! version that it has seen. A waiting client is an opaque number here; the first that came is the
//! first.

use crate::entry::Entry;
use crate::hash::KeyHash;
use crate::slot::SlotGuard;
use std::collections::{BTreeMap, VecDeque};
use tessera_collections::table::Table;
use tessera_slot::Millis;

/// A waiting client's number. What it waits for is the caller's business.
pub type WaiterId = u64;

/// How often a watched key has changed since a client began to watch it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Version(u64);

impl Version {
    /// The version after one change.
    pub fn next(self) -> Version {
        Version(self.0 + 1)
    }
}

/// A change of a marked key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Its value may be edited in place.
    Edit,
    /// There is another entry, or none any more.
    New,
}

#[derive(Default)]
struct Mark {
    watchers: usize,
    waiters: VecDeque<WaiterId>,
    version: Version,
    /// Edited, perhaps, by the command under way.
    edited: bool,
    /// Made, replaced or removed by the command under way.
    renewed: bool,
}

/// The marks of one slot.
#[derive(Default)]
pub(crate) struct Marks {
    /// By database and key.
    databases: BTreeMap<usize, BTreeMap<Box<[u8]>, Mark>>,
    /// The marked keys that the command under way has touched.
    touched: Vec<(usize, Box<[u8]>)>,
}

impl Marks {
    fn get_mut(&mut self, db: usize, key: &[u8]) -> Option<&mut Mark> {
        self.databases.get_mut(&db)?.get_mut(key)
    }

    fn note(&mut self, db: usize, key: &[u8], change: Change) {
        let Some(mark) = self.databases.get_mut(&db).and_then(|keys| keys.get_mut(key)) else {
            return;
        };
        if !mark.edited && !mark.renewed {
            self.touched.push((db, key.into()));
        }
        match change {
            Change::Edit => mark.edited = true,
            Change::New => {
                // The edit that was announced before is this one.
                (mark.edited, mark.renewed) = (false, true);
                mark.version = mark.version.next();
            }
        }
    }

    /// Forgets a mark that no client needs. True: there are no marks left.
    fn tidy(&mut self, db: usize, key: &[u8]) -> bool {
        if let Some(keys) = self.databases.get_mut(&db) {
            if keys.get(key).is_some_and(|mark| mark.watchers == 0 && mark.waiters.is_empty()) {
                keys.remove(key);
            }
            if keys.is_empty() {
                self.databases.remove(&db);
            }
        }
        self.databases.is_empty() && self.touched.is_empty()
    }
}

impl SlotGuard<'_> {
    /// Whether a client watches or waits for a key of this slot.
    #[inline]
    pub fn is_marked(&self) -> bool {
        self.data.is_marked()
    }

    /// Somebody watches a key from now on; gives its version.
    pub fn watch(&mut self, db: usize, key: &[u8]) -> Version {
        let mark = self.mark(db, key);
        mark.watchers += 1;
        mark.version
    }

    /// The version of a watched key.
    pub fn version(&self, db: usize, key: &[u8]) -> Option<Version> {
        Some(self.data.marks()?.databases.get(&db)?.get(key)?.version)
    }

    /// One less watches a key.
    pub fn unwatch(&mut self, db: usize, key: &[u8]) {
        if let Some(marks) = self.data.marks_mut() {
            if let Some(mark) = marks.get_mut(db, key) {
                mark.watchers = mark.watchers.saturating_sub(1);
            }
            self.tidy_marks(db, key);
        }
    }

    /// Somebody waits for a key, behind all others who do: its number is higher than theirs. True:
    /// no other client does.
    pub fn wait(&mut self, db: usize, key: &[u8], waiter: WaiterId) -> bool {
        let waiters = &mut self.mark(db, key).waiters;
        debug_assert!(waiters.back().is_none_or(|&last| last < waiter), "first come, first served");
        waiters.push_back(waiter);
        waiters.len() == 1
    }

    /// Somebody does not wait for a key any more. True: no client does now.
    pub fn leave(&mut self, db: usize, key: &[u8], waiter: WaiterId) -> bool {
        let Some(marks) = self.data.marks_mut() else { return false };
        let Some(mark) = marks.get_mut(db, key) else { return false };
        let Ok(at) = mark.waiters.binary_search(&waiter) else { return false };
        mark.waiters.remove(at);
        let is_last = mark.waiters.is_empty();
        self.tidy_marks(db, key);
        is_last
    }

    /// The next waiter for a key after `after` that is `wanted`. Waiters of one key have ascending
    /// numbers.
    pub fn next_waiter(
        &self,
        db: usize,
        key: &[u8],
        after: Option<WaiterId>,
        wanted: impl Fn(WaiterId) -> bool,
    ) -> Option<WaiterId> {
        let waiters = &self.data.marks()?.databases.get(&db)?.get(key)?.waiters;
        let at = after.map_or(0, |after| waiters.partition_point(|&waiter| waiter <= after));
        waiters.range(at..).copied().find(|&waiter| wanted(waiter))
    }

    /// Whether of those who wait for a key this one alone is `wanted`.
    pub fn waits_alone(
        &self,
        db: usize,
        key: &[u8],
        waiter: WaiterId,
        wanted: impl Fn(WaiterId) -> bool,
    ) -> bool {
        self.next_waiter(db, key, None, &wanted) == Some(waiter)
            && self.next_waiter(db, key, Some(waiter), wanted).is_none()
    }

    /// Ends a command. The keys that it may have edited count as changed if it has changed
    /// something at all. `news` hears of the keys that were made, replaced or removed while clients
    /// wait for them.
    pub fn settle(&mut self, has_changed: bool, mut news: impl FnMut(usize, &[u8])) {
        let Some(marks) = self.data.marks_mut() else { return };
        for (db, key) in std::mem::take(&mut marks.touched) {
            let Some(mark) = marks.get_mut(db, &key) else { continue };
            if std::mem::take(&mut mark.edited) && has_changed {
                mark.version = mark.version.next();
            }
            if std::mem::take(&mut mark.renewed) && !mark.waiters.is_empty() {
                news(db, &key);
            }
            marks.tidy(db, &key);
        }
        if marks.databases.is_empty() {
            self.data.drop_marks();
        }
    }

    fn mark(&mut self, db: usize, key: &[u8]) -> &mut Mark {
        let keys = self.data.marks_or_new().databases.entry(db).or_default();
        if !keys.contains_key(key) {
            keys.insert(key.into(), Mark::default());
        }
        keys.get_mut(key).expect("just inserted")
    }

    fn tidy_marks(&mut self, db: usize, key: &[u8]) {
        if self.data.marks_mut().is_some_and(|marks| marks.tidy(db, key)) {
            self.data.drop_marks();
        }
    }

    #[cold]
    pub(crate) fn on_change(&mut self, db: usize, key: &[u8], change: Change) {
        if let Some(marks) = self.data.marks_mut() {
            marks.note(db, key, change);
        }
    }

    /// A database is about to be emptied.
    pub(crate) fn on_flush(&mut self, db: usize) {
        self.on_changes_where(db, |guard, key| guard.has_live(db, key, Millis(0)));
    }

    /// Two databases are about to be exchanged: news for a key that one of them has.
    pub(crate) fn on_swap(&mut self, a: usize, b: usize, now: Millis) {
        for db in [a, b] {
            self.on_changes_where(db, |guard, key| {
                guard.has_live(a, key, now) || guard.has_live(b, key, now)
            });
        }
    }

    fn on_changes_where(&mut self, db: usize, is_news: impl Fn(&Self, &[u8]) -> bool) {
        let Some(marks) = self.data.marks() else { return };
        let Some(keys) = marks.databases.get(&db) else { return };
        let keys: Vec<Box<[u8]>> = keys.keys().filter(|key| is_news(self, key)).cloned().collect();
        keys.iter().for_each(|key| self.on_change(db, key, Change::New));
    }

    /// Whether there is an entry whose time comes after `now`.
    fn has_live(&self, db: usize, key: &[u8], now: Millis) -> bool {
        let hash = KeyHash { slot: self.slot, code: self.hasher().hash(key) };
        let live = |table: &Table<Entry>| {
            let entry = table.get(key, hash.code)?;
            Some(entry.expiry().is_none_or(|at| at > now))
        };
        self.data.table(db).and_then(live).unwrap_or(false)
    }
}
