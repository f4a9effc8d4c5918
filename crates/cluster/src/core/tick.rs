//! The timers: connections, pings, suspicion, ends of waiting.

use super::Cluster;
use crate::bus::PingKind;
use crate::failure::{Silence, silence_of};
use crate::guests::{handshake_timeout, is_due_for_meet};
use crate::node::Node;
use crate::replica_migration::orphan_to_join;
use crate::surroundings::Step;
use tessera_slot::{Millis, NodeId};

/// One random node is pinged this often, in ms...
const RANDOM_PING_EVERY: u64 = 1000;
/// ...the one heard from longest ago among so many.
const RANDOM_PING_CHOICE: usize = 5;

impl Cluster {
    pub(super) fn tick(&mut self) {
        self.notice_sleep();
        let now = self.around.now();
        self.forgotten.expire(now);
        for id in self.nodes.other_ids() {
            self.keep_connected(id);
        }
        if now.since(self.last_random_ping) >= RANDOM_PING_EVERY {
            self.last_random_ping = now;
            self.ping_someone();
        }
        for id in self.nodes.other_ids() {
            self.watch(id);
        }
        let next = self.manual.tick(&mut self.around);
        self.act_on_manual_failover(next);
        self.tick_lost_data();
        self.retry_deferred_votes();
        self.migrate_to_orphan();
        self.around.want(Step::Election);
        self.around.want(Step::Write);
        // Silence is no event, and a node that hears no other must not serve.
        self.around.want(Step::State);
    }

    /// A primary that was stopped for long may have been replaced: it asks around before it serves.
    fn notice_sleep(&mut self) {
        let slept = self.attention.tick(self.around.now());
        let is_long = slept.is_some_and(|slept| slept > self.around.config().node_timeout);
        if is_long && self.nodes.len() > 1 {
            self.state.distrust(&self.nodes, &mut self.around);
        }
    }

    fn migrate_to_orphan(&mut self) {
        let is_ok = self.state.is_ok();
        if let Some(orphan) = orphan_to_join(&mut self.nodes, &mut self.around, is_ok) {
            self.become_replica_of(orphan);
        }
    }

    fn keep_connected(&mut self, id: NodeId) {
        let now = self.around.now();
        let Some(node) = self.nodes.get(id) else { return };
        let patience = handshake_timeout(self.around.config());
        if node.in_handshake() && now.since(node.created) > patience {
            self.remove_node(id);
        } else if node.link.is_none() && now >= node.retry_at {
            self.open_link(id);
        }
    }

    fn ping_someone(&mut self) {
        let ids = self.nodes.other_ids();
        if ids.is_empty() {
            return;
        }
        let mut oldest: Option<(Option<Millis>, NodeId)> = None;
        for _ in 0..RANDOM_PING_CHOICE {
            let id = ids[self.around.rng().below(ids.len() as u64) as usize];
            let Some(node) = self.nodes.get(id) else { continue };
            if node.in_handshake() || node.ping_sent.is_some() || self.links.to(node).is_none() {
                continue;
            }
            if oldest.is_none_or(|(pong, _)| node.pong_received < pong) {
                oldest = Some((node.pong_received, id));
            }
        }
        if let Some((_, id)) = oldest {
            self.ping(id);
        }
    }

    /// How long after a pong the next ping is due. The failure of a primary, or of a node of our
    /// own shard, is to be noticed soon after the timeout; with the original's half timeout it
    /// takes one and a half.
    fn ping_interval(&self, node: &Node) -> u64 {
        let near = node.is_voter() || node.shard == self.nodes.me().shard;
        let config = self.around.config();
        let share = if config.fast_failover && near { 4 } else { 2 };
        config.node_timeout / share
    }

    /// Pings a node that has not answered for a while, and judges its silence.
    fn watch(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get(id) else { return };
        if node.in_handshake() || node.address.ip.is_none() {
            return;
        }
        let now = self.around.now();
        let pong_age = node.pong_received.map_or(u64::MAX, |pong| now.since(pong));
        if node.ping_sent.is_none() && pong_age > self.ping_interval(node) {
            self.ping(id);
            return;
        }
        self.introduce_again(id);
        let Some(node) = self.nodes.get(id) else { return };
        let link = node.link.and_then(|link| self.links.get(link));
        let timeout = self.around.config().node_timeout;
        match silence_of(node, link, &self.attention, (now, timeout)) {
            Silence::No => {}
            Silence::Reconnect => {
                if let Some(link) = node.link {
                    self.close_link(link);
                    self.open_link(id);
                }
            }
            Silence::Suspect => self.suspect(id, false),
        }
    }

    /// A node that this one has met, but that has not opened a link in return, has had no place for
    /// one more guest: it gets another MEET.
    fn introduce_again(&mut self, id: NodeId) {
        let (now, longest) = (self.around.now(), handshake_timeout(self.around.config()));
        let Some(link) = self.link_to(id) else { return };
        let Some(node) = self.nodes.get_mut(id) else { return };
        if is_due_for_meet(node, now, longest) {
            node.met_at = Some(now);
            self.send_ping(link, PingKind::Meet);
        }
    }
}
