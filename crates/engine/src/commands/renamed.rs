//! The names of commands on this server: `rename-command`.
//!
//! A renamed command is the same entry of the table under another name, and the old name is
//! unknown. A write in the log keeps the name that the client has used, as in Redis; a primary's
//! commands are found by their names in the table too, whatever they are called here.

use super::absent::absent;
use super::index::{self, ALL, by_name, joined_name};
use crate::command::Command;
use crate::{Args, Engine, Fail};
use tessera_config::{ParseError, RenamedCommand};

/// The meaning of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Meaning {
    /// This entry of the table.
    Command(u32),
    /// A command that this version does not have.
    Absent(&'static str),
}

fn usual_meaning(name: &[u8]) -> Option<Meaning> {
    by_name(name).map(Meaning::Command).or_else(|| absent(name).map(Meaning::Absent))
}

/// Names that mean something else here than in the table; `None`: nothing. There are few, so they
/// are looked through one after the other.
#[derive(Default, Debug)]
pub(crate) struct Renamed(Vec<(Vec<u8>, Option<Meaning>)>);

impl Renamed {
    /// Takes the lines in order; a later one may name what an earlier one has made.
    pub(crate) fn new(lines: &[RenamedCommand]) -> Result<Renamed, ParseError> {
        let mut renamed = Renamed::default();
        for line in lines {
            let meaning = renamed.meaning(&line.from);
            let meaning =
                meaning.ok_or_else(|| line.refused("No such command in rename-command"))?;
            renamed.set(&line.from, None);
            if line.to.is_empty() {
                continue;
            }
            if renamed.meaning(&line.to).is_some() {
                return Err(line.refused("Target command name already exists"));
            }
            renamed.set(&line.to, Some(meaning));
        }
        Ok(renamed)
    }

    fn set(&mut self, name: &[u8], meaning: Option<Meaning>) {
        self.0.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.0.push((name.to_vec(), meaning));
    }

    fn meaning(&self, name: &[u8]) -> Option<Meaning> {
        match self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, meaning)) => *meaning,
            None => usual_meaning(name),
        }
    }

    fn top(&self, name: &[u8]) -> Option<u32> {
        match self.meaning(name) {
            Some(Meaning::Command(index)) => Some(index),
            _ => None,
        }
    }

    /// Whether the entry has a name here.
    fn has(&self, index: u32) -> bool {
        let is_it = |meaning: Option<Meaning>| meaning == Some(Meaning::Command(index));
        let usual = ALL[index as usize].command.name.as_bytes();
        is_it(self.meaning(usual)) || self.0.iter().any(|&(_, meaning)| is_it(meaning))
    }
}

/// Whether these `rename-command` lines name commands that are there, and free names.
///
/// # Errors
/// The first line that does not.
pub fn check_renamed(lines: &[RenamedCommand]) -> Result<(), ParseError> {
    Renamed::new(lines).map(|_| ())
}

impl Engine {
    /// A request's entry and index, by what commands are called here.
    #[inline]
    pub(crate) fn find(&self, args: Args<'_>) -> Option<(&'static Command, u32)> {
        match &self.renamed {
            None => super::find(args),
            Some(renamed) => index::find_below(renamed.top(args.at(0))?, args),
        }
    }

    /// The command called `get` or `config|get` here, in any case, with its parent.
    pub(crate) fn find_named(
        &self,
        name: &[u8],
    ) -> Option<(&'static Command, Option<&'static Command>)> {
        let Some(renamed) = &self.renamed else { return super::find_named(name) };
        let bar = name.iter().position(|&byte| byte == b'|').unwrap_or(name.len());
        let (top, rest) = name.split_at(bar);
        let usual = ALL[renamed.top(top)? as usize].command.name;
        super::find_named(&[usual.as_bytes(), rest].concat())
    }

    /// Every command and subcommand that has a name here, in the order of the tables.
    pub(crate) fn commands(
        &self,
    ) -> impl Iterator<Item = (&'static Command, Option<&'static Command>)> {
        let has_name = move |(index, entry): &(usize, &index::Indexed)| match &self.renamed {
            None => true,
            Some(renamed) => renamed.has(entry.parent.unwrap_or(*index as u32)),
        };
        ALL.iter().enumerate().filter(has_name).map(|(_, entry)| {
            (entry.command, entry.parent.map(|parent| ALL[parent as usize].command))
        })
    }

    /// The kind of a request that names no entry of the table, with its error.
    pub(crate) fn missing(&self, args: Args<'_>) -> Missing {
        let meaning = match &self.renamed {
            None => usual_meaning(args.at(0)),
            Some(renamed) => renamed.meaning(args.at(0)),
        };
        match meaning {
            None => Missing::Unknown,
            Some(Meaning::Absent(name)) => Missing::Absent(name),
            Some(Meaning::Command(index)) => {
                let parent = ALL[index as usize].command;
                let sub = args.get(1).unwrap_or_default();
                let name = [parent.name.as_bytes(), b"|", sub].concat();
                absent(&name).map_or(Missing::Subcommand(parent), Missing::Absent)
            }
        }
    }
}

/// The kind of a name that is not in the table.
pub(crate) enum Missing {
    /// An unknown name.
    Unknown,
    /// A subcommand of this command that nobody knows.
    Subcommand(&'static Command),
    /// A command that Redis or Valkey have and this version has not.
    Absent(&'static str),
}

/// The error for what this version does not have.
pub(crate) fn not_available(name: &str) -> Fail {
    let name = name.to_ascii_uppercase().replace('|', " ");
    Fail::text(format!("ERR {name} is not available in this version"))
}

/// `get`, or `config|get` for a subcommand, by which errors call a command whatever it is called
/// here.
pub(crate) fn full_name(command: &'static Command) -> String {
    super::all()
        .find(|(known, _)| std::ptr::eq(*known, command))
        .map_or_else(|| command.name.to_owned(), |(_, parent)| joined_name(command, parent))
}
