//! Changing a list elsewhere than at its ends.

use super::{LIST, TAKE, WRITE, drained, limits, range, symmetric};
use crate::arguments::integer;
use crate::command::{Command, KeyUse};
use crate::{Args, Cx, Db, Done, Fail};
use tessera_collections::{Collection, Direction, List, Side};

pub(super) const LSET: Command =
    Command::new("lset", 4, lset).flags(WRITE).keys(1, 1, 1).uses(&[KeyUse::RW_UPDATE]).doc(
        LIST,
        "1.0.0",
        "O(N) where N is the number of nodes between the element and the nearer end",
        "Replaces an element of a list, found by its number.",
        "key index element",
    );
pub(super) const LINSERT: Command =
    Command::new("linsert", 5, linsert).flags(WRITE).keys(1, 1, 1).uses(&[KeyUse::RW_INSERT]).doc(
        LIST,
        "2.2.0",
        "O(N) where N is the number of elements before the pivot",
        "Adds an element before or behind the first one that equals a pivot.",
        "key <BEFORE|AFTER> pivot element",
    );
pub(super) const LREM: Command =
    Command::new("lrem", 4, lrem).flags(TAKE).keys(1, 1, 1).uses(&[KeyUse::RW_DELETE]).doc(
        LIST,
        "1.0.0",
        "O(N+M) where N is the length of the list and M the number of elements removed",
        "Removes elements that equal a value: the first, the last (negative count) or all (0).",
        "key count element",
    );
pub(super) const LTRIM: Command =
    Command::new("ltrim", 4, ltrim).flags(TAKE).keys(1, 1, 1).uses(&[KeyUse::RW_DELETE]).doc(
        LIST,
        "1.0.0",
        "O(N) where N is the number of elements removed",
        "Keeps only the elements from one number to another.",
        "key start stop",
    );

fn lset(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (key, limits) = (db.key(args.at(1), 0), limits(cx));
    let mut found = db.find_as::<List>(key)?.ok_or(Fail::NoSuchKey)?;
    let index = found.get().number(integer(args.at(2))?).ok_or(Fail::IndexOutOfRange)?;
    found.edit().set(index, args.at(3), limits);
    cx.changed(1);
    super::told(cx, "lset", key);
    cx.reply.ok();
    Ok(())
}

fn linsert(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let side = if args.is(2, "after") {
        Side::After
    } else if args.is(2, "before") {
        Side::Before
    } else {
        return Err(Fail::Syntax);
    };
    let (key, limits) = (db.key(args.at(1), 0), limits(cx));
    let Some(mut found) = db.find_as::<List>(key)? else {
        cx.reply.integer(0);
        return Ok(());
    };
    let Some(pivot) = found.get().find(args.at(3), Direction::Forward) else {
        cx.reply.integer(-1);
        return Ok(());
    };
    let mut list = found.edit();
    list.insert(pivot, side, args.at(4), limits);
    let len = list.len();
    drop(list);
    cx.changed(1);
    super::told(cx, "linsert", key);
    cx.reply.integer(len as i64);
    Ok(())
}

fn lrem(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let count = symmetric(args.at(2))?;
    let direction = if count < 0 { Direction::Backward } else { Direction::Forward };
    let most = match count.unsigned_abs() {
        0 => usize::MAX,
        most => most as usize,
    };
    let (key, limits, text) = (db.key(args.at(1), 0), limits(cx), args.at(3));
    let found = db.find_as::<List>(key)?;
    // Most often nothing is there to be removed: that must not count as a change.
    let Some(mut found) = found.filter(|found| found.get().find(text, direction).is_some()) else {
        cx.reply.integer(0);
        return Ok(());
    };
    let removed = found.edit().remove_equal(text, direction, most, limits);
    let deleted = found.delete_if_empty();
    cx.changed(removed as u64);
    drained(cx, "lrem", key, deleted);
    cx.reply.integer(removed as i64);
    Ok(())
}

fn ltrim(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (start, stop) = (integer(args.at(2))?, integer(args.at(3))?);
    let (key, limits) = (db.key(args.at(1), 0), limits(cx));
    let Some(mut found) = db.find_as::<List>(key)? else {
        cx.reply.ok();
        return Ok(());
    };
    let len = found.get().len();
    let kept = range(len, start, stop);
    let deleted = kept.is_none();
    let removed = match kept {
        None => {
            found.delete();
            len
        }
        Some((_, count)) if count == len => 0,
        Some((start, count)) => {
            let mut list = found.edit();
            list.remove_range(start + count, len, limits);
            list.remove_range(0, start, limits);
            len - count
        }
    };
    cx.changed(removed as u64);
    drained(cx, "ltrim", key, deleted);
    cx.reply.ok();
    Ok(())
}
