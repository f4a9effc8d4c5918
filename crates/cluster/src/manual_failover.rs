//! CLUSTER FAILOVER: the primary pauses writes, the replica catches up, then stands for election.

use crate::bus::{Body, PingKind};
use crate::core::Cluster;
use crate::{Effect, LogLevel};
use tessera_slot::{Millis, NodeId, Offset};

/// Writes stay paused at most this many times the timeout of a manual failover.
const PAUSE_LIMITS: u64 = 2;

/// This node's part in a manual failover.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum ManualFailover {
    /// No failover is under way.
    #[default]
    None,
    /// A primary whose replica asks to replace it.
    Yielding { replica: NodeId, end: Millis, paused: bool },
    /// A replica that waits until it has all that its primary wrote.
    CatchingUp { end: Millis, target: Option<Offset> },
    /// A replica that may stand.
    Ready { end: Millis },
}

impl ManualFailover {
    pub(crate) fn is_under_way(self) -> bool {
        self != ManualFailover::None
    }

    pub(crate) fn can_start(self) -> bool {
        matches!(self, ManualFailover::Ready { .. })
    }

    pub(crate) fn has_paused_writes(self) -> bool {
        matches!(self, ManualFailover::Yielding { paused: true, .. })
    }

    pub(crate) fn replica(self) -> Option<NodeId> {
        match self {
            ManualFailover::Yielding { replica, .. } => Some(replica),
            _ => None,
        }
    }

    fn end(self) -> Option<Millis> {
        match self {
            ManualFailover::None => None,
            ManualFailover::Yielding { end, .. }
            | ManualFailover::CatchingUp { end, .. }
            | ManualFailover::Ready { end } => Some(end),
        }
    }
}

impl Cluster {
    pub(crate) fn reset_manual_failover(&mut self) {
        if self.manual.replica().is_some() {
            self.out.push(Effect::ResumeWrites);
        }
        self.manual = ManualFailover::None;
    }

    /// The moment at which so many timeouts of a manual failover that begins now are over.
    fn manual_failover_end(&self, timeouts: u64) -> Millis {
        self.now.mono.plus(self.config.manual_failover_timeout.saturating_mul(timeouts))
    }

    /// CLUSTER FAILOVER: asks the primary to pause.
    pub(crate) fn begin_manual_failover(&mut self, primary: NodeId) {
        self.reset_manual_failover();
        self.manual = ManualFailover::CatchingUp { end: self.manual_failover_end(1), target: None };
        self.send_to(primary, Body::MfStart);
    }

    /// CLUSTER FAILOVER FORCE: stands without the primary's consent.
    pub(crate) fn begin_forced_failover(&mut self) {
        self.reset_manual_failover();
        self.manual = ManualFailover::Ready { end: self.manual_failover_end(1) };
        self.restart_election();
    }

    fn restart_election(&mut self) {
        self.election = crate::election::Election::default();
        self.todo.election = true;
    }

    /// MFSTART has arrived.
    pub(crate) fn take_mf_start(&mut self, sender: NodeId) {
        let me = self.id();
        if !self.nodes.get(sender).is_some_and(|node| node.is_replica_of(me)) {
            return;
        }
        self.reset_manual_failover();
        let end = self.manual_failover_end(1);
        self.manual = ManualFailover::Yielding { replica: sender, end, paused: false };
        self.out.push(Effect::PauseWrites { until: self.manual_failover_end(PAUSE_LIMITS) });
        let name = self.name_of(sender);
        self.log(LogLevel::Notice, format!("Manual failover requested by replica {name}."));
    }

    /// The driver has paused writes: the offset is final, the replica may know it.
    pub(crate) fn writes_paused(&mut self, offset: Offset) {
        self.offset = offset;
        if let ManualFailover::Yielding { paused, .. } = &mut self.manual {
            *paused = true;
            self.ping_successor();
        }
    }

    fn ping_successor(&mut self) {
        if self.manual.has_paused_writes()
            && let Some(link) = self.manual.replica().and_then(|id| self.link_to(id))
        {
            self.send_ping(link, PingKind::Ping);
        }
    }

    /// Our primary says that it has paused, and where its history ends.
    pub(crate) fn primary_has_paused(&mut self, sender: NodeId, offset: Offset) {
        if self.nodes.me().primary() != Some(sender) {
            return;
        }
        if let ManualFailover::CatchingUp { target: target @ None, .. } = &mut self.manual {
            *target = Some(offset);
            let text =
                format!("Received replication offset for paused primary manual failover: {offset}");
            self.log(LogLevel::Notice, text);
            self.stand_if_caught_up();
        }
    }

    pub(crate) fn offset_moved(&mut self, offset: Offset) {
        self.offset = offset;
        self.stand_if_caught_up();
    }

    fn stand_if_caught_up(&mut self) {
        if let ManualFailover::CatchingUp { end, target: Some(target) } = self.manual
            && target <= self.offset
        {
            self.manual = ManualFailover::Ready { end };
            let text = "All primary replication stream processed, manual failover can start.";
            self.log(LogLevel::Notice, text);
            self.restart_election();
        }
    }

    pub(crate) fn tick_manual_failover(&mut self) {
        if self.manual.end().is_some_and(|end| self.now.mono > end) {
            self.log(LogLevel::Warning, "Manual failover timed out.");
            self.reset_manual_failover();
            return;
        }
        self.ping_successor();
    }
}
