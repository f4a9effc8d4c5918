//! CLUSTER, and what clients of a cluster tell a node.
//!
//! Questions about keys are answered here; everything else is the cluster core's and goes through
//! the host.

use crate::arguments::integer;
use crate::command::{Categories, Command, Flags, Group, Role};
use crate::container::container;
use crate::{Args, Cx, Db, Done, Fail, Handler};
use std::sync::atomic::Ordering::Relaxed;
use tessera_slot::Slot;

const CLUSTER: Group = Group::Cluster;
const FAST: Flags = Flags::FAST.or(Flags::LOADING).or(Flags::STALE);
const CONNECTION: Categories = Categories::CONNECTION;
const CHANGING: &[&str] = &["nondeterministic_output"];
/// Changes the cluster.
const CHANGE: Flags = Flags::NO_ASYNC_LOADING.or(Flags::ADMIN).or(Flags::STALE);
/// Only for administrators.
const ADMIN: Flags = Flags::ADMIN.or(Flags::STALE);
/// Describes the cluster.
const SHOW: Flags = Flags::LOADING.or(Flags::STALE);

const N_SLOTS: &str = "O(N) where N is the number of slots";
const N_NODES: &str = "O(N) where N is the number of nodes";
const N_KEYS: &str = "O(N) where N is the number of keys asked for";
const N_BYTES: &str = "O(N) where N is the length of the key";

pub(super) const COMMANDS: &[Command] = &[
    Command::new("asking", 1, asking)
        .role(Role::Asking)
        .flags(Flags::FAST)
        .categories(CONNECTION)
        .doc(
            CLUSTER,
            "3.0.0",
            "O(1)",
            "Lets the next command use a slot that is being imported.",
            "",
        ),
    Command::new("readonly", 1, readonly).flags(FAST).categories(CONNECTION).doc(
        CLUSTER,
        "3.0.0",
        "O(1)",
        "Lets a replica answer this connection's reads.",
        "",
    ),
    Command::new("readwrite", 1, readwrite).flags(FAST).categories(CONNECTION).doc(
        CLUSTER,
        "3.0.0",
        "O(1)",
        "Has a replica redirect this connection's reads.",
        "",
    ),
    Command::new("cluster", -2, container)
        .doc(CLUSTER, "3.0.0", "Depends on subcommand.", "The cluster.", "")
        .subcommands(SUBCOMMANDS),
];

const fn sub(
    name: &'static str,
    arity: i32,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
    syntax: &'static str,
) -> Command {
    here(name, arity, flags, to_the_core, since, summary, syntax)
}

const fn here(
    name: &'static str,
    arity: i32,
    flags: Flags,
    handler: Handler,
    since: &'static str,
    summary: &'static str,
    syntax: &'static str,
) -> Command {
    Command::new(name, arity, handler).flags(flags).doc(CLUSTER, since, "O(1)", summary, syntax)
}

const SUBCOMMANDS: &[Command] = &[
    sub("addslots", -3, CHANGE, "3.0.0", "Assigns slots to this node.", "slot [slot ...]")
        .costs(N_SLOTS),
    sub(
        "addslotsrange",
        -4,
        CHANGE,
        "7.0.0",
        "Assigns ranges of slots to this node.",
        "<start-slot end-slot>...",
    )
    .costs(N_SLOTS),
    sub("bumpepoch", 2, CHANGE, "3.0.0", "Raises this node's config epoch.", "").tips(CHANGING),
    sub(
        "count-failure-reports",
        3,
        ADMIN,
        "3.0.0",
        "Answers how many nodes report a node as failing.",
        "node-id",
    )
    .costs(N_NODES)
    .tips(CHANGING),
    here(
        "countkeysinslot",
        3,
        Flags::STALE,
        countkeysinslot,
        "3.0.0",
        "Answers the number of keys in a slot.",
        "slot",
    ),
    sub("delslots", -3, CHANGE, "3.0.0", "Leaves slots without an owner.", "slot [slot ...]")
        .costs(N_SLOTS),
    sub(
        "delslotsrange",
        -4,
        CHANGE,
        "7.0.0",
        "Leaves ranges of slots without an owner.",
        "<start-slot end-slot>...",
    )
    .costs(N_SLOTS),
    sub("failover", -2, CHANGE, "3.0.0", "Makes this replica the primary.", "[FORCE|TAKEOVER]"),
    sub("flushslots", 2, CHANGE, "3.0.0", "Leaves all of this node's slots without an owner.", "")
        .costs(N_SLOTS),
    sub("forget", 3, CHANGE, "3.0.0", "Removes a node from this node's table.", "node-id"),
    here(
        "getkeysinslot",
        4,
        Flags::STALE,
        getkeysinslot,
        "3.0.0",
        "Answers keys of a slot.",
        "slot count",
    )
    .costs(N_KEYS)
    .tips(CHANGING),
    sub("help", 2, SHOW, "5.0.0", "Shows the subcommands.", ""),
    sub("info", 2, SHOW, "3.0.0", "Describes the state of the cluster.", "").tips(CHANGING),
    here("keyslot", 3, Flags::STALE, keyslot, "3.0.0", "Answers the slot of a key.", "key-name")
        .costs(N_BYTES),
    sub("links", 2, Flags::STALE, "7.0.0", "Describes the links of the cluster bus.", "")
        .costs(N_NODES)
        .tips(CHANGING),
    sub("meet", -4, CHANGE, "3.0.0", "Joins this node with another.", "ip port [bus-port]"),
    sub("myid", 2, SHOW, "3.0.0", "Answers this node's name.", ""),
    sub("myshardid", 2, SHOW, "7.2.0", "Answers the name of this node's shard.", "").tips(CHANGING),
    sub("nodes", 2, SHOW, "3.0.0", "Describes the nodes, as they stand in nodes.conf.", "")
        .costs(N_NODES)
        .tips(CHANGING),
    sub("replicas", 3, ADMIN, "5.0.0", "Describes the replicas of a primary.", "node-id")
        .costs(N_NODES)
        .tips(CHANGING),
    sub("replicate", 3, CHANGE, "3.0.0", "Makes this node a replica of another.", "node-id"),
    sub(
        "reset",
        -2,
        ADMIN.or(Flags::NOSCRIPT),
        "3.0.0",
        "Makes this node forget the cluster.",
        "[HARD|SOFT]",
    )
    .costs(N_NODES),
    sub("saveconfig", 2, CHANGE, "3.0.0", "Writes nodes.conf.", ""),
    sub(
        "set-config-epoch",
        3,
        CHANGE,
        "3.0.0",
        "Sets the config epoch of a new node.",
        "config-epoch",
    ),
    sub(
        "setslot",
        -4,
        CHANGE.or(Flags::MAY_REPLICATE),
        "3.0.0",
        "Says where a slot is, or goes.",
        "slot <IMPORTING node-id|MIGRATING node-id|NODE node-id|STABLE> [TIMEOUT timeout]",
    ),
    sub("shards", 2, SHOW, "7.0.0", "Describes the shards.", "").costs(N_NODES).tips(CHANGING),
    sub("slaves", 3, ADMIN, "3.0.0", "The old name of CLUSTER REPLICAS.", "node-id")
        .costs(N_NODES)
        .tips(CHANGING),
    sub("slots", 2, SHOW, "3.0.0", "Describes which node serves which slots.", "")
        .costs(N_NODES)
        .tips(CHANGING),
];

fn check_enabled(cx: &Cx<'_>) -> Done {
    if cx.config.cluster.enabled {
        return Ok(());
    }
    Err(Fail::text("ERR This instance has cluster support disabled"))
}

fn asking(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    check_enabled(cx)?;
    cx.session.asking = true;
    cx.reply.ok();
    Ok(())
}

/// Outside cluster mode too, where it means nothing yet: clients that send it to every server must
/// not fail.
fn set_readonly(cx: &mut Cx<'_>, on: bool) -> Done {
    cx.session.readonly = on;
    cx.session.info.readonly.store(on, Relaxed);
    cx.reply.ok();
    Ok(())
}

fn readonly(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    set_readonly(cx, true)
}

fn readwrite(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    set_readonly(cx, false)
}

fn to_the_core(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_enabled(cx)?;
    cx.outcome = cx.engine.host().cluster(&cx.session.info, args, cx.may_block, cx.reply);
    Ok(())
}

fn keyslot(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_enabled(cx)?;
    cx.reply.integer(i64::from(Slot::of_key(args.at(2)).number()));
    Ok(())
}

fn slot(arg: &[u8]) -> Result<Slot, Fail> {
    let number = u16::try_from(integer(arg)?).ok();
    number.and_then(Slot::new).ok_or(Fail::text("ERR Invalid slot"))
}

fn countkeysinslot(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_enabled(cx)?;
    let keys = db.keys_in_slot(slot(args.at(2))?)?;
    cx.reply.integer(keys as i64);
    Ok(())
}

fn getkeysinslot(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_enabled(cx)?;
    let invalid = Fail::text("ERR Invalid slot or number of keys");
    let number = integer(args.at(2))?;
    let limit = integer(args.at(3))?;
    let slot = u16::try_from(number).ok().and_then(Slot::new).ok_or(invalid.clone())?;
    let limit = usize::try_from(limit).map_err(|_| invalid)?;
    let index = db.index;
    let guard = db.lock_slot(slot)?;
    cx.reply.array(limit.min(guard.len(index)));
    guard.keys(index, limit, |key| cx.reply.bulk(key));
    Ok(())
}
