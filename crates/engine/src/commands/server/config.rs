//! CONFIG: the directives of redis.conf at run time.

use super::{ALWAYS, SERVER};
use crate::command::{Command, Flags};
use crate::container::{container, help};
use crate::deferred::Task;
use crate::{Args, Cx, Db, Done, Engine, Fail, Mode};
use tessera_config::{SetContext, SetError};
use tessera_resp::Reply;

const ADMIN: Flags = ALWAYS.or(Flags::ADMIN).or(Flags::NOSCRIPT);
const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

pub(super) const CONFIG: Command = Command::new("config", -2, container)
    .doc(SERVER, "2.0.0", "Depends on subcommand.", "The configuration.", "")
    .subcommands(&[
        Command::new("get", -3, get).flags(ADMIN).doc(
            SERVER,
            "2.0.0",
            "O(N) where N is the number of directives",
            "Answers directives whose names match patterns.",
            "<parameter>...",
        ),
        Command::new("help", 2, show_help).flags(ALWAYS).doc(
            SERVER,
            "5.0.0",
            "O(1)",
            "Shows the subcommands.",
            "",
        ),
        Command::new("resetstat", 2, resetstat).flags(ADMIN).tips(ALL_NODES).doc(
            SERVER,
            "2.0.0",
            "O(1)",
            "Sets the counters that INFO shows to zero.",
            "",
        ),
        Command::new("rewrite", 2, rewrite).flags(ADMIN).tips(ALL_NODES).doc(
            SERVER,
            "2.8.0",
            "O(1)",
            "Writes the configuration to its file.",
            "",
        ),
        Command::new("set", -4, set).flags(ADMIN).tips(ALL_NODES).doc(
            SERVER,
            "2.0.0",
            "O(N) where N is the number of directives",
            "Sets directives, all or none.",
            "<parameter value>...",
        ),
    ]);

fn show_help(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    help(
        cx,
        "CONFIG",
        &[
            "GET <pattern> [<pattern> ...]",
            "    Directives whose names match the patterns, with their values.",
            "SET <directive> <value> [<directive> <value> ...]",
            "    Set directives, all or none.",
            "RESETSTAT",
            "    Set the counters that INFO shows to zero.",
            "REWRITE",
            "    Write the configuration to its file.",
        ],
    );
    Ok(())
}

fn get(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    if cx.may_block || cx.session.is_primary {
        let patterns: Vec<&[u8]> = args.from(2).collect();
        show(cx.engine, &patterns, cx.reply);
        return Ok(());
    }
    // A CONFIG SET before it in the same transaction is carried out first.
    cx.defer(Task::GetConfig { patterns: args.from(2).map(<[u8]>::to_vec).collect() })
}

/// Answers the directives that match. They are not the turn's own: a CONFIG SET just before counts.
pub(crate) fn show<P: AsRef<[u8]>>(engine: &Engine, patterns: &[P], reply: &mut Reply) {
    let mut config = (*engine.config()).clone();
    // REPLICAOF and failovers change it, too.
    config.replication.replicaof = engine.host().followed();
    let found = config.get(patterns);
    reply.map(found.len());
    for (name, value) in found {
        reply.bulk(name.as_bytes());
        reply.bulk(&value);
    }
}

fn set(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    if args.len() % 2 == 1 {
        return Err(Fail::Arity("config|set".into()));
    }
    let pair = |at: usize| (args.at(at).to_vec(), args.at(at + 1).to_vec());
    cx.defer(Task::SetConfig {
        pairs: (2..args.len()).step_by(2).map(pair).collect(),
        loading: cx.engine.mode().any(Mode::LOADING),
        local_client: cx.session.info.local,
    })
}

/// Sets directives, all or none: what can fail is prepared before anything changes.
pub(crate) fn change(
    engine: &Engine,
    pairs: &[(Vec<u8>, Vec<u8>)],
    context: SetContext,
) -> Result<(), Fail> {
    let mut config = (*engine.config()).clone();
    let changed = config.set(pairs, context).map_err(|error| Fail::text(error.to_string()))?;
    if changed.is_empty() {
        return Ok(());
    }
    let prepared = engine.host().prepare_config(&changed, &mut config);
    let change = prepared.map_err(|(name, reason)| {
        Fail::text(SetError::Refused { name: name.to_owned(), reason }.to_string())
    })?;
    engine.set_config(config);
    change.commit();
    Ok(())
}

fn rewrite(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    cx.defer(Task::RewriteConfig)
}

fn resetstat(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    cx.engine.reset_stats();
    cx.reply.ok();
    Ok(())
}
