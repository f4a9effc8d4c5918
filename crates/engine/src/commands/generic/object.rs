//! OBJECT: how a value is kept.

use super::{GENERIC, READ};
use crate::command::{Command, Flags, KeyUse};
use crate::container::{container, help};
use crate::{Args, Cx, Db, Done, Fail};
use tessera_store::{Entry, StringRef};

const TIPS: &[&str] = &["nondeterministic_output"];

const fn question(
    name: &'static str,
    handler: crate::Handler,
    since: &'static str,
    summary: &'static str,
) -> Command {
    Command::new(name, 3, handler)
        .flags(READ)
        .keys(2, 2, 1)
        .uses(&[KeyUse::RO])
        .tips(TIPS)
        .doc(GENERIC, since, "O(1)", summary, "key")
}

pub(super) const OBJECT: Command = Command::new("object", -2, container)
    .doc(GENERIC, "2.2.3", "Depends on subcommand.", "How values are kept.", "")
    .subcommands(&[
        question("encoding", encoding, "2.2.3", "Answers the encoding of a key's value."),
        question("freq", freq, "4.0.0", "Answers how often a key is used, under an LFU policy."),
        question("idletime", idletime, "2.2.3", "Answers for how many seconds a key was not used."),
        question("refcount", refcount, "2.2.3", "Answers how many references a value has."),
        Command::new("help", 2, show_help).flags(Flags::LOADING.or(Flags::STALE)).doc(
            GENERIC,
            "6.2.0",
            "O(1)",
            "Shows the subcommands.",
            "",
        ),
    ]);

fn show_help(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    help(
        cx,
        "OBJECT",
        &[
            "ENCODING <key>",
            "    The encoding of the key's value.",
            "FREQ <key>",
            "    How often the key is used, under an LFU policy.",
            "IDLETIME <key>",
            "    Seconds since the key was last used.",
            "REFCOUNT <key>",
            "    The number of references to the key's value.",
        ],
    );
    Ok(())
}

/// The name of the encoding, which tells programs how well a value is packed.
pub(crate) fn encoding_name(entry: &Entry) -> &'static str {
    /// The longest string that Redis keeps in one piece with its header.
    const EMBEDDED_MAX: usize = 44;
    match entry.string() {
        Some(StringRef::Integer(_)) => "int",
        Some(StringRef::Bytes(bytes)) if entry.is_raw() || bytes.len() > EMBEDDED_MAX => "raw",
        Some(StringRef::Bytes(_)) => "embstr",
        None => entry.any_collection().map_or("", |any| any.encoding()),
    }
}

fn encoding(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    match db.look(db.key(args.at(2), 0)) {
        Some(found) => cx.reply.bulk(encoding_name(&found.entry()).as_bytes()),
        None => cx.reply.null(),
    }
    Ok(())
}

fn freq(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let lfu = db.keyspace().lfu();
    match (db.look(db.key(args.at(2), 0)), lfu) {
        (None, _) => cx.reply.null(),
        (Some(found), Some(lfu)) => {
            cx.reply.integer(i64::from(lfu.frequency(found.entry().access(), cx.now)));
        }
        (Some(_), None) => {
            return Err(Fail::text(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. \
                 Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
    }
    Ok(())
}

fn idletime(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (access, is_lfu) = (db.access(), db.keyspace().lfu().is_some());
    match db.look(db.key(args.at(2), 0)) {
        Some(_) if is_lfu => {
            return Err(Fail::text(
                "ERR An LFU maxmemory policy is selected, idle time not tracked. \
                 Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
        Some(found) => {
            cx.reply.integer(i64::from(access.saturating_sub(found.entry().access())));
        }
        None => cx.reply.null(),
    }
    Ok(())
}

/// Nothing is shared.
fn refcount(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    match db.look(db.key(args.at(2), 0)) {
        Some(_) => cx.reply.integer(1),
        None => cx.reply.null(),
    }
    Ok(())
}
