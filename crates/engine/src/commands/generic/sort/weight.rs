//! Numbers that elements are sorted by.

use tessera_collections::parse_double;

/// The number that a text is, read as leniently as by C's `strtod`: there may be blanks before it,
/// and nothing is zero. `None`: it is no number.
pub(super) fn weight(text: &[u8]) -> Option<f64> {
    if text.is_empty() {
        return Some(0.0);
    }
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = text.iter().position(|byte| !blank(byte))?;
    parse_double(&text[start..])
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
