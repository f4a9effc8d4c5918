//! A link: the tree's entry for a member. It holds the member's address, and so much of its score
//! that most comparisons need not go there.

use super::member::{Member, text_of};
use std::cmp::Ordering;
use std::ptr::NonNull;

/// A member's address (48 bits) and the upper 48 bits of its score in an order-keeping form: twelve
/// bytes. Whole numbers below 2^37 differ in them.
#[repr(C, packed(4))]
#[derive(Clone, Copy)]
pub(super) struct Link {
    /// Bits 16–47 of the score's part.
    high: u32,
    /// Bits 0–15 of the score's part above the address.
    word: u64,
}

const ADDRESS_BITS: u32 = 48;
const LOW_BITS: u32 = 16;

/// A score as an integer that is ordered as the score is. The two zeros are one.
#[inline]
pub(super) fn ordered(score: f64) -> u64 {
    let bits = (score + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// The part of a score that a link holds.
#[inline]
fn prefix(score: f64) -> u64 {
    ordered(score) >> LOW_BITS
}

impl Link {
    /// No link: what unused places hold.
    pub(super) const NONE: Link = Link { high: 0, word: 0 };

    /// The link to a member.
    ///
    /// # Safety
    /// The link, and its copies, are used no longer than the member's allocation lives and its
    /// score stays as it is.
    #[inline]
    pub(super) unsafe fn to(member: &Member) -> Link {
        Link::NONE.at(member.pointer(), member.score())
    }

    /// The link to the same member as it will be with another score.
    ///
    /// # Safety
    /// As for [`Link::to`], from the moment on when the score is set.
    pub(super) unsafe fn with_score(self, score: f64) -> Link {
        self.at(self.pointer(), score)
    }

    #[inline]
    fn at(self, member: NonNull<u8>, score: f64) -> Link {
        let (prefix, address) = (prefix(score), member.as_ptr() as usize as u64);
        assert!(address >> ADDRESS_BITS == 0, "an address of 48 bits");
        Link { high: (prefix >> LOW_BITS) as u32, word: prefix << ADDRESS_BITS | address }
    }

    #[inline]
    fn prefix(self) -> u64 {
        u64::from(self.high) << LOW_BITS | self.word >> ADDRESS_BITS
    }

    #[inline]
    fn pointer(self) -> NonNull<u8> {
        let address = self.word & ((1 << ADDRESS_BITS) - 1);
        NonNull::new(address as usize as *mut u8).expect("only links to members are used")
    }

    /// The member's address, for prefetching.
    #[inline]
    pub(super) fn address(self) -> *const u8 {
        self.pointer().as_ptr()
    }

    /// The member's score.
    #[inline]
    pub(super) fn score(self) -> f64 {
        // SAFETY: the member lives, by the promise of the code that made the link.
        unsafe { self.pointer().cast::<f64>().read() }
    }

    /// The member's text. The caller sees to it that 'a ends before the member's life.
    #[inline]
    pub(super) fn text<'a>(self) -> &'a [u8] {
        // SAFETY: the member lives, by the promise of the code that made the link.
        unsafe { text_of(self.pointer()) }
    }

    /// Whether both lead to the same member.
    #[inline]
    pub(super) fn is_same(self, other: Link) -> bool {
        self.word << LOW_BITS == other.word << LOW_BITS
    }

    /// How this member's score compares to a number.
    #[inline]
    pub(super) fn compare_score(self, score: f64) -> Ordering {
        self.prefix().cmp(&prefix(score)).then_with(|| ordered(self.score()).cmp(&ordered(score)))
    }

    /// The order of the set: by score, then by text.
    #[inline]
    pub(super) fn compare(self, other: Link) -> Ordering {
        self.prefix().cmp(&other.prefix()).then_with(|| self.compare_closely(other, other.score()))
    }

    /// As [`Link::compare`] where the other member's score is about to become `score`.
    pub(super) fn compare_to(self, other: Link, score: f64) -> Ordering {
        self.compare_score(score).then_with(|| self.text().cmp(other.text()))
    }

    fn compare_closely(self, other: Link, score: f64) -> Ordering {
        if self.is_same(other) {
            return Ordering::Equal;
        }
        ordered(self.score()).cmp(&ordered(score)).then_with(|| self.text().cmp(other.text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_scores_is_that_of_numbers() {
        let scores = [
            f64::NEG_INFINITY,
            -1e300,
            -1.0,
            -5e-324,
            0.0,
            5e-324,
            1.0,
            1.0 + f64::EPSILON,
            1e300,
            f64::INFINITY,
        ];
        for pair in scores.windows(2) {
            assert!(ordered(pair[0]) < ordered(pair[1]), "{pair:?}");
        }
        assert_eq!(ordered(0.0), ordered(-0.0));
    }

    #[test]
    fn scores_that_differ_in_their_last_bits_are_told_apart() {
        let (a, b) = (Member::new(b"a", 1.0 + f64::EPSILON), Member::new(b"b", 1.0));
        // SAFETY: both members outlive their links, and keep their scores.
        let (a, b) = unsafe { (Link::to(&a), Link::to(&b)) };
        assert_eq!(a.compare(b), Ordering::Greater);
        assert_eq!(a.compare_score(1.0), Ordering::Greater);
        assert_eq!(a.compare(a), Ordering::Equal);
        assert_eq!(b.compare_to(a, 1.0), Ordering::Greater);
    }
}
