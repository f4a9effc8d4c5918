//! Whether the control thread is alive: without it this node is dead to its cluster, whatever the
//! I/O threads do.
//!
//! A process that was stopped, or whose control thread hangs on a disk, for longer than the node
//! timeout may have been replaced. No client may be served then before the cluster core has had its
//! turn and has drawn its conclusions.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tessera_slot::Millis;

/// The control thread's last sign of life.
#[derive(Default)]
pub(crate) struct Pulse {
    /// By the monotonic clock, which nobody sets; 0 before the first beat.
    last: AtomicU64,
    /// An I/O thread has missed it.
    missed: AtomicBool,
}

impl Pulse {
    /// The control thread has carried out all that the core wants, which saw the clock at `seen`.
    /// That is not the present time: the process may have been stopped since, and the core does not
    /// know yet.
    pub(crate) fn beat(&self, seen: Millis) {
        self.last.store(seen.0, Ordering::Release);
    }

    /// Whether a beat was missed since this was asked last.
    pub(crate) fn was_missed(&self) -> bool {
        self.missed.swap(false, Ordering::AcqRel)
    }

    /// Whether the last beat is longer ago than `limit` milliseconds.
    #[inline]
    pub(crate) fn is_late(&self, now: Millis, limit: u64) -> bool {
        let last = self.last.load(Ordering::Acquire);
        last != 0 && now.since(Millis(last)) > limit
    }

    /// The next beat is to tell that this one was missed.
    pub(crate) fn miss(&self) {
        self.missed.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_beat_is_noticed_and_told_once() {
        let pulse = Pulse::default();
        assert!(!pulse.is_late(Millis(5000), 0), "nothing has begun");
        pulse.beat(Millis(5000));
        assert!(!pulse.was_missed());
        assert!(!pulse.is_late(Millis(5100), 100));
        assert!(pulse.is_late(Millis(5101), 100));
        pulse.miss();
        // When the core sees a time that is long over by then, then the beat is as old as that.
        pulse.beat(Millis(5200));
        assert!(pulse.is_late(Millis(9000), 100) && !pulse.is_late(Millis(5300), 100));
        assert!(pulse.was_missed());
        assert!(!pulse.was_missed());
    }
}
