//! ZSCAN.

use super::{READ, SORTED_SET};
use crate::command::{Command, Touches};
use crate::commands::element_scan::{self, Options, Page, Scanned};
use crate::{Args, Cx, Db, Done};
use tessera_collections::{DoubleText, SortedSet, all_digits};

pub(super) const ZSCAN: Command = Command::new("zscan", -3, zscan)
    .flags(READ)
    .keys(1, 1, 1)
    .tips(&["nondeterministic_output"])
    .doc(
        SORTED_SET,
        "2.8.0",
        "O(1) for a step, O(N) for all of them, where N is the number of members",
        "Answers some members with their scores, and a cursor to go on with.",
        "key cursor [MATCH pattern] [COUNT count] [NOSCORES]",
    )
    .touches(Touches::Value);

fn zscan(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let cursor = element_scan::cursor(args.at(2))?;
    let Some(found) = db.read_as::<SortedSet>(db.key(args.at(1), 0))? else {
        return element_scan::empty(cx.reply);
    };
    let options = Options::parse(args, 3, Scanned::SortedSet)?;
    let set = found.get();
    let is_packed = set.as_listpack().is_some();
    let mut page = Page::begin(cx.reply, &options);
    let next = page.walk(cursor, |page, cursor| {
        set.scan(cursor, |member, score| {
            if !page.show(member) || !page.wants_more() {
                return;
            }
            if is_packed {
                page.add(DoubleText::default().format(score).as_bytes());
            } else {
                // As Redis does, which here writes more digits than elsewhere.
                page.add(all_digits(score).as_bytes());
            }
        })
    });
    page.end(next);
    Ok(())
}
