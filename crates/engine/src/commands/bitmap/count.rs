//! Bits counted, and found.

use super::range::Asked;
use super::words::{count_ones, find};
use super::{BITMAP, READ};
use crate::arguments::integer;
use crate::command::Command;
use crate::commands::string::{string_of, text};
use crate::{Args, Cx, Db, Done, Fail};

pub(super) const BITCOUNT: Command =
    Command::new("bitcount", -2, bitcount).flags(READ).keys(1, 1, 1).doc(
        BITMAP,
        "2.6.0",
        "O(N) where N is the length of the range",
        "Counts the bits that are set in a key's string, or in a part of it.",
        "key [start [end [BYTE|BIT]]]",
    );
pub(super) const BITPOS: Command =
    Command::new("bitpos", -3, bitpos).flags(READ).keys(1, 1, 1).doc(
        BITMAP,
        "2.8.7",
        "O(N) where N is the length of the range",
        "Finds the first bit that is set, or clear, in a key's string or in a part of it.",
        "key bit [start [end [BYTE|BIT]]]",
    );

fn bitcount(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let asked = Asked::parse(args, 2)?;
    let count = match db.read(db.key(args.at(1), 0)) {
        Some(found) => {
            let (entry, mut buffer) = (found.entry(), itoa::Buffer::new());
            let bytes = text(string_of(&entry)?, &mut buffer);
            let range = asked.bits(bytes.len()).filter(|_| !asked.is_reversed());
            range.map_or(0, |range| count_ones(bytes, range))
        }
        None => 0,
    };
    cx.reply.integer(count as i64);
    Ok(())
}

fn bitpos(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let wanted = match integer(args.at(2))? {
        0 => false,
        1 => true,
        _ => return Err(Fail::text("ERR The bit argument must be 1 or 0.")),
    };
    let asked = Asked::parse(args, 3)?;
    let position = match db.read(db.key(args.at(1), 0)) {
        // Without a key there are clear bits only.
        None => (!wanted).then_some(0),
        Some(found) => {
            let (entry, mut buffer) = (found.entry(), itoa::Buffer::new());
            let bytes = text(string_of(&entry)?, &mut buffer);
            let beyond = (!wanted && !asked.has_end()).then_some(bytes.len() as u64 * 8);
            asked.bits(bytes.len()).and_then(|range| find(bytes, range, wanted).or(beyond))
        }
    };
    cx.reply.integer(position.map_or(-1, |position| position as i64));
    Ok(())
}
