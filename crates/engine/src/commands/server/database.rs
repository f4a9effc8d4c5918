//! Whole databases.

use super::SERVER;
use crate::arguments::integer;
use crate::command::{Categories, Command, Flags};
use crate::{Args, Cx, Db, Done, Fail};

const ALL_SHARDS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];
const DANGEROUS: Categories = Categories::KEYSPACE.or(Categories::DANGEROUS);

pub(super) const DBSIZE: Command = Command::new("dbsize", 1, dbsize)
    .flags(Flags::READONLY.or(Flags::FAST))
    .categories(Categories::KEYSPACE)
    .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
    .doc(SERVER, "1.0.0", "O(1)", "Answers the number of keys in the database.", "");
pub(super) const FLUSHDB: Command = Command::new("flushdb", -1, flushdb)
    .flags(Flags::WRITE.or(Flags::EXCLUSIVE))
    .categories(DANGEROUS)
    .tips(ALL_SHARDS)
    .doc(
        SERVER,
        "1.0.0",
        "O(1); freeing goes on in the background",
        "Deletes all keys of the database.",
        "[ASYNC|SYNC]",
    );
pub(super) const FLUSHALL: Command = Command::new("flushall", -1, flushall)
    .flags(Flags::WRITE.or(Flags::EXCLUSIVE))
    .categories(DANGEROUS)
    .tips(ALL_SHARDS)
    .doc(
        SERVER,
        "1.0.0",
        "O(1); freeing goes on in the background",
        "Deletes all keys of all databases.",
        "[ASYNC|SYNC]",
    );
pub(super) const SWAPDB: Command = Command::new("swapdb", 3, swapdb)
    .flags(Flags::WRITE.or(Flags::FAST).or(Flags::EXCLUSIVE))
    .categories(DANGEROUS)
    .doc(SERVER, "4.0.0", "O(1)", "Exchanges two databases.", "index1 index2");

fn dbsize(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    let (index, patience) = (db.index, db.patience);
    let counted = db.world().count(index..index + 1, patience);
    cx.reply.integer(counted[0].keys as i64);
    Ok(())
}

/// Empties one database or all. The old data is freed in the background, with SYNC too: the world
/// is not held for it.
fn flush(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>, index: Option<usize>) -> Done {
    match args.len() {
        1 => {}
        2 if args.is(1, "async") || args.is(1, "sync") => {}
        _ => return Err(Fail::Syntax),
    }
    let flushed = db.exclusive().flush(index);
    // Replicas get it even if there was nothing here.
    cx.changed((flushed.keys() as u64).max(1));
    cx.engine.host().free_later(flushed);
    cx.reply.ok();
    Ok(())
}

fn flushdb(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let index = db.index;
    flush(db, cx, args, Some(index))
}

fn flushall(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    flush(db, cx, args, None)
}

fn swapdb(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    if cx.config.cluster.enabled {
        return Err(Fail::text("ERR SWAPDB is not allowed in cluster mode"));
    }
    let index = |at: usize, text: &'static str| {
        integer(args.at(at))
            .ok()
            .and_then(|index| i32::try_from(index).ok())
            .ok_or(Fail::text(text))
    };
    let (a, b) =
        (index(1, "ERR invalid first DB index")?, index(2, "ERR invalid second DB index")?);
    let databases = cx.engine.keyspace.databases();
    let valid = |index: i32| usize::try_from(index).ok().filter(|&index| index < databases);
    let (Some(a), Some(b)) = (valid(a), valid(b)) else {
        return Err(Fail::text("ERR DB index is out of range"));
    };
    let now = db.now;
    db.exclusive().swap(a, b, now);
    cx.changed(1);
    cx.reply.ok();
    Ok(())
}
