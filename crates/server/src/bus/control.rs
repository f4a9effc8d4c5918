//! The control thread: a small async runtime with the bus' sockets and the timers of replication.

use super::apply::{Applier, Task, is_for_applier};
use super::filter::Verdict;
use super::link::{self, Arrived, EVENTS, Inbox, Link};
use super::strangers::Strangers;
use super::{ClusterHandle, NodesFile, Work};
use crate::accept::Listener;
use crate::logging::limited;
use crate::server::Server;
use crate::time;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;
use std::time::Duration;
use tessera_cluster::{Effect, Event, LinkDownReason, LinkId, NodesConf, PrimaryLink};
use tessera_engine::Mode;
use tessera_replication::PingSchedule;
use tessera_slot::{Millis, Offset};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

/// The longest time between two looks at the clock, milliseconds.
const TICK: u64 = 100;
/// The same where there is neither a cluster nor a primary to look after: each look costs an idle
/// server some of its rest.
const QUIET_TICK: u64 = 250;
/// nodes.conf is written at leisure at most this often, milliseconds.
const LEISURE: u64 = 1000;
/// The most events that are taken in before this node does what else is due.
const EVENTS_IN_A_TURN: usize = 64;
/// How long after a failure nodes.conf is written again, where nothing can be done before.
const SAVE_RETRY: Duration = Duration::from_millis(100);

/// The control thread.
pub(crate) struct Control {
    server: Arc<Server>,
    /// Its shard of the world lock.
    thread: usize,
    links: HashMap<LinkId, Link>,
    strangers: Strangers,
    inbox: Inbox,
    next_accepted: u64,
    file: Option<NodesFile>,
    /// A nodes.conf that is to be written at leisure.
    unsaved: Option<NodesConf>,
    /// The file could not be written when that was tried last.
    save_failed: bool,
    saved_at: Millis,
    /// The state of replication that the core was last told.
    told: (Option<Offset>, Option<PrimaryLink>),
    /// What concerns this node's data and role; `None` outside cluster mode.
    applier: Option<Arc<Applier>>,
    ping: PingSchedule,
    second_at: Millis,
    /// When the core wants to see the clock: the earliest that it has named since it last did.
    tick_at: Option<Millis>,
    /// When the core saw the clock last, unless what followed is carried out and the pulse has
    /// told.
    seen: Option<Millis>,
    quit: Arc<crate::server::Flag>,
}

impl Control {
    /// The runtime of the control thread. It takes descriptors, so it is made before clients can
    /// have taken them.
    pub(crate) fn runtime() -> std::io::Result<Runtime> {
        tokio::runtime::Builder::new_current_thread().enable_all().build()
    }

    /// Runs until `quit` is set. `file` and `listeners` are of the cluster, if there is one.
    pub(crate) fn run(
        runtime: Runtime,
        server: Arc<Server>,
        thread: usize,
        (file, listeners): (Option<NodesFile>, Vec<Listener>),
        quit: Arc<crate::server::Flag>,
    ) -> std::io::Result<()> {
        let applier =
            server.cluster.clone().map(|cluster| Applier::new(Arc::clone(&server), cluster));
        let applier = applier.map(Arc::new);
        let applying = applier.clone().map(|applier| {
            let quit = Arc::clone(&quit);
            let run = move || applier.run(thread + 1, &quit);
            std::thread::Builder::new().name("apply".to_owned()).spawn(run)
        });
        let applying = applying.transpose()?;
        let (events, arriving) = mpsc::channel(EVENTS);
        let period = u64::from(server.engine.config().replication.repl_ping_replica_period) * 1000;
        let now = time::monotonic();
        let control = Control {
            server,
            thread,
            links: HashMap::new(),
            strangers: Strangers::default(),
            inbox: Inbox::new(events),
            next_accepted: 0,
            file,
            unsaved: None,
            save_failed: false,
            saved_at: Millis(0),
            told: (None, None),
            applier: applier.clone(),
            ping: PingSchedule::new(now, period),
            second_at: now,
            tick_at: None,
            seen: None,
            quit,
        };
        let served = runtime.block_on(control.serve(arriving, listeners));
        if let (Some(applier), Some(applying)) = (applier, applying) {
            applier.wake();
            let _ = applying.join();
        }
        served
    }

    async fn serve(
        mut self,
        mut arriving: mpsc::Receiver<Arrived>,
        listeners: Vec<Listener>,
    ) -> std::io::Result<()> {
        let (accepted, mut arrivals) = mpsc::channel(64);
        for listener in &listeners {
            tokio::spawn(accept_loop(link::listener(listener)?, accepted.clone()));
        }
        drop(accepted);
        let cluster = self.server.cluster.clone();
        while !self.quit.is_set() {
            self.work();
            if let Some(seen) = self.seen.take() {
                self.apply(Task::Beat(seen));
            }
            let due = self.due(cluster.as_deref());
            let sleep = tokio::time::sleep(Duration::from_millis(due));
            tokio::select! {
                first = arriving.recv() => {
                    if let (Some(cluster), Some(first)) = (&cluster, first) {
                        self.pass_on(cluster, first.event);
                        // It takes only so many: a flood of packets must not keep it from
                        // everything else.
                        for _ in 1..EVENTS_IN_A_TURN {
                            let Ok(next) = arriving.try_recv() else { break };
                            self.pass_on(cluster, next.event);
                        }
                    }
                }
                Some((socket, peer, local)) = arrivals.recv() => self.arrive(socket, peer, local),
                () = woken(cluster.as_deref()) => {}
                () = sleep => {}
            }
            self.tick(cluster.as_deref());
        }
        // Work that waits for a disk which takes nothing is never done.
        if !self.save_failed {
            self.work();
        }
        if let Some(save) = cluster.and_then(|cluster| cluster.core.lock().last_save()) {
            self.unsaved = Some(save);
        }
        self.save_unsaved(true);
        Ok(())
    }

    /// Gives the core what a link has to say, but for packets that a test wants to be lost. A link
    /// that has ended is forgotten here too.
    fn pass_on(&mut self, cluster: &ClusterHandle, event: Event) {
        if let Event::LinkDown { link, .. } = &event {
            self.links.remove(link);
            self.strangers.remove(*link);
        }
        let verdict = match &event {
            Event::Packet { bytes, .. } => cluster.filter.judge(bytes),
            _ => Verdict::Take,
        };
        match (verdict, &event) {
            (Verdict::Close, Event::Packet { link, .. }) => {
                let link = *link;
                self.links.remove(&link);
                cluster.event(Event::LinkDown { link, reason: LinkDownReason::Other });
            }
            (Verdict::Drop, _) => {}
            _ => cluster.event(event),
        }
    }

    /// Milliseconds until something is due.
    fn due(&mut self, cluster: Option<&ClusterHandle>) -> u64 {
        let Some(cluster) = cluster else {
            let is_quiet = self.server.follow.status().is_none();
            return if is_quiet { QUIET_TICK } else { TICK };
        };
        // Every event moves the next time a little: the first one named is kept, so that a flood of
        // events cannot put it off for ever.
        let next = cluster.core.lock().next_timeout();
        let at = self.tick_at.map_or(next, |at| at.min(next));
        self.tick_at = Some(at);
        at.since(time::monotonic()).min(TICK)
    }

    fn arrive(
        &mut self,
        socket: tokio::net::TcpStream,
        peer: std::net::SocketAddr,
        local: std::net::SocketAddr,
    ) {
        let Some(cluster) = &self.server.cluster else { return };
        let link = LinkId::Accepted(self.next_accepted);
        self.next_accepted += 1;
        self.links.insert(link, link::accepted(link, socket, self.inbox.clone()));
        cluster.event(Event::LinkAccepted { link, peer, local });
        if let Some(oldest) = self.strangers.add(link) {
            self.links.remove(&oldest);
            cluster.event(Event::LinkDown { link: oldest, reason: LinkDownReason::Other });
        }
    }

    /// Does what is due by the clock, and tells the core of replication.
    fn tick(&mut self, cluster: Option<&ClusterHandle>) {
        let now = time::monotonic();
        if let Some(applier) = &self.applier {
            applier.tick(now);
        }
        if now >= self.second_at {
            self.second_at = now.plus(1000);
            self.server.replication_tick();
            self.server.purge.note(tessera_store::used_memory());
            // This thread's own heap is small; with it goes what no thread owns.
            tessera_store::give_back_freed();
            let config = self.server.engine.config();
            self.ping.set_period(u64::from(config.replication.repl_ping_replica_period) * 1000);
        }
        self.server.note_stale();
        if self.ping.poll(now) || self.is_unproven() {
            self.ping_replicas();
        }
        let Some(cluster) = cluster else { return };
        let status = self.server.follow.status();
        let loading = status.as_ref().is_some_and(|status| status.loading);
        let offset = if loading { Offset(0) } else { self.server.engine.log.offset() };
        if self.told.0 != Some(offset) {
            self.told.0 = Some(offset);
            cluster.event(Event::ReplicationOffset(offset));
        }
        let is_incomplete = self.server.follow.is_incomplete();
        let link = status.map(|status| match (is_incomplete, status.is_up()) {
            (true, _) => PrimaryLink::Incomplete,
            (false, true) => PrimaryLink::Up { heard: status.last_io.unwrap_or(now) },
            (false, false) => PrimaryLink::Down { since: status.last_io },
        });
        let is_due = self.tick_at.is_none_or(|at| now >= at);
        if let Some(link) = link
            && (is_due || is_news(self.told.1, link))
        {
            self.told.1 = Some(link);
            // Looked at anew under the core's lock: a full synchronisation that drops this node's
            // data has told the core so, and this must not say otherwise.
            cluster.event_of(|| match self.server.follow.is_incomplete() {
                true => Event::PrimaryLink(PrimaryLink::Incomplete),
                false => Event::PrimaryLink(link),
            });
        }
        // It does not tick at every event: a tick may send, packets are answered, and that would
        // never end.
        if self.tick_at.is_none_or(|at| now >= at) {
            self.tick_at = None;
            // Before the look: whatever comes between them, the core has not seen a later time.
            self.seen = Some(time::monotonic());
            cluster.event(Event::Tick);
        }
        self.save_unsaved(false);
    }

    /// Whether there are replicas at offset 0. Others tell by the offset whether a replica has
    /// data, so it does not stay there.
    fn is_unproven(&self) -> bool {
        let log = &self.server.engine.log;
        log.is_active()
            && log.offset() == Offset(0)
            && !self.server.engine.mode().any(Mode::REPLICA)
    }

    /// Shows replicas that their link is alive. Only a primary appends to the log, and only until
    /// it has promised to append no more; the world stays entered so that this holds.
    fn ping_replicas(&self) {
        let engine = &self.server.engine;
        if engine.log.reader_count() == 0 {
            return;
        }
        let world = engine.keyspace.enter(self.thread);
        if !engine.mode().any(Mode::REPLICA) && !self.server.log_closed.load(Acquire) {
            engine.log.append_control(&["PING"]);
        }
        drop(world);
        self.server.feed_replicas(usize::MAX);
    }

    /// Carries out what the core wants, in order.
    fn work(&mut self) {
        let Some(cluster) = self.server.cluster.clone() else { return };
        loop {
            let mut all = cluster.take_work();
            if all.is_empty() {
                return;
            }
            if let Some(save) = last_save(&mut all)
                && !self.save(save)
            {
                return;
            }
            for work in all {
                match work {
                    Work::Batch(batch) => {
                        batch.then.into_iter().for_each(|effect| self.carry_out(&cluster, effect));
                    }
                    Work::Reply(client, value) => self.apply(Task::Reply(client, value)),
                    Work::Answer(client, answer) => self.apply(Task::Answer(client, answer)),
                }
            }
        }
    }

    /// Writes nodes.conf, now if that must be, else soon. False: it must be, cannot be, and the
    /// server is to end.
    ///
    /// A vote or claim that is not on disk could be given twice. So while the disk takes nothing
    /// this node does nothing either: the others see it as failed, and its clients are refused,
    /// until there is room again.
    fn save(&mut self, conf: NodesConf) -> bool {
        if !conf.durable {
            self.unsaved = Some(conf);
            return true;
        }
        self.unsaved = None;
        while !self.write(&conf.text, true) {
            if self.quit.is_set() {
                return false;
            }
            std::thread::sleep(SAVE_RETRY);
        }
        true
    }

    /// Writes the nodes.conf that may be written at leisure, if it is time or `now`. A failed write
    /// is tried again.
    fn save_unsaved(&mut self, now: bool) {
        let time = time::monotonic();
        if self.unsaved.is_none() || (!now && time.since(self.saved_at) < LEISURE) {
            return;
        }
        let Some(conf) = self.unsaved.take() else { return };
        self.saved_at = time;
        if !self.write(&conf.text, false) {
            self.unsaved = Some(conf);
        }
    }

    /// Writes nodes.conf. The first failure is logged, and the first success after it.
    fn write(&mut self, text: &str, durable: bool) -> bool {
        let Some(file) = &self.file else { return true };
        let written = file.save(text, durable);
        match &written {
            Err(error) if !self.save_failed => {
                tracing::warn!("Can't update cluster config file, trying again: {error:#}");
            }
            Ok(()) if self.save_failed => tracing::info!("Cluster config file updated again."),
            _ => {}
        }
        self.save_failed = written.is_err();
        !self.save_failed
    }

    /// Has something done about this node's data, role or answers.
    fn apply(&self, task: Task) {
        if let Some(applier) = &self.applier {
            applier.take(self.thread, task);
        }
    }

    fn carry_out(&mut self, cluster: &ClusterHandle, effect: Effect) {
        match effect {
            effect if is_for_applier(&effect) => self.apply(Task::Effect(effect)),
            Effect::OpenLink { link, addr } => {
                self.links.insert(link, link::open(link, addr, self.inbox.clone()));
            }
            Effect::CloseLink { link } => {
                self.links.remove(&link);
                self.strangers.remove(link);
            }
            Effect::LinkKnown { link } => {
                self.strangers.remove(link);
                if let Some(link) = self.links.get(&link) {
                    link.node_is_known();
                }
            }
            Effect::Send { link, bytes } => {
                if self.links.get(&link).is_some_and(|link| !link.send(bytes)) {
                    self.links.remove(&link);
                    cluster.event(Event::LinkDown { link, reason: LinkDownReason::Other });
                }
            }
            Effect::Published { .. } => {}
            Effect::Log { level, text, topic } => super::log::line(level, topic, &text),
            Effect::SetSlots(_)
            | Effect::Routing(_)
            | Effect::ResumeWrites
            | Effect::DropKeys(_)
            | Effect::DropAllKeys
            | Effect::Follow { .. }
            | Effect::Promote
            | Effect::PauseWrites { .. } => unreachable!("the applier has it"),
        }
    }
}

/// Whether the core is to hear of this at once. Progress over a link that is up is told by ticks.
fn is_news(told: Option<PrimaryLink>, link: PrimaryLink) -> bool {
    match (told, link) {
        (Some(PrimaryLink::Up { .. }), PrimaryLink::Up { .. }) => false,
        (told, link) => told != Some(link),
    }
}

/// The nodes.conf that is to be on disk before any of the work is done. A file holds all the
/// promises of those before it: the commands of a transaction, and clients that come at the same
/// time, share one.
fn last_save(all: &mut VecDeque<Work>) -> Option<NodesConf> {
    let mut last: Option<NodesConf> = None;
    for work in all {
        if let Work::Batch(batch) = work
            && let Some(mut save) = batch.save.take()
        {
            save.durable |= last.is_some_and(|before| before.durable);
            last = Some(save);
        }
    }
    last
}

async fn woken(cluster: Option<&ClusterHandle>) {
    match cluster {
        Some(cluster) => cluster.wake.notified().await,
        None => std::future::pending().await,
    }
}

type Arrival = (tokio::net::TcpStream, std::net::SocketAddr, std::net::SocketAddr);

async fn accept_loop(listener: TcpListener, accepted: mpsc::Sender<Arrival>) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                let Ok(local) = socket.local_addr() else { continue };
                if accepted.send((socket, peer, local)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                limited!(warn, "Accepting cluster node: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
