//! A bucket: one cache line of tagged pointers, with a chain of overflow buckets.

use crate::entry::Entry;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

const WORDS: usize = 8;
const POINTER: u64 = (1 << 48) - 1;
const LINK: u64 = 1;
const EXPIRES: u64 = 2;
const FLAGS: u64 = 7;

/// An entry's pointer with its tag, or a link to an overflow bucket, or nothing. It owns what it
/// points to, but frees nothing by itself: [`Bucket::clear`] does.
pub(crate) struct Word(u64);

impl Word {
    pub(crate) const EMPTY: Word = Word(0);

    #[inline]
    pub(crate) fn of(entry: Entry, tag: u16) -> Word {
        let expires = if entry.expiry().is_some() { EXPIRES } else { 0 };
        let address = entry.into_raw() as usize as u64;
        assert!(address & !POINTER == 0 && address & FLAGS == 0, "a 48-bit, aligned address");
        Word(address | expires | u64::from(tag) << 48)
    }

    fn link(bucket: Box<Bucket>) -> Word {
        let address = Box::into_raw(bucket) as usize as u64;
        assert!(address & !POINTER == 0 && address & FLAGS == 0, "a 48-bit, aligned address");
        Word(address | LINK)
    }

    #[inline]
    pub(crate) fn tag(&self) -> u16 {
        (self.0 >> 48) as u16
    }

    #[inline]
    pub(crate) fn is_entry(&self) -> bool {
        self.0 != 0 && self.0 & LINK == 0
    }

    fn is_link(&self) -> bool {
        self.0 & LINK != 0
    }

    #[inline]
    pub(crate) fn expires(&self) -> bool {
        self.0 & EXPIRES != 0
    }

    /// The address of the entry, for prefetching only.
    #[inline]
    pub(crate) fn address(&self) -> *const u8 {
        (self.0 & POINTER & !FLAGS) as usize as *const u8
    }

    /// The entry; only where [`Word::is_entry`].
    #[inline]
    pub(crate) fn entry(&self) -> EntryRef<'_> {
        // SAFETY: the word owns the entry and is borrowed as long as the reference.
        EntryRef(ManuallyDrop::new(unsafe { self.alias() }), PhantomData)
    }

    /// The entry; only where [`Word::is_entry`].
    #[inline]
    pub(crate) fn entry_mut(&mut self) -> EntryMut<'_> {
        // SAFETY: the word owns the entry and is borrowed mutably as long as the reference.
        EntryMut(ManuallyDrop::new(unsafe { self.alias() }), PhantomData)
    }

    /// # Safety
    /// The word must hold an entry. The result is a second owner: it must not be dropped, nor used
    /// beside another.
    #[inline]
    unsafe fn alias(&self) -> Entry {
        debug_assert!(self.is_entry());
        // SAFETY: `Word::of` stored the pointer of an entry.
        unsafe { Entry::from_raw((self.0 & POINTER & !FLAGS) as usize as *mut u8) }
    }

    #[inline]
    pub(crate) fn into_entry(self) -> Entry {
        debug_assert!(self.is_entry());
        // SAFETY: the word was made by `Word::of` and owns the entry.
        unsafe { Entry::from_raw((self.0 & POINTER & !FLAGS) as usize as *mut u8) }
    }
}

/// A borrowed entry.
pub struct EntryRef<'a>(ManuallyDrop<Entry>, PhantomData<&'a Word>);

impl Deref for EntryRef<'_> {
    type Target = Entry;
    #[inline]
    fn deref(&self) -> &Entry {
        &self.0
    }
}

/// A mutably borrowed entry.
pub(crate) struct EntryMut<'a>(ManuallyDrop<Entry>, PhantomData<&'a mut Word>);

impl Deref for EntryMut<'_> {
    type Target = Entry;
    #[inline]
    fn deref(&self) -> &Entry {
        &self.0
    }
}

impl DerefMut for EntryMut<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Entry {
        &mut self.0
    }
}

/// Eight words; the last may link to an overflow bucket.
#[repr(C, align(64))]
pub(crate) struct Bucket([Word; WORDS]);

impl Bucket {
    pub(crate) const EMPTY: Bucket = Bucket([const { Word::EMPTY }; WORDS]);

    #[inline]
    pub(crate) fn words(&self) -> &[Word; WORDS] {
        &self.0
    }

    /// The words with this tag, one bit each, without a branch: which word matches cannot be predicted.
    #[inline]
    pub(crate) fn matching(&self, tag: u16) -> u32 {
        let mut mask = 0;
        for (index, word) in self.0.iter().enumerate() {
            mask |= u32::from(word.tag() == tag) << index;
        }
        mask
    }

    /// The address of one of a bucket's words. `at` is below eight.
    #[inline]
    pub(crate) fn place(bucket: *mut Bucket, at: usize) -> *mut Word {
        assert!(at < WORDS, "a word of the bucket");
        bucket.cast::<Word>().wrapping_add(at)
    }

    /// The address of the overflow bucket, good for writing as long as nobody else uses the table.
    #[inline]
    pub(crate) fn overflow_pointer(&self) -> Option<*mut Bucket> {
        let last = &self.0[WORDS - 1];
        last.is_link().then_some((last.0 & POINTER & !FLAGS) as usize as *mut Bucket)
    }

    #[inline]
    pub(crate) fn overflow(&self) -> Option<&Bucket> {
        // SAFETY: a link holds the pointer of a box which this bucket owns.
        self.overflow_pointer().map(|bucket| unsafe { &*bucket })
    }

    fn overflow_mut(&mut self) -> Option<&mut Bucket> {
        // SAFETY: a link holds the pointer of a box which this bucket owns.
        self.overflow_pointer().map(|bucket| unsafe { &mut *bucket })
    }

    /// Unhooks the overflow bucket, leaving the last word empty.
    fn take_overflow(&mut self) -> Option<Box<Bucket>> {
        let last = &mut self.0[WORDS - 1];
        if !last.is_link() {
            return None;
        }
        let address = std::mem::replace(last, Word::EMPTY).0 & POINTER & !FLAGS;
        // SAFETY: a link holds the pointer of a box which this bucket owned until now.
        Some(unsafe { Box::from_raw(address as usize as *mut Bucket) })
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| word.0 == 0)
    }

    /// Puts an entry's word into the bucket or its chain; gives its place.
    pub(crate) fn push(&mut self, word: Word) -> *mut Word {
        let mut bucket = self;
        loop {
            if let Some(free) = bucket.0.iter().position(|word| word.0 == 0) {
                let place = &mut bucket.0[free];
                *place = word;
                return place;
            }
            if !bucket.0[WORDS - 1].is_link() {
                let mut overflow = Box::new(Bucket::EMPTY);
                overflow.0[0] = std::mem::replace(&mut bucket.0[WORDS - 1], Word::EMPTY);
                bucket.0[WORDS - 1] = Word::link(overflow);
            }
            bucket = bucket.overflow_mut().expect("the last word was just made a link");
        }
    }

    /// Moves the entries for which `moves` holds to another bucket, and closes the gaps.
    pub(crate) fn move_where(&mut self, to: &mut Bucket, mut moves: impl FnMut(&Word) -> bool) {
        let mut chain = self.take_overflow();
        let old = std::mem::replace(self, Bucket::EMPTY);
        let mut sort = |words: [Word; WORDS]| {
            for word in words.into_iter().filter(Word::is_entry) {
                let target = if moves(&word) { &mut *to } else { &mut *self };
                target.push(word);
            }
        };
        sort(old.0);
        while let Some(mut bucket) = chain {
            chain = bucket.take_overflow();
            sort(std::mem::replace(&mut bucket.0, Bucket::EMPTY.0));
        }
    }

    /// Frees overflow buckets that have become empty.
    pub(crate) fn drop_empty_overflow(&mut self) {
        let mut bucket = self;
        while let Some(overflow) = bucket.overflow_mut() {
            if overflow.is_empty() {
                drop(bucket.take_overflow());
                return;
            }
            if overflow.0[..WORDS - 1].iter().all(|word| word.0 == 0)
                && overflow.overflow().is_some()
            {
                // Only a link is left: close the gap.
                let rest = overflow.take_overflow().expect("just seen");
                drop(bucket.take_overflow());
                bucket.0[WORDS - 1] = Word::link(rest);
                continue;
            }
            bucket = bucket.overflow_mut().expect("just seen");
        }
    }

    pub(crate) fn for_each_mut(&mut self, see: &mut impl FnMut(&mut Word)) {
        let mut at = Some(self);
        while let Some(bucket) = at {
            bucket.0.iter_mut().filter(|word| word.is_entry()).for_each(&mut *see);
            at = bucket.overflow_mut();
        }
    }

    /// Frees all entries and overflow buckets.
    pub(crate) fn clear(&mut self) {
        let mut chain = self.take_overflow();
        let free = |words: &mut [Word; WORDS]| {
            for word in words {
                if word.is_entry() {
                    drop(std::mem::replace(word, Word::EMPTY).into_entry());
                }
            }
        };
        free(&mut self.0);
        while let Some(mut bucket) = chain {
            chain = bucket.take_overflow();
            free(&mut bucket.0);
        }
    }
}
