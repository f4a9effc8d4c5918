//! The node's state as plain data, for tests, simulation and metrics.

use super::Cluster;
use crate::{ClusterState, RoutingView, ViewRole};
use std::sync::Arc;
use tessera_slot::{Epoch, NodeId, SlotSet};

/// One member of the cluster, as a node sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its name.
    pub id: NodeId,
    /// Its role; a node that has not told counts as a primary.
    pub role: ViewRole,
    /// The config epoch that counts for it.
    pub config_epoch: Epoch,
    /// Its slots.
    pub slots: SlotSet,
    /// Its flags as CLUSTER NODES shows them, `myself` left out.
    pub flags: String,
}

/// The cluster, as a node sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The node's own name.
    pub id: NodeId,
    /// `cluster_state`.
    pub state: ClusterState,
    /// The current epoch.
    pub current_epoch: Epoch,
    /// The epoch of the last vote.
    pub last_vote_epoch: Epoch,
    /// Every node whose handshake is complete, this one included, in the order of their names.
    pub members: Vec<Member>,
}

impl Snapshot {
    /// The member with this name.
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    /// The node itself, as it sees itself.
    pub fn myself(&self) -> &Member {
        self.member(self.id).expect("a node is a member of its own cluster")
    }
}

/// A node's claims for itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claims<'a> {
    /// The node's own name.
    pub id: NodeId,
    /// Whether it is a primary.
    pub is_primary: bool,
    /// Its own config epoch.
    pub config_epoch: Epoch,
    /// The current epoch.
    pub current_epoch: Epoch,
    /// The slots it owns.
    pub slots: &'a SlotSet,
}

impl Cluster {
    /// This node's present claims.
    pub fn claims(&self) -> Claims<'_> {
        let me = self.nodes.me();
        Claims {
            id: me.id,
            is_primary: me.is_primary(),
            config_epoch: me.config_epoch,
            current_epoch: self.epochs.current(),
            slots: me.slots.set(),
        }
    }

    /// This node's role.
    pub fn role(&self) -> ViewRole {
        let me = self.nodes.me();
        if me.is_replica() { ViewRole::Replica(me.primary()) } else { ViewRole::Primary }
    }

    /// The cluster as this node sees it now.
    pub fn snapshot(&self) -> Snapshot {
        let members = self.nodes.iter().filter(|node| !node.in_handshake()).map(|node| Member {
            id: node.id,
            role: if node.is_replica() {
                ViewRole::Replica(node.primary())
            } else {
                ViewRole::Primary
            },
            config_epoch: self.nodes.epoch_of(node.id),
            slots: node.slots.set().clone(),
            flags: node.flag_names(false),
        });
        Snapshot {
            id: self.id(),
            state: self.state.get(),
            current_epoch: self.epochs.current(),
            last_vote_epoch: self.epochs.last_vote(),
            members: members.collect(),
        }
    }

    /// `cluster_state`.
    pub fn state(&self) -> ClusterState {
        self.state.get()
    }

    /// The picture that commands are routed by now.
    pub fn routing_view(&self) -> Option<Arc<RoutingView>> {
        self.published.view().cloned()
    }

    /// Whether this node must not let others synchronise with it: a replica may still have the data
    /// that it has lost.
    pub fn withholds_data(&self) -> bool {
        self.lost_data.withholds_data(&self.nodes)
    }
}
