//! The sequence of a list's nodes, with the capture of it, if there is one.
//!
//! Every change of the elements goes through here, and only through here: so no change escapes a
//! capture. Readers read the spine itself. Without a capture each change costs one look at whether
//! there is one.

use super::capture::{Capture, Range};
use super::node::Node;
use super::spine::{Place, Spine};
use crate::capture::{Part, Remains};
use std::ops::Deref;

/// A sequence of nodes that can be captured.
#[derive(Debug, Default)]
pub(super) struct CapturableSpine {
    spine: Spine,
    capture: Option<Box<Capture>>,
}

/// A copy is not captured.
impl Clone for CapturableSpine {
    fn clone(&self) -> CapturableSpine {
        CapturableSpine { spine: self.spine.clone(), capture: None }
    }
}

/// For reading: nothing changes a spine through this.
impl Deref for CapturableSpine {
    type Target = Spine;

    #[inline]
    fn deref(&self) -> &Spine {
        &self.spine
    }
}

impl CapturableSpine {
    /// Changes the elements of a node, which must keep one or be removed next.
    #[inline]
    pub(super) fn edit<R>(&mut self, at: Place, change: impl FnOnce(&mut Node) -> R) -> R {
        if self.is_captured() {
            self.keep(at, self.spine.number_of(at));
        }
        self.spine.edit(at, change)
    }

    /// As [`CapturableSpine::edit`], where the number of the node's first element is known: takes
    /// no time to find out.
    #[inline]
    pub(super) fn edit_known<R>(
        &mut self,
        at: Place,
        start: usize,
        change: impl FnOnce(&mut Node) -> R,
    ) -> R {
        if self.is_captured() {
            self.keep(at, start);
        }
        self.spine.edit(at, change)
    }

    /// Changes how a node keeps its elements, and not these.
    #[inline]
    pub(super) fn repack(&mut self, at: Place, change: impl FnOnce(&mut Node)) {
        self.spine.edit(at, change);
    }

    /// Puts a node in the place of another.
    pub(super) fn replace(&mut self, at: Place, node: Node) {
        let start = if self.is_captured() { self.spine.number_of(at) } else { 0 };
        let range = Range { start, of: self.spine.elements() };
        let old = self.spine.edit(at, |own| std::mem::replace(own, node));
        if let Some(capture) = &mut self.capture {
            capture.pass(range, old.count(), || old);
        }
    }

    /// Removes a node; gives the place of the one that was behind it. The nodes before it stay in
    /// place.
    pub(super) fn remove(&mut self, at: Place) -> Option<Place> {
        let start = if self.is_captured() { self.spine.number_of(at) } else { 0 };
        self.remove_known(at, start)
    }

    /// As [`CapturableSpine::remove`], where the number of the node's first element is known: takes
    /// no time to find out.
    pub(super) fn remove_known(&mut self, at: Place, start: usize) -> Option<Place> {
        let of = self.spine.elements();
        let (node, next) = self.spine.remove(at);
        let count = node.count();
        if let Some(capture) = self.capture.as_mut().filter(|_| count > 0) {
            capture.pass(Range { start, of }, count, || node);
        }
        next
    }

    /// Takes a node out, whose elements go elsewhere. The nodes before it stay in place.
    pub(super) fn take(&mut self, at: Place) -> Node {
        if self.is_captured() {
            self.keep(at, self.spine.number_of(at));
        }
        self.spine.remove(at).0
    }

    /// Adds a node as the first.
    pub(super) fn push_front(&mut self, node: Node) {
        self.note(0);
        self.spine.push_front(node);
    }

    /// Adds a node as the last.
    pub(super) fn push_back(&mut self, node: Node) {
        self.note(self.spine.elements());
        self.spine.push_back(node);
    }

    /// Adds a node behind another; gives its place.
    pub(super) fn insert_after(&mut self, at: Place, node: Node) -> Place {
        if self.is_captured() {
            self.note(self.spine.number_of(at) + self.spine.get(at).count());
        }
        self.spine.insert_after(at, node)
    }

    /// Adds a node before another; gives its place.
    pub(super) fn insert_before(&mut self, at: Place, node: Node) -> Place {
        if self.is_captured() {
            self.note(self.spine.number_of(at));
        }
        self.spine.insert_before(at, node)
    }

    /// As [`Spine::join`].
    pub(super) fn join(&mut self, near: Place) {
        self.spine.join(near);
    }

    /// Tells the capture of a node that is about to be added, beginning with element number
    /// `start`.
    #[inline]
    fn note(&mut self, start: usize) {
        if let Some(capture) = &mut self.capture {
            capture.add(Range { start, of: self.spine.elements() });
        }
    }

    /// Has a node kept that is about to be changed, and begins with element number `start`.
    #[cold]
    fn keep(&mut self, at: Place, start: usize) {
        let (node, of) = (self.spine.get(at), self.spine.elements());
        if let Some(capture) = &mut self.capture {
            capture.pass(Range { start, of }, node.count(), || node.clone());
        }
    }

    /// Whether there is a capture.
    #[inline]
    pub(super) fn is_captured(&self) -> bool {
        self.capture.is_some()
    }

    /// Begins a capture.
    pub(super) fn begin_capture(&mut self) {
        assert!(!self.is_captured(), "the list is captured already");
        self.capture = Some(Box::new(Capture::new(&self.spine)));
    }

    /// As [`crate::Collection::capture_step`].
    pub(super) fn capture_step(&mut self, budget: usize, see: &mut dyn FnMut(Part<'_>)) -> bool {
        let capture = self.capture.as_mut().expect("the list is captured");
        capture.step(&self.spine, budget, see)
    }

    /// Ends the capture, if there is one.
    pub(super) fn end_capture(&mut self) -> Remains {
        Remains::of(self.capture.take())
    }

    /// Panics where something is not as it must be.
    #[cfg(test)]
    pub(super) fn validate(&self) {
        self.spine.validate();
        if let Some(capture) = &self.capture {
            capture.validate(&self.spine);
        }
    }

    /// In how many runs the capture describes the list.
    #[cfg(test)]
    pub(super) fn runs(&self) -> usize {
        self.capture.as_ref().map_or(0, |capture| capture.runs())
    }
}
