//! Collects the effects of a call and puts them into the order in which they are safe.

use crate::{Batch, Effect, LogLevel, LogTopic, NodesConf};
use std::collections::VecDeque;

/// How urgently nodes.conf must be written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) enum Save {
    #[default]
    No,
    Lazy,
    Durable,
}

/// Effects under way to the driver.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    /// Before slots change: log lines, promotion, pauses.
    before: Vec<Effect>,
    /// This node's rights: slots, routing.
    rights: Vec<Effect>,
    /// After slots have changed: dropped keys, a new primary.
    after: Vec<Effect>,
    /// Links and packets: other nodes learn of a change last.
    last: Vec<Effect>,
    bus: Vec<Effect>,
    save: Save,
    batches: VecDeque<Batch>,
}

impl Outbox {
    pub(crate) fn push(&mut self, effect: Effect) {
        let list = match effect {
            Effect::Log { .. }
            | Effect::Promote
            | Effect::PauseWrites { .. }
            | Effect::Published { .. } => &mut self.before,
            Effect::SetSlots(_) | Effect::Routing(_) => &mut self.rights,
            Effect::DropKeys(_) | Effect::DropAllKeys | Effect::Follow { .. } => &mut self.after,
            // A former primary must be a replica before the writes that waited are looked at again.
            Effect::ResumeWrites => &mut self.last,
            Effect::OpenLink { .. }
            | Effect::CloseLink { .. }
            | Effect::LinkKnown { .. }
            | Effect::Send { .. } => &mut self.bus,
        };
        list.push(effect);
    }

    pub(crate) fn log(&mut self, level: LogLevel, topic: Option<LogTopic>, text: String) {
        self.push(Effect::Log { level, text, topic });
    }

    pub(crate) fn save(&mut self, urgency: Save) {
        self.save = self.save.max(urgency);
    }

    pub(crate) fn take_save(&mut self) -> Save {
        std::mem::take(&mut self.save)
    }

    pub(crate) fn close_batch(&mut self, save: Option<NodesConf>) {
        let mut then = std::mem::take(&mut self.before);
        then.append(&mut self.rights);
        then.append(&mut self.after);
        then.append(&mut self.last);
        then.append(&mut self.bus);
        if save.is_some() || !then.is_empty() {
            self.batches.push_back(Batch { save, then });
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Batch> {
        self.batches.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LinkId;
    use tessera_slot::NodeId;

    #[test]
    fn effects_leave_in_the_order_in_which_they_are_safe() {
        let follow =
            Effect::Follow { primary: NodeId([1; 20]), host: [127, 0, 0, 1].into(), port: 1 };
        let log = Effect::Log { level: LogLevel::Notice, text: String::new(), topic: None };
        let send = Effect::Send { link: LinkId::Outgoing(1), bytes: [7].as_slice().into() };
        // Writes that waited run as soon as they may: by then the node must know that it is a
        // replica, and of whom.
        let safe = [log, Effect::SetSlots(Vec::new()), follow, Effect::ResumeWrites, send];
        let mut outbox = Outbox::default();
        safe.iter().rev().for_each(|effect| outbox.push(effect.clone()));
        outbox.close_batch(None);
        assert_eq!(outbox.pop().expect("there are effects").then, safe);
    }
}
