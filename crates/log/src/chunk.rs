//! A piece of the history: bytes that one writer appends while others read those before them.
//!
//! | part | what |
//! | --- | --- |
//! | `start` | the offset of the first byte in the history |
//! | `committed` | one atomic number: this many bytes are there, and will never change again |
//! | `bytes` | 64 KiB, or exactly one large append that was encoded elsewhere |
//!
//! This is the one place of the crate with `unsafe`. The reason: with the mutex around the bytes,
//! each reader's write to its socket, or its copy for it, would stop every writer of the node. The
//! example `append_cost` measures an append beside a reader.

use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of the history from `start` on. The bytes before `committed` never change again.
pub(crate) struct Chunk {
    start: u64,
    committed: AtomicUsize,
    bytes: Box<[UnsafeCell<u8>]>,
}

// SAFETY: the bytes below `committed` are only read, by anyone; those from `committed` on are only
// touched by the one `ChunkWriter` of this chunk, through `&mut`. `committed` grows with release
// order after the bytes are written and is loaded with acquire order before they are read.
unsafe impl Sync for Chunk {}

impl Chunk {
    /// Offset of the first byte.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// How many bytes fit.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes that are there.
    pub(crate) fn committed(&self) -> &[u8] {
        let len = self.committed.load(Ordering::Acquire);
        // SAFETY: `len` never exceeds the capacity, all bytes were initialised at creation, and no
        // byte below `committed` is ever written again while the chunk lives.
        unsafe { std::slice::from_raw_parts(self.bytes.as_ptr().cast::<u8>(), len) }
    }
}

/// The right to append to a chunk. There is one per chunk, and it cannot be cloned.
pub(crate) struct ChunkWriter {
    chunk: Arc<Chunk>,
}

impl ChunkWriter {
    /// A new chunk for `capacity` bytes of the history from `start` on.
    pub(crate) fn new(start: u64, capacity: usize) -> ChunkWriter {
        ChunkWriter::of(start, vec![0; capacity].into_boxed_slice(), 0)
    }

    /// A chunk that is full already: these bytes of the history, from `start` on.
    pub(crate) fn filled(start: u64, bytes: Box<[u8]>) -> ChunkWriter {
        let len = bytes.len();
        ChunkWriter::of(start, bytes, len)
    }

    fn of(start: u64, bytes: Box<[u8]>, committed: usize) -> ChunkWriter {
        let committed = AtomicUsize::new(committed);
        let bytes = Box::into_raw(bytes) as *mut [UnsafeCell<u8>];
        // SAFETY: `UnsafeCell<u8>` has the layout of `u8`, and the box was just released.
        let bytes = unsafe { Box::from_raw(bytes) };
        ChunkWriter { chunk: Arc::new(Chunk { start, committed, bytes }) }
    }

    /// The chunk, for readers.
    pub(crate) fn chunk(&self) -> &Arc<Chunk> {
        &self.chunk
    }

    /// The bytes that are still free.
    #[inline]
    pub(crate) fn space(&mut self) -> &mut [u8] {
        // Relaxed: only this writer changes the number, so it needs no order with itself.
        let at = self.chunk.committed.load(Ordering::Relaxed);
        let free = self.chunk.bytes.len() - at;
        // SAFETY: `at + free` is the capacity, and all bytes were initialised at creation. No
        // reader looks at bytes from `committed` on, and no other code writes: this is the only
        // writer, borrowed mutably as long as the slice lives.
        unsafe {
            let first = self.chunk.bytes.as_ptr().cast::<u8>().cast_mut().add(at);
            std::slice::from_raw_parts_mut(first, free)
        }
    }

    /// Makes the first `count` bytes of the space readable. They are fixed from now on.
    #[inline]
    pub(crate) fn commit(&mut self, count: usize) {
        let at = self.chunk.committed.load(Ordering::Relaxed);
        assert!(count <= self.chunk.bytes.len() - at, "committed more than the chunk holds");
        self.chunk.committed.store(at + count, Ordering::Release);
    }

    /// Appends as much of `bytes` as fits and returns how much that was.
    #[inline]
    pub(crate) fn append(&mut self, bytes: &[u8]) -> usize {
        let space = self.space();
        let count = bytes.len().min(space.len());
        space[..count].copy_from_slice(&bytes[..count]);
        self.commit(count);
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_up_and_keeps_what_was_read() {
        let mut writer = ChunkWriter::new(100, 8);
        let chunk = Arc::clone(writer.chunk());
        assert_eq!(chunk.committed(), b"");
        assert_eq!(writer.append(b"hello"), 5);
        let early = chunk.committed();
        assert_eq!(writer.append(b"world"), 3);
        assert_eq!(writer.append(b"more"), 0);
        assert_eq!(early, b"hello");
        assert_eq!(chunk.committed(), b"hellowor");
        assert_eq!((chunk.start(), chunk.capacity()), (100, 8));
        let mut full = ChunkWriter::filled(108, b"rld".to_vec().into_boxed_slice());
        assert_eq!(full.append(b"x"), 0);
        assert_eq!(full.chunk().committed(), b"rld");
    }

    #[test]
    fn a_reader_on_another_thread_sees_whole_prefixes() {
        let mut writer = ChunkWriter::new(0, 10_000);
        let chunk = Arc::clone(writer.chunk());
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for number in 0..10_000u32 {
                    writer.append(&[number as u8]);
                }
            });
            let mut seen = 0;
            while seen < 10_000 {
                let bytes = chunk.committed();
                assert!(bytes.len() >= seen);
                for (at, byte) in bytes.iter().enumerate().skip(seen) {
                    assert_eq!(*byte, at as u8);
                }
                seen = bytes.len();
            }
        });
    }
}
