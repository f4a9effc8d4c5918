//! XGROUP: making, moving and removing consumer groups and their consumers.

use super::{STREAM, WRITE, ids, no_group_of, notify, now, unfit};
use crate::arguments::integer;
use crate::command::{Command, Flags, KeyUse};
use crate::container::{container, help};
use crate::{Args, Cx, Db, Done, Fail, FoundAs};
use tessera_collections::{Group, Stream, StreamId};

const MAKE: Flags = WRITE.or(Flags::DENYOOM);

pub(super) const XGROUP: Command = Command::new("xgroup", -2, container)
    .doc(STREAM, "5.0.0", "Depends on subcommand.", "Consumer groups of a stream.", "")
    .subcommands(&[
        Command::new("create", -5, create).flags(MAKE).keys(2, 2, 1).uses(&[KeyUse::RW_INSERT]).doc(
            STREAM,
            "5.0.0",
            "O(1)",
            "Makes a consumer group, which goes on behind an id.",
            "key group <id|$> [MKSTREAM] [ENTRIESREAD entries-read]",
        ),
        Command::new("createconsumer", 5, create_consumer)
            .flags(MAKE)
            .keys(2, 2, 1)
            .uses(&[KeyUse::RW_INSERT])
            .doc(STREAM, "6.2.0", "O(1)", "Makes a consumer in a group.", "key group consumer"),
        Command::new("delconsumer", 5, delete_consumer)
            .flags(WRITE)
            .keys(2, 2, 1)
            .uses(&[KeyUse::RW_DELETE])
            .doc(
                STREAM,
                "5.0.0",
                "O(N) with N the number of entries that it has not acknowledged",
                "Deletes a consumer with what it has not acknowledged; answers how many entries that were.",
                "key group consumer",
            ),
        Command::new("destroy", 4, destroy).flags(WRITE).keys(2, 2, 1).uses(&[KeyUse::RW_DELETE]).doc(
            STREAM,
            "5.0.0",
            "O(N) with N the number of entries that are not acknowledged",
            "Deletes a consumer group.",
            "key group",
        ),
        Command::new("help", 2, show_help).flags(Flags::LOADING.or(Flags::STALE)).doc(
            STREAM,
            "5.0.0",
            "O(1)",
            "Shows the subcommands.",
            "",
        ),
        Command::new("setid", -5, set_id).flags(WRITE).keys(2, 2, 1).uses(&[KeyUse::RW_UPDATE]).doc(
            STREAM,
            "5.0.0",
            "O(1)",
            "Sets the id behind which a group goes on.",
            "key group <id|$> [ENTRIESREAD entries-read]",
        ),
    ]);

fn show_help(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    help(
        cx,
        "XGROUP",
        &[
            "CREATE <key> <group> <id|$> [MKSTREAM] [ENTRIESREAD <count>]",
            "    Make a group that goes on behind the id, or behind the last entry ($).",
            "    MKSTREAM makes the stream too if it is not there; ENTRIESREAD says how many",
            "    entries the group has read already.",
            "CREATECONSUMER <key> <group> <consumer>",
            "    Make a consumer.",
            "DELCONSUMER <key> <group> <consumer>",
            "    Delete a consumer, and what it has not acknowledged.",
            "DESTROY <key> <group>",
            "    Delete a group.",
            "SETID <key> <group> <id|$> [ENTRIESREAD <count>]",
            "    Have a group go on behind the id.",
        ],
    );
    Ok(())
}

/// The options behind the id.
#[derive(Default)]
struct Options {
    make_stream: bool,
    entries_read: Option<u64>,
}

impl Options {
    fn parse(args: Args<'_>, may_make: bool) -> Result<Options, Fail> {
        let (mut options, mut at) = (Options::default(), 5);
        while at < args.len() {
            if may_make && args.is(at, "mkstream") {
                options.make_stream = true;
                at += 1;
            } else if args.is(at, "entriesread") && at + 1 < args.len() {
                options.entries_read = match integer(args.at(at + 1))? {
                    -1 => None,
                    read => Some(u64::try_from(read).map_err(|_| {
                        Fail::text("ERR value for ENTRIESREAD must be positive or -1")
                    })?),
                };
                at += 2;
            } else {
                return Err(unfit("XGROUP", args.at(1)));
            }
        }
        Ok(options)
    }
}

fn no_stream() -> Fail {
    Fail::text(
        "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM \
         option to create an empty stream automatically.",
    )
}

fn create(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let options = Options::parse(args, true)?;
    let (key, name) = (db.key(args.at(2), 0), args.at(3));
    let last = {
        let found = db.find_as::<Stream>(key)?;
        if found.is_none() && !options.make_stream {
            return Err(no_stream());
        }
        let last = match args.at(4) {
            b"$" => found.as_ref().map_or(StreamId::MIN, |found| found.get().entries.last_id()),
            text => ids::id(text, 0)?,
        };
        if found.is_some_and(|found| found.get().groups.contains_key(name)) {
            return Err(Fail::text("BUSYGROUP Consumer Group name already exists"));
        }
        last
    };
    let mut is_new = false;
    let mut found = db.find_or_make(key, || {
        is_new = true;
        Stream::new()
    })?;
    let mut group = Group::new(last, None);
    group.set_entries_read(options.entries_read, found.get().entries.added());
    found.edit().groups.insert(name.into(), group);
    if is_new {
        cx.notify_new(key.bytes);
    }
    cx.changed(1);
    notify(cx, "xgroup-create", key);
    cx.reply.ok();
    Ok(())
}

/// The stream of a subcommand that needs it.
fn stream<'g, 'w: 'g, 'k: 'g>(
    db: &'g mut Db<'w, 'k>,
    args: Args<'_>,
) -> Result<FoundAs<'g, 'w, Stream>, Fail> {
    db.find_as::<Stream>(db.key(args.at(2), 0))?.ok_or_else(no_stream)
}

/// The stream of a subcommand that needs its group too.
fn stream_with_group<'g, 'w: 'g, 'k: 'g>(
    db: &'g mut Db<'w, 'k>,
    args: Args<'_>,
) -> Result<FoundAs<'g, 'w, Stream>, Fail> {
    let found = stream(db, args)?;
    if found.get().groups.contains_key(args.at(3)) {
        Ok(found)
    } else {
        Err(no_group_of(args.at(2), args.at(3)))
    }
}

/// Changes the group that [`stream_with_group`] has seen.
fn change<R>(
    found: &mut FoundAs<'_, '_, Stream>,
    args: Args<'_>,
    change: impl FnOnce(&mut Group) -> R,
) -> R {
    change(found.edit().groups.get_mut(args.at(3)).expect("it was seen"))
}

fn set_id(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let options = Options::parse(args, false)?;
    let key = db.key(args.at(2), 0);
    let mut found = stream_with_group(db, args)?;
    let last = match args.at(4) {
        b"$" => found.get().entries.last_id(),
        text => ids::id_or_edge(text, 0)?,
    };
    let added = found.get().entries.added();
    change(&mut found, args, |group| {
        group.last_id = last;
        group.set_entries_read(options.entries_read, added);
    });
    cx.changed(1);
    notify(cx, "xgroup-setid", key);
    cx.reply.ok();
    Ok(())
}

fn destroy(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let key = db.key(args.at(2), 0);
    let mut found = stream(db, args)?;
    let is_there = found.get().groups.contains_key(args.at(3));
    if is_there {
        found.edit().groups.remove(args.at(3));
        cx.changed(1);
        notify(cx, "xgroup-destroy", key);
        // Clients that wait for entries of this group learn that it is gone.
        cx.ready(key);
    }
    cx.reply.integer(i64::from(is_there));
    Ok(())
}

fn create_consumer(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let key = db.key(args.at(2), 0);
    let mut found = stream_with_group(db, args)?;
    let is_new = found.get().groups[args.at(3)].find(args.at(4)).is_none();
    if is_new {
        change(&mut found, args, |group| group.find_or_make(args.at(4), now(cx)));
        cx.changed(1);
        notify(cx, "xgroup-createconsumer", key);
    }
    cx.reply.integer(i64::from(is_new));
    Ok(())
}

fn delete_consumer(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let key = db.key(args.at(2), 0);
    let mut found = stream_with_group(db, args)?;
    let mut pending = 0;
    if found.get().groups[args.at(3)].find(args.at(4)).is_some() {
        let deleted = change(&mut found, args, |group| group.delete_consumer(args.at(4)));
        pending = deleted.unwrap_or(0);
        cx.changed(1);
        notify(cx, "xgroup-delconsumer", key);
    }
    cx.reply.integer(pending as i64);
    Ok(())
}
