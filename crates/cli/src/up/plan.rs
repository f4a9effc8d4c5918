//! The nodes of a cluster, and the part of each.

use std::fmt;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

use tessera_slot::SLOT_COUNT;

use super::{Options, UpError};

/// How far a node's bus port is above its port.
const BUS_OFFSET: u16 = 10_000;

/// The fewest primaries that can agree on a failover when one is lost.
const MASTERS_MIN: u16 = 3;

/// Primaries, then replicas, on consecutive ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Primaries.
    pub masters: u16,
    /// Replicas of each primary.
    pub replicas: u16,
    /// The first port.
    pub port: u16,
}

impl Plan {
    /// The plan that the options ask for, if it is possible at all. Options that are not given are
    /// as in `before`, the cluster that is to be replaced.
    pub fn asked(options: &Options, before: Option<&Plan>) -> Result<Plan, UpError> {
        let usual = Plan { masters: 3, replicas: 1, port: 7000 };
        let before = before.unwrap_or(&usual);
        let plan = Plan {
            masters: options.masters.unwrap_or(before.masters),
            replicas: options.replicas.unwrap_or(before.replicas),
            port: options.port.unwrap_or(before.port),
        };
        plan.check_size()?;
        Ok(plan)
    }

    fn check_size(&self) -> Result<(), UpError> {
        if self.masters < MASTERS_MIN {
            return Err(UpError::TooFewMasters(self.masters));
        }
        let nodes = u32::from(self.masters) * (1 + u32::from(self.replicas));
        let last_bus_port = u32::from(self.port) + nodes - 1 + u32::from(BUS_OFFSET);
        let fits = self.port > 0
            && last_bus_port <= u32::from(u16::MAX)
            && usize::from(self.masters) <= SLOT_COUNT
            // With more nodes the last ports would be the bus ports of the first.
            && nodes <= u32::from(BUS_OFFSET);
        if fits { Ok(()) } else { Err(UpError::TooManyNodes(nodes, self.port)) }
    }

    /// How many nodes there are.
    pub(crate) fn node_count(&self) -> u16 {
        self.masters * (1 + self.replicas)
    }

    /// The ports of all nodes: the primaries' first.
    pub fn ports(&self) -> impl Iterator<Item = u16> + use<> {
        self.port..self.port + self.node_count()
    }

    /// First and last slot of the primary with this index.
    pub fn slots(&self, primary: u16) -> (u16, u16) {
        let bound = |index: u16| usize::from(index) * SLOT_COUNT / usize::from(self.masters);
        let (first, end) = (bound(primary), bound(primary + 1));
        (first as u16, (end - 1) as u16)
    }

    /// The index of the primary that the node with this index follows; `None` for a primary.
    pub(crate) fn primary_of(&self, node: u16) -> Option<u16> {
        (node >= self.masters).then(|| node % self.masters)
    }

    /// Whether every port and bus port can be listened on, but for nodes that are there already.
    pub(crate) fn check_ports(&self, there: &[u16]) -> Result<(), UpError> {
        for port in self.ports().filter(|port| !there.contains(port)) {
            check_port(port, false)?;
            check_port(port + BUS_OFFSET, true)?;
        }
        Ok(())
    }

    /// The text that the directory keeps.
    pub(super) fn to_text(&self) -> String {
        format!("masters {}\nreplicas {}\nport {}\n", self.masters, self.replicas, self.port)
    }

    /// Reads [`Plan::to_text`] back; lines of other names are passed over.
    pub(super) fn from_text(text: &str) -> Option<Plan> {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse::<u16>().ok()
        };
        let (masters, replicas, port) = (field("masters ")?, field("replicas ")?, field("port ")?);
        let plan = Plan { masters, replicas, port };
        plan.check_size().is_ok().then_some(plan)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (masters, replicas) = (self.masters, self.replicas);
        write!(f, "{masters} masters with {replicas} replicas each from port {} on", self.port)
    }
}

fn check_port(port: u16, bus: bool) -> Result<(), UpError> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Err(UpError::PortInUse { port, bus }),
        Err(source) => Err(UpError::PortDenied { port, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(masters: u16, replicas: u16, port: u16) -> Plan {
        Plan { masters, replicas, port }
    }

    #[test]
    fn every_slot_has_one_primary() {
        for masters in [3, 4, 5, 7, 100] {
            let plan = plan(masters, 0, 7000);
            let mut next = 0;
            for primary in 0..masters {
                let (first, last) = plan.slots(primary);
                assert_eq!(first, next);
                assert!(last >= first);
                next = last + 1;
            }
            assert_eq!(usize::from(next), SLOT_COUNT);
        }
        // These are the slots that redis-cli --cluster create gives.
        assert_eq!(plan(3, 1, 7000).slots(0), (0, 5460));
        assert_eq!(plan(3, 1, 7000).slots(1), (5461, 10921));
    }

    #[test]
    fn replicas_follow_the_primaries_in_turn() {
        let plan = plan(3, 2, 7000);
        let followed: Vec<Option<u16>> = (0..9).map(|node| plan.primary_of(node)).collect();
        let replicas = [Some(0), Some(1), Some(2)];
        assert_eq!(followed, [[None; 3], replicas, replicas].concat());
    }

    #[test]
    fn impossible_plans_are_refused() {
        assert!(matches!(plan(2, 1, 7000).check_size(), Err(UpError::TooFewMasters(2))));
        for wrong in [plan(3, 1, 0), plan(3, 1, 60_000), plan(3, 1, 55_535), plan(6000, 1, 1000)] {
            assert!(matches!(wrong.check_size(), Err(UpError::TooManyNodes(..))), "{wrong}");
        }
        assert!(plan(3, 1, 55_530).check_size().is_ok());
        assert!(plan(3, u16::MAX, 1).check_size().is_err());
    }

    #[test]
    fn a_plan_reads_back() {
        let plan = plan(5, 2, 7100);
        assert_eq!(Plan::from_text(&plan.to_text()), Some(plan));
        assert_eq!(Plan::from_text("masters 1\nreplicas 0\nport 1\n"), None);
        assert_eq!(Plan::from_text("something else"), None);
    }
}
