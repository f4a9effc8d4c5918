//! A client's answers do not depend on the bytes that other clients send in between.
//!
//! Clients of one thread send requests: good and malformed ones, pipelined, cut anywhere, in any
//! order. Each client must get the answers, byte by byte, that it gets where nobody else sends
//! anything. A batch holds requests of many clients, so whatever one client leaves behind in it
//! would reach the next one.
//!
//! `TESSERA_INTERLEAVED_SECONDS=3600` tries new cases for so long.

use super::{client, received, step, thread};
use crate::io::{Conn, IoThread};
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use tessera_config::{Config, SetContext};
use tessera_slot::Millis;

/// Cases that are tried when no variable says otherwise.
const CASES: u32 = 2000;
/// More than a case has clients.
const DATABASES: usize = 8;
const PASSWORD: &str = "sesame";

/// How one client's bytes come: pieces, each of which is sent as a whole.
type Pieces = Vec<Vec<u8>>;

/// A case: what each client sends, and in which order (each number chooses among those with pieces
/// left).
#[derive(Clone, Debug)]
struct Case {
    password: bool,
    clients: Vec<Pieces>,
    order: Vec<usize>,
    /// Whether the thread takes a turn after a piece.
    turns: Vec<bool>,
}

/// A command as its words. Keys stand in a database of the client's own, so that only the answers
/// could tell of the others. Commands that depend on time, chance or a client's id are left out.
fn words() -> impl Strategy<Value = Vec<String>> {
    const LINES: &[&str] = &[
        "PING",
        "PING hello",
        "ECHO text",
        "SET k v",
        "SET n 1",
        "GET k",
        "GET n",
        "INCR n",
        "DEL k n",
        "APPEND k abc",
        "STRLEN k",
        "GETRANGE k 0 5",
        "MSET k a n 2 m c",
        "MGET k n m nothing",
        "RPUSH l a b c",
        "LPUSH l x",
        "LRANGE l 0 -1",
        "LPOP l",
        "LLEN l",
        "LREM l 0 a",
        "SADD s a b",
        "SADD s c",
        "SREM s a",
        "SCARD s",
        "SISMEMBER s b",
        "HSET h f v g w",
        "HGET h f",
        "HMGET h f g x",
        "HLEN h",
        "HDEL h f",
        "ZADD z 1 a 2 b",
        "ZRANGE z 0 -1 WITHSCORES",
        "ZRANK z b",
        "ZREM z a",
        "ZINCRBY z 2 b",
        "XADD x 1-1 f v",
        "XLEN x",
        "XRANGE x - +",
        "TYPE l",
        "EXISTS k l s h z",
        "RENAME k m",
        "OBJECT ENCODING l",
        "SETBIT k 7 1",
        "BITCOUNT k",
        "PFADD p a b c",
        "PFCOUNT p",
        "COPY k m REPLACE",
        "GETDEL k",
        "MULTI",
        "EXEC",
        "DISCARD",
        "WATCH k",
        "UNWATCH",
        "HELLO 2",
        "HELLO 3",
        "CLIENT REPLY OFF",
        "CLIENT REPLY ON",
        "CLIENT REPLY SKIP",
        "CLIENT SETNAME me",
        "CLIENT GETNAME",
        "BLPOP l 0",
        "BLPOP nothing 0",
        "BZPOPMIN z 0",
        "WAIT 0 0",
        "GET",
        "SET k",
        "LPUSH k wrong type",
        "NOSUCH a b c",
        "CLIENT NOSUCH",
        "QUIT",
        "AUTH wrong",
        "AUTH sesame",
        "COMMAND COUNT",
    ];
    let line = prop::sample::select(LINES)
        .prop_map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let long = (prop::sample::select(&["SET", "APPEND", "RPUSH", "ECHO"][..]), 0usize..40_000)
        .prop_map(|(name, length)| {
            let value = "y".repeat(length);
            match name {
                "ECHO" => vec![name.to_owned(), value],
                "RPUSH" => vec![name.to_owned(), "l".to_owned(), value],
                _ => vec![name.to_owned(), "k".to_owned(), value],
            }
        });
    let many = (1usize..200).prop_map(|count| {
        let name = ["MGET".to_owned()];
        name.into_iter().chain((0..count).map(|at| format!("k{at}"))).collect::<Vec<_>>()
    });
    prop_oneof![20 => line, 1 => long, 1 => many]
}

/// How a request is damaged.
#[derive(Clone, Debug)]
enum Damage {
    None,
    /// One byte is another one.
    Byte(prop::sample::Index, u8),
    /// One byte is missing.
    Missing(prop::sample::Index),
    /// The rest is missing: the next request begins in the middle of this one.
    Cut(prop::sample::Index),
    /// Something stands before it.
    Before(&'static [u8]),
}

fn damage() -> impl Strategy<Value = Damage> {
    const BYTES: &[u8] = b"X*$\r\n0917-+\"' \0\xff";
    const BEFORE: &[&[u8]] = &[
        b"\r\n",
        b"*0\r\n",
        b"*-1\r\n",
        b"*4\r\n$1\r\na\r\n",
        b"*3\r\n$4\r\nPING\r\nX",
        b"*2\r\n$3\r\nGET\r\n$-5\r\n",
        b"*99999999999\r\n",
        b"*1\r\n$99999999999\r\n",
        b"GET \"unbalanced\r\n",
        b"*2\r\n$4\r\nECHO\r\n:5\r\n",
    ];
    prop_oneof![
        24 => Just(Damage::None),
        1 => (any::<prop::sample::Index>(), prop::sample::select(BYTES)).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        1 => any::<prop::sample::Index>().prop_map(Damage::Missing),
        1 => any::<prop::sample::Index>().prop_map(Damage::Cut),
        2 => prop::sample::select(BEFORE).prop_map(Damage::Before),
    ]
}

/// The bytes of a request, as an array or inline.
fn request() -> impl Strategy<Value = Vec<u8>> {
    (words(), prop::bool::weighted(0.2), damage()).prop_map(|(words, inline, damage)| {
        let mut bytes =
            if inline { format!("{}\r\n", words.join(" ")).into_bytes() } else { encode(&words) };
        match damage {
            Damage::None => {}
            Damage::Byte(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            Damage::Missing(at) => {
                bytes.remove(at.index(bytes.len()));
            }
            Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Damage::Before(what) => bytes.splice(..0, what.iter().copied()).for_each(drop),
        }
        bytes
    })
}

fn encode(words: &[String]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
    }
    bytes
}

/// A client's requests as one stream, cut anywhere.
fn pieces() -> impl Strategy<Value = Pieces> {
    let requests = prop::collection::vec(request(), 1..12);
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..6);
    (requests, cuts, prop::bool::weighted(0.8)).prop_map(|(requests, cuts, authenticates)| {
        let auth =
            if authenticates { encode(&["AUTH".into(), PASSWORD.into()]) } else { Vec::new() };
        let bytes = [auth, requests.concat()].concat();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        at.windows(2).map(|cut| bytes[cut[0]..cut[1]].to_vec()).collect()
    })
}

fn case() -> impl Strategy<Value = Case> {
    let clients = prop::collection::vec(pieces(), 2..6);
    let order = prop::collection::vec(any::<usize>(), 50);
    let turns = prop::collection::vec(prop::bool::weighted(0.3), 50);
    (any::<bool>(), clients, order, turns).prop_map(|(password, clients, order, turns)| Case {
        password,
        clients,
        order,
        turns,
    })
}

/// A client as the test sees it.
struct Peer {
    far: UnixStream,
    /// Output that waits for room in the socket.
    unsent: VecDeque<u8>,
    got: Vec<u8>,
    has_ended: bool,
}

impl Peer {
    fn connect(thread: &mut IoThread, database: usize) -> Peer {
        let far = client(thread, b"");
        let newest = |conn: &Conn| conn.info().id;
        let index = thread
            .conns
            .ids()
            .max_by_key(|&index| thread.conns.get_mut(index).map(|conn| newest(conn)))
            .expect("it has just connected");
        thread.conns.get_mut(index).expect("just found").session.db = database;
        Peer { far, unsent: VecDeque::new(), got: Vec::new(), has_ended: false }
    }

    fn send(&mut self) {
        while !self.unsent.is_empty() {
            let (bytes, _) = self.unsent.as_slices();
            match self.far.write(bytes) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // The server has closed the connection.
                Err(_) => self.unsent.clear(),
            }
        }
    }

    fn receive(&mut self) {
        if self.has_ended {
            return;
        }
        match received(&mut self.far) {
            Some(bytes) => self.got.extend(bytes),
            None => self.has_ended = true,
        }
    }
}

/// A server with and one without a password; each case finds them empty.
struct Servers([IoThread; 2]);

impl Servers {
    fn new() -> Servers {
        let server = |password: &str| {
            let mut config = Config::default();
            config.general.databases = DATABASES as u32;
            let context = SetContext { loading: false, local_client: true };
            config.set(&[("requirepass", password)], context).expect("a directive");
            thread(config)
        };
        Servers([server(""), server(PASSWORD)])
    }

    /// Connects this many clients, each of which has a database of its own if there are few.
    fn connect(&mut self, password: bool, clients: usize) -> (&mut IoThread, Vec<Peer>) {
        let thread = &mut self.0[usize::from(password)];
        let peers = (0..clients).map(|at| Peer::connect(thread, at % DATABASES)).collect();
        (thread, peers)
    }
}

/// A turn that does not wait for anything.
fn turn(thread: &mut IoThread, peers: &mut [Peer]) {
    peers.iter_mut().for_each(Peer::send);
    thread.pace.next_scan = Millis(0);
    step(thread);
    peers.iter_mut().for_each(Peer::receive);
}

/// Turns until nothing moves any more.
fn settle(thread: &mut IoThread, peers: &mut [Peer]) {
    let state = |thread: &mut IoThread, peers: &[Peer]| {
        let conns = thread.conns.ids();
        let input: Vec<_> =
            conns.map(|index| thread.conns.get_mut(index).map(|conn| conn.input_bytes())).collect();
        let seen: Vec<_> = peers.iter().map(|peer| (peer.got.len(), peer.unsent.len())).collect();
        (input, seen, thread.budget.resting.len())
    };
    let (mut before, mut quiet) = (state(thread, peers), 0);
    while quiet < 2 {
        turn(thread, peers);
        let now = state(thread, peers);
        quiet = if now == before { quiet + 1 } else { 0 };
        before = now;
    }
}

/// The clients' answers, and whether their connections have ended. All of them leave, and so does
/// their data.
fn outcome(thread: &mut IoThread, peers: Vec<Peer>) -> Vec<(String, bool)> {
    let text = |peer: Peer| (without_ids(&peer.got.escape_ascii().to_string()), peer.has_ended);
    let outcome = peers.into_iter().map(text).collect();
    while thread.conns.ids().any(|index| thread.conns.get_mut(index).is_some()) {
        turn(thread, &mut []);
    }
    thread.server.engine.keyspace.enter_exclusive().flush(None);
    outcome
}

/// HELLO tells a client's id, which is another one in each run.
fn without_ids(text: &str) -> String {
    let mut parts = text.split(r"id\r\n:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts
        .fold(first, |all, part| all + "id" + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// All clients at once.
fn together(servers: &mut Servers, case: &Case) -> Vec<(String, bool)> {
    let (thread, mut peers) = servers.connect(case.password, case.clients.len());
    let mut left: Vec<(usize, VecDeque<Vec<u8>>)> =
        case.clients.iter().cloned().map(VecDeque::from).enumerate().collect();
    for at in 0.. {
        left.retain(|(_, pieces)| !pieces.is_empty());
        if left.is_empty() {
            break;
        }
        let chosen = case.order[at % case.order.len()] % left.len();
        let (index, pieces) = &mut left[chosen];
        let peer = &mut peers[*index];
        peer.unsent.extend(pieces.pop_front().expect("only such are left"));
        peer.send();
        if case.turns[at % case.turns.len()] {
            turn(thread, &mut peers);
        }
    }
    settle(thread, &mut peers);
    outcome(thread, peers)
}

/// One client, while nobody else is there.
fn alone(servers: &mut Servers, case: &Case, index: usize) -> (String, bool) {
    let (thread, mut peers) = servers.connect(case.password, 1);
    peers[0].unsent.extend(case.clients[index].concat());
    settle(thread, &mut peers);
    outcome(thread, peers).swap_remove(0)
}

fn check(servers: &mut Servers, case: &Case) -> Vec<(String, bool)> {
    let together = together(servers, case);
    for (index, answers) in together.iter().enumerate() {
        assert_eq!(*answers, alone(servers, case, index), "client {index} of {case:?}");
    }
    together
}

#[test]
fn other_clients_bytes_change_no_answer() {
    let mut runner =
        TestRunner::new(Cases { failure_persistence: None, ..Cases::with_cases(CASES) });
    let run = |runner: &mut TestRunner| {
        // A case that has failed leaves a server behind that is of no more use.
        let servers = RefCell::new(Servers::new());
        if let Err(failure) = runner.run(&case(), |case| {
            check(&mut servers.borrow_mut(), &case);
            Ok(())
        }) {
            panic!("{failure}");
        }
    };
    run(&mut runner);
    let seconds = std::env::var("TESSERA_INTERLEAVED_SECONDS").ok();
    let seconds = seconds.map_or(0, |text| text.parse().expect("a number of seconds"));
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        run(&mut runner);
    }
}

#[test]
fn arguments_of_a_refused_request_reach_nobody() {
    const CLIENTS: usize = 64;
    let mut servers = Servers::new();
    for refused in [
        [b"*4\r\n$1\r\na\r\n$3000\r\n", "x".repeat(3000).as_bytes(), b"\r\nX"].concat(),
        b"*3\r\n$4\r\nPING\r\nX".to_vec(),
        b"PING \"\r\n".to_vec(),
    ] {
        let clients = (0..CLIENTS)
            .map(|at| match at % 2 {
                0 => vec![refused.clone()],
                _ => vec![format!("HELLO 3\r\nSADD s{at} a\r\nSCARD s{at}\r\n").into_bytes()],
            })
            .collect();
        for password in [false, true] {
            let case = Case {
                password,
                clients: Vec::clone(&clients),
                order: vec![0],
                turns: vec![false],
            };
            let answers = check(&mut servers, &case);
            let good = answers.iter().skip(1).step_by(2);
            let last = if password { "-NOAUTH Authentication required" } else { ":1" };
            assert!(good.into_iter().all(|(text, _)| text.contains(last)), "{answers:?}");
        }
    }
}
