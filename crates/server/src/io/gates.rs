//! Reply gates: an answer leaves only when the log has reached what the answer promises.
//!
//! A gate stands in a connection's output ([`super::output::Output`]), behind what may leave
//! already. The thread's closed gates are here, by what they wait for, so that a turn looks at
//! those alone that may open.
//!
//! WAIT is answered by a gate: its answer says how many replicas have acknowledged the client's
//! last write.
//!
//! Not here: how far the replicas are (`server.rs`), time limits (`timers.rs`), what the client is
//! answered when its gate opens (`waiting.rs`).

use super::conns::ConnId;
use std::collections::BTreeSet;
use std::collections::btree_set::Range;
use tessera_slot::Offset;

/// What the log must have reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Promise {
    /// How many replicas must have acknowledged the offset.
    pub(super) replicas: usize,
    /// The offset.
    pub(super) offset: Offset,
}

/// The closed gates of a thread's connections.
#[derive(Default)]
pub(super) struct Gates(BTreeSet<(Promise, ConnId)>);

impl Gates {
    /// A connection's output is held from now on.
    pub(super) fn close(&mut self, promise: Promise, conn: ConnId) {
        self.0.insert((promise, conn));
    }

    /// A connection's output is held no longer.
    pub(super) fn forget(&mut self, promise: Promise, conn: ConnId) {
        self.0.remove(&(promise, conn));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The connections whose promise is kept. `acknowledged` says which offset so many replicas
    /// have acknowledged, or `None` if there are fewer; it is asked once for each number.
    pub(super) fn kept(
        &self,
        acknowledged: impl Fn(usize) -> Option<Offset>,
    ) -> Vec<(Promise, ConnId)> {
        let mut kept = Vec::new();
        for replicas in self.numbers() {
            if let Some(offset) = acknowledged(replicas) {
                kept.extend(self.of(replicas, offset));
            }
        }
        kept
    }

    /// The highest offset that somebody waits for; `None`: nobody waits.
    pub(super) fn highest(&self) -> Option<Offset> {
        let last = |replicas| self.of(replicas, Offset(u64::MAX)).next_back();
        self.numbers().filter_map(last).map(|(promise, _)| promise.offset).max()
    }

    /// The numbers of replicas that are waited for, each once.
    fn numbers(&self) -> impl Iterator<Item = usize> {
        let first_of = |replicas| {
            let lowest = Promise { replicas, offset: Offset(0) };
            self.0.range((lowest, ConnId::FIRST)..).next().map(|(promise, _)| promise.replicas)
        };
        std::iter::successors(first_of(0), move |&before| first_of(before.checked_add(1)?))
    }

    /// Those that wait for so many replicas, up to an offset.
    fn of(&self, replicas: usize, until: Offset) -> Range<'_, (Promise, ConnId)> {
        let [first, last] = [Offset(0), until].map(|offset| Promise { replicas, offset });
        self.0.range((first, ConnId::FIRST)..=(last, ConnId::LAST))
    }

    /// All connections whose output is held.
    pub(super) fn all(&self) -> Vec<ConnId> {
        self.0.iter().map(|&(_, conn)| conn).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise(replicas: usize, offset: u64) -> Promise {
        Promise { replicas, offset: Offset(offset) }
    }

    #[test]
    fn a_gate_opens_when_enough_replicas_have_acknowledged_its_offset() {
        let mut gates = Gates::default();
        let conns: Vec<ConnId> = (0..6).map(ConnId::from_token).collect();
        let promises = [(1, 10), (1, 20), (2, 10), (2, 20), (3, 5), (usize::MAX, 0)];
        for (&conn, (replicas, offset)) in conns.iter().zip(promises) {
            gates.close(promise(replicas, offset), conn);
        }
        // Three replicas, which have acknowledged 20, 10 and 0.
        let acknowledged = |replicas: usize| match replicas {
            1 => Some(Offset(20)),
            2 => Some(Offset(10)),
            3 => Some(Offset(0)),
            _ => None,
        };
        let kept = |gates: &Gates| -> Vec<ConnId> {
            gates.kept(acknowledged).into_iter().map(|(_, conn)| conn).collect()
        };
        assert_eq!(kept(&gates), [conns[0], conns[1], conns[2]]);
        assert_eq!(gates.highest(), Some(Offset(20)));

        gates.forget(promise(1, 10), conns[0]);
        assert_eq!(kept(&gates), [conns[1], conns[2]]);
        assert_eq!((gates.len(), gates.all().len()), (5, 5));
        assert_eq!(gates.kept(|_| Some(Offset(u64::MAX))).len(), 5, "all are kept");
    }
}
