//! The node's state and the calls of its contract.

use crate::bus::MessageType;
use crate::election::Election;
use crate::epochs::EpochLimit;
use crate::lost_data::LostData;
use crate::manual_failover::ManualFailover;
use crate::node::{Node, Role, ShardId};
use crate::nodes::Nodes;
use crate::nodes_conf::{self, NodesConfError};
use crate::outbox::{Outbox, Save};
use crate::rng::Rng;
use crate::routing::Published;
use crate::state::StateTracker;
use crate::vote::Deferred;
use crate::{Batch, ClusterConfig, Event, LinkId, LogLevel, LogTopic, NodesConf, Now, PrimaryLink};
use std::collections::BTreeMap;
use std::net::IpAddr;
use tessera_slot::{Epoch, Millis, NodeId, Offset, Slot, SlotSet};

/// How often the driver ticks at least, in milliseconds.
pub(crate) const TICK: u64 = 100;

/// The two epochs that are durable promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Epochs {
    pub(crate) current: Epoch,
    pub(crate) last_vote: Epoch,
}

/// Slots on the move.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenSlots {
    pub(crate) migrating: BTreeMap<Slot, NodeId>,
    pub(crate) importing: BTreeMap<Slot, NodeId>,
    /// Slots whose owner, by our table, no longer claims them: the new owner has not spoken yet.
    pub(crate) disowned: SlotSet,
}

/// One connection of the bus.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) node: Option<NodeId>,
    /// The name by which its other end has spoken.
    pub(crate) speaker: Option<NodeId>,
    pub(crate) created: Millis,
    pub(crate) up: bool,
    /// The driver knows that the node is known.
    pub(crate) trusted: bool,
    pub(crate) peer: Option<IpAddr>,
    pub(crate) local: Option<IpAddr>,
}

/// Packets by type, for CLUSTER INFO.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) sent: [u64; MessageType::ALL.len()],
    pub(crate) received: [u64; MessageType::ALL.len()],
}

/// When things that happen now and then happened last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rhythm {
    pub(crate) last_tick: Millis,
    pub(crate) last_random_ping: Millis,
    /// When others were last told at once of a change by command.
    pub(crate) last_announcement: Option<Millis>,
    /// No node is suspected before this time: this process itself did not run.
    pub(crate) no_suspicion_before: Millis,
    /// How high epochs may be that others speak of.
    pub(crate) epoch_limit: EpochLimit,
    /// When it ran last before that.
    pub(crate) slept_since: Millis,
}

/// Steps to be taken before the current call returns.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Todo {
    pub(crate) state: bool,
    pub(crate) election: bool,
    pub(crate) view: bool,
    /// Others are to hear of a change by command. May stay for the next tick.
    pub(crate) announce: bool,
    /// A change of nodes.conf that may be written at leisure waits for the next tick: the file
    /// names all nodes, and must not be made anew for each packet.
    pub(crate) unsaved: bool,
    /// It is to be written now.
    pub(crate) write: bool,
}

/// A cluster node.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub(crate) config: ClusterConfig,
    pub(crate) now: Now,
    pub(crate) rng: Rng,
    pub(crate) nodes: Nodes,
    pub(crate) links: BTreeMap<LinkId, Link>,
    pub(crate) next_link: u64,
    pub(crate) epochs: Epochs,
    pub(crate) open: OpenSlots,
    /// Forgotten nodes, and until when gossip may not bring them back.
    pub(crate) banned: BTreeMap<NodeId, Millis>,
    pub(crate) state: StateTracker,
    pub(crate) election: Election,
    /// Requests for votes that wait for a better replica's.
    pub(crate) deferred: Vec<Deferred>,
    /// The primary that this node has replaced, and when.
    pub(crate) predecessor: Option<(NodeId, Millis)>,
    pub(crate) lost_data: LostData,
    pub(crate) manual: ManualFailover,
    pub(crate) offset: Offset,
    pub(crate) primary_link: PrimaryLink,
    pub(crate) stats: Stats,
    pub(crate) rhythm: Rhythm,
    pub(crate) todo: Todo,
    pub(crate) out: Outbox,
    pub(crate) published: Published,
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
            _ => nodes_conf::Loaded::fresh(new_self(&mut rng, now.mono)),
        };
        let fresh = loaded.fresh;
        let mut cluster = Cluster {
            config,
            now,
            rng,
            nodes: loaded.nodes,
            links: BTreeMap::new(),
            next_link: 0,
            epochs: loaded.epochs,
            open: loaded.open,
            banned: BTreeMap::new(),
            state: StateTracker::new(now.mono, fresh),
            election: Election::default(),
            deferred: Vec::new(),
            predecessor: None,
            lost_data: LostData::default(),
            manual: ManualFailover::default(),
            offset: Offset(0),
            primary_link: PrimaryLink::Down { since: None },
            stats: Stats::default(),
            rhythm: Rhythm {
                last_tick: now.mono,
                last_random_ping: now.mono,
                last_announcement: None,
                no_suspicion_before: now.mono,
                epoch_limit: EpochLimit::new(now.mono, loaded.epochs.current),
                slept_since: now.mono,
            },
            todo: Todo { state: true, view: true, ..Todo::default() },
            out: Outbox::default(),
            published: Published::default(),
        };
        cluster.apply_own_config();
        let name = cluster.id();
        if fresh {
            cluster.log(LogLevel::Notice, format!("No cluster configuration found, I'm {name}"));
        } else {
            cluster.log(LogLevel::Notice, format!("Node configuration loaded, I'm {name}"));
        }
        cluster.out.save(Save::Durable);
        cluster.settle();
        Ok(cluster)
    }

    /// This node's name.
    pub fn id(&self) -> NodeId {
        self.nodes.my_id()
    }

    /// Takes an event. Drain [`Cluster::poll_batch`] afterwards.
    pub fn handle(&mut self, now: Now, event: Event) {
        self.now = now;
        match event {
            Event::LinkConnected { link, local } => self.link_connected(link, local),
            Event::LinkAccepted { link, peer, local } => self.link_accepted(link, peer, local),
            Event::Packet { link, bytes } => self.receive(link, &bytes),
            Event::LinkDown { link, reason } => self.link_down(link, reason),
            Event::Tick => self.tick(),
            Event::ReplicationOffset(offset) => self.offset_moved(offset),
            Event::PrimaryLink(state) => self.primary_link = state,
            Event::StartedEmpty => self.started_empty(),
            Event::WritesPaused { offset } => self.writes_paused(offset),
            Event::ConfigChanged(config) => {
                self.config = *config;
                self.apply_own_config();
                self.changed();
            }
            Event::Publish { channel, message, sharded } => {
                self.publish(channel, message, sharded);
            }
        }
        self.settle();
    }

    /// The next batch of effects; `None` when there is no more.
    pub fn poll_batch(&mut self) -> Option<Batch> {
        self.out.pop()
    }

    /// When [`Event::Tick`] is due at the latest, by the monotonic clock.
    pub fn next_timeout(&self) -> Millis {
        let mut next = self.rhythm.last_tick.plus(TICK);
        if let Some(at) = self.election.due() {
            next = next.min(at);
        }
        for node in self.nodes.others().filter(|node| node.refusals.is_some()) {
            if node.link.is_none() {
                next = next.min(node.retry_at);
            }
        }
        next.max(self.now.mono.plus(1))
    }

    /// Notes that something shown or stored has changed.
    pub(crate) fn changed(&mut self) {
        self.out.save(Save::Lazy);
        self.todo.state = true;
        self.todo.view = true;
    }

    /// Notes that a promise (vote, epoch, role, ownership) has changed: nothing may be sent before
    /// it is on disk.
    pub(crate) fn changed_durably(&mut self) {
        self.changed();
        self.out.save(Save::Durable);
    }

    pub(crate) fn log(&mut self, level: LogLevel, text: impl Into<String>) {
        self.out.log(level, None, text.into());
    }

    /// A line that a stranger can cause.
    pub(crate) fn log_limited(
        &mut self,
        topic: LogTopic,
        level: LogLevel,
        text: impl Into<String>,
    ) {
        self.out.log(level, Some(topic), text.into());
    }

    /// The name of a node as log lines give it: the id, then the human name in brackets.
    pub(crate) fn name_of(&self, id: NodeId) -> String {
        let human = self.nodes.get(id).map_or("", |node| node.human_name.as_str());
        format!("{id} ({human})")
    }

    /// Takes the steps that the call has made necessary, then closes the batch.
    pub(crate) fn settle(&mut self) {
        if std::mem::take(&mut self.todo.election) {
            self.run_election();
        }
        if std::mem::take(&mut self.todo.state) {
            self.update_state();
        }
        self.announce_if_due();
        let changed = std::mem::take(&mut self.todo.view);
        if changed {
            self.publish_slots();
            self.publish_view();
            self.publish_role();
        }
        let urgency = self.out.take_save();
        self.todo.unsaved |= urgency != Save::No;
        let save = if std::mem::take(&mut self.todo.write) || urgency == Save::Durable {
            self.take_unsaved(urgency == Save::Durable)
        } else {
            None
        };
        self.out.close_batch(save);
        if cfg!(debug_assertions) && changed {
            self.validate();
        }
    }

    /// The port on which this node's bus listens, by its configuration.
    pub fn bus_port(&self) -> u16 {
        self.config.bus_port()
    }

    /// nodes.conf, if it says something that was not given yet to be written at leisure. To be
    /// asked for at the end; before that it comes with a batch.
    pub fn last_save(&mut self) -> Option<NodesConf> {
        self.take_unsaved(false)
    }

    fn take_unsaved(&mut self, durable: bool) -> Option<NodesConf> {
        std::mem::take(&mut self.todo.unsaved)
            .then(|| NodesConf { text: nodes_conf::write(self), durable })
    }

    /// Puts what the operator announces into this node's own record.
    fn apply_own_config(&mut self) {
        let config = self.config.clone();
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
            assert!(node.config_epoch <= self.epochs.current, "an epoch beyond the current one");
            for link in [node.link, node.inbound].into_iter().flatten() {
                let owner = self.links.get(&link).and_then(|link| link.node);
                assert_eq!(owner, Some(node.id), "link {link:?} does not know its node");
            }
        }
        assert!(self.epochs.last_vote <= self.epochs.current, "a vote in a future epoch");
        let me = self.nodes.me();
        assert_ne!(me.primary(), Some(me.id), "a node replicates itself");
        assert!(me.is_primary() || me.is_replica(), "this node has no role");
    }
}

/// A record for this node itself, with a random name.
pub(crate) fn new_self(rng: &mut Rng, now: Millis) -> Node {
    let mut me = Node::new(rng.node_id(), ShardId(rng.node_id()), now);
    me.role = Role::Primary;
    me.extensions = true;
    me
}
