//! What a command runs with, beside its keys.

use crate::{Engine, Session, ThreadStats};
use std::sync::Arc;
use tessera_config::Config;
use tessera_resp::Reply;
use tessera_slot::{Millis, Offset};

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
    /// Writes are paused: the command runs again when they go on.
    WritesPaused,
    /// Another thread will complete the client with its reply.
    Elsewhere,
}

/// What comes after a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Outcome {
    /// The client's next command.
    #[default]
    Next,
    /// The connection is closed once the reply is out.
    Close,
    /// The client waits; its further commands wait with it.
    Wait(Park),
    /// The rim carries the command out (PSYNC, REPLCONF and the like).
    Rim,
}

/// What a command runs with.
pub struct Cx<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// The client.
    pub session: &'a mut Session,
    /// Where the reply goes.
    pub reply: &'a mut Reply,
    /// The configuration of this turn.
    pub config: &'a Arc<Config>,
    /// The time of the turn, Unix ms.
    pub now: Millis,
    /// The thread's counters.
    pub stats: &'a ThreadStats,
    /// What comes after the command.
    pub outcome: Outcome,
    pub(crate) dirty: u64,
    pub(crate) propagate: Propagate,
}

/// What the log gets of a command that has changed something.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Propagate {
    /// The command as it came.
    #[default]
    AsIs,
    /// This command instead.
    Instead(Vec<Vec<u8>>),
}

impl Cx<'_> {
    /// Says that the command has made so many changes. Without any the log gets nothing.
    #[inline]
    pub fn changed(&mut self, count: u64) {
        self.dirty += count;
    }

    /// Chooses what the log gets instead of the command as it came: what depends on the time or on chance must
    /// not be run again by replicas. `command` is made only if somebody reads the log.
    pub fn propagate_instead(&mut self, command: impl FnOnce() -> Vec<Vec<u8>>) {
        if self.engine.log.is_active() && !self.session.is_primary {
            self.propagate = Propagate::Instead(command());
        }
    }

    /// As [`Cx::propagate_instead`] for a key that was deleted because its time has passed: `lazyfree-lazy-expire`
    /// says how.
    pub(crate) fn propagate_expired(&mut self, key: &[u8]) {
        let verb = crate::db::deletion(self.config.memory.lazyfree_lazy_expire);
        self.propagate_instead(|| vec![verb.to_vec(), key.to_vec()]);
    }
}
