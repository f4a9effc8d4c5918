//! Ranges of scores and of texts.

use std::cmp::Ordering;

/// A range of scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreRange {
    /// The lowest score.
    pub min: f64,
    /// Whether the lowest score itself is outside.
    pub min_excluded: bool,
    /// The highest score.
    pub max: f64,
    /// Whether the highest score itself is outside.
    pub max_excluded: bool,
}

impl ScoreRange {
    /// Whether a score lies below; `compare` tells how it compares to another.
    #[inline]
    pub(super) fn is_below(&self, compare: impl Fn(f64) -> Ordering) -> bool {
        match compare(self.min) {
            Ordering::Less => true,
            Ordering::Equal => self.min_excluded,
            Ordering::Greater => false,
        }
    }

    /// Whether a score lies above.
    #[inline]
    pub(super) fn is_above(&self, compare: impl Fn(f64) -> Ordering) -> bool {
        match compare(self.max) {
            Ordering::Less => false,
            Ordering::Equal => self.max_excluded,
            Ordering::Greater => true,
        }
    }
}

/// An end of a range of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// Before every text.
    Least,
    /// Behind every text.
    Greatest,
    /// A text that belongs to the range.
    Included(&'a [u8]),
    /// A text that does not.
    Excluded(&'a [u8]),
}

/// A range of texts, in the order of their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LexRange<'a> {
    /// The lower end.
    pub min: LexBound<'a>,
    /// The upper end.
    pub max: LexBound<'a>,
}

impl LexRange<'_> {
    #[inline]
    pub(super) fn is_below(&self, text: &[u8]) -> bool {
        match self.min {
            LexBound::Least => false,
            LexBound::Greatest => true,
            LexBound::Included(min) => text < min,
            LexBound::Excluded(min) => text <= min,
        }
    }

    #[inline]
    pub(super) fn is_above(&self, text: &[u8]) -> bool {
        match self.max {
            LexBound::Least => true,
            LexBound::Greatest => false,
            LexBound::Included(max) => text > max,
            LexBound::Excluded(max) => text >= max,
        }
    }
}
