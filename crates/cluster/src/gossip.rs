//! Pings and pongs out, gossip and extensions in.

use crate::bus::{Body, Extension, Gossip, NodeFlags, Packet, PingKind};
use crate::core::{Cluster, TICK};
use crate::node::{Address, Health, Node, Role, ShardId, Source};
use crate::{LinkId, LogLevel, LogTopic};
use tessera_slot::{Millis, NodeId};

/// The fewest random entries in a gossip section, where there are that many nodes.
const MIN_GOSSIP: usize = 3;
/// The share of the nodes that a gossip section carries: a tenth, so that within two node timeouts,
/// in which at least eight packets pass between any two nodes, a report reaches the majority.
const GOSSIP_SHARE: usize = 10;

impl Cluster {
    pub(crate) fn send_ping(&mut self, link: LinkId, kind: PingKind) {
        let node = self.links.get(&link).and_then(|known| known.node);
        let extensions = match node.and_then(|id| self.nodes.get(id)) {
            Some(node) if node.extensions => self.extensions(),
            _ => Vec::new(),
        };
        if kind == PingKind::Ping
            && let (LinkId::Outgoing(_), Some(node)) = (link, node)
            && let Some(node) = self.nodes.get_mut(node)
        {
            node.ping_sent.get_or_insert(self.now.mono);
        }
        // A stranger has no use for it: it does not believe a node that it does not know.
        let is_stranger = node.and_then(|id| self.nodes.get(id)).is_none_or(Node::in_handshake);
        let gossip = match (is_stranger, link) {
            (true, LinkId::Accepted(_)) => Vec::new(),
            _ => self.gossip_for(node),
        };
        let body = Body::Ping { kind, gossip, extensions };
        let packet = Packet::Full(Box::new(self.header()), body);
        self.send(link, &packet);
    }

    /// Announces this node's state to all, or to the other replicas of its shard.
    pub(crate) fn broadcast_pong(&mut self, wanted: impl Fn(&Node) -> bool) {
        for link in self.targets(wanted) {
            self.send_ping(link, PingKind::Pong);
        }
    }

    /// Tells all of what a command has changed: at once, but once in a tick at most, since an
    /// operator may give thousands of slots one by one.
    pub(crate) fn announce_if_due(&mut self) {
        let now = self.now.mono;
        let last = self.rhythm.last_announcement;
        if self.todo.announce && last.is_none_or(|at| now.since(at) >= TICK) {
            self.todo.announce = false;
            self.rhythm.last_announcement = Some(now);
            self.broadcast_pong(|_| true);
        }
    }

    fn extensions(&self) -> Vec<Extension> {
        let me = self.nodes.me();
        let mut extensions = Vec::new();
        if !me.hostname.is_empty() {
            extensions.push(Extension::Hostname(me.hostname.clone()));
        }
        if !me.human_name.is_empty() {
            extensions.push(Extension::HumanNodename(me.human_name.clone()));
        }
        for (node, until) in &self.banned {
            let ttl = until.since(self.now.mono) / 1000;
            if ttl > 0 {
                extensions.push(Extension::ForgottenNode { node: *node, ttl });
            }
        }
        extensions.push(Extension::ShardId(me.shard.0));
        extensions
    }

    /// A random choice of nodes, and every suspected one: those must become known fast.
    fn gossip_for(&mut self, receiver: Option<NodeId>) -> Vec<Gossip> {
        let worth_telling = |node: &&Node| {
            !node.is_unproven()
                && node.address.ip.is_some()
                && !node.is_suspected()
                && (node.link.is_some() || !node.slots.is_empty())
                && Some(node.id) != receiver
        };
        let mut candidates: Vec<NodeId> =
            self.nodes.others().filter(worth_telling).map(|node| node.id).collect();
        let wanted = (self.nodes.len() / GOSSIP_SHARE).max(MIN_GOSSIP).min(candidates.len());
        for chosen in 0..wanted {
            let left = (candidates.len() - chosen) as u64;
            let other = chosen + self.rng.below(left) as usize;
            candidates.swap(chosen, other);
        }
        candidates.truncate(wanted);
        let suspected =
            |node: &&Node| node.is_suspected() && !node.is_unproven() && node.address.ip.is_some();
        candidates.extend(self.nodes.others().filter(suspected).map(|node| node.id));
        candidates.into_iter().filter_map(|id| self.nodes.get(id)).map(|n| self.entry(n)).collect()
    }

    fn entry(&self, node: &Node) -> Gossip {
        let seconds = |moment: Option<Millis>| {
            moment.map_or(0, |at| u32::try_from(self.unix_of(at).0 / 1000).unwrap_or(u32::MAX))
        };
        let (port, secondary_port) = node.address.wire_ports(self.config.base_port_is_tls());
        Gossip {
            node: node.id,
            ping_sent: seconds(node.ping_sent),
            pong_received: seconds(node.pong_received),
            ip: node.address.ip,
            port,
            bus_port: node.address.bus_port,
            flags: node.flags(false),
            secondary_port,
        }
    }

    /// A moment of the monotonic clock as wall-clock time, to be shown.
    pub(crate) fn unix_of(&self, moment: Millis) -> Millis {
        Millis(self.now.unix.0.saturating_sub(self.now.mono.since(moment)))
    }

    /// Takes the gossip section of a known node.
    pub(crate) fn take_gossip(&mut self, sender: NodeId, section: &[Gossip]) {
        let sender_votes = self.nodes.get(sender).is_some_and(Node::is_voter);
        for entry in section {
            if entry.node == self.id() || entry.flags.has(NodeFlags::HANDSHAKE) {
                continue;
            }
            if self.nodes.get(entry.node).is_none() {
                self.add_gossiped(sender, entry);
                continue;
            }
            if sender_votes {
                self.take_report(sender, entry);
            }
            self.take_gossiped_address(entry);
        }
    }

    fn take_report(&mut self, sender: NodeId, entry: &Gossip) {
        let now = self.now.mono;
        let Some(node) = self.nodes.get_mut(entry.node) else { return };
        if entry.flags.has(NodeFlags::PFAIL | NodeFlags::FAIL) {
            let is_new = node.reports.insert(sender, now).is_none();
            if is_new {
                let (from, about) = (self.name_of(sender), self.name_of(entry.node));
                let text = format!("Node {from} reported node {about} as not reachable.");
                self.log_limited(LogTopic::Report, LogLevel::Notice, text);
            }
            self.fail_if_agreed(entry.node);
        } else if node.reports.remove(&sender).is_some() {
            let (from, about) = (self.name_of(sender), self.name_of(entry.node));
            let text = format!("Node {from} reported node {about} is back online.");
            self.log_limited(LogTopic::Report, LogLevel::Notice, text);
        }
    }

    /// A node that we cannot reach may have moved: others who reach it say where it is.
    fn take_gossiped_address(&mut self, entry: &Gossip) {
        let Some(node) = self.nodes.get(entry.node) else { return };
        let reachable_to_sender = !entry.flags.has(NodeFlags::PFAIL | NodeFlags::FAIL);
        let address = self.gossiped_address(entry);
        let lost = !node.is_healthy() || node.address.ip.is_none();
        if lost && reachable_to_sender && address.ip.is_some() {
            self.set_address(entry.node, address);
        }
    }

    fn gossiped_address(&self, entry: &Gossip) -> Address {
        let ports = (entry.port, entry.secondary_port);
        Address::from_wire(entry.ip, ports, entry.bus_port, self.config.base_port_is_tls())
    }

    /// A node that we have not heard of. The sender is one of us, so it is too: but until it has
    /// answered it is hearsay.
    fn add_gossiped(&mut self, sender: NodeId, entry: &Gossip) {
        let banned = self.banned.get(&entry.node).is_some_and(|until| *until > self.now.mono);
        let source = Source::Gossip(sender);
        if entry.ip.is_none()
            || entry.flags.has(NodeFlags::NOADDR)
            || banned
            || !self.has_place(source)
        {
            return;
        }
        let shard = ShardId(self.rng.node_id());
        let mut node = Node::new(entry.node, shard, self.now.mono);
        node.source = Some(source);
        node.address = self.gossiped_address(entry);
        if entry.flags.has(NodeFlags::PRIMARY) {
            node.role = Role::Primary;
        } else if entry.flags.has(NodeFlags::REPLICA) {
            node.role = Role::Replica { of: None };
        }
        if entry.flags.has(NodeFlags::FAIL) {
            node.health = Health::Failed { since: self.now.mono, gone: false };
        }
        self.nodes.insert(node);
        self.changed();
    }

    /// Takes the extensions of a known node's ping.
    pub(crate) fn take_extensions(&mut self, sender: NodeId, extensions: Vec<Extension>) {
        let told = !extensions.is_empty();
        let (mut hostname, mut human_name, mut shard) = (String::new(), String::new(), None);
        for extension in extensions {
            match extension {
                Extension::Hostname(text) => hostname = text,
                Extension::HumanNodename(text) => human_name = text,
                Extension::ShardId(id) => shard = Some(ShardId(id)),
                Extension::ForgottenNode { node, ttl } => self.forget_on_request(node, ttl),
                Extension::Other(_) => {}
            }
        }
        let Some(node) = self.nodes.get_mut(sender) else { return };
        if told && (node.hostname != hostname || node.human_name != human_name) {
            node.hostname = hostname;
            node.human_name = human_name;
            self.changed();
        }
        // A node that does not speak of shards is in its primary's.
        let of_primary = self.nodes.get(sender).and_then(Node::primary);
        let inherited = of_primary.and_then(|id| self.nodes.get(id)).map(|primary| primary.shard);
        if let Some(shard) = shard.or(inherited)
            && self.nodes.set_shard(sender, shard)
        {
            self.changed();
        }
    }

    fn forget_on_request(&mut self, id: NodeId, ttl_seconds: u64) {
        let mine = self.nodes.me().is_replica_of(id);
        if id == self.id() || mine || self.nodes.get(id).is_none() {
            return;
        }
        let until = self.now.mono.plus(ttl_seconds.saturating_mul(1000));
        self.banned.insert(id, until);
        self.remove_node(id);
    }
}
