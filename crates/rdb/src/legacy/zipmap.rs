//! The zipmap (before Redis 2.6): number of fields (1 byte; 254: not known), then for each field
//! its length and bytes, the value's length, the number of unused bytes (1 byte), the value, the
//! unused bytes; at the end 255.
//!
//! A length is one byte up to 253, or 254 and four bytes, little-endian.

use super::{array, take};

const END: u8 = 255;
/// Lengths from this on take four bytes more; as number of fields: count them.
const LONG: u8 = 254;

/// Gives field, value, field, value … to `text`; `None` if the bytes are no zipmap through and
/// through.
pub(crate) fn decode(bytes: &[u8], mut text: impl FnMut(&[u8])) -> Option<()> {
    let (&count, mut rest) = bytes.strip_suffix(&[END])?.split_first()?;
    let mut seen = 0usize;
    while !rest.is_empty() {
        let len = length(&mut rest)?;
        text(take(&mut rest, len)?);
        let len = length(&mut rest)?;
        let unused = array::<1>(&mut rest)?[0];
        text(take(&mut rest, len)?);
        take(&mut rest, usize::from(unused))?;
        seen += 1;
    }
    (count >= LONG || usize::from(count) == seen).then_some(())
}

fn length(rest: &mut &[u8]) -> Option<usize> {
    match array::<1>(rest)?[0] {
        END => None,
        LONG => Some(u32::from_le_bytes(array(rest)?) as usize),
        len => Some(usize::from(len)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
        let mut found = Vec::new();
        decode(bytes, |text| found.push(text.to_vec()))?;
        Some(found)
    }

    #[test]
    fn fields_and_values_are_read() {
        let sample = b"\x02\x03foo\x03\x02bar..\x05hello\xfe\x05\x00\x00\x00\x00world\xff";
        let expected = [&b"foo"[..], b"bar", b"hello", b"world"].map(<[u8]>::to_vec).to_vec();
        assert_eq!(texts(sample), Some(expected));
        for len in 0..sample.len() {
            assert_eq!(texts(&sample[..len]), None, "cut off at {len}");
        }
    }

    #[test]
    fn counts_and_lengths_must_be_right() {
        assert_eq!(texts(b"\x00\xff"), Some(Vec::new()));
        assert!(texts(b"\xfe\x01a\x01\x00b\xff").is_some(), "the number is not known");
        let wrong: [&[u8]; 5] = [
            b"\x02\x01a\x01\x00b\xff",
            b"\x01\x02a\x01\x00b\xff",
            b"\x01\x01a\x01\x01b\xff",
            b"\x01\x01a\xff",
            b"\x01\xff\x00\x00\x00\x00\xff",
        ];
        for bytes in wrong {
            assert_eq!(texts(bytes), None, "{}", bytes.escape_ascii());
        }
    }
}
