//! Who decides that a node has failed, how long reports count, and who comes back when.

use super::*;
use crate::LinkId;
use crate::links::Links;
use crate::testing::three_shards;
use crate::testing::{START, TIMEOUT, around, around_with, config, fail, id, node, pass};

struct Detector {
    nodes: Nodes,
    around: Surroundings,
}

impl Detector {
    fn new(me: u8) -> Detector {
        Detector { nodes: three_shards(me), around: around() }
    }

    fn borrow(&mut self) -> FailureDetection<'_> {
        FailureDetection { nodes: &mut self.nodes, around: &mut self.around }
    }

    fn reports(&mut self, from: u8, about: u8) -> Finding {
        self.borrow().take_report(id(from), id(about), true)
    }

    fn health(&mut self, byte: u8) -> Health {
        node(&mut self.nodes, byte).health
    }
}

#[test]
fn a_majority_makes_a_suspicion_a_failure() {
    let mut voter = Detector::new(2);
    let shard = ShardId(id(0xA1));
    assert_eq!(voter.borrow().suspect(id(1), false), Finding::Suspected { shard });
    assert_eq!(voter.health(1), Health::Suspected { gone: false });
    assert!(!voter.around.take_wanted(Step::Election));
    assert_eq!(voter.reports(3, 1), Finding::Agreed);
    assert_eq!(voter.health(1), Health::Failed { since: Millis(START), gone: false });
    assert!(voter.around.take_wanted(Step::Election));
}

#[test]
fn reports_alone_are_no_failure() {
    let mut voter = Detector::new(2);
    assert_eq!(voter.reports(3, 1), Finding::Nothing);
    assert_eq!(voter.health(1), Health::Ok);
    assert_eq!(voter.borrow().suspect(id(1), true), Finding::Agreed);
    assert_eq!(voter.health(1), Health::Failed { since: Millis(START), gone: true });
}

#[test]
fn a_replica_has_no_voice_in_it() {
    let mut replica = Detector::new(4);
    assert_eq!(replica.borrow().suspect(id(1), false), Finding::Nothing);
    assert_eq!(replica.reports(3, 1), Finding::Nothing);
    assert_eq!(replica.reports(2, 1), Finding::Agreed);
}

#[test]
fn without_fast_failover_a_suspicion_waits_for_the_next_ping() {
    let mut nodes = three_shards(2);
    let mut around = around_with(crate::ClusterConfig { fast_failover: false, ..config() });
    let mut detection = FailureDetection { nodes: &mut nodes, around: &mut around };
    assert_eq!(detection.suspect(id(1), false), Finding::Nothing);
    assert!(node(&mut nodes, 1).is_suspected());
}

#[test]
fn a_report_counts_for_two_timeouts() {
    let mut voter = Detector::new(2);
    let _ = voter.reports(3, 1);
    pass(&mut voter.around, 2 * TIMEOUT);
    assert_eq!(voter.borrow().reports_about(id(1)), 1);
    pass(&mut voter.around, 1);
    assert!(matches!(voter.borrow().suspect(id(1), false), Finding::Suspected { .. }));
    assert_eq!(voter.borrow().reports_about(id(1)), 0);
    assert_eq!(voter.reports(3, 1), Finding::Agreed, "it is told again");
}

#[test]
fn a_report_that_is_taken_back_does_not_count() {
    let mut voter = Detector::new(2);
    let _ = voter.reports(3, 1);
    assert_eq!(voter.borrow().take_report(id(3), id(1), false), Finding::Nothing);
    assert!(matches!(voter.borrow().suspect(id(1), false), Finding::Suspected { .. }));
}

#[test]
fn fail_is_believed_but_about_oneself() {
    let mut voter = Detector::new(2);
    assert_eq!(voter.borrow().take_fail(id(3), id(2)), Finding::Nothing);
    assert_eq!(voter.health(2), Health::Ok);
    assert_eq!(voter.borrow().take_fail(id(3), id(1)), Finding::Told);
    assert_eq!(voter.health(1), Health::Failed { since: Millis(START), gone: false });
    assert_eq!(voter.borrow().take_fail(id(3), id(1)), Finding::Nothing, "it is known");
    // A node that speaks of its own failure serves no more.
    assert_eq!(voter.borrow().take_fail(id(3), id(3)), Finding::Told);
    assert_eq!(voter.health(3), Health::Failed { since: Millis(START), gone: true });
}

#[test]
fn a_failed_node_comes_back_when_nobody_has_taken_its_place() {
    // A node; how long ago it failed; whether it is back when it answers.
    let cases = [(4, 0, true), (1, 0, false), (1, 2 * TIMEOUT, false), (1, 2 * TIMEOUT + 1, true)];
    for (failed, ago, is_back) in cases {
        let mut voter = Detector::new(2);
        fail(&mut voter.nodes, failed, &voter.around);
        pass(&mut voter.around, ago);
        voter.borrow().clear_suspicion(id(failed));
        assert_eq!(voter.health(failed) == Health::Ok, is_back, "node {failed} after {ago} ms");
    }
    let mut voter = Detector::new(2);
    let _ = voter.borrow().suspect(id(1), false);
    voter.borrow().clear_suspicion(id(1));
    assert_eq!(voter.health(1), Health::Ok, "a suspicion ends at once");
}

#[test]
fn silence_counts_from_the_ping_that_waits() {
    let (mut nodes, mut links, mut around) = (three_shards(2), Links::default(), around());
    node(&mut nodes, 1).address.ip = Some([127, 0, 0, 1].into());
    links.open(&mut nodes, &mut around, id(1));
    links.connected(LinkId::Outgoing(0), "127.0.0.1:1".parse().expect("an address"));
    let attention = Attention::new(Millis(START));
    // How long ago the ping was sent, and how long ago the node was heard; the judgement.
    let cases = [
        (None, None, Silence::No),
        (Some(TIMEOUT / 2), None, Silence::No),
        (Some(TIMEOUT), None, Silence::Reconnect),
        (Some(TIMEOUT), Some(100), Silence::No),
        (Some(TIMEOUT + 1), None, Silence::Suspect),
        (Some(TIMEOUT + 1), Some(TIMEOUT / 2), Silence::No),
        (Some(2 * TIMEOUT + 1), Some(100), Silence::Reconnect),
    ];
    let now = START + 10 * TIMEOUT;
    for (pinged, heard, expected) in cases {
        let node = node(&mut nodes, 1);
        let ago = |age: Option<u64>| age.map(|age| Millis(now - age));
        (node.ping_sent, node.data_received) = (ago(pinged), ago(heard));
        let link = links.get(LinkId::Outgoing(0));
        let silence = silence_of(node, link, &attention, (Millis(now), TIMEOUT));
        assert_eq!(silence, expected, "pinged {pinged:?}, heard {heard:?}");
    }
}
