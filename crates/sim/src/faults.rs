//! Faults, chosen by the seed.

use crate::net::HostId;
use crate::process::SaveFault;
use crate::world::World;

/// How unkind a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Faults {
    /// For how long, in milliseconds.
    pub duration: u64,
    /// The mean time between two faults, in milliseconds.
    pub every: u64,
}

/// The longest that a durable save takes, in milliseconds.
pub(crate) const SLOWEST_SAVE: u64 = 400;

impl World {
    /// Runs with faults, then ends them: every cut is mended, every process runs.
    pub fn suffer(&mut self, faults: Faults) {
        self.full_syncs = true;
        let end = self.now + faults.duration;
        while self.now < end {
            let pause = self.rng.below(faults.every * 2);
            self.run_for(pause);
            self.one_fault();
        }
        self.heal();
    }

    /// Ends all faults.
    pub(crate) fn heal(&mut self) {
        self.mend_network();
        for host in 0..self.host_count() {
            self.hosts[host].save_fault = None;
            self.hosts[host].lag = 0;
            self.hosts[host].disk_delay = 0;
            self.resume(host);
            self.start(host);
        }
    }

    fn one_fault(&mut self) {
        let host = self.any_host();
        match self.rng.below(19) {
            0 | 1 => self.kill(host),
            2 => self.cut_power(host),
            3..=5 => self.start(host),
            6 => self.pause(host),
            7 | 8 => self.resume(host),
            9 => self.isolate(host),
            10 => self.split(),
            11 => self.mend_network(),
            12 => {
                let other = self.any_host();
                self.break_links(host, other);
            }
            13 => {
                self.trouble(host);
                self.net.slow.insert(host);
                self.hosts[host].lag = self.rng.below(20);
            }
            14 => self.hosts[host].clock_error = self.rng.below(20_000_000) as i64 - 10_000_000,
            15 => self.slow_disk(host),
            16 | 17 => self.firewall(host),
            _ => self.rare_fault(host),
        }
    }

    /// Durable saves of a host take long from now on.
    pub(crate) fn slow_disk(&mut self, host: HostId) {
        self.hosts[host].disk_delay = self.rng.below(SLOWEST_SAVE);
    }

    /// Durable saves of a host take this long from now on, in milliseconds.
    pub fn set_disk_delay(&mut self, host: HostId, millis: u64) {
        self.hosts[host].disk_delay = millis;
    }

    /// A host's disk is slow, and its copy of the data lags, as chance will have it.
    pub fn set_random_disk_and_lag(&mut self, host: HostId) {
        self.slow_disk(host);
        self.hosts[host].lag = self.rng.below(20);
    }

    /// A firewall refuses what goes to a host, what comes from it, or both.
    fn firewall(&mut self, host: HostId) {
        let (to, from) = [(true, false), (false, true), (true, true)][self.rng.below(3) as usize];
        for other in 0..self.host_count() {
            if to {
                self.refuse(other, host);
            }
            if from {
                self.refuse(host, other);
            }
        }
    }

    fn rare_fault(&mut self, host: HostId) {
        match self.rng.below(6) {
            0 => self.hosts[host].save_fault = Some(SaveFault::Before),
            1 => self.hosts[host].save_fault = Some(SaveFault::After),
            2 => drop(self.command(host, "FAILOVER")),
            3 => drop(self.command(host, "FAILOVER FORCE")),
            4 => self.rivalry(),
            _ => self.double_death(),
        }
    }

    /// Replicas of several shards stand for election at once, so in the same epoch, while some
    /// voters lose power.
    fn rivalry(&mut self) {
        for host in 0..self.host_count() {
            self.command(host, "FAILOVER FORCE");
        }
        if self.rng.one_in(2) {
            let delay = self.rng.below(10);
            self.run_for(delay);
            let host = self.any_host();
            self.cut_power(host);
            self.start(host);
        }
    }

    /// Two hosts die together: their replicas stand in the same epoch.
    fn double_death(&mut self) {
        for _ in 0..2 {
            let host = self.any_host();
            self.kill(host);
        }
    }

    fn any_host(&mut self) -> HostId {
        let count = self.host_count() as u64;
        self.rng.below(count) as HostId
    }

    /// Parts the hosts at random into two groups that cannot reach each other.
    fn split(&mut self) {
        let groups: Vec<bool> = (0..self.host_count()).map(|_| self.rng.one_in(2)).collect();
        for a in 0..groups.len() {
            for b in 0..a {
                if groups[a] != groups[b] {
                    self.cut(a, b);
                }
            }
        }
    }
}
