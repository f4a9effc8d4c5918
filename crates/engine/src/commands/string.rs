//! Strings.

mod counter;
pub(crate) mod expiry_options;
mod get;
mod lcs;
mod long_double;
mod many;
mod natural;
mod range;
mod set;

use crate::command::{Command, Flags, Group};
use crate::{Cx, EventClass};
use tessera_resp::Reply;
use tessera_store::ValueRef;

const STRING: Group = Group::String;
const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = READ.or(Flags::FAST);
const WRITE: Flags = Flags::WRITE.or(Flags::DENYOOM);
const WRITE_FAST: Flags = WRITE.or(Flags::FAST);
/// How a key is used whose old value does not matter.
const OVERWRITE: &[&str] = &["OW update"];

pub(super) const COMMANDS: &[Command] = &[
    get::GET,
    set::SET,
    set::SETNX,
    set::SETEX,
    set::PSETEX,
    set::GETSET,
    get::GETEX,
    get::GETDEL,
    many::MGET,
    many::MSET,
    many::MSETNX,
    counter::INCR,
    counter::DECR,
    counter::INCRBY,
    counter::DECRBY,
    counter::INCRBYFLOAT,
    range::APPEND,
    range::STRLEN,
    range::GETRANGE,
    range::SUBSTR,
    range::SETRANGE,
    lcs::LCS,
];

/// Tells of a string that was set.
#[inline]
pub(super) fn told_of_set(cx: &Cx<'_>, is_new: bool, key: &[u8]) {
    if is_new {
        cx.notify_new(key);
    }
    cx.notify(EventClass::String, "set", key);
}

/// Answers a string value.
#[inline]
pub(super) fn reply_value(reply: &mut Reply, value: ValueRef<'_>) {
    match value {
        ValueRef::Bytes(bytes) => reply.bulk(bytes),
        ValueRef::Integer(number) => reply.bulk_integer(number),
    }
}

/// The text of a string value; `buffer` holds it if it is kept as an integer.
pub(super) fn text<'a>(value: ValueRef<'a>, buffer: &'a mut itoa::Buffer) -> &'a [u8] {
    match value {
        ValueRef::Bytes(bytes) => bytes,
        ValueRef::Integer(number) => buffer.format(number).as_bytes(),
    }
}
