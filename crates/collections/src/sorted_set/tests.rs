//! The sorted set in both forms against a plain model.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const SMALL: Limits = Limits { entries: 12, value: 20 };

/// Scores that sort as integers.
fn key(score: f64) -> u64 {
    link::ordered(score)
}

#[derive(Default)]
struct Model {
    scores: BTreeMap<Vec<u8>, f64>,
    order: BTreeSet<(u64, Vec<u8>)>,
}

impl Model {
    fn put(&mut self, member: &[u8], score: f64) {
        self.remove(member);
        self.scores.insert(member.to_vec(), score);
        self.order.insert((key(score), member.to_vec()));
    }

    fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let score = self.scores.remove(member)?;
        self.order.remove(&(key(score), member.to_vec()));
        Some(score)
    }

    fn content(&self) -> Vec<(Vec<u8>, f64)> {
        self.order.iter().map(|(_, member)| (member.clone(), self.scores[member])).collect()
    }
}

fn content(iter: Iter<'_>) -> Vec<(Vec<u8>, f64)> {
    iter.map(|(member, score)| (member.to_vec(), score)).collect()
}

fn put(set: &mut SortedSet, member: &[u8], score: f64, limits: Limits) {
    let seat = set.find(member);
    set.put(member, seat, score, limits);
}

fn remove(set: &mut SortedSet, member: &[u8]) -> Option<f64> {
    let seat = set.find(member);
    set.remove(member, seat)
}

fn validate(set: &SortedSet) {
    match set {
        SortedSet::Tree(tree) => tree.validate(),
        SortedSet::Packed(pack) => {
            assert_eq!(SortedSet::from_listpack(pack.clone()).as_ref(), Ok(set));
            assert_eq!(packed::check(pack), Ok(true));
        }
    }
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        3 => (-5i32..5).prop_map(f64::from),
        1 => (-5i32..5).prop_map(|n| 1.0 + f64::from(n) * f64::EPSILON),
        1 => any::<f64>().prop_filter("a score", |score| !score.is_nan()),
        1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY)],
    ]
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0u32..40).prop_map(|n| n.to_string().into_bytes()),
        4 => (0u32..40).prop_map(|n| format!("m{n}").into_bytes()),
        1 => (0usize..30).prop_map(|n| vec![b'x'; n]),
    ]
}

#[derive(Debug, Clone)]
enum Op {
    Put(Vec<u8>, f64),
    Remove(Vec<u8>),
    RemoveRanks(usize, usize),
    MakeRoom(usize),
    Copy,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (member(), score()).prop_map(|(member, score)| Op::Put(member, score)),
        3 => member().prop_map(Op::Remove),
        1 => (0usize..20, 0usize..6).prop_map(|(at, count)| Op::RemoveRanks(at, count)),
        1 => (0usize..14).prop_map(Op::MakeRoom),
        1 => Just(Op::Copy),
    ]
}

fn apply(op: Op, set: &mut SortedSet, model: &mut Model) {
    match op {
        Op::Put(member, score) => {
            put(set, &member, score, SMALL);
            model.put(&member, score);
        }
        Op::Remove(member) => assert_eq!(remove(set, &member), model.remove(&member)),
        Op::RemoveRanks(at, count) => {
            set.remove_ranks(at..at + count);
            for (member, _) in model.content().iter().skip(at).take(count) {
                model.remove(member);
            }
        }
        Op::MakeRoom(entries) => {
            let lacks = set.lacks_room(entries, 0, SMALL);
            set.make_room(entries, 0, SMALL);
            if lacks {
                assert_eq!(set.encoding(), "skiplist");
            }
        }
        Op::Copy => *set = set.clone(),
    }
}

fn check_ranges(set: &SortedSet, model: &Model, a: f64, b: f64, excluded: (bool, bool)) {
    let range = ScoreRange { min: a, min_excluded: excluded.0, max: b, max_excluded: excluded.1 };
    let expected: Vec<_> = model
        .content()
        .into_iter()
        .filter(|&(_, score)| {
            (score > a || score == a && !excluded.0) && (score < b || score == b && !excluded.1)
        })
        .collect();
    let ranks = set.ranks_by_score(&range);
    assert_eq!(content(set.range(ranks.clone(), false)), expected);
    let backwards: Vec<_> = expected.into_iter().rev().collect();
    assert_eq!(content(set.range(ranks, true)), backwards);
}

/// A set of members in any order; the later one of two that are the same counts.
fn from_members<'a>(members: impl Iterator<Item = (&'a [u8], f64)>, limits: Limits) -> SortedSet {
    let mut set = SortedSet::new();
    for (member, score) in members {
        let seat = set.find(member);
        set.put(member, seat, score, limits);
    }
    set
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn behaves_as_a_sorted_map(
        ops in proptest::collection::vec(op(), 0..120),
        bounds in proptest::collection::vec((score(), score(), any::<(bool, bool)>()), 4),
    ) {
        let (mut set, mut model) = (SortedSet::new(), Model::default());
        for op in ops {
            let was_tree = set.encoding() == "skiplist";
            apply(op, &mut set, &mut model);
            prop_assert_eq!(set.len(), model.scores.len());
            let fits = set.len() <= SMALL.entries;
            prop_assert!(set.encoding() == "skiplist" || fits && !was_tree);
            validate(&set);
        }
        prop_assert_eq!(content(set.iter()), model.content());
        for (rank, (member, score)) in model.content().iter().enumerate() {
            prop_assert_eq!(set.rank(member), Some((rank, *score)));
            prop_assert_eq!(set.score(member), Some(*score));
        }
        prop_assert_eq!(set.rank(b"not there"), None);
        for (a, b, excluded) in bounds {
            check_ranges(&set, &model, a, b, excluded);
        }
    }

    #[test]
    fn ranges_of_texts(
        members in proptest::collection::btree_set(member(), 0..60),
        (a, b) in (member(), member()), excluded: (bool, bool), entries in 0usize..100,
    ) {
        let limits = Limits { entries, value: 100 };
        let set = from_members(members.iter().map(|m| (&m[..], 7.0)), limits);
        prop_assert_eq!(set.encoding() == "listpack", members.len() <= entries);
        let bound = |text, excluded| if excluded { LexBound::Excluded(text) } else { LexBound::Included(text) };
        let found = |min, max| -> Vec<Vec<u8>> {
            set.range(set.ranks_by_lex(&LexRange { min, max }), false).map(|(m, _)| m.to_vec()).collect()
        };
        let expected: Vec<Vec<u8>> = members.iter().filter(|m| {
            (**m > a || **m == a && !excluded.0) && (**m < b || **m == b && !excluded.1)
        }).cloned().collect();
        prop_assert_eq!(found(bound(&a, excluded.0), bound(&b, excluded.1)), expected);
        prop_assert_eq!(found(LexBound::Least, LexBound::Greatest).len(), members.len());
        prop_assert_eq!(found(LexBound::Greatest, LexBound::Least).len(), 0);
    }

    #[test]
    fn hostile_listpacks_are_refused_or_whole(
        pairs in proptest::collection::vec((member(), prop_oneof![
            score().prop_map(|score| crate::DoubleText::default().format(score).as_bytes().to_vec()),
            Just(b"nan".to_vec()), Just(b"".to_vec()), member(),
        ]), 0..8),
        odd: bool,
    ) {
        let mut pack = Listpack::new();
        for (member, score) in &pairs {
            pack.push(member);
            pack.push(score);
        }
        if odd {
            pack.push(b"odd");
        }
        let members: BTreeSet<_> = pairs.iter().map(|(member, _)| member).collect();
        let numbers = pairs.iter().all(|(_, score)| crate::parse_double(score).is_some());
        match SortedSet::from_listpack(pack) {
            Ok(set) => {
                prop_assert!(numbers && !odd && members.len() == pairs.len());
                prop_assert_eq!(set.len(), pairs.len());
                validate(&set);
            }
            Err(Corrupt) => prop_assert!(!numbers || odd || members.len() < pairs.len()),
        }
    }
}

/// A plain generator, so that runs of many steps stay quick.
struct Steps(u64);

impl Steps {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

#[test]
fn deep_trees_grow_change_and_empty() {
    for seed in 1..=12 {
        let mut steps = Steps(seed * 0x9E37_79B9);
        let (mut set, mut model) =
            (SortedSet::with_room(0, 1, Limits { entries: 0, value: 0 }), Model::default());
        // Phases that mostly add and mostly remove, in random, rising and falling order.
        for phase in 0..6 {
            for n in 0..6_000u64 {
                let score = match (seed + phase) % 3 {
                    0 => steps.next(1_000) as f64,
                    1 => n as f64,
                    _ => -(n as f64) / 3.0,
                };
                let member = format!("m{}", steps.next(9_000)).into_bytes();
                if steps.next(10) < if phase % 2 == 0 { 8 } else { 2 } {
                    put(&mut set, &member, score, SMALL);
                    model.put(&member, score);
                } else {
                    assert_eq!(remove(&mut set, &member), model.remove(&member), "seed {seed}");
                }
            }
            validate(&set);
            let content_ = model.content();
            assert_eq!(content(set.iter()), content_, "seed {seed}");
            for (rank, (member, score)) in content_.iter().enumerate().step_by(97) {
                assert_eq!(set.rank(member), Some((rank, *score)), "seed {seed}");
            }
        }
        let len = set.len();
        set.remove_ranks(10..len - 10);
        validate(&set);
        assert_eq!(set.len(), 20);
        set.remove_ranks(0..20);
        validate(&set);
        assert!(set.is_empty());
    }
}

#[test]
fn leaves_are_well_filled_in_any_order() {
    const COUNT: u64 = 100_000;
    let full = COUNT as usize / node::LEAF;
    let mut steps = Steps(7);
    let random: Vec<u64> = (0..COUNT).map(|_| steps.next(1 << 40)).collect();
    for (name, scores, at_most) in [
        ("rising", (0..COUNT).collect::<Vec<_>>(), full * 106 / 100),
        ("falling", (0..COUNT).rev().collect(), full * 130 / 100),
        ("random", random, full * 128 / 100),
    ] {
        let mut tree = Ordered::default();
        for (n, score) in scores.into_iter().enumerate() {
            let member = format!("member:{n}").into_bytes();
            tree.insert(&member, hasher().hash(&member), score as f64);
        }
        tree.validate();
        assert!(tree.nodes() <= at_most, "{name}: {} nodes, {full} full leaves", tree.nodes());
    }
}

#[test]
fn a_scan_meets_every_member() {
    for count in [0, 5, 12, 5_000] {
        let members: BTreeSet<Vec<u8>> = (0..count).map(|n| format!("m{n}").into_bytes()).collect();
        let set = from_members(members.iter().map(|m| (&m[..], m.len() as f64)), SMALL);
        let (mut cursor, mut met) = (0, BTreeSet::new());
        loop {
            cursor = set.scan(cursor, |member, score| {
                assert_eq!(member.len() as f64, score);
                met.insert(member.to_vec());
            });
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(met, members);
    }
}

#[test]
fn scores_are_kept_as_redis_keeps_them() {
    // The listpack of ZADD z 1.5 b 2 a -0 c inf d (Redis 7.2), as DUMP shows it.
    let limits = Limits { entries: 128, value: 64 };
    let members: [(&[u8], f64); 4] =
        [(b"b", 1.5), (b"a", 2.0), (b"c", -0.0), (b"d", f64::INFINITY)];
    let set = from_members(members.into_iter(), limits);
    let pack = set.as_listpack().expect("it is small");
    let texts: Vec<String> =
        pack.iter().map(|element| String::from_utf8(element.to_vec()).expect("text")).collect();
    assert_eq!(texts, ["c", "0", "b", "1.5", "a", "2", "d", "inf"]);
    assert_eq!(pack.get(pack.seek(1).expect("the first score")), Element::Integer(0));
    let sorted = SortedSet::from_sorted(
        [(Element::Bytes(b"x"), -0.0)].into_iter(),
        Limits { entries: 0, value: 0 },
    );
    assert_eq!(sorted.score(b"x").map(f64::is_sign_negative), Some(true));
    assert!(sorted.memory(0) > 1024);
}
