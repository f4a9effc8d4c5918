//! What a ping tells beside its header, taken in: nodes that are not known yet, reports about those
//! that are, addresses, names.

use super::Cluster;
use crate::bus::{Extension, Gossip, NodeFlags};
use crate::gossip::address_in;
use crate::node::{Health, Node, Role, ShardId, Source};
use tessera_slot::NodeId;

impl Cluster {
    /// Takes the gossip section of a known node.
    pub(super) fn take_gossip(&mut self, sender: NodeId, section: &[Gossip]) {
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
                let is_unreachable = entry.flags.has(NodeFlags::PFAIL | NodeFlags::FAIL);
                let finding = self.detection().take_report(sender, entry.node, is_unreachable);
                self.act_on_finding(entry.node, finding);
            }
            self.take_gossiped_address(entry);
        }
    }

    /// A node that we cannot reach may have moved: others who reach it say where it is.
    fn take_gossiped_address(&mut self, entry: &Gossip) {
        let Some(node) = self.nodes.get(entry.node) else { return };
        let reachable_to_sender = !entry.flags.has(NodeFlags::PFAIL | NodeFlags::FAIL);
        let address = address_in(entry, self.around.config());
        let lost = !node.is_healthy() || node.address.ip.is_none();
        if lost && reachable_to_sender && address.ip.is_some() {
            self.links.set_address(&mut self.nodes, &mut self.around, entry.node, address);
        }
    }

    /// A node that we have not heard of. The sender is one of us, so it is too: but until it has
    /// answered it is hearsay.
    fn add_gossiped(&mut self, sender: NodeId, entry: &Gossip) {
        let now = self.around.now();
        let source = Source::Gossip(sender);
        if entry.ip.is_none()
            || entry.flags.has(NodeFlags::NOADDR)
            || self.forgotten.is_banned(entry.node, now)
            || !self.make_place(source)
        {
            return;
        }
        let shard = ShardId(self.around.rng().node_id());
        let mut node = Node::new(entry.node, shard, now);
        node.source = Some(source);
        node.address = address_in(entry, self.around.config());
        node.role = Role::told_by(entry.flags);
        if entry.flags.has(NodeFlags::FAIL) {
            node.health = Health::Failed { since: now, gone: false };
        }
        self.nodes.insert(node);
        self.around.changed();
    }

    /// Takes the extensions of a known node's ping.
    pub(super) fn take_extensions(&mut self, sender: NodeId, extensions: Vec<Extension>) {
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
            self.around.changed();
        }
        // A node that does not speak of shards is in its primary's.
        let of_primary = self.nodes.get(sender).and_then(Node::primary);
        let inherited = of_primary.and_then(|id| self.nodes.get(id)).map(|primary| primary.shard);
        if let Some(shard) = shard.or(inherited)
            && self.nodes.set_shard(sender, shard)
        {
            self.around.changed();
        }
    }

    fn forget_on_request(&mut self, id: NodeId, ttl_seconds: u64) {
        let mine = self.nodes.me().is_replica_of(id);
        if id == self.id() || mine || self.nodes.get(id).is_none() {
            return;
        }
        let until = self.around.now().plus(ttl_seconds.saturating_mul(1000));
        self.forgotten.ban(id, until);
        self.remove_node(id);
    }
}
