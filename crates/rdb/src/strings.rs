//! Lengths and strings, as they are written.

use crate::format::{length, special};
use tessera_collections::lzf;

/// Whether long strings are compressed (directive `rdbcompression`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Compression {
    /// Strings are written as they are.
    Off,
    /// LZF for strings over 20 bytes which it makes at least 4 bytes shorter.
    #[default]
    Lzf,
}

/// LZF cannot gain anything on a string up to this length.
const COMPRESS_ABOVE: usize = 20;
/// LZF must save at least this many bytes.
const COMPRESS_GAIN: usize = 4;
/// The longest decimal text that may be a 32-bit integer (`-2147483648`).
const LONGEST_INT32: usize = 11;

/// Appends a length: 6, 14, 32 or 64 bits, the shortest that holds it. The long forms are
/// big-endian.
pub(crate) fn put_length(out: &mut Vec<u8>, value: u64) {
    if value < 1 << 6 {
        out.push(length::BITS_6 << 6 | value as u8);
    } else if value < 1 << 14 {
        out.push(length::BITS_14 << 6 | (value >> 8) as u8);
        out.push(value as u8);
    } else if let Ok(value) = u32::try_from(value) {
        out.push(length::BITS_32);
        out.extend_from_slice(&value.to_be_bytes());
    } else {
        out.push(length::BITS_64);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Appends a string in its shortest form: as an integer, compressed, or as it is.
pub(crate) fn put_string(out: &mut Vec<u8>, text: &[u8], compression: Compression) {
    if let Some(value) = small_integer(text) {
        put_small_integer(out, value);
        return;
    }
    let compressed =
        compression == Compression::Lzf && text.len() > COMPRESS_ABOVE && put_lzf(out, text);
    if !compressed {
        put_length(out, text.len() as u64);
        out.extend_from_slice(text);
    }
}

/// Appends a string whose text is this number in decimal.
pub(crate) fn put_integer(out: &mut Vec<u8>, value: i64) {
    match i32::try_from(value) {
        Ok(value) => put_small_integer(out, value),
        Err(_) => {
            let mut digits = itoa::Buffer::new();
            let text = digits.format(value).as_bytes();
            put_length(out, text.len() as u64);
            out.extend_from_slice(text);
        }
    }
}

fn put_small_integer(out: &mut Vec<u8>, value: i32) {
    if let Ok(value) = i8::try_from(value) {
        out.push(length::SPECIAL << 6 | special::INT8);
        out.extend_from_slice(&value.to_le_bytes());
    } else if let Ok(value) = i16::try_from(value) {
        out.push(length::SPECIAL << 6 | special::INT16);
        out.extend_from_slice(&value.to_le_bytes());
    } else {
        out.push(length::SPECIAL << 6 | special::INT32);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// The number that `text` is, if writing that number gives the same text again.
fn small_integer(text: &[u8]) -> Option<i32> {
    if text.is_empty() || text.len() > LONGEST_INT32 {
        return None;
    }
    let value: i32 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let mut digits = itoa::Buffer::new();
    (digits.format(value).as_bytes() == text).then_some(value)
}

/// Appends `text` compressed; appends nothing and returns false if that gains too little.
fn put_lzf(out: &mut Vec<u8>, text: &[u8]) -> bool {
    let Some(compressed) = lzf::compress(text, text.len() - COMPRESS_GAIN) else {
        return false;
    };
    out.push(length::SPECIAL << 6 | special::LZF);
    put_length(out, compressed.len() as u64);
    put_length(out, text.len() as u64);
    out.extend_from_slice(&compressed);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_string(&mut out, text, Compression::Lzf);
        out
    }

    #[test]
    fn the_shortest_form_is_chosen() {
        let cases: [(&[u8], &[u8]); 12] = [
            (b"", b"\x00"),
            (b"0", b"\xc0\x00"),
            (b"-128", b"\xc0\x80"),
            (b"128", b"\xc1\x80\x00"),
            (b"-32768", b"\xc1\x00\x80"),
            (b"32768", b"\xc2\x00\x80\x00\x00"),
            (b"-2147483648", b"\xc2\x00\x00\x00\x80"),
            (b"2147483648", b"\x0a2147483648"),
            (b"007", b"\x03007"),
            (b"+7", b"\x02+7"),
            (b"-0", b"\x02-0"),
            (b"aaaaaaaaaaaaaaaaaaaa", b"\x14aaaaaaaaaaaaaaaaaaaa"),
        ];
        for (text, expected) in cases {
            assert_eq!(encoded(text), expected, "{}", text.escape_ascii());
        }
        let long = encoded(&[b'a'; 1000]);
        assert_eq!(long[0], 0xc3);
        assert!(long.len() < 40, "{}", long.len());
    }

    #[test]
    fn an_integer_is_written_as_its_text_is() {
        for value in [0, -1, 127, 128, -129, 40_000, i64::from(i32::MIN), i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            put_integer(&mut out, value);
            assert_eq!(out, encoded(value.to_string().as_bytes()), "{value}");
        }
    }

    #[test]
    fn lengths_at_their_borders() {
        let cases: [(u64, &[u8]); 6] = [
            (63, b"\x3f"),
            (64, b"\x40\x40"),
            (16_383, b"\x7f\xff"),
            (16_384, b"\x80\x00\x00\x40\x00"),
            (u64::from(u32::MAX), b"\x80\xff\xff\xff\xff"),
            (1 << 32, b"\x81\x00\x00\x00\x01\x00\x00\x00\x00"),
        ];
        for (value, expected) in cases {
            let mut out = Vec::new();
            put_length(&mut out, value);
            assert_eq!(out, expected, "{value}");
        }
    }
}
