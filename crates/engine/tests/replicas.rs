//! Replicas, and theirs, have what their primary has, whatever has just expired there: their clocks
//! differ, and they remove nothing by themselves.

mod harness;

#[path = "differential/random.rs"]
mod random;

use harness::{Client, START};
use random::Rng;
use tessera_config::Config;
use tessera_engine::Mode;
use tessera_log::Reader;
use tessera_slot::Millis;

const HASHES: [&str; 5] = ["h_1", "h_2", "h_3", "h_4", "h"];
const WEIGHTS: [&str; 4] = ["w_1", "w_2", "w_3", "w_4"];
const OTHERS: [&str; 4] = ["l", "s", "z", "d"];
const FIELDS: [&str; 4] = ["f", "g", "dead", "live"];
const DATABASES: usize = 2;

/// A primary, its replica, and the replica's replica. The clock of the first replica is behind,
/// that of the second far ahead.
struct Chain {
    primary: Client,
    replicas: [Client; 2],
    reader: Reader,
    /// The primary's requests, for the message of a failure.
    story: Vec<String>,
}

impl Chain {
    fn new() -> Chain {
        let client = || {
            let mut config = Config::default();
            config.general.enable_debug_command =
                tessera_config::table::general::ProtectedAction::Yes;
            Client::with(config)
        };
        let primary = client();
        let reader = primary.follow();
        let mut replicas = [client(), client()];
        for replica in &mut replicas {
            replica.session.is_primary = true;
            replica.engine.set_mode(Mode::REPLICA, true);
        }
        replicas[1].now = START.plus(1_000_000_000);
        Chain { primary, replicas, reader, story: Vec::new() }
    }

    /// Runs a command on the primary, has its replicas follow, and compares all keys, with what has
    /// expired.
    fn run(&mut self, line: &str) -> String {
        self.story.push(format!("{} {line}", self.primary.now.0 - START.0));
        let reply = self.primary.run(line);
        self.follow();
        let [own, first, second] = self.each(all_keys);
        assert!(own == first && own == second, "{:#?}\n{own}\n{first}\n{second}", self.story);
        reply
    }

    fn follow(&mut self) {
        for command in harness::told_commands(&mut self.reader) {
            for replica in &mut self.replicas {
                let reply = String::from_utf8_lossy(&replica.command(&command)).into_owned();
                assert!(!reply.starts_with('-'), "{reply}, after {:#?}", self.story);
            }
        }
    }

    fn each<T>(&mut self, mut ask: impl FnMut(&mut Client) -> T) -> [T; 3] {
        let [first, second] = &mut self.replicas;
        [ask(&mut self.primary), ask(first), ask(second)]
    }

    /// Milliseconds pass.
    fn pass(&mut self, ms: u64) {
        self.primary.now = self.primary.now.plus(ms);
    }

    /// Removes what has expired as the primary does by itself.
    fn expire(&mut self) {
        let now = self.primary.now;
        let removed = self.primary.engine.expire_cycle(1, now, &mut Default::default(), || true);
        assert!(removed.complete);
        self.story.push(format!("{} (active expiry)", now.0 - START.0));
        self.follow();
    }

    /// Compares the digests that clients see, once everything that has expired was removed.
    fn compare_digests(&mut self) {
        self.pass(1_000);
        while self
            .primary
            .engine
            .expire_cycle(1, self.primary.now, &mut Default::default(), || true)
            .removed
            > 0
        {}
        self.follow();
        let now = self.primary.now;
        let [own, first, second] = self.each(|client| digest_at(client, now));
        assert!(own == first && own == second, "{own} {first} {second}: {:#?}", self.story);
    }
}

/// The digest of all keys and fields, those that have expired among them.
fn all_keys(client: &mut Client) -> String {
    let keys = [&HASHES[..], &WEIGHTS[..], &OTHERS[..]].concat().join(" ");
    let (now, db) = (client.now, client.session.db);
    client.now = Millis(0);
    let digests: Vec<String> = (0..DATABASES)
        .map(|index| {
            client.session.db = index;
            client.run(&format!("debug digest-value {keys}"))
        })
        .collect();
    (client.now, client.session.db) = (now, db);
    digests.join("\n")
}

fn digest_at(client: &mut Client, now: Millis) -> String {
    client.now = now;
    client.run("debug digest")
}

#[test]
fn a_deletion_that_names_an_expired_field_leaves_the_same_on_replicas() {
    let mut chain = Chain::new();
    for line in ["set z old", "hsetex h PX 1 FIELDS 1 dead v", "hset h live 1"] {
        chain.run(line);
    }
    chain.pass(5);
    assert_eq!(chain.run("hdel h dead live"), ":1");
    assert_eq!(chain.run("rename h z"), "+OK");
    chain.expire();
    let there = chain.each(|client| client.run("exists z h"));
    assert_eq!(there, [":0", ":0", ":0"]);
}

#[test]
fn a_sort_that_meets_an_expired_field_stores_the_same_on_replicas() {
    for (sort, stored) in [
        ("sort l BY nosort GET h_*->f STORE d", "*2|$0||$1|5"),
        ("sort l BY h_*->f STORE d", "*2|$1|1|$1|2"),
        ("sort l BY h_*->f ALPHA DESC STORE d", "*2|$1|2|$1|1"),
    ] {
        let mut chain = Chain::new();
        for line in ["rpush l 1 2", "hset h_2 f 5", "hsetex h_1 PX 1 FIELDS 1 f 9"] {
            chain.run(line);
        }
        chain.pass(5);
        assert_eq!(chain.run(sort), ":2");
        let stored = [stored; 3].map(str::to_owned);
        assert_eq!(chain.each(|client| client.run("lrange d 0 -1")), stored, "{sort}");
    }
}

#[test]
fn equal_weights_of_a_set_are_stored_in_the_same_order_on_replicas() {
    let members: Vec<String> = (0..300).map(|number| format!("m{number}")).collect();
    let mut orders =
        [&members[..], &members.iter().rev().cloned().collect::<Vec<_>>()].map(|members| {
            let mut client = Client::new();
            client.run(&format!("sadd s {}", members.join(" ")));
            client.run("sort s BY w_* ALPHA STORE d");
            client.run("lrange d 0 -1")
        });
    orders.sort();
    assert_eq!(orders[0], orders[1]);
}

/// A command by chance, about few keys and fields, so that they meet.
fn draw(rng: &mut Rng) -> String {
    let (hash, other) = (rng.pick(&HASHES), rng.pick(&HASHES));
    let (field, second) = (rng.pick(&FIELDS), rng.pick(&FIELDS));
    let (weight, number, ms) = (rng.pick(&WEIGHTS), rng.between(1, 9), rng.between(1, 4));
    let condition = rng.pick(&["NX", "XX", "GT", "LT"]);
    let option = rng.pick(&["", " NX", " XX", " FNX", " FXX"]);
    let some_key = rng.pick(&[HASHES, ["w_1", "l", "s", "z", "d"]].concat());
    match rng.below(34) {
        0 => format!("hset {hash} {field} {number}"),
        1 => format!("hset {hash} {field} {number} {second} x"),
        2 => format!("hmset {hash} {field} {number}"),
        3 => format!("hsetnx {hash} {field} {number}"),
        4..=7 => format!("hsetex {hash}{option} PX {ms} FIELDS 1 {field} {number}"),
        8 => format!("hsetex {hash}{option} KEEPTTL FIELDS 2 {field} {number} {second} 1"),
        9 => format!("hsetex {hash} PXAT 1 FIELDS 1 {field} {number}"),
        10 | 11 => format!("hdel {hash} {field} {second} none"),
        12 => format!("hgetdel {hash} FIELDS 2 {field} {second}"),
        13 => format!("hgetex {hash} PX {ms} FIELDS 1 {field}"),
        14 => format!("hgetex {hash} PERSIST FIELDS 2 {field} {second}"),
        15 => format!("hincrby {hash} {field} {number}"),
        16 => format!("hincrbyfloat {hash} {field} 0.5"),
        17 => format!("hpexpire {hash} {ms} FIELDS 2 {field} {second}"),
        18 => format!("hpexpire {hash} {ms} {condition} FIELDS 1 {field}"),
        19 => format!("hpexpireat {hash} 1 FIELDS 1 {field}"),
        20 => format!("hpersist {hash} FIELDS 2 {field} {second}"),
        21 => format!("hrandfield {hash} 2"),
        22 => format!("{} {some_key} {other}", rng.pick(&["rename", "renamenx"])),
        23 => format!(
            "copy {some_key} {other}{}",
            rng.pick(&["", " REPLACE", " DB 1", " DB 1 REPLACE"])
        ),
        24 => format!("move {some_key} {}", rng.below(DATABASES)),
        25 => format!("select {}", rng.below(DATABASES)),
        26 => format!("set {weight} {number} PX {ms}"),
        27 => format!("append {weight} {number}"),
        28 => format!("pexpire {some_key} {ms}"),
        29 => format!("{} {number}", rng.pick(&["rpush l", "sadd s", "zadd z 1"])),
        30 => format!("del {some_key} {other}"),
        _ => format!(
            "sort {} BY {}{} STORE d",
            rng.pick(&["l", "s", "z"]),
            rng.pick(&["nosort", "h_*->f", "h_*->dead ALPHA", "w_*"]),
            rng.pick(&["", " GET #", " GET h_*->g", " GET w_* GET h_*->live"]),
        ),
    }
}

#[test]
fn whatever_has_expired_replicas_have_what_their_primary_has() {
    let rounds = if cfg!(debug_assertions) { 100 } else { 2_000 };
    for seed in 0..rounds {
        let (mut rng, mut chain) = (Rng::new(seed), Chain::new());
        for line in ["rpush l 1 2 3 4", "sadd s 1 2 3 4", "zadd z 4 1 3 2 2 3 1 4"] {
            chain.run(line);
        }
        chain.story.push(format!("seed {seed}"));
        for _ in 0..120 {
            chain.pass(rng.below(3) as u64);
            match rng.below(40) {
                0 => chain.expire(),
                1 => {
                    chain.primary.run("multi");
                    while rng.percent(70) {
                        let line = draw(&mut rng);
                        chain.story.push(format!("queued: {line}"));
                        chain.primary.run(&line);
                    }
                    chain.run("exec");
                }
                _ => drop(chain.run(&draw(&mut rng))),
            }
        }
        chain.compare_digests();
    }
}
