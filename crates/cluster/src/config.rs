//! The operator's configuration, as far as the cluster core needs it.

/// The address of a node that is shown to clients (`cluster-preferred-endpoint-type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PreferredEndpoint {
    /// The IP address.
    #[default]
    Ip,
    /// The announced hostname, `?` where there is none.
    Hostname,
    /// No address: clients keep the one that they are connected to.
    Unknown,
}

/// The cluster directives of redis.conf. Times are in milliseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterConfig {
    /// `cluster-node-timeout`.
    pub node_timeout: u64,
    /// `port`: the clients' plain TCP port; 0 where there is none.
    pub port: u16,
    /// `tls-port`; 0 where there is none.
    pub tls_port: u16,
    /// `cluster-port`; 0 means base port + 10000.
    pub cluster_port: u16,
    /// `tls-cluster`: the base port is then `tls_port`.
    pub tls_cluster: bool,
    /// `tls-replication`: replicas connect to their primary's TLS port.
    pub tls_replication: bool,
    /// `cluster-announce-ip`, empty to learn it from peers.
    pub announce_ip: String,
    /// `cluster-announce-port`; 0 announces `port`.
    pub announce_port: u16,
    /// `cluster-announce-tls-port`; 0 announces `tls_port`.
    pub announce_tls_port: u16,
    /// `cluster-announce-bus-port`; 0 announces the real one.
    pub announce_bus_port: u16,
    /// `cluster-announce-hostname`, empty for none.
    pub announce_hostname: String,
    /// `cluster-announce-human-nodename`, empty for none.
    pub announce_human_nodename: String,
    /// `cluster-preferred-endpoint-type`.
    pub preferred_endpoint: PreferredEndpoint,
    /// `cluster-require-full-coverage`: the cluster is down while a slot has no owner.
    pub require_full_coverage: bool,
    /// `cluster-allow-reads-when-down`.
    pub allow_reads_when_down: bool,
    /// `cluster-replica-validity-factor`; 0 lets a replica of any data age stand for election.
    pub replica_validity_factor: u64,
    /// `cluster-replica-no-failover`.
    pub replica_no_failover: bool,
    /// `cluster-migration-barrier`: replicas which a primary keeps when one of them migrates.
    pub migration_barrier: u32,
    /// `cluster-allow-replica-migration`.
    pub allow_replica_migration: bool,
    /// `repl-ping-replica-period`, in milliseconds.
    pub repl_ping_period: u64,
    /// `cluster-manual-failover-timeout`: a manual failover is given up after this long.
    pub manual_failover_timeout: u64,
    /// `cluster-blacklist-ttl`, in milliseconds: how long gossip may not bring a forgotten node
    /// back.
    pub blacklist_ttl: u64,
    /// `cluster-fast-failover`: a process that its host reports as gone is failed at once.
    pub fast_failover: bool,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        ClusterConfig {
            node_timeout: 15_000,
            port: 6379,
            tls_port: 0,
            cluster_port: 0,
            tls_cluster: false,
            tls_replication: false,
            announce_ip: String::new(),
            announce_port: 0,
            announce_tls_port: 0,
            announce_bus_port: 0,
            announce_hostname: String::new(),
            announce_human_nodename: String::new(),
            preferred_endpoint: PreferredEndpoint::Ip,
            require_full_coverage: true,
            allow_reads_when_down: false,
            replica_validity_factor: 10,
            replica_no_failover: false,
            migration_barrier: 1,
            allow_replica_migration: true,
            repl_ping_period: 10_000,
            manual_failover_timeout: 5000,
            blacklist_ttl: 60_000,
            fast_failover: true,
        }
    }
}

impl ClusterConfig {
    /// The bus port is the base port plus this, where none is configured.
    pub(crate) const BUS_PORT_OFFSET: u16 = 10_000;

    /// The port on which the bus listens; 0 if the sum does not fit a port number.
    pub fn bus_port(&self) -> u16 {
        if self.cluster_port != 0 {
            return self.cluster_port;
        }
        let base = if self.tls_cluster { self.tls_port } else { self.port };
        base.checked_add(Self::BUS_PORT_OFFSET).unwrap_or(0)
    }

    /// Whether peers and replicas are told the TLS port as the first one.
    pub(crate) fn base_port_is_tls(&self) -> bool {
        self.tls_cluster
    }

    pub(crate) fn announced_port(&self) -> u16 {
        if self.announce_port != 0 { self.announce_port } else { self.port }
    }

    pub(crate) fn announced_tls_port(&self) -> u16 {
        if self.announce_tls_port != 0 { self.announce_tls_port } else { self.tls_port }
    }

    pub(crate) fn announced_bus_port(&self) -> u16 {
        if self.announce_bus_port != 0 { self.announce_bus_port } else { self.bus_port() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bus_port_follows_the_base_port() {
        let config = ClusterConfig { port: 7000, ..ClusterConfig::default() };
        assert_eq!(config.bus_port(), 17_000);
        let tls = ClusterConfig { tls_cluster: true, tls_port: 7100, ..config.clone() };
        assert_eq!(tls.bus_port(), 17_100);
        assert_eq!(ClusterConfig { port: 60_000, ..config.clone() }.bus_port(), 0);
        assert_eq!(ClusterConfig { cluster_port: 9, ..config }.bus_port(), 9);
    }
}
