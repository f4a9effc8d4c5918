//! The CLUSTER subcommands, by family. COUNTKEYSINSLOT, GETKEYSINSLOT and KEYSLOT are not here:
//! they ask the keyspace alone.

mod context;
mod help;
mod membership;
mod replication;
mod report;
mod shards;
mod slots;

use crate::Now;
use crate::core::Cluster;
use context::{Answer, arity, printable};
pub use context::{CommandContext, Keyspace};
use tessera_resp::Value;

type Handler = fn(&mut Cluster, &CommandContext<'_>, &[&[u8]]) -> Answer;

/// A subcommand: its name, how many arguments it takes after that, and what runs it.
struct Subcommand {
    name: &'static str,
    least: usize,
    most: usize,
    run: Handler,
}

const fn subcommand(name: &'static str, least: usize, most: usize, run: Handler) -> Subcommand {
    Subcommand { name, least, most, run }
}

const ANY: usize = usize::MAX;

static SUBCOMMANDS: &[Subcommand] = &[
    subcommand("addslots", 1, ANY, slots::add),
    subcommand("addslotsrange", 2, ANY, slots::add_ranges),
    subcommand("bumpepoch", 0, 0, membership::bump_epoch),
    subcommand("count-failure-reports", 1, 1, membership::count_failure_reports),
    subcommand("delslots", 1, ANY, slots::delete),
    subcommand("delslotsrange", 2, ANY, slots::delete_ranges),
    subcommand("failover", 0, 1, replication::failover),
    subcommand("flushslots", 0, 0, slots::flush),
    subcommand("forget", 1, 1, membership::forget),
    subcommand("help", 0, 0, help::help),
    subcommand("info", 0, 0, report::info),
    subcommand("links", 0, 0, report::links),
    subcommand("meet", 2, 3, membership::meet),
    subcommand("myid", 0, 0, report::my_id),
    subcommand("myshardid", 0, 0, report::my_shard_id),
    subcommand("nodes", 0, 0, report::nodes),
    subcommand("replicas", 1, 1, replication::replicas),
    subcommand("replicate", 1, 1, replication::replicate),
    subcommand("reset", 0, 1, membership::reset),
    subcommand("saveconfig", 0, 0, membership::save_config),
    subcommand("set-config-epoch", 1, 1, membership::set_config_epoch),
    subcommand("setslot", 2, ANY, slots::set),
    subcommand("shards", 0, 0, shards::shards),
    subcommand("slaves", 1, 1, replication::replicas),
    subcommand("slots", 0, 0, shards::slots),
];

impl Cluster {
    /// Runs a CLUSTER subcommand; `argv[0]` is its name. Drain [`Cluster::poll_batch`], and carry
    /// the batches out, before the reply is sent.
    pub fn command(&mut self, now: Now, context: &CommandContext<'_>, argv: &[&[u8]]) -> Value {
        self.around.set_now(now);
        let answer = self.dispatch(context, argv);
        self.settle();
        answer.unwrap_or_else(Value::Error)
    }

    fn dispatch(&mut self, context: &CommandContext<'_>, argv: &[&[u8]]) -> Answer {
        let Some((name, arguments)) = argv.split_first() else {
            return Err("ERR wrong number of arguments for 'cluster' command".to_owned());
        };
        let named = |sub: &&Subcommand| name.eq_ignore_ascii_case(sub.name.as_bytes());
        let Some(sub) = SUBCOMMANDS.iter().find(named) else {
            let name = printable(name);
            return Err(format!("ERR unknown subcommand '{name}'. Try CLUSTER HELP."));
        };
        if !(sub.least..=sub.most).contains(&arguments.len()) {
            return Err(arity(sub.name));
        }
        (sub.run)(self, context, arguments)
    }
}
