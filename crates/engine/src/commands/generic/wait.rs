//! WAIT: until replicas have this client's writes.

use super::GENERIC;
use crate::arguments::integer;
use crate::command::{Categories, Command, Flags};
use crate::{Args, Cx, Db, Done, Fail, Mode, Outcome, Park};

pub(super) const WAIT: Command = Command::new("wait", 3, wait)
    .flags(Flags::BLOCKING)
    .categories(Categories::CONNECTION)
    .tips(&["request_policy:all_shards", "response_policy:agg_min"])
    .doc(
        GENERIC,
        "3.0.0",
        "O(1)",
        "Waits until so many replicas have acknowledged this connection's writes.",
        "numreplicas timeout",
    );

fn wait(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    if cx.engine.mode().any(Mode::REPLICA) {
        return Err(Fail::text(
            "ERR WAIT cannot be used with replica instances. Please also note that if a replica is configured to be \
             writable (which is not the default) writes to replicas are just local and are not propagated.",
        ));
    }
    let wanted = integer(args.at(1))?;
    let timeout = integer(args.at(2))
        .map_err(|_| Fail::text("ERR timeout is not an integer or out of range"))?;
    let timeout = u64::try_from(timeout).map_err(|_| Fail::text("ERR timeout is negative"))?;
    if i64::try_from(cx.now.0).ok().and_then(|now| now.checked_add(timeout as i64)).is_none() {
        return Err(Fail::text("ERR timeout is out of range"));
    }
    let replicas = usize::try_from(wanted).unwrap_or(0);
    // An offset of a history that has been left means nothing in this one.
    let offset = cx.session.last_write.min(cx.engine.log.offset());
    let acknowledged = cx.engine.host().acknowledged(offset, replicas);
    if acknowledged >= replicas || !cx.may_block {
        cx.reply.integer(acknowledged as i64);
        return Ok(());
    }
    let deadline = (timeout > 0).then(|| cx.now.plus(timeout));
    cx.outcome = Outcome::Wait(Park::Acknowledged { replicas, offset, deadline });
    Ok(())
}
