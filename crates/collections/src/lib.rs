//! The values of keys other than strings, and the structures they are made of.
//!
//! Each type has a compact form for a few small elements (a listpack, or an intset) and another for
//! many: a quicklist, a hash table, an ordered tree. The form decides memory and speed, and shows
//! in OBJECT ENCODING. The type changes it by itself, by thresholds that are arguments. No
//! operation copies a whole collection in order to read or change a part of it, and none does more
//! than a small bounded step of work at once in order to grow.
//!
//! The compact forms are byte for byte those of RDB files, so that a snapshot writes them as they
//! are; what comes from outside is checked once, when it is taken in (`from_bytes`).
//!
//! Deliberately not here: keys, slots, locks, commands, replies, clocks; file formats beyond the
//! compact forms.

pub mod capture;
mod collection;
mod double;
pub mod growth;
mod hash;
pub mod hasher;
mod list;
mod listpack;
pub mod lzf;
pub mod set;
pub mod sorted_set;
mod stream;
pub mod table;

pub use collection::{AGING, AnyCollection, Collection, Kind};
pub use double::{DoubleText, all_digits, parse_double, parse_double_lossy, whole};
pub use hash::{Changed, Expiry, FieldRef, Fields, Hash, HashLimits};
pub use hasher::seed;
pub use list::{Direction, End, List, ListBuilder, ListLimits, NodeRef, Quicklist, Side};
pub use listpack::{
    Corrupt, Digits, Element, Iter as ListpackIter, Listpack, Position, canonical_integer,
};
pub use set::{IntSet, Set};
pub use sorted_set::SortedSet;
pub use stream::{
    Consumer, ConsumerId, Entries, Group, GroupLoader, Groups, IdText, Keep, MAX_STREAM_COUNT,
    Pending, Range, RangeBack, Stream, StreamBody, StreamEntry, StreamHistory, StreamId,
    StreamLimits, StreamLoader, TooLarge,
};
