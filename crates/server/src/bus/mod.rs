//! The cluster bus: the driver of [`tessera_cluster::Cluster`].
//!
//! [`ClusterHandle`] is shared with the other threads: CLUSTER commands run on the core under its
//! mutex, on the I/O thread that they come in on. The core's effects go, in order, to the control
//! thread (`control.rs`), which alone writes nodes.conf and owns the links (`link.rs`). A command
//! whose effects must be carried out before its answer parks its client until then.

mod apply;
mod control;
mod file;
mod filter;
mod link;
mod log;
mod pulse;
mod strangers;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Acquire};
use tessera_cluster::{
    Batch, Cluster, ClusterConfig, ClusterState, CommandContext, Event, FailReason,
    PreferredEndpoint, PrimaryLink, RoutingView, ViewRole,
};
use tessera_config::Config;
use tessera_engine::{Answer, ClientInfo, Engine, Mode, Outcome, Park};
use tessera_resp::{Reply, Value};
use tessera_slot::{Millis, Slot};
use tokio::sync::Notify;

pub(crate) use control::Control;
pub(crate) use file::NodesFile;
use pulse::Pulse;

/// The next work of the control thread.
enum Work {
    Batch(Box<Batch>),
    /// The answer to a command, which waits until what comes before it in the queue is done.
    Reply(Arc<ClientInfo>, Value),
    /// The answer to a transaction.
    Answer(Arc<ClientInfo>, Answer),
}

/// The way to the control thread.
struct Queue {
    waiting: VecDeque<Work>,
    /// The control thread is busy with what it took last.
    under_way: bool,
}

/// The cluster core, and the way to the control thread.
pub(crate) struct ClusterHandle {
    /// The core. A thread that has changed it moves its batches into `work` before it unlocks it.
    core: Mutex<Cluster>,
    /// Where the bus listens, from the start on.
    bus_port: u16,
    /// In the order in which they are to be carried out; locked after `core`.
    work: Mutex<Queue>,
    /// Tasks that the applier's thread has not done yet.
    applying: AtomicUsize,
    /// Wakes the control thread: there is work, or something to look at.
    wake: Notify,
    /// The view by which commands are routed.
    routing: ArcSwapOption<RoutingView>,
    /// The packets that tests want to be lost.
    pub(crate) filter: filter::PacketFilter,
    /// The core's last view; it is the same as `routing`, unless the control thread's pulse is
    /// missed.
    said: ArcSwapOption<RoutingView>,
    pulse: Pulse,
}

impl ClusterHandle {
    pub(crate) fn new(mut core: Cluster) -> ClusterHandle {
        let mut work = VecDeque::new();
        while let Some(batch) = core.poll_batch() {
            work.push_back(Work::Batch(Box::new(batch)));
        }
        ClusterHandle {
            bus_port: core.bus_port(),
            core: Mutex::new(core),
            work: Mutex::new(Queue { waiting: work, under_way: false }),
            applying: AtomicUsize::new(0),
            wake: Notify::new(),
            routing: ArcSwapOption::empty(),
            filter: Default::default(),
            said: ArcSwapOption::empty(),
            pulse: Pulse::default(),
        }
    }

    /// The view by which commands are routed.
    pub(crate) fn routing(&self) -> Option<Arc<RoutingView>> {
        self.routing.load_full()
    }

    /// Has the control thread look at the state of replication.
    pub(crate) fn look(&self) {
        self.wake.notify_one();
    }

    /// The directives have changed.
    pub(crate) fn configure(&self, config: &Config) {
        let mut config = cluster_config(config);
        // The clients' port may have changed, from which it was derived.
        config.cluster_port = self.bus_port;
        self.event(Event::ConfigChanged(Box::new(config)));
    }

    /// Whether nobody may synchronise with this node: a replica may have the data that it has lost.
    pub(crate) fn withholds_data(&self) -> bool {
        self.core.lock().withholds_data()
    }

    /// Lets the core take an event; the control thread does what follows.
    pub(crate) fn event(&self, event: Event) {
        self.event_of(|| event);
    }

    /// Gives the core an event that is made while nobody else gives it one.
    pub(crate) fn event_of(&self, event: impl FnOnce() -> Event) {
        let mut core = self.core.lock();
        core.handle(crate::time::now(), event());
        self.hand_over(&mut core);
    }

    /// A full synchronisation is about to drop this node's data: the core stands for no election
    /// from here on. False: it has won one, which the control thread has not carried out yet; then
    /// the data must stay.
    pub(crate) fn gives_up_data(&self) -> bool {
        let mut core = self.core.lock();
        let is_replica = matches!(core.role(), ViewRole::Replica(_));
        if is_replica {
            core.handle(crate::time::now(), Event::PrimaryLink(PrimaryLink::Incomplete));
            self.hand_over(&mut core);
        }
        is_replica
    }

    /// Whether all is done that the core has wanted.
    fn is_idle(&self, work: &Queue) -> bool {
        work.waiting.is_empty() && !work.under_way && self.applying.load(Acquire) == 0
    }

    /// Moves the core's batches to the control thread; true if there is nothing that it still has
    /// to do.
    fn hand_over(&self, core: &mut Cluster) -> bool {
        let mut work = self.work.lock();
        let before = work.waiting.len();
        while let Some(batch) = core.poll_batch() {
            work.waiting.push_back(Work::Batch(Box::new(batch)));
        }
        let any = work.waiting.len() > before;
        let is_idle = self.is_idle(&work);
        drop(work);
        if any {
            self.wake.notify_one();
        }
        is_idle
    }

    /// Runs a CLUSTER subcommand; `argv` begins with its name.
    pub(crate) fn command(
        &self,
        engine: &Engine,
        client: &Arc<ClientInfo>,
        argv: &[&[u8]],
        may_wait: bool,
        reply: &mut Reply,
    ) -> Outcome {
        let view = KeyspaceView(engine);
        let context = CommandContext { keyspace: &view, client_tls: false, client: &client.addr };
        let mut core = self.core.lock();
        let value = core.command(crate::time::now(), &context, argv);
        // An answer speaks of the core's state, which the node has only when all that led to it is
        // done: a client that is told `cluster_state:ok` may write at once.
        if self.hand_over(&mut core) || !may_wait {
            drop(core);
            reply.value(&value);
            return Outcome::Next;
        }
        self.work.lock().waiting.push_back(Work::Reply(Arc::clone(client), value));
        drop(core);
        self.wake.notify_one();
        Outcome::Wait(Park::Elsewhere)
    }

    /// Has the control thread give a client its answer when all is done that is waiting now. Gives
    /// it back if nothing is.
    pub(crate) fn answer_when_idle(
        &self,
        client: &Arc<ClientInfo>,
        answer: Answer,
    ) -> Option<Answer> {
        let mut work = self.work.lock();
        if self.is_idle(&work) {
            return Some(answer);
        }
        work.waiting.push_back(Work::Answer(Arc::clone(client), answer));
        drop(work);
        self.wake.notify_one();
        None
    }

    /// All that the control thread is to do next, in order. Asking says that what was taken before
    /// is done.
    fn take_work(&self) -> VecDeque<Work> {
        let mut work = self.work.lock();
        work.under_way = !work.waiting.is_empty();
        std::mem::take(&mut work.waiting)
    }

    /// An I/O thread is about to run commands: if the control thread has not had a turn for longer
    /// than the node timeout, nobody is served until it has.
    #[inline]
    pub(crate) fn check_pulse(&self, engine: &Engine, now: Millis, node_timeout: u64) {
        if self.pulse.is_late(now, node_timeout) {
            self.suspend(engine);
        }
    }

    #[cold]
    fn suspend(&self, engine: &Engine) {
        let Some(view) = self.said.load_full() else { return };
        if view.state == ClusterState::Ok {
            let mut view = (*view).clone();
            view.state = ClusterState::Fail(FailReason::Settling);
            self.show(engine, Arc::new(view));
            // After the change: the next beat takes it back, whenever that is.
            self.pulse.miss();
        }
    }

    /// The control thread has had its turn, with the core at this time: what the core says about
    /// serving holds again, unless the process was stopped since.
    fn beat(&self, engine: &Engine, seen: Millis) {
        self.pulse.beat(seen);
        let node_timeout = engine.config().cluster.node_timeout;
        if !self.pulse.is_late(crate::time::monotonic(), node_timeout)
            && self.pulse.was_missed()
            && let Some(view) = self.said.load_full()
        {
            self.show(engine, view);
        }
    }

    fn show(&self, engine: &Engine, view: Arc<RoutingView>) {
        let down = view.state != ClusterState::Ok;
        self.routing.store(Some(view));
        engine.set_mode(Mode::CLUSTER_DOWN, down);
    }

    fn set_routing(&self, engine: &Engine, view: Arc<RoutingView>) {
        self.said.store(Some(Arc::clone(&view)));
        self.show(engine, view);
    }
}

/// The keyspace as CLUSTER commands ask about it. A command without keys holds no slot's lock.
struct KeyspaceView<'a>(&'a Engine);

impl tessera_cluster::Keyspace for KeyspaceView<'_> {
    fn keys_in_slot(&self, slot: Slot) -> usize {
        self.0.keyspace.peek_len(slot)
    }

    fn is_empty(&self) -> bool {
        Slot::all().all(|slot| self.0.keyspace.peek_len(slot) == 0)
    }
}

/// The cluster directives as the core wants them.
pub(crate) fn cluster_config(config: &Config) -> ClusterConfig {
    use tessera_config::table::cluster::ClusterEndpointType;
    let cluster = &config.cluster;
    ClusterConfig {
        node_timeout: cluster.node_timeout,
        port: config.network.port,
        tls_port: 0,
        cluster_port: cluster.port,
        tls_cluster: false,
        tls_replication: false,
        announce_ip: cluster.announce_ip.clone(),
        announce_port: cluster.announce_port,
        announce_tls_port: cluster.announce_tls_port,
        announce_bus_port: cluster.announce_bus_port,
        announce_hostname: cluster.announce_hostname.clone(),
        announce_human_nodename: cluster.announce_human_nodename.clone(),
        preferred_endpoint: match cluster.preferred_endpoint_type {
            ClusterEndpointType::Ip => PreferredEndpoint::Ip,
            ClusterEndpointType::Hostname => PreferredEndpoint::Hostname,
            ClusterEndpointType::UnknownEndpoint => PreferredEndpoint::Unknown,
        },
        require_full_coverage: cluster.require_full_coverage,
        allow_reads_when_down: cluster.allow_reads_when_down,
        replica_validity_factor: u64::from(cluster.replica_validity_factor),
        replica_no_failover: cluster.replica_no_failover,
        migration_barrier: cluster.migration_barrier,
        allow_replica_migration: cluster.allow_replica_migration,
        repl_ping_period: u64::from(config.replication.repl_ping_replica_period) * 1000,
        manual_failover_timeout: u64::from(cluster.manual_failover_timeout),
        blacklist_ttl: cluster.blacklist_ttl.saturating_mul(1000),
        fast_failover: cluster.fast_failover,
    }
}
