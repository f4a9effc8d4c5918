//! A bucket: one cache line of tagged pointers, with a chain of overflow buckets.

use super::Item;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

const WORDS: usize = 8;
const POINTER: u64 = (1 << 48) - 1;
const LINK: u64 = 1;
const MARK: u64 = 2;
const AGING: u64 = 4;
const FLAGS: u64 = 7;

/// An item's pointer with its tag, or a link to an overflow bucket, or nothing. It owns what it
/// points to, but frees nothing by itself: [`Bucket::clear`] does.
pub(super) struct Word<T>(u64, PhantomData<T>);

impl<T: Item> Word<T> {
    pub(super) const EMPTY: Word<T> = Word(0, PhantomData);

    #[inline]
    pub(super) fn of(item: T, tag: u16) -> Word<T> {
        let mark =
            if item.is_marked() { MARK } else { 0 } | if item.is_aging() { AGING } else { 0 };
        let address = item.into_raw().as_ptr() as usize as u64;
        assert!(address & !POINTER == 0 && address & FLAGS == 0, "a 48-bit, aligned address");
        Word(address | mark | u64::from(tag) << 48, PhantomData)
    }

    fn link(bucket: Box<Bucket<T>>) -> Word<T> {
        let address = Box::into_raw(bucket) as usize as u64;
        assert!(address & !POINTER == 0 && address & FLAGS == 0, "a 48-bit, aligned address");
        Word(address | LINK, PhantomData)
    }

    #[inline]
    pub(super) fn tag(&self) -> u16 {
        (self.0 >> 48) as u16
    }

    #[inline]
    pub(super) fn is_item(&self) -> bool {
        self.0 != 0 && self.0 & LINK == 0
    }

    fn is_link(&self) -> bool {
        self.0 & LINK != 0
    }

    #[inline]
    pub(super) fn is_marked(&self) -> bool {
        self.0 & MARK != 0
    }

    #[inline]
    pub(super) fn is_aging(&self) -> bool {
        self.0 & AGING != 0
    }

    /// The address of the item, for prefetching only.
    #[inline]
    pub(super) fn address(&self) -> *const u8 {
        (self.0 & POINTER & !FLAGS) as usize as *const u8
    }

    /// Prefetches the beginning of the item, with a short key.
    #[inline]
    pub(super) fn prefetch(&self) {
        const LINE: usize = 64;
        const SHORT: usize = LINE / 2;
        super::prefetch(self.address());
        // The key may end on the next line.
        super::prefetch(self.address().wrapping_add(SHORT));
    }

    /// The first byte of the item; 0 where there is none.
    #[inline]
    pub(super) fn fetch(&self) -> u8 {
        if !self.is_item() {
            return 0;
        }
        // SAFETY: the word owns the item's allocation, which has this byte.
        unsafe { self.pointer().as_ptr().read_volatile() }
    }

    fn pointer(&self) -> NonNull<u8> {
        debug_assert!(self.is_item());
        // SAFETY: `Word::of` stored an address that is not null.
        unsafe { NonNull::new_unchecked((self.0 & POINTER & !FLAGS) as usize as *mut u8) }
    }

    /// The item; only where [`Word::is_item`].
    #[inline]
    pub(super) fn item(&self) -> Ref<'_, T> {
        // SAFETY: the word owns the item and is borrowed as long as the reference, which is never
        // dropped as an owner.
        Ref(ManuallyDrop::new(unsafe { T::from_raw(self.pointer()) }), PhantomData)
    }

    /// The item; only where [`Word::is_item`]. `counts` are those of the table.
    #[inline]
    pub(super) fn item_mut<'a>(&'a mut self, counts: &'a mut Counts) -> RefMut<'a, T> {
        // SAFETY: as in `item`; the word is borrowed mutably.
        let item = unsafe { T::from_raw(self.pointer()) };
        RefMut { item: ManuallyDrop::new(item), word: self, counts }
    }

    #[inline]
    pub(super) fn into_item(self) -> T {
        // SAFETY: the word was made by `Word::of` and owns the item.
        unsafe { T::from_raw(self.pointer()) }
    }
}

/// How many items of a table have which mark.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) marked: u32,
    pub(super) aging: u32,
}

impl Counts {
    #[inline]
    pub(super) fn add<T: Item>(&mut self, word: &Word<T>) {
        self.marked += u32::from(word.is_marked());
        self.aging += u32::from(word.is_aging());
    }

    #[inline]
    pub(super) fn remove<T: Item>(&mut self, word: &Word<T>) {
        self.marked -= u32::from(word.is_marked());
        self.aging -= u32::from(word.is_aging());
    }
}

/// A borrowed item.
pub struct Ref<'a, T>(ManuallyDrop<T>, PhantomData<&'a T>);

impl<T> Deref for Ref<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

/// A mutably borrowed item. Another item with the same key may be put in its place.
pub struct RefMut<'a, T: Item> {
    item: ManuallyDrop<T>,
    word: &'a mut Word<T>,
    counts: &'a mut Counts,
}

impl<T: Item> Deref for RefMut<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.item
    }
}

impl<T: Item> DerefMut for RefMut<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.item
    }
}

impl<T: Item> Drop for RefMut<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the item goes back into its word, which owns it; `self.item` is not used again.
        let item = unsafe { ManuallyDrop::take(&mut self.item) };
        let word = Word::of(item, self.word.tag());
        if word.0 != self.word.0 {
            self.counts.remove(self.word);
            self.counts.add(&word);
            *self.word = word;
        }
    }
}

/// Eight words; the last may link to an overflow bucket.
#[repr(C, align(64))]
pub(super) struct Bucket<T>([Word<T>; WORDS]);

impl<T: Item> Bucket<T> {
    pub(super) const EMPTY: Bucket<T> = Bucket([const { Word::EMPTY }; WORDS]);

    #[inline]
    pub(super) fn words(&self) -> &[Word<T>; WORDS] {
        &self.0
    }

    #[inline]
    pub(super) fn words_mut(&mut self) -> &mut [Word<T>; WORDS] {
        &mut self.0
    }

    /// The words with this tag, one bit each, without a branch: which word matches cannot be
    /// predicted.
    #[inline]
    pub(super) fn matching(&self, tag: u16) -> u32 {
        let mut mask = 0;
        for (index, word) in self.0.iter().enumerate() {
            mask |= u32::from(word.tag() == tag) << index;
        }
        mask
    }

    /// The address of one of a bucket's words. `at` is below eight.
    #[inline]
    pub(super) fn place(bucket: *mut Bucket<T>, at: usize) -> *mut Word<T> {
        assert!(at < WORDS, "a word of the bucket");
        bucket.cast::<Word<T>>().wrapping_add(at)
    }

    /// The address of the overflow bucket, good for writing as long as no other code uses the
    /// table.
    #[inline]
    pub(super) fn overflow_pointer(&self) -> Option<*mut Bucket<T>> {
        let last = &self.0[WORDS - 1];
        last.is_link().then_some((last.0 & POINTER & !FLAGS) as usize as *mut Bucket<T>)
    }

    #[inline]
    pub(super) fn overflow(&self) -> Option<&Bucket<T>> {
        // SAFETY: a link holds the pointer of a box which this bucket owns.
        self.overflow_pointer().map(|bucket| unsafe { &*bucket })
    }

    pub(super) fn overflow_mut(&mut self) -> Option<&mut Bucket<T>> {
        // SAFETY: a link holds the pointer of a box which this bucket owns.
        self.overflow_pointer().map(|bucket| unsafe { &mut *bucket })
    }

    /// Unhooks the overflow bucket, leaving the last word empty.
    fn take_overflow(&mut self) -> Option<Box<Bucket<T>>> {
        let last = &mut self.0[WORDS - 1];
        if !last.is_link() {
            return None;
        }
        let address = std::mem::replace(last, Word::EMPTY).0 & POINTER & !FLAGS;
        // SAFETY: a link holds the pointer of a box which this bucket owned until now.
        Some(unsafe { Box::from_raw(address as usize as *mut Bucket<T>) })
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| word.0 == 0)
    }

    /// Puts an item's word into the bucket or its chain; gives its place.
    pub(super) fn push(&mut self, word: Word<T>) -> *mut Word<T> {
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

    /// Moves the items for which `moves` holds to another bucket, and closes the gaps.
    pub(super) fn move_where(
        &mut self,
        to: &mut Bucket<T>,
        mut moves: impl FnMut(&Word<T>) -> bool,
    ) {
        let mut chain = self.take_overflow();
        let old = std::mem::replace(self, Bucket::EMPTY);
        let mut sort = |words: [Word<T>; WORDS]| {
            for word in words.into_iter().filter(Word::is_item) {
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
    pub(super) fn drop_empty_overflow(&mut self) {
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

    pub(super) fn for_each_mut(&mut self, see: &mut impl FnMut(&mut Word<T>)) {
        let mut at = Some(self);
        while let Some(bucket) = at {
            bucket.0.iter_mut().filter(|word| word.is_item()).for_each(&mut *see);
            at = bucket.overflow_mut();
        }
    }

    /// Frees all items and overflow buckets.
    pub(super) fn clear(&mut self) {
        let mut chain = self.take_overflow();
        let free = |words: &mut [Word<T>; WORDS]| {
            for word in words {
                if word.is_item() {
                    drop(std::mem::replace(word, Word::EMPTY).into_item());
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
