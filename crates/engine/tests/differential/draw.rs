//! Draws commands: from the grammar of the command table, and from forms that are written by hand.

use crate::forms;
use crate::grammar::{Argument, Form};
use crate::random::Rng;
use crate::values;
use std::collections::BTreeMap;

/// A command with its arguments.
pub(crate) type Request = Vec<Vec<u8>>;

/// An argument that begins with this stands for what DUMP of the key behind it answers.
pub(crate) const DUMPED: &[u8] = b"\x01dump:";

/// Commands whose arguments are times: they are not given small numbers by chance, since what
/// expires within the run is answered by chance too.
const TIMED: &[&str] = &[
    "set",
    "getex",
    "setex",
    "psetex",
    "expire",
    "pexpire",
    "restore",
    "restore-asking",
    "expireat",
    "pexpireat",
];

/// The sets of keys, and the groups of commands that use them.
const FAMILIES: &[(&str, &[&str])] = &[
    ("string", &["s1", "s2", "{s}1", "key with spaces", ""]),
    ("bitmap", &["s1", "s2", "b1"]),
    ("hyperloglog", &["p1", "p2", "p3"]),
    ("list", &["l1", "l2", "l3"]),
    ("set", &["e1", "e2", "e3"]),
    ("hash", &["h1", "h2"]),
    ("sorted-set", &["z1", "z2", "z3"]),
    ("stream", &["x1", "x2"]),
    ("geo", &["g1", "g2"]),
];

/// The table to draw from, for one server to compare with.
pub(crate) struct Table {
    /// By name: the forms that both servers' tables give.
    pub(crate) grammar: BTreeMap<String, Vec<Form>>,
}

/// A writer of commands.
pub(crate) struct Author<'a> {
    table: &'a Table,
    pub(crate) rng: Rng,
    /// So that no two relative times are the same.
    unique: u64,
    now: u64,
    /// The family of the command that is being written.
    family: String,
    /// The number of keys that stands before them, and the place of that number.
    numkeys: Option<(usize, usize)>,
    /// The last id that was made for a new entry of a stream.
    last_id: u64,
}

impl<'a> Author<'a> {
    /// `now` in Unix ms.
    pub(crate) fn new(table: &'a Table, seed: u64, now: u64) -> Author<'a> {
        let rng = Rng::new(seed);
        Author { table, rng, unique: 0, now, family: String::new(), numkeys: None, last_id: 0 }
    }

    /// This many commands, most of one family or of all, some in transactions.
    pub(crate) fn write(&mut self, steps: usize) -> Vec<Request> {
        let theme = match self.rng.below(3) {
            0 => None,
            _ => Some(FAMILIES[self.rng.below(FAMILIES.len())].0),
        };
        let mut requests = Vec::new();
        while requests.len() < steps {
            match self.rng.below(40) {
                0 => self.transaction(theme, &mut requests),
                _ => requests.push(self.request(theme)),
            }
        }
        requests
    }

    fn transaction(&mut self, theme: Option<&str>, requests: &mut Vec<Request>) {
        let word = |word: &str| vec![word.as_bytes().to_vec()];
        if self.rng.percent(40) {
            let keys = (0..=self.rng.below(2)).map(|_| self.key()).collect::<Vec<_>>();
            requests.push([word("WATCH"), keys].concat());
            if self.rng.percent(40) {
                requests.push(self.request(theme));
            }
        }
        requests.push(word("MULTI"));
        for _ in 0..self.rng.below(7) {
            let request = self.request(theme);
            requests.push(request);
        }
        let end = self.rng.pick(&["EXEC", "EXEC", "EXEC", "EXEC", "EXEC", "DISCARD"]);
        requests.push(word(end));
    }

    fn request(&mut self, theme: Option<&str>) -> Request {
        let family = match theme {
            Some(theme) if self.rng.percent(80) => theme,
            _ => self.rng.pick(forms::FAMILIES),
        };
        let by_hand = forms::of(family);
        if !by_hand.is_empty() && (family == forms::SERVER || self.rng.percent(50)) {
            let line = self.rng.pick(by_hand);
            return apart(self.fill(family, line));
        }
        let table = self.table;
        let names: Vec<&String> = table
            .grammar
            .iter()
            .filter(|(_, forms)| forms[0].group == family)
            .map(|(name, _)| name)
            .collect();
        let forms = &table.grammar[names[self.rng.below(names.len())]];
        let form = self.rng.below(forms.len());
        let request = apart(self.derive(&forms[form]));
        if self.rng.percent(8) { self.spoilt(request) } else { request }
    }

    /// A command as its grammar says.
    fn derive(&mut self, form: &Form) -> Request {
        self.family = form.group.clone();
        self.numkeys = None;
        let name = form.name.clone();
        let name = if self.rng.percent(75) { name.to_ascii_uppercase() } else { name };
        let mut request = vec![name.into_bytes()];
        self.list(&form.name, &form.arguments, &mut request);
        request
    }

    fn list(&mut self, command: &str, arguments: &[Argument], request: &mut Request) {
        for argument in arguments {
            if argument.optional && !self.rng.percent(35) {
                continue;
            }
            let times = match argument.multiple {
                true => self.times(argument, request),
                false => 1,
            };
            for time in 0..times {
                if let Some(token) = &argument.token
                    && (time == 0 || argument.multiple_token)
                    && argument.kind != "pure-token"
                {
                    request.push(self.token(token));
                }
                self.one(command, argument, request);
            }
        }
    }

    /// How often an argument is repeated: keys with a number before them and their weights as often
    /// as that says.
    fn times(&mut self, argument: &Argument, request: &mut Request) -> usize {
        let mut times = 1;
        while times < 9 && self.rng.percent(50) {
            times += 1;
        }
        match self.numkeys {
            Some((at, _)) if argument.kind == "key" => {
                if !self.rng.percent(6) {
                    request[at] = times.to_string().into_bytes();
                }
                self.numkeys = Some((at, times));
            }
            Some((_, keys)) if argument.name == "weight" && !self.rng.percent(10) => return keys,
            _ => {}
        }
        times
    }

    fn token(&mut self, token: &str) -> Vec<u8> {
        let token = if token == "\"\"" { "" } else { token };
        if self.rng.percent(80) { token.to_owned() } else { token.to_ascii_lowercase() }
            .into_bytes()
    }

    fn one(&mut self, command: &str, argument: &Argument, request: &mut Request) {
        match argument.kind.as_str() {
            "oneof" => {
                let part = self.rng.below(argument.parts.len());
                let mut part = argument.parts[part].clone();
                part.optional = false;
                self.list(command, &[part], request);
            }
            "block" => self.list(command, &argument.parts, request),
            "pure-token" => {
                let token = self.token(argument.token.as_deref().unwrap_or(""));
                request.push(token);
            }
            "key" => {
                let key = self.key();
                request.push(key);
            }
            _ => {
                if argument.name == "numkeys" {
                    self.numkeys = Some((request.len(), 1));
                }
                let value = self.value(command, argument);
                request.push(value);
            }
        }
    }

    /// A key of the family, and now and then of another.
    fn key(&mut self) -> Vec<u8> {
        let family = FAMILIES.iter().position(|(name, _)| *name == self.family);
        let family = match family {
            Some(family) if !self.rng.percent(7) => family,
            _ => self.rng.below(FAMILIES.len()),
        };
        self.rng.pick(FAMILIES[family].1).as_bytes().to_vec()
    }

    /// A value for an argument of this name.
    fn value(&mut self, command: &str, argument: &Argument) -> Vec<u8> {
        let name = argument.name.replace('_', "-");
        let rng = &mut self.rng;
        match name.as_str() {
            "seconds" | "milliseconds" | "unix-time-seconds" | "unix-time-milliseconds"
                if command.starts_with("xread") =>
            {
                values::timeout(rng)
            }
            "milliseconds" if command == "wait" => b"0".to_vec(),
            "seconds" | "milliseconds" | "ttl" | "unix-time-seconds" | "unix-time-milliseconds" => {
                self.time(&name)
            }
            "timeout" => values::timeout(rng),
            "min-idle-time" | "ms" => {
                rng.pick(&[&b"0"[..], b"0", b"0", b"3600000", b"-1", b"x"]).to_vec()
            }
            "count" | "limit" | "num-matches" | "numkeys" | "len" => values::count(rng),
            "cursor" => rng.pick(&[&b"0"[..], b"0", b"0", b"x", b"", b" 0", b"-"]).to_vec(),
            "db" | "destination-db" | "index1" | "index2" => {
                rng.pick(&[&b"0"[..], b"1", b"15", b"16", b"x", b"-1"]).to_vec()
            }
            "longitude" => values::longitude(rng),
            "latitude" => values::latitude(rng),
            "radius" | "width" | "height" => values::distance(rng),
            "score" => values::score(rng),
            "min" | "max" if argument.kind == "double" => values::bound(rng),
            "min" | "max" if command.contains("lex") => values::lex(rng),
            "min" | "max" => values::any_bound(rng),
            "start" | "end" | "stop" if command == "zrange" => values::any_bound(rng),
            "start" | "end" if command.starts_with('x') => values::id(rng),
            "increment" if self.family == "sorted-set" => values::score(rng),
            "increment" | "increment-float" if command.ends_with("float") => values::float(rng),
            "id" if command == "xadd" => self.new_id(),
            "id" | "last-id" | "lastid" | "max-deleted-entry-id" | "entry-id" => values::id(rng),
            "threshold" => match rng.below(3) {
                0 => values::id(rng),
                _ => values::count(rng),
            },
            "group" => rng.pick(&[&b"g"[..], b"g", b"g", b"gg", b"nogroup", b""]).to_vec(),
            "consumer" => rng.pick(&[&b"alice"[..], b"alice", b"bob", b"", b"carol"]).to_vec(),
            "encoding" => values::bits_kind(rng),
            "offset" if self.family == "bitmap" => values::bit_offset(rng),
            "bit" => rng.pick(&[&b"0"[..], b"1", b"1", b"2", b"x"]).to_vec(),
            "value" if command == "setbit" => {
                rng.pick(&[&b"0"[..], b"1", b"1", b"2", b"x"]).to_vec()
            }
            "operation" => rng.pick(&[&b"AND"[..], b"or", b"XOR", b"NOT", b"NAND"]).to_vec(),
            "type" => rng
                .pick(&[&b"string"[..], b"hash", b"STRING", b"list", b"zset", b"stream", b"set"])
                .to_vec(),
            "serialized-value" => match rng.below(6) {
                0 => values::value(rng),
                _ => [DUMPED, &self.key()].concat(),
            },
            "pattern" => values::pattern(rng),
            "weight" => values::score(rng),
            "element" | "value" | "pivot" | "field" | "message" => values::value(rng),
            name if name.starts_with("member") => values::member(rng),
            _ => match argument.kind.as_str() {
                "integer" => values::integer(rng),
                "double" => values::score(rng),
                _ => values::value(rng),
            },
        }
    }

    /// A time far from now, or one that is refused or has passed.
    fn time(&mut self, name: &str) -> Vec<u8> {
        if self.rng.percent(15) {
            return values::bad_time(&mut self.rng);
        }
        self.unique += 1;
        let far = 10_000 + self.rng.next() % 50 * 1_000 + self.unique;
        let time = match name {
            "seconds" => far,
            "unix-time-seconds" => self.now / 1000 + far,
            "unix-time-milliseconds" => self.now + far * 1000 + 7,
            _ => far * 1000,
        };
        time.to_string().into_bytes()
    }

    /// An id for a new entry: mostly one behind the last.
    fn new_id(&mut self) -> Vec<u8> {
        match self.rng.below(12) {
            0 => values::id(&mut self.rng),
            1 => b"*".to_vec(),
            2 => format!("{}-*", self.last_id).into_bytes(),
            3 => self.last_id.to_string().into_bytes(),
            _ => {
                self.last_id += self.rng.next() % 3;
                format!("{}-{}", self.last_id, self.rng.below(3)).into_bytes()
            }
        }
    }

    /// A command with one argument dropped, doubled, exchanged for another or for a hostile one.
    fn spoilt(&mut self, mut request: Request) -> Request {
        if request.len() < 2 {
            return request;
        }
        let at = 1 + self.rng.below(request.len() - 1);
        let name = String::from_utf8_lossy(&request[0]).to_ascii_lowercase();
        let ways = if TIMED.contains(&name.as_str()) { 2 } else { 4 };
        match self.rng.below(ways) {
            0 => drop(request.remove(at)),
            1 => request.insert(at, request[at].clone()),
            2 => {
                let other = 1 + self.rng.below(request.len() - 1);
                request.swap(at, other);
            }
            _ => request[at] = self.rng.pick(values::HOSTILE).to_vec(),
        }
        request
    }

    /// Fills a form: see [`forms`].
    fn fill(&mut self, family: &str, form: &str) -> Request {
        self.family = family.to_owned();
        form.split(' ').map(|word| self.word(word)).collect()
    }

    fn word(&mut self, word: &str) -> Vec<u8> {
        let rng = &mut self.rng;
        match word {
            "%k" => self.key(),
            "%K" => {
                let family = rng.below(FAMILIES.len());
                rng.pick(FAMILIES[family].1).as_bytes().to_vec()
            }
            "%h" => rng.pick(&[&b"p1"[..], b"p2", b"p3"]).to_vec(),
            "%v" => values::value(rng),
            "%n" => values::integer(rng),
            "%c" => values::count(rng),
            "%f" => values::float(rng),
            "%u" => values::score(rng),
            "%r" => values::bound(rng),
            "%l" => values::lex(rng),
            "%x" => values::id(rng),
            "%X" => self.new_id(),
            "%b" => rng.below(600).to_string().into_bytes(),
            "%j" => rng.between(-40, 700).to_string().into_bytes(),
            "%i" => values::bits_kind(rng),
            "%o" => values::longitude(rng),
            "%a" => values::latitude(rng),
            "%w" => values::distance(rng),
            "%p" => values::pattern(rng),
            "%T" => values::timeout(rng),
            "%d" => rng.pick(&[&b"0"[..], b"1", b"15", b"16", b"x"]).to_vec(),
            "%N" => values::bad_time(rng),
            "%e" => self.time("seconds"),
            "%E" => self.time("milliseconds"),
            "%s" => self.time("unix-time-seconds"),
            "%m" => self.time("unix-time-milliseconds"),
            "%D" => [DUMPED, &self.key()].concat(),
            // Any case will do for the words of a command.
            word if self.rng.percent(20) => word.to_ascii_lowercase().into_bytes(),
            word => word.as_bytes().to_vec(),
        }
    }
}

/// Has distances stored to a key that no search reads: many members would be at one place, and
/// which of them comes first is not defined.
fn apart(mut request: Request) -> Request {
    let options = request.iter().position(|arg| arg.eq_ignore_ascii_case(b"STOREDIST"));
    let place = match options {
        Some(_) if request[0].eq_ignore_ascii_case(b"GEOSEARCHSTORE") => 1,
        Some(at) => at + 1,
        None => return request,
    };
    if let Some(key) = request.get_mut(place) {
        *key = b"distances".to_vec();
    }
    request
}
