//! Moving an element from one list to another.

use super::{LIST, WRITE, drained, end_of, fed, limits, popped, reply_element};
use crate::command::{Command, KeyUse};
use crate::db::Key;
use crate::{Args, Cx, Db, Done, Fail};
use tessera_collections::{Collection, End, List};
use tessera_resp::Reply;

pub(super) const USES: &[KeyUse] = &[KeyUse::RW_ACCESS_DELETE, KeyUse::RW_INSERT];

pub(super) const LMOVE: Command =
    Command::new("lmove", 5, lmove).flags(WRITE).keys(1, 2, 1).uses(USES).doc(
        LIST,
        "6.2.0",
        "O(1)",
        "Takes an element from an end of a list and adds it at an end of another, or of the same.",
        "source destination <LEFT|RIGHT> <LEFT|RIGHT>",
    );
pub(super) const RPOPLPUSH: Command =
    Command::new("rpoplpush", 3, rpoplpush).flags(WRITE).keys(1, 2, 1).uses(USES).doc(
        LIST,
        "1.2.0",
        "O(1)",
        "Takes the last element of a list and adds it as the first of another, or of the same.",
        "source destination",
    );

fn lmove(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let ends = (end_of(args, 3)?, end_of(args, 4)?);
    move_or_null(db, cx, ends, args)
}

fn rpoplpush(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    move_or_null(db, cx, (End::Right, End::Left), args)
}

fn move_or_null(
    db: &mut Db<'_, '_>,
    cx: &mut Cx<'_>,
    (from, to): (End, End),
    args: Args<'_>,
) -> Done {
    let (source, destination) = (db.key(args.at(1), 0), db.key(args.at(2), 1));
    if !move_element(db, cx, (source, from), (destination, to))? {
        cx.reply.null();
    }
    Ok(())
}

/// Moves an element and answers it; false: there is none.
pub(super) fn move_element(
    db: &mut Db<'_, '_>,
    cx: &mut Cx<'_>,
    (source, from): (Key<'_>, End),
    (destination, to): (Key<'_>, End),
) -> Result<bool, Fail> {
    if source.bytes == destination.bytes {
        return rotate(db, cx, source, (from, to));
    }
    if db.find_as::<List>(source)?.is_none() {
        return Ok(false);
    }
    // Before anything is changed: the destination must be able to take it. The error is a text
    // here, since it concerns a client that waits for the source, whereas one about the source's
    // type means that it goes on waiting.
    if let Err(fail) = db.find_as::<List>(destination) {
        return Err(Fail::text(fail.to_string()));
    }
    let limits = limits(cx);
    let mut found = db.find_as::<List>(source)?.ok_or(Fail::NoSuchKey)?;
    let mut list = found.edit();
    let start = cx.reply.buf.len();
    list.pop(from, limits, |element| reply_element(cx.reply, element));
    list.shrink(limits);
    let deleted = list.is_empty();
    drop(list);
    if deleted {
        found.delete();
    }
    let mut found = db.find_or_make(destination, List::new)?;
    let mut list = found.edit();
    let is_new = list.is_empty();
    list.push(to, std::iter::once(answered(cx.reply, start)), limits);
    drop(list);
    cx.changed(1);
    fed(cx, to, destination, is_new);
    drained(cx, popped(from), source, deleted);
    Ok(true)
}

/// Moves an element from an end of a list to an end of the same.
fn rotate(
    db: &mut Db<'_, '_>,
    cx: &mut Cx<'_>,
    key: Key<'_>,
    (from, to): (End, End),
) -> Result<bool, Fail> {
    let limits = limits(cx);
    let Some(mut found) = db.find_as::<List>(key)? else { return Ok(false) };
    let mut list = found.edit();
    let start = cx.reply.buf.len();
    list.pop(from, limits, |element| reply_element(cx.reply, element));
    list.push(to, std::iter::once(answered(cx.reply, start)), limits);
    list.shrink(limits);
    drop(list);
    cx.changed(1);
    fed(cx, to, key, false);
    drained(cx, popped(from), key, false);
    Ok(true)
}

/// The element that was answered from `start` on, so that it need not be copied on its way.
fn answered(reply: &Reply, start: usize) -> &[u8] {
    let bulk = &reply.buf[start..];
    let header = bulk.iter().position(|&byte| byte == b'\n').map_or(0, |line_end| line_end + 1);
    &bulk[header..bulk.len() - 2]
}
