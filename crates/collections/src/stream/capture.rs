//! Capturing a stream: showing it as it stood at one moment, in steps, while it is changed.
//!
//! Parts of constant size are copied when the capture begins: the history here, the counters of a
//! group when it is about to change or its turn has come (`groups.rs`, `group_capture.rs`). Nodes,
//! groups, pending entries and consumers, of which there may be many, are left where they are, and
//! walked ([`Walk`]). So a capture begins at the same cost whatever the stream.
//!
//! Deliberately not here: finding out that something changes, which is for those who own the parts
//! (`nodes.rs`, `groups.rs`, `group.rs`).

use super::entries::Entries;
use super::id::StreamId;
use super::load::StreamHistory;
use super::node::Node;
use super::walk::Walk;
use crate::capture::Part;
use crate::listpack::Listpack;
use std::fmt::{self, Debug};

/// The state of a capture, if there is one. It is no part of the value: a copy has none, and values
/// are equal whether they have one or not.
pub(super) struct Captured<T>(Option<Box<T>>);

impl<T> Captured<T> {
    /// No capture.
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
    /// A step that shows parts of about `budget` bytes. Parts that it passes over count too, so it
    /// may show none; but it gets on.
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
    pub(super) fn pass(&mut self) {
        /// About what a small part costs.
        const EACH: usize = 32;
        self.left = self.left.saturating_sub(EACH);
        self.any = true;
    }
}

/// The capture of the entries: the number of nodes, the nodes, the history.
pub(super) struct EntriesCapture {
    stage: Stage,
    /// The number of nodes.
    len: u64,
    /// By their first ids.
    pub(super) nodes: Walk<StreamId, Listpack>,
    history: StreamHistory,
    first_id: StreamId,
    /// The number of groups, which stands with the history.
    groups: u64,
}

/// The part that the capture of the entries shows next.
enum Stage {
    Length,
    Nodes,
    History,
}

impl Entries {
    /// Begins the capture of the entries of a stream that has this many groups.
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
                Stage::Nodes if capture.nodes.is_done() => capture.stage = Stage::History,
                Stage::Nodes => {
                    let present = self.nodes.behind(capture.nodes.passed().copied());
                    capture.nodes.show(present.map(Node::parts), step, show_node);
                }
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

fn show_node(&first: &StreamId, listpack: &Listpack, step: &mut Step<'_>) {
    step.show(Part::Node { first, listpack: listpack.as_bytes() });
}
