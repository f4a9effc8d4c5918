//! Events: the driver's news for the core.

use crate::ClusterConfig;
use std::net::SocketAddr;
use tessera_slot::{Millis, Offset};

/// The two clocks, read by the driver at the moment of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// A clock that never goes back, from any fixed moment. Every decision is taken by it.
    pub mono: Millis,
    /// Milliseconds since 1970 (UTC). Only shown and stored, never compared.
    pub unix: Millis,
}

impl Now {
    /// A moment of the monotonic clock as wall-clock time, to be shown.
    pub(crate) fn unix_of(self, moment: Millis) -> Millis {
        Millis(self.unix.0.saturating_sub(self.mono.since(moment)))
    }
}

/// A TCP connection of the cluster bus. The two kinds have separate number spaces, so that the core
/// may number the links it asks for and the driver those it accepts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LinkId {
    /// Opened by this node; numbered by the core in [`Effect::OpenLink`](crate::Effect::OpenLink),
    /// never reused.
    Outgoing(u64),
    /// Accepted by this node; numbered by the driver, never reused.
    Accepted(u64),
}

/// Why a link is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkDownReason {
    /// The peer's host refused the connection: no process listens there (ECONNREFUSED).
    Refused,
    /// The connection was reset (ECONNRESET, EPIPE).
    Reset,
    /// The peer closed the connection.
    Eof,
    /// Connecting or sending took too long (ETIMEDOUT).
    TimedOut,
    /// Anything else: no route, a full send queue, a TLS failure.
    Other,
}

/// The state of this replica's link to its primary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PrimaryLink {
    /// In sync. A link that is up may be silent all the same: only what came over it shows how old
    /// the data is.
    Up {
        /// When something last came from the primary, by the monotonic clock.
        heard: Millis,
    },
    /// The data is not whole: a full synchronisation has dropped the old and not yet, or not
    /// successfully, loaded the new. A replica in this state never stands for election, whatever
    /// the configuration or an operator says.
    Incomplete,
    /// The link is down, or a synchronisation is under way that has not touched the data yet.
    Down {
        /// When data was last received from the primary, by the monotonic clock; `None` if never.
        since: Option<Millis>,
    },
}

/// Everything that can happen to a cluster node.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A link asked for by [`Effect::OpenLink`](crate::Effect::OpenLink) is established.
    LinkConnected {
        /// The link.
        link: LinkId,
        /// This side's address.
        local: SocketAddr,
    },
    /// A peer has connected to the bus port.
    LinkAccepted {
        /// The link, numbered by the driver.
        link: LinkId,
        /// The peer's address (its port is of no meaning).
        peer: SocketAddr,
        /// This side's address.
        local: SocketAddr,
    },
    /// One whole packet has arrived, as [`bus::Framer`](crate::bus::Framer) cuts it.
    Packet {
        /// The link it came over.
        link: LinkId,
        /// The packet from its signature to its last byte.
        bytes: Vec<u8>,
    },
    /// A link is gone, or could not be opened. The event is not sent for a link that the core has
    /// closed.
    LinkDown {
        /// The link.
        link: LinkId,
        /// Why.
        reason: LinkDownReason,
    },
    /// Time has passed: at least every 100 ms, and when
    /// [`next_timeout`](crate::Cluster::next_timeout) is reached.
    Tick,
    /// This node's position in the replication history: written by a primary, applied by a replica.
    ReplicationOffset(Offset),
    /// The link to the primary went up or down, or something came over it (replicas only).
    PrimaryLink(PrimaryLink),
    /// This node has just started and has none of the data that it had before: it has no files, or
    /// lost them. Comes before anything else.
    StartedEmpty,
    /// Writes are paused, as [`Effect::PauseWrites`](crate::Effect::PauseWrites) asked.
    WritesPaused {
        /// The offset of the last write before the pause.
        offset: Offset,
    },
    /// Directives were changed at run time.
    ConfigChanged(Box<ClusterConfig>),
    /// A client published a message that the other nodes' subscribers must get.
    Publish {
        /// The channel.
        channel: Vec<u8>,
        /// The message.
        message: Vec<u8>,
        /// SPUBLISH: only the nodes of this shard get it.
        sharded: bool,
    },
}
