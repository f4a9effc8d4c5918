//! CLIENT KILL.

use super::client::client_kind;
use crate::arguments::integer;
use crate::clients::{ClientFilter, ClientInfo};
use crate::{Args, Cx, Db, Done, Fail, Outcome};
use std::sync::Arc;

/// Reads the pairs of option and value.
fn filter(args: Args<'_>, me: u64) -> Result<ClientFilter, Fail> {
    let mut filter = ClientFilter { except: Some(me), ..ClientFilter::default() };
    for at in (2..args.len()).step_by(2) {
        let value = args.get(at + 1).ok_or(Fail::Syntax)?;
        if args.is(at, "id") {
            let text = "ERR client-id should be greater than 0";
            filter.ids = vec![positive(value).ok_or(Fail::text(text))?];
        } else if args.is(at, "maxage") {
            let age = integer(value)
                .map_err(|_| Fail::text("ERR maxage is not an integer or out of range"))?;
            let age = u64::try_from(age).ok().filter(|&age| age > 0);
            filter.max_age = Some(age.ok_or(Fail::text("ERR maxage should be greater than 0"))?);
        } else if args.is(at, "type") {
            filter.kind = Some(client_kind(value)?);
        } else if args.is(at, "addr") {
            filter.addr = Some(value.to_vec());
        } else if args.is(at, "laddr") {
            filter.laddr = Some(value.to_vec());
        } else if args.is(at, "user") {
            if value != b"default" {
                let user = String::from_utf8_lossy(value);
                return Err(Fail::text(format!("ERR No such user '{user}'")));
            }
            filter.user = Some(value.to_vec());
        } else if args.is(at, "skipme") && args.is(at + 1, "yes") {
            filter.except = Some(me);
        } else if args.is(at, "skipme") && args.is(at + 1, "no") {
            filter.except = None;
        } else {
            return Err(Fail::Syntax);
        }
    }
    Ok(filter)
}

fn positive(value: &[u8]) -> Option<u64> {
    u64::try_from(integer(value).ok()?).ok().filter(|&number| number > 0)
}

/// Ends these clients, and gives their number without those that another thread has just ended.
fn disconnect(cx: &mut Cx<'_>, clients: &[Arc<ClientInfo>]) -> usize {
    let mut ended = 0;
    for client in clients {
        if client.id == cx.session.info.id {
            // This one still gets its answer.
            cx.outcome = Outcome::Close;
            ended += 1;
        } else if cx.engine.clients.kill(client) {
            cx.engine.host().disconnect(client);
            ended += 1;
        }
    }
    ended
}

pub(super) fn kill(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let old_form = args.len() == 3;
    let filter = if old_form {
        ClientFilter { addr: Some(args.at(2).to_vec()), ..ClientFilter::default() }
    } else {
        filter(args, cx.session.info.id)?
    };
    let clients = cx.engine.clients.matching(&filter, cx.now.0);
    match disconnect(cx, &clients) {
        0 if old_form => return Err(Fail::text("ERR No such client")),
        _ if old_form => cx.reply.ok(),
        killed => cx.reply.integer(killed as i64),
    }
    Ok(())
}
