//! The thread that removes keys whose time has come, or for which there is no room, and fits values
//! which have come to rest. On its way it takes the samples for INFO's rates.

use crate::server::{Asked, Server};
use crate::time;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tessera_config::Config;
use tessera_engine::{ExpireCursor, Expired, Room};

/// The share of its period that a walk may take, in percent; `active-expire-effort` adds to it as
/// in Redis.
const SHARE: u64 = 25;
const SHARE_PER_EFFORT: u64 = 2;
/// The share of its period for which values may be fitted, in percent: after a load of small values
/// there is work for a while.
const FITTING_SHARE: u64 = 20;
/// The longest pause after a walk which found nothing to remove, milliseconds, unless `hz` asks for
/// a longer one.
const IDLE_PAUSE_MAX: u64 = 1000;

/// If nothing expires, all slots are walked through once in this many milliseconds, or when a key
/// gets an expiry: a walk costs an idle server more than all else that it does.
const NOTHING_PERIOD: u64 = 1000;

/// How often the thread works, and for how long, by `hz` and `active-expire-effort`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pace {
    /// The pause between two walks, milliseconds.
    period: u64,
    /// The pause after a walk which found nothing to remove, milliseconds.
    idle: u64,
    /// How long a walk may take.
    walk: Duration,
    /// How long values may be fitted.
    fitting: Duration,
}

impl Pace {
    fn of(config: &Config) -> Pace {
        let period = 1000 / u64::from(config.general.hz.max(1));
        let effort = u64::from(config.memory.active_expire_effort);
        let share = SHARE + SHARE_PER_EFFORT * effort.saturating_sub(1);
        let part = |percent: u64| Duration::from_micros(period * percent * 10);
        let idle = (period * 5 / 2).min(IDLE_PAUSE_MAX.max(period));
        Pace { period, idle, walk: part(share), fitting: part(FITTING_SHARE) }
    }
}

/// What the walks so far say of whether anything expires. A walk that has no time left goes on in
/// the next one, so it takes several until all slots were seen.
#[derive(Default)]
struct Rounds {
    /// The last walk did not come to the end.
    under_way: bool,
    /// This round has met something that expires.
    any: bool,
    /// Something got an expiry, perhaps behind the place that this round had come to.
    news: bool,
    /// When a whole round ended which had met nothing.
    nothing_at: Option<Instant>,
}

impl Rounds {
    /// Whether a walk at this time would meet nothing. `is_news`: something got an expiry.
    fn expect_nothing(&mut self, is_news: bool, now: Instant) -> bool {
        self.news |= is_news && self.under_way;
        let period = Duration::from_millis(NOTHING_PERIOD);
        !is_news && self.nothing_at.is_some_and(|at| now - at < period)
    }

    /// A walk that began at this time has ended.
    fn note(&mut self, walk: &Expired, began: Instant) {
        self.any |= walk.any;
        self.under_way = !walk.complete;
        self.nothing_at = None;
        if walk.complete {
            let is_sure = !std::mem::take(&mut self.any) && !std::mem::take(&mut self.news);
            self.nothing_at = is_sure.then_some(began);
        }
    }
}

/// Runs until the server stops. `thread` is its shard of the world lock.
pub(crate) fn run(server: &Server, thread: usize) {
    let mut cursor = ExpireCursor::default();
    let mut pause = Pace::of(&server.engine.config()).period;
    let mut rounds = Rounds::default();
    while server.stop.wait_for(pause) == Asked::No {
        let pace = Pace::of(&server.engine.config());
        let started = Instant::now();
        let is_news = server.engine.keyspace.take_expiry_news();
        let expired = if rounds.expect_nothing(is_news, started) {
            Expired { complete: true, ..Expired::default() }
        } else {
            let expired = server
                .engine
                .expire_cycle(thread, time::unix(), &mut cursor, || started.elapsed() < pace.walk);
            rounds.note(&expired, started);
            let cut_short = u64::from(!expired.complete);
            server.engine.stats.thread(thread).bump(|stats| &stats.expiry_cut_short, cut_short);
            expired
        };
        server.sample();
        let fitting = Instant::now();
        let is_growing =
            server.engine.keyspace.fit_rested(thread, || fitting.elapsed() < pace.fitting);
        let evicted = make_room(server, thread, || started.elapsed() < pace.walk);
        if expired.removed > 0 || evicted {
            server.feed_replicas(usize::MAX);
        }
        let is_idle = expired.complete && expired.removed == 0 && !is_growing;
        pause = if is_idle { pace.idle } else { pace.period };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hz_and_effort_set_the_pace() {
        let pace = |hz, effort| {
            let mut config = Config::default();
            (config.general.hz, config.memory.active_expire_effort) = (hz, effort);
            Pace::of(&config)
        };
        let ms = Duration::from_millis;
        let usual = Pace { period: 100, idle: 250, walk: ms(25), fitting: ms(20) };
        assert_eq!(pace(10, 1), usual);
        assert_eq!(pace(10, 10).walk, ms(43));
        let fast = pace(500, 1);
        assert_eq!((fast.period, fast.idle), (2, 5));
        assert_eq!(fast.walk, Duration::from_micros(500));
        let slow = pace(1, 1);
        assert_eq!((slow.period, slow.idle), (1000, 1000));
    }

    #[test]
    fn news_that_come_in_the_middle_of_a_round_wait_for_the_next_one() {
        let began = Instant::now();
        let nothing = |complete| Expired { complete, ..Expired::default() };
        let mut rounds = Rounds::default();
        assert!(!rounds.expect_nothing(false, began));
        rounds.note(&nothing(false), began);
        assert!(!rounds.expect_nothing(true, began), "something has got an expiry");
        rounds.note(&nothing(true), began);
        assert!(!rounds.expect_nothing(false, began), "it may lie where this round had been");
        rounds.note(&nothing(true), began);
        assert!(rounds.expect_nothing(false, began));
        assert!(!rounds.expect_nothing(true, began));
        let later = began + Duration::from_millis(NOTHING_PERIOD);
        assert!(!rounds.expect_nothing(false, later));

        // What a round has met at its beginning counts at its end.
        rounds.note(&Expired { any: true, ..nothing(false) }, began);
        rounds.note(&nothing(true), began);
        assert!(!rounds.expect_nothing(false, began));
    }
}
