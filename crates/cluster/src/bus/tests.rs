//! The codec is its own inverse, and no input makes it panic.

use super::*;
use proptest::prelude::*;
use tessera_slot::Slot;

fn ids() -> impl Strategy<Value = NodeId> {
    any::<[u8; 20]>().prop_map(NodeId)
}

fn addresses() -> impl Strategy<Value = Option<IpAddr>> {
    proptest::option::of(any::<IpAddr>())
}

fn slot_sets() -> impl Strategy<Value = SlotSet> {
    proptest::collection::vec(any::<u16>(), 0..40)
        .prop_map(|bits| bits.into_iter().map(Slot::from_low_bits).collect())
}

fn headers() -> impl Strategy<Value = Header> {
    // EXT_DATA stays set: without it the codec leaves no room for extensions.
    let flags = (any::<u16>(), any::<u8>(), any::<bool>());
    let ports = any::<(u16, u16, u16)>();
    let numbers = any::<(u64, u64, u64)>();
    // A primary of all zero bytes stands for none only in its 40 bytes of text, not as a name.
    (ids(), numbers, slot_sets(), proptest::option::of(ids()), addresses(), ports, flags).prop_map(
        |(sender, numbers, slots, primary, ip, ports, (flags, message_flags, cluster_ok))| Header {
            sender,
            current_epoch: Epoch(numbers.0),
            config_epoch: Epoch(numbers.1),
            offset: Offset(numbers.2),
            slots,
            primary,
            ip,
            port: ports.0,
            secondary_port: ports.1,
            bus_port: ports.2,
            flags: NodeFlags(flags),
            cluster_ok,
            message_flags: MessageFlags(message_flags | MessageFlags::EXT_DATA.0),
        },
    )
}

fn gossips() -> impl Strategy<Value = Gossip> {
    (ids(), any::<(u32, u32)>(), addresses(), any::<(u16, u16, u16, u16)>()).prop_map(
        |(node, times, ip, numbers)| Gossip {
            node,
            ping_sent: times.0,
            pong_received: times.1,
            ip,
            port: numbers.0,
            bus_port: numbers.1,
            flags: NodeFlags(numbers.2),
            secondary_port: numbers.3,
        },
    )
}

fn extensions() -> impl Strategy<Value = Extension> {
    prop_oneof![
        "[a-z0-9.-]{0,60}".prop_map(Extension::Hostname),
        "[a-z0-9.-]{0,60}".prop_map(Extension::HumanNodename),
        (ids(), any::<u64>()).prop_map(|(node, ttl)| Extension::ForgottenNode { node, ttl }),
        ids().prop_map(Extension::ShardId),
        (4u16..).prop_map(Extension::Other),
    ]
}

fn publishes() -> impl Strategy<Value = Publish> {
    (any::<bool>(), any::<Vec<u8>>(), any::<Vec<u8>>())
        .prop_map(|(sharded, channel, message)| Publish { sharded, channel, message })
}

fn bodies() -> impl Strategy<Value = Body> {
    let kind = prop_oneof![Just(PingKind::Ping), Just(PingKind::Pong), Just(PingKind::Meet)];
    let gossip = proptest::collection::vec(gossips(), 0..5);
    let extensions = proptest::collection::vec(extensions(), 0..4);
    prop_oneof![
        (kind, gossip, extensions).prop_map(|(kind, gossip, extensions)| Body::Ping {
            kind,
            gossip,
            extensions
        }),
        ids().prop_map(Body::Fail),
        publishes().prop_map(Body::Publish),
        Just(Body::AuthRequest),
        Just(Body::AuthAck),
        Just(Body::MfStart),
        Just(Body::Module),
        (11u16..0x8000).prop_map(Body::Unknown),
        (ids(), any::<u64>(), slot_sets()).prop_map(|(node, epoch, slots)| Body::Update {
            node,
            config_epoch: Epoch(epoch),
            slots: Box::new(slots),
        }),
    ]
}

fn packets() -> impl Strategy<Value = Packet> {
    prop_oneof![
        (headers(), bodies()).prop_map(|(header, body)| Packet::Full(Box::new(header), body)),
        publishes().prop_map(Packet::Light),
    ]
}

proptest! {
    #[test]
    fn decoding_undoes_encoding(packet in packets()) {
        prop_assert_eq!(decode(&encode(&packet)), Ok(packet));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn damaged_packets_never_panic(
        packet in packets(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<prop::sample::Index>(),
        fix_length in any::<bool>(),
    ) {
        let mut bytes = encode(&packet);
        for (index, byte) in damage {
            let length = bytes.len();
            bytes[index.index(length)] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        if fix_length && bytes.len() >= 8 {
            let length = bytes.len() as u32;
            bytes[4..8].copy_from_slice(&length.to_be_bytes());
        }
        let _ = decode(&bytes);
    }
}

#[test]
fn a_name_that_could_break_nodes_conf_is_read_without_what_would() {
    for (sent, read) in [
        ("a b", "a?b"),
        ("a\nb", "a?b"),
        ("a,b", "a?b"),
        ("a=b", "a?b"),
        ("\"a'", "?a?"),
        ("caf\u{e9}", "caf\u{e9}"),
    ] {
        let ping = |name: &str| {
            let extensions = vec![Extension::HumanNodename(name.to_owned())];
            let body = Body::Ping { kind: PingKind::Ping, gossip: vec![], extensions };
            Packet::Full(Box::new(sample_header()), body)
        };
        assert_eq!(decode(&encode(&ping(sent))), Ok(ping(read)), "{sent:?}");
    }
}

#[test]
fn the_length_field_must_be_the_length() {
    let bytes = encode(&Packet::Full(Box::new(sample_header()), Body::AuthAck));
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(decode(&longer), Err(DecodeError::Length));
    let length = longer.len() as u32;
    longer[4..8].copy_from_slice(&length.to_be_bytes());
    assert_eq!(decode(&longer), Err(DecodeError::Length));
    assert_eq!(decode(&bytes[..100]), Err(DecodeError::Length));
}

fn sample_header() -> Header {
    Header {
        sender: NodeId([1; 20]),
        current_epoch: Epoch(1),
        config_epoch: Epoch(1),
        offset: Offset(0),
        slots: SlotSet::EMPTY,
        primary: None,
        ip: None,
        port: 7000,
        secondary_port: 0,
        bus_port: 17_000,
        flags: NodeFlags::PRIMARY,
        cluster_ok: true,
        message_flags: MessageFlags::EXT_DATA,
    }
}
