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

/// A place in the history. While the reader lives, the history from its place on is kept, whatever the
/// backlog's size: whoever owns the reader looks at [`Reader::lag`] and drops one that is too slow.
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

    /// The next bytes, as many as lie together; none if the reader is at the end. They stay the next ones
    /// until [`Reader::advance`]. No lock is held while the caller uses them.
    pub fn peek(&mut self) -> Result<&[u8], HistoryReplaced> {
        let at = self.offset().0;
        if self.shared.generation.load(Ordering::Acquire) != self.generation {
            return Err(HistoryReplaced);
        }
        let end = self.shared.end.load(Ordering::Acquire);
        if at >= end {
            return Ok(&[]);
        }
        if self.chunk.as_ref().is_none_or(|chunk| at >= chunk.end_when_full()) {
            self.find_chunk(at)?;
        }
        let Some(chunk) = &self.chunk else { return Ok(&[]) };
        let from = (at - chunk.start()) as usize;
        // Whole appends only: what lies beyond `end` belongs to one that is not finished.
        let visible = (end - chunk.start()).min(chunk.capacity() as u64) as usize;
        let bytes = chunk.committed();
        Ok(&bytes[from..visible.min(bytes.len())])
    }

    /// The next `count` bytes have been used. `count` is at most what [`Reader::peek`] gave.
    pub fn advance(&mut self, count: usize) {
        let next = self.offset().0 + count as u64;
        debug_assert!(
            self.chunk.as_ref().is_none_or(|chunk| next <= chunk.end_when_full()),
            "advanced beyond what was read"
        );
        self.position.store(next, Ordering::Release);
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
        let mut inner = self.shared.inner.lock();
        inner.unregister(&self.position);
        inner.trim();
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("offset", &self.offset()).finish_non_exhaustive()
    }
}
