//! One element of a listpack: encoding, data, back length.
//!
//! | first byte | more | what |
//! | --- | --- | --- |
//! | `0xxxxxxx` | | integer from 0 to 127 |
//! | `10xxxxxx` | | string of up to 63 bytes |
//! | `110xxxxx` | 1 | integer of 13 bits |
//! | `1110xxxx` | 1 | string of up to 4095 bytes |
//! | `11110000` | 4 | string; its length is little-endian |
//! | `11110001` to `11110100` | 2, 3, 4, 8 | little-endian integer |

use super::{END, HEADER, UNCOUNTED};

/// An element, seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Element<'a> {
    /// An integer.
    Integer(i64),
    /// A string that is not the canonical decimal form of a 64-bit integer.
    Bytes(&'a [u8]),
}

impl<'a> Element<'a> {
    /// The element as text; `buffer` takes the digits of an integer.
    #[inline]
    pub fn text<'b>(self, buffer: &'b mut Digits) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Element::Integer(number) => buffer.format(number),
            Element::Bytes(bytes) => bytes,
        }
    }

    /// The element's text, copied.
    pub fn to_vec(self) -> Vec<u8> {
        self.text(&mut Digits::default()).to_vec()
    }

    /// The length of its text, bytes.
    pub fn text_len(self) -> usize {
        match self {
            Element::Integer(number) => Digits::default().format(number).len(),
            Element::Bytes(bytes) => bytes.len(),
        }
    }

    /// The element that this text becomes.
    #[inline]
    pub fn of(text: &'a [u8]) -> Element<'a> {
        canonical_integer(text).map_or(Element::Bytes(text), Element::Integer)
    }
}

/// Room for the digits of an integer.
#[derive(Default)]
pub struct Digits([u8; 20]);

impl Digits {
    /// The canonical decimal form.
    #[inline]
    pub fn format(&mut self, number: i64) -> &[u8] {
        let (mut at, mut rest) = (self.0.len(), number.unsigned_abs());
        loop {
            at -= 1;
            self.0[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            at -= 1;
            self.0[at] = b'-';
        }
        &self.0[at..]
    }
}

/// The integer of which `text` is the canonical decimal form, if any.
#[inline]
pub fn canonical_integer(text: &[u8]) -> Option<i64> {
    let digits = match text {
        [b'0'] => return Some(0),
        [b'-', rest @ ..] | rest => rest,
    };
    if !matches!(digits, [b'1'..=b'9', ..]) || digits.len() > 19 {
        return None;
    }
    let mut value = 0u64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit); // at most 19 digits: below 10^19 < 2^64
    }
    if digits.len() == text.len() {
        i64::try_from(value).ok()
    } else if value <= i64::MIN.unsigned_abs() {
        Some((value as i64).wrapping_neg())
    } else {
        None
    }
}

/// The bytes that a length takes as back length.
#[inline]
pub(super) fn back_len_size(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}

fn write_back_len(len: usize, out: &mut [u8]) {
    let size = out.len();
    for (index, byte) in out.iter_mut().enumerate() {
        let bits = (len >> (7 * (size - 1 - index)) & 127) as u8;
        *byte = if index == 0 { bits } else { bits | 128 };
    }
}

/// The size of the element that ends where `bytes` end, with its back length.
#[inline]
pub(super) fn size_before(bytes: &[u8]) -> usize {
    let (mut len, mut shift) = (0usize, 0);
    for &byte in bytes.iter().rev().take(5) {
        len |= usize::from(byte & 127) << shift;
        shift += 7;
        if byte & 128 == 0 {
            break;
        }
    }
    len + shift / 7
}

/// Bytes of encoding and data of the element at `at`.
#[inline]
fn content_size(bytes: &[u8], at: usize) -> usize {
    let first = bytes[at];
    match first {
        0..=0x7f => 1,
        0x80..=0xbf => 1 + usize::from(first & 0x3f),
        0xc0..=0xdf => 2,
        0xe0..=0xef => 2 + (usize::from(first & 15) << 8 | usize::from(bytes[at + 1])),
        0xf0 => 5 + long_len(bytes, at),
        0xf1 => 3,
        0xf2 => 4,
        0xf3 => 5,
        _ => 9,
    }
}

fn long_len(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at + 1..at + 5].try_into().expect("four bytes")) as usize
}

/// Bytes of the element at `at`, with its back length.
#[inline]
pub(super) fn size_at(bytes: &[u8], at: usize) -> usize {
    let content = content_size(bytes, at);
    content + back_len_size(content)
}

/// The element at `at`, and its size with its back length.
#[inline]
pub(super) fn read(bytes: &[u8], at: usize) -> (Element<'_>, usize) {
    let content = content_size(bytes, at);
    let data = &bytes[at..at + content];
    let element = match data[0] {
        first @ 0..=0x7f => Element::Integer(i64::from(first)),
        0x80..=0xbf => Element::Bytes(&data[1..]),
        first @ 0xc0..=0xdf => {
            let bits = u16::from(first & 31) << 8 | u16::from(data[1]);
            Element::Integer(i64::from((bits << 3) as i16 >> 3))
        }
        0xe0..=0xef => Element::Bytes(&data[2..]),
        0xf0 => Element::Bytes(&data[5..]),
        _ => Element::Integer(little_endian(&data[1..])),
    };
    (element, content + back_len_size(content))
}

/// A signed integer of up to eight bytes.
fn little_endian(data: &[u8]) -> i64 {
    let mut wide = [0; 8];
    wide[8 - data.len()..].copy_from_slice(data);
    i64::from_le_bytes(wide) >> (8 * (8 - data.len()))
}

/// An element, to be written or looked for.
pub(super) enum Encoded<'a> {
    Integer(i64),
    Bytes(&'a [u8]),
}

impl<'a> From<Element<'a>> for Encoded<'a> {
    #[inline]
    fn from(element: Element<'a>) -> Encoded<'a> {
        match element {
            Element::Integer(number) => Encoded::Integer(number),
            Element::Bytes(bytes) => Encoded::of(bytes),
        }
    }
}

impl<'a> Encoded<'a> {
    #[inline]
    pub(super) fn of(text: &'a [u8]) -> Encoded<'a> {
        canonical_integer(text).map_or(Encoded::Bytes(text), Encoded::Integer)
    }

    fn content_size(&self) -> usize {
        match *self {
            Encoded::Bytes(bytes) => match bytes.len() {
                len @ 0..64 => 1 + len,
                len @ 64..4096 => 2 + len,
                len => 5 + len,
            },
            Encoded::Integer(number) => match number {
                0..=127 => 1,
                -4096..=4095 => 2,
                -0x8000..=0x7fff => 3,
                -0x80_0000..=0x7f_ffff => 4,
                -0x8000_0000..=0x7fff_ffff => 5,
                _ => 9,
            },
        }
    }

    /// Bytes, with the back length.
    pub(super) fn size(&self) -> usize {
        let content = self.content_size();
        content + back_len_size(content)
    }

    /// Writes it into as many bytes as [`Encoded::size`] says.
    pub(super) fn write(&self, out: &mut [u8]) {
        let content = self.content_size();
        let (data, back) = out.split_at_mut(content);
        match *self {
            Encoded::Bytes(bytes) => {
                match bytes.len() {
                    len @ 0..64 => data[0] = 0x80 | len as u8,
                    len @ 64..4096 => {
                        data[..2].copy_from_slice(&(0xe000 | len as u16).to_be_bytes());
                    }
                    len => {
                        data[0] = 0xf0;
                        data[1..5].copy_from_slice(&(len as u32).to_le_bytes());
                    }
                }
                data[content - bytes.len()..].copy_from_slice(bytes);
            }
            Encoded::Integer(number) => match content {
                1 => data[0] = number as u8,
                2 => data.copy_from_slice(&(0xc000 | number as u16 & 0x1fff).to_be_bytes()),
                _ => {
                    data[0] = match content {
                        3 => 0xf1,
                        4 => 0xf2,
                        5 => 0xf3,
                        _ => 0xf4,
                    };
                    data[1..].copy_from_slice(&number.to_le_bytes()[..content - 1]);
                }
            },
        }
        write_back_len(content, back);
    }

    /// Whether the element at `at` is this one.
    #[inline]
    pub(super) fn is_at(&self, bytes: &[u8], at: usize) -> bool {
        match (self, bytes[at]) {
            // Most fields are short strings: the first byte settles most comparisons.
            (Encoded::Bytes(text), first @ 0x80..=0xbf) => {
                usize::from(first & 0x3f) == text.len()
                    && bytes[at + 1..at + 1 + text.len()] == **text
            }
            (Encoded::Bytes(text), 0xe0..=0xf0) => read(bytes, at).0 == Element::Bytes(text),
            (Encoded::Integer(number), 0..=0x7f | 0xc0..=0xdf | 0xf1..=0xf4) => {
                read(bytes, at).0 == Element::Integer(*number)
            }
            _ => false,
        }
    }
}

/// Whether bytes from outside are a listpack through and through: lengths, encodings, back lengths,
/// count.
pub(super) fn validate(bytes: &[u8]) -> Option<()> {
    let total = u32::from_le_bytes(bytes.get(..4)?.try_into().expect("four bytes"));
    let count = u16::from_le_bytes(bytes.get(4..HEADER)?.try_into().expect("two bytes"));
    if total as usize != bytes.len() || *bytes.get(HEADER..)?.last()? != END {
        return None;
    }
    let (end, mut at, mut seen) = (bytes.len() - 1, HEADER, 0usize);
    while at < end {
        let header = match bytes[at] {
            0xe0..=0xef => 2,
            0xf0 => 5,
            0xf5..=0xff => return None,
            _ => 1,
        };
        if at + header > end {
            return None;
        }
        let content = content_size(bytes, at);
        let size = content.checked_add(back_len_size(content))?;
        let next = at.checked_add(size).filter(|&next| next <= end)?;
        let mut back = [0; 5];
        let back = &mut back[..size - content];
        write_back_len(content, back);
        if bytes[at + content..next] != *back {
            return None;
        }
        (at, seen) = (next, seen + 1);
    }
    (count == UNCOUNTED || usize::from(count) == seen).then_some(())
}
