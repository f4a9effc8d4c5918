//! ZUNION, ZINTER, ZDIFF, their storing forms, and ZINTERCARD.

use super::combined::{Aggregate, Combined, Input, Source, count_common};
use super::{ADD, READ, SORTED_SET, STORE, counted_keys, natural, reply_members, store};
use crate::arguments::integer;
use crate::command::{Command, KeyPlace, KeyUse, Keys};
use crate::{Args, Cx, Db, Done, Fail};
use std::ops::Range;
use tessera_collections::parse_double;

const SOURCES: &[(KeyPlace, KeyUse)] = &[(KeyPlace::Counted(1), KeyUse::RO_ACCESS)];
const STORED: &[(KeyPlace, KeyUse)] =
    &[(KeyPlace::At(1), KeyUse::OW_UPDATE), (KeyPlace::Counted(2), KeyUse::RO_ACCESS)];

const UNION_COST: &str =
    "O(N + M log(M)) where N is the size of all sets together and M that of the result";
const INTER_COST: &str =
    "O(N*K + M log(M)) where N is the size of the smallest of K sets and M that of the result";
const DIFF_COST: &str =
    "O(N*K + M log(M)) where N is the size of the first of K sets and M that of the result";

pub(super) const ZUNION: Command = Command {
    keys: Keys::Search { find: |args| Ok(sources(args, 1, "zunion")?.collect()), specs: SOURCES },
    ..Command::new("zunion", -3, zunion).flags(READ).doc(
        SORTED_SET,
        "6.2.0",
        UNION_COST,
        "Answers the members of any of several sorted sets.",
        "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM|MIN|MAX>] [WITHSCORES]",
    )
};
pub(super) const ZINTER: Command = Command {
    keys: Keys::Search { find: |args| Ok(sources(args, 1, "zinter")?.collect()), specs: SOURCES },
    ..Command::new("zinter", -3, zinter).flags(READ).doc(
        SORTED_SET,
        "6.2.0",
        INTER_COST,
        "Answers the members that several sorted sets have in common.",
        "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM|MIN|MAX>] [WITHSCORES]",
    )
};
pub(super) const ZDIFF: Command = Command {
    keys: Keys::Search { find: |args| Ok(sources(args, 1, "zdiff")?.collect()), specs: SOURCES },
    ..Command::new("zdiff", -3, zdiff).flags(READ).doc(
        SORTED_SET,
        "6.2.0",
        DIFF_COST,
        "Answers the members of the first sorted set that are in none of the others.",
        "numkeys key [key ...] [WITHSCORES]",
    )
};
pub(super) const ZINTERCARD: Command = Command {
    keys: Keys::Search {
        find: |args| Ok(sources(args, 1, "zintercard")?.collect()),
        specs: SOURCES,
    },
    ..Command::new("zintercard", -3, zintercard).flags(READ).doc(
        SORTED_SET,
        "7.0.0",
        "O(N*K) where N is the size of the smallest of K sets",
        "Counts the members that several sorted sets have in common.",
        "numkeys key [key ...] [LIMIT limit]",
    )
};
pub(super) const ZUNIONSTORE: Command = Command {
    keys: Keys::Search { find: |args| with_destination(args, "zunionstore"), specs: STORED },
    ..Command::new("zunionstore", -4, zunionstore).flags(ADD).uses(STORE).doc(
        SORTED_SET,
        "2.0.0",
        UNION_COST,
        "Stores the members of any of several sorted sets under a key.",
        "destination-key numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM|MIN|MAX>]",
    )
};
pub(super) const ZINTERSTORE: Command = Command {
    keys: Keys::Search { find: |args| with_destination(args, "zinterstore"), specs: STORED },
    ..Command::new("zinterstore", -4, zinterstore).flags(ADD).uses(STORE).doc(
        SORTED_SET,
        "2.0.0",
        INTER_COST,
        "Stores the members that several sorted sets have in common under a key.",
        "destination-key numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM|MIN|MAX>]",
    )
};
pub(super) const ZDIFFSTORE: Command = Command {
    keys: Keys::Search { find: |args| with_destination(args, "zdiffstore"), specs: STORED },
    ..Command::new("zdiffstore", -4, zdiffstore).flags(ADD).uses(STORE).doc(
        SORTED_SET,
        "6.2.0",
        DIFF_COST,
        "Stores the members of the first sorted set that are in none of the others under a key.",
        "destination-key numkeys key [key ...]",
    )
};

/// The operation on the inputs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// The positions of the inputs, whose number stands at `at`.
fn sources(args: Args<'_>, at: usize, command: &'static str) -> Result<Range<usize>, Fail> {
    counted_keys(args, at, |arg| match usize::try_from(integer(arg)?) {
        Ok(count) if count > 0 => Ok(count),
        _ => {
            let text = format!("ERR at least 1 input key is needed for '{command}' command");
            Err(Fail::text(text))
        }
    })
}

/// The positions of the destination and of the inputs.
fn with_destination(args: Args<'_>, command: &'static str) -> Result<Vec<usize>, Fail> {
    Ok(std::iter::once(1).chain(sources(args, 2, command)?).collect())
}

/// The options behind the keys.
#[derive(Default)]
struct Options {
    /// The position of the first weight.
    weights: Option<usize>,
    aggregate: Aggregate,
    with_scores: bool,
    limit: usize,
}

/// The options that a command has.
#[derive(Clone, Copy, Default)]
struct Allowed {
    weights: bool,
    scores: bool,
    limit: bool,
}

fn options(args: Args<'_>, keys: &Range<usize>, allowed: Allowed) -> Result<Options, Fail> {
    let (mut options, mut at) = (Options::default(), keys.end);
    while at < args.len() {
        let left = args.len() - at;
        if allowed.weights && left > keys.len() && args.is(at, "weights") {
            options.weights = Some(at + 1);
            at += keys.len();
            for weight in at + 1 - keys.len()..=at {
                parse_double(args.at(weight))
                    .ok_or(Fail::text("ERR weight value is not a float"))?;
            }
        } else if allowed.weights && left >= 2 && args.is(at, "aggregate") {
            at += 1;
            options.aggregate = match () {
                () if args.is(at, "sum") => Aggregate::Sum,
                () if args.is(at, "min") => Aggregate::Min,
                () if args.is(at, "max") => Aggregate::Max,
                () => return Err(Fail::Syntax),
            };
        } else if allowed.scores && args.is(at, "withscores") {
            options.with_scores = true;
        } else if allowed.limit && left >= 2 && args.is(at, "limit") {
            at += 1;
            options.limit = natural(args.at(at), "ERR LIMIT can't be negative")?;
        } else {
            return Err(Fail::Syntax);
        }
        at += 1;
    }
    Ok(options)
}

/// The inputs, side by side. `first` is the ordinal of the first among the command's keys.
fn inputs<'g>(
    db: &'g mut Db<'_, '_>,
    args: Args<'_>,
    keys: Range<usize>,
    first: usize,
    weights: Option<usize>,
) -> Result<Vec<Input<'g>>, Fail> {
    let places: Vec<_> =
        keys.enumerate().map(|(index, at)| db.key(args.at(at), first + index)).collect();
    let entries = db.read_many(&places);
    let weight = |index: usize| {
        weights.and_then(|weights| parse_double(args.at(weights + index))).unwrap_or(1.0)
    };
    entries
        .into_iter()
        .enumerate()
        .map(|(index, entry)| Ok(Input { source: Source::of(entry)?, weight: weight(index) }))
        .collect()
}

/// Reads inputs and options. A value of the wrong type comes before a mistake in the options, as in
/// Redis.
fn prepare<'g>(
    db: &'g mut Db<'_, '_>,
    args: Args<'_>,
    keys: Range<usize>,
    first: usize,
    allowed: Allowed,
) -> Result<(Vec<Input<'g>>, Options), Fail> {
    let options = options(args, &keys, allowed);
    let weights = options.as_ref().ok().and_then(|options| options.weights);
    let inputs = inputs(db, args, keys, first, weights)?;
    Ok((inputs, options?))
}

fn combine<'a>(
    operation: Operation,
    inputs: &'a mut [Input<'_>],
    aggregate: Aggregate,
) -> Combined<'a> {
    match operation {
        Operation::Union => Combined::union(inputs, aggregate),
        Operation::Intersection => Combined::intersection(inputs, aggregate),
        Operation::Difference => Combined::difference(inputs),
    }
}

fn answer(
    db: &mut Db<'_, '_>,
    cx: &mut Cx<'_>,
    args: Args<'_>,
    name: &'static str,
    operation: Operation,
) -> Done {
    let keys = sources(args, 1, name)?;
    let weights = operation != Operation::Difference;
    let allowed = Allowed { weights, scores: true, limit: false };
    let (mut inputs, options) = prepare(db, args, keys, 0, allowed)?;
    let combined = combine(operation, &mut inputs, options.aggregate);
    reply_members(cx.reply, combined.iter(), options.with_scores);
    Ok(())
}

fn keep(
    db: &mut Db<'_, '_>,
    cx: &mut Cx<'_>,
    args: Args<'_>,
    name: &'static str,
    operation: Operation,
) -> Done {
    let keys = sources(args, 2, name)?;
    let weights = operation != Operation::Difference;
    let allowed = Allowed { weights, scores: false, limit: false };
    let (mut inputs, options) = prepare(db, args, keys, 1, allowed)?;
    let set = combine(operation, &mut inputs, options.aggregate).to_set(cx.config);
    drop(inputs);
    store(db, cx, db.key(args.at(1), 0), set, name, 1);
    Ok(())
}

fn zunion(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    answer(db, cx, args, "zunion", Operation::Union)
}

fn zinter(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    answer(db, cx, args, "zinter", Operation::Intersection)
}

fn zdiff(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    answer(db, cx, args, "zdiff", Operation::Difference)
}

fn zunionstore(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    keep(db, cx, args, "zunionstore", Operation::Union)
}

fn zinterstore(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    keep(db, cx, args, "zinterstore", Operation::Intersection)
}

fn zdiffstore(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    keep(db, cx, args, "zdiffstore", Operation::Difference)
}

fn zintercard(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let keys = sources(args, 1, "zintercard")?;
    let allowed = Allowed { limit: true, ..Allowed::default() };
    let (mut inputs, options) = prepare(db, args, keys, 0, allowed)?;
    // LIMIT 0 is none.
    let limit = if options.limit == 0 { usize::MAX } else { options.limit };
    cx.reply.integer(count_common(&mut inputs, limit) as i64);
    Ok(())
}
