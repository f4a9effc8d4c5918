//! How much is going on right now: the `instantaneous_` lines of INFO.

use parking_lot::Mutex;
use std::collections::VecDeque;
use tessera_engine::Rates;
use tessera_slot::Millis;

/// The rates are those of so many milliseconds; Redis takes 16 samples, one each 100 ms.
const WINDOW: u64 = 1600;

/// Counters since the start, at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) commands: u64,
    /// Those of replication included.
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) repl_in: u64,
    pub(crate) repl_out: u64,
}

/// The samples of the last moments, oldest first, by the monotonic clock.
#[derive(Default)]
pub(crate) struct Sampler(Mutex<VecDeque<(Millis, Totals)>>);

impl Sampler {
    /// Takes a sample; what is older than the window goes, but for one sample to compare with.
    pub(crate) fn sample(&self, now: Millis, totals: Totals) {
        let mut samples = self.0.lock();
        samples.push_back((now, totals));
        while samples.len() > 2 && now.since(samples[1].0) >= WINDOW {
            samples.pop_front();
        }
    }

    /// The rates between the oldest and the newest sample. Counters that were reset meanwhile count
    /// as still.
    pub(crate) fn rates(&self) -> Rates {
        let samples = self.0.lock();
        let (Some((from, old)), Some((to, new))) = (samples.front(), samples.back()) else {
            return Rates::default();
        };
        let seconds = to.since(*from).max(1) as f64 / 1000.0;
        let rate = |old: u64, new: u64| new.saturating_sub(old) as f64 / seconds;
        Rates {
            commands: rate(old.commands, new.commands),
            bytes_in: rate(old.bytes_in, new.bytes_in),
            bytes_out: rate(old.bytes_out, new.bytes_out),
            repl_in: rate(old.repl_in, new.repl_in),
            repl_out: rate(old.repl_out, new.repl_out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_moments_count() {
        let sampler = Sampler::default();
        assert_eq!(sampler.rates(), Rates::default());
        for step in 0..100 {
            // Fast at first, then ten commands each tenth of a second.
            let commands = if step < 50 { step * 1000 } else { 50_000 + step * 10 };
            let totals = Totals { commands, bytes_in: step * 100, ..Totals::default() };
            sampler.sample(Millis(step * 100), totals);
        }
        let rates = sampler.rates();
        assert_eq!((rates.commands, rates.bytes_in, rates.bytes_out), (100.0, 1000.0, 0.0));
        assert_eq!(sampler.0.lock().len(), 17);
    }

    #[test]
    fn a_reset_is_no_rate() {
        let sampler = Sampler::default();
        sampler.sample(Millis(0), Totals { commands: 100, ..Totals::default() });
        sampler.sample(Millis(100), Totals::default());
        assert_eq!(sampler.rates().commands, 0.0);
    }
}
