//! Dense registers: 6 bits each, the lowest bits of the first byte first. So three bytes are four registers, and six bytes eight:
//! these are taken apart and put together in one word.

use super::estimate::Histogram;
use super::{Place, REGISTERS};

/// Bits of a register.
const BITS: usize = 6;
/// Bytes of all registers.
pub(super) const DENSE_BYTES: usize = REGISTERS * BITS / 8;
/// Bytes of eight registers.
const GROUP: usize = BITS;
/// The bits of a register.
const MASK: u16 = (1 << BITS) - 1;

/// A register's first byte and the bits before it there.
fn place_of(register: usize) -> (usize, usize) {
    (register * BITS / 8, register * BITS % 8)
}

/// The two bytes that hold a register; the second is missing behind the last register, which does not need it.
fn pair(body: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([body[at], body.get(at + 1).copied().unwrap_or(0)])
}

/// Raises a register; says whether it was lower.
pub(super) fn raise(body: &mut [u8], place: Place) -> bool {
    let (at, shift) = place_of(place.register);
    let pair = pair(body, at);
    if (pair >> shift & MASK) as u8 >= place.rank {
        return false;
    }
    let [low, high] = (pair & !(MASK << shift) | u16::from(place.rank) << shift).to_le_bytes();
    body[at] = low;
    if let Some(byte) = body.get_mut(at + 1) {
        *byte = high;
    }
    true
}

/// Six bytes as eight registers, a byte each.
#[inline]
fn spread(group: &[u8; GROUP]) -> [u8; 8] {
    let [a, b, c, d, e, f] = *group;
    // Half of the registers in each half of the word, then each in its byte.
    let word = u64::from_le_bytes([a, b, c, 0, d, e, f, 0]);
    let register = |shift: u32, mask: u64| (word << shift) & mask;
    let spread = register(0, 0x0000_003f_0000_003f)
        | register(2, 0x0000_3f00_0000_3f00)
        | register(4, 0x003f_0000_003f_0000)
        | register(6, 0x3f00_0000_3f00_0000);
    spread.to_le_bytes()
}

/// Eight registers of a byte each as six bytes.
#[inline]
fn press(registers: &[u8; 8]) -> [u8; GROUP] {
    let spread = u64::from_le_bytes(*registers);
    let register = |shift: u32, mask: u64| (spread & mask) >> shift;
    let word = register(0, 0x0000_003f_0000_003f)
        | register(2, 0x0000_3f00_0000_3f00)
        | register(4, 0x003f_0000_003f_0000)
        | register(6, 0x3f00_0000_3f00_0000);
    let [a, b, c, _, d, e, f, _] = word.to_le_bytes();
    [a, b, c, d, e, f]
}

/// Raises `registers` to what these have seen.
pub(super) fn merge(body: &[u8], registers: &mut [u8; REGISTERS]) {
    let (groups, _) = body.as_chunks::<GROUP>();
    let (eights, _) = registers.as_chunks_mut::<8>();
    for (eight, group) in eights.iter_mut().zip(groups) {
        let other = spread(group);
        eight.iter_mut().zip(other).for_each(|(rank, other)| *rank = (*rank).max(other));
    }
}

/// Writes all registers.
pub(super) fn pack(registers: &[u8; REGISTERS], body: &mut [u8]) {
    let (groups, _) = body.as_chunks_mut::<GROUP>();
    let (eights, _) = registers.as_chunks::<8>();
    groups.iter_mut().zip(eights).for_each(|(group, eight)| *group = press(eight));
}

/// How many registers have which rank.
pub(super) fn histogram(body: &[u8]) -> Histogram {
    // Neighbours often have the same rank: two counters for each spare the processor waiting for its own last store.
    let mut counters = [[0_u32; 64]; 2];
    let (groups, _) = body.as_chunks::<GROUP>();
    for group in groups {
        for pair in spread(group).as_chunks::<2>().0 {
            counters[0][usize::from(pair[0] & 63)] += 1;
            counters[1][usize::from(pair[1] & 63)] += 1;
        }
    }
    let [mut sum, other] = counters;
    sum.iter_mut().zip(other).for_each(|(sum, other)| *sum += other);
    Histogram(sum)
}
