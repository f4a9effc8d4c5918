//! `maxmemory`: eviction when memory is short.
//!
//! Each thread asks once for a batch of commands how much memory is used ([`Engine::make_room`]),
//! and notes how much it may take itself before it has to ask again: its share of what is left. So
//! a command that may need memory costs one look at the thread's own counter. When too much is
//! used, keys are evicted then and there, before a slot is locked for the command, until enough is
//! free, nothing is left to evict, or the time that `maxmemory-eviction-tenacity` grants is up.
//! Only if nothing can go, commands that may need memory are refused.
//!
//! Keys are chosen as Redis chooses them ([`pool`]): the best of a few random ones and of those
//! that earlier draws have left.
//!
//! A replica leaves eviction to its primary (`replica-ignore-maxmemory`), and nothing is evicted
//! while a data set is loaded or clients are paused. Memory of the log beyond the backlog, which
//! slow replicas still need, does not count: it would have keys evicted, whose DELs would make the
//! log longer.

mod pool;

use crate::command::{Command, Role};
use crate::db::deletion;
use crate::notify::{EventClass, Notifier};
use crate::{Engine, Flags, Mode, Session, Turn};
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use pool::{Choice, Pool, Victim};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use tessera_config::Config;
use tessera_config::table::memory::MaxmemoryPolicy;
use tessera_slot::Millis;
use tessera_store::{Lfu, Lookup, World, taken_by_thread, used_memory};

/// Evictions after which time and memory are looked at again, as in Redis.
const BETWEEN_LOOKS: u64 = 16;
/// Memory that is being freed in the background counts as free, up to this part of `maxmemory`:
/// where freeing does not keep up, more keys must go.
const FREED_LATER_PART: u64 = 16;

/// How uses of keys are counted; `None`: it is noted when they were used last.
pub(crate) fn lfu(config: &Config) -> Option<Lfu> {
    let memory = &config.memory;
    let is_lfu = matches!(
        memory.maxmemory_policy,
        MaxmemoryPolicy::AllkeysLfu | MaxmemoryPolicy::VolatileLfu
    );
    is_lfu
        .then_some(Lfu { log_factor: memory.lfu_log_factor, decay_minutes: memory.lfu_decay_time })
}

/// How an attempt to make room has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// There is room, or nothing may be done about it here.
    Enough,
    /// The time was up before enough was evicted.
    Running,
    /// There is too little, and nothing to evict.
    None,
}

/// A thread's knowledge about memory.
#[derive(Default)]
struct ThreadRoom {
    /// The thread's own counter of bytes up to which it need not ask again.
    ceiling: AtomicI64,
    /// Nothing could be evicted: commands that may need memory are refused.
    is_full: AtomicBool,
    pool: Mutex<Pool>,
}

/// The state of eviction.
pub(crate) struct Eviction {
    threads: Box<[CachePadded<ThreadRoom>]>,
    /// Since when there is too little memory, Unix ms; 0: there is enough.
    exceeded_since: AtomicU64,
    /// How long there was too little, ms, without the present time.
    exceeded: AtomicU64,
}

impl Eviction {
    pub(crate) fn new(threads: usize) -> Eviction {
        let unknown = || ThreadRoom { ceiling: AtomicI64::new(i64::MIN), ..Default::default() };
        Eviction {
            threads: (0..threads.max(1)).map(|_| CachePadded::new(unknown())).collect(),
            exceeded_since: AtomicU64::new(0),
            exceeded: AtomicU64::new(0),
        }
    }

    fn thread(&self, thread: usize) -> &ThreadRoom {
        &self.threads[thread % self.threads.len()]
    }

    fn note(&self, room: Room, now: Millis) {
        let since = self.exceeded_since.load(Relaxed);
        match room {
            // One of several threads counts the time.
            Room::Enough
                if since != 0
                    && self.exceeded_since.compare_exchange(since, 0, Relaxed, Relaxed).is_ok() =>
            {
                self.exceeded.fetch_add(now.since(Millis(since)), Relaxed);
            }
            Room::Running | Room::None if since == 0 => {
                self.exceeded_since.store(now.0, Relaxed);
            }
            _ => {}
        }
    }

    /// How long there was too little memory, in all and at present, ms.
    pub(crate) fn exceeded_ms(&self, now: Millis) -> (u64, u64) {
        let present = match self.exceeded_since.load(Relaxed) {
            0 => 0,
            since => now.since(Millis(since)),
        };
        (self.exceeded.load(Relaxed) + present, present)
    }

    /// Counts anew (CONFIG RESETSTAT).
    pub(crate) fn reset(&self) {
        self.exceeded.store(0, Relaxed);
        self.exceeded_since.store(0, Relaxed);
    }
}

/// How much is used, as `maxmemory` counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Usage {
    /// This many bytes are left.
    Within(u64),
    /// This many bytes are too many.
    Over(u64),
}

impl Engine {
    /// Sees to it that no more memory is used than `maxmemory`. To be called before a batch of
    /// commands, and from time to time when there are none; without a limit it does nothing.
    /// `thread` is the number of the calling thread, no slot is locked.
    #[inline]
    pub fn make_room(
        &self,
        world: &mut World<'_>,
        thread: usize,
        now: Millis,
        config: &Config,
    ) -> Room {
        match config.memory.maxmemory.0 {
            0 => Room::Enough,
            limit => self.make_room_below(limit, world, thread, now, config),
        }
    }

    fn make_room_below(
        &self,
        limit: u64,
        world: &mut World<'_>,
        thread: usize,
        now: Millis,
        config: &Config,
    ) -> Room {
        let own = self.eviction.thread(thread);
        let (room, left) = match self.usage(limit) {
            Usage::Within(left) => (Room::Enough, left / self.eviction.threads.len() as u64),
            Usage::Over(_) if !self.may_evict(now, config) => (Room::Enough, u64::MAX),
            Usage::Over(excess) => {
                let room = self.evict(world, thread, now, config, excess);
                (room, 0)
            }
        };
        self.eviction.note(room, now);
        let left = i64::try_from(left).unwrap_or(i64::MAX);
        own.ceiling.store(taken_by_thread().saturating_add(left), Relaxed);
        own.is_full.store(room == Room::None, Relaxed);
        room
    }

    /// Whether a command may take memory, for which room is made if need be. For EXEC its commands
    /// decide.
    pub(crate) fn may_take_memory<'k>(
        &'k self,
        world: &mut Option<World<'k>>,
        turn: &Turn<'_>,
        session: &Session,
        command: &Command,
    ) -> bool {
        let flags = match &session.transaction {
            Some(transaction) if command.role == Role::Exec => transaction.flags(),
            _ => command.flags,
        };
        if !flags.has(Flags::DENYOOM) || session.is_primary {
            return true;
        }
        let own = self.eviction.thread(turn.thread);
        if !own.is_full.load(Relaxed) && taken_by_thread() <= own.ceiling.load(Relaxed) {
            return true;
        }
        let world = world.get_or_insert_with(|| self.keyspace.enter(turn.thread));
        self.make_room(world, turn.thread, turn.now, turn.config) != Room::None
    }

    fn usage(&self, limit: u64) -> Usage {
        let used = used_memory() as u64;
        if used <= limit {
            return Usage::Within(limit - used);
        }
        // The memory that does not count is read before the memory in use: if it were freed in
        // between, it would seem to count, and keys would be evicted for it.
        let freed_later = self.keyspace.discards().pending_bytes().min(limit / FREED_LATER_PART);
        let uncounted = self.uncounted_memory();
        let counted = (used_memory() as u64).saturating_sub(freed_later + uncounted);
        match counted.checked_sub(limit) {
            None | Some(0) => Usage::Within(limit.saturating_sub(counted)),
            Some(excess) => Usage::Over(excess),
        }
    }

    /// Bytes that `maxmemory` does not count: what the log keeps beyond the backlog for replicas
    /// that are behind, and large values that were deleted, and are kept for a snapshot.
    pub(crate) fn uncounted_memory(&self) -> u64 {
        let behind = self.log.bytes().saturating_sub(self.log.backlog_limit());
        behind + self.keyspace.kept_for_snapshot()
    }

    /// Whether keys may be evicted now, or the matter is not this node's, or not this moment's.
    fn may_evict(&self, now: Millis, config: &Config) -> bool {
        let mode = self.mode();
        let is_left_to_primary =
            mode.any(Mode::REPLICA) && config.replication.replica_ignore_maxmemory;
        let is_paused = mode.any(Mode::WRITES_PAUSED) || self.pause_end(now).is_some();
        !(mode.any(Mode::LOADING) || is_left_to_primary || is_paused)
    }

    /// Evicts keys until so many bytes are free.
    fn evict(
        &self,
        world: &mut World<'_>,
        thread: usize,
        now: Millis,
        config: &Config,
        excess: u64,
    ) -> Room {
        let Some(policy) = pool::Policy::of(&config.memory) else { return Room::None };
        let limit = time_limit(config.memory.maxmemory_eviction_tenacity);
        let started = self.host().clock_us();
        let is_over = || self.host().clock_us().saturating_sub(started) > limit;
        let mut pool = self.eviction.thread(thread).pool.lock();
        pool.begin(policy, now, self.keyspace.lfu());
        let (mut freed, mut evicted) = (0, 0u64);
        while freed < excess {
            match pool.choose(world, || self.random()) {
                Choice::Nothing => return self.await_frees(config, is_over),
                Choice::Later => return Room::Running,
                Choice::Key(victim) => {
                    let Some(bytes) =
                        self.evict_key(world, thread, now, config, &mut pool, &victim)
                    else {
                        continue;
                    };
                    freed += bytes;
                }
            }
            evicted += 1;
            if evicted.is_multiple_of(BETWEEN_LOOKS) {
                if matches!(self.usage(config.memory.maxmemory.0), Usage::Within(_)) {
                    break;
                }
                if is_over() {
                    return Room::Running;
                }
            }
        }
        Room::Enough
    }

    /// Evicts a key, if it is still as good a choice as it was. Gives the bytes that are free by
    /// that.
    fn evict_key(
        &self,
        world: &mut World<'_>,
        thread: usize,
        now: Millis,
        config: &Config,
        pool: &mut Pool,
        victim: &Victim,
    ) -> Option<u64> {
        let hash = self.keyspace.locate(&victim.key);
        let mut guard = world.try_lock(hash.slot())?;
        let Lookup::Found(found) = guard.lookup(victim.db, &victim.key, hash) else { return None };
        if !pool.still_wants(victim, &found.entry()) {
            return None;
        }
        let bytes = found.evict() as u64;
        self.tell_of_eviction(thread, config, victim);
        let mut news = Vec::new();
        guard.settle(true, |db, key| news.push((db, key.to_vec())));
        drop(guard);
        self.serve_news(world, thread, now, news);
        Some(bytes)
    }

    /// Counts an evicted key, and tells replicas and those who listen of it; its slot is still
    /// locked.
    fn tell_of_eviction(&self, thread: usize, config: &Config, victim: &Victim) {
        self.stats.thread(thread).bump(|stats| &stats.evicted, 1);
        // A replica's history is its primary's.
        if self.log.is_active() && !self.mode().any(Mode::REPLICA) {
            let command = [deletion(config.memory.lazyfree_lazy_eviction), &victim.key];
            self.log.append_command(victim.db as u32, &command);
        }
        Notifier::new(config.observe.notify_keyspace_events, &self.events).happened(
            victim.db,
            EventClass::Evicted,
            "evicted",
            &victim.key,
        );
    }

    /// There is nothing to evict; what is being freed in the background may be enough, so it is
    /// given a moment.
    fn await_frees(&self, config: &Config, is_over: impl Fn() -> bool) -> Room {
        while self.keyspace.discards().pending() > 0 && !is_over() {
            if matches!(self.usage(config.memory.maxmemory.0), Usage::Within(_)) {
                return Room::Enough;
            }
            std::thread::yield_now();
        }
        Room::None
    }
}

/// The time that one attempt may take, microseconds, by `maxmemory-eviction-tenacity` (0 to 100):
/// half a millisecond at 10, from there 15 % more with each step, without limit at 100.
fn time_limit(tenacity: u32) -> u64 {
    match tenacity {
        0..=10 => 50 * u64::from(tenacity),
        11..=99 => (500.0 * 1.15f64.powi(tenacity as i32 - 10)) as u64,
        _ => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenacity_grants_time() {
        let granted: Vec<_> = [0, 1, 10, 11, 50, 99].into_iter().map(time_limit).collect();
        assert_eq!(granted[..4], [0, 50, 500, 575]);
        assert!((100_000..200_000).contains(&granted[4]), "a tenth of a second");
        assert!((110_000_000..150_000_000).contains(&granted[5]), "two minutes");
        assert_eq!(time_limit(100), u64::MAX);
    }

    #[test]
    fn time_without_memory_is_counted() {
        let eviction = Eviction::new(1);
        eviction.note(Room::Enough, Millis(5));
        eviction.note(Room::None, Millis(1000));
        eviction.note(Room::Running, Millis(1200));
        assert_eq!(eviction.exceeded_ms(Millis(1500)), (500, 500));
        eviction.note(Room::Enough, Millis(1700));
        assert_eq!(eviction.exceeded_ms(Millis(9000)), (700, 0));
        eviction.reset();
        assert_eq!(eviction.exceeded_ms(Millis(9000)), (0, 0));
    }
}
