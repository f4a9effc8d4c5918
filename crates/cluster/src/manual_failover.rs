//! CLUSTER FAILOVER: the primary pauses writes, the replica catches up, then stands for election.
//! Packets are sent, and the election is begun, by the caller, whom a [`Next`] says what is due.

use crate::nodes::Nodes;
use crate::progress::Progress;
use crate::surroundings::Surroundings;
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

/// What a manual failover wants next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Next {
    /// Nothing now.
    Wait,
    /// This replica has all that its primary wrote: its election begins.
    Stand,
    /// This replica must hear from this node, which has paused writes.
    Ping(NodeId),
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

    pub(crate) fn reset(&mut self, around: &mut Surroundings) {
        if self.replica().is_some() {
            around.push(Effect::ResumeWrites);
        }
        *self = ManualFailover::None;
    }

    /// CLUSTER FAILOVER: waits for the primary, which the caller asks to pause.
    pub(crate) fn begin(&mut self, around: &mut Surroundings) {
        self.reset(around);
        *self = ManualFailover::CatchingUp { end: end_after(1, around), target: None };
    }

    /// CLUSTER FAILOVER FORCE: stands without the primary's consent.
    pub(crate) fn begin_forced(&mut self, around: &mut Surroundings) -> Next {
        self.reset(around);
        *self = ManualFailover::Ready { end: end_after(1, around) };
        Next::Stand
    }

    /// MFSTART has arrived.
    pub(crate) fn take_start(&mut self, nodes: &Nodes, around: &mut Surroundings, sender: NodeId) {
        if !nodes.get(sender).is_some_and(|node| node.is_replica_of(nodes.my_id())) {
            return;
        }
        self.reset(around);
        let end = end_after(1, around);
        *self = ManualFailover::Yielding { replica: sender, end, paused: false };
        around.push(Effect::PauseWrites { until: end_after(PAUSE_LIMITS, around) });
        let name = nodes.name_of(sender);
        around.log(LogLevel::Notice, format!("Manual failover requested by replica {name}."));
    }

    /// The driver has paused writes: the offset is final, the replica may know it.
    pub(crate) fn writes_paused(&mut self) -> Next {
        if let ManualFailover::Yielding { paused, .. } = self {
            *paused = true;
        }
        self.tell_replica()
    }

    fn tell_replica(self) -> Next {
        match self {
            ManualFailover::Yielding { replica, paused: true, .. } => Next::Ping(replica),
            _ => Next::Wait,
        }
    }

    /// A node says that it has paused, and where its history ends. It counts if it is our primary.
    pub(crate) fn primary_has_paused(
        &mut self,
        nodes: &Nodes,
        progress: &Progress,
        around: &mut Surroundings,
        (sender, offset): (NodeId, Offset),
    ) -> Next {
        if nodes.me().primary() != Some(sender) {
            return Next::Wait;
        }
        let ManualFailover::CatchingUp { target: target @ None, .. } = self else {
            return Next::Wait;
        };
        *target = Some(offset);
        let text =
            format!("Received replication offset for paused primary manual failover: {offset}");
        around.log(LogLevel::Notice, text);
        self.stand_if_caught_up(progress, around)
    }

    /// Looks whether this replica has all that its primary wrote.
    pub(crate) fn stand_if_caught_up(
        &mut self,
        progress: &Progress,
        around: &mut Surroundings,
    ) -> Next {
        match *self {
            ManualFailover::CatchingUp { end, target: Some(target) }
                if target <= progress.offset() =>
            {
                *self = ManualFailover::Ready { end };
                let text = "All primary replication stream processed, manual failover can start.";
                around.log(LogLevel::Notice, text);
                Next::Stand
            }
            _ => Next::Wait,
        }
    }

    pub(crate) fn tick(&mut self, around: &mut Surroundings) -> Next {
        if self.end().is_some_and(|end| around.now() > end) {
            around.log(LogLevel::Warning, "Manual failover timed out.");
            self.reset(around);
        }
        self.tell_replica()
    }
}

/// The moment at which so many timeouts of a manual failover that begins now are over.
fn end_after(timeouts: u64, around: &Surroundings) -> Millis {
    around.now().plus(around.config().manual_failover_timeout.saturating_mul(timeouts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{around, effects, id, pass, three_shards};

    #[test]
    fn a_replica_stands_once_it_has_all_that_its_primary_wrote() {
        let (nodes, mut around) = (three_shards(4), around());
        let (mut manual, mut progress) = (ManualFailover::default(), Progress::none());
        manual.begin(&mut around);
        let mut paused = |manual: &mut ManualFailover, sender, offset, progress: &Progress| {
            manual.primary_has_paused(&nodes, progress, &mut around, (id(sender), Offset(offset)))
        };
        assert_eq!(paused(&mut manual, 2, 0, &progress), Next::Wait, "another primary");
        assert_eq!(paused(&mut manual, 1, 100, &progress), Next::Wait);
        assert_eq!(paused(&mut manual, 1, 0, &progress), Next::Wait, "the first word counts");
        progress.set_offset(Offset(99));
        assert_eq!(manual.stand_if_caught_up(&progress, &mut around), Next::Wait);
        progress.set_offset(Offset(100));
        assert_eq!(manual.stand_if_caught_up(&progress, &mut around), Next::Stand);
        assert!(manual.can_start());
    }

    #[test]
    fn a_primary_pauses_for_its_own_replica_and_resumes_in_time() {
        let (nodes, mut around) = (three_shards(1), around());
        let mut manual = ManualFailover::default();
        manual.take_start(&nodes, &mut around, id(3));
        assert_eq!(manual, ManualFailover::None, "not for another primary");
        manual.take_start(&nodes, &mut around, id(4));
        let until = around.now().plus(10_000);
        assert_eq!(effects(&mut around).0, [Effect::PauseWrites { until }]);
        assert_eq!(manual.tick(&mut around), Next::Wait, "the offset is not final yet");
        assert_eq!(manual.writes_paused(), Next::Ping(id(4)));
        pass(&mut around, 5000);
        assert_eq!(manual.tick(&mut around), Next::Ping(id(4)));
        pass(&mut around, 1);
        assert_eq!(manual.tick(&mut around), Next::Wait);
        assert_eq!(effects(&mut around).0, [Effect::ResumeWrites]);
        assert!(!manual.is_under_way());
    }
}
