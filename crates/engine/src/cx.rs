//! The surroundings of a command, beside its keys.

use crate::blocking::{After, Blocked, ReadyKey, Request};
use crate::db::Key;
use crate::notify::{EventClass, Notifier};
use crate::{Db, Done, Engine, Served, Session, ThreadStats};
use std::sync::Arc;
use tessera_config::Config;
use tessera_resp::Reply;
use tessera_slot::{Millis, Offset};
use tessera_store::Busy;

/// Why a client waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Park {
    /// WAIT: until so many replicas have acknowledged the offset, or the time is up.
    Acknowledged {
        /// Replicas.
        replicas: usize,
        /// The offset of the client's last write.
        offset: Offset,
        /// When the client is answered at the latest; `None`: never.
        deadline: Option<Millis>,
    },
    /// A blocking command: until a key is fed, or the time is up. The answer comes through
    /// [`crate::Host::answer`], or from [`Engine::time_out`].
    Blocked {
        /// When the client is answered at the latest; `None`: never.
        deadline: Option<Millis>,
    },
    /// Writes are paused: the command runs again when they go on.
    WritesPaused,
    /// What the command needs is locked for longer than its thread waits: it runs again when that
    /// may be free.
    Locked(Busy),
    /// Another thread will complete the client with its reply.
    Elsewhere,
}

impl Park {
    /// Whether the command has not run, and does when the client goes on.
    pub fn runs_again(self) -> bool {
        matches!(self, Park::WritesPaused | Park::Locked(_))
    }
}

/// The next step after a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Outcome {
    /// The client's next command.
    #[default]
    Next,
    /// The connection is closed once the reply is out.
    Close,
    /// The peer does not speak this protocol (`foreign.rs`): the connection is closed, and the log
    /// says so.
    Foreign,
    /// The client waits; its further commands wait with it.
    Wait(Park),
    /// The rim carries the command out (PSYNC, REPLCONF and the like).
    Rim,
}

/// The surroundings of a command.
pub struct Cx<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// The client.
    pub session: &'a mut Session,
    /// The reply.
    pub reply: &'a mut Reply,
    /// The configuration of this turn.
    pub config: &'a Arc<Config>,
    /// The time of the turn, Unix ms.
    pub now: Millis,
    /// Serves the thread's other clients.
    pub(crate) others: Option<&'a dyn Fn()>,
    /// The thread's counters.
    pub stats: &'a ThreadStats,
    /// The next step after the command.
    pub outcome: Outcome,
    /// Whether the client may be made to wait: not in a transaction, and not from the primary's
    /// stream.
    pub may_block: bool,
    pub(crate) dirty: u64,
    pub(crate) propagate: Propagate,
    /// The work after the command; nearly always none.
    pub(crate) after: Option<Box<After>>,
}

/// The form in which a command that has changed something goes to the log.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Propagate {
    /// The command as it came.
    #[default]
    AsIs,
    /// This command instead.
    Instead(Vec<Vec<u8>>),
    /// These commands, as one.
    Many(Vec<Vec<Vec<u8>>>),
}

impl Cx<'_> {
    /// Serves the thread's other clients, in the middle of a command with
    /// [`Flags::YIELDS`](crate::Flags::YIELDS). What this command has locked stays locked.
    pub(crate) fn let_others_run(&self) {
        if let Some(others) = self.others {
            others();
        }
    }

    /// Says that the command has made so many changes. Without any the log gets nothing.
    #[inline]
    pub fn changed(&mut self, count: u64) {
        self.dirty += count;
    }

    /// Says what has happened to a key of the client's database, for keyspace notifications.
    #[inline]
    pub(crate) fn notify(&self, class: EventClass, event: &'static str, key: &[u8]) {
        self.notify_in(self.session.db, class, event, key);
    }

    /// As [`Cx::notify`], in any database.
    #[inline]
    pub(crate) fn notify_in(&self, db: usize, class: EventClass, event: &'static str, key: &[u8]) {
        let asked = self.config.observe.notify_keyspace_events;
        Notifier::new(asked, &self.engine.events).happened(db, class, event, key);
    }

    /// Says that the command has made a key that was not there (`new`). To be called before the
    /// event that tells what the key holds.
    #[inline]
    pub(crate) fn notify_new(&self, key: &[u8]) {
        self.notify(EventClass::New, "new", key);
    }

    /// Says that the command has fed a list, sorted set or stream of the client's database in
    /// place, so that clients which wait for it can be served. A key that was made, replaced or
    /// removed is noticed without it.
    #[inline]
    pub fn ready(&mut self, key: Key<'_>) {
        if self.engine.blocking.has_clients() {
            let ready = ReadyKey::of(self.session.db, key);
            self.after.get_or_insert_default().ready.push(ready);
        }
    }

    /// Chooses what the log gets instead of the command as it came: what depends on the time or on
    /// chance must not be run again by replicas. `command` is made only if somebody reads the log.
    pub fn propagate_instead(&mut self, command: impl FnOnce() -> Vec<Vec<u8>>) {
        if self.engine.log.is_active() && !self.session.is_primary {
            self.propagate = Propagate::Instead(command());
        }
    }

    /// As [`Cx::propagate_instead`] with several commands, which replicas apply as one.
    pub(crate) fn propagate_many(&mut self, commands: impl FnOnce() -> Vec<Vec<Vec<u8>>>) {
        if self.engine.log.is_active() && !self.session.is_primary {
            self.propagate = Propagate::Many(commands());
        }
    }

    /// As [`Cx::propagate_instead`] for a key that was deleted because its time has passed:
    /// `lazyfree-lazy-expire` says how.
    pub(crate) fn propagate_expired(&mut self, key: &[u8]) {
        let verb = crate::db::deletion(self.config.memory.lazyfree_lazy_expire);
        self.propagate_instead(|| vec![verb.to_vec(), key.to_vec()]);
    }

    /// Makes the client wait until one of the keys can serve it, at most until `deadline` (Unix ms;
    /// `None`: for ever). If that is not allowed, as in a transaction, the client is answered as if
    /// the time were up.
    pub fn block(
        &mut self,
        keys: &[Key<'_>],
        deadline: Option<Millis>,
        operation: impl Blocked + 'static,
    ) {
        if !self.may_block {
            operation.timed_out(self.reply);
            return;
        }
        let db = self.session.db;
        let keys = keys.iter().map(|&key| ReadyKey::of(db, key)).collect();
        let request = Request { keys, operation: Box::new(operation) };
        self.after.get_or_insert_default().request = Some(request);
        self.outcome = Outcome::Wait(Park::Blocked { deadline });
    }

    /// Serves the client from the first of the keys that can, or makes it wait for them: all that a
    /// blocking command does once its arguments are read.
    ///
    /// # Errors
    /// Those of the operation.
    pub fn serve_or_block(
        &mut self,
        db: &mut Db<'_, '_>,
        keys: &[Key<'_>],
        deadline: Option<Millis>,
        mut operation: impl Blocked + 'static,
    ) -> Done {
        for &key in keys {
            if operation.serve(db, self, key)? == Served::Yes {
                return Ok(());
            }
        }
        self.block(keys, deadline, operation);
        Ok(())
    }
}
