//! Administration of the server.

mod command;
pub(crate) mod config;
mod database;
mod debug;
mod docs;
mod info;
mod lolwut;
mod memory;
mod replication;
mod shutdown;

use crate::command::{Command, Flags, Group};
use crate::{Args, Cx, Db, Done};
use tessera_config::Config;

const SERVER: Group = Group::Server;
const ALWAYS: Flags = Flags::LOADING.or(Flags::STALE);
const ALWAYS_FAST: Flags = ALWAYS.or(Flags::FAST);

/// The version of Redis whose commands and replies this server has: what clients that ask for a
/// version get.
pub const COMPATIBLE_VERSION: &str = "7.2.4";

pub(super) const COMMANDS: &[Command] = &[
    info::INFO,
    config::CONFIG,
    command::COMMAND,
    Command::new("time", 1, time).flags(ALWAYS_FAST).tips(&["nondeterministic_output"]).doc(
        SERVER,
        "2.6.0",
        "O(1)",
        "Answers the server's time.",
        "",
    ),
    database::DBSIZE,
    database::FLUSHDB,
    database::FLUSHALL,
    database::SWAPDB,
    memory::MEMORY,
    replication::ROLE,
    replication::REPLICAOF,
    replication::SLAVEOF,
    replication::REPLCONF,
    replication::PSYNC,
    replication::SYNC,
    shutdown::SHUTDOWN,
    shutdown::LASTSAVE,
    debug::DEBUG,
    lolwut::LOLWUT,
];

/// How the server runs, as HELLO and INFO name it.
pub(super) fn mode_name(config: &Config) -> &'static str {
    if config.cluster.enabled { "cluster" } else { "standalone" }
}

fn time(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    cx.reply.array(2);
    for number in [cx.now.0 / 1000, cx.now.0 % 1000 * 1000] {
        cx.reply.bulk(itoa::Buffer::new().format(number).as_bytes());
    }
    Ok(())
}
