//! Generated sequences of commands, answered by the engine and by a real server: each reply must be
//! the same, and in the end each key.
//!
//! Commands are drawn from the grammar that the command tables of both servers give (COMMAND DOCS),
//! and from forms that are written by hand; `draw.rs` tells how. A sequence that shows a difference
//! is shortened before it is printed. The seeds are always the same, so that nobody's run fails of
//! what another's would: `TESSERA_DIFFERENTIAL_SECONDS` goes for so long through seeds that nobody
//! has tried, `TESSERA_DIFFERENTIAL_SEED` says where to begin. `TESSERA_PEER` names another
//! redis-server 7.0, and `VALKEY_SERVER` a Valkey 8 to compare with too.

mod agree;
mod coverage;
mod differences;
mod draw;
mod forms;
mod grammar;
#[path = "../harness/mod.rs"]
mod harness;
mod pair;
mod random;
mod shrink;
mod values;
mod view;

use differences::Kind;
use draw::{Author, Request, Table};
use harness::Client;
use harness::peer::Peer;
use harness::reply::Value;
use pair::{Difference, Pair, unix_ms};
use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Sequences that are run when no variable says otherwise.
const FIXED_SEEDS: u64 = 250;
/// The most seconds that they may take, on a very slow machine.
const TIME_MAX: u64 = 300;
const STEPS: usize = 250;
/// Differences that are looked for before the run ends.
const MOST: usize = 40;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Runs a sequence on both from the beginning.
fn run(peer: &mut Peer, kind: Kind, resp3: bool, sequence: &[Request]) -> Option<Difference> {
    let mut last = Vec::new();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut pair = Pair::new(peer, kind, resp3);
        for request in sequence {
            last.clone_from(request);
            if let Some(difference) = pair.step(request) {
                return Some(difference);
            }
        }
        view::compare_keys(&mut pair)
    }));
    let panic = "a panic".to_owned();
    outcome
        .unwrap_or_else(|_| Some(Difference { request: last, ours: panic, theirs: String::new() }))
}

fn shown(request: &Request) -> String {
    request.iter().map(|arg| format!("\"{}\"", arg.escape_ascii())).collect::<Vec<_>>().join(" ")
}

/// Runs one seed. The difference that it shows, by the name of the command, if it is not known yet.
fn try_seed(
    peer: &mut Peer,
    kind: Kind,
    table: &Table,
    seed: u64,
    known: &BTreeMap<String, String>,
) -> Option<(String, String)> {
    let sequence = Author::new(table, seed, unix_ms()).write(STEPS);
    let resp3 = seed.is_multiple_of(2);
    let found = run(peer, kind, resp3, &sequence)?;
    let name = agree::name(&found.request);
    if known.contains_key(&name) {
        return None;
    }
    let _ = writeln!(std::io::stderr(), "seed {seed}: {name} differs");
    let again = |shorter: &[Request], peer: &mut Peer| {
        run(peer, kind, resp3, shorter)
            .filter(|difference| agree::name(&difference.request) == name)
    };
    let shortest = shrink::shrink(sequence, |shorter| again(shorter, peer).is_some());
    let found = again(&shortest, peer).unwrap_or(found);
    let protocol = if resp3 { "RESP3" } else { "RESP2" };
    let story: Vec<String> =
        shortest.iter().map(|request| format!("    {}", shown(request))).collect();
    let report = format!(
        "seed {seed}, {protocol}: {}\n  ours   {}\n  theirs {}\n  after\n{}",
        shown(&found.request),
        found.ours,
        found.theirs,
        story.join("\n")
    );
    Some((name, report))
}

fn compare_with(mut peer: Peer, kind: Kind) {
    let table = coverage::table(&mut Client::new(), &mut peer);
    let seconds = number("TESSERA_DIFFERENTIAL_SECONDS");
    let begin = number("TESSERA_DIFFERENTIAL_SEED");
    let (first, count) = match (begin, seconds) {
        (None, None) => (1, FIXED_SEEDS),
        (Some(begin), None) => (begin, 1),
        (begin, Some(_)) => (begin.unwrap_or_else(unix_ms), u64::MAX),
    };
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(TIME_MAX));
    let mut differences: BTreeMap<String, String> = BTreeMap::new();
    let mut runs = 0;
    for seed in (first..).take(usize::try_from(count).unwrap_or(usize::MAX)) {
        if runs > 0 && Instant::now() > until || differences.len() >= MOST {
            break;
        }
        runs += 1;
        if let Some((name, report)) = try_seed(&mut peer, kind, &table, seed, &differences) {
            differences.insert(name, report);
        }
    }
    let all: Vec<String> = differences.into_values().collect();
    assert!(all.is_empty(), "after {runs} sequences:\n{}", all.join("\n"));
}

#[test]
fn replies_are_those_of_redis() {
    let options = ["--enable-debug-command", "yes"];
    let program = std::env::var("TESSERA_PEER").unwrap_or("redis-server".to_owned());
    if let Some(peer) = Peer::start_program(&program, &options) {
        compare_with(peer, Kind::Redis70);
    }
}

#[test]
fn replies_are_those_of_valkey() {
    let Ok(program) = std::env::var("VALKEY_SERVER") else { return };
    if let Some(peer) = Peer::start_program(&program, &["--enable-debug-command", "yes"]) {
        compare_with(peer, Kind::Valkey8);
    }
}

#[test]
fn every_command_is_generated() {
    let program = std::env::var("TESSERA_PEER").unwrap_or("redis-server".to_owned());
    let Some(mut peer) = Peer::start_program(&program, &[]) else { return };
    coverage::check(&mut Client::new(), &mut peer);
}

#[test]
fn a_sequence_is_shortened_to_what_matters() {
    let sequence: Vec<Request> = (0..100).map(|number| vec![vec![number]]).collect();
    let matters = |sequence: &[Request]| {
        let has = |number: u8| sequence.contains(&vec![vec![number]]);
        has(7) && has(93)
    };
    assert_eq!(shrink::shrink(sequence, matters), [vec![vec![7]], vec![vec![93]]]);
}

#[test]
fn replies_are_read_and_compared() {
    let request =
        |line: &str| -> Request { line.split(' ').map(|word| word.as_bytes().to_vec()).collect() };
    let agree = |line: &str, ours: &str, theirs: &str| {
        agree::agree(&request(line), &Value::read(ours.as_bytes()), &Value::read(theirs.as_bytes()))
    };
    let (ab, ba) = ("*2\r\n$1\r\na\r\n$1\r\nb\r\n", "*2\r\n$1\r\nb\r\n$1\r\na\r\n");
    assert!(agree("SMEMBERS k", ab, ba));
    assert!(!agree("LRANGE k 0 -1", ab, ba));
    assert!(agree("ttl k", ":100\r\n", ":101\r\n"));
    assert!(!agree("ttl k", ":100\r\n", ":-1\r\n"));
    assert!(!agree("strlen k", ":100\r\n", ":101\r\n"));
    assert!(!agree("SMEMBERS k", ab, "~2\r\n$1\r\nb\r\n$1\r\na\r\n"));
    let pending = |idle: &str, count: &str| {
        format!("*1\r\n*4\r\n$3\r\n1-1\r\n$1\r\na\r\n:{idle}\r\n:{count}\r\n")
    };
    assert!(agree("XPENDING k g - + 10", &pending("5", "1"), &pending("9", "1")));
    assert!(!agree("XPENDING k g - + 10", &pending("5", "1"), &pending("5", "2")));
}
