//! The consumer groups of a stream by their names, and which of them a capture has still to show.
//!
//! They are read as the map that they are. Groups come, change and go by methods alone. The capture
//! of all is a walk by names (`walk.rs`); that of a group begins before it changes, or when the
//! walk comes to it. One that goes before it was shown is put aside as a whole, and shown from
//! there. A group of the same name that is made later is another one, and not captured.

use super::capture::{Captured, Step};
use super::group::Group;
use super::group_capture::GroupCapture;
use super::walk::Walk;
use std::collections::btree_map::Iter;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::ops::Deref;

type Map = BTreeMap<Box<[u8]>, Group>;

/// The consumer groups of a stream by their names. Most streams have none: for these it is one
/// word.
#[derive(Clone, Default)]
pub struct Groups(Option<Box<Body>>);

#[derive(Clone, Default)]
struct Body {
    map: Map,
    capture: Captured<GroupsCapture>,
}

/// The capture of the groups; each has its own capture besides.
#[derive(Default)]
pub(super) struct GroupsCapture {
    /// The groups that were removed are put aside, each captured.
    walk: Walk<Box<[u8]>, Group>,
    /// The names of those in the map that are captured.
    captured: BTreeSet<Box<[u8]>>,
    /// Groups that were removed, and shown then: it may take long to free them.
    removed: Vec<Group>,
    /// The remains of captures that ended before all was shown: the same holds for them.
    ended: Vec<GroupCapture>,
}

impl GroupsCapture {
    /// A group is about to change, or to be removed: unless it has been shown, or is new, it is
    /// captured.
    #[cold]
    fn before_change(&mut self, name: &[u8], group: &mut Group) {
        if self.walk.awaits(name) && self.captured.insert(name.into()) {
            group.begin_capture();
        }
    }
}

impl Deref for Groups {
    type Target = BTreeMap<Box<[u8]>, Group>;
    #[inline]
    fn deref(&self) -> &Map {
        static NONE: Map = Map::new();
        self.0.as_ref().map_or(&NONE, |body| &body.map)
    }
}

impl<'g> IntoIterator for &'g Groups {
    type Item = (&'g Box<[u8]>, &'g Group);
    type IntoIter = Iter<'g, Box<[u8]>, Group>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for Groups {
    fn eq(&self, other: &Groups) -> bool {
        **self == **other
    }
}

impl Eq for Groups {}

impl Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(&**self, f)
    }
}

impl Groups {
    /// A group, to be changed.
    #[inline]
    pub fn get_mut(&mut self, name: &[u8]) -> Option<&mut Group> {
        let Body { map, capture } = &mut **self.0.as_mut()?;
        let group = map.get_mut(name)?;
        if let Some(capture) = capture.get_mut() {
            capture.before_change(name, group);
        }
        Some(group)
    }

    /// Adds a group. Gives the one that had this name.
    ///
    /// # Panics
    /// If that one is still to be shown by a capture: it is to be removed first.
    pub fn insert(&mut self, name: Box<[u8]>, group: Group) -> Option<Group> {
        let Body { map, capture } = &mut **self.0.get_or_insert_default();
        if let Some(capture) = capture.get_mut()
            && capture.walk.awaits(&*name)
        {
            assert!(!map.contains_key(&name), "a capture is lost");
            capture.walk.keep(&name, || None);
        }
        map.insert(name, group)
    }

    /// Removes a group. False: there is none of this name.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let Some(body) = &mut self.0 else { return false };
        let Some((name, mut group)) = body.map.remove_entry(name) else { return false };
        if let Some(capture) = body.capture.get_mut() {
            capture.before_change(&name, &mut group);
            capture.captured.remove(&name);
            capture.walk.keep(&name, || Some(group));
        }
        self.fit();
        true
    }

    /// An empty allocation is given back.
    fn fit(&mut self) {
        if self.0.as_ref().is_some_and(|body| body.map.is_empty() && !body.capture.is_there()) {
            self.0 = None;
        }
    }

    /// Bytes of memory, about. Each group is looked at, but only `samples` of its consumers; 0:
    /// all.
    pub(super) fn memory(&self, samples: usize) -> usize {
        let groups = self.iter().map(|(name, group)| name.len() + 16 + group.memory(samples));
        self.0.as_ref().map_or(0, |_| size_of::<Body>()) + groups.sum::<usize>()
    }

    /// Begins the capture of all groups.
    pub(super) fn begin_capture(&mut self) {
        let body = self.0.get_or_insert_default();
        let last = body.map.last_key_value().map(|(name, _)| name.clone());
        body.capture.begin(GroupsCapture { walk: Walk::to(last), ..GroupsCapture::default() });
    }

    /// How many parts of all groups, and groups, are put aside.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        let Some(body) = &self.0 else { return 0 };
        let Some(capture) = body.capture.get() else { return 0 };
        let groups = body.map.values().chain(capture.walk.kept().flatten());
        let parts = groups.filter_map(|group| group.capture.get()).map(GroupCapture::kept);
        parts.sum::<usize>() + capture.walk.kept().len()
    }

    /// Shows what is captured. Whether that is all.
    ///
    /// # Panics
    /// If they are not captured.
    pub(super) fn show_captured(&mut self, step: &mut Step<'_>) -> bool {
        let Body { map, capture } = &mut **self.0.as_mut().expect("the groups are captured");
        let capture = capture.get_mut().expect("the groups are captured");
        while !step.is_over() {
            let present =
                map.range::<Box<[u8]>, _>(capture.walk.rest()).next().map(|(name, _)| name);
            let Some(name) = capture.walk.next(present).cloned() else { break };
            let is_shown = match capture.walk.aside(&name) {
                Some(Some(removed)) => removed.show_captured(&name, step),
                Some(None) => {
                    step.pass();
                    true
                }
                None => {
                    let group = map.get_mut(&name).expect("the next part is present or put aside");
                    capture.before_change(&name, group);
                    group.show_captured(&name, step)
                }
            };
            if is_shown {
                capture.captured.remove(&name);
                capture.removed.extend(capture.walk.pass(name));
            }
        }
        capture.walk.is_done()
    }

    /// Ends the capture, however far it is, and gives what is left of it.
    pub(super) fn end_capture(&mut self) -> Option<Box<GroupsCapture>> {
        let body = self.0.as_mut()?;
        let mut capture = body.capture.take()?;
        for name in std::mem::take(&mut capture.captured) {
            let group = body.map.get_mut(&name).expect("what is captured is there");
            capture.ended.extend(group.end_capture().map(|left| *left));
        }
        self.fit();
        Some(capture)
    }
}
