//! Serving those who wait, after a command that has fed their keys.

use super::{After, Answer, Blocked, ReadyKey, Served, Waiter, wants_deletion};
use crate::chores::Chore;
use crate::command::Flags;
use crate::cx::Propagate;
use crate::db::{Db, Key, Locks};
use crate::{Cx, Engine, Outcome, Session, Turn};
use std::collections::VecDeque;
use std::sync::Arc;
use tessera_config::Config;
use tessera_resp::Reply;
use tessera_slot::{Millis, Slot};
use tessera_store::{Patience, WaiterId, World};

/// The waiters that could not be served under a command's own locks.
#[derive(Default)]
pub(crate) struct Left {
    /// Keys whose next waiter needs slots that were not locked.
    keys: Vec<Overdue>,
    /// Waiters which were answered and stand in queues of slots that were not locked.
    leaving: Vec<Arc<Waiter>>,
}

/// A key whose next waiter needs slots that were not locked.
struct Overdue {
    key: ReadyKey,
    waiter: Arc<Waiter>,
    /// The waiter before it. It has been asked, and is not asked again: two that need different
    /// slots would take turns for ever.
    behind: Option<WaiterId>,
}

impl Left {
    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.leaving.is_empty()
    }
}

/// How the service of one waiter ended.
enum Attempt {
    /// It was served, or somebody else had answered it.
    Through,
    /// It goes on waiting.
    Waits,
    /// Slots must be locked for it.
    Later(Arc<Waiter>),
}

impl Engine {
    /// Settles the marks of the slots that a command has locked, and serves those who wait for the
    /// keys it has fed.
    #[cold]
    pub(crate) fn serve_waiters(
        &self,
        db: &mut Db<'_, '_>,
        config: &Arc<Config>,
        has_changed: bool,
        after: After,
    ) -> Left {
        let mut left = Left { keys: Vec::new(), leaving: after.leaving };
        let mut work = VecDeque::from(after.ready);
        self.settle(db, has_changed, &mut work);
        self.serve_work(db, config, work, &mut left);
        left
    }

    /// Serves those who wait for keys that were fed, and for those that are fed by this.
    fn serve_work(
        &self,
        db: &mut Db<'_, '_>,
        config: &Arc<Config>,
        mut work: VecDeque<ReadyKey>,
        left: &mut Left,
    ) {
        let home = db.index;
        while let Some(key) = work.pop_front() {
            self.serve_key(db, config, (key, None), &mut work, left);
        }
        db.index = home;
    }

    /// Settles the marks of all slots that are locked.
    fn settle(&self, db: &mut Db<'_, '_>, has_changed: bool, work: &mut VecDeque<ReadyKey>) {
        let keyspace = db.keyspace;
        let mut news = |db: usize, key: &[u8]| {
            work.push_back(ReadyKey { db, bytes: key.into(), hash: keyspace.locate(key) });
        };
        match &mut db.locks {
            Locks::World(_) => {}
            Locks::One(guard) => guard.settle(has_changed, &mut news),
            Locks::Many(guards) => {
                guards.iter_mut().for_each(|guard| guard.settle(has_changed, &mut news));
            }
            // Marks of watched keys can wait for the next command that comes by.
            Locks::All(_) if !self.blocking.has_clients() => {}
            Locks::All(all) => Slot::all().for_each(|slot| {
                all.get(slot).settle(has_changed, &mut news);
            }),
        }
    }

    /// Settles the marks of one slot that is locked.
    pub(crate) fn settle_slot(
        &self,
        db: &mut Db<'_, '_>,
        slot: Slot,
        has_changed: bool,
        ready: &mut Vec<ReadyKey>,
    ) {
        let keyspace = db.keyspace;
        let guard = db.locks.guard(slot);
        if guard.is_marked() {
            guard.settle(has_changed, |db, key| {
                ready.push(ReadyKey { db, bytes: key.into(), hash: keyspace.locate(key) });
            });
        }
    }

    /// Serves those who wait for one key, first come first; those up to `last` have been asked.
    /// Once the key is gone, it is of interest to few.
    fn serve_key(
        &self,
        db: &mut Db<'_, '_>,
        config: &Arc<Config>,
        (key, mut last): (ReadyKey, Option<WaiterId>),
        work: &mut VecDeque<ReadyKey>,
        left: &mut Left,
    ) {
        db.index = key.db;
        loop {
            let is_there = db.peek(key.key()).is_some();
            let guard = db.locks.guard(key.hash.slot());
            let wanted = |id| is_there || wants_deletion(id);
            let Some(id) = guard.next_waiter(key.db, &key.bytes, last, wanted) else {
                return;
            };
            if let Attempt::Later(waiter) = self.serve_one(db, config, &key, id, work, left) {
                // No waiter overtakes it.
                left.keys.push(Overdue { key, waiter, behind: last });
                return;
            }
            last = Some(id);
        }
    }

    fn serve_one(
        &self,
        db: &mut Db<'_, '_>,
        config: &Arc<Config>,
        key: &ReadyKey,
        id: WaiterId,
        work: &mut VecDeque<ReadyKey>,
        left: &mut Left,
    ) -> Attempt {
        let Some(waiter) = self.blocking.get(id) else { return Attempt::Through };
        if waiter.also.is_some_and(|slot| !db.locks.covers(slot)) {
            return Attempt::Later(waiter);
        }
        let mut operation = waiter.operation.lock();
        let Some(present) = operation.as_mut() else { return Attempt::Through };
        // An element given to it would be lost. Its thread, which may not have heard of that yet,
        // takes it away.
        if waiter.info.is_killed() {
            return Attempt::Through;
        }
        let Some(answer) = self.attempt(db, config, &waiter, &mut **present, key, work) else {
            return Attempt::Waits;
        };
        *operation = None;
        drop(operation);
        self.blocking.forget(&waiter);
        if self.leave_locked(db, &waiter) {
            left.leaving.push(Arc::clone(&waiter));
        }
        self.host().answer(&waiter.info, answer);
        Attempt::Through
    }

    /// Lets a waiter's operation try its keys, in its own order: not only the one that is ready,
    /// but all whose slots are locked. Gives the answer for its client, if it has one now.
    fn attempt(
        &self,
        db: &mut Db<'_, '_>,
        config: &Arc<Config>,
        waiter: &Waiter,
        operation: &mut dyn Blocked,
        key: &ReadyKey,
        work: &mut VecDeque<ReadyKey>,
    ) -> Option<Answer> {
        // The client's own session belongs to its thread; what an operation may ask of it is the
        // same here.
        let mut session = Session::new(Arc::clone(&waiter.info), true);
        (session.db, session.no_touch) = (key.db, waiter.no_touch);
        let mut reply = Reply::new(waiter.protocol);
        let touch = std::mem::replace(&mut db.touch, !waiter.no_touch);
        let mut cx = Cx {
            engine: self,
            session: &mut session,
            reply: &mut reply,
            config,
            now: db.now,
            others: None,
            stats: db.told.stats,
            outcome: Outcome::Next,
            may_block: false,
            dirty: 0,
            propagate: Propagate::AsIs,
            after: None,
        };
        let locked = waiter.keys.iter().filter(|key| db.locks.covers(key.hash.slot()));
        let keys: Vec<Key<'_>> = locked.map(ReadyKey::key).collect();
        let served = operation.serve_keys(db, &mut cx, &keys);
        let dirty = cx.dirty > 0;
        if dirty {
            self.record_served(&mut cx, db);
        }
        let mut ready = cx.after.take().map_or_else(Vec::new, |after| after.ready);
        db.touch = touch;
        for slot in keys.iter().map(|key| key.hash.slot()).chain(waiter.also) {
            self.settle_slot(db, slot, dirty, &mut ready);
        }
        work.extend(ready);
        match served {
            Ok(Served::Yes) => {}
            Ok(Served::No) => return None,
            Err(fail) => {
                reply.buf.clear();
                self.fail_waiter(db.told.stats, waiter, &fail, &mut reply);
            }
        }
        Some(Answer { bytes: reply.buf, offset: self.log.offset(), close: false })
    }

    /// Takes a waiter out of the queues whose slots are locked. True: it stands in others too.
    fn leave_locked(&self, db: &mut Db<'_, '_>, waiter: &Waiter) -> bool {
        let mut others = false;
        for key in &waiter.keys {
            let slot = key.hash.slot();
            if !db.locks.covers(slot) {
                others = true;
            } else {
                self.blocking.leave_key(db.locks.guard(slot), key, waiter.id);
            }
        }
        others
    }

    /// Takes a waiter out of all queues. It may be in them no longer.
    pub(crate) fn leave(&self, world: &mut World<'_>, waiter: &Arc<Waiter>) {
        let mut has_left = true;
        for key in &waiter.keys {
            match world.try_lock(key.hash.slot()) {
                Some(mut guard) => self.blocking.leave_key(&mut guard, key, waiter.id),
                None => has_left = false,
            }
        }
        if !has_left {
            self.leave_chore(Chore::Leave(Arc::clone(waiter)));
        }
    }

    /// Does what a command's own locks did not allow, once they are let go.
    #[cold]
    pub(crate) fn serve_left(&self, world: &mut World<'_>, turn: &Turn<'_>, mut left: Left) {
        while !left.is_empty() {
            for waiter in std::mem::take(&mut left.leaving) {
                self.leave(world, &waiter);
            }
            for Overdue { key, waiter, behind } in std::mem::take(&mut left.keys) {
                let mut slots = vec![key.hash.slot()];
                slots.extend(waiter.also);
                let Ok(locked) = world.lock_many_within(&mut slots, turn.patience) else {
                    let keys = vec![Overdue { key, waiter, behind }];
                    self.leave_chore(Chore::Serve(Left { keys, leaving: Vec::new() }));
                    continue;
                };
                let mut db = self.db_for_waiters(turn, Locks::Many(locked));
                let mut work = VecDeque::new();
                self.settle(&mut db, false, &mut work);
                self.serve_key(&mut db, turn.config, (key, behind), &mut work, &mut left);
                self.serve_work(&mut db, turn.config, work, &mut left);
            }
        }
    }

    /// A database with these locks, to serve waiting clients from.
    fn db_for_waiters<'w, 'k: 'w>(
        &'k self,
        turn: &'w Turn<'_>,
        locks: Locks<'w, 'k>,
    ) -> Db<'w, 'k> {
        let session = Session::new(Arc::clone(&self.nobody), true);
        self.db(turn, &session, self.mode(), locks, Flags::WRITE)
    }

    /// Serves those who wait for keys that have vanished or come without a command.
    pub(crate) fn serve_news(
        &self,
        world: &mut World<'_>,
        thread: usize,
        now: Millis,
        news: Vec<(usize, Vec<u8>)>,
    ) {
        if news.is_empty() {
            return;
        }
        let config = self.config();
        let (hashes, slots, patience) = (&mut Vec::new(), &mut Vec::new(), Patience::none());
        let turn = Turn::apart(thread, now, &config, &patience, hashes, slots);
        for (db, bytes) in news {
            let hash = self.keyspace.locate(&bytes);
            let Some(guard) = world.try_lock(hash.slot()) else {
                self.leave_chore(Chore::News(db, bytes));
                continue;
            };
            let key = ReadyKey { db, hash, bytes: bytes.into() };
            let mut locked = self.db_for_waiters(&turn, Locks::One(guard));
            let after = After { ready: vec![key], ..After::default() };
            let left = self.serve_waiters(&mut locked, &config, false, after);
            drop(locked);
            self.serve_left(world, &turn, left);
        }
    }
}
