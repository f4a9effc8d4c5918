//! How a primary votes: once in an epoch, for the replica of a failed primary, if its claim is not
//! stale. The vote is sent by the caller.

#[cfg(test)]
mod tests;

use crate::bus::{Header, MessageFlags};
use crate::election::better_replica;
use crate::epochs::Epochs;
use crate::node::Node;
use crate::nodes::Nodes;
use crate::slot_sets::common;
use crate::surroundings::Surroundings;
use crate::{LogLevel, LogTopic};
use std::cmp::Reverse;
use tessera_slot::{Millis, NodeId};

/// No second vote about the same primary for this many node timeouts.
const VOTE_PAUSE: u64 = 2;
/// How long a new primary waits at most for its predecessor to follow it before it votes, in
/// milliseconds.
const HANDOVER: u64 = 1000;

/// A request for a vote that waits, because a replica with more data may ask too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Deferred {
    pub(crate) candidate: NodeId,
    pub(crate) header: Header,
}

/// What a voter keeps in mind between two requests.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Voting {
    /// Requests that wait for a better replica's.
    deferred: Vec<Deferred>,
    /// The primary that this node has replaced, and when.
    predecessor: Option<(NodeId, Millis)>,
}

impl Voting {
    /// This node has replaced a primary.
    pub(crate) fn succeed(&mut self, predecessor: NodeId, now: Millis) {
        self.predecessor = Some((predecessor, now));
    }

    /// The requests that wait, those with the most data first. From here on none waits.
    pub(crate) fn take_deferred(&mut self) -> Vec<Deferred> {
        let mut requests = std::mem::take(&mut self.deferred);
        requests.sort_by_key(|request| Reverse(request.header.offset));
        requests
    }
}

/// The answer to a request for a vote.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Answer {
    /// The vote is given: it leaves once it is on disk.
    Granted,
    /// It is too early to say.
    Deferred,
    /// There is no vote, and no word of it.
    Denied,
}

/// Changes this node's vote: the epoch of the last one, and when it was about which primary.
pub(crate) struct Voter<'a> {
    pub(crate) voting: &'a mut Voting,
    pub(crate) epochs: &'a mut Epochs,
    pub(crate) nodes: &'a mut Nodes,
    pub(crate) around: &'a mut Surroundings,
    /// Since when this node itself wants to be replaced.
    pub(crate) gives_way_since: Option<Millis>,
}

impl Voter<'_> {
    /// A replica asks for this node's vote.
    pub(crate) fn take_request(&mut self, candidate: NodeId, header: &Header) -> Answer {
        if !self.nodes.me().is_voter() {
            return Answer::Denied;
        }
        let primary = match self.check_candidate(candidate, header) {
            Ok(primary) => primary,
            Err(reason) => {
                let name = self.nodes.name_of(candidate);
                let text = format!("Failover auth denied to {name}: {reason}");
                self.around.log_limited(LogTopic::Vote, LogLevel::Warning, text);
                return Answer::Denied;
            }
        };
        if let Some(why) = self.why_too_early(primary, candidate, header) {
            self.defer(candidate, header, &why);
            return Answer::Deferred;
        }
        self.epochs.vote();
        if let Some(node) = self.nodes.get_mut(primary) {
            node.voted_at = Some(self.around.now());
        }
        self.around.changed_durably();
        let (name, epoch) = (self.nodes.name_of(candidate), self.epochs.current());
        let text = format!("Failover auth granted to {name} for epoch {epoch}");
        self.around.log(LogLevel::Notice, text);
        Answer::Granted
    }

    /// Whether a vote can still be given in the epoch of a request that has waited.
    pub(crate) fn is_open(&self, header: &Header) -> bool {
        let current = self.epochs.current();
        header.current_epoch >= current && self.epochs.last_vote() < current
    }

    /// Whether the primary that this node has replaced, which lives, has not shown yet that it
    /// knows: it may have voted in the same epoch, and then the shard would have two votes.
    fn predecessor_may_vote(&self) -> bool {
        let Some((predecessor, at)) = self.voting.predecessor else { return false };
        let node = self.nodes.get(predecessor).filter(|node| node.is_healthy());
        node.is_some_and(Node::is_primary) && self.around.now().since(at) < HANDOVER
    }

    /// Keeps a request for a while.
    fn defer(&mut self, candidate: NodeId, header: &Header, why: &str) {
        let deferred = &mut self.voting.deferred;
        let is_new = !deferred.iter().any(|request| request.candidate == candidate);
        deferred.retain(|request| request.candidate != candidate);
        deferred.push(Deferred { candidate, header: header.clone() });
        if is_new {
            let name = self.nodes.name_of(candidate);
            self.around.log(LogLevel::Notice, format!("Failover auth of {name} deferred: {why}"));
        }
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
        let gives_way = self.gives_way_since.filter(|_| primary == self.nodes.my_id());
        let since = self.nodes.get(primary)?.failed_since().or(gives_way)?;
        let (candidate, now) = ((candidate, header.offset), self.around.now());
        let better = better_replica(self.nodes, primary, candidate, since, now)?;
        Some(format!("{} has more data", self.nodes.name_of(better)))
    }

    /// The primary that the candidate may replace, or why it may not.
    fn check_candidate(&self, candidate: NodeId, header: &Header) -> Result<NodeId, String> {
        let current = self.epochs.current();
        let asked = header.current_epoch;
        if asked < current {
            return Err(format!("reqEpoch ({asked}) < curEpoch({current})"));
        }
        if self.epochs.has_voted() {
            return Err(format!("already voted for epoch {current}"));
        }
        let Some(node) = self.nodes.get(candidate) else { return Err("it is unknown".to_owned()) };
        if node.is_primary() {
            return Err("it is a primary node".to_owned());
        }
        let primary = node.primary().and_then(|id| self.nodes.get(id));
        let Some(primary) = primary else { return Err("I don't know its primary".to_owned()) };
        let gives_way = primary.id == self.nodes.my_id() && self.gives_way_since.is_some();
        if !primary.has_failed() && !gives_way && !header.message_flags.has(MessageFlags::FORCE_ACK)
        {
            return Err("its primary is up".to_owned());
        }
        let pause = self.around.config().node_timeout.saturating_mul(VOTE_PAUSE);
        let voted = primary.voted_at.map(|at| self.around.now().since(at));
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
