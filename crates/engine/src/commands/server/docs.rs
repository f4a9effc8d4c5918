//! COMMAND DOCS.

use crate::command::Command;
use crate::commands::joined_name;
use crate::syntax::{self, Argument};
use crate::{Args, Cx, Db, Done};
use tessera_resp::Value;

pub(super) fn docs(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let wanted: Vec<(&Command, Option<&Command>)> = if args.len() == 2 {
        cx.engine.commands().filter(|(_, parent)| parent.is_none()).collect()
    } else {
        args.from(2).filter_map(|name| cx.engine.find_named(name)).collect()
    };
    let docs = wanted.into_iter().map(|(command, parent)| document(command, parent)).collect();
    cx.reply.value(&Value::Map(docs));
    Ok(())
}

fn text(text: &str) -> Value {
    Value::bulk(text)
}

/// A command's name, and what there is to say of it.
fn document(command: &Command, parent: Option<&Command>) -> (Value, Value) {
    let mut facts = vec![
        (text("summary"), text(command.summary)),
        (text("since"), text(command.since)),
        (text("group"), text(command.group.name())),
        (text("complexity"), text(command.complexity)),
    ];
    let arguments = syntax::parse(command.syntax).unwrap_or_default();
    if !arguments.is_empty() {
        facts.push((text("arguments"), list(&arguments, &mut 0)));
    }
    if !command.subcommands.is_empty() {
        let subs = command.subcommands.iter().map(|sub| document(sub, Some(command))).collect();
        facts.push((text("subcommands"), Value::Map(subs)));
    }
    (Value::bulk(joined_name(command, parent)), Value::Map(facts))
}

/// Arguments with their parts; `keys` counts the keys that were met.
fn list(arguments: &[Argument], keys: &mut i64) -> Value {
    Value::Array(arguments.iter().map(|argument| one(argument, keys)).collect())
}

fn one(argument: &Argument, keys: &mut i64) -> Value {
    let mut facts = vec![(text("name"), text(&argument.name)), (text("type"), text(argument.kind))];
    if argument.kind == "key" {
        facts.push((text("key_spec_index"), Value::Integer(*keys)));
        *keys += 1;
    } else if argument.parts.is_empty() && argument.kind != "pure-token" {
        facts.push((text("display_text"), text(&argument.name)));
    }
    if let Some(token) = &argument.token {
        facts.push((text("token"), text(token)));
    }
    let flags: Vec<Value> = [("optional", argument.optional), ("multiple", argument.multiple)]
        .into_iter()
        .filter(|(_, set)| *set)
        .map(|(word, _)| Value::Simple(word.to_owned()))
        .collect();
    if !flags.is_empty() {
        facts.push((text("flags"), Value::Set(flags)));
    }
    if !argument.parts.is_empty() {
        facts.push((text("arguments"), list(&argument.parts, keys)));
    }
    Value::Map(facts)
}
