//! Histories: which data stands at which offset, who extends them, and where they part.

use super::{ProcessId, Rule, Violation};
use std::collections::HashMap;
use tessera_log::{Identity, ReplId};
use tessera_slot::Offset;

/// What was seen of all histories.
#[derive(Debug, Default)]
pub(crate) struct Histories {
    /// The data at a moment, and who was seen there first.
    data: HashMap<(ReplId, Offset), (u64, ProcessId)>,
    /// The one process that extends a history.
    writers: HashMap<ReplId, ProcessId>,
    /// Where a history comes from: its former name, and up to where that is the same.
    parents: HashMap<ReplId, (ReplId, Offset)>,
    pub(crate) compared: u64,
    pub(crate) violations: Vec<Violation>,
}

impl Histories {
    fn violated(&mut self, at: u64, text: String) {
        // One tells the story; the rest follows from it.
        if self.violations.len() < 20 {
            self.violations.push(Violation { rule: Rule::Fork, at, text });
        }
    }

    /// A node is at this moment, with this data.
    pub(crate) fn reached(
        &mut self,
        identity: Identity,
        offset: Offset,
        data: u64,
        process: ProcessId,
        at: u64,
    ) {
        self.compare((identity.id, offset), data, process, at);
        if let Some(second) = identity.second.filter(|second| second.until == offset) {
            self.compare((second.id, offset), data, process, at);
        }
    }

    fn compare(&mut self, moment: (ReplId, Offset), data: u64, process: ProcessId, at: u64) {
        let (before, first) = *self.data.entry(moment).or_insert((data, process));
        self.compared += u64::from(first != process);
        if before != data {
            let (id, offset) = moment;
            let text = format!(
                "{process:?} has other data than {first:?} at {offset} of {}",
                &id.as_str()[..8]
            );
            self.violated(at, text);
        }
    }

    /// A process has added to a history as its primary.
    pub(crate) fn extended(&mut self, id: ReplId, process: ProcessId, at: u64) {
        let writer = *self.writers.entry(id).or_insert(process);
        if writer != process {
            let id = &id.as_str()[..8];
            self.violated(
                at,
                format!("{process:?} extends {id}, which is the history of {writer:?}"),
            );
        }
    }

    /// A history goes on under a new name, by which its former name is good up to `until`.
    pub(crate) fn continued(&mut self, new: ReplId, former: ReplId, until: Offset) {
        self.parents.insert(new, (former, until));
    }

    /// A replica takes its primary's new name, at this offset of the former one.
    pub(crate) fn renamed(&mut self, new: ReplId, former: ReplId, offset: Offset, at: u64) {
        if let Some((parent, until)) = self.parents.get(&new).copied()
            && parent == former
            && offset > until
        {
            let text =
                format!("a replica goes on from {offset} of a history that parted at {until}");
            self.violated(at, text);
        }
    }

    /// Whether who is at `position` has a moment of a history behind it.
    pub(crate) fn includes(&self, position: (ReplId, Offset), moment: (ReplId, Offset)) -> bool {
        let (mut id, mut offset) = position;
        while id != moment.0 {
            let Some((parent, until)) = self.parents.get(&id).copied() else { return false };
            (id, offset) = (parent, offset.min(until));
        }
        offset >= moment.1
    }
}
