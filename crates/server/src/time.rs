//! The clocks. No crate below this one reads one.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tessera_cluster::Now;
use tessera_slot::Millis;

static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Milliseconds since 1970, UTC.
pub(crate) fn unix() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(since.as_millis() as u64)
}

/// Milliseconds since some moment before now; never goes back.
pub(crate) fn monotonic() -> Millis {
    // One hour of head start, so that "a minute ago" can be told at once.
    Millis(ORIGIN.elapsed().as_millis() as u64 + 3_600_000)
}

/// Microseconds since some moment before now; never goes back.
pub(crate) fn monotonic_us() -> u64 {
    ORIGIN.elapsed().as_micros() as u64
}

/// Both clocks.
pub(crate) fn now() -> Now {
    Now { mono: monotonic(), unix: unix() }
}
