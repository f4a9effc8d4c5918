//! REPLICATE, REPLICAS, FAILOVER.

use super::context::{Answer, CommandContext, node_named, ok, unknown_node};
use crate::LogLevel;
use crate::bus::Body;
use crate::core::Cluster;
use crate::describe::Reader;
use tessera_resp::Value;

pub(super) fn replicate(
    cluster: &mut Cluster,
    context: &CommandContext<'_>,
    argv: &[&[u8]],
) -> Answer {
    let id = node_named(cluster, argv[0]).ok_or_else(|| unknown_node(argv[0]))?;
    if id == cluster.id() {
        return Err("ERR Can't replicate myself".to_owned());
    }
    if cluster.nodes.get(id).is_some_and(|node| node.is_replica()) {
        return Err("ERR I can only replicate a master, not a replica.".to_owned());
    }
    let me = cluster.nodes.me();
    if me.is_primary() && (!me.slots.is_empty() || !context.keyspace.is_empty()) {
        let text = "ERR To set a master the node must be empty and without assigned slots.";
        return Err(text.to_owned());
    }
    if !me.is_replica_of(id) {
        cluster.become_replica_of(id);
        cluster.broadcast_pong(|_| true);
    }
    ok()
}

pub(super) fn replicas(
    cluster: &mut Cluster,
    context: &CommandContext<'_>,
    argv: &[&[u8]],
) -> Answer {
    let id = node_named(cluster, argv[0]).ok_or_else(|| unknown_node(argv[0]))?;
    if cluster.nodes.get(id).is_some_and(|node| node.is_replica()) {
        return Err("ERR The specified node is not a master".to_owned());
    }
    let reader = Reader::Client { tls: context.client_tls };
    let lines = cluster.nodes.replicas_of(id).map(|node| cluster.register().line(node, reader));
    Ok(Value::Array(lines.map(Value::bulk).collect()))
}

/// How a replica takes over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FailoverMode {
    /// With its primary's consent, and all its data.
    Plain,
    /// By an election, without asking the primary.
    Force,
    /// Without asking the other nodes.
    Takeover,
}

pub(super) fn failover(
    cluster: &mut Cluster,
    context: &CommandContext<'_>,
    argv: &[&[u8]],
) -> Answer {
    let mode = match argv.first().map(|word| word.to_ascii_lowercase()).as_deref() {
        None => FailoverMode::Plain,
        Some(b"force") => FailoverMode::Force,
        Some(b"takeover") => FailoverMode::Takeover,
        Some(_) => return Err("ERR syntax error".to_owned()),
    };
    if cluster.nodes.me().is_primary() {
        return Err("ERR You should send CLUSTER FAILOVER to a replica".to_owned());
    }
    let primary = cluster.nodes.me().primary().and_then(|id| cluster.nodes.get(id));
    let Some(primary) = primary.map(|node| (node.id, node.has_failed())) else {
        return Err("ERR I'm a replica but my master is unknown to me".to_owned());
    };
    let (id, failed) = primary;
    if mode == FailoverMode::Plain && (failed || cluster.link_to(id).is_none()) {
        let text = "ERR Master is down or failed, please use CLUSTER FAILOVER FORCE";
        return Err(text.to_owned());
    }
    let client = context.client;
    match mode {
        FailoverMode::Plain => {
            let text =
                format!("Manual failover user request accepted (user request from '{client}').");
            cluster.around.log(LogLevel::Notice, text);
            cluster.manual.begin(&mut cluster.around);
            cluster.send_to(id, Body::MfStart);
        }
        FailoverMode::Force => {
            let text =
                format!("Forced failover user request accepted (user request from '{client}').");
            cluster.around.log(LogLevel::Notice, text);
            let next = cluster.manual.begin_forced(&mut cluster.around);
            cluster.act_on_manual_failover(next);
        }
        FailoverMode::Takeover => {
            let text = format!("Taking over the primary (user request from '{client}').");
            cluster.around.log(LogLevel::Notice, text);
            cluster.ownership().bump_epoch();
            cluster.replace_primary(None);
        }
    }
    ok()
}
