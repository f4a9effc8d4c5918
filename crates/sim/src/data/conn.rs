//! A connection to a node's clients' port, at the node: requests are run as they arrive.
//!
//! The peer is a client or a replica; what makes it a replica is its [`Feed`]. Replicas are sent
//! the stream before the client is answered, as in the server.

use super::feed::Feed;
use super::node::Node;
use super::{Bug, Ctx, Output};
use std::sync::Arc;
use tessera_cluster::LinkId;
use tessera_engine::{Args, ClientInfo, Flags, Mode, Outcome, Park, Session};
use tessera_log::ReplId;
use tessera_resp::{Limits, Reply, RequestParser, Step};
use tessera_slot::Offset;

/// What a connection may send.
pub(crate) const LIMITS: Limits = Limits { max_bulk: 1 << 20, authenticated: true };

/// A connection.
pub(crate) struct Conn {
    session: Session,
    input: Vec<u8>,
    parser: RequestParser,
    parked: Option<Park>,
    pub(crate) feed: Option<Feed>,
    /// Where in which history this client's last write stands.
    last_write: Option<(ReplId, Offset)>,
}

impl Conn {
    fn new(now: u64) -> Conn {
        let info = ClientInfo::new(1, String::new(), String::new(), -1, 0, now);
        Conn {
            session: Session::new(Arc::new(info), true),
            input: Vec::new(),
            parser: RequestParser::new(),
            parked: None,
            feed: None,
            last_write: None,
        }
    }

    pub(crate) fn is_replica(&self) -> bool {
        self.feed.as_ref().is_some_and(Feed::is_replica)
    }
}

impl Node {
    /// Somebody has connected.
    pub(crate) fn accepted(&mut self, link: LinkId, ctx: &Ctx<'_>) {
        self.conns.insert(link, Conn::new(ctx.now.unix.0));
    }

    /// Bytes have come over an accepted connection.
    pub(crate) fn received(&mut self, link: LinkId, bytes: &[u8], ctx: &mut Ctx<'_>) {
        let Some(conn) = self.conns.get_mut(&link) else { return };
        conn.input.extend_from_slice(bytes);
        self.check_pulse(ctx);
        let mut reply = Reply::default();
        self.run(link, &mut reply, ctx);
        self.feed_all(ctx);
        self.answer(link, reply, ctx);
        self.look_at_parked(ctx);
        self.feed_all(ctx);
    }

    fn answer(&mut self, link: LinkId, reply: Reply, ctx: &mut Ctx<'_>) {
        if !reply.buf.is_empty() && self.conns.contains_key(&link) {
            ctx.out.push(Output::Send { link, bytes: reply.buf });
        }
    }

    /// Runs the whole requests that have come, until one has to wait.
    fn run(&mut self, link: LinkId, reply: &mut Reply, ctx: &mut Ctx<'_>) {
        loop {
            let Some(conn) = self.conns.get_mut(&link).filter(|conn| conn.parked.is_none()) else {
                return;
            };
            let mut spans = Vec::new();
            let len = match conn.parser.next(&mut conn.input, LIMITS, &mut spans) {
                Ok(Step::Command { len, .. }) => len,
                Ok(Step::Incomplete { .. }) => return,
                Err(_) => return self.close(link, ctx),
            };
            let raw = conn.input[..len].to_vec();
            if spans.is_empty() {
                conn.input.drain(..len);
                self.sign_of_life(link, ctx);
                continue;
            }
            let args = Args::new(&raw, &spans);
            let outcome = self.execute(link, args, reply, ctx);
            let Some(conn) = self.conns.get_mut(&link) else { return };
            match outcome {
                Outcome::Wait(park) if park.runs_again() => conn.parked = Some(park),
                outcome => {
                    conn.input.drain(..len);
                    self.go_on(link, args, outcome, ctx);
                }
            }
        }
    }

    fn go_on(&mut self, link: LinkId, args: Args<'_>, outcome: Outcome, ctx: &mut Ctx<'_>) {
        match outcome {
            Outcome::Next => {}
            Outcome::Wait(park) => {
                if let Some(conn) = self.conns.get_mut(&link) {
                    conn.parked = Some(park);
                }
            }
            Outcome::Rim => self.replication_command(link, args, ctx),
            Outcome::Close | Outcome::Foreign => self.close(link, ctx),
        }
    }

    /// Runs one command of a client.
    fn execute(
        &mut self,
        link: LinkId,
        args: Args<'_>,
        reply: &mut Reply,
        ctx: &mut Ctx<'_>,
    ) -> Outcome {
        let engine = Arc::clone(&self.engine);
        let Some(mut conn) = self.conns.remove(&link) else { return Outcome::Close };
        let (before, start) = (engine.log.offset(), reply.buf.len());
        let prepared = engine.prepare(args);
        let is_write = prepared.command.is_some_and(|command| command.flags.has(Flags::WRITE));
        if ctx.bug == Some(Bug::ForgetsWrites) && args.is(0, "set") && ctx.rng.one_in(20) {
            reply.ok();
            self.conns.insert(link, conn);
            return Outcome::Next;
        }
        let outcome = self.turn(ctx.now.unix, |turn| {
            let mut world = Some(engine.keyspace.enter(0));
            engine.execute(&mut world, turn, &mut conn.session, prepared, args, reply)
        });
        if is_write && let Some(key) = args.get(1) {
            self.digest.look_at(&engine.keyspace, key);
        }
        self.note_append(before, ctx);
        if is_write && engine.log.offset() > before {
            conn.last_write = Some((engine.log.identity().id, engine.log.offset()));
        }
        if args.is(0, "wait") && outcome == Outcome::Next {
            ctx.oracle.wait_answered((ctx.me, link), conn.last_write);
        }
        if ctx.bug == Some(Bug::RefusesWhatItDoes) && is_write && ctx.rng.one_in(50) {
            reply.buf.truncate(start);
            reply.error("ERR no");
        }
        self.conns.insert(link, conn);
        outcome
    }

    /// Lets clients go on whose condition has come true.
    pub(crate) fn look_at_parked(&mut self, ctx: &mut Ctx<'_>) {
        let parked: Vec<(LinkId, Park)> = self
            .conns
            .iter()
            .filter_map(|(link, conn)| conn.parked.map(|park| (*link, park)))
            .collect();
        for (link, park) in parked {
            match park {
                Park::Acknowledged { .. } if self.engine.mode().any(Mode::REPLICA) => {
                    let mut reply = Reply::default();
                    reply.error("UNBLOCKED force unblock from blocking operation");
                    self.answer(link, reply, ctx);
                    self.close(link, ctx);
                }
                Park::Acknowledged { replicas, offset, deadline } => {
                    let before = self.engine.log.offset();
                    let reached = self.engine.host().acknowledged(offset, replicas);
                    self.note_append(before, ctx);
                    if reached >= replicas || deadline.is_some_and(|at| at <= ctx.now.unix) {
                        let mut reply = Reply::default();
                        reply.integer(reached as i64);
                        self.wait_ends(link, reply, ctx);
                    }
                }
                Park::WritesPaused if !self.engine.mode().any(Mode::WRITES_PAUSED) => {
                    self.unpark(link, Reply::default(), ctx);
                }
                _ => {}
            }
        }
    }

    fn wait_ends(&mut self, link: LinkId, reply: Reply, ctx: &mut Ctx<'_>) {
        let Some(conn) = self.conns.get(&link) else { return };
        ctx.oracle.wait_answered((ctx.me, link), conn.last_write);
        self.unpark(link, reply, ctx);
    }

    fn unpark(&mut self, link: LinkId, mut reply: Reply, ctx: &mut Ctx<'_>) {
        if let Some(conn) = self.conns.get_mut(&link) {
            conn.parked = None;
            self.run(link, &mut reply, ctx);
            self.feed_all(ctx);
            self.answer(link, reply, ctx);
        }
    }
}
