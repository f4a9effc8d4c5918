//! One who follows the history.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tessera_slot::Offset;

use crate::chunk::Chunk;
use crate::history::Shared;
use crate::inner::Position;

/// The history that the reader follows has been dropped or replaced: it needs a full resync.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the replication history was replaced")]
pub struct HistoryReplaced;

/// A place in the history. While the reader lives, the history from its place on is kept, whatever
/// the backlog's size: the reader's owner looks at [`Reader::lag`] and drops one that is too slow.
///
/// ```
/// # use std::io::Write;
/// # let name = tessera_log::ReplId::from_random([0; 20]);
/// # let log = tessera_log::Log::new(name, 0);
/// # log.activate(name);
/// # let (_, mut reader) = log.start_full_sync();
/// # log.append_control(&["PING"]);
/// # let mut socket = Vec::new();
/// let sent = socket.write(reader.peek()?)?;
/// reader.advance(sent);
/// # assert_eq!((socket.len(), reader.lag()), (14, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Reader {
    shared: Arc<Shared>,
    position: Position,
    generation: u64,
    chunk: Option<Arc<Chunk>>,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, position: Position, generation: u64) -> Reader {
        Reader { shared, position, generation, chunk: None }
    }

    /// Everything before this offset has been read.
    pub fn offset(&self) -> Offset {
        Offset(self.position.load(Ordering::Relaxed))
    }

    /// Bytes of history that have not been read yet.
    pub fn lag(&self) -> u64 {
        self.shared.end.load(Ordering::Acquire).saturating_sub(self.offset().0)
    }

    /// The next bytes, as many as lie together; none if the reader is at the end. They stay the
    /// next ones until [`Reader::advance`]. No lock is held while the caller uses them.
    pub fn peek(&mut self) -> Result<&[u8], HistoryReplaced> {
        let at = self.offset().0;
        if self.shared.generation.load(Ordering::Acquire) != self.generation {
            return Err(HistoryReplaced);
        }
        let end = self.shared.end.load(Ordering::Acquire);
        if at >= end {
            return Ok(&[]);
        }
        // The bytes before `end` are committed, in this chunk or in a later one.
        let is_here = |chunk: &Arc<Chunk>| at < chunk.start() + chunk.committed().len() as u64;
        if !self.chunk.as_ref().is_some_and(is_here) {
            self.find_chunk(at)?;
        }
        let chunk = self.chunk.as_ref().expect("bytes before the end are kept for every reader");
        let bytes = chunk.committed();
        // Whole appends only: bytes beyond `end` belong to one that is not finished.
        let visible = bytes.len().min((end - chunk.start()) as usize);
        Ok(&bytes[(at - chunk.start()) as usize..visible])
    }

    /// The next `count` bytes have been used. `count` is at most the length of what
    /// [`Reader::peek`] gave.
    pub fn advance(&mut self, count: usize) {
        let next = self.offset().plus(count as u64);
        debug_assert!(
            count == 0
                || self.chunk.as_ref().is_some_and(|chunk| {
                    next.0 <= chunk.start() + chunk.committed().len() as u64
                }),
            "advanced beyond what was read"
        );
        self.position.store(next.0, Ordering::Release);
    }

    fn find_chunk(&mut self, at: u64) -> Result<(), HistoryReplaced> {
        let inner = self.shared.inner.lock();
        if self.shared.generation.load(Ordering::Acquire) != self.generation {
            return Err(HistoryReplaced);
        }
        self.chunk = inner.chunk_at(at);
        Ok(())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.change(|inner| {
            inner.unregister(&self.position);
            inner.trim();
        });
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("offset", &self.offset()).finish_non_exhaustive()
    }
}
