//! Numbers that elements are sorted by.

/// The number that a text is, as C's `strtod` reads all of it: decimal or hexadecimal, with blanks in front, `inf`; an
/// empty text is 0. `None`: it is no number, or one that is too large or too small for 64 bits.
pub(super) fn weight(text: &[u8]) -> Option<f64> {
    if text.is_empty() {
        return Some(0.0);
    }
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = text.iter().position(|byte| !blank(byte))?;
    let text = std::str::from_utf8(&text[start..]).ok()?;
    let (is_negative, magnitude) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let number = match magnitude.as_bytes() {
        [b'0', b'x' | b'X', ..] => hexadecimal(&magnitude.as_bytes()[2..])?,
        // Rust's own sign would be a second one.
        [b'0'..=b'9' | b'.', ..] => {
            let number: f64 = magnitude.parse().ok()?;
            let mantissa = magnitude.split(['e', 'E']).next().unwrap_or_default();
            in_range(number, mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9')))?
        }
        word if word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"infinity") => {
            f64::INFINITY
        }
        _ => return None,
    };
    Some(if is_negative { -number } else { number })
}

/// Nothing that is larger than the largest number, or smaller than the smallest with all its digits.
fn in_range(number: f64, is_positive: bool) -> Option<f64> {
    (number.is_finite() && (number >= f64::MIN_POSITIVE || !is_positive)).then_some(number)
}

/// Hexadecimal digits, perhaps with a point and a binary exponent behind `p`.
fn hexadecimal(text: &[u8]) -> Option<f64> {
    let end = text.iter().position(|byte| matches!(byte, b'p' | b'P'));
    let exponent = match end {
        // Beyond these limits the number is out of range, whatever its digits.
        Some(end) => {
            let exponent: i64 = std::str::from_utf8(&text[end + 1..]).ok()?.parse().ok()?;
            exponent.clamp(-100_000, 100_000) as i32
        }
        None => 0,
    };
    let digits = &text[..end.unwrap_or(text.len())];
    let (mut number, mut scale, mut point, mut any) = (0.0f64, 0i32, false, false);
    for &byte in digits {
        if byte == b'.' && !point {
            point = true;
            continue;
        }
        number = number * 16.0 + f64::from((byte as char).to_digit(16)?);
        any = true;
        if point {
            scale = scale.saturating_sub(4);
        }
    }
    let result = number * 2f64.powi(exponent.saturating_add(scale));
    any.then_some(result).and_then(|result| in_range(result, number > 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_c() {
        for (text, number) in [
            ("", Some(0.0)),
            ("0", Some(0.0)),
            ("-1.5", Some(-1.5)),
            ("+2", Some(2.0)),
            ("1.", Some(1.0)),
            (".5", Some(0.5)),
            ("1e3", Some(1000.0)),
            ("0e999", Some(0.0)),
            (" \t\n7", Some(7.0)),
            ("inf", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("0x10", Some(16.0)),
            ("-0x.8p1", Some(-1.0)),
            ("7 ", None),
            (" ", None),
            (".", None),
            ("+-1", None),
            ("nan", None),
            ("1e400", None),
            ("1e-400", None),
            ("1e-310", None),
            ("0x", None),
            ("0x1p99999999999", None),
            ("1_000", None),
            ("abc", None),
            ("é", None),
        ] {
            assert_eq!(weight(text.as_bytes()), number, "{text:?}");
        }
    }
}
