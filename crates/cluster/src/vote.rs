//! How a primary votes: once in an epoch, for the replica of a failed primary, if its claim is not
//! stale.

use crate::bus::{Body, Header, MessageFlags};
use crate::core::Cluster;
use crate::node::Node;
use crate::slot_sets::common;
use crate::{LogLevel, LogTopic};
use std::cmp::Reverse;
use tessera_slot::NodeId;

/// No second vote about the same primary for this many node timeouts.
const VOTE_PAUSE: u64 = 2;
/// How long a new primary waits at most for its predecessor to follow it before it votes, in
/// milliseconds.
const HANDOVER: u64 = 1000;

/// A request for a vote that waits, because a replica with more data may ask too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Deferred {
    candidate: NodeId,
    header: Header,
}

impl Cluster {
    pub(crate) fn take_auth_request(&mut self, candidate: NodeId, header: &Header) {
        if !self.nodes.me().is_voter() {
            return;
        }
        let primary = match self.check_candidate(candidate, header) {
            Ok(primary) => primary,
            Err(reason) => {
                let name = self.name_of(candidate);
                let text = format!("Failover auth denied to {name}: {reason}");
                self.log_limited(LogTopic::Vote, LogLevel::Warning, text);
                return;
            }
        };
        if self.defer_vote(primary, candidate, header) {
            return;
        }
        self.epochs.last_vote = self.epochs.current;
        if let Some(node) = self.nodes.get_mut(primary) {
            node.voted_at = Some(self.now.mono);
        }
        self.changed_durably();
        self.send_to(candidate, Body::AuthAck);
        let (name, epoch) = (self.name_of(candidate), self.epochs.current);
        self.log(LogLevel::Notice, format!("Failover auth granted to {name} for epoch {epoch}"));
    }

    /// Whether the primary that this node has replaced, which lives, has not shown yet that it
    /// knows: it may have voted in the same epoch, and then the shard would have two votes.
    fn predecessor_may_vote(&self) -> bool {
        let Some((predecessor, at)) = self.predecessor else { return false };
        let node = self.nodes.get(predecessor).filter(|node| node.is_healthy());
        node.is_some_and(Node::is_primary) && self.now.mono.since(at) < HANDOVER
    }

    /// Keeps the request for a while if it is too early to vote.
    fn defer_vote(&mut self, primary: NodeId, candidate: NodeId, header: &Header) -> bool {
        let Some(why) = self.why_too_early(primary, candidate, header) else { return false };
        let is_new = !self.deferred.iter().any(|request| request.candidate == candidate);
        self.deferred.retain(|request| request.candidate != candidate);
        self.deferred.push(Deferred { candidate, header: header.clone() });
        if is_new {
            let name = self.name_of(candidate);
            self.log(LogLevel::Notice, format!("Failover auth of {name} deferred: {why}"));
        }
        true
    }

    /// A better replica is alive: the vote is for that one as soon as it asks. An operator who
    /// insists on this one has it.
    fn why_too_early(&self, primary: NodeId, candidate: NodeId, header: &Header) -> Option<String> {
        if self.predecessor_may_vote() {
            return Some("my predecessor may not know yet that I have its vote".to_owned());
        }
        if header.message_flags.has(MessageFlags::FORCE_ACK) {
            return None;
        }
        let better = self.better_replica(primary, candidate, header.offset)?;
        Some(format!("{} has more data", self.name_of(better)))
    }

    /// Looks again at the requests that wait, those with the most data first.
    pub(crate) fn retry_deferred_votes(&mut self) {
        let mut requests = std::mem::take(&mut self.deferred);
        requests.sort_by_key(|request| Reverse(request.header.offset));
        for Deferred { candidate, header } in requests {
            let is_open = header.current_epoch >= self.epochs.current
                && self.epochs.last_vote < self.epochs.current;
            if is_open {
                self.take_auth_request(candidate, &header);
            }
        }
    }

    /// The primary that the candidate may replace, or why it may not.
    fn check_candidate(&self, candidate: NodeId, header: &Header) -> Result<NodeId, String> {
        let current = self.epochs.current;
        let asked = header.current_epoch;
        if asked < current {
            return Err(format!("reqEpoch ({asked}) < curEpoch({current})"));
        }
        if self.epochs.last_vote == current {
            return Err(format!("already voted for epoch {current}"));
        }
        let Some(node) = self.nodes.get(candidate) else { return Err("it is unknown".to_owned()) };
        if node.is_primary() {
            return Err("it is a primary node".to_owned());
        }
        let primary = node.primary().and_then(|id| self.nodes.get(id));
        let Some(primary) = primary else { return Err("I don't know its primary".to_owned()) };
        let gives_way = primary.id == self.id() && self.lost_data.gives_way_since().is_some();
        if !primary.has_failed() && !gives_way && !header.message_flags.has(MessageFlags::FORCE_ACK)
        {
            return Err("its primary is up".to_owned());
        }
        let pause = self.config.node_timeout.saturating_mul(VOTE_PAUSE);
        let voted = primary.voted_at.map(|at| self.now.mono.since(at));
        if let Some(age) = voted.filter(|age| *age < pause) {
            let left = pause - age;
            return Err(format!("can't vote about this primary before {left} milliseconds"));
        }
        let stale = |owner: &&Node| {
            owner.config_epoch > header.config_epoch
                && !common(owner.slots.set(), &header.slots).is_empty()
        };
        if let Some(owner) = self.nodes.iter().find(stale) {
            let (epoch, claimed) = (owner.config_epoch, header.config_epoch);
            return Err(format!("slot epoch ({epoch}) > reqEpoch ({claimed})"));
        }
        Ok(primary.id)
    }
}
