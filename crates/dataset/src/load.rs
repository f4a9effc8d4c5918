//! Loading: a keyspace is filled from an RDB file or stream.

use crate::{Refused, Thresholds, take_in};
use std::io::Read;
use tessera_config::Config;
use tessera_rdb::{Entry, Eviction, Item, Limits, Reader};
use tessera_slot::Millis;
use tessera_store::{Keyspace, Lookup, NewValue, WorldExclusive};

/// Bytes of a string at most: its length and what stands before it fit 32 bits.
const LONGEST_STRING: u64 = u32::MAX as u64 - (64 << 10);

/// Where keys go.
pub enum Target<'t, 'k> {
    /// Into a keyspace that others may use meanwhile; it is entered for each key. `thread` is the
    /// shard of its world lock, as for [`Keyspace::enter`].
    Shared {
        /// The keyspace.
        keyspace: &'k Keyspace,
        /// The shard.
        thread: usize,
    },
    /// Into a keyspace that the caller has for itself.
    Alone(&'t mut WorldExclusive<'k>),
}

/// What happens when a key is there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Existing {
    /// It is replaced.
    Replace,
    /// Loading fails.
    Refuse,
}

/// How keys are taken in.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// What decides how values are encoded here.
    pub thresholds: Thresholds,
    /// The time, Unix ms, by which idle times are judged.
    pub now: Millis,
    /// What happens when a key is there already.
    pub existing: Existing,
}

impl LoadOptions {
    /// Those of the configuration: keys that are there are replaced.
    pub fn of(config: &Config, now: Millis) -> LoadOptions {
        LoadOptions { thresholds: Thresholds::of(config), now, existing: Existing::Replace }
    }
}

/// Something in the input that is passed over, for people to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice<'a> {
    /// A key of a collection without elements, as old servers have written.
    EmptyKey(&'a [u8]),
    /// A library of functions.
    Function,
}

/// What was loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Loaded {
    /// Keys.
    pub keys: u64,
    /// The database in which the replication stream behind the data begins.
    pub stream_db: usize,
}

/// Why not all was loaded. What was loaded before stays: the caller drops it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The input cannot be read, or is no RDB.
    #[error(transparent)]
    Format(#[from] tessera_rdb::Error),
    /// A database that is not here.
    #[error("the data has a database {found}, this server has {here} (directive 'databases')")]
    Database {
        /// The database.
        found: u64,
        /// How many there are here.
        here: usize,
    },
    /// A value that is corrupt.
    #[error("key '{}': {reason}", key.escape_ascii())]
    Value {
        /// Its key.
        key: Vec<u8>,
        /// What is wrong.
        reason: Refused,
    },
    /// A key that is there already, and must not be.
    #[error("key '{}' is there already", .0.escape_ascii())]
    Exists(Vec<u8>),
}

/// Reads a whole RDB stream into a keyspace. `notice` is called with what is passed over.
///
/// # Errors
/// [`LoadError`].
pub fn load(
    input: impl Read,
    target: &mut Target<'_, '_>,
    options: &LoadOptions,
    mut notice: impl FnMut(Notice<'_>),
) -> Result<Loaded, LoadError> {
    let mut reader = Reader::new(input, Limits { string: LONGEST_STRING })?;
    let (mut db, mut loaded) = (0, Loaded::default());
    loop {
        match reader.next_item()? {
            Item::SelectDb(index) => db = target.database(index.into())?,
            Item::Entry(Entry { key, expires_at, value, eviction }) => {
                match take_in(value, &options.thresholds) {
                    Ok(value) => {
                        let access = target.access(eviction, options.now);
                        let value = NewValue::Owned(value);
                        target.put((db, key), value, expires_at, access, options.existing)?;
                        loaded.keys += 1;
                    }
                    Err(Refused::Empty) => notice(Notice::EmptyKey(&key)),
                    Err(reason) => return Err(LoadError::Value { key, reason }),
                }
            }
            Item::Function(_) => notice(Notice::Function),
            Item::Aux { name, value } if name == b"repl-stream-db" => {
                // What is no such number comes from a primary that selects first.
                let number = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
                loaded.stream_db = target.database(number.unwrap_or(0))?;
            }
            Item::Aux { .. } | Item::ResizeDb { .. } | Item::SlotInfo { .. } => {}
            Item::End => return Ok(loaded),
        }
    }
}

impl Target<'_, '_> {
    fn keyspace(&self) -> &Keyspace {
        match self {
            Target::Shared { keyspace, .. } => keyspace,
            Target::Alone(world) => world.keyspace(),
        }
    }

    fn database(&self, found: u64) -> Result<usize, LoadError> {
        let here = self.keyspace().databases();
        let known = usize::try_from(found).ok().filter(|&db| db < here);
        known.ok_or(LoadError::Database { found, here })
    }

    /// The access clock of a key of which the input says this.
    fn access(&self, eviction: Option<Eviction>, now: Millis) -> u32 {
        let (idle, counter) = match eviction {
            None => (None, None),
            Some(Eviction::Idle(seconds)) => (Some(seconds), None),
            Some(Eviction::Frequency(counter)) => (None, Some(counter)),
        };
        self.keyspace().access_of(idle, counter, now)
    }

    fn put(
        &mut self,
        (db, key): (usize, Vec<u8>),
        value: NewValue<'_>,
        expiry: Option<Millis>,
        access: u32,
        existing: Existing,
    ) -> Result<(), LoadError> {
        let hash = self.keyspace().locate(&key);
        let mut world;
        let mut guard = match self {
            Target::Shared { keyspace, thread } => {
                world = keyspace.enter(*thread);
                world.lock(hash.slot())
            }
            Target::Alone(world) => world.lock(hash.slot()),
        };
        match guard.lookup(db, &key, hash) {
            Lookup::Vacant(vacant) => vacant.insert(value, expiry, access),
            Lookup::Found(mut found) if existing == Existing::Replace => {
                found.replace(value, expiry, access);
            }
            Lookup::Found(_) => return Err(LoadError::Exists(key)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
