//! ZADD and ZINCRBY.

use super::{ADD_FAST, SORTED_SET, limits, reply_score, told};
use crate::command::{Command, KeyUse, Touches};
use crate::typed::FoundAs;
use crate::{Args, Cx, Db, Done, Fail};
use tessera_collections::sorted_set::Limits;
use tessera_collections::{Collection, SortedSet, parse_double};

pub(super) const ZADD: Command = Command::new("zadd", -4, zadd)
    .flags(ADD_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_UPDATE])
    .doc(
        SORTED_SET,
        "1.2.0",
        "O(M log(N)) to add M members, where N is the number of members",
        "Adds members with their scores to a sorted set, or changes their scores.",
        "key [NX|XX] [GT|LT] [CH] [INCR] <score member>...",
    )
    .touches(Touches::Member(3));
pub(super) const ZINCRBY: Command = Command::new("zincrby", 4, zincrby)
    .flags(ADD_FAST)
    .keys(1, 1, 1)
    .doc(
        SORTED_SET,
        "1.2.0",
        "O(log(N)) where N is the number of members",
        "Adds to the score of a member; a missing member counts as 0.",
        "key increment-float member",
    )
    .touches(Touches::Member(3));

/// When a member is added, and when its score changes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Condition {
    /// NX: only members that are not there.
    pub(crate) new: bool,
    /// XX: only members that are there.
    pub(crate) old: bool,
    /// GT: a score changes only to a greater one.
    pub(crate) greater: bool,
    /// LT: a score changes only to a lower one.
    pub(crate) less: bool,
    /// INCR: the score is added to the present one.
    pub(crate) increment: bool,
}

/// The outcome.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    /// Members added.
    pub(crate) added: u64,
    /// Scores changed.
    pub(crate) updated: u64,
}

fn not_a_number() -> Fail {
    Fail::text("ERR resulting score is not a number (NaN)")
}

/// Gives a member a score, as far as the condition allows: its score then, unless the condition
/// forbade it.
///
/// # Errors
/// If the sum of an increment is none.
pub(crate) fn add_one(
    found: &mut FoundAs<'_, '_, SortedSet>,
    member: &[u8],
    score: f64,
    condition: Condition,
    limits: Limits,
    tally: &mut Tally,
) -> Result<Option<f64>, Fail> {
    let seat = found.get().find(member);
    let Some(current) = seat.score else {
        if condition.old {
            return Ok(None);
        }
        found.edit().put(member, seat, score, limits);
        tally.added += 1;
        return Ok(Some(score));
    };
    if condition.new {
        return Ok(None);
    }
    let score = if condition.increment { current + score } else { score };
    if score.is_nan() {
        return Err(not_a_number());
    }
    if condition.less && score >= current || condition.greater && score <= current {
        return Ok(None);
    }
    if score != current {
        found.edit().put(member, seat, score, limits);
        tally.updated += 1;
    }
    Ok(Some(score))
}

struct Options {
    condition: Condition,
    /// CH: changed scores are counted, too.
    changed: bool,
    /// The position of the first score.
    first: usize,
}

fn options(args: Args<'_>, increment: bool) -> Result<Options, Fail> {
    let mut condition = Condition { increment, ..Condition::default() };
    let (mut changed, mut at) = (false, 2);
    while at < args.len() {
        let option = match args.at(at) {
            // No option is longer, and scores rarely begin with a letter.
            word if word.len() > 4 || !word.first().is_some_and(u8::is_ascii_alphabetic) => break,
            _ if args.is(at, "nx") => &mut condition.new,
            _ if args.is(at, "xx") => &mut condition.old,
            _ if args.is(at, "gt") => &mut condition.greater,
            _ if args.is(at, "lt") => &mut condition.less,
            _ if args.is(at, "ch") => &mut changed,
            _ if args.is(at, "incr") => &mut condition.increment,
            _ => break,
        };
        *option = true;
        at += 1;
    }
    let pairs = args.len() - at;
    if pairs == 0 || pairs % 2 == 1 {
        return Err(Fail::Syntax);
    }
    let Condition { new, old, greater, less, increment } = condition;
    if new && old {
        return Err(Fail::text("ERR XX and NX options at the same time are not compatible"));
    }
    if new && (greater || less) || greater && less {
        return Err(Fail::text(
            "ERR GT, LT, and/or NX options at the same time are not compatible",
        ));
    }
    if increment && pairs > 2 {
        return Err(Fail::text("ERR INCR option supports a single increment-element pair"));
    }
    Ok(Options { condition, changed, first: at })
}

fn score(arg: &[u8]) -> Result<f64, Fail> {
    parse_double(arg).ok_or(Fail::NotFloat)
}

fn zadd(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    add(db, cx, args, false)
}

fn zincrby(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    add(db, cx, args, true)
}

fn add(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>, increment: bool) -> Done {
    let Options { condition, changed, first } = options(args, increment)?;
    // All scores are read before anything changes.
    let (first_score, mut longest) = (score(args.at(first))?, args.at(first + 1).len());
    for at in (first + 2..args.len()).step_by(2) {
        score(args.at(at))?;
        longest = longest.max(args.at(at + 1).len());
    }
    let (limits, count) = (limits(cx.config), (args.len() - first) / 2);
    let key = db.key(args.at(1), 0);
    let found = if condition.old {
        db.find_as(key)?
    } else {
        Some(db.find_or_make(key, || SortedSet::with_room(count, longest, limits))?)
    };
    let (mut tally, mut result, mut is_new) = (Tally::default(), None, false);
    if let Some(mut found) = found {
        is_new = found.get().is_empty();
        if found.get().lacks_room(count, longest, limits) {
            found.edit().make_room(count, longest, limits);
        }
        for at in (first..args.len()).step_by(2) {
            let score = if at == first { first_score } else { score(args.at(at))? };
            result = add_one(&mut found, args.at(at + 1), score, condition, limits, &mut tally)?;
        }
    }
    if is_new {
        cx.notify_new(key.bytes);
    }
    if tally.added + tally.updated > 0 {
        let event = if condition.increment { "zincr" } else { "zadd" };
        told(cx, key.bytes, event, tally.added + tally.updated);
    }
    match result {
        _ if !condition.increment => {
            let updated = if changed { tally.updated } else { 0 };
            cx.reply.integer((tally.added + updated) as i64);
        }
        Some(score) => reply_score(cx.reply, score),
        None => cx.reply.null(),
    }
    Ok(())
}
