//! GEOADD.

use super::{GEO, WRITE, position};
use crate::command::{Command, KeyUse};
use crate::commands::sorted_set::{Condition, Tally, add_one, limits, told};
use crate::{Args, Cx, Db, Done, Fail};
use tessera_collections::{Collection, SortedSet};

pub(super) const GEOADD: Command =
    Command::new("geoadd", -5, geoadd).flags(WRITE).keys(1, 1, 1).uses(&[KeyUse::RW_UPDATE]).doc(
        GEO,
        "3.2.0",
        "O(M log(N)) to add M members, where N is the number of members",
        "Adds members with their positions, or changes their positions.",
        "key [NX|XX] [CH] <longitude latitude member>...",
    );

/// Arguments of a member: longitude, latitude, name.
const EACH: usize = 3;

fn geoadd(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (mut condition, mut changed, mut first) = (Condition::default(), false, 2);
    while first < args.len() {
        match () {
            () if args.is(first, "nx") => condition.new = true,
            () if args.is(first, "xx") => condition.old = true,
            () if args.is(first, "ch") => changed = true,
            () => break,
        }
        first += 1;
    }
    let count = (args.len() - first) / EACH;
    if !(args.len() - first).is_multiple_of(EACH) || condition.new && condition.old || count == 0 {
        return Err(Fail::Syntax);
    }
    // All positions are read before anything changes.
    let mut longest = 0;
    for at in (first..args.len()).step_by(EACH) {
        position(args, at)?;
        longest = longest.max(args.at(at + 2).len());
    }
    let (key, limits) = (db.key(args.at(1), 0), limits(cx.config));
    let found = if condition.old {
        db.find_as(key)?
    } else {
        Some(db.find_or_make(key, || SortedSet::with_room(count, longest, limits))?)
    };
    let (mut tally, mut is_new) = (Tally::default(), false);
    if let Some(mut found) = found {
        is_new = found.get().is_empty();
        if found.get().lacks_room(count, longest, limits) {
            found.edit().make_room(count, longest, limits);
        }
        for at in (first..args.len()).step_by(EACH) {
            let score = position(args, at)?.score();
            add_one(&mut found, args.at(at + 2), score, condition, limits, &mut tally)?;
        }
    }
    if is_new {
        cx.notify_new(key.bytes);
    }
    if tally.added + tally.updated > 0 {
        told(cx, key.bytes, "zadd", tally.added + tally.updated);
    }
    let updated = if changed { tally.updated } else { 0 };
    cx.reply.integer((tally.added + updated) as i64);
    Ok(())
}
