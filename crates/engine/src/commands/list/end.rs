//! Adding and taking elements at the ends of lists.

use super::read::reply_elements;
use super::{LIST, TAKE, WRITE_FAST, drained, end_of, fed, limits, popped, reply_element};
use crate::arguments::integer;
use crate::command::{Command, Flags, KeyPlace, KeyUse, Keys};
use crate::db::Key;
use crate::typed::FoundAs;
use crate::{Args, Cx, Db, Done, Fail, Handler};
use std::ops::Range;
use tessera_collections::{Collection, Direction, End, List};

const fn push_command(
    name: &'static str,
    handler: Handler,
    since: &'static str,
    summary: &'static str,
) -> Command {
    Command::new(name, -3, handler).flags(WRITE_FAST).keys(1, 1, 1).uses(&[KeyUse::RW_INSERT]).doc(
        LIST,
        since,
        "O(N) where N is the number of elements added",
        summary,
        "key element [element ...]",
    )
}

const fn pop_command(name: &'static str, handler: Handler, summary: &'static str) -> Command {
    Command::new(name, -2, handler)
        .flags(TAKE.or(Flags::FAST))
        .keys(1, 1, 1)
        .uses(&[KeyUse::RW_ACCESS_DELETE])
        .doc(LIST, "1.0.0", "O(N) where N is the number of elements taken", summary, "key [count]")
}

pub(super) const LPUSH: Command = push_command(
    "lpush",
    lpush,
    "1.0.0",
    "Adds elements before the first; makes the list if there is none.",
);
pub(super) const RPUSH: Command = push_command(
    "rpush",
    rpush,
    "1.0.0",
    "Adds elements behind the last; makes the list if there is none.",
);
pub(super) const LPUSHX: Command =
    push_command("lpushx", lpushx, "2.2.0", "Adds elements before the first, if there is a list.");
pub(super) const RPUSHX: Command =
    push_command("rpushx", rpushx, "2.2.0", "Adds elements behind the last, if there is a list.");
pub(super) const LPOP: Command =
    pop_command("lpop", lpop, "Takes the first element, or several, from a list.");
pub(super) const RPOP: Command =
    pop_command("rpop", rpop, "Takes the last element, or several, from a list.");
pub(super) const LMPOP: Command = Command {
    keys: Keys::Search {
        find: |args| Ok(counted_keys(args, 1)?.collect()),
        specs: &[(KeyPlace::Counted(1), KeyUse::RW_ACCESS_DELETE)],
    },
    ..Command::new("lmpop", -4, lmpop)
}
.flags(TAKE)
.uses(&[KeyUse::RW_ACCESS_DELETE])
.doc(
    LIST,
    "7.0.0",
    "O(N+M) where N is the number of keys and M the number of elements taken",
    "Takes elements from an end of the first of several lists that is there.",
    "numkeys key [key ...] <LEFT|RIGHT> [COUNT count]",
);

fn lpush(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let key = db.key(args.at(1), 0);
    let found = db.find_or_make(key, List::new)?;
    push(found, cx, key, End::Left, args);
    Ok(())
}

fn rpush(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let key = db.key(args.at(1), 0);
    let found = db.find_or_make(key, List::new)?;
    push(found, cx, key, End::Right, args);
    Ok(())
}

fn lpushx(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    push_if_there(db, cx, End::Left, args)
}

fn rpushx(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    push_if_there(db, cx, End::Right, args)
}

fn push_if_there(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, end: End, args: Args<'_>) -> Done {
    let key = db.key(args.at(1), 0);
    match db.find_as::<List>(key)? {
        Some(found) => push(found, cx, key, end, args),
        None => cx.reply.integer(0),
    }
    Ok(())
}

/// Adds the arguments behind the key to its list.
#[inline]
fn push(mut found: FoundAs<'_, '_, List>, cx: &mut Cx<'_>, key: Key<'_>, end: End, args: Args<'_>) {
    let limits = limits(cx);
    let mut list = found.edit();
    let is_new = list.is_empty();
    list.push(end, args.from(2), limits);
    let len = list.len();
    drop(list);
    cx.changed(args.len() as u64 - 2);
    fed(cx, end, key, is_new);
    cx.reply.integer(len as i64);
}

fn lpop(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    pop(db, cx, End::Left, args)
}

fn rpop(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    pop(db, cx, End::Right, args)
}

fn pop(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, end: End, args: Args<'_>) -> Done {
    if args.len() > 3 {
        return Err(Fail::Arity(popped(end).into()));
    }
    let count = args.get(2).map(not_negative).transpose()?;
    let key = db.key(args.at(1), 0);
    match (db.find_as::<List>(key)?, count) {
        (None, None) => cx.reply.null(),
        (None, Some(_)) => cx.reply.null_array(),
        (Some(_), Some(0)) => cx.reply.array(0),
        (Some(found), None) => pop_one(found, cx, key, end),
        (Some(found), Some(count)) => {
            pop_many(found, cx, key, end, count);
        }
    }
    Ok(())
}

fn not_negative(arg: &[u8]) -> Result<usize, Fail> {
    let count = integer(arg).ok().and_then(|count| usize::try_from(count).ok());
    count.ok_or(Fail::text("ERR value is out of range, must be positive"))
}

/// Takes and answers one element.
#[inline]
pub(super) fn pop_one(mut found: FoundAs<'_, '_, List>, cx: &mut Cx<'_>, key: Key<'_>, end: End) {
    let limits = limits(cx);
    let mut list = found.edit();
    list.pop(end, limits, |element| reply_element(cx.reply, element));
    list.shrink(limits);
    let is_empty = list.is_empty();
    drop(list);
    if is_empty {
        found.delete();
    }
    cx.changed(1);
    drained(cx, popped(end), key, is_empty);
}

/// Takes and answers up to `count` elements; gives how many there were.
pub(super) fn pop_many(
    mut found: FoundAs<'_, '_, List>,
    cx: &mut Cx<'_>,
    key: Key<'_>,
    end: End,
    count: usize,
) -> usize {
    let limits = limits(cx);
    let list = found.get();
    let len = list.len();
    let count = count.min(len);
    match end {
        End::Left => reply_elements(cx.reply, &list, 0, count, Direction::Forward),
        End::Right => reply_elements(cx.reply, &list, len - 1, count, Direction::Backward),
    }
    let is_empty = count == len;
    if is_empty {
        found.delete();
    } else {
        let start = if end == End::Left { 0 } else { len - count };
        found.edit().remove_range(start, count, limits);
    }
    cx.changed(count as u64);
    drained(cx, popped(end), key, is_empty);
    count
}

/// The options of LMPOP and its like.
pub(super) struct Many {
    /// The end from which they take elements.
    pub(super) end: End,
    /// How many.
    pub(super) count: usize,
}

/// The positions of the keys of LMPOP and its like; their number stands at `at`.
pub(super) fn many_keys(args: Args<'_>, at: usize) -> Result<Range<usize>, Fail> {
    let keys = counted_keys(args, at)?;
    if keys.end < args.len() { Ok(keys) } else { Err(Fail::Syntax) }
}

/// The same as far as the number at `at` says, whether or not something stands behind them.
pub(super) fn counted_keys(args: Args<'_>, at: usize) -> Result<Range<usize>, Fail> {
    let count = positive(args.at(at), "ERR numkeys should be greater than 0")?;
    let end = (at + 1).checked_add(count).filter(|&end| end <= args.len());
    Ok(at + 1..end.ok_or(Fail::Syntax)?)
}

/// The arguments behind the keys.
pub(super) fn many(args: Args<'_>, mut at: usize) -> Result<Many, Fail> {
    let end = end_of(args, at)?;
    let mut count = None;
    at += 1;
    while at < args.len() {
        let value = args.get(at + 1).filter(|_| count.is_none() && args.is(at, "count"));
        let value = value.ok_or(Fail::Syntax)?;
        count = Some(positive(value, "ERR count should be greater than 0")?);
        at += 2;
    }
    Ok(Many { end, count: count.unwrap_or(1) })
}

fn positive(arg: &[u8], text: &'static str) -> Result<usize, Fail> {
    let number = integer(arg).ok().and_then(|number| usize::try_from(number).ok());
    number.filter(|&number| number > 0).ok_or(Fail::text(text))
}

fn lmpop(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let keys = many_keys(args, 1)?;
    let many = many(args, keys.end)?;
    for (ordinal, at) in keys.enumerate() {
        let key = db.key(args.at(at), ordinal);
        if let Some(found) = db.find_as::<List>(key)? {
            take_many(found, cx, key, &many);
            return Ok(());
        }
    }
    cx.reply.null_array();
    Ok(())
}

/// Answers a key with the elements taken from its list.
pub(super) fn take_many(found: FoundAs<'_, '_, List>, cx: &mut Cx<'_>, key: Key<'_>, many: &Many) {
    cx.reply.array(2);
    cx.reply.bulk(key.bytes);
    let count = pop_many(found, cx, key, many.end, many.count);
    cx.propagate_instead(|| {
        vec![verb(many.end).to_vec(), key.bytes.to_vec(), count.to_string().into_bytes()]
    });
}

/// The command that takes elements from an end.
pub(super) fn verb(end: End) -> &'static [u8] {
    match end {
        End::Left => b"LPOP",
        End::Right => b"RPOP",
    }
}
