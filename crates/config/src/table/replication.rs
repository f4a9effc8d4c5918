//! Primary and replica.

use super::{COUNT, Effect, FLAG, INT_MAX, LIST, LONG_COUNT, PORT, SECRET, SIZE_MAX, TEXT};
use super::{bytes, choice, family, integer};
use crate::special::ReplicaOf;
use crate::value::{Bytes, Secret, choices};

choices! {
    /// Whether a replica loads a full sync without a file.
    ReplDisklessLoad {
        /// Through a file.
        Disabled = "disabled",
        /// Directly if it holds no data.
        OnEmptyDb = "on-empty-db",
        /// Directly, keeping the old data until the new is complete.
        Swapdb = "swapdb",
        /// Directly, after dropping the old data.
        FlushBeforeLoad = "flush-before-load",
    }
}

family! {
    /// Primary and replica.
    Replication in replication {
        /// The primary to follow; "no one": none.
        replicaof: ReplicaOf = ReplicaOf::default(),
            "replicaof", LIST.immutable().also(&["slaveof"]).effective();
        /// Password to give to the primary; empty: none.
        masterauth: Secret = Secret::default(),
            "masterauth", SECRET.also(&["primaryauth"]).effective();
        /// User to log in as at the primary; empty: the default user.
        masteruser: String = String::new(),
            "masteruser", TEXT.sensitive().also(&["primaryuser"]).effective();
        /// A replica refuses writes of clients.
        replica_read_only: bool = true,
            "replica-read-only", FLAG.also(&["slave-read-only"]).takes(Effect::ReadOnly);
        /// A replica answers also while it has lost its primary.
        replica_serve_stale_data: bool = true,
            "replica-serve-stale-data", FLAG.also(&["slave-serve-stale-data"]).effective();
        /// Rank for a promotion, the lowest first; 0: never.
        replica_priority: u32 = 100,
            "replica-priority", COUNT.also(&["slave-priority"]).effective();
        /// A replica leaves evictions to its primary.
        replica_ignore_maxmemory: bool = true,
            "replica-ignore-maxmemory", FLAG.also(&["slave-ignore-maxmemory"]).effective();
        /// A replica frees its old data in the background before a full sync.
        replica_lazy_flush: bool = true, "replica-lazy-flush", FLAG.also(&["slave-lazy-flush"]);
        /// Address that a replica gives as its own; empty: the socket's.
        replica_announce_ip: String = String::new(),
            "replica-announce-ip", TEXT.also(&["slave-announce-ip"]).effective();
        /// Port that a replica gives as its own; 0: the one it listens on.
        replica_announce_port: u16 = 0,
            "replica-announce-port", PORT.also(&["slave-announce-port"]).effective();
        /// Be shown to Sentinel.
        replica_announced: bool = true, "replica-announced", FLAG;
        /// A replica goes on when it cannot write to its disk.
        replica_ignore_disk_write_errors: bool = false, "replica-ignore-disk-write-errors", FLAG;
        /// Bytes of history kept for partial resyncs.
        repl_backlog_size: Bytes = Bytes::mib(10),
            "repl-backlog-size", bytes(1, SIZE_MAX).takes(Effect::Backlog);
        /// Seconds after which a history without replicas is dropped; 0: never.
        repl_backlog_ttl: u64 = 3600, "repl-backlog-ttl", LONG_COUNT.effective();
        /// Seconds of silence after which the other side is taken for lost.
        repl_timeout: u32 = 60, "repl-timeout", integer(1, INT_MAX).effective();
        /// Seconds between pings to replicas.
        repl_ping_replica_period: u32 = 10, "repl-ping-replica-period",
            integer(1, INT_MAX).also(&["repl-ping-slave-period"]).takes(Effect::Cluster);
        /// Let TCP collect small packets to replicas.
        repl_disable_tcp_nodelay: bool = false, "repl-disable-tcp-nodelay", FLAG;
        /// Send a full sync without writing a file.
        repl_diskless_sync: bool = true, "repl-diskless-sync", FLAG;
        /// Seconds to wait for more replicas before a full sync without a file.
        repl_diskless_sync_delay: u32 = 5, "repl-diskless-sync-delay", COUNT;
        /// Replicas for which that wait ends early; 0: none.
        repl_diskless_sync_max_replicas: u32 = 0, "repl-diskless-sync-max-replicas", COUNT;
        /// Whether a replica loads a full sync without a file.
        repl_diskless_load: ReplDisklessLoad = ReplDisklessLoad::Disabled,
            "repl-diskless-load", choice(ReplDisklessLoad::WORDS).deny_loading();
        /// Send snapshot and stream of a full sync side by side.
        dual_channel_replication_enabled: bool = false, "dual-channel-replication-enabled", FLAG;
        /// Replicas without which writes are refused; 0: none.
        min_replicas_to_write: u32 = 0,
            "min-replicas-to-write",
            COUNT.also(&["min-slaves-to-write"]).takes(Effect::GoodReplicas);
        /// Seconds of silence after which a replica does not count for that.
        min_replicas_max_lag: u32 = 10,
            "min-replicas-max-lag", COUNT.also(&["min-slaves-max-lag"]).takes(Effect::GoodReplicas);
    }
}
