//! Lists.

mod blocking;
mod change;
mod end;
mod moving;
mod position;
mod read;

use crate::arguments::integer;
use crate::command::{Command, Flags, Group};
use crate::db::Key;
use crate::{Args, Cx, EventClass, Fail};
use std::sync::atomic::Ordering::Relaxed;
use tessera_collections::{Element, End, ListLimits};
use tessera_resp::Reply;

const LIST: Group = Group::List;
const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = READ.or(Flags::FAST);
const WRITE: Flags = Flags::WRITE.or(Flags::DENYOOM);
const WRITE_FAST: Flags = WRITE.or(Flags::FAST);
/// The flags of commands that only take away.
const TAKE: Flags = Flags::WRITE;

pub(super) const COMMANDS: &[Command] = &[
    end::LPUSH,
    end::RPUSH,
    end::LPUSHX,
    end::RPUSHX,
    end::LPOP,
    end::RPOP,
    end::LMPOP,
    read::LLEN,
    read::LINDEX,
    read::LRANGE,
    position::LPOS,
    change::LSET,
    change::LINSERT,
    change::LREM,
    change::LTRIM,
    moving::LMOVE,
    moving::RPOPLPUSH,
    blocking::BLPOP,
    blocking::BRPOP,
    blocking::BLMPOP,
    blocking::BLMOVE,
    blocking::BRPOPLPUSH,
];

/// How large nodes may become, and which are compressed.
#[inline]
pub(in crate::commands) fn limits(cx: &Cx<'_>) -> ListLimits {
    let data = &cx.config.data;
    let limits = ListLimits::new(data.list_max_listpack_size, data.list_compress_depth);
    limits.with_packed_threshold(cx.engine.list_packed_threshold.load(Relaxed))
}

/// `LEFT` or `RIGHT`.
fn end_of(args: Args<'_>, at: usize) -> Result<End, Fail> {
    if args.is(at, "left") {
        Ok(End::Left)
    } else if args.is(at, "right") {
        Ok(End::Right)
    } else {
        Err(Fail::Syntax)
    }
}

/// Answers an element.
#[inline]
fn reply_element(reply: &mut Reply, element: Element<'_>) {
    match element {
        Element::Bytes(bytes) => reply.bulk(bytes),
        Element::Integer(number) => reply.bulk_integer(number),
    }
}

/// The first element and the number of elements from `start` to `stop`, both included; negative
/// numbers count from the end. `None`: there are no elements there.
fn range(len: usize, start: i64, stop: i64) -> Option<(usize, usize)> {
    let from_end = |at: i64| if at < 0 { at.saturating_add(len as i64) } else { at };
    let (start, stop) = (from_end(start).max(0), from_end(stop).min(len as i64 - 1));
    (start <= stop).then(|| (start as usize, (stop - start) as usize + 1))
}

/// An integer whose negative is one too.
fn symmetric(arg: &[u8]) -> Result<i64, Fail> {
    integer(arg)?.checked_neg().map(i64::wrapping_neg).ok_or(Fail::text(
        "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
    ))
}

/// Tells of an event.
#[inline]
fn told(cx: &Cx<'_>, event: &'static str, key: Key<'_>) {
    cx.notify(EventClass::List, event, key.bytes);
}

/// Tells that elements were added, and has those served who wait for them.
#[inline]
fn fed(cx: &mut Cx<'_>, end: End, key: Key<'_>, is_new: bool) {
    if is_new {
        cx.notify_new(key.bytes);
    } else {
        cx.ready(key);
    }
    let event = match end {
        End::Left => "lpush",
        End::Right => "rpush",
    };
    told(cx, event, key);
}

/// Tells that elements were removed, and of the end of the key if they were the last.
#[inline]
fn drained(cx: &Cx<'_>, event: &'static str, key: Key<'_>, deleted: bool) {
    told(cx, event, key);
    if deleted {
        cx.notify(EventClass::Generic, "del", key.bytes);
    }
}

/// The event of elements having been taken from an end.
fn popped(end: End) -> &'static str {
    match end {
        End::Left => "lpop",
        End::Right => "rpop",
    }
}
