//! Capturing a consumer group: its counters, its pending entries, its consumers with the ids that
//! each has.
//!
//! Its counters are copied when the capture begins. Pending entries and consumers are walked where
//! they stand (`walk.rs`). The first walk notes the owner of each entry, by the consumer's number,
//! and these ids are shown after the names of the consumers. A consumer may be deleted meanwhile,
//! and its number given out again: it was put aside first with all that was pending for it, so in
//! what both walks show the number is always that of the consumer as it was.

use super::capture::Step;
use super::group::{ConsumerId, Group, Pending};
use super::id::StreamId;
use super::walk::Walk;
use crate::capture::Part;
use std::collections::{BTreeMap, VecDeque};

/// The capture of a group.
pub(super) struct GroupCapture {
    stage: Stage,
    last_id: StreamId,
    entries_read: Option<u64>,
    /// How many entries are pending.
    pending_count: u64,
    pub(super) pending: Walk<StreamId, Pending>,
    /// How many consumers there are.
    consumer_count: u64,
    /// By their names.
    pub(super) consumers: Walk<Box<[u8]>, Frozen>,
    /// The pending entries of the consumers that are still to be shown.
    ids: BTreeMap<ConsumerId, Ids>,
    /// The ids that are still to be shown of the consumer that was shown last.
    owned: Ids,
}

/// A consumer as it was, but for its name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frozen {
    pub(super) id: ConsumerId,
    pub(super) seen: i64,
    pub(super) active: Option<i64>,
}

/// The part that the capture of a group shows next.
#[derive(Clone, Copy)]
enum Stage {
    Group,
    Pending,
    ConsumerCount,
    Consumers,
}

/// Ids in the order in which they come in and go out.
#[derive(Default)]
struct Ids {
    blocks: VecDeque<VecDeque<StreamId>>,
    len: u64,
}

/// Ids in a block: what is moved when it grows, and freed at once.
const BLOCK: usize = 1024;

impl Ids {
    fn push(&mut self, id: StreamId) {
        self.len += 1;
        match self.blocks.back_mut() {
            Some(last) if last.len() < BLOCK => last.push_back(id),
            _ => self.blocks.push_back(VecDeque::from([id])),
        }
    }

    fn pop(&mut self) -> Option<StreamId> {
        let block = self.blocks.front_mut()?;
        let id = block.pop_front();
        if block.is_empty() {
            self.blocks.pop_front();
        }
        self.len -= 1;
        id
    }

    /// Shows ids, and takes them out, until the step is over or none are left.
    fn show(&mut self, step: &mut Step<'_>) {
        while !step.is_over()
            && let Some(id) = self.pop()
        {
            step.show(Part::Owned(id));
        }
    }
}

impl Group {
    /// Begins the capture of the group.
    pub(super) fn begin_capture(&mut self) {
        let capture = GroupCapture {
            stage: Stage::Group,
            last_id: self.last_id,
            entries_read: self.entries_read,
            pending_count: self.pending() as u64,
            pending: Walk::to(self.last_pending()),
            consumer_count: self.consumers() as u64,
            consumers: Walk::to(self.last_name()),
            ids: BTreeMap::new(),
            owned: Ids::default(),
        };
        self.capture.begin(capture);
    }

    /// Shows what is captured, under this name. Whether that is all: then the group is not captured
    /// any more.
    pub(super) fn show_captured(&mut self, name: &[u8], step: &mut Step<'_>) -> bool {
        let mut capture = self.capture.take().expect("the group is captured");
        while !step.is_over() {
            match capture.show(name, self, step) {
                Some(stage) => capture.stage = stage,
                // All that was put aside or noted has been shown: nothing is left to be freed.
                None => return true,
            }
        }
        self.capture.put_back(capture);
        false
    }

    /// Ends the capture, however far it is.
    pub(super) fn end_capture(&mut self) -> Option<Box<GroupCapture>> {
        self.capture.take()
    }
}

impl GroupCapture {
    /// How many parts are put aside.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.pending.kept().len() + self.consumers.kept().len()
    }

    /// Shows some of what comes next. Gives what comes then, if anything does.
    fn show(&mut self, name: &[u8], group: &Group, step: &mut Step<'_>) -> Option<Stage> {
        match self.stage {
            Stage::Group => {
                let (last_id, entries_read) = (self.last_id, self.entries_read);
                step.show(Part::Group { name, last_id, entries_read, pending: self.pending_count });
                Some(Stage::Pending)
            }
            Stage::Pending => {
                self.show_pending(group, step);
                let is_done = self.pending.is_done();
                Some(if is_done { Stage::ConsumerCount } else { Stage::Pending })
            }
            Stage::ConsumerCount => {
                step.show(Part::Consumers(self.consumer_count));
                self.more_consumers()
            }
            Stage::Consumers => {
                self.show_consumers(group, step);
                self.more_consumers()
            }
        }
    }

    fn show_pending(&mut self, group: &Group, step: &mut Step<'_>) {
        let present = group.pending_in(self.pending.rest());
        let ids = &mut self.ids;
        self.pending.show(present, step, |&id, pending, step| {
            ids.entry(pending.consumer).or_default().push(id);
            step.show(Part::Pending { id, time: pending.time, count: pending.count });
        });
    }

    fn show_consumers(&mut self, group: &Group, step: &mut Step<'_>) {
        let GroupCapture { consumers, ids, owned, .. } = self;
        owned.show(step);
        let present = group.names_in(consumers.rest());
        let present = present.map(|(name, &id)| (name, group.frozen(id)));
        // When ids are left over the step is over, so the walk goes no further.
        consumers.show(present, step, |name, &Frozen { id, seen, active }, step| {
            *owned = ids.remove(&id).unwrap_or_default();
            step.show(Part::Consumer { name, seen, active, pending: owned.len });
            owned.show(step);
        });
    }

    fn more_consumers(&self) -> Option<Stage> {
        let is_all = self.consumers.is_done() && self.owned.len == 0;
        (!is_all).then_some(Stage::Consumers)
    }
}
