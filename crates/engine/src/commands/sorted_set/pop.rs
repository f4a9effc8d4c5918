//! Taking members from an end.

use super::{
    SORTED_SET, TAKE, WRITE, WRITE_FAST, counted_keys, natural, reply_member, reply_score, told,
    told_gone,
};
use crate::arguments::integer;
use crate::command::{Command, KeyPlace, Keys};
use crate::typed::FoundAs;
use crate::{Args, Cx, Db, Done, Fail, Key};
use tessera_collections::{Collection, SortedSet};
use tessera_resp::{Protocol, Reply};

pub(super) const ZPOPMIN: Command =
    Command::new("zpopmin", -2, zpopmin).flags(WRITE_FAST).keys(1, 1, 1).uses(TAKE).doc(
        SORTED_SET,
        "5.0.0",
        "O(M log(N)) where N is the number of members and M the number of members taken",
        "Takes the members with the lowest scores out.",
        "key [count]",
    );
pub(super) const ZPOPMAX: Command =
    Command::new("zpopmax", -2, zpopmax).flags(WRITE_FAST).keys(1, 1, 1).uses(TAKE).doc(
        SORTED_SET,
        "5.0.0",
        "O(M log(N)) where N is the number of members and M the number of members taken",
        "Takes the members with the highest scores out.",
        "key [count]",
    );
pub(super) const ZMPOP: Command = Command {
    keys: Keys::Search {
        find: |args| Ok(many_keys(args, 1)?.collect()),
        specs: &[(KeyPlace::Counted(1), TAKE[0])],
    },
    ..Command::new("zmpop", -4, zmpop).flags(WRITE).uses(TAKE).doc(
        SORTED_SET,
        "7.0.0",
        "O(K + M log(N)) for K keys, N members of the set and M members taken",
        "Takes members from an end of the first of several sorted sets that has some.",
        "numkeys key [key ...] <MIN|MAX> [COUNT count]",
    )
};

/// An end of a sorted set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    Min,
    Max,
}

impl End {
    /// The command that takes from this end.
    pub(super) fn command(self) -> &'static str {
        match self {
            End::Min => "zpopmin",
            End::Max => "zpopmax",
        }
    }
}

/// How members that are taken are answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    /// Member, score, member, score …
    Flat,
    /// Pairs.
    Pairs,
    /// The key, member, score.
    KeyFlat,
    /// The key, pairs.
    KeyPairs,
}

impl Shape {
    fn begin(self, reply: &mut Reply, key: &[u8], count: usize) {
        match self {
            Shape::Flat => reply.array(count * 2),
            Shape::Pairs => reply.array(count),
            Shape::KeyFlat => {
                reply.array(count * 2 + 1);
                reply.bulk(key);
            }
            Shape::KeyPairs => {
                reply.array(2);
                reply.bulk(key);
                reply.array(count);
            }
        }
    }
}

/// Takes up to `count` members, which is not 0, from an end, and answers them; gives how many.
pub(super) fn take(
    cx: &mut Cx<'_>,
    key: &[u8],
    mut found: FoundAs<'_, '_, SortedSet>,
    end: End,
    count: usize,
    shape: Shape,
) -> usize {
    let len = found.get().len();
    let count = count.min(len);
    let ranks = match end {
        End::Min => 0..count,
        End::Max => len - count..len,
    };
    shape.begin(cx.reply, key, count);
    for (member, score) in found.get().range(ranks.clone(), end == End::Max) {
        if matches!(shape, Shape::Pairs | Shape::KeyPairs) {
            cx.reply.array(2);
        }
        reply_member(cx.reply, member);
        reply_score(cx.reply, score);
    }
    let gone = count == len;
    if gone {
        found.delete();
    } else {
        found.edit().remove_ranks(ranks);
    }
    told(cx, key, end.command(), count as u64);
    if gone {
        told_gone(cx, key);
    }
    count
}

fn pop(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>, end: End) -> Done {
    let (count, shape) = match args.len() {
        2 => (1, Shape::Flat),
        3 => {
            let count = natural(args.at(2), "ERR value is out of range, must be positive")?;
            let nested = cx.reply.protocol == Protocol::Resp3;
            (count, if nested { Shape::Pairs } else { Shape::Flat })
        }
        _ => return Err(Fail::Syntax),
    };
    let key = db.key(args.at(1), 0);
    match db.find_as::<SortedSet>(key)? {
        Some(found) if count > 0 => {
            take(cx, key.bytes, found, end, count, shape);
        }
        _ => cx.reply.array(0),
    }
    Ok(())
}

fn zpopmin(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    pop(db, cx, args, End::Min)
}

fn zpopmax(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    pop(db, cx, args, End::Max)
}

/// The positions of the keys of ZMPOP and BZMPOP, whose number stands at `at`.
pub(super) fn many_keys(args: Args<'_>, at: usize) -> Result<std::ops::Range<usize>, Fail> {
    counted_keys(args, at, |arg| {
        let count = integer(arg).ok().and_then(|count| usize::try_from(count).ok());
        count.filter(|&count| count > 0).ok_or(Fail::text("ERR numkeys should be greater than 0"))
    })
}

/// The options of ZMPOP and BZMPOP behind the keys: the end and the number.
pub(super) fn end_and_count(args: Args<'_>, mut at: usize) -> Result<(End, usize), Fail> {
    let end = match () {
        () if args.is(at, "min") => End::Min,
        () if args.is(at, "max") => End::Max,
        () => return Err(Fail::Syntax),
    };
    let mut count = None;
    at += 1;
    while at < args.len() {
        if count.is_some() || !args.is(at, "count") || at + 1 == args.len() {
            return Err(Fail::Syntax);
        }
        let number = integer(args.at(at + 1)).ok().and_then(|number| usize::try_from(number).ok());
        let number = number.filter(|&number| number > 0);
        count = Some(number.ok_or(Fail::text("ERR count should be greater than 0"))?);
        at += 2;
    }
    Ok((end, count.unwrap_or(1)))
}

/// Has replicas take the same members in the form that needs no search.
pub(super) fn propagate(cx: &mut Cx<'_>, end: End, key: &[u8], count: Option<usize>) {
    cx.propagate_instead(|| {
        let count = count.map(|count| count.to_string().into_bytes());
        let name = end.command().to_ascii_uppercase().into_bytes();
        [name, key.to_vec()].into_iter().chain(count).collect()
    });
}

fn zmpop(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let keys = many_keys(args, 1)?;
    let (end, count) = end_and_count(args, keys.end)?;
    for (ordinal, at) in keys.enumerate() {
        let key: Key<'_> = db.key(args.at(at), ordinal);
        if let Some(found) = db.find_as::<SortedSet>(key)? {
            let taken = take(cx, key.bytes, found, end, count, Shape::KeyPairs);
            propagate(cx, end, key.bytes, Some(taken));
            return Ok(());
        }
    }
    cx.reply.null_array();
    Ok(())
}
