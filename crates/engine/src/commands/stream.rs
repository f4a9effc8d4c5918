//! Streams.

mod acknowledge;
mod add;
mod claim;
mod delete;
mod deliver;
mod full;
mod group;
mod ids;
mod info;
mod pending;
mod range;
mod read;
mod told;
mod trim;

use crate::command::{Command, Flags, Group as Family};
use crate::db::Key;
use crate::{Cx, EventClass, Fail};
use tessera_collections::{Element, IdText, StreamEntry, StreamId};
use tessera_resp::Reply;

const STREAM: Family = Family::Stream;
const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = READ.or(Flags::FAST);
const WRITE: Flags = Flags::WRITE;
const WRITE_FAST: Flags = WRITE.or(Flags::FAST);
/// The tips of commands whose answer is another each time.
const VARIES: &[&str] = &["nondeterministic_output"];

pub(super) const COMMANDS: &[Command] = &[
    add::XADD,
    range::XLEN,
    range::XRANGE,
    range::XREVRANGE,
    read::XREAD,
    deliver::XREADGROUP,
    delete::XDEL,
    delete::XTRIM,
    delete::XSETID,
    group::XGROUP,
    acknowledge::XACK,
    pending::XPENDING,
    claim::XCLAIM,
    claim::XAUTOCLAIM,
    info::XINFO,
];

/// Answers an id.
#[inline]
fn reply_id(reply: &mut Reply, id: StreamId) {
    reply.bulk(id.text(&mut IdText::default()));
}

/// Answers a field or a value.
#[inline]
fn reply_element(reply: &mut Reply, element: Element<'_>) {
    match element {
        Element::Bytes(bytes) => reply.bulk(bytes),
        Element::Integer(number) => reply.bulk_integer(number),
    }
}

/// Answers an entry: its id, and its fields and values.
fn reply_entry(reply: &mut Reply, entry: &StreamEntry<'_>) {
    reply.array(2);
    reply_id(reply, entry.id);
    reply.array(entry.len() * 2);
    for (field, value) in entry.pairs() {
        reply_element(reply, field);
        reply_element(reply, value);
    }
}

/// Answers entries as an array, at most `count`; gives how many there were.
fn reply_entries<'a>(
    reply: &mut Reply,
    entries: impl Iterator<Item = StreamEntry<'a>>,
    count: usize,
) -> usize {
    let start = reply.buf.len();
    let mut len = 0;
    for entry in entries.take(count) {
        reply_entry(reply, &entry);
        len += 1;
    }
    put_before(reply, start, |reply| reply.array(len));
    len
}

/// Puts what is known only now, the length of an array, before what was written from `start` on.
fn put_before(reply: &mut Reply, start: usize, write: impl FnOnce(&mut Reply)) {
    let end = reply.buf.len();
    write(reply);
    let size = reply.buf.len() - end;
    reply.buf[start..].rotate_right(size);
}

/// The time of the turn as the times of deliveries are kept, Unix ms.
fn now(cx: &Cx<'_>) -> i64 {
    cx.now.0 as i64
}

/// A COUNT as the number of elements that are answered at most.
fn limit(count: i64) -> usize {
    usize::try_from(count).unwrap_or(0)
}

/// Tells of an event.
fn notify(cx: &Cx<'_>, event: &'static str, key: Key<'_>) {
    cx.notify(EventClass::Stream, event, key.bytes);
}

/// There is no such key or no such group.
fn no_group(key: &[u8], group: &[u8]) -> Fail {
    let (key, group) = (String::from_utf8_lossy(key), String::from_utf8_lossy(group));
    Fail::text(format!("NOGROUP No such key '{key}' or consumer group '{group}'"))
}

/// The key is there, but it has no such group.
fn no_group_of(key: &[u8], group: &[u8]) -> Fail {
    let (key, group) = (String::from_utf8_lossy(key), String::from_utf8_lossy(group));
    Fail::text(format!("NOGROUP No such consumer group '{group}' for key name '{key}'"))
}

/// The arguments do not fit the subcommand.
fn unfit(parent: &str, subcommand: &[u8]) -> Fail {
    let shown = String::from_utf8_lossy(&subcommand[..subcommand.len().min(128)]);
    Fail::text(format!(
        "ERR unknown subcommand or wrong number of arguments for '{shown}'. Try {parent} HELP."
    ))
}
