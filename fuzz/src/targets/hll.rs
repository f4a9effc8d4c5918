//! HyperLogLogs: any string is refused or worked with; what is sound stays sound.

use crate::Vary;
use std::sync::LazyLock;
use tessera_engine::hll::{Encoding, Hll, HllError, HllMut, REGISTERS, Registers, empty};

/// Bytes of a dense one.
const DENSE: usize = 16 + REGISTERS * 6 / 8;
/// Bytes up to which they stay sparse.
const LIMIT: usize = 3000;

static VALID: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let with = |count: u32, limit: usize| {
        let mut bytes = empty();
        let mut hll = HllMut::open(&mut bytes).expect("a new one");
        for number in 0..count {
            hll.add(&number.to_le_bytes(), limit).expect("it is sound");
        }
        bytes
    };
    vec![empty(), with(1, LIMIT), with(30, LIMIT), with(900, LIMIT), with(50, 0), with(9000, LIMIT)]
});

fn registers(bytes: &[u8]) -> Result<Registers, HllError> {
    let mut registers = Registers::new();
    registers.merge(Hll::open(bytes)?)?;
    Ok(registers)
}

/// Strings that are HyperLogLogs, nearly.
pub fn hyperloglogs(bytes: &[u8]) {
    let mut vary = Vary::new(bytes);
    let limit = [0, 40, LIMIT, usize::MAX][vary.below(4)];
    let element = [vary.byte(), vary.byte()];
    let input = vary.input(&VALID);
    let Ok(hll) = Hll::open(&input) else { return };
    let before = registers(&input);
    // All ways of reading agree on whether it is sound.
    assert_eq!(hll.count().is_ok(), before.is_ok());
    assert!(hll.runs().count() <= input.len());
    let mut changed = input.clone();
    let added = HllMut::open(&mut changed).expect("it was one").add(&element, limit);
    match (&before, added) {
        (_, Ok(false) | Err(_)) => assert_eq!(changed, input),
        (Ok(before), Ok(true)) => {
            let mut expected = before.clone();
            expected.add(&element);
            assert!(registers(&changed).as_ref() == Ok(&expected));
        }
        // A fault behind the element's register is not met, and stays there.
        (Err(_), Ok(true)) => assert!(registers(&changed).is_err()),
    }
    let grown = changed.len().saturating_sub(input.len());
    assert!(grown <= 3 || changed.len() == DENSE, "{grown} more bytes");
    check_dense(&input, before);
}

/// Made dense, it holds the same, or it is left alone.
fn check_dense(input: &[u8], before: Result<Registers, HllError>) {
    let mut dense = input.to_vec();
    let mut hll = HllMut::open(&mut dense).expect("it was one");
    match (hll.make_dense(), before) {
        (Ok(_), Ok(before)) => {
            assert!(registers(&dense).as_ref() == Ok(&before));
            let hll = Hll::open(&dense).expect("it still is one");
            assert_eq!((hll.encoding(), hll.count()), (Encoding::Dense, Ok(before.count())));
        }
        (Err(_), Err(_)) => assert_eq!(dense, input),
        (made, before) => panic!("{made:?}, {}", before.is_ok()),
    }
}
