//! Large values in snapshots: writers on several threads change, move, replace and delete them
//! while the walk shows them part by part, and each snapshot is exactly the state at its start.
//!
//! A model beside the keyspace says what that state was, as in `snapshots_under_load.rs`.

mod common;

use common::Random;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::iter::once;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tessera_collections::capture::Part;
use tessera_collections::{Collection, Expiry, Hash, HashLimits};
use tessera_slot::Millis;
use tessera_store::{
    Entry, Found, Keyspace, KeyspaceOptions, Lookup, NewValue, Patience, Placement, Shown,
    Snapshot, SnapshotSink, StringRef, World,
};

const WRITERS: usize = 3;
const DATABASES: usize = 2;
const KEYS: usize = 12;
const FIELDS: usize = 1500;
/// How long the test runs.
const DURATION: Duration = Duration::from_secs(4);
const LIMITS: HashLimits = HashLimits { entries: 64, value: 64 };

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Text(Vec<u8>),
    Fields(BTreeMap<Vec<u8>, Vec<u8>>),
}

type Row = (Value, Option<Millis>);
type Model = BTreeMap<(usize, Vec<u8>), Row>;

struct Shared {
    keyspace: Arc<Keyspace>,
    /// By key and database. Locked with the keys' slots, or the world, locked.
    rows: Mutex<Model>,
    done: AtomicBool,
}

fn fields_of(hash: &Hash) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut fields = BTreeMap::new();
    hash.for_each(0, |field| {
        fields.insert(field.name.to_vec(), field.value.to_vec());
    });
    fields
}

fn row(entry: &Entry) -> Row {
    let value = match (entry.string(), entry.collection::<Hash>()) {
        (Some(StringRef::Integer(number)), _) => Value::Text(number.to_string().into_bytes()),
        (Some(StringRef::Bytes(bytes)), _) => Value::Text(bytes.to_vec()),
        (None, hash) => Value::Fields(fields_of(&hash.expect("a string or a hash"))),
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

fn key(number: usize) -> Vec<u8> {
    format!("key{number}").into_bytes()
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
        rows: Mutex::default(),
        done: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        for thread in 0..WRITERS {
            let (shared, random) = (&shared, Random(seed.wrapping_add(thread as u64 * 2)));
            scope.spawn(move || write(shared, thread, random));
        }
        scope.spawn(|| shared.keyspace.discards().work());
        let (started, mut random) = (Instant::now(), Random(seed.wrapping_add(1000)));
        let (mut snapshots, mut large) = (0, 0);
        while started.elapsed() < DURATION {
            // A snapshot that panics must not leave the writers running.
            let taken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                snapshot(&shared, &mut random)
            }));
            match taken {
                Ok(count) => (snapshots, large) = (snapshots + 1, large + count),
                Err(panic) => {
                    shared.done.store(true, Ordering::Relaxed);
                    shared.keyspace.discards().close();
                    std::panic::resume_unwind(panic);
                }
            }
        }
        shared.done.store(true, Ordering::Relaxed);
        shared.keyspace.discards().close();
        println!("{snapshots} snapshots with {large} large values");
        assert!(snapshots > 5 && large > 50, "{snapshots} snapshots, {large} large values");
    });
}

/// Changes keys at random until the snapshots are done.
fn write(shared: &Shared, thread: usize, mut random: Random) {
    while !shared.done.load(Ordering::Relaxed) {
        if random.below(40) == 0 {
            change_all(shared, &mut random);
            continue;
        }
        let mut world = shared.keyspace.enter(thread);
        for _ in 0..random.below(20) {
            match random.below(6) {
                0 => rename(shared, &mut world, &mut random),
                _ => change_one(shared, &mut world, &mut random),
            }
        }
        drop(world);
        // Snapshots get on.
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Flushes or exchanges databases, with the world locked.
fn change_all(shared: &Shared, random: &mut Random) {
    let mut world = shared.keyspace.enter_exclusive();
    let mut rows = shared.rows.lock();
    if random.below(2) == 0 {
        world.swap(0, 1, Millis(0));
        let old = std::mem::take(&mut *rows).into_iter();
        rows.extend(old.map(|((db, key), row)| ((1 - db, key), row)));
        return;
    }
    let db = random.below(DATABASES);
    let flushed = world.flush(Some(db));
    rows.retain(|(at, _), _| *at != db);
    drop((rows, world));
    shared.keyspace.discards().flushed(flushed);
}

/// Moves a value to another key, which may be in another database and slot and have a value
/// already.
fn rename(shared: &Shared, world: &mut World<'_>, random: &mut Random) {
    let (from, to) = (key(random.below(KEYS)), key(random.below(KEYS)));
    let (from_db, to_db) = (random.below(DATABASES), random.below(DATABASES));
    let (from_hash, to_hash) = (shared.keyspace.locate(&from), shared.keyspace.locate(&to));
    if (from_db, &from) == (to_db, &to) {
        return;
    }
    let mut slots = world
        .lock_many_within(&mut vec![from_hash.slot(), to_hash.slot()], &Patience::unlimited())
        .expect("it waits as long as it takes");
    let found = slots.get(from_hash.slot()).lookup(from_db, &from, from_hash);
    let Lookup::Found(found) = found else { return };
    let (value, expiry) = found.remove();
    let value = NewValue::Owned(value);
    match slots.get(to_hash.slot()).lookup(to_db, &to, to_hash) {
        Lookup::Found(mut found) if random.below(2) == 0 => found.replace(value, expiry, 0),
        Lookup::Found(found) => found.vacate(&to).insert(value, expiry, 0),
        Lookup::Vacant(vacant) => vacant.insert(value, expiry, 0),
    }
    let mut rows = shared.rows.lock();
    let row = rows.remove(&(from_db, from)).expect("it was there");
    rows.insert((to_db, to), row);
}

/// Changes one key, in the keyspace and in the model.
fn change_one(shared: &Shared, world: &mut World<'_>, random: &mut Random) {
    let (key, db) = (key(random.below(KEYS)), random.below(DATABASES));
    let hash = shared.keyspace.locate(&key);
    let mut guard = world.lock(hash.slot());
    let at = (db, key.clone());
    match guard.lookup(db, &key, hash) {
        Lookup::Found(found) => {
            let mut rows = shared.rows.lock();
            let row = rows.get_mut(&at).expect("it is there");
            if !change_found(found, row, random) {
                rows.remove(&at);
            }
        }
        Lookup::Vacant(vacant) => {
            let (new, row) = new_value(random);
            let expiry = new_expiry(random);
            vacant.insert(new, expiry, 0);
            assert_eq!(shared.rows.lock().insert(at, (row, expiry)), None);
        }
    }
}

/// Changes an entry in one of all possible ways; whether it is still there.
fn change_found(mut found: Found<'_, '_>, row: &mut Row, random: &mut Random) -> bool {
    match (random.below(20), &mut row.0) {
        (0, _) => {
            let (new, value) = new_value(random);
            *row = (value, new_expiry(random));
            found.replace(new, row.1, 1);
        }
        (1, _) => {
            row.1 = new_expiry(random);
            found.set_expiry(row.1);
        }
        (2, _) => {
            if random.below(2) == 0 {
                found.delete();
            } else {
                found.evict();
            }
            return false;
        }
        (_, Value::Text(text)) => {
            let at = random.below(text.len() + 100);
            let end = at + random.below(3000);
            text.resize(text.len().max(end), 0);
            text[at..end].fill(at as u8);
            found.edit_string(once(at..end), |bytes| {
                bytes.resize(bytes.len().max(end), 0);
                bytes[at..end].fill(at as u8);
            });
        }
        (_, Value::Fields(fields)) => {
            let mut hash = found.edit::<Hash>().expect("a hash");
            assert_eq!(hash.len(), fields.len());
            for _ in 0..random.below(50) {
                let name = format!("field {}", random.below(2 * FIELDS)).into_bytes();
                if random.below(2) == 0 {
                    let value = random.next().to_string().repeat(random.below(10)).into_bytes();
                    hash.set(&name, &value, Expiry::Never, 0, LIMITS);
                    fields.insert(name, value);
                } else {
                    assert_eq!(hash.remove(&name, 0), fields.remove(&name).is_some());
                }
            }
        }
    }
    true
}

/// A large string or hash, or now and then a small string.
fn new_value(random: &mut Random) -> (NewValue<'static>, Value) {
    use tessera_store::Value as Stored;
    match random.below(5) {
        0 => (NewValue::Integer(7), Value::Text(b"7".to_vec())),
        1..3 => {
            let text = vec![random.next() as u8; 100_000 + random.below(400_000)];
            let stored = Stored::Boxed(Box::new(text.clone()));
            (NewValue::Owned(stored), Value::Text(text))
        }
        _ => {
            let mut hash = Hash::new();
            for at in 0..FIELDS {
                let (name, value) = (format!("field {at}"), format!("{at:0>90}"));
                hash.set(name.as_bytes(), value.as_bytes(), Expiry::Never, 0, LIMITS);
            }
            let fields = fields_of(&hash);
            (hash.into(), Value::Fields(fields))
        }
    }
}

fn new_expiry(random: &mut Random) -> Option<Millis> {
    (random.below(2) == 0).then(|| Millis(random.next()))
}

/// Takes what a walk shows.
#[derive(Default)]
struct Seen {
    rows: Model,
    /// The large value that is being shown, with the number of its elements.
    large: Option<((usize, Vec<u8>), Row, u64)>,
    larges: usize,
}

impl Seen {
    fn take(&mut self, shown: Shown<'_>) {
        match (shown, &mut self.large) {
            (Shown::Entry(db, entry), None) => self.add((db, entry.key().to_vec()), row(entry)),
            (Shown::Large(head), None) => {
                let value = match head.is_string() {
                    true => Value::Text(Vec::new()),
                    false => Value::Fields(BTreeMap::new()),
                };
                let at = (head.db, head.key.to_vec());
                self.large = Some((at, (value, head.expiry), head.len as u64));
            }
            (Shown::Text(bytes), Some((_, (Value::Text(text), _), _))) => {
                text.extend_from_slice(bytes);
            }
            (Shown::Part(Part::Length(length)), Some((_, _, len))) => *len = length,
            (
                Shown::Part(Part::Field { name, value, .. }),
                Some((_, (Value::Fields(fields), _), _)),
            ) => {
                let again = fields.insert(name.to_vec(), value.to_vec());
                assert_eq!(again, None, "a field comes once");
            }
            (Shown::End, large) => {
                let (at, row, len) = large.take().expect("it has begun");
                let shown = match &row.0 {
                    Value::Text(text) => text.len(),
                    Value::Fields(fields) => fields.len(),
                };
                assert_eq!(shown as u64, len);
                self.larges += 1;
                self.add(at, row);
            }
            (shown, _) => panic!("{shown:?} is out of place"),
        }
    }

    fn add(&mut self, at: (usize, Vec<u8>), row: Row) {
        let again = self.rows.insert(at.clone(), row);
        assert!(again.is_none(), "{at:?} came twice");
    }
}

/// Takes a snapshot and compares it; gives the number of its large values. One in eight is given
/// up.
fn snapshot(shared: &Shared, random: &mut Random) -> usize {
    let handed = Arc::new(Handed::default());
    let world = shared.keyspace.enter_exclusive();
    let wanted = shared.rows.lock().clone();
    let started = Snapshot::start(&shared.keyspace, &world, handed.clone());
    drop(world);
    let mut snapshot = started.expect("no other is under way");
    let give_up_after = if random.below(8) == 0 { random.below(17_000) } else { usize::MAX };
    let (mut seen, mut steps, mut more) = (Seen::default(), 0, true);
    while more {
        let mut world = shared.keyspace.enter(WRITERS);
        // Some steps in a row: most slots are empty.
        for _ in 0..=random.below(100) {
            more = more && snapshot.step(&mut world, |shown| seen.take(shown));
            steps += 1;
            if snapshot.is_within_large() {
                break;
            }
        }
        if steps >= give_up_after {
            return 0;
        }
    }
    assert!(snapshot.is_complete() && !snapshot.is_within_large());
    drop(snapshot);
    for (db, key, row) in std::mem::take(&mut *handed.0.lock()) {
        seen.add((db, key), row);
    }
    assert_eq!(seen.rows.len(), wanted.len(), "entries");
    for (wanted, seen) in wanted.iter().zip(&seen.rows) {
        assert!(seen == wanted, "{:?}", wanted.0);
    }
    seen.larges
}

#[test]
fn what_is_deleted_and_kept_for_a_snapshot_counts_as_freed() {
    const LEN: usize = 1 << 20;
    let options =
        KeyspaceOptions { databases: 1, placement: Placement::Local, seed: 1, threads: 1 };
    let keyspace = Arc::new(Keyspace::new(options));
    let (key, hash) = (b"key".as_slice(), keyspace.locate(b"key"));
    for is_given_up in [false, true] {
        let mut world = keyspace.enter(0);
        match world.lock(hash.slot()).lookup(0, key, hash) {
            Lookup::Vacant(vacant) => vacant.insert(NewValue::String(&[b'x'; LEN]), None, 0),
            Lookup::Found(_) => panic!("it has been evicted"),
        }
        drop(world);
        let world = keyspace.enter_exclusive();
        let sink = Arc::new(Handed::default());
        let mut snapshot = Snapshot::start(&keyspace, &world, sink).expect("the only one");
        drop(world);

        let mut world = keyspace.enter(0);
        match world.lock(hash.slot()).lookup(0, key, hash) {
            Lookup::Found(found) => assert!(found.evict() >= LEN),
            Lookup::Vacant(_) => panic!("it was just added"),
        }
        assert!(keyspace.kept_for_snapshot() >= LEN as u64);
        let mut seen = Seen::default();
        while !is_given_up && snapshot.step(&mut world, |shown| seen.take(shown)) {}
        assert_eq!(seen.larges, usize::from(!is_given_up));
        drop(world);
        drop(snapshot);
        assert_eq!(keyspace.kept_for_snapshot(), 0);
    }
}
