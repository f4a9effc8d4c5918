//! All fields of a hash.

use super::{HASH, READ, bulk};
use crate::command::Command;
use crate::{Args, Cx, Db, Done};
use tessera_collections::Hash;

const COST: &str = "O(N) where N is the size of the hash";
const TIPS: &[&str] = &["nondeterministic_output_order"];

pub(super) const HGETALL: Command = Command::new("hgetall", 2, hgetall)
    .flags(READ)
    .keys(1, 1, 1)
    .tips(TIPS)
    .doc(HASH, "2.0.0", COST, "Gets all fields of a hash with their values.", "key");
pub(super) const HKEYS: Command = Command::new("hkeys", 2, hkeys)
    .flags(READ)
    .keys(1, 1, 1)
    .tips(TIPS)
    .doc(HASH, "2.0.0", COST, "Gets the names of all fields of a hash.", "key");
pub(super) const HVALS: Command = Command::new("hvals", 2, hvals)
    .flags(READ)
    .keys(1, 1, 1)
    .tips(TIPS)
    .doc(HASH, "2.0.0", COST, "Gets the values of all fields of a hash.", "key");

/// The parts of a field that are answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parts {
    Names,
    Values,
    Both,
}

fn answer(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>, parts: Parts) -> Done {
    let as_of = db.field_time();
    let found = db.read_as::<Hash>(db.key(args.at(1), 0))?;
    let len = found.as_ref().map_or(0, |found| found.get().live_len(as_of));
    match parts {
        Parts::Both => cx.reply.map(len),
        Parts::Names | Parts::Values => cx.reply.array(len),
    }
    let Some(found) = found else { return Ok(()) };
    let reply = &mut *cx.reply;
    found.get().for_each(as_of, |field| {
        if parts != Parts::Values {
            bulk(reply, field.name);
        }
        if parts != Parts::Names {
            bulk(reply, field.value);
        }
    });
    Ok(())
}

fn hgetall(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    answer(db, cx, args, Parts::Both)
}

fn hkeys(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    answer(db, cx, args, Parts::Names)
}

fn hvals(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    answer(db, cx, args, Parts::Values)
}
