//! Setting fields.

use super::{GROW_FAST, HASH, limits};
use crate::command::{Command, KeyUse};
use crate::{Args, Cx, Db, Done, EventClass, Fail};
use tessera_collections::{Collection, Expiry, Hash};

pub(super) const HSET: Command =
    Command::new("hset", -4, hset).flags(GROW_FAST).keys(1, 1, 1).uses(&[KeyUse::RW_UPDATE]).doc(
        HASH,
        "2.0.0",
        "O(N) where N is the number of fields",
        "Sets fields of a hash; what they held, and when they expired, is forgotten.",
        "key <field value>...",
    );
pub(super) const HSETNX: Command = Command::new("hsetnx", 4, hsetnx)
    .flags(GROW_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_INSERT])
    .doc(HASH, "2.0.0", "O(1)", "Sets a field of a hash unless it is there.", "key field value");
pub(super) const HMSET: Command =
    Command::new("hmset", -4, hmset).flags(GROW_FAST).keys(1, 1, 1).uses(&[KeyUse::RW_UPDATE]).doc(
        HASH,
        "2.0.0",
        "O(N) where N is the number of fields",
        "Sets fields of a hash; HSET does the same and counts the new ones.",
        "key <field value>...",
    );

/// Sets the fields; gives how many were not there.
fn set_all(
    db: &mut Db<'_, '_>,
    cx: &mut Cx<'_>,
    args: Args<'_>,
    name: &'static str,
) -> Result<i64, Fail> {
    if !args.len().is_multiple_of(2) {
        return Err(Fail::Arity(name.into()));
    }
    let (bytes, fields) = (args.at(1), args.len() / 2 - 1);
    let key = db.key(bytes, 0);
    db.retire_fields(key, args.from(2).step_by(2));
    let (as_of, limits) = (db.field_time(), limits(cx));
    let mut found = db.find_or_make(key, Hash::new)?;
    let is_new = found.get().is_empty();
    let mut hash = found.edit();
    hash.expect(fields, args.from(2), limits);
    let mut made = 0;
    for at in (2..args.len()).step_by(2) {
        made += i64::from(hash.set(args.at(at), args.at(at + 1), Expiry::Never, as_of, limits));
    }
    if is_new {
        cx.notify_new(bytes);
    }
    cx.notify(EventClass::Hash, "hset", bytes);
    cx.changed(fields as u64);
    Ok(made)
}

fn hset(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let made = set_all(db, cx, args, "hset")?;
    cx.reply.integer(made);
    Ok(())
}

fn hmset(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    set_all(db, cx, args, "hmset")?;
    cx.reply.ok();
    Ok(())
}

fn hsetnx(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (bytes, field, value) = (args.at(1), args.at(2), args.at(3));
    let key = db.key(bytes, 0);
    db.retire_fields(key, std::iter::once(field));
    let (as_of, limits) = (db.field_time(), limits(cx));
    let mut found = db.find_or_make(key, Hash::new)?;
    let is_new = found.get().is_empty();
    if found.get().get(field, as_of).is_some() {
        cx.reply.integer(0);
        return Ok(());
    }
    found.edit().set(field, value, Expiry::Never, as_of, limits);
    if is_new {
        cx.notify_new(bytes);
    }
    cx.notify(EventClass::Hash, "hset", bytes);
    cx.changed(1);
    cx.reply.integer(1);
    Ok(())
}
