//! The sequence of a quicklist's nodes.
//!
//! Nodes stand in blocks of up to 128, which stand in one vector; the first lies in the list
//! itself, since most lists have no other. So adding and removing takes a step of constant size,
//! but that a block is moved, and once in 128 times the vector, 40 bytes for 128 nodes: 320 KB for
//! a million nodes, 20 µs. Each block knows how many elements are in it, and each node too, so that
//! an index is found by adding up blocks and then nodes, without touching what is in them.
//!
//! The content of the blocks is a parameter, since a capture describes a list by such a sequence
//! too.

use super::node::Node;
use smallvec::SmallVec;
use std::collections::VecDeque;

const BLOCK_NODES: usize = 128;

/// An item of a sequence.
pub(super) trait Counted {
    /// The number of its elements.
    fn count(&self) -> usize;
}

impl Counted for Node {
    #[inline]
    fn count(&self) -> usize {
        Node::count(self)
    }
}

#[derive(Debug, Clone)]
struct Block<T> {
    elements: usize,
    nodes: VecDeque<T>,
}

impl<T> Default for Block<T> {
    fn default() -> Block<T> {
        Block { elements: 0, nodes: VecDeque::new() }
    }
}

impl<T: Counted> Block<T> {
    fn of(nodes: VecDeque<T>) -> Block<T> {
        Block { elements: nodes.iter().map(T::count).sum(), nodes }
    }
}

/// A sequence of nodes.
#[derive(Debug, Clone)]
pub(super) struct Spine<T = Node> {
    blocks: SmallVec<[Block<T>; 1]>,
    nodes: usize,
    elements: usize,
}

impl<T> Default for Spine<T> {
    fn default() -> Spine<T> {
        Spine { blocks: SmallVec::new(), nodes: 0, elements: 0 }
    }
}

/// The place of a node. It is good until nodes are added or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    block: usize,
    node: usize,
}

/// Gives memory back after much was removed.
fn trim<T>(deque: &mut VecDeque<T>) {
    if deque.capacity() > 8 && deque.capacity() / 4 > deque.len() {
        deque.shrink_to(deque.len() * 2);
    }
}

impl<T: Counted> Spine<T> {
    /// The number of nodes.
    #[inline]
    pub(super) fn nodes(&self) -> usize {
        self.nodes
    }

    /// The number of elements of all nodes.
    #[inline]
    pub(super) fn elements(&self) -> usize {
        self.elements
    }

    /// The first node.
    #[inline]
    pub(super) fn first(&self) -> Option<Place> {
        (self.nodes > 0).then_some(Place { block: 0, node: 0 })
    }

    /// The last node.
    #[inline]
    pub(super) fn last(&self) -> Option<Place> {
        let block = self.blocks.len().checked_sub(1)?;
        Some(Place { block, node: self.blocks[block].nodes.len() - 1 })
    }

    /// The node behind one.
    #[inline]
    pub(super) fn next(&self, at: Place) -> Option<Place> {
        if at.node + 1 < self.blocks[at.block].nodes.len() {
            return Some(Place { node: at.node + 1, ..at });
        }
        (at.block + 1 < self.blocks.len()).then_some(Place { block: at.block + 1, node: 0 })
    }

    /// The node before one.
    #[inline]
    pub(super) fn prev(&self, at: Place) -> Option<Place> {
        if at.node > 0 {
            return Some(Place { node: at.node - 1, ..at });
        }
        let block = at.block.checked_sub(1)?;
        Some(Place { block, node: self.blocks[block].nodes.len() - 1 })
    }

    /// A node.
    #[inline]
    pub(super) fn get(&self, at: Place) -> &T {
        &self.blocks[at.block].nodes[at.node]
    }

    /// All nodes.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.blocks.iter().flat_map(|block| block.nodes.iter())
    }

    /// Changes a node, which must keep an element or be removed next.
    #[inline]
    pub(super) fn edit<R>(&mut self, at: Place, change: impl FnOnce(&mut T) -> R) -> R {
        let block = &mut self.blocks[at.block];
        let node = &mut block.nodes[at.node];
        let before = node.count();
        let result = change(node);
        let after = node.count();
        block.elements = block.elements - before + after;
        self.elements = self.elements - before + after;
        result
    }

    /// The node in which element number `index` is, and its number within the node.
    pub(super) fn seek(&self, index: usize) -> Option<(Place, usize)> {
        if index >= self.elements {
            return None;
        }
        if index < self.elements / 2 {
            let (block, rest) = skip(self.blocks.iter().map(|block| block.elements), index);
            let (node, rest) = skip(self.blocks[block].nodes.iter().map(T::count), rest);
            return Some((Place { block, node }, rest));
        }
        // From the end: what counts is how many elements follow.
        let behind = self.elements - 1 - index;
        let (block, rest) = skip(self.blocks.iter().rev().map(|block| block.elements), behind);
        let block = self.blocks.len() - 1 - block;
        let nodes = &self.blocks[block].nodes;
        let (node, rest) = skip(nodes.iter().rev().map(T::count), rest);
        let node = nodes.len() - 1 - node;
        Some((Place { block, node }, nodes[node].count() - 1 - rest))
    }

    /// The number of a node's first element. At the ends it takes no time.
    pub(super) fn number_of(&self, at: Place) -> usize {
        let block = &self.blocks[at.block];
        let before_block = if at.block < self.blocks.len() / 2 {
            self.blocks[..at.block].iter().map(|block| block.elements).sum()
        } else {
            let behind: usize = self.blocks[at.block..].iter().map(|block| block.elements).sum();
            self.elements - behind
        };
        let within = if at.node < block.nodes.len() / 2 {
            block.nodes.range(..at.node).map(T::count).sum()
        } else {
            block.elements - block.nodes.range(at.node..).map(T::count).sum::<usize>()
        };
        before_block + within
    }

    /// The node that begins this many elements behind the beginning of another. Takes as long as it
    /// is far away.
    pub(super) fn forward(&self, mut at: Place, elements: usize) -> Option<Place> {
        let mut rest = elements;
        while rest > 0 {
            let block = self.blocks.get(at.block)?;
            if at.node == 0 && rest >= block.elements {
                rest -= block.elements;
                at.block += 1;
            } else {
                rest = rest.checked_sub(self.get(at).count())?;
                at = self.next(at)?;
            }
        }
        (at.block < self.blocks.len()).then_some(at)
    }

    /// Whether a node is among the `depth` nodes at either end.
    pub(super) fn is_near_end(&self, at: Place, depth: usize) -> bool {
        let before = || self.blocks.iter().take(at.block).map(|block| block.nodes.len());
        let behind = || self.blocks.iter().skip(at.block + 1).map(|block| block.nodes.len());
        let own = self.blocks[at.block].nodes.len();
        sum_to(before(), depth) + at.node < depth
            || sum_to(behind(), depth) + (own - 1 - at.node) < depth
    }

    /// Adds a node as the first.
    pub(super) fn push_front(&mut self, node: T) {
        if self.blocks.first().is_none_or(|block| block.nodes.len() >= BLOCK_NODES) {
            self.blocks.insert(0, Block::default());
        }
        self.note(0, &node);
        self.blocks[0].nodes.push_front(node);
    }

    /// Adds a node as the last.
    pub(super) fn push_back(&mut self, node: T) {
        if self.blocks.last().is_none_or(|block| block.nodes.len() >= BLOCK_NODES) {
            self.blocks.push(Block::default());
        }
        let last = self.blocks.len() - 1;
        self.note(last, &node);
        self.blocks[last].nodes.push_back(node);
    }

    /// Counts a node that is about to be added to a block.
    fn note(&mut self, block: usize, node: &T) {
        self.nodes += 1;
        self.elements += node.count();
        self.blocks[block].elements += node.count();
    }

    /// Adds a node behind another; gives its place.
    pub(super) fn insert_after(&mut self, at: Place, node: T) -> Place {
        self.insert(Place { node: at.node + 1, ..at }, node)
    }

    /// Adds a node before another; gives its place.
    pub(super) fn insert_before(&mut self, at: Place, node: T) -> Place {
        self.insert(at, node)
    }

    fn insert(&mut self, mut at: Place, node: T) -> Place {
        let nodes = &mut self.blocks[at.block].nodes;
        if nodes.len() >= BLOCK_NODES {
            let rest = Block::of(nodes.split_off(BLOCK_NODES / 2));
            self.blocks[at.block].elements -= rest.elements;
            self.blocks.insert(at.block + 1, rest);
            if at.node > BLOCK_NODES / 2 {
                at = Place { block: at.block + 1, node: at.node - BLOCK_NODES / 2 };
            }
        }
        self.note(at.block, &node);
        self.blocks[at.block].nodes.insert(at.node, node);
        at
    }

    /// Takes a node out; gives it and the place of the one that was behind it. The nodes before it
    /// stay in place.
    pub(super) fn remove(&mut self, at: Place) -> (T, Option<Place>) {
        let block = &mut self.blocks[at.block];
        let node = block.nodes.remove(at.node).expect("the place of a node");
        block.elements -= node.count();
        self.elements -= node.count();
        self.nodes -= 1;
        trim(&mut block.nodes);
        let next = if block.nodes.is_empty() {
            self.blocks.remove(at.block);
            if self.blocks.spilled() && self.blocks.capacity() / 4 >= self.blocks.len() {
                self.blocks.shrink_to_fit();
            }
            Place { block: at.block, node: 0 }
        } else if at.node < block.nodes.len() {
            at
        } else {
            Place { block: at.block + 1, node: 0 }
        };
        (node, (next.block < self.blocks.len()).then_some(next))
    }

    /// Adds the nodes of another behind its own.
    pub(super) fn append(&mut self, other: Spine<T>) {
        let seam = Place { block: self.blocks.len(), node: 0 };
        self.nodes += other.nodes;
        self.elements += other.elements;
        self.blocks.extend(other.blocks);
        self.join(seam);
    }

    /// Joins neighbouring blocks that have become small: those beside the node at this place, which
    /// moves.
    pub(super) fn join(&mut self, near: Place) {
        let mut block = near.block.saturating_sub(1);
        for _ in 0..2 {
            let Some(next) = self.blocks.get(block + 1) else { return };
            if self.blocks[block].nodes.len() + next.nodes.len() > BLOCK_NODES / 2 {
                block += 1;
                continue;
            }
            let next = self.blocks.remove(block + 1);
            self.blocks[block].elements += next.elements;
            self.blocks[block].nodes.extend(next.nodes);
        }
    }

    /// Panics where the counts are not right.
    #[cfg(test)]
    pub(super) fn validate(&self) {
        for block in &self.blocks {
            assert!(!block.nodes.is_empty() && block.nodes.len() <= BLOCK_NODES);
            assert_eq!(block.elements, block.nodes.iter().map(T::count).sum::<usize>());
        }
        assert_eq!(self.nodes, self.iter().count());
        assert_eq!(self.elements, self.iter().map(T::count).sum::<usize>());
    }
}

impl Spine {
    /// Bytes of memory of the sequence and of its nodes, these estimated from `samples` of them; 0:
    /// all are looked at.
    pub(super) fn memory(&self, samples: usize) -> usize {
        let spilled = if self.blocks.spilled() { self.blocks.capacity() } else { 0 };
        let own = spilled * size_of::<Block<Node>>();
        let slots: usize = self.blocks.iter().map(|block| block.nodes.capacity()).sum();
        let looked_at = if samples == 0 { self.nodes } else { samples.min(self.nodes) };
        let content: usize = self.iter().take(looked_at).map(Node::memory).sum();
        let content = content as u128 * self.nodes as u128 / looked_at.max(1) as u128;
        own + slots * size_of::<Node>() + content as usize
    }
}

/// How many of `counts` lie wholly before number `index`, and what is left of it.
fn skip(counts: impl Iterator<Item = usize>, index: usize) -> (usize, usize) {
    let (mut skipped, mut rest) = (0, index);
    for count in counts {
        if rest < count {
            break;
        }
        rest -= count;
        skipped += 1;
    }
    (skipped, rest)
}

/// The sum of `counts`, as far as needed to reach `enough`.
fn sum_to(counts: impl Iterator<Item = usize>, enough: usize) -> usize {
    let mut sum = 0;
    for count in counts {
        if sum >= enough {
            break;
        }
        sum += count;
    }
    sum
}

const _: () = assert!(size_of::<Node>() == 16);
const _: () = assert!(size_of::<Block<Node>>() == 40);
const _: () = assert!(size_of::<Spine>() == 64);

#[cfg(test)]
mod tests;
