//! Adding and replacing elements between others: nodes that are full are split, and their halves
//! merged with neighbours that have room.

use super::{ELEMENT_OVERHEAD, LISTPACK_OVERHEAD, Quicklist, add, new_node};
use crate::list::node::Node;
use crate::list::spine::Place;
use crate::list::{End, ListLimits, Side};
use crate::listpack::Listpack;

impl Quicklist {
    /// Adds an element before or behind number `index`.
    pub(in crate::list) fn insert(
        &mut self,
        index: usize,
        side: Side,
        text: &[u8],
        limits: ListLimits,
    ) {
        let Some((at, offset)) = self.spine.seek(index) else { return };
        self.insert_at(at, offset, side, text, limits);
        self.settle(limits);
    }

    fn insert_at(&mut self, at: Place, offset: usize, side: Side, text: &[u8], limits: ListLimits) {
        let after = side == Side::After;
        if self.has_room(Some(at), text.len(), limits) {
            self.spine.edit(at, |node| insert_within(node, offset, side, text));
            self.pack_again(at, limits);
            return;
        }
        let at_border = if after { offset + 1 == self.spine.get(at).count() } else { offset == 0 };
        if !at_border {
            self.insert_by_splitting(at, offset + usize::from(after), side, text, limits);
            return;
        }
        let (neighbour, end) = match side {
            Side::After => (self.spine.next(at), End::Left),
            Side::Before => (self.spine.prev(at), End::Right),
        };
        if let Some(neighbour) = neighbour.filter(|_| self.has_room(neighbour, text.len(), limits))
        {
            self.spine.edit(neighbour, |node| add(node, end, text));
            self.pack_again(neighbour, limits);
            return;
        }
        let new = self.insert_node(at, side, new_node(text, limits));
        self.pack_again(new, limits);
    }

    fn insert_node(&mut self, at: Place, side: Side, node: Node) -> Place {
        match side {
            Side::After => self.spine.insert_after(at, node),
            Side::Before => self.spine.insert_before(at, node),
        }
    }

    /// Splits a node so that `left` elements stay on the left, and adds an element in between: to
    /// the part that is new, or, if it is large, as a node of its own.
    fn insert_by_splitting(
        &mut self,
        at: Place,
        left: usize,
        side: Side,
        text: &[u8],
        limits: ListLimits,
    ) {
        let right = self.spine.edit(at, |node| split(node, left));
        if limits.is_large(text.len()) {
            let middle = self.spine.insert_after(at, Node::plain(text));
            let right = self.spine.insert_after(middle, right);
            let middle = self.spine.prev(right).expect("the new node");
            self.pack_around(middle, limits);
            return;
        }
        let right = self.spine.insert_after(at, right);
        // Inserting may have moved the left part to another block.
        let at = self.spine.prev(right).expect("the part on the left");
        let centre = match side {
            Side::After => {
                self.spine.edit(right, |node| add(node, End::Left, text));
                at
            }
            Side::Before => {
                self.spine.edit(at, |node| add(node, End::Right, text));
                right
            }
        };
        let centre = self.merge_around(centre, limits);
        self.pack_around(centre, limits);
        self.spine.join(centre);
    }

    /// Replaces element number `index`.
    pub(in crate::list) fn set(&mut self, index: usize, text: &[u8], limits: ListLimits) {
        let Some((at, offset)) = self.spine.seek(index) else { return };
        let node = self.spine.get(at);
        let (is_plain, is_large) = (node.is_plain(), limits.is_large(text.len()));
        if is_plain && is_large {
            self.spine.replace(at, Node::plain(text));
            self.pack_again(at, limits);
        } else if is_plain {
            self.insert_at(at, 0, Side::After, text, limits);
            // The new element stands behind this one, which has not moved to another number.
            let (at, _) = self.spine.seek(index).expect("the element that is replaced");
            self.spine.remove(at);
            self.spine.join(at);
        } else if !is_large && can_replace(node, text) {
            self.spine.edit_known(at, index - offset, |node| {
                node.edit(|listpack, _| {
                    let at = listpack.seek(offset as i64).expect("within the node");
                    listpack.replace(at, text);
                });
            });
            self.pack_again(at, limits);
        } else {
            self.replace_by_splitting(at, offset, text, limits);
        }
        self.settle(limits);
    }

    /// Puts a node of its own in the place of an element.
    fn replace_by_splitting(&mut self, at: Place, offset: usize, text: &[u8], limits: ListLimits) {
        let count = self.spine.get(at).count();
        let right =
            (offset + 1 < count).then(|| self.spine.edit(at, |node| split(node, offset + 1)));
        let mut new = self.spine.insert_after(at, new_node(text, limits));
        if let Some(right) = right {
            let right = self.spine.insert_after(new, right);
            new = self.spine.prev(right).expect("the new node");
        }
        let old = self.spine.prev(new).expect("the node of the old element");
        if offset == 0 {
            let behind = self.spine.remove(old);
            new = behind.expect("the new node");
        } else {
            self.spine.edit(old, |node| super::remove_from(node, offset, 1));
            new = self.merge_around(new, limits);
        }
        self.pack_around(new, limits);
        self.spine.join(new);
    }

    /// Compresses a node that was changed and its neighbours, if their places ask for it.
    fn pack_around(&mut self, at: Place, limits: ListLimits) {
        for at in [self.spine.prev(at), Some(at), self.spine.next(at)].into_iter().flatten() {
            self.pack_again(at, limits);
        }
    }

    /// Merges small nodes around a node: the two before it, the two behind it, then itself with the
    /// one before and with the one behind. Gives the place of the node that has its elements.
    fn merge_around(&mut self, mut centre: Place, limits: ListLimits) -> Place {
        if let Some(prev) = self.spine.prev(centre)
            && let Some(first) = self.spine.prev(prev)
            && self.may_merge(first, prev, limits)
        {
            self.merge_next(first);
            centre = self.spine.next(first).expect("the node in the middle");
        }
        if let Some(next) = self.spine.next(centre)
            && let Some(last) = self.spine.next(next)
            && self.may_merge(next, last, limits)
        {
            self.merge_next(next);
        }
        if let Some(prev) = self.spine.prev(centre)
            && self.may_merge(prev, centre, limits)
        {
            self.merge_next(prev);
            centre = prev;
        }
        if let Some(next) = self.spine.next(centre)
            && self.may_merge(centre, next, limits)
        {
            self.merge_next(centre);
        }
        centre
    }

    fn may_merge(&self, left: Place, right: Place, limits: ListLimits) -> bool {
        let (left, right) = (self.spine.get(left), self.spine.get(right));
        let bytes = left.size() + right.size() - LISTPACK_OVERHEAD.min(right.size());
        !left.is_plain() && !right.is_plain() && limits.allows(bytes, left.count() + right.count())
    }

    /// Moves the elements of the node behind one to that one.
    fn merge_next(&mut self, at: Place) {
        let next = self.spine.next(at).expect("the caller has looked");
        let more = self.spine.take(next).into_listpack();
        self.spine.edit(at, |node| {
            node.edit(|listpack, count| {
                *count += more.len() as u32;
                listpack.append(&more);
            });
        });
    }
}

/// Adds an element beside another of a node's listpack.
fn insert_within(node: &mut Node, offset: usize, side: Side, text: &[u8]) {
    node.edit(|listpack, count| {
        super::super::insert_beside(listpack, offset, side, text);
        *count += 1;
    });
}

/// Splits a node's listpack so that `left` elements stay; gives the others.
fn split(node: &mut Node, left: usize) -> Node {
    node.edit(|listpack, count| {
        let at = listpack.seek(left as i64).expect("within the node");
        let right = Node::of(listpack.split_off(at));
        *count -= right.count() as u32;
        right
    })
}

/// Whether a node's listpack has room for this element in the place of another.
fn can_replace(node: &Node, text: &[u8]) -> bool {
    Listpack::may_have(node.size().saturating_add(text.len()).saturating_add(ELEMENT_OVERHEAD))
}
