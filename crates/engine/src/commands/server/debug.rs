//! DEBUG: what tests of servers need. Only where `enable-debug-command` allows it.

mod digest;
mod lists;
mod protocol;
mod reload;
mod values;

use super::{ALWAYS, SERVER};
use crate::command::{Command, Flags, KeyUse};
use crate::container::{container, help};
use crate::deferred::Task;
use crate::{Args, Cx, Db, DebugRequest, Done, Fail};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tessera_config::table::general::ProtectedAction;

const FLAGS: Flags = ALWAYS.or(Flags::ADMIN).or(Flags::NOSCRIPT);

pub(super) const DEBUG: Command = Command::new("debug", -2, container)
    .flags(FLAGS)
    .doc(SERVER, "1.0.0", "Depends on subcommand.", "What tests of servers need.", "")
    .subcommands(&[
        Command::new("change-repl-id", 2, change_repl_id).flags(FLAGS).doc(
            SERVER,
            "1.0.0",
            "O(1)",
            "Goes on under a new replication id.",
            "",
        ),
        Command::new("close-cluster-link-on-packet-drop", 3, close_on_drop).flags(FLAGS).doc(
            SERVER,
            "1.0.0",
            "O(1)",
            "Says whether a dropped packet of the cluster bus ends its link.",
            "<0|1>",
        ),
        Command::new("digest", 2, digest::digest).flags(FLAGS).doc(
            SERVER,
            "1.0.0",
            "O(N) where N is the number of keys",
            "Answers a digest of all data.",
            "",
        ),
        Command::new("dict-resizing", 3, values::dict_resizing).flags(FLAGS).doc(
            SERVER,
            "7.0.0",
            "O(1)",
            "Does nothing: tables have no other way to grow.",
            "<0|1>",
        ),
        Command::new("digest-value", -2, digest::digest_value)
            .flags(FLAGS)
            .keys(2, -1, 1)
            .uses(&[KeyUse::RO])
            .doc(
                SERVER,
                "5.0.0",
                "O(N) where N is the size of the values",
                "Answers a digest of each key's value.",
                "[key ...]",
            ),
        Command::new("drop-cluster-packet-filter", 3, drop_packets).flags(FLAGS).doc(
            SERVER,
            "1.0.0",
            "O(1)",
            "Drops packets of this type that come over the cluster bus.",
            "type",
        ),
        Command::new("error", 3, error).flags(FLAGS).doc(
            SERVER,
            "1.0.0",
            "O(1)",
            "Answers with this error.",
            "message",
        ),
        Command::new("help", 2, show_help).flags(FLAGS).doc(
            SERVER,
            "1.0.0",
            "O(1)",
            "Shows the subcommands.",
            "",
        ),
        Command::new("htstats", -3, values::htstats).flags(FLAGS).doc(
            SERVER,
            "3.2.0",
            "O(1)",
            "Describes the tables of a database.",
            "db [FULL]",
        ),
        Command::new("htstats-key", -3, values::htstats_key)
            .flags(FLAGS)
            .keys(2, 2, 1)
            .uses(&[KeyUse::RO])
            .doc(
                SERVER,
                "5.0.0",
                "O(N) where N is the size of the value",
                "Describes the table of a large value.",
                "key [FULL]",
            ),
        Command::new("hold", 4, hold).flags(FLAGS.or(Flags::YIELDS)).keys(2, 2, 1).doc(
            SERVER,
            "7.2.4",
            "O(1)",
            "Keeps the slot of a key locked for some seconds, as a long script does.",
            "key seconds",
        ),
        Command::new("jmap", 2, jmap).flags(FLAGS).doc(
            SERVER,
            "1.0.0",
            "O(1)",
            "Does nothing.",
            "",
        ),
        Command::new("listpack", 3, values::listpack)
            .flags(FLAGS)
            .keys(2, 2, 1)
            .uses(&[KeyUse::RO])
            .doc(SERVER, "7.0.0", "O(1)", "Says whether a value is a listpack.", "key"),
        Command::new("log", 3, log).flags(FLAGS).doc(
            SERVER,
            "1.0.0",
            "O(1)",
            "Writes a line to the log.",
            "message",
        ),
        Command::new("object", -3, values::object)
            .flags(FLAGS)
            .keys(2, 2, 1)
            .uses(&[KeyUse::RO])
            .doc(SERVER, "1.0.0", "O(1)", "Describes how a key's value is kept.", "key [FAST]"),
        Command::new("populate", -3, digest::populate).flags(FLAGS).doc(
            SERVER,
            "1.0.0",
            "O(N) where N is the number of keys",
            "Makes so many keys.",
            "count [prefix [size]]",
        ),
        Command::new("protocol", 3, protocol::protocol).flags(FLAGS).doc(
            SERVER,
            "1.0.0",
            "O(1)",
            "Answers with a value of this type.",
            "type",
        ),
        Command::new("quicklist-packed-threshold", 3, lists::packed_threshold).flags(FLAGS).doc(
            SERVER,
            "7.0.0",
            "O(1)",
            "Sets the length from which an element of a list has a node for itself.",
            "size",
        ),
        Command::new("quicklist", -3, values::quicklist)
            .flags(FLAGS)
            .keys(2, 2, 1)
            .uses(&[KeyUse::RO])
            .doc(
                SERVER,
                "7.0.0",
                "O(N) where N is the number of nodes",
                "Describes the nodes of a list.",
                "key [0|1]",
            ),
        Command::new("reload", -2, reload::reload).flags(FLAGS.or(Flags::EXCLUSIVE)).doc(
            SERVER,
            "1.0.0",
            "O(N) where N is the number of keys",
            "Writes all data as RDB and reads it back.",
            "[MERGE] [NOFLUSH] [NOSAVE]",
        ),
        Command::new("set-active-expire", 3, set_active_expire).flags(FLAGS).doc(
            SERVER,
            "1.0.0",
            "O(1)",
            "Says whether expired keys are looked for.",
            "<0|1>",
        ),
        Command::new("set-skip-checksum-validation", 3, values::skip_checksums).flags(FLAGS).doc(
            SERVER,
            "6.2.0",
            "O(1)",
            "Says whether RESTORE takes payloads with wrong checksums.",
            "<0|1>",
        ),
        Command::new("sleep", 3, sleep).flags(FLAGS).doc(
            SERVER,
            "1.0.0",
            "O(1)",
            "Stops this thread for some seconds.",
            "seconds",
        ),
        Command::new("stringmatch-len", 4, values::stringmatch_len).flags(FLAGS).doc(
            SERVER,
            "6.0.0",
            "O(N) where N is the length",
            "Matches a pattern with a string of so many letters.",
            "length pattern",
        ),
    ]);

fn check_allowed(cx: &Cx<'_>) -> Done {
    match cx.config.general.enable_debug_command {
        ProtectedAction::Yes => Ok(()),
        ProtectedAction::Local if cx.session.info.local => Ok(()),
        _ => Err(Fail::text(
            "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it \
             from a local connection, otherwise you need to set this option in the configuration file, and then \
             restart the server.",
        )),
    }
}

fn show_help(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    check_allowed(cx)?;
    help(
        cx,
        "DEBUG",
        &[
            "CHANGE-REPL-ID",
            "    Goes on under a new replication id.",
            "CLOSE-CLUSTER-LINK-ON-PACKET-DROP (0|1)",
            "    Whether a dropped packet of the cluster bus ends its link.",
            "DICT-RESIZING (0|1)",
            "    Does nothing: tables have no other way to grow.",
            "DIGEST",
            "    A digest of all data.",
            "DIGEST-VALUE <key> [<key> ...]",
            "    A digest of each key's value and expiry.",
            "DROP-CLUSTER-PACKET-FILTER <type>",
            "    Drop packets of this type that come over the cluster bus; -1: none, -2: all.",
            "ERROR <message>",
            "    Answers with this error.",
            "HTSTATS <db> [full]",
            "    The tables of a database.",
            "HTSTATS-KEY <key> [full]",
            "    The table of a large set, hash or sorted set.",
            "JMAP",
            "    Does nothing.",
            "LISTPACK <key>",
            "    Whether the value is a listpack.",
            "LOG <message>",
            "    Writes a line to the log.",
            "OBJECT <key>",
            "    How the key's value is kept.",
            "POPULATE <count> [<prefix> [<size>]]",
            "    Make so many keys.",
            "PROTOCOL <type>",
            "    Answers with a value of this type: string, integer, double, bignum, null, array, set, map,",
            "    attrib, push, verbatim, true, false.",
            "QUICKLIST-PACKED-THRESHOLD <size>",
            "    Elements of lists from this length on have a node for themselves; 0: as configured.",
            "QUICKLIST <key> [<0|1>]",
            "    The nodes of a list.",
            "RELOAD [MERGE] [NOFLUSH] [NOSAVE]",
            "    Write all data as RDB, drop it, and read it back. NOFLUSH drops nothing; MERGE lets what was",
            "    written win over what is there.",
            "SET-ACTIVE-EXPIRE (0|1)",
            "    Whether expired keys are looked for.",
            "SET-SKIP-CHECKSUM-VALIDATION (0|1)",
            "    Whether RESTORE takes payloads with wrong checksums.",
            "SLEEP <seconds>",
            "    Stops the thread that reads this.",
            "STRINGMATCH-LEN <length> <pattern>",
            "    Whether the pattern matches a string of so many 'a'.",
        ],
    );
    Ok(())
}

fn error(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_allowed(cx)?;
    cx.reply.error(args.at(2));
    Ok(())
}

fn log(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_allowed(cx)?;
    let line = String::from_utf8_lossy(args.at(2)).into_owned();
    cx.defer(Task::Debug(DebugRequest::Log(line)))
}

fn change_repl_id(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    check_allowed(cx)?;
    cx.defer(Task::Debug(DebugRequest::ChangeReplicationId))
}

fn drop_packets(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_allowed(cx)?;
    let kind =
        i32::try_from(crate::arguments::integer(args.at(2))?).map_err(|_| Fail::NotInteger)?;
    cx.defer(Task::Debug(DebugRequest::DropPackets(kind)))
}

fn close_on_drop(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_allowed(cx)?;
    cx.defer(Task::Debug(DebugRequest::CloseOnDrop(args.at(2) != b"0")))
}

fn jmap(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    check_allowed(cx)?;
    cx.reply.ok();
    Ok(())
}

fn set_active_expire(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_allowed(cx)?;
    cx.engine.active_expiry.store(args.at(2) != b"0", Relaxed);
    cx.reply.ok();
    Ok(())
}

/// How long DEBUG HOLD sleeps before it lets others run.
const HOLD_PAUSE: Duration = Duration::from_micros(500);

fn hold(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_allowed(cx)?;
    let seconds: Option<f64> =
        std::str::from_utf8(args.at(3)).ok().and_then(|text| text.parse().ok());
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let time = time.ok_or(Fail::NotFloat)?.as_micros() as u64;
    let host = cx.engine.host();
    let started = host.clock_us();
    while host.clock_us().saturating_sub(started) < time {
        host.stall(HOLD_PAUSE)?;
        cx.let_others_run();
    }
    cx.reply.ok();
    Ok(())
}

fn sleep(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_allowed(cx)?;
    let seconds = std::str::from_utf8(args.at(2)).ok().and_then(|text| text.parse().ok());
    let time = Duration::try_from_secs_f64(seconds.unwrap_or(0.0)).unwrap_or_default();
    cx.engine.host().stall(time)?;
    // The rest of the turn (of a transaction, clients that waited) is that much later.
    db.now = db.now.plus(time.as_millis() as u64);
    cx.reply.ok();
    Ok(())
}
