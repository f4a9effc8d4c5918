//! The keys of a command, while their slots are locked.

use crate::notify::{EventClass, Notifier};
use crate::stats::ThreadStats;
use crate::unit::Unit;
use tessera_log::Log;
use tessera_slot::{Millis, Slot};
use tessera_store::{
    AllSlots, Busy, Found, KeyHash, Keyspace, Lookup, ManySlots, Patience, SlotGuard, Vacant,
    World, WorldExclusive,
};

/// The locks of a command.
pub(crate) enum Locks<'w, 'k> {
    /// Only the world: the command locks slots by itself, one at a time.
    World(&'w mut World<'k>),
    /// The slot of its key.
    One(SlotGuard<'w>),
    /// The slots of its keys.
    Many(ManySlots<'w>),
    /// Everything.
    All(AllSlots<'w, 'k>),
}

impl<'w, 'k: 'w> Locks<'w, 'k> {
    /// The guard of a slot that is locked.
    ///
    /// # Panics
    /// If it is not.
    #[inline]
    pub(crate) fn guard(&mut self, slot: Slot) -> &mut SlotGuard<'w> {
        match self {
            Locks::One(guard) => guard,
            Locks::Many(guards) => guards.get(slot),
            Locks::All(all) => all.get(slot),
            Locks::World(_) => panic!("a command with keys"),
        }
    }

    /// The guard of a slot that is locked, to be shared among readers; where all are, one that was
    /// used before.
    ///
    /// # Panics
    /// If it is not.
    #[inline]
    pub(crate) fn peek(&self, slot: Slot) -> &SlotGuard<'w> {
        match self {
            Locks::One(guard) => guard,
            Locks::Many(guards) => guards.peek(slot),
            Locks::All(all) => all.peek(slot),
            Locks::World(_) => panic!("a command with keys"),
        }
    }

    /// Whether a slot is locked.
    pub(crate) fn covers(&self, slot: Slot) -> bool {
        match self {
            Locks::One(guard) => guard.slot() == slot,
            Locks::Many(guards) => guards.has(slot),
            Locks::All(_) => true,
            Locks::World(_) => false,
        }
    }
}

/// A key with its place in the keyspace.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    /// The key.
    pub bytes: &'a [u8],
    /// Its place.
    pub hash: KeyHash,
}

/// How keys whose time has come are treated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ExpiredKeys {
    /// A primary removes them, and tells its replicas.
    Remove,
    /// A replica hides them from its clients, and waits for its primary.
    Hide,
    /// Commands from the primary are applied as they are.
    Show,
}

/// The database that a command works on.
pub struct Db<'w, 'k> {
    pub(crate) locks: Locks<'w, 'k>,
    pub(crate) keyspace: &'k Keyspace,
    /// The number of the database.
    pub index: usize,
    /// The time of the turn, Unix ms.
    pub now: Millis,
    pub(crate) hashes: &'w [KeyHash],
    /// How long the thread still waits for what others have locked.
    pub(crate) patience: &'w Patience,
    pub(crate) access: u32,
    pub(crate) touch: bool,
    pub(crate) expired: ExpiredKeys,
    pub(crate) told: Told<'w>,
    /// In a transaction: what the log is to get of it.
    pub(crate) unit: Option<Box<Unit>>,
}

/// The receivers of events that no command has asked for: expired keys, reads that found nothing.
#[derive(Clone, Copy)]
pub(crate) struct Told<'a> {
    pub(crate) log: &'a Log,
    pub(crate) stats: &'a ThreadStats,
    pub(crate) notifier: Notifier<'a>,
    /// `lazyfree-lazy-expire`, which decides how replicas are told of keys whose time has come.
    pub(crate) lazy_expire: bool,
}

impl Told<'_> {
    /// Tells of a key whose time has come. The caller removes it under the same lock.
    #[cold]
    pub(crate) fn expired(self, unit: Option<&mut Unit>, db: usize, key: &[u8]) {
        self.stats.bump(|stats| &stats.expired, 1);
        let command = [deletion(self.lazy_expire), key];
        match unit {
            _ if !self.log.is_active() => {}
            Some(unit) => unit.push(db, command.map(<[u8]>::to_vec).to_vec()),
            None => {
                self.log.append_command(db as u32, &command);
            }
        }
        self.notifier.happened(db, EventClass::Expired, "expired", key);
    }
}

impl<'w, 'k> Db<'w, 'k> {
    /// Lets go of the slots; gives the world back if the command had it alone.
    #[inline]
    pub(crate) fn unlock(self) -> Option<WorldExclusive<'k>> {
        match self.locks {
            Locks::All(all) => Some(all.into_world()),
            Locks::World(_) | Locks::One(_) | Locks::Many(_) => None,
        }
    }

    /// Whether somebody watches or waits for a key of the slots that are locked.
    #[inline]
    pub(crate) fn is_marked(&mut self) -> bool {
        match &mut self.locks {
            Locks::One(guard) => guard.is_marked(),
            Locks::Many(guards) => guards.iter_mut().any(|guard| guard.is_marked()),
            Locks::World(_) | Locks::All(_) => false,
        }
    }

    /// The command's key number `ordinal` (0 is the first), which is this argument.
    #[inline]
    pub fn key<'a>(&self, bytes: &'a [u8], ordinal: usize) -> Key<'a> {
        Key { bytes, hash: self.hashes[ordinal] }
    }

    /// A key that is not among the command's arguments.
    pub fn place<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        Key { bytes, hash: self.keyspace.locate(bytes) }
    }

    /// The world, for commands without keys.
    ///
    /// # Panics
    /// If the command's table entry says that it has keys.
    pub fn world(&mut self) -> &mut World<'k> {
        match &mut self.locks {
            Locks::World(world) => world,
            Locks::All(all) => all.world().as_world(),
            Locks::One(_) | Locks::Many(_) => panic!("a command without keys"),
        }
    }

    /// The world alone, for commands with [`crate::Flags::EXCLUSIVE`].
    ///
    /// # Panics
    /// If the command's table entry does not have that flag.
    pub(crate) fn exclusive(&mut self) -> &mut WorldExclusive<'k> {
        match &mut self.locks {
            Locks::All(all) => all.world(),
            _ => panic!("an exclusive command"),
        }
    }

    /// The keyspace.
    pub fn keyspace(&self) -> &'k Keyspace {
        self.keyspace
    }

    /// The access clock, for entries that are made.
    pub fn access(&self) -> u32 {
        self.access
    }

    /// The access clock of an entry that comes from elsewhere (RESTORE, a load): of the idle time,
    /// in seconds, and the counter of uses that it brings the policy takes what it can use.
    pub fn access_of(&self, idle_seconds: Option<u64>, frequency: Option<u8>) -> u32 {
        self.keyspace.access_of(idle_seconds, frequency, self.now)
    }

    /// Looks a key up in order to change it. A key whose time has come is removed first; on a
    /// replica, which clients may write to only if it is configured so, without a word to others.
    #[inline]
    pub fn lookup<'g, 'a>(&'g mut self, key: Key<'a>) -> Lookup<'g, 'w, 'a>
    where
        'k: 'g,
    {
        self.lookup_in(self.index, key)
    }

    /// As [`Db::lookup`], in any database.
    #[inline]
    pub(crate) fn lookup_in<'g, 'a>(&'g mut self, db: usize, key: Key<'a>) -> Lookup<'g, 'w, 'a>
    where
        'k: 'g,
    {
        let (now, mode) = (self.now, self.expired);
        let guard = self.locks.guard(key.hash.slot());
        match guard.lookup(db, key.bytes, key.hash) {
            Lookup::Found(found)
                if mode != ExpiredKeys::Show && found.expiry().is_some_and(|at| at <= now) =>
            {
                if mode == ExpiredKeys::Remove {
                    self.told.expired(self.unit.as_deref_mut(), db, key.bytes);
                }
                Lookup::Vacant(found.vacate(key.bytes))
            }
            lookup => lookup,
        }
    }

    /// The entry of a key that is to be changed, if there is one.
    #[inline]
    pub fn find<'g>(&'g mut self, key: Key<'_>) -> Option<Found<'g, 'w>>
    where
        'k: 'g,
    {
        match self.lookup(key) {
            Lookup::Found(found) => Some(found),
            Lookup::Vacant(_) => None,
        }
    }

    /// The entry of a key that is to be read. Counts hits and misses, and touches the access clock.
    #[inline]
    pub fn read<'g>(&'g mut self, key: Key<'_>) -> Option<Found<'g, 'w>>
    where
        'k: 'g,
    {
        let (access, touch) = (self.access, self.touch);
        let mut found = self.look(key)?;
        if touch {
            found.touch(access);
        }
        Some(found)
    }

    /// The entry of a key that is to be asked about: counts hits and misses, and leaves the access
    /// clock alone.
    #[inline]
    pub fn look<'g>(&'g mut self, key: Key<'_>) -> Option<Found<'g, 'w>>
    where
        'k: 'g,
    {
        let (told, db) = (self.told, self.index);
        match self.peek(key) {
            Some(found) => {
                told.stats.bump(|stats| &stats.hits, 1);
                Some(found)
            }
            None => {
                told.stats.bump(|stats| &stats.misses, 1);
                told.notifier.happened(db, EventClass::Miss, "keymiss", key.bytes);
                None
            }
        }
    }

    /// The entry of a key that is to be looked at, without leaving traces.
    #[inline]
    pub fn peek<'g>(&'g mut self, key: Key<'_>) -> Option<Found<'g, 'w>>
    where
        'k: 'g,
    {
        if self.expired == ExpiredKeys::Hide {
            return self.peek_hiding(key);
        }
        self.find(key)
    }

    fn peek_hiding<'g>(&'g mut self, key: Key<'_>) -> Option<Found<'g, 'w>>
    where
        'k: 'g,
    {
        let (db, now) = (self.index, self.now);
        match self.locks.guard(key.hash.slot()).lookup(db, key.bytes, key.hash) {
            Lookup::Found(found) if found.expiry().is_none_or(|at| at > now) => Some(found),
            _ => None,
        }
    }

    /// Whether an entry with this expiry is there for this command's client.
    pub(crate) fn is_live(&self, expiry: Option<Millis>) -> bool {
        self.expired == ExpiredKeys::Show || expiry.is_none_or(|at| at > self.now)
    }

    /// Whether a key that gets this expiry is to be deleted at once: only a primary judges, all
    /// others wait for it.
    pub(crate) fn is_past(&self, expiry: Millis) -> bool {
        self.expired == ExpiredKeys::Remove && expiry <= self.now
    }

    /// For commands without keys that have come across a key whose time has come: a primary removes
    /// it and tells its replicas.
    pub(crate) fn remove_due(&mut self, key: &[u8]) {
        if self.expired != ExpiredKeys::Remove {
            return;
        }
        let (db, now, hash) = (self.index, self.now, self.keyspace.locate(key));
        let world = match &mut self.locks {
            Locks::World(world) => &mut **world,
            Locks::All(all) => all.world().as_world(),
            Locks::One(_) | Locks::Many(_) => panic!("a command without keys"),
        };
        // One that somebody has locked by now is left to others.
        let Some(mut guard) = world.try_lock(hash.slot()) else { return };
        if let Lookup::Found(found) = guard.lookup(db, key, hash)
            && found.expiry().is_some_and(|at| at <= now)
        {
            self.told.expired(self.unit.as_deref_mut(), db, key);
            found.delete();
        }
    }

    /// The number of keys of the database in one slot.
    ///
    /// # Errors
    /// If somebody has the slot locked for longer than the thread waits.
    pub fn keys_in_slot(&mut self, slot: Slot) -> Result<usize, Busy> {
        let db = self.index;
        Ok(self.lock_slot(slot)?.len(db))
    }

    /// Locks a slot, for commands without keys.
    ///
    /// # Errors
    /// If somebody has the slot locked for longer than the thread waits.
    pub(crate) fn lock_slot(&mut self, slot: Slot) -> Result<SlotGuard<'_>, Busy> {
        let patience = self.patience;
        self.world().lock_within(slot, patience)
    }
}

/// The command by which others are told to delete a key: freeing in the background is asked for by
/// UNLINK.
pub fn deletion(lazy: bool) -> &'static [u8] {
    if lazy { b"UNLINK" } else { b"DEL" }
}

/// A helper for handlers: inserts where there is nothing, replaces where there is something. True:
/// there was nothing.
pub(crate) fn store(
    lookup: Lookup<'_, '_, '_>,
    value: tessera_store::NewValue<'_>,
    expiry: Option<Millis>,
    access: u32,
) -> bool {
    match lookup {
        Lookup::Found(mut found) => {
            found.replace(value, expiry, access);
            false
        }
        Lookup::Vacant(vacant) => {
            Vacant::insert(vacant, value, expiry, access);
            true
        }
    }
}
