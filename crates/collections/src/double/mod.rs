//! Floating point numbers as text, digit for digit as Redis and Valkey write them, and read as they
//! read them.

mod digits;
mod parse;

pub use parse::{parse_double, parse_double_lossy};

use digits::Decimal;

/// Room for the text of a number.
#[derive(Default)]
pub struct DoubleText([u8; DoubleText::ROOM]);

/// Bytes written into a text.
struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.out[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn zeros(&mut self, count: usize) {
        self.out[self.len..self.len + count].fill(b'0');
        self.len += count;
    }
}

impl DoubleText {
    /// 17 digits, a sign, a point and leading zeros, or an exponent.
    const ROOM: usize = 32;

    /// The text of a number: `1`, `0.1`, `1e-8`, `inf`, `-0`.
    pub fn format(&mut self, number: f64) -> &str {
        match whole(number) {
            Some(whole) if !is_negative_zero(number) => {
                self.write(|writer| writer.put(crate::Digits::default().format(whole)))
            }
            _ => self.format_shortest(number),
        }
    }

    /// As [`DoubleText::format`], but that a large whole number has an exponent too if it is
    /// shorter so: `1e+17`.
    pub fn format_shortest(&mut self, number: f64) -> &str {
        self.write(|writer| match number {
            _ if number.is_nan() => writer.put(b"nan"),
            f64::INFINITY => writer.put(b"inf"),
            f64::NEG_INFINITY => writer.put(b"-inf"),
            _ if is_negative_zero(number) => writer.put(b"-0"),
            0.0 => writer.put(b"0"),
            _ => lay_out(writer, number),
        })
    }

    fn write(&mut self, text: impl FnOnce(&mut Writer<'_>)) -> &str {
        let mut writer = Writer { out: &mut self.0, len: 0 };
        text(&mut writer);
        let len = writer.len;
        std::str::from_utf8(&self.0[..len]).expect("digits, signs and letters")
    }
}

fn is_negative_zero(number: f64) -> bool {
    number == 0.0 && number.is_sign_negative()
}

/// The text that `printf` writes for `%.17g`: every digit that a number has, as ZSCAN shows the
/// scores of large sets.
pub fn all_digits(number: f64) -> String {
    const DIGITS: i32 = 17;
    if number == 0.0 || !number.is_finite() {
        return DoubleText::default().format(number).to_owned();
    }
    let scientific = format!("{number:.*e}", DIGITS as usize - 1);
    let (digits, exponent) = scientific.split_once('e').expect("it was asked for");
    let exponent: i32 = exponent.parse().expect("a small number");
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..DIGITS).contains(&exponent) {
        return trimmed(&format!("{number:.*}", (DIGITS - 1 - exponent) as usize));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(digits), exponent.abs())
}

/// The integer that a number is, if it is one and far from the ends of 64 bits. Both zeros are 0.
pub fn whole(number: f64) -> Option<i64> {
    const FAR: f64 = (i64::MAX / 2) as f64;
    let integer = number as i64;
    ((-FAR..=FAR).contains(&number) && integer as f64 == number).then_some(integer)
}

fn lay_out(writer: &mut Writer<'_>, number: f64) {
    let decimal = Decimal::of(number);
    let negative = number.is_sign_negative();
    if negative {
        writer.put(b"-");
    }
    let (digits, len, power) = (&decimal.digits[..decimal.len], decimal.len, decimal.power);
    let exponent = power + len as i32 - 1;
    if power >= 0 && (exponent.unsigned_abs() as usize) < len + 7 {
        writer.put(digits);
        writer.zeros(power as usize);
    } else if power < 0 && (power > -7 || exponent.abs() < 4) {
        let behind = power.unsigned_abs() as usize;
        if behind >= len {
            writer.put(b"0.");
            writer.zeros(behind - len);
            writer.put(digits);
        } else {
            writer.put(&digits[..len - behind]);
            writer.put(b".");
            writer.put(&digits[len - behind..]);
        }
    } else {
        writer.put(&digits[..1]);
        let rest = &digits[1..len.min(18 - usize::from(negative))];
        if !rest.is_empty() {
            writer.put(b".");
            writer.put(rest);
        }
        writer.put(if exponent < 0 { b"e-" } else { b"e+" });
        writer.put(crate::Digits::default().format(i64::from(exponent.abs())));
    }
}

#[cfg(test)]
mod tests;
