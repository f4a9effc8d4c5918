//! Dense registers: 6 bits each, the lowest bits of the first byte first. So three bytes are four
//! registers, and six bytes eight.

use super::estimate::Histogram;
use super::{Place, REGISTERS};
use crate::wide;

/// Bits of a register.
const BITS: usize = 6;
/// Bytes of all registers.
pub(super) const DENSE_BYTES: usize = REGISTERS * BITS / 8;
/// The bits of a register.
const MASK: u16 = (1 << BITS) - 1;

/// A register's first byte and the bits before it there.
fn place_of(register: usize) -> (usize, usize) {
    (register * BITS / 8, register * BITS % 8)
}

/// The two bytes that hold a register; the second is missing behind the last register, which does
/// not need it.
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

/// Raises `registers` to what these have seen.
pub(super) fn merge(body: &[u8], registers: &mut [u8; REGISTERS]) {
    wide::merge_packed(body, registers);
}

/// Writes all registers.
pub(super) fn pack(registers: &[u8; REGISTERS], body: &mut [u8]) {
    wide::pack(registers, body);
}

/// How many registers have which rank.
pub(super) fn histogram(body: &[u8]) -> Histogram {
    let mut registers = [0; REGISTERS];
    merge(body, &mut registers);
    Histogram::of(&registers)
}
