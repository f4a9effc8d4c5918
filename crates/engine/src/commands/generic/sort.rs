//! SORT: the elements of a list, set or sorted set in order.
//!
//! Locks: the keys that BY and GET name depend on the elements, so they are not among the command's
//! keys. In cluster mode their patterns must lie in the slot of the command's key, which is locked.
//! Otherwise they may be anywhere: such a call has the world alone ([`Command::alone_if`]), since
//! slots that are known only while others are locked cannot be locked in order. Calls without such
//! patterns lock the slots of their keys, as any command.

mod order;
mod pattern;
mod source;
mod weight;

use super::GENERIC;
use crate::arguments::integer;
use crate::command::{Categories, Command, Flags, KeyPlace, KeyUse, Keys};
use crate::commands::list;
use crate::{Args, Cx, Db, Done, EventClass, Fail};
use order::{Row, Sorting};
use pattern::Pattern;
use std::ops::Range;
use tessera_collections::{Kind, ListBuilder};

const COST: &str = "O(N+M*log(M)) where N is the number of elements and M the number of those answered; O(N) if nothing is sorted";
const SORTED: (KeyPlace, KeyUse) = (KeyPlace::At(1), KeyUse::RO_ACCESS);
/// The keys that BY and GET speak of are named by elements.
const NAMED: (KeyPlace, KeyUse) = (KeyPlace::Unknown, KeyUse::RO_ACCESS);
const STORED: (KeyPlace, KeyUse) = (KeyPlace::Unknown, KeyUse::OW_UPDATE);
const CATEGORIES: Categories =
    Categories::SET.or(Categories::SORTEDSET).or(Categories::LIST).or(Categories::DANGEROUS);

pub(super) const SORT: Command = Command {
    keys: Keys::Search { find: sort_keys, specs: &[SORTED, NAMED, STORED] },
    ..Command::new("sort", -2, sort)
}
        .flags(Flags::WRITE.or(Flags::DENYOOM))
        .uses(&[KeyUse::RO_ACCESS, KeyUse::OW_UPDATE])
        .alone_if(names_other_keys)
        .categories(CATEGORIES)
        .doc(
            GENERIC,
            "1.0.0",
            COST,
            "Sorts the elements of a list, set or sorted set; answers or stores them, or what keys named after them hold.",
            "key [BY by-pattern] [LIMIT <offset count>] [<GET get-pattern>...] [ASC|DESC] [ALPHA] [STORE destination]",
        );
pub(super) const SORT_RO: Command = Command {
    keys: Keys::Search { find: |_| Ok(vec![1]), specs: &[SORTED, NAMED] },
    ..Command::new("sort_ro", -2, sort_ro)
}
    .flags(Flags::READONLY)
    .alone_if(names_other_keys)
    .categories(CATEGORIES)
    .doc(
        GENERIC,
        "7.0.0",
        COST,
        "Sorts the elements of a list, set or sorted set, and answers them or what keys named after them hold.",
        "key [BY by-pattern] [LIMIT <offset count>] [<GET get-pattern>...] [ASC|DESC] [ALPHA]",
    );

/// How many arguments an option has.
fn arguments_of(args: Args<'_>, at: usize) -> usize {
    match () {
        () if args.is(at, "limit") => 2,
        () if ["by", "get", "store"].iter().any(|word| args.is(at, word)) => 1,
        () => 0,
    }
}

/// The key, and the last one that is named by STORE.
fn sort_keys(args: Args<'_>) -> Result<Vec<usize>, Fail> {
    let (mut keys, mut at) = (vec![1], 2);
    while at < args.len() {
        if args.is(at, "store") && at + 1 < args.len() {
            keys.truncate(1);
            keys.push(at + 1);
        }
        at += 1 + arguments_of(args, at);
    }
    Ok(keys)
}

/// Whether values of other keys are needed.
fn names_other_keys(args: Args<'_>) -> bool {
    let mut at = 2;
    while at < args.len() {
        let is_pattern = args.is(at, "by") || args.is(at, "get");
        if is_pattern && args.get(at + 1).is_some_and(|text| Pattern::of(text).names_keys()) {
            return true;
        }
        at += 1 + arguments_of(args, at);
    }
    false
}

struct Options<'a> {
    descending: bool,
    alpha: bool,
    /// Elements to be passed over, and how many are wanted; negative: all.
    limit: (i64, i64),
    by: Option<Pattern<'a>>,
    /// BY named no keys: the elements stay in the order that they have.
    unsorted: bool,
    get: Vec<Pattern<'a>>,
    store: Option<&'a [u8]>,
}

fn options<'a>(cx: &Cx<'_>, args: Args<'a>, may_store: bool) -> Result<Options<'a>, Fail> {
    let mut options = Options {
        descending: false,
        alpha: false,
        limit: (0, -1),
        by: None,
        unsorted: false,
        get: Vec::new(),
        store: None,
    };
    let mut at = 2;
    while at < args.len() {
        let arguments = arguments_of(args, at);
        if at + arguments >= args.len() {
            return Err(Fail::Syntax);
        }
        if args.is(at, "asc") {
            options.descending = false;
        } else if args.is(at, "desc") {
            options.descending = true;
        } else if args.is(at, "alpha") {
            options.alpha = true;
        } else if args.is(at, "limit") {
            options.limit = (integer(args.at(at + 1))?, integer(args.at(at + 2))?);
        } else if may_store && args.is(at, "store") {
            options.store = Some(args.at(at + 1));
        } else if args.is(at, "by") {
            let pattern = Pattern::of(args.at(at + 1));
            options.unsorted |= !pattern.has_star();
            if pattern.has_star() {
                check_slot(cx, args, &pattern, "BY")?;
            }
            options.by = Some(pattern);
        } else if args.is(at, "get") {
            let pattern = Pattern::of(args.at(at + 1));
            if !pattern.is_element() {
                check_slot(cx, args, &pattern, "GET")?;
            }
            options.get.push(pattern);
        } else {
            return Err(Fail::Syntax);
        }
        at += 1 + arguments;
    }
    Ok(options)
}

/// In cluster mode: fails unless all keys that a pattern can name are in the slot of the command's
/// key.
fn check_slot(cx: &Cx<'_>, args: Args<'_>, pattern: &Pattern<'_>, option: &str) -> Done {
    let slot = tessera_slot::Slot::of_key(args.at(1));
    if !cx.config.cluster.enabled || pattern.slot() == Some(slot) {
        return Ok(());
    }
    Err(Fail::text(format!(
        "ERR {option} option of SORT denied in Cluster mode when keys formed by the pattern may be in different slots."
    )))
}

/// The range of elements that is asked for, among this many in order.
fn wanted((offset, count): (i64, i64), len: usize) -> Range<usize> {
    let start = usize::try_from(offset).unwrap_or(0).min(len);
    let end = match usize::try_from(count) {
        Ok(count) => start.saturating_add(count).min(len),
        Err(_) => len,
    };
    start..end
}

fn sort(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    sort_and_answer(db, cx, args, true)
}

fn sort_ro(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    sort_and_answer(db, cx, args, false)
}

fn sort_and_answer(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>, may_store: bool) -> Done {
    let mut options = options(cx, args, may_store)?;
    let rows = rows(db, args, &mut options)?;
    match options.store {
        Some(key) => store(db, cx, key, &rows, &options.get),
        None => answer(db, cx, &rows, &options.get),
    }
    Ok(())
}

/// The elements that are asked for, in order.
fn rows(db: &mut Db<'_, '_>, args: Args<'_>, options: &mut Options<'_>) -> Result<Vec<Row>, Fail> {
    let Some(found) = db.read(db.place(args.at(1))) else { return Ok(Vec::new()) };
    let entry = found.entry();
    let collection = entry.any_collection().ok_or(Fail::WrongType)?;
    if !matches!(collection.kind(), Kind::List | Kind::Set | Kind::SortedSet) {
        return Err(Fail::WrongType);
    }
    let is_set = collection.kind() == Kind::Set;
    if options.unsorted && is_set && options.store.is_some() {
        // A set has no order: what is stored must be the same on all replicas.
        (options.unsorted, options.alpha, options.by) = (false, true, None);
    }
    let wanted = wanted(options.limit, collection.len());
    if options.unsorted && !is_set {
        return Ok(source::part(&collection, wanted, options.descending));
    }
    let mut rows = source::all(&collection);
    if !options.unsorted {
        let is_stored = options.store.is_some();
        let sorting = Sorting { alpha: options.alpha, descending: options.descending, is_stored };
        if is_set && is_stored && sorting.alpha && options.by.is_some() {
            // A set has no order, which equal weights would keep: as above.
            rows.sort_unstable_by(|a, b| a.element.cmp(&b.element));
        }
        order::weigh(db, &mut rows, options.by.as_ref(), sorting)?;
        order::sort(&mut rows, wanted.clone(), sorting, options.by.is_some());
    }
    rows.truncate(wanted.end);
    rows.drain(..wanted.start);
    Ok(rows)
}

/// Shows what is asked for of each row: the element itself, or what GET names.
fn each(
    db: &mut Db<'_, '_>,
    rows: &[Row],
    get: &[Pattern<'_>],
    is_stored: bool,
    mut show: impl FnMut(Option<&[u8]>),
) {
    for row in rows {
        if get.is_empty() {
            show(Some(&row.element));
        }
        for pattern in get {
            pattern.value(db, &row.element, is_stored, &mut show);
        }
    }
}

fn answer(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, rows: &[Row], get: &[Pattern<'_>]) {
    cx.reply.array(rows.len() * get.len().max(1));
    each(db, rows, get, false, |value| match value {
        Some(value) => cx.reply.bulk(value),
        None => cx.reply.null(),
    });
}

fn store(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, key: &[u8], rows: &[Row], get: &[Pattern<'_>]) {
    let mut stored = ListBuilder::new(list::limits(cx));
    each(db, rows, get, true, |value| stored.push(value.unwrap_or_default()));
    let count = stored.len();
    let was_there = db.put(db.place(key), stored.finish());
    if count > 0 {
        if !was_there {
            cx.notify_new(key);
        }
        cx.notify(EventClass::List, "sortstore", key);
        cx.changed(count as u64);
    } else if was_there {
        cx.notify(EventClass::Generic, "del", key);
        cx.changed(1);
    }
    cx.reply.integer(count as i64);
}

#[cfg(test)]
mod tests {
    use super::wanted;

    #[test]
    fn limits_are_cut_to_what_there_is() {
        for (limit, len, range) in [
            ((0, -1), 5, 0..5),
            ((1, 2), 5, 1..3),
            ((-3, 2), 5, 0..2),
            ((4, 100), 5, 4..5),
            ((9, 1), 5, 5..5),
            ((0, 0), 5, 0..0),
            ((2, i64::MAX), 5, 2..5),
            ((i64::MAX, i64::MAX), 5, 5..5),
            ((0, -1), 0, 0..0),
        ] {
            assert_eq!(wanted(limit, len), range, "{limit:?} of {len}");
        }
    }
}
