//! Data: what the simulated processes hold, write and replicate, if a run has it.
//!
//! Real are the engine with its store, the log with its identity and readers, both machines of
//! PSYNC, the walk of a snapshot, the codec of its payload, and the loading. They are driven here
//! over the connections of the simulated network, as the server drives them over sockets. The state
//! of the link to the primary and the offset, which the cluster core is told, come from them.
//!
//! | file | what |
//! | --- | --- |
//! | `node.rs` | the data of a process, and what the cluster core wants of it |
//! | `conn.rs`, `rim.rs` | clients' connections: commands are run by the real engine |
//! | `feed.rs`, `sync.rs` | the primary's side of replication; snapshots |
//! | `link.rs` | the replica's side |
//! | `client.rs` | simulated clients |
//! | `oracle/` | what clients were promised, compared with what they saw |
//!
//! A full synchronisation takes as long as chance says, and its primary may die in the middle of
//! it. A replica lags when its network is slow. A backlog is too small when `DataOptions` says so.
//!
//! Deliberately not here: threads, so a command never meets a locked slot; expiry and eviction;
//! transactions; moving slots with their keys.

mod client;
mod conn;
mod digest;
mod feed;
mod link;
mod node;
pub(crate) mod oracle;
mod rim;
mod sync;

use crate::net::{self, End, HostId, Network, addr_of};
use crate::rng::Rng;
use crate::world::{Happening, World};
use client::Clients;
pub(crate) use node::Node;
use oracle::promises::Candidate;
use oracle::{Counts, Oracle, Rule, Violation};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use tessera_cluster::{Effect, Event, LinkId, Now, PrimaryLink, ViewRole};
use tessera_log::ReplId;
use tessera_slot::{Offset, Slot};

/// How often a node looks at its timers, in milliseconds.
const TICK: u64 = 20;

/// A fault of the system under test, to see that the oracle finds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// WAIT is answered before replicas have acknowledged.
    WaitsForNobody,
    /// A replica passes over some commands.
    SkipsCommands,
    /// A promoted replica goes on under its primary's replication id.
    KeepsReplicationId,
    /// A primary goes on serving when the core says that the cluster is down, or that it was
    /// replaced.
    ServesWhenDown,
    /// A client is told of an error, but its write was done.
    RefusesWhatItDoes,
    /// A primary acknowledges some writes that it does not do.
    ForgetsWrites,
    /// A primary continues the history of whoever asks, if the name is not its own.
    ResumesAnyHistory,
    /// A full synchronisation drops the data of a replica that has been elected already, while its
    /// nodes.conf is on the way to the disk.
    DropsDataWhenElected,
    /// A process that was stopped, and goes on, answers before its core has had a turn.
    IgnoresThatItWasStopped,
    /// A replica that has resynchronised does not apply the stream.
    TakesNoStream,
}

/// How a run with data is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DataOptions {
    /// The number of clients.
    pub clients: usize,
    /// Bytes of history that are kept for replicas that come back (`repl-backlog-size`).
    pub backlog: u64,
    /// Bytes of the values that SET writes.
    pub value_bytes: usize,
    /// `repl-timeout`, in milliseconds.
    pub repl_timeout: u64,
    /// The fault of the system under test.
    pub bug: Option<Bug>,
}

impl Default for DataOptions {
    fn default() -> DataOptions {
        DataOptions { clients: 5, backlog: 1 << 20, value_bytes: 20, repl_timeout: 5000, bug: None }
    }
}

/// The part of a world that has data.
pub(crate) struct Data {
    pub(crate) options: DataOptions,
    pub(crate) oracle: Oracle,
    clients: Clients,
}

/// What a node wants of the network.
#[derive(Debug)]
pub(crate) enum Output {
    Connect { link: LinkId, host: HostId },
    Send { link: LinkId, bytes: Vec<u8> },
    Close { link: LinkId },
}

/// The surroundings of a node's step.
pub(crate) struct Ctx<'a> {
    pub(crate) me: oracle::ProcessId,
    pub(crate) now: Now,
    /// Milliseconds since the run began.
    pub(crate) at: u64,
    pub(crate) rng: &'a mut Rng,
    pub(crate) oracle: &'a mut Oracle,
    pub(crate) out: Vec<Output>,
    /// The core lets nobody synchronise now.
    pub(crate) withholds: bool,
    /// The core takes this node for a replica: it has won no election that is not carried out yet.
    pub(crate) may_lose_data: bool,
    /// In milliseconds.
    pub(crate) node_timeout: u64,
    pub(crate) bug: Option<Bug>,
    net: &'a Network,
}

impl Ctx<'_> {
    pub(crate) fn random_id(&mut self) -> ReplId {
        random_id(self.rng)
    }

    /// How many bytes that were sent over a link wait for a partition to end.
    pub(crate) fn stalled(&self, link: LinkId) -> usize {
        self.net.stalled(End { host: self.me.0, generation: self.me.1, link })
    }
}

fn random_id(rng: &mut Rng) -> ReplId {
    let mut bytes = [0; 20];
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&rng.next_u64().to_be_bytes()[..chunk.len()]);
    }
    ReplId::from_random(bytes)
}

impl World {
    /// The data of a process that starts now.
    pub(crate) fn new_node(&mut self, host: HostId) -> Option<Box<Node>> {
        let options = self.data.as_ref()?.options;
        let (seed, id) = (self.rng.next_u64(), random_id(&mut self.rng));
        Some(Box::new(Node::new(options, seed, id, self.clock(host))))
    }

    /// Lets a node do something, and carries out what it wants of the network.
    fn with_node(&mut self, host: HostId, act: impl FnOnce(&mut Node, &mut Ctx<'_>)) {
        let now = self.clock(host);
        let machine = &mut self.hosts[host];
        let (Some(data), Some(process)) = (&mut self.data, &mut machine.process) else { return };
        let withholds = process.cluster.withholds_data();
        let may_lose_data = matches!(process.cluster.role(), ViewRole::Replica(_));
        let Some(node) = &mut process.data else { return };
        let mut ctx = Ctx {
            me: (host, machine.generation),
            now,
            at: self.now,
            rng: &mut self.rng,
            oracle: &mut data.oracle,
            out: Vec::new(),
            withholds,
            may_lose_data,
            node_timeout: self.config.node_timeout,
            bug: data.options.bug,
            net: &self.net,
        };
        act(node, &mut ctx);
        let outputs = ctx.out;
        process.offset = node.offset().0;
        process.writes_paused = node.has_paused_writes();
        for output in outputs {
            match output {
                Output::Connect { link, host: to } => self.open(self.end(host, link), addr_of(to)),
                Output::Send { link, bytes } => self.send(self.end(host, link), bytes.into()),
                Output::Close { link } => self.close(self.end(host, link)),
            }
        }
    }

    /// Something has come over a link of a node's clients' port, or of its link to a primary.
    pub(crate) fn deliver_data(&mut self, host: HostId, event: Event) {
        if self.hosts[host].paused {
            self.hosts[host].inbox.push(event);
            return;
        }
        self.with_node(host, |node, ctx| match event {
            Event::LinkAccepted { link, .. } => node.accepted(link, ctx),
            Event::LinkConnected { link, .. } if node.is_to_primary(link) => {
                node.connected_to_primary(ctx);
            }
            Event::Packet { link, bytes } if node.is_to_primary(link) => {
                node.primary_says(&bytes, ctx);
            }
            Event::Packet { link, bytes } => node.received(link, &bytes, ctx),
            Event::LinkDown { link, .. } if node.is_to_primary(link) => node.lost_primary(ctx),
            Event::LinkDown { link, .. } => drop(node.forget(link)),
            _ => {}
        });
        self.tell_core(host, false);
    }

    /// A node looks at its timers.
    pub(crate) fn data_tick(&mut self, host: HostId, generation: u64) {
        if self.hosts[host].generation != generation || self.hosts[host].process.is_none() {
            return;
        }
        self.schedule(self.now + TICK, host, generation, Happening::DataTick);
        if !self.hosts[host].paused {
            self.with_node(host, Node::tick);
            self.tell_core(host, false);
        }
    }

    /// The core has had its turn.
    pub(crate) fn beat(&mut self, host: HostId) {
        if !self.is_busy(host) {
            self.with_node(host, Node::beat);
        }
    }

    /// Tells the core of the node's offset and link: with its ticks, and at once if the link has
    /// gone up or down.
    pub(crate) fn tell_core(&mut self, host: HostId, is_due: bool) {
        let now = self.clock(host).mono;
        let Some(process) = &mut self.hosts[host].process else { return };
        let Some(node) = &process.data else { return };
        let link = node.primary_link(now).unwrap_or(PrimaryLink::Down { since: None });
        let is_up = |link| matches!(link, PrimaryLink::Up { .. });
        let is_news = link != process.primary_link && !(is_up(link) && is_up(process.primary_link));
        if !is_due && !is_news {
            return;
        }
        let offset = node.offset();
        process.primary_link = link;
        if link == PrimaryLink::Incomplete {
            return self.tell_at_once(host, Event::PrimaryLink(link));
        }
        self.deliver(host, Event::ReplicationOffset(offset));
        self.deliver(host, Event::PrimaryLink(link));
    }

    /// The core wants something of the data.
    pub(crate) fn data_effect(&mut self, host: HostId, effect: &Effect) {
        if *effect == Effect::Promote {
            self.judge_promotion(host);
        }
        self.with_node(host, |node, ctx| node.effect(effect, ctx));
        let generation = self.hosts[host].generation;
        if let Effect::PauseWrites { .. } = effect {
            let offset = Offset(self.offset(host));
            let event = Event::WritesPaused { offset };
            self.schedule(self.now + 1, host, generation, Happening::Event(event));
        }
    }

    fn judge_promotion(&mut self, host: HostId) {
        let process = self.hosts[host].process.as_ref();
        if process.and_then(|process| process.data.as_ref()).is_some_and(|node| node.incomplete)
            && let Some(data) = &mut self.data
        {
            let text = format!("host {host} is promoted with half its data");
            data.oracle.violated(Rule::Wait, self.now, text);
        }
        let is_judged = self.invariants.is_judged(host, &self.hosts, self.now);
        let candidate = |host: HostId| {
            let process = self.hosts[host].process.as_ref()?;
            let position = process.data.as_ref()?.position();
            Some(Candidate { process: (host, self.hosts[host].generation), position })
        };
        let Some(process) = &self.hosts[host].process else { return };
        let (primary, slots) = (process.following, process.cluster.claims().slots.clone());
        let could_stand = |other: &HostId| {
            let process = self.hosts[*other].process.as_ref();
            *other != host
                && process.is_some_and(|process| {
                    process.following == primary && process.primary_link != PrimaryLink::Incomplete
                })
        };
        let others: Vec<Candidate> =
            (0..self.hosts.len()).filter(could_stand).filter_map(candidate).collect();
        let Some(winner) = candidate(host) else { return };
        let now = self.now;
        if let Some(data) = &mut self.data {
            data.oracle.promoted(&winner, &slots, &others, is_judged, now);
        }
    }

    /// What is not yet the same on the nodes of a shard; `None` if all replicas have what their
    /// primaries have.
    fn data_difference(&self) -> Option<String> {
        (0..self.hosts.len()).find_map(|host| {
            let process = self.hosts[host].process.as_ref()?;
            let node = process.data.as_ref()?;
            if !node.is_replica() {
                return None;
            }
            let primary =
                process.following.and_then(|primary| self.hosts[primary].process.as_ref());
            let Some(primary) = primary.and_then(|process| process.data.as_ref()) else {
                return Some(format!("host {host} follows nobody"));
            };
            let is_same = node.position() == primary.position() && node.digest == primary.digest;
            (!is_same || process.primary_link == PrimaryLink::Incomplete).then(|| {
                format!("host {host} {:?}, primary {:?}", node.position(), primary.position())
            })
        })
    }

    /// The clients ask for nothing more.
    pub fn stop_clients(&mut self) {
        if let Some(data) = &mut self.data {
            data.clients.stop();
        }
    }

    /// The faults have ended: the data must come to be the same everywhere within this time, in
    /// milliseconds.
    pub fn expect_convergence(&mut self, limit: u64) {
        let is_same =
            self.run_while_looking_every(10, limit, |world| world.data_difference().is_some());
        let (difference, now) = (self.data_difference().unwrap_or_default(), self.now);
        let hosts = &mut self.hosts;
        let Some(data) = &mut self.data else { return };
        if is_same.is_none() {
            data.oracle.violated(Rule::Converges, now, difference);
        }
        // The numbers that were kept up to date, and the whole keyspace.
        for (host, machine) in hosts.iter_mut().enumerate() {
            let Some(node) = machine.process.as_mut().and_then(|p| p.data.as_mut()) else {
                continue;
            };
            let before = node.digest.sum();
            node.digest.compute(&node.engine.keyspace);
            if node.digest.sum() != before {
                let text = format!("host {host} has keys that nobody has touched");
                data.oracle.violated(Rule::Fork, now, text);
            }
        }
    }

    /// What the oracle says of the run until now.
    pub fn verdict(&mut self) -> Vec<Violation> {
        let now = self.now;
        self.data.as_mut().map_or(Vec::new(), |data| data.oracle.verdict(now))
    }

    /// The acknowledged tokens and increments that the primaries do not have now. Failures may lose
    /// some, unless WAIT has promised them.
    pub fn lost_writes(&self) -> Vec<String> {
        let Some(data) = &self.data else { return Vec::new() };
        data.oracle.lost_writes(|key| {
            let slot = Slot::of_key(key);
            let process = self.hosts.iter().find_map(|host| {
                host.process.as_ref().filter(|process| process.serves.contains(slot))
            });
            let node = process?.data.as_ref()?;
            digest::value_of(&node.engine.keyspace, key)
        })
    }

    /// What has happened to the data.
    pub fn counts(&self) -> Counts {
        self.data.as_ref().map_or(Counts::default(), |data| Counts {
            compared: data.oracle.histories.compared,
            ..data.oracle.counts
        })
    }

    /// One number for all that nodes hold and clients have seen.
    pub fn data_fingerprint(&self) -> u64 {
        let nodes = self.hosts.iter().filter_map(|host| host.process.as_ref()?.data.as_ref());
        let data = self.data.as_ref();
        let mut hasher = DefaultHasher::new();
        for node in nodes {
            (node.digest.sum(), node.position().map(|(id, at)| (*id.as_bytes(), at.0)))
                .hash(&mut hasher);
        }
        data.map(|data| format!("{:?}", data.oracle.operations)).hash(&mut hasher);
        hasher.finish()
    }

    /// A run with data begins.
    pub(crate) fn give_data(&mut self, setup: crate::Setup, options: DataOptions) {
        let clients = Clients::new(setup, options);
        self.data = Some(Data { options, oracle: Oracle::default(), clients });
        for number in 0..options.clients {
            let at = 2000 + self.rng.below(500);
            self.schedule(at, 0, net::CLIENTS, Happening::Client { number, alarm: 0 });
        }
    }
}

/// The bytes of a command.
fn encoded(args: &[&[u8]]) -> Arc<[u8]> {
    let mut out = Vec::new();
    tessera_log::encode_command(&mut out, args);
    out.into()
}
