//! The table of a large value's elements, which can be captured ([`crate::capture`]).
//!
//! The walk of a capture goes through the elements in the order of their hashes' reversed index
//! bits, which is the order of scans. It does not depend on the size of the table, so an element's
//! hash tells whether the walk has passed it. Before an element that it has not passed is changed
//! or removed for the first time, the old one goes to another table, through which the walk goes at
//! the same pace; an element that is new, or changed, is remembered by its key, so that the walk
//! leaves it out. Both forget what the walk has passed. So no step of this costs more than one of a
//! table.
//!
//! Deliberately not here: what elements are, and what is shown of them.

use super::{Item, Place, RefMut, Table};
use crate::capture::{LEFT_OUT, Remains};
use crate::hasher::{HashCode, hasher};
use crate::set::Member;
use std::ops::Deref;

/// The cost of looking at a bucket.
const BUCKET_COST: usize = 16;

/// The elements of a value: to be read as a [`Table`], to be changed by the methods here.
pub(crate) struct Elements<T: Item> {
    table: Table<T>,
    capture: Option<Box<Capture<T>>>,
}

/// The state of a capture.
struct Capture<T: Item> {
    /// How many elements it will have shown; told by the first step.
    length: Option<u64>,
    /// The position at which the walk goes on, as [`Table::scan`] counts; `None`: it is through.
    cursor: Option<u64>,
    /// Elements as they were, which the walk has still to show.
    old: Table<T>,
    /// The keys of elements that the walk would come to, and must not show.
    new: Table<Member>,
    /// Whether the walk may stand within a bucket of the table: that has shrunk, or is less fine
    /// than the old elements' table.
    is_within: bool,
}

impl<T: Item> Default for Elements<T> {
    fn default() -> Elements<T> {
        Elements { table: Table::default(), capture: None }
    }
}

impl<T: Item> Deref for Elements<T> {
    type Target = Table<T>;
    #[inline]
    fn deref(&self) -> &Table<T> {
        &self.table
    }
}

impl<T: Item + Clone + Send + 'static> Elements<T> {
    /// Adds an element that is not there.
    #[inline]
    pub(crate) fn insert(&mut self, hash: HashCode, element: T) {
        if let Some(capture) = &mut self.capture {
            capture.on_added(element.key(), hash);
        }
        self.table.insert(hash, element, hasher());
    }

    /// An element, to be changed.
    #[inline]
    pub(crate) fn get_mut(&mut self, key: &[u8], hash: HashCode) -> Option<RefMut<'_, T>> {
        let place = self.table.find(key, hash)?;
        if let Some(capture) = &mut self.capture {
            // SAFETY: the place was just found.
            let element = unsafe { self.table.item(place) };
            capture.on_change(&element, hash);
        }
        // SAFETY: the place was just found.
        Some(unsafe { self.table.item_mut(place) })
    }

    /// Removes an element, shown to `see`.
    #[inline]
    pub(crate) fn take<R>(
        &mut self,
        key: &[u8],
        hash: HashCode,
        see: impl FnOnce(&T) -> R,
    ) -> Option<R> {
        let place = self.table.find(key, hash)?;
        // SAFETY: the place was just found.
        Some(unsafe { self.remove(place, hash, see) })
    }

    /// Removes the element at a place, shown to `see`.
    ///
    /// # Safety
    /// As for [`Table::remove`].
    #[inline]
    pub(crate) unsafe fn remove<R>(
        &mut self,
        place: Place<T>,
        hash: HashCode,
        see: impl FnOnce(&T) -> R,
    ) -> R {
        // SAFETY: by the caller's promise.
        let element = unsafe { self.table.remove(place, hash, true, hasher()) };
        let seen = see(&element);
        if let Some(capture) = &mut self.capture {
            capture.on_removed(element, hash);
        }
        seen
    }

    /// Whether a capture is under way.
    pub(crate) fn is_captured(&self) -> bool {
        self.capture.is_some()
    }

    /// As [`crate::Collection::begin_capture`].
    ///
    /// # Panics
    /// If a capture is under way.
    pub(crate) fn begin_capture(&mut self) {
        assert!(self.capture.is_none(), "one capture at a time");
        self.capture = Some(Box::new(Capture {
            length: Some(self.table.len() as u64),
            cursor: Some(0),
            old: Table::default(),
            new: Table::default(),
            is_within: false,
        }));
    }

    /// The number of elements, if this is the first step.
    pub(crate) fn length_of_capture(&mut self) -> Option<u64> {
        self.capture.as_mut()?.length.take()
    }

    /// Shows some more elements as they stood when the capture began, until what `see` gives, with
    /// what it costs to look for them, adds up to `budget`. False: these were the last.
    ///
    /// # Panics
    /// If no capture is under way.
    pub(crate) fn capture_step(&mut self, budget: usize, mut see: impl FnMut(&T) -> usize) -> bool {
        let capture = self.capture.as_mut().expect("a capture is under way");
        let (mut cost, budget) = (0, budget.max(1));
        while cost < budget
            && let Some(cursor) = capture.cursor
        {
            cost += capture.step(&self.table, cursor, &mut see);
        }
        capture.cursor.is_some()
    }

    /// As [`crate::Collection::end_capture`].
    pub(crate) fn end_capture(&mut self) -> Remains {
        Remains::of(self.capture.take())
    }
}

/// The rank of a hash in the order of the walk.
#[inline]
fn rank(hash: HashCode) -> u64 {
    hash.index_bits().reverse_bits()
}

impl<T: Item + Clone> Capture<T> {
    fn has_passed(&self, hash: HashCode) -> bool {
        self.cursor.is_none_or(|cursor| rank(hash) < cursor.reverse_bits())
    }

    /// An element is added.
    fn on_added(&mut self, key: &[u8], hash: HashCode) {
        if !self.has_passed(hash) {
            self.new.insert(hash, Member::new(key), hasher());
        }
    }

    /// An element is about to change.
    fn on_change(&mut self, element: &T, hash: HashCode) {
        if !self.has_passed(hash) && self.new.find(element.key(), hash).is_none() {
            self.new.insert(hash, Member::new(element.key()), hasher());
            self.old.insert(hash, element.clone(), hasher());
        }
    }

    /// An element has been removed.
    fn on_removed(&mut self, element: T, hash: HashCode) {
        self.is_within = true;
        if !self.has_passed(hash) && self.new.take(element.key(), hash, hasher()).is_none() {
            self.old.insert(hash, element, hasher());
        }
    }

    /// Goes on by a bucket of whichever table has the smaller ones; gives what that has cost.
    fn step(&mut self, table: &Table<T>, cursor: u64, see: &mut impl FnMut(&T) -> usize) -> usize {
        let (after, after_old) = (table.scan(cursor, |_| ()), self.old.scan(cursor, |_| ()));
        let next = match (after, after_old) {
            (0, next) | (next, 0) => next,
            (a, b) if a.reverse_bits() < b.reverse_bits() => a,
            (_, b) => b,
        };
        self.cursor = (next != 0).then_some(next);
        self.is_within |= next != after;
        let mut cost = BUCKET_COST;
        table.scan(cursor, |element| {
            let may_be_left_out = self.is_within || !self.new.is_empty();
            cost += match may_be_left_out && self.is_left_out(element, cursor) {
                true => LEFT_OUT,
                false => see(element),
            };
        });
        while let Some((place, hash)) = self.first_passed(cursor) {
            // SAFETY: the place was just found.
            cost += see(&unsafe { self.old.remove(place, hash, true, hasher()) });
        }
        cost
    }

    /// Whether the walk, which has come from `cursor` to where it is now, must not show an element.
    /// If that is new it is forgotten.
    fn is_left_out(&mut self, element: &T, cursor: u64) -> bool {
        let hash = hasher().hash(element.key());
        let is_here = rank(hash) >= cursor.reverse_bits() && self.has_passed(hash);
        !is_here || self.new.take(element.key(), hash, hasher()).is_some()
    }

    /// An old element that the walk has passed, in the bucket at this cursor.
    fn first_passed(&self, cursor: u64) -> Option<(Place<T>, HashCode)> {
        let count = self.old.bucket_count();
        if count == 0 {
            return None;
        }
        let bucket = Table::<T>::bucket_of(count, cursor);
        let passed = |element: &T| self.has_passed(hasher().hash(element.key()));
        let found = self.old.find_in(bucket, passed)?;
        let hash = hasher().hash(found.key());
        self.old.find(found.key(), hash).map(|place| (place, hash))
    }
}
