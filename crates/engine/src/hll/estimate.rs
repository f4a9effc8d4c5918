//! From registers to the estimate: the improved raw estimator of Otmar Ertl, "New cardinality
//! estimation algorithms for HyperLogLog sketches" (arXiv:1702.01284), algorithm 6. Each operation
//! is that of Redis, in the same order, so that the last bit is the same too.

use super::REGISTERS;

/// The largest rank of an element: the bits of its hash that do not choose the register, and one.
const RANK_MAX: usize = 51;
/// 1 / (2 ln 2).
const ALPHA: f64 = 0.721_347_520_444_481_7;

/// The number of registers for each rank. Strings from outside may hold ranks above the largest
/// one, which count for nothing.
pub(super) struct Histogram(pub(super) [u32; 64]);

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram([0; 64])
    }
}

impl Histogram {
    /// The histogram of registers with a byte each, which are below 64.
    pub(super) fn of(registers: &[u8; REGISTERS]) -> Histogram {
        // Neighbours often have the same rank: several counters for each spare the processor
        // waiting for its own last store.
        let mut counters = [[0_u32; 64]; 4];
        for eight in registers.as_chunks::<8>().0 {
            if *eight == [0; 8] {
                counters[0][0] += 8;
                continue;
            }
            for four in eight.as_chunks::<4>().0 {
                for (counter, rank) in counters.iter_mut().zip(four) {
                    counter[usize::from(rank & 63)] += 1;
                }
            }
        }
        Histogram(std::array::from_fn(|rank| counters.iter().map(|counter| counter[rank]).sum()))
    }
}

/// The estimate.
pub(super) fn cardinality(histogram: &Histogram) -> u64 {
    let all = REGISTERS as f64;
    let count = |rank: usize| f64::from(histogram.0[rank]);
    let mut sum = all * tau((all - count(RANK_MAX)) / all);
    for rank in (1..RANK_MAX).rev() {
        sum += count(rank);
        sum *= 0.5;
    }
    sum += all * sigma(count(0) / all);
    let estimate = (ALPHA * all * all / sum).round() as u64;
    // Impossible registers have an endless estimate; the highest bit is taken in the header.
    estimate.min(i64::MAX as u64)
}

/// The weight of the empty registers, by their share.
fn sigma(mut share: f64) -> f64 {
    if share == 1.0 {
        return f64::INFINITY;
    }
    let (mut weight, mut sum) = (1.0, share);
    loop {
        share *= share;
        let before = sum;
        sum += share * weight;
        weight += weight;
        if before == sum {
            return sum;
        }
    }
}

/// The weight of the full registers, by the share of the others.
fn tau(mut share: f64) -> f64 {
    if share == 0.0 || share == 1.0 {
        return 0.0;
    }
    let (mut weight, mut sum) = (1.0, 1.0 - share);
    loop {
        share = share.sqrt();
        let before = sum;
        weight *= 0.5;
        sum -= (1.0 - share) * (1.0 - share) * weight;
        if before == sum {
            return sum / 3.0;
        }
    }
}
