//! Parts of strings, and their length.

use super::{READ, READ_FAST, STRING, WRITE, WRITE_FAST, string_of, text};
use crate::arguments::integer;
use crate::command::{Command, KeyUse, Touches};
use crate::{Args, Cx, Db, Done, EventClass, Fail};
use std::iter::once;
use tessera_store::{Entry, Lookup, NewValue, Value, make_room};

pub(super) const APPEND: Command = Command::new("append", 3, append)
    .flags(WRITE_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_INSERT])
    .doc(
        STRING,
        "2.0.0",
        "O(1), amortized",
        "Appends to the string of a key; a missing key counts as empty.",
        "key value",
    )
    .touches(Touches::Value);
pub(super) const STRLEN: Command = Command::new("strlen", 2, strlen)
    .flags(READ_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RO])
    .doc(STRING, "2.2.0", "O(1)", "Answers the length of a key's string in bytes.", "key");
pub(super) const GETRANGE: Command = Command::new("getrange", 4, getrange)
    .flags(READ)
    .keys(1, 1, 1)
    .doc(
        STRING,
        "2.4.0",
        "O(N) where N is the length of the answer",
        "Gets a part of a key's string; negative positions count from its end.",
        "key start end",
    )
    .touches(Touches::Value);
pub(super) const SUBSTR: Command =
    Command::new("substr", 4, getrange).flags(READ).keys(1, 1, 1).doc(
        STRING,
        "1.0.0",
        "O(N) where N is the length of the answer",
        "The old name of GETRANGE.",
        "key start end",
    );
pub(super) const SETRANGE: Command = Command::new("setrange", 4, setrange)
    .flags(WRITE)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_UPDATE])
    .doc(
        STRING,
        "2.2.0",
        "O(N) where N is the length of the value",
        "Overwrites a part of a key's string from an offset on, filling up with zero bytes.",
        "key offset value",
    )
    .touches(Touches::Value);

/// Fails if a string would grow beyond `proto-max-bulk-len`.
fn check_length(cx: &Cx<'_>, start: usize, more: usize) -> Result<usize, Fail> {
    start
        .checked_add(more)
        .filter(|&len| {
            cx.session.is_primary || len as u64 <= cx.config.network.proto_max_bulk_len.0
        })
        .ok_or(Fail::StringTooLong)
}

fn length(entry: &Entry) -> Result<usize, Fail> {
    Ok(text(string_of(entry)?, &mut itoa::Buffer::new()).len())
}

fn append(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (key, more, access) = (db.key(args.at(1), 0), args.at(2), db.access());
    let len = match db.lookup(key) {
        Lookup::Vacant(vacant) => {
            vacant.insert(NewValue::String(more), None, access);
            cx.notify_new(args.at(1));
            more.len()
        }
        Lookup::Found(mut found) => {
            let len = length(&found.entry())?;
            let len = check_length(cx, len, more.len())?;
            found.edit_string([], |bytes| {
                make_room(bytes, bytes.len() + more.len());
                bytes.extend_from_slice(more);
            });
            len
        }
    };
    cx.changed(1);
    cx.notify(EventClass::String, "append", args.at(1));
    cx.reply.integer(len as i64);
    Ok(())
}

fn strlen(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let found = db.read(db.key(args.at(1), 0));
    let len = found.map_or(Ok(0), |found| length(&found.entry()))?;
    cx.reply.integer(len as i64);
    Ok(())
}

/// The part of `text` from `start` to `end`, both included; negative positions count from the end.
fn part(text: &[u8], start: i64, end: i64) -> &[u8] {
    let len = text.len() as i64;
    if start < 0 && end < 0 && start > end {
        return &[];
    }
    let from_end = |at: i64| if at < 0 { at.saturating_add(len).max(0) } else { at };
    let (start, end) = (from_end(start), from_end(end).min(len - 1));
    if start > end { &[] } else { &text[start as usize..=end as usize] }
}

fn getrange(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (start, end) = (integer(args.at(2))?, integer(args.at(3))?);
    match db.read(db.key(args.at(1), 0)) {
        Some(found) => {
            let mut buffer = itoa::Buffer::new();
            cx.reply.bulk(part(text(string_of(&found.entry())?, &mut buffer), start, end));
        }
        None => cx.reply.bulk(b""),
    }
    Ok(())
}

fn setrange(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (value, access) = (args.at(3), db.access());
    let offset = usize::try_from(integer(args.at(2))?)
        .map_err(|_| Fail::text("ERR offset is out of range"))?;
    let lookup = db.lookup(db.key(args.at(1), 0));
    let before = match &lookup {
        Lookup::Found(found) => length(&found.entry())?,
        Lookup::Vacant(_) => 0,
    };
    if value.is_empty() {
        cx.reply.integer(before as i64);
        return Ok(());
    }
    let end = check_length(cx, offset, value.len())?;
    let overwrite = |bytes: &mut Vec<u8>| {
        make_room(bytes, end);
        bytes.resize(bytes.len().max(end), 0);
        bytes[offset..end].copy_from_slice(value);
        bytes.len()
    };
    let len = match lookup {
        Lookup::Found(mut found) => found.edit_string(once(offset..end), overwrite),
        Lookup::Vacant(vacant) => {
            let mut bytes = Vec::new();
            let len = overwrite(&mut bytes);
            let value = Value::Boxed(Box::new(bytes));
            vacant.insert(NewValue::Owned(value), None, access);
            cx.notify_new(args.at(1));
            len
        }
    };
    cx.changed(1);
    cx.notify(EventClass::String, "setrange", args.at(1));
    cx.reply.integer(len as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::part;

    #[test]
    fn parts() {
        for (start, end, expected) in [
            (0, -1, "Hello"),
            (0, 100, "Hello"),
            (1, 3, "ell"),
            (-3, -1, "llo"),
            (-1, -3, ""),
            (-100, 1, "He"),
            (-100, -50, "H"),
            (5, 9, ""),
            (3, 1, ""),
            (i64::MIN, i64::MAX, "Hello"),
            (i64::MAX, i64::MIN, ""),
        ] {
            assert_eq!(part(b"Hello", start, end), expected.as_bytes(), "{start} {end}");
        }
        assert_eq!(part(b"", 0, -1), b"");
    }
}
