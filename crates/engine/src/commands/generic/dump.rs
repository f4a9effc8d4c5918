//! DUMP and RESTORE: a value as bytes that other servers read too.

use super::{GENERIC, READ, WRITE};
use crate::arguments::integer;
use crate::command::{Categories, Command, Flags, KeyUse};
use crate::notify::EventClass;
use crate::{Args, Cx, Db, Done, Fail};
use std::sync::atomic::Ordering::Relaxed;
use tessera_config::Config;
use tessera_dataset::{Payload, Thresholds, take_in};
use tessera_rdb::{Checksum, Compression, DumpBody, Encode, Encoder, Limits, Version};
use tessera_slot::Millis;
use tessera_store::{Entry, Lookup, NewValue, Value};

pub(super) const DUMP: Command = Command::new("dump", 2, dump)
    .flags(READ)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RO_ACCESS])
    .tips(&["nondeterministic_output"])
    .doc(
        GENERIC,
        "2.6.0",
        "O(N) where N is the size of the value",
        "Answers a key's value as bytes, which RESTORE takes.",
        "key",
    );
pub(super) const RESTORE: Command =
    restore_command("restore", "2.6.0").flags(WRITE.or(Flags::DENYOOM));
/// The command that MIGRATE of Redis sends to a node that is importing the slot.
pub(super) const RESTORE_ASKING: Command =
    restore_command("restore-asking", "3.0.0").flags(WRITE.or(Flags::DENYOOM).or(Flags::ASKING));

const fn restore_command(name: &'static str, since: &'static str) -> Command {
    Command::new(name, -4, restore)
        .keys(1, 1, 1)
        .uses(&[KeyUse::OW_UPDATE])
        .categories(Categories::KEYSPACE.or(Categories::DANGEROUS))
        .doc(
            GENERIC,
            since,
            "O(N) where N is the size of the value; O(N*log(N)) for sorted sets",
            "Makes a key of what DUMP has answered.",
            "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
        )
}

fn compression(config: &Config) -> Compression {
    if config.persistence.rdbcompression { Compression::Lzf } else { Compression::Off }
}

/// The bytes that DUMP answers for an entry.
fn payload_of(entry: &Entry, config: &Config) -> Vec<u8> {
    tessera_rdb::dump(Payload::of(entry), compression(config))
}

/// Bytes of an entry's value in an RDB file.
pub(crate) fn serialized_length(entry: &Entry, config: &Config) -> usize {
    let mut bytes = Vec::new();
    Payload::of(entry).encode(&mut Encoder::new(&mut bytes, compression(config).into()));
    bytes.len()
}

fn dump(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    match db.read(db.key(args.at(1), 0)) {
        Some(found) => cx.reply.bulk(&payload_of(&found.entry(), cx.config)),
        None => cx.reply.null(),
    }
    Ok(())
}

#[derive(Default)]
struct Options {
    replace: bool,
    absolute: bool,
    idle: Option<u64>,
    frequency: Option<u8>,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Options, Fail> {
        let mut options = Options::default();
        let mut at = 4;
        while at < args.len() {
            let value = args.get(at + 1);
            if args.is(at, "replace") {
                options.replace = true;
            } else if args.is(at, "absttl") {
                options.absolute = true;
            } else if let Some(value) = value.filter(|_| args.is(at, "idletime"))
                && options.frequency.is_none()
            {
                let idle = u64::try_from(integer(value)?);
                options.idle =
                    Some(idle.map_err(|_| Fail::text("ERR Invalid IDLETIME value, must be >= 0"))?);
                at += 1;
            } else if let Some(value) = value.filter(|_| args.is(at, "freq"))
                && options.idle.is_none()
            {
                let frequency = u8::try_from(integer(value)?);
                options.frequency =
                    Some(frequency.map_err(|_| {
                        Fail::text("ERR Invalid FREQ value, must be >= 0 and <= 255")
                    })?);
                at += 1;
            } else {
                return Err(Fail::Syntax);
            }
            at += 1;
        }
        Ok(options)
    }
}

/// A payload's value, and whether servers of any version of this decade read the payload.
fn parse(cx: &Cx<'_>, payload: &[u8]) -> Result<(Value, bool), Fail> {
    let checksum =
        if cx.engine.skip_checksums.load(Relaxed) { Checksum::Off } else { Checksum::On };
    let body = DumpBody::verify(payload, checksum)
        .map_err(|_| Fail::text("ERR DUMP payload version or checksum are wrong"))?;
    let limits = Limits { string: cx.config.network.proto_max_bulk_len.0 };
    let value = body.parse(limits).map_err(|_| bad_format())?;
    let value = take_in(value, &Thresholds::of(cx.config)).map_err(|_| bad_format())?;
    Ok((value, body.version().number() <= Version::V10.number()))
}

fn bad_format() -> Fail {
    Fail::text("ERR Bad data format")
}

fn restore(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let options = Options::parse(args)?;
    let key = db.key(args.at(1), 0);
    let exists = db.find(key).is_some();
    if exists && !options.replace {
        return Err(Fail::text("BUSYKEY Target key name already exists."));
    }
    let ttl = u64::try_from(integer(args.at(2))?)
        .map_err(|_| Fail::text("ERR Invalid TTL value, must be >= 0"))?;
    let (value, is_old) = parse(cx, args.at(3))?;
    let expiry = match (ttl, options.absolute) {
        (0, _) => None,
        (at, true) => Some(Millis(at)),
        (ttl, false) => Some(Millis(db.now.0.saturating_add(ttl))),
    };
    if expiry.is_some_and(|at| db.is_past(at)) {
        if let Some(found) = db.find(key) {
            found.delete();
            cx.notify(EventClass::Generic, "del", key.bytes);
            let verb = crate::db::deletion(cx.config.memory.lazyfree_lazy_server_del);
            cx.propagate_instead(|| vec![verb.to_vec(), key.bytes.to_vec()]);
            cx.changed(1);
        }
        cx.reply.ok();
        return Ok(());
    }
    let access = db.access_of(options.idle, options.frequency);
    let config = cx.config;
    if !exists {
        cx.notify_new(key.bytes);
    }
    let found = match db.lookup(key) {
        Lookup::Found(mut found) => {
            found.replace(NewValue::Owned(value), expiry, access);
            found.set_access(access);
            found
        }
        Lookup::Vacant(vacant) => vacant.fill(NewValue::Owned(value), expiry, access),
    };
    // Replicas get the moment of the expiry, and what the oldest of them can read.
    cx.propagate_instead(|| {
        let mut command: Vec<Vec<u8>> = args.from(0).map(<[u8]>::to_vec).collect();
        if let Some(at) = expiry {
            command[2] = at.to_string().into_bytes();
            if !options.absolute {
                command.push(b"ABSTTL".to_vec());
            }
        }
        if !is_old {
            command[3] = payload_of(&found.entry(), config);
        }
        command
    });
    cx.notify(EventClass::Generic, "restore", key.bytes);
    cx.changed(1);
    cx.reply.ok();
    Ok(())
}
