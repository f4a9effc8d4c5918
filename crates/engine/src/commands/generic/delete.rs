//! Deleting keys, and asking whether they exist and what they are.

use super::{GENERIC, READ_FAST, WRITE, WRITE_FAST};
use crate::command::{Command, KeyUse};
use crate::{Args, Cx, Db, Done, EventClass};

const SUM: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];

pub(super) const DEL: Command = Command::new("del", -2, delete)
    .flags(WRITE)
    .keys(1, -1, 1)
    .uses(&[KeyUse::RM_DELETE])
    .tips(SUM)
    .doc(
        GENERIC,
        "1.0.0",
        "O(N) where N is the number of keys",
        "Deletes keys, and answers how many there were.",
        "key [key ...]",
    );
pub(super) const UNLINK: Command = Command::new("unlink", -2, delete)
    .flags(WRITE_FAST)
    .keys(1, -1, 1)
    .uses(&[KeyUse::RM_DELETE])
    .tips(SUM)
    .doc(
        GENERIC,
        "4.0.0",
        "O(1) for each key",
        "Deletes keys; what takes long to free is freed later.",
        "key [key ...]",
    );
pub(super) const EXISTS: Command = Command::new("exists", -2, exists)
    .flags(READ_FAST)
    .keys(1, -1, 1)
    .uses(&[KeyUse::RO])
    .tips(SUM)
    .doc(
        GENERIC,
        "1.0.0",
        "O(N) where N is the number of keys",
        "Answers how many of the keys exist; a key that is named twice counts twice.",
        "key [key ...]",
    );
pub(super) const TOUCH: Command = Command::new("touch", -2, touch)
    .flags(READ_FAST)
    .keys(1, -1, 1)
    .uses(&[KeyUse::RO])
    .tips(SUM)
    .doc(
        GENERIC,
        "3.2.1",
        "O(N) where N is the number of keys",
        "Marks keys as just used, and answers how many there are.",
        "key [key ...]",
    );
pub(super) const TYPE: Command = Command::new("type", 2, type_of)
    .flags(READ_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RO])
    .doc(GENERIC, "1.0.0", "O(1)", "Answers the type of a key's value.", "key");

fn delete(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let mut deleted = 0;
    for (ordinal, key) in args.from(1).enumerate() {
        if let Some(found) = db.find(db.key(key, ordinal)) {
            found.delete();
            cx.notify(EventClass::Generic, "del", key);
            deleted += 1;
        }
    }
    cx.changed(deleted);
    cx.reply.integer(deleted as i64);
    Ok(())
}

fn exists(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let mut there = 0;
    for (ordinal, key) in args.from(1).enumerate() {
        there += i64::from(db.look(db.key(key, ordinal)).is_some());
    }
    cx.reply.integer(there);
    Ok(())
}

fn touch(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (mut there, access) = (0, db.access());
    for (ordinal, key) in args.from(1).enumerate() {
        if let Some(mut found) = db.look(db.key(key, ordinal)) {
            // Even for a client whose reads leave no traces: this is what the command is for.
            found.touch(access);
            there += 1;
        }
    }
    cx.reply.integer(there);
    Ok(())
}

fn type_of(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let found = db.look(db.key(args.at(1), 0));
    cx.reply.simple(found.map_or("none", |found| found.kind().name()));
    Ok(())
}
