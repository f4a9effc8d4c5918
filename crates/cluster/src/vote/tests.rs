//! Who gets this node's vote, how often, and when it is too early.

use super::*;
use crate::testing::{START, TIMEOUT, around, effects, epochs, fail, header, hear, id, node, pass};
use crate::testing::{slots, three_shards};
use tessera_slot::{Epoch, Offset};

/// Primary 2, which is asked by replicas 4 and 5 of primary 1.
struct Elector {
    nodes: Nodes,
    around: Surroundings,
    epochs: Epochs,
    voting: Voting,
    gives_way_since: Option<Millis>,
}

impl Elector {
    fn new(me: u8) -> Elector {
        Elector {
            nodes: three_shards(me),
            around: around(),
            epochs: epochs(),
            voting: Voting::default(),
            gives_way_since: None,
        }
    }

    /// The same, primary 1 having failed.
    fn after_a_failure() -> Elector {
        let mut elector = Elector::new(2);
        fail(&mut elector.nodes, 1, &elector.around);
        elector
    }

    fn borrow(&mut self) -> Voter<'_> {
        Voter {
            voting: &mut self.voting,
            epochs: &mut self.epochs,
            nodes: &mut self.nodes,
            around: &mut self.around,
            gives_way_since: self.gives_way_since,
        }
    }

    /// A node asks in an epoch, of which this one has heard by its header.
    fn ask(&mut self, candidate: u8, epoch: u64) -> Answer {
        let mut header = header(&self.nodes, candidate);
        header.current_epoch = Epoch(epoch);
        self.ask_by(&header)
    }

    fn ask_by(&mut self, header: &Header) -> Answer {
        self.epochs.see(header.current_epoch, &mut self.around);
        self.borrow().take_request(header.sender, header)
    }
}

#[test]
fn one_vote_in_an_epoch() {
    let mut elector = Elector::after_a_failure();
    effects(&mut elector.around);
    assert_eq!(elector.ask(4, 6), Answer::Granted);
    assert_eq!(elector.epochs.last_vote(), Epoch(6));
    assert!(effects(&mut elector.around).1, "it is on disk before it leaves");
    assert_eq!(elector.ask(4, 6), Answer::Denied, "twice");

    // The replica of another shard, in the same epoch and in the next one.
    fail(&mut elector.nodes, 3, &elector.around);
    node(&mut elector.nodes, 5).role = crate::node::Role::Replica { of: Some(id(3)) };
    assert_eq!(elector.ask(5, 6), Answer::Denied, "another shard in the same epoch");
    assert_eq!(elector.ask(5, 7), Answer::Granted);
    assert_eq!(elector.epochs.last_vote(), Epoch(7));
}

#[test]
fn a_primary_is_voted_about_once_in_two_timeouts() {
    let mut elector = Elector::after_a_failure();
    assert_eq!(elector.ask(4, 6), Answer::Granted);
    pass(&mut elector.around, 2 * TIMEOUT - 1);
    assert_eq!(elector.ask(5, 7), Answer::Denied);
    pass(&mut elector.around, 1);
    assert_eq!(elector.ask(5, 7), Answer::Granted);
}

#[test]
fn no_vote_without_cause() {
    type Change = fn(&mut Elector, &mut Header);
    let cases: [(&str, Change); 6] = [
        ("its primary lives", |elector, _| {
            node(&mut elector.nodes, 1).health = crate::node::Health::Ok;
        }),
        ("an old epoch", |_, header| header.current_epoch = Epoch(4)),
        ("a primary", |_, header| header.sender = id(3)),
        ("a stranger", |_, header| header.sender = id(99)),
        ("slots of a newer claim", |_, header| header.slots = slots(10_000..=10_000)),
        ("this node serves nothing", |elector, _| {
            let me = elector.nodes.me().slots.set().clone();
            elector.nodes.assign(&me, None);
        }),
    ];
    for (name, change) in cases {
        let mut elector = Elector::after_a_failure();
        let mut header = header(&elector.nodes, 4);
        header.current_epoch = Epoch(6);
        change(&mut elector, &mut header);
        assert_eq!(elector.ask_by(&header), Answer::Denied, "{name}");
        assert_eq!(elector.epochs.last_vote(), Epoch(0), "{name}");
    }
}

#[test]
fn an_operator_gets_the_vote_though_the_primary_lives() {
    let mut elector = Elector::new(2);
    let mut header = header(&elector.nodes, 4);
    header.current_epoch = Epoch(6);
    assert_eq!(elector.ask_by(&header), Answer::Denied);
    header.message_flags = MessageFlags::FORCE_ACK;
    assert_eq!(elector.ask_by(&header), Answer::Granted);
}

#[test]
fn a_better_replica_that_lives_is_waited_for() {
    let mut elector = Elector::after_a_failure();
    hear(&mut elector.nodes, 4, 100, &elector.around);
    hear(&mut elector.nodes, 5, 200, &elector.around);
    assert_eq!(elector.ask(4, 6), Answer::Deferred);
    assert_eq!(elector.epochs.last_vote(), Epoch(0), "the vote is still to be given");
    assert_eq!(elector.ask(5, 6), Answer::Granted, "to that one");

    // It does not ask: after two seconds the other one will do.
    let mut elector = Elector::after_a_failure();
    hear(&mut elector.nodes, 5, 200, &elector.around);
    pass(&mut elector.around, 1999);
    assert_eq!(elector.ask(4, 6), Answer::Deferred);
    pass(&mut elector.around, 1);
    let waiting = elector.voting.take_deferred();
    assert_eq!(waiting.len(), 1);
    assert!(elector.borrow().is_open(&waiting[0].header));
    assert_eq!(elector.ask_by(&waiting[0].header), Answer::Granted);
    assert!(!elector.borrow().is_open(&waiting[0].header), "the epoch's vote is given");
}

#[test]
fn of_those_that_wait_the_one_with_the_most_data_comes_first() {
    let mut elector = Elector::after_a_failure();
    elector.borrow().voting.succeed(id(3), Millis(START));
    for (candidate, offset) in [(4, 100), (5, 200), (4, 110)] {
        let mut header = header(&elector.nodes, candidate);
        (header.current_epoch, header.offset) = (Epoch(6), Offset(offset));
        assert_eq!(elector.ask_by(&header), Answer::Deferred, "its predecessor may vote");
    }
    let waiting = elector.voting.take_deferred();
    let waiting = waiting.iter().map(|request| (request.candidate, request.header.offset));
    let expected = [(id(5), Offset(200)), (id(4), Offset(110))];
    assert_eq!(waiting.collect::<Vec<_>>(), expected, "the newest word of each");
}

#[test]
fn a_new_primary_waits_until_its_predecessor_knows() {
    let mut elector = Elector::after_a_failure();
    elector.voting.succeed(id(3), Millis(START));
    pass(&mut elector.around, HANDOVER - 1);
    assert_eq!(elector.ask(4, 6), Answer::Deferred);
    pass(&mut elector.around, 1);
    assert_eq!(elector.ask(4, 6), Answer::Granted, "but not for long");

    let mut elector = Elector::after_a_failure();
    elector.voting.succeed(id(3), Millis(START));
    node(&mut elector.nodes, 3).role = crate::node::Role::Replica { of: Some(id(2)) };
    assert_eq!(elector.ask(4, 6), Answer::Granted, "it has followed");
}

#[test]
fn a_primary_that_gives_way_votes_for_its_own_replica() {
    let mut elector = Elector::new(1);
    assert_eq!(elector.ask(4, 6), Answer::Denied);
    elector.gives_way_since = Some(Millis(START));
    hear(&mut elector.nodes, 5, 200, &elector.around);
    assert_eq!(elector.ask(4, 6), Answer::Deferred);
    assert_eq!(elector.ask(5, 6), Answer::Granted);
}
