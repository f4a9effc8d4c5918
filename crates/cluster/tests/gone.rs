//! A node's process counts as gone only if its own host says so.

mod common;

use common::{Node, header, id, sent, three_shards};
use tessera_cluster::bus::{Body, Packet, PingKind};
use tessera_cluster::{Effect, Event, LinkDownReason, LinkId};

/// Node 2, with a link to each other node, which has answered; and the link to node 1.
fn settled() -> (Node, LinkId) {
    let mut node = Node::from_conf(&three_shards(2));
    let links = node.connect_all();
    for (link, addr) in &links {
        let byte = (addr.port() - 17_000) as u8;
        let pong = Body::Ping { kind: PingKind::Pong, gossip: vec![], extensions: vec![] };
        node.receive(*link, header(byte), pong);
    }
    node.pass(500);
    node.batches();
    let to_first = links.iter().find(|(_, addr)| addr.port() == 17_001);
    (node, to_first.expect("it is linked to all").0)
}

fn opened(node: &mut Node, port: u16) -> Option<LinkId> {
    node.effects().into_iter().find_map(|effect| match effect {
        Effect::OpenLink { link, addr } if addr.port() == port => Some(link),
        _ => None,
    })
}

/// Refuses every connection to node 1 for a second; true if its process is taken for gone.
fn is_gone_when_refused(node: &mut Node) -> bool {
    let mut open = opened(node, 17_001);
    for _ in 0..10 {
        if let Some(link) = open {
            node.handle(Event::LinkDown { link, reason: LinkDownReason::Refused });
        }
        node.pass(100);
        open = opened(node, 17_001);
    }
    let nodes = node.cluster.snapshot();
    nodes.member(id(1)).expect("it is known").flags.contains("fail?")
}

#[test]
fn a_node_that_hung_up_and_is_refused_is_gone() {
    let (mut node, link) = settled();
    node.handle(Event::LinkDown { link, reason: LinkDownReason::Eof });
    assert!(is_gone_when_refused(&mut node));
}

#[test]
fn a_node_that_a_firewall_resets_and_refuses_is_not() {
    let (mut node, link) = settled();
    node.handle(Event::LinkDown { link, reason: LinkDownReason::Reset });
    assert!(!is_gone_when_refused(&mut node));
}

#[test]
fn a_node_that_can_still_be_heard_is_not_and_is_asked() {
    let (mut node, link) = settled();
    let inbound = node.accept();
    let ping = Body::Ping { kind: PingKind::Ping, gossip: vec![], extensions: vec![] };
    node.receive(inbound, header(1), ping);
    node.batches();
    node.handle(Event::LinkDown { link, reason: LinkDownReason::Eof });
    let refused = opened(&mut node, 17_001).expect("it tries again");
    node.handle(Event::LinkDown { link: refused, reason: LinkDownReason::Refused });
    let asked = sent(&node.effects()).into_iter().any(|(link, packet)| {
        let is_ping = matches!(packet, Packet::Full(_, Body::Ping { kind: PingKind::Ping, .. }));
        link == inbound && is_ping
    });
    assert!(asked, "its own link is tried");
    node.pass(100);
    assert!(!is_gone_when_refused(&mut node));

    // When that link ends too, then it is gone.
    node.handle(Event::LinkDown { link: inbound, reason: LinkDownReason::Reset });
    node.pass(100);
    assert!(is_gone_when_refused(&mut node));
}

#[test]
fn a_connection_that_comes_about_while_a_process_is_torn_down_is_no_sign_of_life() {
    let (mut node, link) = settled();
    node.handle(Event::LinkDown { link, reason: LinkDownReason::Eof });
    let late = opened(&mut node, 17_001).expect("it tries again at once");
    let local = "127.0.0.1:40000".parse().expect("an address");
    node.handle(Event::LinkConnected { link: late, local });
    node.handle(Event::LinkDown { link: late, reason: LinkDownReason::Reset });
    node.pass(100);
    assert!(is_gone_when_refused(&mut node));
}
