//! ZRANGE with all its options, its older forms, and ZRANGESTORE.

use super::bounds;
use super::{ADD, READ, SORTED_SET, STORE, limits, reply_members, store};
use crate::arguments::integer;
use crate::command::{Command, Touches};
use crate::{Args, Cx, Db, Done, Fail};
use std::ops::Range;
use tessera_collections::sorted_set::{LexRange, ScoreRange};
use tessera_collections::{Collection, SortedSet};

const COST: &str =
    "O(log(N)+M) where N is the number of members and M the number of members answered";

pub(super) const ZRANGE: Command = Command::new("zrange", -4, zrange)
    .flags(READ)
    .keys(1, 1, 1)
    .doc(
        SORTED_SET,
        "1.2.0",
        COST,
        "Answers a range of members, by rank, score or text.",
        "key start stop [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]",
    )
    .touches(Touches::Value);
pub(super) const ZREVRANGE: Command = Command::new("zrevrange", -4, zrevrange)
    .flags(READ)
    .keys(1, 1, 1)
    .doc(
        SORTED_SET,
        "1.2.0",
        COST,
        "Answers a range of members by rank, the highest scores first.",
        "key start stop [WITHSCORES]",
    )
    .touches(Touches::Value);
pub(super) const ZRANGEBYSCORE: Command = Command::new("zrangebyscore", -4, zrangebyscore)
    .flags(READ)
    .keys(1, 1, 1)
    .doc(
        SORTED_SET,
        "1.0.5",
        COST,
        "Answers the members whose scores are in a range.",
        "key min max [WITHSCORES] [LIMIT offset count]",
    )
    .touches(Touches::Value);
pub(super) const ZREVRANGEBYSCORE: Command = Command::new("zrevrangebyscore", -4, zrevrangebyscore)
    .flags(READ)
    .keys(1, 1, 1)
    .doc(
        SORTED_SET,
        "2.2.0",
        COST,
        "Answers the members whose scores are in a range, the highest first.",
        "key max min [WITHSCORES] [LIMIT offset count]",
    )
    .touches(Touches::Value);
pub(super) const ZRANGEBYLEX: Command = Command::new("zrangebylex", -4, zrangebylex)
    .flags(READ)
    .keys(1, 1, 1)
    .doc(
        SORTED_SET,
        "2.8.9",
        COST,
        "Answers the members of a range of texts, in a set whose scores are all the same.",
        "key min max [LIMIT offset count]",
    )
    .touches(Touches::Value);
pub(super) const ZREVRANGEBYLEX: Command =
    Command::new("zrevrangebylex", -4, zrevrangebylex).flags(READ).keys(1, 1, 1).doc(
        SORTED_SET,
        "2.8.9",
        COST,
        "Answers the members of a range of texts backwards, in a set whose scores are all the same.",
        "key max min [LIMIT offset count]",
    ).touches(Touches::Value);
pub(super) const ZRANGESTORE: Command =
    Command::new("zrangestore", -5, zrangestore).flags(ADD).keys(1, 2, 1).uses(STORE).doc(
        SORTED_SET,
        "6.2.0",
        "O(log(N)+M) where N is the number of members and M the number of members stored",
        "Stores a range of members of a sorted set under another key.",
        "dst-key src-key min max [BYSCORE|BYLEX] [REV] [LIMIT offset count]",
    );

/// The dimension of a range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// The form that the command's name fixes; the rest are options.
#[derive(Clone, Copy, Default)]
struct Form {
    by: Option<By>,
    reverse: Option<bool>,
    /// The position of the key.
    key: usize,
    stores: bool,
}

enum Bounds<'a> {
    Ranks(i64, i64),
    Scores(ScoreRange),
    Texts(LexRange<'a>),
}

struct Query<'a> {
    bounds: Bounds<'a>,
    reverse: bool,
    with_scores: bool,
    offset: i64,
    limit: i64,
}

impl<'a> Query<'a> {
    fn parse(args: Args<'a>, form: Form) -> Result<Query<'a>, Fail> {
        let (mut by, mut reverse) = (form.by, form.reverse);
        let (mut with_scores, mut offset, mut limit) = (false, 0, -1);
        let mut at = form.key + 3;
        while at < args.len() {
            if !form.stores && args.is(at, "withscores") {
                with_scores = true;
            } else if args.is(at, "limit") && at + 2 < args.len() {
                (offset, limit) = (integer(args.at(at + 1))?, integer(args.at(at + 2))?);
                at += 2;
            } else if reverse.is_none() && args.is(at, "rev") {
                reverse = Some(true);
            } else if by.is_none() && args.is(at, "bylex") {
                by = Some(By::Lex);
            } else if by.is_none() && args.is(at, "byscore") {
                by = Some(By::Score);
            } else {
                return Err(Fail::Syntax);
            }
            at += 1;
        }
        let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(false));
        if limit != -1 && by == By::Rank {
            return Err(Fail::text(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && by == By::Lex {
            return Err(Fail::text(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        let (first, second) = (args.at(form.key + 1), args.at(form.key + 2));
        // Backwards, the higher end comes first.
        let (min, max) = if reverse { (second, first) } else { (first, second) };
        let bounds = match by {
            By::Rank => Bounds::Ranks(integer(first)?, integer(second)?),
            By::Score => Bounds::Scores(bounds::scores(min, max)?),
            By::Lex => Bounds::Texts(bounds::texts(min, max)?),
        };
        Ok(Query { bounds, reverse, with_scores, offset, limit })
    }

    /// The ranks of the members that are asked for.
    fn ranks(&self, set: &SortedSet) -> Range<usize> {
        let ranks = match &self.bounds {
            &Bounds::Ranks(start, stop) => {
                let len = set.len();
                let ranks = bounds::ranks(start, stop, len);
                return if self.reverse { len - ranks.end..len - ranks.start } else { ranks };
            }
            Bounds::Scores(range) => set.ranks_by_score(range),
            Bounds::Texts(range) => set.ranks_by_lex(range),
        };
        let Ok(offset) = usize::try_from(self.offset) else { return 0..0 };
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let left = ranks.len().saturating_sub(offset).min(limit);
        if self.reverse {
            let end = ranks.end - offset.min(ranks.len());
            end - left..end
        } else {
            let start = ranks.start + offset.min(ranks.len());
            start..start + left
        }
    }
}

fn answer(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>, form: Form) -> Done {
    let query = Query::parse(args, form)?;
    match db.read_as::<SortedSet>(db.key(args.at(form.key), 0))? {
        None => cx.reply.array(0),
        Some(found) => {
            let set = found.get();
            let members = set.range(query.ranks(&set), query.reverse);
            reply_members(cx.reply, members, query.with_scores);
        }
    }
    Ok(())
}

const fn form(by: Option<By>, reverse: Option<bool>) -> Form {
    Form { by, reverse, key: 1, stores: false }
}

fn zrange(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    answer(db, cx, args, form(None, None))
}

fn zrevrange(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    answer(db, cx, args, form(Some(By::Rank), Some(true)))
}

fn zrangebyscore(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    answer(db, cx, args, form(Some(By::Score), Some(false)))
}

fn zrevrangebyscore(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    answer(db, cx, args, form(Some(By::Score), Some(true)))
}

fn zrangebylex(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    answer(db, cx, args, form(Some(By::Lex), Some(false)))
}

fn zrevrangebylex(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    answer(db, cx, args, form(Some(By::Lex), Some(true)))
}

fn zrangestore(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let query = Query::parse(args, Form { key: 2, stores: true, ..Form::default() })?;
    let limits = limits(cx.config);
    let result = match db.read_as::<SortedSet>(db.key(args.at(2), 1))? {
        None => SortedSet::new(),
        Some(found) => {
            let set = found.get();
            SortedSet::from_sorted(set.range(query.ranks(&set), false), limits)
        }
    };
    store(db, cx, db.key(args.at(1), 0), result, "zrangestore", 1);
    Ok(())
}
