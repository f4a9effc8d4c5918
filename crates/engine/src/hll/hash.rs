//! The place of an element: its hash must be the same on all servers, for ever.

use super::REGISTERS;

/// The seed of the hash, as in Redis.
const SEED: u64 = 0xadc8_3b19;
/// Bits of the hash that choose the register.
const REGISTER_BITS: u32 = REGISTERS.ilog2();

/// The effect of an element on the registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its register.
    pub register: usize,
    /// Its rank, 1 to 51.
    pub rank: u8,
}

impl Place {
    /// The place of an element.
    #[inline]
    pub fn of(element: &[u8]) -> Place {
        let hash = murmur(element);
        let rest = hash >> REGISTER_BITS | 1 << (64 - REGISTER_BITS);
        Place { register: hash as usize % REGISTERS, rank: rest.trailing_zeros() as u8 + 1 }
    }
}

/// MurmurHash64A, by Austin Appleby (public domain).
#[inline]
fn murmur(bytes: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    let (words, rest) = bytes.as_chunks::<8>();
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        word ^= word >> SHIFT;
        hash = (hash ^ word.wrapping_mul(MULTIPLIER)).wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(last)).wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> SHIFT;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ hash >> SHIFT
}
