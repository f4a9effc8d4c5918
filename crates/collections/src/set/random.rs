//! Members by chance. `random` gives numbers all of whose bits are random.

use super::{Limits, Probe, Set};
use crate::collection::Collection;
use crate::listpack::{Element, Listpack};
use std::collections::HashSet;

/// If more than one member in so many is wanted, all are walked through. Otherwise members are
/// drawn one after another, until enough different ones were.
const SPARSE: usize = 3;
/// If for each member that stays at least so many go, the set is made anew of those that stay.
const REMAKE: usize = 5;

/// A number below `end`.
#[inline]
fn below(random: u64, end: usize) -> usize {
    ((u128::from(random) * end as u128) >> 64) as usize
}

/// Chooses `count` of the numbers below `len`, all choices alike; in ascending order. There are
/// fewer if `len` is.
fn choose(count: usize, len: usize, mut random: impl FnMut() -> u64) -> Vec<usize> {
    if count >= len {
        return (0..len).collect();
    }
    if count.saturating_mul(SPARSE) > len {
        let mut wanted = count;
        let chosen = (0..len).filter(|index| {
            let is_chosen = wanted > 0 && below(random(), len - index) < wanted;
            wanted -= usize::from(is_chosen);
            is_chosen
        });
        return chosen.collect();
    }
    let mut chosen =
        HashSet::with_capacity_and_hasher(count, foldhash::fast::FixedState::default());
    while chosen.len() < count {
        chosen.insert(below(random(), len));
    }
    let mut chosen: Vec<usize> = chosen.into_iter().collect();
    chosen.sort_unstable();
    chosen
}

impl Set {
    /// Some member, each as likely as any other; `None` if there is none.
    pub fn draw(&self, mut random: impl FnMut() -> u64) -> Option<Element<'_>> {
        match self {
            Set::Table(members) => members.draw(random).map(Element::Bytes),
            _ if self.is_empty() => None,
            Set::Ints(ints) => Some(Element::Integer(ints.get(below(random(), ints.len())))),
            Set::Packed(listpack) => {
                let at = listpack.seek(below(random(), listpack.len()) as i64)?;
                Some(listpack.get(at))
            }
        }
    }

    /// Shows `count` members by chance, each drawn from all of them, as long as `see` wants more.
    /// An empty set shows none.
    pub fn draw_many(
        &self,
        count: usize,
        mut random: impl FnMut() -> u64,
        mut see: impl FnMut(Element<'_>) -> bool,
    ) {
        // A listpack is walked once, not for each of the members.
        let walked: Vec<Element<'_>> = match self {
            Set::Packed(listpack) if count > 1 => listpack.iter().collect(),
            _ => Vec::new(),
        };
        for _ in 0..count {
            let drawn = match walked.len() {
                0 => self.draw(&mut random),
                len => Some(walked[below(random(), len)]),
            };
            let Some(drawn) = drawn else { return };
            if !see(drawn) {
                return;
            }
        }
    }

    /// Shows `count` different members by chance, or all if there are fewer. Every choice of
    /// members is as likely as any other, but not their order.
    pub fn sample(
        &self,
        count: usize,
        mut random: impl FnMut() -> u64,
        mut see: impl FnMut(Element<'_>),
    ) {
        match self {
            Set::Table(members) if count.saturating_mul(SPARSE) <= members.len() => {
                let hasher = foldhash::fast::FixedState::default();
                let mut seen = HashSet::with_capacity_and_hasher(count, hasher);
                while seen.len() < count {
                    let Some(text) = members.draw(&mut random) else { return };
                    // A member's address tells it from others.
                    if seen.insert(text.as_ptr() as usize) {
                        see(Element::Bytes(text));
                    }
                }
            }
            Set::Ints(ints) => {
                let chosen = choose(count, ints.len(), random);
                chosen.into_iter().for_each(|index| see(Element::Integer(ints.get(index))));
            }
            Set::Packed(_) | Set::Table(_) => {
                let mut chosen = choose(count, self.len(), random).into_iter().peekable();
                for (index, member) in self.iter().enumerate() {
                    if chosen.next_if_eq(&index).is_some() {
                        see(member);
                    }
                }
            }
        }
    }

    /// Takes some member out, each as likely as any other, and shows it. Nothing happens to an
    /// empty set.
    pub fn pop(&mut self, mut random: impl FnMut() -> u64, see: impl FnOnce(Element<'_>)) {
        match self {
            Set::Table(members) => {
                members.pop(random, |text| see(Element::Bytes(text)));
            }
            _ if self.is_empty() => {}
            Set::Ints(ints) => {
                let number = ints.get(below(random(), ints.len()));
                ints.remove(number);
                see(Element::Integer(number));
            }
            Set::Packed(listpack) => {
                let index = below(random(), listpack.len());
                if let Some(at) = listpack.seek(index as i64) {
                    see(listpack.get(at));
                    listpack.remove(at);
                }
            }
        }
    }

    /// Takes `count` different members out and shows them: every choice of members is as likely as
    /// any other. All members go if there are no more than `count`.
    pub fn pop_many(
        &mut self,
        count: usize,
        limits: &Limits,
        mut random: impl FnMut() -> u64,
        mut see: impl FnMut(Element<'_>),
    ) {
        let len = self.len();
        let remaining = len.saturating_sub(count);
        let remakes = remaining > 0 && remaining.saturating_mul(REMAKE) <= count;
        let mut chosen = match self {
            // Members that a capture still needs would go with the old table.
            Set::Table(members) if remakes && !members.is_captured() => {
                let staying = self.split_off(remaining, limits, random);
                let going = std::mem::replace(self, staying);
                return going.iter().for_each(see);
            }
            Set::Table(_) => {
                return (0..count.min(len)).for_each(|_| self.pop(&mut random, &mut see));
            }
            Set::Ints(_) | Set::Packed(_) => choose(count, len, random).into_iter().peekable(),
        };
        match self {
            Set::Ints(ints) => {
                chosen.clone().for_each(|index| see(Element::Integer(ints.get(index))));
                ints.retain(|index| chosen.next_if_eq(&index).is_none());
                if remakes {
                    // As narrow as what stays needs.
                    *ints = ints.iter().collect();
                }
            }
            Set::Packed(listpack) => {
                let mut staying = Listpack::new();
                for (index, member) in listpack.iter().enumerate() {
                    match member {
                        _ if chosen.next_if_eq(&index).is_some() => see(member),
                        Element::Integer(number) => staying.push_integer(number),
                        Element::Bytes(text) => staying.push(text),
                    }
                }
                *listpack = staying;
            }
            Set::Table(_) => unreachable!("tables were treated above"),
        }
    }

    /// Moves `count` members by chance to a new set, which begins as a listpack and keeps within
    /// the limits.
    fn split_off(&mut self, count: usize, limits: &Limits, random: impl FnMut() -> u64) -> Set {
        let mut moved = Set::Packed(Listpack::new());
        self.sample(count, random, |member| moved.insert_new(&mut Probe::of(member), limits));
        for member in moved.iter() {
            self.remove(&mut Probe::of(member));
        }
        moved
    }
}
