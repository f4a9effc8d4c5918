//! BITFIELD: integers of any width within a string.

use super::field::{Kind, Overflow};
use super::{BITMAP, READ_FAST, WRITE, bad_offset, bit_offset, edit_grown, is_within_limit};
use crate::arguments::integer;
use crate::command::{Command, KeyUse};
use crate::commands::string::{string_of, text};
use crate::{Args, Cx, Db, Done, EventClass, Fail};
use std::ops::Range;
use tessera_resp::Reply;
use tessera_store::Lookup;

pub(super) const BITFIELD: Command = Command::new("bitfield", -2, bitfield)
    .flags(WRITE)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_ACCESS_UPDATE_VARIABLE_FLAGS])
    .uses_by(bitfield_use)
    .doc(
        BITMAP,
        "3.2.0",
        "O(1) for each operation",
        "Reads, writes and counts up integers of any width at any bit of a key's string.",
        "key [GET encoding offset|[OVERFLOW <WRAP|SAT|FAIL>] \
         <SET encoding offset value|INCRBY encoding offset increment>]...",
    );
pub(super) const BITFIELD_RO: Command =
    Command::new("bitfield_ro", -2, bitfield_ro).flags(READ_FAST).keys(1, 1, 1).doc(
        BITMAP,
        "6.0.0",
        "O(1) for each operation",
        "Reads integers of any width at any bit of a key's string.",
        "key [GET encoding offset]...",
    );

/// How BITFIELD uses its key: it only reads if all that it asks is GET.
fn bitfield_use(args: Args<'_>) -> KeyUse {
    let mut at = 2;
    while at < args.len() {
        let length = match () {
            () if args.is(at, "get") => 3,
            () if args.is(at, "overflow") => 2,
            () => usize::MAX,
        };
        if length > args.len() - at {
            return KeyUse::RW_ACCESS_UPDATE;
        }
        at += length;
    }
    KeyUse::RO_ACCESS
}

/// The action on a field.
#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64),
    Add(i64),
}

struct Operation {
    kind: Kind,
    /// The first bit.
    offset: u64,
    action: Action,
    overflow: Overflow,
}

impl Operation {
    /// The number of bytes that a string must have for a write.
    fn reach(&self) -> Option<usize> {
        self.writes().map(|bytes| bytes.end)
    }

    /// The bytes that it may write.
    fn writes(&self) -> Option<Range<usize>> {
        let end = (self.offset + u64::from(self.kind.bits())).div_ceil(8);
        (!matches!(self.action, Action::Get)).then_some((self.offset / 8) as usize..end as usize)
    }

    /// Runs on a string that reaches far enough; says whether it has changed.
    fn run(&self, bytes: &mut [u8], reply: &mut Reply) -> bool {
        let old = self.kind.read(bytes, self.offset);
        let (new, shown) = match self.action {
            Action::Get => (Some(old), old),
            Action::Set(value) => (self.kind.assign(value, self.overflow), old),
            Action::Add(increment) => {
                let new = self.kind.add(old, increment, self.overflow);
                (new, new.unwrap_or(old))
            }
        };
        let Some(new) = new else {
            reply.null();
            return false;
        };
        reply.integer(shown);
        if new != old {
            self.kind.write(bytes, self.offset, new);
        }
        new != old
    }
}

fn overflow(word: &[u8]) -> Result<Overflow, Fail> {
    let words = [("wrap", Overflow::Wrap), ("sat", Overflow::Saturate), ("fail", Overflow::Fail)];
    let found = words.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
    found.map(|(_, overflow)| overflow).ok_or(Fail::text("ERR Invalid OVERFLOW type specified"))
}

/// A bit's number, or `#` and a number of fields of this kind.
fn offset(cx: &Cx<'_>, arg: &[u8], kind: Kind) -> Result<u64, Fail> {
    let Some(fields) = arg.strip_prefix(b"#") else { return bit_offset(cx, arg) };
    integer(fields)
        .ok()
        .and_then(|fields| u64::try_from(fields).ok()?.checked_mul(u64::from(kind.bits())))
        .filter(|offset| *offset <= i64::MAX as u64 && is_within_limit(cx, *offset))
        .ok_or(bad_offset())
}

fn parse(cx: &Cx<'_>, args: Args<'_>) -> Result<Vec<Operation>, Fail> {
    let mut operations = Vec::with_capacity(args.len() / 3);
    let (mut policy, mut at) = (Overflow::Wrap, 2);
    while at < args.len() {
        let behind = args.len() - at - 1;
        if args.is(at, "overflow") && behind >= 1 {
            policy = overflow(args.at(at + 1))?;
            at += 2;
            continue;
        }
        let has_value = if args.is(at, "get") && behind >= 2 {
            false
        } else if (args.is(at, "set") || args.is(at, "incrby")) && behind >= 3 {
            true
        } else {
            return Err(Fail::Syntax);
        };
        let kind = Kind::parse(args.at(at + 1)).ok_or(Fail::text(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        ))?;
        let offset = offset(cx, args.at(at + 2), kind)?;
        let action = match has_value {
            false => Action::Get,
            true if args.is(at, "set") => Action::Set(integer(args.at(at + 3))?),
            true => Action::Add(integer(args.at(at + 3))?),
        };
        operations.push(Operation { kind, offset, action, overflow: policy });
        at += if has_value { 4 } else { 3 };
    }
    Ok(operations)
}

/// Answers operations which are all GET.
fn read(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>, operations: &[Operation]) -> Done {
    let found = db.read(db.key(args.at(1), 0));
    let entry = found.as_ref().map(|found| found.entry());
    let mut buffer = itoa::Buffer::new();
    let bytes = match &entry {
        Some(entry) => text(string_of(entry)?, &mut buffer),
        None => &[],
    };
    cx.reply.array(operations.len());
    operations.iter().for_each(|get| cx.reply.integer(get.kind.read(bytes, get.offset)));
    Ok(())
}

fn bitfield(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let operations = parse(cx, args)?;
    let Some(reach) = operations.iter().filter_map(Operation::reach).max() else {
        return read(db, cx, args, &operations);
    };
    let access = db.access();
    let lookup = db.lookup(db.key(args.at(1), 0));
    let before = match &lookup {
        Lookup::Found(found) => {
            Some(text(string_of(&found.entry())?, &mut itoa::Buffer::new()).len())
        }
        Lookup::Vacant(_) => None,
    };
    cx.reply.array(operations.len());
    let reply = &mut *cx.reply;
    let writes = operations.iter().filter_map(Operation::writes);
    let changed = edit_grown(lookup, reach, writes, access, |bytes| {
        operations.iter().filter(|operation| operation.run(bytes, reply)).count()
    });
    // The string grows even if nothing is written into it: others must hear of that too.
    let has_grown = before.is_none_or(|before| before < reach);
    let changed = (changed as u64).max(u64::from(has_grown));
    if changed > 0 {
        cx.changed(changed);
        if before.is_none() {
            cx.notify_new(args.at(1));
        }
        cx.notify(EventClass::String, "setbit", args.at(1));
    }
    Ok(())
}

fn bitfield_ro(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let operations = parse(cx, args)?;
    if operations.iter().any(|operation| operation.reach().is_some()) {
        return Err(Fail::text("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    read(db, cx, args, &operations)
}
