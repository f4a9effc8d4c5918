//! The hash against a plain map.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const LIMITS: HashLimits = HashLimits { entries: 12, value: 20 };

/// A value, and when it expires.
type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

#[derive(Debug, Clone)]
enum Op {
    Set(Vec<u8>, Vec<u8>, Expiry),
    Remove(Vec<u8>),
    Expire(Vec<u8>, u64, bool),
    Persist(Vec<u8>),
    Retire(Vec<u8>),
    Pass(u64),
    Sweep,
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => (0u32..30).prop_map(|n| format!("name:{n}").into_bytes()),
        4 => (0u32..10).prop_map(|n| n.to_string().into_bytes()),
        1 => Just(vec![b'n'; 300]),
        1 => Just(Vec::new()),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => proptest::collection::vec(any::<u8>(), 0..20),
        4 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        1 => (0usize..1500).prop_map(|len| vec![b'v'; len]),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let expiry = prop_oneof![
        6 => Just(Expiry::Never),
        2 => Just(Expiry::Keep),
        1 => (1u64..200).prop_map(Expiry::At),
    ];
    prop_oneof![
        8 => (name(), value(), expiry).prop_map(|(n, v, e)| Op::Set(n, v, e)),
        4 => name().prop_map(Op::Remove),
        1 => (name(), 1u64..200, any::<bool>()).prop_map(|(n, at, allow)| Op::Expire(n, at, allow)),
        1 => name().prop_map(Op::Persist),
        1 => name().prop_map(Op::Retire),
        1 => (0u64..30).prop_map(Op::Pass),
        1 => Just(Op::Sweep),
    ]
}

fn live<'a>(model: &'a Model, name: &[u8], now: u64) -> Option<&'a (Vec<u8>, Option<u64>)> {
    model.get(name).filter(|(_, expiry)| expiry.is_none_or(|at| at > now))
}

fn apply(op: Op, hash: &mut Hash, model: &mut Model, now: &mut u64) {
    match op {
        Op::Set(name, value, expiry) => {
            let old = live(model, &name, *now).cloned();
            let is_new = hash.set(&name, &value, expiry, *now, LIMITS);
            assert_eq!(is_new, old.is_none());
            let kept = old.and_then(|(_, expiry)| expiry);
            model.insert(name, (value, expiry.or_kept(kept)));
        }
        Op::Remove(name) => {
            let is_there = live(model, &name, *now).is_some();
            assert_eq!(hash.remove(&name, *now), is_there);
            if is_there {
                model.remove(&name);
            }
        }
        Op::Expire(name, at, allow) => {
            let expected = match live(model, &name, *now) {
                None => Changed::Missing,
                Some(_) if !allow => Changed::No,
                Some(_) => Changed::Yes,
            };
            assert_eq!(hash.set_expiry(&name, at, *now, |_| allow), expected);
            if expected == Changed::Yes {
                model.get_mut(&name).expect("it is live").1 = Some(at);
            }
        }
        Op::Persist(name) => {
            let expected = match live(model, &name, *now) {
                None => Changed::Missing,
                Some((_, None)) => Changed::No,
                Some(_) => Changed::Yes,
            };
            assert_eq!(hash.persist(&name, *now), expected);
            if expected == Changed::Yes {
                model.get_mut(&name).expect("it is live").1 = None;
            }
        }
        Op::Retire(name) => {
            let is_due = model.contains_key(&name) && live(model, &name, *now).is_none();
            assert_eq!(hash.retire(&name, *now), is_due);
            if is_due {
                model.remove(&name);
            }
        }
        Op::Pass(time) => *now += time,
        Op::Sweep => {
            hash.sweep(*now, 1, |name| {
                assert!(model.remove(name).and_then(|(_, at)| at).is_some_and(|at| at <= *now));
            });
        }
    }
}

fn content(hash: &Hash, now: u64) -> Model {
    let mut content = Model::new();
    hash.for_each(now, |field| {
        let old = content.insert(field.name.to_vec(), (field.value.to_vec(), field.expiry));
        assert_eq!(old, None, "each field once");
    });
    content
}

fn agree(hash: &Hash, model: &Model, now: u64) {
    assert_eq!(hash.len(), model.len());
    assert_eq!(hash.is_aging(), model.values().any(|(_, expiry)| expiry.is_some()));
    let expected: Model = model
        .iter()
        .filter(|(name, _)| live(model, name, now).is_some())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    assert_eq!(hash.live_len(now), expected.len());
    assert_eq!(content(hash, now), expected);
    assert_eq!(content(hash, 0).len(), model.len());
    for (name, (value, expiry)) in &expected {
        assert_eq!(hash.get(name, now).map(Element::to_vec).as_ref(), Some(value));
        assert_eq!(hash.expiry(name, now), Some(*expiry));
    }
    assert!(hash.get(b"not there", now).is_none());
    assert!(expected.len() == model.len() || hash.may_be_due(now), "what is due is not overlooked");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn behaves_as_a_map(ops in proptest::collection::vec(op(), 0..120)) {
        let (mut hash, mut model, mut now) = (Hash::new(), Model::new(), 1);
        for op in ops {
            let before = hash.encoding();
            apply(op, &mut hash, &mut model, &mut now);
            prop_assert!(before == "listpack" || hash.encoding() == "hashtable");
            if let Hash::Packed(_) = hash {
                let longest = model.iter().map(|(n, (v, _))| n.len().max(v.len())).max();
                prop_assert!(hash.len() <= LIMITS.entries && longest.unwrap_or(0) <= LIMITS.value);
            }
            prop_assert_eq!(hash.len(), model.len());
        }
        agree(&hash, &model, now);
        agree(&hash.clone(), &model, now);
        // As an entry keeps it.
        let (form, pointer) = hash.into_parts();
        prop_assert_eq!(form == AGING, model.values().any(|(_, expiry)| expiry.is_some()));
        // SAFETY: the parts are those just made, and used once.
        let mut hash = unsafe { Hash::from_parts(form, pointer) };
        agree(&hash, &model, now);
        // All that is due goes, in steps, and then the hash says so.
        let mut steps = 0;
        while hash.sweep(now, 1, |name| { model.remove(name); }) {
            steps += 1;
            prop_assert!(steps < 1000, "the sweep ends");
        }
        prop_assert!(!hash.may_be_due(now));
        prop_assert!(model.values().all(|(_, expiry)| expiry.is_none_or(|at| at > now)));
        agree(&hash, &model, now);
    }

    #[test]
    fn a_listpack_comes_in_as_the_same_hash(model in proptest::collection::btree_map(name(), value(), 0..20), entries in 0usize..20) {
        let mut listpack = Listpack::new();
        for (name, value) in &model {
            listpack.push(name);
            listpack.push(value);
        }
        let limits = HashLimits { entries, ..LIMITS };
        let hash = Hash::from_listpack(listpack.clone(), limits).expect("no name twice");
        prop_assert_eq!(hash.as_listpack().is_some(), model.len() <= entries);
        let expected: Model = model.iter().map(|(n, v)| (n.clone(), (v.clone(), None))).collect();
        agree(&hash, &expected, 1);
        if let Some((name, _)) = model.iter().next() {
            listpack.push(name);
            prop_assert!(Hash::from_listpack(listpack.clone(), limits).is_err(), "no value");
            listpack.push(b"again");
            prop_assert!(Hash::from_listpack(listpack, limits).is_err(), "twice");
        }
    }
}

fn hash_of(count: u32, limits: HashLimits) -> Hash {
    let mut hash = Hash::new();
    for n in 0..count {
        hash.set(format!("name:{n}").as_bytes(), b"value", Expiry::Never, 1, limits);
    }
    hash
}

#[test]
fn a_listpack_becomes_a_table_beyond_each_limit() {
    let encoding_with = |name: &[u8], value: &[u8], expiry| {
        let mut hash = hash_of(LIMITS.entries as u32 - 1, LIMITS);
        assert_eq!(hash.encoding(), "listpack");
        hash.set(name, value, expiry, 1, LIMITS);
        hash.encoding()
    };
    assert_eq!(encoding_with(b"a", &[b'v'; 20], Expiry::Never), "listpack");
    assert_eq!(encoding_with(b"a", &[b'v'; 21], Expiry::Never), "hashtable");
    assert_eq!(encoding_with(&[b'n'; 21], b"a", Expiry::Never), "hashtable");
    assert_eq!(encoding_with(b"a", b"a", Expiry::At(5)), "hashtable");
    assert_eq!(hash_of(LIMITS.entries as u32 + 1, LIMITS).encoding(), "hashtable");
    for (fields, text, encoding) in
        [(12, 20, "listpack"), (13, 1, "hashtable"), (1, 21, "hashtable")]
    {
        let mut hash = Hash::new();
        hash.expect(fields, std::iter::once(&[b't'; 50][..text]), LIMITS);
        assert_eq!(hash.encoding(), encoding);
    }
}

#[test]
fn a_number_kept_as_a_string_is_found() {
    // As only hostile bytes have it: the name "7" as a string.
    let bytes = [13, 0, 0, 0, 2, 0, 0x81, b'7', 2, 0x81, b'v', 2, 255];
    let listpack = Listpack::from_bytes(&bytes).expect("well formed");
    let hash = Hash::from_listpack(listpack, LIMITS).expect("no name twice");
    assert_eq!(hash.get(b"7", 1), Some(Element::Bytes(b"v")));
}

/// A generator for tests (splitmix64).
fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

/// Whether all of `len` fields came about equally often: by a chi-square of which not one in a
/// million is so large.
fn is_fair(counts: &BTreeMap<Vec<u8>, u32>, len: u32) -> bool {
    let (len, freedom) = (f64::from(len), f64::from(len - 1));
    let mean = counts.values().map(|&count| f64::from(count)).sum::<f64>() / len;
    let missing = (len - counts.len() as f64) * mean;
    let sum: f64 = counts.values().map(|&c| (f64::from(c) - mean).powi(2) / mean).sum();
    sum + missing < freedom + 6.0 * (2.0 * freedom).sqrt()
}

#[test]
fn picks_are_fair() {
    // 700 fields: some buckets of a table are split, some are not.
    for (len, limits) in [(10, LIMITS), (40, LIMITS), (700, LIMITS)] {
        let hash = hash_of(len, limits);
        let mut random = random(7);
        let mut counts = BTreeMap::new();
        for _ in 0..len * 200 {
            let field = hash.pick(1, &mut random).expect("there are fields");
            *counts.entry(field.name.to_vec()).or_default() += 1;
        }
        assert!(is_fair(&counts, len), "{len}");
        let mut counts = BTreeMap::new();
        hash.pick_many(u64::from(len) * 200, 1, &mut random, |field| {
            *counts.entry(field.name.to_vec()).or_default() += 1;
            true
        });
        assert!(is_fair(&counts, len), "{len}");
    }
}

#[test]
fn samples_are_fair_and_have_no_field_twice() {
    for (len, wanted) in [(10, 3), (40, 30), (700, 10), (700, 500), (700, 900)] {
        let hash = hash_of(len, LIMITS);
        let mut random = random(11);
        let mut counts = BTreeMap::new();
        for _ in 0..400 {
            let mut names = BTreeSet::new();
            hash.sample(wanted, 1, &mut random, |field| {
                assert!(names.insert(field.name.to_vec()), "no field twice");
            });
            assert_eq!(names.len(), wanted.min(len as usize));
            names.into_iter().for_each(|name| *counts.entry(name).or_default() += 1);
        }
        assert!(is_fair(&counts, len), "{len}");
    }
}

#[test]
fn chance_does_not_show_what_has_expired() {
    let mut hash = hash_of(200, LIMITS);
    for n in 0..199 {
        hash.set_expiry(format!("name:{n}").as_bytes(), 10, 1, |_| true);
    }
    let mut random = random(3);
    for _ in 0..20 {
        assert_eq!(hash.pick(10, &mut random).expect("one is left").name.to_vec(), b"name:199");
    }
    let mut seen = 0;
    hash.sample(5, 10, &mut random, |_| seen += 1);
    assert_eq!(seen, 1);
    assert!(hash.remove(b"name:199", 10));
    assert!(hash.pick(10, &mut random).is_none());
    assert!(hash.pick(9, &mut random).is_some());
}

#[test]
fn a_scan_of_a_table_shows_every_field() {
    let hash = hash_of(1000, LIMITS);
    let (mut cursor, mut names) = (0, BTreeSet::new());
    loop {
        cursor = hash.scan(cursor, 1, |field| {
            names.insert(field.name.to_vec());
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(names.len(), 1000);
    let mut seen = 0;
    assert_eq!(hash_of(5, LIMITS).scan(77, 1, |_| seen += 1), 0);
    assert_eq!(seen, 5);
}
