//! The large form: a table that owns the members, and a tree that has them in order.
//!
//! The one place that sees both: a member enters the tree after the table, and leaves it before. So
//! every link in the tree leads to a member that lives and has the score by which it was placed.

use super::capture::Capture;
use super::link::Link;
use super::member::Member;
use super::range::{LexRange, ScoreRange};
use super::tree::Tree;
use crate::capture::{Part, Remains};
use crate::hasher::{HashCode, hasher};
use crate::table::{Table, prefetch};
use std::cmp::Ordering;
use std::ops::Range;

/// Members by name and in order.
#[derive(Default)]
pub struct Ordered {
    table: Table<Member>,
    tree: Tree,
    capture: Option<Box<Capture>>,
}

impl Ordered {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// As [`Table::prefetch_step`].
    #[inline]
    pub(super) fn prefetch(&self, step: u8, hash: HashCode) -> bool {
        self.table.prefetch_step(step, hash)
    }

    /// The score of a member.
    #[inline]
    pub(super) fn score(&self, member: &[u8], hash: HashCode) -> Option<f64> {
        self.table.get(member, hash).map(|found| found.score())
    }

    /// Adds a member that is not there.
    pub(super) fn insert(&mut self, member: &[u8], hash: HashCode, score: f64) {
        if let Some(capture) = &mut self.capture {
            capture.on_added(member, hash, score);
        }
        let member = Member::new(member, score);
        // SAFETY: the table owns the member from now on; `remove` and `set_score` take the link out
        // of the tree before they free the member or change its score, and no other code does
        // either.
        let link = unsafe { Link::to(&member) };
        self.table.insert(hash, member, hasher());
        self.tree.insert(link);
    }

    /// Changes the score of a member that is there.
    pub(super) fn set_score(&mut self, member: &[u8], hash: HashCode, score: f64) {
        let mut found = self.table.get_mut(member, hash).expect("the caller has seen it");
        if let Some(capture) = &mut self.capture {
            capture.keep_old(&found, hash);
            capture.on_added(member, hash, score);
        }
        // SAFETY: the old link leaves the tree before the score changes; the new one is compared
        // only afterwards, but for `try_replace`, which is given the new score.
        let (old, new) = unsafe {
            let old = Link::to(&found);
            (old, old.with_score(score))
        };
        if self.tree.try_replace(old, new, score) {
            found.set_score(score);
            return;
        }
        self.tree.remove(old);
        found.set_score(score);
        self.tree.insert(new);
    }

    /// Removes a member; gives its score.
    pub(super) fn remove(&mut self, member: &[u8], hash: HashCode) -> Option<f64> {
        let found = self.table.get(member, hash)?;
        // SAFETY: the member leaves the table below.
        self.tree.remove(unsafe { Link::to(&found) });
        let taken = self.table.take(member, hash, hasher())?;
        self.on_removed(&taken, hash);
        Some(taken.score())
    }

    /// Tells the capture of a member that has left the table.
    #[inline]
    fn on_removed(&mut self, member: &Member, hash: HashCode) {
        if let Some(capture) = &mut self.capture {
            capture.keep_old(member, hash);
        }
    }

    /// A member's rank and score.
    pub(super) fn rank(&self, member: &[u8], hash: HashCode) -> Option<(usize, f64)> {
        let found = self.table.get(member, hash)?;
        // SAFETY: the link is dropped before the member can be.
        Some((self.tree.rank(unsafe { Link::to(&found) }), found.score()))
    }

    pub(super) fn ranks_by_score(&self, range: &ScoreRange) -> Range<usize> {
        let start = self.tree.partition(|link| range.is_below(|score| link.compare_score(score)));
        let end = self.tree.partition(|link| !range.is_above(|score| link.compare_score(score)));
        start..end.max(start)
    }

    pub(super) fn ranks_by_lex(&self, range: &LexRange<'_>) -> Range<usize> {
        let start = self.tree.partition(|link| range.is_below(link.text()));
        let end = self.tree.partition(|link| !range.is_above(link.text()));
        start..end.max(start)
    }

    /// How many members stand before this place in the order.
    pub(super) fn count_before(&self, score: f64, text: &[u8]) -> usize {
        self.tree.partition(|link| {
            link.compare_score(score).then_with(|| link.text().cmp(text)) == Ordering::Less
        })
    }

    /// Members and scores of these ranks, which exist; from the last to the first if `reverse`.
    pub(super) fn iter(&self, ranks: Range<usize>, reverse: bool) -> Iter<'_> {
        debug_assert!(ranks.end <= self.len());
        Iter { tree: &self.tree, links: &[], ranks, reverse }
    }

    /// Removes the members of these ranks, which exist.
    pub(super) fn remove_ranks(&mut self, ranks: Range<usize>) {
        let (mut left, mut run, mut hashes) = (ranks.len(), Vec::new(), Vec::new());
        while left > 0 {
            self.tree.remove_run(ranks.start, left, &mut run);
            left -= run.len();
            // The members of a leaf wait for memory at the same time.
            run.iter().for_each(|link| prefetch(link.address()));
            hashes.extend(run.iter().map(|link| hasher().hash(link.text())));
            hashes.iter().for_each(|&hash| self.table.prefetch_bucket(hash));
            for (link, hash) in run.drain(..).zip(hashes.drain(..)) {
                let member = link.text();
                // The text is read until the member is found, and the member freed afterwards.
                let taken = self.table.take(member, hash, hasher());
                self.on_removed(&taken.expect("table and tree have the same members"), hash);
            }
        }
    }

    /// One step through the table: see [`Table::scan`].
    pub(super) fn scan(&self, cursor: u64, mut see: impl FnMut(&[u8], f64)) -> u64 {
        self.table.scan(cursor, |member| see(member.text(), member.score()))
    }

    /// As [`crate::Collection::begin_capture`].
    pub(super) fn begin_capture(&mut self) {
        assert!(self.capture.is_none(), "one capture at a time");
        self.capture = Some(Box::new(Capture::of(self.len())));
    }

    /// As [`crate::Collection::capture_step`].
    pub(super) fn capture_step(&mut self, budget: usize, see: &mut dyn FnMut(Part<'_>)) -> bool {
        let mut capture = self.capture.take().expect("a capture is under way");
        let more = capture.step(self, budget, see);
        self.capture = Some(capture);
        more
    }

    /// As [`crate::Collection::end_capture`].
    pub(super) fn end_capture(&mut self) -> Remains {
        Remains::of(self.capture.take())
    }

    /// Bytes of memory, of the members estimated from so many; 0: all are looked at.
    pub(super) fn memory(&self, samples: usize) -> usize {
        let len = self.len();
        let samples = if samples == 0 { len } else { samples.min(len) };
        let mut of_samples = 0;
        self.for_first(samples, |member| of_samples += member.memory());
        let members = of_samples as u128 * len as u128 / samples.max(1) as u128;
        size_of::<Ordered>() + self.table.memory() + self.tree.memory() + members as usize
    }

    fn for_first(&self, count: usize, mut see: impl FnMut(&Member)) {
        let (mut seen, mut bucket) = (0, 0);
        while seen < count && bucket < self.table.bucket_count() {
            self.table.for_bucket(bucket, |member| {
                if seen < count {
                    see(member);
                    seen += 1;
                }
            });
            bucket += 1;
        }
    }

    /// Asserts that both parts agree.
    #[cfg(test)]
    pub(super) fn validate(&self) {
        assert_eq!(self.tree.len(), self.table.len());
        self.tree.validate();
        for (member, score) in self.iter(0..self.len(), false) {
            assert_eq!(self.score(member, hasher().hash(member)), Some(score));
        }
    }

    #[cfg(test)]
    pub(super) fn nodes(&self) -> usize {
        self.tree.nodes()
    }
}

impl Clone for Ordered {
    fn clone(&self) -> Ordered {
        debug_assert_eq!(self.tree.len(), self.table.len());
        let mut copy = Ordered::default();
        for (member, score) in self.iter(0..self.len(), false) {
            copy.insert(member, hasher().hash(member), score);
        }
        copy
    }
}

/// Members and scores of a range of ranks.
#[derive(Clone)]
pub struct Iter<'a> {
    tree: &'a Tree,
    /// The rest of the present leaf.
    links: &'a [Link],
    ranks: Range<usize>,
    reverse: bool,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], f64);

    #[inline]
    fn next(&mut self) -> Option<(&'a [u8], f64)> {
        /// Members further on are on their way while the present one is looked at.
        const AHEAD: usize = 4;
        if self.ranks.is_empty() {
            return None;
        }
        if self.links.is_empty() {
            let rank = if self.reverse { self.ranks.end - 1 } else { self.ranks.start };
            let (links, at) = self.tree.leaf_at(rank);
            self.links = if self.reverse { &links[..=at] } else { &links[at..] };
        }
        let (links, ranks) = (self.links, &mut self.ranks);
        let (link, ahead) = if self.reverse {
            let (last, rest) = links.split_last()?;
            (self.links, ranks.end) = (rest, ranks.end - 1);
            (last, rest.len().checked_sub(AHEAD).and_then(|at| rest.get(at)))
        } else {
            let (first, rest) = links.split_first()?;
            (self.links, ranks.start) = (rest, ranks.start + 1);
            (first, rest.get(AHEAD - 1))
        };
        if let Some(ahead) = ahead {
            prefetch(ahead.address());
        }
        Some((link.text(), link.score()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.ranks.len(), Some(self.ranks.len()))
    }
}

impl ExactSizeIterator for Iter<'_> {}
