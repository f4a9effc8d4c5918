//! Intersection, union and difference.

use super::{READ, SET, WRITE, limits, reply_member, reply_set};
use crate::arguments::integer;
use crate::command::{Command, KeyPlace, KeyUse, Keys};
use crate::db::Key;
use crate::{Args, Cx, Db, Done, EventClass, Fail};
use std::ops::ControlFlow;
use tessera_collections::set::{Limits, algebra};
use tessera_collections::{Collection, Set};
use tessera_store::CollectionRef;

const TIPS: &[&str] = &["nondeterministic_output_order"];
const MEET: &str = "O(N*M) where N is the size of the smallest set and M is the number of sets";
const ALL: &str = "O(N) where N is the number of members of all sets together";
const INTO: &[KeyUse] = &[KeyUse::OW_UPDATE, KeyUse::RO_ACCESS];

pub(super) const SINTER: Command = Command::new("sinter", -2, sinter)
    .flags(READ)
    .keys(1, -1, 1)
    .tips(TIPS)
    .doc(SET, "1.0.0", MEET, "Answers the members that all sets have.", "key [key ...]");
pub(super) const SINTERSTORE: Command =
    Command::new("sinterstore", -3, sinterstore).flags(WRITE).keys(1, -1, 1).uses(INTO).doc(
        SET,
        "1.0.0",
        MEET,
        "Stores the members that all sets have as a set.",
        "destination key [key ...]",
    );
pub(super) const SINTERCARD: Command = Command {
    keys: Keys::Search { find: counted_keys, specs: &[(KeyPlace::Counted(1), KeyUse::RO_ACCESS)] },
    ..Command::new("sintercard", -3, sintercard).flags(READ).doc(
        SET,
        "7.0.0",
        MEET,
        "Answers the number of members that all sets have, or the limit if there are more.",
        "numkeys key [key ...] [LIMIT limit]",
    )
};
pub(super) const SUNION: Command = Command::new("sunion", -2, sunion)
    .flags(READ)
    .keys(1, -1, 1)
    .tips(TIPS)
    .doc(SET, "1.0.0", ALL, "Answers the members of all sets.", "key [key ...]");
pub(super) const SUNIONSTORE: Command =
    Command::new("sunionstore", -3, sunionstore).flags(WRITE).keys(1, -1, 1).uses(INTO).doc(
        SET,
        "1.0.0",
        ALL,
        "Stores the members of all sets as a set.",
        "destination key [key ...]",
    );
pub(super) const SDIFF: Command =
    Command::new("sdiff", -2, sdiff).flags(READ).keys(1, -1, 1).tips(TIPS).doc(
        SET,
        "1.0.0",
        ALL,
        "Answers the members of the first set that no other has.",
        "key [key ...]",
    );
pub(super) const SDIFFSTORE: Command =
    Command::new("sdiffstore", -3, sdiffstore).flags(WRITE).keys(1, -1, 1).uses(INTO).doc(
        SET,
        "1.0.0",
        ALL,
        "Stores the members of the first set that no other has as a set.",
        "destination key [key ...]",
    );

type Operand<'a> = Option<CollectionRef<'a, Set>>;

/// The command's keys from argument `start` on, of which that one is key number `ordinal`.
fn keys<'a>(db: &Db<'_, '_>, args: Args<'a>, start: usize, ordinal: usize) -> Vec<Key<'a>> {
    args.from(start).enumerate().map(|(index, key)| db.key(key, ordinal + index)).collect()
}

/// The sets, unless one of them is missing.
fn all_of<'a>(operands: &'a [Operand<'_>]) -> Option<Vec<&'a Set>> {
    operands.iter().map(Option::as_deref).collect()
}

/// The sets without those that are missing.
fn some_of<'a>(operands: &'a [Operand<'_>]) -> Vec<&'a Set> {
    operands.iter().filter_map(Option::as_deref).collect()
}

fn sinter(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let operands = db.read_many_as(&keys(db, args, 1, 0))?;
    let Some(mut sets) = all_of(&operands) else {
        cx.reply.set(0);
        return Ok(());
    };
    reply_set(cx.reply, |reply| {
        let mut count = 0;
        algebra::intersection(&mut sets, |member| {
            reply_member(reply, member);
            count += 1;
            ControlFlow::Continue(())
        });
        count
    });
    Ok(())
}

/// The number of keys that SINTERCARD says it has.
fn key_count(args: Args<'_>) -> Result<usize, Fail> {
    let count = integer(args.at(1)).ok().filter(|&count| count > 0);
    let count = count.ok_or(Fail::text("ERR numkeys should be greater than 0"))?;
    usize::try_from(count)
        .ok()
        .filter(|&count| count <= args.len() - 2)
        .ok_or(Fail::text("ERR Number of keys can't be greater than number of args"))
}

/// A count of keys that cannot be is for the handler to complain about.
fn counted_keys(args: Args<'_>) -> Result<Vec<usize>, Fail> {
    Ok(key_count(args).map_or(Vec::new(), |count| (2..2 + count).collect()))
}

fn sintercard(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let numkeys = key_count(args)?;
    let (mut limit, mut at) = (usize::MAX, 2 + numkeys);
    while at < args.len() {
        let value = args.get(at + 1).filter(|_| args.is(at, "limit")).ok_or(Fail::Syntax)?;
        let number = integer(value).ok().and_then(|limit| usize::try_from(limit).ok());
        limit = match number.ok_or(Fail::text("ERR LIMIT can't be negative"))? {
            0 => usize::MAX,
            limit => limit,
        };
        at += 2;
    }
    let keys: Vec<_> =
        args.from(2).take(numkeys).enumerate().map(|(n, key)| db.key(key, n)).collect();
    let operands = db.read_many_as(&keys)?;
    let mut count = 0;
    if let Some(mut sets) = all_of(&operands) {
        algebra::intersection(&mut sets, |_| {
            count += 1;
            if count < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
    }
    cx.reply.integer(count as i64);
    Ok(())
}

fn sunion(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let operands = db.read_many_as(&keys(db, args, 1, 0))?;
    reply_set(cx.reply, |reply| {
        let mut count = 0;
        algebra::union(&some_of(&operands), |member| {
            reply_member(reply, member);
            count += 1;
        });
        count
    });
    Ok(())
}

fn sdiff(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let operands = db.read_many_as(&keys(db, args, 1, 0))?;
    let Some((Some(first), others)) = operands.split_first() else {
        cx.reply.set(0);
        return Ok(());
    };
    reply_set(cx.reply, |reply| {
        let mut count = 0;
        algebra::difference(first, &mut some_of(others), |member| {
            reply_member(reply, member);
            count += 1;
        });
        count
    });
    Ok(())
}

/// Stores what `make` makes of the sets; `None` is the empty set.
fn store(
    db: &mut Db<'_, '_>,
    cx: &mut Cx<'_>,
    args: Args<'_>,
    event: &'static str,
    make: impl FnOnce(&[Operand<'_>], &Limits) -> Option<Set>,
) -> Done {
    let operands = db.read_many_as(&keys(db, args, 2, 1))?;
    let result = make(&operands, &limits(cx)).filter(|set| !set.is_empty());
    drop(operands);
    let destination = db.key(args.at(1), 0);
    cx.reply.integer(result.as_ref().map_or(0, Set::len) as i64);
    let Some(result) = result else {
        if let Some(found) = db.find(destination) {
            found.delete();
            cx.changed(1);
            cx.notify(EventClass::Generic, "del", destination.bytes);
        }
        return Ok(());
    };
    let is_new = !db.put(destination, result);
    cx.changed(1);
    if is_new {
        cx.notify_new(destination.bytes);
    }
    cx.notify(EventClass::Set, event, destination.bytes);
    Ok(())
}

fn sinterstore(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    store(db, cx, args, "sinterstore", |operands, limits| {
        Some(algebra::intersection_set(&mut all_of(operands)?, limits))
    })
}

fn sunionstore(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    store(db, cx, args, "sunionstore", |operands, limits| {
        Some(algebra::union_set(&some_of(operands), limits))
    })
}

fn sdiffstore(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    store(db, cx, args, "sdiffstore", |operands, limits| {
        let (first, others) = operands.split_first()?;
        Some(algebra::difference_set(first.as_deref()?, &mut some_of(others), limits))
    })
}
