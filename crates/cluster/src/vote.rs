//! How a primary votes: once in an epoch, for the replica of a failed primary, if its claim is not
//! stale.

use crate::bus::{Body, Header, MessageFlags};
use crate::core::Cluster;
use crate::node::Node;
use crate::slot_sets::common;
use crate::{LogLevel, LogTopic};
use tessera_slot::NodeId;

/// No second vote about the same primary for this many node timeouts.
const VOTE_PAUSE: u64 = 2;

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
        self.epochs.last_vote = self.epochs.current;
        if let Some(node) = self.nodes.get_mut(primary) {
            node.voted_at = Some(self.now.mono);
        }
        self.changed_durably();
        self.send_to(candidate, Body::AuthAck);
        let (name, epoch) = (self.name_of(candidate), self.epochs.current);
        self.log(LogLevel::Notice, format!("Failover auth granted to {name} for epoch {epoch}"));
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
        if !primary.has_failed() && !header.message_flags.has(MessageFlags::FORCE_ACK) {
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
