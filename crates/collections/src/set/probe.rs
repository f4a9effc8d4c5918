//! A member that is looked for in several sets. Its number and its hash are computed at most once,
//! and only if a set asks.

use crate::hasher::{HashCode, hasher};
use crate::listpack::{Digits, Element, canonical_integer};

/// A possible member.
pub struct Probe<'a> {
    element: Element<'a>,
    /// Whether `element` is known to be text that is no integer.
    is_word: bool,
    /// The text of an integer, once it was asked for: its digits and how many there are.
    digits: [u8; 20],
    digit_count: u8,
    hash: Option<HashCode>,
}

impl<'a> Probe<'a> {
    /// A text.
    #[inline]
    pub fn text_of(text: &'a [u8]) -> Probe<'a> {
        Probe::of(Element::Bytes(text))
    }

    /// An element of a set.
    #[inline]
    pub fn of(element: Element<'a>) -> Probe<'a> {
        Probe { element, is_word: false, digits: [0; 20], digit_count: 0, hash: None }
    }

    /// Its text.
    #[inline]
    pub fn text(&mut self) -> &[u8] {
        match self.element {
            Element::Bytes(text) => text,
            Element::Integer(number) => {
                if self.digit_count == 0 {
                    let mut digits = Digits::default();
                    let digits = digits.format(number);
                    self.digits[..digits.len()].copy_from_slice(digits);
                    self.digit_count = digits.len() as u8;
                }
                &self.digits[..usize::from(self.digit_count)]
            }
        }
    }

    /// The integer of which its text is the canonical form, if any.
    #[inline]
    pub fn integer(&mut self) -> Option<i64> {
        match self.element {
            Element::Integer(number) => Some(number),
            Element::Bytes(_) if self.is_word => None,
            Element::Bytes(text) => {
                let number = canonical_integer(text);
                match number {
                    // Keep the text at hand: it need not be made again.
                    Some(number) => {
                        self.element = Element::Integer(number);
                        self.digits[..text.len()].copy_from_slice(text);
                        self.digit_count = text.len() as u8;
                    }
                    None => self.is_word = true,
                }
                number
            }
        }
    }

    /// The hash of its text.
    #[inline]
    pub fn hash(&mut self) -> HashCode {
        match self.hash {
            Some(hash) => hash,
            None => {
                let hash = hasher().hash(self.text());
                self.hash = Some(hash);
                hash
            }
        }
    }
}
