//! Making a list of many elements, or of nodes that were written elsewhere.

use super::{End, List, ListLimits, Quicklist};
use crate::listpack::Listpack;

/// A list that is being made.
#[derive(Debug)]
pub struct ListBuilder {
    list: Quicklist,
    limits: ListLimits,
}

impl ListBuilder {
    /// An empty list.
    pub fn new(limits: ListLimits) -> ListBuilder {
        ListBuilder { list: Quicklist::default(), limits }
    }

    /// Adds an element.
    pub fn push(&mut self, text: &[u8]) {
        self.list.push(End::Right, text, self.limits);
    }

    /// Adds the elements of a listpack, as a node; an empty one is passed over.
    pub fn push_packed(&mut self, listpack: Listpack) {
        self.list.push_packed(listpack);
    }

    /// Adds an element as a node of its own.
    pub fn push_plain(&mut self, text: &[u8]) {
        self.list.push_plain(text);
    }

    /// The number of elements so far.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The list: a listpack if that can hold it.
    pub fn finish(self) -> List {
        if self.is_empty() {
            return List::new();
        }
        let mut list = List::Quick(Box::new(self.list));
        list.become_listpack(self.limits, false);
        list
    }
}
