//! Values of single fields, and questions about them.

use super::{HASH, READ_FAST, bulk_or_null};
use crate::command::{Command, KeyUse};
use crate::{Args, Cx, Db, Done};
use tessera_collections::{Collection, Hash};

pub(super) const HGET: Command = Command::new("hget", 3, hget).flags(READ_FAST).keys(1, 1, 1).doc(
    HASH,
    "2.0.0",
    "O(1)",
    "Gets the value of a hash's field.",
    "key field",
);
pub(super) const HMGET: Command =
    Command::new("hmget", -3, hmget).flags(READ_FAST).keys(1, 1, 1).doc(
        HASH,
        "2.0.0",
        "O(N) where N is the number of fields asked for",
        "Gets the values of several fields of a hash.",
        "key field [field ...]",
    );
pub(super) const HLEN: Command =
    Command::new("hlen", 2, hlen).flags(READ_FAST).keys(1, 1, 1).uses(&[KeyUse::RO]).doc(
        HASH,
        "2.0.0",
        "O(1)",
        "Counts the fields of a hash, those which have expired and are still to be removed among them.",
        "key",
    );
pub(super) const HSTRLEN: Command = Command::new("hstrlen", 3, hstrlen)
    .flags(READ_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RO])
    .doc(HASH, "3.2.0", "O(1)", "Answers how long the value of a hash's field is.", "key field");
pub(super) const HEXISTS: Command = Command::new("hexists", 3, hexists)
    .flags(READ_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RO])
    .doc(HASH, "2.0.0", "O(1)", "Tells whether a hash has a field.", "key field");

fn hget(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let as_of = db.field_time();
    match db.read_as::<Hash>(db.key(args.at(1), 0))? {
        Some(found) => bulk_or_null(cx.reply, found.get().get(args.at(2), as_of)),
        None => cx.reply.null(),
    }
    Ok(())
}

fn hmget(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let as_of = db.field_time();
    let found = db.read_as::<Hash>(db.key(args.at(1), 0))?;
    let hash = found.as_ref().map(|found| found.get());
    cx.reply.array(args.len() - 2);
    for field in args.from(2) {
        bulk_or_null(cx.reply, hash.as_ref().and_then(|hash| hash.get(field, as_of)));
    }
    Ok(())
}

fn hlen(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let found = db.read_as::<Hash>(db.key(args.at(1), 0))?;
    cx.reply.integer(found.map_or(0, |found| found.get().len() as i64));
    Ok(())
}

fn hstrlen(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let as_of = db.field_time();
    let found = db.read_as::<Hash>(db.key(args.at(1), 0))?;
    let len = found
        .and_then(|found| found.get().get(args.at(2), as_of).map(|value| value.text_len() as i64));
    cx.reply.integer(len.unwrap_or(0));
    Ok(())
}

fn hexists(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let as_of = db.field_time();
    let found = db.read_as::<Hash>(db.key(args.at(1), 0))?;
    let exists = found.is_some_and(|found| found.get().get(args.at(2), as_of).is_some());
    cx.reply.integer(i64::from(exists));
    Ok(())
}
