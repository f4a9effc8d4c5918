//! A large sorted set as it stood when a capture of it began.
//!
//! The walk goes from the last member to the first, as RDB files have them: who reads one adds each in front of all others. Where it has come to is a score and a
//! text, so a member's own say whether the walk has passed it. Before a member that it has not passed is changed or removed, the old one is put
//! aside; it and those that come to a place which the walk has not passed are remembered, so that the walk leaves them out.

use super::link::{Link, ordered};
use super::member::Member;
use super::tree::Tree;
use crate::capture::Part;
use crate::hasher::{KeyHasher, hasher};
use std::cmp::Ordering;
use std::collections::HashSet;

/// What a capture knows.
pub(super) struct Capture {
    /// How many members it will have shown; told by the first step.
    length: Option<u64>,
    place: Place,
    /// Those which the walk would come to, and must not show: they were changed, or are new.
    touched: HashSet<Box<[u8]>, &'static KeyHasher>,
    /// Members as they were, still to be shown.
    aside: Vec<Member>,
}

/// Where the walk has come to.
enum Place {
    Start,
    /// It has passed this score and text, and what is behind them in the order.
    At(f64, Box<[u8]>),
    End,
}

impl Capture {
    /// A capture of so many members.
    pub(super) fn of(members: usize) -> Capture {
        Capture {
            length: Some(members as u64),
            place: Place::Start,
            touched: HashSet::with_hasher(hasher()),
            aside: Vec::new(),
        }
    }

    fn has_passed(&self, text: &[u8], score: f64) -> bool {
        match &self.place {
            Place::Start => false,
            Place::At(at, last) => {
                let order = ordered(score).cmp(&ordered(*at));
                order.then_with(|| text.cmp(last)) != Ordering::Less
            }
            Place::End => true,
        }
    }

    /// Whether a member is one that the walk would still come to, and does not from now on.
    fn touch(&mut self, text: &[u8], score: f64) -> bool {
        !self.has_passed(text, score)
            && !self.touched.contains(text)
            && self.touched.insert(text.into())
    }

    /// A member is added.
    pub(super) fn note_new(&mut self, text: &[u8], score: f64) {
        self.touch(text, score);
    }

    /// A member is about to get another score.
    pub(super) fn note_change(&mut self, member: &Member, score: f64) {
        if self.touch(member.text(), member.score()) {
            self.aside.push(member.clone());
        }
        self.touch(member.text(), score);
    }

    /// A member has been removed.
    pub(super) fn note_removed(&mut self, member: Member) {
        if self.touch(member.text(), member.score()) {
            self.aside.push(member);
        }
    }

    /// As [`crate::Collection::capture_step`].
    pub(super) fn step(
        &mut self,
        tree: &Tree,
        budget: usize,
        see: &mut dyn FnMut(Part<'_>),
    ) -> bool {
        if let Some(length) = self.length.take() {
            see(Part::Length(length));
        }
        let (mut cost, budget) = (0, budget.max(1));
        while cost < budget
            && let Some(member) = self.aside.pop()
        {
            cost += Part::Scored { member: member.text(), score: member.score() }.show(see);
        }
        let mut left = match &self.place {
            Place::Start => tree.len(),
            Place::At(score, text) => tree.partition(|link| is_before(link, *score, text)),
            Place::End => 0,
        };
        while cost < budget && left > 0 {
            let (links, at) = tree.leaf_at(left - 1);
            for link in links[..=at].iter().rev() {
                if self.touched.is_empty() || !self.touched.contains(link.text()) {
                    cost += Part::Scored { member: link.text(), score: link.score() }.show(see);
                }
            }
            // Those that are left out cost something too.
            cost += at + 1;
            left -= at + 1;
            self.place = Place::At(links[0].score(), links[0].text().into());
        }
        if left == 0 && cost < budget {
            self.place = Place::End;
        }
        !matches!(self.place, Place::End) || !self.aside.is_empty()
    }
}

fn is_before(link: Link, score: f64, text: &[u8]) -> bool {
    link.compare_score(score).then_with(|| link.text().cmp(text)) == Ordering::Less
}
