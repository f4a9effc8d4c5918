//! CLIENT PAUSE and UNPAUSE.

use crate::arguments::integer;
use crate::{Args, Cx, Db, Done, Fail, PauseKind};
use tessera_slot::Millis;

pub(super) fn pause(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let kind = match args.len() {
        3 => PauseKind::All,
        4 if args.is(3, "all") => PauseKind::All,
        4 if args.is(3, "write") => PauseKind::Writes,
        4 => return Err(Fail::text("ERR CLIENT PAUSE mode must be WRITE or ALL")),
        _ => return Err(Fail::Syntax),
    };
    let time = integer(args.at(2))
        .map_err(|_| Fail::text("ERR timeout is not an integer or out of range"))?;
    let time = u64::try_from(time).map_err(|_| Fail::text("ERR timeout is negative"))?;
    let until = i64::try_from(cx.now.0 + time)
        .map_err(|_| Fail::text("ERR timeout is out of range"))? as u64;
    cx.engine.pause_clients(kind, Millis(until), cx.now);
    cx.reply.ok();
    Ok(())
}

pub(super) fn unpause(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    cx.engine.unpause_clients();
    cx.reply.ok();
    Ok(())
}
