//! Promises of WAIT, by the rule that the head of this folder tells.

use super::reads::TOKEN;
use super::{Kind, Operation, Oracle, ProcessId, Rule};
use std::collections::HashSet;
use tessera_log::ReplId;
use tessera_slot::{Offset, Slot, SlotSet};

/// A write that all replicas of its shard have acknowledged.
#[derive(Clone, Debug)]
struct Promise {
    operation: usize,
    slot: Slot,
    moment: (ReplId, Offset),
    holders: Vec<ProcessId>,
    /// When it was made, in steps of the oracle.
    since: u64,
    /// The reigns from this one on that have the write: those that were looked at.
    reigns: Vec<u64>,
}

/// The promises that hold.
#[derive(Debug, Default)]
pub(crate) struct Promises(Vec<Promise>);

/// A replica that could have stood.
pub(crate) struct Candidate {
    pub(crate) process: ProcessId,
    pub(crate) position: Option<(ReplId, Offset)>,
}

impl Oracle {
    /// WAIT was answered for this operation, and the answer means everybody.
    pub(crate) fn promised(
        &mut self,
        operation: usize,
        moment: (ReplId, Offset),
        holders: Vec<ProcessId>,
    ) {
        let since = self.next_step();
        let slot = Slot::of_key(&self.operations[operation].key);
        let reigns = self.operations[operation].reign.into_iter().collect();
        self.counts.promised += 1;
        let promise = Promise { operation, slot, moment, holders, since, reigns };
        self.promises.0.push(promise);
    }

    /// A replica was promoted and has these slots. `others`: the replicas of the same primary that
    /// could have stood. `is_judged`: the one with the most data must have won.
    pub(crate) fn promoted(
        &mut self,
        winner: &Candidate,
        slots: &SlotSet,
        others: &[Candidate],
        is_judged: bool,
        now: u64,
    ) {
        self.counts.promotions += 1;
        let reign = self.reign_begins(winner.process);
        let promises = std::mem::take(&mut self.promises.0);
        for mut promise in promises {
            let has = |candidate: &Candidate| {
                let position = candidate.position;
                position.is_some_and(|position| self.histories.includes(position, promise.moment))
            };
            if !slots.contains(promise.slot) {
                self.promises.0.push(promise);
                continue;
            }
            if has(winner) {
                self.counts.survived += 1;
                promise.reigns.push(reign);
                self.promises.0.push(promise);
                continue;
            }
            let forgets = promise.holders.contains(&winner.process);
            let better = others.iter().find(|other| has(other)).map(|other| other.process);
            if forgets || (is_judged && better.is_some()) {
                let operation = &self.operations[promise.operation];
                let (key, moment) = (String::from_utf8_lossy(&operation.key), promise.moment.1);
                let text = format!(
                    "{:?} takes over at {:?} without {:?} of {key}, promised at {moment}; \
                     holders {:?}, better {better:?}",
                    winner.process,
                    winner.position.map(|(_, offset)| offset),
                    operation.kind,
                    promise.holders,
                );
                self.violated(Rule::Wait, now, text);
            } else {
                self.counts.void += 1;
            }
        }
    }

    /// The data of a process is gone: it holds nothing that it held before.
    pub(crate) fn data_replaced(&mut self, process: ProcessId) {
        for promise in &mut self.promises.0 {
            promise.holders.retain(|holder| *holder != process);
        }
    }

    /// A reign that has the promised writes shows them to whoever reads.
    pub(super) fn check_promises(&mut self, read: &Operation, now: u64) {
        let (Kind::Get, Some(reign)) = (&read.kind, read.reign) else { return };
        if read.key.first() != Some(&b'a') {
            return;
        }
        let there: HashSet<&[u8]> = read.value().unwrap_or_default().chunks(TOKEN).collect();
        let lost = self.promises.0.iter().find_map(|promise| {
            let write = &self.operations[promise.operation];
            let Kind::Append(token) = &write.kind else { return None };
            let is_due = write.key == read.key
                && promise.since < read.asked
                && promise.reigns.contains(&reign);
            (is_due && !there.contains(&token[..])).then(|| token.clone())
        });
        if let Some(token) = lost {
            let (token, key) = (token.escape_ascii(), read.key.escape_ascii());
            let text = format!("{:?} has lost {token} of {key}", read.process);
            self.violated(Rule::Wait, now, text);
        }
    }
}
