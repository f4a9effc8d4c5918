//! Bits of byte slices: counted, found and combined, a word or a block of words at a time. The bit
//! with number 0 is the highest of the first byte.

use crate::wide;
use std::ops::Range;

/// Bytes that are looked at in one step of a search: long enough for the machine's widest
/// registers.
const BLOCK: usize = 64;

/// The number of set bits in a range of bits, which lies within the bytes.
pub(super) fn count_ones(bytes: &[u8], range: Range<u64>) -> u64 {
    let cut = Cut::of(bytes, &range);
    let ends = (cut.first & cut.first_mask).count_ones() + (cut.last & cut.last_mask).count_ones();
    u64::from(ends) + wide::count_ones(cut.middle)
}

/// The position of the first bit in a range of bits, which lies within the bytes, that is as
/// wanted.
pub(super) fn find(bytes: &[u8], range: Range<u64>, wanted: bool) -> Option<u64> {
    // After this the first set bit is looked for.
    let flip = if wanted { 0 } else { 0xff };
    let cut = Cut::of(bytes, &range);
    let at = (range.start / 8) as usize;
    let position = |at: usize, byte: u8| at as u64 * 8 + u64::from(byte.leading_zeros());
    let first = (cut.first ^ flip) & cut.first_mask;
    if first != 0 {
        return Some(position(at, first));
    }
    if let Some((offset, byte)) = first_other(cut.middle, flip) {
        return Some(position(at + cut.before_middle + offset, byte ^ flip));
    }
    let last = (cut.last ^ flip) & cut.last_mask;
    (last != 0).then(|| position(((range.end - 1) / 8) as usize, last))
}

/// The first byte that is not `same`, with its place.
fn first_other(bytes: &[u8], same: u8) -> Option<(usize, u8)> {
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    // Without a branch for each byte, so that a block is one step.
    let is_other = |block: &[u8; BLOCK]| block.iter().fold(0, |all, byte| all | (byte ^ same)) != 0;
    let skipped = blocks.iter().position(is_other).unwrap_or(blocks.len()) * BLOCK;
    let offset = bytes[skipped..].iter().position(|byte| *byte != same)?;
    Some((skipped + offset, bytes[skipped + offset]))
}

/// A range of bits as whole bytes and what is left of a byte at either end. A mask of zero: that
/// end is whole, or the other end is the same byte.
struct Cut<'a> {
    first: u8,
    first_mask: u8,
    /// 1 if the first byte is not in the middle.
    before_middle: usize,
    middle: &'a [u8],
    last: u8,
    last_mask: u8,
}

impl<'a> Cut<'a> {
    fn of(bytes: &'a [u8], range: &Range<u64>) -> Cut<'a> {
        let (start, end) = ((range.start / 8) as usize, (range.end / 8) as usize);
        let from_start = 0xff >> (range.start % 8);
        let to_end = !(0xff_u8 >> (range.end % 8));
        let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
        if start == end {
            let first_mask = from_start & to_end;
            let first = byte(start);
            return Cut { first, first_mask, before_middle: 1, middle: &[], last: 0, last_mask: 0 };
        }
        let before_middle = usize::from(from_start != 0xff);
        Cut {
            first: byte(start),
            first_mask: if before_middle == 1 { from_start } else { 0 },
            before_middle,
            middle: &bytes[start + before_middle..end],
            last: byte(end),
            last_mask: to_end,
        }
    }
}

/// `into` and `other`, byte by byte. Behind the end of `other` there are zeros.
pub(super) fn and(into: &mut [u8], other: &[u8]) {
    zip(into, other, |a, b| a & b);
    into[other.len()..].fill(0);
}

/// `into` or `other`, byte by byte.
pub(super) fn or(into: &mut [u8], other: &[u8]) {
    zip(into, other, |a, b| a | b);
}

/// `into` exclusive or `other`, byte by byte.
pub(super) fn xor(into: &mut [u8], other: &[u8]) {
    zip(into, other, |a, b| a ^ b);
}

/// All bits the other way round.
pub(super) fn not(into: &mut [u8]) {
    into.iter_mut().for_each(|byte| *byte = !*byte);
}

/// Over slices of the same length, so that the compiler takes as many bytes at once as a register
/// holds.
fn zip(into: &mut [u8], other: &[u8], combine: impl Fn(u8, u8) -> u8) {
    into.iter_mut().zip(other).for_each(|(a, b)| *a = combine(*a, *b));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bit(bytes: &[u8], at: u64) -> bool {
        bytes[(at / 8) as usize] & (0x80 >> (at % 8)) != 0
    }

    /// Bytes that are mostly the same, as bitmaps are, with a range of their bits.
    fn bitmaps() -> impl Strategy<Value = (Vec<u8>, Range<u64>)> {
        let byte = prop_oneof![20 => Just(0x00), 20 => Just(0xff), 1 => any::<u8>()];
        let runs = proptest::collection::vec((byte, 1..80_usize), 1..8);
        let bytes = runs.prop_map(|runs| {
            runs.iter()
                .flat_map(|(byte, len)| std::iter::repeat_n(*byte, *len))
                .collect::<Vec<u8>>()
        });
        bytes.prop_flat_map(|bytes| {
            let bits = bytes.len() as u64 * 8;
            (Just(bytes), 0..bits, 0..bits)
                .prop_map(|(bytes, a, b)| (bytes, a.min(b)..a.max(b) + 1))
        })
    }

    proptest! {
        #[test]
        fn bits_are_counted_and_found((bytes, range) in bitmaps()) {
            let ones = range.clone().filter(|&at| bit(&bytes, at)).count() as u64;
            prop_assert_eq!(count_ones(&bytes, range.clone()), ones);
            for wanted in [false, true] {
                let first = range.clone().find(|&at| bit(&bytes, at) == wanted);
                prop_assert_eq!(find(&bytes, range.clone(), wanted), first);
            }
        }

        #[test]
        fn bits_are_combined(
            a in proptest::collection::vec(any::<u8>(), 0..100),
            b in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let (long, short) = if a.len() > b.len() { (a, b) } else { (b, a) };
            let other = |at: usize| short.get(at).copied().unwrap_or(0);
            let [mut anded, mut ored, mut xored, mut flipped] = [(); 4].map(|()| long.clone());
            and(&mut anded, &short);
            or(&mut ored, &short);
            xor(&mut xored, &short);
            not(&mut flipped);
            for (at, byte) in long.iter().enumerate() {
                prop_assert_eq!(anded[at], byte & other(at));
                prop_assert_eq!(ored[at], byte | other(at));
                prop_assert_eq!(xored[at], byte ^ other(at));
                prop_assert_eq!(flipped[at], !byte);
            }
        }
    }
}
