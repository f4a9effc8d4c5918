//! Keys whose values are collections: found by type, changed, and deleted when nothing is left.

use crate::db::{Db, Key};
use crate::fail::Fail;
use std::marker::PhantomData;
use tessera_collections::Collection;
use tessera_collections::table::Ref;
use tessera_slot::Millis;
use tessera_store::{CollectionMut, CollectionRef, Entry, Found, Lookup, NewValue};

/// A key whose value is a `T`.
pub struct FoundAs<'g, 'k, T> {
    found: Found<'g, 'k>,
    kind: PhantomData<T>,
}

impl<'g, 'k, T: Collection> FoundAs<'g, 'k, T> {
    fn of(found: Found<'g, 'k>) -> Result<FoundAs<'g, 'k, T>, Fail> {
        if found.kind() == T::KIND {
            Ok(FoundAs { found, kind: PhantomData })
        } else {
            Err(Fail::WrongType)
        }
    }

    /// The value, to be read.
    #[inline]
    pub fn get(&self) -> CollectionRef<'_, T> {
        self.found.collection().expect("the type was checked when it was found")
    }

    /// The value, to be changed. If a command may turn out to change nothing, look with
    /// [`FoundAs::get`] first: a running snapshot gets a copy of what is edited.
    #[inline]
    pub fn edit(&mut self) -> CollectionMut<'_, T> {
        self.found.edit().expect("the type was checked when it was found")
    }

    /// Deletes the key if its value has become empty; whether it has.
    pub(crate) fn delete_if_empty(self) -> bool {
        let is_empty = self.get().is_empty();
        if is_empty {
            self.found.delete();
        }
        is_empty
    }

    /// Deletes the key.
    pub fn delete(self) {
        self.found.delete();
    }

    /// When the key expires.
    pub fn expiry(&self) -> Option<Millis> {
        self.found.expiry()
    }

    /// The entry behind it.
    pub fn found(&mut self) -> &mut Found<'g, 'k> {
        &mut self.found
    }
}

impl<'w, 'k> Db<'w, 'k> {
    /// The value of a key that is to be read: counts hits and misses and touches the access clock.
    ///
    /// # Errors
    /// [`Fail::WrongType`] if the value is of another type.
    #[inline]
    pub(crate) fn read_as<'g, T: Collection>(
        &'g mut self,
        key: Key<'_>,
    ) -> Result<Option<FoundAs<'g, 'w, T>>, Fail>
    where
        'k: 'g,
    {
        self.read(key).map(FoundAs::of).transpose()
    }

    /// The value of a key that is to be changed.
    ///
    /// # Errors
    /// [`Fail::WrongType`] if the value is of another type.
    #[inline]
    pub(crate) fn find_as<'g, T: Collection>(
        &'g mut self,
        key: Key<'_>,
    ) -> Result<Option<FoundAs<'g, 'w, T>>, Fail>
    where
        'k: 'g,
    {
        let (access, touch) = (self.access, self.touch);
        let Some(mut found) = self.find(key) else { return Ok(None) };
        if touch {
            found.touch(access);
        }
        FoundAs::of(found).map(Some)
    }

    /// The value of a key that is to be changed; where there is none, what `make` makes is put
    /// there first. The caller adds to it, or calls [`FoundAs::delete_if_empty`].
    ///
    /// # Errors
    /// [`Fail::WrongType`] if the value is of another type.
    #[inline]
    pub fn find_or_make<'g, T: Collection>(
        &'g mut self,
        key: Key<'_>,
        make: impl FnOnce() -> T,
    ) -> Result<FoundAs<'g, 'w, T>, Fail>
    where
        'k: 'g,
    {
        let (access, touch) = (self.access, self.touch);
        match self.lookup(key) {
            Lookup::Found(mut found) => {
                if touch {
                    found.touch(access);
                }
                FoundAs::of(found)
            }
            Lookup::Vacant(vacant) => {
                let found = vacant.fill(NewValue::from(make()), None, access);
                Ok(FoundAs { found, kind: PhantomData })
            }
        }
    }

    /// The entries of several keys, to be read side by side; as for [`Db::read`] hits and misses
    /// are counted, and the access clocks touched. A key may be named twice.
    pub(crate) fn read_many(&mut self, keys: &[Key<'_>]) -> Vec<Option<Ref<'_, Entry>>> {
        // Changes of the slots come first: keys whose time has come are removed, clocks are
        // touched.
        for &key in keys {
            self.read(key);
        }
        let locks = &self.locks;
        keys.iter()
            .map(|&Key { bytes, hash }| {
                locks
                    .peek(hash.slot())
                    .entry(self.index, bytes, hash)
                    .filter(|entry| self.is_live(entry.expiry()))
            })
            .collect()
    }

    /// As [`Db::read_many`] where all values must be of one type.
    ///
    /// # Errors
    /// [`Fail::WrongType`] if one of the values is of another type.
    pub(crate) fn read_many_as<T: Collection>(
        &mut self,
        keys: &[Key<'_>],
    ) -> Result<Vec<Option<CollectionRef<'_, T>>>, Fail> {
        self.read_many(keys)
            .into_iter()
            .map(|entry| match entry {
                Some(entry) => CollectionRef::of(entry).map(Some).ok_or(Fail::WrongType),
                None => Ok(None),
            })
            .collect()
    }

    /// Puts a collection in the place of whatever a key holds, without expiry; an empty one deletes
    /// the key. Whether there was something before.
    pub fn put<T: Collection>(&mut self, key: Key<'_>, collection: T) -> bool {
        let access = self.access;
        match self.lookup(key) {
            Lookup::Found(found) if collection.is_empty() => {
                found.delete();
                true
            }
            Lookup::Found(mut found) => {
                found.replace(NewValue::from(collection), None, access);
                true
            }
            Lookup::Vacant(_) if collection.is_empty() => false,
            Lookup::Vacant(vacant) => {
                vacant.insert(NewValue::from(collection), None, access);
                false
            }
        }
    }
}
