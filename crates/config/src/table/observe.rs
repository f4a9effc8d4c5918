//! Slow log, latency, notifications, statistics.

use super::{FLAG, LIST, LONG_COUNT, Spec, family, integer};
use crate::special::{KeyspaceEvents, Percentiles};
use crate::value::Kind;

family! {
    /// Slow log, latency, notifications, statistics.
    Observe in observe {
        /// Microseconds from which a command is logged as slow; 0: all, -1: none.
        slowlog_log_slower_than: i64 = 10_000, "slowlog-log-slower-than",
            integer(-1, i64::MAX).also(&["commandlog-execution-slower-than"]);
        /// Entries kept of slow commands.
        slowlog_max_len: u64 = 128, "slowlog-max-len",
            LONG_COUNT.also(&["commandlog-slow-execution-max-len"]);
        /// Bytes from which a request is logged as large; -1: none.
        commandlog_request_larger_than: i64 = 1 << 20,
            "commandlog-request-larger-than", integer(-1, i64::MAX);
        /// Entries kept of large requests.
        commandlog_large_request_max_len: u64 = 128,
            "commandlog-large-request-max-len", LONG_COUNT;
        /// Bytes from which an answer is logged as large; -1: none.
        commandlog_reply_larger_than: i64 = 1 << 20,
            "commandlog-reply-larger-than", integer(-1, i64::MAX);
        /// Entries kept of large answers.
        commandlog_large_reply_max_len: u64 = 128, "commandlog-large-reply-max-len", LONG_COUNT;
        /// Milliseconds from which a delay is recorded for LATENCY; 0: none.
        latency_monitor_threshold: u64 = 0, "latency-monitor-threshold", LONG_COUNT;
        /// Keep a histogram of latencies for each command.
        latency_tracking: bool = true, "latency-tracking", FLAG;
        /// Percentiles of those that INFO reports.
        latency_tracking_info_percentiles: Percentiles = Percentiles::default(),
            "latency-tracking-info-percentiles", LIST;
        /// Classes of events that are published; empty: none.
        notify_keyspace_events: KeyspaceEvents = KeyspaceEvents::default(),
            "notify-keyspace-events", Spec::new(Kind::Special);
        /// Keys remembered for client-side caching; 0: without limit.
        tracking_table_max_keys: u64 = 1_000_000, "tracking-table-max-keys", LONG_COUNT;
    }
}
