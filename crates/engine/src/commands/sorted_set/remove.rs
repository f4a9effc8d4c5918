//! Removing members, by name or by range.

use super::bounds;
use super::{DELETE, SORTED_SET, WRITE, WRITE_FAST, told, told_gone};
use crate::arguments::integer;
use crate::command::{Command, Touches};
use crate::{Args, Cx, Db, Done};
use std::ops::Range;
use tessera_collections::{Collection, SortedSet};

const COST: &str =
    "O(M log(N)) where N is the number of members and M the number of members removed";

pub(super) const ZREM: Command = Command::new("zrem", -3, zrem)
    .flags(WRITE_FAST)
    .keys(1, 1, 1)
    .uses(DELETE)
    .doc(SORTED_SET, "1.2.0", COST, "Removes members of a sorted set.", "key member [member ...]");
pub(super) const ZREMRANGEBYRANK: Command = Command::new("zremrangebyrank", 4, zremrangebyrank)
    .flags(WRITE)
    .keys(1, 1, 1)
    .uses(DELETE)
    .doc(SORTED_SET, "2.0.0", COST, "Removes the members of a range of ranks.", "key start stop")
    .touches(Touches::Value);
pub(super) const ZREMRANGEBYSCORE: Command = Command::new("zremrangebyscore", 4, zremrangebyscore)
    .flags(WRITE)
    .keys(1, 1, 1)
    .uses(DELETE)
    .doc(
        SORTED_SET,
        "1.2.0",
        COST,
        "Removes the members whose scores are in a range.",
        "key min max",
    )
    .touches(Touches::Value);
pub(super) const ZREMRANGEBYLEX: Command = Command::new("zremrangebylex", 4, zremrangebylex)
    .flags(WRITE)
    .keys(1, 1, 1)
    .uses(DELETE)
    .doc(
        SORTED_SET,
        "2.8.9",
        COST,
        "Removes the members of a range of texts, in a set whose scores are all the same.",
        "key min max",
    )
    .touches(Touches::Value);

fn zrem(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let key = db.key(args.at(1), 0);
    let (mut removed, mut gone) = (0, false);
    if let Some(mut found) = db.find_as::<SortedSet>(key)? {
        for member in args.from(2) {
            let seat = found.get().find(member);
            if seat.score.is_some() {
                found.edit().remove(member, seat);
                removed += 1;
                if found.get().is_empty() {
                    break;
                }
            }
        }
        gone = found.delete_if_empty();
    }
    finish(cx, key.bytes, "zrem", removed, gone);
    Ok(())
}

/// Tells of members that were removed, and answers their number.
fn finish(cx: &mut Cx<'_>, key: &[u8], event: &'static str, removed: usize, gone: bool) {
    if removed > 0 {
        told(cx, key, event, removed as u64);
        if gone {
            told_gone(cx, key);
        }
    }
    cx.reply.integer(removed as i64);
}

fn remove_range(
    db: &mut Db<'_, '_>,
    cx: &mut Cx<'_>,
    args: Args<'_>,
    event: &'static str,
    ranks: impl FnOnce(&SortedSet) -> Range<usize>,
) -> Done {
    let key = db.key(args.at(1), 0);
    let (mut removed, mut gone) = (0, false);
    if let Some(mut found) = db.find_as::<SortedSet>(key)? {
        let ranks = ranks(&found.get());
        removed = ranks.len();
        if removed == found.get().len() {
            found.delete();
            gone = true;
        } else if removed > 0 {
            found.edit().remove_ranks(ranks);
        }
    }
    finish(cx, key.bytes, event, removed, gone);
    Ok(())
}

fn zremrangebyrank(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (start, stop) = (integer(args.at(2))?, integer(args.at(3))?);
    remove_range(db, cx, args, "zremrangebyrank", |set| bounds::ranks(start, stop, set.len()))
}

fn zremrangebyscore(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let range = bounds::scores(args.at(2), args.at(3))?;
    remove_range(db, cx, args, "zremrangebyscore", |set| set.ranks_by_score(&range))
}

fn zremrangebylex(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let range = bounds::texts(args.at(2), args.at(3))?;
    remove_range(db, cx, args, "zremrangebylex", |set| set.ranks_by_lex(&range))
}
