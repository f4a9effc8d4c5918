//! Strings.

mod expiry_options;
mod set;

use crate::command::{Command, Flags, Group};
use crate::{Args, Cx, Db, Done};
use tessera_resp::Reply;
use tessera_store::ValueRef;

const STRING: Group = Group::String;

pub(super) const COMMANDS: &[Command] = &[
    Command::new("get", 2, get).flags(Flags::READONLY.or(Flags::FAST)).keys(1, 1, 1).doc(
        STRING,
        "1.0.0",
        "O(1)",
        "Gets the string of a key.",
        "key",
    ),
    set::SET,
];

/// Answers a string value.
#[inline]
pub(super) fn reply_value(reply: &mut Reply, value: ValueRef<'_>) {
    match value {
        ValueRef::Bytes(bytes) => reply.bulk(bytes),
        ValueRef::Integer(number) => reply.bulk_integer(number),
    }
}

fn get(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    match db.read(db.key(args.at(1), 0)) {
        Some(found) => reply_value(cx.reply, found.entry().value()),
        None => cx.reply.null(),
    }
    Ok(())
}
