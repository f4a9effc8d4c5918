//! Sparse registers: runs of registers with the same rank, in order, without gaps.
//!
//! | bytes | run |
//! | --- | --- |
//! | `00xxxxxx` | x + 1 registers that have seen nothing |
//! | `01xxxxxx yyyyyyyy` | xy + 1 registers that have seen nothing |
//! | `1rrrrrll` | l + 1 registers of rank r + 1 |
//!
//! Runs are split and joined as in Redis: the same elements give the same bytes.

use super::estimate::Histogram;
use super::{HllError, Place, REGISTERS};
use crate::wide::pass_runs;

/// Registers that have all seen nothing: one long run.
pub(super) const EMPTY: [u8; 2] = [0x7f, 0xff];
/// The largest rank of a run.
const RANK_MAX: u8 = 32;
/// The longest run with a rank.
const RANKED_MAX: usize = 4;
/// The longest run that one byte says to have seen nothing.
const SHORT_MAX: usize = 64;
/// Runs that are looked at for joining, from the one before the change on.
const JOIN_STEPS: usize = 5;
/// Bytes of room that a string gets at most, beyond what it needs now.
const ROOM_MAX: usize = 300;

/// A run of equal registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Run {
    /// One byte: 1 to 64 registers that have seen nothing.
    Zeros(usize),
    /// Two bytes: 1 to 16,384 registers that have seen nothing.
    ManyZeros(usize),
    /// One byte: 1 to 4 registers of this rank, 1 to 32.
    Ranked {
        /// The rank.
        rank: u8,
        /// The number of registers.
        len: usize,
    },
}

impl Run {
    /// The run that begins at `at`, if there is a whole one.
    #[inline]
    fn decode(body: &[u8], at: usize) -> Option<Run> {
        let byte = *body.get(at)?;
        Some(match byte >> 6 {
            0 => Run::Zeros(usize::from(byte) + 1),
            1 => {
                let low = *body.get(at + 1)?;
                Run::ManyZeros((usize::from(byte & 0x3f) << 8 | usize::from(low)) + 1)
            }
            _ => Run::Ranked { rank: (byte >> 2 & 0x1f) + 1, len: usize::from(byte & 3) + 1 },
        })
    }

    /// The number of registers.
    #[inline]
    fn len(self) -> usize {
        match self {
            Run::Zeros(len) | Run::ManyZeros(len) | Run::Ranked { len, .. } => len,
        }
    }

    /// The number of bytes.
    #[inline]
    fn bytes(self) -> usize {
        if matches!(self, Run::ManyZeros(_)) { 2 } else { 1 }
    }

    fn rank(self) -> u8 {
        match self {
            Run::Ranked { rank, .. } => rank,
            _ => 0,
        }
    }
}

fn ranked(rank: u8, len: usize) -> u8 {
    0x80 | (rank - 1) << 2 | (len - 1) as u8
}

/// All runs. The last item is an error where a run is cut off.
pub(super) fn runs(body: &[u8]) -> impl Iterator<Item = Result<Run, HllError>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= body.len() {
            return None;
        }
        let run = Run::decode(body, at);
        at = run.map_or(body.len(), |run| at + run.bytes());
        Some(run.ok_or(HllError::Corrupt))
    })
}

/// Calls `each` with every run and its first register.
///
/// # Errors
/// If the runs are not those of all registers.
fn walk(body: &[u8], mut each: impl FnMut(usize, Run)) -> Result<(), HllError> {
    let mut first = 0;
    for run in runs(body) {
        let run = run?;
        if first + run.len() > REGISTERS {
            return Err(HllError::Corrupt);
        }
        each(first, run);
        first += run.len();
    }
    if first == REGISTERS { Ok(()) } else { Err(HllError::Corrupt) }
}

/// Raises `registers` to what these have seen.
pub(super) fn merge(body: &[u8], registers: &mut [u8; REGISTERS]) -> Result<(), HllError> {
    walk(body, |first, run| {
        if run.rank() > 0 {
            for rank in &mut registers[first..first + run.len()] {
                *rank = (*rank).max(run.rank());
            }
        }
    })
}

/// How many registers have which rank.
pub(super) fn histogram(body: &[u8]) -> Result<Histogram, HllError> {
    let mut histogram = Histogram::default();
    walk(body, |_, run| histogram.0[usize::from(run.rank())] += run.len() as u32)?;
    Ok(histogram)
}

/// The beginning of a run.
#[derive(Clone, Copy)]
pub(super) struct Cursor {
    /// Its first byte.
    at: usize,
    /// Its first register.
    first: usize,
}

impl Cursor {
    /// The first run.
    pub(super) const START: Cursor = Cursor { at: 0, first: 0 };
}

/// The outcome for a register.
pub(super) enum Raised {
    /// Whether it was lower.
    Done(bool),
    /// It must be made dense first: the rank is too large, or the string would be too long.
    DoesNotFit,
}

/// The run that a register belongs to.
struct Spot {
    run: Run,
    here: Cursor,
    /// The run before.
    previous: Option<Cursor>,
    /// The one before that, or the first: a place from where greater registers can be looked for
    /// later, since no change here touches it.
    behind: Cursor,
}

/// The lowest bit of each of eight bytes.
const ONES: u64 = 0x0101_0101_0101_0101;

/// For each set of bytes that look like the first of two, one bit each, which of eight bytes are
/// second ones, 255 each.
static SECONDS: [u64; 256] = {
    let (mut table, mut looks) = ([0; 256], 0);
    while looks < 256 {
        let mut at = 0;
        while at < 7 {
            if looks >> at & 1 == 1 {
                at += 1;
                table[looks] |= 0xff << (8 * at);
            }
            at += 1;
        }
        looks += 1;
    }
    table
};

/// The whole runs in eight bytes, of which the first begins a run: their bytes, 7 or 8, and
/// registers. Without a branch, since which runs have two bytes cannot be predicted.
#[inline]
fn whole_runs(word: u64) -> (usize, usize) {
    /// One bit for each byte, from the lowest bits of all, in the highest byte of the product.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let looks_first = word >> 6 & !(word >> 7) & ONES;
    let second = SECONDS[(looks_first.wrapping_mul(GATHER) >> 56) as usize];
    let first = (looks_first * 0xff) & !second;
    // The last byte may be the first of two, and is none of the whole runs then.
    let is_cut = first >> 63;
    let whole = u64::MAX >> (8 * is_cut);
    let is_ranked = ((word >> 7 & ONES) * 0xff) & !second;
    let single = !(first | second);
    let len = word & (second | single & (ONES * 0x3f) & (!is_ranked | (ONES * 3)));
    let low = (len + (ONES & !second)) & whole;
    let high = word & first & (ONES * 0x3f) & whole;
    let registers = sum_of_bytes(low) + (sum_of_bytes(high) << 8);
    (8 - is_cut as usize, registers)
}

#[inline]
fn sum_of_bytes(word: u64) -> usize {
    // Sums of two need more than a byte, those of eight fit 16 bits.
    let pairs = (word & 0x00ff_00ff_00ff_00ff) + (word >> 8 & 0x00ff_00ff_00ff_00ff);
    (pairs.wrapping_mul(0x0001_0001_0001_0001) >> 48) as usize
}

/// Passes over runs before that of a register: all but a few. There are at least two more before
/// it, or the cursor is where it was.
fn approach(body: &[u8], from: Cursor, register: usize) -> Cursor {
    let Some((here, before)) = pass_runs(body, (from.at, from.first), register) else {
        return approach_plainly(body, from, register);
    };
    let [here, before] = [here, before].map(|(at, first)| Cursor { at, first });
    let near = approach_plainly(body, here, register);
    // Directly behind a step there may be no two runs between it and the register.
    if near.at > here.at { near } else { approach_plainly(body, before, register) }
}

/// The same eight bytes at a time.
fn approach_plainly(body: &[u8], from: Cursor, register: usize) -> Cursor {
    let (mut behind, mut here) = (from, from);
    while let Some(eight) = body[here.at..].first_chunk::<8>() {
        let (bytes, registers) = whole_runs(u64::from_le_bytes(*eight));
        if here.first + registers > register {
            break;
        }
        behind = here;
        here = Cursor { at: here.at + bytes, first: here.first + registers };
    }
    behind
}

/// Finds the run of a register, which does not lie before the cursor.
fn locate(body: &[u8], from: Cursor, register: usize) -> Result<Spot, HllError> {
    // Long ones have a thousand runs and more.
    let start = approach(body, from, register);
    let (mut here, mut previous, mut behind) = (start, None::<Cursor>, start);
    loop {
        let run = Run::decode(body, here.at).ok_or(HllError::Corrupt)?;
        if register < here.first + run.len() {
            return Ok(Spot { run, here, previous, behind });
        }
        behind = previous.unwrap_or(behind);
        previous = Some(here);
        here = Cursor { at: here.at + run.bytes(), first: here.first + run.len() };
    }
}

/// Raises a register of the string `bytes`, whose runs begin at `body`. The search begins at the
/// cursor, which is moved to where a search for a greater register may begin. Beyond `limit` bytes
/// the string does not grow.
///
/// # Errors
/// If the runs end before the register. Nothing has been changed then.
pub(super) fn raise(
    bytes: &mut Vec<u8>,
    body: usize,
    cursor: &mut Cursor,
    place: Place,
    limit: usize,
) -> Result<Raised, HllError> {
    if place.rank > RANK_MAX {
        return Ok(Raised::DoesNotFit);
    }
    let mut spot = locate(&bytes[body..], *cursor, place.register)?;
    if spot.previous.is_none() && cursor.at > 0 {
        // Runs were joined up to the cursor; what stands before it matters for joining again.
        spot = locate(&bytes[body..], Cursor::START, place.register)?;
    }
    *cursor = spot.behind;
    if spot.run.rank() >= place.rank {
        return Ok(Raised::Done(false));
    }
    let (pieces, len) = split(spot.run, place.register - spot.here.first, place.rank);
    let (old, new) = (spot.run.bytes(), &pieces[..len]);
    if new.len() > old && bytes.len() + new.len() - old > limit {
        return Ok(Raised::DoesNotFit);
    }
    replace(bytes, body + spot.here.at, old, new);
    join(bytes, body + spot.previous.unwrap_or(spot.here).at);
    Ok(Raised::Done(true))
}

/// A run with one of its registers raised, as up to three runs; and the number of bytes.
fn split(run: Run, index: usize, rank: u8) -> ([u8; 5], usize) {
    let (mut bytes, mut at) = ([0; 5], 0);
    let mut add = |part: &[u8]| {
        bytes[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    };
    let rest = |add: &mut dyn FnMut(&[u8]), len: usize| match run {
        _ if len == 0 => {}
        Run::Ranked { rank, .. } => add(&[ranked(rank, len)]),
        _ if len > SHORT_MAX => add(&[0x40 | ((len - 1) >> 8) as u8, (len - 1) as u8]),
        _ => add(&[(len - 1) as u8]),
    };
    rest(&mut add, index);
    add(&[ranked(rank, 1)]);
    rest(&mut add, run.len() - index - 1);
    (bytes, at)
}

/// Puts `new` in place of `old` bytes.
fn replace(bytes: &mut Vec<u8>, at: usize, old: usize, new: &[u8]) {
    let end = bytes.len();
    if new.len() > old {
        let more = new.len() - old;
        if bytes.capacity() - end < more {
            // The room does not double: most of these strings stay short.
            bytes.reserve_exact(more + end.min(ROOM_MAX));
        }
        bytes.resize(end + more, 0);
        bytes.copy_within(at + old..end, at + new.len());
    } else {
        bytes.drain(at + new.len()..at + old);
    }
    bytes[at..at + new.len()].copy_from_slice(new);
}

/// Joins neighbours of the same rank, from the run at `at` on.
fn join(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOIN_STEPS {
        let (Some(run), next) = (Run::decode(bytes, at), bytes.get(at + 1)) else { return };
        let joined = match (run, next.and_then(|_| Run::decode(bytes, at + 1))) {
            (Run::Ranked { rank, len }, Some(Run::Ranked { rank: other, len: more }))
                if rank == other && len + more <= RANKED_MAX =>
            {
                Some(ranked(rank, len + more))
            }
            _ => None,
        };
        match joined {
            Some(byte) => {
                bytes.remove(at);
                bytes[at] = byte;
            }
            None => at += run.bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The run of a register, by a plain walk: its cursor, and those of the two before it.
    fn walked(body: &[u8], register: usize) -> Option<[Option<(usize, usize)>; 3]> {
        let (mut at, mut first, mut seen) = (0, 0, [None; 3]);
        loop {
            let run = Run::decode(body, at)?;
            seen = [Some((at, first)), seen[0], seen[1]];
            if register < first + run.len() {
                return Some(seen);
            }
            (at, first) = (at + run.bytes(), first + run.len());
        }
    }

    proptest! {
        /// Any bytes are runs, but for a last one that may be cut off.
        #[test]
        fn a_register_is_found_wherever_it_is(
            body in proptest::collection::vec(
                // Mostly short runs, so that there are many.
                prop_oneof![4 => 0x80u8..=0xff, 4 => 0u8..0x10, 1 => 0x40u8..0x42, 1 => any::<u8>()],
                0..300,
            ),
            register in 0..2 * REGISTERS,
        ) {
            for register in [register, register % 1000, register % 100] {
                let found = locate(&body, Cursor::START, register).ok();
                let wanted = walked(&body, register);
                prop_assert_eq!(found.is_some(), wanted.is_some());
                if let (Some(spot), Some([here, previous, before])) = (found, wanted) {
                    let pair = |cursor: Cursor| (cursor.at, cursor.first);
                    prop_assert_eq!(Some(pair(spot.here)), here);
                    prop_assert_eq!(spot.previous.map(pair), previous);
                    prop_assert_eq!(Some(pair(spot.behind)), before.or(Some((0, 0))));
                    prop_assert_eq!(Some(spot.run), Run::decode(&body, spot.here.at));
                }
            }
        }
    }
}
