//! The final state: every key, seen from all sides that do not show how a server writes it down.

use crate::draw::Request;
use crate::pair::{Difference, Pair};

/// Databases that keys are moved to.
const DATABASES: &[&str] = &["0", "1", "15"];

/// The commands that show a key of this type; `%` is the key.
fn views(kind: &str) -> &'static [&'static str] {
    match kind {
        "string" => &["GET %", "STRLEN %", "DEBUG DIGEST-VALUE %"],
        "list" => &["LLEN %", "LRANGE % 0 -1", "DEBUG DIGEST-VALUE %"],
        "hash" => &["HLEN %", "HGETALL %", "HSCAN % 0", "DEBUG DIGEST-VALUE %"],
        "set" => &["SCARD %", "SMEMBERS %", "SSCAN % 0", "DEBUG DIGEST-VALUE %"],
        "zset" => &[
            "ZCARD %",
            "ZRANGE % 0 -1 WITHSCORES",
            "ZRANGE % 0 -1 REV WITHSCORES",
            "ZRANGE % -inf +inf BYSCORE",
            "ZSCAN % 0",
            "DEBUG DIGEST-VALUE %",
        ],
        "stream" => &[
            "XLEN %",
            "XRANGE % - +",
            "XREVRANGE % + -",
            "XINFO STREAM %",
            "XINFO STREAM % FULL COUNT 0",
            "XINFO GROUPS %",
            "XINFO CONSUMERS % g",
            "XPENDING % g",
            "XPENDING % gg - + 100",
            "DEBUG DIGEST-VALUE %",
        ],
        _ => &[],
    }
}

/// Compares all keys of both.
pub(crate) fn compare_keys(pair: &mut Pair<'_>) -> Option<Difference> {
    let _ = pair.step(&words("DISCARD"));
    for database in DATABASES {
        if let Some(difference) = pair.step(&words(&format!("SELECT {database}"))) {
            return Some(difference);
        }
        if let Some(difference) = pair.step(&words("KEYS *")) {
            return Some(difference);
        }
        for (key, kind) in pair.keys() {
            let sides = ["TYPE %", "OBJECT ENCODING %", "PEXPIRETIME %"].iter().chain(views(&kind));
            for side in sides {
                if let Some(difference) = pair.step(&about(side, &key)) {
                    return Some(difference);
                }
            }
        }
    }
    None
}

fn words(line: &str) -> Request {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

fn about(side: &str, key: &[u8]) -> Request {
    words(side).into_iter().map(|word| if word == b"%" { key.to_vec() } else { word }).collect()
}
