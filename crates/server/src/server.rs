//! The state that the threads of the server share.

use crate::bus::ClusterHandle;
use crate::follow::{Follow, Primary};
use crate::io::{Mailbox, Message};
use crate::stream::Streams;
use crate::sync::SyncService;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use tessera_config::special::{PrimaryAddress, ReplicaOf};
use tessera_engine::{ClientInfo, ClientKind, Engine, Mode};
use tessera_log::ReplId;
use tessera_replication::SessionStatus;
use tessera_slot::{Millis, Offset};
use tessera_store::Patience;

/// The version of Redis whose behaviour clients may count on.
pub(crate) const REDIS_VERSION: &str = "7.2.4";

/// The state that the threads share.
pub(crate) struct Server {
    pub(crate) engine: Arc<Engine>,
    /// One for each I/O thread.
    pub(crate) mailboxes: Vec<Arc<Mailbox>>,
    /// The connections of clients, counted against `maxclients`.
    pub(crate) places: Arc<crate::accept::Places>,
    pub(crate) replicas: Replicas,
    pub(crate) streams: Streams,
    pub(crate) sync: SyncService,
    pub(crate) follow: Arc<Follow>,
    pub(crate) cluster: Option<Arc<ClusterHandle>>,
    pub(crate) stop: Stop,
    pub(crate) sampler: crate::rates::Sampler,
    pub(crate) purge: crate::purge::Purge,
    /// Since when nobody reads the history, by the monotonic clock.
    unread_since: Mutex<Option<Millis>>,
    pub(crate) paths: Paths,
    /// By I/O thread: whether it serves replicas.
    feeders: Box<[AtomicBool]>,
    /// By I/O thread: how many of its clients wait for something.
    parked: Box<[AtomicUsize]>,
    /// The end of the last REPLCONF GETACK in the log: asking again before more was written is of
    /// no use.
    asked_until: AtomicU64,
    /// A replica is about to take over from this node: nothing more may be appended to the log, not
    /// even a PING, so that the replica can have all of it, and this node follow it without a full
    /// synchronisation.
    pub(crate) log_closed: AtomicBool,
    pub(crate) deferred: crate::deferred::DeferredQueue,
}

/// Files that the server was started with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths {
    pub(crate) executable: String,
    pub(crate) config_file: Option<String>,
}

/// The request to stop, from a signal or SHUTDOWN.
#[derive(Default)]
pub(crate) struct Stop {
    asked: Mutex<Asked>,
    changed: Condvar,
}

/// How urgently the server was asked to stop.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Asked {
    /// It was not asked to stop.
    #[default]
    No,
    /// When the replicas have what was written, or have had time for it.
    Gracefully,
    /// At once.
    Now,
}

impl Stop {
    /// Asks the server to stop. A second request does not want to wait.
    pub(crate) fn ask(&self) {
        let mut asked = self.asked.lock();
        *asked = if *asked == Asked::No { Asked::Gracefully } else { Asked::Now };
        self.changed.notify_all();
    }

    /// Asks the server to stop at once.
    pub(crate) fn ask_now(&self) {
        *self.asked.lock() = Asked::Now;
        self.changed.notify_all();
    }

    /// Waits until somebody asks at least so urgently.
    pub(crate) fn wait(&self) {
        let mut asked = self.asked.lock();
        while *asked == Asked::No {
            self.changed.wait(&mut asked);
        }
    }

    /// Waits a while, less if somebody asks; gives what was asked.
    pub(crate) fn wait_for(&self, ms: u64) -> Asked {
        let mut asked = self.asked.lock();
        if *asked == Asked::No {
            self.changed.wait_for(&mut asked, std::time::Duration::from_millis(ms));
        }
        *asked
    }

    /// The request.
    pub(crate) fn asked(&self) -> Asked {
        *self.asked.lock()
    }
}

impl Server {
    pub(crate) fn new(
        engine: Arc<Engine>,
        mailboxes: Vec<Arc<Mailbox>>,
        follow: Arc<Follow>,
        cluster: Option<Arc<ClusterHandle>>,
        paths: Paths,
    ) -> Server {
        Server {
            engine,
            feeders: mailboxes.iter().map(|_| AtomicBool::new(false)).collect(),
            parked: mailboxes.iter().map(|_| AtomicUsize::new(0)).collect(),
            mailboxes,
            places: Arc::default(),
            replicas: Replicas::default(),
            streams: Streams::default(),
            sync: SyncService::default(),
            follow,
            cluster,
            stop: Stop::default(),
            sampler: Default::default(),
            purge: Default::default(),
            unread_since: Mutex::default(),
            paths,
            asked_until: AtomicU64::new(0),
            log_closed: AtomicBool::new(false),
            deferred: Default::default(),
        }
    }

    /// Whether this I/O thread serves replicas.
    pub(crate) fn note_feeder(&self, thread: usize, serves: bool) {
        self.feeders[thread].store(serves, Ordering::Release);
    }

    fn has_feeders(&self) -> bool {
        self.feeders.iter().any(|serves| serves.load(Ordering::Acquire))
    }

    /// The log has grown: sends it to the replicas, but for those of the I/O thread `own`, which
    /// does that itself.
    pub(crate) fn feed_replicas(&self, own: usize) {
        self.streams.send(own, |thread| self.mailboxes[thread].wake());
    }

    /// This many clients of this I/O thread wait for something.
    pub(crate) fn note_parked(&self, thread: usize, clients: usize) {
        if self.parked[thread].load(Ordering::Relaxed) != clients {
            self.parked[thread].store(clients, Ordering::Relaxed);
            // Pairs with the one in `wake_waiting`: either the waker sees who waits, or who waits
            // sees what changed.
            fence(Ordering::SeqCst);
        }
    }

    /// Whom this node follows, from the moment in which a client has ordered it.
    pub(crate) fn followed(&self) -> ReplicaOf {
        let address = |primary: Primary| PrimaryAddress { host: primary.host, port: primary.port };
        ReplicaOf(self.follow.shown().map(|(primary, _)| address(primary)))
    }

    /// How many clients wait for something.
    pub(crate) fn parked_clients(&self) -> usize {
        self.parked.iter().map(|parked| parked.load(Ordering::Acquire)).sum()
    }

    /// Wakes the I/O threads some of whose clients wait.
    pub(crate) fn wake_waiting(&self) {
        fence(Ordering::SeqCst);
        for (mailbox, parked) in self.mailboxes.iter().zip(&self.parked) {
            if parked.load(Ordering::Relaxed) > 0 {
                mailbox.wake();
            }
        }
    }

    /// How many replicas have acknowledged the offset; asks them if they are fewer than `wanted`.
    /// To be called with the world entered: the question goes into the log, which must still be
    /// this node's own to write.
    pub(crate) fn acknowledged(&self, offset: Offset, wanted: usize) -> usize {
        let reached = self.replicas.acknowledged(offset);
        if reached < wanted {
            self.ask_acknowledgements(offset);
        }
        reached
    }

    /// Asks the replicas how far they are, if they were not asked since the log had this offset. To
    /// be called with the world entered.
    pub(crate) fn ask_acknowledgements(&self, offset: Offset) {
        let is_own =
            !self.log_closed.load(Ordering::Acquire) && !self.engine.mode().any(Mode::REPLICA);
        if !is_own || !self.has_feeders() {
            return;
        }
        let asked = Offset(self.asked_until.load(Ordering::Acquire));
        // Beyond the end: that was asked in another history.
        let is_asked = asked > offset && asked <= self.engine.log.offset();
        if !is_asked {
            let end = self.engine.log.append_control(&["REPLCONF", "GETACK", "*"]);
            self.asked_until.store(end.0, Ordering::Release);
            self.feed_replicas(usize::MAX);
        }
    }

    /// This node's history ends: what was asked about it says nothing about the next one.
    pub(crate) fn forget_asking(&self) {
        self.asked_until.store(0, Ordering::Release);
    }

    /// Has the thread of a client, whose flag is set, disconnect it.
    pub(crate) fn disconnect(&self, client: &ClientInfo) {
        if let Some(mailbox) = self.mailboxes.get(client.thread) {
            mailbox.send(Message::Disconnect);
        }
    }

    /// Passes a whole answer on to a client that waits, and lets it go on.
    pub(crate) fn answer(&self, client: &ClientInfo, answer: tessera_engine::Answer) {
        if let Some(mailbox) = self.mailboxes.get(client.thread) {
            mailbox.send(Message::Answer { client: client.id, answer });
        }
    }

    /// Has the thread of a client that waits for replicas answer it: its wait was cut.
    pub(crate) fn end_wait(&self, client: &ClientInfo) {
        if let Some(mailbox) = self.mailboxes.get(client.thread) {
            mailbox.send(Message::EndWait { client: client.id });
        }
    }

    /// Answers a client that waits for another thread, and lets it go on.
    pub(crate) fn complete(&self, client: &ClientInfo, answer: tessera_resp::Value) {
        if let Some(mailbox) = self.mailboxes.get(client.thread) {
            mailbox.send(Message::Complete { client: client.id, answer });
        }
    }

    /// Disconnects all replicas: what they follow is no longer their history by the same name.
    pub(crate) fn disconnect_replicas(&self) {
        let filter =
            tessera_engine::ClientFilter { kind: Some(ClientKind::Replica), ..Default::default() };
        for client in self.engine.clients.matching(&filter, crate::time::unix().0) {
            self.engine.clients.kill(&client);
            self.disconnect(&client);
        }
    }

    /// Several times a second: what the `instantaneous_` lines of INFO are made of.
    pub(crate) fn sample(&self) {
        let stats = &self.engine.stats;
        let repl_in = stats.sum(|thread| &thread.net_repl_in);
        let repl_out = stats.sum(|thread| &thread.net_repl_out);
        let totals = crate::rates::Totals {
            commands: stats.sum(|thread| &thread.commands),
            bytes_in: stats.sum(|thread| &thread.net_in) + repl_in,
            bytes_out: stats.sum(|thread| &thread.net_out) + repl_out,
            repl_in,
            repl_out,
        };
        self.sampler.sample(crate::time::monotonic(), totals);
    }

    /// Has commands know whether this node's data may be old, since it follows a primary without a
    /// link to it.
    pub(crate) fn note_stale(&self) {
        self.follow.tell_stale(|is_stale| self.engine.set_mode(Mode::STALE, is_stale));
    }

    /// Once a second or so: who counts as a good replica, and the PING that keeps replicas' links
    /// alive.
    pub(crate) fn replication_tick(&self) {
        let config = self.engine.config();
        self.count_good_replicas(&config);
        self.expire_history(config.replication.repl_backlog_ttl * 1000, crate::time::monotonic());
    }

    /// Frees the history of a primary which has had no replica for `ttl` milliseconds; 0: never.
    fn expire_history(&self, ttl: u64, now: Millis) {
        let is_unread = || {
            let log = &self.engine.log;
            let is_primary = !self.engine.mode().any(Mode::REPLICA);
            is_primary && log.is_active() && log.reader_count() == 0
        };
        let mut since = self.unread_since.lock();
        if ttl == 0 || !is_unread() {
            *since = None;
        } else if now.since(*since.get_or_insert(now)) >= ttl {
            // Where a command runs for long, the next second will do.
            let patience = Patience::none();
            let Ok(world) = self.engine.keyspace.enter_exclusive_within(&patience) else { return };
            *since = None;
            let is_over = is_unread();
            if is_over {
                self.engine.log.deactivate();
            }
            drop(world);
            if is_over {
                tracing::info!(
                    "Replication backlog freed after {} seconds without connected replicas.",
                    ttl / 1000
                );
            }
        }
    }

    /// Has writes know whether there are enough good replicas for them.
    pub(crate) fn count_good_replicas(&self, config: &tessera_config::Config) {
        let wanted = config.replication.min_replicas_to_write as usize;
        let max_lag = u64::from(config.replication.min_replicas_max_lag);
        let few = wanted > 0 && max_lag > 0 && self.replicas.good(max_lag) < wanted;
        self.engine.set_mode(Mode::FEW_REPLICAS, few);
    }
}

/// A replica as the others see it.
#[derive(Clone, Debug)]
pub(crate) struct ReplicaEntry {
    /// The address of its connection.
    pub(crate) addr: String,
    pub(crate) status: SessionStatus,
    pub(crate) online: bool,
    /// When the status was taken, by the monotonic clock.
    at: Millis,
}

impl ReplicaEntry {
    /// The address and port that the replica announces, or those of its connection.
    pub(crate) fn endpoint(&self) -> (String, u16) {
        let ip = self.status.announced_ip.clone().unwrap_or_else(|| {
            let addr: Option<SocketAddr> = self.addr.parse().ok();
            addr.map_or_else(|| self.addr.clone(), |addr| addr.ip().to_string())
        });
        (ip, self.status.listening_port)
    }

    /// Seconds since it last acknowledged.
    pub(crate) fn lag(&self) -> u64 {
        self.status.lag_seconds + crate::time::monotonic().since(self.at) / 1000
    }
}

/// The replicas of this node, by client id. Their connections' threads store; anybody reads.
#[derive(Default)]
pub(crate) struct Replicas(Mutex<BTreeMap<u64, ReplicaEntry>>);

impl Replicas {
    /// Stores a replica's status; true if it acknowledged more than before, or came online.
    pub(crate) fn update(&self, info: &ClientInfo, status: SessionStatus, online: bool) -> bool {
        let at = crate::time::monotonic();
        let mut replicas = self.0.lock();
        let entry = ReplicaEntry { addr: info.addr.clone(), status, online, at };
        let news = (entry.status.offset, online);
        let old = replicas.insert(info.id, entry);
        old.is_none_or(|old| (old.status.offset, old.online) != news)
    }

    pub(crate) fn remove(&self, client: u64) {
        self.0.lock().remove(&client);
    }

    pub(crate) fn all(&self) -> Vec<ReplicaEntry> {
        self.0.lock().values().cloned().collect()
    }

    /// How many replicas have acknowledged an offset.
    pub(crate) fn acknowledged(&self, offset: Offset) -> usize {
        let replicas = self.0.lock();
        replicas.values().filter(|entry| entry.online && entry.status.offset >= offset).count()
    }

    /// The offset that so many replicas have acknowledged; `None`: there are fewer. Any offset is
    /// acknowledged by none.
    pub(crate) fn acknowledged_by(&self, count: usize) -> Option<Offset> {
        let Some(rank) = count.checked_sub(1) else { return Some(Offset(u64::MAX)) };
        let replicas = self.0.lock();
        let online = replicas.values().filter(|entry| entry.online);
        let mut offsets: Vec<Offset> = online.map(|entry| entry.status.offset).collect();
        offsets.sort_unstable_by(|one, other| other.cmp(one));
        offsets.get(rank).copied()
    }

    fn good(&self, max_lag: u64) -> usize {
        self.0.lock().values().filter(|entry| entry.online && entry.lag() <= max_lag).count()
    }
}

/// Bytes that nobody can guess.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("the kernel gives no random bytes: {error}"),
        }
    }
    bytes
}

/// A new replication id, or run id.
pub(crate) fn random_id() -> ReplId {
    ReplId::from_random(random_bytes())
}

/// The mark at the end of a payload.
pub(crate) fn random_mark() -> [u8; 40] {
    *random_id().as_bytes()
}

/// A flag that a thread is to end.
#[derive(Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

#[cfg(test)]
impl Server {
    /// The shared state without any threads.
    pub(crate) fn without_threads(
        config: tessera_config::Config,
        cluster: Option<Arc<ClusterHandle>>,
    ) -> Arc<Server> {
        Self::with_mailboxes(config, cluster, Vec::new())
    }

    /// The same, with the mailboxes of I/O threads.
    pub(crate) fn with_mailboxes(
        config: tessera_config::Config,
        cluster: Option<Arc<ClusterHandle>>,
        mailboxes: Vec<Arc<Mailbox>>,
    ) -> Arc<Server> {
        let engine = Arc::new(Engine::new(tessera_engine::EngineOptions {
            config,
            threads: 2,
            seed: 1,
            replication_id: ReplId::from_random([1; 20]),
            now: crate::time::unix(),
        }));
        let follow = Arc::new(Follow::default());
        let server = Server::new(engine, mailboxes, follow, cluster, Paths::default());
        let server = Arc::new(server);
        server.engine.set_host(Arc::new(crate::host::Rim::of(&server)));
        server
    }

    /// Puts a key into its slot, which is served from then on; gives the slot.
    pub(crate) fn put(&self, key: &[u8]) -> tessera_slot::Slot {
        use tessera_store::{Lookup, NewValue};
        let hash = self.engine.keyspace.locate(key);
        let mut world = self.engine.keyspace.enter(1);
        let mut guard = world.lock(hash.slot());
        guard.set_state(tessera_slot::SlotState::Served);
        match guard.lookup(0, key, hash) {
            Lookup::Vacant(vacant) => vacant.insert(NewValue::String(b"v"), None, 0),
            Lookup::Found(_) => panic!("it is there already"),
        }
        hash.slot()
    }
}
