//! What a ping tells beside its header: a choice of the other nodes, and this node's own names.

use crate::bus::{Extension, Gossip};
use crate::forgotten::Forgotten;
use crate::node::{Address, Node};
use crate::nodes::Nodes;
use crate::surroundings::Surroundings;
use crate::{ClusterConfig, Now};
use tessera_slot::{Millis, NodeId};

/// The fewest random entries in a gossip section, where there are that many nodes.
const MIN_GOSSIP: usize = 3;
/// The share of the nodes that a gossip section carries: a tenth, so that within two node timeouts,
/// in which at least eight packets pass between any two nodes, a report reaches the majority.
const GOSSIP_SHARE: usize = 10;

/// The extensions of a ping to a node that understands them.
pub(crate) fn extensions(me: &Node, forgotten: &Forgotten, now: Millis) -> Vec<Extension> {
    let mut extensions = Vec::new();
    if !me.hostname.is_empty() {
        extensions.push(Extension::Hostname(me.hostname.clone()));
    }
    if !me.human_name.is_empty() {
        extensions.push(Extension::HumanNodename(me.human_name.clone()));
    }
    for (node, until) in forgotten.iter() {
        let ttl = until.since(now) / 1000;
        if ttl > 0 {
            extensions.push(Extension::ForgottenNode { node, ttl });
        }
    }
    extensions.push(Extension::ShardId(me.shard.0));
    extensions
}

/// A random choice of nodes, and every suspected one: those must become known fast.
pub(crate) fn section(
    nodes: &Nodes,
    around: &mut Surroundings,
    receiver: Option<NodeId>,
) -> Vec<Gossip> {
    let worth_telling = |node: &&Node| {
        !node.is_unproven()
            && node.address.ip.is_some()
            && !node.is_suspected()
            && (node.link.is_some() || !node.slots.is_empty())
            && Some(node.id) != receiver
    };
    let mut chosen: Vec<&Node> = nodes.others().filter(worth_telling).collect();
    let wanted = (nodes.len() / GOSSIP_SHARE).max(MIN_GOSSIP).min(chosen.len());
    for index in 0..wanted {
        let left = (chosen.len() - index) as u64;
        let other = index + around.rng().below(left) as usize;
        chosen.swap(index, other);
    }
    chosen.truncate(wanted);
    let suspected =
        |node: &&Node| node.is_suspected() && !node.is_unproven() && node.address.ip.is_some();
    chosen.extend(nodes.others().filter(suspected));
    let (config, now) = (around.config(), around.clocks());
    chosen.into_iter().map(|node| entry(node, config, now)).collect()
}

fn entry(node: &Node, config: &ClusterConfig, now: Now) -> Gossip {
    let seconds = |moment: Option<Millis>| {
        moment.map_or(0, |at| u32::try_from(now.unix_of(at).0 / 1000).unwrap_or(u32::MAX))
    };
    let (port, secondary_port) = node.address.wire_ports(config.base_port_is_tls());
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

/// The address that an entry gives.
pub(crate) fn address_in(entry: &Gossip, config: &ClusterConfig) -> Address {
    let ports = (entry.port, entry.secondary_port);
    Address::from_wire(entry.ip, ports, entry.bus_port, config.base_port_is_tls())
}
