//! What loading takes in, replaces and refuses.

use super::*;
use crate::EntryFormat;
use tessera_rdb::{Checksum, Version, Writer};
use tessera_store::{KeyspaceOptions, Placement, StringRef};

const NOW: Millis = Millis(1_700_000_000_000);

fn keyspace() -> Keyspace {
    let placement = Placement::Local;
    Keyspace::new(KeyspaceOptions { databases: 2, placement, seed: 5, threads: 1 })
}

fn options() -> LoadOptions {
    LoadOptions::of(&Config::default(), NOW)
}

fn put(keyspace: &Keyspace, db: usize, key: &[u8], value: &[u8]) {
    let mut target = Target::Shared { keyspace, thread: 0 };
    let (place, value) = ((db, key.to_vec()), NewValue::String(value));
    target.put(place, value, None, 0, Existing::Replace).expect("nothing is refused");
}

fn get(keyspace: &Keyspace, db: usize, key: &[u8]) -> Option<Vec<u8>> {
    let hash = keyspace.locate(key);
    let mut world = keyspace.enter(0);
    let guard = world.lock(hash.slot());
    let entry = guard.entry(db, key, hash)?;
    match entry.string()? {
        StringRef::Integer(number) => Some(number.to_string().into_bytes()),
        StringRef::Bytes(bytes) => Some(bytes.to_vec()),
    }
}

/// A file with the keys of a keyspace, all of which are in this database there.
fn file_of(keyspace: &Keyspace, db: u32) -> Vec<u8> {
    let format = EntryFormat::of(&Config::default(), keyspace, Version::V11, NOW);
    let mut entries = Vec::new();
    keyspace.enter(0).for_each_free_slot(&tessera_store::Patience::unlimited(), |guard| {
        guard.for_each(0, |entry| format.encode(&mut entries, entry));
    });
    let mut writer = Writer::new(Vec::new(), Version::V11, Checksum::On).expect("memory");
    writer.aux(b"repl-stream-db", b"1").expect("memory");
    writer.select_db(db).expect("memory");
    writer.entries(&entries).expect("memory");
    writer.finish().expect("memory")
}

#[test]
fn all_keys_of_a_file_are_there_after_it() {
    let (from, to) = (keyspace(), keyspace());
    put(&from, 0, b"a", b"1");
    put(&from, 0, b"b", b"two");
    put(&to, 1, b"a", b"before");
    let file = file_of(&from, 1);
    let mut target = Target::Shared { keyspace: &to, thread: 0 };
    let loaded = load(&*file, &mut target, &options(), |_| panic!("nothing is passed over"));
    assert_eq!(loaded.expect("it is whole"), Loaded { keys: 2, stream_db: 1 });
    assert_eq!(get(&to, 1, b"a").as_deref(), Some(&b"1"[..]), "it is replaced");
    assert_eq!(get(&to, 1, b"b").as_deref(), Some(&b"two"[..]));

    // The same where the caller has everything for itself; what is there can be kept.
    let mut world = to.enter_exclusive();
    let refuse = LoadOptions { existing: Existing::Refuse, ..options() };
    let again = load(&*file, &mut Target::Alone(&mut world), &refuse, |_| {});
    assert!(matches!(again, Err(LoadError::Exists(_))), "{again:?}");
    drop(world.flush(None));
    let again = load(&*file, &mut Target::Alone(&mut world), &refuse, |_| {});
    assert_eq!(again.expect("nothing is there").keys, 2);
}

#[test]
fn what_is_cut_or_changed_or_of_another_database_is_refused() {
    let from = keyspace();
    (0..50).for_each(|n| put(&from, 0, format!("key:{n}").as_bytes(), b"value"));
    let file = file_of(&from, 0);
    let refused = |bytes: &[u8]| {
        let to = keyspace();
        let mut target = Target::Shared { keyspace: &to, thread: 0 };
        load(bytes, &mut target, &options(), |_| {}).expect_err("it is refused")
    };
    for end in (0..file.len()).step_by(37) {
        assert!(matches!(refused(&file[..end]), LoadError::Format(_)), "cut at {end}");
    }
    let mut changed = file.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    refused(&changed);
    let error = refused(&file_of(&from, 2)).to_string();
    assert_eq!(error, "the data has a database 2, this server has 2 (directive 'databases')");
}
