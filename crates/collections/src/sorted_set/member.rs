//! A member of a large sorted set, with its score: one allocation, which the table owns.

use crate::table::Item;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// A member: eight bytes of score, its length (one byte, or 255 and four more), its text.
pub(super) struct Member(NonNull<u8>);

// SAFETY: a member owns its allocation.
unsafe impl Send for Member {}
// SAFETY: shared access only reads.
unsafe impl Sync for Member {}

const LEN_AT: usize = 8;
const SHORT_TEXT_AT: usize = LEN_AT + 1;
const LONG_TEXT_AT: usize = SHORT_TEXT_AT + 4;
/// The length byte that says: the length is in the next four.
const LONG: u8 = 255;

fn text_at(len: usize) -> usize {
    if len < usize::from(LONG) { SHORT_TEXT_AT } else { LONG_TEXT_AT }
}

fn layout(len: usize) -> Layout {
    Layout::from_size_align(text_at(len) + len, 8).expect("arguments are shorter than 2^63 bytes")
}

impl Member {
    /// # Panics
    /// If the text has 4 GiB or more.
    pub(super) fn new(text: &[u8], score: f64) -> Member {
        let long = u32::try_from(text.len()).expect("members are shorter than 4 GiB");
        let (at, layout) = (text_at(text.len()), layout(text.len()));
        // SAFETY: the layout is not empty; everything is written within it, the score aligned.
        unsafe {
            let Some(start) = NonNull::new(alloc(layout)) else { handle_alloc_error(layout) };
            start.cast::<f64>().write(score);
            if at == SHORT_TEXT_AT {
                start.add(LEN_AT).write(long as u8);
            } else {
                start.add(LEN_AT).write(LONG);
                start.add(SHORT_TEXT_AT).cast::<u32>().write_unaligned(long);
            }
            std::ptr::copy_nonoverlapping(text.as_ptr(), start.add(at).as_ptr(), text.len());
            Member(start)
        }
    }

    /// The allocation.
    #[inline]
    pub(super) fn pointer(&self) -> NonNull<u8> {
        self.0
    }

    #[inline]
    pub(super) fn score(&self) -> f64 {
        // SAFETY: the allocation begins with the score.
        unsafe { self.0.cast::<f64>().read() }
    }

    #[inline]
    pub(super) fn set_score(&mut self, score: f64) {
        // SAFETY: as above; `self` is borrowed mutably.
        unsafe { self.0.cast::<f64>().write(score) }
    }

    #[inline]
    pub(super) fn text(&self) -> &[u8] {
        // SAFETY: the text lives as long as the member is borrowed.
        unsafe { text_of(self.0) }
    }

    /// Bytes of memory: allocators round to 16.
    pub(super) fn memory(&self) -> usize {
        layout(self.text().len()).size().next_multiple_of(16)
    }
}

/// The text of a member's allocation.
///
/// # Safety
/// The allocation lives, and its text is not changed, during 'a.
#[inline]
pub(super) unsafe fn text_of<'a>(start: NonNull<u8>) -> &'a [u8] {
    // SAFETY: `new` wrote length and text so; they live by the caller's promise.
    unsafe {
        match start.add(LEN_AT).read() {
            LONG => {
                let len = start.add(SHORT_TEXT_AT).cast::<u32>().read_unaligned();
                std::slice::from_raw_parts(start.add(LONG_TEXT_AT).as_ptr(), len as usize)
            }
            len => std::slice::from_raw_parts(start.add(SHORT_TEXT_AT).as_ptr(), usize::from(len)),
        }
    }
}

impl Clone for Member {
    fn clone(&self) -> Member {
        Member::new(self.text(), self.score())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let layout = layout(self.text().len());
        // SAFETY: allocated with this layout; it is not used any more.
        unsafe { dealloc(self.0.as_ptr(), layout) };
    }
}

// SAFETY: allocations are aligned to 8 bytes; `from_raw` takes what `into_raw` gave. The text is
// never changed.
unsafe impl Item for Member {
    fn into_raw(self) -> NonNull<u8> {
        std::mem::ManuallyDrop::new(self).0
    }

    unsafe fn from_raw(pointer: NonNull<u8>) -> Member {
        Member(pointer)
    }

    #[inline]
    fn key(&self) -> &[u8] {
        self.text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_all_lengths_come_back() {
        for len in [0, 1, 7, 254, 255, 256, 70_000] {
            let text = vec![b'm'; len];
            let mut member = Member::new(&text, 1.5);
            member.set_score(-2.5);
            assert_eq!((member.text(), member.score()), (&text[..], -2.5));
            assert!(member.memory() > len);
        }
    }
}
