//! Limits on the epochs that are believed. An epoch only grows, so one packet with the highest of
//! all numbers would end all elections for ever: no node could claim anything by a higher one.

use crate::core::Cluster;
use tessera_slot::{Epoch, Millis};

/// By how much the current epoch may grow in [`PERIOD`]. A cluster takes one epoch for a failover
/// or a slot that moves; two that have been apart for years meet within this. At this pace the
/// highest epoch is 68 years away.
pub(crate) const JUMP: u64 = 1 << 32;
/// In milliseconds.
const PERIOD: u64 = 1000;

/// How far the current epoch may grow for now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EpochLimit {
    since: Millis,
    /// The current epoch at that time.
    base: Epoch,
}

impl EpochLimit {
    pub(crate) fn new(since: Millis, base: Epoch) -> EpochLimit {
        EpochLimit { since, base }
    }
}

impl Cluster {
    /// Whether an epoch that another node speaks of can be one. A node that has never heard of any
    /// epoch, as one that has just joined, believes all but those that no node can reach.
    pub(crate) fn is_believable(&mut self, epoch: Epoch) -> bool {
        let (now, current) = (self.now.mono, self.epochs.current);
        if epoch <= current {
            return true;
        }
        if epoch > Epoch::HIGHEST {
            return false;
        }
        let limit = &mut self.rhythm.epoch_limit;
        if now.since(limit.since) >= PERIOD {
            *limit = EpochLimit::new(now, current);
        }
        current == Epoch(0) || epoch.0 - limit.base.0.min(epoch.0) <= JUMP
    }
}
