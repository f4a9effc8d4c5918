//! Failure detection: suspicion by one node (PFAIL), agreement of a majority (FAIL), and the way
//! back.

use crate::LogLevel;
use crate::bus::{Body, MessageFlags, PingKind};
use crate::core::Cluster;
use crate::node::{Health, Node};
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

impl Cluster {
    pub(crate) fn report_validity(&self) -> u64 {
        self.config.node_timeout.saturating_mul(REPORT_VALIDITY)
    }

    /// Judges a node by how long it has been silent while a ping was waiting for its answer.
    pub(crate) fn silence_of(&self, node: &Node) -> Silence {
        let now = self.now.mono;
        let timeout = self.config.node_timeout;
        let Some(pinged) = node.ping_sent else { return Silence::No };
        let ping_age = now.since(pinged);
        let heard_age = node.data_received.map_or(ping_age, |heard| now.since(heard));
        let silent_for = heard_age.min(ping_age);
        let judging = node.is_healthy() && now >= self.rhythm.no_suspicion_before;
        if silent_for > timeout && judging {
            return Silence::Suspect;
        }
        let Some(link) = node.link.and_then(|link| self.links.get(&link)) else {
            return Silence::No;
        };
        let age = now.since(link.created);
        let never_connected = !link.up && age > (timeout / 2).max(MIN_CONNECT);
        let broken = silent_for > timeout / 2 && age > timeout;
        // The peer speaks over its own link, yet does not answer over ours.
        let one_sided = ping_age.min(age) > timeout.saturating_mul(2);
        if never_connected || broken || one_sided { Silence::Reconnect } else { Silence::No }
    }

    /// This node cannot reach another. `gone`: its host says that the process is not there.
    pub(crate) fn suspect(&mut self, id: NodeId, gone: bool) {
        let votes = self.nodes.me().is_voter();
        let Some(node) = self.nodes.get_mut(id) else { return };
        if !node.is_healthy() {
            return;
        }
        node.health = Health::Suspected { gone };
        let shard = node.shard;
        let name = self.name_of(id);
        self.log(LogLevel::Notice, format!("NODE {name} possibly failing."));
        self.changed();
        self.fail_if_agreed(id);
        if self.config.fast_failover && votes && self.nodes.get(id).is_some_and(Node::is_suspected)
        {
            // The others must not wait for the next ping to hear of it.
            self.broadcast_pong(|node| {
                node.is_healthy() && (node.is_voter() || node.shard == shard)
            });
        }
    }

    /// Turns suspicion into failure once a majority of the voters agree.
    pub(crate) fn fail_if_agreed(&mut self, id: NodeId) {
        let Some(Health::Suspected { gone }) = self.nodes.get(id).map(|node| node.health) else {
            return;
        };
        let validity = self.report_validity();
        let reports = self.nodes.failure_reports(id, self.now.mono, validity);
        let agreeing = reports + usize::from(self.nodes.me().is_voter());
        if agreeing < self.nodes.quorum() {
            return;
        }
        let name = self.name_of(id);
        self.log(LogLevel::Notice, format!("Marking node {name} as failing (quorum reached)."));
        self.mark_failed(id, gone);
        self.broadcast(Body::Fail(id), MessageFlags::default());
    }

    fn mark_failed(&mut self, id: NodeId, gone: bool) {
        if let Some(node) = self.nodes.get_mut(id) {
            node.health = Health::Failed { since: self.now.mono, gone };
        }
        self.ask_replicas_of(id);
        self.todo.election = true;
        self.changed();
    }

    /// A voter must know which replicas of a failed primary are alive, and how far each is.
    fn ask_replicas_of(&mut self, primary: NodeId) {
        if !self.nodes.me().is_voter() {
            return;
        }
        for link in self.targets(|node| node.is_replica_of(primary)) {
            self.send_ping(link, PingKind::Ping);
        }
    }

    /// FAIL has arrived.
    pub(crate) fn take_fail(&mut self, sender: NodeId, failing: NodeId) {
        let me = self.id();
        let Some(node) = self.nodes.get(failing) else { return };
        if failing == me || node.has_failed() {
            return;
        }
        // A node that speaks of its own failure is not going to serve.
        let told_by_itself = sender == failing;
        let seen_gone = node.health == Health::Suspected { gone: true }
            || (node.refusals.is_some() && node.hung_up);
        let gone = told_by_itself || seen_gone;
        let (from, about) = (self.name_of(sender), self.name_of(failing));
        self.log(LogLevel::Notice, format!("FAIL message received from {from} about {about}"));
        self.mark_failed(failing, gone);
    }

    /// A failed node has answered. A replica or a primary without slots is back at once; a primary
    /// with slots only if no other node has taken them over for a while.
    pub(crate) fn clear_failure_if_due(&mut self, id: NodeId, since: Millis) {
        let undo_after = self.config.node_timeout.saturating_mul(UNDO_AFTER);
        let waited = self.now.mono.since(since) > undo_after;
        let Some(node) = self.nodes.get(id) else { return };
        let reason = match (node.is_voter(), node.is_replica()) {
            (true, _) if !waited => return,
            (true, _) => "is reachable again and nobody is serving its slots after some time.",
            (false, true) => "replica is reachable again.",
            (false, false) => "primary without slots is reachable again.",
        };
        let name = self.name_of(id);
        self.log(LogLevel::Notice, format!("Clear FAIL state for node {name}: {reason}"));
        if let Some(node) = self.nodes.get_mut(id) {
            node.health = Health::Ok;
        }
        self.changed();
    }
}
