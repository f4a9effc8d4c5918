//! The entries of a stream: adding, removing, trimming, and what is remembered of those that were
//! there.

use super::MAX_STREAM_COUNT;
use super::id::StreamId;
use super::node::{Node, Place};
use super::nodes::{At, Nodes};
use super::range::{Range, RangeBack};

/// How large nodes may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Bytes; 0: as many as a listpack can have.
    pub node_bytes: usize,
    /// Entries, deleted ones among them; 0: any number.
    pub node_entries: u64,
}

/// Bytes that a node may have.
const MAX_NODE_BYTES: usize = 1 << 30;

/// Why an entry cannot be added: its fields and values do not fit into a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

/// The entries that are kept when a stream is trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The last entries, this many.
    Last(u64),
    /// The entries with this id or a later one.
    From(StreamId),
}

/// The entries of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries {
    pub(super) nodes: Nodes,
    pub(super) len: u64,
    pub(super) last_id: StreamId,
    pub(super) first_id: StreamId,
    pub(super) max_deleted_id: StreamId,
    pub(super) added: u64,
}

impl Entries {
    /// How many there are.
    #[inline]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The last id that was given out, whether its entry is still there or not.
    #[inline]
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// The id of the first entry; 0-0 if there are none.
    pub fn first_id(&self) -> StreamId {
        self.first_id
    }

    /// The largest id of all entries that were deleted one by one; 0-0 if there were none.
    pub fn max_deleted_id(&self) -> StreamId {
        self.max_deleted_id
    }

    /// How many entries were ever added.
    pub fn added(&self) -> u64 {
        self.added
    }

    /// How many nodes they stand in.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Sets the last id, and the other counters if they are given. The caller refuses values that
    /// are less than those of the entries that are there.
    pub fn set_last_id(
        &mut self,
        last: StreamId,
        added: Option<u64>,
        max_deleted: Option<StreamId>,
    ) {
        self.last_id = last;
        self.added = added.unwrap_or(self.added);
        self.max_deleted_id = max_deleted.unwrap_or(self.max_deleted_id);
    }

    /// The id of the last entry that is still there.
    pub fn last_present(&self) -> Option<StreamId> {
        self.range_back(StreamId::MIN, StreamId::MAX).next().map(|entry| entry.id)
    }

    /// The id of the first entry, among those that still take room though they are deleted.
    pub fn first_with_deleted(&self) -> Option<StreamId> {
        self.nodes.first().map(|at| self.nodes.get(at).first_id())
    }

    /// The entries with ids from `start` to `end`, both included.
    #[inline]
    pub fn range(&self, start: StreamId, end: StreamId) -> Range<'_> {
        Range::new(&self.nodes, start, end)
    }

    /// The same entries, last to first.
    #[inline]
    pub fn range_back(&self, start: StreamId, end: StreamId) -> RangeBack<'_> {
        RangeBack::new(&self.nodes, start, end)
    }

    /// Whether there is an entry with this id.
    pub fn contains(&self, id: StreamId) -> bool {
        self.range(id, id).next().is_some()
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// [`TooLarge`]; nothing was added.
    ///
    /// # Panics
    /// If the id is not behind the last one.
    pub fn append<'e>(
        &mut self,
        id: StreamId,
        pairs: impl ExactSizeIterator<Item = (&'e [u8], &'e [u8])> + Clone,
        limits: StreamLimits,
    ) -> Result<(), TooLarge> {
        assert!(id > self.last_id, "ids only grow");
        let (len, bytes) =
            (pairs.len(), pairs.clone().map(|(field, value)| field.len() + value.len()).sum());
        let tail = self.nodes.last().filter(|&at| has_room(self.nodes.get(at), bytes, limits));
        let is_added = tail.is_some_and(|at| self.nodes.change(at).append(id, len, pairs.clone()));
        if !is_added {
            let fields = pairs.clone().map(|(field, _)| field);
            let mut node = Node::new(id, len, fields).ok_or(TooLarge)?;
            if !node.append(id, len, pairs) {
                return Err(TooLarge);
            }
            // No entry is added to the last one any more.
            self.fit();
            self.nodes.push(node);
        }
        self.len += 1;
        self.added = (self.added + 1).min(MAX_STREAM_COUNT);
        self.last_id = id;
        if self.len == 1 {
            self.first_id = id;
        }
        Ok(())
    }

    /// Gives up the last node's room to grow; those before it have none.
    pub(super) fn fit(&mut self) {
        self.nodes.fit_last();
    }

    /// Deletes entries; gives how many of them were there.
    pub fn delete(&mut self, ids: &[StreamId]) -> u64 {
        let (before, mut of_first) = (self.len, false);
        for &id in ids {
            if self.delete_one(id) {
                of_first |= id == self.first_id;
                self.max_deleted_id = self.max_deleted_id.max(id);
            }
        }
        if of_first {
            self.find_first();
        }
        before - self.len
    }

    fn delete_one(&mut self, id: StreamId) -> bool {
        let Some(at) = self.nodes.seek(id) else { return false };
        let Some(place) = self.nodes.get(at).find(id) else { return false };
        self.delete_in(at, &[place]);
        true
    }

    /// Deletes entries of a node, and the node with the last of them: those that are deleted are of
    /// no use alone.
    fn delete_in(&mut self, at: At, places: &[Place]) {
        let count = places.len() as u64;
        if count == self.nodes.get(at).live() {
            self.nodes.remove(at);
        } else if count > 0 {
            self.nodes.change(at).delete(places);
        }
        self.len -= count;
    }

    /// Finds the first entry anew.
    pub(super) fn find_first(&mut self) {
        let first = self.range(StreamId::MIN, StreamId::MAX).next().map(|entry| entry.id);
        self.first_id = first.unwrap_or_default();
    }

    /// Removes entries from the front. If `whole_nodes`, then only as many as can go by removing
    /// whole nodes, and at most `limit` (0: any number). Gives how many are gone.
    pub fn trim(&mut self, keep: Keep, whole_nodes: bool, limit: u64) -> u64 {
        let before = self.len;
        while let Some(at) = self.nodes.first() {
            if matches!(keep, Keep::Last(count) if self.len <= count) {
                break;
            }
            let node = self.nodes.get(at);
            let live = node.live();
            if limit > 0 && before - self.len + live > limit {
                break;
            }
            let all_go = match keep {
                Keep::Last(count) => self.len - live >= count,
                Keep::From(id) => node.last_id() < id,
            };
            if all_go {
                self.len -= live;
                self.nodes.remove(at);
                continue;
            }
            if !whole_nodes {
                let places = match keep {
                    Keep::Last(count) => {
                        let mut excess = self.len - count;
                        node.find_while(|_| {
                            excess > 0 && {
                                excess -= 1;
                                true
                            }
                        })
                    }
                    Keep::From(first) => node.find_while(|id| id < first),
                };
                self.delete_in(at, &places);
            }
            break;
        }
        if self.len < before {
            self.find_first();
        }
        before - self.len
    }

    /// Whether an entry was deleted one by one at or behind `start`, so that counting on from there
    /// is not possible.
    pub(super) fn has_gap_from(&self, start: StreamId) -> bool {
        self.len > 0 && self.max_deleted_id != StreamId::MIN && start <= self.max_deleted_id
    }

    /// How many entries had been added up to an id, if that can be told.
    pub fn added_until(&self, id: StreamId) -> Option<u64> {
        if self.added == 0 {
            return Some(0);
        }
        if self.len == 0 && id <= self.last_id || id == self.last_id {
            return Some(self.added);
        }
        // How many of those up to the last deleted one were deleted is not known.
        if id != StreamId::MIN && id < self.max_deleted_id {
            return None;
        }
        let gap = self.max_deleted_id != StreamId::MIN && self.max_deleted_id >= self.first_id;
        if id > self.last_id || gap {
            return None;
        }
        let before_first = self.added.saturating_sub(self.len);
        match id.cmp(&self.first_id) {
            std::cmp::Ordering::Less => Some(before_first),
            std::cmp::Ordering::Equal => Some(before_first + 1),
            std::cmp::Ordering::Greater => None,
        }
    }
}

/// Whether a node takes one more entry with this many bytes of fields and values.
fn has_room(node: &Node, bytes: usize, limits: StreamLimits) -> bool {
    let most = match limits.node_bytes {
        0 => MAX_NODE_BYTES,
        bytes => bytes.min(MAX_NODE_BYTES),
    };
    if node.listpack.byte_len() + bytes >= most {
        return false;
    }
    let head = node.head();
    limits.node_entries == 0 || head.live + head.deleted < limits.node_entries
}
