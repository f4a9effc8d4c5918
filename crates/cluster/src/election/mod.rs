//! How a replica replaces its failed primary: when it stands, how it asks, when it has won. Packets
//! are sent, and the role is taken, by the caller, whom a [`Move`] says what is due.

#[cfg(test)]
mod tests;

use crate::LogLevel;
use crate::epochs::Epochs;
use crate::manual_failover::ManualFailover;
use crate::node::{Health, Node};
use crate::nodes::Nodes;
use crate::progress::Progress;
use crate::surroundings::{Step, Surroundings};
use std::collections::BTreeSet;
use tessera_slot::{Epoch, Millis, NodeId, Offset};

/// An attempt lasts at least this long, in milliseconds.
const MIN_ATTEMPT: u64 = 2000;
/// The first attempt under fast failover; each further one takes twice as long.
const FAST_ATTEMPT: u64 = 1000;
/// How long after a primary's failure worse replicas, and the voters, wait for a better replica, in
/// ms: its disk may be slow. They do not wait for one that was not heard since the failure, or is
/// suspected.
const PATIENCE: u64 = 2000;
/// How often a worse replica looks whether it is still waited for a better one, in milliseconds.
const LOOK_EVERY: u64 = 50;
/// The same reason for not standing is logged again after this long, in milliseconds.
const RELOG_AFTER: u64 = 10_000;

/// The wait before a replica asks for votes, in milliseconds: a fixed part in which FAIL and the
/// replicas' offsets spread, a random part against ties, and a part for each better replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Delay {
    fixed: u64,
    random: u64,
    per_rank: u64,
}

/// The delays of the original.
const DELAY: Delay = Delay { fixed: 500, random: 500, per_rank: 1000 };
/// FAIL is broadcast at once and offsets are exchanged when an election is scheduled, so a few
/// round trips are enough.
const FAST_DELAY: Delay = Delay { fixed: 150, random: 150, per_rank: 400 };
/// The same if the primary's process is known to be gone: all nodes see that at once.
const GONE_DELAY: Delay = Delay { fixed: 50, random: 50, per_rank: 200 };

/// How far an election has come.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
enum Phase {
    /// No election is called for.
    #[default]
    Idle,
    /// Votes will be asked for at this time.
    Waiting { at: Millis, rank: u64, per_rank: u64 },
    /// Votes have been asked for.
    Asking { epoch: Epoch, until: Millis, votes: BTreeSet<NodeId> },
}

/// This replica's candidacy.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Election {
    phase: Phase,
    attempts: u32,
    complained_at: Option<Millis>,
}

impl Election {
    /// When something is to be done.
    pub(crate) fn due(&self) -> Option<Millis> {
        match self.phase {
            Phase::Idle => None,
            Phase::Waiting { at, .. } => Some(at),
            Phase::Asking { until, .. } => Some(until),
        }
    }
}

/// What an election wants next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Move {
    /// Nothing now.
    Wait,
    /// The other replicas of this primary must know this one's offset to know their ranks.
    TellReplicasOf(NodeId),
    /// The voters are to be asked.
    AskForVotes,
    /// A majority has voted for this node, in this epoch.
    Won(Epoch),
}

/// Changes how far this replica's election has come. Asking for votes takes a new epoch.
pub(crate) struct Candidacy<'a> {
    pub(crate) election: &'a mut Election,
    pub(crate) epochs: &'a mut Epochs,
    pub(crate) around: &'a mut Surroundings,
    pub(crate) nodes: &'a Nodes,
    pub(crate) progress: &'a Progress,
    pub(crate) manual: &'a ManualFailover,
}

impl Candidacy<'_> {
    /// Takes the next step of an election, if one is called for.
    pub(crate) fn proceed(&mut self) -> Move {
        let Some(primary) = self.primary_to_replace() else {
            // What was complained of lately is not said again at once.
            let complained_at = self.election.complained_at;
            *self.election = Election { complained_at, ..Election::default() };
            return Move::Wait;
        };
        match self.election.phase.clone() {
            Phase::Idle => self.schedule(primary),
            Phase::Waiting { at, rank, per_rank } => self.wait(primary, at, rank, per_rank),
            Phase::Asking { epoch, votes, .. } if votes.len() >= self.nodes.quorum() => {
                self.around.log(LogLevel::Notice, "Failover election won: I'm the new primary.");
                Move::Won(epoch)
            }
            Phase::Asking { until, votes, .. } if self.around.now() >= until => {
                let (needed, got) = (self.nodes.quorum(), votes.len());
                let text = format!(
                    "Currently unable to failover: Failover attempt expired. Needed quorum: \
                     {needed}. Number of votes received so far: {got}"
                );
                self.around.log(LogLevel::Notice, text);
                self.schedule(primary)
            }
            Phase::Asking { .. } => Move::Wait,
        }
    }

    /// The primary that this node may and should replace now.
    fn primary_to_replace(&mut self) -> Option<NodeId> {
        let primary = self.nodes.me().primary()?;
        let node = self.nodes.get(primary)?;
        if self.progress.is_incomplete() {
            // It does not stand on command either: the data that only the primary has would be
            // lost.
            if node.has_failed() || self.manual.can_start() {
                self.complain("The data is not whole: a full synchronisation has not ended well.");
            }
            return None;
        }
        if self.manual.can_start() {
            return Some(primary);
        }
        let stands = !self.around.config().replica_no_failover;
        if !node.has_failed() || node.slots.is_empty() || !stands {
            return None;
        }
        if self.data_is_too_old() {
            self.complain(
                "Disconnected from primary for longer than allowed. Please check the \
                 'cluster-replica-validity-factor' configuration option.",
            );
            return None;
        }
        Some(primary)
    }

    /// `cluster-replica-validity-factor`: how long ago this replica may have lost its primary.
    fn data_is_too_old(&self) -> bool {
        let config = self.around.config();
        let (factor, timeout) = (config.replica_validity_factor, config.node_timeout);
        let age = self.progress.age(self.around.now());
        let limit = config.repl_ping_period.saturating_add(timeout.saturating_mul(factor));
        factor != 0 && age.saturating_sub(timeout) > limit
    }

    /// Says, now and then, why there is no election.
    fn complain(&mut self, why: &str) {
        let now = self.around.now();
        if self.election.complained_at.is_some_and(|at| now.since(at) < RELOG_AFTER) {
            return;
        }
        self.election.complained_at = Some(now);
        self.around.log(LogLevel::Notice, format!("Currently unable to failover: {why}"));
    }

    fn schedule(&mut self, primary: NodeId) -> Move {
        let now = self.around.now();
        if self.manual.can_start() {
            self.election.phase = Phase::Waiting { at: now, rank: 0, per_rank: 0 };
            self.around.log(LogLevel::Notice, "Start of election for a manual failover.");
            return self.wait(primary, now, 0, 0);
        }
        let delay = self.delay(primary);
        let rank = self.rank(primary);
        let wait = delay.fixed + self.around.rng().below(delay.random) + rank * delay.per_rank;
        let at = now.plus(wait);
        self.election.phase = Phase::Waiting { at, rank, per_rank: delay.per_rank };
        let offset = self.progress.offset();
        let text = format!(
            "Start of election delayed for {wait} milliseconds (rank #{rank}, offset {offset})."
        );
        self.around.log(LogLevel::Notice, text);
        Move::TellReplicasOf(primary)
    }

    fn delay(&self, primary: NodeId) -> Delay {
        let health = self.nodes.get(primary).map(|node| node.health);
        match (self.around.config().fast_failover, health) {
            (false, _) => DELAY,
            (true, Some(Health::Failed { gone: true, .. })) => GONE_DELAY,
            (true, _) => FAST_DELAY,
        }
    }

    /// How many replicas of the primary should stand before this one: those with more data, and of
    /// those with as much the ones with a smaller name.
    fn rank(&self, primary: NodeId) -> u64 {
        let me = self.nodes.my_id();
        let mine = (std::cmp::Reverse(self.progress.offset()), me);
        let better = |node: &&Node| {
            node.id != me
                && !node.no_failover
                && !node.has_failed()
                && (std::cmp::Reverse(node.offset), node.id) < mine
        };
        self.nodes.replicas_of(primary).filter(better).count() as u64
    }

    fn wait(&mut self, primary: NodeId, at: Millis, rank: u64, per_rank: u64) -> Move {
        let (mut at, now) = (at, self.around.now());
        if !self.manual.can_start() {
            let new_rank = self.rank(primary);
            if new_rank != rank {
                let base = at.0.saturating_sub(rank * per_rank);
                at = Millis(base).plus(new_rank * per_rank);
                self.election.phase = Phase::Waiting { at, rank: new_rank, per_rank };
                let text = format!("Replica rank updated to #{new_rank}.");
                self.around.log(LogLevel::Notice, text);
            }
        }
        if now < at {
            return Move::Wait;
        }
        if !self.manual.can_start() && self.waits_for_better(primary) {
            let (at, rank) = (now.plus(LOOK_EVERY), self.rank(primary));
            self.election.phase = Phase::Waiting { at, rank, per_rank };
            return Move::Wait;
        }
        self.ask_for_votes()
    }

    fn waits_for_better(&self, primary: NodeId) -> bool {
        let candidate = (self.nodes.my_id(), self.progress.offset());
        let failed = self.nodes.get(primary).and_then(Node::failed_since);
        let better = |since| {
            better_replica(self.nodes, primary, candidate, since, self.around.now()).is_some()
        };
        failed.is_some_and(better)
    }

    fn ask_for_votes(&mut self) -> Move {
        let epoch = self.epochs.advance();
        let until = self.around.now().plus(self.attempt_length());
        self.election.attempts = self.election.attempts.saturating_add(1);
        self.election.phase = Phase::Asking { epoch, until, votes: BTreeSet::new() };
        let text = format!("Starting a failover election for epoch {epoch}.");
        self.around.log(LogLevel::Notice, text);
        self.around.changed_durably();
        Move::AskForVotes
    }

    /// How long votes are waited for before the next attempt.
    fn attempt_length(&self) -> u64 {
        let config = self.around.config();
        let longest = config.node_timeout.saturating_mul(2).max(MIN_ATTEMPT).saturating_mul(2);
        if !config.fast_failover {
            return longest;
        }
        FAST_ATTEMPT.saturating_mul(1 << self.election.attempts.min(20)).min(longest)
    }

    /// A primary has voted for this node.
    pub(crate) fn take_vote(&mut self, voter: NodeId, in_epoch: Epoch) {
        let votes_count = self.nodes.get(voter).is_some_and(Node::is_voter);
        if let Phase::Asking { epoch, votes, .. } = &mut self.election.phase
            && votes_count
            && in_epoch == *epoch
        {
            votes.insert(voter);
            self.around.want(Step::Election);
        }
    }
}

/// A replica of a primary that has failed, or gives way, since a moment, which has more data than
/// the candidate, lives, and is still worth waiting for.
pub(crate) fn better_replica(
    nodes: &Nodes,
    primary: NodeId,
    (candidate, offset): (NodeId, Offset),
    since: Millis,
    now: Millis,
) -> Option<NodeId> {
    if now.since(since) >= PATIENCE {
        return None;
    }
    let better = |node: &&Node| {
        node.id != candidate
            && node.id != nodes.my_id()
            && node.offset > offset
            && node.is_healthy()
            && !node.no_failover
            && node.data_received.is_some_and(|heard| heard >= since)
    };
    nodes.replicas_of(primary).find(better).map(|node| node.id)
}
