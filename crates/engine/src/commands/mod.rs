//! All commands, by family: each module has its handlers and a `COMMANDS` table beside them.
//!
//! Adding a command is one entry in such a table. Subcommands stand in their parent's entry.

mod cluster;
mod connection;
mod generic;
mod server;
mod string;

use crate::command::Command;
use crate::{Args, Fail};
use std::sync::LazyLock;

/// The families' tables.
const FAMILIES: &[&[Command]] = &[
    connection::COMMANDS,
    string::COMMANDS,
    generic::COMMANDS,
    server::COMMANDS,
    cluster::COMMANDS,
];

/// A command in the index.
struct Indexed {
    command: &'static Command,
    /// For a subcommand: the index of its parent.
    parent: Option<u32>,
}

/// Every command in the order of the tables, each followed by its subcommands.
static ALL: LazyLock<Vec<Indexed>> = LazyLock::new(|| {
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

/// The longest name of a command.
const NAME_MAX: usize = 24;
const BUCKETS: usize = 1024;

/// A hash table from a lower-case name to an index in [`ALL`], plus 1.
static BY_NAME: LazyLock<Box<[u16; BUCKETS]>> = LazyLock::new(|| {
    let mut table = Box::new([0; BUCKETS]);
    for (index, indexed) in ALL.iter().enumerate().filter(|(_, entry)| entry.parent.is_none()) {
        let name = indexed.command.name.as_bytes();
        assert!(name.len() <= NAME_MAX, "names are short");
        let mut at = bucket(name);
        while table[at] != 0 {
            at = (at + 1) % BUCKETS;
        }
        table[at] = index as u16 + 1;
    }
    table
});

fn bucket(name: &[u8]) -> usize {
    let mut hash = name.len() as u64;
    for chunk in name.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        hash ^= hash >> 29;
    }
    hash as usize % BUCKETS
}

/// A command by its name, in any case.
#[inline]
fn by_name(name: &[u8]) -> Option<u32> {
    if name.len() > NAME_MAX {
        return None;
    }
    let mut lower = [0; NAME_MAX];
    let lower = &mut lower[..name.len()];
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let (table, all) = (&**BY_NAME, &*ALL);
    let mut at = bucket(lower);
    loop {
        let index = u32::from(table[at].checked_sub(1)?);
        if all[index as usize].command.name.as_bytes() == &*lower {
            return Some(index);
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
    let index = by_name(args.at(0))?;
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

/// The command of which a request names an unknown subcommand.
pub(crate) fn find_parent(args: Args<'_>) -> Option<(&'static Command, u32)> {
    let index = by_name(args.at(0))?;
    Some((ALL[index as usize].command, index))
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

/// The name by which errors call a command: `get`, `config|get`.
pub(crate) fn full_name(command: &Command, args: Args<'_>) -> String {
    match find(args) {
        Some((found, index)) if std::ptr::eq(found, command) => name_of(index as usize + 1),
        _ => command.name.to_owned(),
    }
}

/// Every command and subcommand with its index, in the order of the tables.
pub(crate) fn all() -> impl Iterator<Item = (&'static Command, Option<&'static Command>)> {
    ALL.iter().map(|entry| (entry.command, entry.parent.map(|parent| ALL[parent as usize].command)))
}

/// A 64-bit integer argument, as strict as Redis: no spaces, no sign `+`, no leading zeros.
pub(crate) fn integer(arg: &[u8]) -> Result<i64, Fail> {
    tessera_store::canonical_integer(arg).ok_or(Fail::NotInteger)
}

/// A 32-bit integer argument.
pub(crate) fn int32(arg: &[u8]) -> Result<i32, Fail> {
    i32::try_from(integer(arg)?).map_err(|_| {
        Fail::text("ERR value is out of range, value must between -2147483648 and 2147483647")
    })
}

/// The number of a database. In cluster mode there is only number 0.
pub(crate) fn database(cx: &crate::Cx<'_>, arg: &[u8]) -> Result<usize, Fail> {
    usize::try_from(int32(arg)?)
        .ok()
        .filter(|&index| index < cx.engine.keyspace.databases())
        .ok_or(Fail::text("ERR DB index is out of range"))
}

/// Answers what HELP of a command with subcommands shows: its name, then `lines`.
pub(crate) fn help(cx: &mut crate::Cx<'_>, name: &str, lines: &[&str]) {
    cx.reply.array(lines.len() + 3);
    cx.reply.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    lines.iter().for_each(|line| cx.reply.simple(line));
    cx.reply.simple("HELP");
    cx.reply.simple("    Print this help.");
}

/// The handler of a command with subcommands, where none was named: the arity lets nobody come here.
pub(crate) fn container(
    _: &mut crate::Db<'_, '_>,
    _: &mut crate::Cx<'_>,
    _: Args<'_>,
) -> crate::Done {
    Err(Fail::Syntax)
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
    fn every_command_is_documented() {
        for (command, _) in all() {
            assert!(!command.summary.is_empty(), "{} has a summary", command.name);
            crate::syntax::parse(command.syntax)
                .unwrap_or_else(|error| panic!("{}: {error}", command.name));
        }
    }
}
