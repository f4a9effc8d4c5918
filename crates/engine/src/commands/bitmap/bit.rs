//! One bit.

use super::{BITMAP, READ_FAST, WRITE, bit_offset, edit_grown};
use crate::arguments::integer;
use crate::command::{Command, KeyUse};
use crate::commands::string::{string_of, text};
use crate::{Args, Cx, Db, Done, EventClass, Fail};
use std::iter::once;
use tessera_store::Lookup;

pub(super) const SETBIT: Command = Command::new("setbit", 4, setbit)
    .flags(WRITE)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_ACCESS_UPDATE])
    .doc(
        BITMAP,
        "2.2.0",
        "O(1)",
        "Sets or clears one bit of a key's string, which grows to hold it; answers the old bit.",
        "key offset value",
    );
pub(super) const GETBIT: Command =
    Command::new("getbit", 3, getbit).flags(READ_FAST).keys(1, 1, 1).doc(
        BITMAP,
        "2.2.0",
        "O(1)",
        "Gets one bit of a key's string; beyond its end all bits are clear.",
        "key offset",
    );

/// The mask of a bit in its byte: the first is the highest.
fn mask(offset: u64) -> u8 {
    0x80 >> (offset % 8)
}

/// The bit, if the bytes reach as far.
fn bit_of(bytes: &[u8], offset: u64) -> Option<bool> {
    let byte = bytes.get(usize::try_from(offset / 8).ok()?)?;
    Some(byte & mask(offset) != 0)
}

fn setbit(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let offset = bit_offset(cx, args.at(2))?;
    let on = match integer(args.at(3)) {
        Ok(0) => false,
        Ok(1) => true,
        _ => return Err(Fail::text("ERR bit is not an integer or out of range")),
    };
    let (access, at) = (db.access(), (offset / 8) as usize);
    let lookup = db.lookup(db.key(args.at(1), 0));
    let old = match &lookup {
        Lookup::Found(found) => {
            bit_of(text(string_of(&found.entry())?, &mut itoa::Buffer::new()), offset)
        }
        Lookup::Vacant(_) => None,
    };
    if old != Some(on) {
        let is_new = matches!(lookup, Lookup::Vacant(_));
        edit_grown(lookup, at + 1, once(at..at + 1), access, |bytes| match on {
            true => bytes[at] |= mask(offset),
            false => bytes[at] &= !mask(offset),
        });
        cx.changed(1);
        if is_new {
            cx.notify_new(args.at(1));
        }
        cx.notify(EventClass::String, "setbit", args.at(1));
    }
    cx.reply.integer(i64::from(old.unwrap_or(false)));
    Ok(())
}

fn getbit(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let offset = bit_offset(cx, args.at(2))?;
    let bit = match db.read(db.key(args.at(1), 0)) {
        Some(found) => bit_of(text(string_of(&found.entry())?, &mut itoa::Buffer::new()), offset),
        None => None,
    };
    cx.reply.integer(i64::from(bit.unwrap_or(false)));
    Ok(())
}
