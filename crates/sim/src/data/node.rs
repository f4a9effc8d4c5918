//! The data of a process: the real engine with its log, in the role that the cluster core gives it.
//!
//! A [`Node`] takes what comes over connections, what the core wants of it, and ticks. It gives
//! [`Output`]s, which the world carries out, and tells the oracle what it cannot see from outside:
//! the state of its history.
//!
//! The server's threads have become calls: a connection's bytes are handled when they arrive
//! (`conn.rs`), the primary's stream is applied when it arrives (`link.rs`), and a snapshot goes on
//! with every tick (`sync.rs`).
//!
//! Deliberately not here: expiry, eviction, files, and moving slots.

use super::conn::Conn;
use super::digest::Digest;
use super::link::Follower;
use super::rim::Rim;
use super::sync::Job;
use super::{Bug, Ctx, DataOptions, Output};
use crate::net::{DATA_LINKS, HostId};
use std::collections::BTreeMap;
use std::sync::Arc;
use tessera_cluster::{ClusterState, Effect, FailReason, LinkId, PrimaryLink, RoutingView};
use tessera_config::Config;
use tessera_engine::{Engine, EngineOptions, Mode, Stopwatch, Turn};
use tessera_log::ReplId;
use tessera_replication::PingSchedule;
use tessera_slot::{Millis, Offset, Slot, SlotSet, SlotState};
use tessera_store::{Flushed, Patience};

/// How often a primary's stream has a PING, in milliseconds (`repl-ping-replica-period`).
const PING_PERIOD: u64 = 1000;

/// The data of a process.
pub(crate) struct Node {
    pub(crate) engine: Arc<Engine>,
    pub(crate) rim: Arc<Rim>,
    pub(crate) options: DataOptions,
    pub(crate) conns: BTreeMap<LinkId, Conn>,
    pub(crate) follower: Option<Follower>,
    /// The snapshot under way, and the replicas that wait for the next one.
    pub(crate) job: Option<Job>,
    pub(crate) waiting: Vec<LinkId>,
    /// A full synchronisation has begun to replace the data, and has not ended well.
    pub(crate) incomplete: bool,
    /// When something last came from a primary.
    pub(crate) last_io: Option<Millis>,
    pub(crate) digest: Digest,
    pings: PingSchedule,
    /// When the core last had its turn. If that is long ago, nobody is served until it has: the
    /// process was stopped, and may have been replaced.
    beat_at: Millis,
    /// When writes go on that a manual failover has paused.
    resume_at: Option<Millis>,
    /// The core's last view.
    said: Option<Arc<RoutingView>>,
    next_link: u64,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("log", &self.engine.log).finish_non_exhaustive()
    }
}

impl Node {
    pub(crate) fn new(
        options: DataOptions,
        seed: u64,
        id: ReplId,
        now: tessera_cluster::Now,
    ) -> Node {
        let mut config = Config::default();
        config.cluster.enabled = true;
        config.replication.repl_backlog_size.0 = options.backlog;
        let engine = Arc::new(Engine::new(EngineOptions {
            config,
            threads: 1,
            seed,
            replication_id: id,
            now: now.unix,
        }));
        let rim = Arc::new(Rim::new(Arc::clone(&engine.log), options.bug));
        engine.set_host(rim.clone());
        // Until the core has spoken, this node serves nothing.
        let mut world = engine.keyspace.enter_exclusive();
        world.set_states(Slot::all(), SlotState::Remote { owner: None });
        drop(world);
        engine.set_mode(Mode::CLUSTER_DOWN, true);
        Node {
            engine,
            rim,
            options,
            conns: BTreeMap::new(),
            follower: None,
            job: None,
            waiting: Vec::new(),
            incomplete: false,
            last_io: None,
            digest: Digest::default(),
            pings: PingSchedule::new(now.mono, PING_PERIOD),
            beat_at: now.mono,
            resume_at: None,
            said: None,
            next_link: DATA_LINKS,
        }
    }

    pub(crate) fn is_replica(&self) -> bool {
        self.engine.mode().any(Mode::REPLICA)
    }

    /// The offset that the core is told.
    pub(crate) fn offset(&self) -> Offset {
        let is_loading = self.follower.as_ref().is_some_and(Follower::is_loading);
        if is_loading { Offset(0) } else { self.engine.log.offset() }
    }

    /// The link to the primary, as the core is told of it.
    pub(crate) fn primary_link(&self, now: Millis) -> Option<PrimaryLink> {
        let follower = self.follower.as_ref()?;
        Some(match (self.incomplete, follower.is_up(now)) {
            (true, _) => PrimaryLink::Incomplete,
            (false, true) => PrimaryLink::Up { heard: self.last_io.unwrap_or(now) },
            (false, false) => PrimaryLink::Down { since: self.last_io },
        })
    }

    pub(crate) fn fresh_link(&mut self) -> LinkId {
        self.next_link += 1;
        LinkId::Outgoing(self.next_link)
    }

    /// Runs `act` with what a command of this turn needs.
    pub(crate) fn turn<T>(&self, now: Millis, act: impl FnOnce(&mut Turn<'_>) -> T) -> T {
        act(&mut Turn {
            thread: 0,
            now,
            config: &self.engine.config(),
            patience: &Patience::unlimited(),
            others: None,
            stopwatch: Stopwatch::STOPPED,
            hashes: &mut Vec::new(),
            slots: &mut Vec::new(),
        })
    }

    /// The log has come to its present end: the oracle compares.
    pub(crate) fn note_moment(&self, ctx: &mut Ctx<'_>) {
        if self.engine.log.is_active() {
            let (identity, offset) = (self.engine.log.identity(), self.engine.log.offset());
            ctx.oracle.histories.reached(identity, offset, self.digest.sum(), ctx.me, ctx.at);
        }
    }

    /// This node has added to the log itself, if its end was here before.
    pub(crate) fn note_append(&self, before: Offset, ctx: &mut Ctx<'_>) {
        let log = &self.engine.log;
        if log.is_active() && log.offset() > before {
            ctx.oracle.histories.extended(log.identity().id, ctx.me, ctx.at);
            self.note_moment(ctx);
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, ctx: &mut Ctx<'_>) {
        if self.resume_at.is_some_and(|at| ctx.now.mono >= at) {
            self.resume_writes(ctx);
        }
        let is_stale = self.follower.as_ref().is_some_and(|follower| !follower.is_up(ctx.now.mono));
        self.engine.set_mode(Mode::STALE, is_stale);
        self.tick_follower(ctx);
        self.ping(ctx);
        self.walk(ctx);
        self.pump_feeds(ctx);
        self.look_at_parked(ctx);
        self.feed_all(ctx);
    }

    /// Shows replicas that their link is alive, and at once that there is a history.
    fn ping(&mut self, ctx: &mut Ctx<'_>) {
        let log = &self.engine.log;
        let is_unproven = log.is_active() && log.offset() == Offset(0) && !self.is_replica();
        if !self.pings.poll(ctx.now.mono) && !is_unproven {
            return;
        }
        if log.reader_count() > 0 && !self.is_replica() && !self.rim.noted().log_closed {
            let before = log.offset();
            log.append_control(&["PING"]);
            self.note_append(before, ctx);
        }
    }

    /// Commands are routed by this view from now on.
    fn show(&mut self, view: Arc<RoutingView>, ctx: &Ctx<'_>) {
        let is_down = view.state != ClusterState::Ok && ctx.bug != Some(Bug::ServesWhenDown);
        self.engine.set_mode(Mode::CLUSTER_DOWN, is_down);
        self.rim.noted().routing = Some(view);
    }

    /// The core has had its turn: what it says of serving holds.
    pub(crate) fn beat(&mut self, ctx: &mut Ctx<'_>) {
        self.beat_at = ctx.now.mono;
        if let Some(view) = self.said.clone() {
            self.show(view, ctx);
        }
    }

    /// Clients' commands are about to run.
    pub(crate) fn check_pulse(&mut self, ctx: &Ctx<'_>) {
        if ctx.now.mono.since(self.beat_at) > ctx.node_timeout
            && ctx.bug != Some(Bug::IgnoresThatItWasStopped)
            && let Some(said) = &self.said
        {
            let mut view = (**said).clone();
            view.state = ClusterState::Fail(FailReason::Settling);
            self.show(Arc::new(view), ctx);
        }
    }

    /// Carries out what the cluster core wants of the data.
    pub(crate) fn effect(&mut self, effect: &Effect, ctx: &mut Ctx<'_>) {
        match effect {
            Effect::SetSlots(changes) => {
                let slots = changes.iter();
                self.engine.set_states(
                    slots.flat_map(|(range, state)| range.slots().map(move |slot| (slot, *state))),
                );
            }
            Effect::Routing(view) => {
                self.said = Some(Arc::clone(view));
                self.show(Arc::clone(view), ctx);
            }
            Effect::Follow { host, .. } => self.follow(crate::net::host_at(*host), ctx),
            Effect::Promote => self.promote(ctx),
            Effect::DropKeys(slots) => self.drop_keys(slots, ctx),
            Effect::DropAllKeys => self.flush(),
            Effect::PauseWrites { until } => {
                self.engine.set_mode(Mode::WRITES_PAUSED, true);
                self.rim.noted().log_closed = true;
                self.resume_at = Some(*until);
            }
            Effect::ResumeWrites => self.resume_writes(ctx),
            _ => {}
        }
    }

    pub(crate) fn has_paused_writes(&self) -> bool {
        self.resume_at.is_some()
    }

    fn resume_writes(&mut self, ctx: &mut Ctx<'_>) {
        self.resume_at = None;
        self.rim.noted().log_closed = false;
        self.engine.set_mode(Mode::WRITES_PAUSED, false);
        self.look_at_parked(ctx);
        self.feed_all(ctx);
    }

    fn follow(&mut self, primary: Option<HostId>, ctx: &mut Ctx<'_>) {
        let Some(primary) = primary else { return };
        self.engine.set_mode(Mode::REPLICA, true);
        self.engine.set_mode(Mode::READ_ONLY, true);
        self.rim.noted().is_replica = true;
        ctx.oracle.reign_ends(ctx.me);
        self.look_at_parked(ctx);
        if self.follower.as_ref().is_some_and(|follower| follower.primary == primary) {
            return;
        }
        self.stop_following(ctx);
        self.follower = Some(Follower::new(self, primary, ctx.now.mono));
    }

    /// Becomes a primary, whose history goes on under a new name.
    fn promote(&mut self, ctx: &mut Ctx<'_>) {
        self.stop_following(ctx);
        (self.last_io, self.incomplete) = (None, false);
        if self.engine.log.is_active() && ctx.bug != Some(Bug::KeepsReplicationId) {
            let (before, at) = (self.engine.log.identity().id, self.engine.log.offset());
            self.engine.log.shift_replication_id(ctx.random_id());
            ctx.oracle.histories.continued(self.engine.log.identity().id, before, at);
            self.note_moment(ctx);
        }
        for mode in [Mode::REPLICA, Mode::READ_ONLY, Mode::STALE] {
            self.engine.set_mode(mode, false);
        }
        self.rim.noted().is_replica = false;
        self.disconnect_replicas(ctx);
    }

    /// Deletes the keys of slots that now belong to another node, here and on this node's replicas.
    fn drop_keys(&mut self, slots: &SlotSet, ctx: &mut Ctx<'_>) {
        let (engine, before) = (Arc::clone(&self.engine), self.engine.log.offset());
        let is_told = !self.is_replica() && engine.log.is_active() && !self.rim.noted().log_closed;
        let mut world = engine.keyspace.enter_exclusive();
        let mut flushed = Flushed::default();
        for slot in slots.iter() {
            if is_told {
                world.lock(slot).keys(0, usize::MAX, |key| {
                    engine.log.append_command(0, &[b"DEL", key]);
                });
            }
            world.flush_slot(slot, None, &mut flushed);
        }
        drop(world);
        drop(flushed);
        self.digest.compute(&engine.keyspace);
        ctx.oracle.reign_ends(ctx.me);
        self.note_append(before, ctx);
    }

    /// Drops all keys.
    pub(crate) fn flush(&mut self) {
        drop(self.engine.keyspace.enter_exclusive().flush(None));
        self.digest = Digest::default();
    }

    /// Closes the connections of all replicas: what they follow is no longer their history.
    pub(crate) fn disconnect_replicas(&mut self, ctx: &mut Ctx<'_>) {
        let replicas: Vec<LinkId> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.is_replica())
            .map(|(link, _)| *link)
            .collect();
        replicas.into_iter().for_each(|link| self.close(link, ctx));
    }

    /// Ends a connection from this side.
    pub(crate) fn close(&mut self, link: LinkId, ctx: &mut Ctx<'_>) {
        if self.forget(link) {
            ctx.out.push(Output::Close { link });
        }
    }

    /// A connection has ended.
    pub(crate) fn forget(&mut self, link: LinkId) -> bool {
        self.rim.noted().acknowledged.remove(&link);
        self.conns.remove(&link).is_some()
    }
}
