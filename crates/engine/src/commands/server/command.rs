//! COMMAND: the command table, for clients and proxies.

use super::docs;
use super::{ALWAYS, SERVER};
use crate::command::{Categories, Command, KeyPlace, KeyUse, Keys};
use crate::commands;
use crate::container::help;
use crate::{Args, Cx, Db, Done, Engine, Fail};
use tessera_config::Glob;
use tessera_resp::Reply;

const CONNECTION: Categories = Categories::CONNECTION;
const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];

const fn sub(
    name: &'static str,
    arity: i32,
    handler: crate::Handler,
    since: &'static str,
    summary: &'static str,
    syntax: &'static str,
) -> Command {
    Command::new(name, arity, handler).flags(ALWAYS).categories(CONNECTION).doc(
        SERVER,
        since,
        "O(N) where N is the number of commands",
        summary,
        syntax,
    )
}

pub(super) const COMMAND: Command = Command::new("command", -1, all)
    .flags(ALWAYS)
    .categories(CONNECTION)
    .tips(ANY_ORDER)
    .doc(SERVER, "2.8.13", "O(N) where N is the number of commands", "Describes all commands.", "")
    .subcommands(&[
        sub("count", 2, count, "2.8.13", "Answers the number of commands.", ""),
        sub(
            "docs",
            -2,
            docs::docs,
            "7.0.0",
            "Documents commands.",
            "[command-name [command-name ...]]",
        )
        .tips(ANY_ORDER),
        sub(
            "getkeys",
            -3,
            getkeys,
            "2.8.13",
            "Answers the keys of a command.",
            "command [arg [arg ...]]",
        ),
        sub(
            "getkeysandflags",
            -3,
            getkeysandflags,
            "7.0.0",
            "Answers the keys of a command, and how it uses them.",
            "command [arg [arg ...]]",
        ),
        sub("help", 2, show_help, "5.0.0", "Shows the subcommands.", ""),
        sub("info", -2, info, "2.8.13", "Describes commands.", "[command-name [command-name ...]]")
            .tips(ANY_ORDER),
        sub(
            "list",
            -2,
            list,
            "7.0.0",
            "Answers the names of commands.",
            "[FILTERBY <MODULE module-name|ACLCAT category|PATTERN pattern>]",
        )
        .tips(ANY_ORDER),
    ]);

fn show_help(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    help(
        cx,
        "COMMAND",
        &[
            "(no subcommand)",
            "    Describe all commands.",
            "COUNT",
            "    The number of commands.",
            "DOCS [<command-name> ...]",
            "    Documentation of commands; of all, if none is named.",
            "GETKEYS <full-command>",
            "    The keys of a command.",
            "GETKEYSANDFLAGS <full-command>",
            "    The keys of a command, and how it uses them.",
            "INFO [<command-name> ...]",
            "    Describe commands; all, if none is named.",
            "LIST [FILTERBY (MODULE <module-name>|ACLCAT <category>|PATTERN <pattern>)]",
            "    The names of commands.",
        ],
    );
    Ok(())
}

/// The commands that are no subcommands.
fn top(engine: &Engine) -> impl Iterator<Item = &'static Command> {
    engine.commands().filter(|(_, parent)| parent.is_none()).map(|(command, _)| command)
}

fn all(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    cx.reply.array(top(cx.engine).count());
    top(cx.engine).for_each(|command| describe(cx.reply, command, None));
    Ok(())
}

fn count(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    cx.reply.integer(top(cx.engine).count() as i64);
    Ok(())
}

fn info(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    if args.len() == 2 {
        return all(db, cx, args);
    }
    cx.reply.array(args.len() - 2);
    for name in args.from(2) {
        match cx.engine.find_named(name) {
            Some((command, parent)) => describe(cx.reply, command, parent),
            None => cx.reply.null(),
        }
    }
    Ok(())
}

fn simple_set(reply: &mut Reply, words: &[&str]) {
    reply.set(words.len());
    words.iter().for_each(|word| reply.simple(word));
}

/// The ten parts of a description.
fn describe(reply: &mut Reply, command: &Command, parent: Option<&Command>) {
    reply.array(10);
    reply.bulk(commands::joined_name(command, parent).as_bytes());
    reply.integer(i64::from(command.arity));
    let mut flags: Vec<&str> = command.flags.words().collect();
    if matches!(command.keys, Keys::Search { .. }) {
        flags.push("movablekeys");
    }
    simple_set(reply, &flags);
    let (first, last, step) = match command.keys {
        Keys::Range { first, last, step } => (first as i64, i64::from(last), step as i64),
        // Clients of old know no other places than a fixed one.
        Keys::Search { specs: [(KeyPlace::At(key), _), ..], .. } => (*key as i64, *key as i64, 1),
        Keys::None | Keys::Search { .. } => (0, 0, 0),
    };
    [first, last, step].into_iter().for_each(|number| reply.integer(number));
    simple_set(reply, &command.all_categories().words().collect::<Vec<_>>());
    reply.set(command.tips.len());
    command.tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    key_specs(reply, command);
    reply.set(command.subcommands.len());
    command.subcommands.iter().for_each(|sub| describe(reply, sub, Some(command)));
}

/// The places of keys and their uses: one entry for keys of the same use.
fn key_specs(reply: &mut Reply, command: &Command) {
    match command.keys {
        Keys::None => reply.set(0),
        Keys::Range { first, last, step } => range_specs(reply, command, first, last, step),
        Keys::Search { specs, .. } => {
            reply.set(specs.len());
            specs.iter().for_each(|&(place, key_use)| searched_spec(reply, place, key_use));
        }
    }
}

/// Keys at fixed positions.
fn range_specs(reply: &mut Reply, command: &Command, first: usize, last: i32, step: usize) {
    let several = command.key_uses.len() > 1;
    let specs = command.key_uses.len().max(1);
    reply.set(specs);
    for ordinal in 0..specs {
        // The last key is told relative to the first, or, if negative, to the end.
        let last_key = match last {
            _ if several && ordinal + 1 < specs => 0,
            last if last < 0 => i64::from(last),
            _ if several => 0,
            last => i64::from(last) - first as i64,
        };
        begin_at(reply, command.key_use(ordinal), first + ordinal * step);
        find_range(reply, last_key, step as i64, 0);
    }
}

/// Keys at places that depend on the arguments.
fn searched_spec(reply: &mut Reply, place: KeyPlace, key_use: KeyUse) {
    match place {
        KeyPlace::At(key) => {
            begin_at(reply, key_use, key);
            find_range(reply, 0, 1, 0);
        }
        KeyPlace::Counted(count) => {
            begin_at(reply, key_use, count);
            find(reply, "keynum", &[("keynumidx", 0), ("firstkey", 1), ("keystep", 1)]);
        }
        KeyPlace::Behind(word, from) => {
            begin_behind(reply, key_use, word, from);
            find_range(reply, 0, 1, 0);
        }
        KeyPlace::HalfBehind(word, from) => {
            begin_behind(reply, key_use, word, from);
            find_range(reply, -1, 1, 2);
        }
        KeyPlace::Unknown => {
            begin(reply, key_use, "unknown", 0);
            find(reply, "unknown", &[]);
        }
    }
}

/// The uses, and the head of where to begin, of which `fields` pairs are to follow.
fn begin(reply: &mut Reply, key_use: KeyUse, kind: &str, fields: usize) {
    reply.map(3);
    reply.bulk(b"flags");
    simple_set(reply, &key_use.words().collect::<Vec<_>>());
    reply.bulk(b"begin_search");
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(fields);
}

fn begin_at(reply: &mut Reply, key_use: KeyUse, index: usize) {
    begin(reply, key_use, "index", 1);
    reply.bulk(b"index");
    reply.integer(index as i64);
}

fn begin_behind(reply: &mut Reply, key_use: KeyUse, word: &str, from: usize) {
    begin(reply, key_use, "keyword", 2);
    reply.bulk(b"keyword");
    reply.bulk(word.as_bytes());
    reply.bulk(b"startfrom");
    reply.integer(from as i64);
}

fn find(reply: &mut Reply, kind: &str, fields: &[(&str, i64)]) {
    reply.bulk(b"find_keys");
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(fields.len());
    for (name, number) in fields {
        reply.bulk(name.as_bytes());
        reply.integer(*number);
    }
}

fn find_range(reply: &mut Reply, last_key: i64, step: i64, limit: i64) {
    find(reply, "range", &[("lastkey", last_key), ("keystep", step), ("limit", limit)]);
}

/// The command that begins at argument 2, and the positions of its keys among its own arguments.
fn keys_of(engine: &Engine, args: Args<'_>) -> Result<(&'static Command, Vec<usize>), Fail> {
    let inner = args.tail(2);
    let (command, _) = engine.find(inner).ok_or(Fail::text("ERR Invalid command specified"))?;
    if matches!(command.keys, Keys::None) {
        return Err(Fail::text("ERR The command has no key arguments"));
    }
    if !command.takes(inner.len()) {
        return Err(Fail::text("ERR Invalid number of arguments specified for command"));
    }
    let positions = command
        .keys
        .positions(inner)
        .map_err(|_| Fail::text("ERR Invalid arguments specified for command"))?;
    if positions.is_empty() {
        let text = match command.keys {
            // They should say where the keys are: how many, or behind which word.
            Keys::Search { .. } => "ERR Invalid arguments specified for command",
            Keys::None | Keys::Range { .. } => "ERR The command has no key arguments",
        };
        return Err(Fail::text(text));
    }
    Ok((command, positions))
}

fn getkeys(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (_, positions) = keys_of(cx.engine, args)?;
    cx.reply.array(positions.len());
    positions.iter().for_each(|at| cx.reply.bulk(args.at(2 + at)));
    Ok(())
}

fn getkeysandflags(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (command, positions) = keys_of(cx.engine, args)?;
    cx.reply.array(positions.len());
    for (ordinal, at) in positions.into_iter().enumerate() {
        cx.reply.array(2);
        cx.reply.bulk(args.at(2 + at));
        let uses = match command.use_by {
            Some(use_by) => use_by(args.tail(2)),
            None => command.key_use(ordinal),
        };
        simple_set(cx.reply, &uses.words().collect::<Vec<_>>());
    }
    Ok(())
}

/// The commands that COMMAND LIST names.
enum Filter {
    All,
    /// Commands of a module: there are none.
    Module,
    Category(String),
    Pattern(Glob),
}

impl Filter {
    fn parse(args: Args<'_>) -> Result<Filter, Fail> {
        match args.len() {
            2 => Ok(Filter::All),
            5 if !args.is(2, "filterby") => Err(Fail::Syntax),
            5 if args.is(3, "module") => Ok(Filter::Module),
            5 if args.is(3, "aclcat") => {
                let category = String::from_utf8_lossy(args.at(4)).to_ascii_lowercase();
                Ok(Filter::Category(format!("@{category}")))
            }
            5 if args.is(3, "pattern") => Ok(Filter::Pattern(Glob::new(args.at(4), true))),
            _ => Err(Fail::Syntax),
        }
    }

    fn lets_through(&self, command: &Command, name: &str) -> bool {
        match self {
            Filter::All => true,
            Filter::Module => false,
            Filter::Category(category) => {
                command.all_categories().words().any(|word| word == category)
            }
            Filter::Pattern(pattern) => pattern.matches(name.as_bytes()),
        }
    }
}

fn list(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let filter = Filter::parse(args)?;
    let names: Vec<String> = cx
        .engine
        .commands()
        .map(|(command, parent)| (command, commands::joined_name(command, parent)))
        .filter(|(command, name)| filter.lets_through(command, name))
        .map(|(_, name)| name)
        .collect();
    cx.reply.set(names.len());
    names.iter().for_each(|name| cx.reply.bulk(name.as_bytes()));
    Ok(())
}
