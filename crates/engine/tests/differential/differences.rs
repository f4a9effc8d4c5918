//! The differences from the other server that are on purpose. Each entry is as narrow as it can be;
//! `docs/compatibility.md` says the same to users.

use crate::agree::{name, word};
use crate::draw::Request;
use crate::harness::reply::Value;
use std::collections::BTreeSet;

/// The server to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Redis 7.0.
    Redis70,
    /// Valkey 8.
    Valkey8,
}

/// A command and what both have answered.
pub(crate) struct Case<'a> {
    pub(crate) request: &'a Request,
    pub(crate) ours: &'a Value,
    pub(crate) theirs: &'a Value,
    /// The names of the commands that were given since the beginning.
    pub(crate) used: &'a BTreeSet<String>,
}

/// A difference on purpose.
struct Purpose {
    /// The difference, and the reason.
    what: &'static str,
    /// From which servers.
    from: &'static [Kind],
    holds: fn(&Case<'_>) -> bool,
}

impl Case<'_> {
    fn is(&self, command: &str) -> bool {
        name(self.request) == command
    }

    fn answers_with(&self, ours: &[&str]) -> bool {
        ours.iter().any(|text| self.ours.bytes() == text.as_bytes())
    }

    fn answers(&self, ours: &str, theirs: &str) -> bool {
        self.ours.bytes() == ours.as_bytes() && self.theirs.bytes() == theirs.as_bytes()
    }
}

/// The differences on purpose.
const ON_PURPOSE: &[Purpose] = &[
    Purpose {
        what: "small sets are listpacks and short lists too since Redis 7.2",
        from: &[Kind::Redis70],
        holds: |case| {
            case.is("OBJECT")
                && word(case.request, 1) == "ENCODING"
                && (case.answers("listpack", "hashtable") || case.answers("listpack", "quicklist"))
        },
    },
    Purpose {
        what: "SCAN with a type that does not exist is an error in Valkey 8",
        from: &[Kind::Redis70],
        holds: |case| case.is("SCAN") && case.ours.bytes().starts_with(b"ERR unknown type name"),
    },
    Purpose {
        what: "READONLY and READWRITE are accepted outside cluster mode too, as in Valkey 8",
        from: &[Kind::Redis70],
        holds: |case| {
            (case.is("READONLY") || case.is("READWRITE"))
                && case.answers("OK", "ERR This instance has cluster support disabled")
        },
    },
    Purpose {
        what: "BITCOUNT takes a start without an end, as in Valkey 8",
        from: &[Kind::Redis70],
        holds: |case| case.is("BITCOUNT") && case.request.len() == 3,
    },
    Purpose {
        what: "BITCOUNT and BITPOS read their arguments, in order, before they look for the key, as in Valkey 8",
        from: &[Kind::Redis70],
        holds: |case| (case.is("BITCOUNT") || case.is("BITPOS")) && case.ours.is_error(),
    },
    Purpose {
        what: "SORT leaves a small sorted set a listpack",
        from: &[Kind::Redis70, Kind::Valkey8],
        holds: |case| {
            (case.used.contains("SORT") || case.used.contains("SORT_RO"))
                && case.is("OBJECT")
                && word(case.request, 1) == "ENCODING"
                && case.answers("listpack", "skiplist")
        },
    },
    Purpose {
        what: "a sorted set that SORT has left a listpack has no negative zero",
        from: &[Kind::Valkey8],
        holds: |case| {
            (case.used.contains("SORT") || case.used.contains("SORT_RO"))
                && unsigned_zeros(case.ours.clone()) == unsigned_zeros(case.theirs.clone())
        },
    },
    Purpose {
        what: "SETBIT that changes no bit leaves the string as it is",
        from: &[Kind::Redis70, Kind::Valkey8],
        holds: |case| {
            case.used.contains("SETBIT")
                && case.is("OBJECT")
                && word(case.request, 1) == "ENCODING"
                && (case.answers("int", "raw") || case.answers("embstr", "raw"))
        },
    },
    Purpose {
        what: "a small sorted set or hash is converted for what a command brings, even if it stays small, since Redis 7.2",
        from: &[Kind::Redis70],
        holds: |case| {
            let used = |names: &[&str]| names.iter().any(|name| case.used.contains(*name));
            let scores = used(&["ZADD", "GEOADD"]) && case.answers("skiplist", "listpack");
            let fields = used(&["HSET", "HMSET"]) && case.answers("hashtable", "listpack");
            case.is("OBJECT") && word(case.request, 1) == "ENCODING" && (scores || fields)
        },
    },
    Purpose {
        what: "XSETID does not go back behind what was deleted, since Redis 7.2",
        from: &[Kind::Redis70],
        holds: |case| {
            let text =
                "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id";
            case.answers_with(&[text])
        },
    },
    Purpose {
        what: "LREM refuses a count whose negative is no integer, since Redis 7.2",
        from: &[Kind::Redis70],
        holds: |case| {
            case.is("LREM")
                && word(case.request, 2) == "-9223372036854775808"
                && case.ours.bytes().starts_with(b"ERR value is out of range, value must between")
        },
    },
    Purpose {
        what: "a timeout that leads beyond the end of time is out of range, since Redis 7.2",
        from: &[Kind::Redis70],
        holds: |case| case.answers_with(&["ERR timeout is out of range"]),
    },
    Purpose {
        what: "the text about unbalanced streams names the command, since Redis 7.2",
        from: &[Kind::Redis70],
        holds: |case| {
            case.ours.bytes().starts_with(b"ERR Unbalanced 'xread")
                && case.theirs.bytes().starts_with(b"ERR Unbalanced XREAD list of streams")
        },
    },
    Purpose {
        what: "LPOS refuses a rank whose negative is no integer, since Redis 7.2",
        from: &[Kind::Redis70],
        holds: |case| {
            case.is("LPOS")
                && case.request.iter().any(|arg| arg == b"-9223372036854775808")
                && case.ours.bytes().starts_with(b"ERR value is out of range, value must between")
        },
    },
    Purpose {
        what: "a cursor is a number without sign, spaces and leading zeros; other servers read more than SCAN ever gives",
        from: &[Kind::Redis70, Kind::Valkey8],
        holds: |case| {
            name(case.request).ends_with("SCAN") && case.ours.bytes() == b"ERR invalid cursor"
        },
    },
    Purpose {
        what: "whether a string is embstr depends on its length alone; in Valkey 8.1 on that of its key too",
        from: &[Kind::Valkey8],
        holds: |case| {
            case.is("OBJECT")
                && word(case.request, 1) == "ENCODING"
                && case.answers("embstr", "raw")
        },
    },
    Purpose {
        what: "names in the texts of errors are shown whole, with U+FFFD for what is no UTF-8; elsewhere they end at a zero byte",
        from: &[Kind::Redis70, Kind::Valkey8],
        holds: |case| {
            let is_odd = |arg: &Vec<u8>| arg.contains(&0) || std::str::from_utf8(arg).is_err();
            case.ours.is_error()
                && case.theirs.is_error()
                && case.ours.bytes().get(..8) == case.theirs.bytes().get(..8)
                && case.request.iter().any(is_odd)
        },
    },
    Purpose {
        what: "CLIENT LIST and KILL tell of a bad id as Redis does; Valkey 8.1 calls it a syntax error",
        from: &[Kind::Valkey8],
        holds: |case| {
            case.is("CLIENT")
                && (case.answers("ERR Invalid client ID", "ERR syntax error")
                    || case.answers("ERR client-id should be greater than 0", "ERR syntax error"))
        },
    },
    Purpose {
        what: "a number does not end at a zero byte",
        from: &[Kind::Redis70, Kind::Valkey8],
        holds: |case| {
            case.answers_with(&[
                "ERR min or max is not a float",
                "ERR value is not a valid float",
                "ERR weight value is not a float",
                "ERR One or more scores can't be converted into double",
            ]) && (case.is("SORT")
                || case.is("SORT_RO")
                || case.request.iter().any(|arg| arg.contains(&0)))
        },
    },
    Purpose {
        what: "PFDEBUG refuses corrupt registers, which other servers show as far as they go",
        from: &[Kind::Redis70, Kind::Valkey8],
        holds: |case| {
            case.is("PFDEBUG") && case.answers_with(&["INVALIDOBJ Corrupted HLL object detected"])
        },
    },
    Purpose {
        what: "a text that SORT compares does not end at a zero byte",
        from: &[Kind::Redis70, Kind::Valkey8],
        holds: |case| {
            let has_zero =
                |reply: &Value| reply.parts().iter().any(|element| element.bytes().contains(&0));
            name(case.request).starts_with("SORT")
                && (2..case.request.len()).any(|at| word(case.request, at) == "ALPHA")
                && case.ours.parts().len() == case.theirs.parts().len()
                && (has_zero(case.ours) || has_zero(case.theirs))
        },
    },
    Purpose {
        what: "SORT forgets what an earlier number was; elsewhere one that was too large or small spoils the next",
        from: &[Kind::Redis70, Kind::Valkey8],
        holds: |case| {
            (case.is("SORT") || case.is("SORT_RO"))
                && !case.ours.is_error()
                && case.theirs.bytes() == b"ERR One or more scores can't be converted into double"
        },
    },
    Purpose {
        what: "XREAD finds nothing at the + of a stream whose last id is 0-0; in Valkey 8.1 that is an error",
        from: &[Kind::Valkey8],
        holds: |case| {
            case.is("XREAD") && case.theirs.bytes() == b"ERR the stream last element ID is 0-0"
        },
    },
    Purpose {
        what: "LSET and LINSERT that change nothing leave a short list a listpack",
        from: &[Kind::Valkey8],
        holds: |case| {
            (case.used.contains("LSET") || case.used.contains("LINSERT"))
                && case.is("OBJECT")
                && word(case.request, 1) == "ENCODING"
                && case.answers("listpack", "quicklist")
        },
    },
    Purpose {
        what: "OBJECT REFCOUNT is 1, since nothing is shared",
        from: &[Kind::Redis70, Kind::Valkey8],
        holds: |case| {
            case.is("OBJECT") && word(case.request, 1) == "REFCOUNT" && case.ours.bytes() == b"1"
        },
    },
    Purpose {
        what: "a small integer that Redis shares is idle since any key had it last; here each key is idle by itself",
        from: &[Kind::Redis70],
        holds: |case| {
            case.is("OBJECT")
                && word(case.request, 1) == "IDLETIME"
                && case.ours.integer().zip(case.theirs.integer()).is_some_and(|(a, b)| a < b)
        },
    },
];

/// When a command is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// At any time.
    Always,
    /// Between MULTI and EXEC.
    Queued,
    /// While keys are watched.
    Watching,
}

/// A command that the two are not asked, since what it leaves behind differs on purpose.
struct Unasked {
    /// What it is, and why.
    what: &'static str,
    from: &'static [Kind],
    when: When,
    is: fn(&Request) -> bool,
}

/// The commands that are not sent.
const UNASKED: &[Unasked] = &[
    Unasked {
        what: "CLUSTER commands that change the cluster are refused in transactions: their effects must be on disk before the answer",
        from: &[Kind::Redis70, Kind::Valkey8],
        when: When::Queued,
        is: |request| name(request) == "CLUSTER",
    },
    Unasked {
        what: "MULTI and WATCH within MULTI are refused like other commands since Redis 7.2",
        from: &[Kind::Redis70],
        when: When::Queued,
        is: |request| matches!(name(request).as_str(), "MULTI" | "WATCH"),
    },
    Unasked {
        what: "XCLAIM, XAUTOCLAIM and XREADGROUP create the consumer even if there is nothing for it, since Redis 7.2: here it is created before",
        from: &[Kind::Redis70],
        when: When::Queued,
        is: claims,
    },
    Unasked {
        what: "BITFIELD saturates a very negative number downwards; elsewhere the test for it wraps around, and it becomes the highest",
        from: &[Kind::Redis70, Kind::Valkey8],
        when: When::Always,
        is: |request| {
            let low = |arg: &Vec<u8>| arg.starts_with(b"-9223372036854775");
            name(request) == "BITFIELD"
                && (2..request.len()).any(|at| word(request, at) == "OVERFLOW")
                && request.iter().any(low)
        },
    },
    Unasked {
        what: "WATCH sees changes of a stream's groups too",
        from: &[Kind::Redis70, Kind::Valkey8],
        when: When::Watching,
        is: |request| {
            let names = ["XGROUP", "XREADGROUP", "XACK", "XCLAIM", "XAUTOCLAIM", "XSETID"];
            names.contains(&name(request).as_str())
        },
    },
    Unasked {
        what: "the index of LSET is not cut off to 32 bits",
        from: &[Kind::Redis70, Kind::Valkey8],
        when: When::Always,
        is: |request| {
            let index = std::str::from_utf8(request.get(2).map_or(b"", |index| index)).ok();
            let index = index.and_then(|index| index.parse::<i64>().ok());
            name(request) == "LSET" && index.is_some_and(|index| i32::try_from(index).is_err())
        },
    },
    Unasked {
        what: "names of clients are checked beyond a zero byte too",
        from: &[Kind::Redis70, Kind::Valkey8],
        when: When::Always,
        is: |request| {
            matches!(name(request).as_str(), "CLIENT" | "HELLO")
                && request.iter().any(|arg| arg.contains(&0))
        },
    },
    Unasked {
        what: "LIMIT with a negative offset finds nothing; in a skip list Valkey 8.1 finds something",
        from: &[Kind::Valkey8],
        when: When::Always,
        is: |request| {
            let limit = (4..request.len()).find(|&at| word(request, at) == "LIMIT");
            name(request).starts_with('Z')
                && limit.is_some_and(|at| word(request, at + 1).starts_with('-'))
        },
    },
    Unasked {
        what: "a time to live that leads beyond the end of time is kept; elsewhere it wraps around, and the key is gone",
        from: &[Kind::Redis70, Kind::Valkey8],
        when: When::Always,
        is: |request| {
            name(request).starts_with("RESTORE") && word(request, 2) == "9223372036854775807"
        },
    },
    Unasked {
        what: "XREAD knows + as the last entry since Redis 7.4, and XREADGROUP has a text of its own about it",
        from: &[Kind::Redis70],
        when: When::Always,
        is: |request| name(request).starts_with("XREAD") && request.iter().any(|arg| arg == b"+"),
    },
    Unasked {
        what: "the counters of a stream end at the largest number; elsewhere they wrap around",
        from: &[Kind::Redis70, Kind::Valkey8],
        when: When::Always,
        is: |request| {
            matches!(name(request).as_str(), "XSETID" | "XGROUP")
                && request[2..].iter().any(|arg| arg == b"9223372036854775807")
        },
    },
    Unasked {
        what: "a group has never read more than was added; elsewhere its lag becomes negative",
        from: &[Kind::Redis70, Kind::Valkey8],
        when: When::Always,
        is: |request| {
            let number_behind = |option: &str| {
                let at = (2..request.len()).find(|&at| word(request, at) == option)?;
                std::str::from_utf8(request.get(at + 1)?).ok()?.parse::<i64>().ok()
            };
            match name(request).as_str() {
                // The stream may be empty.
                "XGROUP" => number_behind("ENTRIESREAD").is_some_and(|read| read > 0),
                "XSETID" => number_behind("ENTRIESADDED").is_some_and(|added| added < 100),
                _ => false,
            }
        },
    },
    Unasked {
        what: "ZRANK and ZREVRANK know WITHSCORE since Redis 7.2",
        from: &[Kind::Redis70],
        when: When::Always,
        is: |request| matches!(name(request).as_str(), "ZRANK" | "ZREVRANK") && request.len() == 4,
    },
];

/// Whether it names a consumer that it creates.
fn claims(request: &Request) -> bool {
    !consumers(request).is_empty()
}

/// Streams, groups and consumers that a command creates on its way.
pub(crate) fn consumers(request: &Request) -> Vec<[&[u8]; 3]> {
    match name(request).as_str() {
        "XCLAIM" | "XAUTOCLAIM" if request.len() > 3 => {
            vec![[&request[1], &request[2], &request[3]]]
        }
        "XREADGROUP" if request.len() > 3 => {
            let streams = (4..request.len()).find(|&at| word(request, at) == "STREAMS");
            let named = streams.map_or(&[][..], |at| &request[at + 1..]);
            let keys = named[..named.len() / 2].iter();
            keys.map(|key| [&key[..], &request[2], &request[3]]).collect()
        }
        _ => Vec::new(),
    }
}

/// Why the two are not asked this, if they are not.
pub(crate) fn unasked(kind: Kind, now: When, request: &Request) -> Option<&'static str> {
    let holds = |entry: &&Unasked| {
        let is_now = entry.when == When::Always || entry.when == now;
        entry.from.contains(&kind) && is_now && (entry.is)(request)
    };
    UNASKED.iter().find(holds).map(|entry| entry.what)
}

/// The entry of the list that allows this, if any.
pub(crate) fn on_purpose(kind: Kind, case: &Case<'_>) -> Option<&'static str> {
    let holds = |purpose: &&Purpose| purpose.from.contains(&kind) && (purpose.holds)(case);
    ON_PURPOSE.iter().find(holds).map(|purpose| purpose.what)
}

/// Both replies with their numbers written in one way: Redis 7.0 writes 17 digits of a score where
/// later ones write as few as tell it from its neighbours.
pub(crate) fn same_digits(kind: Kind, request: &Request, reply: Value) -> Value {
    let name = name(request);
    let writes_scores = name.starts_with(['Z', 'B', 'G']) || name == "SORT" || name == "SORT_RO";
    // ZSCAN writes 17 digits of what is not a listpack everywhere, and SORT makes it one elsewhere.
    if (kind == Kind::Redis70 || name == "ZSCAN") && writes_scores {
        rewritten(reply)
    } else {
        reply
    }
}

/// A reply whose negative zeros are zeros: a listpack has none.
fn unsigned_zeros(reply: Value) -> Value {
    with_texts(reply, &|bytes| if bytes == b"-0" { b"0".to_vec() } else { bytes })
}

fn rewritten(reply: Value) -> Value {
    // Redis 7.0 begins with a listpack.
    with_texts(unsigned_zeros(reply), &|bytes| {
        let text = std::str::from_utf8(&bytes).unwrap_or("");
        match text.parse::<f64>() {
            Ok(number) if text.contains(['.', 'e']) || text.len() > 16 => {
                format!("{number:e}").into_bytes()
            }
            _ => bytes,
        }
    })
}

/// A reply whose texts and floating point numbers are changed.
fn with_texts(reply: Value, change: &dyn Fn(Vec<u8>) -> Vec<u8>) -> Value {
    match reply {
        Value::Bulk(sign, bytes) => Value::Bulk(sign, change(bytes)),
        Value::Line(b',', bytes) => Value::Line(b',', change(bytes)),
        Value::Many(sign, parts) => {
            Value::Many(sign, parts.into_iter().map(|part| with_texts(part, change)).collect())
        }
        other => other,
    }
}

/// A reply without what only one of the two has: the fields that XINFO got with Redis 7.2, and the
/// nodes of a radix tree, which is not here.
pub(crate) fn in_common(kind: Kind, request: &Request, reply: Value) -> Value {
    let mut reply = reply;
    if name(request) == "XINFO" {
        drop_pairs(&mut reply, &["radix-tree-nodes"]);
        if kind == Kind::Redis70 {
            // Entries that were trimmed unread are counted otherwise since Redis 7.4.
            drop_pairs(&mut reply, &["active-time", "inactive", "entries-read", "lag"]);
        }
    }
    reply
}

fn drop_pairs(reply: &mut Value, names: &[&str]) {
    let Some(parts) = reply.parts_mut() else { return };
    while let Some(at) =
        parts.iter().position(|part| names.iter().any(|name| part.bytes() == name.as_bytes()))
    {
        parts.drain(at..(at + 2).min(parts.len()));
    }
    parts.iter_mut().for_each(|part| drop_pairs(part, names));
}
