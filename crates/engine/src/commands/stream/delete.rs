//! XDEL, XTRIM and XSETID.

use super::trim::{Kept, TrimOptions};
use super::{STREAM, VARIES, WRITE, WRITE_FAST, ids, notify};
use crate::arguments::integer;
use crate::command::{Command, Flags, KeyUse};
use crate::{Args, Cx, Db, Done, Fail};
use tessera_collections::{Entries, Stream, StreamId};

pub(super) const XDEL: Command =
    Command::new("xdel", -3, xdel).flags(WRITE_FAST).keys(1, 1, 1).uses(&[KeyUse::RW_DELETE]).doc(
        STREAM,
        "5.0.0",
        "O(1) for each entry",
        "Deletes entries of a stream; answers how many there were.",
        "key id...",
    );
pub(super) const XTRIM: Command = Command::new("xtrim", -4, xtrim)
    .flags(WRITE)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_DELETE])
    .tips(VARIES)
    .doc(
        STREAM,
        "5.0.0",
        "O(N) with N the number of entries removed",
        "Removes entries from the front of a stream; answers how many there were.",
        "key <MAXLEN|MINID> [=|~] threshold [LIMIT count]",
    );
pub(super) const XSETID: Command = Command::new("xsetid", -3, xsetid)
    .flags(WRITE_FAST.or(Flags::DENYOOM))
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_UPDATE])
    .doc(
        STREAM,
        "5.0.0",
        "O(1)",
        "Sets the last id of a stream; meant for replication.",
        "key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]",
    );

fn xdel(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let key = db.key(args.at(1), 0);
    let Some(mut found) = db.find_as::<Stream>(key)? else {
        cx.reply.integer(0);
        return Ok(());
    };
    let ids = ids::all(args, 2)?;
    let any = ids.iter().any(|&id| found.get().entries.contains(id));
    let deleted = if any { found.edit().entries.delete(&ids) } else { 0 };
    if deleted > 0 {
        cx.changed(deleted);
        notify(cx, "xdel", key);
    }
    cx.reply.integer(deleted as i64);
    Ok(())
}

fn xtrim(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (mut options, mut at) = (TrimOptions::default(), 2);
    while at < args.len() {
        at = options.take(args, at)?.ok_or(Fail::Syntax)?;
    }
    let trim = options
        .finish(cx)?
        .ok_or(Fail::text("ERR syntax error, XTRIM must be called with a trimming strategy"))?;
    let key = db.key(args.at(1), 0);
    let Some(mut found) = db.find_as::<Stream>(key)? else {
        cx.reply.integer(0);
        return Ok(());
    };
    let gone = if trim.would_remove(&found.get().entries) {
        trim.apply(&mut found.edit().entries)
    } else {
        0
    };
    if gone > 0 {
        cx.changed(gone);
        notify(cx, "xtrim", key);
        if trim.is_inexact() {
            cx.propagate_instead(|| {
                let kept = Kept::of(&found.get().entries);
                let told = |(at, arg)| trim.exactly(at, arg, &kept);
                args.from(0).enumerate().filter_map(told).collect()
            });
        }
    }
    cx.reply.integer(gone as i64);
    Ok(())
}

/// The values that XSETID sets.
struct History {
    last: StreamId,
    added: Option<u64>,
    max_deleted: Option<StreamId>,
}

impl History {
    fn parse(args: Args<'_>) -> Result<History, Fail> {
        let last = ids::id(args.at(2), 0)?;
        let mut history = History { last, added: None, max_deleted: None };
        for at in (3..args.len()).step_by(2) {
            let value = args.get(at + 1).ok_or(Fail::Syntax)?;
            if args.is(at, "entriesadded") {
                let added = u64::try_from(integer(value)?);
                let added = added.map_err(|_| Fail::text("ERR entries_added must be positive"))?;
                history.added = Some(added);
            } else if args.is(at, "maxdeletedid") {
                let id = ids::id(value, 0)?;
                if last < id {
                    return Err(Fail::text(
                        "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                    ));
                }
                history.max_deleted = Some(id).filter(|&id| id != StreamId::MIN);
            } else {
                return Err(Fail::Syntax);
            }
        }
        Ok(history)
    }

    /// Whether it can be so of these entries.
    fn check(&self, entries: &Entries) -> Result<(), Fail> {
        let problem = if self.last < entries.max_deleted_id() {
            "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id"
        } else if entries.last_present().is_some_and(|present| self.last < present) {
            "ERR The ID specified in XSETID is smaller than the target stream top item"
        } else if self.added.is_some_and(|added| added < entries.len()) {
            "ERR The entries_added specified in XSETID is smaller than the target stream length"
        } else {
            return Ok(());
        };
        Err(Fail::text(problem))
    }
}

fn xsetid(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let history = History::parse(args)?;
    let key = db.key(args.at(1), 0);
    let mut found = db.find_as::<Stream>(key)?.ok_or(Fail::NoSuchKey)?;
    history.check(&found.get().entries)?;
    found.edit().entries.set_last_id(history.last, history.added, history.max_deleted);
    cx.changed(1);
    notify(cx, "xsetid", key);
    cx.reply.ok();
    Ok(())
}
