//! Cluster mode.

use super::{
    COUNT, Effect, FLAG, INT_MAX, LONG_COUNT, PORT, bytes, checked, checks, choice, family, integer,
};
use crate::value::{Bytes, choices};

choices! {
    /// The address of a node that clients are told.
    ClusterEndpointType {
        /// Its address.
        Ip = "ip",
        /// Its announced host name.
        Hostname = "hostname",
        /// No address: they use the one they know.
        UnknownEndpoint = "unknown-endpoint",
    }
}

family! {
    /// Cluster mode.
    Cluster in cluster {
        /// Run as a node of a cluster.
        enabled: bool = false, "cluster-enabled", FLAG.immutable().effective();
        /// File in which the node keeps the state of the cluster; not for editing.
        config_file: String = "nodes.conf".to_owned(),
            "cluster-config-file", checked(checks::cluster_config_file).immutable().effective();
        /// Milliseconds of silence after which a node is taken for failed.
        node_timeout: u64 = 15_000, "cluster-node-timeout", LONG_COUNT.takes(Effect::Cluster);
        /// Take over at once when a primary's host says that its process is gone, whatever
        /// `cluster-node-timeout` says.
        fast_failover: bool = true, "cluster-fast-failover", FLAG.takes(Effect::Cluster);
        /// Port of the cluster bus; 0: the port plus 10,000.
        port: u16 = 0, "cluster-port", PORT.immutable().effective();
        /// Address that the node gives as its own; empty: the one others see.
        announce_ip: String = String::new(),
            "cluster-announce-ip", super::TEXT.takes(Effect::Cluster);
        /// IPv4 address that clients are told; empty: the node's.
        announce_client_ipv4: String = String::new(),
            "cluster-announce-client-ipv4", checked(checks::ipv4);
        /// IPv6 address that clients are told; empty: the node's.
        announce_client_ipv6: String = String::new(),
            "cluster-announce-client-ipv6", checked(checks::ipv6);
        /// Port that clients are told; 0: `port`.
        announce_port: u16 = 0, "cluster-announce-port", PORT.takes(Effect::Cluster);
        /// TLS port that clients are told; 0: `tls-port`.
        announce_tls_port: u16 = 0,
            "cluster-announce-tls-port", PORT.takes(Effect::Cluster);
        /// Bus port that nodes are told; 0: the one it listens on.
        announce_bus_port: u16 = 0, "cluster-announce-bus-port", PORT.takes(Effect::Cluster);
        /// Host name that clients are told; empty: none.
        announce_hostname: String = String::new(),
            "cluster-announce-hostname", checked(checks::host_name).takes(Effect::Cluster);
        /// Name for people, shown in logs; empty: none.
        announce_human_nodename: String = String::new(),
            "cluster-announce-human-nodename", checked(checks::node_name).takes(Effect::Cluster);
        /// The address of a node that clients are told.
        preferred_endpoint_type: ClusterEndpointType = ClusterEndpointType::Ip,
            "cluster-preferred-endpoint-type",
            choice(ClusterEndpointType::WORDS).takes(Effect::Cluster);
        /// Refuse everything while a slot is without an owner.
        require_full_coverage: bool = true,
            "cluster-require-full-coverage", FLAG.takes(Effect::Cluster);
        /// Serve reads also while the cluster is down.
        allow_reads_when_down: bool = false,
            "cluster-allow-reads-when-down", FLAG.takes(Effect::Cluster);
        /// Serve sharded pub/sub also while the cluster is down.
        allow_pubsubshard_when_down: bool = true, "cluster-allow-pubsubshard-when-down", FLAG;
        /// How many times `cluster-node-timeout` a replica's data may be old for it to take over;
        /// 0: however old.
        replica_validity_factor: u32 = 10, "cluster-replica-validity-factor",
            COUNT.also(&["cluster-slave-validity-factor"]).takes(Effect::Cluster);
        /// Never take over by itself.
        replica_no_failover: bool = false, "cluster-replica-no-failover",
            FLAG.also(&["cluster-slave-no-failover"]).takes(Effect::Cluster);
        /// Let spare replicas go to primaries that have none.
        allow_replica_migration: bool = true, "cluster-allow-replica-migration",
            FLAG.takes(Effect::Cluster);
        /// Replicas that a primary keeps before one may go.
        migration_barrier: u32 = 1,
            "cluster-migration-barrier", COUNT.takes(Effect::Cluster);
        /// Milliseconds that a manual failover may take.
        manual_failover_timeout: u32 = 5000,
            "cluster-manual-failover-timeout", integer(1, INT_MAX).takes(Effect::Cluster);
        /// Most bytes waiting on a bus link before it is closed; 0: without limit.
        link_sendbuf_limit: Bytes = Bytes(0), "cluster-link-sendbuf-limit", bytes(0, u64::MAX);
        /// Seconds for which a forgotten node may not come back by gossip.
        blacklist_ttl: u64 = 60, "cluster-blacklist-ttl", LONG_COUNT.takes(Effect::Cluster);
        /// Count use of CPU and network for each slot.
        slot_stats_enabled: bool = false, "cluster-slot-stats-enabled", FLAG;
        /// For tests: milliseconds between pings; 0: by the usual rule.
        ping_interval: u64 = 0, "cluster-ping-interval", LONG_COUNT.hidden();
    }
}
