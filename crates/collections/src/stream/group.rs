//! Consumer groups: the entries that each consumer was given and has not acknowledged yet.

use super::MAX_STREAM_COUNT;
use super::capture::Captured;
use super::entries::Entries;
use super::group_capture::{Frozen, GroupCapture};
use super::id::StreamId;
use std::collections::btree_map::Range;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeBounds;

/// A consumer of a group, in short. Good as long as the consumer is not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId(u32);

/// An entry that was delivered and not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// The consumer that has it.
    pub consumer: ConsumerId,
    /// When it was delivered last, Unix ms.
    pub time: i64,
    /// How often it was delivered.
    pub count: u64,
}

/// A consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    name: Box<[u8]>,
    /// When it last asked for anything, Unix ms.
    pub seen: i64,
    /// When it last got anything, Unix ms.
    pub active: Option<i64>,
    pending: BTreeSet<StreamId>,
}

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// How many entries it has not acknowledged.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The ids of these entries from `start` on.
    pub fn pending_from(&self, start: StreamId) -> impl Iterator<Item = StreamId> {
        self.pending.range(start..).copied()
    }
}

/// A consumer group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// The last id that was delivered.
    pub last_id: StreamId,
    /// How many entries of the stream had been added up to that id, if it is known.
    pub entries_read: Option<u64>,
    pending: BTreeMap<StreamId, Pending>,
    names: BTreeMap<Box<[u8]>, ConsumerId>,
    /// By their ids; those of deleted consumers are given out again.
    consumers: Vec<Option<Consumer>>,
    free: Vec<ConsumerId>,
    pub(super) capture: Captured<GroupCapture>,
}

impl Group {
    /// A group that goes on behind this id.
    pub fn new(last_id: StreamId, entries_read: Option<u64>) -> Group {
        Group { last_id, entries_read, ..Group::default() }
    }

    /// How many entries are not acknowledged.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The entries that are not acknowledged, from `start` on.
    pub fn pending_from(
        &self,
        start: StreamId,
    ) -> impl DoubleEndedIterator<Item = (StreamId, Pending)> {
        self.pending.range(start..).map(|(&id, &pending)| (id, pending))
    }

    /// The pending entries within a range, as a capture walks over them.
    pub(super) fn pending_in(
        &self,
        range: impl RangeBounds<StreamId>,
    ) -> Range<'_, StreamId, Pending> {
        self.pending.range(range)
    }

    /// The id of the last entry that is not acknowledged.
    pub(super) fn last_pending(&self) -> Option<StreamId> {
        self.pending.last_key_value().map(|(&id, _)| id)
    }

    /// The state of an entry that is not acknowledged.
    pub fn pending_at(&self, id: StreamId) -> Option<Pending> {
        self.pending.get(&id).copied()
    }

    /// How many consumers there are.
    pub fn consumers(&self) -> usize {
        self.names.len()
    }

    /// All consumers in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Consumer> {
        self.names.values().map(|&id| self.consumer(id))
    }

    /// The consumers whose names are within a range, as a capture walks over them.
    pub(super) fn names_in(
        &self,
        range: impl RangeBounds<Box<[u8]>>,
    ) -> Range<'_, Box<[u8]>, ConsumerId> {
        self.names.range(range)
    }

    /// The name of the last consumer.
    pub(super) fn last_name(&self) -> Option<Box<[u8]>> {
        self.names.last_key_value().map(|(name, _)| name.clone())
    }

    /// A consumer by its name.
    pub fn find(&self, name: &[u8]) -> Option<ConsumerId> {
        self.names.get(name).copied()
    }

    /// A consumer.
    ///
    /// # Panics
    /// If it was deleted.
    pub fn consumer(&self, id: ConsumerId) -> &Consumer {
        self.consumers[id.0 as usize].as_ref().expect("this consumer was not deleted")
    }

    /// A consumer, to be changed. A capture that has still to show it keeps what it was.
    ///
    /// # Panics
    /// If it was deleted.
    pub fn consumer_mut(&mut self, id: ConsumerId) -> &mut Consumer {
        if self.capture.is_there() {
            self.keep_consumer(id);
        }
        self.slot_mut(id)
    }

    /// The ids of the entries that a consumer has not acknowledged, to be changed: a capture does
    /// not read them.
    fn owned_mut(&mut self, id: ConsumerId) -> &mut BTreeSet<StreamId> {
        &mut self.slot_mut(id).pending
    }

    fn slot_mut(&mut self, id: ConsumerId) -> &mut Consumer {
        self.consumers[id.0 as usize].as_mut().expect("this consumer was not deleted")
    }

    /// A consumer as a capture keeps it.
    pub(super) fn frozen(&self, id: ConsumerId) -> Frozen {
        let Consumer { seen, active, .. } = *self.consumer(id);
        Frozen { id, seen, active }
    }

    /// A consumer is about to change: a capture that has still to show it keeps its present state.
    #[cold]
    fn keep_consumer(&mut self, id: ConsumerId) {
        let (old, slots) = (self.frozen(id), &self.consumers);
        if let (Some(capture), Some(consumer)) = (self.capture.get_mut(), &slots[id.0 as usize]) {
            capture.consumers.keep(&consumer.name, || Some(old));
        }
    }

    /// The consumer of this name, and whether it is new. `now`: when it was seen, Unix ms.
    pub fn find_or_make(&mut self, name: &[u8], now: i64) -> (ConsumerId, bool) {
        if let Some(id) = self.find(name) {
            return (id, false);
        }
        let name: Box<[u8]> = name.into();
        if let Some(capture) = self.capture.get_mut() {
            capture.consumers.keep(&name, || None);
        }
        let consumer =
            Consumer { name: name.clone(), seen: now, active: None, pending: BTreeSet::new() };
        let id = match self.free.pop() {
            Some(id) => {
                self.consumers[id.0 as usize] = Some(consumer);
                id
            }
            None => {
                self.consumers.push(Some(consumer));
                ConsumerId(self.consumers.len() as u32 - 1)
            }
        };
        self.names.insert(name, id);
        (id, true)
    }

    /// Deletes a consumer with all that it has not acknowledged; gives how many entries these were.
    pub fn delete_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let id = self.find(name)?;
        self.keep_consumer(id);
        self.names.remove(name);
        let consumer = self.consumers[id.0 as usize].take().expect("it has a name");
        self.free.push(id);
        for &id in &consumer.pending {
            let old = self.pending.remove(&id);
            self.keep(id, old);
        }
        Some(consumer.pending.len())
    }

    /// An entry belongs to this consumer from now on, whichever had it before.
    pub fn assign(&mut self, id: StreamId, pending: Pending) {
        let old = self.pending.insert(id, pending);
        self.keep(id, old);
        if let Some(old) = old.filter(|old| old.consumer != pending.consumer) {
            self.owned_mut(old.consumer).remove(&id);
        }
        self.owned_mut(pending.consumer).insert(id);
    }

    /// An entry that its consumer has is delivered once more.
    pub fn deliver_again(&mut self, id: StreamId, time: i64) {
        let Some(pending) = self.pending.get_mut(&id) else { return };
        let old = *pending;
        pending.time = time;
        pending.count = (pending.count + 1).min(MAX_STREAM_COUNT);
        self.keep(id, Some(old));
    }

    /// An entry is acknowledged, or is gone. False: it was not pending.
    pub fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(pending) = self.pending.remove(&id) else { return false };
        self.keep(id, Some(pending));
        self.owned_mut(pending.consumer).remove(&id);
        true
    }

    /// The pending entry with this id has changed: a capture that has still to show it keeps the
    /// old state.
    #[inline]
    fn keep(&mut self, id: StreamId, old: Option<Pending>) {
        if let Some(capture) = self.capture.get_mut() {
            capture.pending.keep(&id, || old);
        }
    }

    /// An entry is read by the group: what it has read last moves on. False: it is not behind that.
    pub fn advance(&mut self, entries: &Entries, id: StreamId) -> bool {
        if id <= self.last_id {
            return false;
        }
        match self.entries_read {
            // Entries that were trimmed between the last one and this one were not read, but count
            // as passed.
            Some(read) if self.last_id >= entries.first_id() && !entries.has_gap_from(id) => {
                self.entries_read = Some((read + 1).min(entries.added()));
            }
            _ if entries.added() > 0 => self.entries_read = entries.added_until(id),
            _ => {}
        }
        self.last_id = id;
        true
    }

    /// Says how many entries the group has read: not more than were ever `added`.
    pub fn set_entries_read(&mut self, read: Option<u64>, added: u64) {
        self.entries_read = read.map(|read| read.min(added));
    }

    /// How many entries the group has still to read, if that can be told. XSETID may have lowered
    /// the number of those that were added below what the group has read.
    pub fn lag(&self, entries: &Entries) -> Option<u64> {
        if entries.added() == 0 {
            return Some(0);
        }
        let read = match self.entries_read {
            Some(read) if !entries.has_gap_from(self.last_id) => read,
            _ => entries.added_until(self.last_id)?,
        };
        Some(entries.added().saturating_sub(read))
    }

    /// Bytes of memory, about: what the ordered trees need is two thirds full on average. The
    /// lengths of names are estimated from `samples` consumers; 0: all are looked at.
    pub(super) fn memory(&self, samples: usize) -> usize {
        // Each pending entry is in the group's tree and in that of its consumer.
        let of_pending = size_of::<(StreamId, Pending)>() + 2 + size_of::<StreamId>() + 2;
        let pending = self.pending.len() * 3 / 2 * of_pending;
        let count = self.names.len();
        let looked_at = if samples == 0 { count } else { samples.min(count) };
        let names: usize = self.names.keys().take(looked_at).map(|name| name.len()).sum();
        let names = names as u128 * count as u128 / looked_at.max(1) as u128;
        let consumers = 2 * names as usize + count * size_of::<(Box<[u8]>, ConsumerId)>();
        let slots = self.consumers.capacity() * size_of::<Option<Consumer>>();
        size_of::<Group>() + pending + consumers + slots
    }
}
