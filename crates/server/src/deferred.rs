//! The thread that carries out what commands leave for when nothing is locked: CONFIG SET, CONFIG
//! REWRITE and what else reads or writes files, opens sockets or writes into the log.
//!
//! One thread does it, in the order in which clients have asked: so it is also the only one that
//! changes the configuration, and needs no lock for that.

use crate::server::Server;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use tessera_engine::{ClientInfo, Deferred};

/// What waits to be carried out.
#[derive(Default)]
pub(crate) struct DeferredQueue {
    /// A leaf. A client waits for its own, so there are at most as many as clients.
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Arc<ClientInfo>, Deferred)>,
    is_closed: bool,
}

impl DeferredQueue {
    /// Leaves what is to be carried out for a client.
    pub(crate) fn push(&self, client: Arc<ClientInfo>, deferred: Deferred) {
        self.state.lock().waiting.push_back((client, deferred));
        self.changed.notify_one();
    }

    /// Ends the thread.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// The oldest that waits; `None`: the thread is to end.
    fn next(&self) -> Option<(Arc<ClientInfo>, Deferred)> {
        let mut state = self.state.lock();
        while state.waiting.is_empty() && !state.is_closed {
            self.changed.wait(&mut state);
        }
        if state.is_closed { None } else { state.waiting.pop_front() }
    }
}

/// Carries out what comes until the queue is closed. `thread` is the number of its counters.
pub(crate) fn run(server: &Server, thread: usize) {
    while let Some((client, deferred)) = server.deferred.next() {
        let concerns_cluster = deferred.concerns_cluster();
        let answer = server.engine.carry_out(thread, deferred);
        let answer = match concerns_cluster {
            true => server.engine.host().after_cluster(&client, answer),
            false => Some(answer),
        };
        if let Some(answer) = answer {
            server.answer(&client, answer);
        }
    }
}
