//! The timers: connections, pings, suspicion, ends of waiting.

use crate::bus::PingKind;
use crate::core::Cluster;
use crate::failure::Silence;
use crate::node::Node;
use tessera_slot::{Millis, NodeId};

/// A gap between two ticks from which on this process is taken to have been stopped, in ms.
const SLEPT: u64 = 1000;
/// How long no node is suspected after that, in ms: bytes that have piled up are read first.
const AFTER_SLEEP: u64 = 500;
/// One random node is pinged this often, in ms...
const RANDOM_PING_EVERY: u64 = 1000;
/// ...the one heard from longest ago among so many.
const RANDOM_PING_CHOICE: usize = 5;
/// A handshake is given up after the node timeout, but not before this, in ms.
const MIN_HANDSHAKE: u64 = 1000;

impl Cluster {
    pub(crate) fn tick(&mut self) {
        self.notice_sleep();
        let now = self.now.mono;
        self.banned.retain(|_, until| *until > now);
        for id in self.nodes.other_ids() {
            self.keep_connected(id);
        }
        if now.since(self.rhythm.last_random_ping) >= RANDOM_PING_EVERY {
            self.rhythm.last_random_ping = now;
            self.ping_someone();
        }
        for id in self.nodes.other_ids() {
            self.watch(id);
        }
        self.tick_manual_failover();
        self.tick_lost_data();
        self.retry_deferred_votes();
        self.migrate_to_orphan();
        self.todo.election = true;
        self.todo.write = true;
        // Silence is no event, and a node that hears no other must not serve.
        self.todo.state = true;
    }

    /// A process that was stopped must not blame others for its own silence, and a primary that was
    /// stopped for long may have been replaced: it asks around before it serves.
    fn notice_sleep(&mut self) {
        let now = self.now.mono;
        let slept = now.since(self.rhythm.last_tick);
        self.rhythm.last_tick = now;
        if slept < SLEPT {
            return;
        }
        self.rhythm.no_suspicion_before = now.plus(AFTER_SLEEP);
        self.rhythm.slept_since = Millis(now.0.saturating_sub(slept));
        if slept > self.config.node_timeout && self.nodes.len() > 1 {
            self.distrust_own_state();
        }
    }

    /// How long an acquaintance may take.
    pub(crate) fn handshake_timeout(&self) -> u64 {
        self.config.node_timeout.max(MIN_HANDSHAKE)
    }

    /// The time at which the bytes that are read now arrived at the latest. Bytes that have piled
    /// up while this process was stopped may be as old as that, and must not pass for a sign of
    /// life.
    pub(crate) fn hearing_time(&self) -> Millis {
        let now = self.now.mono;
        if now.since(self.rhythm.last_tick) >= SLEPT {
            self.rhythm.last_tick
        } else if now < self.rhythm.no_suspicion_before {
            self.rhythm.slept_since
        } else {
            now
        }
    }

    fn keep_connected(&mut self, id: NodeId) {
        let now = self.now.mono;
        let Some(node) = self.nodes.get(id) else { return };
        if node.in_handshake() && now.since(node.created) > self.handshake_timeout() {
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
            let id = ids[self.rng.below(ids.len() as u64) as usize];
            let Some(node) = self.nodes.get(id) else { continue };
            if node.in_handshake() || node.ping_sent.is_some() || self.link_to(id).is_none() {
                continue;
            }
            if oldest.is_none_or(|(pong, _)| node.pong_received < pong) {
                oldest = Some((node.pong_received, id));
            }
        }
        if let Some(link) = oldest.and_then(|(_, id)| self.link_to(id)) {
            self.send_ping(link, PingKind::Ping);
        }
    }

    /// How long after a pong the next ping is due. The failure of a primary, or of a node of our
    /// own shard, is to be noticed soon after the timeout; with the original's half timeout it
    /// takes one and a half.
    fn ping_interval(&self, node: &Node) -> u64 {
        let near = node.is_voter() || node.shard == self.nodes.me().shard;
        let share = if self.config.fast_failover && near { 4 } else { 2 };
        self.config.node_timeout / share
    }

    /// Pings a node that has not answered for a while, and judges its silence.
    fn watch(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get(id) else { return };
        if node.in_handshake() || node.address.ip.is_none() {
            return;
        }
        let now = self.now.mono;
        let pong_age = node.pong_received.map_or(u64::MAX, |pong| now.since(pong));
        if node.ping_sent.is_none() && pong_age > self.ping_interval(node) {
            if let Some(link) = self.link_to(id) {
                self.send_ping(link, PingKind::Ping);
            }
            return;
        }
        self.introduce_again(id);
        let Some(node) = self.nodes.get(id) else { return };
        match self.silence_of(node) {
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
}
