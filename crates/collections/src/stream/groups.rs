//! The consumer groups of a stream by their names, and which of them a capture has still to show.
//!
//! They are read as the map that they are. Groups come and go by methods alone: one that goes while it is captured is put aside as a
//! whole, and shown from there. A group of the same name that is made later is another one, and not captured.

use super::capture::{Captured, Step};
use super::group::Group;
use super::group_capture::GroupCapture;
use std::collections::btree_map::Iter;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Debug};
use std::ops::Deref;

type Map = BTreeMap<Box<[u8]>, Group>;

/// The consumer groups of a stream by their names. Most streams have none: for these it is one word.
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
    /// Those still to be shown, in their order.
    names: VecDeque<Box<[u8]>>,
    /// Those that were removed before they were shown.
    removed: Map,
    /// What is left of captures that have ended: it may take long to free.
    shown: Vec<GroupCapture>,
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
        self.0.as_mut()?.map.get_mut(name)
    }

    /// Adds a group. Gives the one that had this name.
    ///
    /// # Panics
    /// If that one is captured: it is to be removed first.
    pub fn insert(&mut self, name: Box<[u8]>, group: Group) -> Option<Group> {
        let old = self.0.get_or_insert_default().map.insert(name, group);
        assert!(old.as_ref().is_none_or(|old| !old.capture.is_there()), "a capture is lost");
        old
    }

    /// Removes a group. False: there is none of this name.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let Some(body) = &mut self.0 else { return false };
        let Some((name, group)) = body.map.remove_entry(name) else { return false };
        if group.capture.is_there() {
            let capture = body.capture.get_mut().expect("who captures a group captures them all");
            capture.removed.insert(name, group);
        }
        self.fit();
        true
    }

    /// Nothing is nothing again.
    fn fit(&mut self) {
        if self.0.as_ref().is_some_and(|body| body.map.is_empty() && !body.capture.is_there()) {
            self.0 = None;
        }
    }

    /// Bytes of memory, about.
    pub(super) fn memory(&self) -> usize {
        let groups = self.iter().map(|(name, group)| name.len() + 16 + group.memory());
        self.0.as_ref().map_or(0, |_| size_of::<Body>()) + groups.sum::<usize>()
    }

    /// Begins the capture of all groups.
    pub(super) fn begin_capture(&mut self) {
        let body = self.0.get_or_insert_default();
        body.map.values_mut().for_each(Group::begin_capture);
        let names = body.map.keys().cloned().collect();
        body.capture.begin(GroupsCapture { names, ..GroupsCapture::default() });
    }

    /// How many parts of all groups are put aside.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        let Some(body) = &self.0 else { return 0 };
        let removed = body.capture.get().map(|capture| &capture.removed);
        let groups = body.map.values().chain(removed.into_iter().flat_map(Map::values));
        groups.filter_map(|group| group.capture.get()).map(GroupCapture::kept).sum()
    }

    /// Shows what is captured. Whether that is all.
    ///
    /// # Panics
    /// If they are not captured.
    pub(super) fn show_captured(&mut self, step: &mut Step<'_>) -> bool {
        let Body { map, capture } = &mut **self.0.as_mut().expect("the groups are captured");
        let GroupsCapture { names, removed, shown } =
            capture.get_mut().expect("the groups are captured");
        while let Some(name) = names.front()
            && !step.is_over()
        {
            // One that is removed stands before another that was given its name.
            let group = match removed.get_mut(name) {
                Some(group) => group,
                None => map.get_mut(name).expect("a captured group is kept"),
            };
            if let Some(left) = group.show_captured(name, step) {
                shown.push(*left);
                names.pop_front();
            }
        }
        names.is_empty()
    }

    /// Ends the capture, however far it is, and gives what is left of it.
    pub(super) fn end_capture(&mut self) -> Option<Box<GroupsCapture>> {
        let body = self.0.as_mut()?;
        let mut capture = body.capture.take()?;
        let left = body.map.values_mut().filter_map(Group::end_capture);
        capture.shown.extend(left.map(|left| *left));
        self.fit();
        Some(capture)
    }
}
