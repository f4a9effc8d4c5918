//! The processor's counter: time by which commands of one batch are told apart.
//!
//! Reading it takes some 20 to 40 cycles, a tenth of what the system's clock takes. That is 3 % of
//! a GET in a long pipeline, so it is read only where the next command is another one: the time of
//! several GETs in a row is theirs together. A batch's time is measured by the system's clock, and
//! shared out by ticks. So the rate need not be known exactly; for the commands within a
//! transaction the last batches tell it.

use std::time::Instant;
use tessera_engine::{Prepared, Stopwatch, ThreadStats};

/// How long a batch's commands ran, those of the same command in a row together.
#[derive(Default)]
pub(super) struct Laps {
    laps: Vec<Lap>,
    /// When the last of them began. `None`: nothing runs.
    began: Option<u64>,
}

struct Lap {
    command: Prepared,
    ticks: u64,
}

impl Laps {
    /// This command runs from now on.
    #[inline]
    pub(super) fn run(&mut self, command: &Prepared) {
        let goes_on = self.began.is_some()
            && self.laps.last().is_some_and(|lap| {
                lap.command.index == command.index
                    && lap.command.command.is_some() == command.command.is_some()
            });
        if !goes_on {
            let now = now();
            self.stop_at(now);
            self.laps.push(Lap { command: *command, ticks: 0 });
            self.began = Some(now);
        }
    }

    /// No command runs from now on.
    pub(super) fn stop(&mut self) {
        if self.began.is_some() {
            self.stop_at(now());
        }
    }

    fn stop_at(&mut self, now: u64) {
        if let (Some(began), Some(lap)) = (self.began.take(), self.laps.last_mut()) {
            lap.ticks = now.wrapping_sub(began).max(1);
        }
    }

    /// Adds the time of a batch that is through to the counters of its commands.
    pub(super) fn share_out(&mut self, nanos: u64, stats: &ThreadStats) {
        let ticks: u64 = self.laps.iter().map(|lap| lap.ticks).sum();
        let each = nanos as f64 / ticks.max(1) as f64;
        for lap in self.laps.drain(..) {
            if let Some(command) = stats.of(&lap.command) {
                command.took((lap.ticks as f64 * each) as u64);
            }
        }
    }
}

/// Measures batches, and by them the rate of the counter.
pub(super) struct Rate {
    nanos_per_tick: f64,
}

/// The beginning of a batch.
pub(super) struct Started {
    time: Instant,
    ticks: u64,
}

impl Default for Rate {
    /// The rate as it is found in some 20 microseconds.
    fn default() -> Rate {
        let mut rate = Rate { nanos_per_tick: 0.0 };
        let started = Started::now();
        while started.time.elapsed().as_micros() < 20 {
            std::hint::spin_loop();
        }
        rate.nanos_since(&started);
        rate
    }
}

impl Started {
    pub(super) fn now() -> Started {
        Started { time: Instant::now(), ticks: now() }
    }
}

impl Rate {
    /// How long it is since then; by the way the rate is learned. Short times say little about it.
    pub(super) fn nanos_since(&mut self, started: &Started) -> u64 {
        const LONG_ENOUGH: u64 = 10_000;
        let ticks = now().wrapping_sub(started.ticks);
        let nanos = started.time.elapsed().as_nanos() as u64;
        if nanos >= LONG_ENOUGH && ticks > 0 {
            self.nanos_per_tick = nanos as f64 / ticks as f64;
        }
        nanos
    }

    pub(super) fn stopwatch(&self) -> Stopwatch {
        Stopwatch { ticks: now, nanos_per_tick: self.nanos_per_tick }
    }
}

/// The counter, in ticks of a constant rate. Processors of one machine may differ a little.
#[inline]
#[cfg(target_arch = "x86_64")]
pub(super) fn now() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and Linux lets programs use it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The counter, in ticks of a constant rate.
#[inline]
#[cfg(target_arch = "aarch64")]
pub(super) fn now() -> u64 {
    let ticks: u64;
    // SAFETY: reads a register that Linux lets programs read, and changes nothing.
    unsafe {
        core::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack));
    }
    ticks
}

/// Where there is no such counter the system's clock serves, in nanoseconds.
#[inline]
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn now() -> u64 {
    crate::time::monotonic_us() * 1000
}

#[cfg(test)]
mod tests {
    use super::{Rate, now};
    use std::time::{Duration, Instant};

    #[test]
    fn the_rate_of_the_counter_is_known_from_the_start() {
        // The best of several, since a busy machine interrupts this test.
        let is_right = (0..20).any(|_| {
            let stopwatch = Rate::default().stopwatch();
            let (started, before) = (Instant::now(), (stopwatch.ticks)());
            while started.elapsed() < Duration::from_millis(5) {
                std::hint::spin_loop();
            }
            let ticks = (stopwatch.ticks)().wrapping_sub(before);
            let nanos = ticks as f64 * stopwatch.nanos_per_tick;
            (0.9..1.1).contains(&(nanos / started.elapsed().as_nanos() as f64))
        });
        assert!(is_right, "the rate is wrong");
    }

    #[test]
    fn ticks_are_in_proportion_to_time() {
        let ticks_of = |time: Duration| {
            let (started, before) = (Instant::now(), now());
            while started.elapsed() < time {
                std::hint::spin_loop();
            }
            now().wrapping_sub(before) as f64 / started.elapsed().as_secs_f64()
        };
        // The best of several, since a busy machine interrupts this test.
        let is_constant = (0..20).any(|_| {
            let ratio = ticks_of(Duration::from_millis(2)) / ticks_of(Duration::from_millis(10));
            (0.9..1.1).contains(&ratio)
        });
        assert!(is_constant, "the rate changes");
    }
}
