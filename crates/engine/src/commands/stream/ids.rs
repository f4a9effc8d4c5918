//! Ids as clients write them.

use crate::{Args, Fail};
use tessera_collections::StreamId;

fn invalid() -> Fail {
    Fail::text("ERR Invalid stream ID specified as stream command argument")
}

/// An unsigned number; spaces and `+` before it, and leading zeros, are passed over, as Redis does.
fn number(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii_start();
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = u64::from(digit.wrapping_sub(b'0'));
        (digit < 10).then(|| number.checked_mul(10)?.checked_add(digit)).flatten()
    })
}

/// The milliseconds, and the text of the sequence number if there is one.
fn parts(text: &[u8]) -> Option<(u64, Option<&[u8]>)> {
    /// Longer ones are refused unread.
    const LONGEST: usize = 127;
    if text.len() > LONGEST {
        return None;
    }
    match text.iter().position(|&byte| byte == b'-') {
        Some(dash) => Some((number(&text[..dash])?, Some(&text[dash + 1..]))),
        None => Some((number(text)?, None)),
    }
}

/// An id, `ms` or `ms-seq`. `missing`: the sequence number where there is none.
pub(super) fn id(text: &[u8], missing: u64) -> Result<StreamId, Fail> {
    try_id(text, missing).ok_or_else(invalid)
}

/// As [`id`], where it may also be something else.
pub(super) fn try_id(text: &[u8], missing: u64) -> Option<StreamId> {
    let (ms, seq) = parts(text)?;
    Some(StreamId::new(ms, seq.map_or(Some(missing), number)?))
}

/// An id, or one of the words `-` and `+` for the first and the last possible.
pub(super) fn id_or_edge(text: &[u8], missing: u64) -> Result<StreamId, Fail> {
    match text {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        text => id(text, missing),
    }
}

/// The start of a range: an id, an edge, or behind `(` an id that does not belong to the range.
pub(super) fn start(text: &[u8]) -> Result<StreamId, Fail> {
    match text {
        [b'(', rest @ ..] if !rest.is_empty() => {
            id(rest, 0)?.next().ok_or(Fail::text("ERR invalid start ID for the interval"))
        }
        text => id_or_edge(text, 0),
    }
}

/// The end of a range, as [`start`].
pub(super) fn end(text: &[u8]) -> Result<StreamId, Fail> {
    match text {
        [b'(', rest @ ..] if !rest.is_empty() => {
            id(rest, u64::MAX)?.prev().ok_or(Fail::text("ERR invalid end ID for the interval"))
        }
        text => id_or_edge(text, u64::MAX),
    }
}

/// The ids from an argument on.
pub(super) fn all(args: Args<'_>, from: usize) -> Result<Vec<StreamId>, Fail> {
    args.from(from).map(|text| id(text, 0)).collect()
}

/// The id that a new entry is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NewId {
    /// `*`: the time, or what follows the last one.
    Auto,
    /// `ms-*`: the first one that is free in this millisecond.
    Within(u64),
    /// This one.
    Given(StreamId),
}

impl NewId {
    /// Reads an id in one of its forms: `*`, `ms-*`, `ms` or `ms-seq`.
    pub(super) fn parse(text: &[u8]) -> Result<NewId, Fail> {
        if text == b"*" {
            return Ok(NewId::Auto);
        }
        match parts(text) {
            Some((ms, Some(b"*"))) => Ok(NewId::Within(ms)),
            _ => id(text, 0).map(NewId::Given),
        }
    }

    /// The id itself, at this time (Unix ms) and behind the last one.
    pub(super) fn choose(self, last: StreamId, now: u64) -> Result<StreamId, Fail> {
        let id = match self {
            NewId::Auto if now > last.ms => Some(StreamId::new(now, 0)),
            NewId::Auto => last.next(),
            NewId::Within(ms) if ms == last.ms => {
                last.seq.checked_add(1).map(|seq| StreamId::new(ms, seq))
            }
            NewId::Within(ms) => Some(StreamId::new(ms, 0)),
            NewId::Given(id) => Some(id),
        };
        id.filter(|&id| id > last).ok_or(Fail::text(
            "ERR The ID specified in XADD is equal or smaller than the target stream top item",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read() {
        let id_of = |ms, seq| Ok(StreamId::new(ms, seq));
        for (text, expected) in [
            ("5", id_of(5, 7)),
            ("5-1", id_of(5, 1)),
            ("007-01", id_of(7, 1)),
            ("18446744073709551615-18446744073709551615", Ok(StreamId::MAX)),
            ("18446744073709551616", Err(invalid())),
            ("5-", Err(invalid())),
            ("-5", Err(invalid())),
            ("-", Err(invalid())),
            ("+", Err(invalid())),
            ("", Err(invalid())),
            ("5-*", Err(invalid())),
            ("5-1-1", Err(invalid())),
            ("5x", Err(invalid())),
        ] {
            assert_eq!(id(text.as_bytes(), 7), expected, "{text}");
        }
    }

    #[test]
    fn ranges_may_leave_their_ends_out() {
        assert_eq!(start(b"(5-1"), Ok(StreamId::new(5, 2)));
        assert_eq!(end(b"(5-0"), Ok(StreamId::new(4, u64::MAX)));
        assert_eq!(end(b"5"), Ok(StreamId::new(5, u64::MAX)));
        assert_eq!((start(b"-"), end(b"+")), (Ok(StreamId::MIN), Ok(StreamId::MAX)));
        assert!(start(b"(18446744073709551615-18446744073709551615").is_err());
        assert!(end(b"(0-0").is_err() && start(b"(").is_err() && start(b"(-").is_err());
    }

    #[test]
    fn new_ids_are_behind_the_last() {
        let last = StreamId::new(100, 5);
        for (text, now, expected) in [
            ("*", 101, Some((101, 0))),
            ("*", 100, Some((100, 6))),
            ("*", 5, Some((100, 6))),
            ("100-*", 5, Some((100, 6))),
            ("200-*", 5, Some((200, 0))),
            ("99-*", 5, None),
            ("100-6", 5, Some((100, 6))),
            ("100-5", 5, None),
            ("101", 5, Some((101, 0))),
        ] {
            let id = NewId::parse(text.as_bytes()).unwrap().choose(last, now).ok();
            assert_eq!(id, expected.map(|(ms, seq)| StreamId::new(ms, seq)), "{text} {now}");
        }
        let full = StreamId::new(7, u64::MAX);
        assert!(NewId::Within(7).choose(full, 1).is_err());
        assert_eq!(NewId::Auto.choose(full, 1), Ok(StreamId::new(8, 0)));
    }
}
