//! The events of a running cluster.
//!
//! Nodes are asked about themselves only; what one node thinks of another is its own affair. A
//! [`Watcher`] compares what it sees with what it saw, so it is tested without any process.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::RunningCluster;
use super::view::show_ranges;

/// The state of a node, as far as can be seen.
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
        /// Its present state.
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
    /// A shard has no node left: the cluster is down.
    ShardLost {
        /// Its slots.
        ranges: Vec<(u16, u16)>,
        /// Its nodes.
        ports: Vec<u16>,
    },
    /// No shard is lost any more.
    NoShardLost,
    /// A primary serves other slots than before.
    Slots {
        /// The node.
        port: u16,
        /// The slots that it serves now.
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
            Event::ShardLost { ranges, ports } => {
                let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                let (slots, ports) = (show_ranges(ranges), ports.join(", "));
                write!(f, "the cluster is down: nobody is left for slots {slots} (nodes {ports})")
            }
            Event::NoShardLost => f.write_str("no slots are without a node any more"),
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

/// Keeps the last known state of every node.
#[derive(Debug, Default)]
pub struct Watcher {
    nodes: BTreeMap<u16, Watched>,
    /// The slots of the shards that have no node left.
    lost: Vec<Vec<(u16, u16)>>,
}

/// How long a node that is back must call itself a primary before that is believed: one that was
/// replaced learns so from the others only after it has started.
const ROLE_SETTLES: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Watched {
    state: NodeState,
    /// Its state when it last answered.
    last_role: Option<NodeState>,
    down_since: Option<Instant>,
    /// It is back since then, which has not been told: its role is not certain yet.
    returned: Option<Instant>,
}

impl Watcher {
    /// Takes in the present states; gives the changes. The first state of a node is not a change.
    pub fn see(&mut self, now: Instant, seen: &[(u16, NodeState)]) -> Vec<Event> {
        let mut events = Vec::new();
        // First who is down, so that a failover seen in the same look knows since when.
        let (down, up): (Vec<_>, Vec<_>) = seen.iter().partition(|(_, state)| state.is_down());
        for (port, state) in down.into_iter().chain(up) {
            let event = self.change(now, *port, state);
            let is_told = matches!(event, Some(Event::Back { .. }));
            self.note(now, *port, state, is_told);
            events.extend(event);
        }
        self.look_for_lost_shards(&mut events);
        events
    }

    fn note(&mut self, now: Instant, port: u16, state: &NodeState, is_return_told: bool) {
        let before = self.nodes.remove(&port);
        let was_down = before.as_ref().is_some_and(|before| before.state.is_down());
        let mut watched = Watched {
            state: state.clone(),
            last_role: before.as_ref().and_then(|before| before.last_role.clone()),
            down_since: before.as_ref().and_then(|before| before.down_since),
            returned: before.and_then(|before| before.returned),
        };
        if state.is_down() {
            watched.down_since = watched.down_since.or(Some(now));
            watched.returned = None;
        } else {
            watched.last_role = Some(state.clone());
            watched.down_since = None;
            watched.returned = watched.returned.or(was_down.then_some(now));
            watched.returned = watched.returned.filter(|_| !is_return_told);
        }
        self.nodes.insert(port, watched);
    }

    /// Whether the role that a node has come back with can be told.
    fn is_certain(&self, now: Instant, port: u16, state: &NodeState, returned: Instant) -> bool {
        match state {
            NodeState::Replica(primary) => primary.is_some(),
            NodeState::Primary(ranges) => {
                now.saturating_duration_since(returned) >= ROLE_SETTLES
                    && self.server_of(ranges, port).is_none()
            }
            NodeState::Ended(_) | NodeState::Silent => false,
        }
    }

    /// Another node that is there and serves some of these slots.
    fn server_of(&self, ranges: &[(u16, u16)], except: u16) -> Option<u16> {
        let serves = |watched: &Watched| match &watched.state {
            NodeState::Primary(served) => overlap(served, ranges),
            _ => false,
        };
        let mut others = self.nodes.iter().filter(|(port, _)| **port != except);
        others.find(|(_, watched)| serves(watched)).map(|(port, _)| *port)
    }

    /// Tells of shards of which the last node has gone, and when none such is left.
    fn look_for_lost_shards(&mut self, events: &mut Vec<Event>) {
        let mut lost: Vec<Vec<(u16, u16)>> = Vec::new();
        for (port, watched) in &self.nodes {
            let Some(NodeState::Primary(ranges)) = &watched.last_role else { continue };
            let is_gone = watched.state.is_down() && self.server_of(ranges, *port).is_none();
            let members = self.members_of(ranges);
            if !is_gone || lost.contains(ranges) || !members.iter().all(|port| self.is_down(port)) {
                continue;
            }
            if !ranges.is_empty() && !self.lost.contains(ranges) {
                events.push(Event::ShardLost { ranges: ranges.clone(), ports: members });
            }
            lost.push(ranges.clone());
        }
        lost.retain(|ranges| !ranges.is_empty());
        if lost.is_empty() && !self.lost.is_empty() {
            events.push(Event::NoShardLost);
        }
        self.lost = lost;
    }

    fn is_down(&self, port: &u16) -> bool {
        self.nodes.get(port).is_some_and(|watched| watched.state.is_down())
    }

    /// The nodes that served some of these slots when last seen, and their replicas.
    fn members_of(&self, ranges: &[(u16, u16)]) -> Vec<u16> {
        let has_served = |port: &u16| match self.nodes.get(port).map(|watched| &watched.last_role) {
            Some(Some(NodeState::Primary(served))) => overlap(served, ranges),
            _ => false,
        };
        let is_member = |port: &u16, watched: &Watched| match &watched.last_role {
            Some(NodeState::Replica(Some(primary))) => has_served(primary),
            _ => has_served(port),
        };
        let members = self.nodes.iter().filter(|(port, watched)| is_member(port, watched));
        members.map(|(port, _)| *port).collect()
    }

    fn change(&self, now: Instant, port: u16, state: &NodeState) -> Option<Event> {
        let before = self.nodes.get(&port)?;
        let returned = before.returned.or(before.state.is_down().then_some(now));
        if let Some(returned) = returned.filter(|_| !state.is_down()) {
            let is_certain = self.is_certain(now, port, state, returned);
            return is_certain.then(|| Event::Back { port, state: state.clone() });
        }
        if before.state == *state {
            return None;
        }
        let event = match (&before.state, state) {
            (_, NodeState::Ended(how)) => Event::Ended { port, how: how.clone() },
            (NodeState::Ended(_), NodeState::Silent) => return None,
            (_, NodeState::Silent) => Event::Silent { port },
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

fn overlap(left: &[(u16, u16)], right: &[(u16, u16)]) -> bool {
    left.iter().any(|left| right.iter().any(|right| left.0 <= right.1 && right.0 <= left.1))
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

    /// Looks at nodes at these moments, and gives what is told.
    fn told(looks: &[(u64, &[(u16, NodeState)])]) -> Vec<String> {
        let (start, mut watcher) = (Instant::now(), Watcher::default());
        let mut told = Vec::new();
        for &(ms, seen) in looks {
            let events = watcher.see(start + Duration::from_millis(ms), seen);
            told.extend(events.iter().map(|event| format!("{ms}: {event}")));
        }
        told
    }

    fn killed() -> NodeState {
        NodeState::Ended("signal: 9 (SIGKILL)".to_owned())
    }

    #[test]
    fn a_node_is_not_back_as_the_primary_that_it_was_before_it_has_learned() {
        let replica = |of| NodeState::Replica(Some(of));
        let before = [(7000, primary(0, 9)), (7003, replica(7000))];
        let gone = [(7000, killed()), (7003, primary(0, 9))];
        let unaware = [(7000, primary(0, 9)), (7003, primary(0, 9))];
        let settled = [(7000, replica(7003)), (7003, primary(0, 9))];
        let told = told(&[
            (0, &before),
            (100, &gone),
            (200, &unaware),
            (9000, &unaware),
            (9100, &settled),
            (9200, &settled),
        ]);
        assert_eq!(
            told,
            [
                "100: node 7000 is down (signal: 9 (SIGKILL))",
                "100: node 7003 took over slots 0-9 from 7000 after 0 ms",
                "9100: node 7000 is back as replica of 7003",
            ]
        );
    }

    #[test]
    fn a_primary_that_nobody_has_replaced_is_back_as_one() {
        let there = [(7000, primary(0, 9))];
        let gone = [(7000, killed())];
        let told =
            told(&[(0, &there), (100, &gone), (200, &there), (2100, &there), (2300, &there)]);
        assert_eq!(
            told,
            [
                "100: node 7000 is down (signal: 9 (SIGKILL))",
                "100: the cluster is down: nobody is left for slots 0-9 (nodes 7000)",
                "200: no slots are without a node any more",
                "2300: node 7000 is back as primary of slots 0-9",
            ]
        );
    }

    #[test]
    fn a_shard_without_nodes_is_told_once_and_its_end() {
        let replica = |of| NodeState::Replica(Some(of));
        let all = [(7000, primary(0, 9)), (7001, primary(10, 19)), (7003, replica(7000))];
        let half = [(7000, killed()), (7001, primary(10, 19)), (7003, replica(7000))];
        let none = [(7000, killed()), (7001, primary(10, 19)), (7003, killed())];
        let back = [(7000, killed()), (7001, primary(10, 19)), (7003, primary(0, 9))];
        let told = told(&[(0, &all), (100, &half), (200, &none), (300, &none), (400, &back)]);
        let down = |at, port| format!("{at}: node {port} is down (signal: 9 (SIGKILL))");
        assert_eq!(
            told,
            [
                down(100, 7000),
                down(200, 7003),
                "200: the cluster is down: nobody is left for slots 0-9 (nodes 7000, 7003)"
                    .to_owned(),
                "400: no slots are without a node any more".to_owned(),
            ]
        );
    }

    #[test]
    fn a_shard_is_not_lost_while_a_replica_of_any_of_its_primaries_is_there() {
        let replica = |of| NodeState::Replica(Some(of));
        let all = [(7000, primary(0, 9)), (7003, replica(7000)), (7006, replica(7000))];
        let second = [(7000, killed()), (7003, primary(0, 9)), (7006, replica(7003))];
        let third = [(7000, killed()), (7003, killed()), (7006, replica(7003))];
        let told = told(&[(0, &all), (100, &second), (200, &third)]);
        assert!(!told.iter().any(|told| told.contains("the cluster is down")), "{told:?}");
        assert_eq!(told.len(), 4, "{told:?}");
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
