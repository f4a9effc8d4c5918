//! Natural numbers of any size, as far as reading and writing long floating point numbers needs
//! them.

use std::cmp::Ordering;

/// A natural number in words of 64 bits, the lowest first; the highest is not zero.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Natural(Vec<u64>);

impl From<u64> for Natural {
    fn from(number: u64) -> Natural {
        Natural(if number == 0 { Vec::new() } else { vec![number] })
    }
}

/// The largest power of ten in a word, and its exponent.
const CHUNK: (u64, u32) = (10_000_000_000_000_000_000, 19);

impl Natural {
    /// The number with these decimal digits (0 to 9), the highest first.
    pub(super) fn from_digits(digits: &[u8]) -> Natural {
        let mut number = Natural(Vec::new());
        for chunk in digits.chunks(CHUNK.1 as usize) {
            let value = chunk.iter().fold(0, |value, digit| value * 10 + u64::from(*digit));
            number.times_plus(10u64.pow(chunk.len() as u32), value);
        }
        number
    }

    fn times_plus(&mut self, factor: u64, more: u64) {
        let mut carry = more;
        for word in &mut self.0 {
            let product = u128::from(*word) * u128::from(factor) + u128::from(carry);
            (*word, carry) = (product as u64, (product >> 64) as u64);
        }
        if carry != 0 {
            self.0.push(carry);
        }
    }

    /// Multiplies by 10^`power`.
    pub(super) fn times_power_of_ten(&mut self, power: u32) {
        for _ in 0..power / CHUNK.1 {
            self.times_plus(CHUNK.0, 0);
        }
        self.times_plus(10u64.pow(power % CHUNK.1), 0);
    }

    /// The number of bits.
    pub(super) fn bits(&self) -> u32 {
        match self.0.last() {
            Some(word) => self.0.len() as u32 * 64 - word.leading_zeros(),
            None => 0,
        }
    }

    /// Multiplies by 2^`bits`.
    pub(super) fn shift_left(&mut self, bits: u32) {
        if self.0.is_empty() {
            return;
        }
        if !bits.is_multiple_of(64) {
            self.times_plus(1 << (bits % 64), 0);
        }
        self.0.splice(0..0, std::iter::repeat_n(0, (bits / 64) as usize));
    }

    fn halve(&mut self) {
        let mut carry = 0;
        for word in self.0.iter_mut().rev() {
            (*word, carry) = (*word >> 1 | carry << 63, *word & 1);
        }
        self.trim();
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn compare(&self, other: &Natural) -> Ordering {
        let by_length = self.0.len().cmp(&other.0.len());
        by_length.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// Subtracts a number that is not larger.
    fn subtract(&mut self, other: &Natural) {
        let mut borrow = false;
        for (at, word) in self.0.iter_mut().enumerate() {
            let (first, one) = word.overflowing_sub(other.0.get(at).copied().unwrap_or(0));
            let (second, two) = first.overflowing_sub(u64::from(borrow));
            (*word, borrow) = (second, one || two);
        }
        self.trim();
    }

    /// The quotient, which must be below 2^128, and whether something remains.
    pub(super) fn divide(mut self, by: &Natural) -> (u128, bool) {
        let steps = (self.bits() + 1).saturating_sub(by.bits());
        assert!(steps <= 128, "the caller has scaled both");
        let mut divisor = by.clone();
        divisor.shift_left(steps);
        let mut quotient = 0;
        for _ in 0..=steps {
            quotient <<= 1;
            if self.compare(&divisor) != Ordering::Less {
                self.subtract(&divisor);
                quotient |= 1;
            }
            divisor.halve();
        }
        (quotient, !self.0.is_empty())
    }

    /// The decimal digits.
    pub(super) fn to_text(mut self: Natural) -> String {
        let mut chunks = Vec::new();
        while !self.0.is_empty() {
            let mut rest = 0;
            for word in self.0.iter_mut().rev() {
                let value = u128::from(rest) << 64 | u128::from(*word);
                *word = (value / u128::from(CHUNK.0)) as u64;
                rest = (value % u128::from(CHUNK.0)) as u64;
            }
            self.trim();
            chunks.push(rest);
        }
        let Some(first) = chunks.pop() else { return "0".to_owned() };
        let rest = chunks.iter().rev().map(|chunk| format!("{chunk:019}"));
        std::iter::once(first.to_string()).chain(rest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn natural(number: u128) -> Natural {
        let mut natural = Natural(vec![number as u64, (number >> 64) as u64]);
        natural.trim();
        natural
    }

    proptest! {
        #[test]
        fn arithmetic_agrees_with_that_of_the_machine(a: u128, b in 1..u128::MAX, shift in 0..100u32) {
            prop_assert_eq!(natural(a).divide(&natural(b)), (a / b, a % b != 0));
            prop_assert_eq!(natural(a).to_text(), a.to_string());
            let digits: Vec<u8> = a.to_string().bytes().map(|digit| digit - b'0').collect();
            let digits = if a == 0 { Vec::new() } else { digits };
            prop_assert_eq!(Natural::from_digits(&digits), natural(a));
            let mut shifted = natural(a >> 28 >> shift);
            shifted.shift_left(shift);
            prop_assert_eq!(shifted, natural(a >> 28 >> shift << shift));
        }
    }
}
