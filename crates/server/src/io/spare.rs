//! What the connections of a thread share: its empty buffers, and how much was sent.

use crate::stream::Sent;

/// A buffer of so many bytes that a peer does not take is put by as it is, and is freed by another
/// thread.
pub(super) const PIECE: usize = 1 << 20;
/// Buffers that have grown beyond this are given back to the allocator when they are empty.
pub(super) const KEEP_BUFFER: usize = 64 * 1024;

/// What a thread has sent in this turn, and its counters do not have yet.
#[derive(Clone, Copy, Default)]
pub(crate) struct TurnSent {
    /// To clients.
    pub(crate) to_clients: Sent,
    /// To replicas.
    pub(crate) to_replicas: Sent,
}

/// What the connections of a thread share. Small buffers serve the next connection, large ones wait
/// to be freed elsewhere.
#[derive(Default)]
pub(crate) struct Spare {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    pub(crate) sent: TurnSent,
}

impl Spare {
    /// An empty buffer, if there is one.
    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        self.small.pop()
    }

    /// Takes a buffer back, and nothing of what it held.
    pub(super) fn give_back(&mut self, mut buffer: Vec<u8>) {
        const SPARE: usize = 128;
        buffer.clear();
        if buffer.capacity() >= PIECE {
            self.large.push(buffer);
        } else if (1..=KEEP_BUFFER).contains(&buffer.capacity()) && self.small.len() < SPARE {
            // One without room would be taken in place of one that has some.
            self.small.push(buffer);
        }
    }

    /// How many buffers wait to be used.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.small.len()
    }

    /// The large ones, to be freed.
    pub(super) fn take_large(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.large)
    }
}
