//! `cluster-replica-validity-factor`: what is too old to stand for election.

mod common;

use common::{Node, header, id, three_shards};
use tessera_cluster::bus::Body;
use tessera_cluster::{Event, PrimaryLink};
use tessera_slot::Millis;

/// Node 4, whose primary has failed when this was its link; whether it asks for votes.
fn stands(link: impl FnOnce(u64) -> PrimaryLink) -> bool {
    let mut node = Node::from_conf(&three_shards(4));
    node.connect_all();
    node.pass(60_000);
    node.handle(Event::PrimaryLink(link(node.now)));
    node.batches();
    let from = node.accept();
    node.receive(from, header(2), Body::Fail(id(1)));
    node.pass(1000);
    // Every attempt takes a new epoch.
    node.cluster.claims().current_epoch > header(2).current_epoch
}

#[test]
fn the_silence_of_a_link_that_is_up_counts() {
    // The node timeout is 2 s: 10 s between pings, ten timeouts, and one more.
    assert!(stands(|now| PrimaryLink::Up { heard: Millis(now - 30_000) }));
    assert!(!stands(|now| PrimaryLink::Up { heard: Millis(now - 35_000) }));
    assert!(stands(|now| PrimaryLink::Down { since: Some(Millis(now - 30_000)) }));
    assert!(!stands(|now| PrimaryLink::Down { since: Some(Millis(now - 35_000)) }));
}
