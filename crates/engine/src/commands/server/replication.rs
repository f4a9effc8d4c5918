//! Primary and replica: who is what, and the commands of which replication is made.

use super::{ALWAYS, ALWAYS_FAST, SERVER};
use crate::arguments::integer;
use crate::command::{Categories, Command, Flags, Role};
use crate::{Args, Cx, Db, Done, Fail, Outcome};

const FOLLOW: Flags = Flags::NO_ASYNC_LOADING.or(Flags::ADMIN).or(Flags::NOSCRIPT).or(Flags::STALE);
const STREAM: Flags =
    Flags::NO_ASYNC_LOADING.or(Flags::ADMIN).or(Flags::NO_MULTI).or(Flags::NOSCRIPT);

pub(super) const ROLE: Command = Command::new("role", 1, role)
    .flags(ALWAYS_FAST.or(Flags::NOSCRIPT))
    .categories(Categories::ADMIN.or(Categories::DANGEROUS))
    .doc(SERVER, "2.8.12", "O(1)", "Answers whether this is a primary or a replica.", "");
pub(super) const REPLICAOF: Command = Command::new("replicaof", 3, replicaof).flags(FOLLOW).doc(
    SERVER,
    "5.0.0",
    "O(1)",
    "Makes this a replica of another server, or a primary.",
    "<<host port>|<NO ONE>>",
);
pub(super) const SLAVEOF: Command = Command::new("slaveof", 3, replicaof).flags(FOLLOW).doc(
    SERVER,
    "1.0.0",
    "O(1)",
    "The old name of REPLICAOF.",
    "<<host port>|<NO ONE>>",
);
pub(super) const REPLCONF: Command = Command::new("replconf", -1, to_the_rim)
    .role(Role::Replconf)
    .flags(ALWAYS.or(Flags::ADMIN).or(Flags::NOSCRIPT).or(Flags::ALLOW_BUSY))
    .doc(SERVER, "3.0.0", "O(1)", "What replicas and primaries tell each other.", "");
pub(super) const PSYNC: Command = Command::new("psync", -3, to_the_rim).flags(STREAM).doc(
    SERVER,
    "2.8.0",
    "O(1)",
    "Starts or resumes replication.",
    "replicationid offset",
);
pub(super) const SYNC: Command = Command::new("sync", 1, to_the_rim).flags(STREAM).doc(
    SERVER,
    "1.0.0",
    "O(1)",
    "Starts replication as old replicas do.",
    "",
);

fn role(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    match cx.engine.host().replication().role {
        Some(role) => cx.reply.value(&role),
        None => {
            cx.reply.array(3);
            cx.reply.bulk(b"master");
            cx.reply.integer(cx.engine.log.offset().0 as i64);
            cx.reply.array(0);
        }
    }
    Ok(())
}

fn replicaof(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    if cx.config.cluster.enabled {
        return Err(Fail::text("ERR REPLICAOF not allowed in cluster mode."));
    }
    let client = &cx.session.info;
    cx.outcome = if args.is(1, "no") && args.is(2, "one") {
        cx.engine.host().replicate(client, None, cx.may_block)?
    } else {
        let port = integer(args.at(2)).ok().and_then(|port| u16::try_from(port).ok());
        let port = port.ok_or(Fail::text("ERR Invalid master port"))?;
        let host =
            std::str::from_utf8(args.at(1)).map_err(|_| Fail::text("ERR Invalid master host"))?;
        cx.engine.host().replicate(client, Some((host, port)), cx.may_block)?
    };
    if cx.outcome == Outcome::Next {
        cx.reply.ok();
    }
    Ok(())
}

/// The connection itself changes its nature, which is not the engine's business.
fn to_the_rim(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    cx.outcome = Outcome::Rim;
    Ok(())
}
