//! CLUSTER HELP.

use super::context::{Answer, CommandContext};
use crate::core::Cluster;
use tessera_resp::Value;

/// Each subcommand, and what it does.
static TEXT: &[(&str, &str)] = &[
    ("ADDSLOTS <slot> [<slot> ...]", "Make this node the owner of unassigned slots."),
    ("ADDSLOTSRANGE <start> <end> [<start> <end> ...]", "The same for ranges, ends included."),
    ("BUMPEPOCH", "Give this node a new config epoch, unless it has the highest."),
    ("COUNT-FAILURE-REPORTS <node-id>", "How many primaries report a node as unreachable."),
    ("COUNTKEYSINSLOT <slot>", "How many keys this node holds in a slot."),
    ("DELSLOTS <slot> [<slot> ...]", "Make slots unassigned, as far as this node knows."),
    ("DELSLOTSRANGE <start> <end> [<start> <end> ...]", "The same for ranges, ends included."),
    ("FAILOVER [FORCE|TAKEOVER]", "Let this replica take over from its primary."),
    ("FLUSHSLOTS", "Make all slots of this node unassigned."),
    (
        "FORGET <node-id>",
        "Remove a node from this node's table, and keep it out of gossip for a while.",
    ),
    ("GETKEYSINSLOT <slot> <count>", "Names of keys that this node holds in a slot."),
    ("INFO", "State, slots, epochs and message counts."),
    ("KEYSLOT <key>", "The slot that a key belongs to."),
    ("LINKS", "The connections of the cluster bus."),
    ("MEET <ip> <port> [<bus-port>]", "Join the cluster of another node."),
    ("MYID", "This node's name."),
    ("MYSHARDID", "The name of this node's shard."),
    ("NODES", "All nodes, one a line: id address flags primary ping pong epoch link slots."),
    ("REPLICAS <node-id>", "The replicas of a primary, as in NODES."),
    ("REPLICATE <node-id>", "Make this node a replica of a primary."),
    ("RESET [HARD|SOFT]", "Forget the cluster; with HARD also this node's name and epochs."),
    ("SAVECONFIG", "Write nodes.conf now."),
    ("SET-CONFIG-EPOCH <epoch>", "Set the config epoch of a node that knows no other."),
    (
        "SETSLOT <slot> (IMPORTING|MIGRATING|NODE <node-id>|STABLE)",
        "Open a slot for a move, give it to a node, or end its move.",
    ),
    ("SHARDS", "The shards with their slots and nodes."),
    ("SLOTS", "The slot ranges with the nodes that serve them."),
    ("HELP", "This text."),
];

pub(super) fn help(_: &mut Cluster, _: &CommandContext<'_>, _: &[&[u8]]) -> Answer {
    let intro = "CLUSTER <subcommand> [<arg> [value] [opt] ...]. Subcommands are:";
    let lines = TEXT.iter().flat_map(|(usage, what)| [(*usage).to_owned(), format!("    {what}")]);
    let lines = std::iter::once(intro.to_owned()).chain(lines);
    Ok(Value::Array(lines.map(Value::Simple).collect()))
}
