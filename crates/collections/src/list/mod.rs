//! The list: few small elements are a listpack, more a quicklist, which is a sequence of listpacks.
//!
//! When one becomes the other is decided as in Redis 7.2: before elements are added, by what the
//! listpack would then have; after elements were removed, once the only node is half as small as it
//! may be. Elements are shown to functions, rather than given out by iterators, since those of
//! compressed nodes exist only while they are looked at.

mod builder;
mod capturable_spine;
mod capture;
mod limits;
mod node;
mod quicklist;
mod spine;

pub use builder::ListBuilder;
pub use limits::ListLimits;
pub use node::NodeRef;
pub use quicklist::Quicklist;

use crate::capture::{Part, Remains};
use crate::collection::{Collection, Kind};
use crate::hasher::HashCode;
use crate::listpack::{Element, Listpack};
use crate::table::prefetch;
use std::ops::ControlFlow;
use std::ptr::NonNull;

/// An end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The first elements.
    Left,
    /// The last elements.
    Right,
}

/// The direction in which elements are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the first to the last.
    Forward,
    /// From the last to the first.
    Backward,
}

/// A side of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Nearer to the first.
    Before,
    /// Nearer to the last.
    After,
}

/// A list.
#[derive(Debug, Clone)]
pub enum List {
    /// Few small elements.
    Packed(Listpack),
    /// A sequence of nodes.
    Quick(Box<Quicklist>),
}

impl Default for List {
    fn default() -> List {
        List::new()
    }
}

impl List {
    /// An empty list.
    pub fn new() -> List {
        List::Packed(Listpack::new())
    }

    /// Adds elements at an end, one after the other.
    pub fn push<'a>(
        &mut self,
        end: End,
        texts: impl Iterator<Item = &'a [u8]> + Clone,
        limits: ListLimits,
    ) {
        let (bytes, count) = texts.clone().fold((0usize, 0), |(bytes, count), text: &[u8]| {
            (bytes.saturating_add(text.len()), count + 1)
        });
        self.make_room(bytes, count, limits);
        match self {
            List::Packed(listpack) => match end {
                End::Left => texts.for_each(|text| listpack.push_front(text)),
                End::Right => texts.for_each(|text| listpack.push(text)),
            },
            List::Quick(list) => texts.for_each(|text| list.push(end, text, limits)),
        }
    }

    /// Takes an element from an end; `show` sees it first. After the last change the caller calls
    /// [`List::shrink`].
    #[inline]
    pub fn pop<R>(
        &mut self,
        end: End,
        limits: ListLimits,
        show: impl FnOnce(Element<'_>) -> R,
    ) -> Option<R> {
        match self {
            List::Packed(listpack) => {
                let at = match end {
                    End::Left => listpack.first()?,
                    End::Right => listpack.last()?,
                };
                let shown = show(listpack.get(at));
                listpack.remove(at);
                Some(shown)
            }
            List::Quick(list) => list.pop(end, limits, show),
        }
    }

    /// Shows the elements from number `start` on, in this direction, until `visit` breaks; gives
    /// what it broke with.
    pub fn visit<B>(
        &self,
        start: usize,
        direction: Direction,
        mut visit: impl FnMut(Element<'_>) -> ControlFlow<B>,
    ) -> Option<B> {
        match self {
            List::Packed(listpack) if start < listpack.len() => {
                quicklist::visit_listpack(listpack, Some(start), direction, &mut visit)
                    .break_value()
            }
            List::Packed(_) => None,
            List::Quick(list) => list.visit(start, direction, visit),
        }
    }

    /// Shows element number `index`; negative numbers count from the end (-1 is the last).
    pub fn with<R>(&self, index: i64, show: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        let mut show = Some(show);
        let index = self.number(index)?;
        self.visit(index, Direction::Forward, |element| {
            ControlFlow::Break(show.take().expect("only one element is looked at")(element))
        })
    }

    /// The number of an element; negative ones count from the end. `None`: there is none.
    pub fn number(&self, index: i64) -> Option<usize> {
        let len = self.len();
        let index = match usize::try_from(index) {
            Ok(index) => index,
            Err(_) => len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?,
        };
        (index < len).then_some(index)
    }

    /// The number of the first element in this direction that equals `text`.
    pub fn find(&self, text: &[u8], direction: Direction) -> Option<usize> {
        let wanted = Element::of(text);
        let start = match direction {
            Direction::Forward => 0,
            Direction::Backward => self.len().checked_sub(1)?,
        };
        let mut passed = 0;
        let passed = self.visit(start, direction, |element| {
            if element == wanted {
                return ControlFlow::Break(passed);
            }
            passed += 1;
            ControlFlow::Continue(())
        })?;
        Some(start.abs_diff(passed))
    }

    /// Replaces element number `index`; whether there is one.
    pub fn set(&mut self, index: usize, text: &[u8], limits: ListLimits) -> bool {
        if index >= self.len() {
            return false;
        }
        self.make_room(text.len(), 1, limits);
        match self {
            List::Packed(listpack) => {
                let at = listpack.seek(index as i64).expect("below the length");
                listpack.replace(at, text);
            }
            List::Quick(list) => list.set(index, text, limits),
        }
        self.shrink(limits);
        true
    }

    /// Adds an element beside number `index`; whether there is one.
    pub fn insert(&mut self, index: usize, side: Side, text: &[u8], limits: ListLimits) -> bool {
        if index >= self.len() {
            return false;
        }
        self.make_room(text.len(), 1, limits);
        match self {
            List::Packed(listpack) => insert_beside(listpack, index, side, text),
            List::Quick(list) => list.insert(index, side, text, limits),
        }
        true
    }

    /// Removes up to `count` elements from number `start` on; gives how many there were.
    pub fn remove_range(&mut self, start: usize, count: usize, limits: ListLimits) -> usize {
        let count = count.min(self.len().saturating_sub(start));
        if count == 0 {
            return 0;
        }
        match self {
            List::Packed(listpack) => {
                let at = listpack.seek(start as i64).expect("below the length");
                listpack.remove_range(at, count);
            }
            List::Quick(list) => list.remove_range(start, count, limits),
        }
        self.shrink(limits);
        count
    }

    /// Removes up to `most` elements that equal `text`, in this direction; gives how many there
    /// were.
    pub fn remove_equal(
        &mut self,
        text: &[u8],
        direction: Direction,
        most: usize,
        limits: ListLimits,
    ) -> usize {
        let removed = match self {
            List::Packed(listpack) => remove_equal(listpack, text, direction, most),
            List::Quick(list) => list.remove_equal(text, direction, most, limits),
        };
        if removed > 0 {
            self.shrink(limits);
        }
        removed
    }

    /// Becomes a quicklist if with so much more the listpack would be larger than a node.
    fn make_room(&mut self, bytes: usize, count: usize, limits: ListLimits) {
        if let List::Packed(listpack) = self
            && !limits.allows(listpack.byte_len().saturating_add(bytes), listpack.len() + count)
        {
            let quick = Quicklist::of(std::mem::take(listpack));
            *self = List::Quick(Box::new(quick));
        }
    }

    /// Becomes a listpack if there is but one node, much smaller than it might be; not while it is
    /// captured.
    #[inline]
    pub fn shrink(&mut self, limits: ListLimits) {
        self.become_listpack(limits, true);
    }

    fn become_listpack(&mut self, limits: ListLimits, shrinks: bool) {
        if let List::Quick(list) = self
            && list.nodes() <= 1
            && !list.is_captured()
            && let Some((bytes, count)) = list.only_listpack()
            && limits.is_small(bytes, count, shrinks)
        {
            *self = List::Packed(std::mem::take(&mut **list).into_listpack());
        }
    }
}

/// Adds an element beside number `index`, which is there.
fn insert_beside(listpack: &mut Listpack, index: usize, side: Side, text: &[u8]) {
    let at = listpack.seek(index as i64).expect("the caller has looked");
    match side {
        Side::Before => listpack.insert_before(at, text),
        Side::After => listpack.insert_after(at, text),
    };
}

/// Removes up to `most` elements that equal `text`, in this direction; gives how many there were.
fn remove_equal(listpack: &mut Listpack, text: &[u8], direction: Direction, most: usize) -> usize {
    let mut removed = 0;
    match direction {
        Direction::Forward => {
            let mut next = listpack.first();
            while removed < most
                && let Some(at) = listpack.find(next, text, 0)
            {
                next = listpack.remove(at);
                removed += 1;
            }
        }
        Direction::Backward => {
            let wanted = Element::of(text);
            let mut next = listpack.last();
            while let Some(at) = next.filter(|_| removed < most) {
                next = listpack.prev(at);
                if listpack.get(at) == wanted {
                    listpack.remove(at);
                    removed += 1;
                }
            }
        }
    }
    removed
}

/// The numbers of the forms in an entry.
const PACKED: u8 = 0;
const QUICK: u8 = 1;

// SAFETY: both directions agree on the numbers of the forms, and each owns one pointer.
unsafe impl Collection for List {
    const KIND: Kind = Kind::List;

    #[inline]
    fn into_parts(self) -> (u8, NonNull<u8>) {
        match self {
            List::Packed(listpack) => (PACKED, listpack.into_raw()),
            List::Quick(list) => (QUICK, NonNull::from(Box::leak(list)).cast()),
        }
    }

    #[inline]
    unsafe fn from_parts(form: u8, pointer: NonNull<u8>) -> List {
        debug_assert!(form <= QUICK);
        // SAFETY: by the caller's promise; the pointer of this form came from a box.
        unsafe {
            match form {
                PACKED => List::Packed(Listpack::from_raw(pointer)),
                _ => List::Quick(Box::from_raw(pointer.cast().as_ptr())),
            }
        }
    }

    #[inline]
    fn len(&self) -> usize {
        match self {
            List::Packed(listpack) => listpack.len(),
            List::Quick(list) => list.len(),
        }
    }

    fn memory(&self, samples: usize) -> usize {
        match self {
            List::Packed(listpack) => listpack.memory(),
            List::Quick(list) => list.memory(samples),
        }
    }

    fn free_effort(&self) -> usize {
        match self {
            List::Packed(_) => 1,
            List::Quick(list) => list.nodes(),
        }
    }

    fn extent(&self) -> usize {
        match self {
            List::Packed(listpack) => listpack.byte_len(),
            List::Quick(list) => list.len(),
        }
    }

    fn fit(&mut self) {
        match self {
            List::Packed(listpack) => listpack.fit(),
            List::Quick(list) => list.fit(),
        }
    }

    fn is_capturable(&self) -> bool {
        matches!(self, List::Quick(_))
    }

    fn begin_capture(&mut self) {
        match self {
            List::Packed(_) => panic!("a listpack is read at once"),
            List::Quick(list) => list.begin_capture(),
        }
    }

    fn capture_step(&mut self, budget: usize, see: &mut dyn FnMut(Part<'_>)) -> bool {
        match self {
            List::Packed(_) => panic!("a listpack is not captured"),
            List::Quick(list) => list.capture_step(budget, see),
        }
    }

    fn end_capture(&mut self) -> Remains {
        match self {
            List::Packed(_) => Remains::none(),
            List::Quick(list) => list.end_capture(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            List::Packed(_) => "listpack",
            List::Quick(_) => "quicklist",
        }
    }

    #[inline]
    fn prefetch(&self, _: u8, _: HashCode) -> bool {
        match self {
            List::Packed(listpack) => listpack.prefetch(),
            // Going on to the blocks and nodes at its ends costs more than it saves (measured:
            // LPUSH 7 %).
            List::Quick(list) => prefetch(std::ptr::from_ref(&**list).cast()),
        }
        false
    }
}

#[cfg(test)]
mod tests;
