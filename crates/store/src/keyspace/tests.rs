//! The keyspace under many threads, and snapshots against a model.

use super::*;
use crate::{Lookup, NewValue, ScanCursor, Shown, Snapshot, SnapshotBusy, SnapshotSink, StringRef};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

fn keyspace(placement: Placement, threads: usize) -> Arc<Keyspace> {
    Arc::new(Keyspace::new(KeyspaceOptions { databases: 4, placement, seed: 42, threads }))
}

fn set(world: &mut World<'_>, db: usize, key: &[u8], value: &[u8]) {
    let hash = world.keyspace().locate(key);
    let mut guard = world.lock(hash.slot());
    match guard.lookup(db, key, hash) {
        Lookup::Found(mut found) => found.replace(NewValue::String(value), None, 0),
        Lookup::Vacant(vacant) => vacant.insert(NewValue::String(value), None, 0),
    }
}

fn get(world: &mut World<'_>, db: usize, key: &[u8]) -> Option<Vec<u8>> {
    let hash = world.keyspace().locate(key);
    let mut guard = world.lock(hash.slot());
    match guard.lookup(db, key, hash) {
        Lookup::Found(found) => Some(text(found.entry().string())),
        Lookup::Vacant(_) => None,
    }
}

fn delete(world: &mut World<'_>, db: usize, key: &[u8]) {
    let hash = world.keyspace().locate(key);
    let mut guard = world.lock(hash.slot());
    if let Lookup::Found(found) = guard.lookup(db, key, hash) {
        found.delete();
    }
}

fn text(value: Option<StringRef<'_>>) -> Vec<u8> {
    match value.expect("a string") {
        StringRef::Integer(number) => number.to_string().into_bytes(),
        StringRef::Bytes(bytes) => bytes.to_vec(),
    }
}

#[test]
fn a_slot_without_keys_takes_no_memory() {
    let keyspace = keyspace(Placement::Local, 1);
    let mut world = keyspace.enter(0);
    set(&mut world, 0, b"k", b"v");
    let slot = keyspace.locate(b"k").slot();
    assert!(world.lock(slot).table_memory() > 0 && !keyspace.seems_empty(slot));
    delete(&mut world, 0, b"k");
    assert!(world.lock(slot).table_memory() == 0 && keyspace.seems_empty(slot));
    set(&mut world, 3, b"k", b"v");
    assert!(world.lock(slot).data.table_count() > 1);
    delete(&mut world, 3, b"k");
    assert_eq!(world.lock(slot).data.table_count(), 1, "nor do databases without keys");
    set(&mut world, 0, b"k", b"w");
    assert_eq!(get(&mut world, 0, b"k"), Some(b"w".to_vec()));
}

#[test]
fn threads_count_together() {
    let keyspace = keyspace(Placement::Cluster, 4);
    const KEYS: usize = 50;
    const ROUNDS: usize = 2000;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let keyspace = &keyspace;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let mut world = keyspace.enter(thread);
                    let key = format!("k{}", (round * 7 + thread) % KEYS);
                    let hash = keyspace.locate(key.as_bytes());
                    let mut guard = world.lock(hash.slot());
                    match guard.lookup(0, key.as_bytes(), hash) {
                        Lookup::Found(mut found) => {
                            let Some(StringRef::Integer(n)) = found.entry().string() else {
                                panic!()
                            };
                            found.replace(NewValue::Integer(n + 1), None, 0);
                        }
                        Lookup::Vacant(vacant) => vacant.insert(NewValue::Integer(1), None, 0),
                    }
                }
            });
        }
    });
    let mut world = keyspace.enter(0);
    let sum: i64 = (0..KEYS)
        .filter_map(|k| get(&mut world, 0, format!("k{k}").as_bytes()))
        .map(|value| String::from_utf8(value).unwrap().parse::<i64>().unwrap())
        .sum();
    assert_eq!(sum as usize, 4 * ROUNDS);
}

#[test]
fn scan_shows_every_key_of_one_database() {
    for placement in [Placement::Cluster, Placement::Local] {
        let keyspace = keyspace(placement, 1);
        let mut world = keyspace.enter(0);
        for n in 0..5000 {
            set(&mut world, n % 2, format!("{{tag{}}}:{n}", n % 10).as_bytes(), b"v");
        }
        for db in 0..3 {
            let (mut cursor, mut keys, mut calls) = (ScanCursor(0), HashSet::new(), 0);
            loop {
                let patience = Patience::unlimited();
                let scanned = world.scan(db, cursor, 10, false, &patience, |entry| {
                    keys.insert(entry.key().to_vec());
                });
                cursor = scanned.expect("it waits");
                calls += 1;
                if cursor == ScanCursor(0) {
                    break;
                }
            }
            assert_eq!(keys.len(), [2500, 2500, 0][db]);
            assert!(calls < 1000, "a call shows about as many as it was asked for");
        }
    }
}

#[test]
fn a_walk_lets_others_in_and_shows_each_key_once() {
    const STAY: usize = 20_000;
    let keyspace = keyspace(Placement::Cluster, 2);
    let key = |name: &str, n: usize| format!("{{t}}{name}:{n}").into_bytes();
    let mut world = keyspace.enter(0);
    (0..STAY).for_each(|n| set(&mut world, 0, &key("stays", n), b"v"));
    let slot = keyspace.locate(b"{t}").slot();
    // The number of the walk that is on its way; 0: none is.
    let (done, walk, let_in) =
        (AtomicBool::new(false), AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        // Somebody makes the table grow and shrink, and notes whether the slot was free while a
        // walk was on its way.
        scope.spawn(|| {
            let mut world = keyspace.enter(1);
            for n in (0..30_000).chain(0..30_000).cycle() {
                if done.load(Relaxed) {
                    return;
                }
                let before = walk.load(Relaxed);
                drop(world.lock(slot));
                if before != 0 && walk.load(Relaxed) == before {
                    let_in.store(true, Relaxed);
                }
                let key = key("goes", n);
                if get(&mut world, 0, &key).is_some() {
                    delete(&mut world, 0, &key);
                } else {
                    set(&mut world, 0, &key, b"v");
                }
            }
        });
        for number in 1..=40 {
            let mut seen = vec![0; STAY];
            walk.store(number, Relaxed);
            let patience = Patience::unlimited();
            let scanned = world.scan(0, ScanCursor(0), usize::MAX, false, &patience, |entry| {
                let name = entry.key().strip_prefix(b"{t}stays:");
                if let Some(number) = name.and_then(|number| std::str::from_utf8(number).ok()) {
                    seen[number.parse::<usize>().expect("a number")] += 1;
                }
            });
            walk.store(0, Relaxed);
            assert_eq!(scanned, Ok(ScanCursor(0)));
            assert!(seen.iter().all(|&times| times == 1), "each key that stays, once");
        }
        done.store(true, Relaxed);
    });
    assert!(let_in.load(Relaxed), "the slot was free for a moment");
}

#[test]
fn flush_and_swap() {
    let keyspace = keyspace(Placement::Local, 1);
    for n in 0..100 {
        set(&mut keyspace.enter(0), n % 2, format!("{n}").as_bytes(), b"v");
    }
    keyspace.enter_exclusive().swap(0, 3, Millis(0));
    assert_eq!(keyspace.enter(0).count(3..4, &Patience::unlimited())[0].keys, 50);
    assert_eq!(keyspace.enter_exclusive().flush(Some(3)).keys(), 50);
    assert_eq!(keyspace.enter(0).count(3..4, &Patience::unlimited())[0].keys, 0);
    assert_eq!(keyspace.enter_exclusive().flush(None).keys(), 50);
}

#[test]
fn who_had_the_world_alone_stays_ahead_of_who_wants_it_next() {
    let keyspace = keyspace(Placement::Local, 3);
    let alone = keyspace.enter_exclusive();
    let is_shared = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let next = keyspace.enter_exclusive();
            assert!(!is_shared.load(Relaxed), "somebody else came in between");
            drop(next);
        });
        let mut world = alone.share(1);
        (0..10_000).for_each(|n| set(&mut world, 0, format!("{n}").as_bytes(), b"v"));
        is_shared.store(false, Relaxed);
    });
    assert_eq!(keyspace.enter(0).count(0..1, &Patience::unlimited())[0].keys, 10_000);
}

/// Collects what writers hand over.
#[derive(Default)]
struct Sink(parking_lot::Mutex<Vec<Handed>>);

/// Database, key and value.
type Handed = (usize, Vec<u8>, Vec<u8>);

impl SnapshotSink for Sink {
    fn preserve(&self, db: usize, entry: &crate::Entry) {
        self.0.lock().push((db, entry.key().to_vec(), text(entry.string())));
    }
}

type Content = BTreeMap<(usize, Vec<u8>), Vec<u8>>;

/// The entry that is shown as a whole: no value of these tests is large.
fn whole(shown: Shown<'_>) -> (usize, &crate::Entry) {
    let Shown::Entry(db, entry) = shown else { panic!("{shown:?}") };
    (db, entry)
}

fn collect(content: &mut Content, db: usize, key: Vec<u8>, value: Vec<u8>) {
    let again = content.insert((db, key.clone()), value);
    assert_eq!(again, None, "{} is written once", String::from_utf8_lossy(&key));
}

#[derive(Debug, Clone)]
enum Change {
    Set(usize, u16, u8),
    Delete(usize, u16),
    Flush(Option<usize>),
    Swap(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        20 => (0usize..3, 0u16..400, any::<u8>()).prop_map(|(db, k, v)| Change::Set(db, k, v)),
        20 => (0usize..3, 0u16..400).prop_map(|(db, k)| Change::Delete(db, k)),
        1 => proptest::option::of(0usize..3).prop_map(Change::Flush),
        1 => (0usize..3, 0usize..3).prop_map(|(a, b)| Change::Swap(a, b)),
    ]
}

fn apply(keyspace: &Keyspace, model: &mut Content, change: &Change) {
    // One hash tag: all keys in one slot, so that a walk is often in the middle of a table.
    let key = |k: u16| format!("{{t}}{k}").into_bytes();
    match *change {
        Change::Set(db, k, v) => {
            set(&mut keyspace.enter(0), db, &key(k), &[b'v', v]);
            model.insert((db, key(k)), vec![b'v', v]);
        }
        Change::Delete(db, k) => {
            delete(&mut keyspace.enter(0), db, &key(k));
            model.remove(&(db, key(k)));
        }
        Change::Flush(db) => {
            drop(keyspace.enter_exclusive().flush(db));
            model.retain(|&(at, _), _| db.is_some_and(|db| db != at));
        }
        Change::Swap(a, b) => {
            keyspace.enter_exclusive().swap(a, b, Millis(0));
            let other = |db| {
                if db == a {
                    b
                } else if db == b {
                    a
                } else {
                    db
                }
            };
            let moved = std::mem::take(model).into_iter();
            model.extend(moved.map(|((db, key), value)| ((other(db), key), value)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_snapshot_is_the_state_at_its_start(
        before in proptest::collection::vec(change(), 0..800),
        during in proptest::collection::vec(change(), 0..800),
        give_up_first in 0u32..3,
    ) {
        let keyspace = keyspace(Placement::Cluster, 1);
        let mut model = Content::new();
        before.iter().for_each(|change| apply(&keyspace, &mut model, change));
        for _ in 0..give_up_first {
            let sink = Arc::new(Sink::default());
            let mut snapshot = Snapshot::start(&keyspace, &keyspace.enter_exclusive(), sink).unwrap();
            for _ in 0..9000 {
                snapshot.step(&mut keyspace.enter(0), |_| {});
            }
        }
        let wanted = model.clone();
        let sink = Arc::new(Sink::default());
        let mut snapshot =
            Snapshot::start(&keyspace, &keyspace.enter_exclusive(), sink.clone()).unwrap();
        prop_assert_eq!(
            Snapshot::start(&keyspace, &keyspace.enter_exclusive(), sink.clone()).err(),
            Some(SnapshotBusy)
        );
        let (mut content, mut during) = (Content::new(), during.iter());
        loop {
            let more = snapshot.step(&mut keyspace.enter(0), |shown| {
                let (db, entry) = whole(shown);
                collect(&mut content, db, entry.key().to_vec(), text(entry.string()));
            });
            if !more {
                break;
            }
            // All the changes come around the slot where the keys are.
            let at = (snapshot.progress() * SLOT_COUNT as f64) as u16;
            if at.abs_diff(Slot::of_key(b"t").number()) < 3 {
                for change in during.by_ref().take(60) {
                    apply(&keyspace, &mut model, change);
                }
            }
        }
        drop(snapshot);
        for (db, key, value) in std::mem::take(&mut *sink.0.lock()) {
            collect(&mut content, db, key, value);
        }
        prop_assert_eq!(content, wanted);
    }
}

#[test]
fn given_up_walks_do_not_confuse_later_ones() {
    let keyspace = keyspace(Placement::Local, 1);
    set(&mut keyspace.enter(0), 0, b"old", b"v");
    for _ in 0..600 {
        let sink = Arc::new(Sink::default());
        let snapshot = Snapshot::start(&keyspace, &keyspace.enter_exclusive(), sink).unwrap();
        drop(snapshot);
    }
    let mut seen = 0;
    let sink = Arc::new(Sink::default());
    let mut snapshot = Snapshot::start(&keyspace, &keyspace.enter_exclusive(), sink).unwrap();
    while snapshot.step(&mut keyspace.enter(0), |_| seen += 1) {}
    assert_eq!(seen, 1);
}

#[test]
fn a_slot_that_was_walked_256_snapshots_ago_is_walked_again() {
    let keyspace = keyspace(Placement::Local, 1);
    set(&mut keyspace.enter(0), 0, b"key", b"old");
    let start = || {
        let sink = Arc::new(Sink::default());
        let world = keyspace.enter_exclusive();
        (Snapshot::start(&keyspace, &world, sink.clone()).unwrap(), sink)
    };
    let (mut first, _) = start();
    while first.step(&mut keyspace.enter(0), |_| {}) {}
    drop(first);
    (0..255).for_each(|_| drop(start()));
    // The epoch is that of the first one again.
    let (mut last, sink) = start();
    set(&mut keyspace.enter(0), 0, b"key", b"new");
    let mut seen = Vec::new();
    while last.step(&mut keyspace.enter(0), |shown| seen.push(text(whole(shown).1.string()))) {}
    seen.extend(sink.0.lock().iter().map(|(_, _, value)| value.clone()));
    assert_eq!(seen, [b"old"]);
}

#[test]
fn marks_note_what_happens_to_their_keys() {
    let keyspace = keyspace(Placement::Local, 1);
    let (key, hash) = (b"k".as_slice(), keyspace.locate(b"k"));
    let mut world = keyspace.enter(0);
    let mut guard = world.lock(hash.slot());
    assert!(!guard.is_marked());
    let seen = guard.watch(0, key);
    assert!(guard.wait(0, key, 4) && !guard.wait(0, key, 9) && guard.is_marked());
    assert_eq!(guard.next_waiter(0, key, None, |_| true), Some(4));
    assert_eq!(guard.next_waiter(0, key, Some(4), |_| true), Some(9));
    assert_eq!(guard.next_waiter(0, key, Some(9), |_| true), None);
    assert_eq!(guard.next_waiter(0, key, None, |waiter| waiter > 4), Some(9));
    assert!(guard.waits_alone(0, key, 9, |id| id > 5));
    assert!(!guard.waits_alone(0, key, 9, |_| true) && !guard.waits_alone(0, key, 4, |_| true));
    assert!(!guard.waits_alone(0, key, 5, |id| id > 9), "it does not wait");
    let Lookup::Vacant(vacant) = guard.lookup(0, key, hash) else { panic!("nothing is there") };
    vacant.insert(NewValue::String(b"text"), None, 0);
    let mut news = Vec::new();
    guard.settle(true, |db, key| news.push((db, key.to_vec())));
    assert_eq!(news, [(0, key.to_vec())]);
    assert_eq!(guard.version(0, key), Some(seen.next()));
    let edit = |guard: &mut SlotGuard<'_>| match guard.lookup(0, key, hash) {
        Lookup::Found(mut found) => found.edit_string([], |bytes| bytes.push(b'x')),
        Lookup::Vacant(_) => panic!("it is there"),
    };
    edit(&mut guard);
    guard.settle(true, |_, _| panic!("an edit is no news for those who wait"));
    let edited = guard.version(0, key);
    assert!(edited > Some(seen.next()), "it counts");
    edit(&mut guard);
    guard.settle(false, |_, _| panic!("nor is one that came to nothing"));
    assert_eq!(guard.version(0, key), edited, "which does not count");
    // Other keys, and the same one elsewhere, do not matter.
    assert_eq!((guard.version(0, b"other"), guard.version(1, key)), (None, None));
    guard.unwatch(0, key);
    assert!(!guard.leave(0, key, 4) && guard.leave(0, key, 9) && !guard.leave(0, key, 9));
    assert!(!guard.is_marked(), "marks go with the last who need them");
}

/// How many steps there are to prefetch a member of the value of `k`.
fn steps_to(keyspace: &Keyspace, member: &[u8]) -> u8 {
    let (key, member) = (keyspace.locate(b"k"), MemberHash::of(member));
    let last = (0..10).find(|&step| !keyspace.prefetch_value(key, step, member));
    last.expect("it comes to an end") + 1
}

#[test]
fn prefetching_follows_a_value_step_by_step() {
    use tessera_collections::{Hash, IntSet, List, Set, SortedSet, Stream};
    let keyspace = keyspace(Placement::Local, 1);
    assert_eq!(steps_to(&keyspace, b"none"), 1, "there is no key");
    let members = (0..100).map(|number| format!("member {number}")).collect::<Vec<_>>();
    let table = Set::table_of(members.iter().map(String::as_bytes)).expect("none comes twice");
    let values = [
        (NewValue::String(b"short"), 1),
        (NewValue::Integer(7), 1),
        (NewValue::String(&[b'x'; 5000]), 2),
        (List::new().into(), 1),
        (Hash::default().into(), 1),
        (Set::Ints(IntSet::new()).into(), 1),
        (table.into(), 3),
        (SortedSet::default().into(), 1),
        (Stream::default().into(), 1),
    ];
    for (value, steps) in values {
        let shown = format!("{value:?}");
        delete(&mut keyspace.enter(0), 0, b"k");
        let mut world = keyspace.enter(0);
        let hash = world.keyspace().locate(b"k");
        let mut guard = world.lock(hash.slot());
        let Lookup::Vacant(vacant) = guard.lookup(0, b"k", hash) else { panic!("it was deleted") };
        vacant.insert(value, None, 0);
        assert_eq!(steps_to(&keyspace, b"member 7"), 1, "the slot is not free: {shown}");
        drop(guard);
        assert_eq!(steps_to(&keyspace, b"member 7"), steps, "{shown}");
        assert_eq!(steps_to(&keyspace, b"no member"), steps, "{shown}");
    }
}

#[test]
fn what_may_block_is_refused_inside_the_world() {
    let keyspace = keyspace(Placement::Local, 2);
    let is_refused = || std::panic::catch_unwind(|| crate::assert_unlocked("a test")).is_err();
    let checked = cfg!(debug_assertions);
    assert!(!is_refused());
    let world = keyspace.enter(0);
    assert_eq!(is_refused(), checked);
    drop(world);
    assert!(!is_refused());
    let alone = keyspace.enter_exclusive();
    assert_eq!(is_refused(), checked);
    let world = alone.share(1);
    assert_eq!(is_refused(), checked);
    // Other threads are not in it.
    std::thread::scope(|scope| {
        assert!(!scope.spawn(is_refused).join().expect("no panic"));
    });
    drop(world);
    assert!(!is_refused());
}
