//! The history itself, as the rest of the node sees it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tessera_slot::Offset;

use crate::append::{Appender, encode_command, encoded_len};
use crate::identity::{CannotServe, Identity, ReplId};
use crate::inner::{CHUNK, Inner};
use crate::reader::Reader;

/// The state that readers and appenders share.
pub(crate) struct Shared {
    active: AtomicBool,
    /// End of the last whole append.
    pub(crate) end: AtomicU64,
    /// Raised whenever the bytes are replaced by another history.
    pub(crate) generation: AtomicU64,
    pub(crate) inner: Mutex<Inner>,
    /// Bytes of chunks that the history does not have any more, and that are not freed yet. Raised
    /// under the mutex.
    dropped: AtomicU64,
}

impl Shared {
    /// Changes what the mutex guards; what that drops is freed when the mutex is no longer held.
    #[inline]
    pub(crate) fn change<T>(&self, how: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.inner.lock();
        let result = how(&mut inner);
        let garbage = inner.take_garbage();
        if !garbage.is_empty() {
            let bytes = garbage.iter().map(|chunk| chunk.capacity() as u64).sum();
            self.dropped.fetch_add(bytes, Ordering::Relaxed);
        }
        drop(inner);
        // Chunk by chunk: of what a slow replica has kept that takes milliseconds, and all the
        // while it is memory of the history.
        for chunk in garbage {
            let bytes = chunk.capacity() as u64;
            drop(chunk);
            self.dropped.fetch_sub(bytes, Ordering::Relaxed);
        }
        result
    }
}

/// Writes from this size on (bytes) are encoded before the mutex is taken: a value of hundreds of
/// megabytes must not stop the other writers of the node while it is copied.
const ENCODE_BEFOREHAND: usize = CHUNK;

/// The ordered history of writes. Cheap to clone; all clones are the same history.
///
/// Appends of one key come in order because the caller holds the key's slot locked. The calls that
/// replace the whole history ([`Log::activate`], [`Log::adopt`], [`Log::start_full_sync`]) need the
/// world locked, so that no write falls between the data and the history.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
}

impl Log {
    /// An inactive history called `id`, which will keep at least `backlog_limit` bytes
    /// (directive `repl-backlog-size`).
    pub fn new(id: ReplId, backlog_limit: u64) -> Log {
        Log {
            shared: Arc::new(Shared {
                active: AtomicBool::new(false),
                end: AtomicU64::new(0),
                generation: AtomicU64::new(0),
                dropped: AtomicU64::new(0),
                inner: Mutex::new(Inner::new(backlog_limit, Identity::new(id))),
            }),
        }
    }

    /// Whether the history is needed. If not, appends do nothing.
    #[inline]
    pub fn is_active(&self) -> bool {
        // Relaxed: it changes with the world locked, which orders it with every write.
        self.shared.active.load(Ordering::Relaxed)
    }

    /// The end of the history.
    #[inline]
    pub fn offset(&self) -> Offset {
        Offset(self.shared.end.load(Ordering::Acquire))
    }

    /// Adds one write in database `db`. Returns the end of the history after it.
    #[inline]
    pub fn append_command<A: AsRef<[u8]>>(&self, db: u32, args: &[A]) -> Offset {
        if !self.is_active() {
            return self.offset();
        }
        let len = encoded_len(args);
        if len < ENCODE_BEFOREHAND {
            return self.append(|to| to.command(db, args));
        }
        let mut encoded = Vec::with_capacity(len);
        encode_command(&mut encoded, args);
        self.append(|to| to.encoded(db, encoded))
    }

    /// Adds a command that belongs to no database, such as PING or REPLCONF GETACK.
    pub fn append_control<A: AsRef<[u8]>>(&self, args: &[A]) -> Offset {
        self.append(|to| to.control(args))
    }

    /// Adds bytes of the primary's stream, as they are: a replica's history is its primary's. After
    /// them it stands in database `db`.
    pub fn append_raw(&self, db: u32, bytes: &[u8]) -> Offset {
        self.append(|to| to.raw(db, bytes))
    }

    /// Adds what `fill` adds, as one step that readers see whole or not at all. The mutex is held
    /// meanwhile: `fill` only copies, and does not use this log. Does nothing if inactive.
    #[inline]
    pub fn append(&self, fill: impl FnOnce(&mut Appender<'_>)) -> Offset {
        if !self.is_active() {
            return self.offset();
        }
        self.shared.change(|inner| {
            if inner.active {
                fill(&mut Appender::new(inner));
                self.shared.end.store(inner.end, Ordering::Release);
            }
            Offset(inner.end)
        })
    }

    /// Begins to keep the history, under a name of its own since no past can be vouched for.
    /// Returns false and changes nothing if it is kept already. The world is locked.
    pub fn activate(&self, fresh: ReplId) -> bool {
        let mut inner = self.shared.inner.lock();
        if inner.active {
            return false;
        }
        inner.identity = Identity::new(fresh);
        self.set_active(&mut inner, true);
        true
    }

    /// Stops keeping the history and frees it (`repl-backlog-ttl`). Readers are cut off.
    /// The world is locked.
    pub fn deactivate(&self) {
        self.shared.change(|inner| {
            let end = inner.end;
            self.replace(inner, end);
            self.set_active(inner, false);
        });
    }

    /// From now on this is the history of a primary, of which the data at `offset` was loaded,
    /// where its stream stands in database `db`: a full resync as a replica. Readers are cut off
    /// and need a full resync too. The world is locked.
    pub fn adopt(&self, id: ReplId, offset: Offset, db: u32) {
        self.shared.change(|inner| {
            inner.identity = Identity::new(id);
            self.replace(inner, offset.0);
            inner.stream_db = db;
            self.set_active(inner, true);
        });
    }

    /// The history goes on under a new name: at promotion, and when a primary answers PSYNC with a
    /// new id. The old name stays good for what was written until now.
    pub fn shift_replication_id(&self, new: ReplId) {
        let mut inner = self.shared.inner.lock();
        let at = Offset(inner.end);
        inner.identity.shift(new, at);
        inner.select_next = true;
    }

    /// The database in which the stream stands at the end of the history: in which a reader that
    /// continues from there has to begin, if its next command is a write without a SELECT before
    /// it.
    pub fn stream_db(&self) -> u32 {
        self.shared.inner.lock().stream_db
    }

    /// The names of the history.
    pub fn identity(&self) -> Identity {
        self.shared.inner.lock().identity
    }

    /// A reader that continues at `offset` of the history called `id`; the bytes from there on are
    /// kept for it.
    pub fn open_reader(&self, id: &ReplId, offset: Offset) -> Result<Reader, CannotServe> {
        let mut inner = self.shared.inner.lock();
        inner.check(id, offset)?;
        Ok(self.reader_at(&mut inner, offset.0))
    }

    /// The beginning of a full resync: the current name, and a reader at the current end. The
    /// writes that a primary adds there begin with SELECT; those that a replica passes on do not
    /// ([`Log::stream_db`]). The history is active and the world is locked, so that the snapshot is
    /// of this very moment.
    pub fn start_full_sync(&self) -> (ReplId, Reader) {
        let mut inner = self.shared.inner.lock();
        inner.select_next = true;
        let end = inner.end;
        (inner.identity.id, self.reader_at(&mut inner, end))
    }

    /// The oldest offset that can be served; INFO shows the number of the byte after it
    /// (`repl_backlog_first_byte_offset`).
    pub fn first_offset(&self) -> Offset {
        Offset(self.shared.inner.lock().first())
    }

    /// How many bytes are kept for replicas that come back.
    pub fn backlog_limit(&self) -> u64 {
        self.shared.inner.lock().limit
    }

    /// Changes how many bytes are kept; surplus ones are freed at once.
    pub fn set_backlog_limit(&self, bytes: u64) {
        self.shared.change(|inner| {
            inner.limit = bytes;
            inner.trim();
        });
    }

    /// Bytes of memory that the history takes, with those that are dropped but not freed yet.
    pub fn bytes(&self) -> u64 {
        let inner = self.shared.inner.lock();
        inner.allocated + self.shared.dropped.load(Ordering::Relaxed)
    }

    /// How many readers there are.
    pub fn reader_count(&self) -> usize {
        self.shared.inner.lock().reader_count()
    }

    fn set_active(&self, inner: &mut Inner, active: bool) {
        inner.active = active;
        self.shared.active.store(active, Ordering::Relaxed);
    }

    fn replace(&self, inner: &mut Inner, end: u64) {
        inner.reset(end);
        self.shared.generation.fetch_add(1, Ordering::Release);
        self.shared.end.store(end, Ordering::Release);
    }

    fn reader_at(&self, inner: &mut Inner, offset: u64) -> Reader {
        let generation = self.shared.generation.load(Ordering::Acquire);
        Reader::new(Arc::clone(&self.shared), inner.register(offset), generation)
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("active", &self.is_active())
            .field("offset", &self.offset())
            .finish_non_exhaustive()
    }
}
