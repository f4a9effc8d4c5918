//! The compact form: a listpack of members and scores in the order of the set, as Redis has it. A
//! score that is a whole number is kept as an integer, any other as its text.

use super::range::{LexRange, ScoreRange};
use crate::double::{DoubleText, parse_double, whole};
use crate::listpack::{Corrupt, Digits, Element, Listpack, Position};
use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::Range;

/// The score in an element.
#[inline]
fn score_of(element: Element<'_>) -> f64 {
    match element {
        Element::Integer(number) => number as f64,
        Element::Bytes(text) => parse_double(text).expect("scores were checked when they came in"),
    }
}

/// The score behind a member.
fn score_behind(pack: &Listpack, member: Position) -> f64 {
    let at = pack.next(member).expect("a score stands behind each member");
    score_of(pack.get(at))
}

/// The position of a member, and its score.
pub(super) fn find(pack: &Listpack, member: &[u8]) -> Option<(Position, f64)> {
    let at = pack.find(pack.first(), member, 1)?;
    Some((at, score_behind(pack, at)))
}

/// The number of members.
pub(super) fn len(pack: &Listpack) -> usize {
    pack.len() / 2
}

/// How a score compares to another; the zeros are equal, and there is no NaN.
fn compare(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

/// Adds a member that is not there.
pub(super) fn insert(pack: &mut Listpack, member: &[u8], score: f64) {
    let (mut digits, mut text) = (Digits::default(), DoubleText::default());
    let score_text = match whole(score) {
        Some(whole) => digits.format(whole),
        None => text.format(score).as_bytes(),
    };
    let mut at = pack.first();
    while let Some(other) = at {
        let order = compare(score_behind(pack, other), score)
            .then_with(|| pack.get(other).text(&mut Digits::default()).cmp(member));
        if order == Ordering::Greater {
            let new = pack.insert_before(other, member);
            pack.insert_after(new, score_text);
            return;
        }
        at = pack.next(other).and_then(|score| pack.next(score));
    }
    push(pack, member, score);
}

/// Adds a member behind all others.
pub(super) fn push(pack: &mut Listpack, member: &[u8], score: f64) {
    pack.push(member);
    match whole(score) {
        Some(whole) => pack.push_integer(whole),
        None => pack.push(DoubleText::default().format(score).as_bytes()),
    }
}

/// Removes the member at a position.
pub(super) fn remove(pack: &mut Listpack, at: Position) {
    pack.remove_range(at, 2);
}

/// Removes the members of these ranks.
pub(super) fn remove_ranks(pack: &mut Listpack, ranks: Range<usize>) {
    if let Some(at) = pack.seek(2 * ranks.start as i64) {
        pack.remove_range(at, 2 * ranks.len());
    }
}

/// The rank of the member at a position.
pub(super) fn rank_of(pack: &Listpack, at: Position) -> usize {
    let mut walk = pack.first();
    let mut elements = 0;
    while let Some(here) = walk {
        if here == at {
            break;
        }
        elements += 1;
        walk = pack.next(here);
    }
    elements / 2
}

/// The ranks from the first member of which `below` does not hold to before the first behind it of
/// which `above` holds.
fn ranks(
    pack: &Listpack,
    mut below: impl FnMut(Element<'_>, Element<'_>) -> bool,
    mut above: impl FnMut(Element<'_>, Element<'_>) -> bool,
) -> Range<usize> {
    let (mut start, mut end) = (0, 0);
    let mut elements = pack.iter();
    while let (Some(member), Some(score)) = (elements.next(), elements.next()) {
        if start == end && below(member, score) {
            start += 1;
        } else if above(member, score) {
            break;
        }
        end += 1;
    }
    start..end
}

pub(super) fn ranks_by_score(pack: &Listpack, range: &ScoreRange) -> Range<usize> {
    ranks(
        pack,
        |_, score| range.is_below(|other| compare(score_of(score), other)),
        |_, score| range.is_above(|other| compare(score_of(score), other)),
    )
}

pub(super) fn ranks_by_lex(pack: &Listpack, range: &LexRange<'_>) -> Range<usize> {
    ranks(
        pack,
        |member, _| range.is_below(member.text(&mut Digits::default())),
        |member, _| range.is_above(member.text(&mut Digits::default())),
    )
}

/// Checks what came from outside: pairs, numbers for scores, no member twice. Tells whether they
/// are in order.
pub(super) fn check(pack: &Listpack) -> Result<bool, Corrupt> {
    if pack.iter().count() % 2 == 1 {
        return Err(Corrupt);
    }
    let (mut seen, mut sorted, mut last) = (HashSet::new(), true, None::<(f64, Vec<u8>)>);
    let mut elements = pack.iter();
    while let (Some(member), Some(score)) = (elements.next(), elements.next()) {
        if let Element::Bytes(text) = score {
            parse_double(text).ok_or(Corrupt)?;
        }
        let (score, member) = (score_of(score), member.to_vec());
        if !seen.insert(member.clone()) {
            return Err(Corrupt);
        }
        sorted &= last.as_ref().is_none_or(|(last, text)| {
            compare(*last, score).then_with(|| text.cmp(&member)) == Ordering::Less
        });
        last = Some((score, member));
    }
    Ok(sorted)
}

/// Members and scores of a range of ranks.
#[derive(Clone)]
pub struct Iter<'a> {
    pack: &'a Listpack,
    at: Option<Position>,
    left: usize,
    reverse: bool,
}

impl<'a> Iter<'a> {
    /// The members of these ranks, which exist; from the last to the first if `reverse`.
    pub(super) fn new(pack: &'a Listpack, ranks: Range<usize>, reverse: bool) -> Iter<'a> {
        let first = if reverse { ranks.end as i64 - 1 } else { ranks.start as i64 };
        let at = if ranks.is_empty() { None } else { pack.seek(2 * first) };
        Iter { pack, at, left: ranks.len(), reverse }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Element<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<(Element<'a>, f64)> {
        if self.left == 0 {
            return None;
        }
        let (pack, at) = (self.pack, self.at?);
        let score = pack.next(at)?;
        self.left -= 1;
        self.at = if self.reverse {
            pack.prev(at).and_then(|score| pack.prev(score))
        } else {
            pack.next(score)
        };
        Some((pack.get(at), score_of(pack.get(score))))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}
