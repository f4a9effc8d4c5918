//! The thread that removes keys whose time has come, and takes the samples for INFO's rates on its way.

use crate::server::{Asked, Server};
use crate::time;
use std::time::{Duration, Instant};
use tessera_engine::ExpireCursor;

/// Pause between two walks, milliseconds.
const PERIOD: u64 = 100;
/// Pause after a walk which found nothing to remove, milliseconds.
const IDLE_PERIOD: u64 = 250;
/// The share of its period that a walk may take, in percent; `active-expire-effort` adds to it as in Redis.
const SHARE: u64 = 25;
const SHARE_PER_EFFORT: u64 = 2;

/// Runs until the server stops. `thread` is its shard of the world lock.
pub(crate) fn run(server: &Server, thread: usize) {
    let mut cursor = ExpireCursor::default();
    let mut pause = PERIOD;
    while server.stop.wait_for(pause) == Asked::No {
        let effort = u64::from(server.engine.config().memory.active_expire_effort);
        let share = SHARE + SHARE_PER_EFFORT * effort.saturating_sub(1);
        let budget = Duration::from_millis(PERIOD * share / 100);
        let started = Instant::now();
        let expired = server
            .engine
            .expire_cycle(thread, time::unix(), &mut cursor, || started.elapsed() < budget);
        server.sample();
        if expired.removed > 0 {
            server.wake_feeders(usize::MAX);
        }
        pause = if expired.complete && expired.removed == 0 { IDLE_PERIOD } else { PERIOD };
    }
}
