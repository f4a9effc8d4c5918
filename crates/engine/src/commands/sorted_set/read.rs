//! Asking about members, and counting.

use super::bounds;
use super::{READ_FAST, SORTED_SET, reply_score};
use crate::command::{Command, KeyUse, Touches};
use crate::{Args, Cx, Db, Done, Fail};
use tessera_collections::{Collection, SortedSet};

pub(super) const ZCARD: Command = Command::new("zcard", 2, zcard)
    .flags(READ_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RO])
    .doc(SORTED_SET, "1.2.0", "O(1)", "Answers the number of members of a sorted set.", "key");
pub(super) const ZSCORE: Command = Command::new("zscore", 3, zscore)
    .flags(READ_FAST)
    .keys(1, 1, 1)
    .doc(SORTED_SET, "1.2.0", "O(1)", "Answers the score of a member.", "key member");
pub(super) const ZMSCORE: Command =
    Command::new("zmscore", -3, zmscore).flags(READ_FAST).keys(1, 1, 1).doc(
        SORTED_SET,
        "6.2.0",
        "O(N) where N is the number of members asked for",
        "Answers the scores of several members.",
        "key member [member ...]",
    );
pub(super) const ZRANK: Command =
    Command::new("zrank", -3, zrank).flags(READ_FAST).keys(1, 1, 1).doc(
        SORTED_SET,
        "2.0.0",
        "O(log(N)) where N is the number of members",
        "Answers how many members stand before one.",
        "key member [WITHSCORE]",
    );
pub(super) const ZREVRANK: Command =
    Command::new("zrevrank", -3, zrevrank).flags(READ_FAST).keys(1, 1, 1).doc(
        SORTED_SET,
        "2.0.0",
        "O(log(N)) where N is the number of members",
        "Answers how many members stand behind one.",
        "key member [WITHSCORE]",
    );
pub(super) const ZCOUNT: Command = Command::new("zcount", 4, zcount)
    .flags(READ_FAST)
    .keys(1, 1, 1)
    .doc(
        SORTED_SET,
        "2.0.0",
        "O(log(N)) where N is the number of members",
        "Counts the members whose scores are in a range.",
        "key min max",
    )
    .touches(Touches::Value);
pub(super) const ZLEXCOUNT: Command = Command::new("zlexcount", 4, zlexcount)
    .flags(READ_FAST)
    .keys(1, 1, 1)
    .doc(
        SORTED_SET,
        "2.8.9",
        "O(log(N)) where N is the number of members",
        "Counts the members of a range of texts, in a set whose scores are all the same.",
        "key min max",
    )
    .touches(Touches::Value);

fn zcard(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let found = db.read_as::<SortedSet>(db.key(args.at(1), 0))?;
    cx.reply.integer(found.map_or(0, |found| found.get().len()) as i64);
    Ok(())
}

fn zscore(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let found = db.read_as::<SortedSet>(db.key(args.at(1), 0))?;
    match found.and_then(|found| found.get().score(args.at(2))) {
        Some(score) => reply_score(cx.reply, score),
        None => cx.reply.null(),
    }
    Ok(())
}

fn zmscore(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let found = db.read_as::<SortedSet>(db.key(args.at(1), 0))?;
    cx.reply.array(args.len() - 2);
    for member in args.from(2) {
        match found.as_ref().and_then(|found| found.get().score(member)) {
            Some(score) => reply_score(cx.reply, score),
            None => cx.reply.null(),
        }
    }
    Ok(())
}

fn zrank(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    rank(db, cx, args, false)
}

fn zrevrank(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    rank(db, cx, args, true)
}

fn rank(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>, reverse: bool) -> Done {
    let with_score = match args.len() {
        3 => false,
        4 if args.is(3, "withscore") => true,
        4 => return Err(Fail::Syntax),
        _ => return Err(Fail::Arity(if reverse { "zrevrank" } else { "zrank" }.into())),
    };
    let found = db.read_as::<SortedSet>(db.key(args.at(1), 0))?;
    let place = found.and_then(|found| {
        let (rank, score) = found.get().rank(args.at(2))?;
        Some((if reverse { found.get().len() - 1 - rank } else { rank }, score))
    });
    match place {
        Some((rank, score)) => {
            if with_score {
                cx.reply.array(2);
            }
            cx.reply.integer(rank as i64);
            if with_score {
                reply_score(cx.reply, score);
            }
        }
        None if with_score => cx.reply.null_array(),
        None => cx.reply.null(),
    }
    Ok(())
}

fn zcount(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let range = bounds::scores(args.at(2), args.at(3))?;
    let found = db.read_as::<SortedSet>(db.key(args.at(1), 0))?;
    let count = found.map_or(0, |found| found.get().ranks_by_score(&range).len());
    cx.reply.integer(count as i64);
    Ok(())
}

fn zlexcount(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let range = bounds::texts(args.at(2), args.at(3))?;
    let found = db.read_as::<SortedSet>(db.key(args.at(1), 0))?;
    let count = found.map_or(0, |found| found.get().ranks_by_lex(&range).len());
    cx.reply.integer(count as i64);
    Ok(())
}
