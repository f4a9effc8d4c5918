//! XINFO: what a stream, its groups and their consumers are like.

use super::{READ, STREAM, VARIES, full, limit, no_group_of, now, reply_entry, reply_id, unfit};
use crate::arguments::integer;
use crate::command::{Command, Flags};
use crate::container::{container, help};
use crate::{Args, Cx, Db, Done, Fail, FoundAs};
use tessera_collections::{Entries, Group, Stream, StreamBody, StreamId};
use tessera_resp::Reply;

pub(super) const XINFO: Command = Command::new("xinfo", -2, container)
    .doc(STREAM, "5.0.0", "Depends on subcommand.", "What streams are like.", "")
    .subcommands(&[
        Command::new("consumers", 4, consumers).flags(READ).keys(2, 2, 1).tips(VARIES).doc(
            STREAM,
            "5.0.0",
            "O(N) with N the number of consumers",
            "Answers the consumers of a group.",
            "key group",
        ),
        Command::new("groups", 3, groups).flags(READ).keys(2, 2, 1).doc(
            STREAM,
            "5.0.0",
            "O(N) with N the number of groups",
            "Answers the consumer groups of a stream.",
            "key",
        ),
        Command::new("help", 2, show_help).flags(Flags::LOADING.or(Flags::STALE)).doc(
            STREAM,
            "5.0.0",
            "O(1)",
            "Shows the subcommands.",
            "",
        ),
        Command::new("stream", -3, stream).flags(READ).keys(2, 2, 1).doc(
            STREAM,
            "5.0.0",
            "O(1), with FULL O(N) with N the number of entries, groups and consumers answered",
            "Answers what a stream is like; with FULL its entries and groups too.",
            "key [FULL [COUNT count]]",
        ),
    ]);

fn show_help(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    help(
        cx,
        "XINFO",
        &[
            "CONSUMERS <key> <group>",
            "    The consumers of a group.",
            "GROUPS <key>",
            "    The groups of a stream.",
            "STREAM <key> [FULL [COUNT <count>]]",
            "    The stream itself; FULL with entries, groups and what is pending, of each",
            "    at most <count> (10 by default, 0 for all).",
        ],
    );
    Ok(())
}

fn find<'g, 'w: 'g, 'k: 'g>(
    db: &'g mut Db<'w, 'k>,
    args: Args<'_>,
) -> Result<FoundAs<'g, 'w, Stream>, Fail> {
    db.read_as::<Stream>(db.key(args.at(2), 0))?.ok_or(Fail::NoSuchKey)
}

/// A number, or nothing if it is not known.
pub(super) fn reply_known(reply: &mut Reply, number: Option<i64>) {
    match number {
        Some(number) => reply.integer(number),
        None => reply.null(),
    }
}

/// The name of a part of an answer, and a number.
pub(super) fn reply_number(reply: &mut Reply, name: &str, number: u64) {
    reply.bulk(name.as_bytes());
    reply.integer(number as i64);
}

/// The name of a part of an answer, and an id.
pub(super) fn reply_named_id(reply: &mut Reply, name: &str, id: StreamId) {
    reply.bulk(name.as_bytes());
    reply_id(reply, id);
}

/// A group's progress: three parts of an answer.
pub(super) fn reply_progress(reply: &mut Reply, entries: &Entries, group: &Group) {
    reply_named_id(reply, "last-delivered-id", group.last_id);
    reply.bulk(b"entries-read");
    reply_known(reply, group.entries_read.map(|read| read as i64));
    reply.bulk(b"lag");
    reply_known(reply, group.lag(entries).map(|lag| lag as i64));
}

fn consumers(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let now = now(cx);
    let found = find(db, args)?;
    let stream = found.get();
    let group = stream.groups.get(args.at(3)).ok_or_else(|| no_group_of(args.at(2), args.at(3)))?;
    let reply = &mut *cx.reply;
    reply.array(group.consumers());
    for consumer in group.iter() {
        reply.map(4);
        reply.bulk(b"name");
        reply.bulk(consumer.name());
        reply_number(reply, "pending", consumer.pending() as u64);
        reply.bulk(b"idle");
        reply.integer(now.saturating_sub(consumer.seen).max(0));
        reply.bulk(b"inactive");
        reply.integer(consumer.active.map_or(-1, |active| now.saturating_sub(active)));
    }
    Ok(())
}

fn groups(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let found = find(db, args)?;
    let (stream, reply) = (found.get(), &mut *cx.reply);
    reply.array(stream.groups.len());
    for (name, group) in &stream.groups {
        reply.map(6);
        reply.bulk(b"name");
        reply.bulk(name);
        reply_number(reply, "consumers", group.consumers() as u64);
        reply_number(reply, "pending", group.pending() as u64);
        reply_progress(reply, &stream.entries, group);
    }
    Ok(())
}

fn stream(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    const DEFAULT_COUNT: usize = 10;
    let found = find(db, args)?;
    let unfit = || unfit("XINFO", args.at(1));
    let count = match args.len() {
        3 => None,
        4 if args.is(3, "full") => Some(DEFAULT_COUNT),
        6 if args.is(3, "full") && args.is(4, "count") => match integer(args.at(5))? {
            0 => Some(usize::MAX),
            count if count < 0 => Some(DEFAULT_COUNT),
            count => Some(limit(count)),
        },
        _ => return Err(unfit()),
    };
    let stream = found.get();
    match count {
        None => reply_short(cx.reply, &stream),
        Some(count) => full::reply_full(cx.reply, &stream, count),
    }
    Ok(())
}

/// The beginning of both forms: seven parts of an answer.
pub(super) fn reply_common(reply: &mut Reply, entries: &Entries) {
    let nodes = entries.nodes() as u64;
    reply_number(reply, "length", entries.len());
    // There is no radix tree here; these are the nodes with entries, and one above them.
    reply_number(reply, "radix-tree-keys", nodes);
    reply_number(reply, "radix-tree-nodes", nodes + 1);
    reply_named_id(reply, "last-generated-id", entries.last_id());
    reply_named_id(reply, "max-deleted-entry-id", entries.max_deleted_id());
    reply_number(reply, "entries-added", entries.added());
    reply_named_id(reply, "recorded-first-entry-id", entries.first_id());
}

fn reply_short(reply: &mut Reply, stream: &StreamBody) {
    let entries = &stream.entries;
    reply.map(10);
    reply_common(reply, entries);
    reply_number(reply, "groups", stream.groups.len() as u64);
    let edges = [
        (&b"first-entry"[..], entries.range(StreamId::MIN, StreamId::MAX).next()),
        (b"last-entry", entries.range_back(StreamId::MIN, StreamId::MAX).next()),
    ];
    for (name, entry) in edges {
        reply.bulk(name);
        match entry {
            Some(entry) => reply_entry(reply, &entry),
            None => reply.null(),
        }
    }
}
