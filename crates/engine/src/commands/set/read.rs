//! Looking at one set.

use super::{READ, READ_FAST, SET, reply_member};
use crate::command::{Command, KeyUse, Touches};
use crate::commands::element_scan::{self, Options, Page, Scanned};
use crate::{Args, Cx, Db, Done};
use tessera_collections::set::Probe;
use tessera_collections::{Collection, Digits, Set};

pub(super) const SISMEMBER: Command = Command::new("sismember", 3, sismember)
    .flags(READ_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RO])
    .doc(SET, "1.0.0", "O(1)", "Answers whether a set has a member.", "key member");
pub(super) const SMISMEMBER: Command =
    Command::new("smismember", -3, smismember).flags(READ_FAST).keys(1, 1, 1).doc(
        SET,
        "6.2.0",
        "O(N) where N is the number of members asked for",
        "Answers of each of several members whether a set has it.",
        "key member [member ...]",
    );
pub(super) const SCARD: Command = Command::new("scard", 2, scard)
    .flags(READ_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RO])
    .doc(SET, "1.0.0", "O(1)", "Answers the number of members of a set.", "key");
pub(super) const SMEMBERS: Command = Command::new("smembers", 2, smembers)
    .flags(READ)
    .keys(1, 1, 1)
    .tips(&["nondeterministic_output_order"])
    .doc(
        SET,
        "1.0.0",
        "O(N) where N is the number of members",
        "Answers all members of a set.",
        "key",
    );
pub(super) const SSCAN: Command = Command::new("sscan", -3, sscan)
    .flags(READ)
    .keys(1, 1, 1)
    .tips(&["nondeterministic_output"])
    .doc(
        SET,
        "2.8.0",
        "O(1) for a step, O(N) for all of them, where N is the number of members",
        "Answers some members of a set, and a cursor to go on with.",
        "key cursor [MATCH pattern] [COUNT count]",
    )
    .touches(Touches::Value);

fn sismember(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let found = db.read_as::<Set>(db.key(args.at(1), 0))?;
    let is_member =
        found.is_some_and(|found| found.get().contains(&mut Probe::text_of(args.at(2))));
    cx.reply.integer(i64::from(is_member));
    Ok(())
}

fn smismember(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let found = db.read_as::<Set>(db.key(args.at(1), 0))?;
    let set = found.as_ref().map(|found| found.get());
    cx.reply.array(args.len() - 2);
    for member in args.from(2) {
        let is_member = set.as_ref().is_some_and(|set| set.contains(&mut Probe::text_of(member)));
        cx.reply.integer(i64::from(is_member));
    }
    Ok(())
}

fn scard(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let found = db.read_as::<Set>(db.key(args.at(1), 0))?;
    cx.reply.integer(found.map_or(0, |found| found.get().len()) as i64);
    Ok(())
}

fn smembers(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let Some(found) = db.read_as::<Set>(db.key(args.at(1), 0))? else {
        cx.reply.set(0);
        return Ok(());
    };
    let set = found.get();
    cx.reply.set(set.len());
    set.iter().for_each(|member| reply_member(cx.reply, member));
    Ok(())
}

fn sscan(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let cursor = element_scan::cursor(args.at(2))?;
    let Some(found) = db.read_as::<Set>(db.key(args.at(1), 0))? else {
        return element_scan::empty(cx.reply);
    };
    let options = Options::parse(args, 3, Scanned::Set)?;
    let (set, mut page) = (found.get(), Page::begin(cx.reply, &options));
    let next = match &*set {
        Set::Ints(_) | Set::Packed(_) => {
            for member in set.iter() {
                page.show(member.text(&mut Digits::default()));
            }
            0
        }
        Set::Table(members) => page.walk(cursor, |page, cursor| {
            members.scan(cursor, |member| {
                page.show(member);
            })
        }),
    };
    page.end(next);
    Ok(())
}
