//! The table of a large value's elements, which can be captured ([`crate::capture`]).
//!
//! The walk of a capture goes through the table as scans do, in the order of the reversed index bits of the elements' hashes. That order does not depend on
//! the size of the table. So the hash of an element tells whether the walk has passed it. Before an element that it has not passed is
//! changed or removed, the old one is put aside; it and those that are added there are remembered by their keys, so that the walk leaves them out. Meanwhile the
//! table does not shrink, which would bring elements that the walk has not passed into buckets that it has.

use super::{Item, Place, RefMut, Table};
use crate::capture::Remains;
use crate::hasher::{HashCode, KeyHasher, hasher};
use std::collections::HashSet;
use std::ops::Deref;

/// The elements of a value: to be read as a [`Table`], to be changed by the methods here.
pub(crate) struct Elements<T: Item> {
    table: Table<T>,
    capture: Option<Box<Capture<T>>>,
}

/// What a capture knows.
struct Capture<T> {
    /// How many elements it will have shown; told by the first step.
    length: Option<u64>,
    /// Where the walk goes on, as [`Table::scan`] counts; `None`: it is through.
    cursor: Option<u64>,
    /// The keys of those elements which the walk would come to, and must not show: they were changed, or are new.
    touched: HashSet<Box<[u8]>, &'static KeyHasher>,
    /// Elements as they were, still to be shown.
    aside: Vec<T>,
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
            capture.touch(element.key(), hash);
        }
        self.table.insert(hash, element, hasher());
    }

    /// An element, to be changed.
    #[inline]
    pub(crate) fn get_mut(&mut self, key: &[u8], hash: HashCode) -> Option<RefMut<'_, T>> {
        let place = self.table.find(key, hash)?;
        if let Some(capture) = &mut self.capture
            && capture.touch(key, hash)
        {
            // SAFETY: the place was just found.
            capture.aside.push(unsafe { T::clone(&self.table.item(place)) });
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
        let element = unsafe { self.table.remove(place, hash, self.capture.is_none(), hasher()) };
        let seen = see(&element);
        if let Some(capture) = &mut self.capture
            && capture.touch(element.key(), hash)
        {
            capture.aside.push(element);
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
            touched: HashSet::with_hasher(hasher()),
            aside: Vec::new(),
        }));
    }

    /// The number of elements, if this is the first step.
    pub(crate) fn length_of_capture(&mut self) -> Option<u64> {
        self.capture.as_mut()?.length.take()
    }

    /// Shows some more elements as they stood when the capture began, until what `see` gives adds up to `budget`. False: these were the last.
    ///
    /// # Panics
    /// If no capture is under way.
    pub(crate) fn capture_step(&mut self, budget: usize, mut see: impl FnMut(&T) -> usize) -> bool {
        let capture = self.capture.as_mut().expect("a capture is under way");
        let (mut cost, budget) = (0, budget.max(1));
        while cost < budget {
            if let Some(element) = capture.aside.pop() {
                cost += see(&element);
                continue;
            }
            let Some(cursor) = capture.cursor else { return false };
            let touched = &capture.touched;
            let next = self.table.scan(cursor, |element| {
                if touched.is_empty() || !touched.contains(element.key()) {
                    cost += see(element);
                }
            });
            // An empty bucket is looked at too.
            cost += 1;
            capture.cursor = (next != 0).then_some(next);
        }
        capture.cursor.is_some() || !capture.aside.is_empty()
    }

    /// As [`crate::Collection::end_capture`].
    pub(crate) fn end_capture(&mut self) -> Remains {
        Remains::of(self.capture.take())
    }
}

impl<T> Capture<T> {
    /// An element is about to change, to come or to go. Whether the old one, if there is one, is still to be shown.
    fn touch(&mut self, key: &[u8], hash: HashCode) -> bool {
        let is_passed =
            self.cursor.is_none_or(|at| hash.index_bits().reverse_bits() < at.reverse_bits());
        !is_passed && !self.touched.contains(key) && self.touched.insert(key.into())
    }
}
