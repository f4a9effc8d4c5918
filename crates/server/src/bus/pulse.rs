//! Whether the control thread is alive: without it this node is dead to its cluster, whatever the I/O threads do.
//!
//! A process that was stopped, or whose control thread hangs on a disk, for longer than the node timeout may have been
//! replaced. Nobody may be served then before the cluster core has had its turn and has drawn its conclusions.

use crate::time;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tessera_cluster::Now;
use tessera_slot::Millis;

/// The control thread's last sign of life.
#[derive(Default)]
pub(crate) struct Pulse {
    /// By the Unix clock, which an I/O thread knows anyway; 0 before the first beat.
    unix: AtomicU64,
    /// By the monotonic clock, which nobody sets.
    monotonic: AtomicU64,
    /// An I/O thread has missed it.
    missed: AtomicBool,
}

impl Pulse {
    /// The control thread has carried out all that the core wants, which saw the clocks at `seen`. Not the present time: the
    /// process may have been stopped since, and the core does not know yet.
    pub(crate) fn beat(&self, seen: Now) {
        self.monotonic.store(seen.mono.0, Ordering::Relaxed);
        self.unix.store(seen.unix.0, Ordering::Release);
    }

    /// Whether a beat was missed since this was asked last.
    pub(crate) fn was_missed(&self) -> bool {
        self.missed.swap(false, Ordering::AcqRel)
    }

    /// Whether the last beat is longer ago than `limit` milliseconds; `now` by the Unix clock.
    #[inline]
    pub(crate) fn is_late(&self, now: Millis, limit: u64) -> bool {
        let last = self.unix.load(Ordering::Acquire);
        last != 0 && now.0.saturating_sub(last) > limit && self.is_missed(limit)
    }

    /// The next beat is to tell that this one was missed.
    pub(crate) fn miss(&self) {
        self.missed.store(true, Ordering::Release);
    }

    /// The Unix clock says so; it may have been set.
    #[cold]
    fn is_missed(&self, limit: u64) -> bool {
        time::monotonic().since(Millis(self.monotonic.load(Ordering::Relaxed))) > limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_beat_is_noticed_and_told_once() {
        let pulse = Pulse::default();
        assert!(!pulse.is_late(time::unix(), 0), "nothing has begun");
        pulse.beat(time::now());
        assert!(!pulse.was_missed());
        assert!(!pulse.is_late(time::unix(), 60_000));
        // The Unix clock alone proves nothing.
        assert!(!pulse.is_late(time::unix().plus(3_600_000), 60_000));
        while !pulse.is_late(time::unix(), 2) {
            std::thread::yield_now();
        }
        pulse.miss();
        pulse.beat(time::now());
        assert!(pulse.was_missed());
        assert!(!pulse.was_missed());
    }

    #[test]
    fn a_beat_is_as_old_as_what_the_core_has_seen() {
        let pulse = Pulse::default();
        let now = time::now();
        let before = |at: Millis| Millis(at.0 - 5000);
        pulse.beat(Now { mono: before(now.mono), unix: before(now.unix) });
        assert!(pulse.is_late(now.unix, 2000));
        assert!(!pulse.is_late(now.unix, 60_000));
    }
}
