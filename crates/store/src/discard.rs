//! Freeing in the background: no command waits while a value of ten million elements is freed.
//!
//! Every entry that is dropped in `lookup.rs` passes here. A value of more than [`MANY`]
//! allocations goes into a queue, and so do a string of 8 MiB and flushed tables. A thread of the
//! server frees the queued values ([`Discards::work`]); as long as there is none, they are freed at
//! once.

use crate::entry::Entry;
use crate::keyspace::Flushed;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// A value of more allocations is left to the background; Redis' number.
const MANY: usize = 64;
/// Elements that are looked at to estimate a value's size.
pub(crate) const SAMPLES: usize = 5;

enum Parcel {
    /// An entry, with an estimate of its bytes.
    Entry(Entry, u64),
    Tables(Flushed),
    /// Large buffers of a connection.
    Buffers(Vec<Vec<u8>>),
}

#[derive(Default)]
struct Queue {
    parcels: VecDeque<Parcel>,
    /// Threads that free.
    workers: usize,
    closed: bool,
}

/// The queue of what is to be freed.
#[derive(Default)]
pub struct Discards {
    queue: Mutex<Queue>,
    wake: Condvar,
    pending: AtomicU64,
    pending_bytes: AtomicU64,
    freed: AtomicU64,
}

impl Discards {
    /// Frees an entry, now or later.
    #[inline]
    pub(crate) fn entry(&self, entry: Entry) {
        if entry.free_effort() > MANY {
            self.later(entry);
        }
    }

    #[cold]
    fn later(&self, entry: Entry) {
        let bytes = entry.memory(SAMPLES) as u64;
        self.put(Parcel::Entry(entry, bytes), 1, bytes);
    }

    /// Frees flushed tables, now or later.
    pub fn flushed(&self, flushed: Flushed) {
        let keys = flushed.keys() as u64;
        if keys > 0 {
            self.put(Parcel::Tables(flushed), keys, 0);
        }
    }

    /// Frees large buffers, now or later: memory that was written to takes the system long to take
    /// back.
    pub fn buffers(&self, buffers: Vec<Vec<u8>>) {
        self.put(Parcel::Buffers(buffers), 0, 0);
    }

    fn put(&self, parcel: Parcel, objects: u64, bytes: u64) {
        let mut queue = self.queue.lock();
        if queue.workers == 0 || queue.closed {
            drop(queue);
            return drop(parcel);
        }
        self.pending.fetch_add(objects, Relaxed);
        self.pending_bytes.fetch_add(bytes, Relaxed);
        queue.parcels.push_back(parcel);
        self.wake.notify_one();
    }

    /// Frees what is queued, and waits for more, until [`Discards::close`]. For a thread of its
    /// own.
    pub fn work(&self) {
        let mut queue = self.queue.lock();
        queue.workers += 1;
        while !queue.closed {
            match queue.parcels.pop_front() {
                None => self.wake.wait(&mut queue),
                Some(parcel) => {
                    drop(queue);
                    self.free(parcel);
                    queue = self.queue.lock();
                }
            }
        }
        queue.workers -= 1;
    }

    fn free(&self, parcel: Parcel) {
        let done = |objects: usize| {
            self.freed.fetch_add(objects as u64, Relaxed);
            // Who sees that nothing waits any more sees what was freed, too.
            self.pending.fetch_sub(objects as u64, Release);
        };
        match parcel {
            Parcel::Entry(entry, bytes) => {
                drop(entry);
                self.pending_bytes.fetch_sub(bytes, Relaxed);
                done(1);
            }
            Parcel::Buffers(buffers) => drop(buffers),
            Parcel::Tables(flushed) => flushed.into_tables().for_each(|table| {
                let keys = table.len();
                drop(table);
                done(keys);
            }),
        }
    }

    /// Ends [`Discards::work`]; values that are still queued are freed with the keyspace, later
    /// ones at once.
    pub fn close(&self) {
        self.queue.lock().closed = true;
        self.wake.notify_all();
    }

    /// How many objects wait to be freed; a flushed database counts as its keys.
    pub fn pending(&self) -> u64 {
        self.pending.load(Acquire)
    }

    /// About how many bytes of single values wait to be freed.
    pub fn pending_bytes(&self) -> u64 {
        self.pending_bytes.load(Relaxed)
    }

    /// How many objects have been freed in the background.
    pub fn freed(&self) -> u64 {
        self.freed.load(Relaxed)
    }

    /// Counts anew (CONFIG RESETSTAT).
    pub fn reset_freed(&self) {
        self.freed.store(0, Relaxed);
    }
}

/// About how many bytes the removal of an entry gives back, where that happens in the background;
/// `None`: it is freed at once.
pub(crate) fn bytes_later(entry: &Entry) -> Option<usize> {
    (entry.free_effort() > MANY).then(|| entry.memory(SAMPLES))
}

#[cfg(test)]
mod tests {
    use super::{Entry, MANY};
    use crate::{Keyspace, KeyspaceOptions, Lookup, NewValue, Placement};
    use tessera_slot::Millis;

    #[test]
    fn a_long_string_is_left_to_the_background() {
        for (len, is_left) in [(1000, false), (1 << 20, false), (8 << 20, true)] {
            let entry = Entry::new(b"k", NewValue::String(&vec![0; len]), None, 0);
            assert_eq!(entry.free_effort() > MANY, is_left, "{len}");
        }
    }

    fn keyspace() -> Keyspace {
        let placement = Placement::Local;
        Keyspace::new(KeyspaceOptions { databases: 1, placement, seed: 1, threads: 1 })
    }

    fn fill(keyspace: &Keyspace, keys: usize) {
        let mut world = keyspace.enter(0);
        for i in 0..keys {
            let key = format!("k{i}").into_bytes();
            let hash = keyspace.locate(&key);
            match world.lock(hash.slot()).lookup(0, &key, hash) {
                Lookup::Vacant(vacant) => vacant.insert(NewValue::Integer(1), None, 0),
                Lookup::Found(mut found) => found.set_expiry(Some(Millis(1))),
            }
        }
    }

    #[test]
    fn flushed_tables_count_as_their_keys_until_they_are_freed() {
        let keyspace = keyspace();
        fill(&keyspace, 1000);
        let flushed = keyspace.enter_exclusive().flush(None);
        // Without a worker nothing is left for later.
        keyspace.discards().flushed(flushed);
        assert_eq!((keyspace.discards().pending(), keyspace.discards().freed()), (0, 0));
        /// Ends the worker, also if the test fails.
        struct Close<'k>(&'k Keyspace);
        impl Drop for Close<'_> {
            fn drop(&mut self) {
                self.0.discards().close();
            }
        }
        std::thread::scope(|scope| {
            let close = Close(&keyspace);
            let worker = scope.spawn(|| keyspace.discards().work());
            while keyspace.discards().queue.lock().workers == 0 {
                std::thread::yield_now();
            }
            fill(&keyspace, 1000);
            let flushed = keyspace.enter_exclusive().flush(None);
            keyspace.discards().flushed(flushed);
            while keyspace.discards().pending() > 0 {
                std::thread::yield_now();
            }
            assert_eq!(keyspace.discards().freed(), 1000);
            keyspace.discards().reset_freed();
            assert_eq!(keyspace.discards().freed(), 0);
            drop(close);
            worker.join().expect("it ends when it is told to");
        });
    }
}
