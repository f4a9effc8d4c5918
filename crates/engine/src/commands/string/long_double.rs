//! Numbers as INCRBYFLOAT counts with them: the 80-bit format of the x87, which Redis uses where it
//! has it.
//!
//! A number is read correctly rounded, added correctly rounded to a mantissa of 64 bits, and
//! written with 17 digits behind the point, trailing zeros removed: each digit as Redis on x86-64
//! writes it. Hexadecimal numbers are not read.

use super::natural::Natural;
use std::cmp::Ordering;

/// A number: `mantissa` · 2^`exponent`. The mantissa's highest bit is set, except of zero and at
/// the smallest exponent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Finite {
    negative: bool,
    mantissa: u64,
    exponent: i32,
}

/// A number as it was read, or the result of an addition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LongDouble(Value);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Value {
    Finite(Finite),
    /// Infinite, or no number at all: neither can be stored.
    NotFinite,
}

/// The exponent of the last bit of the smallest number.
const EXPONENT_MIN: i32 = -16_445;
/// The exponent of the last bit of the largest number.
const EXPONENT_MAX: i32 = 16_320;
/// Texts from this length on are refused.
const TEXT_MAX: usize = 5 * 1024;
/// Powers of ten above which every number is too large, and (negated) below which it is too small.
const POWER_MAX: i64 = 4_990;
/// Digits behind the point.
const DIGITS: u32 = 17;

impl LongDouble {
    pub(crate) const ZERO: LongDouble =
        LongDouble(Value::Finite(Finite { negative: false, mantissa: 0, exponent: EXPONENT_MIN }));

    /// Reads a decimal number or an infinity. `None`: it is none, or is beyond the format.
    pub(crate) fn parse(text: &[u8]) -> Option<LongDouble> {
        if text.len() >= TEXT_MAX {
            return None;
        }
        let (negative, unsigned) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity") {
            return Some(LongDouble(Value::NotFinite));
        }
        let (digits, power) = decimal(unsigned)?;
        let finite = from_decimal(negative, &digits, power)?;
        Some(LongDouble(Value::Finite(finite)))
    }

    /// Whether it is a number, not an infinity.
    pub(crate) fn is_finite(self) -> bool {
        matches!(self.0, Value::Finite(_))
    }

    /// The sum; not finite if one of both is not, or if it is too large.
    pub(crate) fn plus(self, other: LongDouble) -> LongDouble {
        let (Value::Finite(a), Value::Finite(b)) = (self.0, other.0) else {
            return LongDouble(Value::NotFinite);
        };
        LongDouble(sum(a, b).map_or(Value::NotFinite, Value::Finite))
    }

    /// The text, without trailing zeros. `None`: not finite.
    pub(crate) fn text(self) -> Option<String> {
        let Value::Finite(finite) = self.0 else { return None };
        let mut text = digits(finite);
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
        if finite.negative && text != "0" {
            text.insert(0, '-');
        }
        Some(text)
    }
}

/// The digits of a decimal number without its sign, without leading zeros, and the power of ten of
/// the last.
fn decimal(text: &[u8]) -> Option<(Vec<u8>, i64)> {
    let mark = text.iter().position(|byte| byte.eq_ignore_ascii_case(&b'e'));
    let (number, exponent) = match mark {
        Some(at) => (&text[..at], exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let point = number.iter().position(|&byte| byte == b'.').unwrap_or(number.len());
    let fraction = number.get(point + 1..).unwrap_or_default();
    let digits = || number[..point].iter().chain(fraction);
    if digits().next().is_none() || !digits().all(u8::is_ascii_digit) {
        return None;
    }
    let significant: Vec<u8> =
        digits().skip_while(|&&digit| digit == b'0').map(|digit| digit - b'0').collect();
    Some((significant, exponent - fraction.len() as i64))
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // A number that is far too large stays so, and does not overflow.
    let size =
        digits.iter().fold(0i64, |size, digit| (size * 10 + i64::from(digit - b'0')).min(1 << 40));
    Some(if negative { -size } else { size })
}

/// The number nearest to `digits` · 10^`power`.
fn from_decimal(negative: bool, digits: &[u8], power: i64) -> Option<Finite> {
    if digits.is_empty() {
        return Some(Finite { negative, mantissa: 0, exponent: EXPONENT_MIN });
    }
    let size = digits.len() as i64 + power;
    if !(-POWER_MAX..=POWER_MAX).contains(&size) {
        return None;
    }
    let mut above = Natural::from_digits(digits);
    let mut below = Natural::from(1);
    if power >= 0 {
        above.times_power_of_ten(power as u32)
    } else {
        below.times_power_of_ten(-power as u32)
    }
    // The quotient gets 66 or 67 bits: the mantissa, and enough to round it by.
    let shift = 66 - (above.bits() as i32 - below.bits() as i32);
    if shift >= 0 {
        above.shift_left(shift as u32)
    } else {
        below.shift_left(-shift as u32)
    }
    let (quotient, inexact) = above.divide(&below);
    let finite = rounded(negative, quotient, -shift, inexact)?;
    (finite.mantissa != 0).then_some(finite)
}

/// The number nearest to `bits` · 2^`exponent`, or a little more if `inexact`; of two the even one.
/// `None`: too large.
fn rounded(negative: bool, bits: u128, exponent: i32, inexact: bool) -> Option<Finite> {
    let length = 128 - bits.leading_zeros() as i32;
    let target = (exponent + length - 64).max(EXPONENT_MIN);
    let drop = target - exponent;
    if drop <= 0 {
        // Fewer bits than the mantissa has: nothing is lost.
        let mantissa = (bits as u64) << -drop;
        return Some(Finite { negative, mantissa, exponent: target });
    }
    let (kept, lost) =
        if drop < 128 { (bits >> drop, bits & ((1 << drop) - 1)) } else { (0, bits) };
    let half = if drop <= 128 { 1u128 << (drop - 1) } else { u128::MAX };
    let up = match lost.cmp(&half) {
        Ordering::Greater => true,
        Ordering::Equal => inexact || kept & 1 == 1,
        Ordering::Less => false,
    };
    let kept = kept + u128::from(up);
    let (mantissa, exponent) =
        if kept >> 64 == 0 { (kept as u64, target) } else { (1 << 63, target + 1) };
    (exponent <= EXPONENT_MAX).then_some(Finite { negative, mantissa, exponent })
}

/// The sum of two numbers, rounded once. `None`: too large.
fn sum(a: Finite, b: Finite) -> Option<Finite> {
    let (large, small) =
        if (a.exponent, a.mantissa) >= (b.exponent, b.mantissa) { (a, b) } else { (b, a) };
    // Both in units of the larger one's last bit / 2^62; what the smaller one loses by that only
    // tells which way to round.
    const ROOM: u32 = 62;
    let distance = (large.exponent - small.exponent) as u32;
    let wide = u128::from(small.mantissa) << ROOM;
    let (shifted, lost) = if distance < 128 {
        (wide >> distance, wide & ((1u128 << distance) - 1) != 0)
    } else {
        (0, small.mantissa != 0)
    };
    let whole = u128::from(large.mantissa) << ROOM;
    let bits = if large.negative == small.negative {
        whole + shifted
    } else {
        whole - shifted - u128::from(lost)
    };
    let negative = large.negative && (bits != 0 || small.negative);
    if bits == 0 {
        return Some(Finite { negative, mantissa: 0, exponent: EXPONENT_MIN });
    }
    rounded(negative, bits, large.exponent - ROOM as i32, lost)
}

/// The digits of a number's size, with [`DIGITS`] behind the point, rounded to even.
fn digits(finite: Finite) -> String {
    if finite.exponent >= 0 {
        let mut whole = Natural::from(finite.mantissa);
        whole.shift_left(finite.exponent as u32);
        return format!("{}.0", whole.to_text());
    }
    let drop = finite.exponent.unsigned_abs();
    let scaled = u128::from(finite.mantissa) * 10u128.pow(DIGITS); // below 2^121
    let rounded = if drop >= 128 {
        0
    } else {
        let (kept, lost, half) =
            (scaled >> drop, scaled & ((1u128 << drop) - 1), 1u128 << (drop - 1));
        kept + u128::from(lost > half || lost == half && kept & 1 == 1)
    };
    let (whole, fraction) = (rounded / 10u128.pow(DIGITS), rounded % 10u128.pow(DIGITS));
    format!("{whole}.{fraction:017}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(a: &str, b: &str) -> Option<String> {
        LongDouble::parse(a.as_bytes())?.plus(LongDouble::parse(b.as_bytes())?).text()
    }

    #[test]
    fn sums_are_those_of_redis() {
        // Answers of Redis 7.0.15 on x86-64.
        for (a, b, expected) in [
            ("10.5", "0.1", "10.6"),
            ("5.0e3", "200", "5200"),
            ("10.6", "-5", "5.6"),
            ("0.1", "0.2", "0.3"),
            ("128", "0.1", "128.10000000000000001"),
            ("3.0", "1.000000000000000005", "4.00000000000000001"),
            ("1", "-1", "0"),
            ("-0.0", "-0.0", "0"),
            ("1e-20", "0", "0"),
            ("17179869184", "1.5", "17179869185.5"),
            ("9223372036854775807", "1", "9223372036854775808"),
            ("1e30", "1", "1000000000000000000024696061952"),
        ] {
            assert_eq!(add(a, b).as_deref(), Some(expected), "{a} + {b}");
        }
    }

    #[test]
    fn the_ends_of_the_format() {
        assert!(LongDouble::parse(b"1.18973149535723176502e4932").is_some());
        assert_eq!(LongDouble::parse(b"1.18973149535723176509e4932"), None);
        assert!(LongDouble::parse(b"3.6e-4951").is_some());
        assert_eq!(LongDouble::parse(b"1e-4951"), None);
        assert_eq!(add("1.18973149535723176502e4932", "1e4930"), None);
        assert_eq!(add("inf", "-inf"), None);
        assert_eq!(add("1e4900", "0").map(|text| text.len()), Some(4901));
    }

    #[test]
    fn what_is_no_number() {
        for bad in [
            "",
            "-",
            ".",
            "e5",
            "1e",
            "1e+",
            "1.2.3",
            " 1",
            "1 ",
            "nan",
            "0x10",
            "abc",
            "1e99999999999999999999",
        ] {
            assert_eq!(LongDouble::parse(bad.as_bytes()), None, "{bad}");
        }
        for good in ["1.", ".5", "+1", "1E5", "0e99999999999999999999", "00012"] {
            assert!(LongDouble::parse(good.as_bytes()).is_some(), "{good}");
        }
    }
}
