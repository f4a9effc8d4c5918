//! Whether this process has run without a break. One that was stopped must neither blame others for
//! its own silence nor take old bytes for a sign of life.

use tessera_slot::Millis;

/// How often the driver ticks at least, in milliseconds.
pub(crate) const TICK: u64 = 100;
/// A gap between two ticks from which on this process is taken to have been stopped, in ms.
const SLEPT: u64 = 1000;
/// How long no node is suspected after that, in ms: bytes that have piled up are read first.
const AFTER_SLEEP: u64 = 500;

/// The ticks, and the last gap between two of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attention {
    last_tick: Millis,
    /// No node is suspected before this time: this process itself did not run.
    no_suspicion_before: Millis,
    /// When it ran last before that.
    slept_since: Millis,
}

impl Attention {
    pub(crate) fn new(now: Millis) -> Attention {
        Attention { last_tick: now, no_suspicion_before: now, slept_since: now }
    }

    /// A tick. Gives how long this process was stopped, in milliseconds, if it was.
    pub(crate) fn tick(&mut self, now: Millis) -> Option<u64> {
        let slept = now.since(self.last_tick);
        self.last_tick = now;
        if slept < SLEPT {
            return None;
        }
        self.no_suspicion_before = now.plus(AFTER_SLEEP);
        self.slept_since = Millis(now.0.saturating_sub(slept));
        Some(slept)
    }

    /// When the next tick is due.
    pub(crate) fn next_tick(&self) -> Millis {
        self.last_tick.plus(TICK)
    }

    /// Whether the silence of others says anything now.
    pub(crate) fn may_suspect(&self, now: Millis) -> bool {
        now >= self.no_suspicion_before
    }

    /// The time at which the bytes that are read now arrived at the latest. Bytes that have piled
    /// up while this process was stopped may be as old as that, and must not pass for a sign of
    /// life.
    pub(crate) fn hearing_time(&self, now: Millis) -> Millis {
        if now.since(self.last_tick) >= SLEPT {
            self.last_tick
        } else if now < self.no_suspicion_before {
            self.slept_since
        } else {
            now
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_piled_up_in_a_sleep_are_as_old_as_its_beginning() {
        let mut attention = Attention::new(Millis(1000));
        assert_eq!(attention.tick(Millis(1100)), None);
        assert_eq!(attention.hearing_time(Millis(1150)), Millis(1150));
        // Read before the tick that would notice the sleep.
        assert_eq!(attention.hearing_time(Millis(9000)), Millis(1100));
        assert_eq!(attention.tick(Millis(9000)), Some(7900));
        assert_eq!(attention.hearing_time(Millis(9001)), Millis(1100));
        assert!(!attention.may_suspect(Millis(9499)));
        assert!(attention.may_suspect(Millis(9500)));
        assert_eq!(attention.hearing_time(Millis(9500)), Millis(9500));
    }
}
