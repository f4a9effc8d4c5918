//! A node: some hundred entries in a listpack, in the format of Redis, so that RDB files take it as
//! it is.
//!
//! The listpack begins with the master entry, whose fields entries need not repeat:
//!
//! | element | what |
//! | --- | --- |
//! | count | entries which are not deleted |
//! | deleted | entries which are |
//! | number of fields | of the master entry |
//! | its fields | |
//! | 0 | where walking backwards ends |
//!
//! Then the entries, each:
//!
//! | element | what |
//! | --- | --- |
//! | flags | 1: deleted; 2: the fields are the master entry's |
//! | milliseconds, sequence | of its id, less those of the node's first id |
//! | number of fields | only if the fields are its own |
//! | fields and values | or only the values |
//! | elements | how many there are before this one, for walking backwards |

use super::entry::StreamEntry;
use super::id::StreamId;
use crate::listpack::{Element, Iter, Listpack, Position};

pub(super) const DELETED: i64 = 1;
pub(super) const SAME_FIELDS: i64 = 2;

/// Some hundred entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// The id that those of the entries are counted from: the first entry's, even if that is
    /// deleted.
    pub(super) first: StreamId,
    pub(super) listpack: Listpack,
}

/// The master entry, read.
#[derive(Clone)]
pub(super) struct Head<'a> {
    pub(super) live: u64,
    pub(super) deleted: u64,
    /// The number of fields.
    pub(super) len: usize,
    /// From the first field on.
    pub(super) fields: Iter<'a>,
    /// From the first entry on.
    pub(super) entries: Iter<'a>,
}

/// An entry, and whether it is deleted.
pub(super) struct Raw<'a> {
    pub(super) entry: StreamEntry<'a>,
    pub(super) flags: i64,
}

/// The position of an entry in its node, and its flags. It is good until the node is changed.
pub(super) type Place = (Position, i64);

/// The next element, which is an integer: nodes are checked when they are taken in.
#[inline]
fn integer(iter: &mut Iter<'_>) -> i64 {
    match iter.next() {
        Some(Element::Integer(number)) => number,
        other => unreachable!("a node has an integer here: {other:?}"),
    }
}

impl Node {
    /// A node without entries. `None`: the fields do not fit into a listpack.
    pub(super) fn new<'e>(
        first: StreamId,
        len: usize,
        fields: impl Iterator<Item = &'e [u8]> + Clone,
    ) -> Option<Node> {
        let mut listpack = Listpack::new();
        let head = [0, 0, len as i64].map(Element::Integer).into_iter();
        let fields = fields.map(Element::Bytes);
        listpack
            .extend(head.chain(fields).chain([Element::Integer(0)]))
            .then_some(Node { first, listpack })
    }

    /// Its first id and its listpack.
    pub(super) fn parts(&self) -> (&StreamId, &Listpack) {
        (&self.first, &self.listpack)
    }

    /// The master entry.
    #[inline]
    pub(super) fn head(&self) -> Head<'_> {
        let mut iter = self.listpack.iter();
        let (live, deleted) = (integer(&mut iter) as u64, integer(&mut iter) as u64);
        let len = integer(&mut iter) as usize;
        let fields = iter.clone();
        iter.skip_elements(len + 1);
        Head { live, deleted, len, fields, entries: iter }
    }

    /// Entries which are not deleted.
    pub(super) fn live(&self) -> u64 {
        integer(&mut self.listpack.iter()) as u64
    }

    /// The entry at `iter`, which is moved behind it.
    #[inline]
    pub(super) fn read<'a>(
        first: StreamId,
        head: &Head<'a>,
        iter: &mut Iter<'a>,
    ) -> Option<Raw<'a>> {
        iter.place()?;
        let flags = integer(iter);
        let id = first.plus(integer(iter), integer(iter));
        let own = flags & SAME_FIELDS == 0;
        let len = if own { integer(iter) as usize } else { head.len };
        let fields = (!own).then(|| head.fields.clone());
        let entry = StreamEntry { id, len, fields, values: iter.clone() };
        iter.skip_elements(if own { len * 2 + 1 } else { len + 1 });
        Some(Raw { entry, flags })
    }

    /// The beginning of the entry whose last element is at `end`; `None`: that belongs to the
    /// master entry.
    pub(super) fn start_of(&self, end: Position) -> Option<Position> {
        let Element::Integer(count) = self.listpack.get(end) else {
            unreachable!("a node has an integer here")
        };
        let mut at = end;
        for _ in 0..count {
            at = self.listpack.prev(at)?;
        }
        (count > 0).then_some(at)
    }

    /// Adds an entry. False: it does not fit into the listpack, and nothing was changed.
    pub(super) fn append<'e>(
        &mut self,
        id: StreamId,
        len: usize,
        pairs: impl Iterator<Item = (&'e [u8], &'e [u8])> + Clone,
    ) -> bool {
        let head = self.head();
        let live = head.live;
        let same = head.len == len
            && head.fields.zip(pairs.clone()).all(|(old, (new, _))| old == Element::of(new));
        let (ms, seq) = id.minus(self.first);
        let number = Element::Integer;
        let fits = if same {
            let start = [SAME_FIELDS, ms, seq].map(number).into_iter();
            let values = pairs.map(|(_, value)| Element::Bytes(value));
            let end = [number(len as i64 + 3)];
            self.listpack.extend(start.chain(values).chain(end))
        } else {
            let start = [0, ms, seq, len as i64].map(number).into_iter();
            let pairs = pairs.flat_map(|(field, value)| [field, value]).map(Element::Bytes);
            let end = [number(len as i64 * 2 + 4)];
            self.listpack.extend(start.chain(pairs).chain(end))
        };
        if fits {
            self.set_count(0, live + 1);
        }
        fits
    }

    /// Sets the number of entries (0) or of deleted ones (1).
    fn set_count(&mut self, which: i64, count: u64) {
        let at = self.listpack.seek(which).expect("a node has a master entry");
        self.listpack.replace_integer(at, count as i64);
    }

    /// The entries that are not deleted, from the first on, as long as `which` says so: to be given
    /// to [`Node::delete`].
    pub(super) fn find_while(&self, mut which: impl FnMut(StreamId) -> bool) -> Vec<Place> {
        let (head, mut found) = (self.head(), Vec::new());
        let mut iter = head.entries.clone();
        while let Some(at) = iter.place() {
            let raw = Node::read(self.first, &head, &mut iter).expect("there is a position");
            if raw.flags & DELETED != 0 {
                continue;
            }
            if !which(raw.entry.id) {
                break;
            }
            found.push((at, raw.flags));
        }
        found
    }

    /// An entry that is not deleted: to be given to [`Node::delete`].
    pub(super) fn find(&self, id: StreamId) -> Option<Place> {
        let head = self.head();
        let mut iter = head.entries.clone();
        while let Some(at) = iter.place() {
            let raw = Node::read(self.first, &head, &mut iter).expect("there is a position");
            if raw.entry.id >= id {
                let is_there = raw.entry.id == id && raw.flags & DELETED == 0;
                return is_there.then_some((at, raw.flags));
            }
        }
        None
    }

    /// Marks entries that were found as deleted.
    pub(super) fn delete(&mut self, entries: &[Place]) {
        let (head, count) = (self.head(), entries.len() as u64);
        let (live, deleted) = (head.live - count, head.deleted + count);
        for &(at, flags) in entries {
            // Flags are one byte, marked or not: positions stay.
            self.listpack.replace_integer(at, flags | DELETED);
        }
        self.set_count(0, live);
        self.set_count(1, deleted);
    }

    /// The id of the first entry, deleted or not.
    pub(super) fn first_id(&self) -> StreamId {
        let head = self.head();
        let raw = Node::read(self.first, &head, &mut head.entries.clone());
        raw.map_or(self.first, |raw| raw.entry.id)
    }

    /// The id of the last entry, deleted or not.
    pub(super) fn last_id(&self) -> StreamId {
        let start = self.listpack.last().and_then(|end| self.start_of(end));
        let head = self.head();
        let raw =
            start.and_then(|at| Node::read(self.first, &head, &mut self.listpack.iter_from(at)));
        raw.map_or(self.first, |raw| raw.entry.id)
    }
}
