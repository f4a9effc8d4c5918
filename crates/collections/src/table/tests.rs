//! The table against a plain model.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A number under its name, marked or not.
pub(crate) struct Pair(Box<(Vec<u8>, u32, bool)>);

// SAFETY: a box's address is aligned for its content, which is to 8 bytes; `from_raw` makes the
// same box.
unsafe impl Item for Pair {
    fn into_raw(self) -> NonNull<u8> {
        NonNull::from(Box::leak(self.0)).cast()
    }

    unsafe fn from_raw(pointer: NonNull<u8>) -> Pair {
        // SAFETY: `into_raw` leaked this box.
        Pair(unsafe { Box::from_raw(pointer.as_ptr().cast()) })
    }

    fn key(&self) -> &[u8] {
        &self.0.0
    }

    fn is_marked(&self) -> bool {
        self.0.2
    }

    fn is_aging(&self) -> bool {
        is_aging(self.0.1)
    }
}

fn is_aging(n: u32) -> bool {
    n.is_multiple_of(3)
}

fn pair(n: u32, marked: bool) -> Pair {
    Pair(Box::new((key(n), n, marked)))
}

fn key(n: u32) -> Vec<u8> {
    format!("key:{n}").into_bytes()
}

fn insert(table: &mut Table<Pair>, hasher: &KeyHasher, n: u32, marked: bool) {
    table.insert(hasher.hash(&key(n)), pair(n, marked), hasher);
}

fn remove(table: &mut Table<Pair>, hasher: &KeyHasher, n: u32) -> bool {
    let key = key(n);
    let Some(pair) = table.take(&key, hasher.hash(&key), hasher) else { return false };
    assert_eq!((pair.key(), pair.0.1), (&key[..], n));
    true
}

#[derive(Debug, Clone)]
enum Op {
    Insert(u32, bool),
    Remove(u32),
    Mark(u32, bool),
}

impl Op {
    /// The same of the first `keys` keys.
    fn among(self, keys: u32) -> Op {
        match self {
            Op::Insert(n, marked) => Op::Insert(n % keys, marked),
            Op::Remove(n) => Op::Remove(n % keys),
            Op::Mark(n, marked) => Op::Mark(n % keys, marked),
        }
    }
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0u32..300;
    prop_oneof![
        3 => (key.clone(), any::<bool>()).prop_map(|(n, e)| Op::Insert(n, e)),
        2 => key.clone().prop_map(Op::Remove),
        1 => (key, any::<bool>()).prop_map(|(n, e)| Op::Mark(n, e)),
    ]
}

proptest! {
    #[test]
    fn behaves_as_a_map(
        ops in proptest::collection::vec(op(), 0..600), keys in prop_oneof![1u32..12, Just(300)], seed: u64,
    ) {
        let hasher = KeyHasher::new(seed);
        let (mut table, mut model) = (Table::default(), BTreeMap::new());
        for op in ops {
            let op = op.among(keys);
            match op {
                Op::Insert(n, marked) => {
                    model.entry(n).or_insert_with(|| {
                        insert(&mut table, &hasher, n, marked);
                        marked
                    });
                }
                Op::Remove(n) => {
                    prop_assert_eq!(remove(&mut table, &hasher, n), model.remove(&n).is_some());
                }
                Op::Mark(n, marked) => {
                    let key = key(n);
                    let hash = hasher.hash(&key);
                    if marked && let Some(place) = table.find(&key, hash) {
                        // SAFETY: just found.
                        let old = unsafe { table.replace(place, pair(n, true)) };
                        prop_assert_eq!(old.0.1, n);
                        model.insert(n, true);
                    } else if let Some(mut pair_) = table.get_mut(&key, hash) {
                        *pair_ = pair(n, marked);
                        model.insert(n, marked);
                    }
                }
            }
            prop_assert_eq!(table.len(), model.len());
            prop_assert_eq!(table.marked(), model.values().filter(|marked| **marked).count());
        }
        for &n in model.keys() {
            prop_assert!(table.find(&key(n), hasher.hash(&key(n))).is_some());
        }
        prop_assert_eq!(table.iter().map(|pair| pair.0.1).collect::<BTreeSet<_>>(), model.keys().copied().collect());
        let (mut seen, mut marked, mut aging) = (BTreeMap::new(), 0, BTreeSet::new());
        for bucket in 0..table.bucket_count() {
            table.for_bucket(bucket, |pair| {
                seen.insert(pair.0.1, pair.0.2);
            });
            table.for_marked(bucket, |_| marked += 1);
            table.for_aging(bucket, |pair| {
                aging.insert(pair.0.1);
            });
        }
        prop_assert_eq!(marked, table.marked());
        prop_assert_eq!(aging.len(), table.aging());
        prop_assert_eq!(aging, model.keys().copied().filter(|&n| is_aging(n)).collect());
        prop_assert_eq!(seen, model);
    }

    #[test]
    fn a_scan_meets_all_that_stays(
        start in 1u32..2000, steps in proptest::collection::vec((0u32..3000, any::<bool>()), 0..400), seed: u64,
    ) {
        // Keys from 0 to 99 stay; the others come and go between the steps of the scan.
        let hasher = KeyHasher::new(seed);
        let mut table = Table::default();
        let mut present: BTreeSet<u32> = (0..100 + start).collect();
        present.iter().for_each(|&n| insert(&mut table, &hasher, n, false));
        let (mut cursor, mut met, mut steps) = (0, BTreeSet::new(), steps.into_iter().cycle());
        for _ in 0..100_000 {
            cursor = table.scan(cursor, |pair| {
                met.insert(pair.0.1);
            });
            if cursor == 0 {
                break;
            }
            if let Some((n, grow)) = steps.next() {
                for n in 100 + n..100 + n + 40 {
                    if grow && present.insert(n) {
                        insert(&mut table, &hasher, n, false);
                    } else if !grow && present.remove(&n) {
                        prop_assert!(remove(&mut table, &hasher, n));
                    }
                }
            }
        }
        prop_assert_eq!(cursor, 0, "the scan ends");
        prop_assert!((0..100).all(|n| met.contains(&n)));
    }
}

#[test]
fn a_large_table_grows_beyond_segments_and_empties() {
    let hasher = KeyHasher::new(1);
    let mut table = Table::default();
    const COUNT: u32 = 60_000;
    for n in 0..COUNT {
        insert(&mut table, &hasher, n, false);
    }
    assert!(table.bucket_count() > 8 * SEGMENT);
    for n in 0..COUNT {
        assert!(table.find(&key(n), hasher.hash(&key(n))).is_some());
    }
    for n in 0..COUNT {
        assert!(remove(&mut table, &hasher, n));
        if n % 7 == 0 {
            assert!(!remove(&mut table, &hasher, n));
        }
    }
    while table.bucket_count() > 1 {
        let before = table.bucket_count();
        table.shrink_once(&hasher);
        assert!(table.bucket_count() < before);
    }
}

#[test]
fn few_items_take_a_word_each() {
    let hasher = KeyHasher::new(1);
    let mut table = Table::default();
    assert_eq!((table.memory(), table.bucket_count()), (0, 0));
    for n in 0..FEW as u32 {
        insert(&mut table, &hasher, n, false);
        assert_eq!((table.memory(), table.bucket_count()), (8 * (n as usize + 1), 1));
    }
    insert(&mut table, &hasher, FEW as u32, false);
    assert_eq!((table.memory(), table.bucket_count()), (64, 1));
    // It does not go to and fro with each item.
    assert!(remove(&mut table, &hasher, 1) && remove(&mut table, &hasher, 0));
    assert_eq!((table.memory(), table.len()), (64, 3));
    assert!(remove(&mut table, &hasher, 3));
    assert_eq!((table.memory(), table.len()), (16, 2));
    let drawn: BTreeSet<u32> =
        (0..100u64).filter_map(|n| Some(table.draw_item(|| n << 26)?.0.1)).collect();
    assert_eq!(drawn, BTreeSet::from([2, 4]));
    assert!(remove(&mut table, &hasher, 2) && remove(&mut table, &hasher, 4));
    assert_eq!((table.memory(), table.bucket_count()), (0, 0));
}
