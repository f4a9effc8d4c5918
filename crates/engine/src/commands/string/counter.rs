//! Strings as numbers.

use super::long_double::LongDouble;
use super::{STRING, WRITE_FAST, string_of, text};
use crate::arguments::integer;
use crate::command::Command;
use crate::{Args, Cx, Db, Done, EventClass, Fail};
use tessera_store::{Lookup, NewValue, StringRef, Value};

pub(super) const INCR: Command = Command::new("incr", 2, incr).flags(WRITE_FAST).keys(1, 1, 1).doc(
    STRING,
    "1.0.0",
    "O(1)",
    "Adds one to the integer of a key; a missing key counts as 0.",
    "key",
);
pub(super) const DECR: Command = Command::new("decr", 2, decr).flags(WRITE_FAST).keys(1, 1, 1).doc(
    STRING,
    "1.0.0",
    "O(1)",
    "Takes one from the integer of a key; a missing key counts as 0.",
    "key",
);
pub(super) const INCRBY: Command =
    Command::new("incrby", 3, incrby).flags(WRITE_FAST).keys(1, 1, 1).doc(
        STRING,
        "1.0.0",
        "O(1)",
        "Adds to the integer of a key; a missing key counts as 0.",
        "key increment",
    );
pub(super) const DECRBY: Command =
    Command::new("decrby", 3, decrby).flags(WRITE_FAST).keys(1, 1, 1).doc(
        STRING,
        "1.0.0",
        "O(1)",
        "Subtracts from the integer of a key; a missing key counts as 0.",
        "key decrement",
    );

pub(super) const INCRBYFLOAT: Command =
    Command::new("incrbyfloat", 3, incrbyfloat).flags(WRITE_FAST).keys(1, 1, 1).doc(
        STRING,
        "2.6.0",
        "O(1)",
        "Adds to the floating point number of a key; a missing key counts as 0.",
        "key increment-float",
    );

fn add(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, name: &[u8], by: i64) -> Done {
    let (key, access) = (db.key(name, 0), db.access());
    let lookup = db.lookup(key);
    let (old, expiry) = match &lookup {
        Lookup::Vacant(_) => (0, None),
        Lookup::Found(found) => {
            let entry = found.entry();
            let number = match string_of(&entry)? {
                StringRef::Integer(number) => number,
                StringRef::Bytes(bytes) => integer(bytes)?,
            };
            (number, entry.expiry())
        }
    };
    let new = old.checked_add(by).ok_or(Fail::text("ERR increment or decrement would overflow"))?;
    let is_new = crate::db::store(lookup, NewValue::Integer(new), expiry, access);
    cx.changed(1);
    told(cx, is_new, "incrby", name);
    cx.reply.integer(new);
    Ok(())
}

/// Tells of a number that was changed.
fn told(cx: &Cx<'_>, is_new: bool, event: &'static str, key: &[u8]) {
    if is_new {
        cx.notify_new(key);
    }
    cx.notify(EventClass::String, event, key);
}

fn incr(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    add(db, cx, args.at(1), 1)
}

fn decr(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    add(db, cx, args.at(1), -1)
}

fn incrby(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    add(db, cx, args.at(1), integer(args.at(2))?)
}

fn decrby(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let by = integer(args.at(2))?.checked_neg();
    add(db, cx, args.at(1), by.ok_or(Fail::text("ERR decrement would overflow"))?)
}

fn incrbyfloat(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let access = db.access();
    let lookup = db.lookup(db.key(args.at(1), 0));
    let (old, expiry) = match &lookup {
        Lookup::Vacant(_) => (LongDouble::ZERO, None),
        Lookup::Found(found) => {
            let entry = found.entry();
            let number = LongDouble::parse(text(string_of(&entry)?, &mut itoa::Buffer::new()));
            (number.ok_or(Fail::NotFloat)?, entry.expiry())
        }
    };
    let sum = old.plus(LongDouble::parse(args.at(2)).ok_or(Fail::NotFloat)?);
    let sum = sum.text().ok_or(Fail::text("ERR increment would produce NaN or Infinity"))?;
    // A whole number stays a text, as it does in Redis.
    let value = Value::Bytes(sum.as_bytes().into(), false);
    let is_new = crate::db::store(lookup, NewValue::Owned(value), expiry, access);
    cx.changed(1);
    told(cx, is_new, "incrbyfloat", args.at(1));
    cx.reply.bulk(sum.as_bytes());
    // Replicas get the result: they need not count alike.
    cx.propagate_instead(|| {
        [b"SET", args.at(1), sum.as_bytes(), b"KEEPTTL"].map(<[u8]>::to_vec).to_vec()
    });
    Ok(())
}
