//! The access clock of an entry: when its key was used last, or how often.
//!
//! Under an LRU policy, and without any, it is the Unix time of the last use in seconds. Under an
//! LFU policy it is what Redis keeps in its 24 bits:
//!
//! | bits | what |
//! | --- | --- |
//! | 8–23 | the Unix time of the last use in minutes, the lowest 16 bits of it |
//! | 0–7 | a logarithmic counter of uses |
//!
//! The counter decays by one for every `lfu-decay-time` minutes without use, and grows by one at a
//! use with the probability 1 / ((counter - 5) · `lfu-log-factor` + 1). After a change of the
//! policy clocks are misread until keys are used again, as in Redis.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tessera_slot::Millis;

/// The counter of a new key: it gets the chance to be used before it goes.
const INITIAL: u8 = 5;
/// The mark of an LFU policy in [`AccessClock`], beside factor (bits 32 to 62) and decay time (bits
/// 0 to 31).
const ENABLED: u64 = 1 << 63;

/// How often-used keys are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lfu {
    /// How much rarer the counter grows with each step; 0: at every use.
    pub log_factor: u32,
    /// Minutes without use after which the counter falls by one; 0: never.
    pub decay_minutes: u32,
}

impl Lfu {
    /// A clock with this counter, as of now.
    pub fn clock(counter: u8, now: Millis) -> u32 {
        (minutes(now) << 8) | u32::from(counter)
    }

    /// The counter of a clock, less what it has decayed until now.
    pub fn frequency(self, clock: u32, now: Millis) -> u8 {
        let (then, now) = ((clock >> 8) & 0xffff, minutes(now));
        self.decayed(clock as u8, then, now)
    }

    fn decayed(self, counter: u8, then: u32, now: u32) -> u8 {
        if self.decay_minutes == 0 {
            return counter;
        }
        // The minutes may have wrapped, once as far as can be told.
        let elapsed = if now >= then { now - then } else { 0xffff - then + now };
        let periods = u8::try_from(elapsed / self.decay_minutes).unwrap_or(u8::MAX);
        counter.saturating_sub(periods)
    }

    /// The clock of a key that is used. `fresh` is the clock of a key that was made at the same
    /// time.
    fn used(self, clock: u32, fresh: u32) -> u32 {
        let now = (fresh >> 8) & 0xffff;
        let counter = self.decayed(clock as u8, (clock >> 8) & 0xffff, now);
        (now << 8) | u32::from(self.grown(counter, random()))
    }

    /// The counter after one use, by a draw of all numbers of 32 bits.
    fn grown(self, counter: u8, draw: u32) -> u8 {
        let steps = u64::from(counter.saturating_sub(INITIAL));
        // draw / 2^32 < 1 / (steps * factor + 1)
        let one_of = steps * u64::from(self.log_factor) + 1;
        let grows = u128::from(draw) * u128::from(one_of) < 1 << 32;
        counter.saturating_add(u8::from(grows))
    }
}

fn minutes(now: Millis) -> u32 {
    (now.0 / 60_000) as u32 & 0xffff
}

/// The meaning of the clocks of all entries.
#[derive(Default)]
pub(crate) struct AccessClock(AtomicU64);

impl AccessClock {
    /// `None`: the time of the last use.
    pub(crate) fn set(&self, lfu: Option<Lfu>) {
        let word = lfu.map_or(0, |lfu| {
            let factor = u64::from(lfu.log_factor & 0x7fff_ffff);
            ENABLED | factor << 32 | u64::from(lfu.decay_minutes)
        });
        self.0.store(word, Relaxed);
    }

    #[inline]
    pub(crate) fn lfu(&self) -> Option<Lfu> {
        let word = self.0.load(Relaxed);
        if word == 0 {
            return None;
        }
        let log_factor = (word >> 32) as u32 & 0x7fff_ffff;
        Some(Lfu { log_factor, decay_minutes: word as u32 })
    }

    /// The clock of an entry that is made.
    #[inline]
    pub(crate) fn fresh(&self, now: Millis) -> u32 {
        match self.lfu() {
            None => (now.0 / 1000) as u32,
            Some(_) => Lfu::clock(INITIAL, now),
        }
    }

    /// The clock of an entry that is used, when a new one's would be `fresh`.
    #[inline]
    pub(crate) fn used(&self, clock: u32, fresh: u32) -> u32 {
        match self.lfu() {
            None => fresh,
            Some(lfu) => lfu.used(clock, fresh),
        }
    }
}

/// Chance without a shared word: xorshift, for each thread.
fn random() -> u32 {
    thread_local! {
        static STATE: Cell<u64> = const { Cell::new(0) };
    }
    STATE.with(|state| {
        let mut x = match state.get() {
            // The address differs from thread to thread.
            0 => std::ptr::from_ref(state).addr() as u64 | 1,
            x => x,
        };
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        state.set(x);
        (x >> 32) as u32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LFU: Lfu = Lfu { log_factor: 10, decay_minutes: 1 };

    fn at_minute(minute: u64) -> Millis {
        Millis(minute * 60_000)
    }

    #[test]
    fn counters_decay_by_the_minute_and_not_below_zero() {
        let clock = Lfu::clock(9, at_minute(100));
        for (minute, lfu, left) in [
            (100, LFU, 9),
            (103, LFU, 6),
            (109, LFU, 0),
            (5000, LFU, 0),
            (103, Lfu { decay_minutes: 2, ..LFU }, 8),
            (5000, Lfu { decay_minutes: 0, ..LFU }, 9),
        ] {
            assert_eq!(lfu.frequency(clock, at_minute(minute)), left, "{lfu:?} at {minute}");
        }
        let late = Lfu::clock(9, at_minute(65_534));
        assert_eq!(LFU.frequency(late, at_minute(65_536 + 2)), 6, "minutes wrap");
    }

    #[test]
    fn counters_grow_surely_at_first_and_ever_more_rarely() {
        assert_eq!(LFU.grown(0, u32::MAX), 1);
        assert_eq!(LFU.grown(5, u32::MAX), 6);
        assert_eq!(LFU.grown(6, u32::MAX), 6);
        // One in eleven.
        assert_eq!(LFU.grown(6, u32::MAX / 11), 7);
        assert_eq!(LFU.grown(6, u32::MAX / 11 + 2), 6);
        assert_eq!(LFU.grown(255, 0), 255);
        assert_eq!(Lfu { log_factor: 0, ..LFU }.grown(200, u32::MAX), 201);
    }

    #[test]
    fn the_clock_follows_the_policy() {
        let clock = AccessClock::default();
        let now = Millis(1_700_000_000_000);
        assert_eq!((clock.fresh(now), clock.used(3, 7)), (1_700_000_000, 7));
        clock.set(Some(LFU));
        assert_eq!(clock.lfu(), Some(LFU));
        let fresh = clock.fresh(now);
        assert_eq!(LFU.frequency(fresh, now), 5);
        let used = clock.used(fresh, fresh);
        assert_eq!(LFU.frequency(used, now), 6, "the first use always counts");
        let mut often = used;
        for _ in 0..10_000 {
            often = clock.used(often, fresh);
        }
        let counter = LFU.frequency(often, now);
        assert!((25..100).contains(&counter), "{counter} after ten thousand uses");
        clock.set(None);
        assert_eq!(clock.fresh(now), 1_700_000_000);
    }
}
