//! BITOP: bitmaps combined into another.

use super::words::{and, not, or, xor};
use super::{BITMAP, WRITE};
use crate::command::{Command, KeyUse};
use crate::commands::string::{string_of, text};
use crate::{Args, Cx, Db, Done, EventClass, Fail};
use tessera_store::{Found, Lookup, NewValue, Value};

pub(super) const BITOP: Command = Command::new("bitop", -4, bitop)
    .flags(WRITE)
    .keys(2, -1, 1)
    .uses(&[KeyUse::OW_UPDATE, KeyUse::RO_ACCESS])
    .doc(
        BITMAP,
        "2.6.0",
        "O(N) where N is the length of all strings together",
        "Combines the bits of several keys' strings and keeps the result in another key.",
        "<AND|OR|XOR|NOT> destkey key [key ...]",
    );

/// Bytes of the result that are made at once from all sources: they stay in the first-level cache
/// meanwhile.
const BLOCK: usize = 16 << 10;
/// The first argument that is a source.
const FIRST_SOURCE: usize = 3;
/// Up to this length the result is kept with its key in one allocation, if it fits there.
const SHORT: usize = 512;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

impl Operation {
    fn parse(args: Args<'_>) -> Result<Operation, Fail> {
        let words = [
            ("and", Operation::And),
            ("or", Operation::Or),
            ("xor", Operation::Xor),
            ("not", Operation::Not),
        ];
        let found = words.into_iter().find(|(word, _)| args.is(1, word));
        let (_, operation) = found.ok_or(Fail::Syntax)?;
        if operation == Operation::Not && args.len() != FIRST_SOURCE + 1 {
            return Err(Fail::text("ERR BITOP NOT must be called with a single source key."));
        }
        Ok(operation)
    }

    /// Takes source number `at` in; `result` is at least as long.
    fn take(self, at: usize, result: &mut [u8], source: &[u8]) {
        match at {
            0 => self.begin(result, source),
            _ => self.go_on(result, source),
        }
    }

    fn begin(self, result: &mut [u8], source: &[u8]) {
        result[..source.len()].copy_from_slice(source);
        if self == Operation::Not {
            not(result);
        }
    }

    fn go_on(self, result: &mut [u8], source: &[u8]) {
        match self {
            Operation::And => and(result, source),
            Operation::Or => or(result, source),
            Operation::Xor => xor(result, source),
            Operation::Not => unreachable!("NOT has one source"),
        }
    }
}

fn combine(db: &mut Db<'_, '_>, args: Args<'_>, operation: Operation) -> Result<Vec<u8>, Fail> {
    let mut result = first_block(db, args, operation)?;
    for (number, block) in result.chunks_mut(BLOCK).enumerate().skip(1) {
        let (start, end) = (number * BLOCK, number * BLOCK + block.len());
        for (at, key) in args.from(FIRST_SOURCE).enumerate() {
            let found = db.peek(db.key(key, at + 1));
            with_source(found, |source| {
                let part = &source[start.min(source.len())..end.min(source.len())];
                operation.take(at, block, part);
            })?;
        }
    }
    Ok(result)
}

/// The result as far as its first block, which is nearly always all of it, followed by zeros up to
/// its length. Counts hits and misses.
fn first_block(db: &mut Db<'_, '_>, args: Args<'_>, operation: Operation) -> Result<Vec<u8>, Fail> {
    let (mut result, mut len) = (Vec::new(), 0);
    for (at, key) in args.from(FIRST_SOURCE).enumerate() {
        let found = db.read(db.key(key, at + 1));
        with_source(found, |source| {
            len = len.max(source.len());
            let part = &source[..source.len().min(BLOCK)];
            result.resize(part.len().max(result.len()), 0);
            operation.take(at, &mut result, part);
        })?;
    }
    result.resize(len, 0);
    Ok(result)
}

/// The bytes of a source; a missing one has none.
fn with_source(found: Option<Found<'_, '_>>, take: impl FnOnce(&[u8])) -> Done {
    match &found {
        Some(found) => take(text(string_of(&found.entry())?, &mut itoa::Buffer::new())),
        None => take(&[]),
    }
    Ok(())
}

fn bitop(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let operation = Operation::parse(args)?;
    let result = combine(db, args, operation)?;
    let len = result.len();
    let (destination, access) = (db.key(args.at(2), 0), db.access());
    if len > 0 {
        let value = match len {
            ..=SHORT => Value::Bytes(result.into(), true),
            _ => Value::Boxed(Box::new(result)),
        };
        let lookup = db.lookup(destination);
        let is_new = matches!(lookup, Lookup::Vacant(_));
        crate::db::store(lookup, NewValue::Owned(value), None, access);
        cx.changed(1);
        if is_new {
            cx.notify_new(args.at(2));
        }
        cx.notify(EventClass::String, "set", args.at(2));
    } else if let Lookup::Found(found) = db.lookup(destination) {
        found.delete();
        cx.changed(1);
        cx.notify(EventClass::Generic, "del", args.at(2));
    }
    cx.reply.integer(len as i64);
    Ok(())
}
