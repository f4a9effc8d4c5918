//! A B+ tree of links with counts, so that ranks and ranges cost O(log n).
//!
//! On the way down a node that is full (for an insertion) or small (for a removal) is mended before
//! it is entered, so one walk from the root is enough and nothing has to be passed back up. A full
//! node gives to a neighbour before it splits, and at the end of the set it is left full, which
//! keeps leaves some 85 % full whatever the order of insertion is.

use super::link::Link;
use super::node::{Inner, Leaf, NODE, Node};
use std::cmp::Ordering;

/// The links of all members in the order of the set.
pub(super) struct Tree {
    root: Box<Node>,
    nodes: usize,
}

impl Default for Tree {
    fn default() -> Tree {
        Tree { root: Box::new(Node::Leaf(Leaf::new())), nodes: 1 }
    }
}

/// The last of the nodes that begin at or before the link; the first one if none does.
#[inline]
fn choose(firsts: &[Link], link: Link) -> usize {
    firsts.partition_point(|first| first.compare(link) != Ordering::Greater).saturating_sub(1)
}

/// The child below which the link of this rank is; the rank is then that within the child.
#[inline]
fn child_of_rank(inner: &Inner, rank: &mut usize) -> usize {
    let mut at = 0;
    while *rank >= inner.counts()[at] as usize {
        *rank -= inner.counts()[at] as usize;
        at += 1;
    }
    at
}

fn sum(counts: &[u32]) -> usize {
    counts.iter().map(|&count| count as usize).sum()
}

impl Tree {
    /// The number of links.
    pub(super) fn len(&self) -> usize {
        self.root.total() as usize
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        self.nodes * NODE
    }

    /// How many links lead the order for which `before` holds: it does for none behind one for
    /// which it does not.
    pub(super) fn partition(&self, before: impl Fn(Link) -> bool) -> usize {
        let (mut node, mut rank) = (&*self.root, 0);
        loop {
            match node {
                Node::Leaf(leaf) => {
                    return rank + leaf.links().partition_point(|&link| before(link));
                }
                Node::Inner(inner) => {
                    let at = inner.firsts().partition_point(|&link| before(link));
                    let Some(at) = at.checked_sub(1) else { return rank };
                    rank += sum(&inner.counts()[..at]);
                    node = inner.child(at);
                }
            }
        }
    }

    /// How many links stand before this one.
    pub(super) fn rank(&self, link: Link) -> usize {
        self.partition(|other| other.compare(link) == Ordering::Less)
    }

    /// The leaf in which the link of this rank stands, and where; the rank is below the length.
    pub(super) fn leaf_at(&self, mut rank: usize) -> (&[Link], usize) {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Leaf(leaf) => return (leaf.links(), rank),
                Node::Inner(inner) => node = inner.child(child_of_rank(inner, &mut rank)),
            }
        }
    }

    /// Adds a link that is not there.
    pub(super) fn insert(&mut self, link: Link) {
        if self.root.is_full() {
            self.raise();
        }
        let (mut node, mut at_end, nodes) = (&mut *self.root, true, &mut self.nodes);
        loop {
            match node {
                Node::Leaf(leaf) => {
                    let at = leaf.links().partition_point(|other| other.compare(link).is_lt());
                    leaf.insert(at, link);
                    return;
                }
                Node::Inner(inner) => {
                    let mut at = choose(inner.firsts(), link);
                    if inner.child(at).is_full() {
                        at_end &= at + 1 == inner.len() && is_behind(inner.child(at), link);
                        *nodes += usize::from(inner.make_room(at, at_end));
                        at = choose(inner.firsts(), link);
                    }
                    if at == 0 && link.compare(inner.firsts()[0]).is_lt() {
                        inner.set_first(0, link);
                    }
                    at_end &= at + 1 == inner.len();
                    inner.count(at, 1);
                    node = inner.child_mut(at);
                }
            }
        }
    }

    /// Puts a new root above the full one.
    fn raise(&mut self) {
        let leaf = Box::new(Node::Leaf(Leaf::new()));
        let old = std::mem::replace(&mut self.root, leaf);
        *self.root = Node::Inner(Inner::above(old));
        self.nodes += 1;
    }

    /// Removes a link that is there. Its member lives, and has the score by which it was added.
    pub(super) fn remove(&mut self, link: Link) {
        let (mut node, nodes) = (&mut *self.root, &mut self.nodes);
        let new_first = loop {
            match node {
                Node::Leaf(leaf) => {
                    let at = place(leaf.links(), link);
                    leaf.remove(at);
                    break if at == 0 { leaf.links().first().copied() } else { None };
                }
                Node::Inner(inner) => {
                    let mut at = choose(inner.firsts(), link);
                    if inner.child(at).is_small() {
                        *nodes -= usize::from(inner.fill(at));
                        at = choose(inner.firsts(), link);
                    }
                    inner.count(at, -1);
                    node = inner.child_mut(at);
                }
            }
        };
        if let Some(first) = new_first {
            self.rename_first(link, first);
        }
        self.lower();
    }

    /// Removes links from this rank on, which exist: at most `most` of them, and no more than one
    /// leaf holds, so that one way from the root serves many. They are added to `taken`; their
    /// members still live.
    pub(super) fn remove_run(&mut self, rank: usize, most: usize, taken: &mut Vec<Link>) {
        let (at, len) = self.mend_way_to(rank);
        // A leaf is never left empty but at the root: a later call finds it small, and joins it.
        let is_root = matches!(&*self.root, Node::Leaf(_));
        let spared = usize::from(at == 0 && !is_root && most >= len);
        let count = most.min(len - at).saturating_sub(spared).max(1);
        let (mut node, mut rank) = (&mut *self.root, rank);
        let renamed = loop {
            match node {
                Node::Leaf(leaf) => {
                    taken.extend_from_slice(&leaf.links()[rank..rank + count]);
                    let first = leaf.links()[0];
                    leaf.remove_run(rank, count);
                    break leaf.links().first().filter(|_| rank == 0).map(|&new| (first, new));
                }
                Node::Inner(inner) => {
                    let at = child_of_rank(inner, &mut rank);
                    inner.count(at, -(count as i32));
                    node = inner.child_mut(at);
                }
            }
        };
        if let Some((old, new)) = renamed {
            self.rename_first(old, new);
        }
        self.lower();
    }

    /// Mends small nodes on the way to the link of this rank. Gives the link's new position in its
    /// leaf, and the number of links there.
    fn mend_way_to(&mut self, mut rank: usize) -> (usize, usize) {
        let (mut node, nodes) = (&mut *self.root, &mut self.nodes);
        loop {
            match node {
                Node::Leaf(leaf) => return (rank, leaf.links().len()),
                Node::Inner(inner) => {
                    let mut within = rank;
                    let mut at = child_of_rank(inner, &mut within);
                    if inner.child(at).is_small() {
                        *nodes -= usize::from(inner.fill(at));
                        at = child_of_rank(inner, &mut rank);
                    } else {
                        rank = within;
                    }
                    node = inner.child_mut(at);
                }
            }
        }
    }

    /// Puts `new` in the place of `old`, wherever that is noted as the first link of a node.
    fn rename_first(&mut self, old: Link, new: Link) {
        let mut node = &mut *self.root;
        while let Node::Inner(inner) = node {
            let at = choose(inner.firsts(), old);
            if inner.firsts()[at].is_same(old) {
                inner.set_first(at, new);
            }
            node = inner.child_mut(at);
        }
    }

    /// Takes roots with one child away.
    fn lower(&mut self) {
        while matches!(&*self.root, Node::Inner(inner) if inner.len() == 1) {
            let leaf = Node::Leaf(Leaf::new());
            if let Node::Inner(inner) = std::mem::replace(&mut *self.root, leaf) {
                self.root = inner.into_only_child();
                self.nodes -= 1;
            }
        }
    }

    /// Puts the link with its member's next score in the place of the one with the present score,
    /// if it stays between its neighbours in the leaf. Whether it does.
    pub(super) fn try_replace(&mut self, old: Link, new: Link, score: f64) -> bool {
        let mut node = &mut *self.root;
        loop {
            match node {
                Node::Leaf(leaf) => {
                    let links = leaf.links();
                    let at = place(links, old);
                    // The first or last link of a leaf could leave it.
                    let stays = at > 0
                        && at + 1 < links.len()
                        && links[at - 1].compare_to(old, score).is_lt()
                        && links[at + 1].compare_to(old, score).is_gt();
                    if stays {
                        leaf.replace(at, new);
                    }
                    return stays;
                }
                Node::Inner(inner) => {
                    let at = choose(inner.firsts(), old);
                    node = inner.child_mut(at);
                }
            }
        }
    }

    /// Asserts what must hold of every node.
    #[cfg(test)]
    pub(super) fn validate(&self) {
        let mut nodes = 0;
        let mut level = vec![&*self.root];
        while let Some(Node::Inner(_)) = level.first() {
            nodes += level.len();
            let mut below = Vec::new();
            for node in level {
                let Node::Inner(inner) = node else { panic!("leaves have the same depth") };
                assert!(inner.len() > 0);
                for at in 0..inner.len() {
                    let child = inner.child(at);
                    assert_eq!(child.total(), inner.counts()[at]);
                    let first = match child {
                        Node::Leaf(leaf) => leaf.links()[0],
                        Node::Inner(inner) => inner.firsts()[0],
                    };
                    assert!(first.is_same(inner.firsts()[at]));
                    below.push(child);
                }
            }
            level = below;
        }
        assert_eq!(nodes + level.len(), self.nodes);
        let mut last = None;
        for node in level {
            let Node::Leaf(leaf) = node else { panic!("leaves have the same depth") };
            for &link in leaf.links() {
                assert!(last.is_none_or(|last: Link| last.compare(link).is_lt()));
                last = Some(link);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn nodes(&self) -> usize {
        self.nodes
    }
}

/// Whether a link goes behind all of a node's.
fn is_behind(node: &Node, link: Link) -> bool {
    match node {
        Node::Leaf(leaf) => leaf.links().last().is_none_or(|last| last.compare(link).is_lt()),
        // Only seen from its parent, an inner node's last link is not known: its last child begins
        // before the link.
        Node::Inner(inner) => choose(inner.firsts(), link) + 1 == inner.len(),
    }
}

/// The position of a link in its leaf.
fn place(links: &[Link], link: Link) -> usize {
    let at = links.partition_point(|other| other.compare(link).is_lt());
    assert!(links.get(at).is_some_and(|found| found.is_same(link)), "the link is in the tree");
    at
}
