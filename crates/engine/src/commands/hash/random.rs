//! Fields by chance.

use super::{HASH, READ, bulk};
use crate::arguments::integer;
use crate::command::Command;
use crate::commands::repeated::Room;
use crate::{Args, Cx, Db, Done, Fail};
use tessera_collections::{FieldRef, Hash};
use tessera_resp::{Protocol, Reply};

pub(super) const HRANDFIELD: Command = Command::new("hrandfield", -2, hrandfield)
    .flags(READ)
    .keys(1, 1, 1)
    .tips(&["nondeterministic_output"])
    .doc(
        HASH,
        "6.2.0",
        "O(N) where N is the number of fields answered",
        "Answers fields of a hash that chance chooses.",
        "key [count [WITHVALUES]]",
    );

fn hrandfield(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    if args.len() > 2 {
        let (count, with_values) = options(args)?;
        return several(db, cx, args, count, with_values);
    }
    let (as_of, engine) = (db.field_time(), cx.engine);
    let found = db.read_as::<Hash>(db.key(args.at(1), 0))?;
    match found.as_ref().map(|found| found.get()) {
        None => cx.reply.null(),
        Some(hash) => match hash.pick(as_of, || engine.random()) {
            Some(field) => bulk(cx.reply, field.name),
            None => cx.reply.null(),
        },
    }
    Ok(())
}

/// The count, and whether values are wanted.
fn options(args: Args<'_>) -> Result<(i64, bool), Fail> {
    let count = integer(args.at(2))?;
    if count == i64::MIN {
        return Err(Fail::text(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    if args.len() > 4 || args.len() == 4 && !args.is(3, "withvalues") {
        return Err(Fail::Syntax);
    }
    let with_values = args.len() == 4;
    if with_values && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(Fail::text("ERR value is out of range"));
    }
    Ok((count, with_values))
}

fn several(
    db: &mut Db<'_, '_>,
    cx: &mut Cx<'_>,
    args: Args<'_>,
    count: i64,
    with_values: bool,
) -> Done {
    let (as_of, engine) = (db.field_time(), cx.engine);
    let found = db.read_as::<Hash>(db.key(args.at(1), 0))?;
    let Some(hash) = found.as_ref().map(|found| found.get()) else {
        cx.reply.array(0);
        return Ok(());
    };
    let in_pairs = with_values && cx.reply.protocol == Protocol::Resp3;
    let flat = if with_values && !in_pairs { 2 } else { 1 };
    let show = |reply: &mut Reply, field: FieldRef<'_>| {
        if in_pairs {
            reply.array(2);
        }
        bulk(reply, field.name);
        if with_values {
            bulk(reply, field.value);
        }
    };
    let random = || engine.random();
    let room = Room::of(cx);
    let reply = &mut *cx.reply;
    if let Ok(count) = usize::try_from(count) {
        reply.array(count.min(hash.live_len(as_of)) * flat);
        hash.sample(count, as_of, random, |field| show(reply, field));
        return Ok(());
    }
    let count = if hash.live_len(as_of) == 0 { 0 } else { count.unsigned_abs() };
    reply.array(usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(flat));
    let mut shown = 0;
    hash.pick_many(count, as_of, random, |field| {
        show(reply, field);
        shown += 1;
        room.is_left(reply)
    });
    if shown < count { room.used_up() } else { Ok(()) }
}
