//! A primary that starts without its data steps back, where a replica still has it.
//!
//! Perhaps no node has noticed that it was away. Then no replica would replace it, and its replicas
//! would drop their data to follow it. So it neither serves nor lets a replica synchronise until it
//! knows that no replica has data. If one has, it tells all nodes that it has failed itself (FAIL
//! about its own name, which nodes of every kind believe), and the election goes its usual way. All
//! of this is bounded in time: a cluster whose nodes have all lost their data must serve.

use crate::LogLevel;
use crate::node::Node;
use crate::nodes::Nodes;
use crate::surroundings::Surroundings;
use tessera_slot::{Millis, NodeId};

/// The bounds of the time in which replicas are to show what they have, in ms; between them the
/// node timeout counts.
const MIN_ASKING: u64 = 2000;
const MAX_ASKING: u64 = 5000;
/// How long a replica with data gets to take over, in node timeouts: the others hold to a failure
/// for as long...
const GIVES_WAY_FOR: u64 = 2;
/// ...and at least this, in milliseconds.
const MIN_GIVES_WAY: u64 = 5000;
/// The failure is told again this often, in milliseconds: not every link was up the first time.
const TELL_EVERY: u64 = 500;

/// Whether this node's data was lost when it started, and what follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum LostData {
    /// Nothing was lost, or no replica has more.
    #[default]
    No,
    /// Replicas are yet to show whether they have data.
    Asking { until: Millis },
    /// A replica has data, and is to take over.
    GivesWay { since: Millis, until: Millis, tell_at: Millis },
}

/// Whether the others are to hear that this node has failed, by its own word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum OwnFailure {
    Untold,
    Tell,
}

impl LostData {
    /// Since when this node wants to be replaced.
    pub(crate) fn gives_way_since(self) -> Option<Millis> {
        match self {
            LostData::GivesWay { since, .. } => Some(since),
            LostData::No | LostData::Asking { .. } => None,
        }
    }

    /// Whether this node must not let others synchronise with it: a replica may still have the data
    /// that it has lost.
    pub(crate) fn withholds_data(self, nodes: &Nodes) -> bool {
        self != LostData::No && nodes.me().is_voter()
    }

    pub(crate) fn started_empty(&mut self, nodes: &Nodes, around: &Surroundings) {
        if nodes.me().is_voter() {
            let longest = around.config().node_timeout.clamp(MIN_ASKING, MAX_ASKING);
            let has_replicas = nodes.replicas_of(nodes.my_id()).next().is_some();
            let wait = if has_replicas { longest } else { MIN_ASKING };
            *self = LostData::Asking { until: around.now().plus(wait) };
        }
    }

    pub(crate) fn tick(&mut self, nodes: &Nodes, around: &mut Surroundings) -> OwnFailure {
        let now = around.now();
        if !nodes.me().is_voter() {
            // Replaced, perhaps.
            *self = LostData::No;
        }
        if let LostData::Asking { until } = *self {
            match replica_with_data(nodes) {
                Some(replica) => self.give_way_to(replica, nodes, around),
                None if now >= until || all_replicas_are_empty(nodes) => *self = LostData::No,
                None => {}
            }
        }
        match *self {
            LostData::GivesWay { until, .. } if now >= until => {
                let text = "No replica has taken over. I serve without the data that I had.";
                around.log(LogLevel::Warning, text);
                *self = LostData::No;
                OwnFailure::Untold
            }
            LostData::GivesWay { since, until, tell_at } if now >= tell_at => {
                *self = LostData::GivesWay { since, until, tell_at: now.plus(TELL_EVERY) };
                OwnFailure::Tell
            }
            LostData::GivesWay { .. } | LostData::No | LostData::Asking { .. } => {
                OwnFailure::Untold
            }
        }
    }

    fn give_way_to(&mut self, replica: NodeId, nodes: &Nodes, around: &mut Surroundings) {
        let now = around.now();
        let name = nodes.name_of(replica);
        let text = format!(
            "I have started without data, and replica {name} has data: it is to take over."
        );
        around.log(LogLevel::Warning, text);
        let timeout = around.config().node_timeout;
        let limit = timeout.saturating_mul(GIVES_WAY_FOR).max(MIN_GIVES_WAY);
        *self = LostData::GivesWay { since: now, until: now.plus(limit), tell_at: now };
    }
}

/// A replica that has spoken since this node started, and has data.
fn replica_with_data(nodes: &Nodes) -> Option<NodeId> {
    let has_data =
        |node: &&Node| node.data_received.is_some() && node.offset.0 > 0 && !node.no_failover;
    nodes.replicas_of(nodes.my_id()).find(has_data).map(|node| node.id)
}

/// Whether every replica has spoken, and has nothing.
fn all_replicas_are_empty(nodes: &Nodes) -> bool {
    let mut replicas = nodes.replicas_of(nodes.my_id()).peekable();
    replicas.peek().is_some()
        && replicas.all(|node| node.data_received.is_some() && node.offset.0 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{around, hear, pass, three_shards};

    /// Primary 1, which has started empty.
    fn empty_primary() -> (LostData, Nodes, Surroundings) {
        let (mut lost, nodes, around) = (LostData::default(), three_shards(1), around());
        lost.started_empty(&nodes, &around);
        (lost, nodes, around)
    }

    #[test]
    fn a_replica_with_data_is_given_way() {
        let (mut lost, mut nodes, mut around) = empty_primary();
        assert!(lost.withholds_data(&nodes));
        assert_eq!(lost.tick(&nodes, &mut around), OwnFailure::Untold);
        hear(&mut nodes, 4, 0, &around);
        hear(&mut nodes, 5, 100, &around);
        assert_eq!(lost.tick(&nodes, &mut around), OwnFailure::Tell);
        assert_eq!(lost.gives_way_since(), Some(around.now()));
        assert_eq!(lost.tick(&nodes, &mut around), OwnFailure::Untold);
        pass(&mut around, TELL_EVERY);
        assert_eq!(lost.tick(&nodes, &mut around), OwnFailure::Tell, "now and then again");
        pass(&mut around, MIN_GIVES_WAY);
        assert_eq!(lost.tick(&nodes, &mut around), OwnFailure::Untold);
        assert!(!lost.withholds_data(&nodes), "nobody has taken over");
    }

    #[test]
    fn where_nobody_has_data_it_serves() {
        let (mut lost, mut nodes, mut around) = empty_primary();
        hear(&mut nodes, 4, 0, &around);
        let _ = lost.tick(&nodes, &mut around);
        assert!(lost.withholds_data(&nodes), "the other replica has not spoken");
        hear(&mut nodes, 5, 0, &around);
        let _ = lost.tick(&nodes, &mut around);
        assert!(!lost.withholds_data(&nodes));

        let (mut lost, nodes, mut around) = empty_primary();
        pass(&mut around, MIN_ASKING - 1);
        let _ = lost.tick(&nodes, &mut around);
        assert!(lost.withholds_data(&nodes));
        pass(&mut around, 1);
        let _ = lost.tick(&nodes, &mut around);
        assert!(!lost.withholds_data(&nodes), "their silence is not waited for for ever");
    }
}
