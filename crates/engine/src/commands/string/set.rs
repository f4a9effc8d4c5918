//! SET with all its options, and its older forms.

use super::expiry_options::{ExpiryOption, TimeForm};
use super::{OVERWRITE, STRING, WRITE, WRITE_FAST, reply_value, string_of, text};
use crate::command::{Command, KeyUse};
use crate::{Args, Cx, Db, Done, EventClass, Fail};
use tessera_slot::Millis;
use tessera_store::{Lookup, NewValue};

pub(super) const SET: Command = Command::new("set", -3, set)
    .flags(WRITE)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_ACCESS_UPDATE_VARIABLE_FLAGS])
    .uses_by(set_use)
    .doc(
        STRING,
        "1.0.0",
        "O(1)",
        "Sets the string of a key, whatever the key held before.",
        "key value [NX|XX|IFEQ comparison-value] [GET] \
     [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL]",
    );
pub(super) const SETNX: Command = Command::new("setnx", 3, setnx)
    .flags(WRITE_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::OW_INSERT])
    .doc(STRING, "1.0.0", "O(1)", "Sets the string of a key that does not exist.", "key value");
pub(super) const SETEX: Command =
    Command::new("setex", 4, setex).flags(WRITE).keys(1, 1, 1).uses(OVERWRITE).doc(
        STRING,
        "2.0.0",
        "O(1)",
        "Sets the string of a key, and its time to live in seconds.",
        "key seconds value",
    );
pub(super) const PSETEX: Command =
    Command::new("psetex", 4, psetex).flags(WRITE).keys(1, 1, 1).uses(OVERWRITE).doc(
        STRING,
        "2.6.0",
        "O(1)",
        "Sets the string of a key, and its time to live in milliseconds.",
        "key milliseconds value",
    );
pub(super) const GETSET: Command =
    Command::new("getset", 3, getset).flags(WRITE_FAST).keys(1, 1, 1).doc(
        STRING,
        "1.0.0",
        "O(1)",
        "Sets the string of a key and answers the one it had.",
        "key value",
    );

/// How SET uses its key: GET makes it read what was there.
fn set_use(args: Args<'_>) -> KeyUse {
    match (3..args.len()).any(|at| args.is(at, "get")) {
        true => KeyUse::RW_ACCESS_UPDATE,
        false => KeyUse::OW_UPDATE,
    }
}

/// When SET sets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition<'a> {
    Always,
    IfMissing,
    IfThere,
    IfEqual(&'a [u8]),
}

struct Options<'a> {
    condition: Condition<'a>,
    get: bool,
    expiry: ExpiryOption<'a>,
}

fn options(args: Args<'_>) -> Result<Options<'_>, Fail> {
    let mut options =
        Options { condition: Condition::Always, get: false, expiry: ExpiryOption::Unsaid };
    let mut at = 3;
    while at < args.len() {
        let condition = options.condition;
        if args.is(at, "nx") && matches!(condition, Condition::Always | Condition::IfMissing) {
            options.condition = Condition::IfMissing;
        } else if args.is(at, "xx") && matches!(condition, Condition::Always | Condition::IfThere) {
            options.condition = Condition::IfThere;
        } else if args.is(at, "ifeq") && condition == Condition::Always && args.len() > at + 1 {
            at += 1;
            options.condition = Condition::IfEqual(args.at(at));
        } else if args.is(at, "get") {
            options.get = true;
        } else {
            at += options.expiry.take(args, at, "keepttl").ok_or(Fail::Syntax)? - 1;
        }
        at += 1;
    }
    Ok(options)
}

fn set(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (key, value) = (db.key(args.at(1), 0), args.at(2));
    if args.len() == 3 {
        let access = db.access();
        let is_new = crate::db::store(db.lookup(key), NewValue::String(value), None, access);
        cx.changed(1);
        super::told_of_set(cx, is_new, args.at(1));
        cx.reply.ok();
        return Ok(());
    }
    let options = options(args)?;
    let moment = options.expiry.moment(db.now, "set")?;
    let lookup = db.lookup(key);
    let there = match &lookup {
        Lookup::Found(found) => Some(found.entry()),
        Lookup::Vacant(_) => None,
    };
    if options.get {
        match &there {
            Some(entry) => reply_value(cx.reply, string_of(entry)?),
            None => cx.reply.null(),
        }
    }
    let meets = match options.condition {
        Condition::Always => true,
        Condition::IfMissing => there.is_none(),
        Condition::IfThere => there.is_some(),
        Condition::IfEqual(wanted) => match &there {
            Some(entry) => text(string_of(entry)?, &mut itoa::Buffer::new()) == wanted,
            None => false,
        },
    };
    if !meets {
        if !options.get {
            cx.reply.null();
        }
        return Ok(());
    }
    if !options.get {
        cx.reply.ok();
    }
    let kept = there.and_then(|entry| entry.expiry());
    if let Some(at) = moment {
        let is_plain = options.condition == Condition::Always && !options.get;
        let says_moment = matches!(options.expiry, ExpiryOption::Time(TimeForm::PxAt, _));
        put_until(db, cx, args.at(1), value, at, is_plain && says_moment);
        return Ok(());
    }
    let keep = options.expiry == ExpiryOption::Word;
    let access = db.access();
    let expiry = if keep { kept } else { None };
    let is_new = crate::db::store(db.lookup(key), NewValue::String(value), expiry, access);
    cx.changed(1);
    super::told_of_set(cx, is_new, args.at(1));
    if options.condition != Condition::Always || options.get {
        // Replicas get what was done, without the question whether to.
        cx.propagate_instead(|| {
            let keep = keep.then(|| b"KEEPTTL".to_vec());
            [b"SET".to_vec(), args.at(1).to_vec(), value.to_vec()].into_iter().chain(keep).collect()
        });
    }
    Ok(())
}

/// Sets the string of the command's only key until a moment. If that has passed already, the key is
/// deleted. `as_is`: the command says just that, and replicas get it as it came.
fn put_until(
    db: &mut Db<'_, '_>,
    cx: &mut Cx<'_>,
    key: &[u8],
    value: &[u8],
    at: Millis,
    as_is: bool,
) {
    let (access, past) = (db.access(), db.is_past(at));
    match (db.lookup(db.key(key, 0)), past) {
        (lookup, false) => {
            let is_new = crate::db::store(lookup, NewValue::String(value), Some(at), access);
            cx.changed(1);
            super::told_of_set(cx, is_new, key);
            cx.notify(EventClass::Generic, "expire", key);
            // Replicas get the moment, not the distance to it.
            if !as_is {
                cx.propagate_instead(|| {
                    let at = at.to_string();
                    [b"SET", key, value, b"PXAT", at.as_bytes()].map(<[u8]>::to_vec).to_vec()
                });
            }
        }
        (Lookup::Found(found), true) => {
            found.delete();
            cx.changed(1);
            cx.notify(EventClass::Generic, "del", key);
            cx.propagate_expired(key);
        }
        (Lookup::Vacant(_), true) => {}
    }
}

fn setnx(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (key, access) = (db.key(args.at(1), 0), db.access());
    match db.lookup(key) {
        Lookup::Found(_) => cx.reply.integer(0),
        Lookup::Vacant(vacant) => {
            vacant.insert(NewValue::String(args.at(2)), None, access);
            cx.changed(1);
            super::told_of_set(cx, true, args.at(1));
            cx.reply.integer(1);
        }
    }
    Ok(())
}

fn setex(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let at = TimeForm::Ex.moment(args.at(2), db.now, "setex")?;
    cx.reply.ok();
    put_until(db, cx, args.at(1), args.at(3), at, false);
    Ok(())
}

fn psetex(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let at = TimeForm::Px.moment(args.at(2), db.now, "psetex")?;
    cx.reply.ok();
    put_until(db, cx, args.at(1), args.at(3), at, false);
    Ok(())
}

fn getset(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (key, access) = (db.key(args.at(1), 0), db.access());
    let lookup = db.lookup(key);
    match &lookup {
        Lookup::Found(found) => reply_value(cx.reply, string_of(&found.entry())?),
        Lookup::Vacant(_) => cx.reply.null(),
    }
    let is_new = crate::db::store(lookup, NewValue::String(args.at(2)), None, access);
    cx.changed(1);
    super::told_of_set(cx, is_new, args.at(1));
    cx.propagate_instead(|| [b"SET", args.at(1), args.at(2)].map(<[u8]>::to_vec).to_vec());
    Ok(())
}
