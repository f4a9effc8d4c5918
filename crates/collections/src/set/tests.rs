//! The set against a plain model, with the conversions of Redis at the thresholds.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const LIMITS: Limits = Limits { intset_entries: 8, listpack_entries: 6, listpack_value: 10 };

fn content(set: &Set) -> BTreeSet<Vec<u8>> {
    let members: Vec<_> = set.iter().map(Element::to_vec).collect();
    let content: BTreeSet<_> = members.iter().cloned().collect();
    assert_eq!((content.len(), set.len()), (members.len(), members.len()), "none comes twice");
    content
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => (-10i64..20).prop_map(|n| n.to_string().into_bytes()),
        2 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        2 => "[a-d]{0,2}".prop_map(String::into_bytes),
        1 => "0[0-9]".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 9..12),
        1 => (250usize..260).prop_map(|len| vec![b'x'; len]),
    ]
}

/// xorshift64*.
fn random_of(seed: u64) -> impl FnMut() -> u64 {
    let mut x = seed | 1;
    move || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

#[derive(Debug, Clone)]
enum Op {
    Insert(Vec<u8>),
    Remove(Vec<u8>),
    Pop,
    PopMany(usize),
    Settle,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        20 => text().prop_map(Op::Insert),
        6 => text().prop_map(Op::Remove),
        2 => Just(Op::Pop),
        1 => (0usize..12).prop_map(Op::PopMany),
        1 => Just(Op::Settle),
    ]
}

fn apply(op: Op, set: &mut Set, model: &mut BTreeSet<Vec<u8>>, mut random: impl FnMut() -> u64) {
    match op {
        Op::Insert(text) => {
            let is_new = set.insert(&mut Probe::text_of(&text), &LIMITS);
            assert_eq!(is_new, model.insert(text));
        }
        Op::Remove(text) => {
            assert_eq!(set.remove(&mut Probe::text_of(&text)), model.remove(&text));
        }
        Op::Pop => {
            let mut popped = None;
            set.pop(&mut random, |member| popped = Some(member.to_vec()));
            assert_eq!(popped.is_some(), !model.is_empty());
            popped.into_iter().for_each(|text| assert!(model.remove(&text)));
        }
        Op::PopMany(count) => {
            let (before, mut popped) = (model.len(), 0);
            set.pop_many(count, &LIMITS, &mut random, |member| {
                popped += 1;
                assert!(model.remove(&member.to_vec()));
            });
            assert_eq!(popped, count.min(before));
        }
        Op::Settle => set.settle(&LIMITS),
    }
}

fn is_compact(set: &Set) -> bool {
    match set {
        Set::Ints(ints) => ints.len() <= LIMITS.intset_entries,
        Set::Packed(listpack) => {
            listpack.len() <= LIMITS.listpack_entries
                && set.iter().all(|member| member.text_len() <= LIMITS.listpack_value)
        }
        Set::Table(_) => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn behaves_as_a_set(first in text(), count in 0usize..12, ops in proptest::collection::vec(op(), 0..80), seed: u64) {
        let mut random = random_of(seed);
        let mut set = Set::for_members(&mut Probe::text_of(&first), count, &LIMITS);
        let mut model = BTreeSet::new();
        for op in ops {
            let probe = if let Op::Insert(text) | Op::Remove(text) = &op { text.clone() } else { Vec::new() };
            apply(op, &mut set, &mut model, &mut random);
            prop_assert_eq!(set.len(), model.len());
            prop_assert_eq!(set.contains(&mut Probe::text_of(&probe)), model.contains(&probe));
            prop_assert!(is_compact(&set), "{:?}", set);
        }
        prop_assert_eq!(content(&set), model.clone());
        prop_assert_eq!(content(&set.clone()), model.clone());
        for member in set.iter() {
            prop_assert!(set.contains(&mut Probe::of(member)));
        }
        // SAFETY: the parts are used once.
        let set = unsafe {
            let (form, pointer) = set.into_parts();
            Set::from_parts(form, pointer)
        };
        prop_assert_eq!(content(&set), model);
    }

    #[test]
    fn samples_are_different_members(
        texts in proptest::collection::btree_set(text(), 1..40), count in 0usize..50, seed: u64,
    ) {
        let mut set = Set::Ints(IntSet::new());
        texts.iter().for_each(|text| set.insert_new(&mut Probe::text_of(text), &LIMITS));
        let mut seen = BTreeSet::new();
        set.sample(count, random_of(seed), |member| assert!(seen.insert(member.to_vec())));
        prop_assert_eq!(seen.len(), count.min(texts.len()));
        prop_assert!(seen.is_subset(&texts));
        let mut drawn = 0;
        set.draw_many(count, random_of(seed), |member| {
            drawn += 1;
            assert!(texts.contains(&member.to_vec()));
            true
        });
        prop_assert_eq!(drawn, count);
        let mut wanted = 2;
        set.draw_many(count, random_of(seed), |_| {
            wanted -= 1;
            wanted > 0
        });
        prop_assert_eq!(2 - wanted, count.min(2));
    }

    #[test]
    fn algebra(
        texts in proptest::collection::vec(proptest::collection::btree_set(text(), 0..20), 1..6),
        small in any::<bool>(),
    ) {
        let limits = if small { LIMITS } else { Limits { intset_entries: 64, listpack_entries: 64, ..LIMITS } };
        let sets: Vec<Set> = texts.iter().map(|texts| {
            let mut set = Set::Ints(IntSet::new());
            texts.iter().for_each(|text| set.insert_new(&mut Probe::text_of(text), &limits));
            set
        }).collect();
        let mut operands: Vec<&Set> = sets.iter().collect();
        let (mut shown, mut count) = (BTreeSet::new(), 0);
        let mut see = |member: Element<'_>| assert!(shown.insert(member.to_vec()), "each once");

        algebra::union(&operands, &mut see);
        let union: BTreeSet<_> = texts.iter().flatten().cloned().collect();
        prop_assert_eq!(std::mem::take(&mut shown), union.clone());
        prop_assert_eq!(content(&algebra::union_set(&operands, &limits)), union);

        let mut see = |member: Element<'_>| assert!(shown.insert(member.to_vec()), "each once");
        let (first, others) = operands.split_first_mut().expect("one at least");
        algebra::difference(first, others, &mut see);
        let is_elsewhere = |text: &Vec<u8>| texts[1..].iter().any(|other| other.contains(text));
        let difference: BTreeSet<_> = texts[0].iter().filter(|text| !is_elsewhere(text)).cloned().collect();
        prop_assert_eq!(std::mem::take(&mut shown), difference.clone());
        prop_assert_eq!(content(&algebra::difference_set(first, others, &limits)), difference);

        let is_everywhere = |text: &&Vec<u8>| texts.iter().all(|other| other.contains(*text));
        let intersection: BTreeSet<_> = texts[0].iter().filter(is_everywhere).cloned().collect();
        let result = algebra::intersection_set(&mut operands, &limits);
        prop_assert_eq!(content(&result), intersection.clone());
        let integers = result.iter().all(|member| Probe::of(member).integer().is_some());
        let is_few = result.len() <= limits.intset_entries;
        prop_assert_eq!(integers && is_few, result.encoding() == "intset");
        algebra::intersection(&mut operands, |member| {
            count += 1;
            assert!(intersection.contains(&member.to_vec()));
            if count == 2 { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
        });
        prop_assert_eq!(count, intersection.len().min(2));
    }

    #[test]
    fn a_table_takes_members_once(texts in proptest::collection::vec("[a-c]{0,2}", 0..6)) {
        let distinct: BTreeSet<&String> = texts.iter().collect();
        let set = Set::table_of(texts.iter().map(String::as_bytes));
        prop_assert_eq!(set.is_ok(), distinct.len() == texts.len());
        if let Ok(set) = set {
            prop_assert_eq!(set.encoding(), "hashtable");
            prop_assert_eq!(content(&set), distinct.iter().map(|text| text.as_bytes().to_vec()).collect());
        }
    }
}

/// The encoding after the insertion of each of the words into an empty intset.
fn encodings(words: &str, limits: &Limits) -> Vec<&'static str> {
    let mut set = Set::Ints(IntSet::new());
    let insert = |word: &str| {
        set.insert(&mut Probe::text_of(word.as_bytes()), limits);
        set.encoding()
    };
    words.split(' ').map(insert).collect()
}

#[test]
fn forms_change_as_in_redis() {
    let limits = Limits { intset_entries: 3, listpack_entries: 2, listpack_value: 4 };
    for (words, expected) in [
        ("1 2 3 4", "intset intset intset hashtable"),
        ("1 a b", "intset listpack hashtable"),
        ("1 2 a", "intset intset hashtable"),
        ("1 toolong", "intset hashtable"),
        // An integer that is too long for a listpack is one beside a text too.
        ("12345 a", "intset hashtable"),
        ("-1234 a", "intset hashtable"),
        ("a 1 1 a 2", "listpack listpack listpack listpack hashtable"),
        ("a 12345", "listpack hashtable"),
        ("01 1", "listpack listpack"),
    ] {
        assert_eq!(encodings(words, &limits).join(" "), expected, "{words}");
    }
    assert_eq!(encodings("1", &Limits { intset_entries: 0, ..limits }), ["hashtable"]);
    assert_eq!(encodings("a", &Limits { listpack_entries: 0, ..limits }), ["hashtable"]);
}

#[test]
fn a_new_set_has_the_form_that_its_members_suggest() {
    for (first, count, encoding) in [
        ("1", 8, "intset"),
        ("1", 9, "hashtable"),
        ("a", 6, "listpack"),
        ("a", 7, "hashtable"),
        ("1 ", 1, "listpack"),
    ] {
        let mut first = Probe::text_of(first.as_bytes());
        assert_eq!(Set::for_members(&mut first, count, &LIMITS).encoding(), encoding);
    }
    let mut set = Set::Packed(Listpack::new());
    assert!(!set.lacks_room(6, &LIMITS) && set.lacks_room(7, &LIMITS));
    set.make_room(6, &LIMITS);
    assert_eq!(set.encoding(), "listpack");
    set.make_room(7, &LIMITS);
    assert_eq!(set.encoding(), "hashtable");
}

#[test]
fn a_table_which_nearly_all_leave_is_made_anew() {
    let make = || {
        let texts: Vec<String> = (0..60).map(|n| format!("member:{n}")).collect();
        Set::table_of(texts.iter().map(String::as_bytes)).expect("all are different")
    };
    let short = Limits { listpack_value: 7, ..LIMITS };
    for (count, limits, encoding) in [
        // 10 and more stay: too many for a listpack.
        (49, LIMITS, "hashtable"),
        (50, LIMITS, "hashtable"),
        (55, LIMITS, "listpack"),
        (55, short, "hashtable"),
    ] {
        let mut set = make();
        set.pop_many(count, &limits, random_of(1), |_| {});
        assert_eq!((set.len(), set.encoding()), (60 - count, encoding), "{count} {limits:?}");
    }
}

/// Chi-squared of as many draws as make 100 for each of 64 members, against all alike; 63 degrees
/// of freedom.
fn unfairness(set: &Set, mut draw: impl FnMut(&Set, &mut dyn FnMut(Element<'_>))) -> f64 {
    let mut counts = std::collections::BTreeMap::<Vec<u8>, u32>::new();
    let mut drawn = 0;
    while drawn < 6400 {
        draw(set, &mut |member| {
            *counts.entry(member.to_vec()).or_default() += 1;
            drawn += 1;
        });
    }
    let expected = f64::from(drawn) / 64.0;
    let missing = (64 - counts.len()) as f64 * expected;
    let square = |count: &u32| (f64::from(*count) - expected).powi(2) / expected;
    counts.values().map(square).sum::<f64>() + missing
}

#[test]
fn all_members_are_drawn_alike() {
    let limits = |listpack_entries, intset_entries| Limits {
        intset_entries,
        listpack_entries,
        listpack_value: 64,
    };
    for (prefix, limits) in
        [("", limits(0, 64)), ("m", limits(64, 0)), ("m", limits(0, 0)), ("", limits(0, 0))]
    {
        let mut set = Set::Ints(IntSet::new());
        for n in 0..64 {
            let text = format!("{prefix}{n}");
            set.insert(&mut Probe::text_of(text.as_bytes()), &limits);
        }
        let mut random = random_of(0x5eed);
        // 63 degrees of freedom: above 104 once in a thousand.
        let one = unfairness(&set, |set, see| see(set.draw(&mut random).expect("a member")));
        assert!(one < 104.0, "{}: {one}", set.encoding());
        let few = unfairness(&set, |set, see| set.sample(5, &mut random, see));
        assert!(few < 104.0, "{}: {few}", set.encoding());
        let many = unfairness(&set, |set, see| set.sample(40, &mut random, see));
        assert!(many < 104.0, "{}: {many}", set.encoding());
        let popped = unfairness(&set, |set, see| set.clone().pop(&mut random, see));
        assert!(popped < 104.0, "{}: {popped}", set.encoding());
    }
}

#[test]
fn a_member_takes_one_byte_more_than_its_text() {
    let texts: Vec<String> = (0..1000).map(|n| format!("member:{n:08}")).collect();
    assert_eq!(texts[0].len(), 15);
    let set = Set::table_of(texts.iter().map(String::as_bytes)).expect("all are different");
    let (all, some) = (set.memory(0), set.memory(5));
    assert_eq!(all, some, "all members are alike");
    let Set::Table(members) = &set else { panic!("a table") };
    assert!(all - 1000 * 16 <= 1000 * 64 / 7 + 64 * 40, "{all}");
    assert_eq!(set.free_effort(), 1000);
    assert!(!members.is_empty());
}
