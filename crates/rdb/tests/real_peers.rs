//! Files and payloads exchanged with Debian's Redis 7.0, and, where VALKEY_SERVER names one, with
//! Valkey.

mod peer;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use peer::{Peer, installed};
use tessera_rdb::{
    Checksum, Compression, Entry, Eviction, Item, Limits, Reader, Value, ValueRef, Version, Writer,
    dump, encode_entry, parse_dump,
};
use tessera_slot::Millis;

/// The year 2100.
const FAR: u64 = 4_102_444_800_000;

fn servers() -> Vec<PathBuf> {
    let valkey = std::env::var_os("VALKEY_SERVER").map(PathBuf::from);
    installed("redis-server").into_iter().chain(valkey).collect()
}

/// Texts in every encoding, at its borders.
fn samples() -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut texts: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"007".to_vec(),
        b"-0".to_vec(),
        b"tessera \x00\xff\r\n".to_vec(),
        b"tessera ".repeat(1000),
        (0..100_000u32).flat_map(|n| n.wrapping_mul(0x9e37_79b1).to_le_bytes()).collect(),
    ];
    for value in [0, 127, 128, 32_767, 32_768, i64::from(i32::MAX), 1 << 31, i64::MAX] {
        texts.push(value.to_string().into_bytes());
        texts.push((-value - 1).to_string().into_bytes());
    }
    texts.extend([63, 64, 16_383, 16_384].map(|len| vec![b'z'; len]));
    texts.into_iter().enumerate().map(|(n, text)| (format!("key:{n}").into_bytes(), text)).collect()
}

fn our_file(path: &Path) {
    let out = fs::File::create(path).unwrap();
    let mut writer = Writer::new(out, Version::V10, Checksum::On).unwrap();
    writer.aux(b"tessera-ver", b"0.1.0").unwrap();
    for db in [0, 9] {
        writer.select_db(db).unwrap();
        writer.resize_db(samples().len() as u64 + 2, 2).unwrap();
        let mut entries = Vec::new();
        for (key, text) in samples() {
            let value = ValueRef::String(&text);
            encode_entry(&mut entries, &key, None, None, value, Compression::Lzf);
        }
        let (value, at) = (ValueRef::Integer(77), Some(Millis(FAR)));
        let used = Some(Eviction::Frequency(5));
        encode_entry(&mut entries, b"mortal", at, used, value, Compression::Lzf);
        let idle = Some(Eviction::Idle(1000));
        encode_entry(&mut entries, b"expired", Some(Millis(1)), idle, value, Compression::Lzf);
        writer.entries(&entries).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn a_real_server_loads_our_file() {
    for program in servers() {
        let mut server = Peer::start(&program, &[], |dir| our_file(&dir.join("dump.rdb")));
        for db in ["0", "9"] {
            server.command(&["SELECT", db]);
            for (key, text) in samples() {
                assert!(server.command(&[&b"GET"[..], &key]) == text, "{}", key.escape_ascii());
            }
            assert_eq!(server.command(&["GET", "mortal"]), b"77");
            assert_eq!(server.command(&["PEXPIRETIME", "mortal"]), FAR.to_string().as_bytes());
            assert_eq!(server.command(&["EXISTS", "expired"]), b"0");
            let keys = (samples().len() + 1).to_string();
            assert_eq!(server.command(&["DBSIZE"]), keys.as_bytes());
        }
    }
}

#[test]
fn the_checker_of_redis_accepts_our_file() {
    let Some(checker) = installed("redis-check-rdb") else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("dump.rdb");
    our_file(&file);
    let verdict = Command::new(checker).arg(&file).output().unwrap();
    assert!(verdict.status.success(), "{}", String::from_utf8_lossy(&verdict.stdout));
}

#[test]
fn we_read_the_file_of_a_real_server() {
    for program in servers() {
        let mut server = Peer::start(&program, &["--maxmemory-policy", "allkeys-lfu"], |_| {});
        for db in ["0", "9"] {
            server.command(&["SELECT", db]);
            for (key, text) in samples() {
                server.command(&[&b"SET"[..], &key, &text]);
            }
            server.command(&["SET", "mortal", "77", "PXAT", &FAR.to_string()]);
        }
        server.command(&[
            "FUNCTION",
            "LOAD",
            "#!lua name=tiles\nredis.register_function('f', function() end)",
        ]);
        server.command(&["SAVE"]);

        let file = fs::File::open(server.dir().join("dump.rdb")).unwrap();
        let mut reader = Reader::new(file, Limits::default()).unwrap();
        let (mut dbs, mut functions, mut found) = (Vec::new(), 0, Vec::new());
        loop {
            match reader.next_item().unwrap() {
                Item::SelectDb(db) => dbs.push(db),
                Item::Function(_) => functions += 1,
                Item::Entry(entry) => found.push(entry),
                Item::End => break,
                Item::Aux { .. } | Item::ResizeDb { .. } | Item::SlotInfo { .. } => {}
            }
        }
        assert_eq!((dbs, functions), (vec![0, 9], 1));
        check_found(found);
    }
}

/// Each sample twice, once per database, and the mortal key twice.
fn check_found(mut found: Vec<Entry>) {
    assert!(found.iter().all(|entry| matches!(entry.eviction, Some(Eviction::Frequency(_)))));
    let mut found: Vec<_> = found.drain(..).map(|e| (e.key, e.value, e.expires_at)).collect();
    let samples = samples().into_iter().map(|(key, text)| (key, Value::String(text), None));
    let mortal = (b"mortal".to_vec(), Value::String(b"77".to_vec()), Some(Millis(FAR)));
    let mut expected: Vec<_> = samples.chain([mortal]).flat_map(|e| [e.clone(), e]).collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(found == expected, "the entries differ");
}

#[test]
fn dump_and_restore_agree() {
    for program in servers() {
        let mut server = Peer::start(&program, &["--rdbcompression", "no"], |_| {});
        let version = server.command(&["INFO", "server"]);
        let version = String::from_utf8(version).unwrap();
        for (key, text) in samples() {
            server.command(&[&b"SET"[..], &key, &text]);
            let theirs = server.command(&[&b"DUMP"[..], &key]);
            assert_eq!(
                parse_dump(&theirs, Limits::default()).unwrap(),
                Value::String(text.clone())
            );
            let ours = dump(ValueRef::String(&text), Compression::Off);
            if version.contains("redis_version:7.0.") {
                assert!(ours == theirs, "{}", key.escape_ascii());
            }
            let packed = dump(ValueRef::String(&text), Compression::Lzf);
            for payload in [ours, packed] {
                server.command(&[b"RESTORE", &b"copy"[..], b"0", &payload, b"REPLACE"]);
                assert!(server.command(&["GET", "copy"]) == text, "{}", key.escape_ascii());
            }
        }
    }
}
