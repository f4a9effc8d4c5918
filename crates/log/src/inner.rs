//! The state behind the mutex: the chunks, their readers, and the name of the history.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tessera_slot::Offset;

use crate::chunk::{Chunk, ChunkWriter};
use crate::identity::{CannotServe, Identity};

/// Size of an ordinary chunk in bytes.
pub(crate) const CHUNK: usize = 64 * 1024;

/// A reader's position; shared with the reader, which moves it without the mutex.
pub(crate) type Position = Arc<AtomicU64>;

pub(crate) struct Inner {
    pub(crate) active: bool,
    pub(crate) identity: Identity,
    /// The database in which the stream stands at the end of the history.
    pub(crate) stream_db: u32,
    /// The next command selects its database even if the stream stands there: not every reader
    /// knows.
    pub(crate) select_next: bool,
    /// End of the history. The atomic copy of it that readers see follows when an append is whole.
    pub(crate) end: u64,
    /// Bytes to keep for replicas that come back.
    pub(crate) limit: u64,
    /// Bytes allocated for chunks.
    pub(crate) allocated: u64,
    /// Oldest first, each ending where the next one starts; the last one is the writer's.
    chunks: VecDeque<Arc<Chunk>>,
    tail: Option<ChunkWriter>,
    readers: Vec<Position>,
    /// Dropped chunks, to be freed when the mutex is no longer held.
    garbage: Vec<Arc<Chunk>>,
}

impl Inner {
    pub(crate) fn new(limit: u64, identity: Identity) -> Inner {
        Inner {
            active: false,
            identity,
            stream_db: 0,
            select_next: true,
            end: 0,
            limit,
            allocated: 0,
            chunks: VecDeque::new(),
            tail: None,
            readers: Vec::new(),
            garbage: Vec::new(),
        }
    }

    /// Copies `bytes` to the end of the history.
    pub(crate) fn put(&mut self, mut bytes: &[u8]) {
        loop {
            if let Some(tail) = &mut self.tail {
                let count = tail.append(bytes);
                self.end += count as u64;
                bytes = &bytes[count..];
            }
            if bytes.is_empty() {
                return;
            }
            self.push(ChunkWriter::new(self.end, CHUNK));
        }
    }

    /// Makes `bytes` the end of the history without copying them.
    pub(crate) fn put_chunk(&mut self, bytes: Box<[u8]>) {
        let len = bytes.len() as u64;
        self.push(ChunkWriter::filled(self.end, bytes));
        self.end += len;
    }

    /// Space for `len` bytes at the end of the history, if they fit in the last chunk.
    #[inline]
    pub(crate) fn space(&mut self, len: usize) -> Option<&mut [u8]> {
        self.tail.as_mut()?.space().get_mut(..len)
    }

    /// `len` bytes of the space are written.
    #[inline]
    pub(crate) fn commit(&mut self, len: usize) {
        if let Some(tail) = &mut self.tail {
            tail.commit(len);
            self.end += len as u64;
        }
    }

    fn push(&mut self, writer: ChunkWriter) {
        self.trim();
        self.allocated += writer.chunk().capacity() as u64;
        self.chunks.push_back(Arc::clone(writer.chunk()));
        self.tail = Some(writer);
    }

    /// Drops chunks that neither the backlog nor a reader needs.
    pub(crate) fn trim(&mut self) {
        let oldest_reader = self.readers.iter().map(|at| at.load(Ordering::Acquire)).min();
        let backlog = self.end.saturating_sub(self.limit);
        let keep_from = oldest_reader.map_or(backlog, |at| at.min(backlog));
        while self.chunks.get(1).is_some_and(|next| next.start() <= keep_from) {
            let Some(chunk) = self.chunks.pop_front() else { break };
            self.allocated -= chunk.capacity() as u64;
            self.garbage.push(chunk);
        }
    }

    /// The chunks that were dropped. Freeing them may take long, so the caller does it without the
    /// mutex.
    pub(crate) fn take_garbage(&mut self) -> Vec<Arc<Chunk>> {
        std::mem::take(&mut self.garbage)
    }

    /// Forgets all bytes; the history goes on from `end`. Readers of the old bytes are cut off.
    pub(crate) fn reset(&mut self, end: u64) {
        self.garbage.extend(self.chunks.drain(..));
        self.tail = None;
        self.readers.clear();
        self.allocated = 0;
        self.stream_db = 0;
        self.select_next = true;
        self.end = end;
    }

    /// The oldest offset that is kept.
    pub(crate) fn first(&self) -> u64 {
        self.chunks.front().map_or(self.end, |chunk| chunk.start())
    }

    /// Checks that the history called `id` can be followed from `offset` on.
    pub(crate) fn check(&self, id: &crate::ReplId, offset: Offset) -> Result<(), CannotServe> {
        if !self.active {
            return Err(CannotServe::Inactive);
        }
        self.identity.covers(id, offset)?;
        let (first, end) = (Offset(self.first()), Offset(self.end));
        if offset < first || offset > end {
            return Err(CannotServe::NotInBacklog { first, end });
        }
        Ok(())
    }

    /// The chunk that holds the byte at `offset`, which lies before the end.
    pub(crate) fn chunk_at(&self, offset: u64) -> Option<Arc<Chunk>> {
        let after = self.chunks.partition_point(|chunk| chunk.start() <= offset);
        self.chunks.get(after.checked_sub(1)?).map(Arc::clone)
    }

    /// Adds a reader at `offset`, which must be kept.
    pub(crate) fn register(&mut self, offset: u64) -> Position {
        let position = Arc::new(AtomicU64::new(offset));
        self.readers.push(Arc::clone(&position));
        position
    }

    /// Removes a reader; nothing happens if a reset has done so already.
    pub(crate) fn unregister(&mut self, position: &Position) {
        self.readers.retain(|other| !Arc::ptr_eq(other, position));
    }

    pub(crate) fn reader_count(&self) -> usize {
        self.readers.len()
    }
}
