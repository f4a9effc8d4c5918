//! Unions, intersections and differences of sorted sets and sets.

use super::limits;
use crate::Fail;
use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use tessera_collections::set::Probe;
use tessera_collections::table::Ref;
use tessera_collections::{Collection, Digits, Element, Kind, Set, SortedSet};
use tessera_config::Config;
use tessera_store::{CollectionRef, Entry};

/// An input.
pub(super) enum Source<'a> {
    /// There is no such key.
    Missing,
    /// A sorted set.
    Sorted(CollectionRef<'a, SortedSet>),
    /// A set, whose members all have the score 1.
    Plain(CollectionRef<'a, Set>),
}

impl<'a> Source<'a> {
    /// The input in an entry.
    ///
    /// # Errors
    /// [`Fail::WrongType`] if it is neither a sorted set nor a set.
    pub(super) fn of(entry: Option<Ref<'a, Entry>>) -> Result<Source<'a>, Fail> {
        let Some(entry) = entry else { return Ok(Source::Missing) };
        let source = match entry.kind() {
            Kind::SortedSet => CollectionRef::of(entry).map(Source::Sorted),
            Kind::Set => CollectionRef::of(entry).map(Source::Plain),
            _ => None,
        };
        source.ok_or(Fail::WrongType)
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Source::Missing => 0,
            Source::Sorted(set) => set.len(),
            Source::Plain(set) => set.len(),
        }
    }

    /// Calls `see` with each member and its score until it gives false.
    fn each<'s>(&'s self, mut see: impl FnMut(Element<'s>, f64) -> bool) {
        match self {
            Source::Missing => {}
            Source::Sorted(set) => {
                set.iter().all(|(member, score)| see(member, score));
            }
            Source::Plain(set) => {
                set.iter().all(|member| see(member, 1.0));
            }
        }
    }

    fn score(&self, probe: &mut Probe<'_>) -> Option<f64> {
        match self {
            Source::Missing => None,
            Source::Sorted(set) => set.score_of(probe),
            Source::Plain(set) => set.contains(probe).then_some(1.0),
        }
    }
}

/// An input with the factor for its scores.
pub(super) struct Input<'a> {
    pub(super) source: Source<'a>,
    pub(super) weight: f64,
}

/// The aggregation of one member's scores.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Aggregate {
    /// They are added.
    #[default]
    Sum,
    /// The lowest counts.
    Min,
    /// The highest counts.
    Max,
}

/// A score, or 0 where there is none: of infinities with different signs, and of zero times
/// infinity.
fn number(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

impl Aggregate {
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Aggregate::Sum => number(a + b),
            Aggregate::Min => {
                if b < a {
                    b
                } else {
                    a
                }
            }
            Aggregate::Max => {
                if b > a {
                    b
                } else {
                    a
                }
            }
        }
    }
}

/// Members with scores.
pub(super) struct Combined<'a>(Vec<(Cow<'a, [u8]>, f64)>);

fn text(member: Element<'_>) -> Cow<'_, [u8]> {
    match member {
        Element::Bytes(text) => Cow::Borrowed(text),
        Element::Integer(number) => Cow::Owned(Digits::default().format(number).to_vec()),
    }
}

impl<'a> Combined<'a> {
    /// The members of any input. Their scores are aggregated from the smallest input to the
    /// largest, as Redis does.
    pub(super) fn union(inputs: &'a mut [Input<'_>], aggregate: Aggregate) -> Combined<'a> {
        inputs.sort_by_key(|input| input.source.len());
        let inputs = &*inputs;
        let largest = inputs.last().map_or(0, |input| input.source.len());
        let mut scores: HashMap<Cow<'a, [u8]>, f64> = HashMap::with_capacity(largest);
        for Input { source, weight } in inputs {
            source.each(|member, score| {
                let score = number(weight * score);
                match scores.entry(text(member)) {
                    Place::Vacant(place) => {
                        place.insert(score);
                    }
                    Place::Occupied(mut place) => {
                        *place.get_mut() = aggregate.of(*place.get(), score);
                    }
                }
                true
            });
        }
        Combined::sorted(scores.into_iter().collect())
    }

    /// The members of all inputs.
    pub(super) fn intersection(inputs: &'a mut [Input<'_>], aggregate: Aggregate) -> Combined<'a> {
        let mut members = Vec::new();
        each_common(inputs, aggregate, |member, score| {
            members.push((text(member), score));
            true
        });
        Combined::sorted(members)
    }

    /// The members of the first input that are in no other.
    pub(super) fn difference(inputs: &'a [Input<'_>]) -> Combined<'a> {
        let mut members = Vec::new();
        let Some((first, others)) = inputs.split_first() else { return Combined(members) };
        first.source.each(|member, score| {
            let mut probe = Probe::of(member);
            if others.iter().all(|other| other.source.score(&mut probe).is_none()) {
                members.push((text(member), score));
            }
            true
        });
        Combined::sorted(members)
    }

    fn sorted(mut members: Vec<(Cow<'a, [u8]>, f64)>) -> Combined<'a> {
        members.sort_unstable_by(|(a, x), (b, y)| {
            x.partial_cmp(y).expect("no score is NaN").then_with(|| a.cmp(b))
        });
        Combined(members)
    }

    /// The members in order.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (Element<'_>, f64)> + Clone {
        self.0.iter().map(|(member, score)| (Element::Bytes(member), *score))
    }

    /// The sorted set of them.
    pub(super) fn to_set(&self, config: &Config) -> SortedSet {
        SortedSet::from_sorted(self.iter(), limits(config))
    }
}

/// How many members all inputs have in common; counts no further than `limit`.
pub(super) fn count_common(inputs: &mut [Input<'_>], limit: usize) -> usize {
    let mut count = 0;
    each_common(inputs, Aggregate::Sum, |_, _| {
        count += 1;
        count < limit
    });
    count
}

/// Calls `see` with the members of all inputs until it gives false.
fn each_common<'a>(
    inputs: &'a mut [Input<'_>],
    aggregate: Aggregate,
    mut see: impl FnMut(Element<'a>, f64) -> bool,
) {
    inputs.sort_by_key(|input| input.source.len());
    let Some((first, others)) = inputs.split_first() else { return };
    first.source.each(|member, score| {
        let (mut probe, mut total) = (Probe::of(member), number(first.weight * score));
        for Input { source, weight } in others {
            let Some(score) = source.score(&mut probe) else { return true };
            total = aggregate.of(total, weight * score);
        }
        see(member, number(total))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_zero() {
        let inf = f64::INFINITY;
        assert_eq!(Aggregate::Sum.of(inf, -inf), 0.0);
        assert_eq!(Aggregate::Min.of(inf, -inf), -inf);
        assert_eq!(Aggregate::Max.of(1.0, 2.0), 2.0);
        assert_eq!(number(0.0 * inf), 0.0);
    }
}
