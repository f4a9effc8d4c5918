//! Against a plain model: one byte for each register.

use super::*;
use proptest::prelude::*;

const LIMIT: usize = 3000;

fn with(elements: &[Vec<u8>], limit: usize) -> Vec<u8> {
    let mut bytes = empty();
    let mut hll = HllMut::open(&mut bytes).expect("a new one");
    for element in elements {
        hll.add(element, limit).expect("it is sound");
    }
    bytes
}

fn registers(bytes: &[u8]) -> Registers {
    let mut registers = Registers::new();
    registers.merge(Hll::open(bytes).expect("it is one")).expect("it is sound");
    registers
}

fn model(elements: &[Vec<u8>]) -> Registers {
    let mut registers = Registers::new();
    elements.iter().for_each(|element| registers.add(element));
    registers
}

fn numbered(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|number| number.to_string().into_bytes()).collect()
}

#[test]
fn a_new_one_is_what_redis_makes() {
    assert_eq!(empty(), b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff");
    assert_eq!(Hll::open(&empty()).unwrap().count(), Ok(0));
}

/// Strings made by redis-server 7.0: PFADD of the elements, then GET.
#[test]
fn bytes_are_those_of_redis() {
    for (elements, body) in [
        (&["a"][..], &b"\x71\xa6\x84\x4e\x57"[..]),
        (&["foo", "bar", "zap"], b"\x5c\xb3\x90\x42\x07\x84\x48\x58\x80\x58\xe7"),
    ] {
        let elements: Vec<Vec<u8>> = elements.iter().map(|text| text.as_bytes().to_vec()).collect();
        assert_eq!(&with(&elements, LIMIT)[HEADER..], body, "{elements:?}");
    }
}

#[test]
fn estimates_are_close() {
    for (count, limit) in [(0, LIMIT), (1, LIMIT), (100, 0), (1000, LIMIT), (50_000, LIMIT)] {
        let bytes = with(&numbered(count), limit);
        let estimate = Hll::open(&bytes).unwrap().count().unwrap();
        let error = estimate.abs_diff(count) as f64;
        assert!(error <= 0.03 * count as f64, "{estimate} for {count}");
    }
}

#[test]
fn a_string_that_would_be_too_long_becomes_dense() {
    let mut bytes = empty();
    let mut longest = 0;
    for element in numbered(5000) {
        HllMut::open(&mut bytes).unwrap().add(&element, LIMIT).unwrap();
        if Hll::open(&bytes).unwrap().encoding() == Encoding::Dense {
            break;
        }
        longest = bytes.len();
    }
    assert!((LIMIT - 2..=LIMIT).contains(&longest), "{longest}");
    assert_eq!(bytes.len(), HEADER + dense::DENSE_BYTES);
}

#[test]
fn a_rank_that_no_run_can_have_makes_it_dense() {
    let mut bytes = empty();
    let mut hll = HllMut::open(&mut bytes).unwrap();
    let mut high = Registers::new();
    high.0[7] = 32;
    hll.raise_all(&high, LIMIT).unwrap();
    assert_eq!(hll.encoding, Encoding::Sparse);
    high.0[9] = 33;
    hll.raise_all(&high, LIMIT).unwrap();
    assert_eq!(hll.encoding, Encoding::Dense);
    assert_eq!(registers(&bytes), high);
}

#[test]
fn other_strings_are_refused() {
    let mut dense = with(&numbered(10), 0);
    assert!(Hll::open(&dense).is_ok());
    dense.push(0);
    let long_encoding = [b"HYLL\x02".as_slice(), &[0; 11]].concat();
    for bytes in [b"".as_slice(), b"HYLL\x01", &dense, &long_encoding, &[0; 18]] {
        assert_eq!(Hll::open(bytes).err(), Some(HllError::NotHll), "{}", bytes.escape_ascii());
    }
}

#[test]
fn runs_that_do_not_add_up_are_refused() {
    let header = &empty()[..HEADER];
    let endless = [0x7f, 0xff, 0x00];
    for body in [&b""[..], b"\x7f", b"\x7f\xfe", &endless, b"\x80\x7f\xff", b"\x00"] {
        let mut bytes = [header, body].concat();
        let hll = Hll::open(&bytes).unwrap();
        assert_eq!(hll.count(), Err(HllError::Corrupt), "{}", body.escape_ascii());
        assert_eq!(Registers::new().merge(hll), Err(HllError::Corrupt));
        let before = bytes.clone();
        let mut hll = HllMut::open(&mut bytes).unwrap();
        assert_eq!(hll.make_dense(), Err(HllError::Corrupt));
        assert_eq!(bytes, before);
    }
}

#[test]
fn impossible_registers_have_an_estimate_all_the_same() {
    let mut bytes = with(&numbered(1), 0);
    bytes[HEADER..].fill(0xff);
    let hll = Hll::open(&bytes).unwrap();
    assert_eq!(hll.count(), Ok(i64::MAX as u64));
}

#[test]
fn the_estimate_is_kept_in_the_header() {
    let mut bytes = empty();
    let mut hll = HllMut::open(&mut bytes).unwrap();
    hll.set_cache(70_000);
    assert_eq!(hll.as_ref().cached(), Some(70_000));
    hll.expire_cache();
    assert_eq!(hll.as_ref().cached(), None);
}

/// Registers of which few, or many, have seen something; neighbours often have the same rank.
fn some_registers() -> impl Strategy<Value = Registers> {
    let step = (1..600_usize, 1..7_usize, prop_oneof![9 => 1..5_u8, 1 => 1..=52_u8]);
    proptest::collection::vec(step, 0..400).prop_map(|steps| {
        let (mut registers, mut at) = (Registers::new(), 0);
        for (gap, len, rank) in steps {
            at += gap;
            let end = (at + len).min(REGISTERS);
            registers.0[at.min(end)..end].fill(rank);
            at = end;
        }
        registers
    })
}

proptest! {
    #[test]
    fn registers_are_those_of_the_model(
        count in 0..3000_u64,
        seed: u64,
        limit in prop_oneof![Just(0), Just(64), Just(LIMIT), Just(1 << 20)],
    ) {
        let elements: Vec<Vec<u8>> =
            (0..count).map(|number| (number ^ seed).to_le_bytes().to_vec()).collect();
        let (bytes, model) = (with(&elements, limit), model(&elements));
        prop_assert!(registers(&bytes) == model);
        let hll = Hll::open(&bytes).unwrap();
        prop_assert_eq!(hll.count(), Ok(model.count()));
        if hll.encoding() == Encoding::Sparse {
            prop_assert!(bytes.len() <= limit.max(HEADER + sparse::EMPTY.len()));
        }
        let mut dense = bytes.clone();
        HllMut::open(&mut dense).unwrap().make_dense().unwrap();
        prop_assert!(registers(&dense) == model);
        prop_assert_eq!(Hll::open(&dense).unwrap().count(), Ok(model.count()));
    }

    /// All at once gives the bytes that one after the other gives, each looked for from the
    /// beginning.
    #[test]
    fn raising_all_is_raising_each(
        first in some_registers(),
        second in some_registers(),
        limit in prop_oneof![Just(100_usize), Just(LIMIT), Just(1 << 20)],
    ) {
        let (mut at_once, mut one_by_one) = (empty(), empty());
        let mut both = first.clone();
        both.0.iter_mut().zip(second.0).for_each(|(a, b)| *a = (*a).max(b));
        for registers in [&first, &both] {
            HllMut::open(&mut at_once).unwrap().raise_all(registers, limit).unwrap();
            let mut hll = HllMut::open(&mut one_by_one).unwrap();
            for (register, &rank) in registers.0.iter().enumerate().filter(|(_, rank)| **rank > 0) {
                let mut cursor = Cursor::START;
                hll.raise(Place { register, rank }, &mut cursor, limit).unwrap();
            }
            prop_assert!(at_once == one_by_one);
        }
        prop_assert!(registers(&at_once) == both);
    }
}
