//! Bitmaps: the bits of strings, counted from the highest bit of the first byte.
//!
//! How it works: `words.rs` counts, finds and combines bits of byte slices, in steps of eight bytes
//! and more; `range.rs` reads the ranges of BITCOUNT and BITPOS; `field.rs` reads and writes
//! integers of 1 to 64 bits at any bit. None of these three knows a key or a command. Reads work on
//! the value where it lies; writes edit it there.

mod bit;
mod combine;
mod count;
mod field;
mod fields;
mod range;
mod words;

use crate::arguments::integer;
use crate::command::{Command, Flags, Group};
use crate::{Cx, Fail};
use std::ops::Range;
use tessera_store::{Lookup, NewValue, Value, make_room};

const BITMAP: Group = Group::Bitmap;
const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = READ.or(Flags::FAST);
const WRITE: Flags = Flags::WRITE.or(Flags::DENYOOM);

pub(super) const COMMANDS: &[Command] = &[
    bit::SETBIT,
    bit::GETBIT,
    count::BITCOUNT,
    count::BITPOS,
    combine::BITOP,
    fields::BITFIELD,
    fields::BITFIELD_RO,
];

/// The position of a bit: not negative, and within a string of `proto-max-bulk-len` bytes. An
/// argument from the primary is taken as it is.
fn bit_offset(cx: &Cx<'_>, arg: &[u8]) -> Result<u64, Fail> {
    integer(arg)
        .ok()
        .and_then(|offset| u64::try_from(offset).ok())
        .filter(|offset| is_within_limit(cx, *offset))
        .ok_or(bad_offset())
}

fn is_within_limit(cx: &Cx<'_>, offset: u64) -> bool {
    cx.session.is_primary || offset / 8 < cx.config.network.proto_max_bulk_len.0
}

fn bad_offset() -> Fail {
    Fail::text("ERR bit offset is not an integer or out of range")
}

/// Edits a string of which the first `len` bytes must be there, in these ranges: bytes that are
/// missing are added as zeros.
fn edit_grown<R>(
    lookup: Lookup<'_, '_, '_>,
    len: usize,
    ranges: impl IntoIterator<Item = Range<usize>>,
    access: u32,
    edit: impl FnOnce(&mut [u8]) -> R,
) -> R {
    match lookup {
        Lookup::Found(mut found) => found.edit_string(ranges, |bytes| {
            if bytes.len() < len {
                make_room(bytes, len);
                bytes.resize(len, 0);
            }
            edit(bytes)
        }),
        Lookup::Vacant(vacant) => {
            let mut bytes = vec![0; len];
            let result = edit(&mut bytes);
            let value = Value::Boxed(Box::new(bytes));
            vacant.insert(NewValue::Owned(value), None, access);
            result
        }
    }
}
