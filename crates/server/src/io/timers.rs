//! The timers of a thread, and clients that are idle, take too much memory, or were killed.

use super::conn::State;
use super::thread::IoThread;
use super::waiting::RETRY;
use crate::feed::Next;
use crate::logging::limited;
use tessera_engine::{ClientKind, Park};

/// How often all connections are looked at, milliseconds.
const SCAN_PERIOD: u64 = 1000;
/// How long no clients are chosen to be evicted after it was of no use, milliseconds.
const FUTILE_EVICTION_PERIOD: u64 = 100;
/// The longest sleep while clients wait for something that nobody announces, milliseconds.
pub(super) const PARKED_WAIT: u64 = 100;

impl IoThread {
    /// How long epoll may wait, in milliseconds.
    pub(super) fn wait_ms(&mut self) -> u64 {
        let now = crate::time::monotonic();
        if !self.budget.resting.is_empty() || !self.budget.passed_over.is_empty() {
            return 0;
        }
        let mut wait = self.pace.next_scan.since(now).min(SCAN_PERIOD);
        wait = self.accepting.resume_at.map_or(wait, |at| wait.min(at.since(now)));
        wait = self.wait_for_waiting(now).map_or(wait, |longest| wait.min(longest));
        if !self.lists.feeds.is_empty() {
            wait = wait.min(PARKED_WAIT);
        }
        if self.server.engine.has_chores() {
            wait = wait.min(RETRY);
        }
        wait
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
            let is_client = conn.info().kind() == ClientKind::Normal
                && !matches!(conn.state, State::Waiting(_));
            if timeout > 0 && is_client && idle > timeout {
                tracing::debug!("Closing idle client");
                self.close(index);
            } else if conn.is_over_limit(&self.settings.config, self.steady) {
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
            let is_leaving = conn.state == State::Closing && !conn.wants_write;
            // Nor is an answer lost that is on its way to it: an element may be in it.
            let is_served = matches!(conn.state, State::Waiting(Park::Blocked { .. }))
                && !conn.info().is_waiting();
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
            let (steady, config) = (self.steady, &self.settings.config);
            match crate::feed::pump(&self.server, conn, self.index, steady, config) {
                Next::Stay => self.flush(index),
                Next::Close => {
                    let _ = conn.send_replies(&mut self.spare);
                    self.close_in_order(index);
                }
            }
        }
    }
}
