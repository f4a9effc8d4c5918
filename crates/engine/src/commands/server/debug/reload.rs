//! DEBUG RELOAD: all data is written as RDB, dropped, and read back. Everything is in memory and with the world locked: for tests.

use super::check_allowed;
use crate::payload::{Payload, Refused, Thresholds, take_in};
use crate::{Args, Cx, Db, Done, Fail};
use std::io;
use tessera_config::Config;
use tessera_rdb::{
    Checksum, Compression, Item, Limits, Options, Reader, Version, Writer, encode_entry,
};
use tessera_slot::Slot;
use tessera_store::{Lookup, NewValue, WorldExclusive};

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
    let access = db.access();
    let world = db.exclusive();
    let file = write(world, cx.config).expect("memory takes all bytes");
    if flush {
        let flushed = world.flush(None);
        cx.engine.host().free_later(flushed);
    }
    read(world, &file, cx.config, access, merge)
        .map_err(|error| Fail::text(format!("ERR Error trying to load the RDB dump: {error}")))?;
    cx.reply.ok();
    Ok(())
}

/// The whole keyspace as a file of the newest version, which holds most.
fn write(world: &mut WorldExclusive<'_>, config: &Config) -> io::Result<Vec<u8>> {
    let compression =
        if config.persistence.rdbcompression { Compression::Lzf } else { Compression::Off };
    let options = Options { version: Version::V80, compression };
    let mut writer = Writer::new(Vec::new(), options.version, Checksum::On)?;
    for db in 0..world.keyspace().databases() {
        let mut entries = Vec::new();
        for slot in Slot::all() {
            world.lock(slot).for_each(db, |entry| {
                let payload = Payload::of(entry);
                encode_entry(&mut entries, entry.key(), entry.expiry(), None, payload, options);
            });
        }
        if !entries.is_empty() {
            writer.select_db(db as u32)?;
            writer.entries(&entries)?;
        }
    }
    writer.finish()
}

fn read(
    world: &mut WorldExclusive<'_>,
    file: &[u8],
    config: &Config,
    access: u32,
    merge: bool,
) -> Result<(), String> {
    let (thresholds, mut db) = (Thresholds::of(config), 0);
    let limits = Limits { string: u64::from(u32::MAX) };
    let mut reader = Reader::new(file, limits).map_err(|error| error.to_string())?;
    loop {
        match reader.next_item().map_err(|error| error.to_string())? {
            Item::SelectDb(index) => db = index as usize,
            Item::Entry(entry) => {
                let value = match take_in(entry.value, &thresholds) {
                    Ok(value) => NewValue::Owned(value),
                    Err(Refused::Empty) => continue,
                    Err(error) => return Err(error.to_string()),
                };
                let hash = world.keyspace().locate(&entry.key);
                match world.lock(hash.slot()).lookup(db, &entry.key, hash) {
                    Lookup::Vacant(vacant) => vacant.insert(value, entry.expires_at, access),
                    Lookup::Found(mut found) if merge => {
                        found.replace(value, entry.expires_at, access);
                    }
                    Lookup::Found(_) => {
                        return Err(format!("key '{}' is there already", entry.key.escape_ascii()));
                    }
                }
            }
            Item::End => return Ok(()),
            _ => {}
        }
    }
}
