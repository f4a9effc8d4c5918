//! The commands that are generated: all that both servers have, but for those that cannot be
//! compared this way.

use crate::draw::Table;
use crate::forms;
use crate::grammar::{self, Form};
use crate::harness::Client;
use crate::harness::peer::Peer;
use crate::harness::reply::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Commands of the families that the grammar does not draw.
const NOT_DRAWN: &[(&str, &str)] = &[
    ("wait", "waits for replicas, which neither has: see the forms"),
    ("pfselftest", "takes a second, and touches no key"),
    ("pfdebug", "TODENSE on a corrupt string and the like: see the forms"),
    ("migrate", "needs a third server"),
    ("sort", "by hand: what a pattern finds matters"),
    ("randomkey", "see the forms"),
];

/// Commands that are not compared.
const NOT_GENERATED: &[(&str, &str)] = &[
    ("client|help", "in words of its own"),
    ("client|id", "numbers of clients are not the same"),
    ("client|info", "speaks of the connection"),
    ("client|pause", "would stop the run"),
    ("client|unblock", "ends the waiting of the run's own commands"),
    ("cluster|help", "in words of its own"),
    (
        "command|docs",
        "in words of its own; what it says of arguments is what the run is drawn from",
    ),
    ("command|help", "in words of its own"),
    ("config|help", "in words of its own"),
    ("config|rewrite", "there is no file"),
    ("info", "speaks of the server"),
    ("lastsave", "speaks of the server"),
    ("lolwut", "in words of its own"),
    ("memory|doctor", "in words of its own"),
    ("memory|help", "in words of its own"),
    ("memory|malloc-stats", "of another allocator"),
    (
        "memory|purge",
        "an error where the allocator has nothing to purge, as in a build with libc's",
    ),
    ("memory|stats", "numbers of its own"),
    ("object|help", "in words of its own"),
    ("pfselftest", "takes a second, and touches no key"),
    ("psync", "makes the client a replica"),
    ("quit", "ends the connection"),
    ("replconf", "makes the client a replica"),
    ("sync", "makes the client a replica"),
    ("time", "the time"),
    ("xgroup|help", "in words of its own"),
    ("xinfo|help", "in words of its own"),
];

fn both(client: &mut Client, peer: &mut Peer, words: &[&str]) -> (Value, Value) {
    (Value::read(&client.command(words)), Value::read(&peer.command(words)))
}

/// The table to draw from: the forms of the commands that both servers have, as either tells them.
pub(crate) fn table(client: &mut Client, peer: &mut Peer) -> Table {
    let (ours, theirs) = both(client, peer, &["COMMAND", "DOCS"]);
    let (ours, theirs) = (grammar::read(&ours), grammar::read(&theirs));
    let mut table: BTreeMap<String, Vec<Form>> = BTreeMap::new();
    for (name, form) in ours {
        let Some(other) = theirs.get(&name) else { continue };
        let drawn = other.group != forms::SERVER
            && forms::FAMILIES.contains(&other.group.as_str())
            && !NOT_DRAWN.iter().any(|(not, _)| *not == name);
        if drawn {
            let mut ours = form.without_tokens_unknown_to(other);
            ours.group.clone_from(&other.group);
            table.insert(name, vec![other.clone(), ours]);
        }
    }
    Table { grammar: table }
}

fn names(list: &Value) -> BTreeSet<String> {
    list.parts()
        .iter()
        .map(|name| String::from_utf8_lossy(name.bytes()).to_ascii_lowercase())
        .collect()
}

/// The commands that are generated, subcommands as `container|name`.
fn generated(table: &Table) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = table.grammar.keys().cloned().collect();
    for form in forms::all() {
        let words: Vec<String> = form.split(' ').take(2).map(str::to_ascii_lowercase).collect();
        all.insert(words[0].clone());
        all.insert(words.join("|"));
    }
    all
}

/// Checks that every command of both is generated, or stands in the list of those that are not.
pub(crate) fn check(client: &mut Client, peer: &mut Peer) {
    let table = table(client, peer);
    let (ours, theirs) = both(client, peer, &["COMMAND", "LIST"]);
    let (ours, theirs) = (names(&ours), names(&theirs));
    let generated = generated(&table);
    let excused = |name: &str| NOT_GENERATED.iter().any(|(not, _)| name == *not);
    let missing: Vec<&String> = ours
        .intersection(&theirs)
        .filter(|name| !generated.contains(*name) && !excused(name))
        .collect();
    assert!(missing.is_empty(), "not generated: {missing:?}");
    let stale: Vec<_> =
        NOT_GENERATED.iter().filter(|(name, _)| generated.contains(*name)).collect();
    assert!(stale.is_empty(), "generated all the same: {stale:?}");
}
