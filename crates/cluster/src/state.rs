//! `cluster_state`: whether this node, as it sees the cluster, may serve.

use crate::core::Cluster;
use crate::{ClusterState, FailReason, LogLevel};
use tessera_slot::{Millis, SLOT_COUNT};

/// A primary that has just started does not serve for this long, in milliseconds: it may have been
/// replaced while it was away.
const STARTUP_DELAY: u64 = 2000;
/// The bounds of the wait of a primary that rejoins a majority, in milliseconds; between them the
/// node timeout counts.
const MIN_REJOIN_DELAY: u64 = 500;
const MAX_REJOIN_DELAY: u64 = 5000;

/// The state, and what it depends on beside the node table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StateTracker {
    state: ClusterState,
    /// Until when a primary that has just started waits.
    waits_until: Millis,
    /// When this node was last in a minority.
    in_minority: Option<Millis>,
}

impl StateTracker {
    /// A node that was never in a cluster cannot have been replaced: it need not wait.
    pub(crate) fn new(now: Millis, fresh: bool) -> StateTracker {
        let state = ClusterState::Fail(FailReason::Settling);
        let waits_until = if fresh { now } else { now.plus(STARTUP_DELAY) };
        StateTracker { state, waits_until, in_minority: None }
    }

    pub(crate) fn get(self) -> ClusterState {
        self.state
    }

    pub(crate) fn is_ok(self) -> bool {
        self.state == ClusterState::Ok
    }

    /// A majority has just made this node a primary: nobody can have replaced it while it was away, so it need
    /// not wait.
    pub(crate) fn was_elected(&mut self) {
        self.waits_until = Millis(0);
        self.in_minority = None;
    }
}

impl Cluster {
    pub(crate) fn update_state(&mut self) {
        let now = self.now.mono;
        let primary = self.nodes.me().is_primary();
        let failing = !self.state.is_ok();
        if primary && failing && now < self.state.waits_until {
            return;
        }
        let new_state = self.judge_state();
        // Where nobody serves slots yet there is no majority that could have replaced this node.
        let parted = self.nodes.voters() > 0;
        if parted && new_state == ClusterState::Fail(FailReason::Minority) {
            self.state.in_minority = Some(now);
        }
        let rejoin_delay = self.config.node_timeout.clamp(MIN_REJOIN_DELAY, MAX_REJOIN_DELAY);
        let too_soon =
            self.state.in_minority.is_some_and(|minority| now.since(minority) < rejoin_delay);
        if new_state == ClusterState::Ok && failing && primary && too_soon {
            return;
        }
        self.enter_state(new_state);
    }

    fn enter_state(&mut self, new_state: ClusterState) {
        let old = std::mem::replace(&mut self.state.state, new_state);
        if old == new_state {
            return;
        }
        self.todo.view = true;
        match (old, new_state) {
            (ClusterState::Fail(_), ClusterState::Fail(_)) => {}
            (_, ClusterState::Ok) => self.log(LogLevel::Notice, "Cluster state changed: ok"),
            _ => self.log(LogLevel::Warning, "Cluster state changed: fail"),
        }
    }

    fn judge_state(&self) -> ClusterState {
        let reachable =
            self.nodes.iter().filter(|node| node.is_voter() && node.is_healthy()).count();
        if reachable < self.nodes.quorum() {
            return ClusterState::Fail(FailReason::Minority);
        }
        if self.config.require_full_coverage {
            // No slot has two owners, so their numbers add up.
            let served = self.nodes.iter().filter(|node| !node.has_failed());
            if served.map(|node| node.slots.len()).sum::<usize>() != SLOT_COUNT {
                return ClusterState::Fail(FailReason::Coverage);
            }
        }
        ClusterState::Ok
    }

    /// This process was stopped for long. A primary may have been replaced meanwhile: it waits, as
    /// if it came back from a minority.
    pub(crate) fn distrust_own_state(&mut self) {
        if self.nodes.me().is_primary() && self.state.is_ok() {
            self.state.in_minority = Some(self.now.mono);
            self.enter_state(ClusterState::Fail(FailReason::Settling));
        }
    }
}
