//! When the stream wants a PING, so that replicas know an idle primary from a dead one.

use tessera_slot::Millis;

/// A PING goes into the history every `repl-ping-replica-period` seconds. The driver appends it.
#[derive(Clone, Copy, Debug)]
pub struct PingSchedule {
    period_ms: u64,
    last: Millis,
}

impl PingSchedule {
    /// The first PING is due one period after `now`.
    pub fn new(now: Millis, period_ms: u64) -> PingSchedule {
        PingSchedule { period_ms, last: now }
    }

    /// Changes the period; it counts from the last PING.
    pub fn set_period(&mut self, period_ms: u64) {
        self.period_ms = period_ms;
    }

    /// When the next PING is due.
    pub fn deadline(&self) -> Millis {
        self.last.plus(self.period_ms)
    }

    /// Whether a PING is due now. If so, the next one is due a period later.
    pub fn poll(&mut self, now: Millis) -> bool {
        let due = now >= self.deadline();
        if due {
            self.last = now;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_ping_per_period() {
        let mut schedule = PingSchedule::new(Millis(5), 10);
        let due: Vec<u64> = (5..40).filter(|ms| schedule.poll(Millis(*ms))).collect();
        assert_eq!(due, [15, 25, 35]);
        schedule.set_period(100);
        assert_eq!(schedule.deadline(), Millis(135));
    }
}
