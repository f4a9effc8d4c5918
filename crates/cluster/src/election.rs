//! How a replica replaces its failed primary: when it stands, how it asks, when it has won.

use crate::bus::{Body, MessageFlags};
use crate::core::Cluster;
use crate::node::{Health, Node};
use crate::{LogLevel, PrimaryLink};
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

impl Cluster {
    /// Takes the next step of an election, if one is called for.
    pub(crate) fn run_election(&mut self) {
        let Some(primary) = self.primary_to_replace() else {
            self.election = Election::default();
            return;
        };
        match self.election.phase.clone() {
            Phase::Idle => self.schedule_election(primary),
            Phase::Waiting { at, rank, per_rank } => {
                self.wait_for_election(primary, at, rank, per_rank);
            }
            Phase::Asking { epoch, votes, .. } if votes.len() >= self.nodes.quorum() => {
                self.win_election(epoch);
            }
            Phase::Asking { until, votes, .. } if self.now.mono >= until => {
                let (needed, got) = (self.nodes.quorum(), votes.len());
                let text = format!(
                    "Currently unable to failover: Failover attempt expired. Needed quorum: \
                     {needed}. Number of votes received so far: {got}"
                );
                self.log(LogLevel::Notice, text);
                self.schedule_election(primary);
            }
            Phase::Asking { .. } => {}
        }
    }

    /// The primary that this node may and should replace now.
    fn primary_to_replace(&mut self) -> Option<NodeId> {
        let primary = self.nodes.me().primary()?;
        let node = self.nodes.get(primary)?;
        if self.primary_link == PrimaryLink::Incomplete {
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
        if !node.has_failed() || node.slots.is_empty() || self.config.replica_no_failover {
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
        let factor = self.config.replica_validity_factor;
        let timeout = self.config.node_timeout;
        let age = match self.primary_link {
            PrimaryLink::Up { heard } => self.now.mono.since(heard),
            PrimaryLink::Incomplete | PrimaryLink::Down { since: None } => u64::MAX,
            PrimaryLink::Down { since: Some(since) } => self.now.mono.since(since),
        };
        let limit = self.config.repl_ping_period.saturating_add(timeout.saturating_mul(factor));
        factor != 0 && age.saturating_sub(timeout) > limit
    }

    /// Says, now and then, why there is no election.
    fn complain(&mut self, why: &str) {
        let now = self.now.mono;
        if self.election.complained_at.is_some_and(|at| now.since(at) < RELOG_AFTER) {
            return;
        }
        self.election.complained_at = Some(now);
        self.log(LogLevel::Notice, format!("Currently unable to failover: {why}"));
    }

    fn schedule_election(&mut self, primary: NodeId) {
        let now = self.now.mono;
        if self.manual.can_start() {
            self.election.phase = Phase::Waiting { at: now, rank: 0, per_rank: 0 };
            self.log(LogLevel::Notice, "Start of election for a manual failover.");
            self.wait_for_election(primary, now, 0, 0);
            return;
        }
        let delay = self.election_delay(primary);
        let rank = self.rank(primary);
        let wait = delay.fixed + self.rng.below(delay.random) + rank * delay.per_rank;
        let at = now.plus(wait);
        self.election.phase = Phase::Waiting { at, rank, per_rank: delay.per_rank };
        let offset = self.offset;
        let text = format!(
            "Start of election delayed for {wait} milliseconds (rank #{rank}, offset {offset})."
        );
        self.log(LogLevel::Notice, text);
        // The other replicas must know this one's offset to know their ranks.
        self.broadcast_pong(|node| node.is_replica_of(primary));
    }

    fn election_delay(&self, primary: NodeId) -> Delay {
        let health = self.nodes.get(primary).map(|node| node.health);
        match (self.config.fast_failover, health) {
            (false, _) => DELAY,
            (true, Some(Health::Failed { gone: true, .. })) => GONE_DELAY,
            (true, _) => FAST_DELAY,
        }
    }

    /// How many replicas of the primary should stand before this one: those with more data, and of
    /// those with as much the ones with a smaller name.
    fn rank(&self, primary: NodeId) -> u64 {
        let mine = (std::cmp::Reverse(self.offset), self.id());
        let better = |node: &&Node| {
            node.id != self.id()
                && !node.no_failover
                && !node.has_failed()
                && (std::cmp::Reverse(node.offset), node.id) < mine
        };
        self.nodes.replicas_of(primary).filter(better).count() as u64
    }

    fn wait_for_election(&mut self, primary: NodeId, at: Millis, rank: u64, per_rank: u64) {
        let mut at = at;
        if !self.manual.can_start() {
            let new_rank = self.rank(primary);
            if new_rank != rank {
                let base = at.0.saturating_sub(rank * per_rank);
                at = Millis(base).plus(new_rank * per_rank);
                self.election.phase = Phase::Waiting { at, rank: new_rank, per_rank };
                let text = format!("Replica rank updated to #{new_rank}.");
                self.log(LogLevel::Notice, text);
            }
        }
        if self.now.mono < at {
            return;
        }
        if !self.manual.can_start()
            && self.better_replica(primary, self.id(), self.offset).is_some()
        {
            let (at, rank) = (self.now.mono.plus(LOOK_EVERY), self.rank(primary));
            self.election.phase = Phase::Waiting { at, rank, per_rank };
            return;
        }
        self.ask_for_votes();
    }

    /// A replica of the failed primary that has more data than the candidate, lives, and is still
    /// worth waiting for.
    pub(crate) fn better_replica(
        &self,
        primary: NodeId,
        candidate: NodeId,
        offset: Offset,
    ) -> Option<NodeId> {
        let since = match self.nodes.get(primary)?.health {
            Health::Failed { since, .. } => since,
            _ => self.lost_data.gives_way_since().filter(|_| primary == self.id())?,
        };
        if self.now.mono.since(since) >= PATIENCE {
            return None;
        }
        let better = |node: &&Node| {
            node.id != candidate
                && node.id != self.id()
                && node.offset > offset
                && node.is_healthy()
                && !node.no_failover
                && node.data_received.is_some_and(|heard| heard >= since)
        };
        self.nodes.replicas_of(primary).find(better).map(|node| node.id)
    }

    fn ask_for_votes(&mut self) {
        self.epochs.current = self.epochs.current.next();
        let epoch = self.epochs.current;
        let until = self.now.mono.plus(self.attempt_length());
        self.election.attempts = self.election.attempts.saturating_add(1);
        self.election.phase = Phase::Asking { epoch, until, votes: BTreeSet::new() };
        self.log(LogLevel::Notice, format!("Starting a failover election for epoch {epoch}."));
        let mut flags = MessageFlags::default();
        if self.manual.is_under_way() {
            flags |= MessageFlags::FORCE_ACK;
        }
        self.changed_durably();
        self.broadcast(Body::AuthRequest, flags);
    }

    /// How long votes are waited for before the next attempt.
    fn attempt_length(&self) -> u64 {
        let longest = self.config.node_timeout.saturating_mul(2).max(MIN_ATTEMPT).saturating_mul(2);
        if !self.config.fast_failover {
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
            self.todo.election = true;
        }
    }

    fn win_election(&mut self, epoch: Epoch) {
        self.log(LogLevel::Notice, "Failover election won: I'm the new primary.");
        let me = self.nodes.me_mut();
        if me.config_epoch < epoch {
            me.config_epoch = epoch;
            let text = format!("configEpoch set to {epoch} after successful failover");
            self.log(LogLevel::Notice, text);
        }
        self.state.was_elected();
        self.replace_primary();
    }

    /// Takes role and slots of this node's primary, and tells everybody.
    pub(crate) fn replace_primary(&mut self) {
        let Some(former) = self.nodes.me().primary() else { return };
        let slots = match self.nodes.get(former) {
            Some(node) => node.slots.set().clone(),
            None => return,
        };
        let me = self.id();
        self.set_primary_role(me);
        self.nodes.assign(&slots, Some(me));
        self.predecessor = Some((former, self.now.mono));
        self.election = Election::default();
        self.reset_manual_failover();
        self.changed_durably();
        self.update_state();
        self.broadcast_pong(|_| true);
    }
}
