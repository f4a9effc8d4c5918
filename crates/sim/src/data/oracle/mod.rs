//! The oracle: what clients were promised, compared with what they saw.
//!
//! It records each operation with its invocation and its outcome. An outcome is *acknowledged*,
//! *refused* (the operation had no effect and never will), or *unknown* (the client has timed out
//! or lost its connection: the operation may have happened, may happen later, or never).
//!
//! A *reign* is the time in which one process is a primary without interruption. An operation
//! belongs to a reign if its client's node was in it both when the client asked and when it was
//! answered. Time is counted in steps of the oracle, so that no two happenings coincide.
//!
//! | rule | what holds |
//! | --- | --- |
//! | [`Rule::Invented`] | A value that is read was written to this key by somebody, once, and not by a refused operation. |
//! | [`Rule::Reign`] | Within a reign the operations on a key are linearizable; so no acknowledged write is lost. |
//! | [`Rule::Fork`] | Nodes at one offset of one history have the same data. One process alone extends a history, and nobody continues one beyond the point where it parted. |
//! | [`Rule::Wait`] | See below. |
//! | [`Rule::Stale`] | Once a later reign has answered for a shard, an older one acknowledges nothing that was asked a moment later. |
//! | [`Rule::Converges`] | After all faults, the nodes of a shard come to the same data and offset in time. |
//!
//! The rule of WAIT: a write is *promised* when WAIT is answered with at least as many replicas as
//! there are processes that follow the primary, and with one at least. Those processes and the
//! primary are its holders. A holder has the write until its process ends or its data is replaced
//! by a full synchronisation. Whenever a replica is promoted in the shard:
//!
//! - if it is a holder, its history includes the write;
//! - if its history does not include the write, then there was no other replica of the same primary
//!   whose does and that could have stood, or the election was one of those in which the replica
//!   with the most data cannot be expected to win: an operator has forced it, or the primary's
//!   failure is not the only trouble (`most_data.rs` says what counts).
//!
//! If the history includes the write, each read of the new reign finds it. Otherwise the promise is
//! void: the write is lost by the rules. It is void too when its key's primary starts a reign with
//! an empty process, which no replica has replaced.

pub(crate) mod histories;
pub(crate) mod promises;
mod reads;
mod register;

use crate::net::HostId;
use histories::Histories;
use promises::Promises;
use std::collections::BTreeMap;
use tessera_cluster::LinkId;
use tessera_log::ReplId;
use tessera_slot::Offset;

/// A process: its host, and which of the host's processes it is.
pub(crate) type ProcessId = (HostId, u64);

/// How long an older reign may go on answering when a later one has begun, in milliseconds. It is
/// the limit of the invariant `one_writer.rs`, and the time that an answer is under way.
const MOMENT: u64 = 900 + 700;
/// How long a takeover that an operator has forced excuses two writers, in milliseconds.
const EXCUSED: u64 = 20_000;

/// A promise of the system.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rule {
    /// Reads give what was written.
    Invented,
    /// Operations are linearizable as long as a primary lives and reigns.
    Reign,
    /// Histories do not fork.
    Fork,
    /// What WAIT has acknowledged survives.
    Wait,
    /// A primary that was replaced stops.
    Stale,
    /// The data comes to be the same everywhere.
    Converges,
}

/// A rule that was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// When it was noticed, in milliseconds since the run began.
    pub at: u64,
    /// What was seen.
    pub text: String,
}

/// What happened in a run, to see that it tested something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Operations that were acknowledged.
    pub acknowledged: u64,
    /// Operations that were refused.
    pub refused: u64,
    /// Operations whose outcome is unknown.
    pub unknown: u64,
    /// Writes that WAIT has promised.
    pub promised: u64,
    /// Promises whose shard was taken over by a replica that had the write.
    pub survived: u64,
    /// Promises whose shard was taken over without the write, as the rules allow.
    pub void: u64,
    /// Partial resynchronisations that were granted.
    pub partial_syncs: u64,
    /// Full resynchronisations that were begun.
    pub full_syncs: u64,
    /// Full resynchronisations that have ended well.
    pub loads: u64,
    /// Replicas that were promoted.
    pub promotions: u64,
    /// Moments of a history that a second node was compared at.
    pub compared: u64,
}

/// What an operation does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// SET of a value that nobody else writes.
    Set(Vec<u8>),
    Get,
    Del,
    Incr,
    /// APPEND of a token that nobody else writes.
    Append(Vec<u8>),
}

/// What the client was answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Unknown,
    Refused,
    /// With the value, if the answer is one.
    Acknowledged(Option<Vec<u8>>),
}

/// An operation of a client.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) key: Vec<u8>,
    pub(crate) kind: Kind,
    /// The process that was asked.
    pub(crate) process: ProcessId,
    /// The reign that has answered.
    pub(crate) reign: Option<u64>,
    pub(crate) asked: u64,
    /// `u64::MAX`: it may still happen.
    pub(crate) done: u64,
    pub(crate) outcome: Outcome,
    asked_at: u64,
}

impl Operation {
    pub(crate) fn is_acknowledged(&self) -> bool {
        matches!(self.outcome, Outcome::Acknowledged(_))
    }

    /// The value of an answer that is one.
    pub(crate) fn value(&self) -> Option<&[u8]> {
        match &self.outcome {
            Outcome::Acknowledged(value) => value.as_deref(),
            _ => None,
        }
    }
}

/// The reign of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reign {
    pub(crate) process: ProcessId,
    /// When it began, in steps of the oracle.
    pub(crate) since: u64,
}

/// The record of a run.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// Counts what is recorded.
    step: u64,
    pub(crate) operations: Vec<Operation>,
    pub(crate) reigns: Vec<Reign>,
    /// The reign of each process that is a primary.
    present: BTreeMap<ProcessId, u64>,
    /// For each shard: the latest reign that has answered, and since when.
    latest: BTreeMap<usize, (u64, u64)>,
    pub(crate) histories: Histories,
    pub(crate) promises: Promises,
    /// The write that a connection has waited for when it was last answered.
    waits: BTreeMap<(ProcessId, LinkId), (ReplId, Offset)>,
    forced_at: Option<u64>,
    pub(crate) counts: Counts,
    violations: Vec<Violation>,
}

impl Oracle {
    pub(crate) fn next_step(&mut self) -> u64 {
        self.step += 1;
        self.step
    }

    pub(crate) fn violated(&mut self, rule: Rule, at: u64, text: String) {
        self.violations.push(Violation { rule, at, text });
    }

    /// The process is a primary from now on.
    pub(crate) fn reign_begins(&mut self, process: ProcessId) -> u64 {
        let (number, since) = (self.reigns.len() as u64, self.next_step());
        self.reigns.push(Reign { process, since });
        self.present.insert(process, number);
        number
    }

    /// The process is no primary any more, or has dropped data on order.
    pub(crate) fn reign_ends(&mut self, process: ProcessId) {
        self.present.remove(&process);
    }

    /// The reign of a process, which begins now if it is the first look at it.
    fn reign_of(&mut self, process: ProcessId) -> u64 {
        match self.present.get(&process) {
            Some(reign) => *reign,
            None => self.reign_begins(process),
        }
    }

    pub(crate) fn forced(&mut self, now: u64) {
        self.forced_at = Some(now);
    }

    pub(crate) fn was_forced(&self, now: u64) -> bool {
        self.forced_at.is_some_and(|at| now - at < EXCUSED)
    }

    /// A client has asked. Gives the operation's number. `is_primary`: whether the node asked is
    /// one, as far as its own data goes.
    pub(crate) fn asked(
        &mut self,
        (key, kind): (Vec<u8>, Kind),
        process: ProcessId,
        is_primary: bool,
        now: u64,
    ) -> usize {
        let reign = is_primary.then(|| self.reign_of(process));
        let asked = self.next_step();
        self.operations.push(Operation {
            key,
            kind,
            process,
            reign,
            asked,
            done: u64::MAX,
            outcome: Outcome::Unknown,
            asked_at: now,
        });
        self.operations.len() - 1
    }

    /// A client was answered, or has given up.
    pub(crate) fn answered(&mut self, number: usize, outcome: Outcome, shard: usize, now: u64) {
        let step = self.next_step();
        let operation = &mut self.operations[number];
        match outcome {
            Outcome::Unknown => self.counts.unknown += 1,
            Outcome::Refused => self.counts.refused += 1,
            Outcome::Acknowledged(_) => self.counts.acknowledged += 1,
        }
        operation.outcome = outcome;
        if operation.outcome == Outcome::Unknown {
            operation.reign = None;
            return;
        }
        operation.done = step;
        let present = self.present.get(&operation.process).copied();
        if operation.reign != present || !operation.is_acknowledged() {
            operation.reign = None;
            return;
        }
        let operation = operation.clone();
        self.check_stale(&operation, shard, now);
        self.check_promises(&operation, now);
    }

    fn check_stale(&mut self, operation: &Operation, shard: usize, now: u64) {
        let Some(reign) = operation.reign else { return };
        let (latest, since) = *self.latest.entry(shard).or_insert((reign, now));
        if reign > latest {
            self.latest.insert(shard, (reign, now));
        }
        if reign < latest && operation.asked_at > since + MOMENT && !self.was_forced(now) {
            let key = String::from_utf8_lossy(&operation.key);
            let text = format!(
                "{:?} answers for {key} what was asked at {}; {:?} has answered since {since}",
                operation.process, operation.asked_at, self.reigns[latest as usize].process,
            );
            self.violated(Rule::Stale, now, text);
        }
    }

    /// A node has answered WAIT.
    pub(crate) fn wait_answered(
        &mut self,
        (process, link): (ProcessId, LinkId),
        position: Option<(ReplId, Offset)>,
    ) {
        match position {
            Some(position) => self.waits.insert((process, link), position),
            None => self.waits.remove(&(process, link)),
        };
    }

    /// The write of which a client knows now that WAIT has acknowledged it.
    pub(crate) fn waited(&self, process: ProcessId, link: LinkId) -> Option<(ReplId, Offset)> {
        self.waits.get(&(process, link)).copied()
    }

    /// A command of the primary has failed on a replica.
    pub(crate) fn failed_here(&mut self, process: ProcessId, text: &str, at: u64) {
        self.violated(Rule::Fork, at, format!("{process:?} cannot apply: {text}"));
    }

    /// Looks at the whole record, and gives all that was broken.
    pub(crate) fn verdict(&mut self, now: u64) -> Vec<Violation> {
        let mut all = self.violations.clone();
        all.append(&mut self.histories.violations.clone());
        let found = reads::check(&self.operations).into_iter();
        all.extend(found.map(|text| Violation { rule: Rule::Invented, at: now, text }));
        let found = register::check(&self.operations, &self.reigns).into_iter();
        all.extend(found.map(|text| Violation { rule: Rule::Reign, at: now, text }));
        all
    }
}
