//! Walking through the fields of a hash.

use super::{HASH, READ};
use crate::command::{Command, Touches};
use crate::commands::element_scan::{self, Options, Page, Scanned};
use crate::{Args, Cx, Db, Done};
use tessera_collections::{Digits, FieldRef, Hash};

pub(super) const HSCAN: Command = Command::new("hscan", -3, hscan)
    .flags(READ)
    .keys(1, 1, 1)
    .tips(&["nondeterministic_output"])
    .doc(
        HASH,
        "2.8.0",
        "O(1) for a step, O(N) for all of them, where N is the number of fields",
        "Answers some fields of a hash with their values, and a cursor to go on with.",
        "key cursor [MATCH pattern] [COUNT count] [NOVALUES]",
    )
    .touches(Touches::Value);

fn hscan(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let cursor = element_scan::cursor(args.at(2))?;
    let as_of = db.field_time();
    let Some(found) = db.read_as::<Hash>(db.key(args.at(1), 0))? else {
        return element_scan::empty(cx.reply);
    };
    let options = Options::parse(args, 3, Scanned::Hash)?;
    let hash = found.get();
    let mut page = Page::begin(cx.reply, &options);
    let next =
        page.walk(cursor, |page, cursor| hash.scan(cursor, as_of, |field| show(page, field)));
    page.end(next);
    Ok(())
}

fn show(page: &mut Page<'_, '_>, field: FieldRef<'_>) {
    if page.show(field.name.text(&mut Digits::default())) && page.wants_more() {
        page.add(field.value.text(&mut Digits::default()));
    }
}
