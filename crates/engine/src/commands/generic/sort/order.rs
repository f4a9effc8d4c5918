//! The weights that elements are sorted by, and the order.

use super::pattern::Pattern;
use super::weight::weight;
use crate::{Db, Fail};
use std::cmp::Ordering;
use std::ops::Range;

/// An element, with what it is sorted by.
pub(super) struct Row {
    pub(super) element: Box<[u8]>,
    weight: Weight,
}

/// The weight that an element is sorted by.
enum Weight {
    /// Itself, as text.
    Element,
    /// A number.
    Number(f64),
    /// The text that BY names; `None`: there is none.
    Text(Option<Box<[u8]>>),
}

/// How rows are sorted.
#[derive(Clone, Copy)]
pub(super) struct Sorting {
    /// As texts rather than numbers.
    pub(super) alpha: bool,
    /// The largest first.
    pub(super) descending: bool,
    /// The outcome is stored.
    pub(super) is_stored: bool,
}

impl Row {
    pub(super) fn new(element: &[u8]) -> Row {
        Row { element: element.into(), weight: Weight::Element }
    }
}

/// Finds what each row is sorted by.
///
/// # Errors
/// It should be a number, and is none.
pub(super) fn weigh(
    db: &mut Db<'_, '_>,
    rows: &mut [Row],
    by: Option<&Pattern<'_>>,
    sorting: Sorting,
) -> Result<(), Fail> {
    let mut are_numbers = true;
    let mut number = |text: &[u8]| {
        let number = weight(text);
        are_numbers &= number.is_some();
        Weight::Number(number.unwrap_or(0.0))
    };
    for row in rows {
        match (by, sorting.alpha) {
            (None, true) => {}
            (None, false) => row.weight = number(&row.element),
            (Some(by), alpha) => {
                let weight = &mut row.weight;
                by.value(db, &row.element, sorting.is_stored, &mut |value| {
                    *weight = match value {
                        _ if alpha => Weight::Text(value.map(Into::into)),
                        Some(value) => number(value),
                        None => Weight::Number(0.0),
                    };
                });
            }
        }
    }
    if are_numbers {
        Ok(())
    } else {
        Err(Fail::text("ERR One or more scores can't be converted into double"))
    }
}

fn compare(a: &Row, b: &Row) -> Ordering {
    match (&a.weight, &b.weight) {
        (Weight::Number(x), Weight::Number(y)) => {
            // Weights are never NaN. Equal ones are told apart by the elements, so that the order
            // is the same everywhere.
            x.partial_cmp(y).unwrap_or(Ordering::Equal).then_with(|| a.element.cmp(&b.element))
        }
        // A missing weight comes first.
        (Weight::Text(x), Weight::Text(y)) => x.cmp(y),
        _ => a.element.cmp(&b.element),
    }
}

/// Sorts so much that the rows which are wanted stand where they belong.
pub(super) fn sort(rows: &mut [Row], wanted: Range<usize>, sorting: Sorting, is_by: bool) {
    let order = |a: &Row, b: &Row| {
        let ordering = compare(a, b);
        if sorting.descending { ordering.reverse() } else { ordering }
    };
    // Texts that BY names may be equal, and then the elements stay in the order that they had: only
    // a whole stable sort keeps that.
    let ties = sorting.alpha && is_by;
    if ties || wanted.len() == rows.len() {
        rows.sort_by(order);
        return;
    }
    if wanted.is_empty() {
        return;
    }
    let last = wanted.end - 1;
    rows.select_nth_unstable_by(last, order);
    if wanted.start > 0 {
        rows[..=last].select_nth_unstable_by(wanted.start, order);
    }
    rows[wanted].sort_unstable_by(order);
}
