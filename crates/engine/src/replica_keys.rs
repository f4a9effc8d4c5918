//! Keys with an expiry that clients have written to a writable replica. Its primary knows nothing
//! of them, so the replica itself removes them when their time comes; all other keys of a replica
//! wait for the primary's word.

use crate::command::Command;
use crate::db::Db;
use crate::{Args, Engine};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use tessera_slot::Millis;
use tessera_store::Lookup;

/// Database and key.
#[derive(Debug, Default)]
pub(crate) struct ReplicaKeys(Mutex<BTreeSet<(usize, Vec<u8>)>>);

impl ReplicaKeys {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Forgets them all: this node is a primary, which looks at every key.
    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }
}

impl Engine {
    /// Notes the keys of a command that a client has run on a replica, where they have an expiry.
    #[cold]
    pub(crate) fn note_replica_keys(&self, db: &mut Db<'_, '_>, command: &Command, args: Args<'_>) {
        for (ordinal, at) in
            command.keys.positions(args).unwrap_or_default().into_iter().enumerate()
        {
            let key = db.key(args.at(at), ordinal);
            if db.peek(key).is_some_and(|found| found.expiry().is_some()) {
                self.replica_keys.0.lock().insert((db.index, key.bytes.to_vec()));
            }
        }
    }

    /// Removes those of the noted keys whose time has come; gives their number.
    pub(crate) fn expire_replica_keys(&self, thread: usize, now: Millis) -> u64 {
        let noted: Vec<_> = self.replica_keys.0.lock().iter().cloned().collect();
        let mut removed = 0;
        for (db, key) in noted {
            let hash = self.keyspace.locate(&key);
            let mut world = self.keyspace.enter(thread);
            let mut guard = world.lock(hash.slot());
            if let Lookup::Found(found) = guard.lookup(db, &key, hash)
                && let Some(at) = found.expiry()
            {
                if at > now {
                    continue;
                }
                found.delete();
                self.stats.thread(thread).bump(|stats| &stats.expired, 1);
                removed += 1;
            }
            // Gone, or without an expiry any more.
            self.replica_keys.0.lock().remove(&(db, key));
        }
        removed
    }
}
