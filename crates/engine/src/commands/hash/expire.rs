//! HEXPIRE and its relatives: when fields of a hash expire.

use super::delete::removed;
use super::field_args::{Fields, fields_word, moment};
use super::{HASH, WRITE_FAST, tell};
use crate::command::{Command, KeyUse, Touches};
use crate::commands::generic::expire::Conditions;
use crate::commands::string::expiry_options::TimeForm;
use crate::{Args, Cx, Db, Done, EventClass, Handler};
use tessera_collections::Hash;
use tessera_slot::Millis;

const fn command(
    name: &'static str,
    handler: Handler,
    summary: &'static str,
    syntax: &'static str,
) -> Command {
    Command::new(name, -6, handler)
        .flags(WRITE_FAST)
        .keys(1, 1, 1)
        .uses(&[KeyUse::RW_UPDATE])
        .doc(HASH, "7.4.0", "O(N) where N is the number of fields", summary, syntax)
        .touches(Touches::Value)
}

pub(super) const HEXPIRE: Command = command(
    "hexpire",
    hexpire,
    "Sets the time to live of fields of a hash, in seconds.",
    "key seconds [NX|XX|GT|LT] FIELDS numfields field [field ...]",
);
pub(super) const HPEXPIRE: Command = command(
    "hpexpire",
    hpexpire,
    "Sets the time to live of fields of a hash, in milliseconds.",
    "key milliseconds [NX|XX|GT|LT] FIELDS numfields field [field ...]",
);
pub(super) const HEXPIREAT: Command = command(
    "hexpireat",
    hexpireat,
    "Sets the moment at which fields of a hash expire, in seconds since 1970.",
    "key unix-time-seconds [NX|XX|GT|LT] FIELDS numfields field [field ...]",
);
pub(super) const HPEXPIREAT: Command = command(
    "hpexpireat",
    hpexpireat,
    "Sets the moment at which fields of a hash expire, in milliseconds since 1970.",
    "key unix-time-milliseconds [NX|XX|GT|LT] FIELDS numfields field [field ...]",
);

/// The answers about a field.
const MISSING: i64 = -2;
const REFUSED: i64 = 0;
const SET: i64 = 1;
const DELETED: i64 = 2;

fn set_expiry(
    db: &mut Db<'_, '_>,
    cx: &mut Cx<'_>,
    args: Args<'_>,
    form: TimeForm,
    name: &'static str,
) -> Done {
    let word = fields_word(args, 3)?;
    let conditions = Conditions::parse(args, 3..word)?;
    let fields = Fields::at(args, word + 1)?;
    let at = moment(form, args.at(2), db.now, name)?;
    let (key, as_of, is_past) = (args.at(1), db.field_time(), db.is_past(at));
    let found = db.find_as::<Hash>(db.key(key, 0))?;
    cx.reply.array(fields.len());
    let Some(mut found) = found else {
        fields.iter().for_each(|_| cx.reply.integer(MISSING));
        return Ok(());
    };
    let mut changed: Vec<&[u8]> = Vec::new();
    for field in fields.iter() {
        let present = found.get().expiry(field, as_of);
        let answer = match present {
            None => MISSING,
            Some(present) if !conditions.allow(present.map(Millis), at) => REFUSED,
            Some(_) if is_past => {
                found.edit().remove(field, as_of);
                DELETED
            }
            Some(_) => {
                found.edit().set_expiry(field, at.0, as_of, |_| true);
                SET
            }
        };
        if answer > REFUSED {
            changed.push(field);
        }
        cx.reply.integer(answer);
    }
    match changed.len() {
        0 => {}
        count if is_past => {
            cx.stats.bump(|stats| &stats.expired_fields, count as u64);
            removed(cx, found, key, "hexpired", count);
            tell(cx, &[b"HDEL", key], &changed);
        }
        count => {
            cx.notify(EventClass::Hash, "hexpire", key);
            cx.changed(count as u64);
            // Replicas get the moment, not the distance to it, and no condition.
            tell_expiry(cx, key, at, &changed);
        }
    }
    Ok(())
}

/// Tells replicas when fields expire.
pub(super) fn tell_expiry(cx: &mut Cx<'_>, key: &[u8], at: Millis, fields: &[&[u8]]) {
    let (at, count) = (at.0.to_string(), fields.len().to_string());
    let head = [b"HPEXPIREAT", key, at.as_bytes(), b"FIELDS", count.as_bytes()];
    tell(cx, &head, fields);
}

fn hexpire(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    set_expiry(db, cx, args, TimeForm::Ex, "hexpire")
}

fn hpexpire(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    set_expiry(db, cx, args, TimeForm::Px, "hpexpire")
}

fn hexpireat(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    set_expiry(db, cx, args, TimeForm::ExAt, "hexpireat")
}

fn hpexpireat(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    set_expiry(db, cx, args, TimeForm::PxAt, "hpexpireat")
}
