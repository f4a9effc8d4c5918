//! Commands about the connection itself.

mod auth;
mod client;
mod kill;
mod pause;
mod unblock;

use crate::arguments::{database, int32};
use crate::command::{Command, Flags, Group, Role};
use crate::{Args, Cx, Db, Done, Fail, Outcome};
use std::sync::atomic::Ordering::Relaxed;
use tessera_resp::Protocol;

const ALWAYS: Flags = Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE).or(Flags::FAST);

pub(super) const COMMANDS: &[Command] = &[
    Command::new("ping", -1, ping)
        .flags(Flags::FAST)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .doc(
            Group::Connection,
            "1.0.0",
            "O(1)",
            "Answers PONG, or the message it was given.",
            "[message]",
        ),
    Command::new("echo", 2, echo).flags(Flags::LOADING.or(Flags::STALE).or(Flags::FAST)).doc(
        Group::Connection,
        "1.0.0",
        "O(1)",
        "Answers the message it was given.",
        "message",
    ),
    Command::new("select", 2, select).flags(Flags::LOADING.or(Flags::STALE).or(Flags::FAST)).doc(
        Group::Connection,
        "1.0.0",
        "O(1)",
        "Chooses the database of the connection.",
        "index",
    ),
    Command::new("quit", -1, quit)
        .role(Role::AtOnce)
        .flags(ALWAYS.or(Flags::ALLOW_BUSY).or(Flags::NO_AUTH))
        .doc(Group::Connection, "1.0.0", "O(1)", "Closes the connection.", ""),
    auth::AUTH,
    auth::HELLO,
    auth::RESET,
    client::CLIENT,
];

fn ping(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    match args.len() {
        1 => cx.reply.simple("PONG"),
        2 => cx.reply.bulk(args.at(1)),
        _ => return Err(Fail::Arity("ping".into())),
    }
    Ok(())
}

fn echo(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    cx.reply.bulk(args.at(1));
    Ok(())
}

fn select(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    if cx.config.cluster.enabled && int32(args.at(1))? != 0 {
        return Err(Fail::text("ERR SELECT is not allowed in cluster mode"));
    }
    let index = database(cx, args.at(1))?;
    cx.session.db = index;
    cx.session.info.db.store(index, Relaxed);
    cx.reply.ok();
    Ok(())
}

fn quit(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    cx.reply.ok();
    cx.outcome = Outcome::Close;
    Ok(())
}

/// Remembers the protocol version where others see it.
pub(super) fn set_protocol(cx: &mut Cx<'_>, protocol: Protocol) {
    cx.reply.protocol = protocol;
    let version = if protocol == Protocol::Resp3 { 3 } else { 2 };
    cx.session.info.resp.store(version, Relaxed);
}
