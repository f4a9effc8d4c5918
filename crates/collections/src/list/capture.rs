//! A capture of a list: which nodes are still to be shown, and those that were and are in the list no more.
//!
//! It works by whole nodes. A node is live, to be shown as it stands, or passed: shown already, new, or kept aside as it was. Whoever is about
//! to change a live node has it copied first (at most once in a capture), and one that is taken out is moved here as it is. So a change
//! costs at most the copy of a node more than without, and removing many nodes costs nothing for each but moving it.
//!
//! The list is described as a sequence of runs, whose numbers of elements add up to those of the list. There is at most one more of them than
//! live nodes. They are looked for from the nearest of both ends and the run that was asked for last: what happens at the ends finds its
//! run at once, and so does what goes through the list from node to node.
//!
//! Deliberately not here: the nodes of the list, and who has to say what happens to them (`capturable_spine.rs`).

use super::node::{Node, Unpacked};
use super::spine::{Place, Spine};
use crate::capture::Part;
use std::collections::VecDeque;

/// A stretch of the list: first what has been passed, then what is live. Every run but the last has live elements.
#[derive(Debug, Default)]
struct Run {
    /// What is to be shown before the live elements, in order; never empty.
    saved: Option<Box<Spine>>,
    /// Elements of the list that are not to be shown.
    passed: usize,
    /// Elements of the list behind those, still to be shown.
    live: usize,
}

impl Run {
    /// Its elements that are in the list.
    fn present(&self) -> usize {
        self.passed + self.live
    }

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

/// Where a node is in the list: the number of its first element, and how many elements the list has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    /// The number of its first element.
    pub start: usize,
    /// Elements of the list.
    pub of: usize,
}

/// What is still to be shown of a list.
#[derive(Debug)]
pub(super) struct Capture {
    runs: VecDeque<Run>,
    /// The run that was looked for last, and the number of its first element. What has changed since stands behind that.
    found: (usize, usize),
    /// Elements of the list, when it was last asked for anything.
    elements: usize,
    /// The run whose passed elements have become more or fewer since then, if the list has.
    changed: usize,
    /// The number of nodes when it began, until that was shown.
    length: Option<usize>,
}

impl Capture {
    /// A capture of this list.
    pub(super) fn new(spine: &Spine) -> Capture {
        let elements = spine.elements();
        let all = Run { live: elements, ..Run::default() };
        Capture {
            runs: VecDeque::from([all]),
            found: (0, 0),
            elements,
            changed: 0,
            length: Some(spine.nodes()),
        }
    }

    /// Learns what the last change has come to: all it was told before is where that is going to be.
    fn recount(&mut self, elements: usize) {
        let run = &mut self.runs[self.changed];
        run.passed = run.passed + elements - self.elements;
        self.elements = elements;
    }

    /// The run in which an element is, and its number within; the end of the list is in the last run.
    fn find(&mut self, Range { start, of }: Range) -> (usize, usize) {
        self.recount(of);
        let last = self.runs.len() - 1;
        let known = [(0, 0), self.found, (last, of - self.runs[last].present())];
        let nearest = known.into_iter().min_by_key(|(_, first)| first.abs_diff(start));
        let (mut run, mut first) = nearest.expect("there are three");
        while start < first {
            run -= 1;
            first -= self.runs[run].present();
        }
        while run < last && start - first >= self.runs[run].present() {
            first += self.runs[run].present();
            run += 1;
        }
        self.found = (run, first);
        (run, start - first)
    }

    /// A node of so many elements is changed, taken out or replaced: if it is live it is kept aside, and its elements are passed from now on.
    /// `node` gives the node as it was, or a copy.
    pub(super) fn pass(&mut self, range: Range, count: usize, node: impl FnOnce() -> Node) {
        let (index, offset) = self.find(range);
        let run = &mut self.runs[index];
        self.changed = index;
        let Some(before) = offset.checked_sub(run.passed) else { return };
        let behind = run.live - before - count;
        if before == 0 {
            run.save_last(node());
            run.passed += count;
            run.live = behind;
            self.join_at(index);
            return;
        }
        run.live = before;
        self.changed = index + 1;
        match self.runs.get_mut(index + 1).filter(|_| behind == 0) {
            Some(next) => {
                next.save_first(node());
                next.passed += count;
            }
            None => {
                let mut rest = Run { saved: None, passed: count, live: behind };
                rest.save_last(node());
                self.runs.insert(index + 1, rest);
            }
        }
    }

    /// A node is added, which is going to begin at `range.start`.
    pub(super) fn add(&mut self, range: Range) {
        let (index, offset) = self.find(range);
        let run = &mut self.runs[index];
        self.changed = index;
        if offset <= run.passed {
            return;
        }
        let behind = run.present() - offset;
        run.live -= behind;
        self.changed = index + 1;
        self.runs.insert(index + 1, Run { live: behind, ..Run::default() });
    }

    /// Keeps to the rule that every run but the last has live elements.
    fn join_at(&mut self, run: usize) {
        if self.runs[run].live == 0
            && let Some(next) = self.runs.remove(run + 1)
        {
            self.runs[run].join(next);
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
        (self.found, self.changed) = ((0, 0), 0);
        let (mut cost, mut cursor) = (0, None);
        while self.has_more() {
            let run = &self.runs[0];
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
        self.runs[0].saved.is_some() || self.runs[0].live > 0
    }

    /// Goes on to the node behind the one that was next.
    fn node_was_shown(&mut self, count: usize) {
        let run = &mut self.runs[0];
        if run.saved.is_some() {
            run.drop_first_saved();
            return;
        }
        run.passed += count;
        run.live -= count;
        self.join_at(0);
    }

    /// Panics where something is not as it must be.
    #[cfg(test)]
    pub(super) fn validate(&self, spine: &Spine) {
        let present: usize = self.runs.iter().map(Run::present).sum();
        assert_eq!(present, self.elements);
        let (found, first) = self.found;
        assert_eq!(first, self.runs.iter().take(found).map(Run::present).sum::<usize>());
        assert!(self.runs.iter().rev().skip(1).all(|run| run.live > 0));
        let mut start = 0;
        for (number, run) in self.runs.iter().enumerate() {
            assert!(spine.seek(start).is_none_or(|(_, offset)| offset == 0));
            start += run.passed;
            if number == self.changed {
                start = start + spine.elements() - self.elements;
            }
            assert!(spine.seek(start).is_none_or(|(_, offset)| offset == 0));
            start += run.live;
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
        self.runs.len()
    }
}

/// The place of the node that begins with element number `start`. `cursor` has where the last one was, which stands before it.
fn go_to(spine: &Spine, cursor: &mut Option<(Place, usize)>, start: usize) -> Place {
    let place = match *cursor {
        Some((place, number)) => spine.forward(place, start - number),
        None => spine.seek(start).map(|(place, _)| place),
    };
    let place = place.expect("what is live is in the list");
    *cursor = Some((place, start));
    place
}
