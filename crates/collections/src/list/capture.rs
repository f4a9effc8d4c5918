//! A capture of a list: which nodes are still to be shown, and those that were and are in the list
//! no more.
//!
//! It works by whole nodes. A node is live, to be shown as it stands, or passed: shown already,
//! new, or kept aside as it was. Before a live node is changed it is copied (at most once in a
//! capture), and one that is taken out is moved here as it is. So a change costs at most the copy
//! of a node more than without, and removing many nodes costs nothing for each but moving it.
//!
//! The list is described as a sequence of runs, whose numbers of elements add up to those of the
//! list. There is at most one more of them than live nodes. They stand in blocks as the nodes do,
//! so that one is found and split as a node is. An operation at an end finds its run at once. So
//! does one that goes through the list from node to node, since the run that was looked for last is
//! known.
//!
//! Deliberately not here: the nodes of the list, and the code that reports their changes
//! (`capturable_spine.rs`).

use super::node::{Node, Unpacked};
use super::spine::{Counted, Place, Spine};
use crate::capture::Part;

/// A stretch of the list: first the elements that have been passed, then the live ones. Every run
/// but the last has live elements.
#[derive(Debug, Default)]
struct Run {
    /// The elements to be shown before the live ones, in order; never empty.
    saved: Option<Box<Spine>>,
    /// Elements of the list that are not to be shown.
    passed: usize,
    /// Elements of the list behind those, still to be shown.
    live: usize,
}

impl Counted for Run {
    /// Its elements that are in the list.
    #[inline]
    fn count(&self) -> usize {
        self.passed + self.live
    }
}

impl Run {
    /// Keeps a node that is to be shown after all others that are kept here.
    fn save_last(&mut self, node: Node) {
        self.saved.get_or_insert_default().push_back(node);
    }

    /// Keeps a node that is to be shown before all others that are kept here.
    fn save_first(&mut self, node: Node) {
        self.saved.get_or_insert_default().push_front(node);
    }

    /// The first of the nodes that are kept.
    fn first_saved(&self) -> Option<&Node> {
        let saved = self.saved.as_deref()?;
        Some(saved.get(saved.first().expect("an empty one is not kept")))
    }

    /// Frees the first of the nodes that are kept.
    fn drop_first_saved(&mut self) {
        let Some(saved) = &mut self.saved else { return };
        saved.remove(saved.first().expect("an empty one is not kept"));
        if saved.nodes() == 0 {
            self.saved = None;
        }
    }

    /// Becomes one with the run behind it, as there is nothing live between them.
    fn join(&mut self, next: Run) {
        debug_assert_eq!(self.live, 0);
        match (&mut self.saved, next.saved) {
            (Some(saved), Some(more)) => saved.append(*more),
            (saved @ None, more) => *saved = more,
            (Some(_), None) => {}
        }
        self.passed += next.passed;
        self.live = next.live;
    }
}

/// A node's place in the list: the number of its first element, and how many elements the list has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    /// The number of its first element.
    pub start: usize,
    /// Elements of the list.
    pub of: usize,
}

/// The part of a list that is still to be shown.
#[derive(Debug)]
pub(super) struct Capture {
    /// There is always one. They add up to what the list had when it was last asked for anything.
    runs: Spine<Run>,
    /// The run that was looked for last, and the number of its first element. If the list has
    /// changed since then, this run has more passed elements, or fewer.
    found: (Place, usize),
    /// The number of nodes when it began, until that was shown.
    length: Option<usize>,
}

impl Capture {
    /// A capture of this list.
    pub(super) fn new(spine: &Spine) -> Capture {
        let mut runs = Spine::default();
        runs.push_back(Run { live: spine.elements(), ..Run::default() });
        let found = (first(&runs), 0);
        Capture { runs, found, length: Some(spine.nodes()) }
    }

    /// Learns what the last change has come to: all it was told before is where that is going to
    /// be.
    fn recount(&mut self, elements: usize) {
        let before = self.runs.elements();
        self.runs.edit(self.found.0, |run| run.passed = run.passed + elements - before);
    }

    /// The run in which an element is, and its number within; the end of the list is in the last
    /// run.
    fn find(&mut self, Range { start, of }: Range) -> (Place, usize) {
        self.recount(of);
        self.found = self.find_near(start).unwrap_or_else(|| self.seek(start));
        let (at, first) = self.found;
        (at, start - first)
    }

    /// The run in which an element is, and the number of its first, if it is the run that was found
    /// last or not far from it.
    fn find_near(&self, start: usize) -> Option<(Place, usize)> {
        /// An operation that goes through the list leaves a run or two behind with each node.
        const NEAR: usize = 4;
        let (mut at, mut first) = self.found;
        for _ in 0..NEAR {
            let count = self.runs.get(at).count();
            if start < first {
                at = self.runs.prev(at)?;
                first -= self.runs.get(at).count();
            } else if start < first + count {
                return Some((at, first));
            } else {
                first += count;
                at = self.runs.next(at)?;
            }
        }
        None
    }

    /// As [`Capture::find_near`], anywhere.
    fn seek(&self, start: usize) -> (Place, usize) {
        if let Some((at, offset)) = self.runs.seek(start) {
            return (at, start - offset);
        }
        let last = self.runs.last().expect("there is a run");
        (last, self.runs.elements() - self.runs.get(last).count())
    }

    /// A node of this many elements is changed, taken out or replaced: if it is live it is kept
    /// aside, and its elements are passed from now on. `node` gives the node as it was, or a copy.
    pub(super) fn pass(&mut self, range: Range, count: usize, node: impl FnOnce() -> Node) {
        let (at, offset) = self.find(range);
        let run = self.runs.get(at);
        let Some(before) = offset.checked_sub(run.passed) else { return };
        let behind = run.live - before - count;
        if before == 0 {
            self.runs.edit(at, |run| {
                run.save_last(node());
                run.passed += count;
                run.live = behind;
            });
            self.join_at(at);
            return;
        }
        self.runs.edit(at, |run| run.live = before);
        let next = match self.runs.next(at).filter(|_| behind == 0) {
            Some(next) => {
                self.runs.edit(next, |next| {
                    next.save_first(node());
                    next.passed += count;
                });
                next
            }
            None => {
                let mut rest = Run { saved: None, passed: count, live: behind };
                rest.save_last(node());
                self.runs.insert_after(at, rest)
            }
        };
        self.found = (next, range.start);
    }

    /// A node is added, which is going to begin at `range.start`.
    pub(super) fn add(&mut self, range: Range) {
        let (at, offset) = self.find(range);
        let run = self.runs.get(at);
        if offset <= run.passed {
            return;
        }
        let behind = run.count() - offset;
        self.runs.edit(at, |run| run.live -= behind);
        let rest = Run { live: behind, ..Run::default() };
        self.found = (self.runs.insert_after(at, rest), range.start);
    }

    /// Keeps to the rule that every run but the last has live elements.
    fn join_at(&mut self, at: Place) {
        if self.runs.get(at).live == 0
            && let Some(next) = self.runs.next(at)
        {
            let (next, _) = self.runs.remove(next);
            self.runs.edit(at, |run| run.join(next));
        }
    }

    /// Shows the next nodes, until they have cost `budget`; false: these were the last.
    pub(super) fn step(
        &mut self,
        spine: &Spine,
        budget: usize,
        see: &mut dyn FnMut(Part<'_>),
    ) -> bool {
        if let Some(length) = self.length.take() {
            see(Part::Length(length as u64));
        }
        self.recount(spine.elements());
        self.found = (first(&self.runs), 0);
        let (mut cost, mut cursor) = (0, None);
        while self.has_more() {
            let run = self.runs.get(first(&self.runs));
            let node = match run.first_saved() {
                Some(node) => node,
                None => spine.get(go_to(spine, &mut cursor, run.passed)),
            };
            cost += Part::ListNode(node.read(&mut Unpacked::default())).show(see);
            self.node_was_shown(node.count());
            if cost >= budget {
                return self.has_more();
            }
        }
        false
    }

    /// Whether there is anything left to show.
    fn has_more(&self) -> bool {
        let run = self.runs.get(first(&self.runs));
        run.saved.is_some() || run.live > 0
    }

    /// Goes on to the node behind the one that was next.
    fn node_was_shown(&mut self, count: usize) {
        let at = first(&self.runs);
        self.runs.edit(at, |run| {
            if run.saved.is_some() {
                run.drop_first_saved();
            } else {
                run.passed += count;
                run.live -= count;
            }
        });
        self.join_at(at);
    }

    /// Panics where something is not as it must be.
    #[cfg(test)]
    pub(super) fn validate(&self, spine: &Spine) {
        self.runs.validate();
        let (found, first) = self.found;
        assert_eq!(first, self.runs.number_of(found));
        assert!(self.runs.iter().rev().skip(1).all(|run| run.live > 0));
        let mut start = 0;
        let mut next = self.runs.first();
        while let Some(at) = next {
            let run = self.runs.get(at);
            assert!(spine.seek(start).is_none_or(|(_, offset)| offset == 0));
            start += run.passed;
            if at == found {
                start = start + spine.elements() - self.runs.elements();
            }
            assert!(spine.seek(start).is_none_or(|(_, offset)| offset == 0));
            start += run.live;
            next = self.runs.next(at);
        }
        assert_eq!(start, spine.elements());
        for saved in self.runs.iter().filter_map(|run| run.saved.as_deref()) {
            assert!(saved.nodes() > 0);
            saved.validate();
        }
    }

    /// How many runs there are.
    #[cfg(test)]
    pub(super) fn runs(&self) -> usize {
        self.runs.nodes()
    }
}

/// The first run.
fn first(runs: &Spine<Run>) -> Place {
    runs.first().expect("there is a run")
}

/// The place of the node that begins with element number `start`. `cursor` has where the last one
/// was, which stands before it.
fn go_to(spine: &Spine, cursor: &mut Option<(Place, usize)>, start: usize) -> Place {
    let place = match *cursor {
        Some((place, number)) => spine.forward(place, start - number),
        None => spine.seek(start).map(|(place, _)| place),
    };
    let place = place.expect("what is live is in the list");
    *cursor = Some((place, start));
    place
}
