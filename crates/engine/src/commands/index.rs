//! The index of all commands: the families' tables, one after another, and the way from a name to
//! its entry.
//!
//! Handlers do not need it, but for those of COMMAND, INFO and the like, which show all commands.

use super::{
    bitmap, cluster, connection, generic, geo, hash, hyperloglog, list, server, set, sorted_set,
    stream, string, transaction,
};
use crate::Args;
use crate::command::Command;
use std::sync::LazyLock;

/// The families' tables.
const FAMILIES: &[&[Command]] = &[
    connection::COMMANDS,
    string::COMMANDS,
    list::COMMANDS,
    set::COMMANDS,
    hash::COMMANDS,
    sorted_set::COMMANDS,
    geo::COMMANDS,
    stream::COMMANDS,
    bitmap::COMMANDS,
    hyperloglog::COMMANDS,
    generic::COMMANDS,
    transaction::COMMANDS,
    server::COMMANDS,
    cluster::COMMANDS,
];

/// A command in the index.
pub(super) struct Indexed {
    pub(super) command: &'static Command,
    /// For a subcommand: the index of its parent.
    pub(super) parent: Option<u32>,
}

/// Every command in the order of the tables, each followed by its subcommands.
pub(super) static ALL: LazyLock<Vec<Indexed>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for command in FAMILIES.iter().flat_map(|family| family.iter()) {
        let at = all.len() as u32;
        all.push(Indexed { command, parent: None });
        for command in command.subcommands {
            all.push(Indexed { command, parent: Some(at) });
        }
    }
    all
});

/// Places of the name table; a power of two with room to spare.
const BUCKETS: usize = 1024;

/// A hash table from names to indices in [`ALL`], plus 1; 0 is free. A name is its first word,
/// which is all of it for the usual commands, and the comparison in [`by_name`] where it is longer.
struct Names([(u64, u16); BUCKETS]);

static BY_NAME: LazyLock<Box<Names>> = LazyLock::new(|| {
    let mut names = Box::new(Names([(0, 0); BUCKETS]));
    for (index, indexed) in ALL.iter().enumerate().filter(|(_, entry)| entry.parent.is_none()) {
        let word = first_word(indexed.command.name.as_bytes());
        let mut at = bucket(word);
        while names.0[at].1 != 0 {
            at = (at + 1) % BUCKETS;
        }
        names.0[at] = (word, index as u16 + 1);
    }
    names
});

/// The first eight bytes of a name with the bit set that makes capitals small; 0 beyond the name's
/// end.
#[inline]
fn first_word(name: &[u8]) -> u64 {
    const SMALL: u64 = 0x2020_2020_2020_2020;
    let part = |at: usize| {
        let bytes: [u8; 4] = name[at..at + 4].try_into().expect("four bytes");
        u64::from(u32::from_le_bytes(bytes))
    };
    let byte = |at: usize| u64::from(name[at]) << (at * 8);
    match name.len() {
        0 => 0,
        len @ 1..4 => {
            (byte(0) | byte(len / 2) | byte(len - 1) | SMALL) & (u64::MAX >> (64 - len * 8))
        }
        len @ 4..8 => {
            (part(0) | part(len - 4) << ((len - 4) * 8) | SMALL) & (u64::MAX >> (64 - len * 8))
        }
        _ => part(0) | part(4) << 32 | SMALL,
    }
}

#[inline]
fn bucket(word: u64) -> usize {
    (word.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize % BUCKETS
}

/// A command by its name, in any case.
#[inline]
pub(super) fn by_name(name: &[u8]) -> Option<u32> {
    let word = first_word(name);
    let (names, all) = (&**BY_NAME, &*ALL);
    let mut at = bucket(word);
    loop {
        let (candidate, index) = names.0[at];
        let index = u32::from(index.checked_sub(1)?);
        if candidate == word {
            let full = all[index as usize].command.name.as_bytes();
            // Of eight bytes and less the word is the whole name, but for its length.
            let is_same = full.len() == name.len()
                && (name.len() <= 8 || full[8..].eq_ignore_ascii_case(&name[8..]));
            if is_same {
                return Some(index);
            }
        }
        at = (at + 1) % BUCKETS;
    }
}

/// The number of commands and subcommands: indices are below.
pub fn count() -> usize {
    ALL.len()
}

/// A request's entry and index. A command with subcommands is found by its second argument too.
#[inline]
pub fn find(args: Args<'_>) -> Option<(&'static Command, u32)> {
    find_below(by_name(args.at(0))?, args)
}

/// The entry of a request whose first word names the command at `index`.
#[inline]
pub(super) fn find_below(index: u32, args: Args<'_>) -> Option<(&'static Command, u32)> {
    let command = ALL[index as usize].command;
    if command.subcommands.is_empty() || args.len() == 1 {
        return Some((command, index));
    }
    let sub = args.at(1);
    let found = command
        .subcommands
        .iter()
        .position(|candidate| candidate.name.as_bytes().eq_ignore_ascii_case(sub))?;
    Some((&command.subcommands[found], index + 1 + found as u32))
}

/// `get`, or `config|get` for a subcommand; empty for 0. `index` is one more than the index.
pub(crate) fn name_of(index: usize) -> String {
    match index.checked_sub(1).and_then(|index| ALL.get(index)) {
        None => String::new(),
        Some(Indexed { command, parent: None }) => command.name.to_owned(),
        Some(Indexed { command, parent: Some(parent) }) => {
            joined_name(command, Some(ALL[*parent as usize].command))
        }
    }
}

/// `get`, or `config|get` for a subcommand.
pub(crate) fn joined_name(command: &Command, parent: Option<&Command>) -> String {
    match parent {
        Some(parent) => format!("{}|{}", parent.name, command.name),
        None => command.name.to_owned(),
    }
}

/// The command called `get` or `config|get`, in any case, with its parent.
pub(crate) fn find_named(name: &[u8]) -> Option<(&'static Command, Option<&'static Command>)> {
    all().find(|(command, parent)| {
        joined_name(command, *parent).as_bytes().eq_ignore_ascii_case(name)
    })
}

/// Every command and subcommand with its index, in the order of the tables.
pub(crate) fn all() -> impl Iterator<Item = (&'static Command, Option<&'static Command>)> {
    ALL.iter().map(|entry| (entry.command, entry.parent.map(|parent| ALL[parent as usize].command)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tessera_resp::Span;

    #[test]
    fn every_command_is_found_by_its_name_in_any_case() {
        for (index, entry) in ALL.iter().enumerate() {
            let mut request = Vec::new();
            let mut spans = Vec::new();
            let mut add = |word: &str| {
                spans.push(Span { start: request.len() as u32, len: word.len() as u32 });
                request.extend(word.to_ascii_uppercase().bytes());
            };
            if let Some(parent) = entry.parent {
                add(ALL[parent as usize].command.name);
            }
            add(entry.command.name);
            let (found, at) = find(Args::new(&request, &spans)).expect("it is in the table");
            assert_eq!((found.name, at as usize), (entry.command.name, index));
        }
    }

    #[test]
    fn what_only_looks_like_a_name_is_none() {
        for name in ["", "g", "ge", "gett", "get\0", "\x07et", "pexpireaT1", "pexpiretimf", "copyy"]
        {
            assert_eq!(by_name(name.as_bytes()), None, "{name}");
        }
        assert!(by_name(b"PexpireTime").is_some());
    }

    #[test]
    fn members_are_looked_for_where_they_stand() {
        use crate::command::Touches;
        for (command, _) in all() {
            let Touches::Member(at) = command.touches else { continue };
            let expected = match (command.name, command.syntax) {
                ("zadd" | "zincrby", _) => 3,
                (_, syntax) if syntax.starts_with("key FIELDS numfields field") => 4,
                (name, syntax) => {
                    let second = syntax.split([' ', '<']).find(|word| !matches!(*word, "key" | ""));
                    assert!(matches!(second, Some("member" | "field")), "{name} {syntax}");
                    2
                }
            };
            assert_eq!(at, expected, "{}", command.name);
        }
    }

    #[test]
    fn every_command_is_documented() {
        for (command, _) in all() {
            assert!(!command.summary.is_empty(), "{} has a summary", command.name);
            crate::syntax::parse(command.syntax)
                .unwrap_or_else(|error| panic!("{}: {error}", command.name));
        }
    }
}
