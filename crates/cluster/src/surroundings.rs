//! The surroundings of every handler: the configuration, the time, chance, and the outbox, into
//! which a handler puts what it wants done.

use crate::outbox::{Outbox, Save};
use crate::rng::Rng;
use crate::{Batch, ClusterConfig, Effect, LogLevel, LogTopic, NodesConf, Now};
use tessera_slot::Millis;

/// A step that a handler can ask for, to be taken before the current call returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// `cluster_state` is judged anew.
    State,
    /// The election is looked at.
    Election,
    /// The driver is told what has changed for commands.
    View,
    /// Others hear of a change by command. May stay for the next tick.
    Announce,
    /// nodes.conf is written, if it says something new.
    Write,
}

/// What a node has around it.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    config: ClusterConfig,
    now: Now,
    rng: Rng,
    out: Outbox,
    /// One for each [`Step`].
    wanted: [bool; 5],
    /// A change of nodes.conf that may be written at leisure waits for the next tick: the file
    /// names all nodes, and must not be made anew for each packet.
    unsaved: bool,
}

impl Surroundings {
    pub(crate) fn new(config: ClusterConfig, now: Now, rng: Rng) -> Surroundings {
        let (out, wanted) = (Outbox::default(), [false; 5]);
        Surroundings { config, now, rng, out, wanted, unsaved: false }
    }

    pub(crate) fn config(&self) -> &ClusterConfig {
        &self.config
    }

    pub(crate) fn set_config(&mut self, config: ClusterConfig) {
        self.config = config;
    }

    /// The time of the current call, by the monotonic clock.
    pub(crate) fn now(&self) -> Millis {
        self.now.mono
    }

    /// The same by both clocks.
    pub(crate) fn clocks(&self) -> Now {
        self.now
    }

    pub(crate) fn set_now(&mut self, now: Now) {
        self.now = now;
    }

    pub(crate) fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    pub(crate) fn push(&mut self, effect: Effect) {
        self.out.push(effect);
    }

    pub(crate) fn log(&mut self, level: LogLevel, text: impl Into<String>) {
        self.out.log(level, None, text.into());
    }

    /// A line that a stranger can cause.
    pub(crate) fn log_limited(
        &mut self,
        topic: LogTopic,
        level: LogLevel,
        text: impl Into<String>,
    ) {
        self.out.log(level, Some(topic), text.into());
    }

    /// Notes that something shown or stored has changed.
    pub(crate) fn changed(&mut self) {
        self.save_lazily();
        self.want(Step::State);
        self.want(Step::View);
    }

    /// Notes that a promise (vote, epoch, role, ownership) has changed: nothing may be sent before
    /// it is on disk.
    pub(crate) fn changed_durably(&mut self) {
        self.changed();
        self.save_durably();
    }

    pub(crate) fn save_lazily(&mut self) {
        self.out.save(Save::Lazy);
    }

    pub(crate) fn save_durably(&mut self) {
        self.out.save(Save::Durable);
    }

    pub(crate) fn want(&mut self, step: Step) {
        self.wanted[step as usize] = true;
    }

    /// Whether a step is wanted. From here on it no longer is.
    pub(crate) fn take_wanted(&mut self, step: Step) -> bool {
        std::mem::take(&mut self.wanted[step as usize])
    }

    /// Whether nodes.conf is to be written before the effects at hand are carried out, and if so,
    /// whether it must have reached the disk by then.
    pub(crate) fn take_save(&mut self) -> Option<Save> {
        let urgency = self.out.take_save();
        self.unsaved |= urgency != Save::No;
        let is_due = self.take_wanted(Step::Write) || urgency == Save::Durable;
        (is_due && self.take_unsaved()).then_some(urgency)
    }

    /// Whether nodes.conf says something that was not given yet to be written.
    pub(crate) fn take_unsaved(&mut self) -> bool {
        std::mem::take(&mut self.unsaved)
    }

    pub(crate) fn close_batch(&mut self, save: Option<NodesConf>) {
        self.out.close_batch(save);
    }

    pub(crate) fn next_batch(&mut self) -> Option<Batch> {
        self.out.pop()
    }
}
