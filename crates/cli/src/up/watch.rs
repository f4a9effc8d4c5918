//! What happens in a running cluster, as events.
//!
//! Nodes are asked about themselves only; what one node thinks of another is its own affair. A [`Watcher`]
//! compares what it sees with what it saw, so it is tested without any process.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::RunningCluster;
use super::view::show_ranges;

/// What a node does, as far as can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// Its process has ended: how.
    Ended(String),
    /// Its process runs but does not answer.
    Silent,
    /// It serves these slots.
    Primary(Vec<(u16, u16)>),
    /// It follows the node with this port; `None` while that is not known.
    Replica(Option<u16>),
}

impl NodeState {
    fn is_down(&self) -> bool {
        matches!(self, NodeState::Ended(_) | NodeState::Silent)
    }
}

/// Something that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A node's process has ended.
    Ended {
        /// The node.
        port: u16,
        /// How.
        how: String,
    },
    /// A node does not answer although its process runs.
    Silent {
        /// The node.
        port: u16,
    },
    /// A node is there again.
    Back {
        /// The node.
        port: u16,
        /// What it now is.
        state: NodeState,
    },
    /// A replica has become the primary of its shard.
    Failover {
        /// The new primary.
        port: u16,
        /// The one before, if known.
        from: Option<u16>,
        /// The slots.
        ranges: Vec<(u16, u16)>,
        /// How long after the old one was seen to be down; `None` if it was not.
        after: Option<Duration>,
    },
    /// A node follows another one than before.
    Follows {
        /// The node.
        port: u16,
        /// Its primary.
        primary: Option<u16>,
    },
    /// A primary serves other slots than before.
    Slots {
        /// The node.
        port: u16,
        /// What it serves now.
        ranges: Vec<(u16, u16)>,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Ended { port, how } => write!(f, "node {port} is down ({how})"),
            Event::Silent { port } => write!(f, "node {port} does not answer"),
            Event::Back { port, state } => write!(f, "node {port} is back as {state}"),
            Event::Failover { port, from, ranges, after } => {
                write!(f, "node {port} took over slots {}", show_ranges(ranges))?;
                if let Some(from) = from {
                    write!(f, " from {from}")?;
                }
                match after {
                    Some(after) => write!(f, " after {} ms", after.as_millis()),
                    None => Ok(()),
                }
            }
            Event::Follows { port, primary } => {
                write!(f, "node {port} is now {}", NodeState::Replica(*primary))
            }
            Event::Slots { port, ranges } if ranges.is_empty() => {
                write!(f, "node {port} serves no slots now")
            }
            Event::Slots { port, ranges } => {
                write!(f, "node {port} now serves slots {}", show_ranges(ranges))
            }
        }
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeState::Ended(how) => write!(f, "down ({how})"),
            NodeState::Silent => f.write_str("silent"),
            NodeState::Primary(ranges) if ranges.is_empty() => f.write_str("primary without slots"),
            NodeState::Primary(ranges) => write!(f, "primary of slots {}", show_ranges(ranges)),
            NodeState::Replica(Some(primary)) => write!(f, "replica of {primary}"),
            NodeState::Replica(None) => f.write_str("replica"),
        }
    }
}

/// What was last seen of every node.
#[derive(Debug, Default)]
pub struct Watcher {
    nodes: BTreeMap<u16, Watched>,
}

#[derive(Debug)]
struct Watched {
    state: NodeState,
    /// What it was when it last answered.
    last_role: Option<NodeState>,
    down_since: Option<Instant>,
}

impl Watcher {
    /// Takes in what is seen now; gives what has changed. What is seen of a node for the first time
    /// is no change.
    pub fn see(&mut self, now: Instant, seen: &[(u16, NodeState)]) -> Vec<Event> {
        let mut events = Vec::new();
        // First who is down, so that a failover seen in the same look knows since when.
        let (down, up): (Vec<_>, Vec<_>) = seen.iter().partition(|(_, state)| state.is_down());
        for (port, state) in down.into_iter().chain(up) {
            events.extend(self.change(now, *port, state));
            self.note(now, *port, state);
        }
        events
    }

    fn note(&mut self, now: Instant, port: u16, state: &NodeState) {
        let before = self.nodes.remove(&port);
        let (mut last_role, mut down_since) =
            before.map_or((None, None), |before| (before.last_role, before.down_since));
        if state.is_down() {
            down_since = down_since.or(Some(now));
        } else {
            last_role = Some(state.clone());
            down_since = None;
        }
        self.nodes.insert(port, Watched { state: state.clone(), last_role, down_since });
    }

    fn change(&self, now: Instant, port: u16, state: &NodeState) -> Option<Event> {
        let before = self.nodes.get(&port)?;
        if before.state == *state {
            return None;
        }
        let event = match (&before.state, state) {
            (_, NodeState::Ended(how)) => Event::Ended { port, how: how.clone() },
            (NodeState::Ended(_), NodeState::Silent) => return None,
            (_, NodeState::Silent) => Event::Silent { port },
            (old, new) if old.is_down() => Event::Back { port, state: new.clone() },
            (_, NodeState::Replica(None)) => return None,
            (_, NodeState::Replica(primary)) => Event::Follows { port, primary: *primary },
            (NodeState::Replica(from), NodeState::Primary(ranges)) if !ranges.is_empty() => {
                let from = from.or_else(|| self.last_primary_of(ranges));
                let down_since = from.and_then(|from| self.nodes.get(&from)?.down_since);
                let after = down_since.map(|since| now.saturating_duration_since(since));
                Event::Failover { port, from, ranges: ranges.clone(), after }
            }
            (_, NodeState::Primary(ranges)) => Event::Slots { port, ranges: ranges.clone() },
        };
        Some(event)
    }

    /// The node that served exactly these slots when it last answered.
    fn last_primary_of(&self, ranges: &[(u16, u16)]) -> Option<u16> {
        let served = |watched: &Watched| matches!(&watched.last_role, Some(NodeState::Primary(served)) if served == ranges);
        self.nodes.iter().find(|(_, watched)| served(watched)).map(|(port, _)| *port)
    }
}

/// Looks at every node of the cluster.
pub fn look(cluster: &mut RunningCluster) -> Vec<(u16, NodeState)> {
    cluster
        .nodes
        .iter_mut()
        .map(|node| {
            // Asked even if its process has ended: it may have been started again by hand.
            let state = match (node.cluster_nodes(), node.ended()) {
                (Ok(seen), _) => own_state(&seen),
                (Err(_), Some(status)) => NodeState::Ended(status.to_string()),
                (Err(_), None) => NodeState::Silent,
            };
            (node.port, state)
        })
        .collect()
}

fn own_state(seen: &[super::view::SeenNode]) -> NodeState {
    match seen.iter().find(|node| node.myself) {
        None => NodeState::Silent,
        Some(myself) => match &myself.primary {
            None => NodeState::Primary(myself.ranges.clone()),
            Some(id) => {
                NodeState::Replica(seen.iter().find(|node| node.id == *id).map(|node| node.port))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn primary(first: u16, last: u16) -> NodeState {
        NodeState::Primary(vec![(first, last)])
    }

    #[test]
    fn a_failover_as_a_story() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut watcher = Watcher::default();
        let mut look = |ms, states: [NodeState; 2]| -> Vec<String> {
            let [first, second] = states;
            let events = watcher.see(at(ms), &[(7000, first), (7003, second)]);
            events.iter().map(ToString::to_string).collect()
        };
        let killed = || NodeState::Ended("signal: 9 (SIGKILL)".to_owned());
        let follower = |of| NodeState::Replica(Some(of));
        assert!(look(0, [primary(0, 5460), follower(7000)]).is_empty(), "the first look");
        assert!(look(50, [primary(0, 5460), follower(7000)]).is_empty(), "nothing new");
        assert_eq!(
            look(100, [killed(), follower(7000)]),
            ["node 7000 is down (signal: 9 (SIGKILL))"]
        );
        assert_eq!(
            look(900, [killed(), primary(0, 5460)]),
            ["node 7003 took over slots 0-5460 from 7000 after 800 ms"]
        );
        assert!(look(950, [NodeState::Silent, primary(0, 5460)]).is_empty(), "it starts");
        assert_eq!(
            look(1000, [follower(7003), primary(0, 5460)]),
            ["node 7000 is back as replica of 7003"]
        );
        assert_eq!(
            look(2000, [primary(0, 5460), follower(7000)]),
            ["node 7000 took over slots 0-5460 from 7003", "node 7003 is now replica of 7000"]
        );
    }

    #[test]
    fn one_look_may_see_both_the_end_and_the_failover() {
        let mut watcher = Watcher::default();
        let now = Instant::now();
        watcher.see(now, &[(7000, NodeState::Replica(Some(7001))), (7001, primary(0, 9))]);
        let events = watcher.see(now, &[(7000, primary(0, 9)), (7001, NodeState::Silent)]);
        assert_eq!(events.len(), 2);
        assert_eq!(events[0], Event::Silent { port: 7001 });
        assert!(matches!(events[1], Event::Failover { from: Some(7001), after: Some(_), .. }));
    }

    #[test]
    fn slots_that_move() {
        let mut watcher = Watcher::default();
        let now = Instant::now();
        watcher.see(now, &[(7000, primary(0, 9))]);
        let events = watcher.see(now, &[(7000, primary(0, 5))]);
        assert_eq!(events[0].to_string(), "node 7000 now serves slots 0-5");
    }
}
