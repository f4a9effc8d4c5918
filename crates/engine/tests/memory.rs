//! MEMORY: where the memory is. The allocator that counts is this program's.

mod harness;

use harness::Client;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tessera_resp::Protocol;

#[global_allocator]
static ALLOCATOR: tessera_store::CountingAlloc = tessera_store::CountingAlloc;

/// The fields that clients of Valkey 8.1 know, but those of databases.
const FIELDS: [&str; 31] = [
    "peak.allocated",
    "total.allocated",
    "startup.allocated",
    "replication.backlog",
    "clients.slaves",
    "clients.normal",
    "cluster.links",
    "aof.buffer",
    "lua.caches",
    "functions.caches",
    "overhead.db.hashtable.lut",
    "overhead.db.hashtable.rehashing",
    "overhead.total",
    "db.dict.rehashing.count",
    "keys.count",
    "keys.bytes-per-key",
    "dataset.bytes",
    "dataset.percentage",
    "peak.percentage",
    "allocator.allocated",
    "allocator.active",
    "allocator.resident",
    "allocator.muzzy",
    "allocator-fragmentation.ratio",
    "allocator-fragmentation.bytes",
    "allocator-rss.ratio",
    "allocator-rss.bytes",
    "rss-overhead.ratio",
    "rss-overhead.bytes",
    "fragmentation",
    "fragmentation.bytes",
];

/// The answer to MEMORY STATS in RESP2: names and numbers, those of databases under `db.N/` and
/// their own names.
fn stats(client: &mut Client) -> BTreeMap<String, f64> {
    let reply = client.run("memory stats");
    let mut lines = reply.split('|').skip(1);
    let mut found = BTreeMap::new();
    let mut database = (String::new(), 0);
    while let Some(head) = lines.next() {
        assert!(head.starts_with('$'), "a name: {head}");
        let name = lines.next().expect("a name").to_owned();
        let value = lines.next().expect("a value");
        if value == "*4" {
            database = (format!("{name}/"), 2);
            continue;
        }
        let text = match value.strip_prefix(':') {
            Some(number) => number,
            None => lines.next().expect("a text"),
        };
        let name = if database.1 > 0 { format!("{}{name}", database.0) } else { name };
        database.1 -= i32::from(database.1 > 0);
        found.insert(name, text.parse().expect("a number"));
    }
    found
}

/// Held by each test: what one takes another would see.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn stats_has_the_fields_of_valkey_and_true_numbers() {
    let _alone = alone();
    const KEYS: usize = 5_000;
    let mut client = Client::new();
    let empty = stats(&mut client);
    for field in FIELDS {
        assert!(empty.contains_key(field), "{field}");
    }
    assert_eq!(empty.len(), FIELDS.len(), "no database has keys: {empty:?}");

    // Given: keys in two databases, some of which expire.
    for number in 0..KEYS {
        client.run(&format!("set key:{number} {}", "v".repeat(200)));
    }
    client.run("select 9");
    client.run("set expires x EX 100");
    let full = stats(&mut client);
    let grown = |field: &str| full[field] - empty[field];
    assert_eq!(full["keys.count"], (KEYS + 1) as f64);
    assert!(grown("total.allocated") > (KEYS * 220) as f64, "{full:?}");
    assert!(grown("dataset.bytes") > (KEYS * 200) as f64, "{full:?}");
    let per_key = full["keys.bytes-per-key"];
    assert!((200.0..2_000.0).contains(&per_key), "{full:?}");
    assert_eq!(full["db.9/overhead.hashtable.expires"], 8.0);
    assert!((8.0..400.0).contains(&full["db.9/overhead.hashtable.main"]), "{full:?}");
    assert!(full["db.0/overhead.hashtable.main"] > (KEYS * 8) as f64, "{full:?}");
    assert_eq!(full["db.0/overhead.hashtable.expires"], 0.0);
    let overheads = ["db.0/overhead.hashtable.main", "db.9/overhead.hashtable.main"];
    let overhead = overheads.iter().map(|field| full[*field]).sum::<f64>() + 8.0;
    assert_eq!(grown("overhead.total") - grown("clients.normal"), overhead);
    assert!(full["peak.allocated"] >= full["total.allocated"], "{full:?}");
    assert!(full["dataset.percentage"] <= 100.0 && full["peak.percentage"] <= 100.0, "{full:?}");

    client.run("flushall");
    let flushed = stats(&mut client);
    assert_eq!((flushed["keys.count"], flushed.len()), (0.0, FIELDS.len()));

    // Maps and doubles in RESP3.
    client.protocol = Protocol::Resp3;
    assert!(client.run("memory stats").starts_with("%31|$14|peak.allocated|:"));
    assert!(client.run("memory doctor").starts_with('='));
}

#[test]
fn the_allocator_tells_of_itself_and_gives_back() {
    let _alone = alone();
    let mut client = Client::new();
    assert!(client.run("memory malloc-stats").contains("mimalloc"));
    assert_eq!(client.run("memory purge"), "+OK");
    let help = client.run("memory help");
    for word in ["DOCTOR", "MALLOC-STATS", "PURGE", "STATS", "USAGE"] {
        assert!(help.contains(&format!("|+{word}")), "{word} in {help}");
    }
}

#[test]
fn errors_of_debug_are_what_was_asked_for() {
    let _alone = alone();
    let mut config = tessera_config::Config::default();
    config.general.enable_debug_command = tessera_config::table::general::ProtectedAction::Yes;
    let mut client = Client::with(config);
    assert_eq!(client.command(&["DEBUG", "ERROR", "MY own\r\nerror"]), b"-MY own  error\r\n");
    assert!(client.run("info errorstats").contains("errorstat_MY:count=1"));
}

const MIB: usize = 1 << 20;

/// The memory of the only key, in bytes.
fn taken(client: &mut Client) -> usize {
    let before = tessera_store::taken_by_thread();
    client.run("del k");
    usize::try_from(before - tessera_store::taken_by_thread()).expect("it was freed")
}

#[test]
fn a_long_string_that_grows_does_not_double() {
    let _alone = alone();
    let text = "x".repeat(MIB);
    for (long, grow) in [
        (64, &["APPEND", "k", "y"][..]),
        (64, &["SETRANGE", "k", "67108864", "y"]),
        (64, &["SETBIT", "k", "536870912", "1"]),
        (64, &["BITFIELD", "k", "SET", "u8", "536870912", "1"]),
        (2, &["APPEND", "k", "y"]),
        (20, &["APPEND", "k", "y"]),
    ] {
        let mut client = Client::new();
        client.command(&["SET", "k", &text.repeat(long)]);
        assert_ne!(client.command(grow)[0], b'-', "{grow:?}");
        let most = long * MIB + (long * MIB / 32).max(MIB) + 64 * 1024;
        // Blocks that are not mapped one by one may be a quarter larger.
        let most = if long < 8 { most * 5 / 4 } else { most };
        let taken = taken(&mut client);
        assert!(taken <= most, "{taken} for {long} MiB after {grow:?}");
    }
}

#[test]
fn a_string_that_has_come_to_rest_gives_its_room_back() {
    let _alone = alone();
    for (len, piece) in [(3_000, 100), (100_000, 1_000), (3 * MIB, 50_000), (20 * MIB, 100_000)] {
        let mut client = Client::new();
        let more = "x".repeat(piece);
        for _ in 0..len / piece {
            client.command(&["APPEND", "k", &more]);
        }
        let keyspace = client.engine.keyspace.clone();
        let mut looks = 0;
        while keyspace.fit_rested(1, || true) {
            looks += 1;
            assert!(looks < 10, "nothing changes any more");
        }
        assert_eq!(client.run("strlen k"), format!(":{}", len / piece * piece));
        let taken = taken(&mut client);
        let most = if len < 8 * MIB { len + len / 6 + 300 } else { len + 100_000 };
        assert!(taken < most, "{taken} for {len}");
    }
}
