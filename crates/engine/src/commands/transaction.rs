//! Transactions: MULTI, EXEC, DISCARD, WATCH, UNWATCH. Between MULTI and EXEC commands do not come
//! here (see `transaction/`).

use crate::command::{Command, Flags, Group, KeyUse, Role};
use crate::transaction::Transaction;
use crate::{Args, Cx, Db, Done, Fail};

const TRANSACTIONS: Group = Group::Transactions;
const ALWAYS: Flags = Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE);
const FAST: Flags = ALWAYS.or(Flags::FAST).or(Flags::ALLOW_BUSY);

pub(super) const COMMANDS: &[Command] = &[
    Command::new("multi", 1, multi).flags(FAST.or(Flags::NO_MULTI)).doc(
        TRANSACTIONS,
        "1.2.0",
        "O(1)",
        "Begins a transaction: the commands that follow are kept until EXEC.",
        "",
    ),
    Command::new("exec", 1, exec).role(Role::Exec).flags(ALWAYS.or(Flags::SKIP_SLOWLOG)).doc(
        TRANSACTIONS,
        "1.2.0",
        "Depends on the commands of the transaction",
        "Runs all commands of the transaction as one.",
        "",
    ),
    Command::new("discard", 1, discard).role(Role::Discard).flags(FAST).doc(
        TRANSACTIONS,
        "2.0.0",
        "O(N) where N is the number of queued commands",
        "Forgets the transaction.",
        "",
    ),
    Command::new("watch", -2, watch)
        .flags(FAST.or(Flags::NO_MULTI))
        .keys(1, -1, 1)
        .uses(&[KeyUse::RO])
        .doc(
            TRANSACTIONS,
            "2.2.0",
            "O(1) for each key",
            "Makes the next EXEC depend on nobody changing these keys.",
            "key [key ...]",
        ),
    Command::new("unwatch", 1, unwatch).flags(FAST).doc(
        TRANSACTIONS,
        "2.2.0",
        "O(1)",
        "Forgets all watched keys.",
        "",
    ),
];

fn multi(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    cx.session.set_transaction(Some(Box::new(Transaction::new())));
    cx.reply.ok();
    Ok(())
}

fn exec(_: &mut Db<'_, '_>, _: &mut Cx<'_>, _: Args<'_>) -> Done {
    Err(Fail::text("ERR EXEC without MULTI"))
}

fn discard(_: &mut Db<'_, '_>, _: &mut Cx<'_>, _: Args<'_>) -> Done {
    Err(Fail::text("ERR DISCARD without MULTI"))
}

fn watch(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    for (ordinal, key) in args.from(1).enumerate() {
        let key = db.key(key, ordinal);
        db.watch(cx.session, key);
    }
    cx.reply.ok();
    Ok(())
}

fn unwatch(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    // In a transaction EXEC has done so already, and more than the world may be locked.
    if !cx.session.watched.is_empty() {
        cx.engine.unwatch_all(db.world(), cx.session);
    }
    cx.reply.ok();
    Ok(())
}
