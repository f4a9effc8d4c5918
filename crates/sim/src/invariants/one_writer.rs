//! No two nodes take writes for one slot for longer than a moment, whatever the network does.

use crate::faults::SLOWEST_SAVE;
use crate::net::HostId;
use crate::process::Process;
use std::collections::BTreeMap;
use tessera_slot::SlotSet;

/// How long a slot may have two nodes that take writes, in milliseconds: some packets' ways and
/// ticks, and a save.
const MOMENT: u64 = 500 + SLOWEST_SAVE;
/// How long a takeover that was ordered without the primary's consent is an excuse, in
/// milliseconds.
const EXCUSED: u64 = 20_000;

/// The nodes that take writes, and pairs that have taken them for one slot, with the time since
/// when.
#[derive(Debug, Default)]
pub(crate) struct OneWriter {
    writers: BTreeMap<HostId, SlotSet>,
    both_since: BTreeMap<(HostId, HostId), u64>,
    forced_at: Option<u64>,
    /// The longest time that two have taken writes for one slot.
    longest: u64,
}

impl OneWriter {
    pub(crate) fn forced(&mut self, now: u64) {
        self.forced_at = Some(now);
    }

    pub(crate) fn was_forced(&self, now: u64) -> bool {
        self.forced_at.is_some_and(|at| now - at < EXCUSED)
    }

    pub(crate) fn longest(&self) -> u64 {
        self.longest
    }

    pub(crate) fn stopped(&mut self, host: HostId) {
        self.writers.remove(&host);
        self.both_since.retain(|(a, b), _| *a != host && *b != host);
    }

    pub(crate) fn check(&mut self, host: HostId, process: &Process, now: u64, seed: u64) {
        if process.serves.is_empty() || process.writes_paused {
            self.stopped(host);
            return;
        }
        if self.writers.get(&host) != Some(&process.serves) {
            self.writers_changed(host, process.serves.clone(), now);
        }
        let forced = self.was_forced(now);
        for (pair, since) in &self.both_since {
            if forced || (pair.0 != host && pair.1 != host) {
                continue;
            }
            self.longest = self.longest.max(now - since);
            let text = "take writes for the same slots";
            assert!(now - since <= MOMENT, "{pair:?} {text} since {since}, now {now}, seed {seed}");
        }
    }

    fn writers_changed(&mut self, host: HostId, serves: SlotSet, now: u64) {
        for (other, slots) in self.writers.iter().filter(|(other, _)| **other != host) {
            let pair = (host.min(*other), host.max(*other));
            if serves.iter().any(|slot| slots.contains(slot)) {
                self.both_since.entry(pair).or_insert(now);
            } else {
                self.both_since.remove(&pair);
            }
        }
        self.writers.insert(host, serves);
    }
}
