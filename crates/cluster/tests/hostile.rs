//! Peers may say anything, in any order: no panic follows, and the node's own invariants hold.

mod common;

use common::{Node, header, id, three_shards};
use proptest::prelude::*;
use std::collections::HashMap;
use tessera_cluster::bus::{
    Body, Extension, Gossip, Header, MessageFlags, NodeFlags, PingKind, Publish,
};
use tessera_cluster::{Effect, Event, LinkDownReason, LinkId, PrimaryLink};
use tessera_slot::{Epoch, Millis, NodeId, Offset, Slot, SlotSet};

/// Mostly known names, sometimes a stranger's.
fn names() -> impl Strategy<Value = NodeId> {
    (1u8..7).prop_map(id)
}

fn epochs() -> impl Strategy<Value = Epoch> {
    prop_oneof![
        18 => (0u64..12).prop_map(Epoch),
        1 => Just(Epoch(1 << 31)),
        1 => Just(Epoch(u64::MAX)),
    ]
}

fn slot_sets() -> impl Strategy<Value = SlotSet> {
    (0u16..16_384, 0u16..9000).prop_map(|(start, length)| {
        (start..start.saturating_add(length).min(16_384)).map(Slot::from_low_bits).collect()
    })
}

fn headers() -> impl Strategy<Value = Header> {
    let primary = proptest::option::weighted(0.4, names());
    (1u8..7, (epochs(), epochs()), slot_sets(), any::<bool>(), primary, any::<(u16, u8, bool)>())
        .prop_map(|(sender, (current, config), slots, usual, primary, (flags, message, moved))| {
            let mut made = header(sender.min(4));
            made.sender = id(sender);
            made.current_epoch = current;
            made.config_epoch = config;
            made.flags = NodeFlags(flags);
            made.message_flags = MessageFlags(message);
            if !usual {
                made.slots = slots;
                made.primary = primary;
            }
            if moved {
                made.port = made.port.wrapping_add(1);
            }
            made
        })
}

fn gossips() -> impl Strategy<Value = Gossip> {
    (names(), any::<(u16, u8)>()).prop_map(|(node, (flags, host))| Gossip {
        node,
        ping_sent: 0,
        pong_received: 0,
        ip: Some([127, 0, 0, host].into()),
        port: 7000,
        bus_port: 17_000,
        flags: NodeFlags(flags),
        secondary_port: 0,
    })
}

fn bodies() -> impl Strategy<Value = Body> {
    let kind = prop_oneof![Just(PingKind::Ping), Just(PingKind::Pong), Just(PingKind::Meet)];
    let extension = prop_oneof![
        names().prop_map(Extension::ShardId),
        names().prop_map(|node| Extension::ForgottenNode { node, ttl: u64::MAX }),
        Just(Extension::Hostname("h".to_owned())),
    ];
    let gossip = proptest::collection::vec(gossips(), 0..4);
    let extensions = proptest::collection::vec(extension, 0..2);
    prop_oneof![
        8 => (kind, gossip, extensions)
            .prop_map(|(kind, gossip, extensions)| Body::Ping { kind, gossip, extensions }),
        1 => names().prop_map(Body::Fail),
        1 => Just(Body::AuthRequest),
        1 => Just(Body::AuthAck),
        1 => Just(Body::MfStart),
        2 => (names(), epochs(), slot_sets()).prop_map(|(node, config_epoch, slots)| {
            Body::Update { node, config_epoch, slots: Box::new(slots) }
        }),
        1 => Just(Body::Publish(Publish { sharded: true, channel: vec![1], message: vec![] })),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Packet { link: usize, header: Box<Header>, body: Body },
    Accept,
    Pass(u64),
    ConnectAll,
    Down { link: usize, reason: LinkDownReason },
    Command(String),
    Paused(u64),
    Offset(u64),
    Primary(bool),
}

fn commands() -> impl Strategy<Value = String> {
    let fixed = prop_oneof![
        Just("failover"),
        Just("failover force"),
        Just("failover takeover"),
        Just("reset"),
        Just("reset hard"),
        Just("bumpepoch"),
        Just("flushslots"),
        Just("addslots 1 2 3"),
        Just("delslots 1 2 3"),
        Just("nodes"),
        Just("slots"),
        Just("shards"),
        Just("links"),
        Just("info"),
    ];
    let on_node = prop_oneof![
        Just("forget"),
        Just("replicate"),
        Just("setslot 5 migrating"),
        Just("setslot 6000 importing"),
        Just("setslot 5 node"),
        Just("setslot 6000 node"),
    ];
    prop_oneof![
        fixed.prop_map(str::to_owned),
        (on_node, names()).prop_map(|(command, node)| format!("{command} {node}")),
        (1u8..5).prop_map(|host| format!("meet 127.0.0.{host} 7000")),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let reasons = prop_oneof![
        Just(LinkDownReason::Refused),
        Just(LinkDownReason::Reset),
        Just(LinkDownReason::Eof),
    ];
    prop_oneof![
        10 => (any::<usize>(), headers(), bodies()).prop_map(|(link, header, body)| {
            Step::Packet { link, header: Box::new(header), body }
        }),
        2 => Just(Step::Accept),
        2 => prop_oneof![Just(100), Just(400), Just(3000)].prop_map(Step::Pass),
        2 => Just(Step::ConnectAll),
        2 => (any::<usize>(), reasons).prop_map(|(link, reason)| Step::Down { link, reason }),
        2 => commands().prop_map(Step::Command),
        1 => (0u64..200).prop_map(Step::Paused),
        1 => (0u64..200).prop_map(Step::Offset),
        1 => any::<bool>().prop_map(Step::Primary),
    ]
}

/// The link for a packet of this sender. Mostly a link over which no other node has spoken: any
/// other is closed.
fn link_for(
    node: &mut Node,
    links: &mut Vec<LinkId>,
    speakers: &mut HashMap<LinkId, NodeId>,
    choice: usize,
    sender: NodeId,
) -> LinkId {
    let fits = |link: &&LinkId| speakers.get(*link).is_none_or(|name| *name == sender);
    let fitting: Vec<LinkId> = links.iter().filter(fits).copied().collect();
    let among = if choice.is_multiple_of(16) { links.clone() } else { fitting };
    let link = match among.get(choice / 16 % among.len().max(1)) {
        Some(link) => *link,
        None => {
            links.push(node.accept());
            *links.last().expect("just added")
        }
    };
    speakers.entry(link).or_insert(sender);
    link
}

fn take(
    node: &mut Node,
    links: &mut Vec<LinkId>,
    speakers: &mut HashMap<LinkId, NodeId>,
    step: Step,
) {
    match step {
        Step::Packet { link, header, body } => {
            let link = link_for(node, links, speakers, link, header.sender);
            node.receive(link, *header, body);
        }
        Step::Accept => links.push(node.accept()),
        Step::Pass(millis) => node.pass(millis),
        Step::ConnectAll => links.extend(node.connect_all().into_iter().map(|(link, _)| link)),
        Step::Down { link, reason } if !links.is_empty() => {
            let link = links.remove(link % links.len());
            node.handle(Event::LinkDown { link, reason });
        }
        Step::Down { .. } => {}
        Step::Command(line) => drop(node.command(&line)),
        Step::Paused(offset) => node.handle(Event::WritesPaused { offset: Offset(offset) }),
        Step::Offset(offset) => node.handle(Event::ReplicationOffset(Offset(offset))),
        Step::Primary(up) => {
            let down = PrimaryLink::Down { since: None };
            let heard = Millis(node.now);
            node.handle(Event::PrimaryLink(if up { PrimaryLink::Up { heard } } else { down }));
        }
    }
    node.cluster.validate();
}

/// Looks at what the node does: links that it has closed carry nothing any more, and what it writes
/// it must be able to read.
fn forget_closed(node: &mut Node, links: &mut Vec<LinkId>, speakers: &mut HashMap<LinkId, NodeId>) {
    let batches = node.batches();
    for effect in batches.iter().flat_map(|batch| &batch.then) {
        if let Effect::CloseLink { link } = effect {
            links.retain(|known| known != link);
            speakers.remove(link);
        }
    }
    let saves = batches.into_iter().filter_map(|batch| batch.save);
    if let Some(save) = saves.last() {
        let restarted = tessera_cluster::Cluster::new(
            common::config(),
            Some(&save.text),
            common::at(node.now),
            9,
        );
        let restarted = restarted.unwrap_or_else(|error| panic!("{error}\n{}", save.text));
        restarted.validate();
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn nothing_that_is_said_breaks_a_node(
        me in 1u8..5,
        steps in proptest::collection::vec(steps(), 1..80),
    ) {
        let mut node = Node::from_conf(&three_shards(me));
        let (mut links, mut speakers) = (vec![node.accept()], HashMap::new());
        for step in steps {
            take(&mut node, &mut links, &mut speakers, step);
            forget_closed(&mut node, &mut links, &mut speakers);
        }
    }
}

/// The links of which the driver is told that their node is known.
fn known(effects: &[Effect]) -> Vec<LinkId> {
    let links = effects.iter().filter_map(|effect| match effect {
        Effect::LinkKnown { link } => Some(*link),
        _ => None,
    });
    links.collect()
}

#[test]
fn a_link_is_known_once_its_node_is() {
    let ping = |kind| Body::Ping { kind, gossip: Vec::new(), extensions: Vec::new() };
    let mut node = Node::from_conf(&three_shards(1));
    node.connect_all();
    node.effects();

    // A stranger stays one, also while it introduces itself.
    let link = node.accept();
    let stranger = Header { sender: id(9), ..header(3) };
    node.receive(link, stranger.clone(), ping(PingKind::Ping));
    assert_eq!(known(&node.effects()), []);
    node.receive(link, Header { slots: SlotSet::EMPTY, ..stranger }, ping(PingKind::Meet));
    assert_eq!(known(&node.effects()), []);

    // A known node's link is known from its first packet on; that is told once.
    let link = node.accept();
    node.receive(link, header(2), ping(PingKind::Ping));
    assert_eq!(known(&node.effects()), [link]);
    node.receive(link, header(2), ping(PingKind::Ping));
    assert_eq!(known(&node.effects()), []);
}
