//! Commands of Redis 7.2 and Valkey 8 that this version does not have.
//!
//! They are answered as what they are, so that nobody looks for a mistake in the spelling. They are
//! in no listing: clients that ask with COMMAND what there is are told the truth.

/// Their names in lower case, sorted; of a command with subcommands either the command or, where
/// others of its subcommands are there, `command|subcommand`.
const ABSENT: &[&str] = &[
    "acl",
    "bgrewriteaof",
    "bgsave",
    "client|caching",
    "client|capa",
    "client|import-source",
    "client|tracking",
    "cluster|slot-stats",
    "commandlog",
    "eval",
    "eval_ro",
    "evalsha",
    "evalsha_ro",
    "failover",
    "fcall",
    "fcall_ro",
    "function",
    "latency",
    "migrate",
    "module",
    "monitor",
    "psubscribe",
    "publish",
    "pubsub",
    "punsubscribe",
    "save",
    "script",
    "slowlog",
    "spublish",
    "ssubscribe",
    "subscribe",
    "sunsubscribe",
    "unsubscribe",
    "waitaof",
];

/// The entry for this name, given in any case: `eval`, `client|capa`.
pub(crate) fn absent(name: &[u8]) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    let at = ABSENT.binary_search_by(|known| known.as_bytes().cmp(&lower)).ok()?;
    Some(ABSENT[at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::find_named;

    #[test]
    fn what_is_absent_is_in_order_and_not_in_the_table() {
        assert!(ABSENT.is_sorted());
        for name in ABSENT {
            assert!(find_named(name.as_bytes()).is_none(), "{name} is there");
            assert_eq!(absent(name.to_ascii_uppercase().as_bytes()), Some(*name));
        }
        assert_eq!(absent(b"evil"), None);
    }
}
