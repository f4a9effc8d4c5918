//! The keyspace: 16,384 slots, each with its own mutex, state and tables.
//!
//! How it works: a key's [`KeyHash`] names its slot; [`World::lock`] locks that slot; the guard
//! finds, inserts and removes entries of one of the databases. An entry is one allocation with key,
//! expiry and a small value together (`entry.rs`); a table is a linear hash table of cache-line
//! buckets that grows a bucket at a time (`tessera_collections::table`). A [`Snapshot`] walks all
//! slots while writers go on: a writer that is about to change an entry which the walk has not
//! reached hands it over first.
//!
//! The lock order is in the types: a [`World`] comes first, and only one guard of slots can be
//! taken from it at a time; [`World::lock_many_within`] sorts. A thread that serves clients waits
//! for a lock only for as long as its [`Patience`] lasts.
//!
//! Deliberately not here: commands, file formats, clocks, threads. Values other than strings are
//! `tessera_collections`'. Everything public is safe to use.

mod access;
mod alloc;
mod discard;
mod entry;
mod growth;
mod hash;
mod held;
mod keyspace;
mod lookup;
mod marks;
mod patience;
mod rest;
mod sample;
mod scan;
mod slot;
mod snapshot;

pub use access::Lfu;
pub use alloc::{
    CountingAlloc, HUGE_PAGES, allocator_report, give_back_freed, taken_by_thread, used_memory,
};
pub use discard::Discards;
pub use entry::{CollectionMut, CollectionRef, Entry, NewValue, StringRef, Value};
pub use growth::make_room;
pub use hash::{KeyHash, MemberHash};
pub use held::assert_unlocked;
pub use keyspace::{
    AllSlots, Flushed, Interrupted, Keyspace, KeyspaceOptions, Placement, World, WorldExclusive,
};
pub use lookup::{Found, Lookup, Vacant};
pub use marks::{Version, WaiterId};
pub use patience::{Busy, Counted, Patience};
pub use sample::{Among, Survey};
pub use scan::ScanCursor;
pub use slot::{ManySlots, SlotGuard};
pub use snapshot::{LargeHead, Shown, Snapshot, SnapshotBusy, SnapshotSink};
pub use tessera_collections::canonical_integer;
