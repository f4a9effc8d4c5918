//! Following a primary: the driver of [`tessera_replication::ReplicaLink`], on a thread of its own
//! with a blocking socket.
//!
//! [`Follow`] is the handle: others say whom to follow and read how it goes. The thread applies the
//! stream through the engine, as the client that may write on a replica, and appends it to this
//! node's own log byte by byte, so that its replicas, and a later promotion, go on in the same
//! history.

mod apply;
mod gauge;
mod link;
mod load;

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use tessera_engine::ClientInfo;
use tessera_replication::{LinkPhase, LinkStatus};
use tessera_slot::Millis;

pub(crate) use link::Follower;

/// Whom to follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Primary {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// A client's REPLICAOF.
#[derive(Clone)]
pub(crate) struct Order {
    /// The client that is answered when it is carried out; `None`: no client waits for it.
    pub(crate) client: Option<Arc<ClientInfo>>,
    /// Whom to follow; `None`: NO ONE.
    pub(crate) primary: Option<Primary>,
}

/// How it goes.
#[derive(Clone, Debug)]
pub(crate) struct FollowStatus {
    pub(crate) link: LinkStatus,
    /// A full synchronisation is being loaded: the data is incomplete.
    pub(crate) loading: bool,
    /// When something last came from the primary, by the monotonic clock.
    pub(crate) last_io: Option<Millis>,
}

impl FollowStatus {
    /// Whether the link is up and the data complete.
    pub(crate) fn is_up(&self) -> bool {
        self.link.phase == LinkPhase::Connected && !self.loading
    }
}

#[derive(Default)]
struct State {
    wanted: Option<Primary>,
    /// Raised whenever `wanted` changes.
    version: u64,
    /// The version that the thread has taken up: what was wanted before does not run any more.
    taken: u64,
    /// The thread is applying what it received: a change of `wanted` waits for it.
    applying: bool,
    /// The thread is loading a payload, or undoing that: a change of `wanted` makes it give up and
    /// waits for it.
    loading: bool,
    status: Option<FollowStatus>,
    /// When something last came from a primary, since this node began to follow anybody. A replica
    /// that is told to follow another primary has its data still.
    last_io: Option<Millis>,
    socket: Option<TcpStream>,
    /// The data is not whole: a full synchronisation has begun to replace it and has not ended
    /// well.
    incomplete: bool,
    ack_requested: bool,
    quit: bool,
}

impl State {
    fn is_link_usable(&self) -> bool {
        match (&self.wanted, &self.status) {
            (None, _) => true,
            (Some(_), Some(status)) => status.is_up(),
            (Some(_), None) => false,
        }
    }
}

/// The handle of the thread that follows a primary.
#[derive(Default)]
pub(crate) struct Follow {
    state: Mutex<State>,
    changed: Condvar,
    /// How far the stream is applied.
    pub(crate) gauges: gauge::Gauges,
    /// Orders of clients that wait for them, oldest first, with the one that is being carried out:
    /// [`Follow::order`].
    orders: Mutex<VecDeque<Order>>,
    /// Held while an order is carried out.
    carrying_out: Mutex<()>,
}

impl Follow {
    /// Says whom to follow, nobody for `None`. Returns when nothing more is applied or loaded of
    /// what was followed before.
    pub(crate) fn set(&self, primary: Option<Primary>) {
        let mut state = self.state.lock();
        if state.wanted == primary && primary.is_some() {
            return;
        }
        if primary.is_none() {
            state.last_io = None;
        }
        state.wanted = primary;
        state.version += 1;
        let version = state.version;
        state.status = None;
        if let Some(socket) = &state.socket {
            // A blocked read ends at once.
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
        while (state.applying || state.loading) && state.taken < version && !state.quit {
            self.changed.wait(&mut state);
        }
    }

    /// Notes what a client has ordered, if `start` can start a thread that calls
    /// [`Follow::carry_out`].
    pub(crate) fn order<E>(
        &self,
        order: Order,
        start: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut orders = self.orders.lock();
        start()?;
        orders.push_back(order);
        Ok(())
    }

    /// Carries out the oldest order: in the order in which clients gave them, whichever thread
    /// comes first.
    pub(crate) fn carry_out(&self, how: impl FnOnce(Order)) {
        let _turn = self.carrying_out.lock();
        let oldest = self.orders.lock().front().cloned();
        if let Some(order) = oldest {
            how(order);
            self.orders.lock().pop_front();
        }
    }

    /// Ends the thread.
    pub(crate) fn quit(&self) {
        let mut state = self.state.lock();
        state.quit = true;
        if let Some(socket) = &state.socket {
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
    }

    /// How it goes; `None` while nobody is followed.
    pub(crate) fn status(&self) -> Option<FollowStatus> {
        self.state.lock().status.clone()
    }

    /// Whether the data is not whole: a full synchronisation has begun to replace it and has not
    /// ended well.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.state.lock().incomplete
    }

    /// Notes whether the data is whole.
    pub(crate) fn set_incomplete(&self, incomplete: bool) {
        self.state.lock().incomplete = incomplete;
    }

    /// Whom this node follows, as clients are shown it: from the moment in which one has ordered
    /// it. And how it goes.
    pub(crate) fn shown(&self) -> Option<(Primary, Option<FollowStatus>)> {
        let orders = self.orders.lock();
        let state = self.state.lock();
        match orders.back() {
            Some(order) if order.primary != state.wanted => {
                order.primary.clone().map(|primary| (primary, None))
            }
            _ => state.wanted.clone().map(|primary| (primary, state.status.clone())),
        }
    }

    /// Whether this node may serve replicas: it is a primary, or its own link is up.
    pub(crate) fn is_link_usable(&self) -> bool {
        self.state.lock().is_link_usable()
    }

    /// Says whether this node follows somebody without a link to it. No change of either comes
    /// between.
    pub(crate) fn tell_stale(&self, tell: impl FnOnce(bool)) {
        let state = self.state.lock();
        tell(state.wanted.is_some() && !state.is_link_usable());
    }

    /// A replica of this replica wants to know how far everybody is: passed on upwards.
    pub(crate) fn request_ack(&self) {
        self.state.lock().ack_requested = true;
    }

    fn is_current(&self, version: u64) -> bool {
        let state = self.state.lock();
        state.version == version && !state.quit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn orders_are_carried_out_as_they_were_given_whichever_thread_comes_first() {
        let follow = Follow::default();
        let primary = |port| Some(Primary { host: "h".to_owned(), port });
        let client = || Arc::new(ClientInfo::new(1, String::new(), String::new(), 0, 0, 0));
        let order_of = |primary| Order { client: Some(client()), primary };
        let given = [primary(1), None, primary(2), None, primary(3)];
        let (done, carried_out) = mpsc::channel();
        std::thread::scope(|scope| {
            let mut threads = Vec::new();
            for order in given.clone() {
                let (start, started) = mpsc::channel::<()>();
                let (follow, done) = (&follow, done.clone());
                let spawn = || {
                    scope.spawn(move || {
                        started.recv().expect("the test lets every thread go");
                        follow.carry_out(|order| {
                            done.send(order.primary).expect("the test listens");
                        });
                    });
                    Ok::<(), ()>(())
                };
                follow.order(order_of(order), spawn).expect("a thread can be started");
                threads.push(start);
            }
            let refused = follow.order(order_of(primary(9)), || Err("no thread"));
            assert_eq!(refused, Err("no thread"));
            // The last thread comes first.
            threads.iter().rev().for_each(|start| start.send(()).expect("it waits for this"));
        });
        drop(done);
        assert_eq!(carried_out.into_iter().collect::<Vec<_>>(), given);
    }
}
