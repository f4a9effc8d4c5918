//! Counters. Each I/O thread has its own, so that counting never contends.

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use std::collections::BTreeMap;
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
    /// Fields of hashes removed because their time had come.
    pub expired_fields: AtomicU64,
    /// Keys removed for want of memory.
    pub evicted: AtomicU64,
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
    /// Clients disconnected for `maxmemory-clients`.
    pub evicted_clients: AtomicU64,
    /// Clients disconnected for `client-query-buffer-limit`.
    pub query_limit_disconnections: AtomicU64,
    /// Clients disconnected for `client-output-buffer-limit`.
    pub output_limit_disconnections: AtomicU64,
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
            evicted: AtomicU64::new(0),
            expired_fields: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            net_in: AtomicU64::new(0),
            net_out: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            rejected_connections: AtomicU64::new(0),
            evicted_clients: AtomicU64::new(0),
            query_limit_disconnections: AtomicU64::new(0),
            output_limit_disconnections: AtomicU64::new(0),
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
pub struct Stats {
    threads: Box<[CachePadded<ThreadStats>]>,
    /// Error replies by their code word. One mutex for all: errors are rare.
    error_codes: Mutex<BTreeMap<String, u64>>,
}

/// How many code words are counted: some come from scripts, which may invent any number.
const ERROR_CODES_MAX: usize = 128;

impl Stats {
    /// Counters for this many threads.
    pub fn new(threads: usize) -> Stats {
        Stats {
            threads: (0..threads.max(1)).map(|_| CachePadded::new(ThreadStats::new())).collect(),
            error_codes: Mutex::default(),
        }
    }

    /// One thread's counters.
    #[inline]
    pub fn thread(&self, index: usize) -> &ThreadStats {
        &self.threads[index % self.threads.len()]
    }

    /// The sum of one counter over all threads.
    pub fn sum(&self, counter: impl Fn(&ThreadStats) -> &AtomicU64) -> u64 {
        self.threads.iter().map(|thread| counter(thread).load(Relaxed)).sum()
    }

    /// Counts an error reply, whose text begins with its code word.
    pub(crate) fn count_error(&self, thread: usize, text: &[u8]) {
        self.note_error(self.thread(thread), text);
    }

    /// As [`Stats::count_error`], with the counters of the calling thread.
    pub(crate) fn note_error(&self, thread: &ThreadStats, text: &[u8]) {
        thread.bump(|stats| &stats.errors, 1);
        let code = text.split(|byte| matches!(byte, b' ' | b'\r')).next().unwrap_or_default();
        let Ok(code) = std::str::from_utf8(code) else { return };
        let mut codes = self.error_codes.lock();
        if let Some(count) = codes.get_mut(code) {
            *count += 1;
        } else if codes.len() < ERROR_CODES_MAX {
            codes.insert(code.to_owned(), 1);
        }
    }

    /// The code words of error replies, each with how often it was answered.
    pub fn error_codes(&self) -> Vec<(String, u64)> {
        self.error_codes.lock().iter().map(|(code, count)| (code.clone(), *count)).collect()
    }

    /// Calls, nanoseconds, rejections and failures of the command with this index.
    pub fn of_command(&self, index: usize) -> [u64; 4] {
        let mut sums = [0; 4];
        for thread in &self.threads {
            let command = &thread.by_command[index];
            let all = [&command.calls, &command.nanos, &command.rejected, &command.failed];
            for (sum, counter) in sums.iter_mut().zip(all) {
                *sum += counter.load(Relaxed);
            }
        }
        sums
    }

    /// Sets all counters to zero. What threads count at the same moment may be lost or survive.
    pub fn reset(&self) {
        self.error_codes.lock().clear();
        for thread in &self.threads {
            let all = [
                &thread.commands,
                &thread.hits,
                &thread.misses,
                &thread.expired,
                &thread.evicted,
                &thread.expired_fields,
                &thread.errors,
                &thread.net_in,
                &thread.net_out,
                &thread.connections,
                &thread.rejected_connections,
                &thread.query_limit_disconnections,
                &thread.output_limit_disconnections,
            ];
            all.iter().for_each(|counter| counter.store(0, Relaxed));
            for command in &thread.by_command {
                let all = [&command.calls, &command.nanos, &command.rejected, &command.failed];
                all.iter().for_each(|counter| counter.store(0, Relaxed));
            }
        }
    }
}
