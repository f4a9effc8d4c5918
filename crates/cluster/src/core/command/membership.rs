//! MEET, FORGET, RESET, and the epochs.

use super::context::{Answer, CommandContext, integer, node_named, ok, printable, unknown_node};
use crate::core::Cluster;
use crate::epochs::JUMP;
use crate::node::{Address, ShardId};
use crate::surroundings::Step;
use crate::{ClusterConfig, LogLevel};
use std::net::IpAddr;
use tessera_resp::Value;
use tessera_slot::{Epoch, NodeId};

pub(super) fn meet(cluster: &mut Cluster, _: &CommandContext<'_>, argv: &[&[u8]]) -> Answer {
    let port = integer(argv[1])
        .ok_or_else(|| format!("ERR Invalid base port specified: {}", printable(argv[1])))?;
    let bus_port = match argv.get(2) {
        Some(text) => integer(text)
            .ok_or_else(|| format!("ERR Invalid bus port specified: {}", printable(text)))?,
        None => port.saturating_add(i64::from(ClusterConfig::BUS_PORT_OFFSET)),
    };
    let ip = std::str::from_utf8(argv[0]).ok().and_then(|text| text.parse::<IpAddr>().ok());
    let valid = |port: i64| u16::try_from(port).ok().filter(|port| *port != 0);
    let (Some(ip), Some(port), Some(bus_port)) = (ip, valid(port), valid(bus_port)) else {
        let (ip, port) = (printable(argv[0]), printable(argv[1]));
        return Err(format!("ERR Invalid node address specified: {ip}:{port}"));
    };
    let base_is_tls = cluster.around.config().base_port_is_tls();
    let address = Address::from_wire(Some(ip), (port, 0), bus_port, base_is_tls);
    cluster.membership().meet(address);
    ok()
}

pub(super) fn forget(cluster: &mut Cluster, _: &CommandContext<'_>, argv: &[&[u8]]) -> Answer {
    let Some(id) = node_named(cluster, argv[0]) else {
        let banned = NodeId::from_hex(argv[0]).is_ok_and(|id| cluster.forgotten.contains(id));
        return if banned { ok() } else { Err(unknown_node(argv[0])) };
    };
    if id == cluster.id() {
        return Err("ERR I tried hard but I can't forget myself...".to_owned());
    }
    if cluster.nodes.me().is_replica_of(id) {
        return Err("ERR Can't forget my master!".to_owned());
    }
    let until = cluster.around.now().plus(cluster.around.config().blacklist_ttl);
    cluster.forgotten.ban(id, until);
    cluster.remove_node(id);
    ok()
}

pub(super) fn count_failure_reports(
    cluster: &mut Cluster,
    _: &CommandContext<'_>,
    argv: &[&[u8]],
) -> Answer {
    let id = node_named(cluster, argv[0]).ok_or_else(|| unknown_node(argv[0]))?;
    Ok(Value::Integer(cluster.detection().reports_about(id) as i64))
}

pub(super) fn bump_epoch(cluster: &mut Cluster, _: &CommandContext<'_>, _: &[&[u8]]) -> Answer {
    let bumped = cluster.ownership().bump_epoch();
    if bumped {
        cluster.around.want(Step::Announce);
    }
    let word = if bumped { "BUMPED" } else { "STILL" };
    Ok(Value::Simple(format!("{word} {}", cluster.nodes.me().config_epoch)))
}

pub(super) fn set_config_epoch(
    cluster: &mut Cluster,
    _: &CommandContext<'_>,
    argv: &[&[u8]],
) -> Answer {
    let Some(number) = integer(argv[0]) else {
        return Err("ERR value is not an integer or out of range".to_owned());
    };
    // Beyond that no other node would believe it.
    let Some(epoch) = u64::try_from(number).ok().filter(|epoch| *epoch <= JUMP) else {
        return Err(format!("ERR Invalid config epoch specified: {number}"));
    };
    if cluster.nodes.len() > 1 {
        let text = "ERR The user can assign a config epoch only when the node does not know any \
                    other node.";
        return Err(text.to_owned());
    }
    if cluster.nodes.me().config_epoch != Epoch(0) {
        return Err("ERR Node config epoch is already non-zero".to_owned());
    }
    cluster.ownership().set_epoch(Epoch(epoch));
    ok()
}

pub(super) fn save_config(cluster: &mut Cluster, _: &CommandContext<'_>, _: &[&[u8]]) -> Answer {
    cluster.around.save_durably();
    ok()
}

pub(super) fn reset(cluster: &mut Cluster, context: &CommandContext<'_>, argv: &[&[u8]]) -> Answer {
    let hard = match argv.first().map(|word| word.to_ascii_lowercase()).as_deref() {
        Some(b"hard") => true,
        Some(b"soft") | None => false,
        Some(_) => return Err("ERR syntax error".to_owned()),
    };
    if cluster.nodes.me().is_primary() && !context.keyspace.is_empty() {
        let text = "ERR CLUSTER RESET can't be called with master nodes containing keys";
        return Err(text.to_owned());
    }
    cluster.manual.reset(&mut cluster.around);
    cluster.ownership().reset();
    for id in cluster.nodes.other_ids() {
        cluster.remove_node(id);
    }
    cluster.forgotten.clear();
    if hard {
        reset_identity(cluster);
    }
    cluster.around.changed_durably();
    ok()
}

/// A new name, and epochs from the beginning.
fn reset_identity(cluster: &mut Cluster) {
    let rng = cluster.around.rng();
    let (id, shard) = (rng.node_id(), ShardId(rng.node_id()));
    cluster.ownership().reset_epochs();
    let old = cluster.id();
    cluster.nodes.set_shard(old, shard);
    cluster.membership().rename(old, id);
    cluster.around.log(LogLevel::Notice, "configEpoch set to 0 via CLUSTER RESET HARD");
    cluster.around.log(LogLevel::Notice, format!("Node hard reset, now I'm {id}"));
}
