//! Waiting for elements.

use super::end::{Many, counted_keys, many, many_keys, pop_one, take_many, verb};
use super::moving::{USES, move_element};
use super::{LIST, TAKE, WRITE, end_of};
use crate::command::{Command, Flags, KeyPlace, KeyUse, Keys};
use crate::db::Key;
use crate::{Args, Blocked, Cx, Db, Done, Fail, Handler, Served, deadline_in_seconds};
use tessera_collections::{End, List};

const fn pop_command(name: &'static str, handler: Handler, summary: &'static str) -> Command {
    Command::new(name, -3, handler)
        .flags(TAKE.or(Flags::BLOCKING))
        .keys(1, -2, 1)
        .uses(&[KeyUse::RW_ACCESS_DELETE])
        .doc(LIST, "2.0.0", "O(N) where N is the number of keys", summary, "key [key ...] timeout")
}

pub(super) const BLPOP: Command = pop_command(
    "blpop",
    blpop,
    "Takes the first element of the first of several lists that is there; waits for one.",
);
pub(super) const BRPOP: Command = pop_command(
    "brpop",
    brpop,
    "Takes the last element of the first of several lists that is there; waits for one.",
);
pub(super) const BLMPOP: Command = Command {
    keys: Keys::Search {
        find: |args| Ok(counted_keys(args, 2)?.collect()),
        specs: &[(KeyPlace::Counted(2), KeyUse::RW_ACCESS_DELETE)],
    },
    ..Command::new("blmpop", -5, blmpop)
}
.flags(TAKE.or(Flags::BLOCKING))
.uses(&[KeyUse::RW_ACCESS_DELETE])
.doc(
    LIST,
    "7.0.0",
    "O(N+M) where N is the number of keys and M the number of elements taken",
    "Takes elements from an end of the first of several lists that is there; waits for one.",
    "timeout numkeys key [key ...] <LEFT|RIGHT> [COUNT count]",
);
pub(super) const BLMOVE: Command = Command::new("blmove", 6, blmove)
    .flags(WRITE.or(Flags::BLOCKING))
    .keys(1, 2, 1)
    .uses(USES)
    .doc(
        LIST,
        "6.2.0",
        "O(1)",
        "As LMOVE; waits for an element if there is none.",
        "source destination <LEFT|RIGHT> <LEFT|RIGHT> timeout",
    );
pub(super) const BRPOPLPUSH: Command = Command::new("brpoplpush", 4, brpoplpush)
    .flags(WRITE.or(Flags::BLOCKING))
    .keys(1, 2, 1)
    .uses(USES)
    .doc(
        LIST,
        "2.2.0",
        "O(1)",
        "As RPOPLPUSH; waits for an element if there is none.",
        "source destination timeout",
    );

/// Takes one element, and answers it with its key.
struct TakeOne(End);

impl Blocked for TakeOne {
    fn serve(
        &mut self,
        db: &mut Db<'_, '_>,
        cx: &mut Cx<'_>,
        key: Key<'_>,
    ) -> Result<Served, Fail> {
        let Some(found) = db.find_as::<List>(key)? else { return Ok(Served::No) };
        cx.reply.array(2);
        cx.reply.bulk(key.bytes);
        pop_one(found, cx, key, self.0);
        cx.propagate_instead(|| vec![verb(self.0).to_vec(), key.bytes.to_vec()]);
        Ok(Served::Yes)
    }
}

/// Takes several elements of one key.
struct TakeMany(Many);

impl Blocked for TakeMany {
    fn serve(
        &mut self,
        db: &mut Db<'_, '_>,
        cx: &mut Cx<'_>,
        key: Key<'_>,
    ) -> Result<Served, Fail> {
        let Some(found) = db.find_as::<List>(key)? else { return Ok(Served::No) };
        take_many(found, cx, key, &self.0);
        Ok(Served::Yes)
    }
}

/// Moves an element.
struct Move {
    from: End,
    to: End,
    destination: Box<[u8]>,
    /// The command that does it without waiting, but for the keys.
    verb: &'static [u8],
    /// The arguments behind the keys.
    rest: &'static [&'static [u8]],
}

impl Blocked for Move {
    fn serve(
        &mut self,
        db: &mut Db<'_, '_>,
        cx: &mut Cx<'_>,
        key: Key<'_>,
    ) -> Result<Served, Fail> {
        let destination = db.place(&self.destination);
        if !move_element(db, cx, (key, self.from), (destination, self.to))? {
            return Ok(Served::No);
        }
        cx.propagate_instead(|| {
            let keys = [self.verb, key.bytes, destination.bytes];
            keys.iter().chain(self.rest).map(|word| word.to_vec()).collect()
        });
        Ok(Served::Yes)
    }

    fn also_locks(&self) -> Option<&[u8]> {
        Some(&self.destination)
    }
}

fn blpop(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    take_or_wait(db, cx, End::Left, args)
}

fn brpop(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    take_or_wait(db, cx, End::Right, args)
}

fn take_or_wait(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, end: End, args: Args<'_>) -> Done {
    let last = args.len() - 1;
    let deadline = deadline_in_seconds(args.at(last), cx.now)?;
    let keys: Vec<Key<'_>> =
        (1..last).enumerate().map(|(ordinal, at)| db.key(args.at(at), ordinal)).collect();
    cx.serve_or_block(db, &keys, deadline, TakeOne(end))
}

fn blmpop(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let positions = many_keys(args, 2)?;
    let many = many(args, positions.end)?;
    let deadline = deadline_in_seconds(args.at(1), cx.now)?;
    let keys: Vec<Key<'_>> =
        positions.enumerate().map(|(ordinal, at)| db.key(args.at(at), ordinal)).collect();
    cx.serve_or_block(db, &keys, deadline, TakeMany(many))
}

fn blmove(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (from, to) = (end_of(args, 3)?, end_of(args, 4)?);
    let rest: &[&[u8]] = match (from, to) {
        (End::Left, End::Left) => &[b"left", b"left"],
        (End::Left, End::Right) => &[b"left", b"right"],
        (End::Right, End::Left) => &[b"right", b"left"],
        (End::Right, End::Right) => &[b"right", b"right"],
    };
    let destination = args.at(2).into();
    move_or_wait(db, cx, args, 5, Move { from, to, destination, verb: b"LMOVE", rest })
}

fn brpoplpush(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (destination, verb) = (args.at(2).into(), b"RPOPLPUSH");
    let operation = Move { from: End::Right, to: End::Left, destination, verb, rest: &[] };
    move_or_wait(db, cx, args, 3, operation)
}

fn move_or_wait(
    db: &mut Db<'_, '_>,
    cx: &mut Cx<'_>,
    args: Args<'_>,
    timeout: usize,
    mut operation: Move,
) -> Done {
    let deadline = deadline_in_seconds(args.at(timeout), cx.now)?;
    let key = db.key(args.at(1), 0);
    if cx.may_block {
        return cx.serve_or_block(db, &[key], deadline, operation);
    }
    // Not the answer of a time-out: an element is missing, not a pair of key and element.
    if operation.serve(db, cx, key)? == Served::No {
        cx.reply.null();
    }
    Ok(())
}
