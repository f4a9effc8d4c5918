//! What the outcome of one concern means for the others, and for the other nodes.

use super::Cluster;
use crate::bus::{Body, Header, MessageFlags, PingKind};
use crate::election::{Election, Move};
use crate::failure::Finding;
use crate::guests::{handshake_timeout, place_for};
use crate::links::End;
use crate::lost_data::OwnFailure;
use crate::manual_failover::Next;
use crate::node::Source;
use crate::ownership::Outcome;
use crate::surroundings::Step;
use crate::vote::{Answer, Deferred};
use crate::{LinkDownReason, LinkId};
use std::net::SocketAddr;
use tessera_slot::{Epoch, NodeId, Offset};

impl Cluster {
    // ---- nodes and their links

    pub(super) fn open_link(&mut self, id: NodeId) {
        self.links.open(&mut self.nodes, &mut self.around, id);
    }

    pub(super) fn close_link(&mut self, link: LinkId) {
        self.links.close(&mut self.nodes, &mut self.around, link);
    }

    /// A link that this node has opened is up: it introduces itself.
    pub(super) fn link_connected(&mut self, link: LinkId, local: SocketAddr) {
        let Some(id) = self.links.connected(link, local) else { return };
        let Some(node) = self.nodes.get_mut(id) else { return };
        node.refusals = None;
        let kind = if node.send_meet { PingKind::Meet } else { PingKind::Ping };
        if node.send_meet {
            node.met_at = Some(self.around.now());
        }
        self.send_ping(link, kind);
    }

    pub(super) fn link_down(&mut self, link: LinkId, reason: LinkDownReason) {
        match self.links.down(&mut self.nodes, &mut self.around, link, reason) {
            End::Plain => {}
            End::Gone(id) => self.suspect(id, true),
            End::Probe(link) => self.send_ping(link, PingKind::Ping),
        }
    }

    /// Makes place for one more node from this source, if there is one to be had.
    pub(super) fn make_place(&mut self, source: Source) -> bool {
        let patience = handshake_timeout(self.around.config());
        let place = place_for(&self.nodes, source, self.around.now(), patience);
        if let Some(stale) = place.stale {
            self.remove_node(stale);
        }
        place.is_free
    }

    /// Takes a node out of the table, with its links and every reference to it.
    pub(super) fn remove_node(&mut self, id: NodeId) {
        self.links.close_of(&mut self.nodes, &mut self.around, id);
        if self.nodes.remove(id).is_some_and(|node| node.in_handshake()) {
            return;
        }
        self.open.forget(id);
        if self.manual.replica() == Some(id) {
            self.manual.reset(&mut self.around);
        }
        self.around.changed();
    }

    // ---- failure detection

    pub(super) fn suspect(&mut self, id: NodeId, gone: bool) {
        let finding = self.detection().suspect(id, gone);
        self.act_on_finding(id, finding);
    }

    /// Tells others what was found about a node.
    pub(super) fn act_on_finding(&mut self, id: NodeId, finding: Finding) {
        match finding {
            Finding::Nothing => {}
            Finding::Suspected { shard } => self.broadcast_pong(|node| {
                node.is_healthy() && (node.is_voter() || node.shard == shard)
            }),
            Finding::Agreed => {
                self.ask_replicas_of(id);
                self.broadcast(Body::Fail(id), MessageFlags::default());
            }
            Finding::Told => self.ask_replicas_of(id),
        }
    }

    /// A voter must know which replicas of a failed primary are alive, and how far each is.
    fn ask_replicas_of(&mut self, primary: NodeId) {
        if self.nodes.me().is_voter() {
            self.ping_all(|node| node.is_replica_of(primary));
        }
    }

    // ---- roles and slots

    /// Takes role and slots from a known node's ping.
    pub(super) fn take_claims(&mut self, sender: NodeId, header: &Header) {
        let outcomes = self.ownership().take_claims(sender, header);
        self.act_on_claims(outcomes);
        if header.primary.is_none() {
            self.ownership().resolve_epoch_collision(sender, header.config_epoch);
        }
    }

    pub(super) fn act_on_claims(&mut self, outcomes: Vec<Outcome>) {
        for outcome in outcomes {
            match outcome {
                Outcome::NowReplica => self.end_former_role(),
                Outcome::Tell(id) => self.broadcast_pong(|node| node.id == id),
                Outcome::TellAll => self.broadcast_pong(|_| true),
                Outcome::Correct { node, update } => self.send_to(node, update),
            }
        }
    }

    /// This node, which owns no slots (any more), replicates another from now on.
    pub(super) fn become_replica_of(&mut self, primary: NodeId) {
        let outcome = self.ownership().replicate(primary, true);
        self.act_on_claims(vec![outcome]);
    }

    fn end_former_role(&mut self) {
        self.election = Election::default();
        self.manual.reset(&mut self.around);
    }

    /// Takes role and slots of this node's primary, and tells everybody.
    pub(super) fn replace_primary(&mut self, elected_in: Option<Epoch>) {
        let Some(former) = self.ownership().replace_primary(elected_in) else { return };
        self.voting.succeed(former, self.around.now());
        self.end_former_role();
        self.update_state();
        self.broadcast_pong(|_| true);
    }

    // ---- elections and votes

    /// Takes the next step of an election, if one is called for.
    pub(super) fn run_election(&mut self) {
        match self.candidacy().proceed() {
            Move::Wait => {}
            Move::TellReplicasOf(primary) => {
                self.broadcast_pong(|node| node.is_replica_of(primary));
            }
            Move::AskForVotes => {
                let mut flags = MessageFlags::default();
                if self.manual.is_under_way() {
                    flags |= MessageFlags::FORCE_ACK;
                }
                self.broadcast(Body::AuthRequest, flags);
            }
            Move::Won(epoch) => {
                self.state.was_elected();
                self.replace_primary(Some(epoch));
            }
        }
    }

    pub(super) fn take_auth_request(&mut self, candidate: NodeId, header: &Header) {
        match self.voter().take_request(candidate, header) {
            Answer::Granted => self.send_to(candidate, Body::AuthAck),
            Answer::Deferred | Answer::Denied => {}
        }
    }

    /// Looks again at the requests that wait.
    pub(super) fn retry_deferred_votes(&mut self) {
        for Deferred { candidate, header } in self.voting.take_deferred() {
            if self.voter().is_open(&header) {
                self.take_auth_request(candidate, &header);
            }
        }
    }

    // ---- manual failover and lost data

    pub(super) fn act_on_manual_failover(&mut self, next: Next) {
        match next {
            Next::Wait => {}
            Next::Stand => {
                self.election = Election::default();
                self.around.want(Step::Election);
            }
            Next::Ping(replica) => self.ping(replica),
        }
    }

    pub(super) fn writes_paused(&mut self, offset: Offset) {
        self.progress.set_offset(offset);
        let next = self.manual.writes_paused();
        self.act_on_manual_failover(next);
    }

    pub(super) fn offset_moved(&mut self, offset: Offset) {
        self.progress.set_offset(offset);
        let next = self.manual.stand_if_caught_up(&self.progress, &mut self.around);
        self.act_on_manual_failover(next);
    }

    /// A node says that it has paused writes, and where its history ends.
    pub(super) fn primary_has_paused(&mut self, sender: NodeId, offset: Offset) {
        let (nodes, progress, around) = (&self.nodes, &self.progress, &mut self.around);
        let next = self.manual.primary_has_paused(nodes, progress, around, (sender, offset));
        self.act_on_manual_failover(next);
    }

    pub(super) fn tick_lost_data(&mut self) {
        match self.lost_data.tick(&self.nodes, &mut self.around) {
            OwnFailure::Untold => {}
            OwnFailure::Tell => self.broadcast(Body::Fail(self.id()), MessageFlags::default()),
        }
    }

    // ---- the state

    pub(super) fn update_state(&mut self) {
        let withholds_data = self.withholds_data();
        self.state.update(&self.nodes, &self.links, &mut self.around, withholds_data);
    }
}
