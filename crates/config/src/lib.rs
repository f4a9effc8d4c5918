//! The directives of redis.conf as data.
//!
//! [`Config`] is a plain struct of typed fields, grouped by family. Each field is declared once, in
//! [`table`], together with its name, aliases, limits, default and whether it may change at run
//! time; parsing ([`load`]), CONFIG GET ([`Config::get`]), CONFIG SET ([`Config::set`]) and CONFIG
//! REWRITE ([`Config::rewrite`]) are loops over that table. Names, defaults, output formats and
//! error texts are those of Redis 7.2 and Valkey 8.
//!
//! Deliberately not here: files, sockets, the clock, the number of cores. Text goes in, text comes
//! out; the caller reads files, gives a closure for `include`, and applies what has changed.

mod args;
mod command_line;
mod glob;
mod parse;
mod rewrite;
mod set;
pub mod special;
pub mod table;
pub mod value;

pub use args::{UnbalancedQuotes, quote};
pub use command_line::{CommandLine, command_line};
pub use glob::{Glob, glob_match};
pub use parse::{IncludeError, Loaded, ParseError, RenamedCommand, Source, load};
pub use set::{SetContext, SetError};
pub use table::{Directive, Effect, directives, find};

use table::{cluster, data, general, memory, network, observe, persistence, replication, tls};

/// Every setting of a server, typed.
///
/// Cheap enough to clone on each CONFIG SET; readers share it behind an `Arc`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Process, databases, logging, scripts.
    pub general: general::General,
    /// Sockets, connections and their buffers.
    pub network: network::Network,
    /// TLS, for clients and between nodes.
    pub tls: tls::Tls,
    /// Limits of memory, eviction, freeing, defragmentation.
    pub memory: memory::Memory,
    /// Snapshots and the append-only file.
    pub persistence: persistence::Persistence,
    /// Primary and replica.
    pub replication: replication::Replication,
    /// Cluster mode.
    pub cluster: cluster::Cluster,
    /// Thresholds between encodings of data types.
    pub data: data::Data,
    /// Slow log, latency, notifications, statistics.
    pub observe: observe::Observe,
    /// `rename-command` lines, in order.
    pub renamed_commands: Vec<RenamedCommand>,
    /// `user` lines, in order, split into arguments: the name first, then its rules. None of them
    /// restricts a client, since this version has no ACLs.
    pub users: Vec<Vec<Vec<u8>>>,
    /// Cores of the machine, which the default of `io-threads` is.
    cores: u16,
}

impl Default for Config {
    /// The defaults of a machine with one core.
    fn default() -> Self {
        Config::for_cores(1)
    }
}

impl Config {
    /// The defaults of a machine with this many cores: `io-threads` is that number, within the
    /// limits of the directive.
    pub fn for_cores(cores: usize) -> Self {
        let cores = u16::try_from(cores).unwrap_or(u16::MAX).clamp(1, network::IO_THREADS_MAX);
        Config {
            general: Default::default(),
            network: network::Network { io_threads: cores, ..Default::default() },
            tls: Default::default(),
            memory: Default::default(),
            persistence: Default::default(),
            replication: Default::default(),
            cluster: Default::default(),
            data: Default::default(),
            observe: Default::default(),
            renamed_commands: Vec::new(),
            users: Vec::new(),
            cores,
        }
    }

    /// The defaults of the machine that this configuration was made for.
    pub fn defaults(&self) -> Config {
        Config::for_cores(usize::from(self.cores))
    }

    /// The answer of CONFIG GET to these patterns: names and values, each name once, in the order
    /// of the table.
    ///
    /// A name without `[`, `*` or `?` is looked up as it is (any case, hidden ones too) and
    /// answered as it was spelled; a pattern sees everything that is not hidden, aliases included.
    pub fn get<P: AsRef<[u8]>>(&self, patterns: &[P]) -> Vec<(String, Vec<u8>)> {
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        for pattern in patterns {
            let pattern = pattern.as_ref();
            if pattern.iter().any(|byte| matches!(byte, b'[' | b'*' | b'?')) {
                self.get_matching(pattern, &mut found);
            } else if let Some(directive) = find(pattern) {
                let spelled = String::from_utf8_lossy(pattern).into_owned();
                add_once(&mut found, spelled, || directive.show(self));
            }
        }
        found
    }

    fn get_matching(&self, pattern: &[u8], found: &mut Vec<(String, Vec<u8>)>) {
        let pattern = Glob::new(pattern, true);
        for directive in directives().filter(|directive| !directive.spec.hidden) {
            for name in directive.names() {
                if pattern.matches(name.as_bytes()) {
                    add_once(found, name.to_owned(), || directive.show(self));
                }
            }
        }
    }

    /// One line for each directive that was set to something else than its default but which this
    /// server does not act upon yet, so that nobody is deceived.
    pub fn warnings(&self) -> Vec<String> {
        let defaults = self.defaults();
        directives()
            .filter(|directive| !directive.is_effective() && !directive.same(self, &defaults))
            // A file that turns snapshots off gets what it wants from a server that has none.
            .filter(|directive| directive.name != "save" || !self.persistence.save.0.is_empty())
            .map(Directive::warning)
            .collect()
    }
}

fn add_once(found: &mut Vec<(String, Vec<u8>)>, name: String, value: impl FnOnce() -> Vec<u8>) {
    if !found.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
        found.push((name, value()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(config: &Config, name: &str) -> String {
        let found = config.get(&[name]);
        assert_eq!(found.len(), 1, "{name}");
        String::from_utf8(found[0].1.clone()).expect("values of this test are text")
    }

    #[test]
    fn values_are_printed_as_redis_prints_them() {
        let config = Config::default();
        for (name, expected) in [
            ("port", "6379"),
            ("maxmemory", "0"),
            ("appendonly", "no"),
            ("save", ""),
            ("appendonly", "no"),
            ("bind", "* -::*"),
            ("unixsocketperm", "0"),
            ("proto-max-bulk-len", "536870912"),
            ("list-max-listpack-size", "-2"),
            ("notify-keyspace-events", ""),
            (
                "client-output-buffer-limit",
                "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
            ),
            ("latency-tracking-info-percentiles", "50 99 99.9"),
            ("oom-score-adj-values", "0 200 800"),
            ("cluster-fast-failover", "yes"),
        ] {
            assert_eq!(value(&config, name), expected, "{name}");
        }
    }

    #[test]
    fn a_name_is_answered_as_spelled_and_once() {
        let config = Config::default();
        let names: Vec<String> = config
            .get(&["PORT", "port", "slave-prio*", "replica-priority"])
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["PORT", "slave-priority", "replica-priority"]);
        assert!(config.get(&["no-such-thing"]).is_empty());
    }

    #[test]
    fn hidden_directives_need_their_exact_name() {
        let config = Config::default();
        assert_eq!(config.get(&["watchdog-period"]).len(), 1);
        assert!(config.get(&["watchdog*"]).is_empty());
    }

    #[test]
    fn the_default_of_io_threads_is_the_number_of_cores() {
        assert_eq!(Config::for_cores(8).network.io_threads, 8);
        assert_eq!(Config::for_cores(0).network.io_threads, 1);
        assert_eq!(Config::for_cores(100_000).network.io_threads, network::IO_THREADS_MAX);
    }

    #[test]
    fn what_has_no_effect_is_said() {
        let mut config = Config::default();
        assert!(config.warnings().is_empty());
        config.persistence.save.0.clear();
        assert!(config.warnings().is_empty(), "no snapshots are wanted, none are made");
        config.memory.activedefrag = true;
        assert_eq!(
            config.warnings(),
            ["'activedefrag' is accepted but has no effect in this version"]
        );
    }
}
