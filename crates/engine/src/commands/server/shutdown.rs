//! The end of the server, and what was saved.

use super::{ALWAYS, ALWAYS_FAST, SERVER};
use crate::command::{Categories, Command, Flags};
use crate::commands::not_available;
use crate::{Args, Cx, Db, Done, Fail, Outcome, Park, ShutdownMode};

pub(super) const SHUTDOWN: Command = Command::new("shutdown", -1, shutdown)
    .flags(ALWAYS.or(Flags::ADMIN).or(Flags::NOSCRIPT).or(Flags::NO_MULTI).or(Flags::ALLOW_BUSY))
    .doc(
        SERVER,
        "1.0.0",
        "O(N) when saving, where N is the number of keys; else O(1)",
        "Stops the server.",
        "[NOSAVE|SAVE] [NOW] [FORCE] [ABORT]",
    );
pub(super) const LASTSAVE: Command = Command::new("lastsave", 1, lastsave)
    .flags(ALWAYS_FAST)
    .categories(Categories::ADMIN.or(Categories::DANGEROUS))
    .tips(&["nondeterministic_output"])
    .doc(
        SERVER,
        "1.0.0",
        "O(1)",
        "Answers when the data was last saved, in seconds since 1970; 0: never.",
        "",
    );

fn parse(args: Args<'_>) -> Result<ShutdownMode, Fail> {
    let mut mode = ShutdownMode::default();
    for at in 1..args.len() {
        if args.is(at, "nosave") && mode.save != Some(true) {
            mode.save = Some(false);
        } else if args.is(at, "save") && mode.save != Some(false) {
            mode.save = Some(true);
        } else if args.is(at, "now") {
            mode.now = true;
        } else if args.is(at, "force") {
            mode.force = true;
        } else if args.is(at, "abort") {
            mode.abort = true;
        } else {
            return Err(Fail::Syntax);
        }
    }
    if mode.abort && args.len() > 2 {
        return Err(Fail::Syntax);
    }
    // A client that asks for a save relies on it; FORCE says to go on without it.
    if mode.save == Some(true) && !mode.force {
        return Err(not_available("shutdown save"));
    }
    Ok(mode)
}

fn shutdown(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let mode = parse(args)?;
    cx.engine.host().shutdown(mode)?;
    if mode.abort {
        cx.reply.ok();
    } else {
        // The answer is that the connection closes.
        cx.outcome = Outcome::Wait(Park::Elsewhere);
    }
    Ok(())
}

fn lastsave(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    // Nothing has ever been saved.
    cx.reply.integer(0);
    Ok(())
}
