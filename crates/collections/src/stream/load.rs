//! Taking a stream in from outside: nodes, what is remembered, groups. Everything is checked, so
//! that no later operation on the stream meets an unexpected state.

use super::group::{Consumer, ConsumerId, Group, Pending};
use super::id::StreamId;
use super::node::{DELETED, Node, SAME_FIELDS};
use super::{Entries, MAX_STREAM_COUNT, Stream};
use crate::listpack::{Corrupt, Element, Iter, Listpack};
use std::collections::BTreeMap;

/// The history of a stream, as an RDB file has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamHistory {
    /// The number of entries.
    pub len: u64,
    /// The last id that was given out.
    pub last_id: StreamId,
    /// The largest id of a deleted entry, and how many entries were ever added; older files do not
    /// have them.
    pub counters: Option<(StreamId, u64)>,
}

/// A stream that is taken in: first its nodes, then the rest.
#[derive(Debug, Default)]
pub struct StreamLoader {
    entries: Entries,
    any: bool,
}

impl StreamLoader {
    /// Takes the next node in: its first id and its listpack.
    ///
    /// # Errors
    /// [`Corrupt`] if the bytes are no listpack, or that is no node, or is not behind the nodes
    /// before.
    pub fn node(&mut self, first: StreamId, bytes: &[u8]) -> Result<(), Corrupt> {
        let node = Node { first, listpack: Listpack::from_bytes(bytes)? };
        let (live, end) = check(&node).ok_or(Corrupt)?;
        // Nodes are found by their own ids, which begin behind the entries of the node before.
        if self.any && first <= self.entries.last_id {
            return Err(Corrupt);
        }
        self.entries.len = self.entries.len.checked_add(live).ok_or(Corrupt)?;
        (self.entries.last_id, self.any) = (end, true);
        if live > 0 {
            self.entries.nodes.push(node);
        }
        Ok(())
    }

    /// How many entries have come in.
    pub fn len(&self) -> u64 {
        self.entries.len
    }

    /// Whether none have.
    pub fn is_empty(&self) -> bool {
        self.entries.len == 0
    }

    /// All nodes are in.
    ///
    /// # Errors
    /// [`Corrupt`] if what is said about the entries is not so.
    pub fn finish(self, history: StreamHistory) -> Result<Stream, Corrupt> {
        let mut entries = self.entries;
        if history.len != entries.len || history.last_id < entries.last_id {
            return Err(Corrupt);
        }
        let (max_deleted, added) = history.counters.unwrap_or((StreamId::MIN, entries.len));
        entries.set_last_id(history.last_id, Some(added.min(MAX_STREAM_COUNT)), Some(max_deleted));
        entries.find_first();
        let mut stream = Stream::new();
        stream.entries = entries;
        Ok(stream)
    }
}

/// Checks that a listpack is a node with at least one entry. Gives the number of those which are
/// not deleted (Redis leaves nodes without any behind when it trims by id), and the last id of all.
fn check(node: &Node) -> Option<(u64, StreamId)> {
    let mut iter = node.listpack.iter();
    let (live, deleted) = (count(&mut iter)?, count(&mut iter)?);
    let len = count(&mut iter)?;
    pass(&mut iter, len)?;
    if count(&mut iter)? != 0 {
        return None;
    }
    let (mut seen, mut last) = ([0u64; 2], None);
    while iter.place().is_some() {
        let flags = integer(&mut iter)?;
        if flags & !(DELETED | SAME_FIELDS) != 0 {
            return None;
        }
        let id = node.first.plus(integer(&mut iter)?, integer(&mut iter)?);
        if last.is_some_and(|last| id <= last) || id < node.first {
            return None;
        }
        last = Some(id);
        let elements = if flags & SAME_FIELDS != 0 {
            pass(&mut iter, len)?;
            len + 3
        } else {
            let own = count(&mut iter)?;
            pass(&mut iter, own.checked_mul(2)?)?;
            own * 2 + 4
        };
        if count(&mut iter)? != elements {
            return None;
        }
        seen[(flags & DELETED) as usize] += 1;
    }
    (seen == [live, deleted]).then_some((live, last?))
}

fn integer(iter: &mut Iter<'_>) -> Option<i64> {
    match iter.next()? {
        Element::Integer(number) => Some(number),
        Element::Bytes(_) => None,
    }
}

fn count(iter: &mut Iter<'_>) -> Option<u64> {
    u64::try_from(integer(iter)?).ok()
}

/// Passes over this many elements, if they are there: each takes two bytes, so the loop ends soon
/// whatever the number says.
fn pass(iter: &mut Iter<'_>, count: u64) -> Option<()> {
    for _ in 0..count {
        iter.next()?;
    }
    Some(())
}

/// A consumer group that is taken in: first the pending entries, then the consumers, each with the
/// ids of its own.
#[derive(Debug)]
pub struct GroupLoader {
    group: Group,
    unowned: BTreeMap<StreamId, (i64, u64)>,
}

impl GroupLoader {
    /// A group with the last id that it has delivered, and the number of entries that it has read,
    /// if that is known.
    pub fn new(last_id: StreamId, entries_read: Option<u64>) -> GroupLoader {
        let entries_read = entries_read.map(|count| count.min(MAX_STREAM_COUNT));
        GroupLoader { group: Group::new(last_id, entries_read), unowned: BTreeMap::new() }
    }

    /// An entry that is not acknowledged: when (Unix ms) and how often it was delivered.
    ///
    /// # Errors
    /// [`Corrupt`] if it was named before.
    pub fn pending(&mut self, id: StreamId, time: i64, count: u64) -> Result<(), Corrupt> {
        match self.unowned.insert(id, (time, count.min(MAX_STREAM_COUNT))) {
            None => Ok(()),
            Some(_) => Err(Corrupt),
        }
    }

    /// A consumer: when it was seen, and when it was active (Unix ms).
    ///
    /// # Errors
    /// [`Corrupt`] if there is one of this name.
    pub fn consumer(
        &mut self,
        name: &[u8],
        seen: i64,
        active: Option<i64>,
    ) -> Result<ConsumerId, Corrupt> {
        let (id, is_new) = self.group.find_or_make(name, seen);
        let consumer: &mut Consumer = self.group.consumer_mut(id);
        consumer.active = active;
        is_new.then_some(id).ok_or(Corrupt)
    }

    /// A consumer has one of the pending entries.
    ///
    /// # Errors
    /// [`Corrupt`] if that is not pending, or another consumer has it.
    pub fn owns(&mut self, consumer: ConsumerId, id: StreamId) -> Result<(), Corrupt> {
        let (time, count) = self.unowned.remove(&id).ok_or(Corrupt)?;
        self.group.assign(id, Pending { consumer, time, count });
        Ok(())
    }

    /// All consumers are in.
    ///
    /// # Errors
    /// [`Corrupt`] if a pending entry has no consumer.
    pub fn finish(self) -> Result<Group, Corrupt> {
        if self.unowned.is_empty() { Ok(self.group) } else { Err(Corrupt) }
    }
}
