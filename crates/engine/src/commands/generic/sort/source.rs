//! The elements that are to be sorted.

use super::order::Row;
use std::ops::{ControlFlow, Range};
use tessera_collections::{AnyCollection, Collection, Digits, Direction, Element, List, SortedSet};

fn row(element: Element<'_>) -> Row {
    Row::new(element.text(&mut Digits::default()))
}

/// All elements, in the order that the collection has.
pub(super) fn all(collection: &AnyCollection) -> Vec<Row> {
    match collection {
        AnyCollection::List(list) => part_of_list(list, 0..list.len(), false),
        AnyCollection::Set(set) => set.iter().map(row).collect(),
        AnyCollection::SortedSet(set) => part_of_sorted_set(set, 0..set.len(), false),
        AnyCollection::Hash(_) | AnyCollection::Stream(_) => Vec::new(),
    }
}

/// Some elements of a list or sorted set, in its order or, if `reverse`, in that order counted from
/// the end.
pub(super) fn part(collection: &AnyCollection, range: Range<usize>, reverse: bool) -> Vec<Row> {
    match collection {
        AnyCollection::List(list) => part_of_list(list, range, reverse),
        AnyCollection::SortedSet(set) => part_of_sorted_set(set, range, reverse),
        AnyCollection::Set(_) | AnyCollection::Hash(_) | AnyCollection::Stream(_) => Vec::new(),
    }
}

fn part_of_list(list: &List, range: Range<usize>, reverse: bool) -> Vec<Row> {
    if range.is_empty() {
        return Vec::new();
    }
    let (start, direction) = if reverse {
        (list.len() - 1 - range.start, Direction::Backward)
    } else {
        (range.start, Direction::Forward)
    };
    let mut rows = Vec::with_capacity(range.len());
    list.visit(start, direction, |element| {
        rows.push(row(element));
        if rows.len() == range.len() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    rows
}

fn part_of_sorted_set(set: &SortedSet, range: Range<usize>, reverse: bool) -> Vec<Row> {
    let ranks = if reverse { set.len() - range.end..set.len() - range.start } else { range };
    set.range(ranks, reverse).map(|(member, _)| row(member)).collect()
}
