//! The nodes in the order of their ids: an array of arrays, so that adding at the end and taking
//! from the front cost the same however many there are, and a search is two binary searches.

use super::capture::{Captured, EntriesCapture};
use super::id::StreamId;
use super::node::Node;
use std::collections::VecDeque;

/// Nodes in a chunk, at most: what taking one from the middle may move.
const CHUNK: usize = 256;

/// All nodes of a stream. No chunk is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Nodes {
    chunks: VecDeque<VecDeque<Node>>,
    len: usize,
    pub(super) capture: Captured<EntriesCapture>,
}

/// The place of a node. It is good until one is added or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    chunk: usize,
    node: usize,
}

impl Nodes {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory of the arrays.
    pub(super) fn memory(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(|chunk| chunk.capacity() * NODE).sum();
        chunks + self.chunks.capacity() * size_of::<VecDeque<Node>>()
    }

    /// All nodes.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.chunks.iter().flatten()
    }

    /// The first node.
    pub(super) fn first(&self) -> Option<At> {
        (self.len > 0).then_some(At { chunk: 0, node: 0 })
    }

    /// The last node.
    pub(super) fn last(&self) -> Option<At> {
        let chunk = self.chunks.len().checked_sub(1)?;
        Some(At { chunk, node: self.chunks[chunk].len() - 1 })
    }

    /// The nodes that begin behind this id, or all.
    pub(super) fn behind(&self, id: Option<StreamId>) -> impl Iterator<Item = &Node> {
        let start = match id.and_then(|id| self.seek(id)) {
            Some(at) => self.next(at),
            None => self.first(),
        };
        std::iter::successors(start, |&at| self.next(at)).map(|at| self.get(at))
    }

    /// The node behind one.
    pub(super) fn next(&self, at: At) -> Option<At> {
        if at.node + 1 < self.chunks[at.chunk].len() {
            Some(At { node: at.node + 1, ..at })
        } else {
            (at.chunk + 1 < self.chunks.len()).then_some(At { chunk: at.chunk + 1, node: 0 })
        }
    }

    /// The node before one.
    pub(super) fn prev(&self, at: At) -> Option<At> {
        if let Some(node) = at.node.checked_sub(1) {
            return Some(At { node, ..at });
        }
        let chunk = at.chunk.checked_sub(1)?;
        Some(At { chunk, node: self.chunks[chunk].len() - 1 })
    }

    /// The node that has this id, if any has it: the last that does not begin behind it.
    pub(super) fn seek(&self, id: StreamId) -> Option<At> {
        let chunk = self.chunks.partition_point(|chunk| chunk[0].first <= id).checked_sub(1)?;
        let node = self.chunks[chunk].partition_point(|node| node.first <= id) - 1;
        Some(At { chunk, node })
    }

    /// A node.
    #[inline]
    pub(super) fn get(&self, at: At) -> &Node {
        &self.chunks[at.chunk][at.node]
    }

    /// A node whose entries are to be changed. A capture that has still to show it keeps a copy.
    #[inline]
    pub(super) fn change(&mut self, at: At) -> &mut Node {
        let node = &mut self.chunks[at.chunk][at.node];
        if let Some(capture) = self.capture.get_mut() {
            capture.nodes.keep(&node.first, || Some(node.listpack.clone()));
        }
        node
    }

    /// Gives up the last node's room to grow.
    pub(super) fn fit_last(&mut self) {
        if let Some(last) = self.chunks.back_mut().and_then(VecDeque::back_mut) {
            last.listpack.fit();
        }
    }

    /// Adds a node behind all others.
    pub(super) fn push(&mut self, node: Node) {
        self.len += 1;
        if let Some(capture) = self.capture.get_mut() {
            capture.nodes.keep(&node.first, || None);
        }
        match self.chunks.back_mut() {
            Some(last) if last.len() < CHUNK => last.push_back(node),
            _ => {
                // Most streams are small: their first arrays have room for one.
                let mut chunk = VecDeque::with_capacity(if self.len == 1 { 1 } else { CHUNK });
                chunk.push_back(node);
                if self.chunks.is_empty() {
                    self.chunks.reserve_exact(1);
                }
                self.chunks.push_back(chunk);
            }
        }
    }

    /// Removes a node. A capture that has still to show it takes it over.
    pub(super) fn remove(&mut self, at: At) {
        self.len -= 1;
        let chunk = &mut self.chunks[at.chunk];
        let node = chunk.remove(at.node).expect("the place of a node");
        if let Some(capture) = self.capture.get_mut() {
            capture.nodes.keep(&node.first, || Some(node.listpack));
        }
        if chunk.is_empty() {
            self.chunks.remove(at.chunk);
        } else if chunk.len() < chunk.capacity() / 4 && at.chunk + 1 < self.chunks.len() {
            // The last one grows again.
            let chunk = &mut self.chunks[at.chunk];
            chunk.shrink_to(chunk.len() * 2);
        }
    }
}

const NODE: usize = size_of::<Node>();
