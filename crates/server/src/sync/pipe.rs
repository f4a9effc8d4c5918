//! The way of a payload from the snapshot thread to one replica's connection.
//!
//! A pipe is bounded: the walk waits for its replica, but not for ever while others wait. Of a
//! replica that must know the payload's length first it holds nothing but the finished file.

use super::sink::Patience;
use super::spool::Spooled;
use crate::io::Mailbox;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use tessera_log::{Reader, ReplId};
use tessera_rdb::Version;

/// Bytes that a pipe holds at most before the walk waits for its replica.
pub(super) const PIPE_BYTES: usize = 8 << 20;

/// The beginning of a payload.
pub(crate) struct Start {
    pub(crate) id: ReplId,
    /// Stands at the moment of the snapshot.
    pub(crate) reader: Reader,
    /// The payload's length, where the replica must know it first.
    pub(crate) length: Option<u64>,
}

/// What a pipe gives next.
pub(crate) enum PipeContent {
    /// Nothing yet.
    Empty,
    /// Some bytes.
    Chunk(Arc<Vec<u8>>),
    /// The payload is complete.
    End,
    /// The payload will never be complete.
    Failed,
}

#[derive(Default)]
pub(super) struct PipeState {
    start: Option<(ReplId, Reader)>,
    pub(super) chunks: VecDeque<Arc<Vec<u8>>>,
    bytes: usize,
    /// The whole payload, for a replica that must know its length first.
    spooled: Option<Spooled>,
    ended: bool,
    failed: bool,
    closed: bool,
}

/// The way of a payload from the snapshot thread to one replica's connection.
pub(crate) struct Pipe {
    pub(super) state: Mutex<PipeState>,
    room: Condvar,
    /// The connection's thread.
    mailbox: Arc<Mailbox>,
    /// The replica must know the length first: it gets the payload once that is complete.
    pub(super) whole: bool,
    /// The newest version of the format that the replica reads for sure.
    pub(super) version: Version,
    /// Whether the payload has keys. Without them there is nothing in it, since there are no
    /// functions.
    pub(super) with_keys: bool,
}

impl Pipe {
    /// An empty pipe. `replica`: the replica's version, if it said so. `whole`: it must know the
    /// length first.
    pub(super) fn new(
        whole: bool,
        with_keys: bool,
        replica: Option<[u8; 3]>,
        mailbox: Arc<Mailbox>,
    ) -> Pipe {
        let (state, room, version) = (Mutex::default(), Condvar::new(), newest_read_by(replica));
        Pipe { state, room, mailbox, whole, version, with_keys }
    }

    /// The payload's start, once it is known; an error if there will be none.
    pub(crate) fn take_start(&self) -> Option<Result<Start, ()>> {
        let mut state = self.state.lock();
        if state.failed {
            return Some(Err(()));
        }
        if self.whole && !state.ended {
            return None;
        }
        let length = state.spooled.as_ref().map(|spooled| spooled.length);
        state.start.take().map(|(id, reader)| Ok(Start { id, reader, length }))
    }

    /// Bytes of the log that are kept for the replica, which has not been told of its start yet.
    pub(crate) fn lag(&self) -> u64 {
        self.state.lock().start.as_ref().map_or(0, |(_, reader)| reader.lag())
    }

    /// The next piece.
    pub(crate) fn next(&self) -> PipeContent {
        let mut state = self.state.lock();
        if let Some(chunk) = state.chunks.pop_front() {
            state.bytes -= chunk.len();
            self.room.notify_one();
            return PipeContent::Chunk(chunk);
        }
        let is_over = match (state.failed, state.ended) {
            (true, _) => PipeContent::Failed,
            (false, true) => PipeContent::End,
            (false, false) => PipeContent::Empty,
        };
        let Some(mut spooled) = state.spooled.take() else { return is_over };
        // Reading may block. Only this replica's connection reads, and only it closes the pipe.
        drop(state);
        match spooled.next() {
            Ok(None) => is_over,
            Ok(Some(piece)) => {
                self.state.lock().spooled = Some(spooled);
                PipeContent::Chunk(Arc::new(piece))
            }
            Err(error) => {
                tracing::error!("The payload for a replica cannot be read back: {error}");
                PipeContent::Failed
            }
        }
    }

    /// The replica is gone.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.chunks.clear();
        state.spooled = None;
        self.room.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    pub(super) fn start_at(&self, id: ReplId, reader: Reader) {
        self.state.lock().start = Some((id, reader));
        self.mailbox.wake();
    }

    /// Adds a chunk, waiting for room. A replica that has taken nothing for as long as its patience
    /// lasts is given up if somebody else waits. False if the replica is gone, or is given up.
    pub(super) fn add(&self, chunk: &Arc<Vec<u8>>, patience: &Patience<'_>) -> bool {
        let mut state = self.state.lock();
        while !state.closed && state.bytes >= PIPE_BYTES {
            let is_late = self.room.wait_for(&mut state, patience.stall).timed_out();
            if is_late && state.bytes >= PIPE_BYTES && (patience.others_wait)() {
                state.failed = true;
                state.closed = true;
                state.chunks.clear();
                drop(state);
                self.mailbox.wake();
                tracing::warn!("A replica takes nothing of its payload: it must ask for another");
                return false;
            }
        }
        if state.closed {
            return false;
        }
        state.bytes += chunk.len();
        state.chunks.push_back(Arc::clone(chunk));
        drop(state);
        self.mailbox.wake();
        true
    }

    /// Nothing more comes. `spooled`: the payload of those who wait for its length.
    pub(super) fn finish(&self, complete: bool, spooled: Option<&Spooled>) {
        let mut state = self.state.lock();
        if self.whole {
            state.spooled = spooled.filter(|_| complete && !state.closed).cloned();
            state.failed |= state.spooled.is_none();
        }
        state.failed |= !complete;
        state.ended = !state.failed;
        drop(state);
        self.mailbox.wake();
    }
}

/// The newest version of the format that every replica of this version reads: 11, which has the
/// times at which consumers of streams were active, since 7.2. Redis 7.0 does not say its version,
/// and reads no more than 10.
fn newest_read_by(replica: Option<[u8; 3]>) -> Version {
    match replica {
        Some(replica) if replica >= [7, 2, 0] => Version::V11,
        _ => Version::V10,
    }
}
