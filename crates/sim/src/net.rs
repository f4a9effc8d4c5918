//! Hosts' addresses, connections, delays and partitions.

use crate::rng::Rng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tessera_cluster::{Event, LinkId};

/// A machine, by its number.
pub type HostId = usize;

/// The port on which every host's bus listens.
pub(crate) const BUS_PORT: u16 = 17_000;
/// The port of every host's clients.
pub(crate) const CLIENT_PORT: u16 = 7000;

/// The generation of ends that belong to clients: they are on a host, but in none of its processes.
pub(crate) const CLIENTS: u64 = u64::MAX;
/// The numbers of links to the clients' port begin here; those of the bus stay below.
pub(crate) const DATA_LINKS: u64 = 1 << 32;

/// Whether a link leads to a node's clients' port.
pub(crate) fn is_data(link: LinkId) -> bool {
    let (LinkId::Outgoing(number) | LinkId::Accepted(number)) = link;
    number >= DATA_LINKS
}

/// The link that an event is of.
pub(crate) fn link_of(event: &Event) -> Option<LinkId> {
    match event {
        Event::LinkConnected { link, .. }
        | Event::LinkAccepted { link, .. }
        | Event::Packet { link, .. }
        | Event::LinkDown { link, .. } => Some(*link),
        _ => None,
    }
}

pub(crate) fn ip_of(host: HostId) -> IpAddr {
    let number = host as u32 + 1;
    IpAddr::V4(Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + number))
}

pub(crate) fn addr_of(host: HostId) -> SocketAddr {
    SocketAddr::new(ip_of(host), BUS_PORT)
}

pub(crate) fn host_at(ip: IpAddr) -> Option<HostId> {
    let IpAddr::V4(ip) = ip else { return None };
    let number = u32::from(ip).checked_sub(u32::from(Ipv4Addr::new(10, 0, 0, 0)))?;
    (number as usize).checked_sub(1)
}

/// A connection's end: a process of a host (its generation), and the link's name there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct End {
    pub(crate) host: HostId,
    pub(crate) generation: u64,
    pub(crate) link: LinkId,
}

/// A TCP connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// The two ends: the host that opened it, the host that accepted it.
    pub(crate) ends: [End; 2],
    /// When the last packet towards each end arrives: later ones arrive later.
    pub(crate) last_arrival: [u64; 2],
    /// Packets that wait for a partition to end, by the end they go to.
    pub(crate) stalled: [VecDeque<Arc<[u8]>>; 2],
    /// This end lives on although the other has gone: it could not be told.
    pub(crate) untold: Option<usize>,
}

/// The network between the hosts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    pub(crate) connections: BTreeMap<u64, Connection>,
    pub(crate) by_link: BTreeMap<(HostId, u64, LinkId), u64>,
    /// Pairs, smaller host first, that cannot reach each other.
    pub(crate) cut: BTreeSet<(HostId, HostId)>,
    /// A firewall answers what goes from the first to the second by a reset.
    pub(crate) refused: BTreeSet<(HostId, HostId)>,
    /// Hosts with slow packets.
    pub(crate) slow: BTreeSet<HostId>,
    next: u64,
}

impl Network {
    pub(crate) fn is_cut(&self, a: HostId, b: HostId) -> bool {
        self.cut.contains(&(a.min(b), a.max(b)))
    }

    pub(crate) fn cut(&mut self, a: HostId, b: HostId) {
        if a != b {
            self.cut.insert((a.min(b), a.max(b)));
        }
    }

    pub(crate) fn is_refused(&self, from: HostId, to: HostId) -> bool {
        self.refused.contains(&(from, to))
    }

    /// Whether packets pass both ways.
    pub(crate) fn is_open(&self, a: HostId, b: HostId) -> bool {
        !self.is_cut(a, b) && !self.is_refused(a, b) && !self.is_refused(b, a)
    }

    /// How long a packet takes, in milliseconds.
    pub(crate) fn delay(&self, a: HostId, b: HostId, rng: &mut Rng) -> u64 {
        if self.slow.contains(&a) || self.slow.contains(&b) {
            50 + rng.below(300)
        } else {
            rng.below(3)
        }
    }

    pub(crate) fn connect(&mut self, opener: End, acceptor: End) -> u64 {
        let number = self.next;
        self.next += 1;
        for end in [opener, acceptor] {
            self.by_link.insert((end.host, end.generation, end.link), number);
        }
        let connection = Connection {
            ends: [opener, acceptor],
            last_arrival: [0; 2],
            stalled: [VecDeque::new(), VecDeque::new()],
            untold: None,
        };
        self.connections.insert(number, connection);
        number
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<Connection> {
        let connection = self.connections.remove(&number)?;
        for end in connection.ends {
            self.by_link.remove(&(end.host, end.generation, end.link));
        }
        Some(connection)
    }

    /// How many bytes that an end has sent wait for a partition to end.
    pub(crate) fn stalled(&self, end: End) -> usize {
        let Some((number, side)) = self.find(end.host, end.generation, end.link) else { return 0 };
        self.connections[&number].stalled[1 - side].iter().map(|bytes| bytes.len()).sum()
    }

    /// The connection behind a process' link, and which of its ends that process is.
    pub(crate) fn find(&self, host: HostId, generation: u64, link: LinkId) -> Option<(u64, usize)> {
        let number = *self.by_link.get(&(host, generation, link))?;
        let connection = self.connections.get(&number)?;
        let is_acceptor = connection.ends[1].host == host && connection.ends[1].link == link;
        Some((number, usize::from(is_acceptor)))
    }
}
