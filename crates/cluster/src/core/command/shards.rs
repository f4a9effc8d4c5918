//! SLOTS and SHARDS: the topology for clients.

use super::context::{Answer, CommandContext};
use crate::PreferredEndpoint;
use crate::core::Cluster;
use crate::node::{Node, ShardId};
use std::collections::BTreeMap;
use tessera_resp::Value;
use tessera_slot::SlotRange;

fn integer(number: impl Into<i64>) -> Value {
    Value::Integer(number.into())
}

impl Cluster {
    fn offset_of(&self, node: &Node) -> u64 {
        if node.id == self.id() { self.progress.offset().0 } else { node.offset.0 }
    }

    /// Whether a replica has data to read: it has applied something, or there was nothing to apply.
    fn has_loaded(&self, replica: &Node) -> bool {
        let primary = replica.primary().and_then(|id| self.nodes.get(id));
        self.offset_of(replica) != 0 || primary.is_some_and(|node| self.offset_of(node) == 0)
    }

    /// The endpoint that clients should connect to.
    fn endpoint_value(&self, node: &Node) -> Value {
        match self.around.config().preferred_endpoint {
            PreferredEndpoint::Unknown => Value::Null,
            PreferredEndpoint::Ip | PreferredEndpoint::Hostname => {
                Value::bulk(node.endpoint(self.around.config()))
            }
        }
    }
}

pub(super) fn slots(cluster: &mut Cluster, context: &CommandContext<'_>, _: &[&[u8]]) -> Answer {
    let mut owned: Vec<(SlotRange, &Node)> = cluster
        .nodes
        .iter()
        .flat_map(|node| node.slots.ranges().iter().map(move |range| (*range, node)))
        .collect();
    owned.sort_unstable_by_key(|(range, _)| range.start);
    let entry = |(range, owner): (SlotRange, &Node)| {
        let start = integer(range.start.number());
        let end = integer(range.end.number());
        let mut fields = vec![start, end, slots_node(cluster, owner, context)];
        let readable = |node: &&Node| !node.has_failed() && cluster.has_loaded(node);
        let replicas = cluster.nodes.replicas_of(owner.id).filter(readable);
        fields.extend(replicas.map(|node| slots_node(cluster, node, context)));
        Value::Array(fields)
    };
    Ok(Value::Array(owned.into_iter().map(entry).collect()))
}

/// Endpoint, port, name, and the addresses that are not the endpoint.
fn slots_node(cluster: &Cluster, node: &Node, context: &CommandContext<'_>) -> Value {
    let preferred = cluster.around.config().preferred_endpoint;
    let mut others = Vec::new();
    if preferred != PreferredEndpoint::Ip {
        others.push((Value::bulk("ip"), Value::bulk(node.ip_text())));
    }
    if preferred != PreferredEndpoint::Hostname && !node.hostname.is_empty() {
        others.push((Value::bulk("hostname"), Value::bulk(node.hostname.as_str())));
    }
    Value::Array(vec![
        cluster.endpoint_value(node),
        integer(node.address.client_port(context.client_tls)),
        Value::bulk(node.id.to_hex()),
        Value::Map(others),
    ])
}

pub(super) fn shards(cluster: &mut Cluster, _: &CommandContext<'_>, _: &[&[u8]]) -> Answer {
    let mut shards: BTreeMap<ShardId, Vec<&Node>> = BTreeMap::new();
    for node in cluster.nodes.iter().filter(|node| !node.in_handshake()) {
        // A replica tells its shard when it pings next, its role at once: it is in its primary's.
        let primary = node.primary().and_then(|id| cluster.nodes.get(id));
        shards.entry(primary.unwrap_or(node).shard).or_default().push(node);
    }
    let entry = |nodes: Vec<&Node>| {
        let served = nodes.iter().flat_map(|node| node.slots.ranges());
        let numbers =
            served.flat_map(|range| [integer(range.start.number()), integer(range.end.number())]);
        let slots = Value::Array(numbers.collect());
        let nodes = Value::Array(nodes.iter().map(|node| shards_node(cluster, node)).collect());
        Value::Map(vec![(Value::bulk("slots"), slots), (Value::bulk("nodes"), nodes)])
    };
    Ok(Value::Array(shards.into_values().map(entry).collect()))
}

fn shards_node(cluster: &Cluster, node: &Node) -> Value {
    let mut fields = Vec::new();
    let mut field = |name: &str, value| fields.push((Value::bulk(name), value));
    field("id", Value::bulk(node.id.to_hex()));
    if node.address.port != 0 {
        field("port", integer(node.address.port));
    }
    if node.address.tls_port != 0 {
        field("tls-port", integer(node.address.tls_port));
    }
    field("ip", Value::bulk(node.ip_text()));
    field("endpoint", Value::bulk(node.endpoint(cluster.around.config())));
    if !node.hostname.is_empty() {
        field("hostname", Value::bulk(node.hostname.as_str()));
    }
    field("role", Value::bulk(if node.is_replica() { "replica" } else { "master" }));
    let offset = i64::try_from(cluster.offset_of(node)).unwrap_or(i64::MAX);
    field("replication-offset", Value::Integer(offset));
    let health = if node.has_failed() {
        "fail"
    } else if node.is_replica() && !cluster.has_loaded(node) {
        "loading"
    } else {
        "online"
    };
    field("health", Value::bulk(health));
    Value::Map(fields)
}
