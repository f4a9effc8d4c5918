//! Intersection, union and difference of sets. The operands are read in place; the members that are
//! shown are borrowed from them.
//!
//! The functions whose names end in `_set` make a new set, in the form that the same command of
//! Redis leaves it in.

use super::{IntSet, Limits, Probe, Set};
use crate::collection::Collection;
use crate::hasher::{KeyHasher, hasher};
use crate::listpack::{Element, Listpack};
use std::collections::HashSet;
use std::ops::ControlFlow;

/// Members of several sets, each once. Integers are kept as such, whichever form their set has.
type Distinct<'a> = HashSet<Element<'a>, &'static KeyHasher>;

/// The same member of any set is the same element.
#[inline]
fn normal(member: Element<'_>) -> Element<'_> {
    match member {
        Element::Bytes(text) => Element::of(text),
        integer => integer,
    }
}

/// Calls `see` with the members that all sets have, until it breaks. The sets are sorted by size,
/// since the smallest is walked through. Without any set it shows none.
pub fn intersection<'a>(sets: &mut [&'a Set], mut see: impl FnMut(Element<'a>) -> ControlFlow<()>) {
    sets.sort_by_key(|set| set.len());
    let Some((smallest, others)) = sets.split_first() else { return };
    for member in smallest.iter() {
        let mut probe = Probe::of(member);
        if others.iter().all(|set| set.contains(&mut probe)) && see(member).is_break() {
            return;
        }
    }
}

/// The set of the members that all sets have.
pub fn intersection_set(sets: &mut [&Set], limits: &Limits) -> Set {
    let smallest = sets.iter().min_by_key(|set| set.len());
    let mut result = match smallest {
        None | Some(Set::Ints(_)) => Set::Ints(IntSet::new()),
        Some(Set::Packed(_) | Set::Table(_)) => Set::Packed(Listpack::new()),
    };
    intersection(sets, |member| {
        result.insert_new(&mut Probe::of(member), limits);
        ControlFlow::Continue(())
    });
    result.settle(limits);
    result
}

/// Calls `see` with the members of all sets, each once.
pub fn union<'a>(sets: &[&'a Set], mut see: impl FnMut(Element<'a>)) {
    if let [set] = sets {
        return set.iter().for_each(see);
    }
    if sets.iter().all(|set| matches!(set, Set::Ints(_))) {
        let mut members: Vec<i64> =
            sets.iter().flat_map(|set| set.iter()).filter_map(integer_of).collect();
        members.sort_unstable();
        members.dedup();
        return members.into_iter().for_each(|number| see(Element::Integer(number)));
    }
    let largest = sets.iter().map(|set| set.len()).max().unwrap_or(0);
    let mut seen = Distinct::with_capacity_and_hasher(largest, hasher());
    for member in sets.iter().flat_map(|set| set.iter()) {
        if seen.insert(normal(member)) {
            see(member);
        }
    }
}

fn integer_of(member: Element<'_>) -> Option<i64> {
    match normal(member) {
        Element::Integer(number) => Some(number),
        Element::Bytes(_) => None,
    }
}

/// The set of the members of all sets.
pub fn union_set(sets: &[&Set], limits: &Limits) -> Set {
    let mut result = Set::Ints(IntSet::new());
    for member in sets.iter().flat_map(|set| set.iter()) {
        result.insert(&mut Probe::of(member), limits);
    }
    result
}

/// Whether it is cheaper to look up each member of the first set in all others than to go through
/// all sets; the former gets some advantage, since it can stop at the first set which has the
/// member.
fn prefers_lookup(first: &Set, others: &[&Set]) -> bool {
    let lookups = first.len() as u128 * (others.len() as u128 + 1);
    let members = others.iter().fold(first.len() as u128, |sum, set| sum + set.len() as u128);
    lookups / 2 <= members
}

/// Sorts the sets so that a member which some of them have is found soon.
fn largest_first(sets: &mut [&Set]) {
    sets.sort_by_key(|set| std::cmp::Reverse(set.len()));
}

/// Calls `see` with the members of the first set that none of the others has.
pub fn difference<'a>(first: &'a Set, others: &mut [&'a Set], mut see: impl FnMut(Element<'a>)) {
    if prefers_lookup(first, others) {
        largest_first(others);
        for member in first.iter() {
            let mut probe = Probe::of(member);
            if !others.iter().any(|set| set.contains(&mut probe)) {
                see(member);
            }
        }
        return;
    }
    let mut left = Distinct::with_capacity_and_hasher(first.len(), hasher());
    left.extend(first.iter().map(normal));
    for set in others {
        if left.is_empty() {
            return;
        }
        for member in set.iter() {
            left.remove(&normal(member));
        }
    }
    first.iter().filter(|member| left.contains(&normal(*member))).for_each(see);
}

/// The set of the members of the first set that none of the others has.
pub fn difference_set<'a>(first: &'a Set, others: &mut [&'a Set], limits: &Limits) -> Set {
    let mut result = Set::Ints(IntSet::new());
    if prefers_lookup(first, others) {
        difference(first, others, |member| result.insert_new(&mut Probe::of(member), limits));
        return result;
    }
    // Removing keeps the form that all members of the first set need, as in Redis.
    first.iter().for_each(|member| result.insert_new(&mut Probe::of(member), limits));
    for set in others {
        if result.is_empty() {
            break;
        }
        for member in set.iter() {
            result.remove(&mut Probe::of(member));
        }
    }
    result
}
