//! The server's metrics: what it counts and measures, each with its name, unit and meaning.
//!
//! INFO shows them by their names, in the order in which they stand here. Whatever else reports
//! them goes through the same table, and none of them is read out of INFO's text.
//!
//! Not here: counters of single commands and error codes, whose number is not known before, and
//! what INFO says in words.

use crate::stats::ThreadStats;
use crate::{Engine, Facts};
use std::fmt;
use std::sync::atomic::AtomicU64;
use tessera_slot::Millis;

/// How a metric moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetricKind {
    /// It only grows, until CONFIG RESETSTAT if that is about it.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// What a metric is measured in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Bytes.
    Bytes,
    /// Microseconds.
    Microseconds,
    /// Milliseconds.
    Milliseconds,
    /// Parts of a hundred.
    Percent,
    /// A number of things in a second.
    PerSecond,
    /// 1024 bytes in a second.
    KilobytesPerSecond,
}

/// A metric's value.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum MetricValue {
    /// A whole number.
    Whole(u64),
    /// A number that is shown with two digits behind the point.
    Part(f64),
}

impl fmt::Display for MetricValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MetricValue::Whole(number) => write!(f, "{number}"),
            MetricValue::Part(number) => write!(f, "{number:.2}"),
        }
    }
}

/// Where metrics are read from.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) facts: &'a Facts,
    pub(crate) now: Millis,
}

impl Source<'_> {
    fn sum(&self, counter: impl Fn(&ThreadStats) -> &AtomicU64) -> u64 {
        self.engine.stats.sum(counter)
    }
}

/// A metric.
pub struct Metric {
    /// Its name in INFO.
    pub name: &'static str,
    /// How it moves.
    pub kind: MetricKind,
    /// What it is measured in.
    pub unit: Unit,
    /// What it says.
    pub doc: &'static str,
    /// Whether CONFIG RESETSTAT sets it to zero.
    pub resets: bool,
    /// Whether this version has its subject. A metric without one keeps its neutral value.
    pub has_subject: bool,
    read: fn(&Source<'_>) -> MetricValue,
}

impl fmt::Debug for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metric").field("name", &self.name).field("kind", &self.kind).finish()
    }
}

impl Metric {
    /// Its value now.
    pub(crate) fn read(&self, source: &Source<'_>) -> MetricValue {
        (self.read)(source)
    }

    /// A counter of things since the start, or since CONFIG RESETSTAT.
    const fn counter(
        name: &'static str,
        doc: &'static str,
        read: fn(&Source<'_>) -> MetricValue,
    ) -> Metric {
        let (kind, unit, resets) = (MetricKind::Counter, Unit::Count, true);
        Metric { name, kind, unit, doc, resets, has_subject: true, read }
    }

    /// A number of things at present.
    const fn gauge(
        name: &'static str,
        doc: &'static str,
        read: fn(&Source<'_>) -> MetricValue,
    ) -> Metric {
        let (kind, unit, resets) = (MetricKind::Gauge, Unit::Count, false);
        Metric { name, kind, unit, doc, resets, has_subject: true, read }
    }

    /// A metric whose subject this version does not have.
    const fn absent(name: &'static str, doc: &'static str) -> Metric {
        Metric { has_subject: false, ..Metric::gauge(name, doc, |_| MetricValue::Whole(0)) }
    }

    const fn unit(self, unit: Unit) -> Metric {
        Metric { unit, ..self }
    }

    /// CONFIG RESETSTAT leaves it as it is.
    const fn kept(self) -> Metric {
        Metric { resets: false, ..self }
    }
}

/// The metrics of a section of INFO.
pub type Metrics = &'static [Metric];

/// All metrics, by the name of their section of INFO.
pub(crate) const SECTIONS: &[(&str, Metrics)] =
    &[("memory", MEMORY), ("persistence", PERSISTENCE), ("stats", STATS)];

impl Engine {
    /// All metrics, by the name of their section of INFO.
    pub fn metrics() -> &'static [(&'static str, Metrics)] {
        SECTIONS
    }

    /// CONFIG RESETSTAT.
    pub(crate) fn reset_stats(&self) {
        self.stats.reset();
        self.eviction.reset();
        self.keyspace.discards().reset_freed();
    }
}

use MetricValue::{Part, Whole};
use Unit::{Bytes, KilobytesPerSecond, Milliseconds, PerSecond};

/// Bytes in a second as the number of kilobytes that INFO shows.
fn kilobytes(rate: f64) -> MetricValue {
    Part(rate / 1024.0)
}

/// Where memory is. The rest of the section is not counted but found out.
pub(crate) const MEMORY: Metrics = &[
    Metric::gauge("lazyfree_pending_objects", "Values that wait to be freed.", |source| {
        Whole(source.engine.keyspace.discards().pending())
    }),
    Metric::counter("lazyfreed_objects", "Values freed in the background.", |source| {
        Whole(source.engine.keyspace.discards().freed())
    }),
];

/// What was saved.
pub(crate) const PERSISTENCE: Metrics = &[Metric::counter(
    "rdb_changes_since_last_save",
    "Changes of the data since it was last saved.",
    |source| Whole(source.sum(|thread| &thread.dirty)),
)
.kept()];

/// What has happened.
pub(crate) const STATS: Metrics = &[
    Metric::counter("total_connections_received", "Connections accepted.", |source| {
        Whole(source.sum(|thread| &thread.connections))
    }),
    Metric::counter("total_commands_processed", "Commands run.", |source| {
        Whole(source.sum(|thread| &thread.commands))
    }),
    Metric::gauge("instantaneous_ops_per_sec", "Commands run in a second.", |source| {
        Whole(source.facts.rates.commands.round() as u64)
    })
    .unit(PerSecond),
    Metric::counter("total_net_input_bytes", "Bytes received.", |source| {
        let all = source.sum(|thread| &thread.net_in) + source.sum(|thread| &thread.net_repl_in);
        Whole(all)
    })
    .unit(Bytes),
    Metric::counter("total_net_output_bytes", "Bytes sent.", |source| {
        let all = source.sum(|thread| &thread.net_out) + source.sum(|thread| &thread.net_repl_out);
        Whole(all)
    })
    .unit(Bytes),
    Metric::counter("total_net_repl_input_bytes", "Bytes received from the primary.", |source| {
        Whole(source.sum(|thread| &thread.net_repl_in))
    })
    .unit(Bytes),
    Metric::counter("total_net_repl_output_bytes", "Bytes sent to replicas.", |source| {
        Whole(source.sum(|thread| &thread.net_repl_out))
    })
    .unit(Bytes),
    Metric::gauge("instantaneous_input_kbps", "Kilobytes received in a second.", |source| {
        kilobytes(source.facts.rates.bytes_in)
    })
    .unit(KilobytesPerSecond),
    Metric::gauge("instantaneous_output_kbps", "Kilobytes sent in a second.", |source| {
        kilobytes(source.facts.rates.bytes_out)
    })
    .unit(KilobytesPerSecond),
    Metric::gauge(
        "instantaneous_input_repl_kbps",
        "Kilobytes received from the primary in a second.",
        |source| kilobytes(source.facts.rates.repl_in),
    )
    .unit(KilobytesPerSecond),
    Metric::gauge(
        "instantaneous_output_repl_kbps",
        "Kilobytes sent to replicas in a second.",
        |source| kilobytes(source.facts.rates.repl_out),
    )
    .unit(KilobytesPerSecond),
    Metric::counter("rejected_connections", "Connections refused.", |source| {
        Whole(source.sum(|thread| &thread.rejected_connections))
    }),
    Metric::counter("sync_full", "Full synchronisations of replicas.", |source| {
        Whole(source.sum(|thread| &thread.full_syncs))
    }),
    Metric::counter("sync_partial_ok", "Partial synchronisations granted.", |source| {
        Whole(source.sum(|thread| &thread.partial_syncs))
    }),
    Metric::counter("sync_partial_err", "Partial synchronisations refused.", |source| {
        Whole(source.sum(|thread| &thread.refused_partial_syncs))
    }),
    Metric::counter("expired_keys", "Keys removed because their time had come.", |source| {
        Whole(source.sum(|thread| &thread.expired))
    }),
    Metric::counter(
        "expired_fields",
        "Fields of hashes removed because their time had come.",
        |source| Whole(source.sum(|thread| &thread.expired_fields)),
    ),
    Metric {
        has_subject: false,
        ..Metric::gauge("expired_stale_perc", "Keys whose time has come, estimated.", |_| Part(0.0))
            .unit(Unit::Percent)
    },
    Metric::counter(
        "expired_time_cap_reached_count",
        "Walks in search of expired keys that ended because their time was up.",
        |source| Whole(source.sum(|thread| &thread.expiry_cut_short)),
    ),
    Metric::counter("evicted_keys", "Keys removed for want of memory.", |source| {
        Whole(source.sum(|thread| &thread.evicted))
    }),
    Metric::counter("evicted_clients", "Clients disconnected for maxmemory-clients.", |source| {
        Whole(source.sum(|thread| &thread.evicted_clients))
    }),
    Metric::absent("evicted_scripts", "Scripts dropped for want of room."),
    Metric::counter(
        "total_eviction_exceeded_time",
        "Time for which more memory was used than maxmemory.",
        |source| Whole(source.engine.eviction.exceeded_ms(source.now).0),
    )
    .unit(Milliseconds),
    Metric::gauge(
        "current_eviction_exceeded_time",
        "Time since which more memory is used than maxmemory.",
        |source| Whole(source.engine.eviction.exceeded_ms(source.now).1),
    )
    .unit(Milliseconds),
    Metric::counter("keyspace_hits", "Reads that found their key.", |source| {
        Whole(source.sum(|thread| &thread.hits))
    }),
    Metric::counter("keyspace_misses", "Reads that did not find their key.", |source| {
        Whole(source.sum(|thread| &thread.misses))
    }),
    Metric::absent("pubsub_channels", "Channels with subscribers."),
    Metric::absent("pubsub_patterns", "Patterns with subscribers."),
    Metric::absent("pubsubshard_channels", "Shard channels with subscribers."),
    Metric::absent("latest_fork_usec", "Time that the last fork took.").unit(Unit::Microseconds),
    Metric::absent("total_forks", "Forks: this server does not fork."),
    Metric::absent("migrate_cached_sockets", "Connections kept by MIGRATE."),
    Metric::gauge(
        "slave_expires_tracked_keys",
        "Keys with an expiry that clients have written on this replica.",
        |source| Whole(source.engine.replica_keys.len() as u64),
    ),
    Metric::absent("tracking_total_keys", "Keys that clients cache."),
    Metric::absent("tracking_total_items", "Keys that clients cache, once for each client."),
    Metric::absent("tracking_total_prefixes", "Prefixes that clients cache by."),
    Metric::counter(
        "unexpected_error_replies",
        "Commands of the primary's stream that failed here.",
        |source| Whole(source.sum(|thread| &thread.unexpected_errors)),
    ),
    Metric::counter("total_error_replies", "Error replies.", |source| {
        Whole(source.sum(|thread| &thread.errors))
    }),
    Metric::absent("dump_payload_sanitizations", "Payloads that were checked in full."),
    Metric::counter("total_reads_processed", "Reads from clients' sockets.", |source| {
        Whole(source.sum(|thread| &thread.reads))
    }),
    Metric::counter("total_writes_processed", "Writes to clients' sockets.", |source| {
        Whole(source.sum(|thread| &thread.writes))
    }),
    Metric::counter(
        "client_query_buffer_limit_disconnections",
        "Clients disconnected for client-query-buffer-limit.",
        |source| Whole(source.sum(|thread| &thread.query_limit_disconnections)),
    ),
    Metric::counter(
        "client_output_buffer_limit_disconnections",
        "Clients disconnected for client-output-buffer-limit.",
        |source| Whole(source.sum(|thread| &thread.output_limit_disconnections)),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_metric_has_a_name_of_its_own_and_says_what_it_is() {
        let all: Vec<&Metric> = SECTIONS.iter().flat_map(|(_, metrics)| metrics.iter()).collect();
        assert!(all.len() > 40, "only {}", all.len());
        let mut names = HashSet::new();
        for metric in all {
            assert!(names.insert(metric.name), "{} is there twice", metric.name);
            assert!(metric.doc.ends_with('.') && metric.doc.len() > 10, "{}", metric.name);
            assert!(
                !metric.resets || metric.kind == MetricKind::Counter,
                "{}: CONFIG RESETSTAT is about counters",
                metric.name
            );
        }
    }
}
