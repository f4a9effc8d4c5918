//! Shortens a sequence of commands while the difference stays.

use crate::draw::Request;
use std::time::{Duration, Instant};

/// How long may be spent on one difference.
const PATIENCE: Duration = Duration::from_secs(4);

/// The shortest sequence found for which `differs` still holds; it holds for the one that is given.
pub(crate) fn shrink(
    sequence: Vec<Request>,
    mut differs: impl FnMut(&[Request]) -> bool,
) -> Vec<Request> {
    let begun = Instant::now();
    let mut best = sequence;
    let mut chunk = best.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        while at < best.len() {
            if begun.elapsed() > PATIENCE {
                return best;
            }
            let end = (at + chunk).min(best.len());
            let shorter = [&best[..at], &best[end..]].concat();
            if differs(&shorter) {
                best = shorter;
            } else {
                at = end;
            }
        }
        chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
    }
    best
}
