//! The thread that removes keys whose time has come, or for which there is no room, and fits values which have come to rest. On its way it takes
//! the samples for INFO's rates.

use crate::server::{Asked, Server};
use crate::time;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tessera_engine::{ExpireCursor, Expired, Room};

/// Pause between two walks, milliseconds.
const PERIOD: u64 = 100;
/// Pause after a walk which found nothing to remove, milliseconds.
const IDLE_PERIOD: u64 = 250;
/// The share of its period that a walk may take, in percent; `active-expire-effort` adds to it as in Redis.
const SHARE: u64 = 25;
const SHARE_PER_EFFORT: u64 = 2;
/// How long values may be fitted in each period: after a load of small values there is work for a while.
const FITTING: Duration = Duration::from_millis(20);

/// Where nothing expires, all slots are walked through once in so many milliseconds, or when a key gets an expiry: a walk
/// costs an idle server more than all else that it does.
const NOTHING_PERIOD: u64 = 1000;

/// Runs until the server stops. `thread` is its shard of the world lock.
pub(crate) fn run(server: &Server, thread: usize) {
    let mut cursor = ExpireCursor::default();
    let mut pause = PERIOD;
    // When nothing was there that expires.
    let mut nothing_at: Option<Instant> = None;
    while server.stop.wait_for(pause) == Asked::No {
        let effort = u64::from(server.engine.config().memory.active_expire_effort);
        let share = SHARE + SHARE_PER_EFFORT * effort.saturating_sub(1);
        let budget = Duration::from_millis(PERIOD * share / 100);
        let started = Instant::now();
        let is_news = server.engine.keyspace.take_expiry_news();
        let period = Duration::from_millis(NOTHING_PERIOD);
        let expired = if !is_news && nothing_at.is_some_and(|at| started - at < period) {
            Expired { complete: true, ..Expired::default() }
        } else {
            let expired = server
                .engine
                .expire_cycle(thread, time::unix(), &mut cursor, || started.elapsed() < budget);
            nothing_at = (expired.complete && !expired.any).then_some(started);
            expired
        };
        server.sample();
        let fitting = Instant::now();
        let is_growing = server.engine.keyspace.fit_rested(thread, || fitting.elapsed() < FITTING);
        let evicted = make_room(server, thread, || started.elapsed() < budget);
        if expired.removed > 0 || evicted {
            server.feed_replicas(usize::MAX);
        }
        let is_idle = expired.complete && expired.removed == 0 && !is_growing;
        pause = if is_idle { IDLE_PERIOD } else { PERIOD };
    }
}

/// Evicts what no command has evicted yet. Whether something was.
fn make_room(server: &Server, thread: usize, time_left: impl Fn() -> bool) -> bool {
    let engine = &server.engine;
    let config = engine.config();
    let evicted = || engine.stats.thread(thread).evicted.load(Relaxed);
    let before = evicted();
    loop {
        // Entered anew each time, since whoever wants the world alone must not wait.
        let mut world = engine.keyspace.enter(thread);
        let room = engine.make_room(&mut world, thread, time::unix(), &config);
        if room != Room::Running || !time_left() {
            return evicted() != before;
        }
    }
}
