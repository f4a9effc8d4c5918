//! A walk over parts in the order of their keys, as they were when it began, while they change:
//! nodes and pending entries by their ids, groups and consumers by their names.
//!
//! Parts are left where they are. Before one that the walk has still to come to is changed, the old
//! one is put aside by its key, so that the walk finds it in its place. A part that is new within
//! the range of the walk is put aside as nothing: it is not shown. Parts that the walk has passed,
//! and those added behind its end, cost nothing.

use super::capture::Step;
use std::borrow::{Borrow, Cow};
use std::collections::BTreeMap;
use std::ops::Bound;

/// A walk over parts as they were when it began.
pub(super) struct Walk<K, T> {
    /// The key of the part that was passed last.
    passed: Option<K>,
    /// The key of the last part of all; `None`: all were passed.
    end: Option<K>,
    /// Parts still to be passed that have changed since: what they were, `None` if they were not
    /// there.
    aside: BTreeMap<K, Option<T>>,
}

impl<K, T> Default for Walk<K, T> {
    fn default() -> Walk<K, T> {
        Walk { passed: None, end: None, aside: BTreeMap::new() }
    }
}

impl<K: Ord + Clone, T> Walk<K, T> {
    /// A walk up to the last part, if there is any.
    pub(super) fn to(last: Option<K>) -> Walk<K, T> {
        Walk { end: last, ..Walk::default() }
    }

    /// Whether all parts were passed.
    pub(super) fn is_done(&self) -> bool {
        self.end.is_none()
    }

    /// The key of the part that was passed last: the present ones from which a step goes on are
    /// behind it.
    pub(super) fn passed(&self) -> Option<&K> {
        self.passed.as_ref()
    }

    /// The keys of the present parts from which a step goes on.
    pub(super) fn rest(&self) -> (Bound<&K>, Bound<&K>) {
        (self.passed().map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
    }

    /// Whether a part is as it was, and still to be passed: so it is to be put aside before it
    /// changes.
    pub(super) fn awaits<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.end.as_ref().is_some_and(|end| key <= end.borrow())
            && self.passed.as_ref().is_none_or(|passed| passed.borrow() < key)
            && !self.aside.contains_key(key)
    }

    /// A part changes: its old state is put aside, unless the walk has passed it, or it has changed
    /// before.
    pub(super) fn keep(&mut self, key: &K, old: impl FnOnce() -> Option<T>) {
        if self.awaits::<K>(key) {
            self.aside.insert(key.clone(), old());
        }
    }

    /// The old state of a part. `None`: it is as it was; nothing inside: it was not there.
    pub(super) fn aside(&mut self, key: &K) -> Option<&mut Option<T>> {
        self.aside.get_mut(key)
    }

    /// All that is put aside.
    #[cfg(test)]
    pub(super) fn kept(&self) -> impl ExactSizeIterator<Item = Option<&T>> {
        self.aside.values().map(Option::as_ref)
    }

    /// The key of the next part, if the present ones go on with this key.
    pub(super) fn next<'k>(&'k self, present: Option<&'k K>) -> Option<&'k K> {
        self.end.as_ref()?;
        let changed = self.aside.first_key_value().map(|(key, _)| key);
        present.into_iter().chain(changed).min()
    }

    /// The next part is passed, whose key this is. Gives what was put aside of it.
    pub(super) fn pass(&mut self, key: K) -> Option<T> {
        let old = self.aside.remove(&key);
        self.end.take_if(|end| *end == key);
        self.passed = Some(key);
        old.flatten()
    }

    /// Shows parts until the step is over or all are passed. `present`: the parts as they are now,
    /// those behind the last that was passed.
    pub(super) fn show<'p, P: Borrow<T>>(
        &mut self,
        present: impl Iterator<Item = (&'p K, P)>,
        step: &mut Step<'_>,
        mut show: impl FnMut(&K, &T, &mut Step<'_>),
    ) where
        K: 'p,
    {
        let Some(end) = &self.end else { return };
        let mut present = present.peekable();
        let mut passed: Option<Cow<'p, K>> = None;
        while !step.is_over() && passed.as_deref() != Some(end) {
            let changed = self.aside.first_key_value().map(|(key, _)| key);
            let unchanged =
                present.next_if(|(key, _)| changed.is_none_or(|changed| *key < changed));
            passed = Some(if let Some((key, part)) = unchanged {
                show(key, part.borrow(), step);
                Cow::Borrowed(key)
            } else {
                let aside = self.aside.pop_first();
                let (key, old) = aside.expect("the last part is present or put aside");
                // The part that is there now, if any, is another one.
                present.next_if(|&(present, _)| *present == key);
                match old {
                    Some(old) => show(&key, &old, step),
                    None => step.pass(),
                }
                Cow::Owned(key)
            });
        }
        if let Some(passed) = passed {
            self.pass(passed.into_owned());
        }
    }
}
