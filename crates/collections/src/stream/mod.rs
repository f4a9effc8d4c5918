//! The stream: entries with fields and values, in the order of their ids, and groups of consumers
//! who share them.
//!
//! Entries stand in nodes of some hundred (`node.rs` has the format, which is that of RDB files),
//! nodes in a two-level array (`nodes.rs`). A deleted entry is only marked; its node goes when all
//! of its entries are deleted. The stream's history is five words (`entries.rs`), from which groups
//! compute their lag (`group.rs`). A stream can be read in steps as it stood at one moment, while
//! it is changed (`capture.rs`).

mod capture;
mod entries;
mod entry;
mod group;
mod group_capture;
mod groups;
mod id;
mod load;
mod node;
mod nodes;
mod range;
mod walk;

pub use entries::{Entries, Keep, StreamLimits, TooLarge};
pub use entry::StreamEntry;
pub use group::{Consumer, ConsumerId, Group, Pending};
pub use groups::Groups;
pub use id::{IdText, StreamId};
pub use load::{GroupLoader, StreamHistory, StreamLoader};
pub use range::{Range, RangeBack};

use crate::capture::{Part, Remains};
use crate::collection::{Collection, Kind};
use crate::hasher::HashCode;
use crate::table::prefetch_start;
use capture::Step;
use std::fmt::{self, Debug};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// A stream: one word, which stands for a [`StreamBody`].
pub struct Stream(NonNull<StreamBody>);

/// The parts of a stream. The parts can be borrowed one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamBody {
    /// The entries.
    pub entries: Entries,
    /// The consumer groups by their names.
    pub groups: Groups,
}

// SAFETY: a stream owns its body.
unsafe impl Send for Stream {}
// SAFETY: shared access only reads.
unsafe impl Sync for Stream {}

impl Stream {
    /// An empty stream.
    pub fn new() -> Stream {
        Stream::of(StreamBody::default())
    }

    fn of(body: StreamBody) -> Stream {
        Stream(NonNull::from(Box::leak(Box::new(body))))
    }
}

impl Default for Stream {
    fn default() -> Stream {
        Stream::new()
    }
}

impl Deref for Stream {
    type Target = StreamBody;
    #[inline]
    fn deref(&self) -> &StreamBody {
        // SAFETY: the pointer came from a box, and is the stream's own.
        unsafe { self.0.as_ref() }
    }
}

impl DerefMut for Stream {
    #[inline]
    fn deref_mut(&mut self) -> &mut StreamBody {
        // SAFETY: as in `deref`; `self` is borrowed mutably.
        unsafe { self.0.as_mut() }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a box; it is not used any more.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl Clone for Stream {
    fn clone(&self) -> Stream {
        Stream::of(StreamBody::clone(self))
    }
}

impl PartialEq for Stream {
    fn eq(&self, other: &Stream) -> bool {
        **self == **other
    }
}

impl Eq for Stream {}

impl Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(&**self, f)
    }
}

impl StreamBody {
    /// The nodes as RDB files have them: the first id of each, and its listpack.
    pub fn nodes(&self) -> impl Iterator<Item = (StreamId, &[u8])> {
        self.entries.nodes.iter().map(|node| (node.first, node.listpack.as_bytes()))
    }

    fn bytes_of_nodes(&self, samples: usize) -> usize {
        let nodes = self.entries.nodes.len();
        let looked_at = if samples == 0 { nodes } else { samples.min(nodes) };
        let bytes: usize =
            self.entries.nodes.iter().take(looked_at).map(|node| node.listpack.memory()).sum();
        if looked_at < nodes { bytes / looked_at * nodes } else { bytes }
    }
}

/// The largest number that a counter of a stream or its groups has: clients see them as signed
/// numbers.
pub const MAX_STREAM_COUNT: u64 = i64::MAX as u64;

/// The number of the only form in an entry.
const FORM: u8 = 0;

// SAFETY: the pointer goes in as it came out.
unsafe impl Collection for Stream {
    const KIND: Kind = Kind::Stream;

    #[inline]
    fn into_parts(self) -> (u8, NonNull<u8>) {
        (FORM, std::mem::ManuallyDrop::new(self).0.cast())
    }

    #[inline]
    unsafe fn from_parts(form: u8, pointer: NonNull<u8>) -> Stream {
        debug_assert_eq!(form, FORM);
        Stream(pointer.cast())
    }

    fn len(&self) -> usize {
        self.entries.len() as usize
    }

    fn memory(&self, samples: usize) -> usize {
        size_of::<StreamBody>()
            + self.bytes_of_nodes(samples)
            + self.entries.nodes.memory()
            + self.groups.memory(samples)
    }

    fn free_effort(&self) -> usize {
        let pending: usize = self.groups.values().map(|group| group.pending() / 4 + 1).sum();
        self.entries.nodes.len() + pending
    }

    fn extent(&self) -> usize {
        // Ids only grow; with a limit to its length a stream has as many entries as before.
        self.entries.added() as usize + self.len()
    }

    fn fit(&mut self) {
        self.entries.fit();
    }

    fn is_capturable(&self) -> bool {
        true
    }

    fn begin_capture(&mut self) {
        let groups = self.groups.len() as u64;
        self.entries.begin_capture(groups);
        self.groups.begin_capture();
    }

    fn capture_step(&mut self, budget: usize, see: &mut dyn FnMut(Part<'_>)) -> bool {
        let mut step = Step::new(budget, see);
        let is_all = self.entries.show_captured(&mut step) && self.groups.show_captured(&mut step);
        !is_all
    }

    fn end_capture(&mut self) -> Remains {
        // The groups are captured as long as the stream is.
        let groups = self.groups.end_capture();
        Remains::of(groups.map(|groups| Box::new((self.entries.end_capture(), groups))))
    }

    fn encoding(&self) -> &'static str {
        "stream"
    }

    fn prefetch(&self, _: u8, _: HashCode) -> bool {
        prefetch_start(self.0.as_ptr().cast());
        false
    }
}

#[cfg(test)]
mod capture_tests;
#[cfg(test)]
mod tests;
