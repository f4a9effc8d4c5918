//! LCS: the longest common subsequence of two strings.

use super::{READ, STRING, text};
use crate::arguments::integer;
use crate::command::Command;
use crate::{Args, Cx, Db, Done, Fail};
use tessera_resp::Reply;

pub(super) const LCS: Command = Command::new("lcs", -3, lcs).flags(READ).keys(1, 2, 1).doc(
    STRING,
    "7.0.0",
    "O(N*M) where N and M are the lengths of the strings",
    "Finds the longest common subsequence of two strings.",
    "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
);

#[derive(Default)]
struct Options {
    len: bool,
    idx: bool,
    with_match_len: bool,
    min_match_len: i64,
}

fn options(args: Args<'_>) -> Result<Options, Fail> {
    let mut options = Options::default();
    let mut at = 3;
    while at < args.len() {
        if args.is(at, "idx") {
            options.idx = true;
        } else if args.is(at, "len") {
            options.len = true;
        } else if args.is(at, "withmatchlen") {
            options.with_match_len = true;
        } else if args.is(at, "minmatchlen") && args.len() > at + 1 {
            at += 1;
            options.min_match_len = integer(args.at(at))?.max(0);
        } else {
            return Err(Fail::Syntax);
        }
        at += 1;
    }
    if options.len && options.idx {
        return Err(Fail::text(
            "ERR If you want both the length and indexes, please just use IDX.",
        ));
    }
    Ok(options)
}

/// A run that both strings have in common: where it begins in each, and how long it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Match {
    a: usize,
    b: usize,
    len: usize,
}

/// The lengths of the longest common subsequences of all pairs of prefixes.
struct Table {
    lengths: Vec<u32>,
    width: usize,
}

impl Table {
    /// Bytes of the table of two strings with these lengths.
    fn bytes(a: usize, b: usize) -> Option<u64> {
        let cells = (a as u64 + 1).checked_mul(b as u64 + 1)?;
        cells.checked_mul(size_of::<u32>() as u64)
    }

    fn new(a: &[u8], b: &[u8]) -> Table {
        let width = b.len() + 1;
        let mut lengths = vec![0; (a.len() + 1) * width];
        for (i, x) in a.iter().enumerate() {
            for (j, y) in b.iter().enumerate() {
                let above = i * width + j;
                lengths[above + width + 1] = if x == y {
                    lengths[above] + 1
                } else {
                    u32::max(lengths[above + 1], lengths[above + width])
                };
            }
        }
        Table { lengths, width }
    }

    /// The last length of the table alone: two rows of it are enough for that.
    fn length(a: &[u8], b: &[u8]) -> u32 {
        let mut above = vec![0; b.len() + 1];
        let mut row = above.clone();
        for x in a {
            for (j, y) in b.iter().enumerate() {
                row[j + 1] = if x == y { above[j] + 1 } else { u32::max(above[j + 1], row[j]) };
            }
            std::mem::swap(&mut above, &mut row);
        }
        above[b.len()]
    }

    fn at(&self, a: usize, b: usize) -> u32 {
        self.lengths[a * self.width + b]
    }

    /// The common runs from the last to the first. If both ways are as good, the first string is
    /// kept.
    fn matches(&self, a: &[u8], b: &[u8]) -> Vec<Match> {
        let (mut i, mut j) = (a.len(), b.len());
        let mut matches: Vec<Match> = Vec::new();
        let mut open = false;
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                match matches.last_mut() {
                    Some(last) if open && last.a == i && last.b == j => {
                        *last = Match { a: i - 1, b: j - 1, len: last.len + 1 };
                    }
                    _ => matches.push(Match { a: i - 1, b: j - 1, len: 1 }),
                }
                open = true;
                (i, j) = (i - 1, j - 1);
            } else {
                open = false;
                if self.at(i - 1, j) > self.at(i, j - 1) { i -= 1 } else { j -= 1 }
            }
        }
        matches
    }
}

fn lcs(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let mut copy = |ordinal: usize| match db.read(db.key(args.at(1 + ordinal), ordinal)) {
        None => Ok(Vec::new()),
        Some(found) => match found.string() {
            Some(value) => Ok(text(value, &mut itoa::Buffer::new()).to_vec()),
            None => Err(Fail::text("ERR The specified keys must contain string values")),
        },
    };
    let (a, b) = (copy(0)?, copy(1)?);
    let options = options(args)?;
    if a.len() >= u32::MAX as usize - 1 || b.len() >= u32::MAX as usize - 1 {
        return Err(Fail::text("ERR String too long for LCS"));
    }
    // As in Redis, also if only the length is asked for: the limit bounds the time, too.
    if Table::bytes(a.len(), b.len())
        .is_none_or(|size| size > cx.config.network.proto_max_bulk_len.0)
    {
        return Err(Fail::text(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }
    if options.len {
        cx.reply.integer(i64::from(Table::length(&a, &b)));
        return Ok(());
    }
    let table = Table::new(&a, &b);
    let length = i64::from(table.at(a.len(), b.len()));
    let matches = table.matches(&a, &b);
    if options.idx {
        reply_matches(cx.reply, &matches, length, &options);
        return Ok(());
    }
    let common: Vec<u8> =
        matches.iter().rev().flat_map(|found| &a[found.a..found.a + found.len]).copied().collect();
    cx.reply.bulk(&common);
    Ok(())
}

fn reply_matches(reply: &mut Reply, matches: &[Match], length: i64, options: &Options) {
    let long: Vec<&Match> =
        matches.iter().filter(|found| found.len as i64 >= options.min_match_len).collect();
    reply.map(2);
    reply.bulk(b"matches");
    reply.array(long.len());
    for found in long {
        reply.array(2 + usize::from(options.with_match_len));
        for start in [found.a, found.b] {
            reply.array(2);
            reply.integer(start as i64);
            reply.integer((start + found.len - 1) as i64);
        }
        if options.with_match_len {
            reply.integer(found.len as i64);
        }
    }
    reply.bulk(b"len");
    reply.integer(length);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn two_rows_find_the_length_of_the_whole_table(a in "[a-d]{0,40}", b in "[a-d]{0,40}") {
            let (a, b) = (a.as_bytes(), b.as_bytes());
            prop_assert_eq!(Table::length(a, b), Table::new(a, b).at(a.len(), b.len()));
        }
    }
}
