//! Following a primary: the driver of [`ReplicaLink`].
//!
//! The stream is applied through the engine, as the client that may write on a replica, and
//! appended to the node's own log byte by byte. A payload is loaded by `tessera_dataset::load`,
//! but only when it has come whole, for there is no thread that could wait for its rest. Until then
//! the node has no data, and says so, as the server does.
//!
//! Deliberately not here: transactions in the stream (no simulated client uses MULTI).

use super::conn::LIMITS;
use super::node::Node;
use super::{Bug, Ctx, Output};
use crate::net::HostId;
use std::sync::Arc;
use tessera_cluster::LinkId;
use tessera_dataset::{LoadOptions, Target};
use tessera_engine::{Args, ClientInfo, ClientKind, Flags, Mode, Session};
use tessera_log::ReplId;
use tessera_replication::{LinkConfig, LinkEffect, LinkEvent, LinkPhase, Position, ReplicaLink};
use tessera_resp::{Reply, RequestParser, Step};
use tessera_slot::{Millis, Offset};

/// What follows a primary.
pub(crate) struct Follower {
    pub(crate) primary: HostId,
    link: ReplicaLink,
    /// The primary as a client of this node.
    session: Session,
    /// The connection, made or being made.
    socket: Option<LinkId>,
    /// Stream bytes that are no whole command yet.
    unparsed: Vec<u8>,
    parser: RequestParser,
    /// The payload, as far as it has come, and whether it is whole.
    payload: Vec<u8>,
    payload_ended: bool,
    /// A full synchronisation has begun and not ended.
    loading: Option<Position>,
}

impl Follower {
    pub(crate) fn new(node: &Node, primary: HostId, now: Millis) -> Follower {
        let info = ClientInfo::new(1, String::new(), String::new(), -1, 0, 0);
        info.set_kind(ClientKind::Primary);
        let mut session = Session::new(Arc::new(info), true);
        session.is_primary = true;
        let log = &node.engine.log;
        session.db = log.stream_db() as usize;
        let position =
            log.is_active().then(|| Position { id: log.identity().id, offset: log.offset() });
        let config = LinkConfig {
            listening_port: crate::net::CLIENT_PORT,
            announce_ip: None,
            user: None,
            password: None,
            version: "7.2.0".to_owned(),
            timeout_ms: node.options.repl_timeout,
        };
        Follower {
            primary,
            link: ReplicaLink::new(config, position, now),
            session,
            socket: None,
            unparsed: Vec::new(),
            parser: RequestParser::new(),
            payload: Vec::new(),
            payload_ended: false,
            loading: None,
        }
    }

    pub(crate) fn is_loading(&self) -> bool {
        self.loading.is_some()
    }

    /// Whether the link is up and the data complete.
    pub(crate) fn is_up(&self, now: Millis) -> bool {
        self.link.status(now).phase == LinkPhase::Connected && !self.is_loading()
    }

    fn drop_connection(&mut self) {
        self.socket = None;
        self.unparsed.clear();
        self.parser = RequestParser::new();
    }
}

impl Node {
    pub(crate) fn is_to_primary(&self, link: LinkId) -> bool {
        self.follower.as_ref().is_some_and(|follower| follower.socket == Some(link))
    }

    pub(crate) fn tick_follower(&mut self, ctx: &mut Ctx<'_>) {
        self.link_event(LinkEvent::Tick, &[], ctx);
    }

    pub(crate) fn request_ack(&mut self, ctx: &mut Ctx<'_>) {
        self.link_event(LinkEvent::AckRequested, &[], ctx);
    }

    pub(crate) fn connected_to_primary(&mut self, ctx: &mut Ctx<'_>) {
        self.link_event(LinkEvent::Connected, &[], ctx);
    }

    /// Bytes of the primary have come.
    pub(crate) fn primary_says(&mut self, bytes: &[u8], ctx: &mut Ctx<'_>) {
        self.link_event(LinkEvent::Received(bytes), bytes, ctx);
        let has_payload = |follower: &Follower| follower.is_loading() && follower.payload_ended;
        if self.follower.as_ref().is_some_and(has_payload) {
            self.load(ctx);
        }
        self.apply(ctx);
        self.feed_all(ctx);
    }

    /// The connection to the primary has ended.
    pub(crate) fn lost_primary(&mut self, ctx: &mut Ctx<'_>) {
        if let Some(follower) = &mut self.follower {
            follower.drop_connection();
        }
        self.link_event(LinkEvent::Closed, &[], ctx);
        self.give_up_loading(ctx);
    }

    /// Nobody is followed any more, or somebody else will be.
    pub(crate) fn stop_following(&mut self, ctx: &mut Ctx<'_>) {
        self.give_up_loading(ctx);
        if let Some(link) = self.follower.take().and_then(|follower| follower.socket) {
            ctx.out.push(Output::Close { link });
        }
    }

    /// Hands an event to the state machine and carries out what it wants.
    fn link_event(&mut self, event: LinkEvent<'_>, received: &[u8], ctx: &mut Ctx<'_>) {
        let Some(follower) = &mut self.follower else { return };
        let mut effects = Vec::new();
        follower.link.handle(ctx.now.mono, event, &mut effects);
        if follower.is_up(ctx.now.mono) {
            self.last_io = Some(follower.link.last_io());
        }
        for effect in effects {
            self.link_effect(effect, received, ctx);
        }
    }

    fn link_effect(&mut self, effect: LinkEffect, received: &[u8], ctx: &mut Ctx<'_>) {
        let link = self.fresh_link();
        let Some(follower) = &mut self.follower else { return };
        match effect {
            LinkEffect::Connect => {
                follower.socket = Some(link);
                ctx.out.push(Output::Connect { link, host: follower.primary });
            }
            LinkEffect::Send(bytes) => {
                if let Some(link) = follower.socket {
                    ctx.out.push(Output::Send { link, bytes });
                }
            }
            LinkEffect::BeginFullSync { id, offset, .. } => {
                self.begin_loading(Position { id, offset }, ctx);
            }
            LinkEffect::Payload(range) => follower.payload.extend_from_slice(&received[range]),
            LinkEffect::PayloadHeld(bytes) => follower.payload.extend(bytes),
            LinkEffect::EndPayload => follower.payload_ended = true,
            LinkEffect::Resume { id, renamed } => {
                if renamed {
                    let (before, at) = (self.engine.log.identity().id, self.engine.log.offset());
                    self.engine.log.shift_replication_id(id);
                    ctx.oracle.histories.renamed(id, before, at, ctx.at);
                    self.disconnect_replicas(ctx);
                }
                self.note_moment(ctx);
            }
            LinkEffect::Stream(range) => follower.unparsed.extend_from_slice(&received[range]),
            LinkEffect::Close(_) => {
                if let Some(link) = follower.socket {
                    ctx.out.push(Output::Close { link });
                }
                follower.drop_connection();
                self.give_up_loading(ctx);
            }
        }
    }

    /// What stood here is gone from the start.
    fn begin_loading(&mut self, grant: Position, ctx: &mut Ctx<'_>) {
        let Some(follower) = &mut self.follower else { return };
        if !ctx.may_lose_data && ctx.bug != Some(Bug::DropsDataWhenElected) {
            if let Some(link) = follower.socket {
                ctx.out.push(Output::Close { link });
            }
            return self.lost_primary(ctx);
        }
        follower.payload.clear();
        follower.payload_ended = false;
        follower.loading = Some(grant);
        self.engine.set_mode(Mode::LOADING, true);
        self.incomplete = true;
        self.forget_all(ctx);
    }

    /// Drops the data, and the history with it: no replica may continue from it.
    fn forget_all(&mut self, ctx: &mut Ctx<'_>) {
        self.flush();
        ctx.oracle.data_replaced(ctx.me);
        self.engine.log.adopt(ctx.random_id(), Offset(0), 0);
        self.disconnect_replicas(ctx);
    }

    /// The payload will never be whole.
    fn give_up_loading(&mut self, ctx: &mut Ctx<'_>) {
        let is_loading = |follower: &mut Follower| follower.loading.take().is_some();
        if self.follower.as_mut().is_some_and(is_loading) {
            self.engine.set_mode(Mode::LOADING, false);
            self.forget_all(ctx);
            self.link_event(LinkEvent::LoadFailed, &[], ctx);
        }
    }

    fn load(&mut self, ctx: &mut Ctx<'_>) {
        let Some(follower) = &mut self.follower else { return };
        let payload = std::mem::take(&mut follower.payload);
        let engine = Arc::clone(&self.engine);
        let options = LoadOptions::of(&engine.config(), ctx.now.unix);
        let mut target = Target::Shared { keyspace: &engine.keyspace, thread: 0 };
        let loaded = tessera_dataset::load(&payload[..], &mut target, &options, |_| {});
        let Ok(loaded) = loaded else {
            return self.give_up_loading(ctx);
        };
        let Some(grant) = follower.loading.take() else { return };
        engine.log.adopt(grant.id, grant.offset, loaded.stream_db as u32);
        follower.session.db = loaded.stream_db;
        self.digest.compute(&engine.keyspace);
        self.incomplete = false;
        engine.set_mode(Mode::LOADING, false);
        ctx.oracle.counts.loads += 1;
        self.note_moment(ctx);
        self.link_event(LinkEvent::Loaded, &[], ctx);
    }

    /// Runs the whole commands that have come, appends them to the log as they are, and reports how
    /// far the history is applied.
    fn apply(&mut self, ctx: &mut Ctx<'_>) {
        let Some(follower) = &mut self.follower else { return };
        let is_deaf = ctx.bug == Some(Bug::TakesNoStream);
        if follower.is_loading() || follower.unparsed.is_empty() || is_deaf {
            return;
        }
        let mut input = std::mem::take(&mut follower.unparsed);
        let (mut done, mut ack_requested) = (0, false);
        while let Some(follower) = &mut self.follower {
            let mut spans = Vec::new();
            let step = follower.parser.next(&mut input[done..], LIMITS, &mut spans);
            let len = match step {
                Ok(Step::Command { len, .. }) => len,
                Ok(Step::Incomplete { .. }) => break,
                Err(error) => {
                    ctx.oracle.failed_here(ctx.me, &error.to_string(), ctx.at);
                    break;
                }
            };
            let raw = &input[done..done + len];
            let args = Args::new(raw, &spans);
            ack_requested |= args.is(0, "replconf") && args.is(1, "getack");
            self.apply_one(args, ctx);
            if let Some(follower) = &self.follower {
                self.engine.log.append_raw(follower.session.db as u32, raw);
            }
            self.note_moment(ctx);
            done += len;
        }
        input.drain(..done);
        if let Some(follower) = &mut self.follower {
            follower.unparsed = input;
        }
        let offset = self.engine.log.offset();
        self.link_event(LinkEvent::Applied { offset, fsynced: None }, &[], ctx);
        if ack_requested {
            self.request_ack(ctx);
        }
    }

    fn apply_one(&mut self, args: Args<'_>, ctx: &mut Ctx<'_>) {
        if args.is_empty() || args.is(0, "replconf") || args.is(0, "ping") {
            return;
        }
        let engine = Arc::clone(&self.engine);
        let Some(mut follower) = self.follower.take() else { return };
        let prepared = engine.prepare_replicated(args);
        let is_write = prepared.command.is_some_and(|command| command.flags.has(Flags::WRITE));
        if !(is_write && ctx.bug == Some(Bug::SkipsCommands) && ctx.rng.one_in(50)) {
            let mut reply = Reply::default();
            self.turn(ctx.now.unix, |turn| {
                let mut world = Some(engine.keyspace.enter(0));
                let session = &mut follower.session;
                engine.execute(&mut world, turn, session, prepared, args, &mut reply);
            });
            if reply.buf.first() == Some(&b'-') {
                let text = String::from_utf8_lossy(&reply.buf).into_owned();
                ctx.oracle.failed_here(ctx.me, &text, ctx.at);
            }
        }
        self.follower = Some(follower);
        if is_write && let Some(key) = args.get(1) {
            self.digest.look_at(&engine.keyspace, key);
        }
    }

    /// The name of the node's history, and its end.
    pub(crate) fn position(&self) -> Option<(ReplId, Offset)> {
        let log = &self.engine.log;
        log.is_active().then(|| (log.identity().id, log.offset()))
    }
}
