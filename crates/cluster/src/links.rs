//! Connections: which node they lead to, when they are opened again, what goes over them.

use crate::bus::{self, Body, Header, MessageFlags, Packet, Publish};
use crate::core::{Cluster, Link};
use crate::node::{Health, Refusals, Role};
use crate::{Effect, LinkDownReason, LinkId, LogLevel, LogTopic};
use std::net::SocketAddr;
use std::sync::Arc;
use tessera_slot::{Millis, NodeId};

/// The pause between two attempts to connect, in milliseconds.
const RETRY: u64 = 100;
/// A process counts as gone when connections were refused for this long, in milliseconds...
const GONE_AFTER: u64 = 300;
/// ...and at least this often: one that is restarted at once is not failed over.
const GONE_REFUSALS: u32 = 3;
/// A link in the other direction is tried at every so many refusals.
const PROBE_EVERY: u32 = 10;

impl Cluster {
    pub(crate) fn open_link(&mut self, id: NodeId) {
        let now = self.now.mono;
        let Some(node) = self.nodes.get(id) else { return };
        let pause = self.pause_before_retry(node, RETRY);
        let Some(node) = self.nodes.get_mut(id) else { return };
        let Some(addr) = node.address.bus() else { return };
        let link = LinkId::Outgoing(self.next_link);
        self.next_link += 1;
        node.link = Some(link);
        node.retry_at = now.plus(pause);
        if !node.in_handshake() {
            // A node that never answers its connect must time out like one that never answers.
            node.ping_sent.get_or_insert(now);
        }
        let peer = Some(addr.ip());
        let state = Link {
            node: Some(id),
            speaker: None,
            created: now,
            up: false,
            trusted: false,
            peer,
            local: None,
        };
        self.links.insert(link, state);
        self.out.push(Effect::OpenLink { link, addr });
    }

    pub(crate) fn close_link(&mut self, link: LinkId) {
        if self.detach_link(link).is_some() {
            self.out.push(Effect::CloseLink { link });
        }
    }

    /// Forgets a link; gives what was known of it.
    fn detach_link(&mut self, link: LinkId) -> Option<Link> {
        let known = self.links.remove(&link)?;
        if let Some(node) = known.node.and_then(|id| self.nodes.get_mut(id)) {
            if node.link == Some(link) {
                node.link = None;
            }
            if node.inbound == Some(link) {
                node.inbound = None;
            }
        }
        Some(known)
    }

    pub(crate) fn close_links_of(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get(id) else { return };
        for link in [node.link, node.inbound].into_iter().flatten() {
            self.close_link(link);
        }
    }

    /// Binds an accepted link to the node that speaks over it; an older one of that node is closed.
    pub(crate) fn bind_inbound(&mut self, id: NodeId, link: LinkId) {
        let before = self.links.get(&link).and_then(|known| known.node);
        if let Some(node) = before.and_then(|before| self.nodes.get_mut(before))
            && node.inbound == Some(link)
        {
            node.inbound = None;
        }
        let Some(node) = self.nodes.get_mut(id) else { return };
        let older = node.inbound.replace(link);
        node.met_at = None;
        node.hung_up = false;
        if let Some(known) = self.links.get_mut(&link) {
            known.node = Some(id);
        }
        if let Some(older) = older.filter(|older| *older != link) {
            self.links.remove(&older);
            self.out.push(Effect::CloseLink { link: older });
        }
    }

    /// Tells the driver once when the node at the other end of a link is known.
    pub(crate) fn trust_if_known(&mut self, link: LinkId) {
        let Some(known) = self.links.get_mut(&link).filter(|known| !known.trusted) else { return };
        let node = known.node.and_then(|id| self.nodes.get(id));
        if node.is_some_and(|node| !node.in_handshake()) {
            known.trusted = true;
            self.out.push(Effect::LinkKnown { link });
        }
    }

    /// A node has told its name: its record and its links get it.
    pub(crate) fn rename_node(&mut self, old: NodeId, new: NodeId) {
        self.nodes.rename(old, new);
        for link in self.links.values_mut().filter(|link| link.node == Some(old)) {
            link.node = Some(new);
        }
    }

    /// Takes a node out of the table, with its links and every reference to it.
    pub(crate) fn remove_node(&mut self, id: NodeId) {
        self.close_links_of(id);
        if self.nodes.remove(id).is_some_and(|node| node.in_handshake()) {
            return;
        }
        self.open.migrating.retain(|_, to| *to != id);
        self.open.importing.retain(|_, from| *from != id);
        if self.manual.replica() == Some(id) {
            self.reset_manual_failover();
        }
        self.changed();
    }

    pub(crate) fn link_connected(&mut self, link: LinkId, local: SocketAddr) {
        let Some(known) = self.links.get_mut(&link) else { return };
        known.up = true;
        known.local = Some(local.ip());
        let Some(id) = known.node else { return };
        let Some(node) = self.nodes.get_mut(id) else { return };
        node.refusals = None;
        let kind = match node.send_meet {
            true => bus::PingKind::Meet,
            false => bus::PingKind::Ping,
        };
        if node.send_meet {
            node.met_at = Some(self.now.mono);
        }
        self.send_ping(link, kind);
    }

    pub(crate) fn link_accepted(&mut self, link: LinkId, peer: SocketAddr, local: SocketAddr) {
        let link_state = Link {
            node: None,
            speaker: None,
            created: self.now.mono,
            up: true,
            trusted: false,
            peer: Some(peer.ip()),
            local: Some(local.ip()),
        };
        self.links.insert(link, link_state);
    }

    pub(crate) fn link_down(&mut self, link: LinkId, reason: LinkDownReason) {
        let Some(known) = self.detach_link(link) else { return };
        let Some(id) = known.node else { return };
        let now = self.now.mono;
        let fast = self.config.fast_failover;
        let Some(node) = self.nodes.get_mut(id) else { return };
        node.hung_up |= known.up && reason == LinkDownReason::Eof;
        let LinkId::Outgoing(_) = link else { return };
        let was_up_for = if known.up { now.since(known.created) } else { 0 };
        match reason {
            LinkDownReason::Eof | LinkDownReason::Reset if fast && was_up_for >= RETRY => {
                // The process may be gone: its host knows, so ask it at once.
                node.retry_at = now;
                self.open_link(id);
            }
            LinkDownReason::Refused if fast && !known.up && node.reached => {
                let refusals = node.refusals.get_or_insert(Refusals { since: now, count: 0 });
                refusals.count = refusals.count.saturating_add(1);
                let count = refusals.count;
                node.retry_at = now.plus(RETRY);
                if self.is_gone(id) {
                    self.suspect(id, true);
                } else if count % PROBE_EVERY == 1 {
                    self.probe_inbound(id);
                }
            }
            _ => {
                node.refusals = None;
                node.retry_at = node.retry_at.max(now.plus(RETRY));
            }
        }
    }

    /// Whether a node's host says that its process is not there: a link has ended by end-of-file,
    /// connections have been refused since, for long enough, and the node has no link to this one
    /// either.
    ///
    /// A reset or a refusal alone may come from a firewall, and then the process is alive, serves
    /// its own side's clients and may see nothing but silence. It is judged by the timeout, by
    /// which it judges itself too.
    pub(crate) fn is_gone(&self, id: NodeId) -> bool {
        let Some(node) = self.nodes.get(id) else { return false };
        let refused = node.refusals.is_some_and(|refusals| {
            let long_enough = self.now.mono.since(refusals.since) >= GONE_AFTER;
            refusals.count >= GONE_REFUSALS && long_enough
        });
        refused && node.hung_up && node.inbound.is_none()
    }

    /// Our connection is refused, but the node's own link to us stands. If its other end is gone,
    /// sending shows it.
    fn probe_inbound(&mut self, id: NodeId) {
        if let Some(link) = self.nodes.get(id).and_then(|node| node.inbound) {
            self.send_ping(link, bus::PingKind::Ping);
        }
    }

    /// Sends a packet over a link that is up; drops it if the link is not.
    pub(crate) fn send(&mut self, link: LinkId, packet: &Packet) {
        if self.links.get(&link).is_some_and(|known| known.up) {
            self.send_encoded(link, packet.message_type(), bus::encode(packet).into());
        }
    }

    fn send_encoded(&mut self, link: LinkId, kind: Option<bus::MessageType>, bytes: Arc<[u8]>) {
        if let Some(kind) = kind {
            self.stats.sent[kind as usize] += 1;
        }
        self.out.push(Effect::Send { link, bytes });
    }

    /// The node's own link, if it is up.
    pub(crate) fn link_to(&self, id: NodeId) -> Option<LinkId> {
        let link = self.nodes.get(id)?.link?;
        self.links.get(&link).filter(|known| known.up).map(|_| link)
    }

    pub(crate) fn send_to(&mut self, id: NodeId, body: Body) {
        if let Some(link) = self.link_to(id) {
            let packet = Packet::Full(Box::new(self.header()), body);
            self.send(link, &packet);
        }
    }

    /// Sends to every node whose handshake is complete.
    pub(crate) fn broadcast(&mut self, body: Body, flags: MessageFlags) {
        let mut header = self.header();
        header.message_flags |= flags;
        let packet = Packet::Full(Box::new(header), body);
        let targets = self.targets(|_| true);
        self.send_to_links(&targets, &packet);
    }

    fn send_to_links(&mut self, links: &[LinkId], packet: &Packet) {
        let bytes: Arc<[u8]> = bus::encode(packet).into();
        for link in links {
            self.send_encoded(*link, packet.message_type(), Arc::clone(&bytes));
        }
    }

    /// The links, up, to known nodes of a kind.
    pub(crate) fn targets(&self, wanted: impl Fn(&crate::node::Node) -> bool) -> Vec<LinkId> {
        self.nodes
            .others()
            .filter(|node| !node.in_handshake() && wanted(node))
            .filter_map(|node| self.link_to(node.id))
            .collect()
    }

    /// Passes a client's message to the other nodes; with SPUBLISH to those of this shard.
    pub(crate) fn publish(&mut self, channel: Vec<u8>, message: Vec<u8>, sharded: bool) {
        let shard = self.nodes.me().shard;
        let targets = self.targets(|node| !sharded || node.shard == shard);
        if targets.is_empty() {
            return;
        }
        let body = Body::Publish(Publish { sharded, channel, message });
        let packet = Packet::Full(Box::new(self.header()), body);
        self.send_to_links(&targets, &packet);
    }

    /// The header of every packet that this node sends now.
    pub(crate) fn header(&self) -> Header {
        let me = self.nodes.me();
        let speaks_for = me.primary().and_then(|id| self.nodes.get(id)).unwrap_or(me);
        let (port, secondary_port) = me.address.wire_ports(self.config.base_port_is_tls());
        let mut message_flags = MessageFlags::EXT_DATA;
        if me.is_primary() && self.manual.has_paused_writes() {
            message_flags |= MessageFlags::PAUSED;
        }
        Header {
            sender: me.id,
            current_epoch: self.epochs.current,
            config_epoch: speaks_for.config_epoch,
            offset: self.offset,
            slots: speaks_for.slots.set().clone(),
            primary: me.primary(),
            ip: self.config.announce_ip.parse().ok(),
            port,
            secondary_port,
            bus_port: me.address.bus_port,
            flags: me.flags(true),
            cluster_ok: self.state.is_ok(),
            message_flags,
        }
    }

    /// Takes a node's new address. True if it is another than before.
    pub(crate) fn set_address(&mut self, id: NodeId, address: crate::node::Address) -> bool {
        let Some(node) = self.nodes.get_mut(id) else { return false };
        if node.address == address {
            return false;
        }
        let old_link = node.link;
        node.address = address;
        node.retry_at = Millis(0);
        let port = address.client_port(self.config.base_port_is_tls());
        let text = format!("now {}:{port}", node.ip_text());
        if let Some(link) = old_link {
            self.close_link(link);
        }
        let name = self.name_of(id);
        let text = format!("Address updated for node {name}, {text}");
        self.log_limited(LogTopic::Address, LogLevel::Notice, text);
        self.changed();
        true
    }

    /// A peer spoke over its own link: it is there.
    pub(crate) fn clear_suspicion(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        match node.health {
            Health::Ok => {}
            Health::Suspected { .. } => {
                node.health = Health::Ok;
                self.changed();
            }
            Health::Failed { since, .. } => self.clear_failure_if_due(id, since),
        }
    }

    pub(crate) fn set_primary_role(&mut self, id: NodeId) {
        let former = match self.nodes.get_mut(id) {
            Some(node) if !node.is_primary() => {
                let former = node.primary();
                node.role = Role::Primary;
                former
            }
            _ => return,
        };
        if let Some(node) = self.nodes.get_mut(id) {
            node.had_replicas |= former.is_some();
        }
        self.changed();
    }
}
