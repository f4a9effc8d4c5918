//! CONFIG: the directives of redis.conf at run time.

use super::{ALWAYS, SERVER};
use crate::command::{Command, Flags};
use crate::commands::{container, help};
use crate::{Args, Cx, Db, Done, Fail, Mode};
use tessera_config::{SetContext, SetError};

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
    let patterns: Vec<&[u8]> = args.from(2).collect();
    // Not the turn's own: a CONFIG SET just before, in the same pipeline, counts.
    let found = cx.engine.config().get(&patterns);
    cx.reply.map(found.len());
    for (name, value) in found {
        cx.reply.bulk(name.as_bytes());
        cx.reply.bulk(&value);
    }
    Ok(())
}

fn set(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    if args.len() % 2 == 1 {
        return Err(Fail::Arity("config|set".into()));
    }
    let pairs: Vec<(&[u8], &[u8])> =
        (2..args.len()).step_by(2).map(|at| (args.at(at), args.at(at + 1))).collect();
    let engine = cx.engine;
    let context = SetContext {
        loading: engine.mode().any(Mode::LOADING),
        local_client: cx.session.info.local,
    };
    let _one_at_a_time = engine.config_lock.lock();
    let before = engine.config();
    let mut after = (*before).clone();
    let changed = after.set(&pairs, context).map_err(|error| Fail::text(error.to_string()))?;
    let names: Vec<&'static str> = changed.iter().map(|directive| directive.name).collect();
    engine.set_config(after.clone());
    if let Err((name, reason)) = engine.host().apply_config(&names, &after) {
        engine.set_config((*before).clone());
        return Err(Fail::text(SetError::Refused { name, reason }.to_string()));
    }
    cx.reply.ok();
    Ok(())
}

fn rewrite(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    cx.engine.host().rewrite_config().map_err(|reason| Fail::text(format!("ERR {reason}")))?;
    cx.reply.ok();
    Ok(())
}

fn resetstat(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    cx.engine.stats.reset();
    cx.engine.eviction.reset();
    cx.engine.keyspace.discards().reset_freed();
    cx.reply.ok();
    Ok(())
}
