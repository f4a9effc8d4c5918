//! A large sorted set as it stood when a capture of it began.
//!
//! The walk goes from the last member to the first, as RDB files have them: a reader adds each in
//! front of all others. The walk's position is a score and a text, so a member's own say whether
//! the walk has passed it. Before a member that it has not passed is changed or removed for the
//! first time, the old one goes to another sorted set, through which the walk goes at the same
//! pace; a member that has come to a place which it has not passed is remembered by its text, so
//! that the walk leaves it out. Members that the walk has passed are forgotten in both.
//!
//! Deliberately not here: the set itself, and the code that reports its changes (`ordered.rs`).

use super::link::ordered;
use super::member::Member;
use super::ordered::Ordered;
use crate::capture::{LEFT_OUT, Part};
use crate::hasher::{HashCode, hasher};
use crate::set;
use crate::table::Table;
use std::cmp::Ordering;

/// The state of a capture.
pub(super) struct Capture {
    /// How many members it will have shown; told by the first step.
    length: Option<u64>,
    place: Place,
    /// Members as they were, which the walk has still to show.
    old: Ordered,
    /// The texts of members that the walk would come to, and must not show.
    new: Table<set::Member>,
}

/// The position of the walk.
enum Place {
    Start,
    /// It has passed this score and text, and what is behind them in the order.
    At(f64, Box<[u8]>),
    End,
}

/// The order of the set: by score, then by text.
fn compare((score, text): (f64, &[u8]), (other_score, other_text): (f64, &[u8])) -> Ordering {
    ordered(score).cmp(&ordered(other_score)).then_with(|| text.cmp(other_text))
}

impl Capture {
    /// A capture of this many members.
    pub(super) fn of(members: usize) -> Capture {
        Capture {
            length: Some(members as u64),
            place: Place::Start,
            old: Ordered::default(),
            new: Table::default(),
        }
    }

    fn has_passed(&self, text: &[u8], score: f64) -> bool {
        match &self.place {
            Place::Start => false,
            Place::At(at, last) => compare((score, text), (*at, last)) != Ordering::Less,
            Place::End => true,
        }
    }

    /// A member comes to a place.
    pub(super) fn on_added(&mut self, text: &[u8], hash: HashCode, score: f64) {
        if !self.has_passed(text, score) {
            self.new.insert(hash, set::Member::new(text), hasher());
        }
    }

    /// A member leaves its place. It is kept as it is now if it is still to be shown.
    pub(super) fn keep_old(&mut self, member: &Member, hash: HashCode) {
        let (text, score) = (member.text(), member.score());
        if !self.has_passed(text, score) && self.new.take(text, hash, hasher()).is_none() {
            self.old.insert(text, hash, score);
        }
    }

    /// As [`crate::Collection::capture_step`].
    pub(super) fn step(
        &mut self,
        set: &Ordered,
        budget: usize,
        see: &mut dyn FnMut(Part<'_>),
    ) -> bool {
        if let Some(length) = self.length.take() {
            see(Part::Length(length));
        }
        let left = match &self.place {
            Place::Start => set.len(),
            Place::At(score, text) => set.count_before(*score, text),
            Place::End => 0,
        };
        let mut present = set.iter(0..left, true).peekable();
        let mut old = self.old.iter(0..self.old.len(), true).peekable();
        let (mut cost, mut shown_old, mut last) = (0, 0, None);
        while cost < budget.max(1) {
            let is_old = match (present.peek(), old.peek()) {
                (None, None) => {
                    self.place = Place::End;
                    break;
                }
                (Some((text, score)), Some((old_text, old_score))) => {
                    compare((*score, text), (*old_score, old_text)) == Ordering::Less
                }
                (present, _) => present.is_none(),
            };
            let next = if is_old { old.next() } else { present.next() };
            let (member, score) = next.expect("it was looked at");
            let is_left_out = !is_old
                && !self.new.is_empty()
                && self.new.take(member, hasher().hash(member), hasher()).is_some();
            cost += match is_left_out {
                true => LEFT_OUT,
                false => Part::Scored { member, score }.show(see),
            };
            shown_old += usize::from(is_old);
            last = Some((score, member));
        }
        if let Some((score, text)) = last.filter(|_| !matches!(self.place, Place::End)) {
            self.place = Place::At(score, text.into());
        }
        self.old.remove_ranks(self.old.len() - shown_old..self.old.len());
        !matches!(self.place, Place::End)
    }
}
