//! This engine and another server, which are given the same commands.

use crate::agree::{agree, name, word};
use crate::differences::{
    Case, Kind, When, consumers, in_common, on_purpose, same_digits, unasked,
};
use crate::draw::{DUMPED, Request};
use crate::harness::Client;
use crate::harness::peer::Peer;
use crate::harness::reply::Value;
use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};
use tessera_config::Config;
use tessera_engine::Outcome;
use tessera_slot::Millis;

/// Encodings change early, so that they change often.
const LIMITS: &[(&str, &str)] = &[
    ("hash-max-listpack-entries", "8"),
    ("hash-max-listpack-value", "64"),
    ("zset-max-listpack-entries", "8"),
    ("zset-max-listpack-value", "64"),
    ("list-max-listpack-size", "4"),
    ("list-compress-depth", "1"),
    ("set-max-intset-entries", "8"),
    ("stream-node-max-entries", "4"),
];
/// The limits that Redis 7.0 does not have.
const NEWER_LIMITS: &[(&str, &str)] =
    &[("set-max-listpack-entries", "8"), ("set-max-listpack-value", "64")];

/// Commands that may make their client wait.
const BLOCKING: &[&str] = &[
    "BLPOP",
    "BRPOP",
    "BLMOVE",
    "BRPOPLPUSH",
    "BLMPOP",
    "BZPOPMIN",
    "BZPOPMAX",
    "BZMPOP",
    "XREAD",
    "XREADGROUP",
];

/// A reply that differs.
#[derive(Debug, Clone)]
pub(crate) struct Difference {
    pub(crate) request: Request,
    pub(crate) ours: String,
    pub(crate) theirs: String,
}

/// The two.
pub(crate) struct Pair<'a> {
    client: Client,
    peer: &'a mut Peer,
    kind: Kind,
    /// The commands that wait for EXEC.
    queue: Option<Vec<Request>>,
    /// Whether keys may be watched.
    watching: bool,
    /// The names of the commands that were given.
    used: BTreeSet<String>,
}

pub(crate) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis() as u64
}

impl<'a> Pair<'a> {
    /// Both without any key.
    pub(crate) fn new(peer: &'a mut Peer, kind: Kind, resp3: bool) -> Pair<'a> {
        let mut config = Config::default();
        config.general.enable_debug_command = tessera_config::table::general::ProtectedAction::Yes;
        let mut pair = Pair {
            client: Client::with(config),
            peer,
            kind,
            queue: None,
            watching: false,
            used: BTreeSet::new(),
        };
        for words in [&["RESET"][..], &["FLUSHALL"], &["CONFIG", "RESETSTAT"]] {
            pair.peer.command(words);
        }
        let newer = if kind == Kind::Redis70 { &[][..] } else { NEWER_LIMITS };
        for (directive, value) in LIMITS.iter().chain(newer) {
            let reply = pair.both(&["CONFIG", "SET", directive, value]);
            assert_eq!(
                (&reply.0[..], &reply.1[..]),
                (&b"+OK\r\n"[..], &b"+OK\r\n"[..]),
                "{directive}"
            );
        }
        if kind == Kind::Redis70 {
            for (directive, value) in NEWER_LIMITS {
                pair.client.command(&["CONFIG", "SET", directive, value]);
            }
        }
        pair.both(&["HELLO", if resp3 { "3" } else { "2" }]);
        pair
    }

    fn both<A: AsRef<[u8]>>(&mut self, words: &[A]) -> (Vec<u8>, Vec<u8>) {
        self.client.now = Millis(unix_ms());
        let ours = self.client.command(words);
        let theirs = self.peer.command(words);
        (ours, theirs)
    }

    /// Gives both a command. `Some`: they do not agree.
    pub(crate) fn step(&mut self, request: &Request) -> Option<Difference> {
        let name = name(request);
        let chance = Chance::of(&name, request);
        let dumped = request.iter().any(|arg| arg.starts_with(DUMPED));
        let queued = self.queue.is_some();
        let now = match queued {
            true => When::Queued,
            false if self.watching => When::Watching,
            false => When::Always,
        };
        if queued && (chance.is_some() || dumped) || unasked(self.kind, now, request).is_some() {
            return None;
        }
        if self.is_beyond(request) || self.is_undefined(request) {
            return None;
        }
        self.used.insert(name.clone());
        let request = if dumped { &self.with_payloads(request) } else { request };
        match chance {
            Some(chance) => self.by_chance(chance, request),
            None => self.plain(&name, request),
        }
    }

    /// Digests of sorted sets in Redis 7.0, which are made of digits of scores that it writes in
    /// another way. And lets a consumer be there before something is claimed for it, where the
    /// other server makes none.
    fn is_beyond(&mut self, request: &Request) -> bool {
        let early = if self.kind == Kind::Redis70 { consumers(request) } else { Vec::new() };
        for [key, group, consumer] in early {
            self.both(&[&b"XGROUP"[..], b"CREATECONSUMER", key, group, consumer]);
        }
        let digest = self.kind == Kind::Redis70
            && name(request) == "DEBUG"
            && word(request, 1) == "DIGEST-VALUE";
        let mut is_scored = |key: &Vec<u8>| self.peer.command(&[&b"TYPE"[..], key]) == b"+zset\r\n";
        digest && (self.queue.is_some() || request[2..].iter().any(&mut is_scored))
    }

    /// Ranges of members of a sorted set whose scores are not the same: what a skip list finds then
    /// depends on the heights of its nodes.
    fn is_undefined(&mut self, request: &Request) -> bool {
        let name = name(request);
        let by_lex = name.starts_with('Z') && name.contains("LEX")
            || name.starts_with("ZRANGE")
                && (3..request.len()).any(|at| word(request, at) == "BYLEX");
        let key = if name == "ZRANGESTORE" { request.get(2) } else { request.get(1) };
        let Some(key) = key.filter(|_| by_lex) else { return false };
        let mut end = |at: &[u8]| {
            let found = self.peer.command(&[b"ZRANGE", &key[..], at, at, b"WITHSCORES"]);
            // The score is the last of all, in RESP3 within a pair.
            let last = Value::read(&found).parts().last().cloned()?;
            last.parts().last().cloned().or(Some(last))
        };
        self.queue.is_some() || end(b"0") != end(b"-1")
    }

    fn plain(&mut self, name: &str, request: &Request) -> Option<Difference> {
        let (ours, theirs) = self.replies(name, request);
        let difference = self.compare(request, &ours, &theirs);
        self.watching = match name {
            "WATCH" => true,
            "EXEC" | "DISCARD" | "RESET" | "UNWATCH" => false,
            _ => self.watching,
        };
        match name {
            "MULTI" if theirs.starts_with(b"+OK") => self.queue = Some(Vec::new()),
            "EXEC" | "DISCARD" | "RESET" if request.len() == 1 => self.queue = None,
            _ if theirs.starts_with(b"+QUEUED") => {
                self.queue.iter_mut().for_each(|queue| queue.push(request.clone()))
            }
            _ => {}
        }
        difference
    }

    fn replies(&mut self, name: &str, request: &Request) -> (Vec<u8>, Vec<u8>) {
        if !BLOCKING.contains(&name) {
            return self.both(request);
        }
        self.client.now = Millis(unix_ms());
        let mut ours = self.client.command(request);
        let waits = matches!(self.client.outcome, Outcome::Wait(_));
        if waits {
            let id = self.client.session.info.id;
            self.client.another().command(&["CLIENT", "UNBLOCK", &id.to_string()]);
            let mut answers =
                self.client.host.answers.lock().expect("no test has panicked with it");
            ours = answers.drain(..).flat_map(|(_, answer)| answer).collect();
        }
        let (theirs, waited) = self.peer.may_block(request);
        if waited.is_some_and(|waited| waited != waits) && !ours.starts_with(b"-") {
            ours = format!("-waits: {waits}, the other: {waited:?}\r\n").into_bytes();
        }
        (ours, theirs)
    }

    fn compare(&mut self, request: &Request, ours: &[u8], theirs: &[u8]) -> Option<Difference> {
        if ours == theirs {
            return None;
        }
        let (our_value, their_value) = (Value::read(ours), Value::read(theirs));
        let is_exec = name(request) == "EXEC";
        let parts = (our_value.parts(), their_value.parts());
        let asked = match &self.queue {
            Some(queue) if is_exec && [parts.0.len(), parts.1.len()] == [queue.len(); 2] => {
                let pairs = parts.0.iter().zip(parts.1);
                queue
                    .iter()
                    .zip(pairs)
                    .map(|(request, (ours, theirs))| (request, ours, theirs))
                    .collect()
            }
            _ => vec![(request, &our_value, &their_value)],
        };
        if !asked.iter().all(|(request, ours, theirs)| self.accepts(request, ours, theirs)) {
            let shown = |reply: &[u8]| reply.escape_ascii().to_string();
            let (ours, theirs) = (shown(ours), shown(theirs));
            return Some(Difference { request: request.clone(), ours, theirs });
        }
        if is_exec || self.queue.is_none() {
            // If only one of the two has done it on purpose, both must forget it.
            let parted =
                asked.iter().filter(|(_, ours, theirs)| ours.is_error() != theirs.is_error());
            let keys: Vec<Vec<u8>> =
                parted.flat_map(|(request, ..)| request[1..].to_vec()).collect();
            keys.iter().for_each(|key| self.forget(Some(key)));
        }
        None
    }

    /// Whether the replies agree, or differ on purpose.
    fn accepts(&self, request: &Request, ours: &Value, theirs: &Value) -> bool {
        let plain = |reply: &Value| {
            same_digits(self.kind, request, in_common(self.kind, request, reply.clone()))
        };
        agree(request, &plain(ours), &plain(theirs))
            || on_purpose(self.kind, &Case { request, ours, theirs, used: &self.used }).is_some()
    }

    /// The request with the payloads that the other server's DUMP gives.
    fn with_payloads(&mut self, request: &Request) -> Request {
        let mut payload = |arg: &Vec<u8>| match arg.strip_prefix(DUMPED) {
            Some(key) => Value::read(&self.peer.command(&[&b"DUMP"[..], key])).bytes().to_vec(),
            None => arg.clone(),
        };
        request.iter().map(&mut payload).collect()
    }
}

/// Replies that depend on chance.
#[derive(Clone, Copy)]
enum Chance {
    /// Elements drawn from what this command answers.
    Drawn(&'static str),
    /// An order that depends on the table behind it, and cursors.
    Walk {
        /// The position of the cursor.
        cursor: usize,
        /// How many values make one element.
        size: usize,
    },
    /// The time of the server becomes an id.
    Clock,
    /// The elements of a set as they lie in its table.
    Unsorted,
    /// Elements of the same weight.
    Ties,
}

impl Chance {
    fn of(name: &str, request: &Request) -> Option<Chance> {
        match name {
            "SPOP" | "SRANDMEMBER" => Some(Chance::Drawn("SMEMBERS")),
            "HRANDFIELD" => Some(Chance::Drawn("HGETALL")),
            "ZRANDMEMBER" => Some(Chance::Drawn("ZRANGE")),
            "RANDOMKEY" => Some(Chance::Drawn("KEYS")),
            "SCAN" => Some(Chance::Walk { cursor: 1, size: 1 }),
            "SSCAN" => Some(Chance::Walk { cursor: 2, size: 1 }),
            "HSCAN" | "ZSCAN" => {
                let is_without = |at| matches!(&*word(request, at), "NOVALUES" | "NOSCORES");
                let size = if (3..request.len()).any(is_without) { 1 } else { 2 };
                Some(Chance::Walk { cursor: 2, size })
            }
            "XADD" if request.iter().any(|arg| arg == b"*") => Some(Chance::Clock),
            "SORT" | "SORT_RO" => {
                let has = |option: &str| (2..request.len()).find(|&at| word(request, at) == option);
                let sorts = request.get(has("BY")? + 1)?.contains(&b'*');
                match sorts {
                    true => has("ALPHA").map(|_| Chance::Ties),
                    false => Some(Chance::Unsorted),
                }
            }
            _ => None,
        }
    }
}

impl Pair<'_> {
    fn by_chance(&mut self, chance: Chance, request: &Request) -> Option<Difference> {
        match chance {
            Chance::Drawn(from) => self.drawn(from, request),
            Chance::Walk { cursor, size } => self.walk(cursor, size, request),
            Chance::Clock => {
                let (ours, theirs) = self.both(request);
                let difference = self.compare(request, &ours, &theirs);
                if !theirs.starts_with(b"-") {
                    self.forget(request.get(1));
                }
                difference
            }
            Chance::Unsorted => {
                let key = request.get(1).cloned().unwrap_or_default();
                let is_set = self.peer.command(&[&b"TYPE"[..], &key]) == b"+set\r\n";
                self.unsorted(is_set, request)
            }
            Chance::Ties => self.unsorted(true, request),
        }
    }

    /// Has both forget a key that they can no longer agree upon.
    fn forget(&mut self, key: Option<&Vec<u8>>) {
        if let Some(key) = key {
            self.both(&[&b"DEL"[..], key]);
        }
    }

    fn drawn(&mut self, from: &str, request: &Request) -> Option<Difference> {
        let key = request.get(1).cloned().unwrap_or_default();
        let pool = match from {
            "KEYS" => self.peer.command(&["KEYS", "*"]),
            "ZRANGE" => self.peer.command(&[b"ZRANGE", &key[..], b"0", b"-1", b"WITHSCORES"]),
            _ => self.peer.command(&[from.as_bytes(), &key]),
        };
        let (ours, theirs) = self.both(request);
        let read = |reply: &[u8]| same_digits(self.kind, request, Value::read(reply));
        let (our_value, their_value) = (read(&ours), read(&theirs));
        let mut known = BTreeSet::new();
        leaves(&read(&pool), &mut known);
        let mut drawn = BTreeSet::new();
        leaves(&our_value, &mut drawn);
        let positive = request.len() == 3 && !word(request, 2).starts_with('-');
        let distinct = |value: &Value| value.parts().iter().collect::<BTreeSet<_>>().len();
        let shapes = same_shape(&our_value, &their_value);
        let fits = shapes
            && (our_value.is_error() || drawn.is_subset(&known))
            && (!positive || distinct(&our_value) == distinct(&their_value));
        if !fits {
            return self.compare(request, &ours, &theirs);
        }
        if name(request) == "SPOP" && !our_value.is_error() {
            let sizes = self.both(&[&b"SCARD"[..], &key]);
            self.forget(Some(&key));
            return self.compare(&vec![b"SCARD".to_vec(), key], &sizes.0, &sizes.1);
        }
        None
    }

    /// Follows the cursors of both to the end, and compares what was seen on the way.
    fn walk(&mut self, cursor: usize, size: usize, request: &Request) -> Option<Difference> {
        let (ours, theirs) = self.both(request);
        let (our_value, their_value) = (Value::read(&ours), Value::read(&theirs));
        let walkable = our_value.parts().len() == 2 && their_value.parts().len() == 2;
        if !walkable {
            return self.compare(request, &ours, &theirs);
        }
        if request.get(cursor).is_none_or(|from| from != b"0") {
            // In the middle of a walk that nobody has begun anything may be found.
            return None;
        }
        let (mut our_steps, mut their_steps) = (vec![our_value], vec![their_value]);
        while let Some(next) = next_cursor(&our_steps) {
            let reply = self.client.command(&moved(request, cursor, &next));
            our_steps.push(Value::read(&reply));
        }
        while let Some(next) = next_cursor(&their_steps) {
            let reply = self.peer.command(&moved(request, cursor, &next));
            their_steps.push(Value::read(&reply));
        }
        let kind = self.kind;
        let seen = |steps: Vec<Value>| -> BTreeSet<Vec<Value>> {
            let steps: Vec<Value> =
                steps.into_iter().map(|step| same_digits(kind, request, step)).collect();
            let lists = steps.iter().filter_map(|step| step.parts().get(1));
            lists.flat_map(|list| list.parts().chunks(size).map(<[Value]>::to_vec)).collect()
        };
        let (ours, theirs) = (seen(our_steps), seen(their_steps));
        (ours != theirs).then(|| Difference {
            request: request.clone(),
            ours: format!("in the whole walk {ours:?}"),
            theirs: format!("in the whole walk {theirs:?}"),
        })
    }

    /// SORT whose elements may come in any order.
    fn unsorted(&mut self, any_order: bool, request: &Request) -> Option<Difference> {
        let (ours, theirs) = self.both(request);
        if !any_order {
            return self.compare(request, &ours, &theirs);
        }
        let has = |option: &str| (2..request.len()).find(|&at| word(request, at) == option);
        if let Some(store) = has("STORE")
            && !theirs.starts_with(b"-")
        {
            self.forget(request.get(store + 1));
        }
        let (mut our_value, mut their_value) = (Value::read(&ours), Value::read(&theirs));
        our_value.sort_by_chunks(1);
        their_value.sort_by_chunks(1);
        let same = our_value == their_value
            || has("LIMIT").is_some() && same_shape(&our_value, &their_value);
        if same { None } else { self.compare(request, &ours, &theirs) }
    }
}

fn next_cursor(steps: &[Value]) -> Option<Vec<u8>> {
    assert!(steps.len() < 10_000, "a walk without end");
    let cursor = steps.last()?.parts().first()?.bytes().to_vec();
    (cursor != b"0").then_some(cursor)
}

fn moved(request: &Request, at: usize, cursor: &[u8]) -> Request {
    let mut request = request.clone();
    request[at] = cursor.to_vec();
    request
}

fn leaves(value: &Value, into: &mut BTreeSet<Vec<u8>>) {
    match value {
        Value::Many(_, parts) => parts.iter().for_each(|part| leaves(part, into)),
        Value::Null(_) => {}
        _ => drop(into.insert(value.bytes().to_vec())),
    }
}

/// Whether two replies differ in what their strings say alone.
fn same_shape(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Many(a, ours), Value::Many(b, theirs)) => {
            a == b
                && ours.len() == theirs.len()
                && ours.iter().zip(theirs).all(|(a, b)| same_shape(a, b))
        }
        (Value::Line(b'-', _), _) | (_, Value::Line(b'-', _)) => ours == theirs,
        (Value::Bulk(a, _), Value::Bulk(b, _)) | (Value::Line(a, _), Value::Line(b, _)) => a == b,
        _ => ours == theirs,
    }
}

impl Pair<'_> {
    /// The keys of the database, with their types, as the other server has them.
    pub(crate) fn keys(&mut self) -> Vec<(Vec<u8>, String)> {
        let keys = Value::read(&self.peer.command(&["KEYS", "*"]));
        let keys = keys.parts().iter().map(|key| key.bytes().to_vec());
        let mut kind = |key: Vec<u8>| {
            let kind = Value::read(&self.peer.command(&[&b"TYPE"[..], &key]));
            (key, String::from_utf8_lossy(kind.bytes()).into_owned())
        };
        keys.map(&mut kind).collect()
    }
}
