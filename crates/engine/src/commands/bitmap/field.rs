//! Integers of 1 to 64 bits at any bit of a byte slice, the highest bit first.

/// The width of an integer, and whether it has a sign.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Two's complement, 1 to 64 bits.
    Signed(u32),
    /// 1 to 63 bits: replies are signed 64-bit integers.
    Unsigned(u32),
}

/// The treatment of a result that does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Overflow {
    /// Its lowest bits.
    Wrap,
    /// The nearest number that fits.
    Saturate,
    /// Nothing is written.
    Fail,
}

impl Kind {
    /// `i16`, `u8` and so on.
    pub(super) fn parse(text: &[u8]) -> Option<Kind> {
        let (sign, digits) = text.split_first()?;
        let bits = u32::try_from(tessera_store::canonical_integer(digits)?).ok()?;
        match (sign, bits) {
            (b'i', 1..=64) => Some(Kind::Signed(bits)),
            (b'u', 1..=63) => Some(Kind::Unsigned(bits)),
            _ => None,
        }
    }

    /// The number of bits.
    pub(super) fn bits(self) -> u32 {
        match self {
            Kind::Signed(bits) | Kind::Unsigned(bits) => bits,
        }
    }

    /// The number whose lowest bits these are.
    fn number(self, bits: u64) -> i64 {
        let unused = 64 - self.bits();
        match self {
            Kind::Signed(_) => ((bits << unused) as i64) >> unused,
            Kind::Unsigned(_) => ((bits << unused) >> unused) as i64,
        }
    }

    /// The smallest and the largest number.
    fn limits(self) -> (i128, i128) {
        match self {
            Kind::Signed(bits) => (-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
            Kind::Unsigned(bits) => (0, (1 << bits) - 1),
        }
    }

    /// The number that stands for `value`; `None`: it does not fit and must not be changed.
    fn fit(self, value: i128, overflow: Overflow) -> Option<i64> {
        let (least, most) = self.limits();
        match overflow {
            _ if (least..=most).contains(&value) => Some(value as i64),
            Overflow::Wrap => Some(self.number(value as u64)),
            Overflow::Saturate => Some(value.clamp(least, most) as i64),
            Overflow::Fail => None,
        }
    }

    /// The value that SET writes.
    pub(super) fn assign(self, value: i64, overflow: Overflow) -> Option<i64> {
        let value = match self {
            Kind::Signed(_) => i128::from(value),
            // A negative value is a large one, as in Redis.
            Kind::Unsigned(_) => i128::from(value as u64),
        };
        self.fit(value, overflow)
    }

    /// The value that INCRBY writes.
    pub(super) fn add(self, old: i64, increment: i64, overflow: Overflow) -> Option<i64> {
        self.fit(i128::from(old) + i128::from(increment), overflow)
    }

    /// The number at a bit. Beyond the bytes there are zeros.
    pub(super) fn read(self, bytes: &[u8], offset: u64) -> i64 {
        let window = Window::at(offset);
        self.number((window.read(bytes) >> window.below(self)) as u64)
    }

    /// Writes the number at a bit.
    ///
    /// # Panics
    /// If the bytes do not reach as far.
    pub(super) fn write(self, bytes: &mut [u8], offset: u64, number: i64) {
        let window = Window::at(offset);
        let mask = (u128::from(u64::MAX) >> (64 - self.bits())) << window.below(self);
        let new = u128::from(number as u64) << window.below(self) & mask;
        let all = (window.read(bytes) & !mask | new).to_be_bytes();
        let touched = (window.shift + self.bits()).div_ceil(8) as usize;
        bytes[window.start..window.start + touched].copy_from_slice(&all[..touched]);
    }
}

/// The 16 bytes that begin with the one in which an integer begins: it lies within the first nine.
struct Window {
    start: usize,
    /// Bits before the integer.
    shift: u32,
}

impl Window {
    fn at(offset: u64) -> Window {
        Window { start: (offset / 8) as usize, shift: (offset % 8) as u32 }
    }

    /// The number of bits behind the integer.
    fn below(&self, kind: Kind) -> u32 {
        128 - self.shift - kind.bits()
    }

    fn read(&self, bytes: &[u8]) -> u128 {
        let mut window = [0; 16];
        let there = bytes.get(self.start..).unwrap_or_default();
        let len = there.len().min(window.len());
        window[..len].copy_from_slice(&there[..len]);
        u128::from_be_bytes(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds() -> impl Strategy<Value = Kind> {
        prop_oneof![(1..=64_u32).prop_map(Kind::Signed), (1..=63_u32).prop_map(Kind::Unsigned)]
    }

    #[test]
    fn kinds_by_name() {
        assert_eq!(Kind::parse(b"i64"), Some(Kind::Signed(64)));
        assert_eq!(Kind::parse(b"u63"), Some(Kind::Unsigned(63)));
        for text in ["", "i", "u", "i0", "i65", "u64", "u-1", "I8", "u08", "x8", "8", "i 8"] {
            assert_eq!(Kind::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_does_not_fit() {
        use Overflow::{Fail, Saturate, Wrap};
        for (kind, old, increment, overflow, new) in [
            (Kind::Unsigned(2), 3, 1, Wrap, Some(0)),
            (Kind::Unsigned(2), 3, 1, Saturate, Some(3)),
            (Kind::Unsigned(2), 3, 1, Fail, None),
            (Kind::Unsigned(2), 0, -1, Wrap, Some(3)),
            (Kind::Unsigned(2), 0, -1, Saturate, Some(0)),
            (Kind::Signed(8), 127, 1, Wrap, Some(-128)),
            (Kind::Signed(8), 100, 100, Saturate, Some(127)),
            (Kind::Signed(8), -100, -100, Saturate, Some(-128)),
            (Kind::Signed(8), -128, -1, Wrap, Some(127)),
            (Kind::Signed(64), i64::MAX, 1, Wrap, Some(i64::MIN)),
            (Kind::Signed(64), i64::MIN, i64::MIN, Saturate, Some(i64::MIN)),
            (Kind::Signed(64), i64::MIN, i64::MIN, Wrap, Some(0)),
            (Kind::Signed(1), -1, 1, Fail, Some(0)),
            (Kind::Signed(1), 0, 1, Fail, None),
        ] {
            assert_eq!(kind.add(old, increment, overflow), new, "{kind:?} {old} {increment}");
        }
        assert_eq!(Kind::Unsigned(8).assign(-1, Saturate), Some(255));
        assert_eq!(Kind::Unsigned(8).assign(-2, Wrap), Some(254));
        assert_eq!(Kind::Signed(8).assign(-129, Wrap), Some(127));
        assert_eq!(Kind::Signed(8).assign(-129, Saturate), Some(-128));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_nothing_else_changes(
            kind in kinds(),
            mut bytes in proptest::collection::vec(any::<u8>(), 9..30),
            offset: u64,
            number: i64,
        ) {
            let bits = bytes.len() as u64 * 8;
            let offset = offset % (bits - u64::from(kind.bits()) + 1);
            let before = bytes.clone();
            let number = kind.assign(number, Overflow::Wrap).expect("wrapped");
            kind.write(&mut bytes, offset, number);
            prop_assert_eq!(kind.read(&bytes, offset), number);
            let within = offset..offset + u64::from(kind.bits());
            for at in 0..bits {
                let mask = 0x80 >> (at % 8);
                let bit = |bytes: &[u8]| bytes[(at / 8) as usize] & mask != 0;
                if within.contains(&at) {
                    let place = within.end - 1 - at;
                    prop_assert_eq!(bit(&bytes), number >> place & 1 == 1);
                } else {
                    prop_assert_eq!(bit(&bytes), bit(&before));
                }
            }
        }
    }

    #[test]
    fn beyond_the_end_there_are_zeros() {
        assert_eq!(Kind::Unsigned(16).read(&[0xff], 4), 0xf000);
        assert_eq!(Kind::Unsigned(8).read(&[0xff], 8), 0);
        assert_eq!(Kind::Signed(64).read(&[], u64::MAX), 0);
    }
}
