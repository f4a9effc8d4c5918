//! The directives that have an effect, and which test sees it.

use super::common::wire::Wire;
use super::seen::*;

/// Where the effect of a directive is seen.
pub(crate) enum Seen {
    /// On a server that runs, by CONFIG SET.
    Running(fn(&mut Wire)),
    /// On servers that the test starts.
    Started(fn()),
    /// By another test: its file, and its name.
    By(&'static str, &'static str),
    /// By no test, for this reason.
    Unseen(&'static str),
}
use Seen::{By, Running, Started, Unseen};

const IN_SERVER: &str = "crates/tessera/tests/server.rs";
const IN_START: &str = "crates/tessera/tests/start.rs";
const IN_REPLICATION: &str = "crates/tessera/tests/replication.rs";
const IN_EVICTION: &str = "crates/engine/tests/eviction.rs";
const IN_CORE: &str = "crates/cluster/tests/commands.rs";
const IN_SIM: &str = "crates/sim/tests/failover.rs";

/// The directives that have an effect, and where it is seen.
pub(crate) const EFFECTS: &[(&str, Seen)] = &[
    // general
    ("daemonize", By("crates/tessera/tests/peers_redis_cli.rs", "a_cluster_by_hand")),
    ("pidfile", By(IN_SERVER, "sigterm_ends_it_in_good_order")),
    ("databases", Started(databases)),
    ("dir", Started(dir)),
    ("hz", Started(hz)),
    ("loglevel", Started(loglevel)),
    ("logfile", Started(logfile)),
    ("disable-thp", Started(disable_thp)),
    ("shutdown-timeout", Started(shutdown_timeout)),
    ("requirepass", By(IN_SERVER, "a_password_is_asked_for")),
    ("enable-protected-configs", By("crates/config/src/set.rs", "protected_and_loading")),
    ("enable-debug-command", By("crates/engine/tests/server.rs", "debugging_must_be_allowed")),
    // network
    ("port", By(IN_SERVER, "a_unix_socket_serves_like_a_port")),
    ("bind", Started(bind)),
    ("unixsocket", By(IN_SERVER, "a_unix_socket_serves_like_a_port")),
    ("unixsocketperm", By(IN_SERVER, "a_unix_socket_serves_like_a_port")),
    ("unixsocketgroup", By(IN_START, "a_unix_socket_belongs_to_the_group_that_is_named")),
    ("protected-mode", Started(protected_mode)),
    ("tcp-backlog", Started(tcp_backlog)),
    ("timeout", By(IN_SERVER, "an_idle_client_is_disconnected")),
    ("tcp-keepalive", Started(tcp_keepalive)),
    ("maxclients", By(IN_SERVER, "more_clients_than_allowed_are_refused")),
    ("io-threads", Started(io_threads)),
    ("proto-max-bulk-len", Running(proto_max_bulk_len)),
    ("client-query-buffer-limit", By(IN_SERVER, "a_client_that_sends_no_end_is_disconnected")),
    ("client-output-buffer-limit", By(IN_SERVER, "a_client_that_does_not_read_is_disconnected")),
    // memory
    ("maxmemory", By(IN_EVICTION, "without_eviction_only_what_may_take_memory_is_refused")),
    ("maxmemory-policy", By(IN_EVICTION, "every_policy_keeps_the_limit_and_its_word")),
    ("maxmemory-samples", Unseen("how good the choice of keys is, which only statistics show")),
    ("maxmemory-eviction-tenacity", Unseen("how long an eviction may take, in microseconds")),
    (
        "maxmemory-clients",
        By("crates/tessera/tests/client_memory.rs", "a_lower_limit_counts_at_once"),
    ),
    ("active-expire-effort", By("crates/server/src/expire.rs", "hz_and_effort_set_the_pace")),
    ("lfu-log-factor", Running(lfu_log_factor)),
    ("lfu-decay-time", By(IN_EVICTION, "frequencies_are_shown_under_lfu_and_idle_times_otherwise")),
    ("lazyfree-lazy-eviction", By(IN_EVICTION, "replicas_and_listeners_are_told")),
    (
        "lazyfree-lazy-expire",
        By("crates/engine/tests/propagation.rs", "how_expired_keys_are_deleted_is_configured"),
    ),
    ("lazyfree-lazy-server-del", By("crates/engine/tests/sets.rs", "replicas_do_what_was_done")),
    // persistence
    ("rdbcompression", Running(rdbcompression)),
    ("rdbchecksum", Started(rdbchecksum)),
    // replication
    ("replicaof", Started(replicaof)),
    ("masterauth", Started(masterauth)),
    ("masteruser", Started(masterauth)),
    ("replica-read-only", Started(as_a_replica)),
    ("replica-serve-stale-data", Started(as_a_replica)),
    ("replica-priority", Started(as_a_replica)),
    ("replica-ignore-maxmemory", By(IN_EVICTION, "a_replica_leaves_eviction_to_its_primary")),
    ("replica-announce-ip", Started(replicaof)),
    ("replica-announce-port", Started(replicaof)),
    ("repl-backlog-size", Running(repl_backlog_size)),
    ("repl-backlog-ttl", By(IN_REPLICATION, "a_history_that_nobody_reads_is_freed")),
    ("repl-timeout", Started(repl_timeout)),
    ("repl-ping-replica-period", Started(repl_ping_replica_period)),
    ("min-replicas-to-write", Running(min_replicas_to_write)),
    ("min-replicas-max-lag", Started(min_replicas_max_lag)),
    // cluster
    ("cluster-enabled", Started(cluster)),
    ("cluster-config-file", Started(cluster)),
    ("cluster-port", Started(cluster)),
    ("cluster-announce-ip", Started(cluster)),
    ("cluster-announce-port", Started(cluster)),
    ("cluster-announce-tls-port", Started(cluster)),
    ("cluster-announce-bus-port", Started(cluster)),
    ("cluster-announce-hostname", Started(cluster)),
    ("cluster-announce-human-nodename", By(IN_CORE, "the_name_for_people_is_told_to_other_nodes")),
    ("cluster-preferred-endpoint-type", Started(cluster)),
    ("cluster-require-full-coverage", Started(cluster)),
    ("cluster-allow-reads-when-down", Started(cluster)),
    (
        "cluster-node-timeout",
        By(IN_SIM, "a_stopped_primary_is_replaced_within_3300_ms_at_a_timeout_of_2000"),
    ),
    (
        "cluster-fast-failover",
        By(IN_SIM, "without_fast_failover_a_killed_primary_is_judged_by_the_timeout"),
    ),
    (
        "cluster-replica-validity-factor",
        By("crates/cluster/tests/validity.rs", "the_silence_of_a_link_that_is_up_counts"),
    ),
    (
        "cluster-replica-no-failover",
        By(
            "crates/sim/tests/lost_data.rs",
            "a_replica_that_may_not_take_over_is_waited_for_in_vain",
        ),
    ),
    (
        "cluster-allow-replica-migration",
        By(
            "crates/sim/tests/migration.rs",
            "a_spare_replica_goes_to_a_primary_without_one_if_it_may",
        ),
    ),
    (
        "cluster-migration-barrier",
        By(
            "crates/sim/tests/migration.rs",
            "a_spare_replica_goes_to_a_primary_without_one_if_it_may",
        ),
    ),
    (
        "cluster-manual-failover-timeout",
        By(IN_CORE, "a_manual_failover_is_given_up_after_as_long_as_is_configured"),
    ),
    (
        "cluster-blacklist-ttl",
        By(IN_CORE, "a_forgotten_node_is_banned_for_as_long_as_is_configured"),
    ),
    // data
    ("hash-max-listpack-entries", Running(encodings)),
    ("hash-max-listpack-value", Running(encodings)),
    ("list-max-listpack-size", Running(encodings)),
    ("list-compress-depth", Running(list_compress_depth)),
    ("set-max-intset-entries", Running(encodings)),
    ("set-max-listpack-entries", Running(encodings)),
    ("set-max-listpack-value", Running(encodings)),
    ("zset-max-listpack-entries", Running(encodings)),
    ("zset-max-listpack-value", Running(encodings)),
    ("stream-node-max-bytes", Running(stream_nodes)),
    ("stream-node-max-entries", Running(stream_nodes)),
    ("hll-sparse-max-bytes", Running(hll_sparse_max_bytes)),
];
