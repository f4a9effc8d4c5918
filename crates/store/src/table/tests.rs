//! The table against a plain model.

use super::*;
use crate::entry::{NewValue, ValueRef};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tessera_slot::{Millis, Slot};

fn hash_of(hasher: &KeyHasher, key: &[u8]) -> KeyHash {
    KeyHash { slot: Slot::MIN, hash: hasher.hash(key) }
}

fn key(n: u32) -> Vec<u8> {
    format!("key:{n}").into_bytes()
}

fn insert(table: &mut Table, hasher: &KeyHasher, n: u32, expiry: Option<Millis>) {
    let key = key(n);
    let entry = Entry::new(&key, NewValue::Integer(i64::from(n)), expiry, 0);
    table.insert(hash_of(hasher, &key), entry, hasher);
}

fn remove(table: &mut Table, hasher: &KeyHasher, n: u32) -> bool {
    let key = key(n);
    let hash = hash_of(hasher, &key);
    let Some(place) = table.find(&key, hash) else { return false };
    let entry = table.remove(&place, hash, true, hasher);
    assert_eq!((entry.key(), entry.value()), (&key[..], ValueRef::Integer(i64::from(n))));
    true
}

#[derive(Debug, Clone)]
enum Op {
    Insert(u32, Option<u64>),
    Remove(u32),
    Expire(u32, Option<u64>),
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0u32..300;
    prop_oneof![
        3 => (key.clone(), proptest::option::of(0u64..100)).prop_map(|(n, e)| Op::Insert(n, e)),
        2 => key.clone().prop_map(Op::Remove),
        1 => (key, proptest::option::of(0u64..100)).prop_map(|(n, e)| Op::Expire(n, e)),
    ]
}

proptest! {
    #[test]
    fn behaves_as_a_map(ops in proptest::collection::vec(op(), 0..600), seed: u64) {
        let hasher = KeyHasher::new(seed);
        let (mut table, mut model) = (Table::default(), BTreeMap::new());
        for op in ops {
            match op {
                Op::Insert(n, expiry) => {
                    model.entry(n).or_insert_with(|| {
                        insert(&mut table, &hasher, n, expiry.map(Millis));
                        expiry
                    });
                }
                Op::Remove(n) => {
                    prop_assert_eq!(remove(&mut table, &hasher, n), model.remove(&n).is_some());
                }
                Op::Expire(n, expiry) => {
                    let key = key(n);
                    if let Some(place) = table.find(&key, hash_of(&hasher, &key)) {
                        let value = NewValue::Integer(i64::from(n));
                        table.replace(&place, Entry::new(&key, value, expiry.map(Millis), 0));
                        model.insert(n, expiry);
                    }
                }
            }
            prop_assert_eq!(table.len(), model.len());
            prop_assert_eq!(table.expiring(), model.values().flatten().count());
        }
        let (mut seen, mut expiring) = (BTreeMap::new(), 0);
        for bucket in 0..table.bucket_count() {
            table.for_bucket(bucket, |entry| {
                let ValueRef::Integer(n) = entry.value() else { panic!("only integers") };
                seen.insert(n as u32, entry.expiry().map(|ms| ms.0));
            });
            table.for_expiring(bucket, |_| expiring += 1);
        }
        prop_assert_eq!(expiring, table.expiring());
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
        present.iter().for_each(|&n| insert(&mut table, &hasher, n, None));
        let (mut cursor, mut met, mut steps) = (0, BTreeSet::new(), steps.into_iter().cycle());
        for _ in 0..100_000 {
            cursor = table.scan(cursor, |entry| {
                let ValueRef::Integer(n) = entry.value() else { panic!("only integers") };
                met.insert(n as u32);
            });
            if cursor == 0 {
                break;
            }
            if let Some((n, grow)) = steps.next() {
                for n in 100 + n..100 + n + 40 {
                    if grow && present.insert(n) {
                        insert(&mut table, &hasher, n, None);
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
        insert(&mut table, &hasher, n, None);
    }
    assert!(table.bucket_count() > 8 * SEGMENT);
    for n in 0..COUNT {
        assert!(table.find(&key(n), hash_of(&hasher, &key(n))).is_some());
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
