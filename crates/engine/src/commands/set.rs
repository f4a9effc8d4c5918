//! Sets.

mod algebra;
mod change;
mod random;
mod read;

use crate::command::{Command, Flags, Group};
use crate::{Cx, EventClass};
use tessera_collections::Element;
use tessera_collections::set::Limits;
use tessera_resp::Reply;

const SET: Group = Group::Set;
const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = READ.or(Flags::FAST);
const WRITE: Flags = Flags::WRITE.or(Flags::DENYOOM);
const WRITE_FAST: Flags = WRITE.or(Flags::FAST);
/// The flags of commands which only take members away.
const SHRINK_FAST: Flags = Flags::WRITE.or(Flags::FAST);

pub(super) const COMMANDS: &[Command] = &[
    change::SADD,
    change::SREM,
    change::SMOVE,
    read::SISMEMBER,
    read::SMISMEMBER,
    read::SCARD,
    read::SMEMBERS,
    read::SSCAN,
    random::SPOP,
    random::SRANDMEMBER,
    algebra::SINTER,
    algebra::SINTERCARD,
    algebra::SINTERSTORE,
    algebra::SUNION,
    algebra::SUNIONSTORE,
    algebra::SDIFF,
    algebra::SDIFFSTORE,
];

/// Up to where sets keep a compact form.
#[inline]
fn limits(cx: &Cx<'_>) -> Limits {
    let data = &cx.config.data;
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Limits {
        intset_entries: count(data.set_max_intset_entries),
        listpack_entries: count(data.set_max_listpack_entries),
        listpack_value: count(data.set_max_listpack_value),
    }
}

/// Answers a member.
#[inline]
fn reply_member(reply: &mut Reply, member: Element<'_>) {
    match member {
        Element::Integer(number) => reply.bulk_integer(number),
        Element::Bytes(text) => reply.bulk(text),
    }
}

/// Answers a set whose size is not known before its members are written; `write` says it.
fn reply_set(reply: &mut Reply, write: impl FnOnce(&mut Reply) -> usize) {
    let start = reply.buf.len();
    let count = write(reply);
    let end = reply.buf.len();
    reply.set(count);
    let header = reply.buf.len() - end;
    reply.buf[start..].rotate_right(header);
}

/// Tells that members have left a set, and its key with the last of them if `is_gone`.
fn told_of_loss(cx: &Cx<'_>, event: &'static str, key: &[u8], is_gone: bool) {
    cx.notify(EventClass::Set, event, key);
    if is_gone {
        cx.notify(EventClass::Generic, "del", key);
    }
}
