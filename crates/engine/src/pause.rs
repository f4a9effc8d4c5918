//! CLIENT PAUSE: for a while no client's commands are run, or none that write. Nothing expires
//! meanwhile, so that the data does not change at all.

use crate::execute::TOLD;
use crate::{Args, Engine, Mode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use tessera_slot::Millis;

/// The commands that a pause holds back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PauseKind {
    /// Commands that write.
    Writes,
    /// Every command of every client.
    All,
}

/// The pause that clients have asked for. [`Mode::PAUSED`] says whether there may be one.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    /// Unix ms.
    until: AtomicU64,
    all: AtomicBool,
}

impl Engine {
    /// Pauses clients. If a pause is in effect, the later end and the stricter kind hold.
    pub fn pause_clients(&self, kind: PauseKind, until: Millis, now: Millis) {
        let present = self.pause_end(now);
        let all = kind == PauseKind::All || present.is_some() && self.pause.all.load(Relaxed);
        self.pause.all.store(all, Relaxed);
        self.pause.until.store(until.0.max(present.map_or(0, |present| present.0)), Relaxed);
        self.set_mode(Mode::PAUSED, true);
    }

    /// Ends the pause that clients have asked for.
    pub(crate) fn unpause_clients(&self) {
        self.set_mode(Mode::PAUSED, false);
    }

    /// When the pause that clients have asked for ends; `None`: there is none, or it is over.
    pub fn pause_end(&self, now: Millis) -> Option<Millis> {
        if !self.mode().any(Mode::PAUSED) {
            return None;
        }
        Some(Millis(self.pause.until.load(Relaxed))).filter(|&until| until > now)
    }

    /// Whether a command of the stream of this replica's primary has to wait for the end of a
    /// pause: it is held back as those of clients are. EXEC counts as a write.
    pub fn holds_primary_back(&self, args: Args<'_>, now: Millis) -> bool {
        if !self.mode().any(Mode::PAUSED) {
            return false;
        }
        let command = self.prepare(args).command;
        let writes = args.is(0, "exec") || command.is_some_and(|command| command.flags.any(TOLD));
        self.is_held_back(writes, now)
    }

    /// Whether a command of a client has to wait for the end of a pause.
    pub(crate) fn is_held_back(&self, writes: bool, now: Millis) -> bool {
        self.pause_end(now).is_some() && (writes || self.pause.all.load(Relaxed))
    }
}
