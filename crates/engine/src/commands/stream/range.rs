//! XLEN, XRANGE and XREVRANGE.

use super::{READ, READ_FAST, STREAM, ids, limit, reply_entries};
use crate::arguments::integer;
use crate::command::{Command, KeyUse};
use crate::{Args, Cx, Db, Done, Fail};
use tessera_collections::Stream;

pub(super) const XLEN: Command = Command::new("xlen", 2, xlen)
    .flags(READ_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RO])
    .doc(STREAM, "5.0.0", "O(1)", "Answers the number of entries of a stream.", "key");
pub(super) const XRANGE: Command =
    Command::new("xrange", -4, xrange).flags(READ).keys(1, 1, 1).doc(
        STREAM,
        "5.0.0",
        "O(N) with N the number of entries answered",
        "Answers the entries of a range of ids.",
        "key start end [COUNT count]",
    );
pub(super) const XREVRANGE: Command =
    Command::new("xrevrange", -4, xrevrange).flags(READ).keys(1, 1, 1).doc(
        STREAM,
        "5.0.0",
        "O(N) with N the number of entries answered",
        "Answers the entries of a range of ids, last to first.",
        "key end start [COUNT count]",
    );

fn xlen(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let found = db.read_as::<Stream>(db.key(args.at(1), 0))?;
    cx.reply.integer(found.map_or(0, |found| found.get().entries.len() as i64));
    Ok(())
}

fn xrange(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    range(db, cx, args, false)
}

fn xrevrange(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    range(db, cx, args, true)
}

fn range(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>, back: bool) -> Done {
    let (start, end) = if back { (3, 2) } else { (2, 3) };
    let (start, end) = (ids::start(args.at(start))?, ids::end(args.at(end))?);
    let (mut count, mut at) = (usize::MAX, 4);
    while at < args.len() {
        if !args.is(at, "count") || at + 1 == args.len() {
            return Err(Fail::Syntax);
        }
        count = limit(integer(args.at(at + 1))?);
        at += 2;
    }
    let Some(found) = db.read_as::<Stream>(db.key(args.at(1), 0))? else {
        cx.reply.array(0);
        return Ok(());
    };
    if count == 0 {
        cx.reply.null_array();
        return Ok(());
    }
    let stream = found.get();
    if back {
        reply_entries(cx.reply, stream.entries.range_back(start, end), count);
    } else {
        reply_entries(cx.reply, stream.entries.range(start, end), count);
    }
    Ok(())
}
