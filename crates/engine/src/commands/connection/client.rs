//! CLIENT: the connections, this one and all others.

use super::{kill, pause, unblock};
use crate::arguments::integer;
use crate::clients::{ClientFilter, ClientKind};
use crate::command::{Command, Flags, Group};
use crate::container::{container, help};
use crate::{Args, Cx, Db, Done, Fail, Handler, ReplyMode};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const OWN: Flags = Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE);
const ADMIN: Flags = OWN.or(Flags::ADMIN);
const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

const fn sub(
    name: &'static str,
    arity: i32,
    handler: Handler,
    since: &'static str,
    summary: &'static str,
    syntax: &'static str,
) -> Command {
    Command::new(name, arity, handler).flags(OWN).doc(
        Group::Connection,
        since,
        "O(1)",
        summary,
        syntax,
    )
}

pub(super) const CLIENT: Command = Command::new("client", -2, container)
    .doc(Group::Connection, "2.4.0", "Depends on subcommand.", "Connections of clients.", "")
    .subcommands(&[
        sub("getname", 2, getname, "2.6.9", "Answers the connection's name.", ""),
        sub("getredir", 2, getredir, "6.0.0", "Answers where invalidation messages go.", ""),
        sub("help", 2, show_help, "5.0.0", "Shows the subcommands.", "")
            .flags(Flags::LOADING.or(Flags::STALE)),
        sub("id", 2, id, "5.0.0", "Answers the connection's id.", ""),
        sub("info", 2, info, "6.2.0", "Describes the connection.", "")
            .tips(&["nondeterministic_output"]),
        sub(
            "kill",
            -3,
            kill::kill,
            "2.4.0",
            "Disconnects clients.",
            "<old-format|<[ID client-id] [TYPE <NORMAL|MASTER|PRIMARY|SLAVE|REPLICA|PUBSUB>] [USER username] \
             [ADDR ip-port] [LADDR ip-port] [SKIPME <yes|no>] [MAXAGE maxage]>>",
        )
        .flags(ADMIN),
        sub(
            "list",
            -2,
            list,
            "2.4.0",
            "Describes clients, one a line.",
            "[TYPE <NORMAL|MASTER|REPLICA|PUBSUB>] [ID <client-id [client-id ...]>]",
        )
        .flags(ADMIN)
        .tips(&["nondeterministic_output"]),
        sub("no-evict", 3, no_evict, "7.0.0", "Spares the connection when clients are evicted.", "<ON|OFF>")
            .flags(ADMIN),
        sub("no-touch", 3, no_touch, "7.2.0", "Lets reads leave the access clock alone.", "<ON|OFF>"),
        sub(
            "pause",
            -3,
            pause::pause,
            "3.0.0",
            "Holds clients' commands back for a while.",
            "timeout [WRITE|ALL]",
        )
        .flags(ADMIN),
        sub("reply", 3, reply, "3.2.0", "Says whether commands are answered.", "<ON|OFF|SKIP>"),
        sub(
            "setinfo",
            4,
            setinfo,
            "7.2.0",
            "Says what the client library is.",
            "<LIB-NAME libname|LIB-VER libver>",
        )
        .tips(ALL_NODES),
        sub("setname", 3, setname, "2.6.9", "Names the connection.", "connection-name").tips(ALL_NODES),
        sub("trackinginfo", 2, trackinginfo, "6.2.0", "Answers whether keys are tracked.", ""),
        sub(
            "unblock",
            -3,
            unblock::unblock,
            "5.0.0",
            "Ends the waiting of a client in a blocking command.",
            "client-id [TIMEOUT|ERROR]",
        )
        .flags(ADMIN),
        sub("unpause", 2, pause::unpause, "6.2.0", "Ends CLIENT PAUSE.", "").flags(ADMIN),
    ]);

fn show_help(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    help(
        cx,
        "CLIENT",
        &[
            "GETNAME",
            "    The name of this connection.",
            "GETREDIR",
            "    Where invalidation messages go; -1: nowhere.",
            "ID",
            "    The id of this connection.",
            "INFO",
            "    A line about this connection.",
            "KILL <ip:port>",
            "    Disconnect the client with this address.",
            "KILL <option> <value> [<option> <value> [...]]",
            "    Disconnect the clients that meet all conditions: ID <id>, TYPE (NORMAL|MASTER|REPLICA|PUBSUB),",
            "    USER <name>, ADDR <ip:port>, LADDR <ip:port>, SKIPME (yes|no), MAXAGE <seconds>.",
            "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID <id> [<id> ...]]",
            "    A line about each client.",
            "NO-EVICT (ON|OFF)",
            "    Spare this connection when clients are evicted.",
            "NO-TOUCH (ON|OFF)",
            "    Let reads of this connection leave the access clock alone.",
            "PAUSE <milliseconds> [WRITE|ALL]",
            "    Hold back all commands of clients for so long, or those that write.",
            "REPLY (ON|OFF|SKIP)",
            "    Whether commands of this connection are answered.",
            "SETINFO (LIB-NAME|LIB-VER) <value>",
            "    What the client library is.",
            "SETNAME <name>",
            "    Name this connection.",
            "TRACKINGINFO",
            "    Whether keys are tracked for this connection.",
            "UNBLOCK <client-id> [TIMEOUT|ERROR]",
            "    End the waiting of a client in a blocking command, as if its time were up or with an error.",
            "UNPAUSE",
            "    End CLIENT PAUSE.",
        ],
    );
    Ok(())
}

/// Fails if a name would break the lines of CLIENT LIST.
pub(super) fn check_name(name: &[u8]) -> Done {
    check_printable(name, "Client names")
}

fn check_printable(text: &[u8], what: &str) -> Done {
    if text.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Ok(());
    }
    Err(Fail::text(format!("ERR {what} cannot contain spaces, newlines or special characters.")))
}

fn setname(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_name(args.at(2))?;
    cx.session.info.names.lock().name = args.at(2).to_vec();
    cx.reply.ok();
    Ok(())
}

fn getname(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    match &*cx.session.info.names.lock().name {
        [] => cx.reply.null(),
        name => cx.reply.bulk(name),
    }
    Ok(())
}

fn setinfo(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let mut names = cx.session.info.names.lock();
    let (field, what) = if args.is(2, "lib-name") {
        (&mut names.library, "lib-name")
    } else if args.is(2, "lib-ver") {
        (&mut names.library_version, "lib-ver")
    } else {
        let option = String::from_utf8_lossy(args.at(2)).into_owned();
        return Err(Fail::text(format!("ERR Unrecognized option '{option}'")));
    };
    check_printable(args.at(3), what)?;
    *field = args.at(3).to_vec();
    drop(names);
    cx.reply.ok();
    Ok(())
}

fn id(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    cx.reply.integer(cx.session.info.id as i64);
    Ok(())
}

fn getredir(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    cx.reply.integer(-1);
    Ok(())
}

fn trackinginfo(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    cx.reply.map(3);
    cx.reply.bulk(b"flags");
    cx.reply.set(1);
    cx.reply.bulk(b"off");
    cx.reply.bulk(b"redirect");
    cx.reply.integer(-1);
    cx.reply.bulk(b"prefixes");
    cx.reply.array(0);
    Ok(())
}

fn info(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    let line = cx.session.info.line(cx.now.0) + "\n";
    cx.reply.verbatim("txt", line.as_bytes());
    Ok(())
}

fn list(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let mut filter = ClientFilter::default();
    if args.len() == 4 && args.is(2, "type") {
        filter.kind = Some(client_kind(args.at(3))?);
    } else if args.len() > 3 && args.is(2, "id") {
        for id in args.from(3) {
            let id = integer(id).map_err(|_| Fail::text("ERR Invalid client ID"))?;
            // No client has an id below 1, but the filter must not become empty.
            filter.ids.push(u64::try_from(id).unwrap_or(0));
        }
    } else if args.len() > 2 {
        return Err(Fail::Syntax);
    }
    let mut lines = String::new();
    for client in cx.engine.clients.matching(&filter, cx.now.0) {
        lines.push_str(&client.line(cx.now.0));
        lines.push('\n');
    }
    cx.reply.verbatim("txt", lines.as_bytes());
    Ok(())
}

/// The kind of clients that a word names.
pub(super) fn client_kind(word: &[u8]) -> Result<ClientKind, Fail> {
    let text = String::from_utf8_lossy(word);
    Ok(match text.to_ascii_lowercase().as_str() {
        "normal" => ClientKind::Normal,
        "master" | "primary" => ClientKind::Primary,
        "slave" | "replica" => ClientKind::Replica,
        "pubsub" => ClientKind::PubSub,
        _ => return Err(Fail::text(format!("ERR Unknown client type '{text}'"))),
    })
}

fn on_or_off(args: Args<'_>) -> Result<bool, Fail> {
    match () {
        () if args.is(2, "on") => Ok(true),
        () if args.is(2, "off") => Ok(false),
        () => Err(Fail::Syntax),
    }
}

fn switch(cx: &mut Cx<'_>, on: bool, flag: impl Fn(&crate::ClientInfo) -> &AtomicBool) -> Done {
    flag(&cx.session.info).store(on, Relaxed);
    cx.reply.ok();
    Ok(())
}

fn no_evict(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let on = on_or_off(args)?;
    switch(cx, on, |client| &client.no_evict)
}

fn no_touch(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    cx.session.no_touch = on_or_off(args)?;
    let on = cx.session.no_touch;
    switch(cx, on, |client| &client.no_touch)
}

fn reply(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    if args.is(2, "on") {
        cx.session.reply_mode = ReplyMode::On;
        cx.reply.ok();
    } else if args.is(2, "off") {
        cx.session.reply_mode = ReplyMode::Off;
    } else if args.is(2, "skip") {
        if cx.session.reply_mode != ReplyMode::Off {
            cx.session.reply_mode = ReplyMode::SkipNext;
        }
    } else {
        return Err(Fail::Syntax);
    }
    Ok(())
}
