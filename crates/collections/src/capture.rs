//! Reading a large value in steps as it stood at one moment, while it is changed.
//!
//! A capture begins at once, whatever the size of the value. From then on it is read a step at a
//! time, and a change of a part that is still to be read puts the old one aside first. So memory
//! grows with what is changed meanwhile, and no change costs more than its own part. Each part is
//! shown exactly once. Lists and streams come in their order, hashes and sets in any, sorted sets
//! nearly from the last member to the first.
//!
//! Deliberately not here: which values are large enough for it, and how parts are written.

use crate::listpack::Element;
use crate::{NodeRef, StreamHistory, StreamId};

/// A part of a value, in the order in which RDB files have them: first the number of nodes, members
/// or fields, then these. A stream has the number of nodes, the nodes, the history, then each group
/// with its pending entries, and its consumers with the ids that each has.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    /// How many nodes, members or fields follow.
    Length(u64),
    /// A node of a list.
    ListNode(NodeRef<'a>),
    /// A member of a set.
    Member(&'a [u8]),
    /// A field of a hash.
    Field {
        /// Its name.
        name: Element<'a>,
        /// Its value.
        value: Element<'a>,
        /// When it expires, Unix ms.
        expiry: Option<u64>,
    },
    /// A member of a sorted set.
    Scored {
        /// The member.
        member: &'a [u8],
        /// Its score.
        score: f64,
    },
    /// A node of a stream.
    Node {
        /// The id to which those of its entries are relative.
        first: StreamId,
        /// Its listpack.
        listpack: &'a [u8],
    },
    /// The history of a stream, and how many groups follow.
    History {
        /// The history.
        history: StreamHistory,
        /// The id of the first entry that is still there.
        first_id: StreamId,
        /// How many groups follow.
        groups: u64,
    },
    /// A group of a stream.
    Group {
        /// Its name.
        name: &'a [u8],
        /// The last id that was delivered.
        last_id: StreamId,
        /// How many entries it has read, if that is known.
        entries_read: Option<u64>,
        /// How many entries that are not acknowledged follow.
        pending: u64,
    },
    /// An entry that was delivered and not acknowledged.
    Pending {
        /// Its id.
        id: StreamId,
        /// When it was delivered last, Unix ms.
        time: i64,
        /// How often it was delivered.
        count: u64,
    },
    /// How many consumers of the group follow.
    Consumers(u64),
    /// A consumer.
    Consumer {
        /// Its name.
        name: &'a [u8],
        /// When it last asked for anything, Unix ms.
        seen: i64,
        /// When it last got anything, Unix ms.
        active: Option<i64>,
        /// How many ids follow.
        pending: u64,
    },
    /// The id of an entry that the consumer has not acknowledged.
    Owned(StreamId),
}

/// The cost of passing over a part that is not shown.
pub(crate) const LEFT_OUT: usize = 32;

impl Part<'_> {
    /// Shows it. Gives its cost.
    pub(crate) fn show(self, see: &mut dyn FnMut(Part<'_>)) -> usize {
        let cost = self.cost();
        see(self);
        cost
    }

    /// About how many bytes of work it is to show it.
    pub(crate) fn cost(&self) -> usize {
        /// The cost of a part of any length.
        const EACH: usize = 32;
        EACH + match self {
            Part::ListNode(NodeRef::Packed(listpack)) => listpack.byte_len(),
            Part::ListNode(NodeRef::Plain(text)) | Part::Member(text) => text.len(),
            Part::Field { name, value, .. } => name.text_len() + value.text_len(),
            Part::Scored { member, .. } => member.len(),
            Part::Node { listpack, .. } => listpack.len(),
            Part::Group { name, .. } | Part::Consumer { name, .. } => name.len(),
            _ => 0,
        }
    }
}

/// The remains of a capture that has ended. They may take long to free: nothing should be locked
/// when they are dropped.
#[must_use = "it is to be dropped when nothing is locked"]
pub struct Remains(#[allow(dead_code)] Option<Box<dyn Send>>);

impl Remains {
    /// There was no capture.
    pub fn none() -> Remains {
        Remains(None)
    }

    /// The remains of a capture, or nothing.
    pub(crate) fn of<T: Send + 'static>(what: Option<Box<T>>) -> Remains {
        Remains(what.map(|what| what as Box<dyn Send>))
    }
}
