//! RENAME and RENAMENX.

use super::{GENERIC, WRITE, WRITE_FAST};
use crate::command::{Command, KeyUse};
use crate::{Args, Cx, Db, Done, EventClass, Fail};
use tessera_store::{Lookup, NewValue};

pub(super) const RENAME: Command = Command::new("rename", 3, rename)
    .flags(WRITE)
    .keys(1, 2, 1)
    .uses(&[KeyUse::RW_ACCESS_DELETE, KeyUse::OW_UPDATE])
    .doc(
        GENERIC,
        "1.0.0",
        "O(1)",
        "Renames a key; what the new name held is deleted.",
        "key newkey",
    );
pub(super) const RENAMENX: Command = Command::new("renamenx", 3, renamenx)
    .flags(WRITE_FAST)
    .keys(1, 2, 1)
    .uses(&[KeyUse::RW_ACCESS_DELETE, KeyUse::OW_INSERT])
    .doc(GENERIC, "1.0.0", "O(1)", "Renames a key if the new name is free.", "key newkey");

/// Renames the command's first key to its second. Gives whether the second was free.
fn move_entry(
    db: &mut Db<'_, '_>,
    cx: &mut Cx<'_>,
    args: Args<'_>,
    replace: bool,
) -> Result<bool, Fail> {
    let (from, to) = (db.key(args.at(1), 0), db.key(args.at(2), 1));
    if db.find(from).is_none() {
        return Err(Fail::NoSuchKey);
    }
    if from.bytes == to.bytes {
        return Ok(false);
    }
    let free = db.find(to).is_none();
    if free || replace {
        let found = db.find(from).expect("it was there, and its slot is locked");
        let access = found.entry().access();
        let (value, expiry) = found.remove();
        let vacant = match db.lookup(to) {
            Lookup::Vacant(vacant) => vacant,
            Lookup::Found(found) => found.vacate(to.bytes),
        };
        vacant.insert(NewValue::Owned(value), expiry, access);
        cx.changed(1);
        // The old value of the new name was deleted: to the world it is a new key either way.
        cx.notify_new(to.bytes);
        cx.notify(EventClass::Generic, "rename_from", from.bytes);
        cx.notify(EventClass::Generic, "rename_to", to.bytes);
    }
    Ok(free)
}

fn rename(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    move_entry(db, cx, args, true)?;
    cx.reply.ok();
    Ok(())
}

fn renamenx(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let renamed = move_entry(db, cx, args, false)?;
    cx.reply.integer(i64::from(renamed));
    Ok(())
}
