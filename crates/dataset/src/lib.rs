//! The keyspace as RDB, in both directions: the bridge between `store`, which knows no file format,
//! and `rdb`, which knows no keyspace.
//!
//! [`Payload`] writes the value of an entry, straight from its encoding; [`SnapshotEncoder`] writes
//! what a snapshot shows, entry by entry and, of large values, part by part. [`take_in`] makes a
//! value of what a file holds, and [`load`] fills a keyspace from a whole file or stream.
//!
//! Whoever saves, synchronises a replica, reloads, or answers DUMP and RESTORE uses these. Nothing
//! here knows which of them it is.
//!
//! Deliberately not here: the format itself (`rdb`), when a snapshot is taken and where its bytes
//! go (`server`), files, sockets, clocks, threads.

mod load;
mod snapshot;
mod value;

pub use load::{Existing, LoadError, LoadOptions, Loaded, Notice, Target, load};
pub use snapshot::{EncodedBatch, EntryFormat, PreservedEntries, SnapshotEncoder};
pub use value::{CollectionPayload, Payload, Refused, Thresholds, take_in};
