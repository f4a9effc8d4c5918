//! How long a key lives, and making it live for ever.

use super::{GENERIC, READ_FAST, WRITE_FAST};
use crate::command::{Command, KeyUse};
use crate::{Args, Cx, Db, Done, EventClass};

pub(super) const TTL: Command = Command::new("ttl", 2, ttl)
    .flags(READ_FAST)
    .keys(1, 1, 1)
    .tips(&["nondeterministic_output"])
    .doc(GENERIC, "1.0.0", "O(1)", "Answers a key's time to live in seconds.", "key");
pub(super) const PTTL: Command = Command::new("pttl", 2, pttl)
    .flags(READ_FAST)
    .keys(1, 1, 1)
    .tips(&["nondeterministic_output"])
    .doc(GENERIC, "2.6.0", "O(1)", "Answers a key's time to live in milliseconds.", "key");
pub(super) const EXPIRETIME: Command =
    Command::new("expiretime", 2, expiretime).flags(READ_FAST).keys(1, 1, 1).doc(
        GENERIC,
        "7.0.0",
        "O(1)",
        "Answers the moment at which a key expires, in seconds since 1970.",
        "key",
    );
pub(super) const PEXPIRETIME: Command =
    Command::new("pexpiretime", 2, pexpiretime).flags(READ_FAST).keys(1, 1, 1).doc(
        GENERIC,
        "7.0.0",
        "O(1)",
        "Answers the moment at which a key expires, in milliseconds since 1970.",
        "key",
    );
pub(super) const PERSIST: Command = Command::new("persist", 2, persist)
    .flags(WRITE_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_UPDATE])
    .doc(GENERIC, "2.2.0", "O(1)", "Removes a key's expiry.", "key");

/// Answers what `show` makes of the expiry (Unix ms) and the time: -2 without key, -1 without
/// expiry.
fn answer(
    db: &mut Db<'_, '_>,
    cx: &mut Cx<'_>,
    args: Args<'_>,
    show: impl FnOnce(i64, i64) -> i64,
) -> Done {
    let now = db.now.0 as i64;
    let shown = match db.look(db.key(args.at(1), 0)) {
        None => -2,
        Some(found) => found.expiry().map_or(-1, |at| show(at.0 as i64, now)),
    };
    cx.reply.integer(shown);
    Ok(())
}

/// Milliseconds as seconds, to the nearest.
fn seconds(ms: i64) -> i64 {
    ms.saturating_add(500) / 1000
}

fn ttl(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    answer(db, cx, args, |at, now| seconds((at - now).max(0)))
}

fn pttl(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    answer(db, cx, args, |at, now| (at - now).max(0))
}

fn expiretime(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    answer(db, cx, args, |at, _| seconds(at))
}

fn pexpiretime(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    answer(db, cx, args, |at, _| at)
}

fn persist(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let found = db.find(db.key(args.at(1), 0)).filter(|found| found.expiry().is_some());
    cx.reply.integer(i64::from(found.is_some()));
    if let Some(mut found) = found {
        found.set_expiry(None);
        cx.changed(1);
        cx.notify(EventClass::Generic, "persist", args.at(1));
    }
    Ok(())
}
