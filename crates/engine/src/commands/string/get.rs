//! GET, and GET with something done to the key.

use super::expiry_options::ExpiryOption;
use super::{READ_FAST, STRING, reply_value, string_of};
use crate::command::{Command, Flags, KeyUse};
use crate::{Args, Cx, Db, Done, EventClass, Fail};
use tessera_slot::Millis;

pub(super) const GET: Command = Command::new("get", 2, get).flags(READ_FAST).keys(1, 1, 1).doc(
    STRING,
    "1.0.0",
    "O(1)",
    "Gets the string of a key.",
    "key",
);
pub(super) const GETEX: Command =
    Command::new("getex", -2, getex).flags(Flags::WRITE.or(Flags::FAST)).keys(1, 1, 1).doc(
        STRING,
        "6.2.0",
        "O(1)",
        "Gets the string of a key and changes when it expires.",
        "key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST]",
    );
pub(super) const GETDEL: Command = Command::new("getdel", 2, getdel)
    .flags(Flags::WRITE.or(Flags::FAST))
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_ACCESS_DELETE])
    .doc(STRING, "6.2.0", "O(1)", "Gets the string of a key and deletes the key.", "key");

fn get(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    match db.read(db.key(args.at(1), 0)) {
        Some(found) => reply_value(cx.reply, string_of(&found.entry())?),
        None => cx.reply.null(),
    }
    Ok(())
}

/// The change that GETEX makes to the expiry.
enum Change {
    None,
    Persist,
    Delete,
    Set(Millis),
}

fn getex(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let mut option = ExpiryOption::Unsaid;
    let mut at = 2;
    while at < args.len() {
        at += option.take(args, at, "persist").ok_or(Fail::Syntax)?;
    }
    let (now, key) = (db.now, db.key(args.at(1), 0));
    let past = |db: &Db<'_, '_>, at| db.is_past(at);
    let moment = option.moment(now, "getex");
    let is_past = matches!(moment, Ok(Some(at)) if past(db, at));
    let Some(mut found) = db.read(key) else {
        cx.reply.null();
        return Ok(());
    };
    string_of(&found.entry())?; // the wrong type is told before a time that is no good
    let change = match moment? {
        Some(_) if is_past => Change::Delete,
        Some(at) => Change::Set(at),
        None if option == ExpiryOption::Word && found.expiry().is_some() => Change::Persist,
        None => Change::None,
    };
    reply_value(cx.reply, string_of(&found.entry())?);
    let key = args.at(1);
    let command = match change {
        Change::None => return Ok(()),
        Change::Persist => {
            found.set_expiry(None);
            cx.notify(EventClass::Generic, "persist", key);
            vec![b"PERSIST".to_vec(), key.to_vec()]
        }
        Change::Delete => {
            found.delete();
            cx.changed(1);
            cx.notify(EventClass::Generic, "del", key);
            cx.propagate_expired(key);
            return Ok(());
        }
        Change::Set(at) => {
            found.set_expiry(Some(at));
            cx.notify(EventClass::Generic, "expire", key);
            vec![b"PEXPIREAT".to_vec(), key.to_vec(), at.to_string().into_bytes()]
        }
    };
    cx.changed(1);
    cx.propagate_instead(|| command);
    Ok(())
}

fn getdel(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    match db.read(db.key(args.at(1), 0)) {
        None => cx.reply.null(),
        Some(found) => {
            reply_value(cx.reply, string_of(&found.entry())?);
            found.delete();
            cx.changed(1);
            cx.notify(EventClass::Generic, "del", args.at(1));
            cx.propagate_instead(|| vec![b"DEL".to_vec(), args.at(1).to_vec()]);
        }
    }
    Ok(())
}
