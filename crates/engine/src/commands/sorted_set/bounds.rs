//! The ends of ranges, as arguments.

use crate::Fail;
use tessera_collections::parse_double_lossy;
use tessera_collections::sorted_set::{LexBound, LexRange, ScoreRange};

/// A range of scores.
pub(super) fn scores(min: &[u8], max: &[u8]) -> Result<ScoreRange, Fail> {
    let end = |arg| end(arg).ok_or(Fail::text("ERR min or max is not a float"));
    let ((min, min_excluded), (max, max_excluded)) = (end(min)?, end(max)?);
    Ok(ScoreRange { min, min_excluded, max, max_excluded })
}

/// A score, and whether it is excluded. It is read as leniently as by C's `strtod`: there may be
/// spaces before it, nothing is zero, and what lies beyond the format is infinite.
fn end(arg: &[u8]) -> Option<(f64, bool)> {
    let (text, excluded) = match arg {
        [b'(', rest @ ..] => (rest, true),
        _ => (arg, false),
    };
    if text.is_empty() {
        return Some((0.0, excluded));
    }
    let spaces = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    Some((parse_double_lossy(&text[spaces..])?, excluded))
}

/// A range of texts.
pub(super) fn texts<'a>(min: &'a [u8], max: &'a [u8]) -> Result<LexRange<'a>, Fail> {
    let bound = |arg| bound(arg).ok_or(Fail::text("ERR min or max not valid string range item"));
    Ok(LexRange { min: bound(min)?, max: bound(max)? })
}

fn bound(arg: &[u8]) -> Option<LexBound<'_>> {
    match arg {
        b"-" => Some(LexBound::Least),
        b"+" => Some(LexBound::Greatest),
        [b'[', text @ ..] => Some(LexBound::Included(text)),
        [b'(', text @ ..] => Some(LexBound::Excluded(text)),
        _ => None,
    }
}

/// The ranks from `start` to `stop`, both included, of `len`; negative ones count from the end.
pub(super) fn ranks(start: i64, stop: i64, len: usize) -> std::ops::Range<usize> {
    let len = len as i64;
    let place = |rank: i64| if rank < 0 { rank.saturating_add(len) } else { rank };
    let (start, stop) = (place(start).max(0), place(stop).min(len - 1));
    if start > stop { 0..0 } else { start as usize..stop as usize + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_scores() {
        for (arg, expected) in [
            ("1", Some((1.0, false))),
            ("(1.5", Some((1.5, true))),
            ("(-inf", Some((f64::NEG_INFINITY, true))),
            ("", Some((0.0, false))),
            ("(", Some((0.0, true))),
            (" \t2", Some((2.0, false))),
            ("1e999", Some((f64::INFINITY, false))),
            ("nan", None),
            (" ", None),
            ("1 ", None),
            ("((1", None),
        ] {
            assert_eq!(end(arg.as_bytes()), expected, "{arg}");
        }
    }

    #[test]
    fn ranks_are_cut_to_what_is_there() {
        for ((start, stop), expected) in [
            ((0, -1), 0..5),
            ((-2, 100), 3..5),
            ((1, 1), 1..2),
            ((3, 2), 0..0),
            ((5, 9), 0..0),
            ((-9, -6), 0..0),
            ((i64::MIN, i64::MAX), 0..5),
        ] {
            assert_eq!(ranks(start, stop, 5), expected, "{start} {stop}");
        }
        assert_eq!(ranks(0, -1, 0), 0..0);
    }
}
