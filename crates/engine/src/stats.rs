//! Counters. Each I/O thread has its own, so that counting never contends.

use crossbeam_utils::CachePadded;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of one command.
#[derive(Default, Debug)]
pub struct CommandStats {
    /// Runs.
    pub calls: AtomicU64,
    /// Time in nanoseconds, shared out evenly among the commands of a batch.
    pub nanos: AtomicU64,
    /// Runs that were refused before the handler.
    pub rejected: AtomicU64,
    /// Runs that answered an error.
    pub failed: AtomicU64,
}

/// Counters of one thread; only that thread stores.
#[derive(Debug)]
pub struct ThreadStats {
    /// Commands run.
    pub commands: AtomicU64,
    /// Reads that found their key.
    pub hits: AtomicU64,
    /// Reads that did not.
    pub misses: AtomicU64,
    /// Keys removed because their time had come.
    pub expired: AtomicU64,
    /// Error replies.
    pub errors: AtomicU64,
    /// Bytes received.
    pub net_in: AtomicU64,
    /// Bytes sent.
    pub net_out: AtomicU64,
    /// Connections accepted.
    pub connections: AtomicU64,
    /// Connections refused for `maxclients`.
    pub rejected_connections: AtomicU64,
    /// Changes since the start, for `rdb_changes_since_last_save`.
    pub dirty: AtomicU64,
    /// By index into the command table.
    pub by_command: Box<[CommandStats]>,
}

/// Adds to a counter that only this thread stores to.
#[inline]
pub(crate) fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
}

impl ThreadStats {
    fn new() -> ThreadStats {
        ThreadStats {
            commands: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            net_in: AtomicU64::new(0),
            net_out: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            rejected_connections: AtomicU64::new(0),
            dirty: AtomicU64::new(0),
            by_command: (0..crate::commands::count()).map(|_| CommandStats::default()).collect(),
        }
    }

    /// Adds to one of this thread's counters.
    #[inline]
    pub fn bump(&self, counter: impl FnOnce(&ThreadStats) -> &AtomicU64, by: u64) {
        bump(counter(self), by);
    }
}

/// The counters of all threads.
pub struct Stats(Box<[CachePadded<ThreadStats>]>);

impl Stats {
    /// Counters for this many threads.
    pub fn new(threads: usize) -> Stats {
        Stats((0..threads.max(1)).map(|_| CachePadded::new(ThreadStats::new())).collect())
    }

    /// One thread's counters.
    #[inline]
    pub fn thread(&self, index: usize) -> &ThreadStats {
        &self.0[index % self.0.len()]
    }

    /// The sum of one counter over all threads.
    pub fn sum(&self, counter: impl Fn(&ThreadStats) -> &AtomicU64) -> u64 {
        self.0.iter().map(|thread| counter(thread).load(Relaxed)).sum()
    }

    /// Sets all counters to zero. What threads count at the same moment may be lost or survive.
    pub fn reset(&self) {
        for thread in &self.0 {
            let all = [
                &thread.commands,
                &thread.hits,
                &thread.misses,
                &thread.expired,
                &thread.errors,
                &thread.net_in,
                &thread.net_out,
                &thread.connections,
                &thread.rejected_connections,
            ];
            all.iter().for_each(|counter| counter.store(0, Relaxed));
            for command in &thread.by_command {
                let all = [&command.calls, &command.nanos, &command.rejected, &command.failed];
                all.iter().for_each(|counter| counter.store(0, Relaxed));
            }
        }
    }
}
