//! ADDSLOTS, DELSLOTS and their ranges, FLUSHSLOTS, SETSLOT.

use super::context::{
    Answer, CommandContext, arity, integer, node_named, ok, printable, slot, unknown_node,
};
use crate::LogLevel;
use crate::core::Cluster;
use crate::surroundings::Step;
use tessera_slot::{NodeId, Slot, SlotSet};

/// The change that a command makes to the slots that it lists.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edit {
    Add,
    Delete,
}

pub(super) fn add(cluster: &mut Cluster, _: &CommandContext<'_>, argv: &[&[u8]]) -> Answer {
    edit(cluster, Edit::Add, single(argv)?)
}

pub(super) fn delete(cluster: &mut Cluster, _: &CommandContext<'_>, argv: &[&[u8]]) -> Answer {
    edit(cluster, Edit::Delete, single(argv)?)
}

pub(super) fn add_ranges(cluster: &mut Cluster, _: &CommandContext<'_>, argv: &[&[u8]]) -> Answer {
    edit(cluster, Edit::Add, ranges(argv, "addslotsrange")?)
}

pub(super) fn delete_ranges(
    cluster: &mut Cluster,
    _: &CommandContext<'_>,
    argv: &[&[u8]],
) -> Answer {
    edit(cluster, Edit::Delete, ranges(argv, "delslotsrange")?)
}

fn single(argv: &[&[u8]]) -> Result<Vec<(Slot, Slot)>, String> {
    argv.iter().map(|argument| slot(argument).map(|slot| (slot, slot))).collect()
}

fn ranges(argv: &[&[u8]], name: &str) -> Result<Vec<(Slot, Slot)>, String> {
    if !argv.len().is_multiple_of(2) {
        return Err(arity(name));
    }
    let range = |pair: &[&[u8]]| {
        let (start, end) = (slot(pair[0])?, slot(pair[1])?);
        if start > end {
            return Err(format!(
                "ERR start slot number {start} is greater than end slot number {end}"
            ));
        }
        Ok((start, end))
    };
    argv.chunks_exact(2).map(range).collect()
}

fn edit(cluster: &mut Cluster, edit: Edit, ranges: Vec<(Slot, Slot)>) -> Answer {
    let assigned = cluster.nodes.assigned();
    let mut listed = SlotSet::EMPTY;
    for (start, end) in ranges {
        for number in start.number()..=end.number() {
            let slot = Slot::from_low_bits(number);
            match (edit, assigned.contains(slot)) {
                (Edit::Delete, false) => {
                    return Err(format!("ERR Slot {slot} is already unassigned"));
                }
                (Edit::Add, true) => return Err(format!("ERR Slot {slot} is already busy")),
                _ => {}
            }
            if !listed.insert(slot) {
                return Err(format!("ERR Slot {slot} specified multiple times"));
            }
        }
    }
    if edit == Edit::Add && !cluster.nodes.me().is_primary() {
        return Err("ERR A replica can't own slots".to_owned());
    }
    match edit {
        Edit::Add => cluster.ownership().add_slots(&listed),
        Edit::Delete => cluster.ownership().delete_slots(&listed),
    }
    // Nodes that follow this one, or redirect to it, must not wait for the next ping.
    cluster.around.want(Step::Announce);
    ok()
}

pub(super) fn flush(cluster: &mut Cluster, context: &CommandContext<'_>, _: &[&[u8]]) -> Answer {
    if !context.keyspace.is_empty() {
        return Err("ERR DB must be empty to perform CLUSTER FLUSHSLOTS.".to_owned());
    }
    cluster.ownership().flush_slots();
    cluster.around.want(Step::Announce);
    ok()
}

pub(super) fn set(cluster: &mut Cluster, context: &CommandContext<'_>, argv: &[&[u8]]) -> Answer {
    if cluster.nodes.me().is_replica() {
        return Err("ERR Please use SETSLOT only with masters.".to_owned());
    }
    let slot = slot(argv[0])?;
    let action = argv[1].to_ascii_lowercase();
    let used = match (action.as_slice(), argv.get(2)) {
        (b"migrating", Some(name)) => {
            set_migrating(cluster, slot, name)?;
            3
        }
        (b"importing", Some(name)) => {
            set_importing(cluster, slot, name)?;
            3
        }
        (b"stable", _) => {
            check_options(&argv[2..])?;
            cluster.around.log(LogLevel::Notice, format!("Marking slot {slot} stable"));
            cluster.open.end_import(slot);
            cluster.open.end_migration(slot);
            2
        }
        (b"node", Some(name)) => {
            set_owner(cluster, context, slot, name)?;
            3
        }
        _ => {
            let text =
                "ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP";
            return Err(text.to_owned());
        }
    };
    check_options(&argv[used..])?;
    cluster.around.changed_durably();
    ok()
}

/// `TIMEOUT ms` limits how long Valkey waits for its replicas; nothing is waited for here.
fn check_options(options: &[&[u8]]) -> Result<(), String> {
    let timeout = options.iter().position(|option| option.eq_ignore_ascii_case(b"timeout"));
    let Some(position) = timeout else { return Ok(()) };
    match options.get(position + 1).map(|value| integer(value)) {
        None => Err("ERR Missing timeout value".to_owned()),
        Some(None) => Err("ERR timeout is not an integer or out of range".to_owned()),
        Some(Some(value)) if value < 0 => Err("ERR timeout is negative".to_owned()),
        Some(Some(_)) => Ok(()),
    }
}

/// A node that slots may move from or to.
fn peer(cluster: &Cluster, name: &[u8]) -> Result<NodeId, String> {
    let Some(id) = node_named(cluster, name) else {
        return Err(format!("ERR I don't know about node {}", printable(name)));
    };
    primary(cluster, id)
}

fn primary(cluster: &Cluster, id: NodeId) -> Result<NodeId, String> {
    if cluster.nodes.get(id).is_some_and(|node| node.is_replica()) {
        return Err("ERR Target node is not a master".to_owned());
    }
    Ok(id)
}

fn set_migrating(cluster: &mut Cluster, slot: Slot, name: &[u8]) -> Result<(), String> {
    if !cluster.nodes.me().slots.contains(slot) {
        return Err(format!("ERR I'm not the owner of hash slot {slot}"));
    }
    let to = peer(cluster, name)?;
    if to == cluster.id() {
        return Err("ERR Can't migrate a slot to myself".to_owned());
    }
    let text = format!("Migrating slot {slot} to node {}", cluster.nodes.name_of(to));
    cluster.around.log(LogLevel::Notice, text);
    cluster.open.migrate(slot, to);
    Ok(())
}

fn set_importing(cluster: &mut Cluster, slot: Slot, name: &[u8]) -> Result<(), String> {
    if cluster.nodes.me().slots.contains(slot) {
        return Err(format!("ERR I'm already the owner of hash slot {slot}"));
    }
    let from = peer(cluster, name)?;
    let text = format!("Importing slot {slot} from node {}", cluster.nodes.name_of(from));
    cluster.around.log(LogLevel::Notice, text);
    cluster.open.import(slot, from);
    Ok(())
}

fn set_owner(
    cluster: &mut Cluster,
    context: &CommandContext<'_>,
    slot: Slot,
    name: &[u8],
) -> Result<(), String> {
    let id = node_named(cluster, name).ok_or_else(|| unknown_node(name))?;
    let id = primary(cluster, id)?;
    let was_mine = cluster.nodes.me().slots.contains(slot);
    let keys = context.keyspace.keys_in_slot(slot);
    let me = cluster.id();
    if was_mine && id != me && keys != 0 {
        return Err(format!(
            "ERR Can't assign hashslot {slot} to a different node while I still hold keys for \
             this hash slot."
        ));
    }
    cluster.ownership().give_slot(slot, id, keys);
    if was_mine && id != me && cluster.nodes.me().slots.is_empty() {
        leave_empty(cluster, id);
    }
    if id == me && cluster.open.end_import(slot) {
        // The new owner must win over the old one's claim.
        if cluster.ownership().bump_epoch() {
            let text = format!("ConfigEpoch updated after importing slot {slot}");
            cluster.around.log(LogLevel::Notice, text);
        }
        cluster.broadcast_pong(|_| true);
    } else if was_mine != (id == me) {
        cluster.around.want(Step::Announce);
    }
    Ok(())
}

/// This primary has given its last slot away.
fn leave_empty(cluster: &mut Cluster, to: NodeId) {
    let name = cluster.nodes.name_of(to);
    if cluster.around.config().allow_replica_migration {
        let text = format!(
            "Lost my last slot during slot migration. Reconfiguring myself as a replica of {name}"
        );
        cluster.around.log(LogLevel::Notice, text);
        cluster.become_replica_of(to);
    } else {
        let text = format!("My last slot was migrated to node {name}. I am now an empty primary.");
        cluster.around.log(LogLevel::Notice, text);
    }
}
