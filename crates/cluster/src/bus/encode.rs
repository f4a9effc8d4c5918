//! Packets to bytes.

use super::layout::{self, GOSSIP_LEN, HEADER_LEN, gossip, update};
use super::{Body, Extension, Gossip, Header, MessageType, Packet, Publish};
use std::net::IpAddr;

fn put(out: &mut [u8], offset: usize, bytes: &[u8]) {
    out[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// Writes an address as text; the field's rest stays zero. An address never fills the field.
fn put_ip(out: &mut [u8], offset: usize, ip: Option<IpAddr>) {
    if let Some(ip) = ip {
        put(out, offset, ip.to_string().as_bytes());
    }
}

/// Writes one packet.
///
/// # Panics
/// If a gossip section or the extensions have more than 65,535 entries, or the whole is longer than
/// 4 GiB: the core's limits lie far below.
pub fn encode(packet: &Packet) -> Vec<u8> {
    let mut out = match packet {
        Packet::Full(header, body) => {
            let mut out = header_bytes(header);
            let kind = packet.message_type().map_or_else(
                || if let Body::Unknown(number) = body { *number } else { u16::MAX },
                |kind| kind as u16,
            );
            put(&mut out, layout::TYPE, &kind.to_be_bytes());
            append_body(&mut out, body);
            out
        }
        Packet::Light(publish) => {
            let mut out = vec![0; layout::LIGHT_HEADER_LEN];
            let kind =
                if publish.sharded { MessageType::PublishShard } else { MessageType::Publish };
            put(&mut out, layout::TYPE, &(kind as u16 | layout::LIGHT_BIT).to_be_bytes());
            append_publish(&mut out, publish);
            out
        }
    };
    put(&mut out, layout::SIG, layout::SIGNATURE);
    put(&mut out, layout::VER, &layout::VERSION.to_be_bytes());
    let total = u32::try_from(out.len()).expect("a packet is shorter than 4 GiB");
    put(&mut out, layout::TOTLEN, &total.to_be_bytes());
    out
}

fn header_bytes(header: &Header) -> Vec<u8> {
    let mut out = vec![0; HEADER_LEN];
    put(&mut out, layout::PORT, &header.port.to_be_bytes());
    put(&mut out, layout::CURRENT_EPOCH, &header.current_epoch.0.to_be_bytes());
    put(&mut out, layout::CONFIG_EPOCH, &header.config_epoch.0.to_be_bytes());
    put(&mut out, layout::OFFSET, &header.offset.0.to_be_bytes());
    put(&mut out, layout::SENDER, &header.sender.to_hex());
    put(&mut out, layout::MY_SLOTS, &header.slots.to_bitmap());
    if let Some(primary) = header.primary {
        put(&mut out, layout::REPLICA_OF, &primary.to_hex());
    }
    put_ip(&mut out, layout::MY_IP, header.ip);
    put(&mut out, layout::SECONDARY_PORT, &header.secondary_port.to_be_bytes());
    put(&mut out, layout::BUS_PORT, &header.bus_port.to_be_bytes());
    put(&mut out, layout::FLAGS, &header.flags.0.to_be_bytes());
    out[layout::STATE] = u8::from(!header.cluster_ok);
    out[layout::MESSAGE_FLAGS] = header.message_flags.0;
    out
}

fn append_body(out: &mut Vec<u8>, body: &Body) {
    match body {
        Body::Ping { gossip, extensions, .. } => append_ping(out, gossip, extensions),
        Body::Fail(node) => out.extend_from_slice(&node.to_hex()),
        Body::Publish(publish) => append_publish(out, publish),
        Body::Update { node, config_epoch, slots } => {
            let mut fields = [0; update::LEN];
            put(&mut fields, update::CONFIG_EPOCH, &config_epoch.0.to_be_bytes());
            put(&mut fields, update::NAME, &node.to_hex());
            put(&mut fields, update::SLOTS, &slots.to_bitmap());
            out.extend_from_slice(&fields);
        }
        Body::Module => out.extend_from_slice(&[0; layout::MODULE_FIXED]),
        Body::AuthRequest | Body::AuthAck | Body::MfStart | Body::Unknown(_) => {}
    }
}

fn append_ping(out: &mut Vec<u8>, gossip: &[Gossip], extensions: &[Extension]) {
    let count = u16::try_from(gossip.len()).expect("a gossip section has at most 65,535 entries");
    put(out, layout::COUNT, &count.to_be_bytes());
    out.reserve(gossip.len() * GOSSIP_LEN);
    for entry in gossip {
        append_gossip(out, entry);
    }
    let count = u16::try_from(extensions.len()).expect("at most 65,535 extensions");
    put(out, layout::EXTENSIONS, &count.to_be_bytes());
    for extension in extensions {
        extension.write(out);
    }
}

fn append_gossip(out: &mut Vec<u8>, entry: &Gossip) {
    let mut fields = [0; GOSSIP_LEN];
    put(&mut fields, gossip::NAME, &entry.node.to_hex());
    put(&mut fields, gossip::PING_SENT, &entry.ping_sent.to_be_bytes());
    put(&mut fields, gossip::PONG_RECEIVED, &entry.pong_received.to_be_bytes());
    put_ip(&mut fields, gossip::IP, entry.ip);
    put(&mut fields, gossip::PORT, &entry.port.to_be_bytes());
    put(&mut fields, gossip::BUS_PORT, &entry.bus_port.to_be_bytes());
    put(&mut fields, gossip::FLAGS, &entry.flags.0.to_be_bytes());
    put(&mut fields, gossip::SECONDARY_PORT, &entry.secondary_port.to_be_bytes());
    out.extend_from_slice(&fields);
}

fn append_publish(out: &mut Vec<u8>, publish: &Publish) {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("messages are below 4 GiB");
    out.extend_from_slice(&length(&publish.channel).to_be_bytes());
    out.extend_from_slice(&length(&publish.message).to_be_bytes());
    out.extend_from_slice(&publish.channel);
    out.extend_from_slice(&publish.message);
}
