//! Transactions: MULTI keeps commands back, EXEC runs them as one, WATCH makes EXEC depend on keys
//! that nobody else has changed.
//!
//! Between MULTI and EXEC a session has a [`Transaction`]: [`queue`] checks what can be checked and
//! keeps the command. EXEC ([`exec`]) locks the slots of all keys of all its commands, and of the
//! watched keys, at once (the world alone, where one command needs more than its keys), runs them
//! one after another under these locks, and appends what they have written as one unit to the log.
//! Clients that wait for keys are served after the whole transaction.
//!
//! Watched keys are marked in the store, which counts their changes; a session remembers the count
//! that it has seen ([`watch`]). No list of watching clients is kept, and nobody else's session is
//! touched.

mod exec;
mod queue;
mod watch;

pub(crate) use exec::aborted;
pub(crate) use watch::Watched;

use crate::Args;
use crate::command::{Command, Flags, Group};
use tessera_resp::Span;

/// A command that waits for EXEC.
struct Queued {
    command: &'static Command,
    /// The entry's index, for counters.
    index: u32,
    /// Its arguments, one behind the other.
    bytes: Box<[u8]>,
    spans: Box<[Span]>,
}

impl Queued {
    fn new(command: &'static Command, index: u32, args: Args<'_>) -> Queued {
        let mut bytes = Vec::with_capacity(args.bytes());
        let spans = args
            .from(0)
            .map(|arg| {
                // Below 4 GiB together: they came as one request, whose positions are 32 bits wide.
                let span = Span { start: bytes.len() as u32, len: arg.len() as u32 };
                bytes.extend_from_slice(arg);
                span
            })
            .collect();
        Queued { command, index, bytes: bytes.into(), spans }
    }

    fn args(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.spans)
    }

    /// Bytes that it takes.
    fn memory(&self) -> usize {
        size_of::<Queued>() + self.bytes.len() + size_of_val(&*self.spans)
    }
}

/// The commands that a client has queued since MULTI.
pub(crate) struct Transaction {
    queue: Vec<Queued>,
    /// Bytes of the queue.
    memory: usize,
    /// A command could not be queued: EXEC refuses.
    is_broken: bool,
    /// Properties that some of the commands have, and those that all have.
    some: Flags,
    all: Flags,
}

impl Transaction {
    pub(crate) fn new() -> Transaction {
        Transaction {
            queue: Vec::new(),
            memory: 0,
            is_broken: false,
            some: Flags::NONE,
            all: Flags::LOADING.or(Flags::STALE),
        }
    }

    /// EXEC will refuse.
    pub(crate) fn spoil(&mut self) {
        self.is_broken = true;
    }

    fn push(&mut self, queued: Queued) {
        self.memory += queued.memory();
        self.some = self.some.or(queued.command.flags);
        self.all = self.all.and(queued.command.flags);
        self.queue.push(queued);
    }

    /// Whether some of the commands ask, or change, the cluster: EXEC is answered when the node has
    /// done what they want.
    fn concerns_cluster(&self) -> bool {
        self.queue.iter().any(|queued| queued.command.group == Group::Cluster)
    }

    /// The properties of EXEC: it writes, or may be told to replicas, if one of its commands does,
    /// and is allowed during a load if all of them are.
    pub(crate) fn flags(&self) -> Flags {
        self.some.and(Flags::WRITE.or(Flags::DENYOOM).or(Flags::MAY_REPLICATE)).or(self.all)
    }
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.queue.iter().map(|queued| queued.command.name).collect();
        f.debug_struct("Transaction")
            .field("queue", &names)
            .field("is_broken", &self.is_broken)
            .finish()
    }
}
