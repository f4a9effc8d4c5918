//! Capturing a stream: showing it as it stood at one moment, in steps, while it is changed.
//!
//! What is small is copied when the capture begins: the history here, and of each group its name, its counters and its consumers
//! (`groups.rs`, `group_capture.rs`). What is large, the nodes of a stream and the pending entries of a group, is left where it is, and
//! walked in the order of ids ([`Walk`]). Whoever changes a part that the walk has still to come to puts the old one aside first, by its
//! id, so that the walk finds it in its place. A part that is new within the range of the walk is put aside as nothing: it is not shown.
//! What the walk has passed, and what is added behind its end, costs nothing.
//!
//! Deliberately not here: finding out that something changes, which is for those who own the parts (`nodes.rs`, `group.rs`).

use super::entries::Entries;
use super::id::StreamId;
use super::load::StreamHistory;
use super::node::Node;
use crate::capture::Part;
use crate::listpack::Listpack;
use std::collections::BTreeMap;
use std::fmt::{self, Debug};

/// The state of a capture, if there is one. It is no part of the value: a copy has none, and values are equal whether they have one or not.
pub(super) struct Captured<T>(Option<Box<T>>);

impl<T> Captured<T> {
    /// None.
    pub(super) const NONE: Captured<T> = Captured(None);

    /// Begins one.
    pub(super) fn begin(&mut self, capture: T) {
        assert!(self.0.is_none(), "a stream is captured once at a time");
        self.0 = Some(Box::new(capture));
    }

    /// Whether there is one.
    pub(super) fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// The state.
    #[cfg(test)]
    pub(super) fn get(&self) -> Option<&T> {
        self.0.as_deref()
    }

    /// The state, for those who change what is captured.
    #[inline]
    pub(super) fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }

    /// Takes the state out: for good, or to show more next to what is captured.
    pub(super) fn take(&mut self) -> Option<Box<T>> {
        self.0.take()
    }

    /// Puts back what was taken out.
    pub(super) fn put_back(&mut self, capture: Box<T>) {
        self.0 = Some(capture);
    }
}

impl<T> Default for Captured<T> {
    fn default() -> Captured<T> {
        Captured::NONE
    }
}

impl<T> Clone for Captured<T> {
    fn clone(&self) -> Captured<T> {
        Captured::NONE
    }
}

impl<T> PartialEq for Captured<T> {
    fn eq(&self, _: &Captured<T>) -> bool {
        true
    }
}

impl<T> Eq for Captured<T> {}

impl<T> Debug for Captured<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_there() { "captured" } else { "not captured" })
    }
}

/// A step of a capture: what it may still show, and to whom.
pub(super) struct Step<'s> {
    left: usize,
    /// Whether it has got on: shown or passed over something.
    any: bool,
    see: &'s mut dyn FnMut(Part<'_>),
}

impl Step<'_> {
    /// A step that shows parts of about `budget` bytes. What it passes over counts too, so it may show none; but it gets on.
    pub(super) fn new(budget: usize, see: &mut dyn FnMut(Part<'_>)) -> Step<'_> {
        Step { left: budget, any: false, see }
    }

    /// Whether no more is to be shown in it.
    pub(super) fn is_over(&self) -> bool {
        self.any && self.left == 0
    }

    /// Shows a part.
    pub(super) fn show(&mut self, part: Part<'_>) {
        self.left = self.left.saturating_sub(part.cost());
        self.any = true;
        (self.see)(part);
    }

    /// Passes over something that is not to be shown, which takes time too.
    fn pass(&mut self) {
        /// About what a small part costs.
        const EACH: usize = 32;
        self.left = self.left.saturating_sub(EACH);
        self.any = true;
    }
}

/// A walk over parts in the order of their ids, as they were when it began.
pub(super) struct Walk<T> {
    /// Parts before this id were passed; `None`: all were.
    next: Option<StreamId>,
    /// The id of the last part.
    end: StreamId,
    /// Parts still to be passed that have changed since: what they were, `None` if they were not there.
    aside: BTreeMap<StreamId, Option<T>>,
}

impl<T> Walk<T> {
    /// A walk up to the last part, if there is any.
    pub(super) fn to(last: Option<StreamId>) -> Walk<T> {
        Walk {
            next: last.map(|_| StreamId::MIN),
            end: last.unwrap_or(StreamId::MIN),
            aside: BTreeMap::new(),
        }
    }

    /// Where it goes on; `None`: it has passed all parts.
    pub(super) fn next(&self) -> Option<StreamId> {
        self.next
    }

    /// A part changes: what it was is put aside, unless the walk has passed it, or it has changed before.
    pub(super) fn keep(&mut self, id: StreamId, old: impl FnOnce() -> Option<T>) {
        if self.next.is_some_and(|next| next <= id && id <= self.end) {
            self.aside.entry(id).or_insert_with(old);
        }
    }

    /// How many parts are put aside.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.aside.len()
    }

    /// Shows parts until the step is over or all are passed. `present`: the parts as they are now, from [`Walk::next`] on.
    pub(super) fn show<'p>(
        &mut self,
        present: impl Iterator<Item = (StreamId, &'p T)>,
        step: &mut Step<'_>,
        mut show: impl FnMut(StreamId, &T, &mut Step<'_>),
    ) where
        T: 'p,
    {
        let end = self.end;
        let mut present = present.take_while(|&(id, _)| id <= end).peekable();
        while self.next.is_some() && !step.is_over() {
            let changed = self.aside.first_key_value().map(|(&id, _)| id);
            let unchanged = present.next_if(|&(id, _)| changed.is_none_or(|changed| id < changed));
            let passed = if let Some((id, part)) = unchanged {
                show(id, part, step);
                Some(id)
            } else if let Some((id, old)) = self.aside.pop_first() {
                // What is there now, if anything is, is something else.
                present.next_if(|&(present, _)| present == id);
                match old {
                    Some(old) => show(id, &old, step),
                    None => step.pass(),
                }
                Some(id)
            } else {
                None
            };
            self.next = passed.and_then(StreamId::next);
        }
    }
}

/// The capture of the entries: the number of nodes, the nodes, the history.
pub(super) struct EntriesCapture {
    stage: Stage,
    /// The number of nodes.
    len: u64,
    /// By their first ids.
    pub(super) nodes: Walk<Listpack>,
    history: StreamHistory,
    first_id: StreamId,
    /// The number of groups, which stands with the history.
    groups: u64,
}

/// What the capture of the entries shows next.
enum Stage {
    Length,
    Nodes,
    History,
}

impl Entries {
    /// Begins the capture of the entries of a stream that has so many groups.
    pub(super) fn begin_capture(&mut self, groups: u64) {
        let nodes = &self.nodes;
        let counters = Some((self.max_deleted_id, self.added));
        let capture = EntriesCapture {
            stage: Stage::Length,
            len: nodes.len() as u64,
            nodes: Walk::to(nodes.last().map(|at| nodes.get(at).first)),
            history: StreamHistory { len: self.len, last_id: self.last_id, counters },
            first_id: self.first_id,
            groups,
        };
        self.nodes.capture.begin(capture);
    }

    /// Shows what is captured. Whether that is all: then the entries are not captured any more.
    pub(super) fn show_captured(&mut self, step: &mut Step<'_>) -> bool {
        let Some(mut capture) = self.nodes.capture.take() else { return true };
        while !step.is_over() {
            match capture.stage {
                Stage::Length => {
                    step.show(Part::Length(capture.len));
                    capture.stage = Stage::Nodes;
                }
                Stage::Nodes => match capture.nodes.next() {
                    Some(next) => {
                        let present = self.nodes.from(next).map(Node::parts);
                        capture.nodes.show(present, step, show_node);
                    }
                    None => capture.stage = Stage::History,
                },
                Stage::History => {
                    let EntriesCapture { history, first_id, groups, .. } = *capture;
                    step.show(Part::History { history, first_id, groups });
                    return true;
                }
            }
        }
        self.nodes.capture.put_back(capture);
        false
    }

    /// Ends the capture, however far it is.
    pub(super) fn end_capture(&mut self) -> Option<Box<EntriesCapture>> {
        self.nodes.capture.take()
    }
}

fn show_node(first: StreamId, listpack: &Listpack, step: &mut Step<'_>) {
    step.show(Part::Node { first, listpack: listpack.as_bytes() });
}
