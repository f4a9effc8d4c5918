//! DEBUG: what tests of servers need. Only where `enable-debug-command` allows it.

use super::{ALWAYS, SERVER};
use crate::command::{Command, Flags};
use crate::commands::generic::encoding_name;
use crate::commands::{container, help};
use crate::{Args, Cx, Db, Done, Fail};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tessera_config::table::general::ProtectedAction;

const FLAGS: Flags = ALWAYS.or(Flags::ADMIN).or(Flags::NOSCRIPT);

pub(super) const DEBUG: Command = Command::new("debug", -2, container)
    .flags(FLAGS)
    .doc(SERVER, "1.0.0", "Depends on subcommand.", "What tests of servers need.", "")
    .subcommands(&[
        Command::new("help", 2, show_help).flags(FLAGS).doc(
            SERVER,
            "1.0.0",
            "O(1)",
            "Shows the subcommands.",
            "",
        ),
        Command::new("jmap", 2, jmap).flags(FLAGS).doc(
            SERVER,
            "1.0.0",
            "O(1)",
            "Does nothing.",
            "",
        ),
        Command::new("object", 3, object).flags(FLAGS).keys(2, 2, 1).uses(&["RO"]).doc(
            SERVER,
            "1.0.0",
            "O(1)",
            "Describes how a key's value is kept.",
            "key",
        ),
        Command::new("set-active-expire", 3, set_active_expire).flags(FLAGS).doc(
            SERVER,
            "1.0.0",
            "O(1)",
            "Says whether expired keys are looked for.",
            "<0|1>",
        ),
        Command::new("sleep", 3, sleep).flags(FLAGS).doc(
            SERVER,
            "1.0.0",
            "O(1)",
            "Stops this thread for some seconds.",
            "seconds",
        ),
    ]);

fn check_allowed(cx: &Cx<'_>) -> Done {
    match cx.config.general.enable_debug_command {
        ProtectedAction::Yes => Ok(()),
        ProtectedAction::Local if cx.session.info.local => Ok(()),
        _ => Err(Fail::text(
            "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it \
             from a local connection, otherwise you need to set this option in the configuration file, and then \
             restart the server.",
        )),
    }
}

fn show_help(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    check_allowed(cx)?;
    help(
        cx,
        "DEBUG",
        &[
            "JMAP",
            "    Does nothing.",
            "OBJECT <key>",
            "    How the key's value is kept.",
            "SET-ACTIVE-EXPIRE (0|1)",
            "    Whether expired keys are looked for.",
            "SLEEP <seconds>",
            "    Stops the thread that reads this.",
        ],
    );
    Ok(())
}

fn jmap(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    check_allowed(cx)?;
    cx.reply.ok();
    Ok(())
}

fn object(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_allowed(cx)?;
    let now = db.access();
    let found = db.peek(db.key(args.at(2), 0)).ok_or(Fail::NoSuchKey)?;
    let entry = found.entry();
    let length = crate::commands::string::text(entry.value(), &mut itoa::Buffer::new()).len();
    cx.reply.simple(&format!(
        "Value at:{:p} refcount:1 encoding:{} serializedlength:{length} lru:{} lru_seconds_idle:{}",
        entry.key().as_ptr(),
        encoding_name(&entry),
        entry.access(),
        now.saturating_sub(entry.access()),
    ));
    Ok(())
}

fn set_active_expire(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_allowed(cx)?;
    cx.engine.active_expiry.store(args.at(2) != b"0", Relaxed);
    cx.reply.ok();
    Ok(())
}

fn sleep(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_allowed(cx)?;
    let seconds = std::str::from_utf8(args.at(2)).ok().and_then(|text| text.parse().ok());
    let time = Duration::try_from_secs_f64(seconds.unwrap_or(0.0)).unwrap_or_default();
    cx.engine.host().stall(time)?;
    cx.reply.ok();
    Ok(())
}
