//! A vote leaves a node only behind a durable nodes.conf, and only once in an epoch.

mod common;

use common::{Node, header, id, sent, three_shards};
use tessera_cluster::Effect;
use tessera_cluster::bus::{Body, Header, MessageFlags, Packet, PingKind};
use tessera_slot::Epoch;

/// Node 2, with its links up, to which node 1 has failed.
fn voter() -> Node {
    let mut node = Node::from_conf(&three_shards(2));
    node.connect_all();
    let link = node.accept();
    node.receive(link, header(3), Body::Fail(id(1)));
    node.batches();
    node
}

fn request(epoch: u64) -> Header {
    Header { current_epoch: Epoch(epoch), ..header(4) }
}

fn votes(effects: &[Effect]) -> usize {
    let is_vote = |packet: &Packet| matches!(packet, Packet::Full(_, Body::AuthAck));
    sent(effects).iter().filter(|(_, packet)| is_vote(packet)).count()
}

#[test]
fn a_vote_waits_for_the_disk() {
    let mut node = voter();
    let link = node.accept();
    node.receive(link, request(5), Body::AuthRequest);
    let batches = node.batches();
    let batch = batches.iter().find(|batch| votes(&batch.then) == 1).expect("it votes");
    let save = batch.save.as_ref().expect("a vote is saved");
    assert!(save.durable);
    assert!(save.text.contains("vars currentEpoch 5 lastVoteEpoch 5"), "{}", save.text);
}

#[test]
fn no_vote_without_cause() {
    type Change = fn(&mut Header);
    let cases: [(&str, Change); 4] = [
        ("an old epoch", |header| header.current_epoch = Epoch(3)),
        ("a stale claim", |header| header.slots = common::header(2).slots),
        ("from a primary", |header| header.sender = id(3)),
        ("from a stranger", |header| header.sender = id(9)),
    ];
    for (name, change) in cases {
        let mut node = voter();
        let link = node.accept();
        let mut header = request(5);
        change(&mut header);
        node.receive(link, header, Body::AuthRequest);
        assert_eq!(votes(&node.effects()), 0, "{name}");
    }
    let mut node = Node::from_conf(&three_shards(2));
    node.connect_all();
    let link = node.accept();
    node.receive(link, request(5), Body::AuthRequest);
    assert_eq!(votes(&node.effects()), 0, "its primary is up");
    let mut forced = request(6);
    forced.message_flags = MessageFlags::FORCE_ACK;
    node.receive(link, forced, Body::AuthRequest);
    assert_eq!(votes(&node.effects()), 1, "a manual failover needs no failure");
}

#[test]
fn one_vote_an_epoch_and_a_pause_for_each_primary() {
    let mut node = voter();
    let link = node.accept();
    node.receive(link, request(5), Body::AuthRequest);
    assert_eq!(votes(&node.effects()), 1);
    node.receive(link, request(5), Body::AuthRequest);
    assert_eq!(votes(&node.effects()), 0, "twice in one epoch");
    node.receive(link, request(6), Body::AuthRequest);
    assert_eq!(votes(&node.effects()), 0, "too soon after the last one about this primary");
    node.now += 4001;
    node.receive(link, request(7), Body::AuthRequest);
    assert_eq!(votes(&node.effects()), 1);
}

#[test]
fn a_claim_with_a_higher_epoch_takes_the_slots_and_demotes() {
    let mut node = Node::from_conf(&three_shards(1));
    node.connect_all();
    node.batches();
    let link = node.accept();
    let mut winner = Header { primary: None, config_epoch: Epoch(9), ..header(4) };
    winner.current_epoch = Epoch(9);
    let ping = || Body::Ping { kind: PingKind::Ping, gossip: vec![], extensions: vec![] };
    node.receive(link, winner, ping());
    let batches = node.batches();
    let followed =
        |effect: &Effect| matches!(effect, Effect::Follow { primary, .. } if *primary == id(4));
    let batch = batches.iter().find(|batch| batch.then.iter().any(followed));
    assert!(batch.expect("it follows the winner").save.as_ref().is_some_and(|save| save.durable));
    assert!(node.cluster.claims().slots.is_empty());
}

#[test]
fn a_stale_claim_is_answered_by_updates() {
    let mut node = Node::from_conf(&three_shards(2));
    node.connect_all();
    node.batches();
    let link = node.accept();
    let mut stale = header(3);
    stale.slots = header(2).slots;
    stale.config_epoch = Epoch(1);
    let ping = Body::Ping { kind: PingKind::Ping, gossip: vec![], extensions: vec![] };
    node.receive(link, stale, ping);
    let effects = node.effects();
    let updates = sent(&effects).into_iter().filter_map(|(_, packet)| match packet {
        Packet::Full(_, Body::Update { node, config_epoch, .. }) => Some((node, config_epoch)),
        _ => None,
    });
    assert_eq!(updates.collect::<Vec<_>>(), [(id(2), Epoch(2)), (id(3), Epoch(3))]);
}
