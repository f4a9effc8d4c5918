//! Writers on several threads, snapshots one after another: each is exactly the state at its start.
//!
//! A model beside the keyspace says what that state was: writers change both under the slot's lock;
//! the thread that starts a snapshot copies the model while the world is locked.

mod common;

use common::Random;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tessera_slot::Millis;
use tessera_store::{
    Entry, Found, Keyspace, KeyspaceOptions, Lookup, NewValue, Patience, Placement, ScanCursor,
    Shown, Snapshot, SnapshotSink, StringRef, World,
};

const WRITERS: usize = 4;
const DATABASES: usize = 3;
/// Hash tags: few, so that writers and walk meet; the keys of one are many enough for tables to
/// grow.
const TAGS: usize = 5;
const KEYS: usize = 300;
/// How long the test runs.
const DURATION: Duration = Duration::from_secs(3);

type Row = (Vec<u8>, Option<Millis>);
type Model = BTreeMap<(usize, Vec<u8>), Row>;

struct Shared {
    keyspace: Arc<Keyspace>,
    /// By hash tag; locked with the tag's slot, or the world, locked.
    models: Vec<Mutex<Model>>,
    done: AtomicBool,
}

impl Shared {
    fn model(&self) -> Model {
        self.models.iter().flat_map(|model| model.lock().clone()).collect()
    }
}

fn row(entry: &Entry) -> Row {
    let value = match entry.string().expect("a string") {
        StringRef::Integer(number) => number.to_string().into_bytes(),
        StringRef::Bytes(bytes) => bytes.to_vec(),
    };
    (value, entry.expiry())
}

/// The entries that writers handed over.
#[derive(Default)]
struct Handed(Mutex<Vec<(usize, Vec<u8>, Row)>>);

impl SnapshotSink for Handed {
    fn preserve(&self, db: usize, entry: &Entry) {
        self.0.lock().push((db, entry.key().to_vec(), row(entry)));
    }
}

#[test]
fn every_snapshot_is_the_state_at_its_start() {
    let seed = RandomState::new().hash_one("seed") | 1;
    println!("seed {seed}");
    let shared = Shared {
        keyspace: Arc::new(Keyspace::new(KeyspaceOptions {
            databases: DATABASES,
            placement: Placement::Cluster,
            seed,
            threads: WRITERS + 1,
        })),
        models: (0..TAGS).map(|_| Mutex::default()).collect(),
        done: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        for thread in 0..WRITERS {
            let (shared, random) = (&shared, Random(seed.wrapping_add(thread as u64 * 2)));
            scope.spawn(move || write(shared, thread, random));
        }
        let (started, mut random) = (Instant::now(), Random(seed.wrapping_add(1000)));
        let (mut snapshots, mut entries) = (0, 0);
        while started.elapsed() < DURATION {
            // A snapshot that panics must not leave the writers running.
            let taken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                snapshot(&shared, &mut random)
            }));
            match taken {
                Ok(count) => (snapshots, entries) = (snapshots + 1, entries + count),
                Err(panic) => {
                    shared.done.store(true, Ordering::Relaxed);
                    std::panic::resume_unwind(panic);
                }
            }
        }
        shared.done.store(true, Ordering::Relaxed);
        println!("{snapshots} snapshots of {entries} entries");
        assert!(snapshots > 5 && entries > 1000, "{snapshots} snapshots of {entries} entries");
    });
    compare_at_the_end(&shared);
}

/// Changes keys at random until the snapshots are done.
fn write(shared: &Shared, thread: usize, mut random: Random) {
    while !shared.done.load(Ordering::Relaxed) {
        if random.below(2000) == 0 {
            change_all(shared, &mut random);
            continue;
        }
        let mut world = shared.keyspace.enter(thread);
        for _ in 0..random.below(20) {
            change_one(shared, &mut world, &mut random);
        }
    }
}

/// Flushes or exchanges databases, with the world locked.
fn change_all(shared: &Shared, random: &mut Random) {
    let mut world = shared.keyspace.enter_exclusive();
    let (a, b) = (random.below(DATABASES), random.below(DATABASES));
    match random.below(4) {
        0 => {
            world.swap(a, b, Millis(0));
            let other = |db| {
                if db == a {
                    b
                } else if db == b {
                    a
                } else {
                    db
                }
            };
            for model in &shared.models {
                let mut model = model.lock();
                let rows = std::mem::take(&mut *model).into_iter();
                model.extend(rows.map(|((db, key), row)| ((other(db), key), row)));
            }
        }
        1 => {
            drop(world.flush(None));
            shared.models.iter().for_each(|model| model.lock().clear());
        }
        _ => {
            let flushed = world.flush(Some(a));
            for model in &shared.models {
                model.lock().retain(|(db, _), _| *db != a);
            }
            drop(world);
            drop(flushed);
        }
    }
}

/// Changes one key, in the keyspace and in the model.
fn change_one(shared: &Shared, world: &mut World<'_>, random: &mut Random) {
    let (tag, db) = (random.below(TAGS), random.below(DATABASES));
    let key = format!("{{tag{tag}}}{}", random.below(KEYS)).into_bytes();
    let hash = shared.keyspace.locate(&key);
    let mut guard = world.lock(hash.slot());
    let mut model = shared.models[tag].lock();
    let at = (db, key.clone());
    match guard.lookup(db, &key, hash) {
        Lookup::Found(found) => {
            assert_eq!(model.get(&at), Some(&row(&found.entry())));
            match change_found(found, random) {
                Some(row) => model.insert(at, row),
                None => model.remove(&at),
            };
        }
        Lookup::Vacant(vacant) => {
            assert_eq!(model.get(&at), None);
            let (value, expiry) = (new_value(random), new_expiry(random));
            vacant.insert(NewValue::String(&value), expiry, 0);
            model.insert(at, (value, expiry));
        }
    }
}

/// Changes an entry in one of all possible ways; gives what it is now.
fn change_found(mut found: Found<'_, '_>, random: &mut Random) -> Option<Row> {
    let (mut value, mut expiry) = row(&found.entry());
    match random.below(8) {
        0..3 => {
            (value, expiry) = (new_value(random), new_expiry(random));
            found.replace(NewValue::String(&value), expiry, 1);
        }
        3 => {
            expiry = new_expiry(random);
            found.set_expiry(expiry);
        }
        4 => {
            found.edit_string([], |bytes| bytes.push(b'+'));
            value.push(b'+');
        }
        5 => found.touch(7),
        6 => {
            let (taken, taken_expiry) = found.remove();
            assert_eq!(taken_expiry, expiry);
            drop(taken);
            return None;
        }
        _ => {
            found.delete();
            return None;
        }
    }
    Some((value, expiry))
}

/// A number, a short string or one with an allocation of its own.
fn new_value(random: &mut Random) -> Vec<u8> {
    let number = random.next();
    match random.below(3) {
        0 => number.to_string().into_bytes(),
        1 => format!("v{number}").into_bytes(),
        _ => vec![number as u8; random.below(2000)],
    }
}

fn new_expiry(random: &mut Random) -> Option<Millis> {
    (random.below(2) == 0).then(|| Millis(random.next()))
}

/// Takes a snapshot and compares it; gives the number of its entries. One in eight is given up.
fn snapshot(shared: &Shared, random: &mut Random) -> usize {
    let handed = Arc::new(Handed::default());
    let world = shared.keyspace.enter_exclusive();
    let wanted = shared.model();
    let started = Snapshot::start(&shared.keyspace, &world, handed.clone());
    drop(world);
    let mut snapshot = started.expect("no other is under way");
    let give_up_after = if random.below(8) == 0 { random.below(20_000) } else { usize::MAX };
    let (mut seen, mut steps) = (Model::new(), 0);
    let mut more = true;
    while more {
        let mut world = shared.keyspace.enter(WRITERS);
        // Some steps in a row: most slots are empty.
        for _ in 0..=random.below(100) {
            more = more
                && snapshot.step(&mut world, |shown| {
                    let Shown::Entry(db, entry) = shown else { panic!("no value is large") };
                    add(&mut seen, db, entry.key().to_vec(), row(entry));
                });
            steps += 1;
        }
        if steps >= give_up_after {
            return 0;
        }
    }
    drop(snapshot);
    for (db, key, row) in std::mem::take(&mut *handed.0.lock()) {
        add(&mut seen, db, key, row);
    }
    assert_eq!(seen.len(), wanted.len(), "entries");
    for (wanted, seen) in wanted.iter().zip(&seen) {
        assert_eq!(seen, wanted);
    }
    wanted.len()
}

fn add(seen: &mut Model, db: usize, key: Vec<u8>, row: Row) {
    let again = seen.insert((db, key.clone()), row);
    assert_eq!(again, None, "{} of database {db} came twice", String::from_utf8_lossy(&key));
}

/// The keyspace equals the model in the end, and is counted right.
fn compare_at_the_end(shared: &Shared) {
    let wanted = shared.model();
    let (mut world, patience) = (shared.keyspace.enter(0), Patience::unlimited());
    for db in 0..DATABASES {
        let rows = wanted.iter().filter(|((at, _), _)| *at == db);
        let expiring = rows.clone().filter(|(_, (_, expiry))| expiry.is_some()).count();
        let counted = world.count(db..db + 1, &patience)[0];
        assert_eq!((counted.keys, counted.expiring), (rows.count(), expiring));
        let mut cursor = ScanCursor(0);
        let mut seen = 0;
        loop {
            let scanned = world.scan(db, cursor, 100, false, &patience, |entry| {
                assert_eq!(wanted.get(&(db, entry.key().to_vec())), Some(&row(entry)));
                seen += 1;
            });
            cursor = scanned.expect("it waits");
            if cursor == ScanCursor(0) {
                break;
            }
        }
        assert_eq!(seen, counted.keys, "nobody writes: each key is shown once");
    }
}
