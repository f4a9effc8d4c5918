//! The node's state and the calls of its contract.
//!
//! Each concern keeps its own state in a type of its own, and changes it itself. Where that takes
//! more than one of them, its handler borrows those that it changes: [`Membership`], [`Ownership`],
//! [`Candidacy`], [`Voter`] and [`FailureDetection`]. None of them sends a packet or calls another.
//! They give what follows as a value, and `consequences.rs` acts on that. Only the modules below
//! this one see the whole node.

mod command;
mod consequences;
mod hearsay;
mod inspect;
mod receive;
mod send;
mod tick;

use crate::attention::Attention;
use crate::describe::Register;
use crate::election::{Candidacy, Election};
use crate::epochs::Epochs;
use crate::failure::FailureDetection;
use crate::forgotten::Forgotten;
use crate::links::Links;
use crate::lost_data::LostData;
use crate::manual_failover::ManualFailover;
use crate::membership::Membership;
use crate::nodes::Nodes;
use crate::nodes_conf::{self, Loaded, NodesConfError};
use crate::open_slots::OpenSlots;
use crate::outbox::Save;
use crate::ownership::Ownership;
use crate::progress::Progress;
use crate::rng::Rng;
use crate::routing::Published;
use crate::state::StateTracker;
use crate::surroundings::{Step, Surroundings};
use crate::vote::{Voter, Voting};
use crate::{Batch, ClusterConfig, Event, LogLevel, NodesConf, Now};
pub use command::{CommandContext, Keyspace};
pub use inspect::{Claims, Member, Snapshot};
use tessera_slot::{Millis, NodeId};

/// A cluster node.
#[derive(Clone, Debug)]
pub struct Cluster {
    around: Surroundings,
    nodes: Nodes,
    links: Links,
    forgotten: Forgotten,
    attention: Attention,
    epochs: Epochs,
    open: OpenSlots,
    state: StateTracker,
    progress: Progress,
    election: Election,
    manual: ManualFailover,
    voting: Voting,
    lost_data: LostData,
    published: Published,
    /// When a node chosen at random was pinged last.
    last_random_ping: Millis,
    /// When others were last told at once of a change by command.
    last_announcement: Option<Millis>,
}

impl Cluster {
    /// A node that continues from the content of its nodes.conf, or a new one with a random name.
    /// The first batch is ready at once. The seed must be unpredictable in production: names come
    /// from it.
    ///
    /// # Errors
    /// If the file is malformed, or not whole; the error names the line.
    pub fn new(
        config: ClusterConfig,
        nodes_conf: Option<&str>,
        now: Now,
        seed: u64,
    ) -> Result<Cluster, NodesConfError> {
        let mut rng = Rng::new(seed);
        let loaded = match nodes_conf {
            Some(text) if !text.is_empty() => nodes_conf::parse(text, &config, now, &mut rng)?,
            _ => Loaded::fresh(&mut rng, now.mono),
        };
        let mut cluster = Cluster {
            around: Surroundings::new(config, now, rng),
            nodes: loaded.nodes,
            links: Links::default(),
            forgotten: Forgotten::default(),
            attention: Attention::new(now.mono),
            epochs: loaded.epochs,
            open: loaded.open,
            state: StateTracker::new(now.mono, loaded.fresh),
            progress: Progress::none(),
            election: Election::default(),
            manual: ManualFailover::default(),
            voting: Voting::default(),
            lost_data: LostData::default(),
            published: Published::default(),
            last_random_ping: now.mono,
            last_announcement: None,
        };
        cluster.apply_own_config();
        let found = if loaded.fresh {
            "No cluster configuration found"
        } else {
            "Node configuration loaded"
        };
        let text = format!("{found}, I'm {}", cluster.id());
        cluster.around.log(LogLevel::Notice, text);
        cluster.around.changed_durably();
        cluster.settle();
        Ok(cluster)
    }

    /// This node's name.
    pub fn id(&self) -> NodeId {
        self.nodes.my_id()
    }

    /// Takes an event. Drain [`Cluster::poll_batch`] afterwards.
    pub fn handle(&mut self, now: Now, event: Event) {
        self.around.set_now(now);
        match event {
            Event::LinkConnected { link, local } => self.link_connected(link, local),
            Event::LinkAccepted { link, peer, local } => {
                self.links.accepted(link, peer, local, now.mono);
            }
            Event::Packet { link, bytes } => self.receive(link, &bytes),
            Event::LinkDown { link, reason } => self.link_down(link, reason),
            Event::Tick => self.tick(),
            Event::ReplicationOffset(offset) => self.offset_moved(offset),
            Event::PrimaryLink(state) => self.progress.set_link(state),
            Event::StartedEmpty => self.lost_data.started_empty(&self.nodes, &self.around),
            Event::WritesPaused { offset } => self.writes_paused(offset),
            Event::ConfigChanged(config) => {
                self.around.set_config(*config);
                self.apply_own_config();
                self.around.changed();
            }
            Event::Publish { channel, message, sharded } => {
                self.publish(channel, message, sharded);
            }
        }
        self.settle();
    }

    /// The next batch of effects; `None` when there is no more.
    pub fn poll_batch(&mut self) -> Option<Batch> {
        self.around.next_batch()
    }

    /// When [`Event::Tick`] is due at the latest, by the monotonic clock.
    pub fn next_timeout(&self) -> Millis {
        let mut next = self.attention.next_tick();
        if let Some(at) = self.election.due() {
            next = next.min(at);
        }
        for node in self.nodes.others().filter(|node| node.refusals.is_some()) {
            if node.link.is_none() {
                next = next.min(node.retry_at);
            }
        }
        next.max(self.around.now().plus(1))
    }

    /// Takes the steps that the call has made necessary, then closes the batch.
    fn settle(&mut self) {
        if self.around.take_wanted(Step::Election) {
            self.run_election();
        }
        if self.around.take_wanted(Step::State) {
            self.update_state();
        }
        self.announce_if_due();
        let changed = self.around.take_wanted(Step::View);
        if changed {
            let state = self.state.get();
            self.published.publish(&self.nodes, &self.open, state, &mut self.around);
        }
        let save = self.around.take_save().map(|urgency| self.nodes_conf(urgency == Save::Durable));
        self.around.close_batch(save);
        if cfg!(debug_assertions) && changed {
            self.validate();
        }
    }

    /// The port on which this node's bus listens, by its configuration.
    pub fn bus_port(&self) -> u16 {
        self.around.config().bus_port()
    }

    /// nodes.conf, if it says something that was not given yet to be written at leisure. To be
    /// asked for at the end; before that it comes with a batch.
    pub fn last_save(&mut self) -> Option<NodesConf> {
        self.around.take_unsaved().then(|| self.nodes_conf(false))
    }

    fn nodes_conf(&self, durable: bool) -> NodesConf {
        NodesConf { text: nodes_conf::write(self.register(), &self.epochs), durable }
    }

    /// Puts what the operator announces into this node's own record.
    fn apply_own_config(&mut self) {
        let config = self.around.config().clone();
        let me = self.nodes.me_mut();
        me.address.port = config.announced_port();
        me.address.tls_port = config.announced_tls_port();
        me.address.bus_port = config.announced_bus_port();
        if let Ok(ip) = config.announce_ip.parse() {
            me.address.ip = Some(ip);
        }
        me.hostname = config.announce_hostname;
        me.human_name = config.announce_human_nodename;
        me.no_failover = config.replica_no_failover;
    }

    /// The nodes as lines of text.
    fn register(&self) -> Register<'_> {
        let now = self.around.clocks();
        Register { nodes: &self.nodes, links: &self.links, open: &self.open, now }
    }

    fn membership(&mut self) -> Membership<'_> {
        Membership {
            nodes: &mut self.nodes,
            links: &mut self.links,
            forgotten: &mut self.forgotten,
            around: &mut self.around,
        }
    }

    fn ownership(&mut self) -> Ownership<'_> {
        Ownership {
            nodes: &mut self.nodes,
            open: &mut self.open,
            epochs: &mut self.epochs,
            around: &mut self.around,
        }
    }

    fn candidacy(&mut self) -> Candidacy<'_> {
        Candidacy {
            election: &mut self.election,
            epochs: &mut self.epochs,
            around: &mut self.around,
            nodes: &self.nodes,
            progress: &self.progress,
            manual: &self.manual,
        }
    }

    fn voter(&mut self) -> Voter<'_> {
        Voter {
            voting: &mut self.voting,
            epochs: &mut self.epochs,
            nodes: &mut self.nodes,
            around: &mut self.around,
            gives_way_since: self.lost_data.gives_way_since(),
        }
    }

    fn detection(&mut self) -> FailureDetection<'_> {
        FailureDetection { nodes: &mut self.nodes, around: &mut self.around }
    }

    /// Checks what must hold between any two calls.
    ///
    /// # Panics
    /// If it does not: a defect of this crate.
    pub fn validate(&self) {
        let mut owned: Vec<_> = self.nodes.iter().flat_map(|node| node.slots.ranges()).collect();
        owned.sort_unstable();
        let disjoint = owned.windows(2).all(|pair| pair[0].end < pair[1].start);
        assert!(disjoint, "a slot has two owners");
        for node in self.nodes.iter() {
            assert!(node.slots.is_empty() || !node.is_replica(), "a replica owns slots: {node:?}");
            assert!(node.config_epoch <= self.epochs.current(), "an epoch beyond the current one");
            for link in [node.link, node.inbound].into_iter().flatten() {
                let owner = self.links.node_of(link);
                assert_eq!(owner, Some(node.id), "link {link:?} does not know its node");
            }
        }
        assert!(self.epochs.last_vote() <= self.epochs.current(), "a vote in a future epoch");
        let me = self.nodes.me();
        assert_ne!(me.primary(), Some(me.id), "a node replicates itself");
        assert!(me.is_primary() || me.is_replica(), "this node has no role");
    }
}
