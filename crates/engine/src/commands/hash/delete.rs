//! Removing fields.

use super::field_args::Fields;
use super::{HASH, WRITE_FAST, bulk_or_null};
use crate::command::{Command, KeyUse, Touches};
use crate::typed::FoundAs;
use crate::{Args, Cx, Db, Done, EventClass};
use tessera_collections::Hash;

pub(super) const HDEL: Command =
    Command::new("hdel", -3, hdel).flags(WRITE_FAST).keys(1, 1, 1).uses(&[KeyUse::RW_DELETE]).doc(
        HASH,
        "2.0.0",
        "O(N) where N is the number of fields to be removed",
        "Removes fields of a hash, and the hash with the last of them.",
        "key field [field ...]",
    );
pub(super) const HGETDEL: Command = Command::new("hgetdel", -5, hgetdel)
    .flags(WRITE_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_ACCESS_DELETE])
    .doc(
        HASH,
        "8.0.0",
        "O(N) where N is the number of fields",
        "Gets the values of fields of a hash and removes the fields.",
        "key FIELDS numfields field [field ...]",
    )
    .touches(Touches::Member(4));

/// Tells of fields that were removed from a hash, and deletes the key with the last of them.
pub(super) fn removed(
    cx: &mut Cx<'_>,
    found: FoundAs<'_, '_, Hash>,
    key: &[u8],
    event: &'static str,
    count: usize,
) {
    cx.notify(EventClass::Hash, event, key);
    if found.delete_if_empty() {
        cx.notify(EventClass::Generic, "del", key);
    }
    cx.changed(count as u64);
}

fn hdel(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let as_of = db.field_time();
    let Some(found) = db.find_as::<Hash>(db.key(args.at(1), 0))? else {
        cx.reply.integer(0);
        return Ok(());
    };
    if found.get().may_be_due(as_of) {
        return delete_some(cx, found, args, as_of);
    }
    let removed = delete_all(cx, found, args, as_of);
    cx.reply.integer(removed as i64);
    Ok(())
}

/// HDEL of a hash without fields that have expired: gives how many were there.
fn delete_all(
    cx: &mut Cx<'_>,
    mut found: FoundAs<'_, '_, Hash>,
    args: Args<'_>,
    as_of: u64,
) -> usize {
    let fields = args.from(2);
    // A snapshot sees an edit as a change: the first field that is there decides whether there is
    // one.
    let missing = {
        let hash = found.get();
        fields.clone().take_while(|field| hash.get(field, as_of).is_none()).count()
    };
    if missing == fields.len() {
        return 0;
    }
    let mut hash = found.edit();
    let count = fields.skip(missing).filter(|field| hash.remove(field, as_of)).count();
    drop(hash);
    removed(cx, found, args.at(1), "hdel", count);
    count
}

/// HDEL of a hash that may have fields which have expired: those stay until they are swept.
/// Replicas still see them, so they are told of the fields that were removed instead of the
/// command.
fn delete_some(
    cx: &mut Cx<'_>,
    mut found: FoundAs<'_, '_, Hash>,
    args: Args<'_>,
    as_of: u64,
) -> Done {
    let mut gone: Vec<&[u8]> = Vec::new();
    for field in args.from(2) {
        if found.get().get(field, as_of).is_some() {
            found.edit().remove(field, as_of);
            gone.push(field);
        }
    }
    cx.reply.integer(gone.len() as i64);
    if !gone.is_empty() {
        removed(cx, found, args.at(1), "hdel", gone.len());
        super::tell(cx, &[b"HDEL", args.at(1)], &gone);
    }
    Ok(())
}

fn hgetdel(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let fields = Fields::at(args, 3)?;
    let as_of = db.field_time();
    let found = db.find_as::<Hash>(db.key(args.at(1), 0))?;
    cx.reply.array(fields.len());
    let Some(mut found) = found else {
        fields.iter().for_each(|_| cx.reply.null());
        return Ok(());
    };
    let mut gone: Vec<&[u8]> = Vec::new();
    for field in fields.iter() {
        bulk_or_null(cx.reply, found.get().get(field, as_of));
        if found.get().get(field, as_of).is_some() {
            found.edit().remove(field, as_of);
            gone.push(field);
        }
    }
    if !gone.is_empty() {
        removed(cx, found, args.at(1), "hdel", gone.len());
        super::tell(cx, &[b"HDEL", args.at(1)], &gone);
    }
    Ok(())
}
