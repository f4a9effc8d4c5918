//! Real servers against our names, defaults, answers to CONFIG SET, and patterns.
//!
//! Runs with what is installed: `redis-server` on the PATH (7.0), and the Valkey that the variable
//! `VALKEY_SERVER` names (8.1). Under CI a missing server is a failure.

mod server;

use std::collections::BTreeMap;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use server::{Answer, Server};
use tessera_config::{Config, SetContext, glob_match};

/// The answers that differ from both on purpose: the name and the reason.
const OUR_CHOICE: &[(&str, &str)] = &[
    ("port", "the test gives the server one"),
    ("bind", "the test keeps the server on the loopback; our default is in a unit test"),
    ("dir", "the server puts its working directory here when it starts"),
    ("save", "Debian's unit and the embedded build differ; compared in a unit test"),
    ("syslog-ident", "the server's own name"),
    ("cluster-fast-failover", "ours alone"),
];

/// The directives that only this server has.
const OURS_ONLY: &[&str] = &["cluster-fast-failover"];

/// Differences to Redis 7.0: the name and the reason.
const REDIS_7_0: &[(&str, &str)] = &[
    ("lazyfree-lazy-eviction", "yes since Valkey 8"),
    ("lazyfree-lazy-expire", "yes since Valkey 8"),
    ("lazyfree-lazy-server-del", "yes since Valkey 8"),
    ("lazyfree-lazy-user-del", "yes since Valkey 8"),
    ("lazyfree-lazy-user-flush", "yes since Valkey 8"),
    ("replica-lazy-flush", "yes since Valkey 8"),
    ("slave-lazy-flush", "yes since Valkey 8"),
    ("repl-backlog-size", "10mb since Valkey 8"),
    ("io-threads-do-reads", "hidden: threads always read, and Valkey 8 has dropped it"),
    ("aof-disable-auto-gc", "hidden since Redis 7.2"),
];

/// Differences to Valkey 8.1: the name and the reason.
const VALKEY_8_1: &[(&str, &str)] = &[];

/// The directives that Valkey 8.1 has given up but a file for Redis 7 may have.
const GONE_IN_VALKEY: &[&str] = &["dynamic-hz"];

fn ours() -> BTreeMap<String, String> {
    let shown = Config::default().get(&["*"]);
    let text = |value| String::from_utf8(value).expect("defaults are text");
    shown.into_iter().map(|(name, value)| (name, text(value))).collect()
}

/// Everything that `peer` shows and we do not, or with another value, as lines.
fn differences(peer: &BTreeMap<String, String>, allowed: &[(&str, &str)]) -> Vec<String> {
    let ours = ours();
    let is_allowed =
        |name: &str| OUR_CHOICE.iter().chain(allowed).any(|(allowed, _)| *allowed == name);
    peer.iter()
        .filter(|(name, value)| ours.get(*name) != Some(value) && !is_allowed(name))
        .map(|(name, value)| format!("{name}: theirs {value:?}, ours {:?}", ours.get(name)))
        .collect()
}

/// Pairs for CONFIG SET, good and bad; the same answer is expected everywhere.
const SETS: &[&[&str]] = &[
    &["timeout", "5"],
    &["timeout", "x"],
    &["timeout", "-1"],
    &["timeout", "99999999999"],
    &["timeout", " 5"],
    &["timeout", "05"],
    &["timeout", ""],
    &["maxmemory", "100mb"],
    &["maxmemory", "1GB"],
    &["maxmemory", "1k"],
    &["maxmemory", ""],
    &["maxmemory", "mb"],
    &["maxmemory", "-1"],
    &["maxmemory", "1tb"],
    &["maxmemory", "0"],
    &["maxmemory-clients", "5%"],
    &["maxmemory-clients", "200%"],
    &["maxmemory-clients", "x"],
    &["maxmemory-clients", "0%"],
    &["proto-max-bulk-len", "1"],
    &["appendfsync", "ALWAYS"],
    &["appendfsync", "often"],
    &["maxmemory-policy", "allkeys-lru"],
    &["maxmemory-policy", "best"],
    &["rdbcompression", "maybe"],
    &["rdbcompression", "NO"],
    &["oom-score-adj", "relative"],
    &["oom-score-adj", "no"],
    &["save", "60"],
    &["save", "0 1"],
    &["save", "x 1"],
    &["save", ""],
    &["client-output-buffer-limit", "normal 1mb 512k 3"],
    &["client-output-buffer-limit", "replica 1 2 3 pubsub 4 5 6"],
    &["client-output-buffer-limit", "slave 1gb 2 3"],
    &["client-output-buffer-limit", "nobody 1 2 3"],
    &["client-output-buffer-limit", "normal 1 2"],
    &["client-output-buffer-limit", "normal 1 2 x"],
    &["notify-keyspace-events", "KEA"],
    &["notify-keyspace-events", "Exg"],
    &["notify-keyspace-events", "Q"],
    &["notify-keyspace-events", ""],
    &["latency-tracking-info-percentiles", "50 99.99"],
    &["latency-tracking-info-percentiles", "101"],
    &["latency-tracking-info-percentiles", "x"],
    &["latency-tracking-info-percentiles", ""],
    &["oom-score-adj-values", "1 2 3"],
    &["oom-score-adj-values", "1 2"],
    &["oom-score-adj-values", "1 2 9999"],
    &["shutdown-on-sigterm", "nosave now"],
    &["shutdown-on-sigterm", "save nosave"],
    &["shutdown-on-sigterm", "later"],
    &["cluster-announce-hostname", "a.b-c"],
    &["cluster-announce-hostname", "a_b"],
    &["slave-priority", "7"],
    &["slave-priority", "x"],
    &["replica-priority", "8", "slave-lazy-flush", "yes"],
    &["hash-max-ziplist-value", "2mb"],
    &["dbfilename", "x.rdb"],
    &["databases", "3"],
    &["nonsense", "1"],
    &["nonsense", "1", "databases", "3"],
    &["databases", "3", "nonsense", "1"],
    &["timeout", "9", "TIMEOUT", "8"],
    &["timeout", "9", "maxmemory", "x"],
    &["hz", "1000"],
    &["hz", "10"],
    &["slowlog-log-slower-than", "-1"],
    &["slowlog-log-slower-than", "-2"],
    &["min-slaves-to-write", "2"],
    &["requirepass", ""],
    &["proc-title-template", "{title} {port}"],
    &["proc-title-template", "{nonsense}"],
    &["proc-title-template", ""],
];

/// Sets everything of [`SETS`] in both and compares the answers, and the value that is then there.
fn compare_sets(peer: &mut Server) {
    let mut ours = Config::default();
    let mut complaints = Vec::new();
    for set in SETS {
        let pairs: Vec<(&str, &str)> = set.chunks(2).map(|pair| (pair[0], pair[1])).collect();
        let our_answer = match ours.set(&pairs, SetContext::default()) {
            Ok(_) => Answer::Status("OK".to_owned()),
            Err(error) => Answer::Error(error.to_string()),
        };
        let command: Vec<&str> = ["CONFIG", "SET"].iter().chain(*set).copied().collect();
        let their_answer = peer.ask(&command);
        if our_answer != their_answer {
            complaints.push(format!("{set:?}: theirs {their_answer:?}, ours {our_answer:?}"));
        }
        for (name, _) in &pairs {
            let their_value = peer.config_get(name).into_values().next();
            let our_value = ours.get(&[name]).into_iter().next();
            let our_value =
                our_value.map(|(_, value)| String::from_utf8_lossy(&value).into_owned());
            if *name != "dbfilename" && *name != "save" && our_value != their_value {
                complaints.push(format!("{set:?}: {name} is {their_value:?}, ours {our_value:?}"));
            }
        }
    }
    assert_eq!(complaints, Vec::<String>::new());
}

#[test]
fn config_set_answers_as_valkey_8_1() {
    if let Some(mut server) = server::valkey() {
        compare_sets(&mut server);
    }
}

#[test]
fn config_set_answers_as_redis_7_0() {
    if let Some(mut server) = server::redis() {
        compare_sets(&mut server);
    }
}

/// The directives that the test below changes; each is known to Redis 7.0 too.
const REWRITTEN: &[(&str, &str)] = &[
    ("timeout", "7"),
    ("maxmemory", "100mb"),
    ("maxmemory-clients", "5%"),
    ("maxmemory-policy", "allkeys-lru"),
    ("appendfsync", "always"),
    ("replica-priority", "9"),
    ("min-replicas-to-write", "1"),
    ("hash-max-listpack-value", "3kb"),
    ("client-output-buffer-limit", "normal 1mb 512kb 3 pubsub 1 2 3"),
    ("notify-keyspace-events", "KEA"),
    ("latency-tracking-info-percentiles", "50 99.99"),
    ("oom-score-adj-values", "1 2 3"),
    ("shutdown-on-sigterm", "nosave now"),
    ("masterauth", "a \"b\" \\ c\tü"),
    ("masteruser", "some one"),
    ("cluster-announce-hostname", "a.b-c"),
    ("slowlog-log-slower-than", "-1"),
    ("lazyfree-lazy-expire", "no"),
];

#[test]
fn redis_reads_what_we_rewrite() {
    let Some(program) = server::redis_program() else { return };
    let mut ours = Config::default();
    ours.set(REWRITTEN, SetContext::default()).expect("good values");
    let file = std::env::temp_dir().join(format!("rewritten-{}.conf", std::process::id()));
    let text = ours.rewrite(b"# a comment\ntimeout 3\n");
    assert!(text.starts_with(b"# a comment\ntimeout 7\n# Generated by CONFIG REWRITE\n"));
    std::fs::write(&file, text).expect("writable");
    let mut server = Server::start(&program, Some(&file));
    std::fs::remove_file(&file).expect("it was read");
    for (name, _) in REWRITTEN {
        let theirs = server.config_get(name).into_values().next();
        let shown = ours.get(&[name]).into_iter().next();
        let shown = shown.map(|(_, value)| String::from_utf8(value).expect("text"));
        assert_eq!(theirs, shown, "{name}");
    }
}

#[test]
fn globs_match_as_in_redis() {
    let Some(mut server) = server::redis() else { return };
    let mut runner = TestRunner::deterministic();
    let mut draw = |strategy: &str| {
        let strategy = proptest::string::string_regex(strategy).expect("a good expression");
        strategy.new_tree(&mut runner).expect("a text").current()
    };
    let keys: Vec<String> = (0..300).map(|_| draw("[abC*?\\[\\]^-]{1,5}")).collect();
    for key in &keys {
        let _ = server.ask(&["SET", key.as_str(), ""]);
    }
    for _ in 0..2000 {
        let pattern = draw("[abC*?\\[\\]^\\\\-]{1,7}");
        let Answer::Words(theirs) = server.ask(&["KEYS", pattern.as_str()]) else {
            panic!("KEYS answers no list")
        };
        for key in &keys {
            let matches = glob_match(pattern.as_bytes(), key.as_bytes(), false);
            let listed = theirs.iter().any(|listed| listed == key.as_bytes());
            assert_eq!(matches, listed, "{pattern:?} against {key:?}");
        }
    }
}

#[test]
fn names_and_defaults_of_redis_7_0() {
    let Some(mut server) = server::redis() else { return };
    let peer = server.config_get("*");
    assert!(peer.len() > 150, "only {} names", peer.len());
    assert_eq!(differences(&peer, REDIS_7_0), Vec::<String>::new());
    for (name, reason) in REDIS_7_0 {
        assert_ne!(peer.get(*name), ours().get(*name), "no difference any more: {name}, {reason}");
    }
}

#[test]
fn names_and_defaults_of_valkey_8_1() {
    let Some(mut server) = server::valkey() else { return };
    let peer = server.config_get("*");
    assert!(peer.len() > 200, "only {} names", peer.len());
    assert_eq!(differences(&peer, VALKEY_8_1), Vec::<String>::new());
    let unknown: Vec<String> = ours().into_keys().filter(|name| !peer.contains_key(name)).collect();
    let expected: Vec<&str> = OURS_ONLY.iter().chain(GONE_IN_VALKEY).copied().collect();
    assert_eq!(unknown, expected);
}
