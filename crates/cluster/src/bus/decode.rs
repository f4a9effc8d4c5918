//! Bytes to packets. Input is hostile: every length is checked against what is there.

use super::layout::{self, GOSSIP_LEN, HEADER_LEN, LIGHT_HEADER_LEN, gossip, update};
use super::{
    Body, Extension, Gossip, Header, MessageFlags, MessageType, NodeFlags, Packet, PingKind,
    Publish,
};
use std::net::IpAddr;
use tessera_slot::{Epoch, NodeId, Offset, SlotSet};

/// Why bytes are not a packet. The link may stay open: its framing is sound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// The packet ends before its content does.
    #[error("the packet is too short")]
    Short,
    /// The packet is longer than its content, or its length field is wrong.
    #[error("the packet's length is not what its content takes")]
    Length,
    /// The signature is not `RCmb`.
    #[error("bad message signature")]
    Signature,
    /// Another protocol version.
    #[error("unknown protocol version {0}")]
    Version(u16),
    /// A light header on a type that does not allow it.
    #[error("a packet of type {0} has a light header")]
    Light(u16),
    /// A name that is not 40 hexadecimal digits.
    #[error("bad node name")]
    Name,
    /// A malformed ping extension.
    #[error("bad ping extension")]
    Extension,
}

/// Takes fields off the front of a byte string.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        Ok(self.bytes(N)?.try_into().expect("asked for N bytes"))
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn name(&mut self) -> Result<NodeId, DecodeError> {
        NodeId::from_hex(self.bytes(layout::NAME_LEN)?).map_err(|_| DecodeError::Name)
    }

    fn slots(&mut self) -> Result<SlotSet, DecodeError> {
        Ok(SlotSet::from_bitmap(&self.array()?))
    }

    fn end(&self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::Length) }
    }
}

/// A reader of the field that stands at `offset`.
fn at(bytes: &[u8], offset: usize) -> Result<Reader<'_>, DecodeError> {
    bytes.get(offset..).map(Reader).ok_or(DecodeError::Short)
}

/// An address as text; anything that is not an address counts as none.
fn ip(field: &[u8]) -> Option<IpAddr> {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    std::str::from_utf8(&field[..end]).ok()?.parse().ok()
}

/// Reads one packet, which must be exactly as long as it says.
pub fn decode(bytes: &[u8]) -> Result<Packet, DecodeError> {
    let mut reader = Reader::new(bytes);
    if reader.bytes(layout::SIGNATURE.len())? != layout::SIGNATURE {
        return Err(DecodeError::Signature);
    }
    if reader.u32()? as usize != bytes.len() {
        return Err(DecodeError::Length);
    }
    match reader.u16()? {
        layout::VERSION => {}
        other => return Err(DecodeError::Version(other)),
    }
    let number = at(bytes, layout::TYPE)?.u16()?;
    let kind = MessageType::from_number(number & !layout::LIGHT_BIT);
    if number & layout::LIGHT_BIT == 0 {
        let header = read_header(bytes)?;
        let body = read_body(bytes, kind, number)?;
        return Ok(Packet::Full(Box::new(header), body));
    }
    let sharded = match kind {
        Some(MessageType::Publish) => false,
        Some(MessageType::PublishShard) => true,
        _ => return Err(DecodeError::Light(number & !layout::LIGHT_BIT)),
    };
    Ok(Packet::Light(read_publish(at(bytes, LIGHT_HEADER_LEN)?, sharded)?))
}

fn read_header(bytes: &[u8]) -> Result<Header, DecodeError> {
    if bytes.len() < HEADER_LEN {
        return Err(DecodeError::Short);
    }
    let replica_of = at(bytes, layout::REPLICA_OF)?.bytes(layout::NAME_LEN)?;
    let primary = if replica_of.iter().all(|&byte| byte == 0) {
        None
    } else {
        Some(NodeId::from_hex(replica_of).map_err(|_| DecodeError::Name)?)
    };
    Ok(Header {
        sender: at(bytes, layout::SENDER)?.name()?,
        current_epoch: Epoch(at(bytes, layout::CURRENT_EPOCH)?.u64()?),
        config_epoch: Epoch(at(bytes, layout::CONFIG_EPOCH)?.u64()?),
        offset: Offset(at(bytes, layout::OFFSET)?.u64()?),
        slots: at(bytes, layout::MY_SLOTS)?.slots()?,
        primary,
        ip: ip(at(bytes, layout::MY_IP)?.bytes(layout::IP_LEN)?),
        port: at(bytes, layout::PORT)?.u16()?,
        secondary_port: at(bytes, layout::SECONDARY_PORT)?.u16()?,
        bus_port: at(bytes, layout::BUS_PORT)?.u16()?,
        flags: NodeFlags(at(bytes, layout::FLAGS)?.u16()?),
        cluster_ok: bytes[layout::STATE] == 0,
        message_flags: MessageFlags(bytes[layout::MESSAGE_FLAGS]),
    })
}

fn read_body(bytes: &[u8], kind: Option<MessageType>, number: u16) -> Result<Body, DecodeError> {
    let mut reader = at(bytes, HEADER_LEN)?;
    let Some(kind) = kind else { return Ok(Body::Unknown(number)) };
    let body = match kind {
        MessageType::Ping => return read_ping(bytes, PingKind::Ping),
        MessageType::Pong => return read_ping(bytes, PingKind::Pong),
        MessageType::Meet => return read_ping(bytes, PingKind::Meet),
        MessageType::Publish => return Ok(Body::Publish(read_publish(reader, false)?)),
        MessageType::PublishShard => return Ok(Body::Publish(read_publish(reader, true)?)),
        MessageType::Fail => Body::Fail(reader.name()?),
        MessageType::AuthRequest => Body::AuthRequest,
        MessageType::AuthAck => Body::AuthAck,
        MessageType::MfStart => Body::MfStart,
        MessageType::Update => {
            let fields = reader.bytes(update::LEN)?;
            Body::Update {
                config_epoch: Epoch(at(fields, update::CONFIG_EPOCH)?.u64()?),
                node: at(fields, update::NAME)?.name()?,
                slots: Box::new(at(fields, update::SLOTS)?.slots()?),
            }
        }
        MessageType::Module => {
            let fixed = reader.bytes(layout::MODULE_FIXED)?;
            reader.bytes(at(fixed, layout::MODULE_DATA_LEN)?.u32()? as usize)?;
            Body::Module
        }
    };
    reader.end()?;
    Ok(body)
}

fn read_ping(bytes: &[u8], kind: PingKind) -> Result<Body, DecodeError> {
    let count = usize::from(at(bytes, layout::COUNT)?.u16()?);
    let mut reader = at(bytes, HEADER_LEN)?;
    let section = reader.bytes(count * GOSSIP_LEN)?;
    let gossip = section.chunks_exact(GOSSIP_LEN).map(read_gossip).collect::<Result<_, _>>()?;
    let mut extensions = Vec::new();
    if MessageFlags(bytes[layout::MESSAGE_FLAGS]).has(MessageFlags::EXT_DATA) {
        for _ in 0..at(bytes, layout::EXTENSIONS)?.u16()? {
            extensions.push(Extension::read(&mut reader)?);
        }
    }
    reader.end()?;
    Ok(Body::Ping { kind, gossip, extensions })
}

fn read_gossip(entry: &[u8]) -> Result<Gossip, DecodeError> {
    Ok(Gossip {
        node: at(entry, gossip::NAME)?.name()?,
        ping_sent: at(entry, gossip::PING_SENT)?.u32()?,
        pong_received: at(entry, gossip::PONG_RECEIVED)?.u32()?,
        ip: ip(at(entry, gossip::IP)?.bytes(layout::IP_LEN)?),
        port: at(entry, gossip::PORT)?.u16()?,
        bus_port: at(entry, gossip::BUS_PORT)?.u16()?,
        flags: NodeFlags(at(entry, gossip::FLAGS)?.u16()?),
        secondary_port: at(entry, gossip::SECONDARY_PORT)?.u16()?,
    })
}

fn read_publish(mut reader: Reader<'_>, sharded: bool) -> Result<Publish, DecodeError> {
    let channel_len = reader.u32()? as usize;
    let message_len = reader.u32()? as usize;
    let channel = reader.bytes(channel_len)?.to_vec();
    let message = reader.bytes(message_len)?.to_vec();
    reader.end()?;
    Ok(Publish { sharded, channel, message })
}
