//! What the cluster core wants of this node's data and role, carried out in order.
//!
//! Most of it takes no time, and the control thread does it itself. Some of it needs the world
//! alone: to follow a primary, to be promoted, to drop keys, to pause writes. That waits for the
//! commands under way, of which one may be a long script; the bus must not fall silent meanwhile.
//! So it goes to a thread of its own ([`Applier::run`]), and whatever comes after it goes behind
//! it, answers to clients included, until that thread has nothing left.
//!
//! Not here: links, packets and nodes.conf, which are the control thread's.

use super::ClusterHandle;
use crate::follow::Primary;
use crate::server::{Flag, Server};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use tessera_cluster::{Effect, Event};
use tessera_engine::{Answer, ClientInfo, Engine, Mode};
use tessera_resp::Value;
use tessera_slot::{Millis, Slot, SlotSet};
use tessera_store::{Flushed, WorldExclusive};

/// One thing to do.
pub(super) enum Task {
    /// An effect for which [`is_for_applier`] holds.
    Effect(Effect),
    /// The answer to a command.
    Reply(Arc<ClientInfo>, Value),
    /// The answer to a transaction.
    Answer(Arc<ClientInfo>, Answer),
    /// All that the core wanted at this time is done.
    Beat(Millis),
}

/// Whether an effect concerns this node's data, role or answers; all others are the control
/// thread's.
pub(super) fn is_for_applier(effect: &Effect) -> bool {
    matches!(effect, Effect::SetSlots(_) | Effect::Routing(_) | Effect::ResumeWrites)
        || needs_world_alone(effect)
}

fn needs_world_alone(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::DropKeys(_)
            | Effect::DropAllKeys
            | Effect::Follow { .. }
            | Effect::Promote
            | Effect::PauseWrites { .. }
    )
}

/// Carries tasks out.
pub(super) struct Applier {
    server: Arc<Server>,
    cluster: Arc<ClusterHandle>,
    /// Those that wait for the thread; the mutex is a leaf. How many are not done yet, the one
    /// under way included, is `cluster.applying`.
    tasks: Mutex<VecDeque<Task>>,
    wanted: Condvar,
    /// When writes go on by themselves that a manual failover has paused, by the monotonic clock.
    resume_at: Mutex<Option<Millis>>,
}

impl Applier {
    pub(super) fn new(server: Arc<Server>, cluster: Arc<ClusterHandle>) -> Applier {
        let (tasks, wanted, resume_at) = Default::default();
        Applier { server, cluster, tasks, wanted, resume_at }
    }

    /// Carries a task out on the control thread, whose shard of the world lock is `thread`, or
    /// leaves it to the other one.
    pub(super) fn take(&self, thread: usize, task: Task) {
        let takes_long = matches!(&task, Task::Effect(effect) if needs_world_alone(effect));
        if !takes_long && self.cluster.applying.load(Acquire) == 0 {
            return self.carry_out(thread, task);
        }
        let mut tasks = self.tasks.lock();
        tasks.push_back(task);
        self.cluster.applying.fetch_add(1, Release);
        drop(tasks);
        self.wanted.notify_one();
    }

    /// The thread, whose shard of the world lock is `thread`.
    pub(super) fn run(&self, thread: usize, quit: &Flag) {
        loop {
            let mut tasks = self.tasks.lock();
            while tasks.is_empty() && !quit.is_set() {
                self.wanted.wait(&mut tasks);
            }
            let Some(task) = tasks.pop_front() else { return };
            drop(tasks);
            self.carry_out(thread, task);
            self.cluster.applying.fetch_sub(1, Release);
            // Who waits for this to be done, or what came meanwhile, is the control thread's.
            self.cluster.look();
        }
    }

    /// Ends the thread, whose `quit` is set.
    pub(super) fn wake(&self) {
        // Under the mutex: the thread is not between its look at the flag and its wait.
        drop(self.tasks.lock());
        self.wanted.notify_one();
    }

    /// Writes that a manual failover has paused go on when their time is over.
    pub(super) fn tick(&self, now: Millis) {
        if self.resume_at.lock().is_some_and(|at| now >= at) {
            self.resume_writes();
        }
    }

    fn carry_out(&self, thread: usize, task: Task) {
        match task {
            Task::Effect(effect) => self.apply(thread, effect),
            Task::Reply(client, value) => self.server.complete(&client, value),
            Task::Answer(client, answer) => self.server.answer(&client, answer),
            Task::Beat(seen) => self.cluster.beat(&self.server.engine, seen),
        }
    }

    fn apply(&self, thread: usize, effect: Effect) {
        let engine = &self.server.engine;
        match effect {
            Effect::SetSlots(changes) => {
                let slots = changes.into_iter();
                engine.set_states(slots.flat_map(|(range, state)| {
                    range.slots().map(move |slot| (slot, state)).collect::<Vec<_>>()
                }));
                engine.redirect_blocked(thread);
            }
            Effect::DropKeys(slots) => self.drop_keys(thread, &slots),
            Effect::DropAllKeys => {
                let flushed = engine.keyspace.enter_exclusive().flush(None);
                engine.keyspace.discards().flushed(flushed);
            }
            Effect::Follow { host, port, .. } => {
                crate::host::follow(&self.server, Some(Primary { host: host.to_string(), port }));
            }
            Effect::Promote => crate::host::follow(&self.server, None),
            Effect::Routing(view) => {
                self.cluster.set_routing(engine, view);
                engine.redirect_blocked(thread);
                self.server.wake_waiting();
            }
            Effect::PauseWrites { until } => {
                engine.set_mode(Mode::WRITES_PAUSED, true);
                self.server.log_closed.store(true, Release);
                // Whoever was in the middle of a write is through when the world has been alone.
                drop(engine.keyspace.enter_exclusive());
                *self.resume_at.lock() = Some(until);
                let offset = engine.log.offset();
                self.cluster.event(Event::WritesPaused { offset });
            }
            Effect::ResumeWrites => self.resume_writes(),
            Effect::OpenLink { .. }
            | Effect::CloseLink { .. }
            | Effect::LinkKnown { .. }
            | Effect::Send { .. }
            | Effect::Published { .. }
            | Effect::Log { .. } => unreachable!("the control thread keeps it"),
        }
    }

    fn resume_writes(&self) {
        *self.resume_at.lock() = None;
        self.server.log_closed.store(false, Release);
        self.server.engine.set_mode(Mode::WRITES_PAUSED, false);
        self.server.wake_waiting();
    }

    /// Deletes the keys of slots that now belong to another node, here and on this node's replicas.
    pub(super) fn drop_keys(&self, thread: usize, slots: &SlotSet) {
        let engine = &self.server.engine;
        let mut world = engine.keyspace.enter_exclusive();
        let mut flushed = Flushed::default();
        let is_primary = !engine.mode().any(Mode::REPLICA);
        for slot in slots.iter() {
            if is_primary && engine.log.is_active() && !self.server.log_closed.load(Acquire) {
                log_deletion(engine, &mut world, slot);
            }
            world.flush_slot(slot, None, &mut flushed);
        }
        drop(world);
        engine.keyspace.discards().flushed(flushed);
        self.server.feed_replicas(usize::MAX);
        engine.stats.thread(thread).dirty.fetch_add(1, Relaxed);
    }
}

fn log_deletion(engine: &Engine, world: &mut WorldExclusive<'_>, slot: Slot) {
    let verb = tessera_engine::deletion(engine.config().memory.lazyfree_lazy_server_del);
    world.lock(slot).keys(0, usize::MAX, |key| {
        engine.log.append_command(0, &[verb, key]);
    });
}
