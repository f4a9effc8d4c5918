//! DEBUG RELOAD: all data is written as RDB, dropped, and read back. Everything is in memory and
//! with the world locked: for tests.

use super::check_allowed;
use crate::{Args, Cx, Db, Done, Fail};
use std::io;
use tessera_config::Config;
use tessera_dataset::{EntryFormat, Existing, LoadOptions, Target, load};
use tessera_rdb::{Checksum, Version, Writer};
use tessera_slot::{Millis, Slot};
use tessera_store::WorldExclusive;

pub(super) fn reload(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_allowed(cx)?;
    let (mut flush, mut merge) = (true, false);
    for at in 2..args.len() {
        if args.is(at, "merge") {
            merge = true;
        } else if args.is(at, "noflush") {
            flush = false;
        } else if args.is(at, "nosave") {
            return Err(Fail::text(
                "ERR DEBUG RELOAD NOSAVE needs a snapshot file, and there is none",
            ));
        } else {
            return Err(Fail::text(
                "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
            ));
        }
    }
    let now = db.now;
    let world = db.exclusive();
    let file = write(world, cx.config, now).expect("memory takes all bytes");
    if flush {
        let flushed = world.flush(None);
        cx.engine.host().free_later(flushed);
    }
    let existing = if merge { Existing::Replace } else { Existing::Refuse };
    let options = LoadOptions { existing, ..LoadOptions::of(cx.config, now) };
    load(&*file, &mut Target::Alone(world), &options, |_| {})
        .map_err(|error| Fail::text(format!("ERR Error trying to load the RDB dump: {error}")))?;
    cx.reply.ok();
    Ok(())
}

/// The whole keyspace as a file of the newest version, which holds most.
fn write(world: &mut WorldExclusive<'_>, config: &Config, now: Millis) -> io::Result<Vec<u8>> {
    let format = EntryFormat::of(config, world.keyspace(), Version::V80, now);
    let mut writer = Writer::new(Vec::new(), Version::V80, Checksum::On)?;
    for db in 0..world.keyspace().databases() {
        let mut entries = Vec::new();
        for slot in Slot::all() {
            world.lock(slot).for_each(db, |entry| format.encode(&mut entries, entry));
        }
        if !entries.is_empty() {
            writer.select_db(db as u32)?;
            writer.entries(&entries)?;
        }
    }
    writer.finish()
}
