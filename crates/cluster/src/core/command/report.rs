//! INFO, NODES, LINKS, MYID, MYSHARDID.

use super::context::{Answer, CommandContext};
use crate::bus::MessageType;
use crate::core::Cluster;
use crate::describe::Reader;
use crate::links::Link;
use crate::{ClusterState, LinkId};
use std::fmt::Write;
use tessera_resp::Value;
use tessera_slot::NodeId;

pub(super) fn my_id(cluster: &mut Cluster, _: &CommandContext<'_>, _: &[&[u8]]) -> Answer {
    Ok(Value::bulk(cluster.id().to_hex()))
}

pub(super) fn my_shard_id(cluster: &mut Cluster, _: &CommandContext<'_>, _: &[&[u8]]) -> Answer {
    Ok(Value::bulk(cluster.nodes.me().shard.0.to_hex()))
}

pub(super) fn nodes(cluster: &mut Cluster, context: &CommandContext<'_>, _: &[&[u8]]) -> Answer {
    let reader = Reader::Client { tls: context.client_tls };
    let lines = cluster.nodes.iter().map(|node| cluster.register().line(node, reader) + "\n");
    Ok(Value::Verbatim("txt", lines.collect()))
}

pub(super) fn info(cluster: &mut Cluster, _: &CommandContext<'_>, _: &[&[u8]]) -> Answer {
    let state = if cluster.state.get() == ClusterState::Ok { "ok" } else { "fail" };
    let (mut fine, mut suspected, mut failed) = (0, 0, 0);
    for node in cluster.nodes.iter() {
        let slots = node.slots.len();
        match (node.has_failed(), node.is_suspected()) {
            (true, _) => failed += slots,
            (_, true) => suspected += slots,
            _ => fine += slots,
        }
    }
    let mut text = String::new();
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        write!(text, "{name}:{value}\r\n").expect("writing to a string does not fail");
    };
    line("cluster_state", &state);
    line("cluster_slots_assigned", &(fine + suspected + failed));
    line("cluster_slots_ok", &fine);
    line("cluster_slots_pfail", &suspected);
    line("cluster_slots_fail", &failed);
    line("cluster_known_nodes", &cluster.nodes.len());
    line("cluster_size", &cluster.nodes.voters());
    line("cluster_current_epoch", &cluster.epochs.current());
    line("cluster_my_epoch", &cluster.nodes.epoch_of(cluster.id()));
    let stats = cluster.links.stats();
    for (counts, way) in [(&stats.sent, "sent"), (&stats.received, "received")] {
        for kind in MessageType::ALL {
            let count = counts[kind as usize];
            if count > 0 {
                line(&format!("cluster_stats_messages_{}_{way}", kind.name()), &count);
            }
        }
        line(&format!("cluster_stats_messages_{way}"), &counts.iter().sum::<u64>());
    }
    line("total_cluster_links_buffer_limit_exceeded", &0);
    Ok(Value::Verbatim("txt", text))
}

pub(super) fn links(cluster: &mut Cluster, _: &CommandContext<'_>, _: &[&[u8]]) -> Answer {
    let describe = |(node, is_incoming, link): (NodeId, bool, &Link)| {
        let created = cluster.around.clocks().unix_of(link.created).0 as i64;
        let pair = |name: &str, value| (Value::bulk(name), value);
        Value::Map(vec![
            pair("direction", Value::bulk(if is_incoming { "from" } else { "to" })),
            pair("node", Value::bulk(node.to_hex())),
            pair("create-time", Value::Integer(created)),
            pair("events", Value::bulk(if link.up { "r" } else { "w" })),
            pair("send-buffer-allocated", Value::Integer(0)),
            pair("send-buffer-used", Value::Integer(0)),
        ])
    };
    let of_peers = cluster
        .links
        .iter()
        .filter_map(|(id, link)| Some((link.node?, !matches!(id, LinkId::Outgoing(_)), link)));
    let mut links: Vec<_> = of_peers.collect();
    // Clients take the two links of a node as a pair.
    links.sort_by_key(|&(node, is_incoming, _)| (node, is_incoming));
    Ok(Value::Array(links.into_iter().map(describe).collect()))
}
