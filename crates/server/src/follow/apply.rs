//! Applying the primary's stream.

use super::Follower;
use crate::time;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tessera_config::Config;
use tessera_engine::{Args, Engine, Turn};
use tessera_replication::LinkEvent;
use tessera_resp::{Limits, Reply, RequestParser, Span, Step};
use tessera_slot::{Millis, Slot};
use tessera_store::{KeyHash, Patience, World};

/// A primary is trusted with any length that fits the parser.
const LIMITS: Limits = Limits { max_bulk: u32::MAX as u64, authenticated: true };

/// After so many bytes of commands the world is left for a moment, for those who want it alone.
const WORLD_BYTES: usize = 64 << 10;

/// The buffers of applying, and its findings.
struct Applying {
    config: Arc<Config>,
    now: Millis,
    reply: Reply,
    hashes: Vec<KeyHash>,
    slots: Vec<Slot>,
    ack_requested: bool,
    /// What is to be logged when the world is left.
    complaints: Vec<String>,
}

impl Applying {
    /// Logs what has gone wrong. Called when the world is left.
    fn log_complaints(&mut self) {
        self.complaints.drain(..).for_each(|complaint| tracing::error!("{complaint}"));
    }
}

impl Follower {
    /// Runs the whole commands that have come, appends them to the log as they are, and reports how
    /// far the history is applied. A transaction is run only when its EXEC is here, and as one.
    pub(super) fn apply(&mut self) {
        if self.full_sync.is_some() || self.is_loading || self.unparsed.is_empty() {
            return;
        }
        let server = Arc::clone(&self.server);
        let mut applying = Applying {
            config: server.engine.config(),
            now: time::unix(),
            reply: Reply::default(),
            hashes: Vec::new(),
            slots: Vec::new(),
            ack_requested: false,
            complaints: Vec::new(),
        };
        self.held_back = false;
        let mut input = std::mem::take(&mut self.unparsed);
        let (mut done, mut spans) = (0, Vec::new());
        let mut world_since = 0;
        let mut world = Some(server.engine.keyspace.enter(self.thread));
        loop {
            spans.clear();
            match self.parser.next(&mut input[done..], LIMITS, &mut spans) {
                Ok(Step::Command { .. })
                    if self.is_held_back(&input[done..], &spans, applying.now) =>
                {
                    self.parser = RequestParser::new();
                    break;
                }
                Ok(Step::Command { len, .. }) => {
                    let raw = &input[done..done + len];
                    self.take(&server.engine, &mut world, &mut applying, raw, &spans);
                    done += len;
                    if done - world_since >= WORLD_BYTES && self.transaction.is_none() {
                        drop(world.take());
                        applying.log_complaints();
                        world = Some(server.engine.keyspace.enter(self.thread));
                        world_since = done;
                    }
                }
                Ok(Step::Incomplete { .. }) => break,
                Err(error) => {
                    // Nothing after this can be trusted: reconnect, and resynchronise from here.
                    let complaint = format!("The primary's stream is broken: {error}");
                    applying.complaints.push(complaint);
                    done = input.len();
                    self.parser = RequestParser::new();
                    let _ = self
                        .server
                        .follow
                        .state
                        .lock()
                        .socket
                        .take()
                        .map(|socket| socket.shutdown(std::net::Shutdown::Both));
                    break;
                }
            }
        }
        drop(world);
        applying.log_complaints();
        input.drain(..done);
        self.unparsed = input;
        let offset = server.engine.log.offset();
        self.event(LinkEvent::Applied { offset, fsynced: None }, &[]);
        if applying.ack_requested {
            self.event(LinkEvent::AckRequested, &[]);
        }
        server.feed_replicas(usize::MAX);
    }

    /// Whether this command, and what follows, waits for the end of CLIENT PAUSE. Then every step
    /// tries again.
    fn is_held_back(&mut self, raw: &[u8], spans: &[Span], now: Millis) -> bool {
        let engine = &self.server.engine;
        self.held_back = !spans.is_empty() && engine.holds_primary_back(Args::new(raw, spans), now);
        self.held_back
    }

    /// Takes one command: runs it, or keeps it until its transaction is complete.
    fn take<'k>(
        &mut self,
        engine: &'k Engine,
        world: &mut Option<World<'k>>,
        applying: &mut Applying,
        raw: &[u8],
        spans: &[Span],
    ) {
        let args = Args::new(raw, spans);
        if spans.is_empty() {
            engine.log.append_raw(self.session.db as u32, raw);
            return;
        }
        let Some(commands) = &mut self.transaction else {
            if args.is(0, "multi") {
                self.transaction = Some(vec![raw.to_vec()]);
            } else {
                self.run_one(engine, world, applying, raw, args);
            }
            return;
        };
        commands.push(raw.to_vec());
        if !args.is(0, "exec") {
            return;
        }
        // The world stays entered from MULTI to EXEC, so no snapshot stands in between; the engine
        // runs what lies between as one.
        let commands = self.transaction.take().unwrap_or_default();
        for mut command in commands.clone() {
            let mut spans = Vec::new();
            if RequestParser::new().next(&mut command, LIMITS, &mut spans).is_ok() {
                self.execute(engine, world, applying, Args::new(&command, &spans));
            }
        }
        engine.log.append_raw(self.session.db as u32, &commands.concat());
    }

    /// Runs one command and appends it to the log, without leaving the world in between.
    fn run_one<'k>(
        &mut self,
        engine: &'k Engine,
        world: &mut Option<World<'k>>,
        applying: &mut Applying,
        raw: &[u8],
        args: Args<'_>,
    ) {
        self.execute(engine, world, applying, args);
        engine.log.append_raw(self.session.db as u32, raw);
    }

    /// Runs one command; between MULTI and EXEC the engine keeps it.
    fn execute<'k>(
        &mut self,
        engine: &'k Engine,
        world: &mut Option<World<'k>>,
        applying: &mut Applying,
        args: Args<'_>,
    ) {
        if args.is(0, "replconf") {
            applying.ack_requested |= args.is(1, "getack");
        } else if !args.is(0, "ping") {
            let stats = engine.stats.thread(self.thread);
            let errors = stats.errors.load(Relaxed);
            let (patience, config) = (Patience::unlimited(), &applying.config);
            let (hashes, slots) = (&mut applying.hashes, &mut applying.slots);
            let mut turn = Turn::apart(self.thread, applying.now, config, &patience, hashes, slots);
            applying.reply.buf.clear();
            let (session, reply) = (&mut self.session, &mut applying.reply);
            let prepared = engine.prepare_replicated(args);
            engine.execute(world, &mut turn, session, prepared, args, reply);
            if stats.errors.load(Relaxed) != errors {
                stats.bump(|stats| &stats.unexpected_errors, 1);
                applying.complaints.push(format!(
                    "A command of the primary failed here: {}: {}",
                    String::from_utf8_lossy(args.at(0)),
                    String::from_utf8_lossy(&reply.buf).trim_end()
                ));
            }
        }
    }
}
