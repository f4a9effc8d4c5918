//! Looking at elements by their number.

use super::{LIST, READ, READ_FAST, range, reply_element};
use crate::arguments::integer;
use crate::command::{Command, KeyUse};
use crate::{Args, Cx, Db, Done};
use std::ops::ControlFlow;
use tessera_collections::{Collection, Direction, List};
use tessera_resp::Reply;

pub(super) const LLEN: Command = Command::new("llen", 2, llen)
    .flags(READ_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RO])
    .doc(LIST, "1.0.0", "O(1)", "Answers the number of a list's elements.", "key");
pub(super) const LINDEX: Command = Command::new("lindex", 3, lindex).flags(READ).keys(1, 1, 1).doc(
    LIST,
    "1.0.0",
    "O(N) where N is the number of nodes between the element and the nearer end",
    "Gets an element of a list by its number; negative numbers count from the end.",
    "key index",
);
pub(super) const LRANGE: Command = Command::new("lrange", 4, lrange).flags(READ).keys(1, 1, 1).doc(
    LIST,
    "1.0.0",
    "O(S+N) where S is the distance of the first element from the nearer end, in nodes, and N the number of elements",
    "Gets the elements of a list from one number to another.",
    "key start stop",
);

fn llen(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let found = db.read_as::<List>(db.key(args.at(1), 0))?;
    cx.reply.integer(found.map_or(0, |found| found.get().len() as i64));
    Ok(())
}

fn lindex(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let Some(found) = db.read_as::<List>(db.key(args.at(1), 0))? else {
        cx.reply.null();
        return Ok(());
    };
    let index = integer(args.at(2))?;
    if found.get().with(index, |element| reply_element(cx.reply, element)).is_none() {
        cx.reply.null();
    }
    Ok(())
}

fn lrange(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (start, stop) = (integer(args.at(2))?, integer(args.at(3))?);
    let Some(found) = db.read_as::<List>(db.key(args.at(1), 0))? else {
        cx.reply.array(0);
        return Ok(());
    };
    let list = found.get();
    match range(list.len(), start, stop) {
        Some((start, count)) => reply_elements(cx.reply, &list, start, count, Direction::Forward),
        None => cx.reply.array(0),
    }
    Ok(())
}

/// Answers `count` elements, which are there, from number `start` on in this direction.
pub(super) fn reply_elements(
    reply: &mut Reply,
    list: &List,
    start: usize,
    count: usize,
    direction: Direction,
) {
    reply.array(count);
    let mut left = count;
    list.visit(start, direction, |element| {
        reply_element(reply, element);
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
}
