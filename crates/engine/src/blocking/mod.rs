//! Blocking commands: clients that wait until a key can serve them.
//!
//! A waiter stands in the queues of its keys, first come first served. The queues hang off the
//! slots (`store/src/marks.rs`) and are changed with the slot locked; since a waiter is put there
//! under the same locks under which its command found nothing, no feeding can fall in between.
//! After each command, still under its locks, the keys that it fed are served ([`serve`]); a waiter
//! that needs a slot which is not locked is served right after, with all of its slots locked.
//!
//! A waiter's operation is the right to answer its client: whoever takes it out answers, so that a
//! client is served, timed out, unblocked or forgotten exactly once. Lock order: slots, then the
//! operation, then the log.
//!
//! Deliberately not here: what an operation does (the commands' business), clocks and sockets (the
//! rim's: it calls [`crate::Engine::time_out`], and passes on what [`crate::Host::answer`] gets).

mod cancel;
mod serve;
mod timeout;

pub(crate) use cancel::Ending;
pub(crate) use serve::Left;
pub(crate) use timeout::deadline_in_ms;
pub use timeout::deadline_in_seconds;

use crate::db::{Db, Key};
use crate::{ClientInfo, Cx, Fail, Session};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use tessera_resp::{Protocol, Reply};
use tessera_slot::{Offset, Slot};
use tessera_store::{KeyHash, SlotGuard, WaiterId};

/// Whether an operation could be carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Served {
    /// The reply has been written.
    Yes,
    /// The key has nothing for it; nothing was written or changed.
    No,
}

/// The operation that a blocked client waits for.
pub trait Blocked: Send {
    /// Does it with this key, if the key has what it takes. Also what the command itself tries
    /// first. A change is counted with [`Cx::changed`] and told to replicas in its form that does
    /// not block, with [`Cx::propagate_instead`]. Other keys are found with [`Db::place`].
    ///
    /// # Errors
    /// What the client is answered. A waiting client whose operation does not want deletions goes
    /// on waiting where the key holds another type ([`Fail::WrongType`]).
    fn serve(&mut self, db: &mut Db<'_, '_>, cx: &mut Cx<'_>, key: Key<'_>)
    -> Result<Served, Fail>;

    /// Does it with its keys, in its own order; those that are not given have no news, since their
    /// slots are not locked. Nearly every operation is through with the first key that has what it
    /// takes.
    ///
    /// # Errors
    /// As [`Blocked::serve`], but that a key of another type is passed over.
    fn serve_keys(
        &mut self,
        db: &mut Db<'_, '_>,
        cx: &mut Cx<'_>,
        keys: &[Key<'_>],
    ) -> Result<Served, Fail> {
        for &key in keys {
            match self.serve(db, cx, key) {
                Ok(Served::No) => {}
                Err(Fail::WrongType) if !self.wants_deletion() => {}
                through => return through,
            }
        }
        Ok(Served::No)
    }

    /// Writes the answer for the client when the time is up.
    fn timed_out(&self, reply: &mut Reply) {
        reply.null_array();
    }

    /// Whether `serve` is also to be asked when the key is gone or holds another type (XREADGROUP).
    fn wants_deletion(&self) -> bool {
        false
    }

    /// A further key that it works on (the destination of BLMOVE).
    fn also_locks(&self) -> Option<&[u8]> {
        None
    }
}

/// The answer for a client that waited.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The reply in the client's protocol.
    pub bytes: Vec<u8>,
    /// The end of the log after what was written for it: what WAIT asks for.
    pub offset: Offset,
    /// The connection is closed once the reply is out.
    pub close: bool,
}

/// A key, kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ReadyKey {
    pub(crate) db: usize,
    pub(crate) bytes: Box<[u8]>,
    pub(crate) hash: KeyHash,
}

impl ReadyKey {
    pub(crate) fn of(db: usize, key: Key<'_>) -> ReadyKey {
        ReadyKey { db, bytes: key.bytes.into(), hash: key.hash }
    }

    fn key(&self) -> Key<'_> {
        Key { bytes: &self.bytes, hash: self.hash }
    }
}

/// A client's wish to wait.
pub(crate) struct Request {
    pub(crate) keys: Vec<ReadyKey>,
    pub(crate) operation: Box<dyn Blocked>,
}

/// The work after a command.
#[derive(Default)]
pub(crate) struct After {
    /// Keys that were fed.
    pub(crate) ready: Vec<ReadyKey>,
    /// Waiters which have been answered, and are still to leave their keys' queues.
    pub(crate) leaving: Vec<Arc<Waiter>>,
    /// The client wants to wait.
    pub(crate) request: Option<Request>,
    /// What is to be carried out when nothing is locked: of a transaction's commands only.
    pub(crate) gaps: Vec<crate::deferred::Gap>,
}

/// A client that waits.
pub struct Waiter {
    id: WaiterId,
    info: Arc<ClientInfo>,
    keys: Vec<ReadyKey>,
    /// Slots of further keys that the operation works on.
    also: Option<Slot>,
    protocol: Protocol,
    no_touch: bool,
    readonly: bool,
    /// Out: the client has been answered, or is gone.
    operation: Mutex<Option<Box<dyn Blocked>>>,
}

impl std::fmt::Debug for Waiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiter").field("id", &self.id).field("keys", &self.keys).finish()
    }
}

impl Waiter {
    /// The client.
    pub(crate) fn client(&self) -> &ClientInfo {
        &self.info
    }
}

const SHARDS: usize = 16;

/// All clients that wait for keys.
#[derive(Default)]
pub(crate) struct Blocking {
    clients: AtomicUsize,
    keys: AtomicUsize,
    /// Keys that somebody waits for who wants to know when they are deleted.
    deletions: AtomicUsize,
    next: AtomicU64,
    waiters: [Mutex<BTreeMap<WaiterId, Arc<Waiter>>>; SHARDS],
}

/// No client stands in a queue twice. There may be many thousand keys, whose slots are locked.
fn keep_first_of_each(keys: &mut Vec<ReadyKey>) {
    if keys.len() < 2 {
        return;
    }
    let mut seen = BTreeSet::new();
    let is_first: Vec<bool> = keys.iter().map(|key| seen.insert((key.db, &key.bytes))).collect();
    let mut is_first = is_first.into_iter();
    keys.retain(|_| is_first.next() == Some(true));
}

/// The lowest bit of a waiter's id says whether it wants deletions.
fn wants_deletion(id: WaiterId) -> bool {
    id & 1 == 1
}

impl Blocking {
    /// Whether anybody waits. Relaxed: whoever waits for a key was counted with its slot locked.
    #[inline]
    pub(crate) fn has_clients(&self) -> bool {
        self.clients.load(Relaxed) > 0
    }

    /// How many clients wait.
    pub(crate) fn clients(&self) -> usize {
        self.clients.load(Relaxed)
    }

    /// How many keys are waited for.
    pub(crate) fn keys(&self) -> usize {
        self.keys.load(Relaxed)
    }

    /// How many keys are waited for by somebody who wants to know when they are deleted.
    pub(crate) fn keys_for_deletion(&self) -> usize {
        self.deletions.load(Relaxed)
    }

    /// Takes a waiter out of the queue of a key, if it stands there.
    fn leave_key(&self, guard: &mut SlotGuard<'_>, key: &ReadyKey, id: WaiterId) {
        let counts =
            wants_deletion(id) && guard.waits_alone(key.db, &key.bytes, id, wants_deletion);
        if guard.leave(key.db, &key.bytes, id) {
            self.keys.fetch_sub(1, Relaxed);
        }
        if counts {
            self.deletions.fetch_sub(1, Relaxed);
        }
    }

    fn shard(&self, id: WaiterId) -> &Mutex<BTreeMap<WaiterId, Arc<Waiter>>> {
        &self.waiters[(id >> 1) as usize % SHARDS]
    }

    fn get(&self, id: WaiterId) -> Option<Arc<Waiter>> {
        self.shard(id).lock().get(&id).cloned()
    }

    fn all(&self) -> Vec<Arc<Waiter>> {
        self.waiters
            .iter()
            .flat_map(|shard| shard.lock().values().cloned().collect::<Vec<_>>())
            .collect()
    }

    /// Puts a client into the queues of its keys, whose slots are locked.
    pub(crate) fn register(
        &self,
        db: &mut Db<'_, '_>,
        session: &mut Session,
        protocol: Protocol,
        request: Request,
    ) {
        let Request { mut keys, operation } = request;
        keep_first_of_each(&mut keys);
        let id = self.next.fetch_add(1, Relaxed) << 1 | u64::from(operation.wants_deletion());
        self.clients.fetch_add(1, Relaxed);
        for key in &keys {
            let guard = db.locks.guard(key.hash.slot());
            if guard.wait(key.db, &key.bytes, id) {
                self.keys.fetch_add(1, Relaxed);
            }
            if wants_deletion(id) && guard.waits_alone(key.db, &key.bytes, id, wants_deletion) {
                self.deletions.fetch_add(1, Relaxed);
            }
        }
        let also = operation.also_locks().map(|key| db.place(key).hash.slot());
        let waiter = Arc::new(Waiter {
            id,
            info: Arc::clone(&session.info),
            keys,
            also,
            protocol,
            no_touch: session.no_touch,
            readonly: session.readonly,
            operation: Mutex::new(Some(operation)),
        });
        session.info.blocked.store(true, Relaxed);
        *session.info.waiter.lock() = Some(Arc::clone(&waiter));
        self.shard(id).lock().insert(id, waiter);
    }

    /// A waiter's operation has been taken out: it is not counted any more.
    fn forget(&self, waiter: &Waiter) {
        self.shard(waiter.id).lock().remove(&waiter.id);
        self.clients.fetch_sub(1, Relaxed);
        let mut own = waiter.info.waiter.lock();
        if own.as_ref().is_some_and(|own| own.id == waiter.id) {
            *own = None;
        }
    }
}
