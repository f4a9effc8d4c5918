//! The cluster bus codec: bytes to packets and back (`RCmb`, protocol version 1).
//!
//! [`Framer`] cuts a TCP stream into packets, [`decode`] reads one, [`encode`] writes one. All
//! numbers are big-endian, all texts are padded with zero bytes, names are 40 hexadecimal digits.
//! The meaning of a packet is not decided here.

mod decode;
mod encode;
mod extension;
mod framer;
mod layout;
#[cfg(test)]
mod tests;

pub use decode::{DecodeError, decode};
pub use encode::encode;
pub use extension::Extension;
pub use framer::{FrameError, Framer};
pub use layout::HEADER_LEN;

use std::net::IpAddr;
use tessera_slot::{Epoch, NodeId, Offset, SlotSet};

/// The `flags` of a node in headers and gossip.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct NodeFlags(pub u16);

impl NodeFlags {
    /// The node is a primary.
    pub const PRIMARY: NodeFlags = NodeFlags(1);
    /// The node is a replica.
    pub const REPLICA: NodeFlags = NodeFlags(1 << 1);
    /// The sender cannot reach the node.
    pub(crate) const PFAIL: NodeFlags = NodeFlags(1 << 2);
    /// A majority has agreed that the node has failed.
    pub(crate) const FAIL: NodeFlags = NodeFlags(1 << 3);
    /// The node is the sender itself.
    pub(crate) const MYSELF: NodeFlags = NodeFlags(1 << 4);
    /// The first packets are still being exchanged; the name is not known yet.
    pub(crate) const HANDSHAKE: NodeFlags = NodeFlags(1 << 5);
    /// The node's address is not known.
    pub(crate) const NOADDR: NodeFlags = NodeFlags(1 << 6);
    /// MEET is to be sent to the node.
    pub const MEET: NodeFlags = NodeFlags(1 << 7);
    /// The primary has, or had, replicas: others may migrate to it.
    pub(crate) const MIGRATE_TO: NodeFlags = NodeFlags(1 << 8);
    /// The replica will not stand for election.
    pub(crate) const NOFAILOVER: NodeFlags = NodeFlags(1 << 9);
    /// The node understands ping extensions.
    pub const EXTENSIONS: NodeFlags = NodeFlags(1 << 10);
    /// The node understands light headers.
    pub const LIGHT_HEADERS: NodeFlags = NodeFlags(1 << 11);

    /// Whether any of `other`'s bits is set.
    pub fn has(self, other: NodeFlags) -> bool {
        self.0 & other.0 != 0
    }
}

impl std::ops::BitOr for NodeFlags {
    type Output = NodeFlags;
    fn bitor(self, other: NodeFlags) -> NodeFlags {
        NodeFlags(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for NodeFlags {
    fn bitor_assign(&mut self, other: NodeFlags) {
        self.0 |= other.0;
    }
}

/// The first byte of a header's message flags.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct MessageFlags(pub u8);

impl MessageFlags {
    /// The sender, a primary, has paused writes for a manual failover.
    pub const PAUSED: MessageFlags = MessageFlags(1);
    /// Vote for the sender although its primary has not failed.
    pub const FORCE_ACK: MessageFlags = MessageFlags(1 << 1);
    /// The sender understands ping extensions; some may follow the gossip section.
    pub const EXT_DATA: MessageFlags = MessageFlags(1 << 2);

    /// Whether any of `other`'s bits is set.
    pub fn has(self, other: MessageFlags) -> bool {
        self.0 & other.0 != 0
    }
}

impl std::ops::BitOrAssign for MessageFlags {
    fn bitor_assign(&mut self, other: MessageFlags) {
        self.0 |= other.0;
    }
}

/// The header of every full packet: the sender's description of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// The sender's name.
    pub sender: NodeId,
    /// The sender's idea of the current epoch.
    pub current_epoch: Epoch,
    /// The sender's config epoch; a replica gives its primary's.
    pub config_epoch: Epoch,
    /// The sender's replication offset.
    pub offset: Offset,
    /// The slots the sender serves; a replica gives its primary's.
    pub slots: SlotSet,
    /// The sender's primary; `None` if it is one itself.
    pub primary: Option<NodeId>,
    /// The address the sender announces; `None` to use the connection's.
    pub ip: Option<IpAddr>,
    /// The sender's base port for clients (TLS under `tls-cluster`).
    pub port: u16,
    /// The sender's other port for clients, 0 if none.
    pub secondary_port: u16,
    /// The sender's bus port.
    pub bus_port: u16,
    /// The sender's own flags.
    pub flags: NodeFlags,
    /// Whether the cluster is `ok` to the sender.
    pub cluster_ok: bool,
    /// Flags of this message.
    pub message_flags: MessageFlags,
}

/// One entry of a gossip section: what the sender knows of a third node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gossip {
    /// The node's name.
    pub node: NodeId,
    /// When the sender pinged it, in seconds since 1970; 0 if no ping is unanswered.
    pub ping_sent: u32,
    /// When the sender last had a pong from it, in seconds since 1970.
    pub pong_received: u32,
    /// Its address, if known.
    pub ip: Option<IpAddr>,
    /// Its base port for clients.
    pub port: u16,
    /// Its bus port.
    pub bus_port: u16,
    /// Its flags as the sender sees them.
    pub flags: NodeFlags,
    /// Its other port for clients.
    pub secondary_port: u16,
}

/// A message for subscribers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publish {
    /// SPUBLISH.
    pub sharded: bool,
    /// The channel.
    pub channel: Vec<u8>,
    /// The message.
    pub message: Vec<u8>,
}

/// The three kinds of ping, which differ in what the receiver does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PingKind {
    /// To be answered by a pong.
    Ping,
    /// The answer, or an announcement.
    Pong,
    /// A ping that also introduces its sender.
    Meet,
}

/// The body of a full packet, after its header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// PING, PONG, MEET.
    Ping {
        /// One of the three kinds.
        kind: PingKind,
        /// The gossip section.
        gossip: Vec<Gossip>,
        /// The extensions.
        extensions: Vec<Extension>,
    },
    /// FAIL: a majority holds this node for failed.
    Fail(NodeId),
    /// PUBLISH, PUBLISHSHARD.
    Publish(Publish),
    /// FAILOVER_AUTH_REQUEST: a replica asks for a vote.
    AuthRequest,
    /// FAILOVER_AUTH_ACK: a vote.
    AuthAck,
    /// UPDATE: the slots of a node, to a sender whose claims are stale.
    Update {
        /// The owner.
        node: NodeId,
        /// Its config epoch.
        config_epoch: Epoch,
        /// Its slots.
        slots: Box<SlotSet>,
    },
    /// MFSTART: a replica asks its primary to pause for a manual failover.
    MfStart,
    /// MODULE, whose content means nothing here.
    Module,
    /// A type that this version does not know.
    Unknown(u16),
}

/// One packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Packet {
    /// With the full header.
    Full(Box<Header>, Body),
    /// With the light header, which only publishing may use.
    Light(Publish),
}

/// The message types, as they count in CLUSTER INFO.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum MessageType {
    /// PING.
    Ping = 0,
    /// PONG.
    Pong = 1,
    /// MEET.
    Meet = 2,
    /// FAIL.
    Fail = 3,
    /// PUBLISH.
    Publish = 4,
    /// FAILOVER_AUTH_REQUEST.
    AuthRequest = 5,
    /// FAILOVER_AUTH_ACK.
    AuthAck = 6,
    /// UPDATE.
    Update = 7,
    /// MFSTART.
    MfStart = 8,
    /// MODULE.
    Module = 9,
    /// PUBLISHSHARD.
    PublishShard = 10,
}

impl MessageType {
    /// Every type, in the order of their numbers.
    pub const ALL: [MessageType; 11] = [
        MessageType::Ping,
        MessageType::Pong,
        MessageType::Meet,
        MessageType::Fail,
        MessageType::Publish,
        MessageType::AuthRequest,
        MessageType::AuthAck,
        MessageType::Update,
        MessageType::MfStart,
        MessageType::Module,
        MessageType::PublishShard,
    ];

    /// The type with this number.
    pub(crate) fn from_number(number: u16) -> Option<MessageType> {
        MessageType::ALL.get(usize::from(number)).copied()
    }

    /// The name in `cluster_stats_messages_<name>_sent`.
    pub fn name(self) -> &'static str {
        match self {
            MessageType::Ping => "ping",
            MessageType::Pong => "pong",
            MessageType::Meet => "meet",
            MessageType::Fail => "fail",
            MessageType::Publish => "publish",
            MessageType::AuthRequest => "auth-req",
            MessageType::AuthAck => "auth-ack",
            MessageType::Update => "update",
            MessageType::MfStart => "mfstart",
            MessageType::Module => "module",
            MessageType::PublishShard => "publishshard",
        }
    }
}

impl Packet {
    /// The packet's type; `None` if unknown.
    pub(crate) fn message_type(&self) -> Option<MessageType> {
        Some(match self {
            Packet::Light(publish) | Packet::Full(_, Body::Publish(publish)) => {
                if publish.sharded {
                    MessageType::PublishShard
                } else {
                    MessageType::Publish
                }
            }
            Packet::Full(_, body) => match body {
                Body::Ping { kind: PingKind::Ping, .. } => MessageType::Ping,
                Body::Ping { kind: PingKind::Pong, .. } => MessageType::Pong,
                Body::Ping { kind: PingKind::Meet, .. } => MessageType::Meet,
                Body::Fail(_) => MessageType::Fail,
                Body::Publish(_) => MessageType::Publish,
                Body::AuthRequest => MessageType::AuthRequest,
                Body::AuthAck => MessageType::AuthAck,
                Body::Update { .. } => MessageType::Update,
                Body::MfStart => MessageType::MfStart,
                Body::Module => MessageType::Module,
                Body::Unknown(_) => return None,
            },
        })
    }
}
