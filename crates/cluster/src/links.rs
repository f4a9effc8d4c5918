//! Connections of the bus: which node each leads to, when it is opened again, what its end says.

use crate::bus::MessageType;
use crate::guests::pause_before_retry;
use crate::node::{Address, Node, Refusals};
use crate::nodes::Nodes;
use crate::surroundings::Surroundings;
use crate::{Effect, LinkDownReason, LinkId, LogLevel, LogTopic};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tessera_slot::{Millis, NodeId};

/// The pause between two attempts to connect, in milliseconds.
const RETRY: u64 = 100;
/// A link in the other direction is tried at every so many refusals.
const PROBE_EVERY: u32 = 10;

/// One connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) node: Option<NodeId>,
    /// The name by which its other end has spoken.
    speaker: Option<NodeId>,
    pub(crate) created: Millis,
    pub(crate) up: bool,
    /// The driver knows that the node is known.
    trusted: bool,
    pub(crate) peer: Option<IpAddr>,
    pub(crate) local: Option<IpAddr>,
}

/// Packets by type, for CLUSTER INFO.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) sent: [u64; MessageType::ALL.len()],
    pub(crate) received: [u64; MessageType::ALL.len()],
}

/// What the end of a link says about the node that it led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// Nothing that is not noted already.
    Plain,
    /// The node's process is gone.
    Gone(NodeId),
    /// Our connection is refused, but the node's own link to us stands. If its other end is gone,
    /// sending shows it.
    Probe(LinkId),
}

/// All connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links {
    table: BTreeMap<LinkId, Link>,
    next: u64,
    stats: Stats,
}

impl Links {
    pub(crate) fn get(&self, link: LinkId) -> Option<&Link> {
        self.table.get(&link)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        self.table.iter().map(|(id, link)| (*id, link))
    }

    /// The node that a link leads to.
    pub(crate) fn node_of(&self, link: LinkId) -> Option<NodeId> {
        self.get(link)?.node
    }

    /// A node's own link, if it is up.
    pub(crate) fn to(&self, node: &Node) -> Option<LinkId> {
        node.link.filter(|link| self.get(*link).is_some_and(|known| known.up))
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.stats
    }

    pub(crate) fn count_received(&mut self, kind: MessageType) {
        self.stats.received[kind as usize] += 1;
    }

    pub(crate) fn open(&mut self, nodes: &mut Nodes, around: &mut Surroundings, id: NodeId) {
        let now = around.now();
        let Some(node) = nodes.get_mut(id) else { return };
        let Some(addr) = node.address.bus() else { return };
        let link = LinkId::Outgoing(self.next);
        self.next += 1;
        node.link = Some(link);
        node.retry_at = now.plus(pause_before_retry(node, now, RETRY));
        if !node.in_handshake() {
            // A node that never answers its connect must time out like one that never answers.
            node.ping_sent.get_or_insert(now);
        }
        let state = Link {
            node: Some(id),
            speaker: None,
            created: now,
            up: false,
            trusted: false,
            peer: Some(addr.ip()),
            local: None,
        };
        self.table.insert(link, state);
        around.push(Effect::OpenLink { link, addr });
    }

    pub(crate) fn close(&mut self, nodes: &mut Nodes, around: &mut Surroundings, link: LinkId) {
        if self.detach(nodes, link).is_some() {
            around.push(Effect::CloseLink { link });
        }
    }

    /// Closes both links of a node.
    pub(crate) fn close_of(&mut self, nodes: &mut Nodes, around: &mut Surroundings, id: NodeId) {
        let Some(node) = nodes.get(id) else { return };
        for link in [node.link, node.inbound].into_iter().flatten() {
            self.close(nodes, around, link);
        }
    }

    /// Forgets a link; gives what was known of it.
    fn detach(&mut self, nodes: &mut Nodes, link: LinkId) -> Option<Link> {
        let known = self.table.remove(&link)?;
        if let Some(node) = known.node.and_then(|id| nodes.get_mut(id)) {
            if node.link == Some(link) {
                node.link = None;
            }
            if node.inbound == Some(link) {
                node.inbound = None;
            }
        }
        Some(known)
    }

    /// Binds an accepted link to the node that speaks over it; an older one of that node is closed.
    pub(crate) fn bind(
        &mut self,
        nodes: &mut Nodes,
        around: &mut Surroundings,
        id: NodeId,
        link: LinkId,
    ) {
        let before = self.node_of(link);
        if let Some(node) = before.and_then(|before| nodes.get_mut(before))
            && node.inbound == Some(link)
        {
            node.inbound = None;
        }
        let Some(node) = nodes.get_mut(id) else { return };
        let older = node.inbound.replace(link);
        node.met_at = None;
        node.hung_up = false;
        if let Some(known) = self.table.get_mut(&link) {
            known.node = Some(id);
        }
        if let Some(older) = older.filter(|older| *older != link) {
            self.table.remove(&older);
            around.push(Effect::CloseLink { link: older });
        }
    }

    /// Whether a link's other end speaks by the name that it had at first, which it has from now
    /// on if it has not spoken before.
    pub(crate) fn is_same_speaker(&mut self, link: LinkId, name: NodeId) -> bool {
        let known = self.table.get_mut(&link);
        known.is_some_and(|known| *known.speaker.get_or_insert(name) == name)
    }

    /// Tells the driver once when the node at the other end of a link is known.
    pub(crate) fn trust_if_known(
        &mut self,
        nodes: &Nodes,
        around: &mut Surroundings,
        link: LinkId,
    ) {
        let Some(known) = self.table.get_mut(&link).filter(|known| !known.trusted) else { return };
        let node = known.node.and_then(|id| nodes.get(id));
        if node.is_some_and(|node| !node.in_handshake()) {
            known.trusted = true;
            around.push(Effect::LinkKnown { link });
        }
    }

    /// A node has told its name.
    pub(crate) fn rename(&mut self, old: NodeId, new: NodeId) {
        for link in self.table.values_mut().filter(|link| link.node == Some(old)) {
            link.node = Some(new);
        }
    }

    /// A link that this node has opened is up. Gives the node that it leads to.
    pub(crate) fn connected(&mut self, link: LinkId, local: SocketAddr) -> Option<NodeId> {
        let known = self.table.get_mut(&link)?;
        known.up = true;
        known.local = Some(local.ip());
        known.node
    }

    pub(crate) fn accepted(
        &mut self,
        link: LinkId,
        peer: SocketAddr,
        local: SocketAddr,
        now: Millis,
    ) {
        let state = Link {
            node: None,
            speaker: None,
            created: now,
            up: true,
            trusted: false,
            peer: Some(peer.ip()),
            local: Some(local.ip()),
        };
        self.table.insert(link, state);
    }

    /// A link is gone.
    pub(crate) fn down(
        &mut self,
        nodes: &mut Nodes,
        around: &mut Surroundings,
        link: LinkId,
        reason: LinkDownReason,
    ) -> End {
        let Some(known) = self.detach(nodes, link) else { return End::Plain };
        let Some(id) = known.node else { return End::Plain };
        let now = around.now();
        let fast = around.config().fast_failover;
        let Some(node) = nodes.get_mut(id) else { return End::Plain };
        node.hung_up |= known.up && reason == LinkDownReason::Eof;
        let LinkId::Outgoing(_) = link else { return End::Plain };
        let was_up_for = if known.up { now.since(known.created) } else { 0 };
        match reason {
            LinkDownReason::Eof | LinkDownReason::Reset if fast && was_up_for >= RETRY => {
                // The process may be gone: its host knows, so ask it at once.
                node.retry_at = now;
                self.open(nodes, around, id);
                End::Plain
            }
            LinkDownReason::Refused if fast && !known.up && node.reached => {
                let refusals = node.refusals.get_or_insert(Refusals { since: now, count: 0 });
                refusals.count = refusals.count.saturating_add(1);
                let is_probed = refusals.count % PROBE_EVERY == 1;
                node.retry_at = now.plus(RETRY);
                if node.is_gone(now) {
                    return End::Gone(id);
                }
                node.inbound.filter(|_| is_probed).map_or(End::Plain, End::Probe)
            }
            _ => {
                node.refusals = None;
                node.retry_at = node.retry_at.max(now.plus(RETRY));
                End::Plain
            }
        }
    }

    /// Takes a node's new address. True if it is another than before.
    pub(crate) fn set_address(
        &mut self,
        nodes: &mut Nodes,
        around: &mut Surroundings,
        id: NodeId,
        address: Address,
    ) -> bool {
        let Some(node) = nodes.get_mut(id) else { return false };
        if node.address == address {
            return false;
        }
        let old_link = node.link;
        node.address = address;
        node.retry_at = Millis(0);
        let port = address.client_port(around.config().base_port_is_tls());
        let place = format!("now {}:{port}", node.ip_text());
        if let Some(link) = old_link {
            self.close(nodes, around, link);
        }
        let name = nodes.name_of(id);
        let text = format!("Address updated for node {name}, {place}");
        around.log_limited(LogTopic::Address, LogLevel::Notice, text);
        around.changed();
        true
    }

    /// Sends an encoded packet over a link.
    pub(crate) fn send(
        &mut self,
        around: &mut Surroundings,
        link: LinkId,
        kind: Option<MessageType>,
        bytes: Arc<[u8]>,
    ) {
        if let Some(kind) = kind {
            self.stats.sent[kind as usize] += 1;
        }
        around.push(Effect::Send { link, bytes });
    }
}
