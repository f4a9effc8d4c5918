//! Effects: the core's requests to its driver.

use crate::{LinkId, RoutingView};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tessera_slot::{Millis, NodeId, SlotRange, SlotSet, SlotState};

/// The content of nodes.conf.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodesConf {
    /// The whole file.
    pub text: String,
    /// True if the file must have reached the disk (fsync of the file and of its directory) before
    /// anything of [`Batch::then`] is done: it carries a vote, an epoch or a change of role or
    /// slots. False if it may be written at leisure: it is convenience after a restart.
    pub durable: bool,
}

/// The effects of one step, in order. Effects that need a durable nodes.conf are kept apart from
/// those that may be sent at once: a vote or a claim never leaves before the file is on disk.
#[derive(Clone, PartialEq, Debug)]
pub struct Batch {
    /// nodes.conf to be written (to a new file, then renamed over the old one).
    pub save: Option<NodesConf>,
    /// Carried out in this order, and only after a durable [`Batch::save`] has succeeded. If saving
    /// fails, the node must stop: it can no longer keep its promises.
    pub then: Vec<Effect>,
}

/// How important a log line is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LogLevel {
    /// For developers.
    Debug,
    /// For operators who look closely.
    Verbose,
    /// An event worth knowing.
    Notice,
    /// Something is wrong.
    Warning,
}

/// The topic of a log line that strangers on the bus can cause as often as they like. The driver
/// limits how many lines of a topic it writes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LogTopic {
    /// An invalid packet, or one of another sender than before.
    Packet,
    /// A node's address.
    Address,
    /// A handshake.
    Handshake,
    /// A node's report about another.
    Report,
    /// A vote that was refused.
    Vote,
}

impl LogTopic {
    /// All of them, in their order.
    pub const ALL: [LogTopic; 5] = [
        LogTopic::Packet,
        LogTopic::Address,
        LogTopic::Handshake,
        LogTopic::Report,
        LogTopic::Vote,
    ];
}

/// One thing to be done.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Connect to a peer's bus port. Answered by `LinkConnected` or `LinkDown`. The core closes a
    /// link that does not come about within half the node timeout, so the driver needs no timer.
    OpenLink {
        /// The number the link will have.
        link: LinkId,
        /// The peer's address.
        addr: SocketAddr,
    },
    /// Close a link. No `LinkDown` follows; events for it that are under way are ignored.
    CloseLink {
        /// The link.
        link: LinkId,
    },
    /// The node at the other end of a link is known by now: what comes over it may be of any length
    /// ([`Framer::node_is_known`](crate::bus::Framer::node_is_known)).
    LinkKnown {
        /// The link.
        link: LinkId,
    },
    /// Send bytes over an established link, after all that was sent over it before.
    Send {
        /// The link.
        link: LinkId,
        /// One whole packet.
        bytes: Arc<[u8]>,
    },
    /// Change what this node may do with slots, under the slots' locks. Slots that are not named
    /// keep their state; before the first of these, every slot is `Remote { owner: None }`.
    SetSlots(Vec<(SlotRange, SlotState)>),
    /// Delete the keys of slots that this node served and has lost to another.
    DropKeys(Box<SlotSet>),
    /// Delete all keys (CLUSTER RESET of a replica).
    DropAllKeys,
    /// Replicate from this node. Emitted again when the primary's address changes.
    Follow {
        /// The primary.
        primary: NodeId,
        /// Its address.
        host: IpAddr,
        /// Its clients' port (the TLS port under `tls-replication`).
        port: u16,
    },
    /// Stop replicating and serve as a primary with the data at hand.
    Promote,
    /// The view by which commands are routed has changed.
    Routing(Arc<RoutingView>),
    /// Stop accepting writes (clients wait) and then send `WritesPaused` with the final offset.
    PauseWrites {
        /// When to resume at the latest, by the monotonic clock.
        until: Millis,
    },
    /// Accept writes again: a manual failover has ended.
    ResumeWrites,
    /// A message for this node's subscribers has arrived from a peer.
    Published {
        /// The channel.
        channel: Vec<u8>,
        /// The message.
        message: Vec<u8>,
        /// SPUBLISH.
        sharded: bool,
    },
    /// A line for the log.
    Log {
        /// Its importance.
        level: LogLevel,
        /// Its text, without a line break.
        text: String,
        /// The topic, if a stranger can cause the line.
        topic: Option<LogTopic>,
    },
}
