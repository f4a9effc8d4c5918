//! A node's current epoch never goes back: not while it runs, and not behind the epoch that it has
//! synced to its disk.

use crate::net::HostId;
use std::collections::BTreeMap;
use tessera_cluster::Claims;
use tessera_slot::Epoch;

/// The epochs that were seen, by host.
#[derive(Debug, Default)]
pub(crate) struct EpochsGrow {
    running: BTreeMap<HostId, Epoch>,
    synced: BTreeMap<HostId, Epoch>,
}

impl EpochsGrow {
    pub(crate) fn started(&mut self, host: HostId, claims: &Claims<'_>, seed: u64) {
        let synced = self.synced.get(&host).copied().unwrap_or_default();
        let epoch = claims.current_epoch;
        assert!(epoch >= synced, "host {host} restarts at {epoch} after {synced}, seed {seed}");
        self.running.insert(host, epoch);
    }

    pub(crate) fn forget(&mut self, host: HostId) {
        self.running.remove(&host);
        self.synced.remove(&host);
    }

    pub(crate) fn saved(&mut self, host: HostId, claims: &Claims<'_>) {
        self.synced.insert(host, claims.current_epoch);
    }

    pub(crate) fn check(&mut self, host: HostId, claims: &Claims<'_>, seed: u64) {
        let before = self.running.insert(host, claims.current_epoch).unwrap_or_default();
        let now = claims.current_epoch;
        assert!(now >= before, "host {host} goes back from {before} to {now}, seed {seed}");
    }
}
