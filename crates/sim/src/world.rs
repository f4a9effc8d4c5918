//! Hosts, network and time: what happens next, and what follows from it.

use crate::invariants::Invariants;
use crate::net::{self, End, HostId, Network, addr_of, ip_of};
use crate::process::{Host, Process, SaveFault};
use crate::rng::Rng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::sync::Arc;
use tessera_cluster::{
    Batch, Cluster, ClusterConfig, CommandContext, Effect, Event, Keyspace, LinkDownReason, LinkId,
    LogLevel, Now, PrimaryLink, Snapshot, ViewRole,
};
use tessera_resp::Value;
use tessera_slot::{Millis, NodeId, Offset, Slot};

/// The wall clock when a run begins, in milliseconds since 1970.
const EPOCH_START: u64 = 1_700_000_000_000;
/// Where the monotonic clocks begin.
const MONO_START: u64 = 1_000_000;

/// Something that will happen.
#[derive(Debug)]
enum Happening {
    Tick,
    /// An event for a process of a host.
    Event(Event),
    /// A connection attempt reaches its target.
    Syn {
        opener: End,
        target: HostId,
    },
    /// The opener learns that it is connected.
    Connected {
        number: u64,
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
    /// Whether a replica that finds its primary again may need a full synchronisation: [`World::suffer`] says so.
    pub(crate) full_syncs: bool,
    /// How many full synchronisations have begun.
    pub full_syncs_begun: u64,
    /// Log lines of importance: when, where, what.
    pub log: Vec<(u64, HostId, String)>,
    pub(crate) invariants: Invariants,
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
    /// A world with so many hosts, on which nothing runs yet.
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

    /// What the node on a host believes.
    pub fn snapshot(&self, host: HostId) -> Option<Snapshot> {
        self.cluster(host).map(Cluster::snapshot)
    }

    /// The name of the node that runs on a host.
    pub fn id(&self, host: HostId) -> Option<NodeId> {
        self.cluster(host).map(Cluster::id)
    }

    /// Whether a process runs on the host and is not stopped.
    pub fn is_running(&self, host: HostId) -> bool {
        self.hosts[host].process.is_some() && !self.hosts[host].paused
    }

    fn clock(&self, host: HostId) -> Now {
        let unix = (EPOCH_START + self.now).saturating_add_signed(self.hosts[host].clock_error);
        Now { mono: Millis(MONO_START + self.now), unix: Millis(unix) }
    }

    fn schedule(&mut self, at: u64, host: HostId, generation: u64, happening: Happening) {
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

    /// Runs for so many milliseconds.
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
            Some(Happening::Event(event)) if generation == self.hosts[host].generation => {
                self.deliver(host, event);
            }
            Some(Happening::Syn { opener, target }) => self.syn_arrives(opener, target),
            Some(Happening::Connected { number }) => self.connected(number),
            _ => {}
        }
    }

    // ---- processes

    /// Starts a process from what the host's disk holds.
    pub fn start(&mut self, host: HostId) {
        let seed = self.rng.next_u64();
        let (now, config) = (self.clock(host), self.config.clone());
        let machine = &mut self.hosts[host];
        if machine.process.is_some() {
            return;
        }
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
            primary_link: PrimaryLink::Down { since: None },
            sync_ticks: 0,
            writes_paused: false,
        });
        self.invariants.process_started(host, &self.hosts[host], self.seed);
        self.carry_out(host);
        let first = self.now + self.rng.below(100);
        self.schedule_tick(host, generation, first);
    }

    /// kill -9: the process is gone, its host says so to its peers.
    pub fn kill(&mut self, host: HostId) {
        if self.hosts[host].process.take().is_none() {
            return;
        }
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
                    self.hang_up(number, side, LinkDownReason::Reset);
                }
            }
        }
    }

    /// A power cut: what was not synced is lost too.
    pub fn cut_power(&mut self, host: HostId) {
        self.kill(host);
        let disk = &mut self.hosts[host].disk;
        disk.file = disk.synced.clone();
    }

    /// The host's disk is replaced by an old copy of itself, with everything the node has promised
    /// since forgotten. What holds for nodes that keep their promises no longer holds for this one.
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
        self.hosts[host].paused = self.hosts[host].process.is_some();
    }

    /// SIGCONT: what has piled up is handled, in a driver's order: ticks may come first.
    pub fn resume(&mut self, host: HostId) {
        if !std::mem::take(&mut self.hosts[host].paused) {
            return;
        }
        let generation = self.hosts[host].generation;
        if self.rng.one_in(2) {
            self.tick(host, generation);
        }
        for event in std::mem::take(&mut self.hosts[host].inbox) {
            self.deliver(host, event);
        }
        self.schedule_tick(host, self.hosts[host].generation, self.now);
    }

    fn deliver(&mut self, host: HostId, event: Event) {
        if self.hosts[host].paused {
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
        self.replicate(host);
        self.deliver(host, Event::Tick);
        let next = self.now + 95 + self.rng.below(10);
        self.schedule_tick(host, generation, next);
    }

    fn schedule_tick(&mut self, host: HostId, generation: u64, at: u64) {
        if let Some(process) = &mut self.hosts[host].process {
            process.tick_at = at;
            self.schedule(at, host, generation, Happening::Tick);
        }
    }

    /// Runs a CLUSTER subcommand on a node.
    pub fn command(&mut self, host: HostId, line: &str) -> Option<Value> {
        if !self.is_running(host) {
            return None;
        }
        let now = self.clock(host);
        let argv: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let context = CommandContext { keyspace: &NoKeys, client_tls: false, client: "sim" };
        let process = self.hosts[host].process.as_mut()?;
        let value = process.cluster.command(now, &context, &argv);
        self.carry_out(host);
        Some(value)
    }

    // ---- effects

    fn carry_out(&mut self, host: HostId) {
        loop {
            let Some(process) = &mut self.hosts[host].process else { return };
            let Some(batch) = process.cluster.poll_batch() else { break };
            if !self.save(host, &batch) {
                return;
            }
            for effect in batch.then {
                self.effect(host, effect);
            }
        }
        self.invariants.after_step(host, &self.hosts[host], self.seed);
        let generation = self.hosts[host].generation;
        let Some(process) = &self.hosts[host].process else { return };
        let due = process.cluster.next_timeout().0 - MONO_START;
        if due < process.tick_at {
            self.schedule_tick(host, generation, due);
        }
    }

    /// Writes nodes.conf; false if the process has died over it.
    fn save(&mut self, host: HostId, batch: &Batch) -> bool {
        let Some(save) = &batch.save else { return true };
        let fault = if save.durable { self.hosts[host].save_fault.take() } else { None };
        if fault == Some(SaveFault::Before) {
            self.kill(host);
            return false;
        }
        let disk = &mut self.hosts[host].disk;
        disk.file = Some(save.text.clone());
        if save.durable {
            disk.synced = Some(save.text.clone());
            self.invariants.saved_durably(host, &self.hosts[host]);
        }
        if fault == Some(SaveFault::After) {
            self.kill(host);
            return false;
        }
        true
    }

    fn effect(&mut self, host: HostId, effect: Effect) {
        match effect {
            Effect::OpenLink { link, addr } => self.open(host, link, addr),
            Effect::CloseLink { link } => {
                let generation = self.hosts[host].generation;
                if let Some((number, side)) = self.net.find(host, generation, link) {
                    self.hang_up(number, side, LinkDownReason::Eof);
                }
            }
            Effect::Send { link, bytes } => self.send(host, link, bytes),
            Effect::Follow { host: ip, .. } => self.follow(host, net::host_at(ip)),
            Effect::Promote => {
                if let Some(process) = &mut self.hosts[host].process {
                    process.following = None;
                    // From here on the data is what it is.
                    if process.primary_link == PrimaryLink::Incomplete {
                        process.primary_link = PrimaryLink::Down { since: None };
                    }
                }
            }
            Effect::PauseWrites { .. } => {
                let Some(process) = &mut self.hosts[host].process else { return };
                process.writes_paused = true;
                let offset = Offset(process.offset);
                let generation = self.hosts[host].generation;
                let event = Event::WritesPaused { offset };
                self.schedule(self.now + 1, host, generation, Happening::Event(event));
            }
            Effect::ResumeWrites => {
                if let Some(process) = &mut self.hosts[host].process {
                    process.writes_paused = false;
                }
            }
            Effect::Log { level, text, .. } if level >= LogLevel::Notice => {
                self.log.push((self.now, host, text));
            }
            _ => {}
        }
    }

    // ---- replication, as far as offsets go

    fn follow(&mut self, host: HostId, primary: Option<HostId>) {
        let now = self.clock(host).mono;
        if let Some(process) = &mut self.hosts[host].process {
            process.following = primary;
            process.primary_link = match process.primary_link {
                PrimaryLink::Up => PrimaryLink::Down { since: Some(now) },
                same => same,
            };
        }
    }

    /// Moves a node's offset on, and tells the core.
    fn replicate(&mut self, host: HostId) {
        let Some(process) = &self.hosts[host].process else { return };
        let (following, offset, before) = (process.following, process.offset, process.primary_link);
        let is_primary = process.cluster.role() == ViewRole::Primary;
        let source = following.and_then(|primary| self.source_offset(host, primary));
        let grows = self.writes && is_primary && !process.writes_paused;
        let written = if grows { self.rng.below(1000) } else { 0 };
        let lagging = self.hosts[host].lag > 0 && self.rng.below(self.hosts[host].lag) != 0;
        let link = self.next_link(host, following.is_some(), source.is_some());
        let Some(process) = &mut self.hosts[host].process else { return };
        process.primary_link = link;
        process.offset = match source {
            _ if link == PrimaryLink::Incomplete => 0,
            Some(_) if lagging => offset,
            Some(source) => source,
            None => offset + written,
        };
        let events = [
            (before != link).then_some(Event::PrimaryLink(link)),
            (process.offset != offset).then_some(Event::ReplicationOffset(Offset(process.offset))),
        ];
        for event in events.into_iter().flatten() {
            self.deliver(host, event);
        }
    }

    /// How a node's link to its primary is one tick on. A full synchronisation drops the data when it begins, and
    /// makes it whole only after some ticks in which the primary can be read.
    fn next_link(&mut self, host: HostId, follows: bool, readable: bool) -> PrimaryLink {
        /// The longest full synchronisation, in ticks.
        const LONGEST_SYNC: u64 = 20;
        let now = self.clock(host).mono;
        let Some(process) = &mut self.hosts[host].process else { unreachable!("it ticks") };
        match (process.primary_link, follows, readable) {
            (link, false, _) => link,
            (PrimaryLink::Up, _, true) => PrimaryLink::Up,
            (PrimaryLink::Up, _, false) => PrimaryLink::Down { since: Some(now) },
            (PrimaryLink::Down { .. }, _, true) if self.full_syncs && self.rng.one_in(2) => {
                process.sync_ticks = self.rng.below(LONGEST_SYNC);
                self.full_syncs_begun += 1;
                PrimaryLink::Incomplete
            }
            (PrimaryLink::Incomplete, _, true) if process.sync_ticks > 0 => {
                process.sync_ticks -= 1;
                PrimaryLink::Incomplete
            }
            (_, _, true) => PrimaryLink::Up,
            (link, _, false) => link,
        }
    }

    /// A replica's data is gone but for a part, as when its primary dies in the middle of a full synchronisation.
    pub fn lose_data(&mut self, host: HostId) {
        if let Some(process) = &mut self.hosts[host].process {
            (process.primary_link, process.sync_ticks) = (PrimaryLink::Incomplete, u64::MAX);
            self.deliver(host, Event::PrimaryLink(PrimaryLink::Incomplete));
        }
    }

    /// The offset of the primary, if its stream can be read from here.
    fn source_offset(&self, host: HostId, primary: HostId) -> Option<u64> {
        if self.net.is_cut(host, primary) || !self.is_running(primary) {
            return None;
        }
        let process = self.hosts[primary].process.as_ref()?;
        (process.cluster.role() == ViewRole::Primary).then_some(process.offset)
    }

    // ---- connections

    fn open(&mut self, host: HostId, link: LinkId, addr: SocketAddr) {
        let Some(target) = net::host_at(addr.ip()).filter(|target| *target < self.hosts.len())
        else {
            return;
        };
        let opener = End { host, generation: self.hosts[host].generation, link };
        let at = self.now + self.net.delay(host, target, &mut self.rng);
        self.schedule(at, target, 0, Happening::Syn { opener, target });
    }

    fn syn_arrives(&mut self, opener: End, target: HostId) {
        // In a partition the packet is lost, and so are those that repeat it: the core gives up.
        if self.net.is_cut(opener.host, target) {
            return;
        }
        let back = self.now + self.net.delay(target, opener.host, &mut self.rng);
        if self.hosts[opener.host].generation != opener.generation {
            return;
        }
        let Some(process) = &mut self.hosts[target].process else {
            let event = Event::LinkDown { link: opener.link, reason: LinkDownReason::Refused };
            self.schedule(back, opener.host, opener.generation, Happening::Event(event));
            return;
        };
        let link = LinkId::Accepted(process.next_accept);
        process.next_accept += 1;
        let generation = self.hosts[target].generation;
        let number = self.net.connect(opener, End { host: target, generation, link });
        let peer = SocketAddr::new(ip_of(opener.host), 40_000);
        let event = Event::LinkAccepted { link, peer, local: addr_of(target) };
        self.schedule(self.now, target, generation, Happening::Event(event));
        self.schedule(back, opener.host, opener.generation, Happening::Connected { number });
    }

    fn connected(&mut self, number: u64) {
        let Some(connection) = self.net.connections.get(&number) else { return };
        let opener = connection.ends[0];
        if self.hosts[opener.host].generation == opener.generation {
            let local = SocketAddr::new(ip_of(opener.host), 40_000);
            self.deliver(opener.host, Event::LinkConnected { link: opener.link, local });
        }
    }

    fn send(&mut self, host: HostId, link: LinkId, bytes: Arc<[u8]>) {
        self.invariants.sent(&bytes, &self.hosts[host], self.seed);
        let generation = self.hosts[host].generation;
        let Some((number, side)) = self.net.find(host, generation, link) else { return };
        let far = 1 - side;
        let peer = self.net.connections[&number].ends[far].host;
        if self.net.is_cut(host, peer) {
            if let Some(connection) = self.net.connections.get_mut(&number) {
                connection.stalled[far].push_back(bytes);
            }
            return;
        }
        self.transmit(number, far, bytes);
    }

    fn transmit(&mut self, number: u64, far: usize, bytes: Arc<[u8]>) {
        let Some(connection) = self.net.connections.get(&number) else { return };
        let ends = connection.ends;
        let delay = self.net.delay(ends[1 - far].host, ends[far].host, &mut self.rng);
        let at = (self.now + delay).max(connection.last_arrival[far]);
        if let Some(connection) = self.net.connections.get_mut(&number) {
            connection.last_arrival[far] = at;
        }
        let event = Event::Packet { link: ends[far].link, bytes: bytes.to_vec() };
        self.schedule(at, ends[far].host, ends[far].generation, Happening::Event(event));
    }

    /// One side's end of a connection is gone; the other side is told, when the network allows.
    fn hang_up(&mut self, number: u64, side: usize, reason: LinkDownReason) {
        let Some(connection) = self.net.connections.get_mut(&number) else { return };
        let (near, far) = (connection.ends[side], connection.ends[1 - side]);
        if self.net.cut.contains(&(near.host.min(far.host), near.host.max(far.host))) {
            connection.untold = Some(1 - side);
            return;
        }
        let at = connection.last_arrival[1 - side];
        let at = at.max(self.now + self.net.delay(near.host, far.host, &mut self.rng));
        self.net.remove(number);
        let event = Event::LinkDown { link: far.link, reason };
        self.schedule(at, far.host, far.generation, Happening::Event(event));
    }

    /// Breaks every connection between two hosts; both sides learn it.
    pub fn break_links(&mut self, a: HostId, b: HostId) {
        let between = |ends: &[End; 2]| {
            (ends[0].host, ends[1].host) == (a, b) || (ends[0].host, ends[1].host) == (b, a)
        };
        let connections = &self.net.connections;
        let numbers: Vec<u64> =
            connections.iter().filter(|(_, c)| between(&c.ends)).map(|(n, _)| *n).collect();
        for number in numbers {
            if let Some(connection) = self.net.remove(number) {
                for end in connection.ends {
                    let event = Event::LinkDown { link: end.link, reason: LinkDownReason::Reset };
                    self.schedule(self.now, end.host, end.generation, Happening::Event(event));
                }
            }
        }
    }

    /// Cuts the network between two hosts: what is sent waits.
    pub fn cut(&mut self, a: HostId, b: HostId) {
        self.net.cut(a, b);
    }

    /// Cuts a host off from all others.
    pub fn isolate(&mut self, host: HostId) {
        for other in 0..self.hosts.len() {
            self.net.cut(host, other);
        }
    }

    /// Ends all cuts: what has waited is sent again, hang-ups become known.
    pub fn mend_network(&mut self) {
        self.net.cut.clear();
        self.net.slow.clear();
        let numbers: Vec<u64> = self.net.connections.keys().copied().collect();
        for number in numbers {
            for far in 0..2 {
                let waiting = match self.net.connections.get_mut(&number) {
                    Some(connection) => std::mem::take(&mut connection.stalled[far]),
                    None => continue,
                };
                for bytes in waiting {
                    self.transmit(number, far, bytes);
                }
            }
            if let Some(far) = self.net.connections.get(&number).and_then(|c| c.untold) {
                self.hang_up(number, 1 - far, LinkDownReason::Reset);
            }
        }
    }
}
