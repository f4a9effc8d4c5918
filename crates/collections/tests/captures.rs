//! Captures of hashes, sets and sorted sets: they show the value as it was when they began,
//! whatever is changed meanwhile.

use proptest::prelude::*;
use std::collections::BTreeMap;
use tessera_collections::capture::Part;
use tessera_collections::set::{Limits as SetLimits, Probe};
use tessera_collections::sorted_set::Limits as SortedSetLimits;
use tessera_collections::{Collection, Expiry, Hash, HashLimits, Set, SortedSet};

const HASH: HashLimits = HashLimits { entries: 0, value: 0 };
const SET: SetLimits = SetLimits { intset_entries: 0, listpack_entries: 0, listpack_value: 0 };
const SORTED_SET: SortedSetLimits = SortedSetLimits { entries: 0, value: 0 };

/// A change of a value that is captured.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Adds or changes element number so much, and gives it this value.
    Put(u16, u8),
    Remove(u16),
    /// Removes this many elements in some way of the type's own.
    RemoveSome(u8),
    /// A step of the capture with this budget.
    Step(u16),
}

fn acts(elements: u16) -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (0..elements * 2, any::<u8>()).prop_map(|(at, value)| Act::Put(at, value)),
        4 => (0..elements * 2).prop_map(Act::Remove),
        1 => any::<u8>().prop_map(Act::RemoveSome),
        2 => (0u16..2000).prop_map(Act::Step),
    ];
    proptest::collection::vec(act, 0..300)
}

fn cases() -> impl Strategy<Value = (u16, Vec<Act>)> {
    prop_oneof![1u16..8, 8u16..100, 100u16..800]
        .prop_flat_map(|elements| (Just(elements), acts(elements)))
}

fn name(at: u16) -> Vec<u8> {
    format!("name {at}").into_bytes()
}

/// Elements by name: value and expiry.
type Content = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

/// The parts that have been shown.
#[derive(Default)]
struct Seen {
    length: Option<u64>,
    shown: Content,
}

impl Seen {
    fn take(&mut self, part: Part<'_>) {
        let (name, value) = match part {
            Part::Length(length) => {
                assert!(self.shown.is_empty() && self.length.replace(length).is_none());
                return;
            }
            Part::Member(member) => (member.to_vec(), (Vec::new(), None)),
            Part::Field { name, value, expiry } => (name.to_vec(), (value.to_vec(), expiry)),
            Part::Scored { member, score } => (member.to_vec(), (score.to_string().into(), None)),
            part => panic!("{part:?}"),
        };
        assert!(self.shown.insert(name, value).is_none(), "each is shown once");
    }
}

/// Captures a value, changes it, and shows the rest. It does so twice, since a capture that has
/// ended leaves nothing behind.
fn run<T: Collection>(
    mut value: T,
    acts: &[Act],
    content: impl Fn(&T) -> Content,
    mut act: impl FnMut(&mut T, Act),
) {
    for _ in 0..2 {
        let (expected, mut seen, mut more) = (content(&value), Seen::default(), true);
        assert!(value.is_capturable());
        value.begin_capture();
        for &what in acts {
            match what {
                Act::Step(budget) if more => {
                    more = value.capture_step(usize::from(budget), &mut |part| seen.take(part));
                }
                Act::Step(_) => {}
                what => act(&mut value, what),
            }
        }
        // A copy is not captured.
        let mut copy = value.clone();
        copy.begin_capture();
        drop(copy.end_capture());
        while more {
            more = value.capture_step(100, &mut |part| seen.take(part));
        }
        drop(value.end_capture());
        assert_eq!(seen.length, Some(expected.len() as u64));
        assert_eq!(seen.shown, expected);
    }
}

fn fields_of(hash: &Hash) -> Content {
    let mut fields = Content::new();
    hash.for_each(0, |field| {
        fields.insert(field.name.to_vec(), (field.value.to_vec(), field.expiry));
    });
    fields
}

fn members_of(set: &Set) -> Content {
    set.iter().map(|member| (member.to_vec(), (Vec::new(), None))).collect()
}

fn scores_of(set: &SortedSet) -> Content {
    set.iter().map(|(member, score)| (member.to_vec(), (score.to_string().into(), None))).collect()
}

fn put_score(set: &mut SortedSet, member: &[u8], score: f64) {
    let seat = set.find(member);
    set.put(member, seat, score, SORTED_SET);
}

proptest! {
    #[test]
    fn hashes((elements, acts) in cases()) {
        let mut hash = Hash::new();
        for at in 0..elements {
            let expiry = if at % 3 == 0 { Expiry::At(u64::from(at) + 1) } else { Expiry::Never };
            hash.set(&name(at), b"first", expiry, 0, HASH);
        }
        run(hash, &acts, fields_of, |hash, act| match act {
            Act::Put(at, value) => {
                let expiry = match value % 4 {
                    0 => Expiry::At(u64::from(value) + 1),
                    1 => Expiry::Never,
                    _ => Expiry::Keep,
                };
                hash.set(&name(at), &vec![b'v'; usize::from(value)], expiry, 0, HASH);
                if value % 5 == 0 {
                    hash.persist(&name(at / 2), 0);
                    hash.set_expiry(&name(at / 3), 77, 0, |_| true);
                }
            }
            Act::Remove(at) => {
                hash.remove(&name(at), 0);
            }
            Act::RemoveSome(count) => {
                hash.sweep(u64::from(count), usize::from(count) / 8 + 1, |_| ());
            }
            Act::Step(_) => unreachable!("run does it"),
        });
    }

    #[test]
    fn sets((elements, acts) in cases()) {
        let texts: Vec<_> = (0..elements).map(name).collect();
        let set = Set::table_of(texts.iter().map(|text| &text[..])).expect("no two are the same");
        let mut random = 1u64;
        run(set, &acts, members_of, |set, act| match act {
            Act::Put(at, _) => {
                set.insert(&mut Probe::text_of(&name(at)), &SET);
            }
            Act::Remove(at) => {
                set.remove(&mut Probe::text_of(&name(at)));
            }
            Act::RemoveSome(count) => {
                let draw = || {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    random ^ random >> 29
                };
                set.pop_many(usize::from(count) * 3, &SET, draw, |_| ());
                set.settle(&SetLimits { intset_entries: usize::MAX, ..SET });
            }
            Act::Step(_) => unreachable!("run does it"),
        });
    }

    #[test]
    fn sorted_sets((elements, acts) in cases()) {
        let mut set = SortedSet::new();
        for at in 0..elements {
            put_score(&mut set, &name(at), f64::from(at % 50));
        }
        run(set, &acts, scores_of, |set, act| match act {
            Act::Put(at, value) => put_score(set, &name(at), f64::from(value)),
            Act::Remove(at) => {
                let seat = set.find(&name(at));
                set.remove(&name(at), seat);
            }
            Act::RemoveSome(count) => {
                let start = usize::from(count) % set.len().max(1);
                set.remove_ranks(start..start + usize::from(count));
            }
            Act::Step(_) => unreachable!("run does it"),
        });
    }
}

/// Captures a value, removes all its elements but few, and shows it in steps of this budget; gives
/// how many steps that took.
fn steps_after_removing<T: Collection>(
    value: &mut T,
    budget: usize,
    remove: impl FnOnce(&mut T),
) -> usize {
    value.begin_capture();
    remove(value);
    let (mut seen, mut steps) = (Seen::default(), 1);
    while value.capture_step(budget, &mut |part| seen.take(part)) {
        steps += 1;
    }
    drop(value.end_capture());
    assert_eq!(seen.length, Some(seen.shown.len() as u64));
    steps
}

#[test]
fn what_is_left_out_counts_and_what_has_gone_leaves_nothing_behind() {
    const MANY: u16 = 20_000;
    const BUDGET: usize = 1000;
    /// Steps that it takes at least, and memory of what is left at most.
    const STEPS: usize = MANY as usize * 32 / BUDGET;
    const LITTLE: usize = 2000;
    let texts: Vec<_> = (0..MANY).map(name).collect();

    let mut set = Set::table_of(texts.iter().map(|text| &text[..])).expect("all differ");
    let steps = steps_after_removing(&mut set, BUDGET, |set| {
        for text in &texts[10..] {
            set.remove(&mut Probe::text_of(text));
        }
    });
    assert!(steps >= STEPS && set.memory(0) < LITTLE, "{steps} steps, {}", set.memory(0));

    let mut hash = Hash::new();
    let set_all = |hash: &mut Hash, value: &[u8]| {
        texts.iter().for_each(|name| {
            hash.set(name, value, Expiry::Never, 0, HASH);
        });
    };
    set_all(&mut hash, b"old");
    // All are shown, and all are left out, as they are now; a step may cost a bucket more than it
    // should.
    let steps = steps_after_removing(&mut hash, BUDGET, |hash| set_all(hash, b"new"));
    assert!(steps >= 3 * STEPS / 2, "{steps} steps");

    let mut scores = SortedSet::new();
    texts.iter().for_each(|member| put_score(&mut scores, member, 1.0));
    let steps = steps_after_removing(&mut scores, BUDGET, |scores| {
        texts.iter().for_each(|member| put_score(scores, member, 2.0));
    });
    assert!(steps >= 2 * STEPS, "{steps} steps");
    let steps = steps_after_removing(&mut scores, BUDGET, |scores| {
        scores.remove_ranks(10..usize::from(MANY));
    });
    assert!(steps >= STEPS && scores.memory(0) < LITTLE, "{steps} steps, {}", scores.memory(0));
}
