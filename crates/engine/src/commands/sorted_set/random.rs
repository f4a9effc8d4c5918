//! ZRANDMEMBER.

use super::{READ, SORTED_SET, reply_member, reply_score};
use crate::arguments::integer;
use crate::command::Command;
use crate::commands::repeated::Room;
use crate::{Args, Cx, Db, Done, Engine, Fail};
use std::collections::HashSet;
use tessera_collections::{Collection, SortedSet};
use tessera_resp::Protocol;

pub(super) const ZRANDMEMBER: Command = Command::new("zrandmember", -2, zrandmember)
    .flags(READ)
    .keys(1, 1, 1)
    .tips(&["nondeterministic_output"])
    .doc(
        SORTED_SET,
        "6.2.0",
        "O(M log(N)) where N is the number of members and M the number of members answered",
        "Answers one or several random members.",
        "key [count [WITHSCORES]]",
    );

/// An evenly distributed number below `below`.
fn draw(engine: &Engine, below: usize) -> usize {
    ((u128::from(engine.random()) * below as u128) >> 64) as usize
}

/// This many different ranks of `len`; `count` is at most `len`.
fn distinct(engine: &Engine, count: usize, len: usize) -> Vec<usize> {
    if count * 3 < len {
        // Robert Floyd's: each new number is drawn at most once.
        let mut chosen = HashSet::with_capacity(count);
        return (len - count..len)
            .map(|top| {
                let rank = draw(engine, top + 1);
                let rank = if chosen.insert(rank) { rank } else { top };
                chosen.insert(rank);
                rank
            })
            .collect();
    }
    let mut left = count;
    (0..len)
        .filter(|rank| {
            let takes = draw(engine, len - rank) < left;
            left -= usize::from(takes);
            takes
        })
        .collect()
}

fn zrandmember(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let Some(count) = args.get(2) else { return one(db, cx, args) };
    let out_of_range = || Fail::text("ERR value is out of range");
    let count = integer(count)?;
    if count == i64::MIN {
        return Err(Fail::text(format!(
            "ERR value is out of range, value must between {} and {}",
            -i64::MAX,
            i64::MAX
        )));
    }
    let with_scores = match args.len() {
        3 => false,
        4 if args.is(3, "withscores") => true,
        _ => return Err(Fail::Syntax),
    };
    if with_scores && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(out_of_range());
    }
    let Some(found) = db.read_as::<SortedSet>(db.key(args.at(1), 0))? else {
        cx.reply.array(0);
        return Ok(());
    };
    let (set, engine) = (found.get(), cx.engine);
    let len = set.len();
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let total = if count < 0 { wanted } else { wanted.min(len) };
    let room = Room::of(cx);
    let nested = with_scores && cx.reply.protocol == Protocol::Resp3;
    cx.reply.array(if with_scores && !nested { total.saturating_mul(2) } else { total });
    let mut show = |rank: usize| {
        for (member, score) in set.range(rank..rank + 1, false) {
            if nested {
                cx.reply.array(2);
            }
            reply_member(cx.reply, member);
            if with_scores {
                reply_score(cx.reply, score);
            }
        }
        room.is_left(cx.reply)
    };
    if count < 0 {
        return match (0..wanted).position(|_| !show(draw(engine, len))) {
            Some(last) if last + 1 < wanted => room.used_up(),
            _ => Ok(()),
        };
    }
    distinct(engine, total, len).into_iter().for_each(|rank| _ = show(rank));
    Ok(())
}

fn one(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let Some(found) = db.read_as::<SortedSet>(db.key(args.at(1), 0))? else {
        cx.reply.null();
        return Ok(());
    };
    let set = found.get();
    let rank = draw(cx.engine, set.len());
    for (member, _) in set.range(rank..rank + 1, false) {
        reply_member(cx.reply, member);
    }
    Ok(())
}
