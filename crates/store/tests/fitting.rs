//! Values that have grown take little more than their bytes once they have come to rest, and
//! nothing is lost on the way.

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tessera_collections::sorted_set::Limits;
use tessera_collections::{Collection, Direction, End, List, ListLimits, SortedSet};
use tessera_slot::Millis;
use tessera_store::{
    CountingAlloc, Keyspace, KeyspaceOptions, Lookup, NewValue, Placement, used_memory,
};

#[global_allocator]
static ALLOCATOR: CountingAlloc = CountingAlloc;

const LIMITS: Limits = Limits { entries: 128, value: 64 };

/// Both tests look at the memory of the whole process, or use much of it.
static ALONE: Mutex<()> = Mutex::new(());

fn keyspace(threads: usize) -> Keyspace {
    Keyspace::new(KeyspaceOptions { databases: 2, placement: Placement::Local, seed: 7, threads })
}

/// Changes the value of a key, which is made if there is none.
fn change<T: Collection + Default>(
    keyspace: &Keyspace,
    thread: usize,
    key: &str,
    change: impl FnOnce(&mut T),
) {
    let hash = keyspace.locate(key.as_bytes());
    let mut world = keyspace.enter(thread);
    let mut guard = world.lock(hash.slot());
    let mut found = match guard.lookup(1, key.as_bytes(), hash) {
        Lookup::Found(found) => found,
        Lookup::Vacant(vacant) => vacant.fill(NewValue::from(T::default()), None, 0),
    };
    change(&mut found.edit::<T>().expect("no other type"));
}

/// A list's elements.
fn elements(list: &List) -> Vec<String> {
    let mut elements = Vec::new();
    list.visit(0, Direction::Forward, |element| {
        let mut digits = Default::default();
        elements.push(String::from_utf8(element.text(&mut digits).to_vec()).unwrap());
        ControlFlow::<()>::Continue(())
    });
    elements
}

#[test]
fn values_at_rest_take_little_more_than_their_bytes() {
    let _alone = ALONE.lock();
    const KEYS: usize = 500;
    let keyspace = keyspace(1);
    // Tables of keys and the list of notes have their memory.
    (0..KEYS).for_each(|n| change(&keyspace, 0, &format!("list:{n}"), |_: &mut List| {}));
    let before = used_memory();
    let add = |n: usize| {
        change(&keyspace, 0, &format!("list:{n}"), |list: &mut List| {
            // 28 bytes of listpack; after 100 of them 2,807, for which mimalloc has 3,072.
            let text = format!("element:{:018}", list.len());
            list.push(End::Right, [text.as_bytes()].into_iter(), ListLimits::default());
        });
    };
    (0..100).for_each(|_| (0..KEYS).for_each(add));
    let bytes_each = |used: usize| (used - before) / KEYS;
    let growing = bytes_each(used_memory());
    assert!(growing > 3000, "while it grows each has room: {growing}");

    // The first call sees that all have grown since they were noted. The next leaves alone the
    // values that change once more.
    keyspace.fit_rested(0, || true);
    assert!(bytes_each(used_memory()) > 3000);
    (0..KEYS / 2).for_each(add);
    assert!(keyspace.fit_rested(0, || true), "half of them are to be looked at again");
    let half = bytes_each(used_memory());
    assert!((2900..3000).contains(&half), "half of them rest: {half}");
    assert!(keyspace.fit_rested(0, || true), "they are let alone for one call");
    assert!(!keyspace.fit_rested(0, || true));
    let rested = bytes_each(used_memory());
    assert!((2807..2870).contains(&rested), "{rested}");

    // They grow again, from where they are.
    (0..KEYS).for_each(add);
    change(&keyspace, 0, "list:3", |list: &mut List| {
        let wanted: Vec<_> = (0..list.len()).map(|n| format!("element:{n:018}")).collect();
        assert!(wanted.len() > 100 && elements(list) == wanted);
    });
}

#[test]
fn values_in_overflow_buckets_are_fitted_and_so_are_those_whose_database_was_exchanged() {
    let _alone = ALONE.lock();
    const KEYS: usize = 5000;
    const ELEMENTS: usize = 50;
    let (databases, placement) = (2, Placement::Cluster);
    let keyspace = Keyspace::new(KeyspaceOptions { databases, placement, seed: 7, threads: 1 });
    // One slot and one table, whose buckets are as full as they get.
    let keys: Vec<String> = (0..KEYS).map(|n| format!("{{tag}}:{n}")).collect();
    keys.iter().for_each(|key| change(&keyspace, 0, key, |_: &mut List| {}));
    // The slots have their part for other databases now.
    (0..2).for_each(|_| keyspace.enter_exclusive().swap(0, 1, Millis(0)));
    let empty = used_memory();
    for _ in 0..ELEMENTS {
        for key in &keys {
            change(&keyspace, 0, key, |list: &mut List| {
                let text = b"an element of 25 bytes...";
                list.push(End::Right, [&text[..]].into_iter(), ListLimits::default());
            });
        }
    }
    keyspace.enter_exclusive().swap(0, 1, Millis(0));
    while keyspace.fit_rested(0, || true) {}
    // 27 bytes of listpack for an element, and 7 once; an empty one is counted already.
    let each = (7 + 27 * ELEMENTS).next_multiple_of(16) - 8;
    let used = used_memory() - empty;
    assert!(used <= KEYS * each, "{used}, and not {KEYS} times {each}");
}

#[test]
fn values_are_changed_and_fitted_by_many_threads() {
    let _alone = ALONE.lock();
    const THREADS: usize = 4;
    const KEYS: usize = 40;
    const ROUNDS: usize = 30_000;
    let (keyspace, done) = (keyspace(THREADS + 1), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let keyspace = &keyspace;
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let n = (round * 7 + thread) % KEYS;
                        let text = format!("{thread}:{round:020}");
                        change(keyspace, thread, &format!("list:{n}"), |list: &mut List| {
                            let limits = ListLimits::default();
                            let end = if round % 3 == 0 { End::Left } else { End::Right };
                            list.push(end, [text.as_bytes()].into_iter(), limits);
                            // Now and then most of it goes: blocks shrink, too.
                            if list.len() > 400 {
                                list.remove_range(20, 370, limits);
                            }
                        });
                        change(keyspace, thread, &format!("zset:{n}"), |set: &mut SortedSet| {
                            let member = format!("member:{:012}", round % 90);
                            let seat = set.find(member.as_bytes());
                            set.put(member.as_bytes(), seat, round as f64, LIMITS);
                        });
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Relaxed) {
                keyspace.fit_rested(THREADS, || true);
            }
        });
        writers.into_iter().for_each(|writer| writer.join().expect("no assertion has failed"));
        done.store(true, Relaxed);
    });
    for n in 0..KEYS {
        change(&keyspace, 0, &format!("list:{n}"), |list: &mut List| {
            let elements = elements(list);
            assert_eq!(elements.len(), list.len());
            assert!(elements.iter().all(|text| text.len() == 22 && &text[1..2] == ":"));
        });
        change(&keyspace, 0, &format!("zset:{n}"), |set: &mut SortedSet| {
            assert!(
                set.len() <= 90
                    && set
                        .iter()
                        .all(|(member, _)| member.text(&mut Default::default()).len() == 19)
            );
        });
    }
}
