//! Public items that no other crate uses.

use std::collections::BTreeSet;

use tessera_tidy::Source;

use crate::{crate_of, none, sources};

/// Those that are public all the same: path, name, and the reason.
const PUBLIC_ALLOWED: &[(&str, &str, &str)] = &[
    (
        "crates/cluster/src/bus/mod.rs",
        "LIGHT_HEADERS",
        "the flags of the protocol are listed in full",
    ),
    ("crates/replication/src/session/mod.rs", "set_timeout", "for repl-timeout at run time"),
    (
        "crates/store/src/alloc/mod.rs",
        "HUGE_PAGES",
        "stands in a macro, which names it by `$crate`",
    ),
];

/// Whether a file belongs to the library of its crate, and not to its program or its tests.
fn is_library(source: &Source) -> bool {
    source.path.contains("/src/") && !source.path.ends_with("src/main.rs")
}

/// An item counts as used where its name stands in another crate, in the crate's own program, or in
/// its tests outside of `src`. A type is used, too, where it stands in another public item.
#[test]
fn public_items_are_used_elsewhere() {
    let sources = sources();
    let names: BTreeSet<&str> = sources.iter().map(|source| crate_of(&source.path)).collect();
    let mut complaints = Vec::new();
    for name in names {
        let is_own = |source: &&Source| crate_of(&source.path) == name && is_library(source);
        let (own, others): (Vec<&Source>, Vec<&Source>) = sources.iter().partition(is_own);
        let used: BTreeSet<&str> = others.iter().flat_map(|other| other.all_words()).collect();
        complaints.extend(unused(&own, &used));
    }
    none(complaints);
}

/// The complaints about the files of one library; `used` are the words of all other files.
fn unused(own: &[&Source], used: &BTreeSet<&str>) -> Vec<String> {
    let items: Vec<_> = own
        .iter()
        .flat_map(|source| source.public_items().into_iter().map(|item| (&source.path, item)))
        .collect();
    let silent: Vec<String> = own.iter().flat_map(|source| source.silent_uses()).collect();
    let stands_in = |text: &str, name: &str| {
        text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name)
    };
    let is_shown = |name: &str| {
        let others = items.iter().filter(|(_, other)| other.name != name);
        others.map(|(_, other)| &other.declaration).chain(&silent).any(|text| stands_in(text, name))
    };
    let mut complaints = Vec::new();
    for (path, item) in &items {
        let allowed =
            PUBLIC_ALLOWED.iter().any(|(file, name, _)| file == path && *name == item.name);
        let is_used = used.contains(item.name.as_str()) || (item.is_type && is_shown(&item.name));
        if !allowed && !is_used {
            complaints.push(format!("{path}:{}: no other crate uses {}", item.line, item.name));
        }
    }
    complaints
}
