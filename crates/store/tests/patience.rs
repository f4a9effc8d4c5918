//! Threads that serve clients do not hang behind those that hold slots, or the world, for long.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use tessera_slot::{Slot, SlotState};
use tessera_store::{
    Busy, Counted, Keyspace, KeyspaceOptions, Lookup, NewValue, Patience, Placement,
};

const THREADS: usize = 4;

fn keyspace() -> Keyspace {
    let placement = Placement::Cluster;
    Keyspace::new(KeyspaceOptions { databases: 2, placement, seed: 3, threads: THREADS })
}

fn slot(number: u16) -> Slot {
    Slot::new(number).expect("there is such a slot")
}

#[test]
fn a_slot_that_is_held_is_refused_and_all_others_are_not() {
    let keyspace = keyspace();
    let (mut holder, mut world) = (keyspace.enter(0), keyspace.enter(1));
    let held = holder.lock(slot(7));
    let patience = Patience::for_turn();
    let started = Instant::now();
    for _ in 0..100_000 {
        assert_eq!(world.lock_within(slot(7), &patience).err(), Some(Busy::Slot(slot(7))));
        assert!(world.lock_within(slot(8), &patience).is_ok());
    }
    // A thread waits in vain a few times in a turn, and not each time.
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());

    // When some of several slots are held, then none of them is kept.
    let mut many = vec![slot(9), slot(7), slot(6)];
    assert_eq!(world.lock_many_within(&mut many, &patience).err(), Some(Busy::Slot(slot(7))));
    drop(held);
    assert!(keyspace.is_free(slot(6)) && keyspace.is_free(slot(7)));
    assert!(world.lock_many_within(&mut many, &patience).is_ok());
}

#[test]
fn keys_of_a_held_slot_count_as_they_were_counted_last() {
    let keyspace = keyspace();
    let patience = Patience::for_turn();
    let mut world = keyspace.enter(1);
    let hash = keyspace.locate(b"key");
    for (key, count) in [(&b"{key}1"[..], 1), (b"{key}2", 2)] {
        match world.lock(hash.slot()).lookup(0, key, keyspace.locate(key)) {
            Lookup::Vacant(vacant) => vacant.insert(NewValue::String(b"v"), None, 0),
            Lookup::Found(_) => panic!("it is new"),
        }
        assert_eq!(world.count(0..1, &patience)[0].keys, count);
    }
    let mut holder = keyspace.enter(0);
    let _held = holder.lock(hash.slot());
    let counted = Counted { keys: 2, expiring: 0, aging: 0 };
    assert_eq!(world.count(0..2, &patience), [counted, Counted::default()]);
    assert_eq!(keyspace.peek_len(hash.slot()), 2);
}

#[test]
fn who_wants_the_world_alone_does_not_stop_others_behind_a_long_command() {
    let keyspace = keyspace();
    let (is_alone, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let (entered, is_entered) = channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let long = keyspace.enter(2);
            entered.send(()).expect("somebody listens");
            std::thread::sleep(Duration::from_millis(400));
            assert!(!is_alone.load(SeqCst), "nobody was alone meanwhile");
            drop(long);
        });
        is_entered.recv().expect("it has entered");
        scope.spawn(|| {
            let alone = keyspace.enter_exclusive();
            is_alone.store(true, SeqCst);
            std::thread::sleep(Duration::from_millis(20));
            is_alone.store(false, SeqCst);
            drop(alone);
            done.store(true, SeqCst);
        });
        // When a thread with patience wants it too, then it is refused.
        let refused = keyspace.enter_exclusive_within(&Patience::for_turn()).err();
        assert_eq!(refused, Some(Busy::World));
        let (mut turns, mut slowest) = (0, Duration::ZERO);
        while !done.load(SeqCst) {
            let started = Instant::now();
            let world = keyspace.enter(0);
            assert!(!is_alone.load(SeqCst), "somebody was alone, but was not");
            slowest = slowest.max(started.elapsed());
            turns += 1;
            drop(world);
            std::thread::yield_now();
        }
        assert!(turns > 100, "{turns} turns while others waited");
        assert!(slowest < Duration::from_millis(300), "one took {slowest:?}");
    });
}

#[test]
fn who_wants_the_world_alone_gets_it_from_many_busy_threads() {
    // Batches of three milliseconds, one directly after the other: never are none under way.
    const BUSY: usize = 64;
    const TIMES: usize = 5;
    let placement = Placement::Cluster;
    let keyspace =
        Keyspace::new(KeyspaceOptions { databases: 1, placement, seed: 3, threads: BUSY + 1 });
    let (stop, inside) = (AtomicBool::new(false), AtomicUsize::new(0));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..BUSY {
            let (keyspace, stop, inside) = (&keyspace, &stop, &inside);
            scope.spawn(move || {
                while !stop.load(SeqCst) {
                    let world = keyspace.enter(thread);
                    inside.fetch_add(1, SeqCst);
                    std::thread::sleep(Duration::from_millis(3));
                    inside.fetch_sub(1, SeqCst);
                    drop(world);
                }
            });
        }
        for _ in 0..TIMES {
            let alone = keyspace.enter_exclusive();
            assert_eq!(inside.load(SeqCst), 0, "alone means alone");
            drop(alone);
        }
        stop.store(true, SeqCst);
    });
    let each = started.elapsed() / TIMES as u32;
    // Some milliseconds; 0.2 s where batches begin while others are waited for.
    assert!(each < Duration::from_millis(100), "it took {each:?} each time");
}

#[test]
fn a_thread_in_the_middle_of_a_command_may_enter_again() {
    let keyspace = keyspace();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut outer = keyspace.enter(0);
        let held = outer.lock(slot(1));
        scope.spawn(|| {
            drop(keyspace.enter_exclusive());
            done.store(true, SeqCst);
        });
        // When somebody waits for the world alone, then this thread still enters it, again and
        // again.
        std::thread::sleep(Duration::from_millis(50));
        for _ in 0..1000 {
            let _interrupted = keyspace.interrupt(0);
            let mut inner = keyspace.enter(0);
            assert!(inner.lock_within(slot(1), &Patience::none()).is_err());
            assert!(inner.lock_within(slot(2), &Patience::none()).is_ok());
        }
        assert!(!done.load(SeqCst));
        drop(held);
        drop(outer);
    });
    assert!(done.load(SeqCst));
}

#[test]
fn nobody_finds_a_slot_in_a_state_that_it_should_not_have_any_more() {
    const ROUNDS: u16 = 3000;
    let keyspace = keyspace();
    let owner = |round: u16| SlotState::Migrating { to: node(round) };
    // What is wanted last, of slot 3.
    let wanted = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 1..THREADS {
            let (keyspace, wanted, stop) = (&keyspace, &wanted, &stop);
            scope.spawn(move || {
                while !stop.load(SeqCst) {
                    let before = wanted.load(SeqCst);
                    let mut world = keyspace.enter(thread);
                    let guard = world.lock(slot(3));
                    let SlotState::Migrating { to } = guard.state() else { continue };
                    let found = number(to);
                    assert!(found >= before, "state {found} is older than {before}");
                    drop(guard);
                    std::thread::yield_now();
                }
            });
        }
        for round in 1..=ROUNDS {
            if !keyspace.set_state_soon(slot(3), owner(round)) {
                // The next who locks the slot gives it this state.
            }
            wanted.store(usize::from(round), SeqCst);
        }
        stop.store(true, SeqCst);
    });
    assert!(keyspace.settle_states());
    assert_eq!(keyspace.enter(0).lock(slot(3)).state(), owner(ROUNDS));
}

fn node(round: u16) -> tessera_slot::NodeId {
    let mut bytes = [b'0'; 40];
    bytes[..5].copy_from_slice(format!("{round:05}").as_bytes());
    tessera_slot::NodeId::from_hex(&bytes).expect("forty hex digits")
}

fn number(node: tessera_slot::NodeId) -> usize {
    node.to_string()[..5].parse().expect("digits")
}

#[test]
fn a_held_slot_has_its_new_state_for_whoever_comes_next() {
    let keyspace = keyspace();
    let mut holder = keyspace.enter(0);
    let held = holder.lock(slot(5));
    let before = held.state();
    let state = SlotState::Remote { owner: None };
    assert!(!keyspace.set_state_soon(slot(5), state) && !keyspace.settle_states());
    assert_eq!(held.state(), before, "who has it locked goes on as before");
    drop(held);
    assert_eq!(holder.lock(slot(5)).state(), state);
    assert!(keyspace.settle_states());
}

#[test]
fn many_threads_with_and_without_patience_come_through() {
    const EACH: usize = 3000;
    let keyspace = keyspace();
    let (inside, alone) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let got = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (keyspace, inside, alone, got) = (&keyspace, &inside, &alone, &got);
            scope.spawn(move || {
                let mut random = 0x9e37_79b9u32.wrapping_mul(thread as u32 + 1) | 1;
                let patience =
                    if thread == 0 { Patience::unlimited() } else { Patience::for_turn() };
                for _ in 0..EACH {
                    random ^= random << 13;
                    random ^= random >> 17;
                    random ^= random << 5;
                    if thread != 0 {
                        patience.renew();
                    }
                    if random.is_multiple_of(16) {
                        if let Ok(world) = keyspace.enter_exclusive_within(&patience) {
                            assert_eq!(alone.fetch_add(1, SeqCst), 0, "alone means alone");
                            assert_eq!(inside.load(SeqCst), 0, "nobody is inside");
                            alone.fetch_sub(1, SeqCst);
                            drop(world);
                            got.fetch_add(1, SeqCst);
                        }
                        continue;
                    }
                    let mut world = keyspace.enter(thread);
                    inside.fetch_add(1, SeqCst);
                    let mut slots: Vec<Slot> =
                        (0..3).map(|at| slot((random >> (8 * at)) as u16 % 8)).collect();
                    if let Ok(guards) = world.lock_many_within(&mut slots, &patience) {
                        std::hint::spin_loop();
                        drop(guards);
                    }
                    inside.fetch_sub(1, SeqCst);
                }
            });
        }
    });
    assert!(got.load(SeqCst) > EACH / 16, "only {} were alone", got.load(SeqCst));
}
