//! Commands with subcommands: what all of them share.

use crate::{Args, Cx, Db, Done, Fail};

/// Answers what HELP of a command with subcommands shows: its name, then `lines`.
pub(crate) fn help(cx: &mut Cx<'_>, name: &str, lines: &[&str]) {
    cx.reply.array(lines.len() + 3);
    cx.reply.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    lines.iter().for_each(|line| cx.reply.simple(line));
    cx.reply.simple("HELP");
    cx.reply.simple("    Print this help.");
}

/// The handler of a command with subcommands, where none was named: the arity lets nobody come
/// here.
pub(crate) fn container(_: &mut Db<'_, '_>, _: &mut Cx<'_>, _: Args<'_>) -> Done {
    Err(Fail::Syntax)
}
