//! The intset against a plain model.

use super::IntSet;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => -20i64..20,
        2 => any::<i16>().prop_map(i64::from),
        1 => any::<i32>().prop_map(i64::from),
        1 => any::<i64>(),
        1 => proptest::sample::select(vec![
            i64::MIN, i64::MAX, -0x8000, 0x7fff, -0x8001, 0x8000, -0x8000_0000, 0x7fff_ffff, -0x8000_0001, 0x8000_0000,
        ]),
    ]
}

proptest! {
    #[test]
    fn behaves_as_a_sorted_set(ops in proptest::collection::vec((number(), 0u8..4), 0..80)) {
        let (mut set, mut model) = (IntSet::new(), BTreeSet::new());
        let mut width = 2;
        for (number, op) in ops {
            match op {
                0 => prop_assert_eq!(set.remove(number), model.remove(&number)),
                _ => {
                    prop_assert_eq!(set.insert(number), model.insert(number));
                    let own = if i16::try_from(number).is_ok() { 2 } else if i32::try_from(number).is_ok() { 4 } else { 8 };
                    width = own.max(width);
                }
            }
            prop_assert_eq!(set.contains(number), model.contains(&number));
            prop_assert_eq!(set.len(), model.len());
            prop_assert_eq!(set.byte_len(), 8 + width * model.len());
            let again = IntSet::from_bytes(set.as_bytes());
            prop_assert_eq!(again.is_ok(), !model.is_empty());
            if let Ok(again) = again {
                prop_assert_eq!(&again, &set);
            }
        }
        let numbers: Vec<i64> = model.into_iter().collect();
        prop_assert_eq!(set.iter().collect::<Vec<_>>(), numbers.clone());
        prop_assert_eq!(set.iter().rev().collect::<Vec<_>>(), numbers.iter().rev().copied().collect::<Vec<_>>());
        for (index, number) in numbers.iter().enumerate() {
            prop_assert_eq!(set.get(index), *number);
        }
        let mut odd = set.clone();
        odd.retain(|index| index % 2 == 1);
        prop_assert_eq!(odd.iter().collect::<Vec<_>>(), numbers.iter().skip(1).step_by(2).copied().collect::<Vec<_>>());
        prop_assert_eq!(numbers.iter().copied().collect::<IntSet>().iter().collect::<Vec<_>>(), numbers);
    }

    #[test]
    fn hostile_bytes_are_refused_or_readable(
        numbers in proptest::collection::btree_set(number(), 1..20),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in 0usize..4,
    ) {
        let mut bytes = numbers.into_iter().collect::<IntSet>().as_bytes().to_vec();
        for (index, byte) in flips {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len() - cut);
        if let Ok(set) = IntSet::from_bytes(&bytes) {
            prop_assert!(set.iter().is_sorted_by(|a, b| a < b));
            prop_assert!(set.iter().all(|number| set.contains(number)));
        }
    }
}

#[test]
fn the_bytes_are_those_of_redis() {
    // DUMP of SADD s 1 -5000 70000 (Redis 7.0), without the frame around the intset.
    let set: IntSet = [1, -5000, 70000].into_iter().collect();
    assert_eq!(
        set.as_bytes(),
        [4, 0, 0, 0, 3, 0, 0, 0, 0x78, 0xec, 0xff, 0xff, 1, 0, 0, 0, 0x70, 0x11, 1, 0]
    );
}

#[test]
fn what_is_no_intset_is_refused() {
    for bytes in [
        &[][..],
        &[2, 0, 0, 0, 0, 0, 0],
        &[2, 0, 0, 0, 0, 0, 0, 0],
        &[3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0],
        &[2, 0, 0, 0, 2, 0, 0, 0, 1, 0],
        &[2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0],
        &[2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 1, 0],
        &[2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 1, 0],
        &[2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0],
    ] {
        assert!(IntSet::from_bytes(bytes).is_err(), "{bytes:?}");
    }
}
