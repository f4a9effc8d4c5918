//! A quicklist: a sequence of nodes, each a listpack of limited size or one large element.
//!
//! The choice of a node for an element, and the moments at which nodes are split and merged, are
//! those of Redis, since they show: a list whose only node is small becomes a listpack (OBJECT
//! ENCODING). `spine.rs` has the sequence of nodes, `capturable_spine.rs` the same with a capture
//! of it, `node.rs` a node, `insert.rs` adding between elements.
//!
//! Compression: with `list-compress-depth` nodes farther from both ends are compressed. Reading
//! unpacks a copy; a change unpacks the node and packs it again. The limits are arguments: where
//! they have changed, a list follows node by node, as it is used.

mod insert;

use super::capturable_spine::CapturableSpine;
pub(super) use super::node::NodeRef;
use super::node::{Node, Unpacked, plain_element};
use super::spine::Place;
use super::{Direction, End, ListLimits};
use crate::capture::{Part, Remains};
use crate::listpack::{Element, Listpack};
use std::ops::ControlFlow;

/// The bytes that an element adds to a listpack beside its text, at most, in the sense of
/// `list-max-listpack-size`.
const ELEMENT_OVERHEAD: usize = 8;
/// Header and end of a listpack, which two that are merged share.
const LISTPACK_OVERHEAD: usize = 7;

/// A sequence of nodes.
#[derive(Debug, Clone, Default)]
pub struct Quicklist {
    spine: CapturableSpine,
}

impl Quicklist {
    /// A list whose first node is this listpack.
    pub(super) fn of(listpack: Listpack) -> Quicklist {
        let mut list = Quicklist::default();
        list.push_packed(listpack);
        list
    }

    /// The number of elements.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.spine.elements()
    }

    /// Gives up the room to grow that the nodes at both ends have; those between them have none, or
    /// little.
    pub(super) fn fit(&mut self) {
        for at in [self.spine.first(), self.spine.last()].into_iter().flatten() {
            self.spine.repack(at, Node::fit);
        }
    }

    /// The number of nodes.
    pub fn nodes(&self) -> usize {
        self.spine.nodes()
    }

    /// Shows each node, uncompressed, from the first to the last.
    pub fn visit_nodes(&self, mut visit: impl FnMut(NodeRef<'_>)) {
        for node in self.spine.iter() {
            visit(node.read(&mut Unpacked::default()));
        }
    }

    /// Bytes of memory.
    pub(super) fn memory(&self, samples: usize) -> usize {
        size_of::<Quicklist>() + self.spine.memory(samples)
    }

    /// Adds a listpack as the last node.
    pub(super) fn push_packed(&mut self, listpack: Listpack) {
        if !listpack.is_empty() {
            self.spine.push_back(Node::of(listpack));
        }
    }

    /// Adds an element as the last node.
    pub(super) fn push_plain(&mut self, text: &[u8]) {
        self.spine.push_back(Node::plain(text));
    }

    /// Its only node, if that is a listpack: bytes and elements.
    pub(super) fn only_listpack(&self) -> Option<(usize, usize)> {
        let node = self.spine.get(self.spine.first()?);
        (self.spine.nodes() == 1 && !node.is_plain()).then(|| (node.size(), node.count()))
    }

    /// Takes the listpack of its only node out.
    pub(super) fn into_listpack(mut self) -> Listpack {
        let first = self.spine.first().expect("the caller has looked");
        self.spine.take(first).into_listpack()
    }

    /// Whether an element of `len` bytes may be added to a node.
    fn has_room(&self, at: Option<Place>, len: usize, limits: ListLimits) -> bool {
        at.is_some_and(|at| {
            let node = self.spine.get(at);
            !node.is_plain()
                && !limits.is_large(len)
                && limits.allows(node.size() + len + ELEMENT_OVERHEAD, node.count() + 1)
        })
    }

    /// Adds an element at an end.
    pub(super) fn push(&mut self, end: End, text: &[u8], limits: ListLimits) {
        let at = match end {
            End::Left => self.spine.first(),
            End::Right => self.spine.last(),
        };
        if let Some(at) = at.filter(|_| self.has_room(at, text.len(), limits)) {
            self.spine.edit(at, |node| add(node, end, text));
            return;
        }
        if let Some(full) = at {
            self.spine.repack(full, Node::fit);
        }
        let node = new_node(text, limits);
        match end {
            End::Left => self.spine.push_front(node),
            End::Right => self.spine.push_back(node),
        }
        self.settle(limits);
    }

    /// Takes an element from an end, and shows it first.
    pub(super) fn pop<R>(
        &mut self,
        end: End,
        limits: ListLimits,
        show: impl FnOnce(Element<'_>) -> R,
    ) -> Option<R> {
        let at = match end {
            End::Left => self.spine.first()?,
            End::Right => self.spine.last()?,
        };
        let node = self.spine.get(at);
        if node.count() == 1 {
            let shown = match node.read(&mut Unpacked::default()) {
                NodeRef::Plain(text) => show(plain_element(text)),
                NodeRef::Packed(listpack) => show(listpack.iter().next()?),
            };
            self.remove_node(at, limits);
            return Some(shown);
        }
        Some(self.spine.edit(at, |node| {
            node.edit(|listpack, count| {
                let at = match end {
                    End::Left => listpack.first(),
                    End::Right => listpack.last(),
                };
                let at = at.expect("no node is empty");
                let shown = show(listpack.get(at));
                listpack.remove(at);
                *count -= 1;
                shown
            })
        }))
    }

    /// Takes a node out; gives the place of the one behind it.
    fn remove_node(&mut self, at: Place, limits: ListLimits) {
        self.spine.remove(at);
        self.spine.join(at);
        self.settle(limits);
    }

    /// Shows the elements from number `start` on, in this direction, until `visit` breaks.
    pub(super) fn visit<B>(
        &self,
        start: usize,
        direction: Direction,
        mut visit: impl FnMut(Element<'_>) -> ControlFlow<B>,
    ) -> Option<B> {
        let (mut place, offset) = self.spine.seek(start)?;
        let mut offset = Some(offset);
        loop {
            let node = self.spine.get(place);
            let flow = match node.read(&mut Unpacked::default()) {
                NodeRef::Plain(text) => visit(plain_element(text)),
                NodeRef::Packed(listpack) => {
                    visit_listpack(listpack, offset, direction, &mut visit)
                }
            };
            if let ControlFlow::Break(found) = flow {
                return Some(found);
            }
            offset = None;
            place = match direction {
                Direction::Forward => self.spine.next(place)?,
                Direction::Backward => self.spine.prev(place)?,
            };
        }
    }

    /// Removes `count` elements from number `start` on; there are that many.
    pub(super) fn remove_range(&mut self, start: usize, count: usize, limits: ListLimits) {
        let Some((place, mut offset)) = self.spine.seek(start) else { return };
        let (mut next, mut left) = (Some(place), count);
        while let Some(at) = next.filter(|_| left > 0) {
            let here = self.spine.get(at).count();
            let part = left.min(here - offset);
            next = if part == here {
                self.spine.remove_known(at, start)
            } else {
                let first = start - offset;
                self.spine.edit_known(at, first, |node| remove_from(node, offset, part));
                self.pack_again(at, limits);
                self.spine.next(at)
            };
            left -= part;
            offset = 0;
        }
        if let Some(near) = next.or(self.spine.last()) {
            self.spine.join(near);
        }
        self.settle(limits);
    }

    /// Removes up to `most` elements that equal `text`, from one end on; gives how many there were.
    pub(super) fn remove_equal(
        &mut self,
        text: &[u8],
        direction: Direction,
        most: usize,
        limits: ListLimits,
    ) -> usize {
        let mut removed = 0;
        // `passed`: how many elements stand before what has been looked at, or with it, if that
        // goes forward.
        let (mut next, mut passed) = match direction {
            Direction::Forward => (self.spine.first(), 0),
            Direction::Backward => (self.spine.last(), self.len()),
        };
        while let Some(at) = next.filter(|_| removed < most) {
            let start = match direction {
                Direction::Forward => passed,
                Direction::Backward => passed - self.spine.get(at).count(),
            };
            let most = most - removed;
            let (gone, is_empty) = self.remove_equal_in(at, start, text, direction, most, limits);
            removed += gone;
            // Before the node is taken out: what stands before it stays in place.
            let before = self.spine.prev(at);
            let (behind, left) = match is_empty {
                true => (self.spine.remove_known(at, start), 0),
                false => (self.spine.next(at), self.spine.get(at).count()),
            };
            (next, passed) = match direction {
                Direction::Forward => (behind, start + left),
                Direction::Backward => (before, start),
            };
        }
        if removed > 0 {
            if let Some(near) = next.or(self.spine.last()) {
                self.spine.join(near);
            }
            self.settle(limits);
        }
        removed
    }

    /// As [`Quicklist::remove_equal`] in one node, which begins with element number `start`;
    /// whether nothing is left of it comes second.
    fn remove_equal_in(
        &mut self,
        at: Place,
        start: usize,
        text: &[u8],
        direction: Direction,
        most: usize,
        limits: ListLimits,
    ) -> (usize, bool) {
        match self.spine.get(at).read(&mut Unpacked::default()) {
            NodeRef::Plain(own) => return (usize::from(own == text), own == text),
            NodeRef::Packed(listpack) if listpack.find(listpack.first(), text, 0).is_none() => {
                return (0, false);
            }
            NodeRef::Packed(_) => {}
        }
        let gone = self.spine.edit_known(at, start, |node| {
            node.edit(|listpack, count| {
                let gone = super::remove_equal(listpack, text, direction, most);
                *count -= gone as u32;
                gone
            })
        });
        if self.spine.get(at).count() == 0 {
            return (gone, true);
        }
        self.pack_again(at, limits);
        (gone, false)
    }

    /// Whether there is a capture.
    pub(super) fn is_captured(&self) -> bool {
        self.spine.is_captured()
    }

    /// Begins a capture.
    pub(super) fn begin_capture(&mut self) {
        self.spine.begin_capture();
    }

    /// As [`crate::Collection::capture_step`].
    pub(super) fn capture_step(&mut self, budget: usize, see: &mut dyn FnMut(Part<'_>)) -> bool {
        self.spine.capture_step(budget, see)
    }

    /// Ends the capture, if there is one.
    pub(super) fn end_capture(&mut self) -> Remains {
        self.spine.end_capture()
    }

    /// Compresses a node that was changed, if its place asks for it.
    fn pack_again(&mut self, at: Place, limits: ListLimits) {
        let depth = limits.compress_depth();
        if depth > 0 && !self.spine.is_near_end(at, depth) {
            self.spine.repack(at, Node::compress);
        }
    }

    /// Sees, after nodes were added or removed, to those near the ends being unpacked and the next
    /// ones compressed.
    fn settle(&mut self, limits: ListLimits) {
        let depth = limits.compress_depth();
        if depth == 0 {
            return;
        }
        let inner = self.spine.nodes() > depth.saturating_mul(2);
        let (mut front, mut back) = (self.spine.first(), self.spine.last());
        for _ in 0..depth.min(self.spine.nodes()) {
            let (Some(first), Some(last)) = (front, back) else { break };
            self.spine.repack(first, Node::unpack);
            self.spine.repack(last, Node::unpack);
            (front, back) = (self.spine.next(first), self.spine.prev(last));
        }
        for at in [front, back].into_iter().flatten().filter(|_| inner) {
            self.spine.repack(at, Node::compress);
        }
    }

    /// Panics where something is not as it must be.
    #[cfg(test)]
    pub(super) fn validate(&self) {
        self.spine.validate();
        for node in self.spine.iter() {
            let mut unpacked = Unpacked::default();
            let count = match node.read(&mut unpacked) {
                NodeRef::Packed(listpack) => listpack.len(),
                NodeRef::Plain(_) => 1,
            };
            assert!(count > 0 && count == node.count());
        }
    }

    /// In how many runs a capture describes the list.
    #[cfg(test)]
    pub(super) fn runs(&self) -> usize {
        self.spine.runs()
    }

    /// Whether each node is compressed.
    #[cfg(test)]
    pub(super) fn compressed(&self) -> Vec<bool> {
        self.spine.iter().map(Node::is_compressed).collect()
    }
}

/// A node for an element.
fn new_node(text: &[u8], limits: ListLimits) -> Node {
    if limits.is_large(text.len()) { Node::plain(text) } else { Node::packed(text) }
}

/// Adds an element at an end of a node's listpack.
fn add(node: &mut Node, end: End, text: &[u8]) {
    node.edit(|listpack, count| {
        match end {
            End::Left => listpack.push_front(text),
            End::Right => listpack.push(text),
        }
        *count += 1;
    });
}

/// Removes elements from a node's listpack.
fn remove_from(node: &mut Node, offset: usize, part: usize) {
    node.edit(|listpack, count| {
        let at = listpack.seek(offset as i64).expect("within the node");
        *count -= listpack.remove_range(at, part) as u32;
    });
}

/// Shows the elements of a listpack from one on, or from the beginning in this direction.
#[inline]
pub(super) fn visit_listpack<B>(
    listpack: &Listpack,
    start: Option<usize>,
    direction: Direction,
    visit: &mut impl FnMut(Element<'_>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let start = start.map(|start| listpack.seek(start as i64).expect("within the listpack"));
    match direction {
        Direction::Forward => {
            let mut elements = start.map_or(listpack.iter(), |at| listpack.iter_from(at));
            elements.try_for_each(visit)
        }
        Direction::Backward => {
            let elements = start.map_or(listpack.iter(), |at| listpack.iter_through(at));
            elements.rev().try_for_each(visit)
        }
    }
}
