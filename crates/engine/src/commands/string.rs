//! Strings.

mod counter;
pub(crate) mod expiry_options;
mod get;
mod lcs;
pub(super) mod long_double;
mod many;
mod natural;
mod range;
mod set;

use crate::Fail;
use crate::command::{Command, Flags, Group, KeyUse};
use crate::{Cx, EventClass};
use tessera_resp::Reply;
use tessera_store::{Entry, StringRef};

const STRING: Group = Group::String;
const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = READ.or(Flags::FAST);
const WRITE: Flags = Flags::WRITE.or(Flags::DENYOOM);
const WRITE_FAST: Flags = WRITE.or(Flags::FAST);
/// How a key is used whose old value does not matter.
const OVERWRITE: &[KeyUse] = &[KeyUse::OW_UPDATE];

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
pub(super) fn reply_value(reply: &mut Reply, value: StringRef<'_>) {
    match value {
        StringRef::Bytes(bytes) => reply.bulk(bytes),
        StringRef::Integer(number) => reply.bulk_integer(number),
    }
}

/// The string of an entry.
#[inline]
pub(crate) fn string_of(entry: &Entry) -> Result<StringRef<'_>, Fail> {
    entry.string().ok_or(Fail::WrongType)
}

/// The text of a string value; `buffer` holds it if it is kept as an integer.
pub(crate) fn text<'a>(value: StringRef<'a>, buffer: &'a mut itoa::Buffer) -> &'a [u8] {
    match value {
        StringRef::Bytes(bytes) => bytes,
        StringRef::Integer(number) => buffer.format(number).as_bytes(),
    }
}
