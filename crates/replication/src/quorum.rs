//! Arithmetic over all replicas of a primary.

use tessera_slot::{Millis, Offset};

use crate::session::ReplicaSession;

/// How many replicas are online and acknowledged something in the last `max_lag_seconds`
/// (`min-replicas-to-write` compares with this).
pub fn good_replicas<'a>(
    sessions: impl IntoIterator<Item = &'a ReplicaSession>,
    now: Millis,
    max_lag_seconds: u64,
) -> usize {
    let good = |session: &&ReplicaSession| {
        session.is_online() && session.lag_seconds(now) <= max_lag_seconds
    };
    sessions.into_iter().filter(good).count()
}

/// How many replicas have everything up to `offset` (WAIT).
pub fn acknowledged<'a>(
    sessions: impl IntoIterator<Item = &'a ReplicaSession>,
    offset: Offset,
) -> usize {
    let has = |session: &&ReplicaSession| session.is_online() && session.acked() >= offset;
    sessions.into_iter().filter(has).count()
}

/// How many replicas have everything up to `offset` on disk (WAITAOF).
pub fn fsynced<'a>(
    sessions: impl IntoIterator<Item = &'a ReplicaSession>,
    offset: Offset,
) -> usize {
    let has = |session: &&ReplicaSession| {
        session.is_online() && session.fsynced().is_some_and(|on_disk| on_disk >= offset)
    };
    sessions.into_iter().filter(has).count()
}
