//! Several strings at once.

use super::{READ_FAST, STRING, WRITE, reply_value};
use crate::command::{Command, KeyUse};
use crate::{Args, Cx, Db, Done, Fail};
use tessera_store::NewValue;

pub(super) const MGET: Command = Command::new("mget", -2, mget)
    .flags(READ_FAST)
    .keys(1, -1, 1)
    .tips(&["request_policy:multi_shard"])
    .doc(
        STRING,
        "1.0.0",
        "O(N) where N is the number of keys",
        "Gets the strings of several keys.",
        "key [key ...]",
    );
pub(super) const MSET: Command = Command::new("mset", -3, mset)
    .flags(WRITE)
    .keys(1, -1, 2)
    .uses(super::OVERWRITE)
    .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
    .doc(
        STRING,
        "1.0.1",
        "O(N) where N is the number of keys",
        "Sets the strings of several keys at one moment.",
        "<key value>...",
    );
pub(super) const MSETNX: Command =
    Command::new("msetnx", -3, msetnx).flags(WRITE).keys(1, -1, 2).uses(&[KeyUse::OW_INSERT]).doc(
        STRING,
        "1.0.1",
        "O(N) where N is the number of keys",
        "Sets the strings of several keys if none of them exists.",
        "<key value>...",
    );

fn mget(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    cx.reply.array(args.len() - 1);
    for (ordinal, key) in args.from(1).enumerate() {
        // A key of another type counts as missing.
        match db.read(db.key(key, ordinal)).as_ref().and_then(|found| found.string()) {
            Some(value) => reply_value(cx.reply, value),
            None => cx.reply.null(),
        }
    }
    Ok(())
}

/// The number of pairs.
fn pairs(args: Args<'_>, name: &'static str) -> Result<usize, Fail> {
    if args.len() % 2 == 1 { Ok(args.len() / 2) } else { Err(Fail::Arity(name.into())) }
}

fn store_pairs(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>, pairs: usize) {
    let access = db.access();
    for ordinal in 0..pairs {
        let (key, value) = (args.at(1 + 2 * ordinal), args.at(2 + 2 * ordinal));
        let lookup = db.lookup(db.key(key, ordinal));
        let is_new = crate::db::store(lookup, NewValue::String(value), None, access);
        super::told_of_set(cx, is_new, key);
    }
    cx.changed(pairs as u64);
}

fn mset(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let pairs = pairs(args, "mset")?;
    store_pairs(db, cx, args, pairs);
    cx.reply.ok();
    Ok(())
}

fn msetnx(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let pairs = pairs(args, "msetnx")?;
    for ordinal in 0..pairs {
        if db.find(db.key(args.at(1 + 2 * ordinal), ordinal)).is_some() {
            cx.reply.integer(0);
            return Ok(());
        }
    }
    store_pairs(db, cx, args, pairs);
    cx.reply.integer(1);
    Ok(())
}
