//! The engine: everything that commands share.

use crate::{Clients, Host, Stats};
use arc_swap::ArcSwap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use tessera_config::Config;
use tessera_log::{Log, ReplId};
use tessera_slot::Millis;
use tessera_store::{Keyspace, KeyspaceOptions, Placement};

/// The obstacles to some commands. Zero on an ordinary node, so that one load settles it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mode(u32);

impl Mode {
    /// A replica that refuses writes of clients.
    pub const READ_ONLY: Mode = Mode(1);
    /// The data is being loaded.
    pub const LOADING: Mode = Mode(2);
    /// A replica without its primary that may not answer (`replica-serve-stale-data no`).
    pub const STALE: Mode = Mode(4);
    /// Cluster mode: slots may be served elsewhere.
    pub const CLUSTER: Mode = Mode(8);
    /// The cluster is down, as this node sees it.
    pub const CLUSTER_DOWN: Mode = Mode(16);
    /// Fewer good replicas than `min-replicas-to-write`.
    pub const FEW_REPLICAS: Mode = Mode(32);
    /// Writes wait (manual failover).
    pub const WRITES_PAUSED: Mode = Mode(64);
    /// This node is a replica.
    pub const REPLICA: Mode = Mode(128);
    /// Clients are, or were until a moment that has passed, paused by CLIENT PAUSE.
    pub const PAUSED: Mode = Mode(256);

    /// Whether any of these is set.
    #[inline]
    pub fn any(self, of: Mode) -> bool {
        self.0 & of.0 != 0
    }

    /// Whether nothing is set.
    #[inline]
    pub fn is_plain(self) -> bool {
        self.0 == 0
    }
}

/// How an engine is made.
pub struct EngineOptions {
    /// The configuration.
    pub config: Config,
    /// Threads that run commands: I/O threads, then others.
    pub threads: usize,
    /// A random secret.
    pub seed: u64,
    /// The first replication id.
    pub replication_id: ReplId,
    /// The time, Unix ms.
    pub now: Millis,
}

/// Everything that commands share.
pub struct Engine {
    /// All keys.
    pub keyspace: Arc<Keyspace>,
    /// The ordered history of writes.
    pub log: Arc<Log>,
    /// Counters.
    pub stats: Stats,
    /// The connected clients.
    pub clients: Clients,
    /// When the server started, Unix ms.
    pub started: Millis,
    /// The name of this run of the server, as INFO shows it.
    pub run_id: ReplId,
    /// Whether expired keys are looked for (DEBUG SET-ACTIVE-EXPIRE).
    pub(crate) active_expiry: AtomicBool,
    /// Bytes from which a list's element has a node for itself (DEBUG QUICKLIST-PACKED-THRESHOLD);
    /// 0: as configured.
    pub(crate) list_packed_threshold: AtomicUsize,
    /// DEBUG SET-SKIP-CHECKSUM-VALIDATION: RESTORE takes payloads with wrong checksums.
    pub(crate) skip_checksums: AtomicBool,
    pub(crate) pause: crate::pause::Pause,
    pub(crate) blocking: crate::blocking::Blocking,
    pub(crate) chores: crate::chores::Chores,
    pub(crate) events: crate::notify::Sink,
    /// Stands in where no client is.
    pub(crate) nobody: Arc<crate::ClientInfo>,
    pub(crate) replica_keys: crate::replica_keys::ReplicaKeys,
    pub(crate) eviction: crate::evict::Eviction,
    /// The names of commands here; `None`: as in the table.
    pub(crate) renamed: Option<crate::commands::Renamed>,
    config: ArcSwap<Config>,
    /// Counts changes of the configuration, so that threads see when to load it anew.
    config_version: AtomicU64,
    mode: AtomicU32,
    host: OnceLock<Arc<dyn Host>>,
    random: AtomicU64,
    /// The time of the last look at it by any thread, Unix ms, and the peak of used memory.
    pub(crate) peak_memory: AtomicU64,
    /// Bytes in use when the engine was made, before there were clients and data.
    pub(crate) startup_memory: u64,
}

impl Engine {
    /// A new engine with an empty keyspace.
    ///
    /// # Panics
    /// If [`check_renamed`](crate::commands::check_renamed) refuses the configuration's renamed
    /// commands.
    pub fn new(options: EngineOptions) -> Engine {
        let renamed = &options.config.renamed_commands;
        let renamed = (!renamed.is_empty())
            .then(|| crate::commands::Renamed::new(renamed).expect("they were checked before"));
        let cluster = options.config.cluster.enabled;
        tessera_collections::seed(options.seed);
        let keyspace = Keyspace::new(KeyspaceOptions {
            databases: if cluster { 1 } else { options.config.general.databases as usize },
            placement: if cluster { Placement::Cluster } else { Placement::Local },
            seed: options.seed,
            threads: options.threads,
        });
        keyspace.set_lfu(crate::evict::lfu(&options.config));
        let backlog = options.config.replication.repl_backlog_size.0;
        Engine {
            keyspace: Arc::new(keyspace),
            log: Arc::new(Log::new(options.replication_id, backlog)),
            stats: Stats::new(options.threads),
            clients: Clients::default(),
            started: options.now,
            run_id: options.replication_id,
            active_expiry: AtomicBool::new(true),
            list_packed_threshold: AtomicUsize::new(0),
            skip_checksums: AtomicBool::new(false),
            pause: Default::default(),
            blocking: Default::default(),
            chores: Default::default(),
            events: Default::default(),
            nobody: Arc::new(crate::ClientInfo::new(0, String::new(), String::new(), -1, 0, 0)),
            replica_keys: Default::default(),
            eviction: crate::evict::Eviction::new(options.threads),
            renamed,
            config: ArcSwap::from_pointee(options.config),
            config_version: AtomicU64::new(0),
            mode: AtomicU32::new(if cluster { Mode::CLUSTER.0 } else { 0 }),
            host: OnceLock::new(),
            random: AtomicU64::new(options.seed | 1),
            peak_memory: AtomicU64::new(0),
            startup_memory: tessera_store::used_memory() as u64,
        }
    }

    /// Connects the engine with the rim; once, before the first command.
    pub fn set_host(&self, host: Arc<dyn Host>) {
        assert!(self.host.set(host).is_ok(), "the host is set once");
    }

    /// The rim.
    pub fn host(&self) -> &dyn Host {
        &**self.host.get().expect("the host is set before the first command")
    }

    /// Chooses who is told of keyspace notifications; once, before the first command. Without it
    /// nobody is.
    pub fn set_event_sink(&self, sink: Arc<dyn crate::EventSink>) {
        assert!(self.events.set(sink).is_ok(), "the sink is set once");
    }

    /// The configuration.
    pub fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Changes whenever the configuration does.
    #[inline]
    pub fn config_version(&self) -> u64 {
        self.config_version.load(Relaxed)
    }

    /// Replaces the configuration. One thread does so ([`Engine::carry_out`]), or whoever is alone:
    /// a change that another one made meanwhile would be lost.
    pub fn set_config(&self, config: Config) {
        self.keyspace.set_lfu(crate::evict::lfu(&config));
        self.config.store(Arc::new(config));
        self.config_version.fetch_add(1, Relaxed);
    }

    /// The obstacles to some commands.
    #[inline]
    pub fn mode(&self) -> Mode {
        Mode(self.mode.load(Relaxed))
    }

    /// Sets or clears what stands in the way of some commands.
    pub fn set_mode(&self, mode: Mode, on: bool) {
        if on {
            self.mode.fetch_or(mode.0, Relaxed);
        } else {
            self.mode.fetch_and(!mode.0, Relaxed);
        }
    }

    /// A random number, for picking keys: xorshift64*, fair enough for that, and no secret.
    pub fn random(&self) -> u64 {
        let mut x = self.random.load(Relaxed);
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.store(x, Relaxed);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Bytes in use, and the most there have been.
    pub fn memory(&self) -> (u64, u64) {
        let used = tessera_store::used_memory() as u64;
        let peak = self.peak_memory.fetch_max(used, Relaxed).max(used);
        (used, peak)
    }
}
