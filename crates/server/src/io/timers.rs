//! The timers of a thread: clients that wait, are idle, or were killed.

use super::conn::Phase;
use super::thread::IoThread;
use crate::logging::limited;
use std::sync::Arc;
use tessera_engine::{AckWait, ClientKind, Mode, Park, UNBLOCKED};
use tessera_store::Busy;

/// How often all connections are looked at, milliseconds.
const SCAN_PERIOD: u64 = 1000;
/// How long no clients are chosen to be evicted after it was of no use, milliseconds.
const FUTILE_EVICTION_PERIOD: u64 = 100;
/// After how long a command tries again whose slot somebody had locked, milliseconds.
const RETRY: u64 = 1;
/// The same for one that needs the world alone, for which all threads stop for a moment.
const RETRY_WORLD: u64 = 20;
/// The longest sleep while clients wait for something that nobody announces, milliseconds.
const PARKED_WAIT: u64 = 100;

impl IoThread {
    /// How long epoll may wait, in milliseconds.
    pub(super) fn wait_ms(&mut self) -> u64 {
        let now = crate::time::monotonic();
        if !self.budget.resting.is_empty() || !self.budget.passed_over.is_empty() {
            return 0;
        }
        let mut wait = self.pace.next_scan.since(now).min(SCAN_PERIOD);
        wait = self.accepting.resume_at.map_or(wait, |at| wait.min(at.since(now)));
        if !self.waiting.parked.is_empty() {
            wait = wait.min(PARKED_WAIT);
            let unix = crate::time::unix();
            let pause = self.server.engine.pause_end(unix);
            wait = pause.map_or(wait, |end| wait.min(end.since(unix)));
        }
        for index in &self.waiting.parked {
            let Some(conn) = self.conns.get_mut(*index) else { continue };
            match conn.waiting {
                Some(Park::Acknowledged { deadline: Some(deadline), .. }) => {
                    wait = wait.min(deadline.since(now));
                }
                Some(Park::Locked(Busy::Slot(_))) => wait = wait.min(RETRY),
                Some(Park::Locked(Busy::World)) => {
                    wait = wait.min(self.waiting.retry_world_at.since(now).max(RETRY));
                }
                _ => {}
            }
        }
        if let Some((deadline, _)) = self.waiting.deadlines.first() {
            wait = wait.min(deadline.since(now));
        }
        if !self.lists.feeds.is_empty() {
            wait = wait.min(PARKED_WAIT);
        }
        if self.server.engine.has_chores() {
            wait = wait.min(RETRY);
        }
        wait
    }

    /// Lets clients go on whose condition has come true.
    pub(super) fn look_at_parked(&mut self) {
        let may_retry_world = self.steady >= self.waiting.retry_world_at;
        for index in self.waiting.parked.clone() {
            let Some(conn) = self.conns.get_mut(index) else { continue };
            match conn.waiting {
                Some(Park::Acknowledged { .. }) if self.server.engine.mode().any(Mode::REPLICA) => {
                    self.complete(index, |conn| {
                        conn.reply.error(
                            "UNBLOCKED force unblock from blocking operation, instance state changed \
                             (master -> replica?)",
                        );
                        conn.phase = Phase::Closing;
                    });
                }
                Some(Park::Acknowledged { replicas, offset, deadline }) => {
                    let world = self.server.engine.keyspace.enter(self.index);
                    let reached = self.server.acknowledged(offset, replicas);
                    drop(world);
                    let is_late = deadline.is_some_and(|at| at <= self.steady);
                    let is_cut = conn.info().ack_wait() != AckWait::Waiting;
                    if reached >= replicas || is_late || is_cut {
                        let end = conn.info().end_ack_wait();
                        self.complete(index, |conn| match end {
                            AckWait::Fail => conn.reply.error(UNBLOCKED),
                            _ => conn.reply.integer(reached as i64),
                        });
                    }
                }
                Some(Park::WritesPaused) => {
                    let engine = &self.server.engine;
                    if !engine.mode().any(Mode::WRITES_PAUSED)
                        && engine.pause_end(self.now).is_none()
                    {
                        // The command itself is still in the input, and runs now.
                        self.complete(index, |_| {});
                    }
                }
                Some(Park::Locked(Busy::Slot(slot))) => {
                    if self.server.engine.keyspace.is_free(slot) {
                        self.complete(index, |_| {});
                    }
                }
                Some(Park::Locked(Busy::World)) => {
                    if may_retry_world {
                        self.waiting.retry_world_at = self.steady.plus(RETRY_WORLD);
                        self.complete(index, |_| {});
                    }
                }
                Some(Park::Elsewhere | Park::Blocked { .. }) | None => {}
            }
        }
        self.look_at_deadlines();
        if !self.lists.ready.is_empty() {
            self.run_ready();
        }
    }

    /// Answers clients in blocking commands whose time is up.
    fn look_at_deadlines(&mut self) {
        while let Some(&(deadline, index)) = self.waiting.deadlines.first()
            && deadline <= self.steady
        {
            self.waiting.deadlines.pop_first();
            let Some(conn) = self.conns.get_mut(index) else { continue };
            let info = Arc::clone(conn.info());
            // No answer: it is being served just now, and that answer is on its way.
            if let Some(answer) = self.server.engine.time_out(self.index, &info) {
                self.answer(index, answer);
            }
        }
    }

    /// Looks at all connections: idle ones (`timeout`), and those whose output limit has a soft
    /// part.
    pub(super) fn scan(&mut self) {
        self.pace.next_scan = self.steady.plus(SCAN_PERIOD);
        self.server.purge.take_part(&mut self.pace.purged);
        let timeout = u64::from(self.settings.config.network.timeout) * 1000;
        for index in self.conns.ids() {
            let Some(conn) = self.conns.get_mut(index) else { continue };
            let idle = self.steady.since(conn.active_at);
            let is_client = conn.info().kind() == ClientKind::Normal && conn.waiting.is_none();
            if timeout > 0 && is_client && idle > timeout {
                tracing::debug!("Closing idle client");
                conn.phase = Phase::Dead;
            }
            if conn.is_over_limit(&self.settings.config, self.steady) {
                conn.phase = Phase::Dead;
            }
            if conn.phase == Phase::Dead {
                self.close(index);
            }
        }
        self.disconnect_killed();
        self.lingering.end_late(self.steady);
    }

    /// Disconnects those clients that take most memory, where all together take more than
    /// `maxmemory-clients`: before long commands run, and when the output of the turn is sent and
    /// who is over its own limit is gone.
    pub(super) fn look_at_client_memory(&mut self) {
        // A CONFIG SET of this very turn counts.
        self.load_config();
        let limit = self.settings.client_memory_limit;
        if self.server.engine.clients.memory() > limit && self.steady >= self.pace.next_eviction {
            self.evict_clients(limit);
        }
    }

    #[cold]
    fn evict_clients(&mut self, limit: usize) {
        let evicted = self.server.engine.clients.evict(limit);
        let stats = self.server.engine.stats.thread(self.index);
        stats.bump(|stats| &stats.evicted_clients, evicted.clients.len() as u64);
        for client in &evicted.clients {
            limited!(info, "Evicting client: {}", client.line(self.now.0));
            self.server.disconnect(client);
        }
        if evicted.is_above {
            tracing::debug!("Over client maxmemory after evicting all evictable clients");
            self.pace.next_eviction = self.steady.plus(FUTILE_EVICTION_PERIOD);
        }
        self.disconnect_killed();
    }

    /// Closes the connections that CLIENT KILL, or a change of role, wants to be closed, whether or
    /// not their peers read what is still to be sent.
    pub(super) fn disconnect_killed(&mut self) {
        for index in self.conns.ids() {
            let Some(conn) = self.conns.get_mut(index) else { continue };
            // A client that has killed itself still gets its answer, if it takes it.
            let is_leaving = conn.phase == Phase::Closing && !conn.wants_write;
            // Nor is an answer lost that is on its way to it: an element may be in it.
            let is_served =
                matches!(conn.waiting, Some(Park::Blocked { .. })) && !conn.info().is_waiting();
            if conn.info().is_killed() && !is_leaving && !is_served {
                let _ = conn.send_replies(&mut self.spare);
                self.close_in_order(index);
            }
        }
    }

    /// Moves replicas' synchronisations on, and sends them their streams.
    pub(super) fn pump_feeds(&mut self) {
        for index in self.lists.feeds.clone() {
            let Some(conn) = self.conns.get_mut(index) else { continue };
            crate::feed::pump(&self.server, conn, self.index, self.steady, &self.settings.config);
            self.flush(index);
        }
    }
}
