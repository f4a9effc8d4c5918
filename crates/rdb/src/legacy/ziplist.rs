//! The ziplist (Redis 2.6 to 6.2), predecessor of the listpack.
//!
//! | part | bytes | what |
//! | --- | --- | --- |
//! | total | 4 | bytes of the whole ziplist, little-endian |
//! | tail | 4 | where the last entry begins |
//! | count | 2 | number of entries; 65535: they must be counted |
//! | entries | | each: size of the one before (1 byte, or 254 and 4 bytes), encoding, data |
//! | end | 1 | 255 |
//!
//! | first byte of the encoding | more | what |
//! | --- | --- | --- |
//! | `00xxxxxx` | | string of up to 63 bytes |
//! | `01xxxxxx` | 1 | string of up to 16383 bytes, big-endian |
//! | `10000000` | 4 | string, big-endian |
//! | `11000000`, `11010000`, `11100000` | 2, 4, 8 | little-endian integer |
//! | `11110000`, `11111110` | 3, 1 | little-endian integer |
//! | `1111xxxx` | | 0 to 12, as `xxxx` less one |

use super::{array, take};

const HEADER: usize = 10;
const END: u8 = 255;
/// The count that says: count them.
const UNCOUNTED: u16 = u16::MAX;
/// Behind this byte the size of the entry before takes four bytes.
const LONG_SIZE: u8 = 254;

/// Gives each element's text to `element`; `None` if the bytes are no ziplist through and through.
pub(crate) fn decode(bytes: &[u8], mut element: impl FnMut(&[u8])) -> Option<()> {
    let mut header = bytes;
    let total = u32::from_le_bytes(array(&mut header)?);
    let tail = u32::from_le_bytes(array(&mut header)?);
    let count = u16::from_le_bytes(array(&mut header)?);
    let mut rest = header.strip_suffix(&[END])?;
    if total as usize != bytes.len() {
        return None;
    }
    let (mut size_before, mut seen) = (0, 0usize);
    let mut last = HEADER;
    while !rest.is_empty() {
        last = bytes.len() - 1 - rest.len();
        if size_of_entry_before(&mut rest)? != size_before {
            return None;
        }
        entry(&mut rest, &mut element)?;
        size_before = bytes.len() - 1 - rest.len() - last;
        seen += 1;
    }
    let is_counted = count == UNCOUNTED || usize::from(count) == seen;
    (is_counted && (seen == 0 || tail as usize == last)).then_some(())
}

fn size_of_entry_before(rest: &mut &[u8]) -> Option<usize> {
    Some(match array::<1>(rest)?[0] {
        END => return None,
        LONG_SIZE => u32::from_le_bytes(array(rest)?) as usize,
        size => usize::from(size),
    })
}

fn entry(rest: &mut &[u8], element: &mut impl FnMut(&[u8])) -> Option<()> {
    let first = array::<1>(rest)?[0];
    let len = match first {
        0..0x40 => usize::from(first),
        0x40..0x80 => usize::from(first & 0x3f) << 8 | usize::from(array::<1>(rest)?[0]),
        0x80 => u32::from_be_bytes(array(rest)?) as usize,
        _ => {
            let number = integer(first, rest)?;
            element(itoa::Buffer::new().format(number).as_bytes());
            return Some(());
        }
    };
    element(take(rest, len)?);
    Some(())
}

fn integer(first: u8, rest: &mut &[u8]) -> Option<i64> {
    Some(match first {
        0xc0 => i64::from(i16::from_le_bytes(array(rest)?)),
        0xd0 => i64::from(i32::from_le_bytes(array(rest)?)),
        0xe0 => i64::from_le_bytes(array(rest)?),
        0xf0 => {
            let [a, b, c] = array(rest)?;
            i64::from(i32::from_le_bytes([0, a, b, c]) >> 8)
        }
        0xfe => i64::from(i8::from_le_bytes(array(rest)?)),
        0xf1..=0xfd => i64::from(first & 15) - 1,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
        let mut found = Vec::new();
        decode(bytes, |element| found.push(element.to_vec()))?;
        Some(found)
    }

    /// A ziplist of entries that are encoded already, without the size of the one before.
    fn ziplist(entries: &[&[u8]]) -> Vec<u8> {
        let (mut body, mut before, mut tail) = (Vec::new(), 0usize, HEADER);
        for entry in entries {
            let start = body.len();
            tail = HEADER + start;
            match u8::try_from(before) {
                Ok(size @ 0..LONG_SIZE) => body.push(size),
                _ => {
                    body.push(LONG_SIZE);
                    body.extend_from_slice(&(before as u32).to_le_bytes());
                }
            }
            body.extend_from_slice(entry);
            before = body.len() - start;
        }
        let mut bytes = ((HEADER + body.len() + 1) as u32).to_le_bytes().to_vec();
        bytes.extend_from_slice(&(tail as u32).to_le_bytes());
        bytes.extend_from_slice(&(entries.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes.push(END);
        bytes
    }

    #[test]
    fn every_encoding_is_read() {
        let (medium, long) = (
            [&[0x41, 0x00][..], &[b'm'; 256]].concat(),
            [&[0x80, 0, 0, 0x40, 0][..], &[b'l'; 16384]].concat(),
        );
        let sample = ziplist(&[
            b"\x03abc",
            &medium,
            &long,
            b"\xc0\x00\x80",
            b"\xd0\xff\xff\xff\x7f",
            b"\xe0\x00\x00\x00\x00\x00\x00\x00\x80",
            b"\xf0\x00\x00\x80",
            b"\xfe\x80",
            b"\xf1",
            b"\xfd",
            b"\x00",
        ]);
        let expected: Vec<Vec<u8>> = [
            &b"abc"[..],
            &[b'm'; 256],
            &[b'l'; 16384],
            b"-32768",
            b"2147483647",
            b"-9223372036854775808",
            b"-8388608",
            b"-128",
            b"0",
            b"12",
            b"",
        ]
        .map(<[u8]>::to_vec)
        .to_vec();
        assert_eq!(elements(&sample), Some(expected));
        assert_eq!(elements(&ziplist(&[])), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_ziplist_is_refused() {
        let sample = ziplist(&[b"\x03abc", b"\xfe\x07", b"\x02de"]);
        assert!(elements(&sample).is_some());
        for len in 0..sample.len() {
            assert_eq!(elements(&sample[..len]), None, "cut off at {len}");
        }
        // Sizes, counts and encodings that are wrong; the data itself may be anything.
        for at in (0..11).chain([11, 15, 16, 18, 19]) {
            let mut bytes = sample.clone();
            bytes[at] ^= 0x80;
            assert_eq!(elements(&bytes), None, "byte {at}");
        }
        assert_eq!(elements(&ziplist(&[b"\xff"])), None);
    }
}
