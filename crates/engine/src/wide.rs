//! Loops over bitmaps and registers, a second time with instructions that not every processor has.
//!
//! Measured against Valkey 8.1, which does the same, at pipeline 16: BITCOUNT of 125 KB, PFCOUNT of
//! several keys and PFMERGE run at 0.2 to 0.6 of its speed without them. Passing over the runs of a
//! sparse HyperLogLog has no plain loop here: `hll/sparse.rs` does it eight bytes at a time. A
//! program that is built for any x86-64 processor asks the one it runs on; all others take the
//! plain loops, which the tests hold the wide ones against.
//!
//! Deliberately not here: what the loops mean. They are told in bytes.

/// Bytes of four registers of 6 bits.
const PACKED: usize = 3;
/// Registers of 6 bits that a wide step takes, and their bytes.
#[cfg(target_arch = "x86_64")]
const STEP: (usize, usize) = (32, 32 / 4 * PACKED);

/// The number of set bits.
pub(crate) fn count_ones(bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("popcnt")
    {
        // SAFETY: this processor has just said that it has both.
        return unsafe { avx2::count_ones(bytes) };
    }
    plain::count_ones(bytes)
}

/// Raises each of `registers`, of a byte each, to the register of 6 bits in its place. Both are
/// whole steps of four.
pub(crate) fn merge_packed(packed: &[u8], registers: &mut [u8]) {
    debug_assert_eq!(packed.len() / PACKED, registers.len() / 4);
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: this processor has just said that it has it.
        return unsafe { avx2::merge_packed(packed, registers) };
    }
    plain::merge_packed(packed, registers);
}

/// Writes registers of a byte each, below 64, as registers of 6 bits. Both are whole steps of four.
pub(crate) fn pack(registers: &[u8], packed: &mut [u8]) {
    debug_assert_eq!(packed.len() / PACKED, registers.len() / 4);
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: this processor has just said that it has it.
        return unsafe { avx2::pack(registers, packed) };
    }
    plain::pack(registers, packed);
}

/// A place in the runs of a sparse HyperLogLog: the byte where a run begins, and the number of its
/// first register.
pub(crate) type RunPlace = (usize, usize);

/// Passes over runs (`hll/sparse.rs` has their format), some 32 bytes at a time, as long as all of
/// them lie before `register`. Gives where that ends, and the place one step before, or the one
/// where it began. `None`: this processor cannot.
#[inline]
pub(crate) fn pass_runs(
    runs: &[u8],
    from: RunPlace,
    register: usize,
) -> Option<(RunPlace, RunPlace)> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("popcnt")
    {
        // SAFETY: this processor has just said that it has both.
        return Some(unsafe { avx2::pass_runs(runs, from, register) });
    }
    None
}

mod plain {
    use super::PACKED;

    /// Always inlined: the wide loop is this one, compiled for wider registers.
    #[inline(always)]
    pub(super) fn count_ones(bytes: &[u8]) -> u64 {
        let (words, rest) = bytes.as_chunks::<8>();
        let count = |word: &[u8; 8]| u64::from(u64::from_ne_bytes(*word).count_ones());
        let rest: u64 = rest.iter().map(|byte| u64::from(byte.count_ones())).sum();
        words.iter().map(count).sum::<u64>() + rest
    }

    pub(super) fn merge_packed(packed: &[u8], registers: &mut [u8]) {
        let (fours, _) = registers.as_chunks_mut::<4>();
        for (four, [a, b, c]) in fours.iter_mut().zip(packed.as_chunks::<PACKED>().0) {
            let word = u32::from_le_bytes([*a, *b, *c, 0]);
            let spread = word & 0x3f
                | (word << 2) & 0x3f00
                | (word << 4) & 0x003f_0000
                | (word << 6) & 0x3f00_0000;
            for (rank, other) in four.iter_mut().zip(spread.to_le_bytes()) {
                *rank = (*rank).max(other);
            }
        }
    }

    pub(super) fn pack(registers: &[u8], packed: &mut [u8]) {
        let (fours, _) = registers.as_chunks::<4>();
        for (three, four) in packed.as_chunks_mut::<PACKED>().0.iter_mut().zip(fours) {
            let word = u32::from_le_bytes(*four);
            let pressed = word & 0x3f
                | (word & 0x3f00) >> 2
                | (word & 0x003f_0000) >> 4
                | (word & 0x3f00_0000) >> 6;
            let [a, b, c, _] = pressed.to_le_bytes();
            *three = [a, b, c];
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{RunPlace, STEP, plain};
    use std::arch::x86_64::*;

    /// Bytes of half a step, and what is read and written for it: four bytes more.
    const HALF: (usize, usize) = (STEP.1 / 2, 16);

    #[target_feature(enable = "avx2,popcnt")]
    pub(super) fn count_ones(bytes: &[u8]) -> u64 {
        plain::count_ones(bytes)
    }

    /// Bytes that a step over runs looks at.
    const RUNS: usize = 32;

    #[target_feature(enable = "avx2,popcnt")]
    pub(super) fn pass_runs(runs: &[u8], from: RunPlace, register: usize) -> (RunPlace, RunPlace) {
        let (mut here, mut before) = (from, from);
        while let Some(bytes) = runs[here.0..].first_chunk() {
            let (passed, registers) = whole_runs(bytes);
            if here.1 + registers > register {
                break;
            }
            before = here;
            here = (here.0 + passed, here.1 + registers);
        }
        (here, before)
    }

    /// The whole runs in bytes of which the first begins a run: their bytes, 31 or 32, and
    /// registers.
    #[target_feature(enable = "avx2,popcnt")]
    fn whole_runs(bytes: &[u8; RUNS]) -> (usize, usize) {
        // SAFETY: these are 32 bytes, and the load needs no alignment.
        let runs = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) };
        let all = |byte: u8| _mm256_set1_epi8(byte as i8);
        let looks_first = _mm256_cmpeq_epi8(_mm256_and_si256(runs, all(0xc0)), all(0x40));
        let (firsts, seconds) = pairs(_mm256_movemask_epi8(looks_first) as u32);
        let is_second = bytes_of(seconds);
        let is_first = _mm256_andnot_si256(is_second, looks_first);
        // The bits of the length: all eight of a second byte, two of a run with a rank, six of the
        // others.
        let with_rank = _mm256_cmpgt_epi8(_mm256_setzero_si256(), runs);
        let bits = _mm256_blendv_epi8(all(0x3f), all(3), with_rank);
        let len = _mm256_and_si256(runs, _mm256_or_si256(bits, is_second));
        let low = sum(_mm256_andnot_si256(is_first, len));
        let high = sum(_mm256_and_si256(is_first, len));
        // A first byte at the end, without its second, is none of the whole runs; all others but
        // first ones count one more.
        let is_cut = (firsts >> (RUNS - 1)) as usize;
        let high = high - is_cut * usize::from(bytes[RUNS - 1] & 0x3f);
        (RUNS - is_cut, low + (high << 8) + RUNS - firsts.count_ones() as usize)
    }

    /// The input has a bit for each byte that looks like the first of two. The result says which
    /// are, and which are the second. The byte before the lowest is no first one.
    ///
    /// A byte that looks first behind one that is first is second. So in a row of bits every second
    /// one counts, from its lowest bit on: a subtraction carries through each row, from even and
    /// from odd places alike, and shows where they differ from the pattern of odd places (as
    /// simdjson finds escaped characters).
    fn pairs(looks: u32) -> (u32, u32) {
        const ODD: u32 = 0xaaaa_aaaa;
        let first_or_end = ((looks << 1 | ODD).wrapping_sub(looks)) ^ ODD;
        (first_or_end & looks, first_or_end ^ looks)
    }

    /// A byte of ones for each bit.
    #[target_feature(enable = "avx2")]
    fn bytes_of(bits: u32) -> __m256i {
        let places = _mm256_setr_epi64x(
            0,
            0x0101_0101_0101_0101,
            0x0202_0202_0202_0202,
            0x0303_0303_0303_0303,
        );
        let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
        let spread = _mm256_shuffle_epi8(_mm256_set1_epi32(bits as i32), places);
        _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit)
    }

    /// The sum of all bytes.
    #[target_feature(enable = "avx2")]
    fn sum(bytes: __m256i) -> usize {
        let four = _mm256_sad_epu8(bytes, _mm256_setzero_si256());
        let two = _mm_add_epi64(_mm256_castsi256_si128(four), _mm256_extracti128_si256::<1>(four));
        (_mm_cvtsi128_si64(two) + _mm_extract_epi64::<1>(two)) as usize
    }

    /// How many steps there are, so that the last one too has its four bytes more.
    fn steps(packed: &[u8]) -> usize {
        packed.len().saturating_sub(HALF.1 - HALF.0) / STEP.1
    }

    /// The bits of `mask` in each word of 32 bits.
    #[target_feature(enable = "avx2")]
    fn masked(words: __m256i, mask: i32) -> __m256i {
        _mm256_and_si256(words, _mm256_set1_epi32(mask))
    }

    #[target_feature(enable = "avx2")]
    fn any_of(a: __m256i, b: __m256i, c: __m256i, d: __m256i) -> __m256i {
        _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d))
    }

    #[target_feature(enable = "avx2")]
    fn load(bytes: &[u8; HALF.1]) -> __m128i {
        // SAFETY: these are 16 bytes, and the load needs no alignment.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    fn store(bytes: &mut [u8; HALF.1], value: __m128i) {
        // SAFETY: these are 16 bytes, borrowed mutably, and the store needs no alignment.
        unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), value) }
    }

    /// The 16 bytes at `at`.
    fn half(bytes: &[u8], at: usize) -> &[u8; HALF.1] {
        bytes[at..].first_chunk().expect("all steps lie within the bytes")
    }

    fn half_mut(bytes: &mut [u8], at: usize) -> &mut [u8; HALF.1] {
        bytes[at..].first_chunk_mut().expect("all steps lie within the bytes")
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn merge_packed(packed: &[u8], registers: &mut [u8]) {
        // Three bytes to each word of four.
        let places = _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1);
        let places = _mm256_broadcastsi128_si256(places);
        let steps = steps(packed);
        for step in 0..steps {
            let (from, to) = (step * STEP.1, step * STEP.0);
            let (low, high) = (load(half(packed, from)), load(half(packed, from + HALF.0)));
            let words = _mm256_shuffle_epi8(_mm256_set_m128i(high, low), places);
            let spread = any_of(
                masked(words, 0x3f),
                masked(_mm256_slli_epi32::<2>(words), 0x3f00),
                masked(_mm256_slli_epi32::<4>(words), 0x003f_0000),
                masked(_mm256_slli_epi32::<6>(words), 0x3f00_0000),
            );
            let (low, high) = (load(half(registers, to)), load(half(registers, to + HALF.1)));
            let raised = _mm256_max_epu8(_mm256_set_m128i(high, low), spread);
            store(half_mut(registers, to), _mm256_castsi256_si128(raised));
            store(half_mut(registers, to + HALF.1), _mm256_extracti128_si256::<1>(raised));
        }
        plain::merge_packed(&packed[steps * STEP.1..], &mut registers[steps * STEP.0..]);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn pack(registers: &[u8], packed: &mut [u8]) {
        // The three lower bytes of each word of four.
        let places = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
        let places = _mm256_broadcastsi128_si256(places);
        let steps = steps(packed);
        for step in 0..steps {
            let (from, to) = (step * STEP.0, step * STEP.1);
            let (low, high) = (load(half(registers, from)), load(half(registers, from + HALF.1)));
            let words = _mm256_set_m128i(high, low);
            let pressed = any_of(
                masked(words, 0x3f),
                _mm256_srli_epi32::<2>(masked(words, 0x3f00)),
                _mm256_srli_epi32::<4>(masked(words, 0x003f_0000)),
                _mm256_srli_epi32::<6>(masked(words, 0x3f00_0000)),
            );
            let pressed = _mm256_shuffle_epi8(pressed, places);
            // The four bytes too many are overwritten by what follows.
            store(half_mut(packed, to), _mm256_castsi256_si128(pressed));
            store(half_mut(packed, to + HALF.0), _mm256_extracti128_si256::<1>(pressed));
        }
        plain::pack(&registers[steps * STEP.0..], &mut packed[steps * STEP.1..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn wide_loops_do_what_plain_ones_do(
            groups in proptest::collection::vec((any::<[u8; 3]>(), any::<[u8; 4]>()), 0..100),
        ) {
            let packed: Vec<u8> = groups.iter().flat_map(|(packed, _)| *packed).collect();
            let old: Vec<u8> = groups.iter().flat_map(|(_, old)| old.map(|rank| rank % 64)).collect();
            prop_assert_eq!(count_ones(&packed), plain::count_ones(&packed));
            let (mut wide, mut narrow) = (old.clone(), old.clone());
            merge_packed(&packed, &mut wide);
            plain::merge_packed(&packed, &mut narrow);
            prop_assert_eq!(&wide, &narrow);
            let (mut wide, mut narrow) = (vec![0; packed.len()], vec![0; packed.len()]);
            pack(&old, &mut wide);
            plain::pack(&old, &mut narrow);
            prop_assert_eq!(&wide, &narrow);
            let mut again = vec![0; old.len()];
            merge_packed(&wide, &mut again);
            prop_assert_eq!(again, old);
        }
    }
}
