//! How waiting ends without being served.

use super::{Answer, Waiter};
use crate::chores::Chore;
use crate::{ClientInfo, Engine, Fail, Session, ThreadStats};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tessera_resp::Reply;
use tessera_slot::SlotState;
use tessera_store::World;

/// The answer to a client that is not served.
pub(crate) enum Ending {
    /// As if the time were up.
    TimedOut,
    /// An error.
    Failed(Fail),
    /// An error, and the connection is closed.
    Closed(Fail),
}

impl Engine {
    /// How many clients wait for keys.
    pub fn blocked_clients(&self) -> usize {
        self.blocking.clients()
    }

    /// How many keys clients wait for.
    pub fn blocking_keys(&self) -> usize {
        self.blocking.keys()
    }

    /// How many keys clients wait for who want to know when they are deleted.
    pub fn blocking_keys_for_deletion(&self) -> usize {
        self.blocking.keys_for_deletion()
    }

    /// Takes the right to answer a waiter. It still has to leave its queues. `stats`: of the
    /// calling thread.
    pub(crate) fn end_waiting(
        &self,
        stats: &ThreadStats,
        waiter: &Waiter,
        ending: Ending,
    ) -> Option<Answer> {
        let operation = waiter.operation.lock().take()?;
        self.blocking.forget(waiter);
        let mut reply = Reply::new(waiter.protocol);
        let (fail, close) = match ending {
            Ending::TimedOut => (None, false),
            Ending::Failed(fail) => (Some(fail), false),
            Ending::Closed(fail) => (Some(fail), true),
        };
        match fail {
            None => operation.timed_out(&mut reply),
            Some(fail) => self.fail_waiter(stats, waiter, &fail, &mut reply),
        }
        Some(Answer { bytes: reply.buf, offset: self.log.offset(), close })
    }

    /// Answers a waiter an error, which counts as a failure of the command that waited.
    pub(crate) fn fail_waiter(
        &self,
        stats: &ThreadStats,
        waiter: &Waiter,
        fail: &Fail,
        reply: &mut Reply,
    ) {
        let text = fail.to_string();
        self.stats.note_error(stats, text.as_bytes());
        // The client's last command is the one that waits.
        if let Some(index) = waiter.info.last_command.load(Relaxed).checked_sub(1) {
            crate::stats::bump(&stats.by_command[index].failed, 1);
        }
        reply.error(text);
    }

    /// A client's time is up: gives its answer. `None`: it is being served just now, and will get
    /// that answer. `thread` is the number of the calling thread, which is not inside the world.
    pub fn time_out(&self, thread: usize, client: &ClientInfo) -> Option<Answer> {
        let waiter = client.waiter.lock().clone()?;
        let answer = self.end_waiting(self.stats.thread(thread), &waiter, Ending::TimedOut)?;
        self.leave(&mut self.keyspace.enter(thread), &waiter);
        Some(answer)
    }

    /// Forgets what a client that is gone waited for and watched. `thread` is the number of the
    /// calling thread, which is not inside the world.
    pub fn forget(&self, thread: usize, session: &mut Session) {
        let waiter = session.info.waiter.lock().clone();
        if let Some(waiter) = waiter
            && waiter.operation.lock().take().is_some()
        {
            self.blocking.forget(&waiter);
            self.leave(&mut self.keyspace.enter(thread), &waiter);
        }
        session.set_transaction(None);
        if !session.watched.is_empty() {
            self.unwatch_all(&mut self.keyspace.enter(thread), session);
        }
    }

    /// Ends all waiting, since this node has become a replica, which cannot serve what changes
    /// keys.
    pub fn unblock_all(&self, thread: usize) {
        let text = "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";
        self.end_where(thread, |_, _| Some(Ending::Closed(Fail::text(text))));
    }

    /// Sends clients away that wait for keys of slots which this node does not serve any more. To
    /// be called after slots, or the state of the cluster, have changed.
    pub fn redirect_blocked(&self, thread: usize) {
        let Some(routing) = self.host().routing() else { return };
        let is_down = self.mode().any(crate::Mode::CLUSTER_DOWN);
        let is_left = Cell::new(false);
        self.end_where(thread, |world, waiter| {
            if is_down {
                return Some(Ending::Failed(Fail::text("CLUSTERDOWN The cluster is down")));
            }
            let slot = waiter.keys.first()?.hash.slot();
            let Some(guard) = world.try_lock(slot) else {
                is_left.set(true);
                return None;
            };
            let SlotState::Remote { .. } = guard.state() else { return None };
            if waiter.readonly && routing.is_replicated_here(slot) {
                return None;
            }
            let unserved = "CLUSTERDOWN Hash slot not served";
            Some(Ending::Failed(Fail::text(
                routing.moved(slot, false).unwrap_or_else(|| unserved.to_owned()),
            )))
        });
        if is_left.get() {
            self.leave_chore(Chore::Redirect);
        }
    }

    fn end_where(&self, thread: usize, choose: impl Fn(&mut World<'_>, &Waiter) -> Option<Ending>) {
        if !self.blocking.has_clients() {
            return;
        }
        let all: Vec<Arc<Waiter>> = self.blocking.all();
        for waiter in all {
            let mut world = self.keyspace.enter(thread);
            let Some(ending) = choose(&mut world, &waiter) else { continue };
            if let Some(answer) = self.end_waiting(self.stats.thread(thread), &waiter, ending) {
                self.leave(&mut world, &waiter);
                self.host().answer(&waiter.info, answer);
            }
        }
    }
}
