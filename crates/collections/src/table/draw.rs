//! Drawing an item at random, each as likely as any other.

use super::bucket::Bucket;
use super::{Item, Place, Ref, Table};

/// Places that are drawn from for each bucket of the table at its next full size. An average bucket
/// has 3.5 to 7 items then.
const PLACES: u64 = 20;
/// Tables up to this many buckets are counted through.
const FEW_BUCKETS: usize = 8;

/// A number below `end`, which is below 2^32, made of 32 random bits.
#[inline]
fn below(random: u64, end: u64) -> usize {
    (((random & 0xffff_ffff) * end) >> 32) as usize
}

impl<T: Item> Table<T> {
    /// Some item, as [`Table::draw`] chooses it.
    pub(crate) fn draw_item(&self, random: impl FnMut() -> u64) -> Option<Ref<'_, T>> {
        let place = self.draw(random)?;
        // SAFETY: the place was just found.
        Some(unsafe { self.item(place) })
    }

    /// The place of some item, each as likely as any other; `random` gives numbers all of whose
    /// bits are random. `None`: there is none.
    ///
    /// A bucket is drawn, and a place in it, until there is an item in that place; so an item's
    /// chance does not depend on how many others share its bucket. Buckets which are still to be
    /// split have twice the items, so they come twice as often, with twice the places.
    pub fn draw(&self, mut random: impl FnMut() -> u64) -> Option<Place<T>> {
        let count = self.buckets.len();
        if self.len == 0 {
            return None;
        }
        if count <= FEW_BUCKETS {
            return self.item_number(below(random(), u64::from(self.len)));
        }
        let half = count.next_power_of_two() / 2;
        loop {
            let drawn = random();
            let bucket = Self::bucket_of(count, drawn >> 32);
            let is_split = bucket >= half || bucket + half < count;
            let places = if is_split { PLACES } else { 2 * PLACES };
            let (place, items) = self.nth(bucket, below(drawn, places));
            if items as u64 > places {
                // Hardly one bucket in 100,000 is so full; each of its items is to have some
                // chance.
                return self.nth(bucket, below(random(), items as u64)).0;
            }
            if place.is_some() {
                return place;
            }
        }
    }

    fn item_number(&self, mut index: usize) -> Option<Place<T>> {
        if self.is_few() {
            return Some(Place(self.buckets.words().wrapping_add(index)));
        }
        for bucket in 0..self.buckets.len() {
            let (place, items) = self.nth(bucket, index);
            if place.is_some() {
                return place;
            }
            index -= items;
        }
        None
    }

    /// The place of item number `index` of a bucket with its chain, if it has so many, and how many
    /// it has.
    fn nth(&self, bucket: usize, index: usize) -> (Option<Place<T>>, usize) {
        let mut bucket = self.buckets.pointer(bucket);
        let (mut seen, mut place) = (0, None);
        loop {
            // SAFETY: `pointer` and `overflow_pointer` give buckets that this table owns.
            let view = unsafe { &*bucket };
            for (at, word) in view.words().iter().enumerate() {
                if word.is_item() {
                    if seen == index {
                        place = Some(Place(Bucket::place(bucket, at)));
                    }
                    seen += 1;
                }
            }
            match view.overflow_pointer() {
                Some(overflow) => bucket = overflow,
                None => return (place, seen),
            }
        }
    }
}
