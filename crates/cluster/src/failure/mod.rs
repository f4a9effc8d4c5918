//! Failure detection: suspicion by one node (PFAIL), agreement of a majority (FAIL), and the way
//! back. Others are told by the caller, whom a [`Finding`] says what there is to tell.

#[cfg(test)]
mod tests;

use crate::attention::Attention;
use crate::links::Link;
use crate::node::{Health, Node, ShardId};
use crate::nodes::Nodes;
use crate::surroundings::{Step, Surroundings};
use crate::{LogLevel, LogTopic};
use tessera_slot::{Millis, NodeId};

/// A report counts for this many node timeouts.
const REPORT_VALIDITY: u64 = 2;
/// A failed primary that still owns its slots is taken back after this many node timeouts.
const UNDO_AFTER: u64 = 2;

/// A connection gets at least this long to come about, in milliseconds.
const MIN_CONNECT: u64 = 1000;

/// A node's silence, as the timers judge it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Silence {
    /// The node was heard recently.
    No,
    /// The connection may be broken: try a new one.
    Reconnect,
    /// Nothing was heard for the node timeout.
    Suspect,
}

/// What the other nodes are to hear of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Finding {
    /// Nothing beside what pings tell.
    Nothing,
    /// This voter suspects the node: those that decide must not wait for the next ping to hear of
    /// it, nor must its shard.
    Suspected { shard: ShardId },
    /// The node has failed: a majority agrees, by what this node knows. All must hear of it.
    Agreed,
    /// The node has failed, by the word of another node.
    Told,
}

/// Changes the nodes' health, and the reports about it.
pub(crate) struct FailureDetection<'a> {
    pub(crate) nodes: &'a mut Nodes,
    pub(crate) around: &'a mut Surroundings,
}

impl FailureDetection<'_> {
    /// How many voters report a node as unreachable. Older reports are dropped.
    pub(crate) fn reports_about(&mut self, id: NodeId) -> usize {
        let validity = self.around.config().node_timeout.saturating_mul(REPORT_VALIDITY);
        self.nodes.failure_reports(id, self.around.now(), validity)
    }

    /// This node cannot reach another. `gone`: its host says that the process is not there.
    pub(crate) fn suspect(&mut self, id: NodeId, gone: bool) -> Finding {
        let Some(node) = self.nodes.get_mut(id) else { return Finding::Nothing };
        if !node.is_healthy() {
            return Finding::Nothing;
        }
        node.health = Health::Suspected { gone };
        let shard = node.shard;
        let name = self.nodes.name_of(id);
        self.around.log(LogLevel::Notice, format!("NODE {name} possibly failing."));
        self.around.changed();
        match self.fail_if_agreed(id) {
            Finding::Nothing
                if self.around.config().fast_failover && self.nodes.me().is_voter() =>
            {
                Finding::Suspected { shard }
            }
            finding => finding,
        }
    }

    /// A voter says whether it can reach a node.
    pub(crate) fn take_report(
        &mut self,
        from: NodeId,
        about: NodeId,
        is_unreachable: bool,
    ) -> Finding {
        let now = self.around.now();
        let Some(node) = self.nodes.get_mut(about) else { return Finding::Nothing };
        let was_reported = match is_unreachable {
            true => node.reports.insert(from, now).is_some(),
            false => node.reports.remove(&from).is_some(),
        };
        if was_reported != is_unreachable {
            let (from, about) = (self.nodes.name_of(from), self.nodes.name_of(about));
            let what = if is_unreachable { "as not reachable" } else { "is back online" };
            let text = format!("Node {from} reported node {about} {what}.");
            self.around.log_limited(LogTopic::Report, LogLevel::Notice, text);
        }
        if is_unreachable { self.fail_if_agreed(about) } else { Finding::Nothing }
    }

    /// Turns suspicion into failure once a majority of the voters agree.
    fn fail_if_agreed(&mut self, id: NodeId) -> Finding {
        let Some(Health::Suspected { gone }) = self.nodes.get(id).map(|node| node.health) else {
            return Finding::Nothing;
        };
        let agreeing = self.reports_about(id) + usize::from(self.nodes.me().is_voter());
        if agreeing < self.nodes.quorum() {
            return Finding::Nothing;
        }
        let name = self.nodes.name_of(id);
        let text = format!("Marking node {name} as failing (quorum reached).");
        self.around.log(LogLevel::Notice, text);
        self.mark_failed(id, gone);
        Finding::Agreed
    }

    fn mark_failed(&mut self, id: NodeId, gone: bool) {
        if let Some(node) = self.nodes.get_mut(id) {
            node.health = Health::Failed { since: self.around.now(), gone };
        }
        self.around.want(Step::Election);
        self.around.changed();
    }

    /// FAIL has arrived.
    pub(crate) fn take_fail(&mut self, sender: NodeId, failing: NodeId) -> Finding {
        let Some(node) = self.nodes.get(failing) else { return Finding::Nothing };
        if failing == self.nodes.my_id() || node.has_failed() {
            return Finding::Nothing;
        }
        // A node that speaks of its own failure is not going to serve.
        let told_by_itself = sender == failing;
        let seen_gone = node.health == Health::Suspected { gone: true }
            || (node.refusals.is_some() && node.hung_up);
        let gone = told_by_itself || seen_gone;
        let (from, about) = (self.nodes.name_of(sender), self.nodes.name_of(failing));
        let text = format!("FAIL message received from {from} about {about}");
        self.around.log(LogLevel::Notice, text);
        self.mark_failed(failing, gone);
        Finding::Told
    }

    /// A node has answered: it is there.
    pub(crate) fn clear_suspicion(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        match node.health {
            Health::Ok => {}
            Health::Suspected { .. } => {
                node.health = Health::Ok;
                self.around.changed();
            }
            Health::Failed { since, .. } => self.clear_failure_if_due(id, since),
        }
    }

    /// A failed node has answered. A replica or a primary without slots is back at once; a primary
    /// with slots only if no other node has taken them over for a while.
    fn clear_failure_if_due(&mut self, id: NodeId, since: Millis) {
        let undo_after = self.around.config().node_timeout.saturating_mul(UNDO_AFTER);
        let waited = self.around.now().since(since) > undo_after;
        let Some(node) = self.nodes.get(id) else { return };
        let reason = match (node.is_voter(), node.is_replica()) {
            (true, _) if !waited => return,
            (true, _) => "is reachable again and nobody is serving its slots after some time.",
            (false, true) => "replica is reachable again.",
            (false, false) => "primary without slots is reachable again.",
        };
        let name = self.nodes.name_of(id);
        self.around.log(LogLevel::Notice, format!("Clear FAIL state for node {name}: {reason}"));
        if let Some(node) = self.nodes.get_mut(id) {
            node.health = Health::Ok;
        }
        self.around.changed();
    }
}

/// Judges a node by how long it has been silent while a ping was waiting for its answer. `link` is
/// the node's own.
pub(crate) fn silence_of(
    node: &Node,
    link: Option<&Link>,
    attention: &Attention,
    (now, timeout): (Millis, u64),
) -> Silence {
    let Some(pinged) = node.ping_sent else { return Silence::No };
    let ping_age = now.since(pinged);
    let heard_age = node.data_received.map_or(ping_age, |heard| now.since(heard));
    let silent_for = heard_age.min(ping_age);
    if silent_for > timeout && node.is_healthy() && attention.may_suspect(now) {
        return Silence::Suspect;
    }
    let Some(link) = link else { return Silence::No };
    let age = now.since(link.created);
    let never_connected = !link.up && age > (timeout / 2).max(MIN_CONNECT);
    let broken = silent_for > timeout / 2 && age > timeout;
    // The peer speaks over its own link, yet does not answer over ours.
    let one_sided = ping_age.min(age) > timeout.saturating_mul(2);
    if never_connected || broken || one_sided { Silence::Reconnect } else { Silence::No }
}
