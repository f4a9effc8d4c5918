//! Hosts, network and time: what happens next, and what follows from it.

use crate::data::Data;
use crate::invariants::Invariants;
use crate::net::{self, CLIENTS, End, HostId, Network};
use crate::process::{Host, Process};
use crate::rng::Rng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use tessera_cluster::{
    Cluster, ClusterConfig, CommandContext, Event, Keyspace, LinkDownReason, Now, PrimaryLink,
    Snapshot,
};
use tessera_resp::Value;
use tessera_slot::{Millis, NodeId, Slot, SlotSet};

/// The wall clock when a run begins, in milliseconds since 1970.
const EPOCH_START: u64 = 1_700_000_000_000;
/// The first value of the monotonic clocks.
pub(crate) const MONO_START: u64 = 1_000_000;

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Happening {
    Tick,
    /// An event for a process of a host.
    Event(Event),
    /// A connection attempt reaches its target.
    Syn {
        opener: End,
        target: HostId,
    },
    /// nodes.conf is on disk.
    Saved,
    /// The opener learns that it is connected.
    Connected {
        number: u64,
    },
    /// A process looks at the timers of its data.
    DataTick,
    /// A client's alarm rings.
    Client {
        number: usize,
        alarm: u64,
    },
}

/// When, in what order, where and to which process of that host.
type Entry = (u64, u64, HostId, u64);

/// A simulated cluster.
pub struct World {
    /// Milliseconds since the run began.
    pub now: u64,
    /// The seed that the run follows from.
    pub seed: u64,
    /// The run's source of chance.
    pub rng: Rng,
    pub(crate) hosts: Vec<Host>,
    pub(crate) net: Network,
    pub(crate) config: ClusterConfig,
    /// Whether clients write: primaries' offsets grow.
    pub writes: bool,
    /// Whether a replica that finds its primary again may need a full synchronisation:
    /// [`World::suffer`] says so.
    pub(crate) full_syncs: bool,
    /// How many full synchronisations have begun.
    pub full_syncs_begun: u64,
    /// Log lines of importance: when, where, what.
    pub log: Vec<(u64, HostId, String)>,
    pub(crate) invariants: Invariants,
    /// The data, if the run has any.
    pub(crate) data: Option<Data>,
    queue: BinaryHeap<Reverse<Entry>>,
    happenings: std::collections::HashMap<u64, Happening>,
    sequence: u64,
}

struct NoKeys;

impl Keyspace for NoKeys {
    fn keys_in_slot(&self, _: Slot) -> usize {
        0
    }
    fn is_empty(&self) -> bool {
        true
    }
}

impl World {
    /// A world with this many hosts, on which nothing runs yet.
    pub fn new(seed: u64, hosts: usize, config: ClusterConfig) -> World {
        World {
            now: 0,
            seed,
            rng: Rng::new(seed),
            hosts: (0..hosts).map(|_| Host::default()).collect(),
            net: Network::default(),
            config: ClusterConfig { port: net::CLIENT_PORT, cluster_port: net::BUS_PORT, ..config },
            writes: true,
            full_syncs: false,
            full_syncs_begun: 0,
            log: Vec::new(),
            invariants: Invariants::default(),
            data: None,
            queue: BinaryHeap::new(),
            happenings: std::collections::HashMap::new(),
            sequence: 0,
        }
    }

    /// The number of hosts.
    pub fn host_count(&self) -> usize {
        self.hosts.len()
    }

    /// The node that runs on a host, if one does.
    pub fn cluster(&self, host: HostId) -> Option<&Cluster> {
        self.hosts[host].process.as_ref().map(|process| &process.cluster)
    }

    /// The cluster as the node on a host sees it.
    pub fn snapshot(&self, host: HostId) -> Option<Snapshot> {
        self.cluster(host).map(Cluster::snapshot)
    }

    /// The name of the node that runs on a host.
    pub fn id(&self, host: HostId) -> Option<NodeId> {
        self.cluster(host).map(Cluster::id)
    }

    /// Whether a process runs on the host and is not stopped.
    pub(crate) fn is_running(&self, host: HostId) -> bool {
        self.hosts[host].process.is_some() && !self.hosts[host].paused
    }

    /// Whether clients' writes are taken by the node on this host.
    pub fn takes_writes(&self, host: HostId) -> bool {
        let process = self.hosts[host].process.as_ref();
        self.is_running(host)
            && process.is_some_and(|process| !process.serves.is_empty() && !process.writes_paused)
    }

    /// The longest time in which two nodes have taken writes for one slot, in milliseconds.
    pub fn longest_with_two_writers(&self) -> u64 {
        self.invariants.longest_with_two_writers()
    }

    pub(crate) fn clock(&self, host: HostId) -> Now {
        let unix = (EPOCH_START + self.now).saturating_add_signed(self.hosts[host].clock_error);
        Now { mono: Millis(MONO_START + self.now), unix: Millis(unix) }
    }

    pub(crate) fn schedule(
        &mut self,
        at: u64,
        host: HostId,
        generation: u64,
        happening: Happening,
    ) {
        let sequence = self.sequence;
        self.sequence += 1;
        self.queue.push(Reverse((at.max(self.now), sequence, host, generation)));
        self.happenings.insert(sequence, happening);
    }

    /// Runs until the given moment.
    pub fn run_until(&mut self, end: u64) {
        while let Some(Reverse((at, ..))) = self.queue.peek() {
            if *at > end {
                break;
            }
            self.step();
        }
        self.now = end;
    }

    /// Runs for this many milliseconds.
    pub fn run_for(&mut self, millis: u64) {
        self.run_until(self.now + millis);
    }

    /// Runs while the condition holds, looking every 10 ms; gives how long it took, or `None` if it
    /// still holds at the limit.
    pub fn run_while(&mut self, limit: u64, waiting: impl Fn(&World) -> bool) -> Option<u64> {
        self.run_while_looking_every(10, limit, waiting)
    }

    /// The same, for conditions that are costly to look at.
    pub fn run_while_looking_every(
        &mut self,
        step: u64,
        limit: u64,
        waiting: impl Fn(&World) -> bool,
    ) -> Option<u64> {
        let start = self.now;
        while waiting(self) {
            if self.now - start >= limit {
                return None;
            }
            self.run_for(step);
        }
        Some(self.now - start)
    }

    fn step(&mut self) {
        let Some(Reverse((at, sequence, host, generation))) = self.queue.pop() else { return };
        let happening = self.happenings.remove(&sequence);
        self.now = self.now.max(at);
        match happening {
            Some(Happening::Tick) => self.tick(host, generation),
            Some(Happening::Event(event)) => self.arrive(host, generation, event),
            Some(Happening::DataTick) => self.data_tick(host, generation),
            Some(Happening::Client { number, alarm }) => self.client_alarm(number, alarm),
            Some(Happening::Saved) if generation == self.hosts[host].generation => self.saved(host),
            Some(Happening::Syn { opener, target }) => self.syn_arrives(opener, target),
            Some(Happening::Connected { number }) => self.connected(number),
            _ => {}
        }
    }

    /// Something reaches a process, or a client at home on the host.
    pub(crate) fn arrive(&mut self, host: HostId, generation: u64, event: Event) {
        if generation == CLIENTS {
            self.client_event(event);
        } else if generation == self.hosts[host].generation {
            self.deliver(host, event);
        }
    }

    // ---- processes

    /// Starts a process from what the host's disk holds.
    pub fn start(&mut self, host: HostId) {
        let seed = self.rng.next_u64();
        if self.hosts[host].process.is_some() {
            return;
        }
        let (now, config) = (self.clock(host), self.config.clone());
        let data = self.new_node(host);
        let machine = &mut self.hosts[host];
        machine.generation += 1;
        machine.paused = false;
        machine.inbox.clear();
        let cluster = Cluster::new(config, machine.disk.file.as_deref(), now, seed)
            .expect("the file was written by the core");
        let generation = machine.generation;
        machine.process = Some(Process {
            cluster,
            next_accept: 0,
            tick_at: self.now,
            offset: 0,
            following: None,
            linked_to: 0,
            primary_link: PrimaryLink::Down { since: None },
            link_at_decision: PrimaryLink::Down { since: None },
            sync_ticks: 0,
            writes_paused: false,
            saving: None,
            serves: SlotSet::EMPTY,
            data,
        });
        self.invariants.process_started(host, &self.hosts[host], self.seed);
        self.trouble(host);
        // No data survives a process here. The core knows before anybody can connect, however long
        // its first save takes.
        self.tell_at_once(host, Event::StartedEmpty);
        let first = self.now + self.rng.below(100);
        self.schedule_tick(host, generation, first);
        if self.data.is_some() {
            self.schedule(self.now, host, generation, Happening::DataTick);
        }
    }

    /// kill -9: the process is gone, its host says so to its peers.
    pub fn kill(&mut self, host: HostId) {
        if self.hosts[host].process.take().is_none() {
            return;
        }
        self.trouble(host);
        // Bytes that a stopped process has not read make its system reset the connection.
        let stopped = self.hosts[host].paused;
        let reason = if stopped { LinkDownReason::Reset } else { LinkDownReason::Eof };
        let generation = self.hosts[host].generation;
        self.hosts[host].generation += 1;
        self.hosts[host].paused = false;
        self.hosts[host].inbox.clear();
        self.hosts[host].save_fault = None;
        let numbers: Vec<u64> = self.net.connections.keys().copied().collect();
        for number in numbers {
            let ends = self.net.connections[&number].ends;
            for (side, end) in ends.iter().enumerate() {
                if end.host == host && end.generation == generation {
                    self.hang_up(number, side, reason);
                }
            }
        }
        self.invariants.stopped(host);
    }

    /// A fault befalls a host.
    pub(crate) fn trouble(&mut self, host: HostId) {
        self.hosts[host].troubled_at = self.now;
    }

    /// A power cut: data that was not synced is lost too.
    pub(crate) fn cut_power(&mut self, host: HostId) {
        self.kill(host);
        let disk = &mut self.hosts[host].disk;
        disk.file = disk.synced.clone();
    }

    /// The host's disk is replaced by an old copy of itself, with everything the node has promised
    /// since forgotten. The invariants of nodes that keep their promises no longer hold for this
    /// one.
    ///
    /// # Panics
    /// If the host never ran a node.
    pub fn restore_old_disk(&mut self, host: HostId, copy: String) {
        self.kill(host);
        let disk = &mut self.hosts[host].disk;
        disk.file = Some(copy.clone());
        disk.synced = Some(copy);
        self.invariants.disk_replaced(host);
        self.start(host);
        let id = self.id(host).expect("it was just started");
        self.invariants.excuse(id);
    }

    /// The host's nodes.conf as it is now.
    pub fn copy_of_disk(&self, host: HostId) -> Option<String> {
        self.hosts[host].disk.file.clone()
    }

    /// SIGSTOP.
    pub fn pause(&mut self, host: HostId) {
        self.trouble(host);
        self.hosts[host].paused = self.hosts[host].process.is_some();
        self.invariants.stopped(host);
    }

    /// SIGCONT: the events that have piled up are handled, in a driver's order: ticks may come
    /// first.
    pub fn resume(&mut self, host: HostId) {
        if !std::mem::take(&mut self.hosts[host].paused) {
            return;
        }
        self.trouble(host);
        let generation = self.hosts[host].generation;
        if self.rng.one_in(2) {
            self.tick(host, generation);
        }
        for event in std::mem::take(&mut self.hosts[host].inbox) {
            self.deliver(host, event);
        }
        self.schedule_tick(host, self.hosts[host].generation, self.now);
    }

    pub(crate) fn deliver(&mut self, host: HostId, event: Event) {
        if net::link_of(&event).is_some_and(net::is_data) {
            return self.deliver_data(host, event);
        }
        if self.is_busy(host) {
            self.hosts[host].inbox.push(event);
            return;
        }
        let now = self.clock(host);
        let Some(process) = &mut self.hosts[host].process else { return };
        process.cluster.handle(now, event);
        self.carry_out(host);
    }

    fn tick(&mut self, host: HostId, generation: u64) {
        let machine = &self.hosts[host];
        let due = machine.process.as_ref().is_some_and(|process| process.tick_at <= self.now);
        if generation != machine.generation || machine.paused || !due {
            return;
        }
        if self.is_busy(host) {
            let next = self.now + 10;
            return self.schedule_tick(host, generation, next);
        }
        if self.data.is_some() {
            self.tell_core(host, true);
        } else {
            self.replicate(host);
        }
        self.deliver(host, Event::Tick);
        self.beat(host);
        let next = self.now + 95 + self.rng.below(10);
        self.schedule_tick(host, generation, next);
    }

    pub(crate) fn schedule_tick(&mut self, host: HostId, generation: u64, at: u64) {
        if let Some(process) = &mut self.hosts[host].process {
            process.tick_at = at;
            self.schedule(at, host, generation, Happening::Tick);
        }
    }

    /// Runs a CLUSTER subcommand on a node.
    pub fn command(&mut self, host: HostId, line: &str) -> Option<Value> {
        if !self.is_running(host) || self.is_busy(host) {
            return None;
        }
        if line.starts_with("FAILOVER ") {
            self.invariants.forced(self.now);
            if let Some(data) = &mut self.data {
                data.oracle.forced(self.now);
            }
        }
        let now = self.clock(host);
        let argv: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let context = CommandContext { keyspace: &NoKeys, client_tls: false, client: "sim" };
        let process = self.hosts[host].process.as_mut()?;
        let value = process.cluster.command(now, &context, &argv);
        self.carry_out(host);
        Some(value)
    }
}
