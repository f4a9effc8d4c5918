//! CLIENT UNBLOCK.

use crate::arguments::integer;
use crate::blocking::Ending;
use crate::{AckWait, UNBLOCKED};
use crate::{Args, Cx, Db, Done, Fail};

pub(super) fn unblock(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (ending, cut) = match args.len() {
        3 => (Ending::TimedOut, AckWait::TimeOut),
        4 if args.is(3, "timeout") => (Ending::TimedOut, AckWait::TimeOut),
        4 if args.is(3, "error") => (Ending::Failed(Fail::text(UNBLOCKED)), AckWait::Fail),
        4 => {
            let text = "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR";
            return Err(Fail::text(text));
        }
        _ => return Err(Fail::Arity("client|unblock".into())),
    };
    let id = integer(args.at(2))?;
    let client = u64::try_from(id).ok().and_then(|id| cx.engine.clients.get(id));
    if let Some(client) = client.as_ref().filter(|client| client.cut_ack_wait(cut)) {
        cx.engine.host().end_wait(client);
        cx.reply.integer(1);
        return Ok(());
    }
    let waiter = client.and_then(|client| client.waiter.lock().clone());
    let answer = waiter.as_ref().and_then(|waiter| cx.engine.end_waiting(cx.stats, waiter, ending));
    cx.reply.integer(i64::from(answer.is_some()));
    if let (Some(waiter), Some(answer)) = (waiter, answer) {
        cx.engine.host().answer(waiter.client(), answer);
        cx.after.get_or_insert_default().leaving.push(waiter);
    }
    Ok(())
}
