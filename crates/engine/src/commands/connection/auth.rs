//! The client's identity and protocol: AUTH, HELLO, RESET.

use super::{ALWAYS, set_protocol};
use crate::arguments::integer;
use crate::command::{Command, Flags, Group, Role};
use crate::commands::server;
use crate::{Args, Cx, Db, Done, Fail, Mode, ReplyMode};
use std::sync::atomic::Ordering::Relaxed;
use tessera_resp::Protocol;

const BEFORE_AUTH: Flags = ALWAYS.or(Flags::NO_AUTH).or(Flags::ALLOW_BUSY);

pub(super) const AUTH: Command = Command::new("auth", -2, auth).flags(BEFORE_AUTH).doc(
    Group::Connection,
    "1.0.0",
    "O(N) where N is the number of passwords of the user",
    "Authenticates the connection.",
    "[username] password",
);
pub(super) const HELLO: Command = Command::new("hello", -1, hello).flags(BEFORE_AUTH).doc(
    Group::Connection,
    "6.0.0",
    "O(1)",
    "Chooses the protocol version, and may authenticate and name the connection.",
    "[protover] [AUTH <username password>] [SETNAME clientname]",
);
pub(super) const RESET: Command =
    Command::new("reset", 1, reset).role(Role::AtOnce).flags(BEFORE_AUTH).doc(
        Group::Connection,
        "6.2.0",
        "O(1)",
        "Gives the connection the state that it began with.",
        "",
    );

/// The only user.
const DEFAULT_USER: &[u8] = b"default";

/// Whether two texts are the same, in a time that depends on their lengths only.
fn same_secret(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |differences, (a, b)| differences | (a ^ b));
    a.len() == b.len() && std::hint::black_box(differences) == 0
}

fn authenticate(cx: &mut Cx<'_>, user: &[u8], password: &[u8]) -> Done {
    // Not the turn's own configuration: a CONFIG SET just before, in the same pipeline, counts.
    let right = match cx.engine.config().general.requirepass.reveal() {
        Some(required) => same_secret(required, password),
        None => true,
    };
    if user != DEFAULT_USER || !right {
        return Err(Fail::text("WRONGPASS invalid username-password pair or user is disabled."));
    }
    cx.session.authenticated = true;
    Ok(())
}

fn auth(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (user, password) = match args.len() {
        2 if cx.engine.config().general.requirepass.reveal().is_none() => {
            return Err(Fail::text(
                "ERR AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?",
            ));
        }
        2 => (DEFAULT_USER, args.at(1)),
        3 => (args.at(1), args.at(2)),
        _ => return Err(Fail::Syntax),
    };
    authenticate(cx, user, password)?;
    cx.reply.ok();
    Ok(())
}

/// The requests of HELLO.
#[derive(Default)]
struct Hello<'a> {
    protocol: Option<Protocol>,
    login: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

impl<'a> Hello<'a> {
    fn parse(args: Args<'a>) -> Result<Hello<'a>, Fail> {
        let mut hello = Hello::default();
        let Some(version) = args.get(1) else { return Ok(hello) };
        let version = integer(version)
            .map_err(|_| Fail::text("ERR Protocol version is not an integer or out of range"))?;
        hello.protocol = Some(match version {
            2 => Protocol::Resp2,
            3 => Protocol::Resp3,
            _ => return Err(Fail::text("NOPROTO unsupported protocol version")),
        });
        let mut at = 2;
        while at < args.len() {
            if args.is(at, "auth") && args.len() > at + 2 {
                hello.login = Some((args.at(at + 1), args.at(at + 2)));
                at += 3;
            } else if args.is(at, "setname") && args.len() > at + 1 {
                let name = args.at(at + 1);
                super::client::check_name(name)?;
                hello.name = Some(name);
                at += 2;
            } else {
                let option = String::from_utf8_lossy(args.at(at));
                return Err(Fail::text(format!("ERR Syntax error in HELLO option '{option}'")));
            }
        }
        Ok(hello)
    }
}

fn hello(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let hello = Hello::parse(args)?;
    if let Some((user, password)) = hello.login {
        authenticate(cx, user, password)?;
    }
    if !cx.session.authenticated {
        return Err(Fail::text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> \
             <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = hello.name {
        cx.session.info.names.lock().name = name.to_vec();
    }
    if let Some(protocol) = hello.protocol {
        set_protocol(cx, protocol);
    }
    introduce(cx);
    Ok(())
}

/// Answers what clients want to know of the server. The name is the one they know.
fn introduce(cx: &mut Cx<'_>) {
    let proto = if cx.reply.protocol == Protocol::Resp3 { 3 } else { 2 };
    let replica = cx.engine.mode().any(Mode::REPLICA);
    let reply = &mut *cx.reply;
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(server::COMPATIBLE_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.integer(proto);
    reply.bulk(b"id");
    reply.integer(cx.session.info.id as i64);
    reply.bulk(b"mode");
    reply.bulk(server::mode_name(cx.config).as_bytes());
    reply.bulk(b"role");
    reply.bulk(if replica { b"replica" } else { b"master" });
    reply.bulk(b"modules");
    reply.array(0);
}

fn reset(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    set_protocol(cx, Protocol::Resp2);
    let open = cx.engine.config().general.requirepass.reveal().is_none();
    cx.session.set_transaction(None);
    cx.engine.unwatch_all(db.world(), cx.session);
    let session = &mut *cx.session;
    session.db = 0;
    session.authenticated = open;
    session.readonly = false;
    session.asking = false;
    session.reply_mode = ReplyMode::On;
    session.no_touch = false;
    session.info.db.store(0, Relaxed);
    session.info.names.lock().name.clear();
    for flag in [&session.info.readonly, &session.info.no_touch, &session.info.no_evict] {
        flag.store(false, Relaxed);
    }
    cx.reply.simple("RESET");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::same_secret;

    #[test]
    fn secrets_are_compared_whole() {
        for (a, b, same) in
            [("", "", true), ("abc", "abc", true), ("abc", "abd", false), ("ab", "abc", false)]
        {
            assert_eq!(same_secret(a.as_bytes(), b.as_bytes()), same, "{a} {b}");
        }
    }
}
