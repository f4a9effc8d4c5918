//! How long fields of a hash live, and making them live for ever.

use super::field_args::Fields;
use super::{HASH, READ_FAST, WRITE_FAST, tell};
use crate::command::{Command, KeyUse, Touches};
use crate::{Args, Cx, Db, Done, EventClass, Fail, Handler};
use tessera_collections::{Changed, Hash};

const SYNTAX: &str = "key FIELDS numfields field [field ...]";
const COST: &str = "O(N) where N is the number of fields";

const fn question(name: &'static str, handler: Handler, summary: &'static str) -> Command {
    Command::new(name, -5, handler)
        .flags(READ_FAST)
        .keys(1, 1, 1)
        .doc(HASH, "7.4.0", COST, summary, SYNTAX)
        .touches(Touches::Member(4))
}

pub(super) const HTTL: Command =
    question("httl", httl, "Answers the time to live of fields of a hash, in seconds.")
        .tips(&["nondeterministic_output"]);
pub(super) const HPTTL: Command =
    question("hpttl", hpttl, "Answers the time to live of fields of a hash, in milliseconds.")
        .tips(&["nondeterministic_output"]);
pub(super) const HEXPIRETIME: Command = question(
    "hexpiretime",
    hexpiretime,
    "Answers the moment at which fields of a hash expire, in seconds since 1970.",
);
pub(super) const HPEXPIRETIME: Command = question(
    "hpexpiretime",
    hpexpiretime,
    "Answers the moment at which fields of a hash expire, in milliseconds since 1970.",
);
pub(super) const HPERSIST: Command = Command::new("hpersist", -5, hpersist)
    .flags(WRITE_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_UPDATE])
    .doc(HASH, "7.4.0", COST, "Removes the expiry of fields of a hash.", SYNTAX)
    .touches(Touches::Member(4));

/// The answers about a field that is not there, and one that does not expire.
const MISSING: i64 = -2;
const FOR_EVER: i64 = -1;

/// Answers what `show` makes of each field's expiry (Unix ms) and the time.
fn answer(
    db: &mut Db<'_, '_>,
    cx: &mut Cx<'_>,
    args: Args<'_>,
    show: impl Fn(i64, i64) -> i64,
) -> Done {
    if !args.is(2, "fields") {
        return Err(Fail::Syntax);
    }
    let fields = Fields::at(args, 3).map_err(|fail| match fail {
        Fail::NotInteger => fail,
        _ => Fail::Syntax,
    })?;
    let (now, as_of) = (db.now.0 as i64, db.field_time());
    let found = db.read_as::<Hash>(db.key(args.at(1), 0))?;
    let hash = found.as_ref().map(|found| found.get());
    cx.reply.array(fields.len());
    for field in fields.iter() {
        cx.reply.integer(match hash.as_ref().and_then(|hash| hash.expiry(field, as_of)) {
            None => MISSING,
            Some(None) => FOR_EVER,
            Some(Some(at)) => show(i64::try_from(at).unwrap_or(i64::MAX), now),
        });
    }
    Ok(())
}

/// Milliseconds as seconds, to the nearest.
fn seconds(ms: i64) -> i64 {
    ms.saturating_add(500) / 1000
}

fn httl(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    answer(db, cx, args, |at, now| seconds((at - now).max(0)))
}

fn hpttl(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    answer(db, cx, args, |at, now| (at - now).max(0))
}

fn hexpiretime(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    answer(db, cx, args, |at, _| seconds(at))
}

fn hpexpiretime(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    answer(db, cx, args, |at, _| at)
}

fn hpersist(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    if !args.is(2, "fields") {
        return Err(Fail::Syntax);
    }
    let fields = Fields::at(args, 3)?;
    let (key, as_of) = (args.at(1), db.field_time());
    let found = db.find_as::<Hash>(db.key(key, 0))?;
    cx.reply.array(fields.len());
    let Some(mut found) = found else {
        fields.iter().for_each(|_| cx.reply.integer(MISSING));
        return Ok(());
    };
    let mut kept: Vec<&[u8]> = Vec::new();
    for field in fields.iter() {
        let expires = found.get().expiry(field, as_of);
        cx.reply.integer(match expires {
            None => MISSING,
            Some(None) => FOR_EVER,
            Some(Some(_)) => {
                let changed = found.edit().persist(field, as_of);
                debug_assert_eq!(changed, Changed::Yes, "it expires");
                kept.push(field);
                1
            }
        });
    }
    if !kept.is_empty() {
        persisted(cx, key, &kept);
    }
    Ok(())
}

/// Tells of fields that live for ever now.
pub(super) fn persisted(cx: &mut Cx<'_>, key: &[u8], fields: &[&[u8]]) {
    cx.notify(EventClass::Hash, "hpersist", key);
    cx.changed(fields.len() as u64);
    tell(cx, &[b"HPERSIST", key, b"FIELDS", fields.len().to_string().as_bytes()], fields);
}
