//! What is left to do in slots that somebody has locked for longer than a thread waits.
//!
//! A client that is gone leaves the queues of the keys it waited for; one that was answered leaves
//! those of its other keys; a key that was fed serves those who wait for it. If the slot cannot be
//! had, that must neither be forgotten nor hold the thread. It is noted here, and tried again by an
//! I/O thread in its next turns, until it is done.
//!
//! Not here: commands. Their clients are parked ([`crate::Park::Locked`]), and they run again.

use crate::blocking::{Left, ReadyKey, Waiter};
use crate::{Engine, Turn};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tessera_slot::{Millis, Slot, SlotState};
use tessera_store::Patience;

/// Something that is left to do.
pub(crate) enum Chore {
    /// A waiter that was answered, or is gone, leaves the queues of its keys.
    Leave(Arc<Waiter>),
    /// Somebody does not watch a key any more.
    Unwatch(ReadyKey),
    /// A key serves those who wait for it.
    Serve(Left),
    /// A key has vanished or come without a command.
    News(usize, Vec<u8>),
    /// Clients that wait for keys are sent away, if these belong to another node now.
    Redirect,
    /// Slots get the states that are wanted of them.
    States,
}

/// All that is left to do. The mutex is a leaf.
#[derive(Default)]
pub(crate) struct Chores {
    /// How many there are, as good as zero or not.
    count: AtomicUsize,
    list: Mutex<Vec<Chore>>,
}

impl Engine {
    /// Leaves something to do for an I/O thread.
    #[cold]
    pub(crate) fn leave_chore(&self, chore: Chore) {
        let mut list = self.chores.list.lock();
        list.push(chore);
        let before = self.chores.count.swap(list.len(), Relaxed);
        drop(list);
        if before == 0 {
            self.host().wake_for_chores();
        }
    }

    /// Changes what this node may do with the keys of some slots, at once or as soon as they are
    /// free: nobody finds one in its old state once this has returned.
    pub fn set_states(&self, slots: impl Iterator<Item = (Slot, SlotState)>) {
        let mut is_left = false;
        for (slot, state) in slots {
            is_left |= !self.keyspace.set_state_soon(slot, state);
        }
        if is_left {
            self.leave_chore(Chore::States);
        }
    }

    /// Whether something is left to do: [`Engine::do_chores`] is to be called soon, and again.
    #[inline]
    pub fn has_chores(&self) -> bool {
        self.chores.count.load(Relaxed) != 0
    }

    /// Tries what is left to do. `thread` is the number of the calling thread, which is not inside
    /// the world.
    #[cold]
    pub fn do_chores(&self, thread: usize, now: Millis) {
        let chores = std::mem::take(&mut *self.chores.list.lock());
        let (config, patience) = (self.config(), Patience::none());
        let (hashes, slots) = (&mut Vec::new(), &mut Vec::new());
        let turn = Turn::apart(thread, now, &config, &patience, hashes, slots);
        for chore in chores {
            let mut world = self.keyspace.enter(thread);
            match chore {
                Chore::Leave(waiter) => self.leave(&mut world, &waiter),
                Chore::Unwatch(key) => self.unwatch(&mut world, key),
                Chore::Serve(left) => self.serve_left(&mut world, &turn, left),
                Chore::News(db, key) => self.serve_news(&mut world, thread, now, vec![(db, key)]),
                Chore::Redirect => {
                    drop(world);
                    self.redirect_blocked(thread);
                }
                Chore::States if !self.keyspace.settle_states() => self.leave_chore(Chore::States),
                Chore::States => {}
            }
        }
        // What could not be done has been left again meanwhile.
        let list = self.chores.list.lock();
        self.chores.count.store(list.len(), Relaxed);
    }
}
