//! The table of a large set, and its members.

use crate::capture::{Part, Remains};
use crate::hasher::{HashCode, hasher};
use crate::table::{self, Elements, Item, Place, Ref};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// A member: one allocation with its length and its bytes.
///
/// | length | layout |
/// | --- | --- |
/// | up to 254 | length (1 byte), bytes |
/// | 255 and more | 255 (1 byte), length (4 bytes, not aligned), bytes |
pub struct Member(NonNull<u8>);

/// The first byte of a member with a long length.
const LONG: u8 = 255;
/// Bytes before those of a member: with a short length, and with a long one.
const SHORT_HEADER: usize = 1;
const LONG_HEADER: usize = SHORT_HEADER + 4;

// SAFETY: a member owns its bytes.
unsafe impl Send for Member {}
// SAFETY: a member is never changed.
unsafe impl Sync for Member {}

fn header(len: usize) -> usize {
    if len < usize::from(LONG) { SHORT_HEADER } else { LONG_HEADER }
}

/// Rounded up to the alignment: of other sizes mimalloc's aligned allocations take up to 27 bytes
/// more (measured: 32 for 5 bytes, 8 for 8).
fn layout(len: usize) -> Layout {
    let size = (header(len) + len).next_multiple_of(8);
    Layout::from_size_align(size, 8).expect("members are shorter than 4 GiB")
}

impl Member {
    /// A member.
    ///
    /// # Panics
    /// If it is 4 GiB or longer; the protocol's limit on arguments is below that.
    pub fn new(text: &[u8]) -> Member {
        let layout = layout(text.len());
        // SAFETY: the layout is not empty, and has room for the length and the bytes.
        unsafe {
            let Some(start) = NonNull::new(alloc(layout)) else { handle_alloc_error(layout) };
            match u8::try_from(text.len()) {
                Ok(len) if len < LONG => start.write(len),
                _ => {
                    let len = u32::try_from(text.len()).expect("members are shorter than 4 GiB");
                    start.write(LONG);
                    start.add(SHORT_HEADER).cast::<u32>().write_unaligned(len);
                }
            }
            let bytes = start.as_ptr().add(header(text.len()));
            std::ptr::copy_nonoverlapping(text.as_ptr(), bytes, text.len());
            Member(start)
        }
    }

    /// Its bytes.
    #[inline]
    pub fn text(&self) -> &[u8] {
        // SAFETY: `new` has written length and bytes like this.
        unsafe {
            match self.0.read() {
                LONG => {
                    let len = self.0.add(SHORT_HEADER).cast::<u32>().read_unaligned() as usize;
                    std::slice::from_raw_parts(self.0.as_ptr().add(LONG_HEADER), len)
                }
                len => {
                    let bytes = self.0.as_ptr().add(SHORT_HEADER);
                    std::slice::from_raw_parts(bytes, usize::from(len))
                }
            }
        }
    }

    /// Bytes of memory.
    fn memory(&self) -> usize {
        layout(self.text().len()).size()
    }
}

impl Clone for Member {
    fn clone(&self) -> Member {
        Member::new(self.text())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let layout = layout(self.text().len());
        // SAFETY: allocated with this layout; it is not used any more.
        unsafe { dealloc(self.0.as_ptr(), layout) };
    }
}

// SAFETY: allocations are aligned to 8 bytes and, in user space, below 2^48; the pointer is all
// that a member is.
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

/// The members of a large set.
#[derive(Default)]
pub struct Members(Elements<Member>);

impl Members {
    /// The number of members.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is a member.
    #[inline]
    pub fn contains(&self, text: &[u8], hash: HashCode) -> bool {
        self.0.find(text, hash).is_some()
    }

    /// As [`Table::prefetch_step`].
    #[inline]
    pub(super) fn prefetch(&self, step: u8, hash: HashCode) -> bool {
        self.0.prefetch_step(step, hash)
    }

    /// Adds what is no member yet.
    #[inline]
    pub fn insert_new(&mut self, text: &[u8], hash: HashCode) {
        debug_assert!(!self.contains(text, hash));
        self.0.insert(hash, Member::new(text));
    }

    /// Removes a member; whether it was one.
    pub fn remove(&mut self, text: &[u8], hash: HashCode) -> bool {
        self.0.take(text, hash, |_| ()).is_some()
    }

    /// All members, in no particular order.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.0.iter())
    }

    /// One step of a scan, as [`Table::scan`].
    pub fn scan(&self, cursor: u64, mut see: impl FnMut(&[u8])) -> u64 {
        self.0.scan(cursor, |member| see(member.text()))
    }

    /// Some member, each as likely as any other; `None` if there is none.
    pub fn draw(&self, random: impl FnMut() -> u64) -> Option<&[u8]> {
        self.0.draw_item(random).map(text_of)
    }

    /// Takes some member out, each as likely as any other, and shows it; `None` if there is none.
    pub fn pop<R>(
        &mut self,
        random: impl FnMut() -> u64,
        see: impl FnOnce(&[u8]) -> R,
    ) -> Option<R> {
        let place: Place<Member> = self.0.draw(random)?;
        // SAFETY: the place was just found, and with it the member whose hash this is.
        unsafe {
            let hash = hasher().hash(self.0.item(place).text());
            Some(self.0.remove(place, hash, |member| see(member.text())))
        }
    }

    /// Whether a capture is under way.
    pub(super) fn is_captured(&self) -> bool {
        self.0.is_captured()
    }

    /// As [`crate::Collection::begin_capture`].
    pub(super) fn begin_capture(&mut self) {
        self.0.begin_capture();
    }

    /// As [`crate::Collection::capture_step`].
    pub(super) fn capture_step(&mut self, budget: usize, see: &mut dyn FnMut(Part<'_>)) -> bool {
        if let Some(length) = self.0.length_of_capture() {
            see(Part::Length(length));
        }
        self.0.capture_step(budget, |member| Part::Member(member.text()).show(see))
    }

    /// As [`crate::Collection::end_capture`].
    pub(super) fn end_capture(&mut self) -> Remains {
        self.0.end_capture()
    }

    /// Bytes of memory: of the buckets, and of the members as far as `samples` of them show it (0:
    /// all).
    pub fn memory(&self, samples: usize) -> usize {
        let looked_at = if samples == 0 { self.len() } else { samples.min(self.len()) };
        let sum: usize = self.0.iter().take(looked_at).map(|member| member.memory()).sum();
        let all = (sum as u128 * self.len() as u128).checked_div(looked_at as u128).unwrap_or(0);
        size_of::<Members>() + self.0.memory() + all as usize
    }
}

impl Clone for Members {
    fn clone(&self) -> Members {
        let mut clone = Members::default();
        for text in self.iter() {
            clone.insert_new(text, hasher().hash(text));
        }
        clone
    }
}

/// The bytes of a member for as long as its table is borrowed.
#[inline]
fn text_of(member: Ref<'_, Member>) -> &[u8] {
    let text: *const [u8] = member.text();
    // SAFETY: the bytes are the member's own allocation, which is neither changed nor freed during
    // the lifetime of the reference.
    unsafe { &*text }
}

/// All members, in no particular order.
#[derive(Clone)]
pub struct Iter<'a>(table::Iter<'a, Member>);

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.next().map(text_of)
    }
}
