//! SET with all its options.

use super::expiry_options::TimeForm;
use super::{STRING, reply_value};
use crate::command::{Command, Flags};
use crate::{Args, Cx, Db, Done, Fail};
use tessera_slot::Millis;
use tessera_store::{Lookup, NewValue, ValueRef};

pub(super) const SET: Command =
    Command::new("set", -3, set).flags(Flags::WRITE.or(Flags::DENYOOM)).keys(1, 1, 1).doc(
        STRING,
        "1.0.0",
        "O(1)",
        "Sets the string of a key, whatever the key held before.",
        "key value [NX|XX|IFEQ comparison-value] [GET] \
         [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL]",
    );

/// When SET sets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition<'a> {
    Always,
    IfMissing,
    IfThere,
    IfEqual(&'a [u8]),
}

/// What becomes of the expiry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expiry {
    Drop,
    Keep,
    At(Millis),
}

struct Options<'a> {
    condition: Condition<'a>,
    get: bool,
    expiry: Expiry,
}

fn options<'a>(args: Args<'a>, now: Millis) -> Result<Options<'a>, Fail> {
    let mut options = Options { condition: Condition::Always, get: false, expiry: Expiry::Drop };
    let mut at = 3;
    while at < args.len() {
        let (free, timeless) =
            (options.condition == Condition::Always, options.expiry == Expiry::Drop);
        if args.is(at, "nx") && free {
            options.condition = Condition::IfMissing;
        } else if args.is(at, "xx") && free {
            options.condition = Condition::IfThere;
        } else if args.is(at, "ifeq") && free && args.len() > at + 1 {
            at += 1;
            options.condition = Condition::IfEqual(args.at(at));
        } else if args.is(at, "get") {
            options.get = true;
        } else if args.is(at, "keepttl") && timeless {
            options.expiry = Expiry::Keep;
        } else if let Some(form) = TimeForm::of(args, at).filter(|_| timeless)
            && args.len() > at + 1
        {
            at += 1;
            options.expiry = Expiry::At(form.moment(args.at(at), now, "set")?);
        } else {
            return Err(Fail::Syntax);
        }
        at += 1;
    }
    Ok(options)
}

fn set(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (key, value) = (db.key(args.at(1), 0), args.at(2));
    if args.len() == 3 {
        let access = db.access();
        crate::db::store(db.lookup(key), NewValue::String(value), None, access);
        cx.changed(1);
        cx.reply.ok();
        return Ok(());
    }
    let options = options(args, db.now)?;
    let (access, lookup) = (db.access(), db.lookup(key));
    let there = match &lookup {
        Lookup::Found(found) => Some(found.entry()),
        Lookup::Vacant(_) => None,
    };
    if options.get {
        match &there {
            Some(entry) => reply_value(cx.reply, entry.value()),
            None => cx.reply.null(),
        }
    }
    let meets = match options.condition {
        Condition::Always => true,
        Condition::IfMissing => there.is_none(),
        Condition::IfThere => there.is_some(),
        Condition::IfEqual(text) => there.as_ref().is_some_and(|entry| match entry.value() {
            ValueRef::Bytes(bytes) => bytes == text,
            ValueRef::Integer(number) => number.to_string().as_bytes() == text,
        }),
    };
    if !meets {
        if !options.get {
            cx.reply.null();
        }
        return Ok(());
    }
    let expiry = match options.expiry {
        Expiry::Drop => None,
        Expiry::Keep => there.and_then(|entry| entry.expiry()),
        Expiry::At(at) => Some(at),
    };
    crate::db::store(lookup, NewValue::String(value), expiry, access);
    cx.changed(1);
    if let Expiry::At(at) = options.expiry {
        // Replicas get the moment, not the distance to it.
        cx.propagate_instead(|| {
            [&b"SET"[..], args.at(1), value, b"PXAT", at.to_string().as_bytes()]
                .map(<[u8]>::to_vec)
                .to_vec()
        });
    } else if options.condition != Condition::Always || options.get {
        cx.propagate_instead(|| {
            let mut command = vec![b"SET".to_vec(), args.at(1).to_vec(), value.to_vec()];
            if options.expiry == Expiry::Keep {
                command.push(b"KEEPTTL".to_vec());
            }
            command
        });
    }
    if !options.get {
        cx.reply.ok();
    }
    Ok(())
}
