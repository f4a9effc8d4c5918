//! Packets out: the header that all of them carry, and whom they go to.

use super::Cluster;
use crate::LinkId;
use crate::attention::TICK;
use crate::bus::{self, Body, Header, MessageFlags, Packet, PingKind, Publish};
use crate::gossip;
use crate::node::Node;
use crate::surroundings::Step;
use std::sync::Arc;
use tessera_slot::NodeId;

impl Cluster {
    pub(super) fn send_ping(&mut self, link: LinkId, kind: PingKind) {
        let now = self.around.now();
        let node = self.links.node_of(link);
        let extensions = match node.and_then(|id| self.nodes.get(id)) {
            Some(node) if node.extensions => {
                gossip::extensions(self.nodes.me(), &self.forgotten, now)
            }
            _ => Vec::new(),
        };
        if kind == PingKind::Ping
            && let (LinkId::Outgoing(_), Some(node)) = (link, node)
            && let Some(node) = self.nodes.get_mut(node)
        {
            node.ping_sent.get_or_insert(now);
        }
        // A stranger has no use for it: it does not believe a node that it does not know.
        let is_stranger = node.and_then(|id| self.nodes.get(id)).is_none_or(Node::in_handshake);
        let gossip = match (is_stranger, link) {
            (true, LinkId::Accepted(_)) => Vec::new(),
            _ => gossip::section(&self.nodes, &mut self.around, node),
        };
        let packet = self.packet(Body::Ping { kind, gossip, extensions }, MessageFlags::default());
        if self.links.get(link).is_some_and(|known| known.up) {
            self.send_to_links(&[link], &packet);
        }
    }

    /// Pings a node, if its link is up.
    pub(super) fn ping(&mut self, id: NodeId) {
        if let Some(link) = self.link_to(id) {
            self.send_ping(link, PingKind::Ping);
        }
    }

    /// Pings the nodes of a kind.
    pub(super) fn ping_all(&mut self, wanted: impl Fn(&Node) -> bool) {
        for link in self.targets(wanted) {
            self.send_ping(link, PingKind::Ping);
        }
    }

    /// Announces this node's state to the nodes of a kind.
    pub(super) fn broadcast_pong(&mut self, wanted: impl Fn(&Node) -> bool) {
        for link in self.targets(wanted) {
            self.send_ping(link, PingKind::Pong);
        }
    }

    /// Tells all of what a command has changed: at once, but once in a tick at most, since an
    /// operator may give thousands of slots one by one.
    pub(super) fn announce_if_due(&mut self) {
        let now = self.around.now();
        let is_due = self.last_announcement.is_none_or(|at| now.since(at) >= TICK);
        if is_due && self.around.take_wanted(Step::Announce) {
            self.last_announcement = Some(now);
            self.broadcast_pong(|_| true);
        }
    }

    pub(super) fn send_to(&mut self, id: NodeId, body: Body) {
        if let Some(link) = self.link_to(id) {
            let packet = self.packet(body, MessageFlags::default());
            self.send_to_links(&[link], &packet);
        }
    }

    /// Sends to every node whose handshake is complete.
    pub(super) fn broadcast(&mut self, body: Body, flags: MessageFlags) {
        let packet = self.packet(body, flags);
        let targets = self.targets(|_| true);
        self.send_to_links(&targets, &packet);
    }

    /// Passes a client's message to the other nodes; with SPUBLISH to those of this shard.
    pub(super) fn publish(&mut self, channel: Vec<u8>, message: Vec<u8>, sharded: bool) {
        let shard = self.nodes.me().shard;
        let targets = self.targets(|node| !sharded || node.shard == shard);
        if targets.is_empty() {
            return;
        }
        let body = Body::Publish(Publish { sharded, channel, message });
        let packet = self.packet(body, MessageFlags::default());
        self.send_to_links(&targets, &packet);
    }

    fn send_to_links(&mut self, links: &[LinkId], packet: &Packet) {
        let bytes: Arc<[u8]> = bus::encode(packet).into();
        for link in links {
            self.links.send(&mut self.around, *link, packet.message_type(), Arc::clone(&bytes));
        }
    }

    /// A node's own link, if it is up.
    pub(super) fn link_to(&self, id: NodeId) -> Option<LinkId> {
        self.links.to(self.nodes.get(id)?)
    }

    /// The links, up, to known nodes of a kind.
    fn targets(&self, wanted: impl Fn(&Node) -> bool) -> Vec<LinkId> {
        self.nodes
            .others()
            .filter(|node| !node.in_handshake() && wanted(node))
            .filter_map(|node| self.links.to(node))
            .collect()
    }

    fn packet(&self, body: Body, flags: MessageFlags) -> Packet {
        let mut header = self.header();
        header.message_flags |= flags;
        Packet::Full(Box::new(header), body)
    }

    /// The header of every packet that this node sends now.
    fn header(&self) -> Header {
        let me = self.nodes.me();
        let config = self.around.config();
        let speaks_for = me.primary().and_then(|id| self.nodes.get(id)).unwrap_or(me);
        let (port, secondary_port) = me.address.wire_ports(config.base_port_is_tls());
        let mut message_flags = MessageFlags::EXT_DATA;
        if me.is_primary() && self.manual.has_paused_writes() {
            message_flags |= MessageFlags::PAUSED;
        }
        Header {
            sender: me.id,
            current_epoch: self.epochs.current(),
            config_epoch: speaks_for.config_epoch,
            offset: self.progress.offset(),
            slots: speaks_for.slots.set().clone(),
            primary: me.primary(),
            ip: config.announce_ip.parse().ok(),
            port,
            secondary_port,
            bus_port: me.address.bus_port,
            flags: me.flags(true),
            cluster_ok: self.state.is_ok(),
            message_flags,
        }
    }
}
