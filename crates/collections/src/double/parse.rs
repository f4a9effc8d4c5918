//! Reading numbers.

/// Reads a number as C's `strtod` does, without spaces around it: decimal, hexadecimal or `inf`.
/// NaN is not one, nor is a number that is too large, or too small to differ from zero.
pub fn parse_double(text: &[u8]) -> Option<f64> {
    match lenient_double(text)? {
        Parsed { number, exact: true } => Some(number),
        _ => None,
    }
}

/// As [`parse_double`], but what is too large is infinite, and what is too small is zero.
pub fn parse_double_lossy(text: &[u8]) -> Option<f64> {
    lenient_double(text).map(|parsed| parsed.number)
}

struct Parsed {
    number: f64,
    /// Neither overflow nor underflow.
    exact: bool,
}

fn lenient_double(text: &[u8]) -> Option<Parsed> {
    let (negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (size, is_zero) = match unsigned {
        [b'0', b'x' | b'X', digits @ ..] => hexadecimal(digits)?,
        // The sign has been read.
        [b'+' | b'-', ..] => return None,
        _ => {
            let text = std::str::from_utf8(unsigned).ok()?;
            let end = text.find(['e', 'E']).unwrap_or(text.len());
            let is_zero = !text[..end].bytes().any(|byte| matches!(byte, b'1'..=b'9'));
            (text.parse().ok()?, is_zero)
        }
    };
    if f64::is_nan(size) {
        return None;
    }
    let named = unsigned.first().is_some_and(u8::is_ascii_alphabetic);
    let exact = named || size.is_finite() && (size != 0.0 || is_zero);
    Some(Parsed { number: if negative { -size } else { size }, exact })
}

/// A hexadecimal number behind its `0x`, and whether all its digits are zeros.
fn hexadecimal(text: &[u8]) -> Option<(f64, bool)> {
    /// Mantissas beyond this get no further digits: what follows only tells that there was more.
    const FULL: u64 = 1 << 59;
    let (mut mantissa, mut exponent, mut digits, mut seen_point) = (0u64, 0i64, 0, false);
    let mut at = 0;
    while at < text.len() {
        match (text[at], char::from(text[at]).to_digit(16)) {
            (b'.', _) if !seen_point => seen_point = true,
            (_, Some(digit)) => {
                digits += 1;
                if mantissa < FULL {
                    mantissa = mantissa << 4 | u64::from(digit);
                    exponent -= i64::from(seen_point) * 4;
                } else {
                    mantissa |= u64::from(digit > 0);
                    exponent += i64::from(!seen_point) * 4;
                }
            }
            _ => break,
        }
        at += 1;
    }
    if digits == 0 {
        return None;
    }
    match &text[at..] {
        [] => {}
        [b'p' | b'P', power @ ..] => {
            let power = power.strip_prefix(b"+").unwrap_or(power);
            let power: i64 = std::str::from_utf8(power).ok()?.parse().ok()?;
            exponent = exponent.saturating_add(power);
        }
        _ => return None,
    }
    // In two steps, since neither of the ends of the format is a power of two that can be written
    // as a factor.
    let exponent = exponent.clamp(-4000, 4000) as i32;
    let (half, rest) = (exponent / 2, exponent - exponent / 2);
    let number = mantissa as f64 * 2f64.powi(half) * 2f64.powi(rest);
    Some((number, mantissa == 0))
}
