//! The routing of commands: an immutable snapshot that the I/O threads read without the core.

use std::net::IpAddr;
use tessera_slot::{NodeId, SLOT_COUNT, Slot, SlotRange};

/// Whether the cluster, as this node sees it, serves commands (`cluster_state`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClusterState {
    /// `ok`.
    Ok,
    /// `fail`, and why.
    Fail(FailReason),
}

/// Why the cluster state is `fail`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailReason {
    /// The node has just started, or has just rejoined the majority, and waits for news.
    Settling,
    /// A slot has no owner or a failed one, under `cluster-require-full-coverage`.
    Coverage,
    /// Fewer than a majority of the primaries are reachable.
    Minority,
}

/// A node's role, as far as clients care.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ViewRole {
    /// A primary.
    Primary,
    /// A replica, of this node where it is known.
    Replica(Option<NodeId>),
}

/// A node as clients are told of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeView {
    /// Its name.
    pub id: NodeId,
    /// Its address; `None` if this node does not know (its own before the first MEET).
    pub ip: Option<IpAddr>,
    /// Its plain TCP port; 0 if it has none.
    pub port: u16,
    /// Its TLS port; 0 if it has none.
    pub tls_port: u16,
    /// Its announced hostname, empty if none.
    pub hostname: String,
    /// The host in redirections, before the port, by `cluster-preferred-endpoint-type`.
    pub endpoint: String,
    /// Its role.
    pub role: ViewRole,
    /// Whether a majority says that it has failed.
    pub failed: bool,
}

impl NodeView {
    /// The port for a client that is itself connected over TLS or not.
    pub(crate) fn client_port(&self, tls: bool) -> u16 {
        match (tls, self.port, self.tls_port) {
            (true, port, 0) => port,
            (true, _, tls_port) => tls_port,
            (false, 0, tls_port) => tls_port,
            (false, port, _) => port,
        }
    }
}

/// The owner of each slot, and whether commands are served at all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoutingView {
    /// `cluster_state`.
    pub state: ClusterState,
    /// `cluster-allow-reads-when-down`.
    pub allow_reads_when_down: bool,
    /// Every node whose handshake is complete, in the order of their names.
    pub nodes: Vec<NodeView>,
    /// The index of this node in `nodes`.
    pub me: usize,
    owners: Box<[u16]>,
}

/// The owner index of a slot without an owner.
const NOBODY: u16 = u16::MAX;

impl RoutingView {
    pub(crate) fn new(
        state: ClusterState,
        allow_reads_when_down: bool,
        nodes: Vec<NodeView>,
        me: usize,
    ) -> RoutingView {
        let owners = vec![NOBODY; SLOT_COUNT].into_boxed_slice();
        RoutingView { state, allow_reads_when_down, nodes, me, owners }
    }

    pub(crate) fn set_owner(&mut self, range: SlotRange, node: usize) {
        let owner = u16::try_from(node).unwrap_or(NOBODY);
        self.owners[range.start.index()..=range.end.index()].fill(owner);
    }

    /// The node that owns a slot.
    pub fn owner(&self, slot: Slot) -> Option<&NodeView> {
        self.nodes.get(usize::from(self.owners[slot.index()]))
    }

    /// A node by its name.
    pub fn node(&self, id: NodeId) -> Option<&NodeView> {
        let index = self.nodes.binary_search_by_key(&id, |node| node.id).ok()?;
        self.nodes.get(index)
    }

    /// This node.
    pub fn myself(&self) -> &NodeView {
        &self.nodes[self.me]
    }

    /// The primary that this node replicates; `None` on a primary.
    pub fn my_primary(&self) -> Option<NodeId> {
        match self.myself().role {
            ViewRole::Primary => None,
            ViewRole::Replica(primary) => primary,
        }
    }

    /// Whether this node owns the slot.
    pub fn is_mine(&self, slot: Slot) -> bool {
        usize::from(self.owners[slot.index()]) == self.me
    }

    /// Whether this node is a replica of the slot's owner, and so may answer READONLY clients.
    pub fn is_replicated_here(&self, slot: Slot) -> bool {
        match (self.my_primary(), self.owner(slot)) {
            (Some(primary), Some(owner)) => primary == owner.id,
            _ => false,
        }
    }

    /// The error for a command on this slot when the slot has no owner or the cluster is down;
    /// `None` if the command may go on to ownership checks. `write` is false for commands that only
    /// read.
    pub fn refusal(&self, slot: Slot, write: bool) -> Option<&'static str> {
        if self.owner(slot).is_none() {
            return Some("CLUSTERDOWN Hash slot not served");
        }
        match self.state {
            ClusterState::Ok => None,
            ClusterState::Fail(_) if !self.allow_reads_when_down => {
                Some("CLUSTERDOWN The cluster is down")
            }
            ClusterState::Fail(_) if write => {
                Some("CLUSTERDOWN The cluster is down and only accepts read commands")
            }
            ClusterState::Fail(_) => None,
        }
    }

    /// `MOVED slot endpoint:port` towards the owner; `None` if the slot has none.
    pub fn moved(&self, slot: Slot, tls: bool) -> Option<String> {
        let owner = self.owner(slot)?;
        Some(format!("MOVED {slot} {}:{}", owner.endpoint, owner.client_port(tls)))
    }

    /// `ASK slot endpoint:port` towards the node that the slot migrates to; `None` if it is
    /// unknown.
    pub fn ask(&self, slot: Slot, to: NodeId, tls: bool) -> Option<String> {
        let target = self.node(to)?;
        Some(format!("ASK {slot} {}:{}", target.endpoint, target.client_port(tls)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(state: ClusterState, allow_reads: bool) -> RoutingView {
        let node = |byte: u8, role| NodeView {
            id: NodeId([byte; 20]),
            ip: Some([127, 0, 0, byte].into()),
            port: 7000 + u16::from(byte),
            tls_port: 0,
            hostname: String::new(),
            endpoint: format!("127.0.0.{byte}"),
            role,
            failed: false,
        };
        let replica = ViewRole::Replica(Some(NodeId([1; 20])));
        let nodes = vec![node(1, ViewRole::Primary), node(2, replica)];
        let mut view = RoutingView::new(state, allow_reads, nodes, 1);
        view.set_owner(SlotRange { start: Slot::MIN, end: Slot::MIN }, 0);
        view
    }

    #[test]
    fn redirections_name_the_owner() {
        let view = view(ClusterState::Ok, false);
        assert_eq!(view.moved(Slot::MIN, false).unwrap(), "MOVED 0 127.0.0.1:7001");
        assert_eq!(view.ask(Slot::MIN, NodeId([2; 20]), false).unwrap(), "ASK 0 127.0.0.2:7002");
        assert_eq!(view.moved(Slot::MAX, false), None);
        assert!(view.is_replicated_here(Slot::MIN) && !view.is_mine(Slot::MIN));
    }

    #[test]
    fn refusals_by_state_and_kind_of_command() {
        let down = ClusterState::Fail(FailReason::Minority);
        let text = |view: &RoutingView, slot, write| view.refusal(slot, write);
        assert_eq!(text(&view(ClusterState::Ok, false), Slot::MIN, true), None);
        assert_eq!(
            text(&view(ClusterState::Ok, false), Slot::MAX, false),
            Some("CLUSTERDOWN Hash slot not served")
        );
        assert_eq!(
            text(&view(down, false), Slot::MIN, false),
            Some("CLUSTERDOWN The cluster is down")
        );
        assert_eq!(text(&view(down, true), Slot::MIN, false), None);
        assert_eq!(
            text(&view(down, true), Slot::MIN, true),
            Some("CLUSTERDOWN The cluster is down and only accepts read commands")
        );
    }
}
