//! The limits of nodes that are not known, and the packets that end a link.

mod common;

use common::{Node, header, id, sent, three_shards};
use std::net::SocketAddr;
use tessera_cluster::bus::{Body, Gossip, Header, NodeFlags, Packet, PingKind};
use tessera_cluster::{Batch, Effect, Event, LinkId, LogTopic};
use tessera_slot::{Epoch, NodeId, SlotSet};

/// More than a node takes in at a time.
const MANY: u32 = 1600;
/// The places that a node has for each kind, and for one source.
const PLACES: usize = 64;
const PLACES_OF_ONE: usize = 40;

fn name(number: u32) -> NodeId {
    let mut bytes = [0x77; 20];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    NodeId(bytes)
}

fn ping(kind: PingKind) -> Body {
    Body::Ping { kind, gossip: Vec::new(), extensions: Vec::new() }
}

fn invented(number: u32) -> Gossip {
    Gossip {
        node: name(number),
        ping_sent: 0,
        pong_received: 0,
        ip: Some((0x0a00_0000 + number).to_be_bytes().into()),
        port: 7000,
        bus_port: 17_000,
        flags: NodeFlags::PRIMARY,
        secondary_port: 0,
    }
}

/// A stranger with an address of its own.
fn stranger(number: u32) -> Header {
    let address = invented(number);
    Header {
        sender: address.node,
        ip: address.ip,
        port: address.port,
        bus_port: address.bus_port,
        slots: SlotSet::EMPTY,
        config_epoch: Epoch(0),
        ..header(3)
    }
}

/// A link that a stranger at this address has opened.
fn accept_from(node: &mut Node, number: u64, host: u8) -> LinkId {
    let link = LinkId::Accepted(1000 + number);
    let peer = SocketAddr::from(([10, 1, 1, host], 50_000));
    let local = "127.0.0.1:17000".parse().expect("an address");
    node.handle(Event::LinkAccepted { link, peer, local });
    link
}

fn effects(batches: &[Batch]) -> Vec<Effect> {
    batches.iter().flat_map(|batch| batch.then.clone()).collect()
}

fn opened(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::OpenLink { .. })).count()
}

fn closed(effects: &[Effect]) -> Vec<LinkId> {
    let links = effects.iter().filter_map(|effect| match effect {
        Effect::CloseLink { link } => Some(*link),
        _ => None,
    });
    links.collect()
}

/// A node of three shards that has its links.
fn node() -> Node {
    let mut node = Node::from_conf(&three_shards(1));
    node.connect_all();
    node.effects();
    node
}

#[test]
fn a_flood_of_introductions_takes_few_links_and_no_file() {
    let mut node = node();
    // From one address on a link each, then from many.
    for (hosts, places) in [(1, PLACES_OF_ONE), (200, PLACES)] {
        let mut all = Vec::new();
        for number in 0..MANY {
            let number = number + hosts * MANY;
            let host = (number % hosts) as u8;
            let link = accept_from(&mut node, u64::from(number), host);
            node.receive(link, stranger(number), ping(PingKind::Meet));
            all.extend(node.batches());
        }
        assert!(all.iter().all(|batch| batch.save.is_none()), "nothing of it is to be kept");
        let effects = effects(&all);
        assert!(opened(&effects) <= places, "{}", opened(&effects));
        assert_eq!(sent(&effects).len(), MANY as usize, "each one is answered");
        let handshakes = node.command("nodes");
        let shown = format!("{handshakes:?}").matches("handshake").count();
        assert_eq!(shown, places);
    }
    // A node that the operator asks for has its place nevertheless.
    node.command("meet 10.9.9.9 7000");
    assert_eq!(opened(&node.effects()), 1);
    // If no node answers, the places are free again.
    node.pass(2200);
    node.effects();
    let link = accept_from(&mut node, 1, 1);
    node.receive(link, stranger(1), ping(PingKind::Meet));
    assert_eq!(opened(&node.effects()), 1);
}

#[test]
fn a_link_brings_one_guest() {
    let mut node = node();
    let link = node.accept();
    for number in 0..MANY {
        // By the same name, from ever other addresses.
        let moved = Header { sender: name(1), ..stranger(number) };
        node.receive(link, moved, ping(PingKind::Meet));
    }
    assert_eq!(opened(&node.effects()), 1);
}

#[test]
fn links_to_nodes_that_do_not_answer_are_tried_ever_less_often() {
    let mut node = node();
    let link = node.accept();
    node.receive(link, stranger(1), ping(PingKind::Meet));
    let mut attempts = 0;
    for _ in 0..20 {
        let effects = node.effects();
        for effect in &effects {
            if let Effect::OpenLink { link, .. } = effect {
                attempts += 1;
                let reason = tessera_cluster::LinkDownReason::Refused;
                node.handle(Event::LinkDown { link: *link, reason });
            }
        }
        node.pass(100);
    }
    assert!((3..=8).contains(&attempts), "{attempts} in two seconds");
}

#[test]
fn a_packet_full_of_invented_nodes_takes_few_places_and_is_not_told_on() {
    let mut node = node();
    let gossip: Vec<Gossip> = (0..MANY).map(invented).collect();
    let body = || Body::Ping { kind: PingKind::Ping, gossip: gossip.clone(), extensions: vec![] };
    let link = node.accept();
    for _ in 0..10 {
        node.receive(link, header(2), body());
    }
    node.pass(100);
    assert_eq!(opened(&node.effects()), PLACES_OF_ONE);
    let other = node.accept();
    node.receive(other, header(3), body());
    node.pass(100);
    let effects = node.effects();
    assert_eq!(opened(&effects), PLACES - PLACES_OF_ONE);
    // Hearsay goes no further.
    node.pass(3000);
    for (_, packet) in sent(&node.effects()) {
        let Packet::Full(_, Body::Ping { gossip, .. }) = packet else { continue };
        assert!(gossip.iter().all(|entry| entry.node.0[4] != 0x77), "{gossip:?}");
    }
    // A node that has not answered in its time gives way to a later one.
    let link = node.accept();
    let later = vec![invented(MANY + 1)];
    let body = Body::Ping { kind: PingKind::Ping, gossip: later, extensions: vec![] };
    node.receive(link, header(2), body);
    assert!(node.cluster.snapshot().member(name(MANY + 1)).is_some());
}

#[test]
fn a_hundred_nodes_that_gossip_tells_of_are_all_found() {
    let mut node = node();
    let gossip: Vec<Gossip> = (0..100).map(invented).collect();
    let link = node.accept();
    for _ in 0..4 {
        let body = Body::Ping { kind: PingKind::Ping, gossip: gossip.clone(), extensions: vec![] };
        node.receive(link, header(2), body);
        // They answer at once.
        for (link, addr) in node.connect_all() {
            let number = (0..100).find(|number| invented(*number).ip == Some(addr.ip()));
            if let Some(number) = number {
                node.receive(link, stranger(number), ping(PingKind::Pong));
            }
        }
    }
    assert_eq!(node.cluster.snapshot().members.len(), 104);
}

#[test]
fn what_a_stranger_tells_is_not_read_and_it_is_told_nothing() {
    let mut node = node();
    for kind in [PingKind::Ping, PingKind::Pong, PingKind::Meet] {
        let link = node.accept();
        let gossip = (0..MANY).map(|number| invented(number + 10)).collect();
        node.receive(link, stranger(1), Body::Ping { kind, gossip, extensions: vec![] });
        for (_, packet) in sent(&node.effects()) {
            let Packet::Full(_, Body::Ping { gossip, .. }) = packet else { continue };
            assert_eq!(gossip, [], "{kind:?}");
        }
        assert_eq!(node.cluster.snapshot().members.len(), 4, "{kind:?}");
    }
}

#[test]
fn a_node_that_was_turned_away_introduces_itself_again() {
    let mut node = node();
    node.command("meet 10.0.0.9 7000");
    let [(link, _)] = node.connect_all()[..] else { panic!("one link is opened") };
    let meets = |node: &mut Node| {
        let effects = node.effects();
        let packets = sent(&effects).into_iter().filter(|(to, packet)| {
            let body = Body::Ping { kind: PingKind::Meet, gossip: vec![], extensions: vec![] };
            let Packet::Full(_, sent) = packet else { return false };
            *to == link
                && std::mem::discriminant(sent) == std::mem::discriminant(&body)
                && matches!(sent, Body::Ping { kind: PingKind::Meet, .. })
        });
        packets.count()
    };
    assert_eq!(meets(&mut node), 1);
    let peer = stranger(9);
    node.receive(link, peer.clone(), ping(PingKind::Pong));
    // It answers, but opens no link of its own.
    for _ in 0..11 {
        node.pass(100);
        node.receive(link, peer.clone(), ping(PingKind::Pong));
    }
    assert_eq!(meets(&mut node), 1);
    // Once it does, that is the end of it.
    let inbound = node.accept();
    node.receive(inbound, peer.clone(), ping(PingKind::Ping));
    for _ in 0..60 {
        node.pass(100);
        node.receive(link, peer.clone(), ping(PingKind::Pong));
    }
    assert_eq!(meets(&mut node), 0);
}

#[test]
fn a_link_whose_sender_changes_its_name_is_closed() {
    for (first, second) in
        [(header(2), header(3)), (stranger(1), header(2)), (header(2), stranger(1))]
    {
        let mut node = node();
        let link = node.accept();
        node.receive(link, first, ping(PingKind::Ping));
        assert_eq!(closed(&node.effects()), []);
        node.receive(link, second, ping(PingKind::Ping));
        assert_eq!(closed(&node.effects()), [link]);
    }
    // By its own name too.
    let mut node = node();
    let link = node.accept();
    node.receive(link, header(2), ping(PingKind::Ping));
    node.effects();
    node.receive(link, header(1), ping(PingKind::Ping));
    assert_eq!(closed(&node.effects()), [link]);
}

#[test]
fn a_packet_that_is_none_closes_its_link_and_its_line_is_limited() {
    let mut node = node();
    let link = node.accept();
    let bytes = [b"RCmb".as_slice(), &40u32.to_be_bytes(), &[0xff; 32]].concat();
    node.handle(Event::Packet { link, bytes: bytes.clone() });
    let effects = node.effects();
    assert_eq!(closed(&effects), [link]);
    let lines = effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Log { topic: Some(LogTopic::Packet), .. }));
    assert_eq!(lines.count(), 1);
    // Packets behind it on that link are not looked at.
    node.handle(Event::Packet { link, bytes });
    assert_eq!(node.effects(), []);
    // A type that later versions may have is no fault.
    let link = node.accept();
    node.receive(link, header(2), Body::Unknown(99));
    assert_eq!(closed(&node.effects()), []);
}

#[test]
fn no_packet_brings_epochs_near_their_end() {
    let jump = 1u64 << 32;
    let with = |current: u64, config: u64| Header {
        current_epoch: Epoch(current),
        config_epoch: Epoch(config),
        ..header(2)
    };
    let update = |epoch| Body::Update {
        node: id(2),
        config_epoch: Epoch(epoch),
        slots: Box::new(header(2).slots),
    };
    for (header, body) in [
        (with(u64::MAX, 2), ping(PingKind::Ping)),
        (with(4, u64::MAX), ping(PingKind::Ping)),
        (with(u64::MAX, u64::MAX), Body::AuthRequest),
        (with(5 + jump, 2), ping(PingKind::Ping)),
        (with(4, 2), update(u64::MAX)),
        (with(4, 2), update(5 + jump)),
    ] {
        let mut node = node();
        let link = node.accept();
        node.receive(link, header, body);
        assert_eq!(closed(&node.effects()), [link]);
        assert_eq!(node.cluster.snapshot().current_epoch, Epoch(4));
    }
    // A jump as large as clusters that were apart for long may bring is taken, but not again and
    // again.
    let mut node = node();
    let link = node.accept();
    node.receive(link, with(4 + jump, 2), ping(PingKind::Ping));
    assert_eq!(node.cluster.snapshot().current_epoch, Epoch(4 + jump));
    node.receive(link, with(4 + 2 * jump, 2), ping(PingKind::Ping));
    assert_eq!(node.cluster.snapshot().current_epoch, Epoch(4 + jump));
    assert_eq!(closed(&node.effects()), [link]);
}

#[test]
fn a_new_node_takes_over_the_epoch_of_an_old_cluster() {
    let mut node = Node::fresh();
    node.command("meet 10.0.0.9 7000");
    let [(link, _)] = node.connect_all()[..] else { panic!("one link is opened") };
    let old = Header { current_epoch: Epoch(1 << 40), ..stranger(9) };
    node.receive(link, old.clone(), ping(PingKind::Pong));
    node.receive(link, old, ping(PingKind::Pong));
    assert_eq!(node.cluster.snapshot().current_epoch, Epoch(1 << 40));
}

#[test]
fn commands_do_not_bring_epochs_near_their_end() {
    let mut node = Node::fresh();
    for number in [u64::MAX, i64::MAX as u64, (1 << 32) + 1] {
        let error = node.error(&format!("set-config-epoch {number}"));
        assert!(error.starts_with("ERR "), "{error}");
    }
    assert_eq!(format!("{:?}", node.command("set-config-epoch 4294967296")), "Simple(\"OK\")");
    let highest = Epoch::HIGHEST;
    let text = three_shards(1).replace("currentEpoch 4", &format!("currentEpoch {highest}"));
    let mut node = Node::from_conf(&text);
    node.command("bumpepoch");
    assert_eq!(node.cluster.snapshot().current_epoch, highest);
    node.cluster.validate();
}
