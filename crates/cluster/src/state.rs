//! `cluster_state`: whether this node, as it sees the cluster, may serve.

use crate::links::Links;
use crate::node::Node;
use crate::nodes::Nodes;
use crate::surroundings::{Step, Surroundings};
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

    /// Judges the state anew. `withholds_data`: this node has lost its data, and perhaps another
    /// has it.
    pub(crate) fn update(
        &mut self,
        nodes: &Nodes,
        links: &Links,
        around: &mut Surroundings,
        withholds_data: bool,
    ) {
        let now = around.now();
        let primary = nodes.me().is_primary();
        let failing = !self.is_ok();
        if primary && failing && now < self.waits_until {
            return;
        }
        if withholds_data {
            self.enter(ClusterState::Fail(FailReason::Settling), around);
            return;
        }
        let new_state = judge(nodes, links, around);
        // Where no node serves slots yet, there is no majority that could have replaced this node.
        let parted = nodes.voters() > 0;
        if parted && new_state == ClusterState::Fail(FailReason::Minority) {
            self.in_minority = Some(now);
        }
        // Before it has served, it waits no longer than it would have if it had heard the others at
        // once.
        let longest = if self.has_served { MAX_REJOIN_DELAY } else { STARTUP_DELAY };
        let rejoin_delay = around.config().node_timeout.clamp(MIN_REJOIN_DELAY, longest);
        let too_soon = self.in_minority.is_some_and(|minority| now.since(minority) < rejoin_delay);
        if new_state == ClusterState::Ok && failing && primary && too_soon {
            return;
        }
        self.enter(new_state, around);
    }

    fn enter(&mut self, new_state: ClusterState, around: &mut Surroundings) {
        let old = std::mem::replace(&mut self.state, new_state);
        if old == new_state {
            return;
        }
        around.want(Step::View);
        self.has_served |= new_state == ClusterState::Ok;
        match (old, new_state) {
            (ClusterState::Fail(_), ClusterState::Fail(_)) => {}
            (_, ClusterState::Ok) => around.log(LogLevel::Notice, "Cluster state changed: ok"),
            _ => around.log(LogLevel::Warning, "Cluster state changed: fail"),
        }
    }

    /// This process was stopped for long. A primary may have been replaced meanwhile: it waits, as
    /// if it came back from a minority.
    pub(crate) fn distrust(&mut self, nodes: &Nodes, around: &mut Surroundings) {
        if nodes.me().is_primary() && self.is_ok() {
            self.in_minority = Some(around.now());
            self.enter(ClusterState::Fail(FailReason::Settling), around);
        }
    }
}

fn judge(nodes: &Nodes, links: &Links, around: &Surroundings) -> ClusterState {
    let is_isolated = is_isolated(nodes, links);
    let speaks = |node: &&Node| node.is_voter() && is_with_us(node, nodes, around, is_isolated);
    let reachable = nodes.iter().filter(speaks).count();
    if reachable < nodes.quorum() {
        return ClusterState::Fail(FailReason::Minority);
    }
    if around.config().require_full_coverage {
        // No slot has two owners, so their numbers add up.
        let served = nodes.iter().filter(|node| !node.has_failed());
        if served.map(|node| node.slots.len()).sum::<usize>() != SLOT_COUNT {
            return ClusterState::Fail(FailReason::Coverage);
        }
    }
    ClusterState::Ok
}

/// Whether a node may be counted on: by its own word within the node timeout, over whichever link.
///
/// The others suspect this node no sooner than a timeout after they could last hear it, so a node
/// that counts this way stops serving before it can be replaced. When its own pings went out does
/// not matter for that: it may be its silence alone that shows it. Reports of others about the node
/// do not matter either: as long as it can be heard, it can say that this one was replaced. A node
/// whose process has ended cannot replace this one, so it counts until the timeout, as it does
/// where the end goes unnoticed.
fn is_with_us(node: &Node, nodes: &Nodes, around: &Surroundings, is_isolated: bool) -> bool {
    if node.id == nodes.my_id() {
        return true;
    }
    let (now, limit) = (around.now(), around.config().node_timeout.max(MIN_SILENCE));
    let is_heard = node.data_received.is_some_and(|at| now.since(at) <= limit);
    if nodes.me().is_replica() {
        // It takes no writes, and may have been asleep until now.
        return is_heard || node.is_healthy();
    }
    is_heard && !(is_isolated && node.is_gone(now))
}

/// Whether this node has lost every link there was, and has a replica: then it may be this node
/// that is cut off and whose process the others take for gone, rather than all of theirs.
fn is_isolated(nodes: &Nodes, links: &Links) -> bool {
    let mut others = nodes.others().filter(|node| !node.in_handshake());
    nodes.replicas_of(nodes.my_id()).next().is_some()
        && others.all(|node| links.to(node).is_none() && node.inbound.is_none())
}
