//! `CONFIG GET *` of real servers against our names and defaults.
//!
//! Runs with what is installed: `redis-server` on the PATH (7.0), and the Valkey that the variable
//! `VALKEY_SERVER` names (8.1). Under CI a missing server is a failure.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tessera_config::Config;

/// Where our answer differs from both on purpose: the name and the reason.
const OUR_CHOICE: &[(&str, &str)] = &[
    ("port", "the test gives the server one"),
    ("bind", "the test keeps the server on the loopback; our default is in a unit test"),
    ("dir", "the server puts its working directory here when it starts"),
    ("save", "Debian's unit and the embedded build differ; compared in a unit test"),
    ("syslog-ident", "the server's own name"),
    ("cluster-fast-failover", "ours alone"),
];

/// What only this server has.
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

/// What Valkey 8.1 has no more but a file for Redis 7 may say.
const GONE_IN_VALKEY: &[&str] = &["dynamic-hz"];

struct Server {
    process: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already; there is nothing else to do about it here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start(program: &Path) -> Server {
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let process = Command::new(program)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", ""])
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    Server { process, port }
}

fn connect(port: u16) -> TcpStream {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < deadline, "no server on {port}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Reads the header of a reply: its type and number.
fn header(reader: &mut impl BufRead) -> (char, i64) {
    let mut line = String::new();
    reader.read_line(&mut line).expect("a line of the reply");
    let kind = line.chars().next().expect("a reply is not empty");
    (kind, line[1..].trim_end().parse().unwrap_or_else(|_| panic!("unexpected reply {line:?}")))
}

fn config_get_all(port: u16) -> BTreeMap<String, String> {
    let mut stream = connect(port);
    stream
        .write_all(b"*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$1\r\n*\r\n")
        .expect("the request is sent");
    let mut reader = BufReader::new(stream);
    let (kind, count) = header(&mut reader);
    assert_eq!(kind, '*');
    let mut words = Vec::new();
    for _ in 0..count {
        let (kind, length) = header(&mut reader);
        assert_eq!(kind, '$');
        let mut word = vec![0; usize::try_from(length).expect("no nulls here") + 2];
        reader.read_exact(&mut word).expect("the word is complete");
        word.truncate(word.len() - 2);
        words.push(String::from_utf8(word).expect("values are text"));
    }
    words.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

fn ours() -> BTreeMap<String, String> {
    let shown = Config::default().get(&["*"]);
    let text = |value| String::from_utf8(value).expect("defaults are text");
    shown.into_iter().map(|(name, value)| (name, text(value))).collect()
}

/// The program, or `None` after saying that the test is skipped.
fn installed(program: Option<PathBuf>, what: &str) -> Option<PathBuf> {
    let found = program.filter(|path| {
        Command::new(path)
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    });
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{what} must be installed under CI");
        println!("skipped: {what} is not installed");
    }
    found
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

#[test]
fn names_and_defaults_of_redis_7_0() {
    let Some(program) = installed(Some("redis-server".into()), "redis-server") else { return };
    let server = start(&program);
    let peer = config_get_all(server.port);
    assert!(peer.len() > 150, "only {} names", peer.len());
    assert_eq!(differences(&peer, REDIS_7_0), Vec::<String>::new());
    for (name, reason) in REDIS_7_0 {
        assert_ne!(peer.get(*name), ours().get(*name), "no difference any more: {name}, {reason}");
    }
}

#[test]
fn names_and_defaults_of_valkey_8_1() {
    let program = std::env::var_os("VALKEY_SERVER").map(PathBuf::from);
    let Some(program) = installed(program, "Valkey (variable VALKEY_SERVER)") else { return };
    let server = start(&program);
    let peer = config_get_all(server.port);
    assert!(peer.len() > 200, "only {} names", peer.len());
    assert_eq!(differences(&peer, VALKEY_8_1), Vec::<String>::new());
    let unknown: Vec<String> = ours().into_keys().filter(|name| !peer.contains_key(name)).collect();
    let expected: Vec<&str> = OURS_ONLY.iter().chain(GONE_IN_VALKEY).copied().collect();
    assert_eq!(unknown, expected);
}
