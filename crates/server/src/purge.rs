//! Memory that was freed goes back to the system.
//!
//! The allocator does that by itself only while memory is taken and freed, and what one thread
//! frees of another's waits for the other: after a burst (a replica's backlog, a client that did
//! not read, FLUSHALL) an idle server would keep it. A look through a thread's heap meets each of
//! its pages, too much for every second: it is taken only when much less is in use than was.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// The least fall of used memory, in bytes, after which all threads look through their heaps.
const FALL: usize = 64 << 20;

/// When threads are to look through their heaps.
#[derive(Default)]
pub(crate) struct Purge {
    /// The most memory in use since the last time.
    peak: AtomicUsize,
    rounds: AtomicU64,
}

impl Purge {
    /// Once a second or so: so many bytes are in use.
    pub(crate) fn note(&self, used: usize) {
        let peak = self.peak.load(Relaxed).max(used);
        let is_due = peak - used >= FALL.max(peak / 4);
        self.peak.store(if is_due { used } else { peak }, Relaxed);
        if is_due {
            self.ask();
        }
    }

    /// All threads are to look through their heaps.
    pub(crate) fn ask(&self) {
        self.rounds.fetch_add(1, Relaxed);
    }

    /// Lets the calling thread give back what it can, if that is due. `seen` is the thread's own.
    pub(crate) fn take_part(&self, seen: &mut u64) -> bool {
        let rounds = self.rounds.load(Relaxed);
        let is_due = std::mem::replace(seen, rounds) != rounds;
        if is_due {
            tessera_store::give_back_freed();
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fall_of_a_quarter_is_a_reason_once() {
        let (purge, mut seen) = (Purge::default(), 0);
        let mut is_due = |used: usize| {
            purge.note(used);
            purge.take_part(&mut seen)
        };
        for (megabytes, due) in [
            (1000, false),
            (800, false),
            (750, true),
            (750, false),
            (690, false),
            (500, true),
            (440, false),
            (370, true),
            (10, true),
            (1, false),
        ] {
            assert_eq!(is_due(megabytes << 20), due, "{megabytes}");
        }
    }
}
