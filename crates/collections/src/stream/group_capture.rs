//! Capturing a consumer group: what it is, what is pending, its consumers with the ids that each has.
//!
//! Names and counters are copied when the capture begins; what is pending is walked where it stands (`capture.rs`). The walk notes whose
//! each entry is, and these ids are shown after the names of the consumers. A consumer may be deleted meanwhile, and its number given
//! out again: what was pending for it was put aside first, so the number is always that of the consumer as it was.

use super::capture::{Step, Walk};
use super::group::{ConsumerId, Group, Pending};
use super::id::StreamId;
use crate::capture::Part;
use std::collections::VecDeque;

/// The capture of a group.
pub(super) struct GroupCapture {
    stage: Stage,
    last_id: StreamId,
    entries_read: Option<u64>,
    /// How many entries are pending.
    len: u64,
    pub(super) pending: Walk<Pending>,
    /// Those still to be shown, in the order of their names.
    order: VecDeque<ConsumerId>,
    /// By their ids.
    consumers: Vec<Option<Frozen>>,
}

/// A consumer as it was.
struct Frozen {
    name: Box<[u8]>,
    seen: i64,
    active: Option<i64>,
    /// How many entries are pending for it.
    len: u64,
    ids: Ids,
}

/// What the capture of a group shows next.
#[derive(Clone, Copy)]
enum Stage {
    Group,
    Pending,
    Consumers,
    Consumer,
    Owned,
}

/// Ids in the order in which they come in and go out.
#[derive(Default)]
struct Ids(VecDeque<VecDeque<StreamId>>);

/// Ids in a block: what is moved when it grows, and freed at once.
const BLOCK: usize = 1024;

impl Ids {
    fn push(&mut self, id: StreamId) {
        match self.0.back_mut() {
            Some(last) if last.len() < BLOCK => last.push_back(id),
            _ => self.0.push_back(VecDeque::from([id])),
        }
    }

    fn pop(&mut self) -> Option<StreamId> {
        let block = self.0.front_mut()?;
        let id = block.pop_front();
        if block.is_empty() {
            self.0.pop_front();
        }
        id
    }
}

impl Group {
    /// Begins the capture of the group.
    pub(super) fn begin_capture(&mut self) {
        let frozen = self.slots().iter().map(|consumer| {
            consumer.as_ref().map(|consumer| Frozen {
                name: consumer.name().into(),
                seen: consumer.seen,
                active: consumer.active,
                len: consumer.pending() as u64,
                ids: Ids::default(),
            })
        });
        let capture = GroupCapture {
            stage: Stage::Group,
            last_id: self.last_id,
            entries_read: self.entries_read,
            len: self.pending() as u64,
            pending: Walk::to(self.last_pending()),
            order: self.ids().collect(),
            consumers: frozen.collect(),
        };
        self.capture.begin(capture);
    }

    /// Shows what is captured, under this name. Gives what is left of the capture when that was all.
    pub(super) fn show_captured(
        &mut self,
        name: &[u8],
        step: &mut Step<'_>,
    ) -> Option<Box<GroupCapture>> {
        let mut capture = self.capture.take().expect("the group is captured");
        while !step.is_over() {
            match capture.show(name, self, step) {
                Some(stage) => capture.stage = stage,
                None => return Some(capture),
            }
        }
        self.capture.put_back(capture);
        None
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
        self.pending.kept()
    }

    /// Shows some of what comes next. Gives what comes then, if anything does.
    fn show(&mut self, name: &[u8], group: &Group, step: &mut Step<'_>) -> Option<Stage> {
        match self.stage {
            Stage::Group => {
                let (last_id, entries_read) = (self.last_id, self.entries_read);
                step.show(Part::Group { name, last_id, entries_read, pending: self.len });
                Some(Stage::Pending)
            }
            Stage::Pending => Some(self.show_pending(group, step)),
            Stage::Consumers => {
                step.show(Part::Consumers(self.order.len() as u64));
                self.next_consumer()
            }
            Stage::Consumer => {
                let Frozen { name, seen, active, len, .. } = self.consumer();
                let (seen, active, pending) = (*seen, *active, *len);
                step.show(Part::Consumer { name, seen, active, pending });
                if pending > 0 { Some(Stage::Owned) } else { self.end_consumer() }
            }
            Stage::Owned => {
                let consumer = self.consumer();
                let id = consumer.ids.pop().expect("as many ids as were counted");
                consumer.len -= 1;
                let is_last = consumer.len == 0;
                step.show(Part::Owned(id));
                if is_last { self.end_consumer() } else { Some(Stage::Owned) }
            }
        }
    }

    fn show_pending(&mut self, group: &Group, step: &mut Step<'_>) -> Stage {
        let Some(next) = self.pending.next() else { return Stage::Consumers };
        let consumers = &mut self.consumers;
        self.pending.show(group.pending_refs(next), step, |id, pending, step| {
            let consumer = consumers[pending.consumer.index()].as_mut();
            consumer.expect("who had it was there").ids.push(id);
            step.show(Part::Pending { id, time: pending.time, count: pending.count });
        });
        Stage::Pending
    }

    /// The consumer that is shown.
    fn consumer(&mut self) -> &mut Frozen {
        let id = self.order.front().expect("a consumer is still to be shown");
        self.consumers[id.index()].as_mut().expect("it was there")
    }

    /// The consumer is shown, and freed.
    fn end_consumer(&mut self) -> Option<Stage> {
        let id = self.order.pop_front().expect("a consumer was shown");
        self.consumers[id.index()] = None;
        self.next_consumer()
    }

    fn next_consumer(&self) -> Option<Stage> {
        (!self.order.is_empty()).then_some(Stage::Consumer)
    }
}
