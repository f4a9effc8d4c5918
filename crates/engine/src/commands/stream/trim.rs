//! How much of a stream is kept: MAXLEN and MINID of XADD and XTRIM.

use super::ids;
use crate::arguments::integer;
use crate::{Args, Cx, Fail};
use tessera_collections::{Entries, Keep, StreamId};

/// The entries that are to be kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trim {
    keep: Keep,
    /// `~`: only what can go cheaply.
    about: bool,
    /// Entries that may go; 0: any number.
    limit: u64,
    /// The position of the number or id; before it, if `about`, the `~`.
    value_at: usize,
    limit_at: Option<usize>,
}

/// The options of trimming, as they are read one by one.
#[derive(Default)]
pub(super) struct TrimOptions {
    trim: Option<(Keep, bool, usize)>,
    limit: Option<(i64, usize)>,
}

impl TrimOptions {
    /// Takes the option at `at`; gives where the next one stands. `None`: it is another option.
    pub(super) fn take(&mut self, args: Args<'_>, at: usize) -> Result<Option<usize>, Fail> {
        let more = args.len() - 1 - at;
        if more > 0 && (args.is(at, "maxlen") || args.is(at, "minid")) {
            return self.take_strategy(args, at).map(Some);
        }
        if more == 0 || !args.is(at, "limit") {
            return Ok(None);
        }
        let limit = integer(args.at(at + 1))?;
        if limit < 0 {
            return Err(Fail::text("ERR The LIMIT argument must be >= 0."));
        }
        self.limit = Some((limit, at));
        Ok(Some(at + 2))
    }

    fn take_strategy(&mut self, args: Args<'_>, at: usize) -> Result<usize, Fail> {
        if self.trim.is_some() {
            return Err(Fail::text(
                "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        let has_sign = args.len() > at + 2 && matches!(args.at(at + 1), b"~" | b"=");
        let about = has_sign && args.at(at + 1) == b"~";
        let value_at = at + 1 + usize::from(has_sign);
        let value = args.at(value_at);
        let keep = if args.is(at, "maxlen") {
            let count = integer(value)?;
            Keep::Last(
                u64::try_from(count)
                    .map_err(|_| Fail::text("ERR The MAXLEN argument must be >= 0."))?,
            )
        } else {
            Keep::From(ids::id(value, 0)?)
        };
        self.trim = Some((keep, about, value_at));
        Ok(value_at + 1)
    }

    /// All options are read.
    pub(super) fn finish(self, cx: &Cx<'_>) -> Result<Option<Trim>, Fail> {
        let Some((keep, about, value_at)) = self.trim else {
            return match self.limit {
                Some((1.., _)) => Err(Fail::text(
                    "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
                )),
                _ => Ok(None),
            };
        };
        let limit_at = self.limit.map(|(_, at)| at);
        let limit = match self.limit {
            // The primary has trimmed already, and says exactly how far.
            _ if cx.session.is_primary => 0,
            Some(_) if !about => {
                return Err(Fail::text(
                    "ERR syntax error, LIMIT cannot be used without the special ~ option",
                ));
            }
            Some((limit, _)) => limit as u64,
            None if about => default_limit(cx.config.data.stream_node_max_entries),
            None => 0,
        };
        Ok(Some(Trim { keep, about, limit, value_at, limit_at }))
    }
}

/// How many entries one command removes when nothing is said: about a hundred nodes.
fn default_limit(node_entries: u64) -> u64 {
    const WITHOUT: u64 = 10_000;
    const MOST: u64 = 1_000_000;
    match node_entries.saturating_mul(100) {
        0 => WITHOUT,
        limit => limit.min(MOST),
    }
}

impl Trim {
    /// Does it; gives how many entries are gone.
    pub(super) fn apply(&self, entries: &mut Entries) -> u64 {
        entries.trim(self.keep, self.about, self.limit)
    }

    /// Whether there may be something to be removed.
    pub(super) fn would_remove(&self, entries: &Entries) -> bool {
        match self.keep {
            Keep::Last(count) => entries.len() > count,
            Keep::From(id) => entries.first_id() < id,
        }
    }

    /// Whether others must be told exactly what was kept.
    pub(super) fn is_inexact(&self) -> bool {
        self.about
    }

    /// Argument number `at` as others are told it, so that they keep the same entries; `None`: it
    /// is left out.
    pub(super) fn exactly(&self, at: usize, arg: &[u8], kept: &Kept) -> Option<Vec<u8>> {
        if !self.about {
            return Some(arg.to_vec());
        }
        if self.limit_at.is_some_and(|limit| at == limit || at == limit + 1) {
            None
        } else if at + 1 == self.value_at {
            Some(b"=".to_vec())
        } else if at == self.value_at {
            Some(match self.keep {
                Keep::Last(_) => kept.len.to_string().into_bytes(),
                Keep::From(_) => kept.first.to_string().into_bytes(),
            })
        } else {
            Some(arg.to_vec())
        }
    }
}

/// The entries that were kept.
pub(super) struct Kept {
    len: u64,
    first: StreamId,
}

impl Kept {
    /// The entries that are there now.
    pub(super) fn of(entries: &Entries) -> Kept {
        let first = entries.first_with_deleted().unwrap_or(StreamId::MAX);
        Kept { len: entries.len(), first }
    }
}
