//! The range of bits that BITCOUNT and BITPOS look at: `start end BYTE|BIT`, both ends included,
//! negative ones counted from the end of the string.

use crate::arguments::integer;
use crate::{Args, Fail};
use std::ops::Range;

/// The unit of positions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unit {
    Byte,
    Bit,
}

/// A range as it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Asked {
    start: i64,
    /// `None`: to the end of the string.
    end: Option<i64>,
    unit: Unit,
}

impl Asked {
    /// Reads the arguments from number `at` on: none, `start`, `start end`, or these with a unit.
    ///
    /// # Errors
    /// If there are more, or they are not integers and a unit. Faults are found in the order in
    /// which Valkey finds them: `start`, unit, `end`.
    pub(super) fn parse(args: Args<'_>, at: usize) -> Result<Asked, Fail> {
        if args.len() > at + 3 {
            return Err(Fail::Syntax);
        }
        let start = args.get(at).map_or(Ok(0), integer)?;
        let unit = match args.get(at + 2) {
            None => Unit::Byte,
            Some(word) if word.eq_ignore_ascii_case(b"byte") => Unit::Byte,
            Some(word) if word.eq_ignore_ascii_case(b"bit") => Unit::Bit,
            Some(_) => return Err(Fail::Syntax),
        };
        let end = args.get(at + 1).map(integer).transpose()?;
        Ok(Asked { start, end, unit })
    }

    /// Whether an end was given: beyond it nothing is looked at, not even the zeros that follow any
    /// string.
    pub(super) fn has_end(self) -> bool {
        self.end.is_some()
    }

    /// Whether both ends are negative and the wrong way round. For BITCOUNT that is an empty range
    /// whatever the length; BITPOS looks at what remains of it.
    pub(super) fn is_reversed(self) -> bool {
        self.start < 0 && self.end.is_some_and(|end| end < 0 && self.start > end)
    }

    /// The bits in a string of `len` bytes; `None` if there are none.
    pub(super) fn bits(self, len: usize) -> Option<Range<u64>> {
        let (units, width) = match self.unit {
            Unit::Byte => (len as i64, 8),
            Unit::Bit => (len as i64 * 8, 1),
        };
        let from_end = |at: i64| if at < 0 { at.saturating_add(units).max(0) } else { at };
        let start = from_end(self.start);
        let end = self.end.map_or(units - 1, |end| from_end(end).min(units - 1));
        (start <= end).then(|| start as u64 * width..(end + 1) as u64 * width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let (byte, bit) = (Unit::Byte, Unit::Bit);
        for (start, end, unit, expected) in [
            (0, None, byte, Some(0..40)),
            (-2, None, byte, Some(24..40)),
            (5, None, byte, None),
            (1, Some(2), byte, Some(8..24)),
            (1, Some(2), bit, Some(1..3)),
            (0, Some(-1), bit, Some(0..40)),
            (-3, Some(-2), bit, Some(37..39)),
            (0, Some(i64::MAX), bit, Some(0..40)),
            (i64::MIN, Some(i64::MIN), byte, Some(0..8)),
            (3, Some(2), byte, None),
            (i64::MAX, Some(i64::MAX), bit, None),
        ] {
            let asked = Asked { start, end, unit };
            assert_eq!(asked.bits(5), expected, "{asked:?}");
            assert_eq!(asked.bits(0), None, "{asked:?}");
        }
        assert!(Asked { start: -1, end: Some(-2), unit: byte }.is_reversed());
        assert!(!Asked { start: -2, end: Some(-1), unit: byte }.is_reversed());
        assert!(!Asked { start: 0, end: Some(-1), unit: byte }.is_reversed());
    }
}
