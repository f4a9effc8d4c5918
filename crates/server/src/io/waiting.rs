//! Clients that wait: how they come to wait, what is looked at meanwhile, and how they go on.
//!
//! Who waits for replicas has a closed gate (`gates.rs`). What another thread brings (an element, a
//! command that was carried out elsewhere) comes by the mailbox. The rest is looked at each turn.
//!
//! Not here: blocking commands' keys (`tessera-engine`), commands that run for long (`long.rs`).

use super::conn::{Conn, State};
use super::conns::ConnId;
use super::gates::{Gates, Promise};
use super::thread::IoThread;
use super::timers::PARKED_WAIT;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tessera_engine::{AckWait, Answer, Mode, Park, UNBLOCKED};
use tessera_slot::Millis;
use tessera_store::{Busy, Patience};

/// After how long a command tries again whose slot somebody had locked, milliseconds.
pub(super) const RETRY: u64 = 1;
/// The same for one that needs the world alone, for which all threads stop for a moment.
const RETRY_WORLD: u64 = 20;
/// What clients in WAIT are told when their node becomes a replica.
const DEMOTED: &str =
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";

/// Connections that wait for something.
pub(super) struct Waiting {
    /// For something that the thread looks at, or for another thread.
    parked: Vec<ConnId>,
    /// For replicas.
    gates: Gates,
    /// Not for ever, by the end of their patience.
    deadlines: BTreeSet<(Millis, ConnId)>,
    /// When commands that need the world alone try again.
    retry_world_at: Millis,
    /// How long this thread still waits, in this turn, for what others have locked.
    pub(super) patience: Patience,
}

impl Default for Waiting {
    fn default() -> Waiting {
        Waiting {
            parked: Vec::new(),
            gates: Gates::default(),
            deadlines: BTreeSet::new(),
            retry_world_at: Millis(0),
            patience: Patience::for_turn(),
        }
    }
}

impl Waiting {
    /// How many wait for something else than keys.
    pub(super) fn count(&self) -> usize {
        self.parked.len() + self.gates.len()
    }

    /// When the first one is answered at the latest.
    pub(super) fn next_deadline(&self) -> Option<Millis> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }
}

/// When a client is answered at the latest.
fn deadline(park: Park) -> Option<Millis> {
    match park {
        Park::Blocked { deadline } | Park::Acknowledged { deadline, .. } => deadline,
        Park::WritesPaused | Park::Locked(_) | Park::Elsewhere => None,
    }
}

impl IoThread {
    /// Has a connection wait. The time until which it does is told by the Unix clock, and kept by
    /// the other.
    pub(super) fn park(&mut self, mut park: Park, index: ConnId) {
        if let Park::Blocked { deadline: Some(deadline) }
        | Park::Acknowledged { deadline: Some(deadline), .. } = &mut park
        {
            *deadline = self.steady.plus(deadline.since(self.now));
        }
        let Some(conn) = self.conns.get_mut(index) else { return };
        conn.state = State::Waiting(park);
        if let Some(deadline) = deadline(park) {
            self.waiting.deadlines.insert((deadline, index));
        }
        match park {
            Park::Blocked { .. } => {}
            Park::Acknowledged { replicas, offset, .. } => {
                conn.info().begin_ack_wait();
                conn.output.close_gate();
                self.waiting.gates.close(Promise { replicas, offset }, index);
            }
            Park::WritesPaused | Park::Locked(_) | Park::Elsewhere => {
                self.waiting.parked.push(index);
            }
        }
    }

    /// A connection does not wait any more.
    pub(super) fn unpark(&mut self, park: Park, index: ConnId) {
        if let Some(deadline) = deadline(park) {
            self.waiting.deadlines.remove(&(deadline, index));
        }
        match park {
            Park::Blocked { .. } => {}
            Park::Acknowledged { replicas, offset, .. } => {
                self.waiting.gates.forget(Promise { replicas, offset }, index);
            }
            Park::WritesPaused | Park::Locked(_) | Park::Elsewhere => {
                self.waiting.parked.retain(|&parked| parked != index);
            }
        }
    }

    /// Answers a client that waited, and lets it go on.
    pub(super) fn complete(&mut self, index: ConnId, answer: impl FnOnce(&mut Conn)) {
        let Some(conn) = self.conns.get_mut(index) else { return };
        let State::Waiting(park) = conn.state else { return };
        conn.go_on();
        if let Park::Acknowledged { .. } = park {
            conn.output.open_gate();
        }
        conn.info().end_ack_wait();
        conn.output.take_buffer(&mut self.spare);
        let start = conn.output.reply.buf.len();
        answer(conn);
        if !park.runs_again() {
            conn.session.settle_reply(&mut conn.output.reply, start);
            conn.info().commands.fetch_add(1, Relaxed);
        }
        self.unpark(park, index);
        self.lists.ready.push(index);
        self.lists.touched.push(index);
    }

    /// Gives a client that waited in a blocking command its answer.
    pub(super) fn answer(&mut self, index: ConnId, answer: Answer) {
        self.complete(index, |conn| {
            conn.output.reply.buf.extend_from_slice(&answer.bytes);
            conn.session.last_write = answer.offset;
            if answer.close {
                conn.state = State::Closing;
            }
        });
    }

    /// Answers a client in WAIT that does not wait any longer.
    fn end_wait(&mut self, index: ConnId) {
        self.end_wait_with(index, 0);
    }

    /// Answers a client in WAIT, if so many replicas have acknowledged its writes or its wait was
    /// cut.
    fn end_wait_with(&mut self, index: ConnId, least: usize) {
        let Some(conn) = self.conns.get_mut(index) else { return };
        let State::Waiting(Park::Acknowledged { offset, .. }) = conn.state else { return };
        let reached = self.server.replicas.acknowledged(offset);
        if reached < least && conn.info().ack_wait() == AckWait::Waiting {
            return;
        }
        let end = conn.info().end_ack_wait();
        self.complete(index, |conn| match end {
            AckWait::Fail => conn.output.reply.error(UNBLOCKED),
            _ => conn.output.reply.integer(reached as i64),
        });
    }

    /// Answers a client whose wait for replicas was cut. If it was answered since then and waits
    /// anew, it goes on waiting.
    pub(super) fn end_cut_wait(&mut self, index: ConnId) {
        let Some(conn) = self.conns.get_mut(index) else { return };
        if conn.info().ack_wait() != AckWait::Waiting {
            self.end_wait(index);
        }
    }

    /// How long the thread may sleep for the sake of those who wait, in milliseconds.
    pub(super) fn wait_for_waiting(&mut self, now: Millis) -> Option<u64> {
        let deadline = self.waiting.next_deadline().map(|deadline| deadline.since(now));
        let mut waits = [deadline, (self.waiting.count() > 0).then_some(PARKED_WAIT), None, None];
        if !self.waiting.parked.is_empty() {
            let unix = crate::time::unix();
            waits[2] = self.server.engine.pause_end(unix).map(|end| end.since(unix));
        }
        let conns = &mut self.conns;
        let retries =
            self.waiting.parked.iter().filter_map(|&index| match conns.get_mut(index)?.state {
                State::Waiting(Park::Locked(Busy::Slot(_))) => Some(RETRY),
                State::Waiting(Park::Locked(Busy::World)) => {
                    Some(self.waiting.retry_world_at.since(now).max(RETRY))
                }
                _ => None,
            });
        waits[3] = retries.min();
        waits.into_iter().flatten().min()
    }

    /// Lets clients go on whose condition has come true.
    pub(super) fn look_at_waiting(&mut self) {
        self.look_at_parked();
        self.look_at_gates();
        self.look_at_deadlines();
        if !self.lists.ready.is_empty() {
            self.run_ready();
        }
    }

    /// Clients whose commands run again.
    fn look_at_parked(&mut self) {
        let may_retry_world = self.steady >= self.waiting.retry_world_at;
        for index in self.waiting.parked.clone() {
            let Some(conn) = self.conns.get_mut(index) else { continue };
            let State::Waiting(park) = conn.state else { continue };
            let engine = &self.server.engine;
            let goes_on = match park {
                Park::WritesPaused => {
                    !engine.mode().any(Mode::WRITES_PAUSED) && engine.pause_end(self.now).is_none()
                }
                Park::Locked(Busy::Slot(slot)) => engine.keyspace.is_free(slot),
                Park::Locked(Busy::World) => {
                    if may_retry_world {
                        self.waiting.retry_world_at = self.steady.plus(RETRY_WORLD);
                    }
                    may_retry_world
                }
                Park::Elsewhere | Park::Blocked { .. } | Park::Acknowledged { .. } => false,
            };
            if goes_on {
                // The command itself is still in the input, and runs now.
                self.complete(index, |_| {});
            }
        }
    }

    /// Clients in WAIT.
    fn look_at_gates(&mut self) {
        let Some(highest) = self.waiting.gates.highest() else { return };
        if self.server.engine.mode().any(Mode::REPLICA) {
            for index in self.waiting.gates.all() {
                self.complete(index, |conn| {
                    conn.output.reply.error(DEMOTED);
                    conn.state = State::Closing;
                });
            }
            return;
        }
        let kept = self.waiting.gates.kept(|count| self.server.replicas.acknowledged_by(count));
        // A replica may be gone since.
        kept.into_iter().for_each(|(promise, index)| self.end_wait_with(index, promise.replicas));
        if self.waiting.gates.len() > 0 {
            let world = self.server.engine.keyspace.enter(self.index);
            self.server.ask_acknowledgements(highest);
            drop(world);
        }
    }

    /// Clients whose time is up.
    fn look_at_deadlines(&mut self) {
        while let Some(&(deadline, index)) = self.waiting.deadlines.first()
            && deadline <= self.steady
        {
            self.waiting.deadlines.pop_first();
            let Some(conn) = self.conns.get_mut(index) else { continue };
            if let State::Waiting(Park::Acknowledged { .. }) = conn.state {
                self.end_wait(index);
                continue;
            }
            let info = Arc::clone(conn.info());
            // No answer: it is being served just now, and that answer is on its way.
            if let Some(answer) = self.server.engine.time_out(self.index, &info) {
                self.answer(index, answer);
            }
        }
    }
}
