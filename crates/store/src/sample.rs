//! Random keys for eviction, from all slots and databases, each as likely as any other.
//!
//! Buckets hold much the same number of keys, so a bucket is drawn among all of them and its keys
//! are taken together. A [`Survey`] says how many buckets each slot has. It is taken from the
//! hints, without a lock, where that is enough, and grows stale: a bucket that is no longer there
//! gives another one's keys.

use crate::entry::Entry;
use crate::keyspace::{Keyspace, World};
use crate::patience::Patience;
use crate::slot::SlotGuard;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::SeqCst};
use tessera_slot::Slot;

/// The keys to draw from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Among {
    /// All keys.
    All,
    /// The keys with an expiry.
    Expiring,
}

/// Buckets that are passed in search of a key with an expiry, at most.
const BUCKETS_PASSED: usize = 1 << 16;

/// Whether the keyspace is known to have no key that expires. Only surveys set it, one at a time; a
/// thread that gives a key an expiry takes it back.
#[derive(Default)]
pub(crate) struct NoneExpires {
    state: AtomicU8,
    /// A key got an expiry since that was last asked.
    is_news: AtomicBool,
    survey: parking_lot::Mutex<()>,
}

impl NoneExpires {
    const UNKNOWN: u8 = 0;
    const SURVEYED: u8 = 1;
    const KNOWN: u8 = 2;

    /// A key gets an expiry.
    #[inline]
    pub(crate) fn refute(&self) {
        if !self.is_news.load(SeqCst) {
            self.is_news.store(true, SeqCst);
        }
        if self.state.load(SeqCst) != Self::UNKNOWN {
            self.state.store(Self::UNKNOWN, SeqCst);
        }
    }

    /// Whether a key got an expiry since the last call.
    pub(crate) fn take_news(&self) -> bool {
        self.is_news.swap(false, SeqCst)
    }

    fn is_known(&self) -> bool {
        self.state.load(SeqCst) == Self::KNOWN
    }
}

/// A database of a slot that has buckets.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Buckets up to the end of this one. (4 G of them take 256 GiB.)
    end: u32,
    slot: Slot,
    db: u32,
}

/// The places of keys.
#[derive(Default, Debug)]
pub struct Survey(Vec<Place>);

impl Survey {
    /// Looks where keys are. `exact`: places without such keys are left out for certain, which
    /// takes the slots' locks; so does every survey of keys that expire, or of several databases.
    pub fn take(&mut self, world: &mut World<'_>, among: Among, exact: bool) {
        self.0.clear();
        let keyspace = world.keyspace();
        match among {
            Among::All if !exact && !keyspace.has_other_databases() => self.by_hints(keyspace),
            Among::All => {
                self.by_locks(world, among);
            }
            Among::Expiring => {
                let none = keyspace.none_expires();
                let _alone = none.survey.lock();
                if none.is_known() {
                    return;
                }
                none.state.store(NoneExpires::SURVEYED, SeqCst);
                let has_seen_all = self.by_locks(world, among);
                let found = match has_seen_all && self.0.is_empty() {
                    true => NoneExpires::KNOWN,
                    false => NoneExpires::UNKNOWN,
                };
                // Fails if a key got an expiry meanwhile.
                let _ = none.state.compare_exchange(NoneExpires::SURVEYED, found, SeqCst, SeqCst);
            }
        }
    }

    fn add(&mut self, slot: Slot, db: usize, buckets: usize) {
        if buckets > 0 {
            let end = self.buckets().saturating_add(buckets as u64);
            let end = u32::try_from(end).unwrap_or(u32::MAX);
            self.0.push(Place { end, slot, db: db as u32 });
        }
    }

    fn by_hints(&mut self, keyspace: &Keyspace) {
        Slot::all().for_each(|slot| self.add(slot, 0, keyspace.hint(slot).bucket_count()));
    }

    /// Passes over slots that somebody has locked for long. Whether there were none of them.
    fn by_locks(&mut self, world: &mut World<'_>, among: Among) -> bool {
        let (patience, mut has_seen_all) = (Patience::for_turn(), true);
        let others = world.keyspace().has_other_databases();
        for slot in Slot::all() {
            if !others && world.keyspace().seems_empty(slot) {
                continue;
            }
            let Ok(guard) = world.lock_within(slot, &patience) else {
                has_seen_all = false;
                continue;
            };
            for (db, table) in guard.data.tables() {
                let has_any = match among {
                    Among::All => !table.is_empty(),
                    Among::Expiring => table.marked() > 0,
                };
                self.add(slot, db, if has_any { table.bucket_count() } else { 0 });
            }
        }
        has_seen_all
    }

    fn buckets(&self) -> u64 {
        self.0.last().map_or(0, |place| u64::from(place.end))
    }

    /// Whether there were no such keys.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The slot, the database and the bucket that `random` chooses.
    pub fn draw(&self, random: u64) -> Option<(Slot, usize, usize)> {
        let buckets = self.buckets();
        if buckets == 0 {
            return None;
        }
        let drawn = ((u128::from(random) * u128::from(buckets)) >> 64) as u64;
        let at = self.0.partition_point(|place| u64::from(place.end) <= drawn);
        let start = if at == 0 { 0 } else { u64::from(self.0[at - 1].end) };
        let place = self.0[at];
        Some((place.slot, place.db as usize, (drawn - start) as usize))
    }
}

impl SlotGuard<'_> {
    /// Calls `see` with the keys of a bucket, or, where only those that expire are wanted and this
    /// bucket has none, of the next one that has.
    pub fn sample(&self, db: usize, bucket: usize, among: Among, mut see: impl FnMut(&Entry)) {
        let Some(table) = self.data.table(db) else { return };
        let count = table.bucket_count();
        if count == 0 {
            return;
        }
        if among == Among::All {
            return table.for_bucket(bucket % count, see);
        }
        if table.marked() == 0 {
            return;
        }
        let mut found = false;
        for passed in 0..count.min(BUCKETS_PASSED) {
            table.for_marked((bucket + passed) % count, |entry| {
                found = true;
                see(entry);
            });
            if found {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Among, Keyspace, KeyspaceOptions, Lookup, NewValue, Placement, Survey};
    use std::collections::BTreeMap;
    use tessera_slot::Millis;

    fn keyspace(placement: Placement) -> Keyspace {
        Keyspace::new(KeyspaceOptions { databases: 4, placement, seed: 42, threads: 1 })
    }

    fn put(keyspace: &Keyspace, db: usize, key: &str, expiry: Option<Millis>) {
        let hash = keyspace.locate(key.as_bytes());
        let mut world = keyspace.enter(0);
        let mut guard = world.lock(hash.slot());
        match guard.lookup(db, key.as_bytes(), hash) {
            Lookup::Vacant(vacant) => vacant.insert(NewValue::Integer(1), expiry, 0),
            Lookup::Found(mut found) => found.set_expiry(expiry),
        }
    }

    /// How often each key comes in this many draws.
    fn drawn(keyspace: &Keyspace, among: Among, draws: u64) -> BTreeMap<(usize, Vec<u8>), usize> {
        let (mut survey, mut seen) = (Survey::default(), BTreeMap::new());
        let mut world = keyspace.enter(0);
        survey.take(&mut world, among, false);
        for draw in 0..draws {
            let random = draw.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
            let Some((slot, db, bucket)) = survey.draw(random) else { break };
            world.lock(slot).sample(db, bucket, among, |entry| {
                *seen.entry((db, entry.key().to_vec())).or_default() += 1;
            });
        }
        seen
    }

    #[test]
    fn every_key_is_as_likely_as_any_other() {
        // Given: a slot with many keys, and many slots with one or a few.
        let keyspace = keyspace(Placement::Cluster);
        (0..2000).for_each(|i| put(&keyspace, 0, &format!("{{tag}}{i}"), None));
        (0..2000).for_each(|i| put(&keyspace, 0, &format!("k{i}"), None));
        let seen = drawn(&keyspace, Among::All, 100_000);
        assert_eq!(seen.len(), 4000);
        let (in_one, elsewhere) = seen.iter().fold((0, 0), |(one, rest), ((_, key), times)| {
            if key.starts_with(b"{tag}") { (one + times, rest) } else { (one, rest + times) }
        });
        let share = in_one as f64 / (in_one + elsewhere) as f64;
        assert!((0.45..0.55).contains(&share), "half of the keys, {share} of the draws");
    }

    #[test]
    fn keys_that_expire_are_found_among_others_in_all_databases() {
        let keyspace = keyspace(Placement::Local);
        (0..5000).for_each(|i| put(&keyspace, 0, &format!("k{i}"), None));
        assert!(drawn(&keyspace, Among::Expiring, 100).is_empty());
        put(&keyspace, 0, "k77", Some(Millis(5)));
        put(&keyspace, 3, "other", Some(Millis(5)));
        let seen = drawn(&keyspace, Among::Expiring, 100);
        let keys: Vec<_> = seen.keys().cloned().collect();
        assert_eq!(keys, [(0, b"k77".to_vec()), (3, b"other".to_vec())]);
    }

    #[test]
    fn what_gets_an_expiry_after_a_survey_without_any_is_found() {
        let keyspace = keyspace(Placement::Local);
        put(&keyspace, 0, "a", None);
        for _ in 0..2 {
            assert!(drawn(&keyspace, Among::Expiring, 10).is_empty());
        }
        put(&keyspace, 0, "a", Some(Millis(5)));
        assert_eq!(drawn(&keyspace, Among::Expiring, 10).len(), 1);
        put(&keyspace, 0, "a", None);
        assert!(drawn(&keyspace, Among::Expiring, 10).is_empty());
        put(&keyspace, 2, "b", Some(Millis(5)));
        assert_eq!(drawn(&keyspace, Among::Expiring, 10).len(), 1);
    }

    #[test]
    fn an_exact_survey_leaves_emptied_places_out() {
        let keyspace = keyspace(Placement::Local);
        put(&keyspace, 0, "a", None);
        let hash = keyspace.locate(b"a");
        let mut world = keyspace.enter(0);
        if let Lookup::Found(found) = world.lock(hash.slot()).lookup(0, b"a", hash) {
            found.delete();
        }
        let mut survey = Survey::default();
        survey.take(&mut world, Among::All, true);
        assert!(survey.is_empty() && survey.draw(7).is_none());
    }
}
