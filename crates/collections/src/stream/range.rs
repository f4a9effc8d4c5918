//! Walking over the entries of a range of ids, from either end.

use super::entry::StreamEntry;
use super::id::StreamId;
use super::node::{DELETED, Head, Node};
use super::nodes::{At, Nodes};
use crate::listpack::{Iter, Position};

/// The entries of a range of ids, first to last.
pub struct Range<'a> {
    nodes: &'a Nodes,
    /// The node to be opened next.
    next: Option<At>,
    /// The node that is open.
    open: Option<(&'a Node, Head<'a>, Iter<'a>)>,
    start: StreamId,
    end: StreamId,
}

impl<'a> Range<'a> {
    pub(super) fn new(nodes: &'a Nodes, start: StreamId, end: StreamId) -> Range<'a> {
        let next = if start <= end { nodes.seek(start).or(nodes.first()) } else { None };
        Range { nodes, next, open: None, start, end }
    }

    fn open_next(&mut self) -> Option<()> {
        let at = self.next?;
        let node = self.nodes.get(at);
        let head = node.head();
        let entries = head.entries.clone();
        self.next = self.nodes.next(at).filter(|&next| self.nodes.get(next).first <= self.end);
        self.open = Some((node, head, entries));
        Some(())
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = StreamEntry<'a>;

    #[inline]
    fn next(&mut self) -> Option<StreamEntry<'a>> {
        loop {
            let Some((node, head, entries)) = &mut self.open else {
                self.open_next()?;
                continue;
            };
            let Some(raw) = Node::read(node.first, head, entries) else {
                self.open = None;
                continue;
            };
            if raw.entry.id > self.end {
                (self.open, self.next) = (None, None);
                return None;
            }
            if raw.flags & DELETED == 0 && raw.entry.id >= self.start {
                return Some(raw.entry);
            }
        }
    }
}

/// The entries of a range of ids, last to first.
pub struct RangeBack<'a> {
    nodes: &'a Nodes,
    next: Option<At>,
    /// The node that is open, and where the entry ends that comes next.
    open: Option<(&'a Node, Head<'a>, Option<Position>)>,
    start: StreamId,
    end: StreamId,
}

impl<'a> RangeBack<'a> {
    pub(super) fn new(nodes: &'a Nodes, start: StreamId, end: StreamId) -> RangeBack<'a> {
        let next = if start <= end { nodes.seek(end) } else { None };
        RangeBack { nodes, next, open: None, start, end }
    }

    fn open_next(&mut self) -> Option<()> {
        let at = self.next?;
        let node = self.nodes.get(at);
        // Entries of earlier nodes are before this one's first id.
        self.next = (node.first > self.start).then(|| self.nodes.prev(at)).flatten();
        self.open = Some((node, node.head(), node.listpack.last()));
        Some(())
    }
}

impl<'a> Iterator for RangeBack<'a> {
    type Item = StreamEntry<'a>;

    fn next(&mut self) -> Option<StreamEntry<'a>> {
        loop {
            let Some((node, head, end)) = &mut self.open else {
                self.open_next()?;
                continue;
            };
            let Some(at) = end.and_then(|end| node.start_of(end)) else {
                self.open = None;
                continue;
            };
            *end = node.listpack.prev(at);
            let raw = Node::read(node.first, head, &mut node.listpack.iter_from(at))
                .expect("an entry begins here");
            if raw.entry.id < self.start {
                (self.open, self.next) = (None, None);
                return None;
            }
            if raw.flags & DELETED == 0 && raw.entry.id <= self.end {
                return Some(raw.entry);
            }
        }
    }
}
