//! How long a thread waits for what somebody else has locked.
//!
//! A long command or script holds its slots, and its thread's shard of the world lock, for as long
//! as it runs. A thread that serves clients must not wait for that: it would hang, and with it all
//! of its other clients. So it waits a bounded time in each turn ([`Patience`]), and is told
//! ([`Busy`]) what it did not get. What to do then is the caller's business.
//!
//! Also here: what is to be done with a slot as soon as it is free ([`WantedStates`]), and the size
//! that a slot had when it was last counted ([`Counts`]), for those who need not know exactly.
//!
//! Not here: who waits for what, and the lock order.

use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::time::Duration;
use tessera_slot::{SLOT_COUNT, Slot, SlotState};

/// How long one lock is waited for.
pub(crate) const WAIT: Duration = Duration::from_micros(200);
/// How long a shard of the world lock is waited for while others are held. All threads stand still
/// meanwhile.
pub(crate) const WORLD_WAIT: Duration = Duration::from_micros(500);
/// The same for a thread that has waited for the slowest one first: it comes seldom.
pub(crate) const LONG_WORLD_WAIT: Duration = Duration::from_millis(2);
/// How often a thread waits in vain in one turn: for a millisecond in all.
const WAITS_IN_VAIN: u32 = 5;

/// What is held by somebody for longer than a thread waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Busy {
    /// A slot.
    Slot(Slot),
    /// The world: commands are running that do not come to an end.
    World,
}

/// How often a thread still waits in vain.
#[derive(Debug)]
pub struct Patience(Cell<Option<u32>>);

impl Patience {
    /// For a thread that may wait for as long as it takes: it serves nobody else.
    pub const fn unlimited() -> Patience {
        Patience(Cell::new(None))
    }

    /// For a thread that takes what is free just now.
    pub const fn none() -> Patience {
        Patience(Cell::new(Some(0)))
    }

    /// For one turn of a thread that serves clients.
    pub const fn for_turn() -> Patience {
        Patience(Cell::new(Some(WAITS_IN_VAIN)))
    }

    /// Another turn begins.
    pub fn renew(&self) {
        self.0.set(Some(WAITS_IN_VAIN));
    }

    /// Whether it has no end.
    pub(crate) fn is_unlimited(&self) -> bool {
        self.0.get().is_none()
    }

    /// Whether the thread waits at all.
    pub(crate) fn is_left(&self) -> bool {
        self.0.get() != Some(0)
    }

    /// The thread has waited and got nothing.
    pub(crate) fn has_waited_in_vain(&self) {
        self.0.set(self.0.get().map(|left| left.saturating_sub(1)));
    }
}

/// States that slots get as soon as somebody has them locked. The mutex is a leaf below the slots'.
#[derive(Default)]
pub(crate) struct WantedStates {
    /// How many there are: who locks a slot looks at nothing else.
    count: AtomicUsize,
    states: Mutex<BTreeMap<Slot, SlotState>>,
}

impl WantedStates {
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.count.load(Relaxed) != 0
    }

    pub(crate) fn want(&self, slot: Slot, state: SlotState) {
        let mut states = self.states.lock();
        states.insert(slot, state);
        self.count.store(states.len(), SeqCst);
    }

    /// Takes what is wanted of a slot, which is locked.
    pub(crate) fn take(&self, slot: Slot) -> Option<SlotState> {
        let mut states = self.states.lock();
        let state = states.remove(&slot);
        self.count.store(states.len(), SeqCst);
        state
    }

    /// The slots of which something is wanted.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        self.states.lock().keys().copied().collect()
    }
}

/// How many keys there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    /// All keys.
    pub keys: usize,
    /// Keys that expire.
    pub expiring: usize,
    /// Keys of whose elements some expire by themselves.
    pub aging: usize,
}

impl Counted {
    pub(crate) fn add(&mut self, other: Counted) {
        self.keys += other.keys;
        self.expiring += other.expiring;
        self.aging += other.aging;
    }
}

/// For each slot what database 0 had when it was last counted. Keys whose elements expire are not
/// remembered.
pub(crate) struct Counts(Box<[AtomicU64]>);

impl Default for Counts {
    fn default() -> Counts {
        Counts((0..SLOT_COUNT).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Counts {
    /// The slot has these. Numbers end at 2^32 - 1.
    pub(crate) fn note(&self, slot: Slot, counted: Counted) {
        let [keys, expiring] =
            [counted.keys, counted.expiring].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        self.0[slot.index()].store(u64::from(keys) << 32 | u64::from(expiring), Relaxed);
    }

    pub(crate) fn last(&self, slot: Slot) -> Counted {
        let counted = self.0[slot.index()].load(Relaxed);
        let (keys, expiring) = ((counted >> 32) as usize, counted as u32 as usize);
        Counted { keys, expiring, aging: 0 }
    }
}
