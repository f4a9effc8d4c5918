//! XACK.

use super::{STREAM, WRITE_FAST, ids};
use crate::command::{Command, KeyUse};
use crate::{Args, Cx, Db, Done};
use tessera_collections::Stream;

pub(super) const XACK: Command =
    Command::new("xack", -4, xack).flags(WRITE_FAST).keys(1, 1, 1).uses(&[KeyUse::RW_UPDATE]).doc(
        STREAM,
        "5.0.0",
        "O(log N) for each id, with N the number of entries that are not acknowledged",
        "Acknowledges entries that consumers of a group were given; answers how many it were.",
        "key group id...",
    );

fn xack(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (key, name) = (db.key(args.at(1), 0), args.at(2));
    let found = db.find_as::<Stream>(key)?;
    let Some(mut found) = found.filter(|found| found.get().groups.contains_key(name)) else {
        cx.reply.integer(0);
        return Ok(());
    };
    let ids = ids::all(args, 3)?;
    let mut acknowledged = 0;
    if ids.iter().any(|&id| found.get().groups[name].pending_at(id).is_some()) {
        let mut stream = found.edit();
        let group = stream.groups.get_mut(name).expect("it was seen");
        acknowledged = ids.iter().filter(|&&id| group.acknowledge(id)).count();
    }
    cx.changed(acknowledged as u64);
    cx.reply.integer(acknowledged as i64);
    Ok(())
}
