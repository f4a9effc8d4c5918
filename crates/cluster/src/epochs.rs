//! The current epoch and the epoch of the last vote, which are durable promises, and the limits on
//! the epochs that are believed. An epoch only grows, so one packet with the highest of all numbers
//! would end all elections for ever: no node could claim anything by a higher one.

use crate::surroundings::Surroundings;
use tessera_slot::{Epoch, Millis};

/// By how much the current epoch may grow in [`PERIOD`]. A cluster takes one epoch for a failover
/// or a slot that moves; two that have been apart for years meet within this. At this pace the
/// highest epoch is 68 years away.
pub(crate) const JUMP: u64 = 1 << 32;
/// In milliseconds.
const PERIOD: u64 = 1000;

/// This node's epochs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epochs {
    current: Epoch,
    last_vote: Epoch,
    limit: Limit,
}

/// How far the current epoch may grow for now.
#[derive(Clone, Copy, Debug)]
struct Limit {
    since: Millis,
    /// The current epoch at that time.
    base: Epoch,
}

impl Epochs {
    pub(crate) fn new(now: Millis, current: Epoch, last_vote: Epoch) -> Epochs {
        Epochs { current, last_vote, limit: Limit { since: now, base: current } }
    }

    pub(crate) fn current(&self) -> Epoch {
        self.current
    }

    pub(crate) fn last_vote(&self) -> Epoch {
        self.last_vote
    }

    /// Whether this node has voted in the current epoch.
    pub(crate) fn has_voted(&self) -> bool {
        self.last_vote == self.current
    }

    /// This node votes in the current epoch. To be saved before the vote leaves.
    pub(crate) fn vote(&mut self) {
        self.last_vote = self.current;
    }

    /// Takes an epoch that no node has had, as far as this one knows. To be saved before it is
    /// told.
    pub(crate) fn advance(&mut self) -> Epoch {
        self.current = self.current.next();
        self.current
    }

    /// The current epoch follows the highest one seen. It is a promise only together with a vote or
    /// a claim, so it is saved at leisure.
    pub(crate) fn see(&mut self, epoch: Epoch, around: &mut Surroundings) {
        if epoch > self.current {
            self.current = epoch;
            around.save_lazily();
        }
    }

    /// Begins again as a node that has heard of no epoch.
    pub(crate) fn reset(&mut self) {
        (self.current, self.last_vote) = (Epoch(0), Epoch(0));
    }

    /// Whether an epoch that another node speaks of can be one. A node that has never heard of any
    /// epoch, as one that has just joined, believes all but those that no node can reach.
    pub(crate) fn is_believable(&mut self, epoch: Epoch, now: Millis) -> bool {
        if epoch <= self.current {
            return true;
        }
        if epoch > Epoch::HIGHEST {
            return false;
        }
        if now.since(self.limit.since) >= PERIOD {
            self.limit = Limit { since: now, base: self.current };
        }
        self.current == Epoch(0) || epoch.0 - self.limit.base.0.min(epoch.0) <= JUMP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_far_ahead_is_not_believed() {
        let mut epochs = Epochs::new(Millis(0), Epoch(5), Epoch(0));
        // In this order: the time, the epoch, whether it is believed and so becomes the current.
        let cases = [
            (0, Epoch(5 + JUMP), true),
            (999, Epoch(6 + JUMP), false),
            (1000, Epoch(6 + JUMP), true),
            (1000, Epoch(5 + 2 * JUMP), true),
            (1000, Epoch(u64::MAX), false),
            (1000, Epoch(0), true),
        ];
        for (now, epoch, expected) in cases {
            let believed = epochs.is_believable(epoch, Millis(now));
            assert_eq!(believed, expected, "{epoch} at {now} ms");
            if believed {
                epochs.current = epochs.current.max(epoch);
            }
        }
    }

    #[test]
    fn a_node_that_knows_no_epoch_believes_what_can_be() {
        let mut epochs = Epochs::new(Millis(0), Epoch(0), Epoch(0));
        assert!(epochs.is_believable(Epoch::HIGHEST, Millis(0)));
        assert!(!epochs.is_believable(Epoch(Epoch::HIGHEST.0 + 1), Millis(0)));
    }
}
