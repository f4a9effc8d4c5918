//! MEMORY: what keys cost, and where the memory is.

mod stats;

use super::{ALWAYS, SERVER};
use crate::arguments::integer;
use crate::command::{Command, Flags, KeyUse};
use crate::container::{container, help};
use crate::{Args, Cx, Db, Done, Fail};

pub(super) const MEMORY: Command = Command::new("memory", -2, container)
    .doc(SERVER, "4.0.0", "Depends on subcommand.", "What keys cost, and where the memory is.", "")
    .subcommands(&[
        Command::new("doctor", 2, stats::doctor).tips(REPORT).doc(
            SERVER,
            "4.0.0",
            "O(1)",
            "Says what is wrong with the memory.",
            "",
        ),
        Command::new("help", 2, show_help).flags(ALWAYS).doc(
            SERVER,
            "4.0.0",
            "O(1)",
            "Shows the subcommands.",
            "",
        ),
        Command::new("malloc-stats", 2, malloc_stats).flags(Flags::LOADING).tips(REPORT).doc(
            SERVER,
            "4.0.0",
            "Depends on how much memory is allocated, could be slow",
            "Answers what the allocator tells of itself.",
            "",
        ),
        Command::new("purge", 2, purge).flags(Flags::LOADING).tips(PURGE_TIPS).doc(
            SERVER,
            "4.0.0",
            "Depends on how much memory is allocated, could be slow",
            "Gives free memory back to the system.",
            "",
        ),
        Command::new("stats", 2, stats::stats).tips(REPORT).doc(
            SERVER,
            "4.0.0",
            "O(1)",
            "Answers where the memory is.",
            "",
        ),
        Command::new("usage", -3, usage)
            .flags(Flags::READONLY)
            .keys(2, 2, 1)
            .uses(&[KeyUse::RO])
            .doc(
                SERVER,
                "4.0.0",
                "O(N) where N is the number of samples",
                "Estimates the bytes of memory that a key and its value take.",
                "key [SAMPLES count]",
            ),
    ]);

const REPORT: &[&str] =
    &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];
const PURGE_TIPS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

/// Bytes of a table's bucket for each entry: a word, at the usual load of 6.5 in 8.
const PER_ENTRY: usize = 10;

/// Elements of a large collection that are looked at, unless SAMPLES says another number; 0: all.
const SAMPLES: usize = 5;

fn show_help(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    help(
        cx,
        "MEMORY",
        &[
            "DOCTOR",
            "    What is wrong with the memory, in words.",
            "MALLOC-STATS",
            "    What the allocator tells of itself.",
            "PURGE",
            "    Give free memory back to the system.",
            "STATS",
            "    Where the memory is.",
            "USAGE <key> [SAMPLES <count>]",
            "    Bytes of memory that the key and its value take. Of a large collection so many elements are",
            "    looked at (5 unless said; 0: all).",
        ],
    );
    Ok(())
}

fn malloc_stats(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    cx.reply.verbatim("txt", tessera_store::allocator_report().as_bytes());
    Ok(())
}

fn purge(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    tessera_store::give_back_freed();
    cx.engine.host().purge_memory();
    cx.reply.ok();
    Ok(())
}

fn usage(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let mut samples = SAMPLES;
    for at in (3..args.len()).step_by(2) {
        let count = args.get(at + 1).ok_or(Fail::Syntax)?;
        if !args.is(at, "samples") {
            return Err(Fail::Syntax);
        }
        samples = usize::try_from(integer(count)?).map_err(|_| Fail::Syntax)?;
    }
    match db.peek(db.key(args.at(2), 0)) {
        Some(found) => cx.reply.integer((found.entry().memory(samples) + PER_ENTRY) as i64),
        None => cx.reply.null(),
    }
    Ok(())
}
