//! MEMORY STATS, DOCTOR and MALLOC-STATS: where the memory is.
//!
//! The fields are those of Valkey 8.1. Some have no subject here, since there are no scripts yet, a
//! table is never rehashed, and mimalloc does not tell how its pages are filled: those have the
//! value that stands for nothing.

use crate::{Args, Cx, Db, Done};
use std::fmt::Write;
use tessera_resp::Reply;

/// Bytes of an entry beside key and value: its header, and its moment of expiry.
const ENTRY_HEADER: u64 = 8;
const ENTRY_EXPIRY: u64 = 8;

/// The memory that the keys of one database take beside themselves.
struct DbOverhead {
    index: usize,
    keys: u64,
    /// Buckets.
    tables: u64,
    /// Buckets and headers of entries.
    main: u64,
    /// Moments of expiry.
    expires: u64,
}

/// The uses of memory, in bytes.
struct Overhead {
    peak: u64,
    used: u64,
    startup: u64,
    /// The process' resident memory.
    resident: u64,
    backlog: u64,
    /// The history beyond the backlog that is kept for replicas that are behind.
    replicas: u64,
    clients: u64,
    databases: Vec<DbOverhead>,
}

impl Overhead {
    fn survey(db: &mut Db<'_, '_>, cx: &Cx<'_>) -> Overhead {
        let log = &cx.engine.log;
        let (used, peak) = cx.engine.memory();
        let history = log.bytes();
        let beyond = history.saturating_sub(log.backlog_limit());
        let replicas = if log.reader_count() > 0 { beyond } else { 0 };
        Overhead {
            peak,
            used,
            startup: cx.engine.startup_memory.min(used),
            resident: cx.engine.host().facts().resident.unwrap_or(used),
            backlog: history - replicas,
            replicas,
            clients: cx.engine.clients.memory() as u64,
            databases: databases(db),
        }
    }

    fn total(&self) -> u64 {
        let of_databases: u64 = self.databases.iter().map(|db| db.main + db.expires).sum();
        self.startup + self.backlog + self.replicas + self.clients + of_databases
    }

    fn dataset(&self) -> u64 {
        self.used.saturating_sub(self.total())
    }

    fn keys(&self) -> u64 {
        self.databases.iter().map(|db| db.keys).sum()
    }

    /// How many times as much memory the process has as is in use.
    fn fragmentation(&self) -> f64 {
        self.resident as f64 / self.used.max(1) as f64
    }

    fn fragmentation_bytes(&self) -> i64 {
        self.resident as i64 - self.used as i64
    }
}

/// The databases that have keys. Each slot is looked at in its own moment.
fn databases(db: &mut Db<'_, '_>) -> Vec<DbOverhead> {
    let count = db.keyspace().databases();
    let mut all: Vec<DbOverhead> = (0..count)
        .map(|index| DbOverhead { index, keys: 0, tables: 0, main: 0, expires: 0 })
        .collect();
    let patience = db.patience;
    db.world().for_each_free_slot(patience, |guard| {
        for of in &mut all {
            let keys = guard.len(of.index) as u64;
            if keys > 0 {
                of.keys += keys;
                of.tables += guard.table_memory_of(of.index) as u64;
                of.expires += guard.expiring(of.index) as u64 * ENTRY_EXPIRY;
            }
        }
    });
    all.retain(|of| of.keys > 0);
    all.iter_mut().for_each(|of| of.main = of.tables + of.keys * ENTRY_HEADER);
    all
}

/// A field, and how it is shown.
enum Field<'a> {
    Bytes(u64),
    Difference(i64),
    Share(f64),
    Database(&'a DbOverhead),
}

pub(super) fn stats(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    let all = Overhead::survey(db, cx);
    let fields = fields(&all);
    cx.reply.map(fields.len());
    fields.into_iter().for_each(|(name, field)| show(cx.reply, &name, field));
    Ok(())
}

fn fields(all: &Overhead) -> Vec<(String, Field<'_>)> {
    use Field::{Bytes, Database, Difference, Share};
    let share = |part: u64, whole: u64| Share(part as f64 * 100.0 / whole.max(1) as f64);
    let named = |(name, field): (&str, _)| (name.to_owned(), field);
    let process = [
        ("peak.allocated", Bytes(all.peak)),
        ("total.allocated", Bytes(all.used)),
        ("startup.allocated", Bytes(all.startup)),
        ("replication.backlog", Bytes(all.backlog)),
        ("clients.slaves", Bytes(all.replicas)),
        ("clients.normal", Bytes(all.clients)),
        ("cluster.links", Bytes(0)),
        ("aof.buffer", Bytes(0)),
        ("lua.caches", Bytes(0)),
        ("functions.caches", Bytes(0)),
    ];
    let databases = all.databases.iter().map(|of| (format!("db.{}", of.index), Database(of)));
    let tables = all.databases.iter().map(|of| of.tables).sum();
    let whole = [
        ("overhead.db.hashtable.lut", Bytes(tables)),
        ("overhead.db.hashtable.rehashing", Bytes(0)),
        ("overhead.total", Bytes(all.total())),
        ("db.dict.rehashing.count", Bytes(0)),
        ("keys.count", Bytes(all.keys())),
        ("keys.bytes-per-key", Bytes(all.dataset().checked_div(all.keys()).unwrap_or(0))),
        ("dataset.bytes", Bytes(all.dataset())),
        ("dataset.percentage", share(all.dataset(), all.used - all.startup)),
        ("peak.percentage", share(all.used, all.peak)),
        ("allocator.allocated", Bytes(all.used)),
        ("allocator.active", Bytes(all.resident)),
        ("allocator.resident", Bytes(all.resident)),
        ("allocator.muzzy", Bytes(0)),
        ("allocator-fragmentation.ratio", Share(1.0)),
        ("allocator-fragmentation.bytes", Bytes(0)),
        ("allocator-rss.ratio", Share(1.0)),
        ("allocator-rss.bytes", Bytes(0)),
        ("rss-overhead.ratio", Share(1.0)),
        ("rss-overhead.bytes", Bytes(0)),
        ("fragmentation", Share(all.fragmentation())),
        ("fragmentation.bytes", Difference(all.fragmentation_bytes())),
    ];
    process.into_iter().map(named).chain(databases).chain(whole.into_iter().map(named)).collect()
}

fn show(reply: &mut Reply, name: &str, field: Field<'_>) {
    reply.bulk(name.as_bytes());
    match field {
        Field::Bytes(bytes) => reply.integer(bytes as i64),
        Field::Difference(bytes) => reply.integer(bytes),
        Field::Share(number) => reply.double_text(&number.to_string()),
        Field::Database(of) => {
            reply.map(2);
            reply.bulk(b"overhead.hashtable.main");
            reply.integer(of.main as i64);
            reply.bulk(b"overhead.hashtable.expires");
            reply.integer(of.expires as i64);
        }
    }
}

/// Below this nothing can be said, bytes.
const SMALL: u64 = 5 << 20;
/// Differences from which on there is something to be said, bytes.
const MUCH: i64 = 10 << 20;
/// Bytes of a client's buffers, and of a replica's, that are many.
const LARGE_CLIENT: u64 = 200 << 10;
const LARGE_REPLICA: u64 = 10 << 20;

pub(super) fn doctor(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    let all = Overhead::survey(db, cx);
    let clients = cx.engine.clients.len() as u64;
    let replicas = cx.engine.log.reader_count() as u64;
    cx.reply.verbatim("txt", diagnosis(&all, clients, replicas).as_bytes());
    Ok(())
}

fn diagnosis(all: &Overhead, clients: u64, replicas: u64) -> String {
    if all.used < SMALL {
        return "There is hardly any data here (less than 5 MB): nothing can be said about it.\n"
            .to_owned();
    }
    let mut found = Vec::new();
    if all.peak as f64 / all.used as f64 > 1.5 {
        found.push(
            "Peak memory: once more than one and a half times as much was in use as is now. Resident memory may \
             stay higher than what is used for a while; MEMORY PURGE gives back what is free.",
        );
    }
    if all.fragmentation() > 1.4 && all.fragmentation_bytes() > MUCH {
        found.push(
            "Fragmentation: the process has more than 1.4 times the memory that is in use. Values that were \
             replaced by others of other sizes leave gaps; MEMORY PURGE gives back pages that are wholly free.",
        );
    }
    if all.clients / clients.max(1) > LARGE_CLIENT {
        found.push(
            "Client buffers: a client takes more than 200 KB on average. Clients that read slowly, or send \
             long pipelines, are seen in CLIENT LIST; client-output-buffer-limit and maxmemory-clients bound them.",
        );
    }
    if all.replicas / replicas.max(1) > LARGE_REPLICA {
        found.push(
            "Replica buffers: a replica that is behind keeps more than 10 MB of the history beyond the backlog.",
        );
    }
    if found.is_empty() {
        return "No memory problem was found.\n".to_owned();
    }
    let mut text = String::from("What was found:\n");
    for line in found {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n * {line}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_doctor_says_what_is_wrong() {
        let healthy = || Overhead {
            peak: 100 << 20,
            used: 100 << 20,
            startup: 1 << 20,
            resident: 110 << 20,
            backlog: 0,
            replicas: 0,
            clients: 1000,
            databases: Vec::new(),
        };
        let said = |all: Overhead| diagnosis(&all, 1, 1);
        assert_eq!(said(healthy()), "No memory problem was found.\n");
        for (all, word) in [
            (Overhead { used: 1 << 20, ..healthy() }, "nothing can be said"),
            (Overhead { peak: 200 << 20, ..healthy() }, "Peak memory"),
            (Overhead { resident: 200 << 20, ..healthy() }, "Fragmentation"),
            (Overhead { clients: 1 << 20, ..healthy() }, "Client buffers"),
            (Overhead { replicas: 20 << 20, ..healthy() }, "Replica buffers"),
        ] {
            let text = said(all);
            assert!(text.contains(word), "{word}: {text}");
        }
    }
}
