//! The common part of SCAN, HSCAN, SSCAN and ZSCAN: cursor, options, and a reply whose length shows
//! only at the end.
//!
//! A handler reads the cursor, finds the value, reads the options, then either shows all elements
//! of a compact value with [`Page::show`] and answers cursor 0, or walks through its table with
//! [`Page::walk`]:
//!
//! ```text
//! let cursor = element_scan::cursor(args.at(2))?;
//! let Some(found) = db.read_as::<Set>(key)? else { return element_scan::empty(cx.reply) };
//! let options = Options::parse(args, 3, Scanned::Set)?;
//! let mut page = Page::begin(cx.reply, &options);
//! let next = match table_of(&found) {
//!     None => { found.for_each(|member| { page.show(member); }); 0 }
//!     Some(table) => page.walk(cursor, |page, cursor| table.scan(cursor, |item| { page.show(item.key()); })),
//! };
//! page.end(next);
//! ```

use crate::arguments::integer;
use crate::{Args, Done, Fail};
use tessera_config::Glob;
use tessera_resp::Reply;

/// The collection that is scanned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scanned {
    /// The keys of a database.
    Keys,
    /// The members of a set.
    Set,
    /// The fields of a hash.
    Hash,
    /// The members of a sorted set.
    SortedSet,
}

/// The options.
#[derive(Debug)]
pub(crate) struct Options<'a> {
    /// COUNT: about how many elements are looked at.
    pub(crate) count: usize,
    /// MATCH, unless it matches everything.
    pub(crate) pattern: Option<Glob>,
    /// TYPE: only keys of this type.
    pub(crate) kind: Option<&'a [u8]>,
    /// NOVALUES, NOSCORES: fields without values, members without scores.
    pub(crate) bare: bool,
}

/// The name of a type, if there is one of that name.
fn known_type(name: &[u8]) -> Result<&[u8], Fail> {
    const TYPES: [&[u8]; 6] = [b"string", b"list", b"set", b"zset", b"hash", b"stream"];
    if TYPES.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return Ok(name);
    }
    let name = String::from_utf8_lossy(name);
    Err(Fail::text(format!("ERR unknown type name '{name}'")))
}

/// The pattern that elements must match; `None` for `*`, which any element matches.
pub(crate) fn pattern(arg: &[u8]) -> Option<Glob> {
    (arg != b"*").then(|| Glob::new(arg, false))
}

/// A cursor as strict as Redis reads it: an unsigned number without sign, spaces or leading zeros.
pub(crate) fn cursor(arg: &[u8]) -> Result<u64, Fail> {
    let invalid = || Fail::text("ERR invalid cursor");
    let text = std::str::from_utf8(arg).map_err(|_| invalid())?;
    let number: u64 = text.parse().map_err(|_| invalid())?;
    if itoa::Buffer::new().format(number) == text { Ok(number) } else { Err(invalid()) }
}

impl<'a> Options<'a> {
    /// Reads the options, which begin at argument `at`.
    pub(crate) fn parse(
        args: Args<'a>,
        mut at: usize,
        scanned: Scanned,
    ) -> Result<Options<'a>, Fail> {
        let mut options = Options { count: 10, pattern: None, kind: None, bare: false };
        while at < args.len() {
            let value = args.get(at + 1);
            match value {
                Some(value) if args.is(at, "count") => {
                    options.count = match integer(value)? {
                        number if number < 1 => return Err(Fail::Syntax),
                        number => usize::try_from(number).unwrap_or(usize::MAX),
                    };
                }
                Some(value) if args.is(at, "match") => options.pattern = pattern(value),
                Some(value) if args.is(at, "type") && scanned == Scanned::Keys => {
                    options.kind = Some(known_type(value)?);
                }
                _ => {
                    options.bare = Self::is_bare(args, at, scanned)?;
                    at += 1;
                    continue;
                }
            }
            at += 2;
        }
        Ok(options)
    }

    fn is_bare(args: Args<'_>, at: usize, scanned: Scanned) -> Result<bool, Fail> {
        if args.is(at, "novalues") {
            return match scanned {
                Scanned::Hash => Ok(true),
                _ => Err(Fail::text("ERR NOVALUES option can only be used in HSCAN")),
            };
        }
        if args.is(at, "noscores") {
            return match scanned {
                Scanned::SortedSet => Ok(true),
                _ => Err(Fail::text("ERR NOSCORES option can only be used in ZSCAN")),
            };
        }
        Err(Fail::Syntax)
    }

    /// Whether an element matches the pattern.
    #[inline]
    pub(crate) fn wants(&self, element: &[u8]) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.matches(element))
    }
}

/// Answers the scan of a key that is not there.
pub(crate) fn empty(reply: &mut Reply) -> Done {
    reply.array(2);
    reply.bulk(b"0");
    reply.array(0);
    Ok(())
}

/// A reply under way: the elements are written straight into the reply, what stands before them is
/// put there at the end.
pub(crate) struct Page<'r, 'a> {
    reply: &'r mut Reply,
    options: &'r Options<'a>,
    start: usize,
    shown: usize,
    seen: usize,
}

impl<'r, 'a> Page<'r, 'a> {
    /// Begins a reply.
    pub(crate) fn begin(reply: &'r mut Reply, options: &'r Options<'a>) -> Page<'r, 'a> {
        let start = reply.buf.len();
        Page { reply, options, start, shown: 0, seen: 0 }
    }

    /// Looks at an element: whether it matches, and has been written. Its score or value goes to
    /// [`Page::add`].
    #[inline]
    pub(crate) fn show(&mut self, element: &[u8]) -> bool {
        self.seen += 1;
        let wanted = self.options.wants(element);
        if wanted {
            self.add(element);
        }
        wanted
    }

    /// Whether values or scores are to be added.
    #[inline]
    pub(crate) fn wants_more(&self) -> bool {
        !self.options.bare
    }

    /// Adds the value or score of the element just shown.
    #[inline]
    pub(crate) fn add(&mut self, text: &[u8]) {
        self.reply.bulk(text);
        self.shown += 1;
    }

    /// Steps through a table until about COUNT elements have been looked at, or ten times as many
    /// steps were taken. `step` shows the elements at a cursor and gives the next one. Gives the
    /// cursor to go on with.
    pub(crate) fn walk(
        &mut self,
        mut cursor: u64,
        mut step: impl FnMut(&mut Self, u64) -> u64,
    ) -> u64 {
        let limit = self.options.count.saturating_mul(10);
        let mut steps = 0usize;
        loop {
            cursor = step(self, cursor);
            steps += 1;
            if cursor == 0 || self.seen >= self.options.count || steps > limit {
                return cursor;
            }
        }
    }

    /// Ends the reply with the next cursor.
    pub(crate) fn end(self, next: u64) {
        let mut head = Reply::new(self.reply.protocol);
        head.array(2);
        head.bulk(itoa::Buffer::new().format(next).as_bytes());
        head.array(self.shown);
        self.reply.buf.splice(self.start..self.start, head.buf);
    }
}
