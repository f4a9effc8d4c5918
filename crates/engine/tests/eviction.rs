//! `maxmemory`: what goes, what is refused, and who is told.
//!
//! All tests count the same process' memory, so one runs at a time.

mod harness;

use harness::{Client, START};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tessera_engine::{Event, EventSink, Room};
use tessera_store::{CountingAlloc, Keyspace, used_memory};

#[global_allocator]
static ALLOCATOR: CountingAlloc = CountingAlloc;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.";
/// The memory of each key of these tests, and a little more.
const VALUE: usize = 1000;

/// A client of a server with keys `k0` … of a kilobyte each, and as much memory as they take.
struct Full {
    client: Client,
    _alone: MutexGuard<'static, ()>,
}

impl Full {
    fn new(policy: &str, keys: usize) -> Full {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let mut client = Client::new();
        client.run(&format!("config set maxmemory-policy {policy}"));
        (0..keys).for_each(|i| drop(client.run(&format!("set k{i} {}", "x".repeat(VALUE)))));
        let mut full = Full { client, _alone: alone };
        full.limit_to(used_memory());
        full
    }

    fn limit_to(&mut self, bytes: usize) {
        assert_eq!(self.client.run(&format!("config set maxmemory {bytes}")), "+OK");
    }

    /// Adds keys `more0` …; gives the first answer that is no OK.
    fn add(&mut self, keys: usize) -> Option<String> {
        (0..keys)
            .map(|i| self.client.run(&format!("set more{i} {}", "y".repeat(VALUE))))
            .find(|reply| reply != "+OK")
    }

    /// How many of the keys `k{from}` … `k{to}` are there.
    fn left(&mut self, from: usize, to: usize) -> usize {
        (from..to).filter(|i| self.client.run(&format!("exists k{i}")) == ":1").count()
    }

    fn evicted(&mut self) -> u64 {
        self.info("evicted_keys")
    }

    fn info(&mut self, name: &str) -> u64 {
        let text = self.client.run("info everything");
        let line = text.split('|').find_map(|line| line.strip_prefix(&format!("{name}:")));
        line.unwrap_or_else(|| panic!("{name} is missing")).parse().expect("a number")
    }
}

#[test]
fn without_eviction_only_what_may_take_memory_is_refused() {
    let mut full = Full::new("noeviction", 100);
    full.limit_to(1);
    full.client.expect(&[
        ("set k0 v", OOM),
        ("append k0 v", OOM),
        ("rpush list v", OOM),
        ("get nothing", "$-1"),
        ("del k1", ":1"),
        ("expire k2 100", ":1"),
        ("multi", "+OK"),
        ("set k0 v", OOM),
        ("exec", "-EXECABORT Transaction discarded because of previous errors."),
    ]);
    assert!(full.info("current_eviction_exceeded_time") == 0);
    full.client.now = START.plus(700);
    assert_eq!(full.info("current_eviction_exceeded_time"), 700);
    full.limit_to(0);
    assert_eq!(full.client.run("set k0 v"), "+OK");
}

#[test]
fn exec_is_refused_if_one_of_its_commands_may_take_memory() {
    let mut full = Full::new("noeviction", 100);
    full.limit_to(0);
    full.client.expect(&[("multi", "+OK"), ("get k0x", "+QUEUED"), ("set k0 v", "+QUEUED")]);
    let mut other = full.client.another();
    other.run("config set maxmemory 1");
    full.client.expect(&[
        ("exec", "-EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'."),
        ("exec", "-ERR EXEC without MULTI"),
        ("multi", "+OK"),
        ("exists k0", "+QUEUED"),
        ("exec", "*1|:1"),
    ]);
}

#[test]
fn every_policy_keeps_the_limit_and_its_word() {
    for policy in [
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
    ] {
        let mut full = Full::new(policy, 1000);
        (500..1000).for_each(|i| drop(full.client.run(&format!("expire k{i} 1000"))));
        // The expiry takes room too.
        full.limit_to(used_memory());
        assert_eq!(full.add(300), None, "{policy}");
        let limit = full.info("maxmemory");
        assert!(used_memory() as u64 <= limit + 64 * 1024, "{policy} keeps the limit");
        assert!((250..=350).contains(&full.evicted()), "{policy} evicts about as much as came");
        let lasting = full.left(0, 500);
        if policy.starts_with("volatile") {
            assert_eq!(lasting, 500, "{policy} leaves other keys alone");
        } else {
            assert!(lasting < 500, "{policy} takes any key");
        }
    }
}

#[test]
fn volatile_policies_refuse_when_nothing_expires_any_more() {
    let mut full = Full::new("volatile-lru", 200);
    full.client.run("expire k7 1000");
    assert_eq!(full.add(20).as_deref(), Some(OOM));
    assert_eq!((full.evicted(), full.client.run("exists k7")), (1, ":0".to_owned()));
    // Keys that expire from now on can go at once.
    for i in 10..20 {
        full.client.run(&format!("expire k{i} 1000"));
    }
    assert_eq!(full.client.run(&format!("set again {}", "x".repeat(VALUE))), "+OK");
}

#[test]
fn an_empty_server_refuses_what_cannot_fit() {
    let mut full = Full::new("allkeys-lru", 10);
    full.limit_to(1);
    full.client.expect(&[("set a 1", OOM), ("dbsize", ":0"), ("set a 1", OOM)]);
}

#[test]
fn the_least_recently_used_keys_go_first() {
    let mut full = Full::new("allkeys-lru", 1000);
    // Given: the second half was used a minute later.
    full.client.now = START.plus(60_000);
    (500..1000).for_each(|i| drop(full.client.run(&format!("get k{i}"))));
    assert_eq!(full.add(300), None);
    let (old, used) = (full.left(0, 500), full.left(500, 1000));
    assert!(used >= 495, "{used} of the keys that were used are left");
    assert!(old <= 260, "{old} of the others");
}

#[test]
fn reads_without_traces_do_not_save_a_key() {
    let mut full = Full::new("allkeys-lru", 1000);
    full.client.now = START.plus(60_000);
    full.client.run("client no-touch on");
    (500..1000).for_each(|i| drop(full.client.run(&format!("get k{i}"))));
    full.client.run("client no-touch off");
    full.add(300);
    assert!(full.left(500, 1000) < 450, "they go like all others");
}

#[test]
fn the_least_often_used_keys_go_first() {
    let mut full = Full::new("allkeys-lfu", 1000);
    for _ in 0..20 {
        (500..1000).for_each(|i| drop(full.client.run(&format!("get k{i}"))));
    }
    assert_eq!(full.add(300), None);
    let used = full.left(500, 1000);
    assert!(used >= 490, "{used} of the keys that were used often are left");
}

#[test]
fn the_keys_that_expire_next_go_first() {
    let mut full = Full::new("volatile-ttl", 1000);
    (0..1000).for_each(|i| drop(full.client.run(&format!("expire k{i} {}", 1000 + i))));
    full.limit_to(used_memory());
    assert_eq!(full.add(200), None);
    assert!(full.left(500, 1000) >= 495);
    assert!(full.left(0, 500) < 350);
}

#[test]
fn frequencies_are_shown_under_lfu_and_idle_times_otherwise() {
    let mut full = Full::new("allkeys-lfu", 1);
    full.limit_to(0);
    let not_idle = "-ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching \
                    between policies at runtime LRU and LFU data will take some time to adjust.";
    let not_often = "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
                     switching between policies at runtime LRU and LFU data will take some time to adjust.";
    full.client.expect(&[
        ("set foo a", "+OK"),
        ("object freq foo", ":5"),
        ("get foo", "$1|a"),
        ("object freq foo", ":6"),
        ("object freq nothing", "$-1"),
        ("object idletime foo", not_idle),
        ("object idletime nothing", "$-1"),
        ("rename foo bar", "+OK"),
        ("object freq bar", ":6"),
    ]);
    full.client.now = START.plus(4 * 60_000);
    full.client.expect(&[
        ("object freq bar", ":2"),
        ("config set maxmemory-policy allkeys-lru", "+OK"),
        ("object freq bar", not_often),
        ("set foo a", "+OK"),
        ("object idletime foo", ":0"),
    ]);
    full.client.now = START.plus(4 * 60_000 + 9000);
    full.client.expect(&[("object idletime foo", ":9"), ("touch foo", ":1")]);
    full.client.expect(&[("object idletime foo", ":0")]);
}

#[test]
fn replicas_and_listeners_are_told() {
    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);
    impl EventSink for Notes {
        fn happened(&self, event: &Event<'_>) {
            let key = String::from_utf8_lossy(event.key);
            self.0.lock().unwrap().push(format!("{} {} {key}", event.db, event.event));
        }
    }
    for (lazy, verb) in [("yes", "$6\r\nUNLINK"), ("no", "$3\r\nDEL")] {
        let mut full = Full::new("allkeys-lru", 0);
        full.limit_to(0);
        full.client.run(&format!("config set lazyfree-lazy-eviction {lazy}"));
        full.client.expect(&[("select 3", "+OK"), ("set gone 1", "+OK")]);
        let notes = Arc::new(Notes::default());
        full.client.engine.set_event_sink(notes.clone());
        full.client.run("config set notify-keyspace-events Ee");
        let mut reader = full.client.follow();
        full.limit_to(1);
        assert_eq!(full.client.run("set a 1"), OOM);
        assert_eq!(*notes.0.lock().unwrap(), ["3 evicted gone"]);
        let mut told = Vec::new();
        while let Ok(chunk) = reader.peek()
            && !chunk.is_empty()
        {
            let chunk = chunk.to_vec();
            told.extend_from_slice(&chunk);
            reader.advance(chunk.len());
        }
        let told = String::from_utf8(told).expect("text");
        assert!(told.ends_with(&format!("*2\r\n{verb}\r\n$4\r\ngone\r\n")), "{told:?}");
    }
}

#[test]
fn a_replica_leaves_eviction_to_its_primary() {
    let mut full = Full::new("allkeys-lru", 50);
    let (engine, now) = (full.client.engine.clone(), full.client.now);
    let make_room = |mode| {
        engine.set_mode(mode, true);
        let config = engine.config();
        let room = engine.make_room(&mut engine.keyspace.enter(0), 0, now, &config);
        engine.set_mode(mode, false);
        room
    };
    full.limit_to(1);
    assert_eq!(make_room(tessera_engine::Mode::REPLICA), Room::Enough);
    assert_eq!(make_room(tessera_engine::Mode::LOADING), Room::Enough);
    assert_eq!(full.left(0, 50), 50);
    full.client.run("config set replica-ignore-maxmemory no");
    assert_eq!(make_room(tessera_engine::Mode::REPLICA), Room::None);
    assert_eq!((full.left(0, 50), full.evicted()), (0, 50));
}

struct Close<'a>(&'a Keyspace);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        self.0.discards().close();
    }
}

#[test]
fn large_values_are_freed_in_the_background() {
    let mut full = Full::new("noeviction", 0);
    full.limit_to(0);
    let keyspace = full.client.engine.keyspace.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| keyspace.discards().work());
        // However the test ends, so does the thread.
        let _close = Close(&keyspace);
        let before = used_memory();
        // Given: a set of 600,000 members, which take longer to free than to give away.
        for part in 0..600 {
            let members: Vec<String> = (0..1000).map(|i| format!("member:{part}:{i}")).collect();
            full.client.run(&format!("sadd large {}", members.join(" ")));
        }
        assert!(used_memory() > before + 10_000_000);
        let started = std::time::Instant::now();
        assert_eq!(full.client.run("unlink large"), ":1");
        let answered = started.elapsed();
        while full.info("lazyfreed_objects") == 0 {
            std::thread::yield_now();
        }
        let freed = started.elapsed();
        assert!(answered * 4 < freed, "answered after {answered:?}, freed after {freed:?}");
        assert!(used_memory() < before + 1_000_000, "the memory has come back");
        assert_eq!(full.info("lazyfree_pending_objects"), 0);
        // Small ones are freed at once; a flushed database counts as its keys.
        full.client.expect(&[("sadd small 1 2 3", ":3"), ("del small", ":1")]);
        full.client.run("config resetstat");
        assert_eq!(full.info("lazyfreed_objects"), 0);
    });
    // Without a thread for it everything is freed at once.
    let before = used_memory();
    let members: Vec<String> = (0..50_000).map(|i| format!("member:{i}")).collect();
    full.client.run(&format!("sadd large {}", members.join(" ")));
    drop(members);
    full.client.run("del large");
    assert!(used_memory() < before + 100_000);
}
