//! A member of the cluster, this node included, as this node knows it.

use crate::bus::NodeFlags;
use crate::slot_sets::OwnedSlots;
use crate::{ClusterConfig, LinkId};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use tessera_slot::{Epoch, Millis, NodeId, Offset};

/// The name of a shard: a primary and its replicas share one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ShardId(pub(crate) NodeId);

/// The role that a node announces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// Nothing heard yet (`noflags`).
    Unknown,
    Primary,
    /// `of` is `None` while its primary is not in our table.
    Replica {
        of: Option<NodeId>,
    },
}

impl Role {
    /// The role that flags in a packet tell. They do not say whose replica a replica is.
    pub(crate) fn told_by(flags: NodeFlags) -> Role {
        if flags.has(NodeFlags::PRIMARY) {
            Role::Primary
        } else if flags.has(NodeFlags::REPLICA) {
            Role::Replica { of: None }
        } else {
            Role::Unknown
        }
    }
}

/// How reachable a node is, to us and to the cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Health {
    Ok,
    /// `fail?`: we cannot reach it. `gone` if its host says that the process is not there.
    Suspected {
        gone: bool,
    },
    /// `fail`: a majority cannot reach it.
    Failed {
        since: Millis,
        gone: bool,
    },
}

/// How far the acquaintance has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// Its name is made up by us until its first pong.
    Handshake,
    Known,
}

/// The source of a node that is not proven yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// It has introduced itself, from this address.
    Guest(IpAddr),
    /// This node has told of it.
    Gossip(NodeId),
}

impl Source {
    /// Whether both are of the same kind.
    pub(crate) fn is_like(self, other: Source) -> bool {
        matches!(
            (self, other),
            (Source::Guest(_), Source::Guest(_)) | (Source::Gossip(_), Source::Gossip(_))
        )
    }
}

/// The address of a node. A port is 0 where there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Address {
    pub(crate) ip: Option<IpAddr>,
    pub(crate) port: u16,
    pub(crate) tls_port: u16,
    pub(crate) bus_port: u16,
}

impl Address {
    /// From the two ports of a packet, whose first is the TLS port under `tls-cluster`.
    pub(crate) fn from_wire(
        ip: Option<IpAddr>,
        (base, secondary): (u16, u16),
        bus_port: u16,
        base_is_tls: bool,
    ) -> Address {
        let (port, tls_port) = if base_is_tls { (secondary, base) } else { (base, secondary) };
        Address { ip, port, tls_port, bus_port }
    }

    /// The two ports as packets carry them: base, secondary.
    pub(crate) fn wire_ports(&self, base_is_tls: bool) -> (u16, u16) {
        if base_is_tls { (self.tls_port, self.port) } else { (self.port, self.tls_port) }
    }

    /// The port that clients of this kind are told; the other one where the node has only that.
    pub(crate) fn client_port(&self, tls: bool) -> u16 {
        let (first, second) = self.wire_ports(tls);
        if first != 0 { first } else { second }
    }

    pub(crate) fn bus(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.ip?, self.bus_port))
    }
}

/// A process counts as gone when connections were refused for this long, in milliseconds...
const GONE_AFTER: u64 = 300;
/// ...and at least this often: one that is restarted at once is not failed over.
const GONE_REFUSALS: u32 = 3;

/// Refused connections in a row at a node that was reachable before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refusals {
    pub(crate) since: Millis,
    pub(crate) count: u32,
}

/// A member of the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) shard: ShardId,
    pub(crate) stage: Stage,
    /// Its source, until it has answered; `None` too if that is the operator or the file.
    pub(crate) source: Option<Source>,
    /// Whether the link to it begins with MEET.
    pub(crate) send_meet: bool,
    pub(crate) role: Role,
    pub(crate) health: Health,
    pub(crate) address: Address,
    pub(crate) hostname: String,
    pub(crate) human_name: String,
    pub(crate) config_epoch: Epoch,
    pub(crate) slots: OwnedSlots,
    pub(crate) no_failover: bool,
    pub(crate) extensions: bool,
    /// Whether it has, or had, replicas as a primary.
    pub(crate) had_replicas: bool,
    pub(crate) orphaned_since: Option<Millis>,

    pub(crate) link: Option<LinkId>,
    pub(crate) inbound: Option<LinkId>,
    /// When to try to connect again, while there is no link.
    pub(crate) retry_at: Millis,
    pub(crate) refusals: Option<Refusals>,
    /// A link of it has ended by end-of-file, and it has not spoken over a new one since. Its own
    /// host says that, for a firewall that refuses can only reset. (A new link may still come about
    /// while the process is being torn down.)
    pub(crate) hung_up: bool,
    /// Whether it has answered a ping since this process began.
    pub(crate) reached: bool,

    pub(crate) created: Millis,
    /// When it last got a MEET, as long as it has not opened a link in return.
    pub(crate) met_at: Option<Millis>,
    /// When the oldest unanswered ping was sent.
    pub(crate) ping_sent: Option<Millis>,
    pub(crate) pong_received: Option<Millis>,
    pub(crate) data_received: Option<Millis>,
    pub(crate) voted_at: Option<Millis>,
    pub(crate) offset: Offset,
    /// The nodes that report it as unreachable, and when they did last.
    pub(crate) reports: BTreeMap<NodeId, Millis>,
}

impl Node {
    pub(crate) fn new(id: NodeId, shard: ShardId, now: Millis) -> Node {
        Node {
            id,
            shard,
            stage: Stage::Known,
            source: None,
            send_meet: false,
            role: Role::Unknown,
            health: Health::Ok,
            address: Address::default(),
            hostname: String::new(),
            human_name: String::new(),
            config_epoch: Epoch(0),
            slots: OwnedSlots::none(),
            no_failover: false,
            extensions: false,
            had_replicas: false,
            orphaned_since: None,
            link: None,
            inbound: None,
            retry_at: now,
            refusals: None,
            hung_up: false,
            reached: false,
            created: now,
            met_at: None,
            ping_sent: None,
            pong_received: None,
            data_received: None,
            voted_at: None,
            offset: Offset(0),
            reports: BTreeMap::new(),
        }
    }

    /// It has spoken, at this time.
    pub(crate) fn heard(&mut self, at: Millis) {
        self.data_received = self.data_received.max(Some(at));
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.role == Role::Primary
    }

    pub(crate) fn is_replica(&self) -> bool {
        matches!(self.role, Role::Replica { .. })
    }

    pub(crate) fn is_replica_of(&self, primary: NodeId) -> bool {
        self.role == Role::Replica { of: Some(primary) }
    }

    pub(crate) fn primary(&self) -> Option<NodeId> {
        match self.role {
            Role::Replica { of } => of,
            Role::Primary | Role::Unknown => None,
        }
    }

    /// A primary that serves slots: one of those whose majority decides.
    pub(crate) fn is_voter(&self) -> bool {
        self.is_primary() && !self.slots.is_empty()
    }

    pub(crate) fn in_handshake(&self) -> bool {
        self.stage == Stage::Handshake
    }

    /// Whether it has not yet answered to the name by which it is known here.
    pub(crate) fn is_unproven(&self) -> bool {
        self.in_handshake() || self.source.is_some()
    }

    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.health, Health::Failed { .. })
    }

    pub(crate) fn failed_since(&self) -> Option<Millis> {
        match self.health {
            Health::Failed { since, .. } => Some(since),
            Health::Ok | Health::Suspected { .. } => None,
        }
    }

    pub(crate) fn is_suspected(&self) -> bool {
        matches!(self.health, Health::Suspected { .. })
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.health == Health::Ok
    }

    /// Whether the node's host says that its process is not there: a link has ended by end-of-file,
    /// connections have been refused since, for long enough, and the node has no link to this one
    /// either.
    ///
    /// A reset or a refusal alone may come from a firewall, and then the process is alive, serves
    /// its own side's clients and may see nothing but silence. It is judged by the timeout, by
    /// which it judges itself too.
    pub(crate) fn is_gone(&self, now: Millis) -> bool {
        let refused = self.refusals.is_some_and(|refusals| {
            refusals.count >= GONE_REFUSALS && now.since(refusals.since) >= GONE_AFTER
        });
        refused && self.hung_up && self.inbound.is_none()
    }

    /// The flags as they stand in packets; `myself` for the node's own record.
    pub(crate) fn flags(&self, myself: bool) -> NodeFlags {
        let mut flags = NodeFlags::default();
        let table = [
            (self.is_primary(), NodeFlags::PRIMARY),
            (self.is_replica(), NodeFlags::REPLICA),
            (self.is_suspected(), NodeFlags::PFAIL),
            (self.has_failed(), NodeFlags::FAIL),
            (myself, NodeFlags::MYSELF),
            (self.in_handshake(), NodeFlags::HANDSHAKE),
            (!myself && self.address.ip.is_none(), NodeFlags::NOADDR),
            (self.send_meet, NodeFlags::MEET),
            (self.is_primary() && self.had_replicas, NodeFlags::MIGRATE_TO),
            (self.no_failover, NodeFlags::NOFAILOVER),
            (self.extensions || myself, NodeFlags::EXTENSIONS),
        ];
        for (set, flag) in table {
            if set {
                flags |= flag;
            }
        }
        flags
    }

    /// The flags as they stand in CLUSTER NODES and nodes.conf.
    pub(crate) fn flag_names(&self, myself: bool) -> String {
        let flags = self.flags(myself);
        let names: Vec<&str> =
            FLAG_NAMES.iter().filter(|(flag, _)| flags.has(*flag)).map(|(_, name)| *name).collect();
        if names.is_empty() { "noflags".to_owned() } else { names.join(",") }
    }

    /// The address that redirections name: `cluster-preferred-endpoint-type` applied.
    pub(crate) fn endpoint(&self, config: &ClusterConfig) -> String {
        use crate::PreferredEndpoint;
        match config.preferred_endpoint {
            PreferredEndpoint::Ip => self.ip_text(),
            PreferredEndpoint::Hostname if self.hostname.is_empty() => "?".to_owned(),
            PreferredEndpoint::Hostname => self.hostname.clone(),
            PreferredEndpoint::Unknown => String::new(),
        }
    }

    pub(crate) fn ip_text(&self) -> String {
        self.address.ip.map_or_else(String::new, |ip| ip.to_string())
    }
}

/// The names of flags, in the order in which they are printed.
pub(crate) const FLAG_NAMES: [(NodeFlags, &str); 8] = [
    (NodeFlags::MYSELF, "myself"),
    (NodeFlags::PRIMARY, "master"),
    (NodeFlags::REPLICA, "slave"),
    (NodeFlags::PFAIL, "fail?"),
    (NodeFlags::FAIL, "fail"),
    (NodeFlags::HANDSHAKE, "handshake"),
    (NodeFlags::NOADDR, "noaddr"),
    (NodeFlags::NOFAILOVER, "nofailover"),
];
