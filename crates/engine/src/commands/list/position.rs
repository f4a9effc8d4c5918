//! LPOS: where elements are.

use super::{LIST, READ};
use crate::arguments::integer;
use crate::command::Command;
use crate::{Args, Cx, Db, Done, Fail};
use std::ops::ControlFlow;
use tessera_collections::{Collection, Direction, Element, List};

pub(super) const LPOS: Command = Command::new("lpos", -3, lpos).flags(READ).keys(1, 1, 1).doc(
    LIST,
    "6.0.6",
    "O(N) where N is the number of elements that are looked at",
    "Finds the numbers of the elements that equal a value.",
    "key element [RANK rank] [COUNT num-matches] [MAXLEN len]",
);

struct Options {
    direction: Direction,
    /// Matches to be passed over.
    skip: u64,
    /// Matches wanted, and answered as an array; 0: all.
    count: Option<u64>,
    /// Elements to be looked at; 0: all.
    max_len: u64,
}

/// A number that is not negative.
fn not_negative(arg: &[u8], text: &'static str) -> Result<u64, Fail> {
    let number = integer(arg).ok().and_then(|number| u64::try_from(number).ok());
    number.ok_or(Fail::text(text))
}

fn options(args: Args<'_>) -> Result<Options, Fail> {
    let mut options = Options { direction: Direction::Forward, skip: 0, count: None, max_len: 0 };
    let mut at = 3;
    while at < args.len() {
        let value = args.get(at + 1).ok_or(Fail::Syntax)?;
        if args.is(at, "rank") {
            let rank = rank(value)?;
            options.direction = if rank < 0 { Direction::Backward } else { Direction::Forward };
            options.skip = rank.unsigned_abs() - 1;
        } else if args.is(at, "count") {
            options.count = Some(not_negative(value, "ERR COUNT can't be negative")?);
        } else if args.is(at, "maxlen") {
            options.max_len = not_negative(value, "ERR MAXLEN can't be negative")?;
        } else {
            return Err(Fail::Syntax);
        }
        at += 2;
    }
    Ok(options)
}

fn rank(arg: &[u8]) -> Result<i64, Fail> {
    match super::symmetric(arg)? {
        0 => Err(Fail::text(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to \
             start from the end of the list",
        )),
        rank => Ok(rank),
    }
}

fn lpos(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let options = options(args)?;
    let found = db.read_as::<List>(db.key(args.at(1), 0))?;
    let matches = found.map_or(Vec::new(), |found| search(&found.get(), args.at(2), &options));
    if options.count.is_some() {
        cx.reply.array(matches.len());
        matches.into_iter().for_each(|number| cx.reply.integer(number as i64));
    } else {
        match matches.first() {
            Some(&number) => cx.reply.integer(number as i64),
            None => cx.reply.null(),
        }
    }
    Ok(())
}

/// The numbers of the elements that are asked for.
fn search(list: &List, text: &[u8], options: &Options) -> Vec<usize> {
    let (wanted, last) = (Element::of(text), list.len() - 1);
    let start = match options.direction {
        Direction::Forward => 0,
        Direction::Backward => last,
    };
    let count = options.count.unwrap_or(1);
    let (mut matches, mut skip, mut passed) = (Vec::new(), options.skip, 0);
    list.visit(start, options.direction, |element| {
        if element == wanted {
            if skip > 0 {
                skip -= 1;
            } else {
                matches.push(start.abs_diff(passed));
            }
        }
        passed += 1;
        let enough = count != 0 && matches.len() as u64 >= count;
        if enough || passed as u64 == options.max_len {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    matches
}
