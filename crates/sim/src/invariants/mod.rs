//! The invariants: some hold after every step, some once the faults have ended. Each has a file.

pub mod agreement;
mod epochs_grow;
mod most_data;
mod one_owner;
mod one_vote;
mod one_writer;
mod whole_data;

use crate::net::HostId;
use crate::process::Host;
use tessera_slot::NodeId;

/// The position of a packet's type.
const TYPE: std::ops::Range<usize> = 12..14;

/// The checks that remember something.
#[derive(Debug, Default)]
pub(crate) struct Invariants {
    owners: one_owner::OneOwner,
    votes: one_vote::OneVote,
    epochs: epochs_grow::EpochsGrow,
    writers: one_writer::OneWriter,
}

impl Invariants {
    pub(crate) fn process_started(&mut self, host: HostId, machine: &Host, seed: u64) {
        if let Some(process) = &machine.process {
            self.epochs.started(host, &process.cluster.claims(), seed);
        }
    }

    /// The host's promises are lost with its disk.
    pub(crate) fn disk_replaced(&mut self, host: HostId) {
        self.epochs.forget(host);
    }

    /// This node has lost its memory: it may vote again.
    pub(crate) fn excuse(&mut self, node: NodeId) {
        self.votes.excuse(node);
    }

    pub(crate) fn saved_durably(&mut self, host: HostId, machine: &Host) {
        if let Some(process) = &machine.process {
            self.epochs.saved(host, &process.cluster.claims());
        }
    }

    pub(crate) fn sent(&mut self, bytes: &[u8], machine: &Host, seed: u64) {
        self.votes.sent(bytes, seed);
        whole_data::sent(bytes, machine, seed);
    }

    /// The process on this host serves no client any more.
    pub(crate) fn stopped(&mut self, host: HostId) {
        self.writers.stopped(host);
    }

    /// Somebody has ordered a takeover without the primary's consent.
    pub(crate) fn forced(&mut self, now: u64) {
        self.writers.forced(now);
    }

    /// The longest time in which two nodes have taken writes for one slot, in milliseconds.
    pub(crate) fn longest_with_two_writers(&self) -> u64 {
        self.writers.longest()
    }

    pub(crate) fn promoted(&self, host: HostId, hosts: &[Host], now: u64, seed: u64) {
        if !self.writers.was_forced(now) {
            most_data::promoted(host, hosts, now, seed);
        }
    }

    /// Whether the replica with the most data must have won this election.
    pub(crate) fn is_judged(&self, host: HostId, hosts: &[Host], now: u64) -> bool {
        !self.writers.was_forced(now) && most_data::is_judged(host, hosts, now)
    }

    pub(crate) fn after_step(&mut self, host: HostId, machine: &Host, now: u64, seed: u64) {
        let Some(process) = &machine.process else { return };
        let claims = process.cluster.claims();
        self.epochs.check(host, &claims, seed);
        self.owners.check(&claims, seed);
        self.writers.check(host, process, now, seed);
    }
}
