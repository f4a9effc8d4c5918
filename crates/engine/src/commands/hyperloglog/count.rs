//! The estimate, of one key or of several together.

use super::{HYPERLOGLOG, edit, make_raw, view};
use crate::command::{Command, Flags, KeyUse};
use crate::db::ExpiredKeys;
use crate::hll::Registers;
use crate::{Args, Cx, Db, Done, Fail, Mode};

pub(super) const PFCOUNT: Command = Command::new("pfcount", -2, pfcount)
    .flags(Flags::READONLY.or(Flags::MAY_REPLICATE))
    .keys(1, -1, 1)
    .uses(&[KeyUse::RW_ACCESS])
    .doc(
        HYPERLOGLOG,
        "2.8.9",
        "O(1) for one key, O(N) for N keys",
        "Estimates how many different elements were added to a key, or to several keys together.",
        "key [key ...]",
    );

fn pfcount(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let count = match args.len() {
        2 => count_one(db, cx, args)?,
        _ => count_many(db, args)?,
    };
    cx.reply.integer(count as i64);
    Ok(())
}

/// The use of an estimate that was counted anew.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// Keep it in the key, and tell replicas.
    Told,
    /// Keep it in the key: the history is not ours to write.
    Here,
    /// Writes have been paused since the command was let in: nothing may change.
    Not,
}

fn count_one(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Result<u64, Fail> {
    let keep = match db.expired {
        ExpiredKeys::Remove | ExpiredKeys::Show => Keep::Told,
        ExpiredKeys::Hide if cx.engine.mode().any(Mode::REPLICA) => Keep::Here,
        ExpiredKeys::Hide => Keep::Not,
    };
    let Some(mut found) = db.read(db.key(args.at(1), 0)) else { return Ok(0) };
    let cached = view(&found.entry(), |hll| Ok(hll.cached()))?;
    if keep != Keep::Not {
        make_raw(&mut found)?;
    }
    if let Some(count) = cached {
        return Ok(count);
    }
    let count = view(&found.entry(), |hll| hll.count())?;
    if keep != Keep::Not {
        edit(&mut found, |hll| {
            hll.set_cache(count);
            Ok(())
        })?;
    }
    if keep == Keep::Told {
        cx.changed(1);
    }
    Ok(count)
}

fn count_many(db: &mut Db<'_, '_>, args: Args<'_>) -> Result<u64, Fail> {
    let mut registers = Registers::new();
    for (ordinal, key) in args.from(1).enumerate() {
        if let Some(found) = db.read(db.key(key, ordinal)) {
            view(&found.entry(), |hll| registers.merge(hll))?;
        }
    }
    Ok(registers.count())
}
