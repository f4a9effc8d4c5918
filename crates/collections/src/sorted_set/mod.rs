//! The sorted set: members with scores, in the order of scores and, where these are equal, of the
//! members' bytes.
//!
//! | form | where | OBJECT ENCODING |
//! | --- | --- | --- |
//! | packed | `packed.rs`: a listpack of members and scores in order | `listpack` |
//! | tree | `ordered.rs`: a hash table of members (`member.rs`) and a B+ tree of links to them (`tree.rs`) | `skiplist` |
//!
//! The name is Redis', whose large form has a skiplist where this has a tree. Every range is first
//! made a range of ranks, which costs O(log n) in the tree.

mod capture;
mod link;
mod member;
mod node;
mod ordered;
mod packed;
mod range;
mod tree;

pub use ordered::Ordered;
pub use range::{LexBound, LexRange, ScoreRange};

use crate::capture::{Part, Remains};
use crate::collection::{Collection, Kind};
use crate::hasher::{HashCode, hasher};
use crate::listpack::{Corrupt, Digits, Element, Listpack, Position};
use crate::set::Probe;
use std::ops::Range;
use std::ptr::NonNull;

/// A sorted set.
#[derive(Clone)]
pub enum SortedSet {
    /// Few small members.
    Packed(Listpack),
    /// Many members, or large ones.
    Tree(Box<Ordered>),
}

/// How large a packed sorted set may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Members (`zset-max-listpack-entries`).
    pub entries: usize,
    /// Bytes of a member (`zset-max-listpack-value`).
    pub value: usize,
}

impl Limits {
    fn allow(self, entries: usize, longest: usize) -> bool {
        entries <= self.entries && longest <= self.value
    }
}

/// The result of a search for a member. It is good for one change of the same set, which then need
/// not search again.
#[derive(Debug, Clone, Copy)]
pub struct Seat {
    /// Its score, if it is there.
    pub score: Option<f64>,
    hash: Option<HashCode>,
    at: Option<Position>,
}

impl SortedSet {
    /// An empty set.
    pub fn new() -> SortedSet {
        SortedSet::Packed(Listpack::new())
    }

    /// An empty set that is to get this many members, the longest of this many bytes.
    pub fn with_room(entries: usize, longest: usize, limits: Limits) -> SortedSet {
        if limits.allow(entries, longest) {
            SortedSet::new()
        } else {
            SortedSet::Tree(Box::default())
        }
    }

    /// A set of members that come in their order, each once.
    pub fn from_sorted<'a>(
        members: impl ExactSizeIterator<Item = (Element<'a>, f64)> + Clone,
        limits: Limits,
    ) -> SortedSet {
        let longest = members.clone().map(|(member, _)| member.text_len()).max().unwrap_or(0);
        let mut set = SortedSet::with_room(members.len(), longest, limits);
        for (member, score) in members {
            set.push(member.text(&mut Digits::default()), score);
        }
        set
    }

    /// Takes a listpack of members and scores in; one that is not in order is brought into it.
    ///
    /// # Errors
    /// [`Corrupt`] if it does not consist of pairs, a score is no number, or a member comes twice.
    pub fn from_listpack(pack: Listpack) -> Result<SortedSet, Corrupt> {
        if packed::check(&pack)? {
            return Ok(SortedSet::Packed(pack));
        }
        let mut sorted = Listpack::new();
        for (member, score) in packed::Iter::new(&pack, 0..packed::len(&pack), false) {
            packed::insert(&mut sorted, member.text(&mut Digits::default()), score);
        }
        Ok(SortedSet::Packed(sorted))
    }

    /// The listpack of a packed set.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match self {
            SortedSet::Packed(pack) => Some(pack),
            SortedSet::Tree(_) => None,
        }
    }

    /// Looks for a member.
    #[inline]
    pub fn find(&self, member: &[u8]) -> Seat {
        match self {
            SortedSet::Packed(pack) => match packed::find(pack, member) {
                Some((at, score)) => Seat { score: Some(score), hash: None, at: Some(at) },
                None => Seat { score: None, hash: None, at: None },
            },
            SortedSet::Tree(tree) => {
                let hash = hasher().hash(member);
                Seat { score: tree.score(member, hash), hash: Some(hash), at: None }
            }
        }
    }

    /// The score of a member.
    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.find(member).score
    }

    /// The score of a member that is looked for in several sets.
    #[inline]
    pub fn score_of(&self, probe: &mut Probe<'_>) -> Option<f64> {
        match self {
            SortedSet::Packed(pack) => packed::find(pack, probe.text()).map(|(_, score)| score),
            SortedSet::Tree(tree) => {
                let hash = probe.hash();
                tree.score(probe.text(), hash)
            }
        }
    }

    /// Gives a member, of which `seat` is what [`SortedSet::find`] has found, a score, which is not
    /// NaN.
    pub fn put(&mut self, member: &[u8], seat: Seat, score: f64, limits: Limits) {
        debug_assert!(!score.is_nan());
        if let SortedSet::Packed(pack) = self {
            if let Some(at) = seat.at {
                packed::remove(pack, at);
                packed::insert(pack, member, score);
                return;
            }
            let room = limits.allow(packed::len(pack) + 1, member.len());
            if room && pack.has_room(member.len()) {
                packed::insert(pack, member, score);
                return;
            }
        }
        let tree = self.tree();
        let hash = seat.hash.unwrap_or_else(|| hasher().hash(member));
        match seat.score {
            Some(_) => tree.set_score(member, hash, score),
            None => tree.insert(member, hash, score),
        }
    }

    /// Adds a member behind all others, in whatever form the set has.
    fn push(&mut self, member: &[u8], score: f64) {
        match self {
            SortedSet::Packed(pack) if pack.has_room(member.len()) => {
                packed::push(pack, member, score);
            }
            _ => self.tree().insert(member, hasher().hash(member), score),
        }
    }

    /// Removes a member; gives its score.
    pub fn remove(&mut self, member: &[u8], seat: Seat) -> Option<f64> {
        match self {
            SortedSet::Packed(pack) => packed::remove(pack, seat.at?),
            SortedSet::Tree(tree) => {
                tree.remove(member, seat.hash?);
            }
        }
        seat.score
    }

    /// A member's rank, counted from 0, and its score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        match self {
            SortedSet::Packed(pack) => {
                let (at, score) = packed::find(pack, member)?;
                Some((packed::rank_of(pack, at), score))
            }
            SortedSet::Tree(tree) => tree.rank(member, hasher().hash(member)),
        }
    }

    /// The ranks of the members whose scores are in the range.
    pub fn ranks_by_score(&self, range: &ScoreRange) -> Range<usize> {
        match self {
            SortedSet::Packed(pack) => packed::ranks_by_score(pack, range),
            SortedSet::Tree(tree) => tree.ranks_by_score(range),
        }
    }

    /// The ranks of the members whose texts are in the range, if all scores are the same. If not,
    /// the range of ranks is arbitrary.
    pub fn ranks_by_lex(&self, range: &LexRange<'_>) -> Range<usize> {
        // With different scores it is by this look at both ends that Redis often finds nothing.
        let len = self.len();
        let at = |rank, test: &dyn Fn(&[u8]) -> bool| {
            let member = self.range(rank..rank + 1, false).next();
            member.is_none_or(|(member, _)| test(member.text(&mut Digits::default())))
        };
        if len == 0
            || at(0, &|text| range.is_above(text))
            || at(len - 1, &|text| range.is_below(text))
        {
            return 0..0;
        }
        match self {
            SortedSet::Packed(pack) => packed::ranks_by_lex(pack, range),
            SortedSet::Tree(tree) => tree.ranks_by_lex(range),
        }
    }

    /// Members and scores of these ranks, from the last to the first if `reverse`. Ranks that do
    /// not exist are left out.
    pub fn range(&self, ranks: Range<usize>, reverse: bool) -> Iter<'_> {
        let end = ranks.end.min(self.len());
        let ranks = ranks.start.min(end)..end;
        match self {
            SortedSet::Packed(pack) => Iter::Packed(packed::Iter::new(pack, ranks, reverse)),
            SortedSet::Tree(tree) => Iter::Tree(tree.iter(ranks, reverse)),
        }
    }

    /// All members and scores in order.
    pub fn iter(&self) -> Iter<'_> {
        self.range(0..self.len(), false)
    }

    /// Removes the members of these ranks. Ranks that do not exist are left out.
    pub fn remove_ranks(&mut self, ranks: Range<usize>) {
        let end = ranks.end.min(self.len());
        let ranks = ranks.start.min(end)..end;
        match self {
            SortedSet::Packed(pack) => packed::remove_ranks(pack, ranks),
            SortedSet::Tree(tree) => tree.remove_ranks(ranks),
        }
    }

    /// One step of a scan: shows some members with their scores and gives the next cursor, 0 at the
    /// end. A packed set is shown at once. A member that is there throughout is shown.
    pub fn scan(&self, cursor: u64, mut see: impl FnMut(&[u8], f64)) -> u64 {
        match self {
            SortedSet::Packed(_) => {
                for (member, score) in self.iter() {
                    see(member.text(&mut Digits::default()), score);
                }
                0
            }
            SortedSet::Tree(tree) => tree.scan(cursor, see),
        }
    }

    /// Leaves the packed form if this many members, the longest of this many bytes, are to be added
    /// and are too many for it.
    pub fn make_room(&mut self, entries: usize, longest: usize, limits: Limits) {
        if !limits.allow(entries, longest) {
            self.tree();
        }
    }

    /// Whether [`SortedSet::make_room`] would change something.
    pub fn lacks_room(&self, entries: usize, longest: usize, limits: Limits) -> bool {
        matches!(self, SortedSet::Packed(_)) && !limits.allow(entries, longest)
    }

    /// The large form; a packed set becomes one.
    fn tree(&mut self) -> &mut Ordered {
        if let SortedSet::Packed(_) = self {
            let mut tree = Box::<Ordered>::default();
            for (member, score) in self.iter() {
                let mut digits = Digits::default();
                let member = member.text(&mut digits);
                tree.insert(member, hasher().hash(member), score);
            }
            *self = SortedSet::Tree(tree);
        }
        match self {
            SortedSet::Tree(tree) => tree,
            SortedSet::Packed(_) => unreachable!("it was just made a tree"),
        }
    }
}

impl Default for SortedSet {
    fn default() -> SortedSet {
        SortedSet::new()
    }
}

impl std::fmt::Debug for SortedSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The same members with the same scores, whatever the form.
impl PartialEq for SortedSet {
    fn eq(&self, other: &SortedSet) -> bool {
        self.len() == other.len()
            && self.iter().zip(other.iter()).all(|((a, x), (b, y))| {
                x == y && a.text(&mut Digits::default()) == b.text(&mut Digits::default())
            })
    }
}

/// Members and scores of a range.
#[derive(Clone)]
pub enum Iter<'a> {
    /// The members of a packed set.
    Packed(packed::Iter<'a>),
    /// The members of a large set.
    Tree(ordered::Iter<'a>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Element<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<(Element<'a>, f64)> {
        match self {
            Iter::Packed(iter) => iter.next(),
            Iter::Tree(iter) => iter.next().map(|(member, score)| (Element::Bytes(member), score)),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Iter::Packed(iter) => iter.size_hint(),
            Iter::Tree(iter) => iter.size_hint(),
        }
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// The numbers of the forms in an entry.
const PACKED: u8 = 0;
const TREE: u8 = 1;

// SAFETY: both directions agree on the numbers of the forms.
unsafe impl Collection for SortedSet {
    const KIND: Kind = Kind::SortedSet;

    fn into_parts(self) -> (u8, NonNull<u8>) {
        match self {
            SortedSet::Packed(listpack) => (PACKED, listpack.into_raw()),
            SortedSet::Tree(tree) => (TREE, NonNull::from(Box::leak(tree)).cast()),
        }
    }

    unsafe fn from_parts(form: u8, pointer: NonNull<u8>) -> SortedSet {
        debug_assert!(form <= TREE);
        // SAFETY: by the caller's promise.
        unsafe {
            match form {
                PACKED => SortedSet::Packed(Listpack::from_raw(pointer)),
                _ => SortedSet::Tree(Box::from_raw(pointer.cast().as_ptr())),
            }
        }
    }

    #[inline]
    fn len(&self) -> usize {
        match self {
            SortedSet::Packed(pack) => packed::len(pack),
            SortedSet::Tree(tree) => tree.len(),
        }
    }

    fn memory(&self, samples: usize) -> usize {
        match self {
            SortedSet::Packed(pack) => pack.memory(),
            SortedSet::Tree(tree) => tree.memory(samples),
        }
    }

    fn free_effort(&self) -> usize {
        match self {
            SortedSet::Packed(_) => 1,
            SortedSet::Tree(tree) => tree.len(),
        }
    }

    fn extent(&self) -> usize {
        match self {
            SortedSet::Packed(pack) => pack.byte_len(),
            SortedSet::Tree(tree) => tree.len(),
        }
    }

    fn fit(&mut self) {
        if let SortedSet::Packed(pack) = self {
            pack.fit();
        }
    }

    fn is_capturable(&self) -> bool {
        matches!(self, SortedSet::Tree(_))
    }

    fn begin_capture(&mut self) {
        let SortedSet::Tree(tree) = self else { panic!("a sorted set that can be captured") };
        tree.begin_capture();
    }

    fn capture_step(&mut self, budget: usize, see: &mut dyn FnMut(Part<'_>)) -> bool {
        let SortedSet::Tree(tree) = self else { panic!("a sorted set that is captured") };
        tree.capture_step(budget, see)
    }

    fn end_capture(&mut self) -> Remains {
        match self {
            SortedSet::Tree(tree) => tree.end_capture(),
            SortedSet::Packed(_) => Remains::none(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            SortedSet::Packed(_) => "listpack",
            SortedSet::Tree(_) => "skiplist",
        }
    }

    #[inline]
    fn prefetch(&self, step: u8, member: HashCode) -> bool {
        match self {
            SortedSet::Packed(listpack) => listpack.prefetch(),
            SortedSet::Tree(ordered) => return ordered.prefetch(step, member),
        }
        false
    }
}

#[cfg(test)]
mod tests;
