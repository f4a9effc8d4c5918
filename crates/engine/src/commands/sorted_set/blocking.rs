//! BZPOPMIN, BZPOPMAX and BZMPOP: taking members as soon as there are some.

use super::pop::{End, Shape, end_and_count, many_keys, propagate, take};
use super::{SORTED_SET, TAKE, WRITE, WRITE_FAST};
use crate::command::{Command, Flags, KeyPlace, Keys};
use crate::{Args, Blocked, Cx, Db, Done, Fail, Key, Served, deadline_in_seconds};
use tessera_collections::SortedSet;

pub(super) const BZPOPMIN: Command = Command::new("bzpopmin", -3, bzpopmin)
    .flags(WRITE_FAST.or(Flags::BLOCKING))
    .keys(1, -2, 1)
    .uses(TAKE)
    .doc(
        SORTED_SET,
        "5.0.0",
        "O(log(N)) where N is the number of members",
        "Takes the member with the lowest score out, and waits until there is one.",
        "key [key ...] timeout-float",
    );
pub(super) const BZPOPMAX: Command = Command::new("bzpopmax", -3, bzpopmax)
    .flags(WRITE_FAST.or(Flags::BLOCKING))
    .keys(1, -2, 1)
    .uses(TAKE)
    .doc(
        SORTED_SET,
        "5.0.0",
        "O(log(N)) where N is the number of members",
        "Takes the member with the highest score out, and waits until there is one.",
        "key [key ...] timeout-float",
    );
pub(super) const BZMPOP: Command = Command {
    keys: Keys::Search {
        find: |args| Ok(many_keys(args, 2)?.collect()),
        specs: &[(KeyPlace::Counted(2), TAKE[0])],
    },
    ..Command::new("bzmpop", -5, bzmpop)
        .flags(WRITE.or(Flags::BLOCKING))
        .uses(TAKE)
        .doc(
            SORTED_SET,
            "7.0.0",
            "O(K + M log(N)) for K keys, N members of the set and M members taken",
            "Takes members from an end of the first of several sorted sets that has some, and waits until one has.",
            "timeout-float numkeys key [key ...] <MIN|MAX> [COUNT count]",
        )
};

/// Taking from whichever key has members.
struct Take {
    end: End,
    /// COUNT of BZMPOP; without it one member is answered without pairs.
    count: Option<usize>,
}

impl Blocked for Take {
    fn serve(
        &mut self,
        db: &mut Db<'_, '_>,
        cx: &mut Cx<'_>,
        key: Key<'_>,
    ) -> Result<Served, Fail> {
        let Some(found) = db.find_as::<SortedSet>(key)? else { return Ok(Served::No) };
        let shape = if self.count.is_some() { Shape::KeyPairs } else { Shape::KeyFlat };
        let taken = take(cx, key.bytes, found, self.end, self.count.unwrap_or(1), shape);
        propagate(cx, self.end, key.bytes, self.count.map(|_| taken));
        Ok(Served::Yes)
    }
}

fn pop(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>, end: End) -> Done {
    let last = args.len() - 1;
    let deadline = deadline_in_seconds(args.at(last), cx.now)?;
    let keys: Vec<Key<'_>> = (1..last).map(|at| db.key(args.at(at), at - 1)).collect();
    cx.serve_or_block(db, &keys, deadline, Take { end, count: None })
}

fn bzpopmin(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    pop(db, cx, args, End::Min)
}

fn bzpopmax(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    pop(db, cx, args, End::Max)
}

fn bzmpop(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let keys = many_keys(args, 2)?;
    let (end, count) = end_and_count(args, keys.end)?;
    let deadline = deadline_in_seconds(args.at(1), cx.now)?;
    let keys: Vec<Key<'_>> =
        keys.enumerate().map(|(ordinal, at)| db.key(args.at(at), ordinal)).collect();
    cx.serve_or_block(db, &keys, deadline, Take { end, count: Some(count) })
}
