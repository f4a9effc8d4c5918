//! Values as plain data: the content of a file or payload, before collections are made of it.
//!
//! Compact forms (listpacks, intsets) stay the blobs that they are in the file, unchecked; the code
//! that takes them in checks them. Forms that Redis has given up (zipmaps, ziplists, scores as
//! text) are decoded while they are read.

mod encode;
mod parse;
mod stream;
mod strings;

pub(crate) use parse::parse_value;
pub use stream::{Consumer, Counters, Group, Pending, Stream, StreamId, StreamNode};
pub use strings::{Strings, StringsReader};

use tessera_slot::Millis;

/// A value that has been read.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// A string's bytes; numbers come as their decimal text.
    String(Vec<u8>),
    /// A list.
    List(List),
    /// A set.
    Set(Set),
    /// A hash.
    Hash(Hash),
    /// A sorted set.
    SortedSet(SortedSet),
    /// A stream.
    Stream(Box<Stream>),
}

/// A list, as it stands in the file.
#[derive(Clone, PartialEq, Debug)]
pub enum List {
    /// Element by element, or of ziplists.
    Elements(Strings),
    /// The nodes of a quicklist.
    Nodes(Vec<ListNode>),
}

/// A node of a quicklist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListNode {
    /// One large element.
    Plain(Vec<u8>),
    /// A listpack of elements.
    Packed(Vec<u8>),
}

/// A set, as it stands in the file.
#[derive(Clone, PartialEq, Debug)]
pub enum Set {
    /// Member by member.
    Members(Strings),
    /// An intset.
    Intset(Vec<u8>),
    /// A listpack of members.
    Listpack(Vec<u8>),
}

/// A sorted set, as it stands in the file. No score is NaN.
#[derive(Clone, PartialEq, Debug)]
pub enum SortedSet {
    /// Member by member, in any order.
    Members {
        /// The members.
        members: Strings,
        /// The scores, as many as members.
        scores: Vec<f64>,
    },
    /// A listpack of member, score, member, score …
    Listpack(Vec<u8>),
}

/// A hash, as it stands in the file.
#[derive(Clone, PartialEq, Debug)]
pub enum Hash {
    /// Field by field.
    Fields {
        /// Field, value, field, value …
        texts: Strings,
        /// When each field expires (`None`: never); empty if no field can expire.
        expiries: Vec<Option<Millis>>,
    },
    /// A listpack of field, value, field, value …
    Listpack(Vec<u8>),
    /// A listpack of field, value, expiry in Unix ms (0: never), field …
    ExpiringListpack {
        /// The earliest expiry, as the file says it; release candidates do not.
        next_expiry: Option<Millis>,
        /// The listpack.
        listpack: Vec<u8>,
    },
}
