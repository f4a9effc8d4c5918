//! Cluster bus packets: cut anywhere, framed the same; what is decoded encodes to itself.

use crate::{Meter, Vary};
use std::sync::LazyLock;
use tessera_cluster::bus::{
    Body, Extension, FrameError, Framer, Gossip, Header, MessageFlags, NodeFlags, Packet, PingKind,
    Publish, decode, encode,
};
use tessera_slot::{Epoch, NodeId, Offset, Slot, SlotSet};

/// The memory that decoding takes beside the packet: a header with its slots, small lists.
const FIXED_BYTES: usize = 16 << 10;
/// An entry of the gossip section takes less memory than 104 bytes, an extension less than 16 times
/// its eight bytes; lists grow by doubling.
const DECODED_MAX: usize = 32;

static VALID: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let gossip = Gossip {
        node: id(3),
        ping_sent: 1,
        pong_received: 2,
        ip: Some([10, 0, 0, 3].into()),
        port: 7000,
        bus_port: 17_000,
        flags: NodeFlags::REPLICA,
        secondary_port: 0,
    };
    let extensions = vec![
        Extension::Hostname("host.example".to_owned()),
        Extension::HumanNodename("seven".to_owned()),
        Extension::ForgottenNode { node: id(5), ttl: 60 },
        Extension::ShardId(id(9)),
    ];
    let slots: SlotSet = (0..5461).map(Slot::from_low_bits).collect();
    let publish = |sharded| Publish { sharded, channel: b"ch".to_vec(), message: b"msg".to_vec() };
    let ping = |kind| Body::Ping {
        kind,
        gossip: vec![gossip.clone(), gossip.clone()],
        extensions: extensions.clone(),
    };
    let bodies = [
        ping(PingKind::Ping),
        ping(PingKind::Pong),
        ping(PingKind::Meet),
        Body::Fail(id(2)),
        Body::Publish(publish(false)),
        Body::Publish(publish(true)),
        Body::AuthRequest,
        Body::AuthAck,
        Body::Update { node: id(4), config_epoch: Epoch(8), slots: Box::new(slots.clone()) },
        Body::MfStart,
        Body::Module,
        Body::Unknown(77),
    ];
    let header = Header {
        sender: id(1),
        current_epoch: Epoch(7),
        config_epoch: Epoch(6),
        offset: Offset(1 << 40),
        slots,
        primary: Some(id(2)),
        ip: Some("fe80::1".parse().expect("an address")),
        port: 7001,
        secondary_port: 7443,
        bus_port: 17_001,
        flags: NodeFlags::PRIMARY | NodeFlags::EXTENSIONS,
        cluster_ok: true,
        message_flags: MessageFlags::EXT_DATA,
    };
    let full = bodies.map(|body| encode(&Packet::Full(Box::new(header.clone()), body)));
    let light = [false, true].map(|sharded| encode(&Packet::Light(publish(sharded))));
    full.into_iter().chain(light).collect()
});

fn id(byte: u8) -> NodeId {
    NodeId::from_hex(format!("{byte:02x}").repeat(20).as_bytes()).expect("40 hexadecimal digits")
}

/// Packets: decoded alone, and framed from a stream of two.
pub fn bus_packets(bytes: &[u8]) {
    let mut vary = Vary::new(bytes);
    let keeps_length = vary.byte().is_multiple_of(4);
    let mut input = vary.input(&VALID);
    let length = (input.len() as u32).to_be_bytes();
    if let Some(field) = input.get_mut(4..8)
        && !keeps_length
    {
        field.copy_from_slice(&length);
    }
    let meter = Meter::start();
    let packet = decode(&input);
    let allowed = FIXED_BYTES + DECODED_MAX * input.len();
    assert!(meter.peak() <= allowed, "{} bytes for {}", meter.peak(), input.len());
    if let Ok(packet) = packet {
        check_packet(packet);
    }
    let second = vary.below(VALID.len());
    let stream = [&input[..], &VALID[second]].concat();
    let whole = frame(&[&stream]);
    let pieces = frame(&vary.cut(&stream));
    assert_eq!(whole.0, pieces.0, "cut differently, framed differently");
    assert_eq!(whole.1, pieces.1);
    for packet in &whole.0 {
        let _ = decode(packet);
    }
}

/// A packet that was read is written and read back. Parts that are not understood are not written.
fn check_packet(mut packet: Packet) {
    if let Packet::Full(header, Body::Ping { extensions, .. }) = &mut packet {
        extensions.retain(|extension| !matches!(extension, Extension::Other(_)));
        if extensions.is_empty() {
            header.message_flags = MessageFlags::default();
        }
    }
    let again = decode(&encode(&packet));
    assert_eq!(again.as_ref(), Ok(&packet));
}

/// The packets of a stream that comes in pieces, up to the first error.
fn frame(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Option<FrameError>) {
    let (mut framer, mut packets) = (Framer::new(), Vec::new());
    for piece in pieces {
        framer.push(piece);
        loop {
            match framer.next_packet() {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(error) => return (packets, Some(error)),
            }
        }
    }
    (packets, None)
}
