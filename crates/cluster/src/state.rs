//! `cluster_state`: whether this node, as it sees the cluster, may serve.

use crate::core::Cluster;
use crate::node::Node;
use crate::{ClusterState, FailReason, LogLevel};
use tessera_slot::{Millis, SLOT_COUNT};

/// A primary that has just started does not serve for this long, in milliseconds: it may have been
/// replaced while it was away.
const STARTUP_DELAY: u64 = 2000;
/// The bounds of the wait of a primary that rejoins a majority, in milliseconds; between them the
/// node timeout counts.
const MIN_REJOIN_DELAY: u64 = 500;
const MAX_REJOIN_DELAY: u64 = 5000;

/// A shorter silence than this says nothing, in milliseconds: pings are due by ticks.
const MIN_SILENCE: u64 = 500;

/// The state, and what it depends on beside the node table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StateTracker {
    state: ClusterState,
    /// Until when a primary that has just started waits.
    waits_until: Millis,
    /// When this node was last in a minority.
    in_minority: Option<Millis>,
    /// Whether it has served since it started.
    has_served: bool,
}

impl StateTracker {
    /// A node that was never in a cluster cannot have been replaced: it need not wait.
    pub(crate) fn new(now: Millis, fresh: bool) -> StateTracker {
        let state = ClusterState::Fail(FailReason::Settling);
        let waits_until = if fresh { now } else { now.plus(STARTUP_DELAY) };
        StateTracker { state, waits_until, in_minority: None, has_served: false }
    }

    pub(crate) fn get(self) -> ClusterState {
        self.state
    }

    pub(crate) fn is_ok(self) -> bool {
        self.state == ClusterState::Ok
    }

    /// A majority has just made this node a primary: no other node can have replaced it while it
    /// was away, so it need not wait.
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
        if self.withholds_data() {
            self.enter_state(ClusterState::Fail(FailReason::Settling));
            return;
        }
        let new_state = self.judge_state();
        // Where no node serves slots yet, there is no majority that could have replaced this node.
        let parted = self.nodes.voters() > 0;
        if parted && new_state == ClusterState::Fail(FailReason::Minority) {
            self.state.in_minority = Some(now);
        }
        // Before it has served, it waits no longer than it would have if it had heard the others at
        // once.
        let longest = if self.state.has_served { MAX_REJOIN_DELAY } else { STARTUP_DELAY };
        let rejoin_delay = self.config.node_timeout.clamp(MIN_REJOIN_DELAY, longest);
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
        self.state.has_served |= new_state == ClusterState::Ok;
        match (old, new_state) {
            (ClusterState::Fail(_), ClusterState::Fail(_)) => {}
            (_, ClusterState::Ok) => self.log(LogLevel::Notice, "Cluster state changed: ok"),
            _ => self.log(LogLevel::Warning, "Cluster state changed: fail"),
        }
    }

    fn judge_state(&self) -> ClusterState {
        let is_isolated = self.is_isolated();
        let speaks = |node: &&Node| node.is_voter() && self.is_with_us(node, is_isolated);
        let reachable = self.nodes.iter().filter(speaks).count();
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

    /// Whether a node may be counted on: by its own word within the node timeout, over whichever
    /// link.
    ///
    /// The others suspect this node no sooner than a timeout after they could last hear it, so a
    /// node that counts this way stops serving before it can be replaced. When its own pings went
    /// out does not matter for that: it may be its silence alone that shows it. Reports of others
    /// about the node do not matter either: as long as it can be heard, it can say that this one
    /// was replaced. A node whose process has ended cannot replace this one, so it counts until the
    /// timeout, as it does where the end goes unnoticed.
    fn is_with_us(&self, node: &Node, is_isolated: bool) -> bool {
        if node.id == self.id() {
            return true;
        }
        let limit = self.config.node_timeout.max(MIN_SILENCE);
        let is_heard = node.data_received.is_some_and(|at| self.now.mono.since(at) <= limit);
        if self.nodes.me().is_replica() {
            // It takes no writes, and may have been asleep until now.
            return is_heard || node.is_healthy();
        }
        is_heard && !(is_isolated && self.is_gone(node.id))
    }

    /// Whether this node has lost every link there was, and has a replica: then it may be this node
    /// that is cut off and whose process the others take for gone, rather than all of theirs.
    fn is_isolated(&self) -> bool {
        let me = self.id();
        let mut others = self.nodes.others().filter(|node| !node.in_handshake());
        self.nodes.replicas_of(me).next().is_some()
            && others.all(|node| self.link_to(node.id).is_none() && node.inbound.is_none())
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
