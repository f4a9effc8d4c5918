//! Counters. Each I/O thread has its own, so that counting never contends.

use crate::Prepared;
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of one command.
#[derive(Default, Debug)]
pub struct CommandStats {
    /// Runs.
    pub calls: AtomicU64,
    /// Time in nanoseconds.
    pub nanos: AtomicU64,
    /// Runs that were refused before the handler.
    pub rejected: AtomicU64,
    /// Runs that answered an error.
    pub failed: AtomicU64,
}

/// Declares the counters of a thread, and which of them CONFIG RESETSTAT sets to zero.
macro_rules! thread_stats {
    (
        reset { $($(#[doc = $doc:literal])+ $counter:ident,)* }
        kept { $($(#[doc = $kept_doc:literal])+ $kept:ident,)* }
    ) => {
        /// Counters of one thread; only that thread stores.
        #[derive(Debug)]
        pub struct ThreadStats {
            $($(#[doc = $doc])+ pub $counter: AtomicU64,)*
            $($(#[doc = $kept_doc])+ pub $kept: AtomicU64,)*
            /// By index into the command table.
            pub by_command: Box<[CommandStats]>,
        }

        impl ThreadStats {
            fn new() -> ThreadStats {
                ThreadStats {
                    $($counter: AtomicU64::new(0),)*
                    $($kept: AtomicU64::new(0),)*
                    by_command: (0..crate::commands::count())
                        .map(|_| CommandStats::default())
                        .collect(),
                }
            }

            /// Sets to zero what CONFIG RESETSTAT is about.
            fn reset(&self) {
                $(self.$counter.store(0, Relaxed);)*
                self.by_command.iter().for_each(CommandStats::reset);
            }
        }
    };
}

thread_stats! {
    reset {
        /// Commands run.
        commands,
        /// Reads that found their key.
        hits,
        /// Reads that did not.
        misses,
        /// Keys removed because their time had come.
        expired,
        /// Fields of hashes removed because their time had come.
        expired_fields,
        /// Walks in search of expired keys that ended because their time was up.
        expiry_cut_short,
        /// Keys removed for want of memory.
        evicted,
        /// Error replies.
        errors,
        /// Commands of the primary's stream that failed here.
        unexpected_errors,
        /// Bytes received, but for those of `net_repl_in`.
        net_in,
        /// Bytes sent, but for those of `net_repl_out`.
        net_out,
        /// Bytes received from the primary.
        net_repl_in,
        /// Bytes sent to replicas.
        net_repl_out,
        /// Reads from clients' sockets.
        reads,
        /// Writes to clients' sockets.
        writes,
        /// Connections accepted.
        connections,
        /// Connections refused for `maxclients`, or by protected mode.
        rejected_connections,
        /// Clients disconnected for `maxmemory-clients`.
        evicted_clients,
        /// Clients disconnected for `client-query-buffer-limit`.
        query_limit_disconnections,
        /// Clients disconnected for `client-output-buffer-limit`.
        output_limit_disconnections,
        /// Full synchronisations of replicas begun.
        full_syncs,
        /// Partial synchronisations granted.
        partial_syncs,
        /// Partial synchronisations refused.
        refused_partial_syncs,
    }
    kept {
        /// Changes since the start, for `rdb_changes_since_last_save`.
        dirty,
    }
}

impl CommandStats {
    /// Adds time that runs of the command took. Only the thread of these counters does so.
    #[inline]
    pub fn took(&self, nanos: u64) {
        bump(&self.nanos, nanos);
    }

    fn all(&self) -> [&AtomicU64; 4] {
        [&self.calls, &self.nanos, &self.rejected, &self.failed]
    }

    fn reset(&self) {
        self.all().iter().for_each(|counter| counter.store(0, Relaxed));
    }
}

/// Adds to a counter that only this thread stores to.
#[inline]
pub(crate) fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
}

impl ThreadStats {
    /// The counters of a request's command; `None`: it is in no table.
    #[inline]
    pub fn of(&self, prepared: &Prepared) -> Option<&CommandStats> {
        prepared.command.is_some().then(|| &self.by_command[prepared.index as usize])
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
    pub(crate) fn error_codes(&self) -> Vec<(String, u64)> {
        self.error_codes.lock().iter().map(|(code, count)| (code.clone(), *count)).collect()
    }

    /// Calls, nanoseconds, rejections and failures of the command with this index.
    pub(crate) fn of_command(&self, index: usize) -> [u64; 4] {
        let mut sums = [0; 4];
        for thread in &self.threads {
            for (sum, counter) in sums.iter_mut().zip(thread.by_command[index].all()) {
                *sum += counter.load(Relaxed);
            }
        }
        sums
    }

    /// CONFIG RESETSTAT. Counts of the same moment may be lost or survive.
    pub(crate) fn reset(&self) {
        self.error_codes.lock().clear();
        self.threads.iter().for_each(|thread| thread.reset());
    }
}
