//! When a replica stands, in which order, what it asks for, and when it has won.

use super::*;
use crate::testing::{START, TIMEOUT, three_shards};
use crate::testing::{around_with, config, effects, epochs, fail, hear, id, node, pass};
use crate::{ClusterConfig, PrimaryLink};

/// Replica 4 of primary 1, with so much data. Replica 5 is its rival.
struct Replica {
    nodes: Nodes,
    around: Surroundings,
    election: Election,
    epochs: Epochs,
    progress: Progress,
    manual: ManualFailover,
}

impl Replica {
    fn new(offset: u64) -> Replica {
        Replica::with(config(), offset)
    }

    fn with(config: ClusterConfig, offset: u64) -> Replica {
        let mut progress = Progress::none();
        progress.set_offset(Offset(offset));
        progress.set_link(PrimaryLink::Up { heard: Millis(START) });
        Replica {
            nodes: three_shards(4),
            around: around_with(config),
            election: Election::default(),
            epochs: epochs(),
            progress,
            manual: ManualFailover::default(),
        }
    }

    /// The same, its primary having failed.
    fn orphaned(offset: u64) -> Replica {
        let mut replica = Replica::new(offset);
        fail(&mut replica.nodes, 1, &replica.around);
        replica
    }

    fn borrow(&mut self) -> Candidacy<'_> {
        Candidacy {
            election: &mut self.election,
            epochs: &mut self.epochs,
            around: &mut self.around,
            nodes: &self.nodes,
            progress: &self.progress,
            manual: &self.manual,
        }
    }

    fn proceed(&mut self) -> Move {
        self.borrow().proceed()
    }

    /// How long until something is due, in milliseconds.
    fn due_in(&self) -> u64 {
        self.election.due().expect("an election is under way").since(self.around.now())
    }

    /// Proceeds at the moment at which something is due.
    fn proceed_when_due(&mut self) -> Move {
        let wait = self.due_in();
        pass(&mut self.around, wait);
        self.proceed()
    }
}

#[test]
fn the_delay_grows_with_the_rank() {
    // This replica's data, its rival's; the bounds of the delay.
    let cases = [(100, 50, 150..300), (100, 100, 150..300), (100, 150, 550..700)];
    for (mine, rivals, expected) in cases {
        let mut replica = Replica::orphaned(mine);
        node(&mut replica.nodes, 5).offset = Offset(rivals);
        assert_eq!(replica.proceed(), Move::TellReplicasOf(id(1)));
        let delay = replica.due_in();
        assert!(expected.contains(&delay), "{mine} beside {rivals}: {delay} ms");
        assert_eq!(replica.proceed(), Move::Wait);
    }
}

#[test]
fn the_delay_is_short_where_the_process_is_gone_and_long_without_fast_failover() {
    let mut replica = Replica::new(100);
    node(&mut replica.nodes, 1).health = Health::Failed { since: Millis(START), gone: true };
    let _ = replica.proceed();
    assert!((50..100).contains(&replica.due_in()), "{}", replica.due_in());

    let mut slow = Replica::with(ClusterConfig { fast_failover: false, ..config() }, 100);
    fail(&mut slow.nodes, 1, &slow.around);
    let _ = slow.proceed();
    assert!((500..1000).contains(&slow.due_in()), "{}", slow.due_in());
}

#[test]
fn a_rival_that_turns_out_to_have_more_goes_first() {
    let mut replica = Replica::orphaned(100);
    let _ = replica.proceed();
    let before = replica.due_in();
    node(&mut replica.nodes, 5).offset = Offset(101);
    assert_eq!(replica.proceed(), Move::Wait);
    assert_eq!(replica.due_in(), before + FAST_DELAY.per_rank);
    node(&mut replica.nodes, 5).no_failover = true;
    assert_eq!(replica.proceed(), Move::Wait);
    assert_eq!(replica.due_in(), before);
}

#[test]
fn a_better_replica_that_lives_is_waited_for_but_not_for_ever() {
    let mut replica = Replica::orphaned(100);
    hear(&mut replica.nodes, 5, 200, &replica.around);
    let _ = replica.proceed();
    while replica.proceed_when_due() == Move::Wait {}
    let waited = replica.around.now().since(Millis(START));
    assert!((PATIENCE..PATIENCE + LOOK_EVERY).contains(&waited), "{waited} ms");
    assert!(matches!(replica.election.phase, Phase::Asking { .. }));

    // One that was not heard since the failure may be dead.
    let mut replica = Replica::orphaned(100);
    node(&mut replica.nodes, 5).offset = Offset(200);
    let _ = replica.proceed();
    assert_eq!(replica.proceed_when_due(), Move::AskForVotes);
}

#[test]
fn why_a_replica_does_not_stand_is_said_now_and_then() {
    let mut replica = Replica::orphaned(100);
    replica.progress.set_link(PrimaryLink::Incomplete);
    let mut said = 0;
    for _ in 0..=300 {
        assert_eq!(replica.proceed(), Move::Wait);
        pass(&mut replica.around, 100);
        replica.around.close_batch(None);
        let effects = replica.around.next_batch().map(|batch| batch.then).unwrap_or_default();
        said += effects.len();
    }
    // At once, and each 10 s of 30.
    assert_eq!(said, 4);
}

#[test]
fn a_majority_of_votes_of_the_epoch_wins() {
    let mut replica = Replica::orphaned(100);
    let _ = replica.proceed();
    effects(&mut replica.around);
    assert_eq!(replica.proceed_when_due(), Move::AskForVotes);
    assert_eq!(replica.epochs.current(), Epoch(6), "an epoch of its own");
    assert!(effects(&mut replica.around).1, "which is on disk before anybody is asked");

    // A vote of before, a replica's, and the same vote twice are none.
    for (voter, epoch) in [(3, 5), (5, 6), (2, 6), (2, 6)] {
        replica.borrow().take_vote(id(voter), Epoch(epoch));
        assert_eq!(replica.proceed(), Move::Wait, "node {voter}, epoch {epoch}");
    }
    replica.borrow().take_vote(id(3), Epoch(6));
    assert!(replica.around.take_wanted(Step::Election));
    assert_eq!(replica.proceed(), Move::Won(Epoch(6)));
}

#[test]
fn an_attempt_without_a_majority_is_made_again_in_a_new_epoch() {
    let mut replica = Replica::orphaned(100);
    let _ = replica.proceed();
    // Each attempt is given twice as long as the last one, up to four node timeouts.
    for (epoch, length) in [(6, 1000), (7, 2000), (8, 4000), (9, 8000), (10, 8000)] {
        assert_eq!(replica.proceed_when_due(), Move::AskForVotes);
        assert_eq!(replica.epochs.current(), Epoch(epoch));
        assert_eq!(replica.due_in(), length);
        replica.borrow().take_vote(id(2), Epoch(epoch));
        assert_eq!(replica.proceed_when_due(), Move::TellReplicasOf(id(1)));
    }
}

#[test]
fn a_replica_stands_only_where_it_should() {
    type Change = fn(&mut Replica);
    let cases: [(&str, Change); 6] = [
        ("its primary lives", |replica| node(&mut replica.nodes, 1).health = Health::Ok),
        ("its primary served nothing", |replica| {
            node(&mut replica.nodes, 1).slots.replace(tessera_slot::SlotSet::EMPTY);
        }),
        ("half its data", |replica| replica.progress.set_link(PrimaryLink::Incomplete)),
        ("never in sync", |replica| {
            replica.progress.set_link(PrimaryLink::Down { since: None });
        }),
        ("old data", |replica| pass(&mut replica.around, 10_000 + 11 * TIMEOUT + 1)),
        ("it is not to", |replica| {
            let config = ClusterConfig { replica_no_failover: true, ..config() };
            replica.around.set_config(config);
        }),
    ];
    for (name, change) in cases {
        let mut replica = Replica::orphaned(100);
        change(&mut replica);
        assert_eq!(replica.proceed(), Move::Wait, "{name}");
        assert_eq!(replica.election.due(), None, "{name}");
    }
    let mut replica = Replica::orphaned(100);
    pass(&mut replica.around, 10_000 + 11 * TIMEOUT);
    assert_eq!(replica.proceed(), Move::TellReplicasOf(id(1)), "data that is just young enough");
}

#[test]
fn an_operator_need_not_wait() {
    let mut replica = Replica::orphaned(100);
    hear(&mut replica.nodes, 5, 200, &replica.around);
    replica.manual = ManualFailover::Ready { end: Millis(START + 5000) };
    assert_eq!(replica.proceed(), Move::AskForVotes, "though a better replica lives");

    let mut eager = Replica::new(100);
    eager.manual = replica.manual;
    assert_eq!(eager.proceed(), Move::AskForVotes, "though the primary lives");

    let mut partial = Replica::new(100);
    partial.manual = replica.manual;
    partial.progress.set_link(PrimaryLink::Incomplete);
    assert_eq!(partial.proceed(), Move::Wait, "but half the data is never enough");
}

#[test]
fn an_election_ends_when_the_primary_is_back() {
    let mut replica = Replica::orphaned(100);
    let _ = replica.proceed();
    assert_eq!(replica.proceed_when_due(), Move::AskForVotes);
    node(&mut replica.nodes, 1).health = Health::Ok;
    assert_eq!(replica.proceed(), Move::Wait);
    assert_eq!(replica.election.due(), None);
    replica.borrow().take_vote(id(2), Epoch(6));
    replica.borrow().take_vote(id(3), Epoch(6));
    assert_eq!(replica.proceed(), Move::Wait);
}
