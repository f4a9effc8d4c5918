//! COPY, and MOVE to another database.

use super::{GENERIC, WRITE, WRITE_FAST};
use crate::arguments::database;
use crate::command::{Command, Flags, KeyUse};
use crate::{Args, Cx, Db, Done, EventClass, Fail};
use tessera_store::{Lookup, NewValue};

pub(super) const COPY: Command = Command::new("copy", -3, copy)
    .flags(WRITE.or(Flags::DENYOOM))
    .keys(1, 2, 1)
    .uses(&[KeyUse::RO_ACCESS, KeyUse::OW_UPDATE])
    .doc(
        GENERIC,
        "6.2.0",
        "O(N) where N is the size of the value",
        "Copies a key's value and expiry to another key.",
        "source destination [DB destination-db] [REPLACE]",
    );
pub(super) const MOVE: Command = Command::new("move", 3, move_key)
    .flags(WRITE_FAST)
    .keys(1, 1, 1)
    .doc(GENERIC, "1.0.0", "O(1)", "Moves a key to another database.", "key db");

fn copy(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (mut to_db, mut replace, mut at) = (db.index, false, 3);
    while at < args.len() {
        if args.is(at, "replace") {
            replace = true;
        } else if args.is(at, "db") && args.len() > at + 1 {
            at += 1;
            to_db = database(cx, args.at(at))?;
        } else {
            return Err(Fail::Syntax);
        }
        at += 1;
    }
    let (from, to) = (db.key(args.at(1), 0), db.key(args.at(2), 1));
    if db.index == to_db && from.bytes == to.bytes {
        return Err(same_object());
    }
    let access = db.access();
    let source = db.read(from).map(|found| (found.entry().clone_value(), found.expiry()));
    let copied = match source {
        None => false,
        Some((value, expiry)) => match db.lookup_in(to_db, to) {
            Lookup::Found(_) if !replace => false,
            lookup => {
                crate::db::store(lookup, NewValue::Owned(value), expiry, access);
                true
            }
        },
    };
    if copied {
        cx.changed(1);
        cx.notify_in(to_db, EventClass::New, "new", to.bytes);
        cx.notify_in(to_db, EventClass::Generic, "copy_to", to.bytes);
    }
    cx.reply.integer(i64::from(copied));
    Ok(())
}

fn move_key(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    if cx.config.cluster.enabled {
        return Err(Fail::text("ERR MOVE is not allowed in cluster mode"));
    }
    let to_db = database(cx, args.at(2))?;
    if to_db == db.index {
        return Err(same_object());
    }
    let (from_db, key) = (db.index, db.key(args.at(1), 0));
    let free = matches!(db.lookup_in(to_db, key), Lookup::Vacant(_));
    let moved = match db.lookup_in(from_db, key) {
        Lookup::Found(found) if free => {
            let access = found.entry().access();
            let (value, expiry) = found.remove();
            crate::db::store(db.lookup_in(to_db, key), NewValue::Owned(value), expiry, access);
            true
        }
        _ => false,
    };
    if moved {
        cx.changed(1);
        cx.notify_in(to_db, EventClass::New, "new", key.bytes);
        cx.notify_in(from_db, EventClass::Generic, "move_from", key.bytes);
        cx.notify_in(to_db, EventClass::Generic, "move_to", key.bytes);
    }
    cx.reply.integer(i64::from(moved));
    Ok(())
}

fn same_object() -> Fail {
    Fail::text("ERR source and destination objects are the same")
}
