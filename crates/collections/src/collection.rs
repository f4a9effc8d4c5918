//! The common ground of all collections: how an entry of the keyspace keeps one in a byte and a
//! word.

use crate::capture::{Part, Remains};
use crate::hasher::HashCode;
use crate::{Hash, List, Set, SortedSet, Stream};
use std::fmt::Debug;
use std::ptr::NonNull;

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A string.
    String = 0,
    /// A list.
    List = 1,
    /// A set.
    Set = 2,
    /// A hash.
    Hash = 3,
    /// A sorted set.
    SortedSet = 4,
    /// A stream.
    Stream = 5,
}

impl Kind {
    /// The name that TYPE answers.
    pub fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::List => "list",
            Kind::Set => "set",
            Kind::Hash => "hash",
            Kind::SortedSet => "zset",
            Kind::Stream => "stream",
        }
    }
}

/// The number of the form of a collection that has elements which expire; no other form has this
/// number. So an entry knows without looking at the collection.
pub const AGING: u8 = 7;

/// A value with elements. Moving it is cheap: it owns one pointer.
///
/// # Safety
/// `from_parts` makes of the parts what `into_parts` was given; forms are below 8.
pub unsafe trait Collection:
    Sized + Clone + Debug + Send + Sync + Into<AnyCollection>
{
    /// Its type.
    const KIND: Kind;

    /// Takes it apart: which of its forms it has, and the pointer it owns.
    fn into_parts(self) -> (u8, NonNull<u8>);

    /// Puts it together again.
    ///
    /// # Safety
    /// The parts came from `into_parts`. If several are made of one pointer, only one of them may
    /// be dropped or changed, and none used after that.
    unsafe fn from_parts(form: u8, pointer: NonNull<u8>) -> Self;

    /// The number of elements (of a hash: of fields).
    fn len(&self) -> usize;

    /// Whether there are none: then the key is to be deleted, unless it is a stream.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory, without the entry that holds it. It may be estimated from `samples`
    /// elements of a large collection; 0: all are looked at.
    fn memory(&self, samples: usize) -> usize;

    /// About how many allocations are freed when it is dropped: much is left to the background.
    fn free_effort(&self) -> usize;

    /// A number that is most likely another one after the collection has grown or shrunk.
    fn extent(&self) -> usize;

    /// Gives up the room that compact forms have to grow, where it is much: for what has come to
    /// rest.
    fn fit(&mut self);

    /// Whether it can be captured ([`crate::capture`]). Compact forms cannot: what is one block is
    /// read at once.
    fn is_capturable(&self) -> bool;

    /// Begins a capture. A copy of the value is not captured.
    ///
    /// # Panics
    /// If it cannot be captured, or is already.
    fn begin_capture(&mut self);

    /// Shows the next parts, of about `budget` bytes; none, if much is passed over that is not to
    /// be shown. False: these were the last.
    ///
    /// # Panics
    /// If it is not captured.
    fn capture_step(&mut self, budget: usize, see: &mut dyn FnMut(Part<'_>)) -> bool;

    /// Ends the capture, if there is one, whether all parts were shown or not.
    fn end_capture(&mut self) -> Remains;

    /// The name of the encoding, as OBJECT ENCODING answers it.
    fn encoding(&self) -> &'static str;

    /// Prefetches what a command on this member, or at the ends where there are none, is going to
    /// read, a step further with each call, from step 0 on: a step reads only what those before it
    /// have asked for. False: there is nothing more to ask for.
    fn prefetch(&self, step: u8, member: HashCode) -> bool;
}

/// A collection of any type.
#[derive(Debug, Clone)]
pub enum AnyCollection {
    /// A list.
    List(List),
    /// A set.
    Set(Set),
    /// A hash.
    Hash(Hash),
    /// A sorted set.
    SortedSet(SortedSet),
    /// A stream.
    Stream(Stream),
}

/// Runs the same expression for whichever type it is.
macro_rules! for_any {
    ($any:expr, $collection:ident => $do:expr) => {
        match $any {
            AnyCollection::List($collection) => $do,
            AnyCollection::Set($collection) => $do,
            AnyCollection::Hash($collection) => $do,
            AnyCollection::SortedSet($collection) => $do,
            AnyCollection::Stream($collection) => $do,
        }
    };
}

fn kind_of<T: Collection>(_: &T) -> Kind {
    T::KIND
}

impl AnyCollection {
    /// Its type.
    pub fn kind(&self) -> Kind {
        for_any!(self, collection => kind_of(collection))
    }

    /// As [`Collection::into_parts`].
    pub fn into_parts(self) -> (u8, NonNull<u8>) {
        for_any!(self, collection => collection.into_parts())
    }

    /// As [`Collection::from_parts`].
    ///
    /// # Safety
    /// As there, of a collection of this type.
    ///
    /// # Panics
    /// For strings, which are no collections.
    pub unsafe fn from_parts(kind: Kind, form: u8, pointer: NonNull<u8>) -> AnyCollection {
        // SAFETY: by the caller's promise.
        unsafe {
            match kind {
                Kind::String => panic!("a string is no collection"),
                Kind::List => List::from_parts(form, pointer).into(),
                Kind::Set => Set::from_parts(form, pointer).into(),
                Kind::Hash => Hash::from_parts(form, pointer).into(),
                Kind::SortedSet => SortedSet::from_parts(form, pointer).into(),
                Kind::Stream => Stream::from_parts(form, pointer).into(),
            }
        }
    }

    /// As [`Collection::len`].
    pub fn len(&self) -> usize {
        for_any!(self, collection => collection.len())
    }

    /// As [`Collection::is_empty`].
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As [`Collection::memory`].
    pub fn memory(&self, samples: usize) -> usize {
        for_any!(self, collection => collection.memory(samples))
    }

    /// As [`Collection::free_effort`].
    pub fn free_effort(&self) -> usize {
        for_any!(self, collection => collection.free_effort())
    }

    /// As [`Collection::extent`].
    pub fn extent(&self) -> usize {
        for_any!(self, collection => collection.extent())
    }

    /// As [`Collection::fit`].
    pub fn fit(&mut self) {
        for_any!(self, collection => collection.fit());
    }

    /// As [`Collection::is_capturable`].
    pub fn is_capturable(&self) -> bool {
        for_any!(self, collection => collection.is_capturable())
    }

    /// As [`Collection::begin_capture`].
    ///
    /// # Panics
    /// As there.
    pub fn begin_capture(&mut self) {
        for_any!(self, collection => collection.begin_capture());
    }

    /// As [`Collection::capture_step`].
    ///
    /// # Panics
    /// As there.
    pub fn capture_step(&mut self, budget: usize, see: &mut dyn FnMut(Part<'_>)) -> bool {
        for_any!(self, collection => collection.capture_step(budget, see))
    }

    /// As [`Collection::end_capture`].
    pub fn end_capture(&mut self) -> Remains {
        for_any!(self, collection => collection.end_capture())
    }

    /// As [`Collection::prefetch`].
    #[inline]
    pub fn prefetch(&self, step: u8, member: HashCode) -> bool {
        for_any!(self, collection => collection.prefetch(step, member))
    }

    /// As [`Collection::encoding`].
    pub fn encoding(&self) -> &'static str {
        for_any!(self, collection => collection.encoding())
    }
}

macro_rules! from_collection {
    ($($kind:ident)*) => {
        $(impl From<$kind> for AnyCollection {
            fn from(collection: $kind) -> AnyCollection {
                AnyCollection::$kind(collection)
            }
        })*
    };
}

from_collection!(List Set Hash SortedSet Stream);
